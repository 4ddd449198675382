package engine

import (
	"testing"
	"time"

	"redrive/delivery"
)

var (
	start     = time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	ok        = delivery.Result{Outcome: delivery.OutcomeOK}
	transient = delivery.Result{Outcome: delivery.OutcomeTransient, ErrorClass: delivery.ClassHTTP5xx}
	permanent = delivery.Result{Outcome: delivery.OutcomePermanent, ErrorClass: delivery.ClassHTTP4xx}
)

func testBreaker() *breaker {
	var cfg BreakerConfig
	cfg.setDefaults()
	b := newBreaker(cfg)
	return &b
}

func TestBreakerOpensAfterFailuresInARow(t *testing.T) {
	b := testBreaker()
	for n := range 10 {
		if _, allowed := b.allow(start); !allowed {
			t.Fatalf("closed to attempt %d", n+1)
		}
		b.record(start, transient)
	}
	wait, allowed := b.allow(start)
	if allowed || wait < 4*time.Second || wait > 6*time.Second {
		t.Fatalf("after ten failures: allowed %v, wait %s", allowed, wait)
	}
}

func TestBreakerLetsOneProbeThrough(t *testing.T) {
	b := testBreaker()
	b.open(start, time.Second)
	later := start.Add(time.Second)
	if _, allowed := b.allow(later); !allowed {
		t.Fatal("no probe")
	}
	if _, allowed := b.allow(later); allowed {
		t.Fatal("a second probe at once")
	}
	b.record(later, transient)
	wait, allowed := b.allow(later)
	if allowed || wait < 8*time.Second {
		t.Fatalf("after a failed probe: allowed %v, wait %s, want about 10 s", allowed, wait)
	}
	again := later.Add(wait)
	b.allow(again)
	b.record(again, ok)
	if b.position(again) != delivery.BreakerClosed {
		t.Fatalf("after a good probe: %s", b.position(again))
	}
}

func TestBreakerTakesARefusalForALifeSign(t *testing.T) {
	b := testBreaker()
	for range 9 {
		b.record(start, transient)
	}
	b.record(start, permanent)
	b.record(start, transient)
	if b.position(start) != delivery.BreakerClosed {
		t.Error("a permanent failure counted as one of the receiver")
	}
}

func TestBreakerOpensByShareOfTheLast(t *testing.T) {
	b := testBreaker()
	for n := range 30 {
		result := transient
		if n%5 < 2 {
			result = ok
		}
		b.record(start, result)
	}
	if b.position(start) != delivery.BreakerOpen {
		t.Error("closed with 60 % failures among the last 30")
	}
	b = testBreaker()
	for n := range 30 { // the same, but spread over five minutes
		result := transient
		if n%5 < 2 {
			result = ok
		}
		b.record(start.Add(time.Duration(n)*10*time.Second), result)
	}
	if b.position(start.Add(300*time.Second)) != delivery.BreakerClosed {
		t.Error("open although the failures are old")
	}
}

func TestBreakerHonoursRetryAfter(t *testing.T) {
	b := testBreaker()
	limited := delivery.Result{Outcome: delivery.OutcomeTransient, ErrorClass: delivery.ClassRateLimited, RetryAfter: 30 * time.Second}
	b.record(start, limited)
	if wait, allowed := b.allow(start); allowed || wait != 30*time.Second {
		t.Errorf("allowed %v, wait %s", allowed, wait)
	}
	limited.RetryAfter = time.Hour
	b = testBreaker()
	b.record(start, limited)
	if wait, _ := b.allow(start); wait != time.Minute {
		t.Errorf("one answer holds the integration back for %s", wait)
	}
}

func TestRetryBudget(t *testing.T) {
	var cfg BudgetConfig
	cfg.setDefaults()
	b := newRetryBudget(cfg)
	taken := 0
	for range 100 {
		if b.take(start) {
			taken++
		}
	}
	if taken != 20 {
		t.Errorf("%d retries at once, want the burst of 20", taken)
	}
	for range 50 {
		b.confirmed(false)
	}
	for taken = 0; b.take(start); taken++ {
	}
	if taken < 9 || taken > 10 {
		t.Errorf("%d retries earned by 50 deliveries, want a fifth", taken)
	}
	for range 10 {
		b.confirmed(true)
	}
	for taken = 0; b.take(start); taken++ {
	}
	if taken < 10 {
		t.Errorf("ten confirmed retries gave %d back", taken)
	}
}

func TestBufferFollowsTheReceiver(t *testing.T) {
	b := newBuffer(16, true)
	now := start
	for range 10 { // each claim is used up in 50 ms
		b.filled(now, 16, 16)
		now = now.Add(50 * time.Millisecond)
	}
	if b.limit != 256 {
		t.Errorf("fast receiver: a buffer of %d, want 256", b.limit)
	}
	for range 10 {
		now = now.Add(5 * time.Second)
		b.filled(now, 16, 16)
	}
	if b.limit != 16 {
		t.Errorf("slow receiver: a buffer of %d, want 16", b.limit)
	}
	careful := newBuffer(16, false)
	for range 10 {
		careful.filled(now, 16, 16)
	}
	if careful.limit != 0 {
		t.Errorf("a receiver that does not drop duplicates gets a buffer of %d", careful.limit)
	}
}
