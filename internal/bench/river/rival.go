package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/riverqueue/river"
	"github.com/riverqueue/river/riverdriver/riverpgxv5"
	"github.com/riverqueue/river/rivermigrate"

	"redrive/internal/bench"
)

const (
	insertBatch = 5000
	emptyChecks = 2 * time.Millisecond
	connections = 16 // as many as Redrive's store opens
)

// tuning is how River is set up. A fetch takes no more jobs than workers are free.
type tuning struct {
	workers int
	fetch   time.Duration
}

// plain has as many workers as Redrive has requests under way; 1 and 2 ms are then its fastest, every longer wait (its default is
// 100 ms) slows it down.
func plain(concurrency int) tuning { return tuning{workers: concurrency, fetch: time.Millisecond} }

// tuned is the fastest that was found: many workers, so that a fetch brings many jobs, of which as many as Redrive's make requests
// at the same time.
var tuned = tuning{workers: 1024, fetch: 25 * time.Millisecond}

// post is a job of River.
type post struct {
	Payload []byte `json:"payload"`
}

// Kind implements river.JobArgs.
func (post) Kind() string { return "post" }

// poster works on jobs: the same request as Redrive's, by a client with the same settings.
type poster struct {
	river.WorkerDefaults[post]
	url    string
	client *http.Client
	places chan struct{} // requests under way, as many as Redrive's
}

// Work implements river.Worker.
func (p *poster) Work(ctx context.Context, job *river.Job[post]) error {
	p.places <- struct{}{}
	defer func() { <-p.places }()
	request, err := http.NewRequestWithContext(ctx, http.MethodPost, p.url, bytes.NewReader(job.Args.Payload))
	if err != nil {
		return err
	}
	request.Header.Set("Content-Type", "application/octet-stream")
	request.Header.Set("Idempotency-Key", fmt.Sprint(job.ID))
	answer, err := p.client.Do(request)
	if err != nil {
		return err
	}
	defer answer.Body.Close()
	if _, err := io.Copy(io.Discard, answer.Body); err != nil {
		return err
	}
	if answer.StatusCode/100 != 2 {
		return fmt.Errorf("the receiver answered %d", answer.StatusCode)
	}
	return nil
}

// rival measures River.
type rival struct {
	bench.Options
	pool      *pgxpool.Pool
	receiver  *bench.Receiver
	transport *http.Transport
	workers   *river.Workers
}

func newRival(ctx context.Context, o bench.Options, receiver *bench.Receiver) (*rival, error) {
	config, err := pgxpool.ParseConfig(o.DSN)
	if err != nil {
		return nil, errors.New("not a Postgres URL") // err may quote the password
	}
	config.MaxConns = connections
	pool, err := pgxpool.NewWithConfig(ctx, config)
	if err != nil {
		return nil, err
	}
	migrator, err := rivermigrate.New(riverpgxv5.New(pool), &rivermigrate.Config{Logger: slog.New(slog.DiscardHandler)})
	if err == nil {
		_, err = migrator.Migrate(ctx, rivermigrate.DirectionUp, nil)
	}
	if err != nil {
		pool.Close()
		return nil, fmt.Errorf("migrating River: %w", err)
	}
	r := &rival{Options: o, pool: pool, receiver: receiver, workers: river.NewWorkers(),
		transport: &http.Transport{DisableCompression: true, MaxIdleConnsPerHost: 256}}
	river.AddWorker(r.workers,
		&poster{url: receiver.URL(), client: &http.Client{Transport: r.transport, Timeout: 5 * time.Second},
			places: make(chan struct{}, o.Concurrency)})
	return r, nil
}

func (r *rival) close() {
	r.transport.CloseIdleConnections()
	r.pool.Close()
}

// measure runs one round by the same rules as Redrive's: a full queue, from the start until every request has arrived and
// every job is completed.
func (r *rival) measure(ctx context.Context, t tuning) (bench.Throughput, error) {
	client, err := river.NewClient(riverpgxv5.New(r.pool),
		&river.Config{Logger: slog.New(slog.DiscardHandler), Workers: r.workers,
			Queues:        map[string]river.QueueConfig{river.QueueDefault: {MaxWorkers: t.workers}},
			FetchCooldown: t.fetch, FetchPollInterval: t.fetch})
	if err != nil {
		return bench.Throughput{}, err
	}
	r.receiver.Expect(r.Messages)
	if err := r.fill(ctx, client); err != nil {
		return bench.Throughput{}, err
	}
	started := time.Now()
	if err := client.Start(ctx); err != nil {
		return bench.Throughput{}, err
	}
	err = r.receiver.Wait(ctx)
	if err == nil {
		err = r.allCompleted(ctx)
	}
	took := time.Since(started)
	if err := errors.Join(err, client.Stop(ctx)); err != nil {
		return bench.Throughput{}, err
	}
	return bench.Throughput{Messages: r.Messages, Duplicates: r.receiver.Duplicates(), Took: took}, nil
}

func (r *rival) fill(ctx context.Context, client *river.Client[pgx.Tx]) error {
	for from := 0; from < r.Messages; from += insertBatch {
		jobs := make([]river.InsertManyParams, min(insertBatch, r.Messages-from))
		for i := range jobs {
			jobs[i].Args = post{Payload: bench.Payload(from+i, r.PayloadBytes)}
		}
		if _, err := client.InsertManyFast(ctx, jobs); err != nil {
			return fmt.Errorf("inserting: %w", err)
		}
	}
	_, err := r.pool.Exec(ctx, `VACUUM ANALYZE river_job`)
	return err
}

func (r *rival) allCompleted(ctx context.Context) error {
	tick := time.NewTicker(emptyChecks)
	defer tick.Stop()
	for {
		var done bool
		err := r.pool.QueryRow(ctx, `SELECT NOT EXISTS (SELECT FROM river_job WHERE state IN
			('available', 'pending', 'retryable', 'running', 'scheduled'))`).Scan(&done)
		if err != nil || done {
			return err
		}
		select {
		case <-ctx.Done():
			return context.Cause(ctx)
		case <-tick.C:
		}
	}
}
