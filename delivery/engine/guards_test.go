package engine_test

import (
	"context"
	"errors"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"redrive/delivery"
	"redrive/delivery/engine"
	"redrive/store"
	"redrive/store/storetest"
	"redrive/store/storetest/patience"
)

// tapped is the real store with a hand on some of its calls.
type tapped struct {
	*store.Store
	complete func() error                // before each Complete
	claim    func(context.Context) error // before each Claim
	release  func() error                // before each Release
	lookup   func(n int64) error         // before each IntegrationStates, the nth
	lookups  atomic.Int64
	brought  atomic.Int64          // claims that found something
	largest  atomic.Int64          // bytes of payload that one Claim brought
	beats    chan []delivery.Lease // what each Extend said is lost
}

func (s *tapped) Complete(ctx context.Context, done []delivery.Completion) (int, error) {
	if s.complete != nil {
		if err := s.complete(); err != nil {
			return 0, err
		}
	}
	return s.Store.Complete(ctx, done)
}

func (s *tapped) Claim(ctx context.Context, worker string, quotas []delivery.Quota) ([]delivery.Claimed, error) {
	if s.claim != nil {
		if err := s.claim(ctx); err != nil {
			return nil, err
		}
	}
	claimed, err := s.Store.Claim(ctx, worker, quotas)
	total := 0
	for _, c := range claimed {
		total += len(c.Message.Payload)
	}
	if len(claimed) > 0 {
		s.brought.Add(1)
	}
	s.largest.Store(max(s.largest.Load(), int64(total)))
	return claimed, err
}

func (s *tapped) Release(ctx context.Context, held []delivery.Lease, wait time.Duration) error {
	if s.release != nil {
		if err := s.release(); err != nil {
			return err
		}
	}
	return s.Store.Release(ctx, held, wait)
}

func (s *tapped) Extend(ctx context.Context, held []delivery.Lease, lease time.Duration) ([]delivery.Lease, error) {
	lost, err := s.Store.Extend(ctx, held, lease)
	select {
	case s.beats <- lost:
	default:
	}
	return lost, err
}

func (s *tapped) IntegrationStates(ctx context.Context) (map[string]delivery.IntegrationState, error) {
	if n := s.lookups.Add(1); s.lookup != nil {
		if err := s.lookup(n); err != nil {
			return nil, err
		}
	}
	return s.Store.IntegrationStates(ctx)
}

func (r *rig) tap() *tapped {
	s := &tapped{Store: r.Store, beats: make(chan []delivery.Lease, 1000)}
	r.cfg.Store, r.cfg.StatePoll = s, 50*time.Millisecond
	return s
}

// rounds lets the engine go round a few times: what it would do by mistake, it does meanwhile.
func (r *rig) rounds(s *tapped) {
	r.t.Helper()
	until := s.lookups.Load() + 10
	r.await("ten rounds", func() bool { return s.lookups.Load() >= until })
}

func briefLeases(r *rig, lease, timeout time.Duration) {
	r.cfg.Lease = func(delivery.Integration) time.Duration { return lease }
	r.cfg.Timeout = func(delivery.Integration) time.Duration { return timeout }
}

// value reads one number.
func (r *rig) value(query string) (n float64) {
	r.t.Helper()
	conn := storetest.Session(r.t, r.dsn)
	if err := conn.QueryRow(r.t.Context(), query).Scan(&n); err != nil {
		r.t.Fatal(err)
	}
	return n
}

