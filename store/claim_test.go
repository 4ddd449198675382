package store_test

import (
	"bytes"
	"context"
	"sync"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"redrive/delivery"
	"redrive/store/storetest/patience"
)

func TestClaimAnswersTheMessageUnchanged(t *testing.T) {
	d := open(t)
	payload := []byte("\x00\xff{\"a\":1,\"a\":123456789012345678901234567890}")
	expires := time.Now().Add(time.Hour).Truncate(time.Microsecond).UTC()
	a := d.accept(delivery.Message{Type: "t", Key: "k 1", Payload: payload, Headers: map[string]string{"X-A": "b"}, IdempotencyKey: "i1", ExpiresAt: &expires})
	c := d.claimOne("push")
	m := c.Message
	if !bytes.Equal(m.Payload, payload) || m.ID != a.ID || m.Key != "k 1" || m.Type != "t" || m.Headers["X-A"] != "b" ||
		m.IdempotencyKey != "i1" || !m.ExpiresAt.Equal(expires) || m.Integration != "push" || m.CreatedAt.IsZero() {
		t.Fatalf("claimed %+v", m)
	}
	if c.Attempt != 1 || c.Token == 0 || c.Crashes != 0 || c.LostLease || c.Expired || c.DeliveryID != a.Deliveries[0].ID {
		t.Fatalf("claimed %+v", c)
	}
	if again := d.claim("push", 10, time.Minute); len(again) != 0 {
		t.Fatalf("claimed %d more under a running lease", len(again))
	}
}

func TestClaimKeepsToItsQuotasAndTimes(t *testing.T) {
	d := open(t)
	later := time.Now().Add(time.Hour)
	past := time.Now().Add(-time.Second)
	d.accept(delivery.Message{Payload: []byte("later"), DeliverAfter: &later})
	for n := range 5 {
		d.accept(numbered(n))
	}
	d.accept(delivery.Message{Integration: "sms", ExpiresAt: &past})
	claimed, err := d.Claim(t.Context(), "w", []delivery.Quota{{Integration: "push", Limit: 3, Lease: time.Minute},
		{Integration: "sms", Limit: 3, Lease: time.Minute}})
	d.must(err)
	byIntegration := map[string]int{}
	for _, c := range claimed {
		byIntegration[c.Integration]++
		if c.Expired != (c.Integration == "sms") {
			t.Errorf("%s: expired is %v", c.Integration, c.Expired)
		}
	}
	if byIntegration["push"] != 3 || byIntegration["sms"] != 1 {
		t.Errorf("claimed %v, want 3 and 1", byIntegration)
	}
	if rest := d.claim("push", 10, time.Minute); len(rest) != 2 {
		t.Errorf("claimed %d, want the 2 that are due", len(rest))
	}
}

func TestManyWorkersShareTheWorkWithoutOverlap(t *testing.T) {
	d := open(t)
	const total = 500
	d.must(d.sql("SELECT redrive.enqueue('push', 't', 'x') FROM generate_series(1, $1)", total))
	var mu sync.Mutex
	seen := map[string]int{}
	var workers sync.WaitGroup
	for range 8 {
		workers.Go(func() {
			for {
				claimed, err := d.Claim(t.Context(), "w", []delivery.Quota{{Integration: "push", Limit: 20, Lease: time.Minute}})
				if err != nil || len(claimed) == 0 {
					if err != nil {
						t.Error(err)
					}
					return
				}
				mu.Lock()
				for _, c := range claimed {
					seen[c.DeliveryID]++
				}
				mu.Unlock()
			}
		})
	}
	workers.Wait()
	if len(seen) != total {
		t.Errorf("%d deliveries claimed, want %d", len(seen), total)
	}
	for id, n := range seen {
		if n != 1 {
			t.Errorf("%s was claimed %d times", id, n)
		}
	}
}

func TestClaimsKeepToTheirBytes(t *testing.T) {
	d := open(t)
	for range 5 {
		d.accept(delivery.Message{Payload: bytes.Repeat([]byte("x"), 1000)})
	}
	claim := func(q delivery.Quota) int {
		t.Helper()
		q.Integration, q.Limit, q.Lease = "push", 10, time.Minute
		claimed, err := d.Claim(t.Context(), "w", []delivery.Quota{q})
		d.must(err)
		return len(claimed)
	}
	if n := claim(delivery.Quota{Bytes: 999}); n != 0 {
		t.Errorf("claimed %d that do not fit", n)
	}
	if n := claim(delivery.Quota{Bytes: 999, AnyFirst: true}); n != 1 {
		t.Errorf("claimed %d, want one that goes alone", n)
	}
	if n := claim(delivery.Quota{Bytes: 2999}); n != 2 {
		t.Errorf("claimed %d, want the two that fit", n)
	}
	if n := claim(delivery.Quota{Bytes: 3000, AnyFirst: true}); n != 2 {
		t.Errorf("claimed %d, want the two that are left, not counted as attempted", n)
	}
	if n := value[int](d, "SELECT max(attempts) FROM redrive.queue"); n != 1 {
		t.Errorf("%d attempts", n)
	}
}

