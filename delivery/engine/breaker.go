package engine

import (
	"math/rand/v2"
	"time"

	"golang.org/x/time/rate"

	"redrive/delivery"
)

// BreakerConfig says when an integration's circuit breaker opens. Zero values take the defaults named.
type BreakerConfig struct {
	Consecutive int           // transient or unknown outcomes in a row; default 10
	Last        int           // or, among this many last outcomes (default 30) …
	Share       float64       // … this share of them (default 0.6) …
	Window      time.Duration // … not older than this; default 30 s
	Open        time.Duration // first time open; doubled while probes fail; default 5 s
	MaxOpen     time.Duration // default 60 s; also bounds how long one Retry-After holds back an integration
}

func (c *BreakerConfig) setDefaults() {
	setDefault(&c.Consecutive, 10)
	setDefault(&c.Last, 30)
	setDefault(&c.Share, 0.6)
	setDefault(&c.Window, 30*time.Second)
	setDefault(&c.Open, 5*time.Second)
	setDefault(&c.MaxOpen, time.Minute)
}

func setDefault[T int | float64 | time.Duration](v *T, to T) {
	if *v <= 0 {
		*v = to
	}
}

// breaker is not safe for concurrent use: its bulkhead's lock guards it. A message that the receiver refuses for what it is
// (permanent) says that the receiver lives, so it counts as a success.
type breaker struct {
	cfg     BreakerConfig
	state   delivery.BreakerState
	until   time.Time // open only
	openFor time.Duration
	inARow  int
	recent  []sample
	probing bool // half-open: the single probe is under way
	changed bool // people have not been shown the state yet
}

type sample struct {
	at  time.Time
	bad bool
}

func newBreaker(cfg BreakerConfig) breaker {
	return breaker{cfg: cfg, state: delivery.BreakerClosed, openFor: cfg.Open}
}

// position moves an open breaker whose time is over to half-open and returns the state.
func (b *breaker) position(now time.Time) delivery.BreakerState {
	if b.state == delivery.BreakerOpen && !now.Before(b.until) {
		b.set(delivery.BreakerHalfOpen)
		b.probing = false
	}
	return b.state
}

// allow reports whether one more attempt may start, and else after how long to ask again. Every allowed attempt must be
// followed by record.
func (b *breaker) allow(now time.Time) (wait time.Duration, ok bool) {
	switch b.position(now) {
	case delivery.BreakerOpen:
		return b.until.Sub(now), false
	case delivery.BreakerHalfOpen:
		if b.probing {
			return time.Second, false
		}
		b.probing = true
	}
	return 0, true
}

// record learns from the outcome of an attempt.
func (b *breaker) record(now time.Time, r delivery.Result) {
	bad := r.Outcome == delivery.OutcomeTransient || r.Outcome == delivery.OutcomeUnknown
	state := b.position(now)
	if bad && r.ErrorClass == delivery.ClassRateLimited && r.RetryAfter > 0 {
		b.open(now, min(max(r.RetryAfter, delivery.MinRetryAfter), b.cfg.MaxOpen))
		return
	}
	switch state {
	case delivery.BreakerHalfOpen:
		b.probed(now, bad)
	case delivery.BreakerClosed:
		b.count(now, bad)
		if b.tripped() {
			b.open(now, jittered(b.openFor))
		}
	}
}

func (b *breaker) probed(now time.Time, bad bool) {
	b.probing = false
	if bad {
		b.openFor = min(b.openFor*2, b.cfg.MaxOpen)
		b.open(now, jittered(b.openFor))
		return
	}
	b.openFor, b.inARow, b.recent = b.cfg.Open, 0, nil
	b.set(delivery.BreakerClosed)
}

func (b *breaker) count(now time.Time, bad bool) {
	b.inARow++
	if !bad {
		b.inARow = 0
	}
	b.recent = append(b.recent, sample{at: now, bad: bad})
	if extra := len(b.recent) - b.cfg.Last; extra > 0 {
		b.recent = b.recent[extra:]
	}
	for len(b.recent) > 0 && now.Sub(b.recent[0].at) > b.cfg.Window {
		b.recent = b.recent[1:]
	}
}

func (b *breaker) tripped() bool {
	if b.inARow >= b.cfg.Consecutive {
		return true
	}
	if len(b.recent) < b.cfg.Last {
		return false
	}
	bad := 0
	for _, s := range b.recent {
		if s.bad {
			bad++
		}
	}
	return float64(bad) >= b.cfg.Share*float64(len(b.recent))
}

func (b *breaker) open(now time.Time, d time.Duration) {
	if until := now.Add(d); until.After(b.until) {
		b.until = until
	}
	b.probing, b.inARow, b.recent = false, 0, nil
	b.set(delivery.BreakerOpen)
}

func (b *breaker) set(s delivery.BreakerState) {
	b.state = s
	b.changed = true
}

// jittered spreads d by a fifth to either side, so that processes do not probe in step.
func jittered(d time.Duration) time.Duration {
	return d - d/5 + rand.N(2*d/5+1) // spreading load needs no secrecy
}

// BudgetConfig limits retries, so that a receiver in trouble is not met by a storm of them. Zero values take the defaults.
type BudgetConfig struct {
	PerSecond float64 // retries always allowed; default 10
	Share     float64 // and this share of confirmed deliveries; default 0.2
}

func (c *BudgetConfig) setDefaults() {
	setDefault(&c.PerSecond, 10)
	setDefault(&c.Share, 0.2)
}

// retryBudget gates every attempt but the first, a person's retries included. A confirmed retry gives its permission
// back with interest: a receiver that has recovered is not held back.
type retryBudget struct {
	cfg    BudgetConfig
	floor  *rate.Limiter
	credit float64
}

const maxRetryCredit = 1000

func newRetryBudget(cfg BudgetConfig) retryBudget {
	return retryBudget{cfg: cfg, floor: rate.NewLimiter(rate.Limit(cfg.PerSecond), max(1, int(2*cfg.PerSecond)))}
}

func (b *retryBudget) take(now time.Time) bool {
	if b.credit >= 1 {
		b.credit--
		return true
	}
	return b.floor.AllowN(now, 1)
}

func (b *retryBudget) confirmed(retry bool) {
	earned := b.cfg.Share
	if retry {
		earned++
	}
	b.credit = min(b.credit+earned, maxRetryCredit)
}
