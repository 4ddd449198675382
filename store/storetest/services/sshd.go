package services

import (
	"context"
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"encoding/pem"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"golang.org/x/crypto/ssh"
	"golang.org/x/crypto/ssh/knownhosts"

	"redrive/store/storetest/patience"
)

// SSHDVariable names the sshd program; the test starter sets it once the program is installed.
const SSHDVariable = "REDRIVE_TEST_SSHD"

const sshdPatience = patience.Limit

// SSHD is a private OpenSSH server with SFTP, for the user that runs the tests and one key. As a plain user sshd cannot read
// anybody's password, so that it takes none here.
type SSHD struct {
	Addr       string   // host:port
	User       string   // who signs in
	Key        string   // file with the private key
	KnownHosts string   // file that knows the first of the host keys
	HostKeys   []string // public keys of the server, as in known_hosts: Ed25519, ECDSA
	Dir        string   // for files; goes away with the server

	path    string
	options []string
	run     *process
}

// FindSSHD returns the server's path; it starts itself again for each connection and wants a full one.
func FindSSHD() (string, error) {
	if path := os.Getenv(SSHDVariable); path != "" {
		return path, nil
	}
	return find("/usr/sbin/sshd", "/usr/local/sbin/sshd", "sshd")
}

// StartSSHD starts a server for one test. options are lines of sshd_config that go before the others.
func StartSSHD(t testing.TB, options ...string) *SSHD {
	t.Helper()
	path, err := FindSSHD()
	check(t, err)
	dir, err := tempDir()
	check(t, err)
	s := &SSHD{path: path, Dir: filepath.Join(dir, "files"), options: options}
	t.Cleanup(func() {
		s.Kill()
		if err := os.RemoveAll(dir); err != nil {
			t.Errorf("services: %v", err)
		}
	})
	check(t, s.prepare(dir))
	check(t, again(func() error { return s.start(context.Background(), dir) }))
	return s
}

// Kill ends the server and its connections at once.
func (s *SSHD) Kill() { s.run.kill() }

func (s *SSHD) prepare(dir string) error {
	me, err := user.Current()
	if err != nil {
		return err
	}
	if os.Geteuid() == 0 { // as root it wants this to exist
		if err := os.MkdirAll("/run/sshd", 0o755); err != nil {
			return err
		}
	}
	s.User, s.Key = me.Username, filepath.Join(dir, "key")
	_, secret, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		return err
	}
	public, err := writeKey(s.Key, secret)
	if err == nil {
		err = os.WriteFile(filepath.Join(dir, "authorized_keys"), []byte(public), 0o600)
	}
	return errors.Join(err, s.hostKeys(dir), os.Mkdir(s.Dir, 0o700))
}

func (s *SSHD) hostKeys(dir string) error {
	_, edwards, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		return err
	}
	curve, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return err
	}
	for n, key := range []crypto.PrivateKey{edwards, curve} {
		public, err := writeKey(filepath.Join(dir, fmt.Sprint("host", n)), key)
		if err != nil {
			return err
		}
		s.HostKeys = append(s.HostKeys, strings.TrimSpace(public))
	}
	return nil
}

// writeKey writes a private key and returns the public one as a line.
func writeKey(file string, key crypto.PrivateKey) (string, error) {
	block, err := ssh.MarshalPrivateKey(key, "")
	if err != nil {
		return "", err
	}
	signer, err := ssh.NewSignerFromKey(key)
	if err != nil {
		return "", err
	}
	return string(ssh.MarshalAuthorizedKey(signer.PublicKey())), os.WriteFile(file, pem.EncodeToMemory(block), 0o600)
}

func (s *SSHD) start(ctx context.Context, dir string) error {
	ctx, cancel := context.WithTimeout(ctx, sshdPatience)
	defer cancel()
	ports, err := freePorts(1)
	if err != nil {
		return err
	}
	s.Addr = net.JoinHostPort("127.0.0.1", strconv.Itoa(ports[0]))
	s.KnownHosts = filepath.Join(dir, "known_hosts")
	line := knownhosts.Normalize(s.Addr) + " " + s.HostKeys[0] + "\n"
	config := strings.Join(append(s.options, "ListenAddress "+s.Addr, "HostKey "+dir+"/host0", "HostKey "+dir+"/host1",
		"AuthorizedKeysFile "+dir+"/authorized_keys", "UsePAM no", "StrictModes no", "PidFile none",
		"PasswordAuthentication no", "KbdInteractiveAuthentication no", "PermitRootLogin prohibit-password",
		"MaxStartups 200", "UseDNS no", "Subsystem sftp internal-sftp"), "\n") + "\n"
	file := filepath.Join(dir, "sshd_config")
	err = errors.Join(os.WriteFile(file, []byte(config), 0o600), os.WriteFile(s.KnownHosts, []byte(line), 0o600))
	if err != nil {
		return err
	}
	if s.run, err = launch(exec.Command(s.path, "-D", "-e", "-f", file), filepath.Join(dir, "log")); err != nil {
		return err
	}
	return s.run.ready(ctx, s.answers)
}

// answers says that the server introduces itself.
func (s *SSHD) answers(ctx context.Context) error {
	conn, err := (&net.Dialer{}).DialContext(ctx, "tcp", s.Addr)
	if err != nil {
		return err
	}
	defer conn.Close()
	_ = conn.SetDeadline(time.Now().Add(time.Second)) // a failure shows in the next call
	banner := make([]byte, 4)
	if _, err := conn.Read(banner); err != nil || string(banner) != "SSH-" {
		return fmt.Errorf("it introduces itself with %q: %w", banner, err)
	}
	return nil
}
