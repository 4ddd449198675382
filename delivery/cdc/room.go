// Package cdc reads the changes of other people's tables and makes deliveries of them: one room for each cdc integration. The
// process that leads it holds the slot; every process watches how far the slot is behind.
package cdc

import (
	"context"
	"errors"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"github.com/cenkalti/backoff/v5"

	"redrive/delivery"
	"redrive/delivery/cdc/mapping"
)

// Source is the database whose changes are read.
type Source interface {
	Identify(ctx context.Context) (delivery.SourceIdentity, error)
	Check(ctx context.Context) ([]delivery.CaptureFinding, error)
	// SetUp makes publication and slot where they are missing, for all tables or for those that are named.
	SetUp(ctx context.Context, tables ...string) (done []string, err error)
	// Look returns how the tables are now; known are those of an earlier look.
	Look(ctx context.Context, known map[string]delivery.CapturedTable) (delivery.CaptureCatalogue, error)
	// Settled waits until every transaction that a look may have met is over.
	Settled(ctx context.Context, look delivery.CaptureCatalogue) (delivery.LSN, error)
	DropSlot(ctx context.Context) error // a slot that does not exist is no error
	Slot(ctx context.Context) (delivery.SlotStatus, error)
	Stream(
		ctx context.Context,
		from delivery.LSN,
	) (Stream, error) // delivery.ErrSlotLost, ErrSlotMissing, ErrSlotActive, ErrSourceRestored
	Chunk(
		ctx context.Context,
		schema, table string,
		columns, after []string,
		limit int,
	) (rows []delivery.Change, last []string, err error)
	Estimate(ctx context.Context, schema, table string) (int64, error)
	// Unseen returns which of these transactions queries do not see yet, although their commit may stand in the log.
	Unseen(ctx context.Context, xids []uint32) ([]uint32, error)
	Mark(ctx context.Context, content string) (delivery.LSN, error) // a transaction of its own
	Beat(ctx context.Context) error
}

// Stream brings changes in the order of their commits. Next may be asked again after its context ended.
type Stream interface {
	Next(ctx context.Context) (delivery.CaptureEvent, error)
	Acknowledge(lsn delivery.LSN) error
	Close() error
}

// Leader is the store, as whoever leads the room sees it. After an error that is not work's own the session is not used again.
type Leader interface {
	CapturePosition(ctx context.Context, integration string) (delivery.CapturePosition, error)
	ResetCapture(ctx context.Context, integration string, p delivery.CapturePosition) error
	ChangeSlot(ctx context.Context, integration, slot string) error
	CaptureGaps(ctx context.Context, integration string) ([]delivery.CaptureGap, error)
	// BeginTable goes on with a table that was stopped, RefuseTable says why that cannot be.
	BeginTable(ctx context.Context, integration, table string, to delivery.LSN, p delivery.CapturePosition) error
	RefuseTable(ctx context.Context, integration, table string, why delivery.Phrase) error
	RenameTable(ctx context.Context, integration, from, to string, p delivery.CapturePosition) error
	// Capture writes messages and position in one transaction.
	Capture(
		ctx context.Context,
		integration string,
		work func(write func([]delivery.Captured) error) (delivery.CapturePosition, error),
	) error
}

// Store is what every process asks.
type Store interface {
	CapturePosition(ctx context.Context, integration string) (delivery.CapturePosition, error)
	CaptureGaps(ctx context.Context) (map[string][]delivery.CaptureGap, error)
	SaveTables(ctx context.Context, integration string, p delivery.CapturePosition) error // and the gaps that are new
}

// Config is what a room needs.
type Config struct {
	Integration delivery.Integration
	Source      Source
	Store       Store
	// Lead waits until this process leads, runs work, and begins again when work fails; it returns when ctx ends.
	Lead    func(ctx context.Context, work func(context.Context, Leader) error, failed func(error)) error
	Wake    func() // deliveries were committed; may be nil
	Log     *slog.Logger
	Monitor time.Duration // between two looks at the slot; default 10 s
	Watch   time.Duration // between two looks at the catalogue; default 2 s
}

const (
	defaultMonitor = 10 * time.Second
	defaultWatch   = 2 * time.Second
	steady         = 30 * time.Second // a session that lived so long starts the back-off anew
	askEvery       = time.Second      // whether somebody asked for a new snapshot
)

// Room reads the changes of one integration's source. Make one with New and give it to Run once.
type Room struct {
	cfg    Config
	name   string
	source delivery.CDCSource
	log    *slog.Logger
	mapper *mapping.Mapper
	wait   *backoff.ExponentialBackOff
	ran    atomic.Bool
	news   roomStatus
	ready  []ready      // tables that go on with the next session
	missed atomic.Int64 // changes of tables that have stopped
}

