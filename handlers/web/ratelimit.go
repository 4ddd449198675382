package web

import (
	"context"
	"net/netip"
	"sync"
	"time"

	"golang.org/x/time/rate"
)

// Bounds of guessing. Whoever guesses must not lock out others: what comes from one place is refused there, what comes for one name from
// many places is slowed down, and a place from where that person signed in before is not even slowed down.
const (
	PairBurst     = 5                // tries of one place at one name, then
	pairRefill    = 20 * time.Second // one more after this long
	AddressBurst  = 40               // wrong tries of one address at any name, then
	addressRefill = 10 * time.Second
	TokenBurst    = 40 // wrong bearer tokens of one address, then
	tokenRefill   = 10 * time.Second
	AccountBurst  = 20 // wrong tries at one name from places that it does not know, then
	accountRefill = 30 * time.Second
	accountDelay  = 4 * time.Second // every further one is held back, and so many are at once
	accountAtOnce = 16
	maxRemembered = 10_000 // of each, about 2 MB
	addressAtOnce = 4      // tries of one place under way, so that one cannot fill the queue for hashing
	globalRate    = 10     // tries per second of everybody, before all are slowed down
	globalBurst   = 20
	globalDelay   = 2 * time.Second // the slowdown's upper end: nobody is refused by it
)

// guessLimiter slows down guessing of passwords and tokens.
type guessLimiter struct {
	now func() time.Time

	mu        sync.Mutex
	pairs     limiters[pair]
	addresses limiters[string] // wrong passwords
	tokens    limiters[string] // wrong tokens, by address
	accounts  limiters[string] // wrong passwords, by name
	audited   limiters[string] // refusals that are written down one by one, by address
	running   map[string]int   // tries under way, by place
	accountOf map[string]int   // and those that are held back, by name
	global    *rate.Limiter
}

type pair struct{ place, name string }

// place is from where somebody tries a password.
type place struct {
	address string // of the network
	own     string // what only its owner can send: of a browser or session that the person has used; empty for others
	known   bool   // the person has signed in from here
}

// key is what its tries are counted by: what only one person can send is nobody else's to use up.
func (p place) key() string {
	if p.own != "" {
		return p.own
	}
	return addressKey(p.address)
}

func newGuessLimiter(now func() time.Time) *guessLimiter {
	return &guessLimiter{now: now, running: map[string]int{}, accountOf: map[string]int{}, global: rate.NewLimiter(globalRate, globalBurst),
		pairs:     newLimiters[pair](pairRefill, PairBurst),
		addresses: newLimiters[string](addressRefill, AddressBurst),
		tokens:    newLimiters[string](tokenRefill, TokenBurst),
		accounts:  newLimiters[string](accountRefill, AccountBurst),
		audited:   newLimiters[string](refusalRefill, refusalBurst),
	}
}

// strained reports whether a try would be refused or slowed down if nothing were known of its place.
func (l *guessLimiter) strained(address, name string) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	now, key := l.now(), addressKey(address)
	return l.pairs.wait(pair{key, name}, now) > 0 || l.addresses.wait(key, now) > 0 || l.accounts.wait(name, now) > 0 || l.running[key] >= addressAtOnce
}

// begin asks for a try. A wait above zero refuses it: so long to wait before the next. Otherwise slow is how long to hold
// this one back, and end must be called when it is over: with whether the password fits, and whether that is all that is asked for.
func (l *guessLimiter) begin(from place, name string) (slow, wait time.Duration, end func(fits, all bool)) {
	now, p := l.now(), pair{from.key(), name}
	l.mu.Lock()
	defer l.mu.Unlock()
	held := !from.known && from.own == "" && l.accounts.wait(name, now) > 0
	switch {
	case l.running[p.place] >= addressAtOnce, held && l.accountOf[name] >= accountAtOnce:
		return 0, time.Second, nil
	case from.own == "":
		wait = l.addresses.wait(p.place, now)
	}
	if wait = max(wait, l.pairs.wait(p, now)); wait > 0 {
		return 0, wait, nil
	}
	l.pairs.spend(p, now)
	l.running[p.place]++
	switch {
	case held:
		l.accountOf[name]++
		slow = max(accountDelay, l.slowdown(now))
	case !from.known && from.own == "":
		slow = l.slowdown(now)
	}
	return slow, 0, func(fits, all bool) { l.end(from, p, held, fits, all) }
}

func (l *guessLimiter) slowdown(now time.Time) time.Duration {
	reservation := l.global.ReserveN(now, 1)
	delay := reservation.DelayFrom(now)
	if delay > globalDelay {
		reservation.CancelAt(now)
		return globalDelay
	}
	return delay
}

func (l *guessLimiter) end(from place, p pair, held, fits, all bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	release(l.running, p.place)
	if held {
		release(l.accountOf, p.name)
	}
	now := l.now()
	switch {
	case fits && all:
		l.pairs.forget(p) // who knows the password has nothing to guess
	case !fits && from.own == "":
		l.addresses.spend(p.place, now)
		l.accounts.spend(p.name, now)
	}
}

// forgive forgets the tries of an address at a name: somebody has signed in, by more than the password.
func (l *guessLimiter) forgive(ip, name string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.pairs.forget(pair{addressKey(ip), name})
}

// mayAudit reports whether one more refusal of an address is written down by itself: whoever comes need not be known for it.
func (l *guessLimiter) mayAudit(address string) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	now, key := l.now(), addressKey(address)
	wait := l.audited.wait(key, now)
	l.audited.spend(key, now)
	return wait == 0
}

func release(running map[string]int, key string) {
	if running[key]--; running[key] <= 0 {
		delete(running, key)
	}
}

// wrongToken counts a wrong bearer token of an address. A wait above zero is how long it had better send none.
func (l *guessLimiter) wrongToken(address string) (wait time.Duration) {
	l.mu.Lock()
	defer l.mu.Unlock()
	now, key := l.now(), addressKey(address)
	wait = l.tokens.wait(key, now)
	l.tokens.spend(key, now)
	return wait
}

// limiters are one for each key. Those that nobody has touched for long are forgotten.
type limiters[K comparable] struct {
	of     map[K]*rate.Limiter
	refill rate.Limit
	burst  int
}

func newLimiters[K comparable](refill time.Duration, burst int) limiters[K] {
	return limiters[K]{of: map[K]*rate.Limiter{}, refill: rate.Every(refill), burst: burst}
}

// wait is how long there is no try; zero when there is one.
func (l limiters[K]) wait(key K, now time.Time) time.Duration {
	known, ok := l.of[key]
	if !ok {
		return 0
	}
	missing := 1 - known.TokensAt(now)
	if missing <= 0 {
		return 0
	}
	return time.Duration(missing / float64(l.refill) * float64(time.Second))
}

// spend takes a try, if there is one.
func (l limiters[K]) spend(key K, now time.Time) {
	known, ok := l.of[key]
	if !ok {
		if len(l.of) >= maxRemembered {
			l.sweep(now)
		}
		known = rate.NewLimiter(l.refill, l.burst)
		l.of[key] = known
	}
	known.AllowN(now, 1)
}

func (l limiters[K]) forget(key K) { delete(l.of, key) }

// sweep forgets those that have all their tries again, and, when that is not enough, a tenth of the others.
func (l limiters[K]) sweep(now time.Time) {
	for key, limiter := range l.of {
		if limiter.TokensAt(now) >= float64(l.burst) {
			delete(l.of, key)
		}
	}
	for key := range l.of {
		if len(l.of) < maxRemembered*9/10 {
			return
		}
		delete(l.of, key)
	}
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