// A database that goes down between the listening and the first look ends no process, and what is paused is not sent to before the
// pause is known.
func TestADatabaseThatIsAwayAtTheStartIsWaitedFor(t *testing.T) {
	s := answering(func(context.Context, delivery.Request) delivery.Result { return ok })
	r := newRig(t, s, quick("push"), quick("held"))
	if err := r.SetPaused(t.Context(), "held", true, "ann", "not now"); err != nil {
		t.Fatal(err)
	}
	r.enqueue("push", 1)
	r.enqueue("held", 1)
	tap := r.tap()
	tap.lookup = func(n int64) error {
		if n <= 3 {
			return errors.New("FATAL: the database system is shutting down (SQLSTATE 57P03)")
		}
		return nil
	}
	tap.claim = func(context.Context) error {
		if n := tap.lookups.Load(); n <= 3 {
			t.Errorf("claims after %d looks that failed", n)
		}
		return nil
	}
	r.start()
	r.awaitStates(map[string]int{"delivered": 1, "pending": 1})
	r.rounds(tap)
	if s.count() != 1 {
		t.Errorf("%d sends", s.count())
	}
}

// One that never comes back does not keep the process from ending.
func TestTheStartEndsWhileTheDatabaseIsAway(t *testing.T) {
	r := newRig(t, answering(func(context.Context, delivery.Request) delivery.Result { return ok }))
	tap := r.tap()
	tap.lookup = func(int64) error { return errors.New("connection refused") }
	_, stop := r.start()
	r.await("looks", func() bool { return tap.lookups.Load() > 2 })
	stop()
}

func TestHeartbeatsProlongTheLeaseOfAnAttempt(t *testing.T) {
	release := make(chan struct{})
	s := answering(func(context.Context, delivery.Request) delivery.Result { <-release; return ok })
	r := newRig(t, s)
	briefLeases(r, 3*time.Second, 2500*time.Millisecond)
	r.enqueue("push", 1)
	r.start()
	s.next(t)
	const lease = "SELECT extract(epoch FROM due_at)::float8 FROM redrive.queue"
	first := r.value(lease)
	r.await("a longer lease", func() bool { return r.value(lease) > first })
	close(release)
	r.awaitStates(map[string]int{"delivered": 1})
	if s.count() != 1 {
		t.Errorf("%d sends", s.count())
	}
}

func TestALostLeaseStopsTheAttempt(t *testing.T) {
	cause := make(chan error, 1)
	s := answering(func(ctx context.Context, _ delivery.Request) delivery.Result {
		<-ctx.Done()
		cause <- ctx.Err()
		return unknown
	})
	r := newRig(t, s)
	briefLeases(r, 6*time.Second, 5*time.Second)
	r.cfg.StatePoll = time.Hour
	r.enqueue("push", 1)
	eng, _ := r.start()
	s.next(t)
	r.claimsNothingMore(eng)
	r.takeOver()
	if err := <-cause; !errors.Is(err, context.Canceled) {
		t.Errorf("the attempt ended by %v", err)
	}
}

// takeOver makes every lease run out and takes the deliveries as another process.
func (r *rig) takeOver() {
	r.t.Helper()
	r.sql("UPDATE redrive.queue SET due_at = now() - interval '1 second' WHERE token IS NOT NULL")
	claimed, err := r.Claim(r.t.Context(), "other", []delivery.Quota{{Integration: "push", Limit: 100, Lease: time.Hour}})
	if err != nil || len(claimed) == 0 {
		r.t.Fatalf("%d taken over: %v", len(claimed), err)
	}
}

func TestWhatWasLostInTheBufferIsNotSent(t *testing.T) {
	release := make(chan struct{})
	s := answering(func(context.Context, delivery.Request) delivery.Result { <-release; return ok })
	r := newRig(t, s, quick("push", func(i *delivery.Integration) { i.Concurrency = 1 }))
	briefLeases(r, 6*time.Second, 5*time.Second)
	store := r.tap()
	r.cfg.StatePoll = time.Hour
	r.enqueue("push", 2)
	eng, stop := r.start()
	s.next(t)
	r.await("one in the buffer", func() bool { return eng.Stats("push").Buffered == 1 })
	r.sql("UPDATE redrive.queue SET due_at = now() + interval '1 hour', token = nextval('redrive.lease_token'), worker = 'other'")
	for lost := 0; lost < 2; {
		lost += len(<-store.beats)
	}
	// noted by the same goroutine before it beats again or stops
	close(release)
	r.await("an idle engine", func() bool { return eng.Stats("push").Busy == 0 })
	stop()
	if s.count() != 1 {
		t.Errorf("%d sends", s.count())
	}
}

