package pool

import (
	"context"
	"fmt"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/goleak"

	"redrive/delivery"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func TestASuccessLeavesOnlyACount(t *testing.T) {
	var keys sync.Map
	r := start(t, AttemptFunc(func(_ context.Context, q delivery.Request) delivery.Result {
		keys.Store(q.IdempotencyKey, q.Message.ID)
		return ok
	}), integration(4, 10, delivery.WhenFullBlock))
	ids := map[string]string{}
	for range 500 {
		a := r.offer(delivery.Message{Payload: []byte("x")})
		ids[a.Deliveries[0].ID] = a.ID
	}
	if err := r.stop(); err != nil {
		t.Fatal(err)
	}
	parked := r.store.all()
	if r.store.counted+len(parked) != 500 || len(ids) != 500 {
		t.Errorf("%d counted, %d parked, %d ids", r.store.counted, len(parked), len(ids))
	}
	for id, message := range ids {
		if got, sent := keys.Load(id); sent && got != message {
			t.Errorf("delivery %s was sent with message %v", id, got)
		}
	}
}

func TestOneRetryAfterHalfASecondThenADeadLetter(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var at []time.Duration
		began := time.Now()
		r := start(t, AttemptFunc(func(_ context.Context, q delivery.Request) delivery.Result {
			if at = append(at, time.Since(began)); q.Attempt != len(at) {
				t.Errorf("attempt %d is numbered %d", len(at), q.Attempt)
			}
			return unavailable
		}), integration(1, 1, delivery.WhenFullBlock))
		a := r.offer(delivery.Message{Payload: []byte("x")})
		synctest.Wait()
		if s := r.Stats("push"); s.Busy != 0 || s.Waiting != 1 {
			t.Errorf("while it waits: %+v", s)
		}
		p := <-r.store.came
		if len(at) != 2 || at[0] != 0 || at[1] != 500*time.Millisecond {
			t.Errorf("attempts at %v", at)
		}
		if p.Next != delivery.StateDead || p.DeliveryID != a.Deliveries[0].ID || p.Message.ID != a.ID || len(p.Attempts) != 2 || p.Attempts[1].Number != 2 ||
			string(p.Message.Payload) != "x" || p.Attempts[1].HTTPStatus != 503 {
			t.Errorf("parked %+v", p)
		}
		if err := r.stop(); err != nil || r.Stats("push") != (Stats{Workers: 1, Queue: 1}) {
			t.Errorf("%v %+v", err, r.Stats("push"))
		}
	})
}

func TestAWaitingRetryHoldsNoWorker(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var second time.Duration
		began := time.Now()
		r := start(t, AttemptFunc(func(_ context.Context, q delivery.Request) delivery.Result {
			if q.Message.Type == "second" {
				second = time.Since(began)
				return ok
			}
			return unavailable
		}), integration(1, 5, delivery.WhenFullBlock))
		r.offer(delivery.Message{Type: "first"})
		r.offer(delivery.Message{Type: "second"})
		<-r.store.came
		if second != 0 || r.store.counted != 0 {
			t.Errorf("the second one was sent after %s", second)
		}
		if err := r.stop(); err != nil || r.store.counted != 1 {
			t.Error(err, r.store.counted)
		}
	})
}

// paused never sends.
type paused struct{ wait time.Duration }

func (p paused) Try(context.Context, delivery.Request) (delivery.Tried, time.Duration, bool) {
	return delivery.Tried{}, p.wait, false
}

func TestWhatCannotBeSentNowIsParked(t *testing.T) {
	slow := unavailable
	slow.RetryAfter = time.Minute
	past, future := time.Now().Add(-time.Second), time.Now().Add(time.Hour)
	for name, c := range map[string]struct {
		attempts Attempter
		message  delivery.Message
		next     delivery.State
		tried    int
		class    string
		least    time.Duration
	}{
		"paused or resting": {paused{7 * time.Second}, delivery.Message{}, delivery.StatePending, 0, "", 6 * time.Second},
		"retry after":       {always(slow), delivery.Message{}, delivery.StatePending, 1, delivery.ClassHTTP5xx, 59 * time.Second},
		"permanent":         {always(refused), delivery.Message{}, delivery.StateDead, 1, delivery.ClassHTTP4xx, 0},
		"nonsense":          {always(delivery.Result{Outcome: "fine", Error: "\x00"}), delivery.Message{}, delivery.StateDead, 2, "", 0},
		"expired":           {always(ok), delivery.Message{ExpiresAt: &past}, delivery.StateDead, 1, delivery.ClassExpired, 0},
		"later":             {always(ok), delivery.Message{DeliverAfter: &future}, delivery.StatePending, 0, "", 59 * time.Minute},
		"panic": {AttemptFunc(func(context.Context, delivery.Request) delivery.Result { panic("boom") }), delivery.Message{}, delivery.StateDead, 1,
			delivery.ClassPanic, 0},
	} {
		t.Run(name, func(t *testing.T) {
			checkLeaks(t)
			r := start(t, c.attempts, integration(1, 1, delivery.WhenFullBlock))
			a := r.offer(c.message)
			p := r.store.next(t)
			if p.Next != c.next || len(p.Attempts) != c.tried || p.RetryIn < c.least || p.DeliveryID != a.Deliveries[0].ID || a.Deliveries[0].State != delivery.StatePending {
				t.Errorf("parked %+v", p)
			}
			if c.tried > 0 && p.Attempts[c.tried-1].ErrorClass != c.class {
				t.Errorf("class %q", p.Attempts[c.tried-1].ErrorClass)
			}
			if err := r.stop(); err != nil {
				t.Error(err)
			}
		})
	}
}

