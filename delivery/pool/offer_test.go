package pool

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	"redrive/delivery"
	"redrive/store/storetest/patience"
)

func TestBlockWaitsForRoomInOrder(t *testing.T) {
	g := newGate()
	r := start(t, AttemptFunc(g.send), integration(1, 1, delivery.WhenFullBlock))
	r.offer(delivery.Message{})
	r.offer(delivery.Message{})
	short, cancel := context.WithTimeout(t.Context(), time.Millisecond)
	defer cancel()
	if code := r.refusal(short, delivery.Message{}); code != "pool_full" || r.Stats("push").Rejected != 1 {
		t.Errorf("%s %+v", code, r.Stats("push"))
	}
	taken := make(chan error, 1)
	go func() {
		_, err := r.Offer(context.Background(), command(delivery.Message{Type: "blocked"}))
		taken <- err
	}()
	until(t, "one is blocked", func() bool { return r.Stats("push").Blocked == 1 })
	if code := r.refusal(t.Context(), delivery.Message{}); code != "pool_full" { // as many as the queue is long may wait
		t.Error(code)
	}
	g.answer <- ok
	if err := <-taken; err != nil {
		t.Error(err)
	}
	for range 2 {
		g.answer <- ok
	}
	if err := r.stop(); err != nil || r.store.counted != 3 {
		t.Error(err, r.store.counted)
	}
}

func TestCallerRunsAnswersTheOutcome(t *testing.T) {
	g := newGate()
	r := start(t, AttemptFunc(func(ctx context.Context, q delivery.Request) delivery.Result {
		switch q.Message.Type {
		case "good":
			return ok
		case "bad":
			return refused
		case "slow":
			return unavailable
		}
		return g.send(ctx, q)
	}), integration(1, 1, delivery.WhenFullCallerRuns))
	r.offer(delivery.Message{})
	r.offer(delivery.Message{})
	for kind, want := range map[string]delivery.State{"good": delivery.StateDelivered, "bad": delivery.StateDead, "slow": delivery.StatePending} {
		a := r.offer(delivery.Message{Type: kind})
		if a.Deliveries[0].State != want {
			t.Errorf("%s: %+v", kind, a)
		}
		if kind == "good" {
			continue
		}
		if list := r.store.all(); list[len(list)-1].DeliveryID != a.Deliveries[0].ID || list[len(list)-1].Next != want { // durable when it is answered
			t.Errorf("%s: not parked", kind)
		}
	}
	r.store.fail(errAway)
	if a := r.offer(delivery.Message{Type: "bad"}); a.Deliveries[0].State != delivery.StateDead {
		t.Errorf("into the journal: %+v", a)
	}
	for range 2 {
		g.answer <- ok
	}
	r.store.fail(nil)
	if err := r.stop(); err != nil || r.Stats("push").CallerRuns != 4 || r.store.counted != 3 {
		t.Error(err, r.Stats("push"), r.store.counted)
	}
}

func TestJournalTakesWhatDoesNotFit(t *testing.T) {
	g := newGate()
	r := start(t, AttemptFunc(g.send), integration(1, 1, delivery.WhenFullJournal))
	r.offer(delivery.Message{})
	r.offer(delivery.Message{})
	want := map[string]bool{}
	var mu sync.Mutex
	var producers sync.WaitGroup
	for n := range 200 {
		producers.Go(func() {
			a, err := r.Offer(context.Background(), command(delivery.Message{Payload: []byte(fmt.Sprint(n)), IdempotencyKey: fmt.Sprint("k", n)}))
			if err != nil {
				t.Error(err)
				return
			}
			mu.Lock()
			want[a.Deliveries[0].ID] = true
			mu.Unlock()
		})
	}
	producers.Wait()
	for range 200 {
		if p := r.store.next(t); p.Next != delivery.StatePending || !want[p.DeliveryID] {
			t.Errorf("imported %+v", p)
		}
	}
	again := r.offer(delivery.Message{IdempotencyKey: "k7"})
	if !again.Duplicate || !want[again.Deliveries[0].ID] {
		t.Errorf("again: %+v", again)
	}
	until(t, "an empty journal", func() bool { return r.Stats("push").JournalEntries == 0 })
	for range 2 {
		g.answer <- ok
	}
	if err := r.stop(); err != nil || r.Stats("push").Shelved != 200 {
		t.Error(err, r.Stats("push"))
	}
	if left, _ := os.ReadDir(r.cfg.Dir); len(left) != 0 {
		t.Errorf("%v is left", left)
	}
}

