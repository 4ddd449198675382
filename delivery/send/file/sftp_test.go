package filesend

import (
	"context"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"encoding/pem"
	"errors"
	"log/slog"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/pkg/sftp"
	"golang.org/x/crypto/ssh"
	"golang.org/x/crypto/ssh/knownhosts"

	"redrive/delivery"
	"redrive/delivery/wire"
	"redrive/store/storetest/patience"
	"redrive/store/storetest/services"
)

// newKey writes a private key and returns its file and its public line.
func newKey(t *testing.T, passphrase string) (file, public string) {
	t.Helper()
	_, key, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	signer, err := ssh.NewSignerFromKey(key)
	if err != nil {
		t.Fatal(err)
	}
	block, err := ssh.MarshalPrivateKey(key, "")
	if passphrase != "" {
		block, err = ssh.MarshalPrivateKeyWithPassphrase(key, "", []byte(passphrase))
	}
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	write(t, dir, "key", pem.EncodeToMemory(block))
	return filepath.Join(dir, "key"), strings.TrimSpace(string(ssh.MarshalAuthorizedKey(signer.PublicKey())))
}

// otherKind is a key of a kind that the server has none of.
func otherKind(t *testing.T) string {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P521(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	public, err := ssh.NewPublicKey(key.Public())
	if err != nil {
		t.Fatal(err)
	}
	return strings.TrimSpace(string(ssh.MarshalAuthorizedKey(public)))
}

func TestOnlyTheKnownServerIsTrusted(t *testing.T) {
	s := services.StartSSHD(t)
	content := []byte("x")
	f := describe(name, content)
	_, stranger := newKey(t, "")
	host := knownhosts.Normalize(s.Addr)
	mine, other := s.HostKeys[0], s.HostKeys[1]
	for kind, c := range map[string]struct {
		line  string
		class string
	}{
		"plain":             {host + " " + mine, ""},
		"hashed":            {knownhosts.HashHostname(host) + " " + mine, ""},
		"by its second key": {host + " " + other, ""},
		"among others":      {host + " " + stranger + "\n" + host + " " + mine, ""},
		"empty":             {"", delivery.ClassHostKey},
		"another host":      {"elsewhere " + mine, delivery.ClassHostKey},
		"another port":      {"127.0.0.1 " + mine, delivery.ClassHostKey},
		"a wrong key":       {host + " " + stranger, delivery.ClassHostKey},
		"hashed, wrong key": {knownhosts.HashHostname(host) + " " + stranger, delivery.ClassHostKey},
		"revoked":           {"@revoked * " + mine + "\n" + host + " " + mine, delivery.ClassHostKey},
		"an authority":      {"@cert-authority " + host + " " + stranger, delivery.ClassHostKey},
		"of another kind":   {host + " " + otherKind(t), delivery.ClassHostKey},
	} {
		t.Run(kind, func(t *testing.T) {
			d := at(s)
			d.KnownHosts = filepath.Join(t.TempDir(), "known_hosts")
			write(t, filepath.Dir(d.KnownHosts), "known_hosts", []byte(c.line+"\n"))
			made, err := New(delivery.FileDestination{SFTP: d, Timeout: 10 * time.Second}, keep(f.ID, content), wire.Dialer{Log: slog.New(slog.DiscardHandler)})
			if err != nil {
				t.Fatal(err)
			}
			outcome := delivery.OutcomeOK
			if c.class != "" {
				outcome = delivery.OutcomePermanent
			}
			expect(t, made.Send(t.Context(), request(f, 1)), outcome, c.class)
			if c.class != "" {
				holds(t, s.Dir, nil)
				return
			}
			if err := os.Remove(filepath.Join(s.Dir, name)); err != nil {
				t.Error(err)
			}
		})
	}
	d := at(s)
	loopback := wire.Network{Deny: []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8")}}
	barred, err := New(delivery.FileDestination{SFTP: d}, keep(f.ID, content), wire.Dialer{Network: loopback, Log: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	expect(t, barred.Send(t.Context(), request(f, 1)), delivery.OutcomePermanent, delivery.ClassBlockedAddress)
}

func TestKeys(t *testing.T) {
	s := services.StartSSHD(t)
	content := []byte("x")
	f := describe(name, content)
	locked, public := newKey(t, "open sesame")
	authorized, err := os.OpenFile(filepath.Join(filepath.Dir(s.Key), "authorized_keys"), os.O_APPEND|os.O_WRONLY, 0)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := authorized.WriteString(public + "\n"); err != nil {
		t.Fatal(err)
	}
	_ = authorized.Close()
	d := at(s)
	d.Key, d.Passphrase = locked, "open sesame"
	expect(t, newSender(t, delivery.FileDestination{SFTP: d}, keep(f.ID, content)).Send(t.Context(), request(f, 1)), delivery.OutcomeOK, "")
	unauthorized, _ := newKey(t, "")
	d.Key, d.Passphrase = unauthorized, ""
	expect(t, newSender(t, delivery.FileDestination{SFTP: d}, keep(f.ID, content)).Send(t.Context(), request(f, 1)), delivery.OutcomePermanent, delivery.ClassRefused)
	nothing := filepath.Join(t.TempDir(), "nothing")
	write(t, filepath.Dir(nothing), "nothing", []byte("hunter2"))
	for wrong, say := range map[*delivery.SFTPServer]string{
		{Addr: s.Addr, User: "u", KnownHosts: s.KnownHosts, Key: locked}:                        "needs its passphrase",
		{Addr: s.Addr, User: "u", KnownHosts: s.KnownHosts, Key: locked, Passphrase: "hunter2"}: "does not open",
		{Addr: s.Addr, User: "u", KnownHosts: s.KnownHosts, Key: nothing}:                       "no private key",
		{Addr: s.Addr, User: "u", KnownHosts: s.KnownHosts, Key: nothing + "2"}:                 "no such file",
		{Addr: s.Addr, User: "u", KnownHosts: nothing + "2", Password: "p"}:                     "known_hosts",
		{Addr: s.Addr, User: "u", Password: "p"}:                                                "known_hosts",
		{Addr: s.Addr, User: "u", KnownHosts: s.KnownHosts}:                                     "a key or a password",
	} {
		if _, err := New(delivery.FileDestination{SFTP: wrong}, keep("", nil), wire.Dialer{}); err == nil || !strings.Contains(err.Error(), say) || strings.Contains(err.Error(), "hunter2") {
			t.Errorf("want %q: %v", say, err)
		}
	}
}

// goServer is another make of server: its plain rename replaces files, and it takes passwords without a system's accounts.
func goServer(t *testing.T, config *ssh.ServerConfig) *delivery.SFTPServer {
	t.Helper()
	key, public := newKey(t, "")
	raw, err := os.ReadFile(key)
	if err != nil {
		t.Fatal(err)
	}
	signer, err := ssh.ParsePrivateKey(raw)
	if err != nil {
		t.Fatal(err)
	}
	config.AddHostKey(signer)
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	var group sync.WaitGroup
	group.Go(func() {
		for {
			conn, err := listener.Accept()
			if err != nil {
				return
			}
			group.Go(func() { serve(conn, config) })
		}
	})
	t.Cleanup(func() { _ = listener.Close(); group.Wait() })
	known := filepath.Join(t.TempDir(), "known_hosts")
	write(t, filepath.Dir(known), "known_hosts", []byte(knownhosts.Normalize(listener.Addr().String())+" "+public+"\n"))
	return &delivery.SFTPServer{Addr: listener.Addr().String(), Path: t.TempDir(), User: "ann", Password: "s3cret", KnownHosts: known}
}

func serve(conn net.Conn, config *ssh.ServerConfig) {
	defer conn.Close()
	_, channels, requests, err := ssh.NewServerConn(conn, config)
	if err != nil {
		return
	}
	go ssh.DiscardRequests(requests)
	for offered := range channels {
		channel, wishes, err := offered.Accept()
		if err != nil {
			return
		}
		go func() {
			for wish := range wishes {
				_ = wish.Reply(wish.Type == "subsystem", nil)
			}
		}()
		if server, err := sftp.NewServer(channel); err == nil {
			_ = server.Serve()
		}
		_ = channel.Close()
	}
}

func TestPasswords(t *testing.T) {
	content := []byte("x")
	f := describe(name, content)
	is := func(password string) error {
		if password != "s3cret" {
			return errors.New("wrong")
		}
		return nil
	}
	for kind, config := range map[string]*ssh.ServerConfig{
		"password": {PasswordCallback: func(_ ssh.ConnMetadata, password []byte) (*ssh.Permissions, error) { return nil, is(string(password)) }},
		"dialogue": {KeyboardInteractiveCallback: func(_ ssh.ConnMetadata, ask ssh.KeyboardInteractiveChallenge) (*ssh.Permissions, error) {
			answers, err := ask("", "", []string{"Name: ", "Password: "}, []bool{true, false})
			if err != nil || len(answers) != 2 || answers[0] != "" {
				return nil, errors.New("no answers")
			}
			return nil, is(answers[1])
		}},
	} {
		t.Run(kind, func(t *testing.T) {
			d := goServer(t, config)
			expect(t, newSender(t, delivery.FileDestination{SFTP: d}, keep(f.ID, content)).Send(t.Context(), request(f, 1)), delivery.OutcomeOK, "")
			holds(t, d.Path, map[string][]byte{name: content})
			wrong := *d
			wrong.Password = "other"
			expect(t, newSender(t, delivery.FileDestination{SFTP: &wrong}, keep(f.ID, content)).Send(t.Context(), request(f, 1)), delivery.OutcomePermanent, delivery.ClassRefused)
		})
	}
}

// A server whose plain rename replaces files gets a link where it can make one, and is asked before where it cannot.
func TestServersWhoseRenameReplaces(t *testing.T) {
	content := noise(1000)
	f := describe(name, content)
	for kind, extensions := range map[string][]string{"with links": {"hardlink@openssh.com", "posix-rename@openssh.com"}, "with nothing": {"posix-rename@openssh.com"}} {
		t.Run(kind, func(t *testing.T) {
			if err := sftp.SetSFTPExtensions(extensions...); err != nil {
				t.Fatal(err)
			}
			t.Cleanup(func() {
				_ = sftp.SetSFTPExtensions("statvfs@openssh.com", "hardlink@openssh.com", "posix-rename@openssh.com")
			})
			d := goServer(t, &ssh.ServerConfig{NoClientAuth: true})
			files := keep(f.ID, content)
			s := newSender(t, delivery.FileDestination{SFTP: d}, files)
			expect(t, s.Send(t.Context(), request(f, 1)), delivery.OutcomeOK, "")
			expect(t, s.Send(t.Context(), request(f, 2)), delivery.OutcomeOK, "")
			holds(t, d.Path, map[string][]byte{name: content})
			if err := os.Remove(filepath.Join(d.Path, name)); err != nil {
				t.Fatal(err)
			}
			files.reads = func() { write(t, d.Path, name, []byte("somebody else's")) } // after the first look
			expect(t, s.Send(t.Context(), request(f, 3)), delivery.OutcomePermanent, delivery.ClassFileExists)
			holds(t, d.Path, map[string][]byte{name: []byte("somebody else's")})
		})
	}
}

func TestServersThatDoNotWork(t *testing.T) {
	content := []byte("x")
	f := describe(name, content)
	s := services.StartSSHD(t)
	for path, want := range map[string]delivery.Result{s.Dir + "/missing": transient(delivery.ClassNotFound, ""), s.Key: transient(delivery.ClassNotFound, ""),
		"/sys/kernel": permanent(delivery.ClassDenied, "")} { // where nobody creates a file
		if _, err := os.Stat("/sys/kernel"); err != nil && path == "/sys/kernel" {
			path = "/System" // macOS: read-only
		}
		d := at(s)
		d.Path = path
		got := newSender(t, delivery.FileDestination{SFTP: d}, keep(f.ID, content)).Send(t.Context(), request(f, 1))
		expect(t, got, want.Outcome, want.ErrorClass)
		status := map[string]string{s.Dir + "/missing": "SSH_FX_NO_SUCH_FILE", s.Key: "no directory", "/sys/kernel": "SSH_FX_PERMISSION_DENIED", "/System": "SSH_FX_"}[path]
		if !strings.Contains(got.Error, status) || !strings.HasSuffix(got.Error, " at "+path+")") || strings.Contains(got.Error, f.Name) {
			t.Errorf("%s: %q", path, got.Error)
		}
	}
	if failed := judge(t.Context(), &sftp.StatusError{Code: 4}); !strings.Contains(failed.Words, "SSH_FX_FAILURE") || failed.Error != "the file could not be written" {
		t.Errorf("a status that says nothing else: %q: %q", failed.Error, failed.Words)
	}
	without := services.StartSSHD(t, "ForceCommand /bin/false")
	expect(t, newSender(t, delivery.FileDestination{SFTP: at(without)}, keep(f.ID, content)).Send(t.Context(), request(f, 1)), delivery.OutcomeTransient, delivery.ClassConnect)
	d := at(s)
	d.Addr = "nowhere.invalid:22"
	write(t, filepath.Dir(s.KnownHosts), "known_hosts", []byte("nowhere.invalid "+s.HostKeys[0]+"\n"))
	expect(t, newSender(t, delivery.FileDestination{SFTP: d}, keep(f.ID, content)).Send(t.Context(), request(f, 1)), delivery.OutcomeTransient, delivery.ClassDNS)
}

// through leads a destination's connections through a proxy, under a name that known_hosts has for the same key.
func through(t *testing.T, s *services.SSHD) (*services.Proxy, *delivery.SFTPServer) {
	t.Helper()
	p := services.StartProxy(t, s.Addr)
	d := at(s)
	d.Addr, d.KnownHosts = p.Addr, filepath.Join(t.TempDir(), "known_hosts")
	write(t, filepath.Dir(d.KnownHosts), "known_hosts", []byte(knownhosts.Normalize(p.Addr)+" "+s.HostKeys[0]+"\n"))
	return p, d
}

// The connection breaks after so many bytes, either way, all over the transfer and densely at its end: what has the final name
// is complete at every moment, and the next attempt leaves exactly one file and its manifest.
func TestConnectionsThatBreak(t *testing.T) {
	s := services.StartSSHD(t)
	content := noise(20_000)
	f := describe(name, content)
	want := map[string][]byte{name: content, name + manifestSuffix: manifestOf(f)}
	direct := newSender(t, delivery.FileDestination{SFTP: at(s), Manifest: true}, keep(f.ID, content))
	for _, stream := range []string{services.Upstream, services.Downstream} {
		t.Run(stream, func(t *testing.T) {
			p, d := through(t, s)
			cut := newSender(t, delivery.FileDestination{SFTP: d, Manifest: true}, keep(f.ID, content))
			attempt := func(after int) delivery.Result {
				p.Heal()
				p.CutAfter(stream, after)
				result := cut.Send(t.Context(), request(f, 1))
				nothingTorn(t, s.Dir, want, stream)
				expect(t, direct.Send(t.Context(), request(f, 2)), delivery.OutcomeOK, "")
				holds(t, s.Dir, want)
				for found := range want {
					_ = os.Remove(filepath.Join(s.Dir, found))
				}
				return result
			}
			broken, whole := 0, 40_000
			for whole-broken > 160 {
				if middle := (broken + whole) / 2; attempt(middle).Outcome == delivery.OutcomeOK {
					whole = middle
				} else {
					broken = middle
				}
			}
			for n := range 10 {
				result := attempt(broken - n*140)
				if result.Outcome != delivery.OutcomeOK && (result.Outcome != delivery.OutcomeTransient || result.ErrorClass != delivery.ClassConnectionLost && result.ErrorClass != delivery.ClassConnect) {
					t.Errorf("%+v", result)
				}
			}
		})
	}
}

// hooked runs something after a file got its name.
type hooked struct {
	folder
	named func()
}

func (h *hooked) publish(temporary, name string) error {
	err := h.folder.publish(temporary, name)
	h.named()
	return err
}

func TestTheAnswerToTheLastStepIsLost(t *testing.T) {
	s := services.StartSSHD(t)
	content := noise(10_000)
	f := describe(name, content)
	for kind, c := range map[string]struct {
		fault          func(*services.Proxy)
		outcome, class string
	}{
		"and the server is there":  {func(p *services.Proxy) { p.Cut(); p.Heal() }, "ok", ""},
		"and the server is gone":   {(*services.Proxy).Cut, "transient", delivery.ClassConnectionLost},
		"and nothing comes back":   {(*services.Proxy).LoseAnswers, "transient", delivery.ClassTimeout},
		"and the line falls still": {(*services.Proxy).Silence, "transient", delivery.ClassTimeout},
	} {
		t.Run(kind, func(t *testing.T) {
			p, d := through(t, s)
			sender := newSender(t, delivery.FileDestination{SFTP: d, Timeout: time.Second}, keep(f.ID, content)).(*Sender)
			open := sender.open
			var once sync.Once
			sender.open = func(ctx context.Context) (folder, error) {
				place, err := open(ctx)
				if err != nil {
					return nil, err
				}
				return &hooked{place, func() { once.Do(func() { c.fault(p) }) }}, nil
			}
			began := time.Now()
			expect(t, sender.Send(t.Context(), request(f, 1)), delivery.Outcome(c.outcome), c.class)
			if took := time.Since(began); took > patience.Prompt {
				t.Errorf("took %s", took)
			}
			p.Heal()
			expect(t, sender.Send(t.Context(), request(f, 2)), delivery.OutcomeOK, "")
			holds(t, s.Dir, map[string][]byte{name: content})
			_ = os.Remove(filepath.Join(s.Dir, name))
		})
	}
}

func TestASilentServerIsGivenUp(t *testing.T) {
	aliveEvery = 200 * time.Millisecond
	defer func() { aliveEvery = 15 * time.Second }()
	s := services.StartSSHD(t)
	p, d := through(t, s)
	content := noise(500_000)
	f := describe(name, content)
	files := keep(f.ID, content)
	var once sync.Once
	files.reads = func() { once.Do(p.Silence) }
	began := time.Now()
	expect(t, newSender(t, delivery.FileDestination{SFTP: d, Timeout: time.Minute}, files).Send(t.Context(), request(f, 1)), delivery.OutcomeTransient, delivery.ClassConnectionLost)
	if took := time.Since(began); took > patience.Prompt {
		t.Errorf("took %s", took)
	}
	deaf, err := net.Listen("tcp", "127.0.0.1:0") // takes connections and never introduces itself
	if err != nil {
		t.Fatal(err)
	}
	defer deaf.Close()
	d = at(s)
	d.Addr = deaf.Addr().String()
	write(t, filepath.Dir(s.KnownHosts), "known_hosts", []byte(knownhosts.Normalize(d.Addr)+" "+s.HostKeys[0]+"\n"))
	expect(t, newSender(t, delivery.FileDestination{SFTP: d, Timeout: 300 * time.Millisecond}, files).Send(t.Context(), request(f, 1)), delivery.OutcomeTransient, delivery.ClassConnect)
}
