// Package cursors compares three ways to read a log while transactions commit out of order: after the last id, behind the oldest
// transaction that runs, and between two snapshots, which is the relay of this program. All read the same events at the same time.
package cursors

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"slices"
	"sync"
	"text/tabwriter"
	"time"

	"github.com/jackc/pgx/v5/pgxpool"

	"redrive/delivery"
	"redrive/store"
)

const (
	integration = "bench"
	eventType   = "bench.event"
	poll        = 20 * time.Millisecond // of every cursor
	settleTime  = 15 * time.Second      // how long cursors may take for what is left when the producers are done
)

// Options of a run, which are also flags of the command line. The database must have the schema and no integrations of somebody
// else's; the rows in its log stay. One long transaction is open at nearly any time.
type Options struct {
	DSN       string        `kong:"-"`
	Rows      int           `         default:"20000" help:"Events, at most 1000000."`
	Rate      int           `         default:"1000"  help:"Events per second."`
	Duration  time.Duration `         default:"30s"   help:"At most this long, and at most ten minutes."`
	Long      time.Duration `         default:"3s"    help:"How long the long transactions stay open, at most a minute."`
	Producers int           `         default:"8"     help:"Transactions at once besides the long one, at most 64."`
	Out       io.Writer     `kong:"-"`
}

// Check says which setting is out of range, in one sentence.
func (o Options) Check() error {
	if o.Rows < 1 || o.Rows > 1_000_000 || o.Rate < 1 || o.Producers < 1 || o.Producers > 64 || o.Duration <= 0 ||
		o.Duration > 10*time.Minute ||
		o.Long < 0 ||
		o.Long > time.Minute {
		return errors.New("bench outbox: rows must be 1 to 1000000, rate at least 1, producers 1 to 64, duration at " +
			"most 10m, long at most 1m")
	}
	return nil
}

// Measure is Run on the database dsn, its table going to out.
func (o Options) Measure(ctx context.Context, dsn string, out io.Writer) error {
	o.DSN, o.Out = dsn, out
	_, err := Run(ctx, o)
	return err
}

// Report is one line for each cursor.
type Report []Line

// Line is what a cursor read.
type Line struct {
	Cursor   string
	Events   int // committed
	Missed   int // committed and never read
	Doubled  int // read more than once
	P50, P99 time.Duration
}

// run is the workload and what became of it.
type run struct {
	Options
	pool      *pgxpool.Pool
	db        *store.Store
	lastID    string // where the cursors start
	oldest    string
	mu        sync.Mutex
	committed map[string]time.Time // by message id
}

// Run measures and prints a table.
func Run(ctx context.Context, o Options) (Report, error) {
	report, err := measure(ctx, o)
	if err != nil {
		return nil, fmt.Errorf("bench outbox: %w", err)
	}
	return report, report.print(o.Out)
}

func measure(ctx context.Context, o Options) (Report, error) {
	r, closeAll, err := build(ctx, o)
	if err != nil {
		return nil, err
	}
	defer closeAll()
	reading, stop := context.WithCancel(ctx)
	defer stop()
	cursors := []*cursor{newCursor("last id"), newCursor("oldest transaction"), newCursor("two snapshots (the relay)")}
	ways := []func(context.Context, *cursor) error{r.afterLastID, r.behindOldest, r.betweenSnapshots}
	failed := make([]error, len(ways))
	var readers sync.WaitGroup
	for i, way := range ways {
		readers.Go(func() {
			if failed[i] = way(reading, cursors[i]); failed[i] != nil {
				stop() // without one of them there is nothing to compare
			}
		})
	}
	err = r.produce(reading)
	for deadline := time.Now().Add(settleTime); err == nil && reading.Err() == nil && time.Now().Before(deadline); {
		if cursors[1].lines(r.committed).Missed+cursors[2].lines(r.committed).Missed == 0 {
			break
		}
		delivery.Pause(ctx, poll)
	}
	delivery.Pause(ctx, 5*poll) // whoever reads twice may do so
	stop()
	readers.Wait()
	if err := errors.Join(append(failed, err, ctx.Err())...); err != nil {
		return nil, err
	}
	var report Report
	for _, c := range cursors {
		report = append(report, c.lines(r.committed))
	}
	return report, nil
}

