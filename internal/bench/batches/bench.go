// Package batches measures a batch: rows read, written as csv and stored with all that belongs to the file, beside COPY … TO of the
// same query on the same database in the same run.
package batches

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"runtime"
	"slices"
	"time"

	"github.com/jackc/pgx/v5"

	"redrive/delivery"
	"redrive/delivery/batch"
	"redrive/delivery/wire"
	"redrive/store"
)

const (
	integration = "bench-batch"
	query       = "SELECT id, member, amount, earned_on, note FROM redrive_bench_points ORDER BY id"
	pollEvery   = 10 * time.Millisecond
	patience    = 5 * time.Minute
)

// Options say what is measured, and are also flags of the command line. The database is migrated and may be filled.
type Options struct {
	DSN    string    `kong:"-"`
	Rows   int       `         default:"1000000" help:"Rows of the table, at most 10000000."`
	Rounds int       `         default:"3"       help:"Rounds, at most 20; their median counts."`
	Out    io.Writer `kong:"-"`
}

// Check says which setting is out of range, in one sentence.
func (o Options) Check() error {
	if o.Rows < 1 || o.Rows > 10_000_000 || o.Rounds < 1 || o.Rounds > 20 {
		return errors.New("bench batch: rows must be 1 to 10000000, rounds 1 to 20")
	}
	return nil
}

// Measure is Run on the database dsn, its table going to out.
func (o Options) Measure(ctx context.Context, dsn string, out io.Writer) error {
	o.DSN, o.Out = dsn, out
	_, err := Run(ctx, o)
	return err
}

// Result is what was measured, in rows per second; medians of the rounds.
type Result struct {
	Copy, Batch float64
	Bytes       int64  // of one file
	Heap        uint64 // most bytes in use while a batch ran
}

// Ratio is how much of COPY's speed a batch has.
func (r Result) Ratio() float64 { return r.Batch / r.Copy }

// Run fills a table, and reads it in turns by COPY and by a batch.
func Run(ctx context.Context, o Options) (r Result, err error) {
	conn, err := pgx.Connect(ctx, o.DSN)
	if err != nil {
		return r, fmt.Errorf("connecting: %w", err)
	}
	defer conn.Close(context.WithoutCancel(ctx))
	if err := fill(ctx, conn, o.Rows); err != nil {
		return r, err
	}
	db, err := store.Open(ctx, o.DSN, slog.New(slog.DiscardHandler))
	if err != nil {
		return r, err
	}
	defer db.Close()
	in := settings()
	if err := db.SyncIntegrations(ctx, []delivery.Integration{in}); err != nil {
		return r, err
	}
	var copies, batches []float64
	for round := range o.Rounds {
		took, bytes, err := copyOut(ctx, conn)
		if err != nil {
			return r, err
		}
		copies = append(copies, float64(o.Rows)/took.Seconds())
		ran, heap, err := runOnce(ctx, db, in)
		if err != nil {
			return r, err
		}
		batches = append(batches, float64(o.Rows)/ran.FinishedAt.Sub(*ran.StartedAt).Seconds())
		r.Bytes, r.Heap = ran.File.Bytes, max(r.Heap, heap)
		fmt.Fprintf(o.Out, "round %d: COPY %8.0f rows/s (%d bytes), batch %8.0f rows/s (%d bytes)\n",
			round+1, copies[round], bytes, batches[round], r.Bytes)
	}
	r.Copy, r.Batch = median(copies), median(batches)
	fmt.Fprintf(o.Out, "median:  COPY %8.0f rows/s, batch %8.0f rows/s: %.2f of it; at most %d MiB of memory\n",
		r.Copy, r.Batch, r.Ratio(), r.Heap>>20)
	return r, nil
}

func median(list []float64) float64 {
	slices.Sort(list)
	return list[len(list)/2]
}

