package store_test

import (
	"strings"
	"testing"

	"github.com/jackc/pgx/v5"

	"redrive/delivery"
)

// What an attempt that failed tells beside its error is kept, that of one which was too late as well.
func TestExchangesAreKept(t *testing.T) {
	d := open(t)
	c := d.claimOne(d.accept(delivery.Message{Integration: "push", Type: "t", Payload: []byte(`{}`)}).Deliveries[0].Integration)
	failed := answered
	failed.Exchange = (&delivery.Exchange{Method: "POST", Address: "http://h/\x00", Sent: []delivery.HeaderLine{{"X-Tenant", strings.Repeat("é", 4000)}},
		Answered: make([]delivery.HeaderLine, 100), Steps: []delivery.ExchangeStep{{Name: delivery.StepConnect, Micros: 1200}}}).Storable()
	done := completion(c, failed, delivery.StateDead)
	d.complete(done)
	done.Token = 1 << 40
	late, err := d.Complete(t.Context(), []delivery.Completion{done})
	if err != nil || late != 1 {
		t.Fatal(late, err)
	}
	list := d.read(c.DeliveryID).Timeline
	if len(list) != 2 {
		t.Fatalf("%+v", list)
	}
	for _, a := range list {
		if e := a.Exchange; e == nil || e.Method != "POST" || e.Address != "http://h/\uFFFD" || len(e.Answered) > 40 || len(e.Sent[0][1]) > 600 || e.Steps[0].Micros != 1200 {
			t.Errorf("%+v", e)
		}
	}
}

// The attempt that confirms what had failed before keeps how it was made, and stands in the timeline once; a first one keeps nothing.
func TestTheConfirmingExchangeIsKept(t *testing.T) {
	d := open(t)
	confirmed := delivery.Result{Outcome: delivery.OutcomeOK, HTTPStatus: 202, Response: []byte("taken")}
	d.accept(delivery.Message{Integration: "push", Type: "t", Payload: []byte(`{}`)})
	first := d.claimOne("push")
	d.complete(completion(first, confirmed, delivery.StateDelivered))
	if list := d.read(first.DeliveryID).Timeline; len(list) != 1 || list[0].Exchange != nil {
		t.Errorf("%+v", list)
	}
	id := d.fails(delivery.Message{Integration: "push", Type: "t", Payload: []byte(`{}`)}, "no")
	if _, err := d.Act(t.Context(), delivery.ActionRequest{ID: id, Action: delivery.ActionRetry, Actor: "ann", Reason: "again"}); err != nil {
		t.Fatal(err)
	}
	confirmed.Exchange = &delivery.Exchange{Address: "kafka", Facts: []delivery.HeaderLine{{delivery.FactOffset, "7"}}}
	done := completion(d.claimOne("push"), confirmed, delivery.StateDelivered)
	d.complete(done)
	if late, err := d.Complete(t.Context(), []delivery.Completion{done}); err != nil || late != 0 {
		t.Error(late, err)
	}
	list := d.read(id).Timeline
	if len(list) != 2 || list[0].Outcome == delivery.OutcomeOK {
		t.Fatalf("%+v", list)
	}
	if a := list[1]; a.Outcome != delivery.OutcomeOK || a.Late != "" || a.Number != 2 || a.HTTPStatus != 202 || string(a.Response) != "taken" || a.Exchange == nil || a.Exchange.Facts[0][1] != "7" {
		t.Errorf("%+v", a)
	}
}

// How failures of a group were settled before: operations with what was confirmed of them, decisions alike as one, the latest first; not
// of other groups, and not what was decided about the one that is looked at.
func TestAGroupRemembersHowItWasSettled(t *testing.T) {
	d := open(t)
	ids := make([]string, 7)
	for n := range ids {
		ids[n] = d.fails(delivery.Message{Integration: "push", Type: "order.placed", Payload: []byte(`{}`)}, "no such seller")
	}
	other := d.fails(delivery.Message{Integration: "push", Type: "order.placed", Payload: []byte(`{}`)}, "closed on Sunday")
	act := func(id string, a delivery.Action, reason string) {
		t.Helper()
		_, err := d.Act(t.Context(), delivery.ActionRequest{ID: id, Action: a, Actor: "ann", Reason: reason, Category: "test-data", Version: d.read(id).Version})
		d.must(err)
	}
	o := d.start(delivery.OperationRequest{Action: delivery.ActionRetry, Reason: "filled up", Chosen: []delivery.Chosen{{ID: ids[0]}, {ID: ids[1]}, {ID: ids[2]}}})
	d.actAll(o.ID)
	d.settle("push", func(c delivery.Claimed) (delivery.Result, delivery.State) {
		if c.DeliveryID == ids[2] {
			return answered, delivery.StateDead
		}
		return confirmed, delivery.StateDelivered
	})
	d.step(o.ID)
	ticket := "SHOP-12"
	d.change(delivery.CaseChange{ID: ids[3], Actor: "ann", Version: -1, Ticket: &ticket})
	act(ids[3], delivery.ActionIgnore, "by hand")
	act(ids[4], delivery.ActionIgnore, "a test")
	act(ids[5], delivery.ActionIgnore, "a test")
	act(other, delivery.ActionIgnore, "not of this group")
	got := d.read(ids[6]).Remedies
	if len(got) != 3 || got[0].Reason != "a test" || got[0].Deliveries != 2 || got[0].Category != "test-data" || got[0].Actor != "ann" ||
		got[1].Reason != "by hand" || got[1].Ticket != ticket || !got[2].Operation || got[2].ID != o.ID || got[2].Deliveries != 3 ||
		got[2].Sent != 3 || got[2].Confirmed != 2 {
		t.Errorf("%+v", got)
	}
	if got := d.read(ids[5]).Remedies; len(got) != 3 || got[0].Deliveries != 1 {
		t.Errorf("of one that was decided on: %+v", got)
	}
	d.must(d.sql("INSERT INTO redrive.settlements (group_id, id, action, operation, actor, deliveries) SELECT 'g' || n % 4, redrive.new_id(), 'retry', false, 'ann', 1 FROM generate_series(1, 20000) n"))
	d.must(d.sql("ANALYZE redrive.settlements"))
	rows, err := d.connect().Query(t.Context(), "EXPLAIN SELECT * FROM redrive.settlements s WHERE s.group_id = 'g3' ORDER BY s.decided_at DESC LIMIT 50")
	d.must(err)
	plan, err := pgx.CollectRows(rows, pgx.RowTo[string])
	d.must(err)
	if text := strings.Join(plan, "\n"); strings.Contains(text, "Seq Scan") || strings.Contains(text, "Sort") || !strings.Contains(text, "settlements_latest") {
		t.Errorf("the plan is %s", text)
	}
}
