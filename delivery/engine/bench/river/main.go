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

	"redrive/delivery/engine/bench"
	"redrive/store"
	"redrive/store/embedded"
)

const (
	rounds = 3
	limit  = 20 * time.Minute
)

func main() {
	var o bench.Options
	flag.StringVar(&o.DSN, "database-url", os.Getenv("DATABASE_URL"), "an empty database; without one a private Postgres is started")
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
	return compare(out, func() (bench.Throughput, error) { return bench.MeasureThroughput(ctx, o, receiver) },
		func() (bench.Throughput, error) { return rival.measure(ctx) })
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

// compare takes turns, so that a disturbance of the machine meets both, and prints medians.
func compare(out io.Writer, redrive, river func() (bench.Throughput, error)) error {
	var ours, theirs []bench.Throughput
	for n := range rounds {
		a, err := redrive()
		if err != nil {
			return fmt.Errorf("redrive: %w", err)
		}
		b, err := river()
		if err != nil {
			return fmt.Errorf("river: %w", err)
		}
		ours, theirs = append(ours, a), append(theirs, b)
		fmt.Fprintf(out, "round %d   Redrive %6.0f/s   River %6.0f/s\n", n+1, a.PerSecond(), b.PerSecond())
	}
	a, b := median(ours), median(theirs)
	_, err := fmt.Fprintf(out, "median    Redrive %6.0f/s   River %6.0f/s   ratio %.2f   (%d messages a round)\n",
		a.PerSecond(), b.PerSecond(), a.PerSecond()/b.PerSecond(), a.Messages)
	return err
}

func median(of []bench.Throughput) bench.Throughput {
	sorted := slices.SortedFunc(slices.Values(of), func(a, b bench.Throughput) int { return cmp.Compare(a.Took, b.Took) })
	return sorted[len(sorted)/2]
}
