package pool

import (
	"context"
	"errors"
	"log/slog"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"

	"redrive/delivery"
	"redrive/store/storetest/patience"
)

// shelf is a store in memory.
type shelf struct {
	mu      sync.Mutex
	err     error           // of every call
	refuses map[string]bool // message types
	parked  map[string]delivery.Parked
	order   []string
	again   int // records that were parked already
	counted int
	keys    map[string]delivery.Accepted
	came    chan delivery.Parked
}

func newShelf() *shelf {
	return &shelf{parked: map[string]delivery.Parked{}, keys: map[string]delivery.Accepted{}, refuses: map[string]bool{}, came: make(chan delivery.Parked, 100_000)}
}

func (s *shelf) Park(ctx context.Context, list []delivery.Parked) (fresh int, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if err := errors.Join(s.err, ctx.Err()); err != nil {
		return 0, err
	}
	for _, p := range list {
		if s.refuses[p.Message.Type] {
			return 0, errors.New("refused")
		}
	}
	for _, p := range list {
		if _, known := s.parked[p.DeliveryID]; known {
			s.again++
			continue
		}
		s.parked[p.DeliveryID] = p
		s.order = append(s.order, p.DeliveryID)
		if key := p.Message.IdempotencyKey; key != "" {
			s.keys[p.Integration+key] = delivery.Accepted{ID: p.Message.ID, Deliveries: []delivery.DeliveryRef{{ID: p.DeliveryID, Integration: p.Integration, State: p.Next}}}
		}
		fresh++
		s.came <- p
	}
	return fresh, nil
}

func (s *shelf) CountDelivered(ctx context.Context, _ string, n int) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if err := errors.Join(s.err, ctx.Err()); err != nil {
		return err
	}
	s.counted += n
	return nil
}

func (s *shelf) AcceptedByKey(_ context.Context, m delivery.Message) (delivery.Accepted, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if a, ok := s.keys[m.Integration+m.IdempotencyKey]; ok || s.err != nil {
		return a, s.err
	}
	return delivery.Accepted{}, delivery.ErrNotFound
}

func (s *shelf) fail(err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.err = err
}

// all returns what was parked, in its order.
func (s *shelf) all() (list []delivery.Parked) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, id := range s.order {
		list = append(list, s.parked[id])
	}
	return list
}

func (s *shelf) next(t *testing.T) delivery.Parked {
	t.Helper()
	select {
	case p := <-s.came:
		return p
	case <-time.After(patience.Limit):
		t.Fatal("nothing was parked")
		return delivery.Parked{}
	}
}

var (
	ok          = delivery.Result{Outcome: delivery.OutcomeOK, HTTPStatus: 200}
	unavailable = delivery.Result{Outcome: delivery.OutcomeTransient, ErrorClass: delivery.ClassHTTP5xx, Error: "the receiver answered 503", HTTPStatus: 503}
	refused     = delivery.Result{Outcome: delivery.OutcomePermanent, ErrorClass: delivery.ClassHTTP4xx, Error: "the receiver answered 422", HTTPStatus: 422}
	errAway     = errors.New("the database is away")
)

func always(r delivery.Result) AttemptFunc {
	return func(context.Context, delivery.Request) delivery.Result { return r }
}

// gate holds attempts until it is told their result.
type gate struct {
	arrived chan delivery.Request
	answer  chan delivery.Result
}

func newGate() *gate {
	return &gate{arrived: make(chan delivery.Request, 100_000), answer: make(chan delivery.Result)}
}

func (g *gate) send(ctx context.Context, r delivery.Request) delivery.Result {
	g.arrived <- r
	select {
	case result := <-g.answer:
		return result
	case <-ctx.Done():
		return delivery.Result{Outcome: delivery.OutcomeUnknown, ErrorClass: delivery.ClassTimeout, Error: "cut off"}
	}
}

// rig is a pool that runs.
type rig struct {
	*Pool
	t      *testing.T
	store  *shelf
	ended  chan error
	signal context.CancelFunc // to stop
	giveUp context.CancelFunc // end of the grace period
}

func integration(workers, queue int, full delivery.WhenFull) delivery.Integration {
	return delivery.Integration{Name: "push", Method: delivery.MethodPool, Idempotent: true, OnFailure: delivery.StateDead, Retry: delivery.DefaultPoolRetry,
		Pool: &delivery.PoolSettings{Workers: workers, Queue: queue, WhenFull: full}}
}

func start(t *testing.T, attempts Attempter, in delivery.Integration, change ...func(*Config)) *rig {
	t.Helper()
	r := &rig{t: t, store: newShelf(), ended: make(chan error, 1)}
	cfg := Config{Integrations: []delivery.Integration{in}, Attempts: attempts, Dir: t.TempDir(), Log: slog.New(slog.DiscardHandler), Store: r.store}
	for _, c := range change {
		c(&cfg)
	}
	r.store, _ = cfg.Store.(*shelf)
	var err error
	if r.Pool, err = New(cfg); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	grace, giveUp := context.WithCancel(context.Background())
	r.signal, r.giveUp = cancel, giveUp
	go func() { r.ended <- r.Run(ctx, grace) }()
	t.Cleanup(func() { cancel(); giveUp() })
	<-r.opened
	return r
}

// stop ends the pool and returns what Run said.
func (r *rig) stop() error {
	r.t.Helper()
	r.signal()
	err := <-r.ended
	r.ended <- err
	r.giveUp()
	return err
}

func (r *rig) offer(m delivery.Message) delivery.Accepted {
	r.t.Helper()
	a, err := r.Offer(r.t.Context(), command(m))
	if err != nil {
		r.t.Fatal(err)
	}
	return a
}

func command(m delivery.Message) delivery.Message {
	m.Integration = "push"
	if m.Type == "" {
		m.Type = "test"
	}
	return m
}

// refusal is the code of the error that an offer is answered with.
func (r *rig) refusal(ctx context.Context, m delivery.Message) string {
	r.t.Helper()
	_, err := r.Offer(ctx, command(m))
	var unavailable *delivery.UnavailableError
	var input *delivery.InputError
	switch {
	case errors.As(err, &unavailable):
		if unavailable.RetryAfter <= 0 {
			r.t.Errorf("incomplete: %+v", unavailable)
		}
		return unavailable.Code
	case errors.As(err, &input):
		return input.Code
	}
	r.t.Fatalf("got %v", err)
	return ""
}

// until looks again until it is done.
func until(t *testing.T, what string, done func() bool) {
	t.Helper()
	deadline := time.Now().Add(patience.Limit)
	for !done() {
		if time.Now().After(deadline) {
			t.Fatalf("in vain: %s", what)
		}
		time.Sleep(time.Millisecond)
	}
}

func checkLeaks(t *testing.T) { t.Cleanup(func() { goleak.VerifyNone(t, goleak.IgnoreCurrent()) }) }
