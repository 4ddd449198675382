// Package health watches every part of every integration: what the rooms say of themselves becomes a status that people see, that
// other processes and the next start know of, and that is logged once when it changes.
package health

import (
	"context"
	"log/slog"
	"time"

	"redrive/delivery"
)

// Store keeps what was seen.
type Store interface {
	// PartHealth returns what is known of every part, by integration.
	PartHealth(ctx context.Context) (map[string][]delivery.PartHealth, error)
	// SaveHealth writes what this process saw.
	SaveHealth(ctx context.Context, worker string, seen []delivery.SeenHealth) error
}

// Config is what a Watch is made of. Zero values of the optional fields take the defaults named.
type Config struct {
	Store    Store
	Probes   []func(ctx context.Context) []delivery.Condition // each within a second or two
	Worker   string                                           // unique name of this process
	Log      *slog.Logger                                     // default: slog.Default
	Every    time.Duration                                    // between two looks; default 2 s
	Patience time.Duration                                    // how long a part may fail before it is degraded; default 10 s
	Settle   time.Duration                                    // how long it must work before it is ok again; default 4 s
	Refresh  time.Duration                                    // how often what did not change is written; default 10 s
}

const storeTimeout = 5 * time.Second

// Watch is the room. Make one with New and give it to Run once.
type Watch struct {
	cfg     Config
	log     *slog.Logger
	parts   map[key]*part
	order   []key
	saved   time.Time
	unsaved bool   // something changed
	trouble string // of the store, said once
	loaded  bool
}

type key struct {
	integration string
	part        delivery.Part
}

// part is what is known of one part.
type part struct {
	delivery.PartHealth
	seen    time.Time // by this process; zero: never
	failing time.Time // since when it fails; zero: it does not
	working time.Time // since when it works, after it failed
	alarmed bool
	kept    bool // the status is what the store knew in the beginning
}

// New fills in defaults.
func New(cfg Config) *Watch {
	if cfg.Log == nil {
		cfg.Log = slog.Default()
	}
	for _, d := range []struct {
		set *time.Duration
		to  time.Duration
	}{{&cfg.Every, 2 * time.Second}, {&cfg.Patience, 10 * time.Second}, {&cfg.Settle, 4 * time.Second}, {&cfg.Refresh, 10 * time.Second}} {
		if *d.set <= 0 {
			*d.set = d.to
		}
	}
	return &Watch{cfg: cfg, log: cfg.Log, parts: map[key]*part{}}
}

// Run watches until ctx ends.
func (w *Watch) Run(ctx, _ context.Context) error {
	for {
		w.load(ctx)
		w.look(ctx, time.Now())
		w.save(ctx, time.Now())
		if !delivery.Pause(ctx, w.cfg.Every) {
			return nil
		}
	}
}

// load begins with what an earlier process knew: a part that was degraded stays so until it is seen to work.
func (w *Watch) load(ctx context.Context) {
	if w.loaded {
		return
	}
	ctx, cancel := context.WithTimeout(ctx, storeTimeout)
	defer cancel()
	known, err := w.cfg.Store.PartHealth(ctx)
	if w.told(ctx, err) {
		return
	}
	w.loaded = true
	for integration, list := range known {
		for _, h := range list {
			p := w.part(key{integration, h.Part})
			p.PartHealth, p.kept = h, true
		}
	}
}

// told logs a trouble with the store once, and says whether there is one.
func (w *Watch) told(ctx context.Context, err error) bool {
	text := ""
	if err != nil {
		text = err.Error()
	}
	if text != w.trouble && err != nil {
		w.log.WarnContext(ctx, "what is seen of sources and destinations cannot be kept", "error", err)
	}
	w.trouble = text
	return err != nil
}

func (w *Watch) part(k key) *part {
	p := w.parts[k]
	if p == nil {
		p = &part{PartHealth: delivery.PartHealth{Part: k.part}}
		w.parts[k], w.order = p, append(w.order, k)
	}
	return p
}

