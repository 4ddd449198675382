package broker

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"redrive/delivery"
	"redrive/delivery/engine"
	httpsend "redrive/delivery/send/http"
	"redrive/delivery/wire"
	"redrive/store"
	"redrive/store/storetest"
	limits "redrive/store/storetest/patience"
	"redrive/store/storetest/services"
)

const atMost = limits.Limit

// bed is what a source brings for its tests.
type bed struct {
	name      string
	remembers bool // what is not acknowledged comes again
	open      func(t *testing.T) place
}

// place is one queue, topic or channel.
type place struct {
	source  delivery.BrokerSource
	publish func(t *testing.T, list ...note)
	left    func(t *testing.T) int // messages that are not acknowledged, with no consumer there
	proxy   *services.Proxy        // between consumer and broker; nil: there is none
}

// note is a message of a test, published as a CloudEvent.
type note struct {
	id, key string
	raw     []byte // instead of an event
}

func notes(n int) []note {
	list := make([]note, n)
	for i := range list {
		list[i] = note{id: fmt.Sprintf("n%04d", i)}
	}
	return list
}

func (n note) json() []byte {
	if n.raw != nil {
		return n.raw
	}
	raw, _ := json.Marshal(map[string]any{"specversion": "1.0", "id": n.id, "source": "/tests", "type": "test.noted", "partitionkey": n.key, "data": map[string]string{"id": n.id, "key": n.key}})
	return raw
}

// ledger is a receiver that writes down every request.
type ledger struct {
	*httptest.Server
	mu      sync.Mutex
	entries []entry
	changed *sync.Cond
	answer  func(e entry) int // status; nil: 200
	held    chan struct{}     // not nil: requests wait until it is closed
	holding atomic.Int32
}

type entry struct {
	id, key, idem, webhook string
	header                 http.Header
}

func newLedger(t *testing.T) *ledger {
	l := &ledger{}
	l.changed = sync.NewCond(&l.mu)
	l.Server = httptest.NewServer(l)
	t.Cleanup(func() { l.CloseClientConnections(); l.Close() })
	return l
}

func (l *ledger) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	var e entry
	var body struct{ ID, Key string }
	raw, err := io.ReadAll(r.Body)
	if err != nil {
		return
	}
	_ = json.Unmarshal(raw, &body)
	e.id, e.key, e.idem, e.webhook, e.header = body.ID, body.Key, r.Header.Get("Idempotency-Key"), r.Header.Get("Webhook-Id"), r.Header
	l.mu.Lock()
	l.entries = append(l.entries, e)
	held, answer := l.held, l.answer
	l.changed.Broadcast()
	l.mu.Unlock()
	if held != nil {
		l.holding.Add(1)
		select {
		case <-held:
		case <-r.Context().Done():
		}
		l.holding.Add(-1)
	}
	if answer != nil {
		w.WriteHeader(answer(e))
	}
}

func (l *ledger) set(answer func(entry) int) { l.mu.Lock(); l.answer = answer; l.mu.Unlock() }

// hold makes requests wait; the answer lets them go.
func (l *ledger) hold(t *testing.T) (release func()) {
	held := make(chan struct{})
	l.mu.Lock()
	l.held = held
	l.mu.Unlock()
	release = sync.OnceFunc(func() { l.mu.Lock(); l.held = nil; l.mu.Unlock(); close(held) })
	t.Cleanup(release)
	return release
}

func (l *ledger) all() []entry {
	l.mu.Lock()
	defer l.mu.Unlock()
	return slices.Clone(l.entries)
}

// until waits until the entries are as they should be.
func (l *ledger) until(t *testing.T, what string, ok func([]entry) bool) {
	t.Helper()
	limit := limits.Left(t)
	ctx, cancel := context.WithTimeout(t.Context(), limit)
	defer cancel()
	stop := context.AfterFunc(ctx, func() { l.mu.Lock(); l.changed.Broadcast(); l.mu.Unlock() })
	defer stop()
	l.mu.Lock()
	defer l.mu.Unlock()
	for !ok(l.entries) {
		if ctx.Err() != nil {
			t.Fatalf("not within %v: %s; %d requests came, of %d messages", limit.Round(time.Second), what, len(l.entries), len(byID(l.entries)))
		}
		l.changed.Wait()
	}
}

// arrived waits for n different messages.
func (l *ledger) arrived(t *testing.T, n int) {
	t.Helper()
	l.until(t, fmt.Sprintf("waiting for %d messages", n), func(e []entry) bool { return len(byID(e)) >= n })
}

func byID(entries []entry) map[string][]entry {
	m := map[string][]entry{}
	for _, e := range entries {
		m[e.id] = append(m[e.id], e)
	}
	return m
}

