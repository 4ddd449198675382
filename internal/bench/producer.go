package bench

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5/pgxpool"
	"golang.org/x/sync/errgroup"
)

const (
	producers   = 8
	fillBatch   = 5000
	emptyChecks = 2 * time.Millisecond
)

// producer is somebody else's program: it knows the public SQL interface and nothing more.
type producer struct {
	pool    *pgxpool.Pool
	payload int
}

func newProducer(ctx context.Context, o Options) (*producer, error) {
	config, err := pgxpool.ParseConfig(o.DSN)
	if err != nil {
		return nil, errors.New("bench: not a Postgres URL") // err may quote the password
	}
	config.MaxConns = producers
	pool, err := pgxpool.NewWithConfig(ctx, config)
	if err != nil {
		return nil, fmt.Errorf("bench: connecting: %w", err)
	}
	p := &producer{pool: pool, payload: o.PayloadBytes}
	if err := p.refuseOthers(ctx); err != nil {
		pool.Close()
		return nil, err
	}
	return p, nil
}

func (p *producer) close() { p.pool.Close() }

// refuseOthers protects a database in use: registering the measured integration would retire the ones that are there.
func (p *producer) refuseOthers(ctx context.Context) error {
	var others int
	err := p.pool.QueryRow(ctx, `SELECT count(*) FROM redrive.integrations WHERE name <> $1`, integration).Scan(&others)
	if err != nil {
		return fmt.Errorf("bench: looking for integrations: %w", err)
	}
	if others > 0 {
		return errors.New("bench: this database serves integrations; use one of its own for measuring")
	}
	return nil
}

// fill puts n messages into the queue and lets the planner know of them, as the server's own upkeep would.
func (p *producer) fill(ctx context.Context, n int) error {
	for from := 0; from < n; from += fillBatch {
		_, err := p.pool.Exec(ctx, `SELECT count(redrive.enqueue($1, 'bench.message',
				convert_to(lpad(n::text, $2, '0'), 'UTF8') || $3::bytea)) FROM generate_series($4::int, $5::int) n`,
			integration, numberDigits, padding(p.payload), from, min(from+fillBatch, n)-1)
		if err != nil {
			return fmt.Errorf("enqueueing: %w", err)
		}
	}
	if _, err := p.pool.Exec(ctx, `VACUUM ANALYZE redrive.queue, redrive.messages, redrive.deliveries`); err != nil {
		return fmt.Errorf("analysing: %w", err)
	}
	return nil
}

// queueEmpty waits until the last outcome is written.
func (p *producer) queueEmpty(ctx context.Context) error {
	tick := time.NewTicker(emptyChecks)
	defer tick.Stop()
	for {
		var empty bool
		err := p.pool.QueryRow(ctx, `SELECT NOT EXISTS (SELECT FROM redrive.queue WHERE integration = $1)`, integration).
			Scan(&empty)
		if err != nil || empty {
			return err
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("the queue is not empty: %w", context.Cause(ctx))
		case <-tick.C:
		}
	}
}

// trickle commits n messages, one transaction each, at a steady rate, and returns when each commit returned.
func (p *producer) trickle(ctx context.Context, n, rate int, after func()) (committed []time.Time, perSecond float64, err error) {
	committed = make([]time.Time, n)
	started := time.Now()
	group, ctx := errgroup.WithContext(ctx)
	for worker := range producers {
		group.Go(func() error {
			for i := worker; i < n; i += producers {
				if err := until(ctx, started.Add(time.Duration(i)*time.Second/time.Duration(rate))); err != nil {
					return err
				}
				_, err := p.pool.Exec(ctx, `SELECT redrive.enqueue($1, 'bench.message', $2::bytea)`,
					integration, Payload(i, p.payload))
				if err != nil {
					return fmt.Errorf("enqueueing: %w", err)
				}
				committed[i] = time.Now()
				after()
			}
			return nil
		})
	}
	err = group.Wait()
	return committed, float64(n) / time.Since(started).Seconds(), err
}

func until(ctx context.Context, at time.Time) error {
	timer := time.NewTimer(time.Until(at))
	defer timer.Stop()
	select {
	case <-ctx.Done():
		return context.Cause(ctx)
	case <-timer.C:
		return nil
	}
}
