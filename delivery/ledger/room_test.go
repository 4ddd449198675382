package ledger_test

import (
	"bufio"
	"context"
	"crypto/ed25519"
	"crypto/sha256"
	"encoding/base64"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"golang.org/x/mod/sumdb/tlog"

	"redrive/delivery"
	"redrive/delivery/ledger"
	"redrive/delivery/seal"
	"redrive/store"
	"redrive/store/storetest"
	"redrive/store/storetest/patience"
)

func TestMain(m *testing.M) { storetest.Main(m) }

// witness is a witness by its protocol: it cosigns what continues what it saw.
type witness struct {
	name string
	key  ed25519.PrivateKey
	logs ledger.Keys

	mu    sync.Mutex
	saw   ledger.Checkpoint
	asked []string
}

func (w *witness) public() string {
	raw := append([]byte{4}, w.key.Public().(ed25519.PublicKey)...)
	sum := sha256.Sum256([]byte(w.name + "\n" + string(raw)))
	return fmt.Sprintf("%s+%08x+%s", w.name, binary.BigEndian.Uint32(sum[:]), base64.StdEncoding.EncodeToString(raw))
}

func (w *witness) ServeHTTP(out http.ResponseWriter, r *http.Request) {
	w.mu.Lock()
	defer w.mu.Unlock()
	raw, _ := io.ReadAll(r.Body)
	head, note, _ := strings.Cut(string(raw), "\n\n")
	lines := strings.Split(head, "\n")
	old, err := strconv.ParseInt(strings.TrimPrefix(lines[0], "old "), 10, 64)
	c, unsigned := ledger.Open(note, w.logs)
	w.asked = append(w.asked, fmt.Sprintf("%s %s", r.URL.Path, lines[0]))
	switch {
	case err != nil || unsigned != nil:
		http.Error(out, "", http.StatusForbidden)
		return
	case old != w.saw.Size:
		out.Header().Set("Content-Type", "text/x.tlog.size")
		out.WriteHeader(http.StatusConflict)
		fmt.Fprintln(out, w.saw.Size)
		return
	}
	var proof tlog.TreeProof
	for _, line := range lines[1:] {
		h, _ := tlog.ParseHash(line)
		proof = append(proof, h)
	}
	if old > 0 && tlog.CheckTree(proof, c.Size, c.Root, old, w.saw.Root) != nil {
		http.Error(out, "", http.StatusUnprocessableEntity)
		return
	}
	w.saw = c
	const now = 1700000000
	sig := binary.BigEndian.AppendUint64(nil, now)
	sig = append(sig, ed25519.Sign(w.key, fmt.Appendf(nil, "cosignature/v1\ntime %d\n%s", now, c.Text()))...)
	id, _ := strconv.ParseUint(strings.Split(w.public(), "+")[1], 16, 32)
	fmt.Fprintf(out, "\u2014 %s %s\n", w.name, base64.StdEncoding.EncodeToString(append(binary.BigEndian.AppendUint32(nil, uint32(id)), sig...)))
}

// switchable refuses while it is down.
type switchable struct {
	mu   sync.Mutex
	down bool
	got  []string
}

func (s *switchable) ServeHTTP(out http.ResponseWriter, r *http.Request) {
	s.mu.Lock()
	defer s.mu.Unlock()
	raw, _ := io.ReadAll(r.Body)
	if s.down {
		http.Error(out, "", http.StatusServiceUnavailable)
		return
	}
	s.got = append(s.got, string(raw))
}

func (s *switchable) set(down bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.down = down
}

func (s *switchable) text() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return strings.Join(s.got, "")
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// messages reads syslog messages with their octets counted until the sender closes.
func messages(t *testing.T, l net.Listener, got chan<- string) {
	for {
		conn, err := l.Accept()
		if err != nil {
			return
		}
		r := bufio.NewReader(conn)
		for {
			size, err := r.ReadString(' ')
			if err != nil {
				break
			}
			n, err := strconv.Atoi(strings.TrimSpace(size))
			text := make([]byte, n)
			if _, again := io.ReadFull(r, text); err != nil || again != nil {
				t.Errorf("a message of %q octets: %v %v", size, err, again)
				break
			}
			got <- string(text)
		}
		_ = conn.Close()
	}
}

