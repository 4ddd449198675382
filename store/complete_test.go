package store_test

import (
	"bytes"
	"testing"
	"time"

	"redrive/delivery"
)

func TestAConfirmedDeliveryLeavesTheQueue(t *testing.T) {
	d := open(t)
	a := d.accept(numbered(1))
	c := d.claimOne("push")
	done := completion(c, confirmed, delivery.StateDelivered)
	if late := d.complete(done); late != 0 {
		t.Fatal("late", late)
	}
	detail := d.read(a.Deliveries[0].ID)
	if detail.State != delivery.StateDelivered || detail.SettledAt == nil || detail.Attempts != 1 || detail.FailedAt != nil {
		t.Errorf("record %+v", detail.Delivery)
	}
	if len(detail.Timeline) != 1 || detail.Timeline[0].Outcome != delivery.OutcomeOK || detail.Timeline[0].HTTPStatus != 200 ||
		detail.Timeline[0].Duration != 12*time.Millisecond {
		t.Errorf("timeline %+v", detail.Timeline)
	}
	if n := value[int](d, "SELECT count(*) FROM redrive.queue"); n != 0 {
		t.Errorf("%d rows left in the queue", n)
	}
	health, err := d.Health(t.Context())
	d.must(err)
	if health[0].Delivered24h != 1 || health[0].Hours[23].Delivered != 1 || len(health[0].Hours) != 24 {
		t.Errorf("health %+v", health[0])
	}
	if late := d.complete(done); late != 0 {
		t.Errorf("the same outcome again counted as %d late ones", late)
	}
	if again := d.read(detail.ID); len(again.Timeline) != 1 || again.Version != detail.Version {
		t.Errorf("the same outcome again changed the record: %+v", again.Delivery)
	}
}

func TestAFailureIsPostponedThenDead(t *testing.T) {
	d := open(t)
	a := d.accept(delivery.Message{Payload: []byte("x"), Key: "k"})
	c := d.claimOne("push")
	retry := completion(c, answered, delivery.StatePending)
	retry.RetryIn = time.Hour
	d.complete(retry)
	detail := d.read(a.Deliveries[0].ID)
	if detail.State != delivery.StatePending || detail.NextAttemptAt == nil || time.Until(*detail.NextAttemptAt) < 50*time.Minute {
		t.Fatalf("postponed %+v", detail.Delivery)
	}
	d.must(d.sql("UPDATE redrive.queue SET due_at = now()"))
	c = d.claimOne("push")
	if c.Attempt != 2 || c.LostLease {
		t.Fatalf("second claim %+v", c)
	}
	d.complete(completion(c, answered, delivery.StateDead))
	detail = d.read(c.DeliveryID)
	if detail.State != delivery.StateDead || detail.DeadAt == nil || detail.Error != answered.Error || detail.GroupCount != 1 ||
		detail.ErrorClass != delivery.ClassHTTP5xx || detail.Attempts != 2 {
		t.Errorf("dead %+v", detail)
	}
	if len(detail.Timeline) != 2 || !bytes.Equal(detail.Timeline[0].Response, answered.Response) || detail.Timeline[1].Number != 2 {
		t.Errorf("timeline %+v", detail.Timeline)
	}
	groups, err := d.Groups(t.Context(), delivery.GroupFilter{})
	d.must(err)
	if len(groups.Items) != 1 || groups.Items[0].Count != 1 || groups.Items[0].ID != detail.GroupID {
		t.Errorf("groups %+v", groups.Items)
	}
}

