package ledger

import (
	"context"
	"errors"
	"log/slog"
	"time"

	"golang.org/x/mod/sumdb/tlog"

	"redrive/delivery"
)

// Store is what the room needs from the database.
type Store interface {
	// Checkpoint signs what is committed; delivery.ErrNotFound: there is nothing.
	Checkpoint(ctx context.Context) (signed string, err error)
	// Consistency proves that the log of size new continues that of size old.
	Consistency(ctx context.Context, old, new int64) ([]tlog.Hash, error)
	KeepCosignature(ctx context.Context, size int64, witness, line string) error
	Places(ctx context.Context) ([]Place, error)
	PlaceHas(ctx context.Context, name string, size int64) error
	PlaceFails(ctx context.Context, name, why string) error
	// EntriesAfter are at most limit entries after a number, in their order.
	EntriesAfter(ctx context.Context, seq int64, limit int) ([]delivery.AuditEntry, error)
	// ForgetAudit lets a segment of entries leave that are older than keep; false: there is none.
	ForgetAudit(ctx context.Context, keep time.Duration) (left bool, err error)
}

// Outlet is a place outside that checkpoints go to.
type Outlet interface {
	Name() string
	// Publish gives the place a checkpoint; the last one that it took had so many entries, 0 for none.
	Publish(ctx context.Context, signed string, had int64) error
}

// Shipper is a place outside that entries go to. Entries that it took may come again after an error.
type Shipper interface {
	Name() string
	Ship(ctx context.Context, entries []delivery.AuditEntry) error
}

// Config says where the audit goes. Zero times are replaced by defaults.
type Config struct {
	Store    Store
	Lead     func(ctx context.Context, work func(context.Context, struct{}) error, failed func(error)) error // one process at a time
	Every    time.Duration                                                                                   // between checkpoints; default 5 min
	Poll     time.Duration                                                                                   // between looks for entries to ship; default 2 s
	Keep     time.Duration                                                                                   // of entries; 0 for ever
	Outlets  []Outlet
	Shippers []Shipper
	Log      *slog.Logger
}

// Bounds of the room's work.
const (
	shippedAtOnce = 500
	outletTimeout = 30 * time.Second
)

// Room signs checkpoints, takes them and entries outside, and lets old entries leave.
type Room struct{ cfg Config }

// New makes the room.
func New(cfg Config) *Room {
	if cfg.Every <= 0 {
		cfg.Every = 5 * time.Minute
	}
	if cfg.Poll <= 0 {
		cfg.Poll = 2 * time.Second
	}
	return &Room{cfg}
}

// Run works until ctx ends, while this process leads. What was not noted as done is done again by the next leader.
func (r *Room) Run(ctx, _ context.Context) error {
	failed := func(err error) { r.cfg.Log.Warn("the audit's log", "error", err) }
	return r.cfg.Lead(ctx, func(ctx context.Context, _ struct{}) error {
		for next := time.Now(); ctx.Err() == nil; delivery.Pause(ctx, min(r.cfg.Poll, r.cfg.Every)) {
			if !time.Now().Before(next) {
				next = time.Now().Add(r.cfg.Every)
				if err := r.publish(ctx); err != nil {
					return err
				}
				if err := r.forget(ctx); err != nil {
					return err
				}
			}
			if err := r.ship(ctx); err != nil {
				return err
			}
		}
		return nil
	}, failed)
}

// had is how much each place has.
func (r *Room) had(ctx context.Context) (map[string]Place, error) {
	list, err := r.cfg.Store.Places(ctx)
	known := map[string]Place{}
	for _, p := range list {
		known[p.Name] = p
	}
	return known, err
}

// publish signs what there is and gives it to each place that does not have it. A place that fails gets the next one, and waits for no other.
func (r *Room) publish(ctx context.Context) error {
	signed, err := r.cfg.Store.Checkpoint(ctx)
	if errors.Is(err, ErrUnsigned) {
		r.cfg.Log.Warn("the audit's log", "error", ErrUnsigned)
		return nil
	}
	if errors.Is(err, delivery.ErrNotFound) {
		return nil
	}
	if err != nil {
		return err
	}
	c, err := Unsigned(signed)
	if err != nil {
		return err
	}
	known, err := r.had(ctx)
	if err != nil {
		return err
	}
	for _, o := range r.cfg.Outlets {
		has := known[o.Name()]
		if has.Size == c.Size && has.Error == "" {
			continue
		}
		err := within(ctx, func(ctx context.Context) error { return o.Publish(ctx, signed, has.Size) })
		if err := r.note(ctx, o.Name(), c.Size, err); err != nil {
			return err
		}
	}
	return nil
}

func within(ctx context.Context, work func(context.Context) error) error {
	ctx, cancel := context.WithTimeout(ctx, outletTimeout)
	defer cancel()
	return work(ctx)
}

// note keeps what came of giving a place something.
func (r *Room) note(ctx context.Context, place string, size int64, failed error) error {
	if failed == nil {
		return r.cfg.Store.PlaceHas(ctx, place, size)
	}
	if ctx.Err() != nil {
		return nil
	}
	r.cfg.Log.Warn("the audit could not be taken outside", "place", place, "error", failed)
	return r.cfg.Store.PlaceFails(ctx, place, failed.Error())
}

// ship gives each collector the entries that it does not have, in their order. One that fails is asked again at the next look.
func (r *Room) ship(ctx context.Context) error {
	if len(r.cfg.Shippers) == 0 {
		return nil
	}
	known, err := r.had(ctx)
	if err != nil {
		return err
	}
	for _, s := range r.cfg.Shippers {
		for at := known[s.Name()].Size; ctx.Err() == nil; {
			list, err := r.cfg.Store.EntriesAfter(ctx, at, shippedAtOnce)
			if err != nil {
				return err
			}
			if len(list) == 0 {
				break
			}
			failed := within(ctx, func(ctx context.Context) error { return s.Ship(ctx, list) })
			at = list[len(list)-1].Seq
			if err := r.note(ctx, s.Name(), at, failed); err != nil {
				return err
			}
			if failed != nil {
				break
			}
		}
	}
	return nil
}

// forget lets old entries leave, but none that a collector does not have yet.
func (r *Room) forget(ctx context.Context) error {
	if r.cfg.Keep <= 0 {
		return nil
	}
	known, err := r.had(ctx)
	if err != nil {
		return err
	}
	for _, s := range r.cfg.Shippers {
		if known[s.Name()].Error != "" {
			return nil
		}
	}
	for ctx.Err() == nil {
		left, err := r.cfg.Store.ForgetAudit(ctx, r.cfg.Keep)
		if err != nil || !left {
			return err
		}
	}
	return nil
}
