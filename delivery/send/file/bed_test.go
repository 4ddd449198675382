package filesend

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"io"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"redrive/delivery"
	"redrive/delivery/wire"
	"redrive/store/storetest/services"
)

func TestMain(m *testing.M) {
	if job := os.Getenv(helperVariable); job != "" {
		help(job)
		return
	}
	services.Main(m)
}

// kept is the store of files' bytes.
type kept struct {
	mu    sync.Mutex
	files map[string][]byte
	reads func() // called before each read
}

func keep(id string, content []byte) *kept { return &kept{files: map[string][]byte{id: content}} }

func (k *kept) put(id string, content []byte) {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.files[id] = content
}

// Open returns small pieces, as a database would.
func (k *kept) Open(_ context.Context, id string) (io.ReadCloser, error) {
	k.mu.Lock()
	defer k.mu.Unlock()
	content, ok := k.files[id]
	if !ok {
		return nil, fs.ErrNotExist
	}
	return io.NopCloser(&pieces{Reader: bytes.NewReader(content), before: k.reads}), nil
}

type pieces struct {
	io.Reader
	before func()
}

func (p *pieces) Read(b []byte) (int, error) {
	if p.before != nil {
		p.before()
	}
	return p.Reader.Read(b[:min(len(b), 50_000)])
}

// describe is the batch file of some bytes.
func describe(name string, content []byte) delivery.BatchFile {
	sum := sha256.Sum256(content)
	return delivery.BatchFile{ID: "id-" + name, Name: name, Integration: "points", BusinessDate: "2026-11-25", Sequence: 7, Rows: 3,
		Bytes: int64(len(content)), SHA256: hex.EncodeToString(sum[:]), Control: "12.50", Previous: strings.Repeat("0", 64),
		CreatedAt: time.Date(2026, 11, 25, 3, 0, 0, 0, time.UTC)}
}

func request(f delivery.BatchFile, attempt int) delivery.Request {
	payload, err := json.Marshal(f)
	if err != nil {
		panic(err)
	}
	return delivery.Request{DeliveryID: "01920000-0000-7000-8000-0000000000d1", IdempotencyKey: "key-" + f.Name, Integration: "points", Attempt: attempt,
		Message: delivery.Message{ID: "m", Payload: payload}}
}

func newSender(t testing.TB, d delivery.FileDestination, files Files) delivery.Sender {
	t.Helper()
	if d.Timeout == 0 {
		d.Timeout = 20 * time.Second
	}
	s, err := New(d, files, wire.Dialer{Log: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = s.Close() })
	return s
}

func expect(t testing.TB, got delivery.Result, outcome delivery.Outcome, class string) {
	t.Helper()
	if got.Outcome != outcome || got.ErrorClass != class {
		t.Errorf("got %s %q %q, want %s %q", got.Outcome, got.ErrorClass, got.Error, outcome, class)
	}
}

// everywhere runs a test on a directory and on one of a server; dir is what the destination writes to.
func everywhere(t *testing.T, test func(t *testing.T, d delivery.FileDestination, dir string)) {
	t.Run("directory", func(t *testing.T) {
		dir := t.TempDir()
		test(t, delivery.FileDestination{Dir: dir}, dir)
	})
	t.Run("sftp", func(t *testing.T) {
		s := services.StartSSHD(t)
		test(t, delivery.FileDestination{SFTP: at(s)}, s.Dir)
	})
}

func at(s *services.SSHD) *delivery.SFTPServer {
	return &delivery.SFTPServer{Addr: s.Addr, Path: s.Dir, User: s.User, Key: s.Key, KnownHosts: s.KnownHosts}
}

// names lists everything in a directory, hidden files too.
func names(t testing.TB, dir string) []string {
	t.Helper()
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	found := make([]string, len(entries))
	for n, e := range entries {
		found[n] = e.Name()
	}
	return found
}

// holds compares a directory with what shall be in it.
func holds(t testing.TB, dir string, want map[string][]byte) {
	t.Helper()
	found := names(t, dir)
	for _, name := range found {
		if _, ok := want[name]; !ok {
			t.Errorf("%s should not be there", name)
		}
	}
	for name, content := range want {
		if got := read(t, dir, name); !slices.Contains(found, name) || !bytes.Equal(got, content) {
			t.Errorf("%s has %d bytes, or others than the %d that were sent", name, len(got), len(content))
		}
	}
}

func read(t testing.TB, dir, name string) []byte {
	t.Helper()
	content, err := os.ReadFile(filepath.Join(dir, name))
	if err != nil {
		t.Error(err)
	}
	return content
}

func write(t testing.TB, dir, name string, content []byte) {
	t.Helper()
	if err := os.WriteFile(filepath.Join(dir, name), content, 0o600); err != nil {
		t.Fatal(err)
	}
}

func manifestOf(f delivery.BatchFile) []byte {
	source, err := manifest(f).open(context.Background())
	if err != nil {
		panic(err)
	}
	raw, err := io.ReadAll(source)
	if err != nil {
		panic(err)
	}
	return raw
}

func noise(n int) []byte {
	content := make([]byte, n)
	for i := range content {
		content[i] = byte(i * 7 >> (i % 11))
	}
	return content
}
