package cursors

import (
	"context"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"sync"
	"time"

	"github.com/jackc/pgx/v5"

	"redrive/delivery"
	"redrive/delivery/outbox"
	"redrive/store"
)

// produce publishes at the rate until rows or time are used up; beside it runs one long transaction after the other.
func (r *run) produce(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, r.Duration+time.Minute)
	defer cancel()
	started, turns := time.Now(), make(chan struct{})
	errs := make([]error, r.Producers+1)
	var working sync.WaitGroup
	for i := range r.Producers {
		working.Go(func() {
			for range turns {
				if errs[i] == nil { // what is left of the turns must be taken all the same
					errs[i] = r.publish(ctx, time.Duration(rand.Int64N(int64(5*time.Millisecond))))
				}
			}
		})
	}
	done := make(chan struct{})
	working.Go(func() {
		for errs[r.Producers] == nil {
			select {
			case <-done:
				return
			default:
				errs[r.Producers] = r.publish(ctx, r.Long)
			}
		}
	})
	for n := 0; n < r.Rows && time.Since(started) < r.Duration && ctx.Err() == nil; n++ {
		delivery.Pause(ctx, time.Until(started.Add(time.Duration(n)*time.Second/time.Duration(r.Rate))))
		turns <- struct{}{}
	}
	close(turns)
	close(done)
	working.Wait()
	for _, err := range errs {
		if err != nil {
			return fmt.Errorf("publishing: %w", err)
		}
	}
	return nil
}

// publish commits one event after its transaction was open for a while.
func (r *run) publish(ctx context.Context, open time.Duration) error {
	var id string
	err := pgx.BeginFunc(ctx, r.pool, func(tx pgx.Tx) error {
		if err := tx.QueryRow(ctx, "SELECT redrive.publish($1, 'x')::text", eventType).Scan(&id); err != nil {
			return err
		}
		delivery.Pause(ctx, open)
		return ctx.Err()
	})
	if err == nil {
		r.mu.Lock()
		defer r.mu.Unlock()
		r.committed[id] = time.Now()
	}
	return err
}

// afterLastID reads what has a larger id than anything it has seen.
func (r *run) afterLastID(ctx context.Context, c *cursor) error {
	last := r.lastID
	for delivery.Pause(ctx, poll) {
		ids, err := r.ids(ctx, "SELECT id::text FROM redrive.messages WHERE kind = 'event' AND id > $1::uuid ORDER BY id", last)
		if err != nil {
			return err
		}
		if len(ids) > 0 {
			last = ids[len(ids)-1]
		}
		c.read(ids)
	}
	return nil
}

const oldestSQL = "SELECT pg_snapshot_xmin(pg_current_snapshot())::text"

// behindOldest reads what is older than every transaction that runs.
func (r *run) behindOldest(ctx context.Context, c *cursor) error {
	from, to := r.oldest, ""
	for delivery.Pause(ctx, poll) {
		if err := r.pool.QueryRow(ctx, oldestSQL).Scan(&to); err != nil {
			return ignoreEnd(ctx, err)
		}
		ids, err := r.ids(ctx,
			"SELECT id::text FROM redrive.messages WHERE kind = 'event' AND xid >= $1::xid8 AND xid < $2::xid8 ORDER BY id",
			from, to)
		if err != nil {
			return err
		}
		from = to
		c.read(ids)
	}
	return nil
}

// betweenSnapshots is the relay; its deliveries are taken out of the queue as soon as it says that there are some.
func (r *run) betweenSnapshots(ctx context.Context, c *cursor) error {
	ready := make(chan struct{}, 1)
	wake := func() {
		select {
		case ready <- struct{}{}:
		default:
		}
	}
	var failed error
	relay := outbox.New(outbox.Config{
		Poll: poll,
		Wake: wake,
		Log:  slog.New(slog.DiscardHandler),
		Lead: func(ctx context.Context, work func(context.Context, outbox.Session) error, told func(error)) error {
			return r.db.Lead(ctx, "outbox", func(ctx context.Context, l *store.Leader) error { return work(ctx, l) }, told)
		},
	})
	var relaying sync.WaitGroup
	relaying.Go(func() { failed = relay.Run(ctx, ctx) })
	defer relaying.Wait()
	for {
		select {
		case <-ctx.Done():
			relaying.Wait()
			return failed
		case <-ready:
		}
		ids, err := r.ids(ctx, "DELETE FROM redrive.queue WHERE integration = $1 RETURNING message_id::text", integration)
		if err != nil {
			return err
		}
		c.read(ids)
	}
}

func (r *run) ids(ctx context.Context, query string, args ...any) ([]string, error) {
	rows, err := r.pool.Query(ctx, query, args...)
	if err != nil {
		return nil, ignoreEnd(ctx, err)
	}
	ids, err := pgx.CollectRows(rows, pgx.RowTo[string])
	return ids, ignoreEnd(ctx, err)
}

// ignoreEnd leaves out errors that come from the end of the run.
func ignoreEnd(ctx context.Context, err error) error {
	if ctx.Err() != nil {
		return nil
	}
	return err
}
