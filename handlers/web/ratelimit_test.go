package web

import (
	"fmt"
	"testing"
	"time"
)

func limiterAt(now *time.Time) *guessLimiter {
	*now = time.Date(2026, 3, 5, 12, 0, 0, 0, time.UTC)
	return newGuessLimiter(func() time.Time { return *now })
}

// try returns how long a try must wait; zero lets it through.
func try(l *guessLimiter, ip, name string, ok bool) time.Duration {
	return tryFrom(l, place{address: ip}, name, ok)
}

func tryFrom(l *guessLimiter, from place, name string, ok bool) time.Duration {
	_, wait, end := l.begin(from, name)
	if wait == 0 {
		end(ok, true)
	}
	return wait
}

func TestGuessingIsRefusedButTheOwnerGetsInFromElsewhere(t *testing.T) {
	var now time.Time
	l := limiterAt(&now)
	for range PairBurst {
		if wait := try(l, "192.0.2.1", "admin", false); wait != 0 {
			t.Fatalf("refused early: %v", wait)
		}
	}
	wait := try(l, "192.0.2.1", "admin", false)
	if wait <= 0 || wait > pairRefill {
		t.Fatalf("the %dth try waits %v", PairBurst+1, wait)
	}
	for range 20 {
		try(l, "192.0.2.1", "admin", false) // being refused costs nothing more
	}
	if wait := try(l, "198.51.100.7", "admin", true); wait != 0 {
		t.Errorf("the owner is locked out for %v", wait)
	}
	if wait := try(l, "192.0.2.1", "bob", true); wait != 0 {
		t.Errorf("another name of the same address is locked out for %v", wait)
	}
	now = now.Add(pairRefill)
	if wait := try(l, "192.0.2.1", "admin", false); wait != 0 {
		t.Errorf("no new try after %v, but %v", pairRefill, wait)
	}
}

func TestARightPasswordClearsTheCount(t *testing.T) {
	var now time.Time
	l := limiterAt(&now)
	for i := range 3 * PairBurst {
		if wait := try(l, "192.0.2.1", "admin", i%PairBurst == PairBurst-1); wait != 0 {
			t.Fatalf("try %d waits %v", i, wait)
		}
	}
}

func TestOneAddressCannotFillTheQueue(t *testing.T) {
	var now time.Time
	l := limiterAt(&now)
	var ends []func(bool, bool)
	for i := range addressAtOnce {
		_, wait, end := l.begin(place{address: "2001:db8::1"}, fmt.Sprint("name", i))
		if wait != 0 {
			t.Fatal(wait)
		}
		ends = append(ends, end)
	}
	if wait := try(l, "2001:db8::2", "other", false); wait == 0 {
		t.Error("the same network goes on")
	}
	if wait := try(l, "2001:db8:1::1", "other", false); wait != 0 {
		t.Error("another network is refused")
	}
	ends[0](false, true)
	if wait := try(l, "2001:db8::2", "other", false); wait != 0 {
		t.Error("still refused when one is over")
	}
}

func TestManyAddressesAreSlowedDownNeverRefused(t *testing.T) {
	var now time.Time
	l := limiterAt(&now)
	slowest := time.Duration(0)
	for i := range 5 * globalBurst {
		slow, wait, end := l.begin(place{address: fmt.Sprintf("10.0.%d.%d", i/250, i%250)}, fmt.Sprint("name", i))
		if wait != 0 {
			t.Fatalf("refused for %v", wait)
		}
		end(false, true)
		slowest = max(slowest, slow)
	}
	if slowest != globalDelay {
		t.Errorf("slowed down by %v, want %v", slowest, globalDelay)
	}
}

