package engine

import (
	"time"

	"redrive/delivery"
)

// Admits reports whether an attempt outside of the queue may start now, and else after how long to ask again. It takes nothing:
// rooms that take messages in ask it before they do.
func (e *Engine) Admits(integration string) (wait time.Duration, ok bool) {
	l := e.bulkheads[integration]
	if l == nil {
		return 0, true // Try explains what is wrong
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	now := time.Now()
	if l.paused || l.stopped || l.abandoned >= maxAbandoned*l.slots() {
		return e.cfg.StatePoll, false
	}
	switch l.breaker.position(now) {
	case delivery.BreakerOpen:
		return l.breaker.until.Sub(now), false
	case delivery.BreakerHalfOpen:
		return e.cfg.StatePoll, !l.breaker.probing
	}
	return 0, true
}
