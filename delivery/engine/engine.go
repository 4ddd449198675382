// Package engine is the one loop behind every integration: claim, send, judge, complete. It holds leases instead of
// transactions, so no network call ever happens while the database waits.
package engine

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"sync"
	"sync/atomic"
	"time"

	"redrive/delivery"
)

// Observer is told what happens, for metrics. Its methods must not block.
type Observer interface {
	Attempt(integration string, method delivery.Method, outcome delivery.Outcome, took time.Duration)
	Late(n int)         // outcomes that arrived after their lease was lost
	LeaseExpired(n int) // deliveries found whose worker vanished
}

// Config is what an Engine is made of. Zero values of the optional fields take the defaults named.
type Config struct {
	Store            Store
	Integrations     []delivery.Integration
	Senders          map[string]delivery.Sender // by integration name; closing them stays with the caller
	Log              *slog.Logger               // default: slog.Default
	Observer         Observer                   // optional
	Masks            delivery.Masks             // default: of Integrations
	Veil             *delivery.Veil             // what attempts must not say; nil: nothing
	Worker           string                     // unique name of this process; default host-pid-random
	Poll             time.Duration              // how often an idle engine looks for work; default 200 ms
	StatePoll        time.Duration              // how often pauses are looked up; default 1 s
	Tidy             time.Duration              // between looks for what is to be reopened, and what waits for nobody; default 10 s
	MaxInFlightBytes int64                      // payload bytes in memory, shared evenly by integrations; default 64 MiB
	Breaker          BreakerConfig
	Budget           BudgetConfig
	Lease            func(delivery.Integration) time.Duration // default Integration.LeaseFor
	Timeout          func(delivery.Integration) time.Duration // one attempt; default ten seconds less than LeaseFor
}

// Stats is a look at one integration in this process.
type Stats struct {
	Busy      int // attempts in flight
	Buffered  int // claimed, not started
	Abandoned int // senders that ignored their deadline and still run
	Paused    bool
	Breaker   delivery.BreakerState
}

// Engine delivers. Make one with New and give it to Run once.
type Engine struct {
	cfg       Config
	log       *slog.Logger
	bulkheads map[string]*bulkhead
	order     []*bulkhead // in the order of the configuration
	held      inFlightSet
	out       flusher
	wake      chan struct{} // new work was committed
	room      chan struct{} // a buffer with more work behind it has room
	refresh   chan struct{} // look up pauses and save breakers
	lookups   time.Time     // of the last lookup; owned by the supervisor
	solo      atomic.Bool   // a suspect of killing processes is held
	suspected time.Time     // since when, of the latest; owned by the claim loop
	masks     bool          // something is hidden of some messages
	ran       atomic.Bool
	workers   sync.WaitGroup
	sendCtx   context.Context // ends with the grace period
}

// New checks the configuration; nothing runs before Run.
func New(cfg Config) (*Engine, error) {
	if cfg.Store == nil {
		return nil, errors.New("engine: no store")
	}
	setDefaults(&cfg)
	e := &Engine{cfg: cfg, log: cfg.Log, bulkheads: map[string]*bulkhead{}, wake: make(chan struct{}, 1),
		room: make(chan struct{}, 1), refresh: make(chan struct{}, 1), masks: cfg.Masks.Hides()}
	e.held.items = map[int64]*claimedDelivery{}
	e.out.notify = make(chan struct{}, 1)
	for _, i := range cfg.Integrations {
		l, err := newBulkhead(cfg, i)
		if err != nil {
			return nil, err
		}
		if e.bulkheads[i.Name] != nil {
			return nil, fmt.Errorf("engine: integration %q is configured twice", i.Name)
		}
		e.bulkheads[i.Name], e.order = l, append(e.order, l)
	}
	return e, nil
}

func setDefaults(cfg *Config) {
	if cfg.Log == nil {
		cfg.Log = slog.Default()
	}
	cfg.Masks = cfg.Masks.Or(cfg.Integrations)
	if cfg.Observer == nil {
		cfg.Observer = noOpObserver{}
	}
	if cfg.Worker == "" {
		host, _ := os.Hostname()
		cfg.Worker = fmt.Sprintf("%s-%d-%s", host, os.Getpid(), rand.Text()[:8])
	}
	if cfg.Poll <= 0 {
		cfg.Poll = 200 * time.Millisecond
	}
	if cfg.Tidy <= 0 {
		cfg.Tidy = 10 * time.Second
	}
	if cfg.StatePoll <= 0 {
		cfg.StatePoll = time.Second
	}
	if cfg.MaxInFlightBytes <= 0 {
		cfg.MaxInFlightBytes = 64 << 20
	}
	if cfg.Lease == nil {
		cfg.Lease = delivery.Integration.LeaseFor
	}
	if cfg.Timeout == nil {
		cfg.Timeout = func(i delivery.Integration) time.Duration { return i.LeaseFor() - 10*time.Second }
	}
	cfg.Breaker.setDefaults()
	cfg.Budget.setDefaults()
}

type noOpObserver struct{}

func (noOpObserver) Attempt(string, delivery.Method, delivery.Outcome, time.Duration) {}
func (noOpObserver) Late(int)                                                         {}
func (noOpObserver) LeaseExpired(int)                                                 {}

// finalWrites is how long outcomes may still be written after the grace period.
const finalWrites = 5 * time.Second

// Run delivers until ctx ends; then it claims nothing more, gives back what was not started and lets attempts in flight
// finish until grace ends. Outcomes are written even a little after that, because losing them means sending twice.
func (e *Engine) Run(ctx, grace context.Context) error {
	if e.ran.Swap(true) {
		return errors.New("engine: already run")
	}
	e.firstLookUp(ctx)
	taking, stopTaking := context.WithCancel(ctx)
	defer stopTaking()
	base := context.WithoutCancel(ctx)
	sends, stopSends := context.WithCancel(base)
	defer stopSends()
	writes, stopWrites := context.WithCancel(base)
	defer stopWrites()
	defer context.AfterFunc(grace, func() {
		stopTaking()
		stopSends()
		time.AfterFunc(finalWrites, stopWrites)
	})()
	e.sendCtx = sends
	return e.run(taking, writes)
}

func (e *Engine) run(taking, writes context.Context) error {
	beating, stopBeating := context.WithCancel(writes)
	defer stopBeating()
	var takers, keepers sync.WaitGroup
	takers.Go(func() { e.supervise(taking) })
	takers.Go(func() { e.foldCounts(taking) })
	takers.Go(func() { e.claimLoop(taking) })
	keepers.Go(func() { e.heartbeats(beating) })
	var left int
	keepers.Go(func() { left = e.flushLoop(writes); stopBeating() })
	takers.Wait()
	for _, l := range e.order {
		e.giveBack(l.stop())
	}
	e.workers.Wait()
	for _, l := range e.order {
		l.workers.close()
	}
	e.out.close()
	keepers.Wait()
	if left > 0 {
		return fmt.Errorf("engine: %d outcomes could not be written; their leases will run out", left)
	}
	return nil
}

// Wake tells the engine that work was committed. It never blocks.
func (e *Engine) Wake() {
	signal(e.wake)
	signal(e.refresh)
}

func signal(c chan struct{}) {
	select {
	case c <- struct{}{}:
	default:
	}
}

// Stats looks at one integration; an unknown name answers the zero value.
func (e *Engine) Stats(integration string) Stats {
	l := e.bulkheads[integration]
	if l == nil {
		return Stats{}
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	return Stats{Busy: l.busy, Buffered: len(l.buf.items), Abandoned: l.abandoned, Paused: l.paused, Breaker: l.breaker.state}
}
