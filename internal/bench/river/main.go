// Command redrivebench runs Redrive and River (github.com/riverqueue/river) on the same Postgres, against the same receiver,
// in turns, and prints how fast each empties a full queue. A module of its own keeps River out of the program.
package main

import (
	"cmp"
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"log/slog"
	"os"
	"os/signal"
	"slices"
	"syscall"
	"time"

	"redrive/internal/bench"
	"redrive/store"
	"redrive/store/embedded"
)

const (
	rounds = 3
	limit  = 20 * time.Minute
)

func main() {
	var o bench.Options
	flag.StringVar(&o.DSN, "database-url", os.Getenv("DATABASE_URL"),
		"an empty database; without one a private Postgres is started")
	flag.IntVar(&o.Messages, "messages", 20_000, "messages of one round")
	flag.IntVar(&o.Concurrency, "concurrency", 16, "parallel requests")
	flag.IntVar(&o.PayloadBytes, "payload", 256, "bytes of one payload")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	ctx, cancel := context.WithTimeout(ctx, limit)
	err := run(ctx, o, os.Stdout)
	cancel()
	stop()
	if err != nil {
		fmt.Fprintln(os.Stderr, "redrivebench:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, o bench.Options, out io.Writer) (err error) {
	if o.Messages < 1 || o.Concurrency < 1 {
		return errors.New("messages and concurrency must be at least 1")
	}
	if o.DSN == "" {
		server, stop, err := private(ctx)
		if err != nil {
			return err
		}
		defer stop()
		o.DSN = server.DSN("redrive")
	}
	if err := migrate(ctx, o.DSN); err != nil {
		return err
	}
	receiver, err := bench.NewReceiver()
	if err != nil {
		return err
	}
	defer receiver.Close()
	rival, err := newRival(ctx, o, receiver)
	if err != nil {
		return err
	}
	defer rival.close()
	return compare(out, []contestant{
		{"Redrive", func() (bench.Throughput, error) { return bench.MeasureThroughput(ctx, o, receiver) }},
		{
			fmt.Sprintf("River, %d workers", o.Concurrency),
			func() (bench.Throughput, error) { return rival.measure(ctx, plain(o.Concurrency)) },
		},
		{"River, tuned", func() (bench.Throughput, error) { return rival.measure(ctx, tuned) }},
	})
}

// private starts a Postgres that leaves nothing behind.
func private(ctx context.Context) (*embedded.Server, func(), error) {
	dir, err := os.MkdirTemp("", "redrive-bench-")
	if err != nil {
		return nil, nil, err
	}
	server, err := embedded.Start(ctx, embedded.Options{DataDir: dir, Log: slog.New(slog.DiscardHandler)})
	if err != nil {
		return nil, nil, errors.Join(err, os.RemoveAll(dir))
	}
	return server, func() {
		if err := errors.Join(server.Stop(), os.RemoveAll(dir)); err != nil {
			fmt.Fprintln(os.Stderr, "redrivebench:", err)
		}
	}, nil
}

func migrate(ctx context.Context, dsn string) error {
	db, err := store.Open(ctx, dsn, slog.New(slog.DiscardHandler))
	if err != nil {
		return err
	}
	defer db.Close()
	return db.Migrate(ctx)
}

// contestant is one of those that take turns.
type contestant struct {
	name    string
	measure func() (bench.Throughput, error)
}

// compare lets them take turns, so that a disturbance of the machine meets all, and prints medians and the first's ratios.
func compare(out io.Writer, all []contestant) error {
	results := make([][]bench.Throughput, len(all))
	for n := range rounds {
		fmt.Fprintf(out, "round %d", n+1)
		for i, c := range all {
			result, err := c.measure()
			if err != nil {
				return fmt.Errorf("%s: %w", c.name, err)
			}
			results[i] = append(results[i], result)
			fmt.Fprintf(out, "   %s %.0f/s", c.name, result.PerSecond())
		}
		fmt.Fprintln(out)
	}
	first := median(results[0])
	for i, c := range all {
		m := median(results[i])
		_, err := fmt.Fprintf(out, "median   %-20s %6.0f/s   to %s %.2f   (%d messages a round)\n",
			c.name, m.PerSecond(), all[0].name, m.PerSecond()/first.PerSecond(), m.Messages)
		if err != nil {
			return err
		}
	}
	return nil
}

func median(of []bench.Throughput) bench.Throughput {
	sorted := slices.SortedFunc(slices.Values(of), func(a, b bench.Throughput) int { return cmp.Compare(a.Took, b.Took) })
	return sorted[len(sorted)/2]
}
