// Package operations is the room that carries out bulk actions in the background. Every process runs it; an operation is advanced
// by one of them at a time, step by step, each step a transaction. What it decides (how many now, and when to stop) stands in
// plan.go and needs no database.
package operations

import (
	"context"
	"errors"
	"log/slog"
	"time"

	"redrive/delivery"
)

// Store is what the room needs from the database.
type Store interface {
	OpenOperations(ctx context.Context) (ids []string, acting bool, err error)
	AdvanceOperation(ctx context.Context, id string, plan func(*delivery.OperationStep)) (acted int, err error)
	ForgetFormTokens(ctx context.Context) error
	ExpireApprovals(ctx context.Context) error
}

// Config is what a room is made with.
type Config struct {
	Store Store
	Wake  func() // deliveries were queued; must not block; may be nil
	Log   *slog.Logger
	Poll  time.Duration // between looks while something is under way; default 100 ms
	Idle  time.Duration // between looks otherwise, see Wake; default 500 ms
}

const tidyEvery = time.Hour

// Room advances operations.
type Room struct {
	cfg    Config
	wake   chan struct{}
	tidied time.Time
}

// New fills in defaults; nothing runs before Run.
func New(cfg Config) *Room {
	if cfg.Log == nil {
		cfg.Log = slog.Default()
	}
	if cfg.Wake == nil {
		cfg.Wake = func() {}
	}
	if cfg.Poll <= 0 {
		cfg.Poll = 100 * time.Millisecond
	}
	if cfg.Idle <= 0 {
		cfg.Idle = 500 * time.Millisecond
	}
	return &Room{cfg: cfg, wake: make(chan struct{}, 1)}
}

// Wake tells the room that an operation was started or changed. It never blocks.
func (r *Room) Wake() {
	select {
	case r.wake <- struct{}{}:
	default:
	}
}

// Run advances operations until ctx ends: the step under way then is rolled back, and is somebody else's. Grace is not needed.
func (r *Room) Run(ctx, _ context.Context) error {
	trouble := ""
	for ctx.Err() == nil {
		wait, err := r.round(ctx)
		text := ""
		if err != nil {
			if text = err.Error(); text != trouble && ctx.Err() == nil { // once, not with every look
				r.cfg.Log.Error("operations do not get on and are tried again", "error", err)
			}
			wait = r.cfg.Idle
		}
		trouble = text
		if wait > 0 {
			r.pause(ctx, wait)
		}
	}
	return nil
}

// round gives each open operation one step and answers how long to wait for the next.
func (r *Room) round(ctx context.Context) (wait time.Duration, err error) {
	if err := r.tidy(ctx); err != nil {
		return 0, err
	}
	ids, acting, err := r.cfg.Store.OpenOperations(ctx)
	if err != nil {
		return 0, err
	}
	busy := false
	for _, id := range ids {
		more := false
		acted, failed := r.cfg.Store.AdvanceOperation(ctx, id, func(s *delivery.OperationStep) {
			Plan(s)
			more = full(s)
		})
		if failed != nil {
			err = failed // the other operations go on
			continue
		}
		if acted > 0 {
			r.cfg.Wake()
		}
		busy = busy || more
	}
	switch {
	case busy:
		return 0, err
	case acting:
		return r.cfg.Poll, err
	}
	return r.cfg.Idle, err
}

// full reports whether a step took as much as it may, so that the next can follow at once.
func full(s *delivery.OperationStep) bool {
	total := 0
	for _, p := range s.Parts {
		total += p.Release
	}
	return total >= chunk
}

func (r *Room) tidy(ctx context.Context) error {
	if time.Since(r.tidied) < tidyEvery {
		return nil
	}
	r.tidied = time.Now()
	return errors.Join(r.cfg.Store.ForgetFormTokens(ctx), r.cfg.Store.ExpireApprovals(ctx))
}

func (r *Room) pause(ctx context.Context, wait time.Duration) {
	timer := time.NewTimer(wait)
	defer timer.Stop()
	select {
	case <-ctx.Done():
	case <-r.wake:
	case <-timer.C:
	}
}
