package web

import (
	"fmt"
	"testing"
	"time"
)

func limiterAt(now *time.Time) *signInLimiter {
	*now = time.Date(2026, 3, 5, 12, 0, 0, 0, time.UTC)
	return newSignInLimiter(func() time.Time { return *now })
}

// try returns how long a try must wait; zero lets it through.
func try(l *signInLimiter, ip, name string, ok bool) time.Duration {
	_, wait, end := l.begin(ip, name)
	if wait == 0 {
		end(ok)
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
	var ends []func(bool)
	for i := range addressAtOnce {
		_, wait, end := l.begin("2001:db8::1", fmt.Sprint("name", i))
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
	ends[0](false)
	if wait := try(l, "2001:db8::2", "other", false); wait != 0 {
		t.Error("still refused when one is over")
	}
}

func TestManyAddressesAreSlowedDownNeverRefused(t *testing.T) {
	var now time.Time
	l := limiterAt(&now)
	slowest := time.Duration(0)
	for i := range 5 * globalBurst {
		slow, wait, end := l.begin(fmt.Sprintf("10.0.%d.%d", i/250, i%250), "admin")
		if wait != 0 {
			t.Fatalf("refused for %v", wait)
		}
		end(false)
		slowest = max(slowest, slow)
	}
	if slowest != globalDelay {
		t.Errorf("slowed down by %v, want %v", slowest, globalDelay)
	}
}

func TestTheLimiterForgets(t *testing.T) {
	var now time.Time
	l := limiterAt(&now)
	for i := range 3 * maxPairs {
		try(l, fmt.Sprintf("10.%d.%d.%d", i>>16, i>>8&255, i&255), "admin", false)
	}
	if len(l.pairs) > maxPairs || len(l.running) != 0 {
		t.Errorf("%d pairs, %d under way", len(l.pairs), len(l.running))
	}
}