// gate stands between consumer and engine and database: it pauses, and it takes the database away.
type gate struct {
	Attempter
	Store
	paused atomic.Bool
	away   atomic.Bool
	// settle is called instead of the store's, when it is set.
	settle atomic.Pointer[func(ctx context.Context, next func() error) error]
}

var errAway = errors.New("the database is away (test)")

func (g *gate) Try(ctx context.Context, r delivery.Request) (delivery.Tried, time.Duration, bool) {
	if g.paused.Load() {
		return delivery.Tried{}, time.Millisecond, false
	}
	return g.Attempter.Try(ctx, r)
}

func (g *gate) Admits(integration string) (time.Duration, bool) {
	if g.paused.Load() {
		return time.Millisecond, false
	}
	return g.Attempter.Admits(integration)
}

func (g *gate) Inbox(ctx context.Context, in string, keys []string) (map[string]delivery.InboxNote, error) {
	if g.away.Load() {
		return nil, errAway
	}
	return g.Store.Inbox(ctx, in, keys)
}

func (g *gate) Settle(ctx context.Context, in string, delivered []string, begun bool, failed []delivery.Parked) error {
	if g.away.Load() {
		return errAway
	}
	next := func() error { return g.Store.Settle(ctx, in, delivered, begun, failed) }
	if settle := g.settle.Load(); settle != nil {
		return (*settle)(ctx, next)
	}
	return next()
}

// rig is a database, an engine, a receiver and a place.
type rig struct {
	t      *testing.T
	bed    bed
	place  place
	in     delivery.Integration
	dsn    string
	db     *store.Store
	engine *engine.Engine
	ledger *ledger
	log    *slog.Logger
	over   chan struct{} // closed when the test ends
}

func newRig(t *testing.T, b bed, change ...func(*delivery.Integration)) *rig {
	t.Helper()
	r := &rig{t: t, bed: b, place: b.open(t), dsn: storetest.New(t), ledger: newLedger(t), log: storetest.Log(t), over: make(chan struct{})}
	source := r.place.source
	source.Format, source.Prefetch = delivery.FormatCloudEvents, 32
	r.in = delivery.Integration{Name: "seller-push", Method: delivery.MethodBroker, Idempotent: true, OnFailure: delivery.StateDead, Concurrency: 8, Broker: &source,
		Retry:       delivery.RetryPolicy{Attempts: 3, Backoff: []time.Duration{10 * time.Millisecond}},
		Destination: delivery.Destination{To: &delivery.HTTPDestination{URL: r.ledger.URL, Timeout: time.Minute}}} // no attempt ends by itself, however slow the machine is
	for _, f := range change {
		f(&r.in)
	}
	var err error
	if r.db, err = store.Open(t.Context(), r.dsn, r.log); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(r.db.Close)
	if err := r.db.SyncIntegrations(t.Context(), []delivery.Integration{r.in}); err != nil {
		t.Fatal(err)
	}
	sender, err := httpsend.New(*r.in.Destination.To.(*delivery.HTTPDestination), wire.Dialer{Log: r.log})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = sender.Close() })
	r.engine, err = engine.New(engine.Config{Store: r.db, Integrations: []delivery.Integration{r.in}, Senders: map[string]delivery.Sender{r.in.Name: sender},
		Log: r.log, Poll: 50 * time.Millisecond,
		Breaker: engine.BreakerConfig{Open: 100 * time.Millisecond, MaxOpen: 300 * time.Millisecond}})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan struct{})
	go func() { defer close(done); _ = r.engine.Run(ctx, ctx) }()
	t.Cleanup(func() { cancel(); <-done })
	// it admits nothing before it has looked up what is paused
	r.eventually("the engine admits attempts", func() bool { _, ok := r.engine.Admits(r.in.Name); return ok })
	return r
}

func (r *rig) end() {
	select {
	case <-r.over:
	default:
		close(r.over)
	}
}

// life is one run of a consumer.
type life struct {
	*Consumer
	gate   *gate
	mortal *mortal
	stop   func() error // in good order; may be called twice
	kill   func()       // as if the process had vanished
}

// start waits until the consumer is connected.
func (r *rig) start(change ...func(*Config)) *life {
	r.t.Helper()
	l := r.launch(change...)
	r.eventually("connected", func() bool {
		status := l.Facts(r.t.Context()).Status
		return status == delivery.SourceConnected || status == delivery.SourceJoining // who holds the partitions may take its time
	})
	return l
}

