package engine_test

import (
	"context"
	"fmt"
	"log/slog"
	"maps"
	"strings"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"

	"redrive/delivery"
	"redrive/delivery/engine"
	"redrive/store"
	"redrive/store/storetest"
	"redrive/store/storetest/patience"
)

func TestMain(m *testing.M) { storetest.Main(m) }

// sender answers as a test says and notes every request.
type sender struct {
	mu       sync.Mutex
	requests []delivery.Request
	answer   func(ctx context.Context, r delivery.Request) delivery.Result
	arrived  chan delivery.Request
}

func answering(answer func(ctx context.Context, r delivery.Request) delivery.Result) *sender {
	return &sender{answer: answer, arrived: make(chan delivery.Request, 100_000)}
}

func always(r delivery.Result) *sender {
	return answering(func(context.Context, delivery.Request) delivery.Result { return r })
}

func (s *sender) Send(ctx context.Context, r delivery.Request) delivery.Result {
	s.mu.Lock()
	s.requests = append(s.requests, r)
	s.mu.Unlock()
	s.arrived <- r
	return s.answer(ctx, r)
}

func (*sender) Close() error { return nil }

func (s *sender) count() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(s.requests)
}

func (s *sender) next(t *testing.T) delivery.Request {
	t.Helper()
	select {
	case r := <-s.arrived:
		return r
	case <-time.After(patience.Limit):
		t.Fatal("nothing was sent")
		return delivery.Request{}
	}
}

var (
	ok          = delivery.Result{Outcome: delivery.OutcomeOK, HTTPStatus: 200}
	unavailable = delivery.Result{Outcome: delivery.OutcomeTransient, ErrorClass: delivery.ClassHTTP5xx, Error: "the receiver answered 503", HTTPStatus: 503}
	refused     = delivery.Result{Outcome: delivery.OutcomePermanent, ErrorClass: delivery.ClassHTTP4xx, Error: "the receiver answered 422", HTTPStatus: 422}
	unknown     = delivery.Result{Outcome: delivery.OutcomeUnknown, ErrorClass: delivery.ClassTimeout, Error: "no answer"}
)

// rig is a store, integrations and an engine on them.
type rig struct {
	*store.Store
	t       *testing.T
	dsn     string
	cfg     engine.Config
	senders map[string]*sender
}

func quick(name string, change ...func(*delivery.Integration)) delivery.Integration {
	i := delivery.Integration{Name: name, Method: delivery.MethodOutbox, Idempotent: true, Concurrency: 4, OnFailure: delivery.StateDead,
		Retry:       delivery.RetryPolicy{Attempts: 3, Backoff: []time.Duration{time.Millisecond}, Jitter: delivery.JitterNone},
		Destination: delivery.Destination{To: &delivery.HTTPDestination{URL: "http://127.0.0.1:1", Timeout: 2 * time.Second}}}
	for _, c := range change {
		c(&i)
	}
	return i
}

func newRig(t *testing.T, s *sender, integrations ...delivery.Integration) *rig {
	t.Helper()
	log := slog.New(slog.DiscardHandler)
	dsn := storetest.New(t)
	db, err := store.Open(t.Context(), dsn, log)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(db.Close)
	if len(integrations) == 0 {
		integrations = []delivery.Integration{quick("push")}
	}
	if err := db.SyncIntegrations(t.Context(), integrations); err != nil {
		t.Fatal(err)
	}
	r := &rig{Store: db, t: t, dsn: dsn, senders: map[string]*sender{}}
	senders := map[string]delivery.Sender{}
	for _, i := range integrations {
		senders[i.Name] = s
	}
	r.cfg = engine.Config{Store: db, Integrations: integrations, Senders: senders, Log: log, Poll: 20 * time.Millisecond}
	return r
}

// start runs an engine and returns it with what stops it in two phases.
func (r *rig) start() (eng *engine.Engine, stop func()) {
	r.t.Helper()
	eng, err := engine.New(r.cfg)
	if err != nil {
		r.t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- eng.Run(ctx, context.Background()) }()
	var once sync.Once
	stop = func() {
		once.Do(func() {
			cancel()
			if err := <-done; err != nil {
				r.t.Error(err)
			}
		})
	}
	r.t.Cleanup(stop)
	return eng, stop
}

func (r *rig) sql(statement string, args ...any) {
	r.t.Helper()
	if _, err := storetest.Session(r.t, r.dsn).Exec(r.t.Context(), statement, args...); err != nil {
		r.t.Fatal(err)
	}
}

