package engine

import (
	"context"
	"time"

	"redrive/delivery"
)

const (
	foldEvery    = time.Second
	lookupAtMost = 250 * time.Millisecond // wake-ups come with every commit; pauses are not looked up as often
)

// supervise looks up what people paused, ends pauses and ignores whose time is over, shows breakers, and settles what waits for nobody.
func (e *Engine) supervise(ctx context.Context) {
	states, tidy := time.NewTicker(e.cfg.StatePoll), time.NewTicker(e.cfg.Tidy)
	defer states.Stop()
	defer tidy.Stop()
	e.tidy(ctx)
	for {
		select {
		case <-ctx.Done():
			return
		case <-states.C:
			for _, l := range e.order {
				l.workers.prune()
			}
			e.lookUpLogged(ctx)
		case <-e.refresh:
			if time.Since(e.lookups) >= lookupAtMost {
				e.lookUpLogged(ctx)
			}
		case <-tidy.C:
			e.tidy(ctx)
		}
		e.showBreakers(ctx)
	}
}

// foldCounts keeps the counters' changes few, so that reading them stays cheap. A loop of its own: it must not hold up pauses.
func (e *Engine) foldCounts(ctx context.Context) {
	tick := time.NewTicker(foldEvery)
	defer tick.Stop()
	for {
		for more := true; more && ctx.Err() == nil; {
			var err error
			if more, err = e.cfg.Store.FoldCounts(ctx); err != nil && ctx.Err() == nil {
				e.log.ErrorContext(ctx, "folding the failure counters failed", "error", err)
			}
		}
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
	}
}

func (e *Engine) tidy(ctx context.Context) {
	e.resumeDue(ctx)
	e.reopenDue(ctx)
	if err := e.cfg.Store.SettleRetired(ctx); err != nil && ctx.Err() == nil {
		e.log.ErrorContext(ctx, "settling what waits for integrations that left the file failed", "error", err)
	}
}

func (e *Engine) resumeDue(ctx context.Context) {
	names, err := e.cfg.Store.ResumeDue(ctx)
	if err != nil && ctx.Err() == nil {
		e.log.ErrorContext(ctx, "resuming integrations whose pause is over failed", "error", err)
	}
	for _, name := range names {
		e.log.InfoContext(ctx, "integration goes on, its pause is over", "integration", name)
	}
}

func (e *Engine) reopenDue(ctx context.Context) {
	n := 0
	for ctx.Err() == nil {
		some, err := e.cfg.Store.ReopenDue(ctx)
		if err != nil && ctx.Err() == nil {
			e.log.ErrorContext(ctx, "reopening ignored deliveries failed", "error", err)
		}
		if n += some; some == 0 {
			break
		}
	}
	if n > 0 {
		e.log.InfoContext(ctx, "ignored deliveries reopened, their end has come", "count", n)
	}
}

// firstLookUp waits until the pauses are known, or ctx ends: nothing is sent to an integration before. A database that is away just
// now, because it starts again, ends no process.
func (e *Engine) firstLookUp(ctx context.Context) {
	for !e.lookUpLogged(ctx) && delivery.Pause(ctx, e.cfg.StatePoll) {
	}
}

// lookUpLogged reports whether the pauses are known now.
func (e *Engine) lookUpLogged(ctx context.Context) bool {
	err := e.lookUp(ctx)
	if err != nil && ctx.Err() == nil {
		e.log.ErrorContext(ctx, "looking up pauses failed", "error", err)
	}
	return err == nil
}

// lookUp applies pauses. What is buffered is given back, so that nothing starts after a person said stop.
func (e *Engine) lookUp(ctx context.Context) error {
	first := e.lookups.IsZero()
	states, err := e.cfg.Store.IntegrationStates(ctx)
	if err != nil {
		return err
	}
	e.lookups = time.Now()
	for _, l := range e.order {
		s := states[l.integration.Name]
		e.giveBack(l.setPaused(s.PausedAt != nil))
		if s.Breaker != "" && s.Breaker != delivery.BreakerClosed && (first || l.disproves(s, e.lookups, 2*e.cfg.StatePoll)) {
			l.showAgain() // left behind by a process that is gone
		}
	}
	return nil
}

// showBreakers saves the breakers that moved.
func (e *Engine) showBreakers(ctx context.Context) {
	for _, l := range e.order {
		state, openFor, changed := l.breakerNews(time.Now())
		if !changed {
			continue
		}
		e.log.InfoContext(ctx, "circuit breaker", "integration", l.integration.Name, "state", state, "open_for", openFor)
		if err := e.cfg.Store.SaveBreaker(ctx, l.integration.Name, state, openFor); err != nil && ctx.Err() == nil {
			e.log.ErrorContext(ctx, "saving a breaker failed", "integration", l.integration.Name, "error", err)
			l.showAgain()
		}
	}
}

func (l *bulkhead) breakerNews(now time.Time) (state delivery.BreakerState, openFor time.Duration, changed bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	state = l.breaker.position(now)
	if state == delivery.BreakerOpen {
		openFor = l.breaker.until.Sub(now)
	}
	changed, l.breaker.changed = l.breaker.changed, false
	return state, openFor, changed
}

// disproves reports whether this process has just been answered by a receiver whose breaker, by another process's word, still probes:
// operations would send one after another for as long as nobody said otherwise.
func (l *bulkhead) disproves(s delivery.IntegrationState, now time.Time, lately time.Duration) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	rested := s.BreakerUntil == nil || s.BreakerUntil.Before(now)
	return rested && l.breaker.state == delivery.BreakerClosed && l.status.bad == 0 && now.Sub(l.status.worked) < lately
}

func (l *bulkhead) showAgain() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.breaker.changed = true
}