// Checkpoints go to file, log, webhook and witness, entries to collectors: each in order and once where the place says what it has, and from where
// it was after it failed, whoever leads meanwhile.
func TestTheAuditGoesOutside(t *testing.T) {
	db, err := store.Open(t.Context(), storetest.New(t), slog.New(slog.DiscardHandler))
	must(t, err)
	t.Cleanup(db.Close)
	db.UseKeys(seal.Of(seal.New()))
	db.UseOrigin("example.com/redrive")
	_, err = db.Checkpoint(t.Context())
	must(t, err)
	keys, err := db.AuditKeys(t.Context())
	must(t, err)
	logs, err := ledger.ParseKeys(keys[0].Public)
	must(t, err)
	w := &witness{name: "witness.example.com/w1", key: ed25519.NewKeyFromSeed(make([]byte, 32)), logs: logs}
	watched, err := ledger.ParseKeys(w.public())
	must(t, err)
	hook, collector := &switchable{down: true}, &switchable{down: true}
	serve := func(h http.Handler) string { s := httptest.NewServer(h); t.Cleanup(s.Close); return s.URL }
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	must(t, err)
	t.Cleanup(func() { _ = listener.Close() })
	syslog := make(chan string, 1000)
	go messages(t, listener, syslog)
	means := ledger.Means{Dial: (&net.Dialer{}).DialContext, Client: http.DefaultClient}
	toSyslog, err := ledger.ParseShipper("syslog+tcp://"+listener.Addr().String(), means)
	must(t, err)
	toCollector, err := ledger.ParseShipper(serve(collector)+"/in?token=secret", means)
	must(t, err)
	path := filepath.Join(t.TempDir(), "checkpoints")
	outside := func() ledger.Config {
		return ledger.Config{Store: db, Every: 20 * time.Millisecond, Poll: 20 * time.Millisecond, Log: slog.New(slog.DiscardHandler),
			Lead: func(ctx context.Context, work func(context.Context, struct{}) error, failed func(error)) error {
				return db.Lead(ctx, "audit", func(ctx context.Context, _ *store.Leader) error { return work(ctx, struct{}{}) }, failed)
			},
			Outlets: []ledger.Outlet{ledger.File{Path: path}, ledger.Webhook{URL: serve(hook), Client: http.DefaultClient},
				ledger.Witness{URL: serve(w), Key: watched[0], Client: http.DefaultClient, Store: db}},
			Shippers: []ledger.Shipper{toSyslog, toCollector}}
	}
	run := func() (stop func()) {
		ctx, cancel := context.WithCancel(t.Context())
		ended := make(chan error, 1)
		go func() { ended <- ledger.New(outside()).Run(ctx, ctx) }()
		var once sync.Once
		stop = func() {
			once.Do(func() {
				cancel()
				must(t, <-ended)
			})
		}
		t.Cleanup(stop)
		return stop
	}
	record := func(n int) {
		for range n {
			must(t, db.Record(t.Context(), delivery.AuditEntry{Actor: "ann", Action: "test", SubjectType: "test", Reason: "한글"}))
		}
	}
	place := func(name string) (found ledger.Place) {
		list, err := db.Places(t.Context())
		must(t, err)
		for _, p := range list {
			if p.Name == name {
				found = p
			}
		}
		return found
	}
	stop := run()
	record(3)
	patience.Until(t, "the others go on", func() bool { return place("file").Size == 4 && place("syslog").Size == 4 && place(w.name).Size == 0 })
	patience.Until(t, "what fails says so", func() bool {
		return place("webhook").Error == "it answers 503" && place("collector").Error == "it answers 503"
	})
	stop()
	w.mu.Lock()
	w.saw = ledger.Checkpoint{} // it lost its memory: what it says counts
	w.mu.Unlock()
	hook.set(false)
	collector.set(false)
	record(2)
	run()
	patience.Until(t, "everything is outside", func() bool {
		for _, name := range []string{"file", "webhook", "witness " + w.name, "syslog", "collector"} {
			if p := place(name); p.Size != 6 || p.Error != "" || p.Since != nil {
				return false
			}
		}
		return true
	})
	signed, err := db.LastCheckpoint(t.Context())
	must(t, err)
	if _, err := ledger.Open(signed, logs); err != nil {
		t.Error(err)
	}
	if _, err := ledger.Open(signed, watched); err != nil {
		t.Errorf("not cosigned: %v\n%s", err, signed)
	}
	raw, err := os.ReadFile(path)
	must(t, err)
	if own, _, _ := strings.Cut(signed, "\u2014 witness"); !strings.HasSuffix(string(raw), own+"\n") || !strings.HasSuffix(hook.text(), own) {
		t.Errorf("file %s\nwebhook %s\nwant %s", raw, hook.text(), own)
	}
	entries, err := db.EntriesAfter(t.Context(), 0, 100)
	must(t, err)
	for i, e := range entries {
		text := <-syslog
		line := strings.TrimSpace(string(ledger.Line(e)))
		if !strings.HasPrefix(text, "<110>1 "+e.At.UTC().Format("2006-01-02T15:04:05.000000Z")+" ") || !strings.HasSuffix(text, " redrive "+strconv.Itoa(os.Getpid())+" audit - "+line) {
			t.Errorf("message %d: %s", i, text)
		}
		if strings.Count(collector.text(), line) != 1 {
			t.Errorf("the collector has %d times %s", strings.Count(collector.text(), line), line)
		}
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	if !strings.Contains(strings.Join(w.asked, ","), "/add-checkpoint old 0") || len(syslog) != 0 {
		t.Errorf("%v, %d messages more", w.asked, len(syslog))
	}
}

// A witness that saw more than there is does not cosign, and the place says that the audit was rolled back.
func TestAWitnessConvictsARollBack(t *testing.T) {
	server := httptest.NewServer(http.HandlerFunc(func(out http.ResponseWriter, _ *http.Request) {
		out.Header().Set("Content-Type", "text/x.tlog.size")
		out.WriteHeader(http.StatusConflict)
		fmt.Fprintln(out, 12)
	}))
	t.Cleanup(server.Close)
	private, _, err := ledger.NewKey("example.com/redrive")
	must(t, err)
	tree := &ledger.Tree{}
	for n := range 10 {
		tree.Append(ledger.Leaf([]byte{byte(n)}))
	}
	root, err := tree.Root(10)
	must(t, err)
	signed, err := ledger.Checkpoint{Origin: "example.com/redrive", Size: 10, Root: root}.Sign(private)
	must(t, err)
	w := &witness{name: "w", key: ed25519.NewKeyFromSeed(make([]byte, 32))}
	keys, err := ledger.ParseKeys(w.public())
	must(t, err)
	err = ledger.Witness{URL: server.URL, Key: keys[0], Client: http.DefaultClient, Store: nowhere{}}.Publish(t.Context(), signed, 0)
	if err == nil || !strings.Contains(err.Error(), "rolled back") {
		t.Error(err)
	}
}

// nowhere proves consistency from nothing.
type nowhere struct{ ledger.Store }

func (nowhere) Consistency(_ context.Context, old, _ int64) ([]tlog.Hash, error) {
	if old > 0 {
		return nil, errors.New("there is nothing")
	}
	return nil, nil
}

// What is no checkpoint, proof, key or address is refused.
func TestWhatIsNoneIsRefused(t *testing.T) {
	for _, text := range []string{"", "a\n", "a\n1\nx\n", "a\n01\n" + tlog.Hash{}.String() + "\n", "\n1\n" + tlog.Hash{}.String() + "\n", "a\n-1\n" + tlog.Hash{}.String() + "\n"} {
		if c, err := ledger.ParseCheckpoint(text); err == nil {
			t.Errorf("%q is %+v", text, c)
		}
	}
	for _, text := range []string{"", "c2sp.org/tlog-proof@v1\n\n", "c2sp.org/tlog-proof@v1\nindex x\n\nnote", "c2sp.org/tlog-proof@v1\nextra !\nindex 1\n\nnote", "c2sp.org/tlog-proof@v1\nindex 1\nx\n\nnote"} {
		if _, err := ledger.ParseProof(text); err == nil {
			t.Errorf("%q is a proof", text)
		}
	}
	w := &witness{name: "w", key: ed25519.NewKeyFromSeed(make([]byte, 32))}
	for _, text := range []string{"", "w", "w+00000000+AQ==", "v" + w.public()[1:]} {
		if _, err := ledger.ParseKeys(text); err == nil {
			t.Errorf("%q is a key", text)
		}
	}
	for _, text := range []string{"", "logs.example.com:514", "syslog+tcp://logs.example.com", "syslog+udp://a:1", "syslog+tls://a:1/path", "file:///etc/passwd"} {
		if _, err := ledger.ParseShipper(text, ledger.Means{}); err == nil {
			t.Errorf("%q is an address", text)
		}
	}
}
