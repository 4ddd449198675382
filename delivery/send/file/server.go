package filesend

import (
	"context"
	"crypto/ed25519"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"os"
	"path"
	"slices"
	"strings"
	"time"

	"github.com/pkg/sftp"
	"golang.org/x/crypto/ssh"
	"golang.org/x/crypto/ssh/knownhosts"

	"redrive/delivery"
	"redrive/delivery/wire"
)

const (
	server         = "server" // the other side in sentences
	handshakeLimit = 30 * time.Second
)

// aliveEvery is how often a server is asked whether it is there; one that does not answer for so long is given up.
var aliveEvery = 15 * time.Second

// remote is a directory of an SFTP server.
type remote struct {
	to     delivery.SFTPServer
	dialer wire.Dialer
	auth   []ssh.AuthMethod
}

// newServer checks the settings. The key is read here, known_hosts again at each connection: a host can be added meanwhile.
func newServer(to delivery.SFTPServer, dialer wire.Dialer) (*remote, error) {
	if to.Addr == "" || to.User == "" || to.KnownHosts == "" || to.Key == "" && to.Password == "" {
		return nil, errors.New("an sftp destination needs addr, user, known_hosts, and a key or a password")
	}
	if _, _, err := net.SplitHostPort(to.Addr); err != nil {
		to.Addr = net.JoinHostPort(strings.Trim(to.Addr, "[]"), "22")
	}
	if to.Path == "" {
		to.Path = "."
	}
	if _, err := knownhosts.New(to.KnownHosts); err != nil {
		return nil, &delivery.SettingError{Setting: "known_hosts", Err: fmt.Errorf("it cannot be used: %w", err)}
	}
	r := &remote{to: to, dialer: dialer}
	if to.Key != "" {
		signer, err := readKey(to.Key, to.Passphrase)
		if err != nil {
			return nil, &delivery.SettingError{Setting: "key", Err: err}
		}
		r.auth = append(r.auth, ssh.PublicKeys(signer))
	}
	if to.Password != "" {
		r.auth = append(r.auth, ssh.Password(to.Password), ssh.KeyboardInteractive(r.answer))
	}
	return r, nil
}

// answer is for servers that ask for the password in a dialogue. A question whose answer they would show gets none.
func (r *remote) answer(_, _ string, questions []string, echos []bool) ([]string, error) {
	answers := make([]string, len(questions))
	for n := range questions {
		if !echos[n] {
			answers[n] = r.to.Password
		}
	}
	return answers, nil
}

func readKey(file, passphrase string) (ssh.Signer, error) {
	raw, err := os.ReadFile(file)
	if err != nil {
		return nil, fmt.Errorf("reading the private key: %w", err)
	}
	var signer ssh.Signer
	if passphrase == "" {
		signer, err = ssh.ParsePrivateKey(raw)
	} else {
		signer, err = ssh.ParsePrivateKeyWithPassphrase(raw, []byte(passphrase))
	}
	var missing *ssh.PassphraseMissingError
	switch {
	case errors.As(err, &missing):
		return nil, fmt.Errorf("the private key %s needs its passphrase", file)
	case errors.Is(err, x509.IncorrectPasswordError):
		return nil, fmt.Errorf("the passphrase does not open the private key %s", file)
	case err != nil: // err is not passed on: what it quotes depends on the content
		return nil, fmt.Errorf("%s is no private key in PEM or OpenSSH form", file)
	}
	return signer, nil
}

// hostKeyError says that the server could not prove who it is.
type hostKeyError struct{ reason string }

func (e *hostKeyError) Error() string { return e.reason }

// identity is what known_hosts says of the server.
type identity struct {
	check      ssh.HostKeyCallback
	algorithms []string // those of its known keys: it would choose among all otherwise, and show a key that nobody knows
}

func (r *remote) identity() (identity, error) {
	check, err := knownhosts.New(r.to.KnownHosts)
	if err != nil {
		return identity{}, &hostKeyError{"known_hosts cannot be read"}
	}
	var known *knownhosts.KeyError
	if err := check(r.to.Addr, &net.TCPAddr{}, nobodysKey()); !errors.As(err, &known) || len(known.Want) == 0 {
		return identity{}, &hostKeyError{"the server is not in known_hosts"}
	}
	id := identity{check: check}
	for _, k := range known.Want {
		algorithms := []string{k.Key.Type()}
		if algorithms[0] == ssh.KeyAlgoRSA { // one kind of key, signed in other ways than it once was
			algorithms = []string{ssh.KeyAlgoRSASHA512, ssh.KeyAlgoRSASHA256}
		}
		for _, a := range algorithms {
			if !slices.Contains(id.algorithms, a) {
				id.algorithms = append(id.algorithms, a)
			}
		}
	}
	return id, nil
}