func fill(ctx context.Context, conn *pgx.Conn, rows int) error {
	for _, statement := range []string{"DROP TABLE IF EXISTS redrive_bench_points",
		`CREATE TABLE redrive_bench_points (id bigint PRIMARY KEY, member text NOT NULL, amount numeric(12,2) NOT NULL, earned_on date NOT NULL, note text)`,
		fmt.Sprintf(`INSERT INTO redrive_bench_points SELECT n, 'member-' || n %% 50000, (n %% 10000) / 100.0, DATE '2026-01-01' + n %% 365,
			CASE WHEN n %% 10 = 0 THEN 'lesson "' || n || '", finished' END FROM generate_series(1, %d) n`, rows),
		"ANALYZE redrive_bench_points", "CHECKPOINT"} {
		if _, err := conn.Exec(ctx, statement); err != nil {
			return fmt.Errorf("filling the table: %w", err)
		}
	}
	return nil
}

// copyOut writes the same rows to a file on disk, as a script would that uses COPY.
func copyOut(ctx context.Context, conn *pgx.Conn) (time.Duration, int64, error) {
	f, err := os.CreateTemp("", "redrive-bench-*.csv")
	if err != nil {
		return 0, 0, err
	}
	defer os.Remove(f.Name())
	defer f.Close()
	started := time.Now()
	out := bufio.NewWriterSize(f, 1<<20)
	if _, err := conn.PgConn().CopyTo(ctx, out, "COPY ("+query+") TO STDOUT WITH (FORMAT csv, HEADER)"); err != nil {
		return 0, 0, fmt.Errorf("COPY: %w", err)
	}
	if err := errors.Join(out.Flush(), f.Sync()); err != nil {
		return 0, 0, err
	}
	took := time.Since(started)
	info, err := f.Stat()
	if err != nil {
		return 0, 0, err
	}
	return took, info.Size(), nil
}

func settings() delivery.Integration {
	return delivery.Integration{
		Name:      integration,
		Method:    delivery.MethodBatch,
		OnFailure: delivery.StateDead,
		Retry:     delivery.RetryPolicy{Attempts: 1},
		Destination: delivery.Destination{
			To: &delivery.FileDestination{Dir: os.TempDir(), Format: delivery.FileFormat{Kind: delivery.FileCSV, Header: true}},
		},
		Batch: &delivery.BatchSettings{Schedule: "0 0 1 1 *", Location: time.UTC, Query: query, Name: delivery.DefaultBatchName,
			Missed: delivery.MissedSkip, Per: delivery.PerFile, Start: delivery.StartNow},
	}
}

// runOnce asks for a run and waits for its file; nobody delivers it.
func runOnce(ctx context.Context, db *store.Store, in delivery.Integration) (run delivery.BatchRun, heap uint64, err error) {
	room, err := batch.New(batch.Config{
		Integration: in,
		Format:      in.BatchFormat(),
		CheckQuery:  store.CheckBatchQuery,
		Files:       db.Files(),
		Look:        pollEvery,
		Log:         slog.New(slog.DiscardHandler),
		Lead: func(ctx context.Context, work func(context.Context, batch.Feed) error, failed func(error)) error {
			return db.Lead(ctx, "batch/"+in.Name,
				func(ctx context.Context, l *store.Leader) error { return work(ctx, db.Batch(l, in.Name)) }, failed)
		},
		Open: func(ctx context.Context, url, zone string) (batch.Source, error) {
			source, err := db.OpenBatchSource(ctx, wire.Dialer{}.DialContext, url, zone)
			if err != nil {
				return nil, err
			}
			return source, nil
		},
	})
	if err != nil {
		return run, 0, err
	}
	asked, err := db.RequestRun(ctx, in.Name, "", "bench", "measuring")
	if err != nil {
		return run, 0, err
	}
	running, stop := context.WithTimeout(ctx, patience)
	done := make(chan error, 1)
	go func() { done <- room.Run(running, running) }()
	defer func() { stop(); <-done }()
	for delivery.Pause(running, pollEvery) {
		var now runtime.MemStats
		runtime.ReadMemStats(&now)
		heap = max(heap, now.HeapInuse+now.StackInuse)
		page, err := db.Runs(running, in.Name, "", 1)
		if err != nil {
			return run, heap, err
		}
		if run = page.Items[0]; run.ID == asked.ID && run.FinishedAt != nil {
			if run.File == nil {
				return run, heap, fmt.Errorf("the run is %s: %s", run.State, run.Error)
			}
			return run, heap, nil
		}
	}
	return run, heap, errors.New("the run did not end in time")
}
