package engine_test

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"redrive/delivery"
	"redrive/delivery/engine"
	"redrive/store"
	"redrive/store/storetest"
)

const (
	orderKeys   = 20
	orderOfKey  = 250
	deadKey     = 7
	deadNumber  = 100
	failureRate = 0.1
)

// ledger is a receiver that knows what it must get next of each key.
type ledger struct {
	mu         sync.Mutex
	confirmed  [orderKeys]int // the last number confirmed
	wrong      []string
	duplicates int
	lifted     atomic.Bool // the dead letter's cause is gone
}

// Send confirms what is next, refuses one message for good, and fails at random.
func (l *ledger) Send(_ context.Context, r delivery.Request) delivery.Result {
	var key, n int
	if _, err := fmt.Sscanf(string(r.Message.Payload), "%d %d", &key, &n); err != nil {
		return refused
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	switch last := l.confirmed[key]; {
	case n == last: // confirmed before, but whoever was told so is gone: nothing later may have come
		l.duplicates++
		return ok
	case n != last+1:
		l.wrong = append(l.wrong, fmt.Sprintf("key %d: number %d after %d", key, n, last))
		return ok
	}
	if key == deadKey && n == deadNumber && !l.lifted.Load() {
		return refused
	}
	if rand.Float64() < failureRate {
		return unavailable
	}
	l.confirmed[key] = n
	return ok
}

func (*ledger) Close() error { return nil }

func (l *ledger) total() (n int) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, last := range l.confirmed {
		n += last
	}
	return n
}

// severed is a database that does not hear a killed process any more.
type severed struct {
	*store.Store
	cut atomic.Bool
}

var errCut = errors.New("the process was killed")

// Complete implements engine.Store.
func (s *severed) Complete(ctx context.Context, done []delivery.Completion) (int, error) {
	if s.cut.Load() {
		return 0, errCut
	}
	return s.Store.Complete(ctx, done)
}

// Extend implements engine.Store.
func (s *severed) Extend(ctx context.Context, held []delivery.Lease, lease time.Duration) ([]delivery.Lease, error) {
	if s.cut.Load() {
		return nil, errCut
	}
	return s.Store.Extend(ctx, held, lease)
}

// Release implements engine.Store.
func (s *severed) Release(ctx context.Context, held []delivery.Lease, wait time.Duration) error {
	if s.cut.Load() {
		return errCut
	}
	return s.Store.Release(ctx, held, wait)
}

// startKillable runs an engine and returns what kills it: from then on the database hears nothing of it.
func (r *rig) startKillable() (kill func()) {
	r.t.Helper()
	db := &severed{Store: r.Store}
	cfg := r.cfg
	cfg.Store = db
	eng, err := engine.New(cfg)
	if err != nil {
		r.t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		_ = eng.Run(ctx, ctx) // a killed process does not say how it ended
	}()
	kill = func() {
		db.cut.Store(true)
		cancel()
		<-ended
	}
	r.t.Cleanup(kill)
	return kill
}

// place gives places as the relay does, until the test ends.
func (r *rig) place() {
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() {
		done <- r.Lead(ctx, "outbox", func(ctx context.Context, l *store.Leader) error {
			for delivery.Pause(ctx, 10*time.Millisecond) {
				if _, err := l.Place(ctx, 100); err != nil {
					return err
				}
			}
			return nil
		}, nil)
	}()
	r.t.Cleanup(func() {
		cancel()
		if err := <-done; err != nil {
			r.t.Error(err)
		}
	})
}

// produce enqueues each key's numbers in order, several keys at once.
func (r *rig) produce() {
	var group sync.WaitGroup
	for first := range 4 {
		group.Go(func() {
			conn := storetest.Session(r.t, r.dsn)
			for n := range orderOfKey {
				for key := first; key < orderKeys; key += 4 {
					_, err := conn.Exec(context.Background(), "SELECT redrive.enqueue('push', 't', $1, $2)", fmt.Appendf(nil, "%d %d", key, n+1), fmt.Sprint("k", key))
					if err != nil {
						r.t.Error(err)
						return
					}
				}
			}
		})
	}
	r.t.Cleanup(group.Wait)
}

// expirations counts the leases that ran out.
type expirations struct {
	observer
	atomic.Int64
}

func (e *expirations) LeaseExpired(n int) { e.Add(int64(n)) }
func (*expirations) Late(int)             {}

// Several engines on one database, one of them killed, a receiver that fails at random: each key arrives strictly in order, and a
// dead letter blocks its own key only.
func TestOrderPerKey(t *testing.T) {
	receiver := &ledger{}
	in := quick("push", func(i *delivery.Integration) {
		i.Ordered, i.Concurrency, i.Retry.Attempts = true, 16, 100
		i.Destination.To.(*delivery.HTTPDestination).Timeout = time.Millisecond
	})
	r := newRig(t, nil, in)
	r.cfg.Senders = map[string]delivery.Sender{"push": receiver}
	leases := &expirations{}
	r.cfg.Observer = leases
	kill := r.startKillable()
	r.start()
	r.start()
	r.place()
	r.produce()
	r.await("a quarter", func() bool { return receiver.total() > orderKeys*orderOfKey/4 })
	kill()
	const blocked = orderOfKey - deadNumber
	r.await("all but the blocked ones", func() bool { return receiver.total() == orderKeys*orderOfKey-blocked-1 })
	r.awaitStates(map[string]int{"delivered": orderKeys*orderOfKey - blocked - 1, "dead": 1, "pending": blocked})
	head := r.only(delivery.StateDead)
	if head.Lane.Waiting != blocked || len(head.Lane.Blocked) != 20 || string(head.Message.Payload) != fmt.Sprint(deadKey, " ", deadNumber) {
		t.Errorf("the dead letter %s blocks %+v", head.Message.Payload, head.Lane)
	}
	receiver.lifted.Store(true)
	if _, err := r.Act(t.Context(), delivery.ActionRequest{Action: delivery.ActionRetry, ID: head.ID, Actor: "ann"}); err != nil {
		t.Fatal(err)
	}
	r.awaitStates(map[string]int{"delivered": orderKeys * orderOfKey})
	if len(receiver.wrong) > 0 {
		t.Errorf("%d out of order, first: %s", len(receiver.wrong), receiver.wrong[0])
	}
	// of the engine that was killed, and of one that stood still for longer than a lease, which a busy machine makes it
	if n := leases.Load(); int64(receiver.duplicates) > n {
		t.Errorf("%d duplicates, but only %d leases ran out", receiver.duplicates, n)
	}
	t.Logf("%d duplicates", receiver.duplicates)
}
