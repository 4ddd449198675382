// Package producer measures what the outbox costs whoever writes to it: business transactions per second without it, with
// redrive.enqueue and with redrive.publish in the same transaction. Every run has an end of its own.
package producer

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"sync"
	"text/tabwriter"
	"time"

	"redrive/delivery"
)

const roundTime = 3 * time.Minute // at most, for one way

var errNothing = errors.New("not one transaction was finished")

// Options of a run, which are also flags of the command line. The database must have the schema and no integrations of somebody
// else's; messages stay in it.
type Options struct {
	DSN          string        `kong:"-"`
	Clients      int           `         default:"8"   help:"Connections at work at once, at most 64."`
	Rounds       int           `         default:"9"   help:"Rounds of each way, in turns, at most 100."`
	Round        time.Duration `         default:"2s"  help:"How long one way works in a round, at most a minute."`
	Scale        int           `         default:"10"  help:"Size of the business tables: branches, of 100000 accounts each; at most 100."`
	PayloadBytes int           `         default:"256" help:"Bytes of one payload."                                                        name:"payload"`
	Out          io.Writer     `kong:"-"`
}

// Check says which setting is out of range, in one sentence.
func (o Options) Check() error {
	if o.Clients < 1 || o.Clients > 64 || o.Rounds < 1 || o.Rounds > 100 || o.Round <= 0 || o.Round > time.Minute ||
		o.Scale < 1 ||
		o.Scale > 100 ||
		o.PayloadBytes < 0 ||
		o.PayloadBytes > delivery.MaxPayload {
		return errors.New("bench producer: clients must be 1 to 64, rounds and scale 1 to 100, a round at most a " +
			"minute, a payload at most 10 MiB")
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
	Way       string
	PerSecond float64       // business transactions; median of the rounds
	Ratio     float64       // to the first way; median of the rounds' ratios
	P50, P99  time.Duration // of one transaction, over all rounds
	rounds    []float64
	waits     []time.Duration
}

// Run measures and prints a table.
func Run(ctx context.Context, o Options) (report Report, err error) {
	b, err := open(ctx, o)
	if err != nil {
		return nil, fmt.Errorf("bench producer: %w", err)
	}
	defer func() { err = errors.Join(err, b.close(context.WithoutCancel(ctx))) }()
	if report, err = b.measure(ctx); err != nil {
		return nil, fmt.Errorf("bench producer: %w", err)
	}
	return report, report.print(o)
}

// measure takes turns, each round in another order, so that what else the machine does falls on every way alike. The first round
// is not counted.
func (b *business) measure(ctx context.Context) (Report, error) {
	report := make(Report, len(ways))
	for round := range b.Rounds + 1 {
		for turn := range ways {
			i := (round + turn) % len(ways)
			waits, took, err := b.round(ctx, ways[i])
			if err != nil {
				return nil, fmt.Errorf("%s: %w", ways[i].name, err)
			}
			if round > 0 {
				report[i].rounds = append(report[i].rounds, float64(len(waits))/took.Seconds())
				report[i].waits = append(report[i].waits, waits...)
			}
		}
		if err := b.tidy(ctx); err != nil {
			return nil, err
		}
	}
	for i := range report {
		report[i].sum(ways[i].name, report[0].rounds)
	}
	return report, nil
}

// sum makes one line of the rounds, beside those of the way that it is compared with.
func (l *Line) sum(name string, without []float64) {
	ratios := make([]float64, len(l.rounds))
	for r := range ratios {
		ratios[r] = l.rounds[r] / without[r]
	}
	slices.Sort(l.waits)
	l.Way, l.PerSecond, l.Ratio = name, median(l.rounds), median(ratios)
	l.P50, l.P99 = percentile(l.waits, 50), percentile(l.waits, 99)
}

// round lets every client work until the time is used up, and returns how long each transaction took.
func (b *business) round(ctx context.Context, w way) ([]time.Duration, time.Duration, error) {
	ctx, cancel := context.WithTimeout(ctx, roundTime)
	defer cancel()
	waits, failed := make([][]time.Duration, len(b.clients)), make([]error, len(b.clients))
	started := time.Now()
	var group sync.WaitGroup
	for i, c := range b.clients {
		group.Go(func() {
			for failed[i] == nil && time.Since(started) < b.Round {
				began := time.Now()
				failed[i] = c.transact(ctx, w)
				waits[i] = append(waits[i], time.Since(began))
			}
		})
	}
	group.Wait()
	took, all := time.Since(started), slices.Concat(waits...)
	if err := errors.Join(failed...); err != nil {
		return nil, 0, err
	}
	if len(all) == 0 {
		return nil, 0, errNothing
	}
	return all, took, nil
}

func median(values []float64) float64 {
	sorted := slices.Sorted(slices.Values(values))
	n := len(sorted)
	return (sorted[(n-1)/2] + sorted[n/2]) / 2
}

// percentile is the nearest rank in sorted values.
func percentile[T cmp.Ordered](sorted []T, p int) T {
	return sorted[max((len(sorted)*p+99)/100, 1)-1]
}

func (r Report) print(o Options) error {
	table := tabwriter.NewWriter(o.Out, 0, 0, 2, ' ', 0)
	fmt.Fprintln(table, "outbox\ttransactions/s\tof without\tp50\tp99")
	for _, l := range r {
		fmt.Fprintf(table, "%s\t%.0f\t%.2f\t%s\t%s\n", l.Way, l.PerSecond, l.Ratio, millis(l.P50), millis(l.P99))
	}
	fmt.Fprintf(table, "medians of %d rounds of %s in turns, %d clients, scale %d, payload of %d bytes\n",
		o.Rounds, o.Round, o.Clients, o.Scale, o.PayloadBytes)
	return table.Flush()
}

func millis(d time.Duration) string {
	return fmt.Sprintf("%.2f ms", float64(d)/float64(time.Millisecond))
}