// A row that somebody has locked, for whatever reason and however long, holds up nobody.
func TestClaimsDoNotWaitForLockedRows(t *testing.T) {
	d := open(t)
	for n := range 3 {
		d.accept(numbered(n))
	}
	conn, err := pgx.Connect(t.Context(), d.dsn)
	d.must(err)
	t.Cleanup(func() { _ = conn.Close(context.Background()) })
	_, err = conn.Exec(t.Context(), "BEGIN; SELECT FROM redrive.queue ORDER BY due_at LIMIT 1 FOR UPDATE")
	d.must(err)
	brief, cancel := context.WithTimeout(t.Context(), patience.Limit)
	defer cancel()
	claimed, err := d.Claim(brief, "w", []delivery.Quota{{Integration: "push", Limit: 10, Lease: time.Minute}})
	d.must(err)
	if len(claimed) != 2 {
		t.Errorf("claimed %d, want the 2 that are free", len(claimed))
	}
}

func TestALostLeaseIsAnAttemptWithUnknownOutcome(t *testing.T) {
	d := open(t)
	a := d.accept(numbered(1))
	first := d.claim("push", 1, time.Millisecond)[0]
	var second []delivery.Claimed
	await(t, func() bool { second = d.claim("push", 1, time.Minute); return len(second) == 1 })
	c := second[0]
	if !c.LostLease || c.Crashes != 1 || c.Attempt != 2 || c.Token <= first.Token {
		t.Fatalf("second claim %+v after %+v", c, first)
	}
	detail := d.read(a.Deliveries[0].ID)
	if len(detail.Timeline) != 1 || detail.Timeline[0].Outcome != delivery.OutcomeUnknown || detail.Timeline[0].ErrorClass != delivery.ClassLeaseLost {
		t.Fatalf("timeline %+v", detail.Timeline)
	}
	if detail.State != delivery.StateSending || detail.FailedAt == nil {
		t.Errorf("detail %+v", detail.Delivery)
	}
	if group, _ := delivery.Fingerprint("push", delivery.ClassLeaseLost, detail.Error); group != detail.GroupID {
		t.Errorf("group %s, the fingerprint is %s", detail.GroupID, group)
	}
}

func TestExtendProlongsAndNamesTheLost(t *testing.T) {
	d := open(t)
	d.accept(numbered(1))
	d.accept(numbered(2))
	held := d.claim("push", 2, time.Millisecond)
	stale := delivery.Lease{DeliveryID: held[1].DeliveryID, Token: held[1].Token - 1000}
	lost, err := d.Extend(t.Context(), []delivery.Lease{held[0].Lease, stale}, time.Hour)
	d.must(err)
	if len(lost) != 1 || lost[0] != stale {
		t.Fatalf("lost %v, want %v", lost, stale)
	}
	await(t, func() bool {
		again := d.claim("push", 2, time.Hour)
		return len(again) == 1 && again[0].DeliveryID == held[1].DeliveryID
	})
}

func TestReleaseDoesNotCountTheAttempt(t *testing.T) {
	d := open(t)
	d.accept(numbered(1))
	c := d.claimOne("push")
	d.must(d.Release(t.Context(), []delivery.Lease{c.Lease}, 0))
	d.must(d.Release(t.Context(), []delivery.Lease{c.Lease}, 0)) // the same again changes nothing
	again := d.claimOne("push")
	if again.Attempt != 1 || again.LostLease {
		t.Fatalf("after a release: %+v", again)
	}
	d.must(d.Release(t.Context(), []delivery.Lease{again.Lease}, time.Hour))
	if rest := d.claim("push", 1, time.Minute); len(rest) != 0 {
		t.Error("released for an hour, claimed at once")
	}
}

// await repeats a check that depends on the database's clock, with the test's own deadline.
func await(t *testing.T, done func() bool) {
	t.Helper()
	for deadline := time.Now().Add(patience.Limit); !done(); {
		if time.Now().After(deadline) {
			t.Fatal("it did not happen")
		}
	}
}