// New compiles the integration's rules: a mistake in one is a *mapping.Error. Nothing is dialled before Run.
func New(cfg Config) (*Room, error) {
	if cfg.Source == nil || cfg.Store == nil || cfg.Lead == nil || cfg.Integration.CDC == nil {
		return nil, errors.New("cdc: source, store, leadership and a cdc block are needed")
	}
	if cfg.Log == nil {
		cfg.Log = slog.Default()
	}
	if cfg.Wake == nil {
		cfg.Wake = func() {}
	}
	if cfg.Monitor <= 0 {
		cfg.Monitor = defaultMonitor
	}
	if cfg.Watch <= 0 {
		cfg.Watch = defaultWatch
	}
	in := cfg.Integration
	mapper, err := mapping.New(in.Name, *in.CDC, in.Subscribe)
	if err != nil {
		return nil, err
	}
	wait := &backoff.ExponentialBackOff{
		InitialInterval:     200 * time.Millisecond,
		RandomizationFactor: 0.3,
		Multiplier:          2,
		MaxInterval:         15 * time.Second,
	}
	wait.Reset()
	r := &Room{cfg: cfg, name: in.Name, source: *in.CDC, mapper: mapper, wait: wait,
		log: cfg.Log.With("integration", in.Name, "source", in.CDC.Address())}
	r.source.Rules = mapping.WithUses(in.CDC.Rules)
	r.news.set(statusWaiting, delivery.Phrase{}, false)
	return r, nil
}

// Run reads until ctx ends. What is not committed then is read again by whoever leads next, so there is nothing to wait for.
func (r *Room) Run(ctx, _ context.Context) error {
	if r.ran.Swap(true) {
		return errors.New("cdc: already run")
	}
	var running sync.WaitGroup
	running.Go(func() { r.monitor(ctx) })
	defer running.Wait()
	return r.cfg.Lead(ctx, r.lead, func(err error) {
		r.log.WarnContext(ctx, "the room of this integration begins again", "error", err)
	})
}

// ownError is a failure of our own database: the leader's session is not used again.
type ownError struct{ error }

func (e ownError) Unwrap() error { return e.error }

func own(err error) error {
	if err == nil {
		return nil
	}
	return ownError{err}
}

// Ends of a session that another try does not mend.
var (
	errReplaced = delivery.Fault("capture.replaced")
	errGap      = delivery.Fault("capture.slot_moved")
	errAnew     = errors.New("somebody asked for a new snapshot")
)

func hopeless(err error) bool {
	for _, end := range []error{delivery.ErrSlotLost, delivery.ErrSlotMissing, delivery.ErrPublicationMissing, delivery.ErrSourceRestored, errReplaced, errGap} {
		if errors.Is(err, end) {
			return true
		}
	}
	return false
}

// lead runs one session after the other while this process leads.
func (r *Room) lead(ctx context.Context, l Leader) error {
	defer r.news.set(statusWaiting, delivery.Phrase{}, false)
	r.wait.Reset()
	r.ready = nil
	for {
		begun := time.Now()
		err := r.session(ctx, l)
		var ours ownError
		switch {
		case ctx.Err() != nil:
			return ctx.Err() // the session of the leader may be gone: that is no end in order
		case errors.As(err, &ours):
			return err
		case errors.Is(err, errAnew):
			r.log.InfoContext(ctx, "a new snapshot was asked for: the slot is created anew")
			continue
		case errors.Is(err, errTable):
			continue
		case hopeless(err):
			r.stopped(ctx, err)
			if err := r.untilAsked(ctx, l); err != nil {
				return err
			}
			continue
		}
		if time.Since(begun) > steady {
			r.wait.Reset()
		}
		if r.news.set(statusReconnecting, delivery.Heard(err), false) {
			r.log.WarnContext(ctx, "reading changes failed, it is tried again", "error", err)
		}
		if !delivery.Pause(ctx, r.wait.NextBackOff()) {
			return ctx.Err()
		}
	}
}

// stopped says loudly that changes are being missed, and what to do.
func (r *Room) stopped(ctx context.Context, err error) {
	why := delivery.Say("capture.ended", "why", err, "integration", r.name)
	if r.news.set(statusLost, why, true) {
		r.log.ErrorContext(ctx, "changes are not read any more", "error", why.English())
	}
}

// untilAsked waits for a person's decision.
func (r *Room) untilAsked(ctx context.Context, l Leader) error {
	for delivery.Pause(ctx, askEvery) {
		p, err := l.CapturePosition(ctx, r.name)
		if err != nil || p.ResnapshotAt != nil {
			return own(err)
		}
	}
	return nil
}