// Two suspects of killing processes must not be tried at the same time: the innocent would be quarantined with the guilty.
func TestSuspectsAreTriedOneByOne(t *testing.T) {
	var now, most atomic.Int64
	release := make(chan struct{})
	s := answering(func(_ context.Context, q delivery.Request) delivery.Result {
		if q.Attempt == 1 {
			return ok
		}
		n := now.Add(1)
		defer now.Add(-1)
		for old := most.Load(); n > old && !most.CompareAndSwap(old, n); old = most.Load() {
		}
		<-release
		return ok
	})
	r := newRig(t, s, quick("push", func(i *delivery.Integration) { i.Concurrency = 16 }))
	r.enqueue("push", 5)
	r.sql("UPDATE redrive.queue SET attempts = 2, crashes = $1", delivery.MaxCrashes-1)
	r.enqueue("push", 30)
	r.start()
	r.await("the others", func() bool { return r.states()["delivered"] == 30 })
	close(release)
	r.awaitStates(map[string]int{"delivered": 35})
	if most.Load() != 1 {
		t.Errorf("%d suspects at a time", most.Load())
	}
}

// What may not be sent now is given back in one write: kills leave hundreds of suspects, and a write for each of them, each time that
// one of them is tried, took minutes.
func TestWhatMayNotBeSentIsGivenBackTogether(t *testing.T) {
	for _, c := range []struct {
		name, spoil string
		answer      delivery.Result
		becomes     string
	}{
		{"suspects", "attempts = 2, crashes = 2", ok, "delivered"},
		{"no budget", "attempts = 1", refused, "dead"}, // what is refused earns none
	} {
		t.Run(c.name, func(t *testing.T) {
			const total = 200
			r := newRig(t, always(c.answer), quick("push", func(i *delivery.Integration) { i.Concurrency = 16 }))
			r.cfg.Budget = engine.BudgetConfig{PerSecond: 70} // two seconds' worth is there at the start
			store := r.tap()
			var releases atomic.Int64
			store.release = func() error { releases.Add(1); return nil }
			r.enqueue("push", total)
			r.sql("UPDATE redrive.queue SET " + c.spoil)
			r.start()
			r.awaitStates(map[string]int{c.becomes: total})
			if n := releases.Load(); n == 0 || n > store.brought.Load() {
				t.Errorf("%d writes gave back what %d claims brought", n, store.brought.Load())
			}
		})
	}
}

func TestRetriesKeepToTheirBudget(t *testing.T) {
	s := always(refused) // neither earns credit nor opens the breaker
	r := newRig(t, s)
	store := r.tap()
	r.cfg.Budget = engine.BudgetConfig{PerSecond: 0.001, Share: 0.001}
	r.enqueue("push", 20)
	r.sql("UPDATE redrive.queue SET attempts = 1")
	r.enqueue("push", 20)
	r.start()
	r.await("the first attempts", func() bool { return r.states()["dead"] >= 20 })
	r.rounds(store)
	retries := 0
	s.mu.Lock()
	for _, q := range s.requests {
		if q.Attempt > 1 {
			retries++
		}
	}
	s.mu.Unlock()
	if retries != 1 {
		t.Errorf("%d retries on a budget of one", retries)
	}
	if n := r.value("SELECT max(attempts - (token IS NOT NULL)::int) FROM redrive.queue"); n != 1 {
		t.Errorf("waiting for the budget cost attempts: %v", n)
	}
}