// nobodysKey is a key that no server has: what known_hosts answers to it is what it expects.
func nobodysKey() ssh.PublicKey {
	key, err := ssh.NewPublicKey(ed25519.PublicKey(make([]byte, ed25519.PublicKeySize)))
	if err != nil { // it has the right length
		panic(err)
	}
	return key
}

// refusedError says that the server does not accept the login.
type refusedError struct{}

func (*refusedError) Error() string { return "the server does not accept the login" }

// unconnectedError is a connection that could not be made: nothing was sent.
type unconnectedError struct{ cause error }

func (e *unconnectedError) Error() string { return e.cause.Error() }

// Unwrap returns the cause.
func (e *unconnectedError) Unwrap() error { return e.cause }

// connect signs in within the handshake's limit. The connection ends with the context.
func (r *remote) connect(ctx context.Context) (*ssh.Client, error) {
	id, err := r.identity()
	if err != nil {
		return nil, err
	}
	limited, cancel := context.WithTimeout(ctx, handshakeLimit)
	defer cancel()
	conn, err := r.dialer.DialContext(limited, "tcp", r.to.Addr)
	if err != nil {
		return nil, &unconnectedError{err}
	}
	stop := context.AfterFunc(limited, func() { _ = conn.Close() }) // the handshake gets the error
	defer stop()
	var refused error // of the server's key; the handshake's error keeps no more than its text
	config := &ssh.ClientConfig{User: r.to.User, Auth: r.auth, HostKeyAlgorithms: id.algorithms, ClientVersion: "SSH-2.0-Redrive",
		HostKeyCallback: func(host string, at net.Addr, key ssh.PublicKey) error {
			refused = id.check(host, at, key)
			return refused
		}}
	signedIn, channels, requests, err := ssh.NewClientConn(conn, r.to.Addr, config)
	if err != nil {
		_ = conn.Close() // the handshake's error says more
		return nil, handshakeError(limited, err, refused)
	}
	return ssh.NewClient(signedIn, channels, requests), nil
}

func handshakeError(ctx context.Context, err, refused error) error {
	var negotiation *ssh.AlgorithmNegotiationError
	var revoked *knownhosts.RevokedError
	switch {
	case errors.As(refused, &revoked):
		return &hostKeyError{"the server's key is revoked in known_hosts"}
	case refused != nil, errors.As(err, &negotiation) && negotiation.What == "host key":
		return &hostKeyError{"the server's key is not the one in known_hosts"}
	case strings.Contains(err.Error(), "unable to authenticate"): // the library has no type for it
		return &refusedError{}
	case ctx.Err() != nil:
		err = ctx.Err()
	}
	return &unconnectedError{err}
}

// open connects for one attempt.
func (r *remote) open(ctx context.Context) (folder, error) {
	client, err := r.connect(ctx)
	if err != nil {
		return nil, err
	}
	stop := context.AfterFunc(ctx, func() { _ = client.Close() }) // whoever waits for an answer gets the error
	files, err := sftp.NewClient(client, sftp.UseConcurrentWrites(true))
	if err != nil {
		stop()
		_ = client.Close() // the first error says more
		return nil, &unconnectedError{err}
	}
	d := &remoteDirectory{path: r.to.Path, files: files, client: client, stop: stop, ended: make(chan struct{})}
	d.watch.Go(d.keepAlive)
	return d, d.check()
}

// check tells a missing directory from a missing file.
func (d *remoteDirectory) check() error {
	info, err := d.files.Stat(d.path)
	if err = d.told(err); err == nil && !info.IsDir() {
		err = &statusError{d.path, "a file, no directory,", os.ErrNotExist}
	}
	if err != nil {
		d.close()
	}
	return err
}

// keepAlive ends a connection whose other side is gone without a word. A send that waits for it then gets an error.
func (d *remoteDirectory) keepAlive() {
	tick := time.NewTicker(aliveEvery)
	defer tick.Stop()
	for {
		select {
		case <-d.ended:
			return
		case <-tick.C:
		}
		silent := time.AfterFunc(aliveEvery, func() { _ = d.client.Close() })
		_, _, err := d.client.SendRequest("keepalive@openssh.com", true, nil) // any answer will do, a refusal too
		silent.Stop()
		if err != nil {
			return
		}
	}
}

func (d *remoteDirectory) at(name string) string { return path.Join(d.path, name) }
