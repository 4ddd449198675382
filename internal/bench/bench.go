// Package bench measures the engine: real Postgres, real HTTP requests to a receiver in this process, nothing simulated.
// Every run has an end of its own.
package bench

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"slices"
	"time"

	"redrive/delivery"
	"redrive/delivery/engine"
	httpsend "redrive/delivery/send/http"
	"redrive/delivery/wire"
	"redrive/store"
)

const (
	integration   = "bench"
	latencyTime   = 10 * time.Second
	latencyMost   = 20_000 // messages of one latency run
	shutdownGrace = 5 * time.Second
)

// Options of a run, which are also flags of the command line. The database must have the schema and no integrations of somebody
// else's; the rows stay in it. At least 16 bytes of a payload are used: it begins with its number.
type Options struct {
	DSN          string    `kong:"-"`
	Messages     int       `         default:"20000" help:"Messages of the throughput run, at most 1000000."` // and at most of each latency run
	Concurrency  int       `         default:"16"    help:"Parallel requests to the receiver."`
	Rate         int       `         default:"500"   help:"Messages per second of the latency run."`
	PayloadBytes int       `         default:"256"   help:"Bytes of one payload."                            name:"payload"`
	Out          io.Writer `kong:"-"`
}

// Check says which setting is out of range, in one sentence.
func (o Options) Check() error {
	if o.Messages < 1 || o.Messages > 1_000_000 || o.Rate < 1 || o.Concurrency < 1 || o.PayloadBytes < 0 {
		return errors.New("bench: messages must be 1 to 1000000, rate and concurrency at least 1")
	}
	return nil
}

// Measure is Run on the database dsn, its table going to out.
func (o Options) Measure(ctx context.Context, dsn string, out io.Writer) error {
	o.DSN, o.Out = dsn, out
	_, err := Run(ctx, o)
	return err
}

// Report is what was measured.
type Report struct {
	Throughput Throughput
	Woken      Latency // the producer shares the engine's process and wakes it after the commit
	Polling    Latency // the producer is anybody else: the engine finds the message when it looks
}

// Throughput is how fast a full queue empties: from the engine's start until the last request has arrived and the last
// outcome is written.
type Throughput struct {
	Messages   int
	Duplicates int // requests beyond one for each message
	Took       time.Duration
}

// PerSecond is the rate of deliveries.
func (t Throughput) PerSecond() float64 { return float64(t.Messages) / t.Took.Seconds() }

// Latency is the time from "commit returned to the producer" to "request arrived at the receiver".
type Latency struct {
	Messages      int
	PerSecond     float64 // what the producers reached
	P50, P99, Max time.Duration
}

// runner is one run against one database.
type runner struct {
	Options
	db       *store.Store
	receiver *Receiver
	producer *producer
}

// Run measures throughput, then latency, and prints a table.
func Run(ctx context.Context, o Options) (Report, error) {
	receiver, err := NewReceiver()
	if err != nil {
		return Report{}, err
	}
	defer receiver.Close()
	r, err := open(ctx, o, receiver)
	if err != nil {
		return Report{}, err
	}
	defer r.close()
	var report Report
	if report.Throughput, err = r.throughput(ctx); err != nil {
		return report, fmt.Errorf("throughput: %w", err)
	}
	if report.Woken, err = r.latency(ctx, true); err != nil {
		return report, fmt.Errorf("latency, woken: %w", err)
	}
	if report.Polling, err = r.latency(ctx, false); err != nil {
		return report, fmt.Errorf("latency, polling: %w", err)
	}
	return report, r.print(report)
}

// MeasureThroughput is the first part of Run alone, with a receiver of the caller's.
func MeasureThroughput(ctx context.Context, o Options, receiver *Receiver) (Throughput, error) {
	r, err := open(ctx, o, receiver)
	if err != nil {
		return Throughput{}, err
	}
	defer r.close()
	return r.throughput(ctx)
}