func (r *rig) enqueue(integration string, n int) {
	r.t.Helper()
	r.sql("SELECT redrive.enqueue($1, 't', convert_to(n::text, 'UTF8')) FROM generate_series(1, $2) n", integration, n)
}

// states counts deliveries by state.
func (r *rig) states() map[string]int {
	r.t.Helper()
	conn := storetest.Session(r.t, r.dsn)
	rows, err := conn.Query(r.t.Context(), "SELECT state, count(*) FROM redrive.all_deliveries GROUP BY state")
	if err != nil {
		r.t.Fatal(err)
	}
	counts := map[string]int{}
	for rows.Next() {
		var state string
		var n int
		if err := rows.Scan(&state, &n); err != nil {
			r.t.Fatal(err)
		}
		counts[state] = n
	}
	return counts
}

// await repeats a look until it shows what is wanted.
func (r *rig) await(what string, done func() bool) { r.t.Helper(); patience.Until(r.t, what, done) }

func (r *rig) awaitStates(want map[string]int) {
	r.t.Helper()
	patience.Eventually(r.t, fmt.Sprint(want), func() error {
		if got := r.states(); !maps.Equal(got, want) {
			return fmt.Errorf("states %v", got)
		}
		return nil
	})
}

// only returns the single failure in a state.
func (r *rig) only(state delivery.State) delivery.Detail {
	r.t.Helper()
	page, err := r.Failures(r.t.Context(), delivery.Filter{States: []delivery.State{state}})
	if err != nil || len(page.Items) != 1 {
		r.t.Fatalf("%d failures in state %s: %v", len(page.Items), state, err)
	}
	detail, err := r.Delivery(r.t.Context(), page.Items[0].ID)
	if err != nil {
		r.t.Fatal(err)
	}
	return detail
}

func TestEverythingIsDeliveredOnce(t *testing.T) {
	s := always(ok)
	r := newRig(t, s)
	storetest.Session(t, r.dsn) // goes on until the end of the test
	before := goleak.IgnoreCurrent()
	const total = 3000
	r.enqueue("push", total)
	_, stop1 := r.start()
	_, stop2 := r.start() // a second process shares the work
	r.awaitStates(map[string]int{"delivered": total})
	stop1()
	stop2()
	if s.count() != total {
		t.Errorf("%d sends of %d deliveries", s.count(), total)
	}
	r.Close()
	goleak.VerifyNone(t, before)
}

func TestRetriesUntilDelivered(t *testing.T) {
	s := answering(func(_ context.Context, q delivery.Request) delivery.Result {
		if q.Attempt < 3 {
			return unavailable
		}
		return ok
	})
	r := newRig(t, s)
	r.enqueue("push", 1)
	r.start()
	r.awaitStates(map[string]int{"delivered": 1})
	detail := r.only(delivery.StateDelivered)
	if len(detail.Timeline) != 3 || detail.Attempts != 3 {
		t.Errorf("timeline %+v", detail.Timeline)
	}
	for _, q := range s.requests {
		if q.IdempotencyKey != s.requests[0].IdempotencyKey || q.IdempotencyKey == "" {
			t.Errorf("idempotency keys differ: %+v", s.requests)
		}
	}
}

func TestOutcomesAndPolicies(t *testing.T) {
	panics := func(context.Context, delivery.Request) delivery.Result { panic("no") }
	fixed := func(x delivery.Result) func(context.Context, delivery.Request) delivery.Result {
		return func(context.Context, delivery.Request) delivery.Result { return x }
	}
	delicate := func(i *delivery.Integration) { i.Idempotent = false }
	lenient := func(i *delivery.Integration) { i.OnFailure = delivery.StateIgnored }
	for name, c := range map[string]struct {
		answer func(context.Context, delivery.Request) delivery.Result
		change func(*delivery.Integration)
		state  delivery.State
		class  string
		sends  int
	}{
		"used up":                   {fixed(unavailable), func(*delivery.Integration) {}, delivery.StateDead, delivery.ClassHTTP5xx, 3},
		"permanent":                 {fixed(refused), func(*delivery.Integration) {}, delivery.StateDead, delivery.ClassHTTP4xx, 1},
		"ignored by policy":         {fixed(refused), lenient, delivery.StateIgnored, delivery.ClassHTTP4xx, 1},
		"unknown, drops duplicates": {fixed(unknown), func(*delivery.Integration) {}, delivery.StateDead, delivery.ClassTimeout, 3},
		"unknown, no duplicates":    {fixed(unknown), delicate, delivery.StateDead, delivery.ClassTimeout, 1},
		"unknown is never ignored":  {fixed(unknown), func(i *delivery.Integration) { delicate(i); lenient(i) }, delivery.StateDead, delivery.ClassTimeout, 1},
		"the sender panics":         {panics, func(*delivery.Integration) {}, delivery.StateDead, delivery.ClassPanic, 1},
	} {
		t.Run(name, func(t *testing.T) {
			s := answering(c.answer)
			r := newRig(t, s, quick("push", c.change))
			r.enqueue("push", 1)
			r.start()
			r.awaitStates(map[string]int{string(c.state): 1})
			if detail := r.only(c.state); detail.ErrorClass != c.class || len(detail.Timeline) != c.sends || s.count() != c.sends {
				t.Errorf("class %s after %d sends: %+v", detail.ErrorClass, s.count(), detail.Timeline)
			}
		})
	}
}

