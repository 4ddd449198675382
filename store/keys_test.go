package store_test

import (
	"errors"
	"testing"
	"time"

	"redrive/delivery"
)

// handed is a pool's message with an idempotency key.
func handed(n int, key string, next delivery.State) delivery.Parked {
	p := parked(n, "", next)
	p.InboxKey, p.Message.IdempotencyKey = "", key
	return p
}

func TestParkedKeysAreKnown(t *testing.T) {
	d := open(t)
	if _, err := d.AcceptedByKey(t.Context(), delivery.Message{Integration: "push", IdempotencyKey: "k"}); !errors.Is(err, delivery.ErrNotFound) {
		t.Error(err)
	}
	dead := handed(1, "k", delivery.StateDead)
	broker := parked(2, "", delivery.StateDead)
	broker.Message.IdempotencyKey = "theirs"
	d.park(dead, broker)
	a, err := d.AcceptedByKey(t.Context(), delivery.Message{Integration: "push", IdempotencyKey: "k"})
	d.must(err)
	if a.ID != dead.Message.ID || !a.Duplicate || len(a.Deliveries) != 1 || a.Deliveries[0].ID != dead.DeliveryID || a.Deliveries[0].State != delivery.StateDead {
		t.Errorf("%+v", a)
	}
	if _, err := d.AcceptedByKey(t.Context(), delivery.Message{Integration: "push", IdempotencyKey: "theirs"}); !errors.Is(err, delivery.ErrNotFound) {
		t.Errorf("a broker's key: %v", err)
	}
	if again := d.accept(delivery.Message{IdempotencyKey: "k"}); !again.Duplicate || again.ID != dead.Message.ID {
		t.Errorf("durable with the same key: %+v", again)
	}
	if d.park(handed(3, "k", delivery.StateDead)) != 1 { // it was accepted: it is not lost for a key that somebody had before
		t.Error("a second message with the key is missing")
	}
	if a, err := d.AcceptedByKey(t.Context(), delivery.Message{Integration: "push", IdempotencyKey: "k"}); err != nil || a.ID != dead.Message.ID {
		t.Errorf("%+v %v", a, err)
	}
}

func TestWhatExpiredInAPoolWasNotSent(t *testing.T) {
	d := open(t)
	after := time.Now().Add(time.Hour).UTC().Truncate(time.Second)
	p := handed(1, "", delivery.StateDead)
	p.Message.DeliverAfter = &after
	p.Attempts = []delivery.Attempt{{Number: 1, StartedAt: time.Now(), Outcome: delivery.OutcomePermanent, ErrorClass: delivery.ClassExpired, Error: "not sent"}}
	d.park(p)
	got := d.read(p.DeliveryID)
	health, err := d.Health(t.Context())
	d.must(err)
	if got.State != delivery.StateDead || got.Attempts != 1 || health[0].Failed24h != 0 || got.Message.DeliverAfter == nil || !got.Message.DeliverAfter.Equal(after) {
		t.Errorf("%+v, %d failed attempts", got, health[0].Failed24h)
	}
}
