package web

import (
	"context"
	"net/netip"
	"sync"
	"time"

	"golang.org/x/time/rate"
)

// Bounds of guessing. A name alone is never limited: whoever tries passwords for a name must not lock out its owner, who
// comes from another address.
const (
	PairBurst     = 5                // tries of one address at one name, then
	pairRefill    = 20 * time.Second // one more after this long
	maxPairs      = 10_000           // remembered, about 2 MB
	addressAtOnce = 4                // tries of one address under way, so that one cannot fill the queue for hashing
	globalRate    = 10               // tries per second of everybody, before all are slowed down
	globalBurst   = 20
	globalDelay   = 2 * time.Second // the slowdown's upper end: nobody is refused by it
)

// signInLimiter slows down guessing of passwords.
type signInLimiter struct {
	now func() time.Time

	mu      sync.Mutex
	pairs   map[pair]*rate.Limiter
	running map[string]int // tries under way, by address
	global  *rate.Limiter
}

type pair struct{ address, name string }

func newSignInLimiter(now func() time.Time) *signInLimiter {
	return &signInLimiter{now: now, pairs: map[pair]*rate.Limiter{}, running: map[string]int{},
		global: rate.NewLimiter(globalRate, globalBurst)}
}

// begin asks for a try. A wait above zero refuses it: so long to wait before the next. Otherwise slow is how long to hold
// this one back, and end must be called when it is over.
func (l *signInLimiter) begin(ip, name string) (slow, wait time.Duration, end func(ok bool)) {
	p := pair{addressKey(ip), name}
	now := l.now()
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.running[p.address] >= addressAtOnce {
		return 0, time.Second, nil
	}
	limiter := l.limiter(p, now)
	reservation := limiter.ReserveN(now, 1)
	if wait = reservation.DelayFrom(now); wait > 0 {
		reservation.CancelAt(now)
		return 0, wait, nil
	}
	l.running[p.address]++
	return l.slowdown(now), 0, func(ok bool) { l.end(p, ok) }
}

func (l *signInLimiter) slowdown(now time.Time) time.Duration {
	reservation := l.global.ReserveN(now, 1)
	delay := reservation.DelayFrom(now)
	if delay > globalDelay {
		reservation.CancelAt(now)
		return globalDelay
	}
	return delay
}

func (l *signInLimiter) end(p pair, ok bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.running[p.address]--; l.running[p.address] <= 0 {
		delete(l.running, p.address)
	}
	if ok {
		delete(l.pairs, p) // who knows the password has nothing to guess
	}
}

// forgive forgets the tries of an address at a name: somebody has signed in, by more than the password.
func (l *signInLimiter) forgive(ip, name string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	delete(l.pairs, pair{addressKey(ip), name})
}

func (l *signInLimiter) limiter(p pair, now time.Time) *rate.Limiter {
	if known, ok := l.pairs[p]; ok {
		return known
	}
	if len(l.pairs) >= maxPairs {
		l.sweep(now)
	}
	fresh := rate.NewLimiter(rate.Every(pairRefill), PairBurst)
	l.pairs[p] = fresh
	return fresh
}

// sweep forgets pairs that have all their tries again, and, when that is not enough, a tenth of the others.
func (l *signInLimiter) sweep(now time.Time) {
	for p, limiter := range l.pairs {
		if limiter.TokensAt(now) >= PairBurst {
			delete(l.pairs, p)
		}
	}
	for p := range l.pairs {
		if len(l.pairs) < maxPairs*9/10 {
			return
		}
		delete(l.pairs, p)
	}
}

// refusalLimiter bounds how many refusals of each address are audited: whoever comes need not be known for them.
type refusalLimiter struct {
	mu sync.Mutex
	by map[string]*rate.Limiter
}

func (l *refusalLimiter) allow(ip string) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	address := addressKey(ip)
	if l.by[address] == nil {
		if len(l.by) >= maxPairs {
			clear(l.by)
		}
		l.by[address] = rate.NewLimiter(rate.Every(refusalRefill), refusalBurst)
	}
	return l.by[address].Allow()
}

// addressKey is the part of an address that one person holds: all of IPv4, the network of IPv6.
func addressKey(ip string) string {
	address, err := netip.ParseAddr(ip)
	if err != nil {
		return ip
	}
	address = address.Unmap().WithZone("")
	if address.Is4() {
		return address.String()
	}
	network, err := address.Prefix(64)
	if err != nil {
		return address.String()
	}
	return network.String()
}

// hold waits, unless ctx ends before.
func hold(ctx context.Context, d time.Duration) error {
	if d <= 0 {
		return nil
	}
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}