// look asks every room.
func (w *Watch) look(ctx context.Context, now time.Time) {
	for _, probe := range w.cfg.Probes {
		for _, c := range probe(ctx) {
			w.learn(ctx, c, now)
		}
	}
}

// learn takes one condition into account.
func (w *Watch) learn(ctx context.Context, c delivery.Condition, now time.Time) {
	p := w.part(key{c.Integration, c.Part})
	if at := c.LastSuccess; !at.IsZero() && (p.LastSuccess == nil || at.After(*p.LastSuccess)) {
		p.LastSuccess = &at
	}
	switch c.State {
	case delivery.ConditionWorks:
		w.works(ctx, c, p, now)
	case delivery.ConditionFails:
		w.fails(ctx, c, p, now)
	case delivery.ConditionUnknown:
		p.failing = time.Time{} // it is not tried: nobody waits for it
	}
}

func (w *Watch) works(ctx context.Context, c delivery.Condition, p *part, now time.Time) {
	p.seen = seenAt(c, now)
	if p.working.IsZero() {
		p.working = now
	}
	if now.Sub(p.working) < w.cfg.Settle && (p.Status == delivery.PartDegraded || !p.failing.IsZero()) {
		return // one that comes and goes does not work
	}
	p.failing = time.Time{}
	if p.Status == delivery.PartOK {
		return
	}
	was := p.Status
	p.Status, p.Since, p.kept, w.unsaved = delivery.PartOK, p.working, false, true
	if was == delivery.PartDegraded {
		w.log.InfoContext(ctx, "the alarm is over", "integration", c.Integration, "part", c.Part, "was", p.LastError.English())
	}
	p.alarmed = false
}

func (w *Watch) fails(ctx context.Context, c delivery.Condition, p *part, now time.Time) {
	p.seen, p.working = seenAt(c, now), time.Time{}
	if p.failing.IsZero() {
		p.failing = now
		if !c.Since.IsZero() && c.Since.Before(now) {
			p.failing = c.Since
		}
	}
	if reason := c.Reason.Short(); !reason.IsZero() {
		w.unsaved = w.unsaved || !reason.Equal(p.LastError)
		p.LastError = reason
	}
	at := p.seen
	p.LastErrorAt = &at
	if !c.Certain && p.Status != delivery.PartDegraded && now.Sub(p.failing) < w.cfg.Patience {
		return
	}
	if p.Status != delivery.PartDegraded {
		p.Status, p.Since, p.kept, w.unsaved = delivery.PartDegraded, p.failing, false, true
	}
	if !p.alarmed {
		p.alarmed = true
		w.log.ErrorContext(ctx, "alarm: "+p.LastError.English(), "integration", c.Integration, "part", c.Part,
			"since", p.Since.UTC().Format(time.RFC3339))
	}
}

func seenAt(c delivery.Condition, now time.Time) time.Time {
	if c.SeenAt.IsZero() {
		return now
	}
	return c.SeenAt
}

// save writes what changed soon, and what did not from time to time.
func (w *Watch) save(ctx context.Context, now time.Time) {
	if !w.loaded || !w.unsaved && now.Sub(w.saved) < w.cfg.Refresh {
		return
	}
	var seen []delivery.SeenHealth
	for _, k := range w.order {
		if p := w.parts[k]; !p.seen.IsZero() && p.Status != "" {
			seen = append(seen, delivery.SeenHealth{Integration: k.integration, PartHealth: p.PartHealth, SeenAt: p.seen, Kept: p.kept})
		}
	}
	if len(seen) == 0 {
		return
	}
	ctx, cancel := context.WithTimeout(ctx, storeTimeout)
	defer cancel()
	if !w.told(ctx, w.cfg.Store.SaveHealth(ctx, w.cfg.Worker, seen)) {
		w.saved, w.unsaved = now, false
	}
}