func TestPolicyDecides(t *testing.T) {
	ignoring := integration(1, 1, delivery.WhenFullBlock)
	ignoring.OnFailure, ignoring.Retry.Attempts = delivery.StateIgnored, 1
	r := start(t, always(unavailable), ignoring)
	r.offer(delivery.Message{})
	if p := r.store.next(t); p.Next != delivery.StateIgnored {
		t.Errorf("%+v", p)
	}
	_ = r.stop()
	careful := integration(1, 1, delivery.WhenFullBlock)
	careful.Idempotent = false
	r = start(t, always(delivery.Result{Outcome: delivery.OutcomeUnknown, ErrorClass: delivery.ClassTimeout}), careful)
	r.offer(delivery.Message{})
	if p := r.store.next(t); p.Next != delivery.StateDead || len(p.Attempts) != 1 {
		t.Errorf("an unknown outcome was repeated: %+v", p)
	}
	_ = r.stop()
}

func TestStopLosesNothing(t *testing.T) {
	g := newGate()
	r := start(t, AttemptFunc(g.send), integration(2, 3, delivery.WhenFullBlock))
	waits := r.offer(delivery.Message{Type: "waits"})
	<-g.arrived
	g.answer <- unavailable
	until(t, "a retry waits", func() bool { return r.Stats("push").Waiting == 1 })
	inFlight := []delivery.Accepted{r.offer(delivery.Message{}), r.offer(delivery.Message{})}
	<-g.arrived
	<-g.arrived
	queued := []delivery.Accepted{r.offer(delivery.Message{}), r.offer(delivery.Message{})}
	blocked := make(chan string, 1)
	go func() { blocked <- r.refusal(context.Background(), delivery.Message{}) }()
	until(t, "a producer is blocked", func() bool { return r.Stats("push").Blocked == 1 })
	r.signal()
	if code := <-blocked; code != "pool_stopping" {
		t.Errorf("a blocked producer got %s", code)
	}
	for range 3 { // before those in flight are done
		p := r.store.next(t)
		isWaiting := p.DeliveryID == waits.Deliveries[0].ID
		if p.Next != delivery.StatePending || (len(p.Attempts) == 1) != isWaiting || (!isWaiting && p.Message.ID != queued[0].ID && p.Message.ID != queued[1].ID) {
			t.Errorf("parked %+v", p)
		}
	}
	if code := r.refusal(t.Context(), delivery.Message{}); code != "pool_stopping" {
		t.Errorf("after the signal: %s", code)
	}
	g.answer <- ok
	g.answer <- unavailable // its retry would come too late
	p := r.store.next(t)
	if p.Next != delivery.StatePending || len(p.Attempts) != 1 || (p.Message.ID != inFlight[0].ID && p.Message.ID != inFlight[1].ID) {
		t.Errorf("parked %+v", p)
	}
	if err := r.stop(); err != nil || r.store.counted != 1 || len(r.store.all()) != 4 {
		t.Errorf("%v: %d counted, %d parked", err, r.store.counted, len(r.store.all()))
	}
}

func TestAttemptsEndWithTheGracePeriod(t *testing.T) {
	g := newGate()
	r := start(t, AttemptFunc(g.send), integration(1, 1, delivery.WhenFullBlock))
	r.offer(delivery.Message{})
	<-g.arrived
	r.signal()
	r.giveUp()
	if err := <-r.ended; err != nil {
		t.Fatal(err)
	}
	if p := r.store.next(t); p.Next != delivery.StatePending || len(p.Attempts) != 1 || p.Attempts[0].Outcome != delivery.OutcomeUnknown {
		t.Errorf("parked %+v", p)
	}
}