func TestALateOutcomeChangesNothing(t *testing.T) {
	d := open(t)
	a := d.accept(numbered(1))
	late := d.claim("push", 1, time.Millisecond)[0]
	var current delivery.Claimed
	await(t, func() bool {
		claimed := d.claim("push", 1, time.Minute)
		if len(claimed) == 1 {
			current = claimed[0]
		}
		return len(claimed) == 1
	})
	// both in one batch, as one process that lost and took the same delivery would write them
	if n := d.complete(completion(late, confirmed, delivery.StateDelivered), completion(current, answered, delivery.StateDead)); n != 1 {
		t.Fatalf("%d late outcomes, want 1", n)
	}
	if n := d.complete(completion(late, confirmed, delivery.StateDelivered)); n != 0 {
		t.Errorf("a late outcome written again counted %d times", n)
	}
	detail := d.read(a.Deliveries[0].ID)
	if detail.State != delivery.StateDead {
		t.Errorf("the late outcome made it %s", detail.State)
	}
	outcomes := map[delivery.Outcome]int{}
	for _, at := range detail.Timeline {
		outcomes[at.Outcome]++
		if at.Outcome == delivery.OutcomeLate && at.Late != delivery.OutcomeOK {
			t.Errorf("late attempt %+v does not say what it would have been", at)
		}
	}
	if outcomes[delivery.OutcomeLate] != 1 || outcomes[delivery.OutcomeUnknown] != 1 || outcomes[delivery.OutcomeTransient] != 1 {
		t.Errorf("timeline %v", outcomes)
	}
}

// Whatever a late outcome says, the row stays with the worker that holds it now.
func TestNoLateOutcomeTakesTheRowAway(t *testing.T) {
	for next, result := range map[delivery.State]delivery.Result{delivery.StateDelivered: confirmed, delivery.StatePending: answered,
		delivery.StateDead: answered, delivery.StateIgnored: answered} {
		t.Run(string(next), func(t *testing.T) {
			d := open(t)
			d.accept(numbered(1))
			late := d.claimOne("push")
			d.must(d.sql("UPDATE redrive.queue SET due_at = now()"))
			current := d.claimOne("push")
			before := d.read(late.DeliveryID)
			if n := d.complete(completion(late, result, next)); n != 1 {
				t.Errorf("%d late outcomes, want 1", n)
			}
			if token := value[int64](d, "SELECT token FROM redrive.queue"); token != current.Token {
				t.Errorf("the row is held by %d, want %d", token, current.Token)
			}
			if after := d.read(late.DeliveryID); after.State != delivery.StateSending || after.Version != before.Version {
				t.Errorf("it made %s version %d of %s version %d", after.State, after.Version, before.State, before.Version)
			}
			if n := d.complete(completion(current, confirmed, delivery.StateDelivered)); n != 0 {
				t.Error("the current outcome counts as late")
			}
		})
	}
}

func TestPolicyIgnoresWithAReason(t *testing.T) {
	d := open(t)
	d.accept(numbered(1))
	c := d.claimOne("push")
	d.complete(completion(c, answered, delivery.StateIgnored))
	page, err := d.Failures(t.Context(), delivery.Filter{States: []delivery.State{delivery.StateIgnored}})
	d.must(err)
	if len(page.Items) != 1 || page.Items[0].Settlement.Actor != "policy" || page.Items[0].Settlement.Reason == "" {
		t.Fatalf("ignored %+v", page.Items)
	}
}

func TestABatchOfEveryKind(t *testing.T) {
	d := open(t)
	const each = 40
	d.must(d.sql("SELECT redrive.enqueue('push', 't', 'x') FROM generate_series(1, $1)", 3*each))
	var done []delivery.Completion
	for i, c := range d.claim("push", 1000, time.Minute) {
		switch i % 3 {
		case 0:
			done = append(done, completion(c, confirmed, delivery.StateDelivered))
		case 1:
			done = append(done, completion(c, answered, delivery.StateDead))
		default:
			done = append(done, completion(c, answered, delivery.StatePending))
		}
	}
	d.complete(done...)
	for state, want := range map[string]int{"delivered": each, "dead": each, "pending": each} {
		if n := value[int](d, "SELECT count(*) FROM redrive.all_deliveries WHERE state = $1", state); n != want {
			t.Errorf("%d %s, want %d", n, state, want)
		}
	}
}