func TestAFullJournalRejects(t *testing.T) {
	g := newGate()
	r := start(t, AttemptFunc(g.send), integration(1, 1, delivery.WhenFullJournal), func(c *Config) { c.MaxJournalBytes = 100 })
	r.offer(delivery.Message{})
	r.offer(delivery.Message{})
	if code := r.refusal(t.Context(), delivery.Message{IdempotencyKey: "k"}); code != "pool_full" || r.Stats("push").Rejected != 1 {
		t.Error(code, r.Stats("push"))
	}
	for range 2 {
		g.answer <- ok
	}
	until(t, "room", func() bool { return r.Stats("push").Busy == 0 })
	a := r.offer(delivery.Message{IdempotencyKey: "k"}) // the key of a rejected message is free again
	if a.Duplicate {
		t.Error("the rejected message counted")
	}
	g.answer <- ok
	_ = r.stop()
}

func TestWhatNobodyCanWriteDownIsSaid(t *testing.T) {
	r := start(t, always(refused), integration(1, 1, delivery.WhenFullBlock), func(c *Config) { c.MaxJournalBytes = 1 })
	r.store.fail(errAway)
	soon := time.Now().Add(time.Hour)
	if code := r.refusal(t.Context(), delivery.Message{DeliverAfter: &soon}); code != "pool_unrecorded" {
		t.Error(code)
	}
	r.offer(delivery.Message{})
	until(t, "a dead letter that cannot be written", func() bool { return r.Stats("push").Recording == 1 })
	r.giveUp()
	r.signal()
	select {
	case err := <-r.ended:
		if err == nil || !strings.Contains(err.Error(), "1 accepted messages") {
			t.Errorf("it ended with %v", err)
		}
	case <-time.After(patience.Limit):
		t.Fatal("it does not end")
	}
}

// Whoever uses a key for something else is told what differs: of another sender's message nothing more than that it is.
func TestAKeyOfSomethingElseIsTold(t *testing.T) {
	r := start(t, always(ok), integration(1, 5, delivery.WhenFullBlock))
	first := delivery.Message{IdempotencyKey: "k", Type: "t", Key: "a", Payload: []byte("1"), Sender: "ann"}
	if a := r.offer(first); a.Duplicate || a.Differs != "" {
		t.Errorf("the first: %+v", a)
	}
	for differs, change := range map[delivery.KeyReuse][]func(m *delivery.Message){
		"":                       {func(*delivery.Message) {}, func(m *delivery.Message) { m.Headers = map[string]string{"traceparent": "x"} }},
		delivery.ReusedBySender:  {func(m *delivery.Message) { m.Sender = "bob" }, func(m *delivery.Message) { m.Sender, m.Payload = "bob", []byte("2") }},
		delivery.ReusedByContent: {func(m *delivery.Message) { m.Type = "u" }, func(m *delivery.Message) { m.Key = "b" }, func(m *delivery.Message) { m.Payload = []byte("2") }},
	} {
		for n, c := range change {
			m := first
			c(&m)
			if a := r.offer(m); !a.Duplicate || a.Differs != differs {
				t.Errorf("%q %d: %+v", differs, n, a)
			}
		}
	}
	_ = r.stop()
}