func TestAnExpiredMessageIsNotSent(t *testing.T) {
	s := always(ok)
	r := newRig(t, s)
	r.sql("SELECT redrive.enqueue('push', 't', 'x', expires_at => now() - interval '1 second')")
	r.start()
	r.awaitStates(map[string]int{"dead": 1})
	if detail := r.only(delivery.StateDead); detail.ErrorClass != delivery.ClassExpired || s.count() != 0 {
		t.Errorf("%s after %d sends", detail.ErrorClass, s.count())
	}
}

// vanish claims everything that is due as a worker that is never heard of again.
func (r *rig) vanish(times int) {
	r.t.Helper()
	for range times {
		r.await("a due delivery", func() bool {
			claimed, err := r.Claim(r.t.Context(), "vanished", []delivery.Quota{{Integration: "push", Limit: 1, Lease: time.Millisecond}})
			if err != nil {
				r.t.Fatal(err)
			}
			return len(claimed) == 1
		})
	}
}

// clock is the database's time.
func (r *rig) clock() (now time.Time) {
	r.t.Helper()
	conn := storetest.Session(r.t, r.dsn)
	if err := conn.QueryRow(r.t.Context(), "SELECT clock_timestamp()").Scan(&now); err != nil {
		r.t.Fatal(err)
	}
	return now
}

func TestPoisonIsQuarantined(t *testing.T) {
	s := always(ok)
	r := newRig(t, s)
	r.enqueue("push", 1)
	r.vanish(delivery.MaxCrashes)
	r.start()
	r.awaitStates(map[string]int{"dead": 1})
	if detail := r.only(delivery.StateDead); detail.ErrorClass != delivery.ClassPoison || s.count() != 0 ||
		detail.Attempts != delivery.MaxCrashes || len(detail.Timeline) != delivery.MaxCrashes {
		t.Errorf("%s after %d sends, %d attempts: %+v", detail.ErrorClass, s.count(), detail.Attempts, detail.Timeline)
	}
	// a person may still try again
	detail := r.only(delivery.StateDead)
	if _, err := r.Act(t.Context(), delivery.ActionRequest{Action: delivery.ActionRetry, ID: detail.ID, Actor: "ann"}); err != nil {
		t.Fatal(err)
	}
	r.awaitStates(map[string]int{"delivered": 1})
}

