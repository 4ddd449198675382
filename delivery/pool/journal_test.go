package pool

import (
	"bytes"
	"context"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"

	"redrive/delivery"
)

// entry number n of a journal.
// numbered has a payload, an empty one, or none.
func numbered(n int) record {
	payload := [][]byte{{0, 255, byte(n)}, {}, nil}[n%3]
	return record{Due: time.Now().Add(time.Hour).Truncate(time.Second), Parked: delivery.Parked{DeliveryID: fmt.Sprintf("00000000-0000-7000-8000-%012d", n), Integration: "push",
		Next: delivery.StatePending, Message: delivery.Message{ID: fmt.Sprintf("00000000-0000-7000-9000-%012d", n), Type: "t", Payload: payload,
			Headers: map[string]string{"a": "b"}}}}
}

func open(t *testing.T, dir string) *journal {
	t.Helper()
	j, err := openJournal(dir, 1<<20)
	if err != nil {
		t.Fatal(err)
	}
	return j
}

// segments writes a journal of n records, one append each, and returns its only file.
func segments(t *testing.T, dir string, n int) string {
	t.Helper()
	j := open(t, dir)
	for i := range n {
		if err := j.append([]record{numbered(i)}); err != nil {
			t.Fatal(err)
		}
	}
	if err := j.close(); err != nil {
		t.Fatal(err)
	}
	names, err := filepath.Glob(filepath.Join(dir, "*"+segmentSuffix))
	if err != nil || len(names) != 1 {
		t.Fatal(names, err)
	}
	return names[0]
}

// recover starts a pool on the directory, waits until the journal is imported, and returns what the store got.
func imported(t *testing.T, dir string, want int, log *slog.Logger) (r *rig) {
	t.Helper()
	r = start(t, always(ok), integration(1, 1, ""), func(c *Config) {
		if c.Dir = dir; log != nil {
			c.Log = log
		}
	})
	for range want {
		r.store.next(t)
	}
	until(t, "nothing left to import", func() bool {
		names, _ := filepath.Glob(filepath.Join(dir, "*"+segmentSuffix))
		return len(names) == 1 // its own
	})
	if err := r.stop(); err != nil {
		t.Fatal(err)
	}
	return r
}

func TestAJournalIsImportedAtTheNextStart(t *testing.T) {
	dir := t.TempDir()
	path := segments(t, dir, 5)
	if info, err := os.Stat(path); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("%v %v", info.Mode(), err)
	}
	r := imported(t, dir, 5, nil)
	for n, p := range r.store.all() {
		if want := numbered(n).Parked; p.DeliveryID != want.DeliveryID || !bytes.Equal(p.Message.Payload, want.Message.Payload) ||
			(p.Message.Payload == nil) != (want.Message.Payload == nil) || p.Message.Headers["a"] != "b" ||
			p.RetryIn < 58*time.Minute || p.Next != delivery.StatePending {
			t.Errorf("%d: %+v", n, p)
		}
	}
	if left, _ := os.ReadDir(dir); len(left) != 0 {
		t.Errorf("%v is left", left)
	}
}

// The process dies between the store's commit and the removal of the file: the import happens again and changes nothing.
func TestACrashBetweenCommitAndRemovalIsHarmless(t *testing.T) {
	dir := t.TempDir()
	path := segments(t, dir, 5)
	raw, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	first := imported(t, dir, 5, nil)
	if err := os.WriteFile(path, raw, 0o600); err != nil {
		t.Fatal(err)
	}
	second := start(t, always(ok), integration(1, 1, ""), func(c *Config) { c.Dir, c.Store = dir, first.store })
	until(t, "the file is gone again", func() bool { _, err := os.Stat(path); return os.IsNotExist(err) })
	if err := second.stop(); err != nil || len(first.store.all()) != 5 || first.store.again != 5 {
		t.Errorf("%v: %d messages, %d again", err, len(first.store.all()), first.store.again)
	}
}

