// Package triage measures the console on millions of failures: lists, groups and search in the database and as pages of the real
// program, and a bulk retry while people go on reading.
package triage

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"time"

	"github.com/jackc/pgx/v5"

	"redrive/delivery/search"
	"redrive/store"

	"redrive/delivery/progress"
)

// Options of a run, which are also flags of the command line. The database is empty or has the data of an earlier run.
type Options struct {
	DSN     string    `kong:"-"`
	Settled int       `         default:"5000000" help:"Failures that are settled, at most 10000000."`
	Open    int       `         default:"250000"  help:"Failures that are open, four in ten of them in one group; at most 1000000."`
	Groups  int       `         default:"200"     help:"Groups that they are in, 200 to 100000 and at most four in ten of the open ones; what is beyond 200 has one open failure each."`
	Runs    int       `         default:"300"     help:"Times that each question is asked, at most 10000."`
	Only    string    `                           help:"Measure only what has this text in its name."`
	Data    string    `                           help:"Directory in which the private Postgres stays with its data for the next run; empty: it goes away."`
	Bulk    bool      `         default:"true"    help:"Retry the large group at the end."                                                                  negatable:""`
	Pages   bool      `         default:"true"    help:"Measure pages, too."                                                                                negatable:""`
	Program string    `kong:"-"` // the program to serve pages; empty: this one
	Out     io.Writer `kong:"-"`
}

// Check says which setting is out of range, in one sentence.
func (o Options) Check() error {
	if o.Settled < 1000 || o.Settled > 10_000_000 || o.Open < 1000 || o.Open > 1_000_000 || o.Runs < 1 || o.Runs > 10_000 {
		return errors.New("bench triage: settled must be 1000 to 10000000, open 1000 to 1000000, runs 1 to 10000")
	}
	if o.Groups != 0 && (o.Groups < len(routes)*groupsOfRoute || o.Groups > min(100_000, int(float64(o.Open)*largeShare))) {
		return errors.New("bench triage: groups must be 200 to 100000, and at most four in ten of the open failures")
	}
	return nil
}

// Directory is where the private Postgres stays; empty: it goes away.
func (o Options) Directory() string { return o.Data }

// Measure is Run on the database dsn, its tables going to out.
func (o Options) Measure(ctx context.Context, dsn string, out io.Writer) error {
	o.DSN, o.Out = dsn, out
	_, err := Run(ctx, o)
	return err
}

// bench is one run.
type bench struct {
	Options
	conn   *pgx.Conn
	db     *store.Store
	pick   *picker
	report Report
}

// Run makes the data, unless it is there, measures and prints tables.
func Run(ctx context.Context, o Options) (*Report, error) {
	b, err := open(ctx, o)
	if err != nil {
		return nil, fmt.Errorf("bench triage: %w", err)
	}
	defer b.close()
	for _, part := range []func(context.Context) error{b.prepare, b.inDatabase, b.asPages} {
		if err := part(ctx); err != nil {
			return &b.report, fmt.Errorf("bench triage: %w", err)
		}
	}
	return &b.report, b.report.failures()
}

func open(ctx context.Context, o Options) (*bench, error) {
	db, err := store.Open(ctx, o.DSN, slog.New(slog.DiscardHandler))
	if err != nil {
		return nil, err
	}
	conn, err := pgx.Connect(ctx, o.DSN)
	if err != nil {
		db.Close()
		return nil, errors.New("connecting failed") // err may quote the password
	}
	return &bench{Options: o, conn: conn, db: db}, nil
}

func (b *bench) close() {
	_ = b.conn.Close(context.Background())
	b.db.Close()
}

// prepare sees to it that the data is there and fits together.
func (b *bench) prepare(ctx context.Context) error {
	made, err := b.lookAround(ctx)
	if err != nil {
		return err
	}
	if !made {
		if err := b.make(ctx); err != nil {
			return fmt.Errorf("making the data: %w", err)
		}
	}
	if err := Verify(ctx, b.conn); err != nil {
		return err
	}
	if _, err := b.db.FoldCounts(ctx); err != nil { // makes the trends
		return err
	}
	b.pick, err = newPicker(ctx, b.conn)
	return err
}

// lookAround refuses a database that is somebody else's.
func (b *bench) lookAround(ctx context.Context) (made bool, err error) {
	names := make([]string, len(routes))
	for i, r := range routes {
		names[i] = r.name
	}
	var others int
	err = b.conn.QueryRow(ctx, `SELECT (SELECT count(*) FROM redrive.integrations WHERE name <> ALL ($1)), EXISTS (SELECT FROM redrive.deliveries)`, names).
		Scan(&others, &made)
	if err == nil && others > 0 {
		err = errors.New("this database serves integrations; use one of its own for measuring")
	}
	return made, err
}

func (b *bench) make(ctx context.Context) error {
	began := time.Now()
	if err := b.db.SyncIntegrations(ctx, integrations()); err != nil {
		return err
	}
	why, err := reasons(ctx)
	if err != nil {
		return fmt.Errorf("failing for the errors: %w", err)
	}
	if err := fill(ctx, b.conn, shapes(why, b.Open, b.Settled, b.Groups), b.Options); err != nil {
		return err
	}
	rows := time.Since(began)
	if err := b.index(ctx); err != nil {
		return err
	}
	indexed := time.Since(began) - rows
	if err := vacuum(ctx, b.conn); err != nil {
		return err
	}
	_, err = fmt.Fprintf(b.Out, "data made in %s, of which %s by the indexer of the search\n",
		time.Since(began).Round(time.Second), indexed.Round(time.Second))
	return err
}

// index does what the program does in the background.
func (b *bench) index(ctx context.Context) error {
	step := progress.Begin(ctx, "search entries of open failures", int64(b.Open))
	defer step.End()
	for {
		n, more, err := b.db.Index(ctx, indexAtOnce, search.Entry)
		if err != nil || !more {
			return err
		}
		step.Add(int64(n))
	}
}

const indexAtOnce = 2000
