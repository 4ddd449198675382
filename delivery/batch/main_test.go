package batch_test

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"io"
	"log/slog"
	"os"
	"reflect"
	"slices"
	"testing"
	"time"

	"redrive/delivery"
	"redrive/delivery/batch"
	"redrive/delivery/wire"
	"redrive/store"
	"redrive/store/storetest"
	"redrive/store/storetest/patience"
	_ "redrive/views/words" // what phrases read like
)

func TestMain(m *testing.M) {
	if os.Getenv(victimVariable) != "" {
		victim()
	}
	storetest.Main(m)
}

// bed is a database with an integration "points" and its room.
type bed struct {
	*store.Store
	t   testing.TB
	dsn string
	in  delivery.Integration
	csv delivery.FileFormat
	// of the room of newDesk
	stop, again func()
}

func newBed(t testing.TB, change func(*delivery.Integration)) *bed {
	t.Helper()
	dsn := storetest.New(t)
	return openBed(t, dsn, change)
}

func openBed(t testing.TB, dsn string, change func(*delivery.Integration)) *bed {
	t.Helper()
	s, err := store.Open(t.Context(), dsn, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(s.Close)
	b := &bed{Store: s, t: t, dsn: dsn, in: pointsIntegration(), csv: delivery.FileFormat{Kind: delivery.FileCSV, Header: true, Delimiter: ','}}
	b.in.Destination = delivery.Destination{To: &delivery.FileDestination{Format: b.csv, Dir: t.TempDir(), Timeout: patience.Limit}}
	if change != nil {
		change(&b.in)
	}
	b.must(s.SyncIntegrations(t.Context(), []delivery.Integration{b.in}))
	return b
}

func pointsIntegration() delivery.Integration {
	return delivery.Integration{Name: "points", Method: delivery.MethodBatch, Idempotent: true, Concurrency: 1, OnFailure: delivery.StateDead,
		Retry: delivery.RetryPolicy{Attempts: 3, Backoff: []time.Duration{10 * time.Millisecond}},
		Batch: &delivery.BatchSettings{Schedule: "0 0 1 1 *", Location: time.UTC, Query: "SELECT id, name FROM points ORDER BY id",
			Missed: delivery.MissedCatchUp, Name: delivery.DefaultBatchName, Per: delivery.PerFile, Start: delivery.StartNow}}
}

func (b *bed) must(err error) {
	b.t.Helper()
	if err != nil {
		b.t.Fatal(err)
	}
}

func (b *bed) sql(statement string, args ...any) {
	b.t.Helper()
	if _, err := storetest.Session(b.t, b.dsn).Exec(context.Background(), statement, args...); err != nil {
		b.t.Fatalf("%s: %v", statement, err)
	}
}

func value[T any](b *bed, query string, args ...any) (v T) {
	b.t.Helper()
	if err := storetest.Session(b.t, b.dsn).QueryRow(context.Background(), query, args...).Scan(&v); err != nil {
		b.t.Fatalf("%s: %v", query, err)
	}
	return v
}

// config connects the room with the store, as the program does.
func config(s *store.Store, in delivery.Integration, f delivery.FileFormat) batch.Config {
	return batch.Config{Integration: in, Format: f, Look: 20 * time.Millisecond, Collect: 100 * time.Millisecond, Files: s.Files(), CheckQuery: store.CheckBatchQuery, Log: testLog(),
		Lead: func(ctx context.Context, work func(context.Context, batch.Feed) error, failed func(error)) error {
			return s.Lead(ctx, "batch/"+in.Name, func(ctx context.Context, l *store.Leader) error { return work(ctx, s.Batch(l, in.Name)) }, failed)
		},
		Open: func(ctx context.Context, url, zone string) (batch.Source, error) {
			source, err := s.OpenBatchSource(ctx, wire.Dialer{}.DialContext, url, zone)
			if err != nil {
				return nil, err
			}
			return source, nil
		}}
}

// start runs the room until the test ends or the answer is called.
func (b *bed) start(change func(*batch.Config)) (stop func()) {
	b.t.Helper()
	c := config(b.Store, b.in, b.csv)
	if change != nil {
		change(&c)
	}
	room, err := batch.New(c)
	b.must(err)
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- room.Run(ctx, ctx) }()
	stop = func() {
		cancel()
		if err, ok := <-done; ok {
			close(done)
			if err != nil {
				b.t.Errorf("the room ended with %v", err)
			}
		}
	}
	b.t.Cleanup(stop)
	return stop
}