func TestOneKeyIsOneMessage(t *testing.T) {
	g := newGate()
	r := start(t, AttemptFunc(g.send), integration(5, 50, delivery.WhenFullBlock))
	var mu sync.Mutex
	ids, fresh := map[string]bool{}, 0
	var producers sync.WaitGroup
	for range 20 {
		producers.Go(func() {
			a, err := r.Offer(context.Background(), command(delivery.Message{IdempotencyKey: "k"}))
			mu.Lock()
			defer mu.Unlock()
			if ids[a.ID] = true; err != nil || len(a.Deliveries) != 1 {
				t.Error(a, err)
			}
			if !a.Duplicate {
				fresh++
			}
		})
	}
	producers.Wait()
	if q := <-g.arrived; len(ids) != 1 || fresh != 1 || q.IdempotencyKey != "k" || len(g.arrived) != 0 {
		t.Errorf("%d ids, %d fresh, %d sent, key %s", len(ids), fresh, len(g.arrived)+1, q.IdempotencyKey)
	}
	g.answer <- refused
	dead := r.store.next(t)
	until(t, "it is known as dead", func() bool {
		return r.offer(delivery.Message{IdempotencyKey: "k"}).Deliveries[0].State == delivery.StateDead
	})
	if err := r.stop(); err != nil {
		t.Fatal(err)
	}
	// another process, or a later start: the store knows what was parked
	later := start(t, AttemptFunc(g.send), integration(5, 50, delivery.WhenFullBlock), func(c *Config) { c.Store = r.store })
	if a := later.offer(delivery.Message{IdempotencyKey: "k"}); !a.Duplicate || a.ID != dead.Message.ID {
		t.Errorf("after a restart: %+v", a)
	}
	r.store.fail(errAway)
	if a := later.offer(delivery.Message{IdempotencyKey: "k"}); !a.Duplicate || a.ID != dead.Message.ID { // remembered
		t.Errorf("with the store away: %+v", a)
	}
	if a := later.offer(delivery.Message{IdempotencyKey: "new"}); a.Duplicate {
		t.Errorf("a new key with the store away: %+v", a)
	}
	<-g.arrived
	g.answer <- ok
	r.store.fail(nil)
	_ = later.stop()
}

func TestTheWindowIsBounded(t *testing.T) {
	w, now := newWindow(3, time.Minute), time.Unix(0, 0)
	take := func(key string) bool {
		e, mine := w.reserve(hashOf("push", key), now)
		if mine {
			w.resolve(e, delivery.Accepted{}, true)
		}
		return mine
	}
	for _, key := range []string{"a", "b", "c", "d"} {
		if !take(key) {
			t.Errorf("%s is known", key)
		}
	}
	if take("d") || take("c") || !take("a") || w.order.Len() != 3 || len(w.byKey) != 3 {
		t.Errorf("%d and %d keys", w.order.Len(), len(w.byKey))
	}
	now = now.Add(2 * time.Minute)
	if !take("d") || w.order.Len() != 1 {
		t.Errorf("%d keys after their time", w.order.Len())
	}
}

func TestImpossibleMessagesAreRefused(t *testing.T) {
	r := start(t, always(ok), integration(1, 1, delivery.WhenFullBlock))
	past, future := time.Now(), time.Now().Add(time.Hour)
	for want, m := range map[string]delivery.Message{
		"invalid_kind": {Kind: delivery.KindEvent}, "too_long": {Key: strings.Repeat("k", 1025)}, "invalid_idempotency_key": {IdempotencyKey: "ü"},
		"invalid_text": {Key: "\xff"}, "payload_too_large": {Payload: make([]byte, delivery.MaxPayload+1)}, "invalid_expiry": {DeliverAfter: &future, ExpiresAt: &past},
	} {
		if code := r.refusal(t.Context(), m); code != want {
			t.Errorf("%s instead of %s", code, want)
		}
	}
	var input *delivery.InputError
	if _, err := r.Offer(t.Context(), delivery.Message{Integration: "push"}); !errors.As(err, &input) || input.Code != "type_required" {
		t.Error(err)
	}
	if _, err := r.Offer(t.Context(), delivery.Message{Integration: "other", Type: "t"}); !errors.As(err, &input) || input.Code != "unknown_integration" {
		t.Error(err)
	}
	_ = r.stop()
}

func TestBeforeRunOffersWait(t *testing.T) {
	p, err := New(Config{Integrations: []delivery.Integration{integration(1, 1, "")}, Attempts: always(ok), Store: newShelf(), Dir: t.TempDir()})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := p.Offer(ctx, command(delivery.Message{})); !errors.Is(err, errStopping) {
		t.Error(err)
	}
	if err := p.Run(ctx, ctx); err != nil {
		t.Error(err)
	}
}
