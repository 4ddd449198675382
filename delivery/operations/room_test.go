package operations_test

import (
	"bytes"
	"context"
	"fmt"
	"log/slog"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"redrive/delivery"
	"redrive/delivery/engine"
	"redrive/delivery/operations"
	"redrive/store"
	"redrive/store/storetest"
	"redrive/store/storetest/patience"
)

func TestMain(m *testing.M) { storetest.Main(m) }

// receiver is what everything is sent to; it answers as the test says.
type receiver struct {
	refuse atomic.Bool
	mu     sync.Mutex
	seen   map[string]int // by message
	at     []time.Time
}

func (r *receiver) Send(_ context.Context, request delivery.Request) delivery.Result {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.seen[request.Message.ID]++
	r.at = append(r.at, time.Now())
	if r.refuse.Load() {
		return delivery.Result{Outcome: delivery.OutcomePermanent, ErrorClass: delivery.ClassHTTP4xx, Error: "the receiver answered 422", HTTPStatus: 422}
	}
	return delivery.Result{Outcome: delivery.OutcomeOK, HTTPStatus: 200}
}

func (*receiver) Close() error { return nil }

func (r *receiver) requests() (n, messages int) {
	r.mu.Lock()
	defer r.mu.Unlock()
	return len(r.at), len(r.seen)
}

// site is a store, an engine and rooms on it.
type site struct {
	*store.Store
	t    *testing.T
	dsn  string
	to   *receiver
	wake func() // the rooms
}

func open(t *testing.T, rooms int, log *slog.Logger) *site {
	t.Helper()
	s := &site{t: t, dsn: storetest.New(t), to: &receiver{seen: map[string]int{}}}
	db, err := store.Open(t.Context(), s.dsn, log)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(db.Close)
	s.Store = db
	in := delivery.Integration{Name: "push", Method: delivery.MethodOutbox, Idempotent: true, Concurrency: 16, OnFailure: delivery.StateDead,
		Retry:       delivery.RetryPolicy{Attempts: 3, Backoff: []time.Duration{time.Hour}, Jitter: delivery.JitterNone},
		Destination: delivery.Destination{To: &delivery.HTTPDestination{URL: "http://127.0.0.1:1", Timeout: 2 * time.Second}}}
	if err := db.SyncIntegrations(t.Context(), []delivery.Integration{in}); err != nil {
		t.Fatal(err)
	}
	eng, err := engine.New(engine.Config{Store: db, Integrations: []delivery.Integration{in}, Senders: map[string]delivery.Sender{"push": s.to}, Log: log, Poll: time.Minute})
	if err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(context.Background())
	var running sync.WaitGroup
	t.Cleanup(func() { stop(); running.Wait() })
	running.Go(func() { _ = eng.Run(ctx, ctx) })
	var all []*operations.Room
	for range rooms {
		room := operations.New(operations.Config{Store: db, Wake: eng.Wake, Log: log, Poll: 20 * time.Millisecond, Idle: 50 * time.Millisecond})
		all = append(all, room)
		running.Go(func() {
			if err := room.Run(ctx, ctx); err != nil {
				t.Error(err)
			}
		})
	}
	s.wake = func() {
		for _, room := range all {
			room.Wake()
		}
	}
	return s
}

var quiet = slog.New(slog.DiscardHandler)

func (s *site) dead(n int) {
	s.t.Helper()
	conn, err := pgx.Connect(s.t.Context(), s.dsn)
	if err != nil {
		s.t.Fatal(err)
	}
	defer conn.Close(context.Background())
	if _, err := conn.Exec(s.t.Context(), `WITH made AS MATERIALIZED (SELECT redrive.new_id() AS id, redrive.new_id() AS message, clock_timestamp() AS at FROM generate_series(1, $1::int)),
		messages AS (INSERT INTO redrive.messages (id, kind, integration, type, payload) SELECT message, 'command', 'push', 'test', 'x' FROM made)
		INSERT INTO redrive.deliveries (id, message_id, integration, state, attempts, error_class, created_at, failed_at, dead_at)
		SELECT id, message, 'push', 'dead', 3, 'http_5xx', at, at, at FROM made`, n); err != nil {
		s.t.Fatal(err)
	}
}

func (s *site) start(p delivery.Pace) string {
	s.t.Helper()
	o, err := s.StartOperation(s.t.Context(), delivery.OperationRequest{Action: delivery.ActionRetry, Filter: &delivery.Filter{}, Actor: "ann", Pace: p})
	if err != nil {
		s.t.Fatal(err)
	}
	s.wake()
	return o.ID
}