// wait polls until what answers true.
func (b *bed) wait(what string, done func() bool) {
	b.t.Helper()
	patience.Until(b.t, what, done)
}

// request asks for a run.
func (b *bed) request(date string) delivery.BatchRun {
	b.t.Helper()
	run, err := b.RequestRun(context.Background(), b.in.Name, date, "kim", "a test")
	b.must(err)
	return run
}

// ended waits for the end of a run and returns it.
func (b *bed) ended(run delivery.BatchRun) (found delivery.BatchRun) {
	b.t.Helper()
	b.wait("end of the run", func() bool {
		for _, r := range b.runs() {
			if r.ID == run.ID {
				found = r
			}
		}
		return found.FinishedAt != nil
	})
	return found
}

func (b *bed) runs() []delivery.BatchRun {
	b.t.Helper()
	page, err := b.Runs(context.Background(), b.in.Name, "", 500)
	b.must(err)
	return page.Items
}

// now asks for a run and waits for its file.
func (b *bed) now() delivery.StoredFile {
	b.t.Helper()
	run := b.ended(b.request(""))
	if run.State != delivery.RunStored {
		b.t.Fatalf("the run is %s: %s", run.State, run.Error.English())
	}
	return *run.File
}

// content reads a stored file and checks that it is what its record says.
func (b *bed) content(f delivery.StoredFile) string {
	b.t.Helper()
	r, err := b.Files().Open(context.Background(), f.ID)
	b.must(err)
	defer r.Close()
	raw, err := io.ReadAll(r)
	b.must(err)
	if sum := sha256.Sum256(raw); hex.EncodeToString(sum[:]) != f.SHA256 || int64(len(raw)) != f.Bytes {
		b.t.Fatalf("%s holds %d bytes with hash %x, its record says %d and %s", f.Name, len(raw), sum, f.Bytes, f.SHA256)
	}
	return string(raw)
}

// complete returns every file in order of its number, and fails on a gap, on a chain of hashes that does not fit, on torn bytes,
// or on a file without exactly one message and delivery.
func (b *bed) complete() (files []delivery.StoredFile) {
	b.t.Helper()
	for _, r := range b.runs() {
		if r.File != nil {
			files = append(files, *r.File)
		}
	}
	slices.SortFunc(files, func(a, b delivery.StoredFile) int { return int(a.Sequence - b.Sequence) })
	previous := ""
	for i, f := range files {
		b.content(f)
		if f.Sequence != int64(i+1) || f.Previous != previous {
			b.t.Fatalf("file %d has number %d and follows %q, want %q", i+1, f.Sequence, f.Previous, previous)
		}
		previous = f.SHA256
		m, deliveries, err := b.Message(context.Background(), f.ID)
		b.must(err)
		var told delivery.BatchFile
		f.CreatedAt = f.CreatedAt.UTC()
		if err := json.Unmarshal(m.Payload, &told); err != nil || !reflect.DeepEqual(told, f.BatchFile) || len(deliveries) != 1 || deliveries[0].ID != f.DeliveryID {
			b.t.Fatalf("the message of %s says %+v, with %d deliveries: %v; want %+v", f.Name, told, len(deliveries), err, f.BatchFile)
		}
	}
	orphans := value[int](b, "SELECT count(DISTINCT file_id) FROM redrive.batch_parts") - len(files)
	if sequence := value[int](b, "SELECT coalesce(max(sequence), 0)::int FROM redrive.batch_feeds"); orphans != 0 || sequence != len(files) {
		b.t.Fatalf("%d files, but the sequence stands at %d and %d others left bytes", len(files), sequence, orphans)
	}
	return files
}

// testLog is silent unless somebody looks for a fault.
func testLog() *slog.Logger {
	if os.Getenv("BATCH_TEST_LOG") == "" {
		return slog.New(slog.DiscardHandler)
	}
	return slog.Default()
}
