// Package search keeps what can be searched of open failures: it reads new ones within a second, hides what is masked, and forgets
// those that are settled.
package search

import (
	"context"
	"log/slog"
	"time"

	"redrive/delivery"
)

// Store is what the room needs from the database. Several processes may ask at once.
type Store interface {
	// Index reads at most limit failures with something new, the latest first, and makes what entry answers of them searchable. It
	// answers how many it did; more says that others wait.
	Index(ctx context.Context, limit int, entry func(delivery.Unindexed) delivery.SearchEntry) (n int, more bool, err error)
	// ForgetSettled looks at the limit entries after one, empty for the first, and forgets those whose failure is settled. It answers
	// the last one it looked at, empty at the end.
	ForgetSettled(ctx context.Context, after string, limit int) (last string, n int, err error)
	// Remask hides in what was written of the next failures, at most limit, what has been masked since; more says that others wait.
	Remask(ctx context.Context, limit int) (n int, more bool, err error)
}

// Config says how the room works. Zero values are replaced by defaults.
type Config struct {
	Store  Store
	Poll   time.Duration // between looks at rest; default 500 ms
	Batch  int           // failures indexed at once; default 500
	Chunk  int           // entries that a step of the sweep looks at; default 200
	Step   time.Duration // between steps of the sweep; default 100 ms
	Rounds time.Duration // between the end of a sweep and the next one's begin; default 1 min
	Log    *slog.Logger
}

func (c Config) withDefaults() Config {
	for value, def := range map[*time.Duration]time.Duration{&c.Poll: 500 * time.Millisecond, &c.Step: 100 * time.Millisecond, &c.Rounds: time.Minute} {
		if *value == 0 {
			*value = def
		}
	}
	if c.Batch == 0 {
		c.Batch = 500
	}
	if c.Chunk == 0 {
		c.Chunk = 200
	}
	if c.Log == nil {
		c.Log = slog.New(slog.DiscardHandler)
	}
	return c
}

const (
	callTimeout  = time.Minute
	firstPause   = 200 * time.Millisecond // after an error, doubled by each that follows
	longestPause = 10 * time.Second
	backlogEvery = 10 * time.Second // a backlog is logged
)

// Room indexes and forgets.
type Room struct{ cfg Config }

// New makes the room.
func New(cfg Config) *Room { return &Room{cfg: cfg.withDefaults()} }

// Run works until ctx ends. An unfinished step is rolled back; the next indexer does it.
func (r *Room) Run(ctx, _ context.Context) error {
	swept := make(chan struct{})
	go func() {
		defer close(swept)
		r.sweep(ctx)
	}()
	remasked := make(chan struct{})
	go func() {
		defer close(remasked)
		r.remask(ctx)
	}()
	r.index(ctx)
	<-swept
	<-remasked
	return nil
}

// remask goes through failures after masks changed, and tells of it.
func (r *Room) remask(ctx context.Context) {
	done, failures := 0, 0
	for pause := time.Duration(0); delivery.Pause(ctx, pause); {
		started := time.Now()
		query, cancel := context.WithTimeout(ctx, callTimeout)
		n, more, err := r.cfg.Store.Remask(query, r.cfg.Chunk)
		cancel()
		switch {
		case err != nil:
			pause = r.failed(ctx, "masking failures anew failed", &failures, err)
			continue
		case more && done == 0:
			r.cfg.Log.Info("masks changed: what was written of failures is masked anew")
		case !more && done > 0:
			r.cfg.Log.Info("failures are masked anew", "looked_at", done)
		}
		if done, failures, pause = done+n, 0, time.Since(started); !more { // half of one connection's time is for others
			done, pause = 0, r.cfg.Rounds
		}
	}
}

func (r *Room) index(ctx context.Context) {
	b := backlog{log: r.cfg.Log}
	failures := 0
	for pause := time.Duration(0); delivery.Pause(ctx, pause); {
		started := time.Now()
		query, cancel := context.WithTimeout(ctx, callTimeout)
		n, more, err := r.cfg.Store.Index(query, r.cfg.Batch, Entry)
		cancel()
		switch {
		case err != nil:
			pause = r.failed(ctx, "indexing failures for the search failed", &failures, err)
			continue
		case more:
			pause = time.Since(started) // half of one connection's time is for people
		default:
			pause = r.cfg.Poll
		}
		failures = 0
		b.note(n, more)
	}
}

// sweep goes through all entries again and again, slowly. Where it was does not matter after a restart: it begins anew.
func (r *Room) sweep(ctx context.Context) {
	after, failures := "", 0
	for pause := r.cfg.Step; delivery.Pause(ctx, pause); {
		query, cancel := context.WithTimeout(ctx, callTimeout)
		last, _, err := r.cfg.Store.ForgetSettled(query, after, r.cfg.Chunk)
		cancel()
		switch {
		case err != nil:
			pause = r.failed(ctx, "forgetting settled failures in the search failed", &failures, err)
			continue
		case last == "":
			pause = r.cfg.Rounds
		default:
			pause = r.cfg.Step
		}
		after, failures = last, 0
	}
}

// failed says how long to wait after an error.
func (r *Room) failed(ctx context.Context, what string, failures *int, err error) time.Duration {
	if ctx.Err() != nil {
		return 0
	}
	pause := min(firstPause<<min(*failures, 10), longestPause)
	*failures++
	r.cfg.Log.ErrorContext(ctx, what, "error", err, "retry_in", pause)
	return pause
}

// backlog tells of long work: an upgrade queues every open failure.
type backlog struct {
	log   *slog.Logger
	since time.Time // zero: there is none
	said  time.Time
	n     int
}

func (b *backlog) note(n int, more bool) {
	now := time.Now()
	if b.since.IsZero() && more {
		b.since, b.said, b.n = now, now, 0
	}
	b.n += n
	if b.since.IsZero() {
		return
	}
	if more && now.Sub(b.said) < backlogEvery {
		return
	}
	if now.Sub(b.since) >= backlogEvery {
		b.log.Info("indexing failures for the search", "done", b.n, "since", b.since, "more", more)
	}
	b.said = now
	if !more {
		b.since = time.Time{}
	}
}