// Whatever fails and wherever it waits: no more than workers and queue are in memory, and every message that was taken has
// exactly one end.
func TestTheBoundHoldsWhenNothingWorks(t *testing.T) {
	const workers, queue, producers, each = 3, 7, 8, 60
	var outcomes atomic.Int64
	attempts := AttemptFunc(func(context.Context, delivery.Request) delivery.Result {
		switch outcomes.Add(1) % 3 {
		case 0:
			return ok
		case 1:
			return refused
		}
		return unavailable
	})
	in := integration(workers, queue, delivery.WhenFullBlock)
	in.Retry.Backoff = []time.Duration{time.Millisecond}
	r := start(t, attempts, in, func(c *Config) { c.MaxJournalBytes = 1 }) // the journal takes nothing
	r.store.fail(errAway)
	var taken, rejected atomic.Int64
	var all, watcher sync.WaitGroup
	done := make(chan struct{})
	watcher.Go(func() {
		for {
			select {
			case <-done:
				return
			default:
			}
			if s := r.Stats("push"); s.Busy+s.Queued+s.Waiting+s.Recording > 2*workers+queue || s.Busy > workers || s.Queued+s.Waiting > queue {
				t.Errorf("more than allowed: %+v", s)
				return
			}
		}
	})
	for n := range producers {
		all.Go(func() {
			for range each {
				ctx, cancel := context.WithTimeout(context.Background(), 3*time.Millisecond)
				if _, err := r.Offer(ctx, command(delivery.Message{Type: fmt.Sprint(n)})); err == nil {
					taken.Add(1)
				} else {
					rejected.Add(1)
				}
				cancel()
			}
		})
	}
	until(t, "the pool is full", func() bool { return rejected.Load() > 20 })
	r.store.fail(nil)
	all.Wait()
	close(done)
	watcher.Wait()
	if err := r.stop(); err != nil {
		t.Fatal(err)
	}
	s := r.Stats("push")
	if got := int64(len(r.store.all()) + r.store.counted); got != taken.Load() || s.Rejected != rejected.Load() {
		t.Errorf("%d taken, %d ended; %d rejected, %d counted", taken.Load(), got, rejected.Load(), s.Rejected)
	}
	if s.Busy+s.Queued+s.Waiting+s.Recording != 0 || r.bulkheads["push"].bytes != 0 {
		t.Errorf("left %+v", s)
	}
	t.Logf("%d taken, %d rejected", taken.Load(), rejected.Load())
}

func TestPayloadsInMemoryAreBounded(t *testing.T) {
	g := newGate()
	r := start(t, AttemptFunc(g.send), integration(5, 5, delivery.WhenFullJournal), func(c *Config) { c.MaxBytes = 1000 })
	for range 3 {
		r.offer(delivery.Message{Payload: make([]byte, 400)})
	}
	if s := r.Stats("push"); s.Busy != 2 || s.Shelved != 1 {
		t.Errorf("%+v", s)
	}
	for range 2 {
		<-g.arrived
		g.answer <- ok
	}
	until(t, "room", func() bool { return r.Stats("push").Busy == 0 })
	r.offer(delivery.Message{Payload: make([]byte, 5000)}) // alone it may be larger
	<-g.arrived
	g.answer <- ok
	_ = r.stop()
}

func TestWorkersEndWhenIdle(t *testing.T) {
	r := start(t, always(ok), integration(50, 50, delivery.WhenFullBlock))
	r.offer(delivery.Message{})
	until(t, "an idle pool", func() bool { return r.Stats("push").Busy == 0 })
	if f := r.Facts("push"); f[0].Name != "busy" || f[0].Value != 0 || f[0].Limit != 50 || r.Facts("other") != nil || r.Stats("other") != (Stats{}) {
		t.Errorf("%+v", f)
	}
	if err := r.stop(); err != nil {
		t.Fatal(err)
	}
	if err := r.Run(t.Context(), t.Context()); err == nil {
		t.Error("it ran twice")
	}
}

func TestAProducerMayReuseItsBuffers(t *testing.T) {
	g := newGate()
	r := start(t, AttemptFunc(g.send), integration(1, 1, delivery.WhenFullBlock))
	payload, headers := []byte("before"), map[string]string{"a": "before"}
	r.offer(delivery.Message{Payload: payload, Headers: headers})
	copy(payload, "after!")
	headers["a"] = "after"
	if got := <-g.arrived; string(got.Message.Payload) != "before" || got.Message.Headers["a"] != "before" {
		t.Errorf("sent %q %v", got.Message.Payload, got.Message.Headers)
	}
	g.answer <- ok
	_ = r.stop()
}

// Retries that wait count against the queue: what does not fit there waits in the store.
func TestWaitingRetriesFillTheQueue(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		in := integration(1, 2, delivery.WhenFullBlock)
		in.Retry.Backoff = []time.Duration{4 * time.Second}
		r := start(t, always(unavailable), in)
		for range 3 {
			r.offer(delivery.Message{})
			synctest.Wait()
		}
		if s, p := r.Stats("push"), <-r.store.came; s.Waiting != 2 || s.Busy != 0 || p.Next != delivery.StatePending || len(p.Attempts) != 1 || p.RetryIn != 4*time.Second {
			t.Errorf("%+v, parked %+v", s, p)
		}
		_ = r.stop()
	})
}