func TestAVanishedWorkersDeliveryIsTakenOver(t *testing.T) {
	directory := delivery.Destination{To: &delivery.FileDestination{Dir: "in"}}
	sftp := delivery.Destination{To: &delivery.FileDestination{SFTP: &delivery.SFTPServer{}}}
	upload := delivery.Destination{To: &delivery.FileDestination{Upload: &delivery.HTTPDestination{}}}
	for name, c := range map[string]struct {
		to         delivery.Destination
		idempotent bool
		state      delivery.State
		sends      int
	}{
		"drops duplicates":   {delivery.Destination{To: &delivery.HTTPDestination{}}, true, delivery.StateDelivered, 1},
		"does not":           {delivery.Destination{To: &delivery.HTTPDestination{}}, false, delivery.StateDead, 0},
		"redis does not":     {delivery.Destination{To: &delivery.RedisDestination{}}, false, delivery.StateDead, 0},
		"rabbitmq does not":  {delivery.Destination{To: &delivery.RabbitMQDestination{}}, false, delivery.StateDead, 0},
		"kafka does not":     {delivery.Destination{To: &delivery.KafkaDestination{}}, false, delivery.StateDead, 0},
		"an upload does not": {upload, false, delivery.StateDead, 0}, "a directory is looked at": {directory, false, delivery.StateDelivered, 1},
		"so is a server": {sftp, false, delivery.StateDelivered, 1}, "and a table": {delivery.Destination{To: &delivery.TableDestination{}}, false, delivery.StateDelivered, 1},
	} {
		t.Run(name, func(t *testing.T) {
			s := always(ok)
			r := newRig(t, s, quick("push", func(i *delivery.Integration) { i.Destination, i.Idempotent = c.to, c.idempotent }))
			r.enqueue("push", 1)
			before := r.clock()
			r.vanish(1)
			after := r.clock()
			r.sql("UPDATE redrive.queue SET due_at = now() - interval '1 hour'") // the lease's end is not it either
			r.start()
			r.awaitStates(map[string]int{string(c.state): 1})
			detail := r.only(c.state)
			if s.count() != c.sends || detail.Attempts != 1+c.sends || len(detail.Timeline) != 1+c.sends {
				t.Fatalf("%d sends, %d attempts: %+v", s.count(), detail.Attempts, detail.Timeline)
			}
			// what nobody reported of began when it was taken, not when that was found out
			lost := detail.Timeline[0]
			if lost.ErrorClass != delivery.ClassLeaseLost || lost.Number != 1 || lost.StartedAt.Before(before) || lost.StartedAt.After(after) {
				t.Errorf("it was taken between %s and %s, and is dated %+v", before, after, lost)
			}
			if c.sends == 0 && (detail.ErrorClass != delivery.ClassLeaseLost || !strings.Contains(detail.Error, "outcome unknown")) {
				t.Errorf("dead as %s: %s", detail.ErrorClass, detail.Error)
			}
		})
	}
}

// The first process stops breathing in the middle of an attempt; a second one takes over; then the first one wakes up.
func TestALateOutcomeChangesNothing(t *testing.T) {
	stalled := make(chan struct{})
	first := answering(func(context.Context, delivery.Request) delivery.Result { <-stalled; return ok })
	noticed := make(chan struct{})
	second := answering(func(context.Context, delivery.Request) delivery.Result { <-noticed; return refused })
	r := newRig(t, first)
	r.enqueue("push", 1)
	late := make(chan int, 10)
	r.cfg.Observer = observer{late: late}
	r.cfg.StatePoll = time.Hour
	eng, _ := r.start()
	first.next(t)
	r.claimsNothingMore(eng) // else it might take over what it holds itself
	// what a stopped process looks like to the others: its lease has run out
	r.sql("UPDATE redrive.queue SET due_at = now() - interval '1 second'")
	r.cfg.Senders = map[string]delivery.Sender{"push": second}
	r.cfg.Observer = nil
	r.start()
	second.next(t)
	close(stalled) // its outcome arrives while the second attempt is under way
	select {
	case <-late:
	case <-time.After(patience.Limit):
		t.Error("the late outcome was not noticed")
	}
	close(noticed)
	r.awaitStates(map[string]int{"dead": 1})
	detail := r.only(delivery.StateDead)
	kept := detail.Timeline[len(detail.Timeline)-2]
	if kept.Outcome != delivery.OutcomeLate || kept.Late != delivery.OutcomeOK || detail.ErrorClass != delivery.ClassHTTP4xx {
		t.Errorf("%s %s, timeline %+v", detail.State, detail.ErrorClass, detail.Timeline)
	}
}

// claimsNothingMore leaves one engine, which does not look up pauses by itself, in the belief that all is paused.
func (r *rig) claimsNothingMore(eng *engine.Engine) {
	r.t.Helper()
	for _, paused := range []bool{true, false} {
		if err := r.SetPaused(r.t.Context(), "push", paused, "ann", "test"); err != nil {
			r.t.Fatal(err)
		}
		r.await("the pause", func() bool {
			if !eng.Stats("push").Paused {
				eng.Wake()
			}
			return eng.Stats("push").Paused
		})
	}
}

type observer struct{ late chan int }

func (observer) Attempt(string, delivery.Method, delivery.Outcome, time.Duration) {}
func (o observer) Late(n int)                                                     { o.late <- n }
func (observer) LeaseExpired(int)                                                 {}