// launch starts a consumer that may have to wait for its source.
func (r *rig) launch(change ...func(*Config)) *life {
	r.t.Helper()
	l := &life{gate: &gate{Attempter: r.engine, Store: r.db}}
	cfg := Config{Integration: r.in, Store: l.gate, Attempter: l.gate, Dialer: wire.Dialer{Log: r.log}, Log: r.log}
	for _, f := range change {
		f(&cfg)
	}
	var err error
	if l.Consumer, err = New(cfg); err != nil {
		r.t.Fatal(err)
	}
	l.mortal = &mortal{driver: l.Consumer.driver}
	l.Consumer.driver = l.mortal
	ctx, cancel := context.WithCancel(context.Background())
	grace, giveUp := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- l.Run(ctx, grace) }()
	l.stop = sync.OnceValue(func() error {
		cancel()
		timer := time.AfterFunc(atMost, giveUp)
		defer timer.Stop()
		defer giveUp()
		return <-done
	})
	l.kill = func() {
		r.freeze(l.gate)
		l.mortal.die()
	}
	r.t.Cleanup(func() {
		r.end()
		if err := l.stop(); err != nil {
			r.t.Errorf("stopping: %v", err)
		}
	})
	return l
}

// freeze makes Settle hang until the test is over, before it has written anything.
func (r *rig) freeze(g *gate) (reached chan struct{}) {
	reached = make(chan struct{}, 1000)
	g.settle.Store(pointer(func(context.Context, func() error) error {
		reached <- struct{}{}
		<-r.over
		return nil
	}))
	return reached
}

func pointer[T any](v T) *T { return &v }

// eventually asks again until ok; what it asks for has no signal of its own.
func (r *rig) eventually(what string, ok func() bool) {
	r.t.Helper()
	limits.Until(r.t, what, ok)
}

// status waits for one that stays until the test goes on.
func (r *rig) status(l *life, want delivery.SourceStatus) {
	r.t.Helper()
	r.eventually("status "+string(want), func() bool { return l.Facts(r.t.Context()).Status == want })
}

func (r *rig) count(where string) (n int) {
	r.t.Helper()
	if err := storetest.Session(r.t, r.dsn).QueryRow(r.t.Context(), "SELECT count(*) FROM "+where).Scan(&n); err != nil {
		r.t.Fatal(err)
	}
	return n
}

// invariants compares the ledger with what was published: nothing is lost (A), and each message has one key (B).
func (r *rig) invariants(n int) {
	r.t.Helper()
	keys := map[string]string{}
	seen := byID(r.ledger.all())
	for id, entries := range seen {
		for _, e := range entries {
			if before, known := keys[e.idem]; known && before != id {
				r.t.Errorf("B: messages %s and %s have one key", before, id)
			}
			if e.idem != entries[0].idem || e.webhook != entries[0].webhook {
				r.t.Errorf("B: message %s has two keys", id)
			}
			keys[e.idem] = id
		}
	}
	if len(seen) != n {
		r.t.Errorf("A: %d of %d messages arrived", len(seen), n)
	}
}

func (r *rig) requests(n int) {
	r.t.Helper()
	if got := len(r.ledger.all()); got != n {
		r.t.Errorf("%d requests, want %d", got, n)
	}
}

func (r *rig) nothingLeft() {
	r.t.Helper()
	if r.bed.remembers {
		if n := r.place.left(r.t); n != 0 {
			r.t.Errorf("%d messages are not acknowledged", n)
		}
	}
}

// mortal is a driver whose process can vanish: it acknowledges nothing more, and its connection ends.
type mortal struct {
	driver
	mu   sync.Mutex
	dead bool
	last session
}

func (m *mortal) connect(ctx context.Context, prefetch int, h holder) (session, error) {
	if m.isDead() {
		return nil, errors.New("dead (test)")
	}
	s, err := m.driver.connect(ctx, prefetch, mortalHolder{h, m})
	if err != nil {
		return nil, err
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	m.last = s
	return mortalSession{s, m}, nil
}

func (m *mortal) isDead() bool { m.mu.Lock(); defer m.mu.Unlock(); return m.dead }

func (m *mortal) die() {
	m.mu.Lock()
	m.dead = true
	last := m.last
	m.mu.Unlock()
	switch s := last.(type) {
	case *rabbitSession:
		_ = s.conn.CloseDeadline(time.Now().Add(time.Second))
	case *shareSession:
		s.client.Close()
		s.member.end()
	case *kafkaSession:
		s.client.CloseAllowingRebalance()
		s.member.end()
	}
}

type mortalSession struct {
	session
	m *mortal
}

func (s mortalSession) acknowledge(list []*taken) error {
	if s.m.isDead() {
		return errors.New("dead (test)")
	}
	return s.session.acknowledge(list)
}

func (s mortalSession) held() *delivery.SourcePartitions {
	if g, ok := s.session.(grouped); ok {
		return g.held()
	}
	return nil
}

type mortalHolder struct {
	holder
	m *mortal
}

func (h mortalHolder) release(ctx context.Context, match func(*taken) bool) {
	if !h.m.isDead() {
		h.holder.release(ctx, match)
	}
}