func TestNoClaimsWhileOutcomesCannotBeWritten(t *testing.T) {
	s := always(ok)
	r := newRig(t, s)
	store := r.tap()
	away := atomic.Bool{}
	away.Store(true)
	store.complete = func() error {
		if away.Load() {
			return errors.New("the database is away")
		}
		return nil
	}
	const total = 10_000
	r.enqueue("push", total)
	r.start()
	r.await("a backlog", func() bool { return s.count() >= 2000 })
	r.rounds(store)
	if n := s.count(); n > 4000 {
		t.Errorf("%d outcomes are waiting to be written", n)
	}
	away.Store(false)
	r.awaitStates(map[string]int{"delivered": total})
	if s.count() != total {
		t.Errorf("%d sends of %d", s.count(), total)
	}
}

func TestAPauseEmptiesTheBuffer(t *testing.T) {
	release := make(chan struct{})
	s := answering(func(context.Context, delivery.Request) delivery.Result { <-release; return ok })
	r := newRig(t, s)
	r.enqueue("push", 50)
	eng, _ := r.start()
	for range 4 {
		s.next(t)
	}
	r.await("a full buffer", func() bool { return eng.Stats("push").Buffered > 0 })
	if err := r.SetPaused(t.Context(), "push", true, "ann", "maintenance"); err != nil {
		t.Fatal(err)
	}
	r.awaitStates(map[string]int{"sending": 4, "pending": 46})
	close(release)
	r.awaitStates(map[string]int{"delivered": 4, "pending": 46})
	if s.count() != 4 {
		t.Errorf("%d sends, 4 were under way when it was paused", s.count())
	}
}

// A sender that listens to nothing costs its slot for the time of one attempt, and a few of them stop the integration.
func TestDeafSendersAreLeftBehind(t *testing.T) {
	release := make(chan struct{})
	s := answering(func(context.Context, delivery.Request) delivery.Result { <-release; return ok })
	r := newRig(t, s, quick("push", func(i *delivery.Integration) { i.Concurrency = 1; i.Retry.Attempts = 100 }))
	briefLeases(r, 400*time.Millisecond, 100*time.Millisecond)
	r.cfg.Breaker = engine.BreakerConfig{Consecutive: 1000, Last: 1000}
	store := r.tap()
	r.enqueue("push", 30)
	eng, _ := r.start()
	for range 4 {
		s.next(t)
	}
	r.await("no slot in use", func() bool { return eng.Stats("push").Busy == 0 })
	r.rounds(store)
	if n := s.count(); n > 8 {
		t.Errorf("%d deaf senders at one slot", n)
	}
	if n := r.value("SELECT count(*) FROM redrive.attempts WHERE outcome = 'unknown' AND error_class = 'timeout'"); n < 4 {
		t.Errorf("%v outcomes of deaf senders", n)
	}
	close(release)
}

// The second phase of a stop: attempts that outlast the grace period are cut off, and their outcomes are still written.
func TestTheGracePeriodEnds(t *testing.T) {
	s := answering(func(ctx context.Context, _ delivery.Request) delivery.Result { <-ctx.Done(); return unknown })
	r := newRig(t, s, quick("push", func(i *delivery.Integration) {
		i.Destination.To.(*delivery.HTTPDestination).Timeout = time.Minute
		i.Idempotent = false
	}))
	r.enqueue("push", 10)
	eng, err := engine.New(r.cfg)
	if err != nil {
		t.Fatal(err)
	}
	taking, stopTaking := context.WithCancel(context.Background())
	grace, giveUp := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- eng.Run(taking, grace) }()
	for range 4 {
		s.next(t)
	}
	stopTaking()
	r.awaitStates(map[string]int{"sending": 4, "pending": 6})
	giveUp()
	select {
	case err := <-done:
		if err != nil {
			t.Error(err)
		}
	case <-time.After(patience.Limit):
		t.Fatal("the engine runs on")
	}
	r.awaitStates(map[string]int{"dead": 4, "pending": 6})
}