// Many addresses guess for one name: what they can try is bounded, and who has signed in from a place before is not even slowed down.
func TestOneAccountIsGuessedSlowlyAndItsOwnerIsNot(t *testing.T) {
	var now time.Time
	l := limiterAt(&now)
	address := func(i int) string { return fmt.Sprintf("10.1.%d.%d", i/250, i%250) }
	for i := range AccountBurst {
		if wait := try(l, address(i), "admin", false); wait != 0 {
			t.Fatal(wait)
		}
	}
	if !l.strained("192.0.2.1", "admin") || l.strained("192.0.2.1", "bob") {
		t.Error("the store is not asked about the place, or without need")
	}
	tried, refused := 0, 0
	for i := range 10 * accountAtOnce {
		switch slow, wait, _ := l.begin(place{address: address(AccountBurst + i)}, "admin"); {
		case wait > 0:
			refused++
		case slow < accountDelay:
			t.Fatalf("try %d is held back for %v", i, slow)
		default:
			tried++
		}
	}
	if tried != accountAtOnce || refused != 9*accountAtOnce {
		t.Errorf("%d tries at once, %d refused", tried, refused)
	}
	for name, from := range map[string]place{"the address": {address: "192.0.2.1", known: true}, "the browser": {address: address(0), own: "browser x"}} {
		if slow, wait, end := l.begin(from, "admin"); slow != 0 || wait != 0 {
			t.Errorf("%s is known, and waits %v and %v", name, slow, wait)
		} else {
			end(true, true)
		}
	}
	if slow, wait, end := l.begin(place{address: "192.0.2.2"}, "bob"); slow >= accountDelay || wait != 0 {
		t.Errorf("another name waits %v and %v", slow, wait)
	} else {
		end(false, true)
	}
	now = now.Add(accountRefill)
	if l.strained("192.0.2.1", "admin") {
		t.Error("still slow when nobody tries any more")
	}
}

// Whoever tries one password for each of many names is bounded by the address, of IPv6 by the network.
func TestOneAddressGuessesForFewNames(t *testing.T) {
	var now time.Time
	l := limiterAt(&now)
	for i := range AddressBurst {
		if wait := try(l, fmt.Sprintf("2001:db8::%x", i+1), fmt.Sprint("name", i), false); wait != 0 {
			t.Fatalf("try %d waits %v", i, wait)
		}
	}
	if wait := try(l, "2001:db8::ffff", "one more", false); wait <= 0 || wait > addressRefill {
		t.Errorf("waits %v", wait)
	}
	if wait := try(l, "2001:db8:0:1::1", "one more", false); wait != 0 {
		t.Errorf("another network waits %v", wait)
	}
	if wait := tryFrom(l, place{address: "2001:db8::1", own: "browser x"}, "one more", true); wait != 0 {
		t.Errorf("a known browser behind the same address waits %v", wait)
	}
	now = now.Add(addressRefill)
	if wait := try(l, "2001:db8::ffff", "one more", true); wait != 0 {
		t.Errorf("later it waits %v", wait)
	}
}

// A browser that is known has tries of its own, and no more than a stranger.
func TestAKnownBrowserIsLimitedByItself(t *testing.T) {
	var now time.Time
	l := limiterAt(&now)
	own := place{address: "192.0.2.1", own: "browser x"}
	for range PairBurst {
		tryFrom(l, own, "admin", false)
	}
	if wait := tryFrom(l, own, "admin", true); wait <= 0 {
		t.Error("it guesses on and on")
	}
	if wait := try(l, "192.0.2.1", "admin", true); wait != 0 {
		t.Errorf("it locks out others at its address for %v", wait)
	}
}

func TestWrongTokensAreBoundedByAddress(t *testing.T) {
	var now time.Time
	l := limiterAt(&now)
	for i := range TokenBurst {
		if wait := l.wrongToken("192.0.2.1"); wait != 0 {
			t.Fatalf("token %d waits %v", i, wait)
		}
	}
	if wait := l.wrongToken("192.0.2.1"); wait <= 0 || wait > tokenRefill {
		t.Errorf("waits %v", wait)
	}
	if wait := l.wrongToken("192.0.2.2"); wait != 0 {
		t.Errorf("another address waits %v", wait)
	}
	if wait := try(l, "192.0.2.1", "admin", true); wait != 0 {
		t.Errorf("who signs in by password waits %v", wait)
	}
	now = now.Add(tokenRefill)
	if wait := l.wrongToken("192.0.2.1"); wait != 0 {
		t.Errorf("later it waits %v", wait)
	}
}

func TestTheLimiterForgets(t *testing.T) {
	var now time.Time
	l := limiterAt(&now)
	for i := range maxRemembered + 100 {
		try(l, fmt.Sprintf("10.%d.%d.%d", i>>16, i>>8&255, i&255), fmt.Sprint("name", i), false)
		l.wrongToken(fmt.Sprintf("10.%d.%d.%d", i>>16, i>>8&255, i&255))
	}
	for what, n := range map[string]int{"pairs": len(l.pairs.of), "addresses": len(l.addresses.of), "accounts": len(l.accounts.of), "tokens": len(l.tokens.of)} {
		if n > maxRemembered {
			t.Errorf("%d %s", n, what)
		}
	}
	if len(l.running)+len(l.accountOf) != 0 {
		t.Errorf("%d under way", len(l.running)+len(l.accountOf))
	}
}
