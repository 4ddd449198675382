// Package outbox is the room of the log's relay: it makes a delivery of each event for each subscriber. One process leads; its
// place in the log is a snapshot, saved with what was made of it, so that nothing is missed and nothing made twice whoever leads.
package outbox

import (
	"context"
	"errors"
	"log/slog"
	"sync"
	"time"

	"redrive/delivery"
)

// Session is the leader's session: whoever does not lead any more cannot write.
type Session interface {
	// OpenOutbox returns *delivery.CopiedError when the positions in the database are another database's.
	OpenOutbox(ctx context.Context) error
	// OutboxFeeds looks from each feed's position to now. Those given had nothing in between and start at their To.
	OutboxFeeds(ctx context.Context, ahead []delivery.OutboxFeed, limit int) ([]delivery.OutboxFeed, error)
	// FanOut makes the deliveries between From and To and moves the position, in one transaction.
	FanOut(ctx context.Context, f delivery.OutboxFeed) (made int, err error)
	// BeginPages notes that what is between From and To is read in pages; FanOutPage does the next.
	BeginPages(ctx context.Context, f delivery.OutboxFeed) error
	FanOutPage(ctx context.Context, feed string, limit int) (made int, err error)
	// SaveFeeds moves positions over nothing; with join, feeds that caught up with the main one end.
	SaveFeeds(ctx context.Context, list []delivery.OutboxFeed, join bool) error
	// Place gives deliveries of ordered integrations their places, at most limit at once.
	Place(ctx context.Context, limit int) (placed int, err error)
	// MaintainLog makes the partitions of the days to come and drops those that are older than keep (0: none).
	MaintainLog(ctx context.Context, keep time.Duration) (delivery.LogMaintenance, error)
}

// Config is what a Relay is made of. Zero values of the optional fields take the defaults named.
type Config struct {
	// Lead runs work whenever this process leads, again after it failed, until ctx ends.
	Lead func(ctx context.Context, work func(context.Context, Session) error, failed func(error)) error
	// Lag looks into the database, whoever leads.
	Lag       func(ctx context.Context) ([]delivery.OutboxLag, error)
	Wake      func()        // tells the engine of new deliveries; must not block
	Log       *slog.Logger  // default: slog.Default
	Poll      time.Duration // how often an idle relay looks; default 100 ms
	Page      int           // events in one transaction; default 10,000
	Retention time.Duration // how long the log is kept; 0: for ever
	Maintain  time.Duration // how often partitions are made and dropped; default one hour
}

const (
	saveEvery  = time.Second // positions that moved over nothing
	retryAfter = time.Minute // a maintenance that somebody was in the way of
	lagCache   = 2 * time.Second
	lagTimeout = 2 * time.Second
)

// Relay is the room. Make one with New and give it to Run once.
type Relay struct {
	cfg   Config
	wake  chan struct{}
	state state
	lag   lagCacher
}

// New fills in defaults; nothing runs before Run.
func New(cfg Config) *Relay {
	if cfg.Log == nil {
		cfg.Log = slog.Default()
	}
	if cfg.Wake == nil {
		cfg.Wake = func() {}
	}
	if cfg.Poll <= 0 {
		cfg.Poll = 100 * time.Millisecond
	}
	if cfg.Page <= 0 {
		cfg.Page = 10_000
	}
	if cfg.Maintain <= 0 {
		cfg.Maintain = time.Hour
	}
	return &Relay{cfg: cfg, wake: make(chan struct{}, 1), lag: lagCacher{read: cfg.Lag}}
}

// Wake tells the relay that an event was committed. It never blocks.
func (r *Relay) Wake() {
	select {
	case r.wake <- struct{}{}:
	default:
	}
}

// Run relays while this process leads, until ctx ends: what is under way then is rolled back and is the next leader's. Grace is
// not needed.
func (r *Relay) Run(ctx, _ context.Context) error {
	return r.cfg.Lead(ctx, r.work, r.failed)
}

// failed tells of a failure once, not every second.
func (r *Relay) failed(err error) {
	if r.state.trouble(delivery.Heard(err)) {
		var copied *delivery.CopiedError
		if errors.As(err, &copied) {
			r.cfg.Log.Error("the outbox is refused", "error", err, "position_of", copied.Saved, "database", copied.Current)
			return
		}
		r.cfg.Log.Error("the relay failed and begins again", "error", err)
	}
}

func (r *Relay) work(ctx context.Context, s Session) error {
	if err := s.OpenOutbox(ctx); err != nil {
		return err
	}
	r.state.lead(true)
	defer r.state.lead(false)
	r.cfg.Log.Info("this process leads the relay")
	t := leaderTerm{Relay: r, session: s}
	for ctx.Err() == nil {
		busy, err := t.tick(ctx)
		if err != nil {
			return err
		}
		r.state.trouble(delivery.Phrase{})
		if err := t.maintain(ctx); err != nil {
			return err
		}
		if !busy {
			r.pause(ctx)
		}
	}
	return ctx.Err()
}

func (r *Relay) pause(ctx context.Context) {
	timer := time.NewTimer(r.cfg.Poll)
	defer timer.Stop()
	select {
	case <-ctx.Done():
	case <-r.wake:
	case <-timer.C:
	}
}

// state is what other goroutines may ask about.
type state struct {
	sync.Mutex
	leads bool
	last  delivery.Phrase // trouble
	moved map[string]seenFeed
}

// seenFeed is where a feed was seen, and since when.
type seenFeed struct {
	position string
	at       time.Time
}

// still returns for how long events wait at the same position, and what the relay of this process stumbles over.
func (s *state) still(l delivery.OutboxLag, now time.Time) (d time.Duration, trouble delivery.Phrase) {
	s.Lock()
	defer s.Unlock()
	if s.moved == nil {
		s.moved = map[string]seenFeed{}
	}
	m := s.moved[l.Integration]
	if m.position != l.Position || l.Rows == 0 || m.at.IsZero() {
		m = seenFeed{position: l.Position, at: now}
		s.moved[l.Integration] = m
	}
	return now.Sub(m.at), s.last
}

func (s *state) lead(leads bool) {
	s.Lock()
	defer s.Unlock()
	s.leads = leads
}

func (s *state) leading() bool {
	s.Lock()
	defer s.Unlock()
	return s.leads
}

// trouble reports whether this is another trouble than the last one.
func (s *state) trouble(over delivery.Phrase) bool {
	s.Lock()
	defer s.Unlock()
	other := !s.last.Equal(over)
	s.last = over
	return other
}