func TestAnOutcomeThatCouldNotBeWrittenIsWrittenLater(t *testing.T) {
	s := always(ok)
	r := newRig(t, s)
	var once sync.Once
	r.tap().complete = func() (err error) {
		once.Do(func() { err = errors.New("the database is away") })
		return err
	}
	r.enqueue("push", 3)
	r.start()
	r.awaitStates(map[string]int{"delivered": 3})
	if s.count() != 3 {
		t.Errorf("%d sends", s.count())
	}
}

func TestAWakeUpFindsWorkAtOnce(t *testing.T) {
	s := always(ok)
	r := newRig(t, s)
	store := r.tap()
	r.cfg.Poll = time.Hour
	eng, _ := r.start()
	r.await("the first look", func() bool { return store.lookups.Load() > 3 })
	r.enqueue("push", 1)
	eng.Wake()
	if q := s.next(t); !strings.HasPrefix(string(q.Message.Payload), "1") {
		t.Errorf("sent %q", q.Message.Payload)
	}
}

func TestClaimsGoOnAfterErrors(t *testing.T) {
	s := always(ok)
	r := newRig(t, s)
	var calls atomic.Int64
	r.tap().claim = func(context.Context) error {
		if calls.Add(1) <= 3 {
			return errors.New("the database is away")
		}
		return nil
	}
	r.enqueue("push", 1)
	r.start()
	r.awaitStates(map[string]int{"delivered": 1})
}

// A claim that is under way when the stop comes has committed leases or is about to: they must be known, to be given back.
func TestAClaimOutlivesTheStop(t *testing.T) {
	r := newRig(t, always(ok))
	r.enqueue("push", 5)
	store := r.tap()
	eng, err := engine.New(r.cfg)
	if err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(context.Background())
	store.claim = func(claim context.Context) error { stop(); return claim.Err() }
	if err := eng.Run(ctx, context.Background()); err != nil {
		t.Fatal(err)
	}
	// a worker may have been quicker than the stop
	if n := r.value("SELECT count(*) FROM redrive.queue WHERE token IS NOT NULL OR attempts <> 0"); n != 0 {
		t.Errorf("%v of 5 are held by nobody: states %v", n, r.states())
	}
	if n := r.value("SELECT last_value FROM redrive.lease_token"); n != 5 {
		t.Errorf("the claim was broken off: last token %v", n)
	}
}

func TestWhatIsIgnoredUntilNowIsReopened(t *testing.T) {
	r := newRig(t, always(refused))
	r.enqueue("push", 1)
	_, stop := r.start()
	r.awaitStates(map[string]int{"dead": 1})
	stop()
	until := time.Now().Add(time.Hour)
	request := delivery.ActionRequest{Action: delivery.ActionIgnore, ID: r.only(delivery.StateDead).ID, Actor: "ann", Reason: "later",
		Category: "other", End: delivery.End{Until: &until}}
	if _, err := r.Act(t.Context(), request); err != nil {
		t.Fatal(err)
	}
	r.sql("UPDATE redrive.failure_details SET until = now()")
	r.start()
	r.awaitStates(map[string]int{"dead": 1})
}

func TestWhatCouldNotBeGivenBackIsGivenBackLater(t *testing.T) {
	release := make(chan struct{})
	s := answering(func(context.Context, delivery.Request) delivery.Result { <-release; return ok })
	r := newRig(t, s)
	var once sync.Once
	r.tap().release = func() (err error) {
		once.Do(func() { err = errors.New("the database is away") })
		return err
	}
	r.enqueue("push", 50)
	eng, stop := r.start()
	r.await("a full buffer", func() bool { stats := eng.Stats("push"); return stats.Busy == 4 && stats.Buffered > 0 })
	if err := r.SetPaused(t.Context(), "push", true, "ann", "maintenance"); err != nil {
		t.Fatal(err)
	}
	r.awaitStates(map[string]int{"sending": 4, "pending": 46})
	close(release)
	stop()
}
