// Package twophase compares three ways of writing a business row and announcing it: two-phase commit over two databases, the
// outbox, and publishing after the commit. It measures what each costs, then kills each at random moments and counts what is
// missing. Every run has an end of its own, in number and in time.
package twophase

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"sync"
	"sync/atomic"
	"text/tabwriter"
	"time"
)

const (
	turns    = 10
	turnTime = 6 * time.Second // at most
	killTime = 2 * time.Minute
)

var errNothing = errors.New("not one transaction was finished")

// Options of a run, which are also flags of the command line. The database must have the schema and no integrations of somebody
// else's; its rows stay. A second database is made on the same server and dropped again.
type Options struct {
	DSN          string    `kong:"-"`
	Transactions int       `         default:"5000" help:"Transactions of each way, at most 1000000 and for at most a minute."`
	Concurrency  int       `         default:"8"    help:"Transactions at once; the server needs max_prepared_transactions of twice as many and 2."`
	Kills        int       `         default:"200"  help:"How often a process of each way is killed in the middle."`
	Out          io.Writer `kong:"-"`
}

// Check says which setting is out of range, in one sentence.
func (o Options) Check() error {
	if o.Transactions < 1 || o.Transactions > 1_000_000 || o.Concurrency < 1 || o.Kills < 0 || o.Kills > 10_000 {
		return errors.New("bench 2pc: transactions must be 1 to 1000000, concurrency at least 1, kills 0 to 10000")
	}
	return nil
}

// Measure is Run on the database dsn, its table going to out.
func (o Options) Measure(ctx context.Context, dsn string, out io.Writer) error {
	o.DSN, o.Out = dsn, out
	_, err := Run(ctx, o)
	return err
}

// Report is one line for each way, in the order of the table.
type Report []Line

// Line is what was measured of one way.
type Line struct {
	Way          string
	Transactions int
	Took         time.Duration
	P50, P99     time.Duration
	Damage       Damage
	Risk         string // what it can lose, in words
}

// PerSecond is the rate of transactions.
func (l Line) PerSecond() float64 { return float64(l.Transactions) / l.Took.Seconds() }

// Damage is what was found after the kills, before anybody cleaned up.
type Damage struct {
	Kills   int
	Lost    int // business rows without their message
	Ghosts  int // messages without their business row
	Orphans int // prepared transactions that nobody ends: they hold locks and hold back vacuum
}

// Run measures and prints a table.
func Run(ctx context.Context, o Options) (report Report, err error) {
	a, err := build(ctx, o)
	if err != nil {
		return nil, fmt.Errorf("bench 2pc: %w", err)
	}
	defer func() { err = errors.Join(err, a.tearDown(context.WithoutCancel(ctx))) }()
	report, err = a.measure(ctx)
	for i := 0; err == nil && i < len(report); i++ {
		report[i].Damage, err = a.kill(ctx, ways[i])
	}
	if err != nil {
		return report, fmt.Errorf("bench 2pc: %w", err)
	}
	return report, report.print(o.Out)
}

// measure takes turns, so that what else the machine does falls on every way alike; the first turn is not counted.
func (a *arena) measure(ctx context.Context) (Report, error) {
	report, waits := make(Report, len(ways)), make([][]time.Duration, len(ways))
	for turn := range turns + 1 {
		for i, w := range ways {
			some, took, err := a.round(ctx, w, (a.Transactions+turns-1)/turns)
			if err != nil {
				return nil, fmt.Errorf("%s: %w", w.name, err)
			}
			if turn > 0 {
				waits[i], report[i].Took = append(waits[i], some...), report[i].Took+took
			}
		}
	}
	for i, w := range ways {
		slices.Sort(waits[i])
		report[i].Way, report[i].Risk, report[i].Transactions = w.name, w.risk, len(waits[i])
		report[i].P50, report[i].P99 = percentile(waits[i], 50), percentile(waits[i], 99)
	}
	return report, nil
}

// round works from several connections at once until the number or the time is used up, and returns how long each one took.
func (a *arena) round(ctx context.Context, w way, n int) ([]time.Duration, time.Duration, error) {
	ctx, cancel := context.WithTimeout(ctx, turnTime+10*time.Second)
	defer cancel()
	var left atomic.Int64
	left.Store(int64(n))
	waits := make([][]time.Duration, a.Concurrency)
	failed := make([]error, a.Concurrency)
	started := time.Now()
	var group sync.WaitGroup
	for i := range a.Concurrency {
		group.Go(func() { waits[i], failed[i] = a.work(ctx, w, &left, started.Add(turnTime)) })
	}
	group.Wait()
	took := time.Since(started)
	all := slices.Concat(waits...)
	if err := errors.Join(failed...); err != nil || len(all) == 0 {
		return nil, 0, errors.Join(err, ctx.Err(), errNothing)
	}
	return all, took, nil
}

func (a *arena) work(ctx context.Context, w way, left *atomic.Int64, until time.Time) (waits []time.Duration, err error) {
	h, err := a.hands(ctx, "redrive bench 2pc")
	if err != nil {
		return nil, err
	}
	defer h.close(ctx)
	for left.Add(-1) >= 0 && time.Now().Before(until) {
		began := time.Now()
		if err := w.once(ctx, h, a.number.Add(1)); err != nil {
			return waits, err
		}
		waits = append(waits, time.Since(began))
	}
	return waits, nil
}

// percentile is the nearest rank in sorted values.
func percentile(sorted []time.Duration, p int) time.Duration {
	return sorted[max((len(sorted)*p+99)/100, 1)-1]
}

func (r Report) print(out io.Writer) error {
	table := tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)
	fmt.Fprintln(table, "way\ttransactions/s\tp50\tp99\tkills\tlost\tghosts\torphans\twhat it can lose")
	for _, l := range r {
		fmt.Fprintf(table, "%s\t%.0f\t%s\t%s\t%d\t%d\t%d\t%d\t%s\n", l.Way, l.PerSecond(), millis(l.P50), millis(l.P99),
			l.Damage.Kills, l.Damage.Lost, l.Damage.Ghosts, l.Damage.Orphans, l.Risk)
	}
	return table.Flush()
}

func millis(d time.Duration) string {
	return fmt.Sprintf("%.1f ms", float64(d)/float64(time.Millisecond))
}
