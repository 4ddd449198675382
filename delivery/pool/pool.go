// Package pool is the method that hands messages over in memory: a bounded number of workers and a bounded queue for each
// integration. What succeeds leaves no trace but a count; what fails, is paused, waits long or is left at the end becomes
// durable, in Postgres or, while that is away, in a journal on disk.
package pool

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"redrive/delivery"
)

// Attempter makes one attempt. Without ok nothing was sent and the same may be asked again after wait.
type Attempter interface {
	Try(ctx context.Context, r delivery.Request) (tried delivery.Tried, wait time.Duration, ok bool)
}

// Store keeps what cannot stay in memory.
type Store interface {
	// Park makes messages durable. It may be called again with the same ones.
	Park(ctx context.Context, list []delivery.Parked) (fresh int, err error)
	CountDelivered(ctx context.Context, integration string, n int) error
	// AcceptedByKey returns the durable message with the idempotency key of this one, else delivery.ErrNotFound.
	AcceptedByKey(ctx context.Context, m delivery.Message) (delivery.Accepted, error)
}

// Config is what a Pool is made of. Zero values of the optional fields take the defaults named.
type Config struct {
	Integrations    []delivery.Integration // those of other methods are passed over
	Attempts        Attempter
	Store           Store
	Dir             string         // of the journal
	Masks           delivery.Masks // default: of Integrations
	Log             *slog.Logger   // default: slog.Default
	Wake            func()         // optional: told when work was parked in the store; must not block
	MaxBytes        int64          // payload bytes in memory, shared evenly by integrations; default 64 MiB
	MaxHold         time.Duration  // a retry that waits longer is parked instead of held in memory; default 5 s
	MaxJournalBytes int64          // default 1 GiB
}

func (c *Config) setDefaults() {
	if c.Log == nil {
		c.Log = slog.Default()
	}
	c.Masks = c.Masks.Or(c.Integrations)
	if c.Wake == nil {
		c.Wake = func() {}
	}
	if c.MaxBytes <= 0 {
		c.MaxBytes = 64 << 20
	}
	if c.MaxHold <= 0 {
		c.MaxHold = 5 * time.Second
	}
	if c.MaxJournalBytes <= 0 {
		c.MaxJournalBytes = 1 << 30
	}
}

// Pool takes messages with Offer. Make one with New and give it to Run once.
type Pool struct {
	cfg       Config
	log       *slog.Logger
	bulkheads map[string]*bulkhead
	recent    *window
	journal   *journal // nil when there is neither a pool integration nor anything left by an earlier process
	records   recorder
	lookups   pause // after a failed look-up of a key

	complaints pause // about the journal

	ran      atomic.Bool
	opened   chan struct{}   // closed when Run has begun
	attempts context.Context // of attempts: ends with the grace period
	active   sync.WaitGroup  // workers, and producers that are being served
}

// New checks the configuration and opens the journal, so that a directory that cannot be written is known at the start.
func New(cfg Config) (*Pool, error) {
	cfg.setDefaults()
	p := &Pool{
		cfg:       cfg,
		log:       cfg.Log,
		bulkheads: map[string]*bulkhead{},
		recent:    newWindow(maxKeys, keepKeys),
		opened:    make(chan struct{}),
	}
	p.records.notify = make(chan struct{}, 1)
	for _, in := range cfg.Integrations {
		if in.Method == delivery.MethodPool {
			p.bulkheads[in.Name] = newBulkhead(p, in)
		}
	}
	for _, l := range p.bulkheads {
		l.share = cfg.MaxBytes / int64(len(p.bulkheads))
	}
	if len(p.bulkheads) == 0 && !leftovers(cfg.Dir) {
		return p, nil
	}
	if cfg.Store == nil || (cfg.Attempts == nil && len(p.bulkheads) > 0) {
		return nil, errors.New("pool: no store or nobody to make attempts")
	}
	var err error
	if p.journal, err = openJournal(cfg.Dir, cfg.MaxJournalBytes); err != nil {
		return nil, fmt.Errorf("the pool's journal: %w", err)
	}
	return p, nil
}

// finalWrites is how long what is left may still be written to the store after the grace period; then the journal takes it.
const finalWrites = 5 * time.Second

// Run takes messages until ctx ends. Then attempts in flight may finish until grace ends, and everything else that was
// accepted becomes durable. An error says that something accepted could be written nowhere.
func (p *Pool) Run(ctx, grace context.Context) error {
	if p.ran.Swap(true) {
		return errors.New("pool: already run")
	}
	if p.journal == nil {
		<-ctx.Done()
		return nil
	}
	base := context.WithoutCancel(ctx)
	attempts, stopAttempts := context.WithCancel(base)
	defer stopAttempts()
	writes, stopWrites := context.WithCancel(base)
	defer stopWrites()
	defer context.AfterFunc(grace, func() {
		stopAttempts()
		time.AfterFunc(finalWrites, stopWrites)
	})()
	p.attempts = attempts
	return p.run(ctx, writes)
}

func (p *Pool) run(taking, writes context.Context) error {
	var helpers, writer sync.WaitGroup
	var lost int
	helpers.Go(func() { p.importLoop(taking) })
	helpers.Go(func() { p.countLoop(taking) })
	writer.Go(func() { lost = p.recordLoop(writes) })
	close(p.opened)
	<-taking.Done()
	for _, l := range p.bulkheads {
		l.close()
	}
	p.active.Wait()
	helpers.Wait()
	p.records.close()
	writer.Wait()
	p.countDelivered(writes)
	err := p.journal.close()
	if lost > 0 {
		err = errors.Join(err,
			fmt.Errorf("pool: %d accepted messages could be written neither to Postgres nor to the journal", lost))
	}
	return err
}

const countEvery = time.Second

// countLoop writes down how many deliveries succeeded.
func (p *Pool) countLoop(ctx context.Context) {
	ticker := time.NewTicker(countEvery)
	defer ticker.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-ticker.C:
			p.countDelivered(ctx)
		}
	}
}

func (p *Pool) countDelivered(ctx context.Context) {
	for name, l := range p.bulkheads {
		n := l.delivered.Swap(0)
		if n == 0 {
			continue
		}
		query, cancel := context.WithTimeout(ctx, parkTimeout)
		err := p.cfg.Store.CountDelivered(query, name, int(n))
		cancel()
		if err != nil {
			l.delivered.Add(n)
			p.log.WarnContext(ctx, "counting deliveries failed, will be tried again",
				"integration", name, "deliveries", n, "error", err)
			return // the others would fail as well
		}
	}
}

// pause keeps a caller from asking again and again what does not answer.
type pause struct{ until atomic.Int64 }

func (p *pause) begin(d time.Duration) { p.until.Store(time.Now().Add(d).UnixNano()) }
func (p *pause) on() bool              { return time.Now().UnixNano() < p.until.Load() }