func TestPauseHoldsAndResumeGoesOn(t *testing.T) {
	s := always(ok)
	r := newRig(t, s, quick("push"), quick("other"))
	if err := r.SetPaused(t.Context(), "push", true, "ann", "maintenance"); err != nil {
		t.Fatal(err)
	}
	eng, _ := r.start()
	r.await("the pause", func() bool { return eng.Stats("push").Paused })
	r.enqueue("push", 5)
	r.enqueue("other", 5)
	r.awaitStates(map[string]int{"delivered": 5, "pending": 5})
	if err := r.SetPaused(t.Context(), "push", false, "ann", ""); err != nil {
		t.Fatal(err)
	}
	eng.Wake()
	r.awaitStates(map[string]int{"delivered": 10})
}

func TestAnOpenBreakerSpendsNoAttempts(t *testing.T) {
	var mu sync.Mutex
	down := true
	s := answering(func(context.Context, delivery.Request) delivery.Result {
		mu.Lock()
		defer mu.Unlock()
		if down {
			return unavailable
		}
		return ok
	})
	r := newRig(t, s, quick("push", func(i *delivery.Integration) { i.Retry.Attempts = 8; i.Retry.Backoff = []time.Duration{time.Second} }))
	r.cfg.Breaker = engine.BreakerConfig{Open: 300 * time.Millisecond, MaxOpen: 300 * time.Millisecond}
	r.enqueue("push", 100)
	eng, _ := r.start()
	r.await("an open breaker", func() bool { return eng.Stats("push").Breaker == delivery.BreakerOpen })
	r.await("people see it", func() bool {
		states, err := r.IntegrationStates(t.Context())
		return err == nil && states["push"].Breaker != delivery.BreakerClosed
	})
	mu.Lock()
	down = false
	sent := len(s.requests)
	mu.Unlock()
	if sent > 40 {
		t.Errorf("%d sends to a receiver that is down", sent)
	}
	r.awaitStates(map[string]int{"delivered": 100})
}

func TestASlowReceiverDoesNotSlowTheOthers(t *testing.T) {
	release := make(chan struct{})
	s := answering(func(_ context.Context, q delivery.Request) delivery.Result {
		if q.Integration == "slow" {
			<-release
		}
		return ok
	})
	r := newRig(t, s, quick("slow", func(i *delivery.Integration) { i.Destination.To.(*delivery.HTTPDestination).Timeout = time.Minute }), quick("fast"))
	r.enqueue("slow", 200)
	r.enqueue("fast", 500)
	eng, stop := r.start()
	r.await("the fast ones", func() bool { return r.states()["delivered"] == 500 })
	if stats := eng.Stats("slow"); stats.Busy != 4 {
		t.Errorf("%d slow attempts in flight, want 4", stats.Busy)
	}
	close(release)
	r.awaitStates(map[string]int{"delivered": 700})
	stop()
}

func TestStopFinishesWhatIsUnderWayAndGivesBackTheRest(t *testing.T) {
	release := make(chan struct{})
	s := answering(func(context.Context, delivery.Request) delivery.Result { <-release; return ok })
	r := newRig(t, s)
	r.enqueue("push", 50)
	eng, stop := r.start()
	for range 4 {
		s.next(t)
	}
	r.await("a full buffer", func() bool { return eng.Stats("push").Buffered > 0 })
	stopped := make(chan struct{})
	go func() { stop(); close(stopped) }()
	r.await("the buffer to be given back", func() bool { return r.states()["sending"] == 4 })
	close(release)
	<-stopped
	r.awaitStates(map[string]int{"delivered": 4, "pending": 46})
	if s.count() != 4 {
		t.Errorf("%d sends after the stop began", s.count())
	}
	claimed, err := r.Claim(t.Context(), "next", []delivery.Quota{{Integration: "push", Limit: 100, Lease: time.Minute}})
	if err != nil || len(claimed) != 46 {
		t.Fatalf("%d given back: %v", len(claimed), err)
	}
	for _, c := range claimed {
		if c.Attempt != 1 || c.LostLease {
			t.Errorf("given back as %+v", c.Lease)
		}
	}
}

func TestPayloadsInMemoryAreBounded(t *testing.T) {
	release := make(chan struct{})
	s := answering(func(context.Context, delivery.Request) delivery.Result { <-release; return ok })
	r := newRig(t, s, quick("push", func(i *delivery.Integration) {
		i.Concurrency = 64
		i.Destination.To.(*delivery.HTTPDestination).Timeout = time.Minute
	}))
	store := r.tap()
	r.cfg.MaxInFlightBytes = 4 << 20
	r.sql("SELECT redrive.enqueue('push', 't', convert_to(repeat('x', 1048576), 'UTF8')) FROM generate_series(1, 40)")
	r.sql("SELECT redrive.enqueue('push', 't', convert_to(repeat('x', 5242880), 'UTF8')) FROM generate_series(1, 3)") // larger than allowed
	eng, _ := r.start()
	for range 4 {
		s.next(t)
	}
	if stats := eng.Stats("push"); stats.Busy+stats.Buffered != 4 {
		t.Errorf("%d payloads of 1 MiB in memory, the limit is 4 MiB", stats.Busy+stats.Buffered)
	}
	close(release)
	r.awaitStates(map[string]int{"delivered": 43})
	if most := store.largest.Load(); most > 5<<20 {
		t.Errorf("a claim brought %d bytes", most)
	}
}