// await reads the operation until it is as wanted.
func (s *site) await(id, what string, done func(o delivery.Operation) bool) (o delivery.Operation) {
	s.t.Helper()
	patience.Eventually(s.t, what, func() (err error) {
		if o, err = s.Operation(s.t.Context(), id); err != nil {
			s.t.Fatal(err)
		}
		if sum := o.Succeeded + o.Failed + o.Skipped + o.Cancelled + o.Remaining; sum != o.Selected || o.Remaining < 0 {
			s.t.Fatalf("the numbers do not add up: %+v", o)
		}
		if !done(o) {
			return fmt.Errorf("it is %+v", o)
		}
		return nil
	})
	return o
}

func finished(o delivery.Operation) bool { return o.State == delivery.OperationFinished }

func TestTwoProcessesShareTheWork(t *testing.T) {
	s := open(t, 2, quiet)
	s.dead(5000)
	o := s.await(s.start(delivery.Pace{}), "the end", finished)
	if n, messages := s.to.requests(); n != 5000 || messages != 5000 || o.Succeeded != 5000 {
		t.Errorf("%d requests for %d messages: %+v", n, messages, o)
	}
	if report, err := s.VerifyAudit(t.Context()); err != nil || report.Entries != 5001 || !report.OK() {
		t.Errorf("audit: %v %v", report, err)
	}
}

func TestARateIsKeptOnTheClock(t *testing.T) {
	s := open(t, 2, quiet)
	s.dead(300)
	began := time.Now()
	s.await(s.start(delivery.Pace{Rate: 100, RampTo: 300, RampOver: time.Second}), "the end", finished)
	// 200 within the first second, 300 a second then; a burst may be a second's
	if took := time.Since(began); took < 900*time.Millisecond {
		t.Errorf("300 in %v", took)
	}
	s.to.mu.Lock()
	defer s.to.mu.Unlock()
	early := 0
	for _, at := range s.to.at {
		if at.Sub(began) < 400*time.Millisecond {
			early++
		}
	}
	if early > 80 { // the ramp's integral up to there is 56
		t.Errorf("%d in the first 0.4 s", early)
	}
}

func TestCanariesStopAnOperationBeforeTheRest(t *testing.T) {
	s := open(t, 1, quiet)
	s.dead(500)
	s.to.refuse.Store(true)
	id := s.start(delivery.Pace{Canary: 10, StopAbove: 0.2})
	o := s.await(id, "the pause", func(o delivery.Operation) bool { return o.State == delivery.OperationPaused })
	if n, _ := s.to.requests(); n != 10 || o.Failed != 10 || o.Note.Args["integration"] != "push" {
		t.Fatalf("%d requests: %+v", n, o)
	}
	s.to.refuse.Store(false)
	if _, err := s.SteerOperation(t.Context(), delivery.Steer{ID: id, Actor: "ann", Resume: true, Version: o.Version}); err != nil {
		t.Fatal(err)
	}
	s.wake()
	if o = s.await(id, "the end", finished); o.Succeeded != 500 || o.Failed != 0 { // what had failed was sent again
		t.Errorf("finished %+v", o)
	}
}

func TestTroubleIsToldOnce(t *testing.T) {
	var told lockedBuffer
	s := open(t, 0, quiet)
	s.Close()
	ctx, stop := context.WithCancel(t.Context())
	counted := &counting{Store: s.Store, enough: stop}
	room := operations.New(operations.Config{Store: counted, Log: slog.New(slog.NewTextHandler(&told, nil)), Idle: time.Millisecond})
	if err := room.Run(ctx, ctx); err != nil {
		t.Fatal(err)
	}
	if n := strings.Count(told.String(), "operations do not get on"); n != 1 {
		t.Errorf("told %d times: %s", n, told.String())
	}
}

// counting ends the test after some looks.
type counting struct {
	operations.Store
	looks  int
	enough func()
}

func (c *counting) OpenOperations(ctx context.Context) ([]string, bool, error) {
	if c.looks++; c.looks > 5 {
		c.enough()
	}
	ids, acting, err := c.Store.OpenOperations(ctx)
	return ids, acting, fmt.Errorf("looking: %w", err)
}

func (*counting) ForgetFormTokens(context.Context) error { return nil }

func (*counting) ExpireApprovals(context.Context) error { return nil }

type lockedBuffer struct {
	mu sync.Mutex
	bytes.Buffer
}

func (b *lockedBuffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.Buffer.Write(p)
}