func open(ctx context.Context, o Options, receiver *Receiver) (*runner, error) {
	producer, err := newProducer(ctx, o)
	if err != nil {
		return nil, err
	}
	db, err := store.Open(ctx, o.DSN, slog.New(slog.DiscardHandler))
	if err != nil {
		producer.close()
		return nil, err
	}
	r := &runner{Options: o, db: db, receiver: receiver, producer: producer}
	if err := db.SyncIntegrations(ctx, []delivery.Integration{r.integration()}); err != nil {
		r.close()
		return nil, err
	}
	return r, nil
}

func (r *runner) close() {
	r.producer.close()
	r.db.Close()
}

func (r *runner) integration() delivery.Integration {
	return delivery.Integration{Name: integration, Method: delivery.MethodOutbox, Idempotent: true, Retry: delivery.DefaultRetry,
		OnFailure: delivery.StateDead, Concurrency: r.Concurrency,
		Destination: delivery.Destination{To: &delivery.HTTPDestination{URL: r.receiver.URL(), Timeout: 5 * time.Second}}}
}

// running is an engine at work.
type running struct {
	engine *engine.Engine
	stop   func() error // ends it and answers why it ended
}

func (r *runner) start(ctx context.Context) (*running, error) {
	log := slog.New(slog.DiscardHandler)
	in := r.integration()
	sender, err := httpsend.New(*in.Destination.To.(*delivery.HTTPDestination), wire.Dialer{Log: log})
	if err != nil {
		return nil, err
	}
	eng, err := engine.New(engine.Config{Store: r.db, Integrations: []delivery.Integration{in},
		Senders: map[string]delivery.Sender{in.Name: sender}, Log: log})
	if err != nil {
		return nil, errors.Join(err, sender.Close())
	}
	ctx, cancel := context.WithCancel(ctx)
	grace, giveUp := context.WithCancel(context.WithoutCancel(ctx))
	ended := make(chan error, 1)
	go func() { ended <- eng.Run(ctx, grace) }()
	return &running{engine: eng, stop: func() error {
		defer giveUp()
		cancel()
		defer time.AfterFunc(shutdownGrace, giveUp).Stop()
		return errors.Join(<-ended, sender.Close())
	}}, nil
}

func (r *runner) throughput(ctx context.Context) (Throughput, error) {
	ctx, cancel := context.WithTimeout(ctx, time.Minute+time.Duration(r.Messages)*10*time.Millisecond)
	defer cancel()
	r.receiver.Expect(r.Messages)
	if err := r.producer.fill(ctx, r.Messages); err != nil {
		return Throughput{}, err
	}
	started := time.Now()
	eng, err := r.start(ctx)
	if err != nil {
		return Throughput{}, err
	}
	err = r.receiver.Wait(ctx)
	if err == nil {
		err = r.producer.queueEmpty(ctx)
	}
	took := time.Since(started)
	if err := errors.Join(err, eng.stop()); err != nil {
		return Throughput{}, err
	}
	return Throughput{Messages: r.Messages, Duplicates: r.receiver.Duplicates(), Took: took}, nil
}

func (r *runner) latency(ctx context.Context, wake bool) (Latency, error) {
	ctx, cancel := context.WithTimeout(ctx, time.Minute+2*latencyTime)
	defer cancel()
	n := min(r.Messages, latencyMost, r.Rate*int(latencyTime/time.Second))
	r.receiver.Expect(n)
	eng, err := r.start(ctx)
	if err != nil {
		return Latency{}, err
	}
	after := func() {}
	if wake {
		after = eng.engine.Wake
	}
	committed, rate, err := r.producer.trickle(ctx, n, r.Rate, after)
	if err == nil {
		err = r.receiver.Wait(ctx)
	}
	if err := errors.Join(err, eng.stop()); err != nil {
		return Latency{}, err
	}
	waits := make([]time.Duration, n)
	for i, at := range committed {
		waits[i] = max(r.receiver.arrival(i).Sub(at), 0) // it may arrive before the producer hears of its commit
	}
	slices.Sort(waits)
	return Latency{Messages: n, PerSecond: rate, P50: percentile(waits, 50), P99: percentile(waits, 99), Max: waits[n-1]}, nil
}

// percentile is the nearest rank in sorted values.
func percentile(sorted []time.Duration, p int) time.Duration {
	return sorted[max((len(sorted)*p+99)/100, 1)-1]
}