func build(ctx context.Context, o Options) (r *run, closeAll func(), err error) {
	db, err := store.Open(ctx, o.DSN, slog.New(slog.DiscardHandler))
	if err != nil {
		return nil, nil, err
	}
	config, err := pgxpool.ParseConfig(o.DSN)
	if err != nil {
		db.Close()
		return nil, nil, errors.New("not a Postgres URL") // err may quote the password
	}
	config.MaxConns = int32(o.Producers) + 5
	pool, err := pgxpool.NewWithConfig(ctx, config)
	if err != nil {
		db.Close()
		return nil, nil, fmt.Errorf("connecting: %w", err)
	}
	r = &run{Options: o, pool: pool, db: db, committed: map[string]time.Time{}}
	closeAll = func() { pool.Close(); db.Close() }
	if err := r.prepare(ctx); err != nil {
		closeAll()
		return nil, nil, err
	}
	return r, closeAll, nil
}

func (r *run) prepare(ctx context.Context) error {
	var others int
	if err := r.pool.QueryRow(ctx, "SELECT count(*) FROM redrive.integrations WHERE name <> $1", integration).
		Scan(&others); err != nil {
		return fmt.Errorf("looking around: %w", err)
	}
	if others > 0 {
		return errors.New("this database serves integrations; use one of its own for measuring")
	}
	err := r.pool.QueryRow(ctx, "SELECT coalesce(max(id::text), '00000000-0000-0000-0000-000000000000'), ("+oldestSQL+") FROM redrive.messages").
		Scan(&r.lastID, &r.oldest)
	if err != nil {
		return fmt.Errorf("looking for the end of the log: %w", err)
	}
	return r.db.SyncIntegrations(ctx,
		[]delivery.Integration{{Name: integration, Method: delivery.MethodOutbox, Subscribe: []string{eventType},
			Idempotent: true, Retry: delivery.DefaultRetry, OnFailure: delivery.StateDead, Concurrency: 1,
			Destination: delivery.Destination{To: &delivery.HTTPDestination{URL: "http://127.0.0.1:9/"}}}})
}

// cursor is what one way has read.
type cursor struct {
	name    string
	mu      sync.Mutex
	seen    map[string]time.Time
	doubled int
}

func newCursor(name string) *cursor { return &cursor{name: name, seen: map[string]time.Time{}} }

func (c *cursor) read(ids []string) {
	now := time.Now()
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, id := range ids {
		if _, again := c.seen[id]; again {
			c.doubled++
			continue
		}
		c.seen[id] = now
	}
}

// lines compares with what was committed; the producers must be done.
func (c *cursor) lines(committed map[string]time.Time) Line {
	c.mu.Lock()
	defer c.mu.Unlock()
	line := Line{Cursor: c.name, Events: len(committed), Doubled: c.doubled}
	var waits []time.Duration
	for id, at := range committed {
		if seen, ok := c.seen[id]; ok {
			waits = append(waits, max(seen.Sub(at), 0)) // it may be read before its producer hears of the commit
		} else {
			line.Missed++
		}
	}
	if n := len(waits); n > 0 {
		slices.Sort(waits)
		line.P50, line.P99 = waits[(n-1)/2], waits[(n-1)*99/100]
	}
	return line
}

func (r Report) print(out io.Writer) error {
	table := tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)
	fmt.Fprintln(table, "cursor\tevents\tmissed\tdoubled\tp50 commit to read\tp99")
	for _, l := range r {
		fmt.Fprintf(table, "%s\t%d\t%d (%.1f %%)\t%d\t%s\t%s\n", l.Cursor, l.Events, l.Missed,
			float64(l.Missed)*100/float64(max(l.Events, 1)), l.Doubled, l.P50.Round(100*time.Microsecond),
			l.P99.Round(100*time.Microsecond))
	}
	return table.Flush()
}