// Wherever a crash cuts the last append off, the records before it are there and the loss is reported.
func TestATornTailIsRecognised(t *testing.T) {
	whole := t.TempDir()
	raw, err := os.ReadFile(segments(t, whole, 3))
	if err != nil {
		t.Fatal(err)
	}
	two, err := os.ReadFile(segments(t, t.TempDir(), 2))
	if err != nil {
		t.Fatal(err)
	}
	end := len(two)
	read := func(raw []byte) (n int, r *reader) {
		file, err := os.Create(filepath.Join(t.TempDir(), "x"))
		if err != nil {
			t.Fatal(err)
		}
		defer file.Close()
		if _, err := file.Write(raw); err != nil {
			t.Fatal(err)
		}
		r = newReader(&segment{file: file, written: int64(len(raw))})
		for {
			batch, err := r.next()
			if err != nil {
				t.Fatal(err)
			}
			if len(batch) == 0 {
				return n, r
			}
			n += len(batch)
		}
	}
	for cut := end + 1; cut < len(raw); cut++ {
		if n, r := read(raw[:cut]); n != 2 || r.torn != int64(cut-end) || r.skipped != 0 {
			t.Fatalf("cut at %d of %d: %d records, %d bytes torn, %d skipped", cut, len(raw), n, r.torn, r.skipped)
		}
	}
	if n, r := read(append(bytes.Clone(two), make([]byte, 100)...)); n != 2 || r.torn != 100 {
		t.Errorf("zeros at the end: %d records, %d torn", n, r.torn)
	}
	for at := len(segmentMagic) + recordHead; at < end/2; at++ { // one damaged record does not hide those behind it
		bad := bytes.Clone(raw)
		bad[at] ^= 1
		if n, r := read(bad); n != 2 || r.skipped != 1 || r.torn != 0 {
			t.Fatalf("damaged at %d: %d records, %d skipped, %d torn", at, n, r.skipped, r.torn)
		}
	}
	if n, r := read(nil); n != 0 || r.torn != 0 {
		t.Error("an empty file", n, r.torn)
	}
}

func TestADamagedJournalIsKeptAndReported(t *testing.T) {
	dir := t.TempDir()
	path := segments(t, dir, 3)
	info, err := os.Stat(path)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.Truncate(path, info.Size()-3); err != nil {
		t.Fatal(err)
	}
	var log lockedBuffer
	imported(t, dir, 2, slog.New(slog.NewTextHandler(&log, nil)))
	if _, err := os.Stat(path + ".damaged"); err != nil || !strings.Contains(log.String(), "was not whole") || !strings.Contains(log.String(), "torn_bytes_at_the_end") {
		t.Errorf("%v: %s", err, log.String())
	}
}

type lockedBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (l *lockedBuffer) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(p)
}

func (l *lockedBuffer) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.String()
}

func TestProcessesShareADirectory(t *testing.T) {
	dir := t.TempDir()
	alive, dead := open(t, dir), open(t, dir)
	for n, j := range []*journal{alive, dead} {
		if err := j.append([]record{numbered(n)}); err != nil {
			t.Fatal(err)
		}
	}
	if err := dead.close(); err != nil {
		t.Fatal(err)
	}
	r := start(t, always(ok), integration(1, 1, ""), func(c *Config) { c.Dir = dir })
	if p := r.store.next(t); p.DeliveryID != numbered(1).Parked.DeliveryID {
		t.Errorf("imported %+v", p)
	}
	until(t, "the dead one's file is gone", func() bool {
		names, _ := filepath.Glob(filepath.Join(dir, "*"+segmentSuffix))
		return len(names) == 2
	})
	if err := r.stop(); err != nil || len(r.store.all()) != 1 {
		t.Errorf("%v: the living process's records were taken: %d", err, len(r.store.all()))
	}
	if entries, _ := alive.stats(); entries != 1 {
		t.Errorf("%d entries", entries)
	}
	_ = alive.close()
}

func TestConcurrentAppendsAreAllThere(t *testing.T) {
	j := open(t, t.TempDir())
	var writers sync.WaitGroup
	for n := range 200 {
		writers.Go(func() {
			if err := j.append([]record{numbered(n)}); err != nil {
				t.Error(err)
			}
		})
	}
	writers.Wait()
	n, err := countRecords(j.active)
	if entries, size := j.stats(); err != nil || n != 200 || entries != 200 || size != j.active.synced || size != j.active.written {
		t.Errorf("%d records, %d entries, %d bytes, %d synced: %v", n, entries, size, j.active.synced, err)
	}
	_ = j.close()
}