func TestWrongConfigurationIsRefused(t *testing.T) {
	r := newRig(t, always(ok))
	for name, change := range map[string]func(*engine.Config){
		"no store":     func(c *engine.Config) { c.Store = nil },
		"no sender":    func(c *engine.Config) { c.Senders = nil },
		"twice":        func(c *engine.Config) { c.Integrations = append(c.Integrations, c.Integrations[0]) },
		"short leases": func(c *engine.Config) { c.Lease = func(delivery.Integration) time.Duration { return time.Second } },
	} {
		cfg := r.cfg
		change(&cfg)
		if _, err := engine.New(cfg); err == nil {
			t.Errorf("%s was accepted", name)
		}
	}
}

// A start finds what came too late for the last one: a lease that held then, a producer's commit.
func TestWhatWaitsForARetiredIntegrationDies(t *testing.T) {
	r := newRig(t, always(ok))
	r.enqueue("push", 3)
	r.sql("UPDATE redrive.integrations SET active = false")
	r.cfg.Integrations, r.cfg.Senders = nil, nil
	r.start()
	r.awaitStates(map[string]int{"dead": 3})
}

// What comes later, under a lease that ends or by a producer that is slow, dies while the process runs.
func TestWhatComesForARetiredIntegrationDies(t *testing.T) {
	r := newRig(t, always(ok))
	r.cfg.Integrations, r.cfg.Senders = nil, nil
	r.cfg.StatePoll, r.cfg.Tidy = 50*time.Millisecond, 50*time.Millisecond
	store := r.tap()
	r.start()
	r.await("the first looks", func() bool { return store.lookups.Load() > 2 })
	r.enqueue("push", 3)
	r.sql("UPDATE redrive.integrations SET active = false")
	r.awaitStates(map[string]int{"dead": 3})
}

// A pause whose time is over ends by itself, and the audit says so.
func TestAPauseEndsByItself(t *testing.T) {
	r := newRig(t, always(ok))
	r.cfg.StatePoll, r.cfg.Tidy = 50*time.Millisecond, 50*time.Millisecond
	store := r.tap()
	if err := r.PauseUntil(t.Context(), "push", "ann", "tonight", time.Now().Add(time.Hour)); err != nil {
		t.Fatal(err)
	}
	r.start()
	r.enqueue("push", 2)
	r.await("looks at the pause", func() bool { return store.lookups.Load() > 3 })
	if n := r.value("SELECT count(*) FROM redrive.queue"); n != 2 {
		t.Fatalf("%v wait during the pause", n)
	}
	r.sql("UPDATE redrive.integrations SET paused_until = clock_timestamp() WHERE name = 'push'")
	r.awaitStates(map[string]int{"delivered": 2})
	if n := r.value("SELECT count(*) FROM redrive.audit WHERE action = 'integration.resume' AND actor = 'policy' AND details->'why'->>'key' = 'audit.paused_until'"); n != 1 {
		t.Errorf("%v entries of one pause that ended", n)
	}
}

// The breaker of a process that was killed stays where it was for people and operations, until another one knows better.
func TestABreakerThatAKilledProcessLeftIsClosed(t *testing.T) {
	for name, left := range map[string]string{"probing": "breaker = 'half-open', breaker_until = NULL", "open": "breaker = 'open', breaker_until = now() - interval '1 second'"} {
		t.Run(name, func(t *testing.T) {
			r := newRig(t, always(ok))
			r.cfg.StatePoll = 50 * time.Millisecond
			store := r.tap()
			r.start()
			r.await("its first look", func() bool { return store.lookups.Load() > 1 })
			r.sql("UPDATE redrive.integrations SET " + left)
			r.await("a closed breaker", func() bool {
				r.enqueue("push", 1)
				return r.value("SELECT (breaker = 'closed')::int FROM redrive.integrations WHERE name = 'push'") == 1
			})
		})
	}
}
