package bench

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"slices"
	"text/tabwriter"
	"time"

	"github.com/jackc/pgx/v5"

	"redrive/delivery"
	"redrive/delivery/cdc"
	"redrive/delivery/wire"
	"redrive/store"
	"redrive/store/source"
)

// CDCOptions of a run, which are also flags of the command line. The database is source and destination of the changes; it must
// have the schema, wal_level logical and no integrations of somebody else's.
type CDCOptions struct {
	DSN         string    `kong:"-"`
	Changes     int       `         default:"50000" help:"Changes of the backlog, at most 1000000."`
	Rate        int       `         default:"300"   help:"Changes per second of the latency run."`
	Concurrency int       `         default:"16"    help:"Parallel requests to the receiver."`
	Out         io.Writer `kong:"-"`
}

// Check says which setting is out of range, in one sentence.
func (o CDCOptions) Check() error {
	if o.Changes < 1 || o.Changes > 1_000_000 || o.Rate < 1 || o.Concurrency < 1 {
		return errors.New("bench cdc: changes must be 1 to 1000000, rate and concurrency at least 1")
	}
	return nil
}

// Measure is RunCDC on the database dsn, its table going to out.
func (o CDCOptions) Measure(ctx context.Context, dsn string, out io.Writer) error {
	o.DSN, o.Out = dsn, out
	_, err := RunCDC(ctx, o)
	return err
}

// CDCReport is what was measured.
type CDCReport struct {
	Raw       time.Duration // reading the backlog from the slot and doing nothing with it
	Captured  time.Duration // until all of it is durable as deliveries
	Delivered time.Duration // until the receiver has all of it
	Latency   Latency       // from commit at the source to arrival at the receiver
}

const (
	cdcTable = "redrive_bench_changes"
	cdcSlot  = "redrive_bench"
	cdcSetUp = "DROP TABLE IF EXISTS public." + cdcTable + "; CREATE TABLE public." + cdcTable + " (id int PRIMARY KEY, n text NOT NULL, padding text NOT NULL)"
	cdcFill  = "INSERT INTO public." + cdcTable + " SELECT n, lpad(n::text, 15, '0'), repeat('x', 200) FROM generate_series($1::int, $2::int) n"
	cdcBatch = 50 // rows of one transaction of the backlog
)

// RunCDC measures the same backlog read raw and captured, then single changes, and prints a table.
func RunCDC(ctx context.Context, o CDCOptions) (report CDCReport, err error) {
	ctx, cancel := context.WithTimeout(ctx, 10*time.Minute)
	defer cancel()
	receiver, err := NewReceiver()
	if err != nil {
		return report, err
	}
	defer receiver.Close()
	r, err := open(ctx, Options{DSN: o.DSN, Messages: o.Changes, Concurrency: o.Concurrency, Rate: o.Rate}, receiver)
	if err != nil {
		return report, err
	}
	defer r.close()
	c := &capture{runner: r, o: o}
	if err := c.prepare(ctx); err != nil {
		return report, err
	}
	defer func() { err = errors.Join(err, c.cleanUp()) }()
	if err := c.backlog(ctx, &report); err != nil {
		return report, err
	}
	return report, report.print(o)
}

// capture is one run.
type capture struct {
	*runner
	o      CDCOptions
	in     delivery.Integration
	source *source.Source
	sql    *pgx.Conn
}

// benchSource is a source whose streams are the room's.
type benchSource struct{ *source.Source }

func (s benchSource) Stream(ctx context.Context, from delivery.LSN) (cdc.Stream, error) {
	return s.Source.Stream(ctx, from)
}

func (c *capture) prepare(ctx context.Context) (err error) {
	c.in = c.integration()
	c.in.CDC = &delivery.CDCSource{
		Slot:        cdcSlot,
		Publication: cdcSlot,
		Heartbeat:   time.Second,
		AlarmBytes:  1 << 40,
		Rules: []delivery.CDCRule{
			{Schema: "public", Table: cdcTable, Operations: []delivery.RowOperation{delivery.OpInsert}, Payload: "row.n"},
		},
	}
	if c.sql, err = pgx.Connect(ctx, c.o.DSN); err != nil {
		return err
	}
	if _, err := c.sql.Exec(ctx, cdcSetUp); err != nil {
		return err
	}
	if c.source, err = source.New(*c.in.CDC, c.o.DSN, c.in.Name, wire.Dialer{}.DialContext, slog.New(slog.DiscardHandler)); err != nil {
		return err
	}
	if err := c.source.DropSlot(ctx); err != nil { // of a run that was killed
		return err
	}
	_, err = c.source.SetUp(ctx)
	return err
}

func (c *capture) cleanUp() error {
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	drop := c.source.DropSlot(ctx)
	for deadline := time.Now().Add(10 * time.Second); errors.Is(drop, delivery.ErrSlotActive) && time.Now().Before(deadline); drop = c.source.DropSlot(ctx) {
		delivery.Pause(ctx, 50*time.Millisecond)
	}
	_, err := c.sql.Exec(ctx, "DROP PUBLICATION IF EXISTS "+cdcSlot+"; DROP TABLE IF EXISTS public."+cdcTable)
	return errors.Join(drop, err, c.source.Close(), c.sql.Close(ctx))
}