func TestAnAppendWhoseSegmentIsImportedSucceeds(t *testing.T) {
	r := start(t, always(ok), integration(1, 1, ""))
	var writers sync.WaitGroup
	for n := range 8 {
		writers.Go(func() {
			for i := range 50 {
				if err := r.journal.append([]record{numbered(n*1000 + i)}); err != nil {
					t.Error(err)
				}
			}
		})
	}
	writers.Wait()
	for range 400 {
		r.store.next(t)
	}
	if err := r.stop(); err != nil {
		t.Fatal(err)
	}
}

func TestADiskThatTakesNothing(t *testing.T) {
	if _, err := New(Config{Integrations: []delivery.Integration{integration(1, 1, "")}, Attempts: always(ok), Store: newShelf(), Dir: "/dev/null/journal"}); err == nil {
		t.Error("a directory that cannot be made is no error")
	}
	if p, err := New(Config{Dir: "/dev/null/journal"}); err != nil || p.journal != nil {
		t.Errorf("without a pool integration nobody needs it: %v", err)
	}
	j := open(t, t.TempDir())
	full, err := os.OpenFile("/dev/full", os.O_RDWR, 0)
	if runtime.GOOS != "linux" { // no such device: a closed file takes nothing either
		full, err = os.Create(filepath.Join(t.TempDir(), "closed"))
		_ = full.Close()
	}
	if err != nil {
		t.Fatal(err)
	}
	own := j.active.file
	j.active.file = full
	if err := j.append([]record{numbered(1)}); err == nil || runtime.GOOS == "linux" && !strings.Contains(err.Error(), "no space left") {
		t.Errorf("a full disk: %v", err)
	}
	if err := j.append([]record{numbered(2)}); err != nil { // in a segment of its own
		t.Error(err)
	}
	if entries, _ := j.stats(); entries != 1 {
		t.Errorf("%d entries", entries)
	}
	_ = own.Close()
	_ = j.close()
}

// A message that the database refuses does not hold up the others.
func TestARefusedRecordIsPutAside(t *testing.T) {
	dir := t.TempDir()
	j := open(t, dir)
	bad := numbered(1)
	bad.Parked.Message.Type = "bad"
	if err := j.append([]record{numbered(0), bad, numbered(2)}); err != nil {
		t.Fatal(err)
	}
	path := j.active.path
	_ = j.close()
	shelf := newShelf()
	shelf.refuses["bad"] = true
	r := start(t, always(ok), integration(1, 1, ""), func(c *Config) { c.Dir, c.Store = dir, shelf })
	for range 2 {
		r.store.next(t)
	}
	until(t, "the file is gone", func() bool { _, err := os.Stat(path); return os.IsNotExist(err) })
	raw, err := os.ReadFile(path + ".refused")
	if err != nil || !bytes.Contains(raw, []byte(bad.Parked.Message.ID)) {
		t.Errorf("%s %v", raw, err)
	}
	_ = r.stop()
}

func TestTheJournalWaitsForTheStore(t *testing.T) {
	dir := t.TempDir()
	r := start(t, always(refused), integration(1, 10, ""), func(c *Config) { c.Dir = dir })
	r.store.fail(errAway)
	for range 5 {
		r.offer(delivery.Message{})
	}
	until(t, "five entries", func() bool { return r.Stats("push").JournalEntries == 5 && r.Stats("push").Recording == 0 })
	if err := r.stop(); err != nil { // with the store away
		t.Fatal(err)
	}
	later := imported(t, dir, 5, nil)
	for _, p := range later.store.all() {
		if p.Next != delivery.StateDead || len(p.Attempts) != 1 || p.Attempts[0].HTTPStatus != 422 {
			t.Errorf("%+v", p)
		}
	}
}

func TestWhatWaitsForARemovedIntegrationIsDead(t *testing.T) {
	dir := t.TempDir()
	segments(t, dir, 1)
	store := newShelf()
	p, err := New(Config{Dir: dir, Store: store, Log: slog.New(slog.DiscardHandler)}) // no pool integration is left
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- p.Run(ctx, ctx) }()
	if got := store.next(t); got.Next != delivery.StateDead || got.Attempts[0].ErrorClass != delivery.ClassNoIntegration {
		t.Errorf("%+v", got)
	}
	cancel()
	if err := <-ended; err != nil {
		t.Error(err)
	}
}