// backlog fills the slot, reads it raw, then captures it, and stays for single changes.
func (c *capture) backlog(ctx context.Context, report *CDCReport) error {
	for n := 0; n < c.o.Changes; n += cdcBatch {
		if _, err := c.sql.Exec(ctx, cdcFill, n, min(n+cdcBatch, c.o.Changes)-1); err != nil {
			return err
		}
	}
	var err error
	if report.Raw, err = c.raw(ctx); err != nil {
		return fmt.Errorf("reading raw: %w", err)
	}
	c.receiver.Expect(c.o.Changes)
	began := time.Now()
	eng, err := c.start(ctx)
	if err != nil {
		return err
	}
	room, err := cdc.New(cdc.Config{
		Integration: c.in,
		Source:      benchSource{c.source},
		Store:       c.db,
		Lead:        c.lead,
		Wake:        eng.engine.Wake,
		Log:         slog.New(slog.DiscardHandler),
	})
	if err != nil {
		return errors.Join(err, eng.stop())
	}
	running, stop := context.WithCancel(ctx)
	ended := make(chan error, 1)
	go func() { ended <- room.Run(running, running) }()
	err = c.measure(ctx, began, report)
	stop()
	return errors.Join(err, <-ended, eng.stop())
}

func (c *capture) lead(ctx context.Context, work func(context.Context, cdc.Leader) error, failed func(error)) error {
	return c.db.Lead(ctx, "cdc/"+c.in.Name, func(ctx context.Context, l *store.Leader) error { return work(ctx, l) }, failed)
}

// raw reads all changes and acknowledges none.
func (c *capture) raw(ctx context.Context) (time.Duration, error) {
	began := time.Now()
	stream, err := c.source.Stream(ctx, 0)
	if err != nil {
		return 0, err
	}
	for read := 0; read < c.o.Changes; {
		event, err := stream.Next(ctx)
		if err != nil {
			return 0, errors.Join(err, stream.Close())
		}
		if event.Change != nil {
			read++
		}
	}
	return time.Since(began), stream.Close()
}

func (c *capture) measure(ctx context.Context, began time.Time, report *CDCReport) error {
	for {
		p, err := c.db.CapturePosition(ctx, c.in.Name)
		if err != nil {
			return err
		}
		if p.Changes >= int64(c.o.Changes) {
			break
		}
		if !delivery.Pause(ctx, 5*time.Millisecond) {
			return ctx.Err()
		}
	}
	report.Captured = time.Since(began)
	if err := c.receiver.Wait(ctx); err != nil {
		return err
	}
	report.Delivered = time.Since(began)
	return c.single(ctx, report)
}

// single commits one change after the other at the rate that is wanted.
func (c *capture) single(ctx context.Context, report *CDCReport) error {
	n := min(c.o.Changes, c.o.Rate*int(latencyTime/time.Second))
	if _, err := c.sql.Exec(ctx, "DELETE FROM public."+cdcTable); err != nil {
		return err
	}
	c.receiver.Expect(n)
	committed := make([]time.Time, n)
	began := time.Now()
	for i := range n {
		if wait := time.Until(began.Add(time.Duration(i) * time.Second / time.Duration(c.o.Rate))); wait > 0 {
			delivery.Pause(ctx, wait)
		}
		if _, err := c.sql.Exec(ctx, cdcFill, i, i); err != nil {
			return err
		}
		committed[i] = time.Now()
	}
	rate := float64(n) / time.Since(began).Seconds()
	if err := c.receiver.Wait(ctx); err != nil {
		return err
	}
	waits := make([]time.Duration, n)
	for i, at := range committed {
		waits[i] = max(c.receiver.arrival(i).Sub(at), 0) // it may arrive before the producer hears of its commit
	}
	slices.Sort(waits)
	report.Latency = Latency{
		Messages:  n,
		PerSecond: rate,
		P50:       percentile(waits, 50),
		P99:       percentile(waits, 99),
		Max:       waits[n-1],
	}
	return nil
}

func (r CDCReport) print(o CDCOptions) error {
	table := tabwriter.NewWriter(o.Out, 0, 0, 2, ' ', 0)
	perSecond := func(d time.Duration) float64 { return float64(o.Changes) / d.Seconds() }
	fmt.Fprintf(table, "read raw\t%.0f changes/s\t%d changes in transactions of %d, nothing done with them\n",
		perSecond(r.Raw), o.Changes, cdcBatch)
	fmt.Fprintf(table, "captured\t%.0f changes/s\tdurable as deliveries, %.2f of raw, while they are delivered\n",
		perSecond(r.Captured), r.Raw.Seconds()/r.Captured.Seconds())
	fmt.Fprintf(table, "delivered\t%.0f changes/s\tuntil the receiver has all, %d at a time\n",
		perSecond(r.Delivered), o.Concurrency)
	fmt.Fprintf(table, "latency\tp50 %s  p99 %s\tmax %s, %d changes at %.0f/s, from commit at the source to arrival\n",
		millis(r.Latency.P50), millis(r.Latency.P99), millis(r.Latency.Max), r.Latency.Messages, r.Latency.PerSecond)
	return table.Flush()
}
