package store_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"sync"
	"testing"
	"time"

	"redrive/delivery"
)

func TestEachActionChangesStateAndIsAudited(t *testing.T) {
	d := open(t)
	dead := d.dead(delivery.Message{Payload: []byte("x"), Key: "k"})
	until := time.Now().Add(time.Hour).UTC().Truncate(time.Second)
	ignored := d.act(delivery.ActionRequest{Action: delivery.ActionIgnore, ID: dead.ID, Version: dead.Version, Reason: "a test", Category: "test-data", End: delivery.End{Until: &until}})
	if ignored.State != delivery.StateIgnored || ignored.Settlement.Category != "test-data" || ignored.Settlement.Actor != "ann" ||
		!ignored.Settlement.Until.Equal(until) || ignored.Version != dead.Version+1 {
		t.Fatalf("ignored %+v", ignored)
	}
	reopened := d.act(delivery.ActionRequest{Action: delivery.ActionReopen, ID: dead.ID, Version: ignored.Version})
	if reopened.State != delivery.StateDead || reopened.Settlement.Actor != "" {
		t.Fatalf("reopened %+v", reopened)
	}
	resolved := d.act(delivery.ActionRequest{Action: delivery.ActionResolve, ID: dead.ID, Reason: "by hand", Evidence: "ticket 7"})
	if resolved.State != delivery.StateResolved || resolved.Settlement.Evidence != "ticket 7" {
		t.Fatalf("resolved %+v", resolved)
	}
	d.act(delivery.ActionRequest{Action: delivery.ActionReopen, ID: dead.ID})
	retried := d.act(delivery.ActionRequest{Action: delivery.ActionRetry, ID: dead.ID})
	if retried.State != delivery.StatePending || retried.RetryRequestedAt == nil || retried.NextAttemptAt == nil {
		t.Fatalf("retried %+v", retried)
	}
	c := d.claimOne("push")
	if c.DeliveryID != dead.ID || c.Attempt != 2 || c.RoundStart != 1 {
		t.Errorf("the retry was claimed as %+v", c)
	}
	d.complete(completion(c, confirmed, delivery.StateDelivered))
	after := d.read(dead.ID)
	if after.State != delivery.StateDelivered || after.RetryRequestedAt != nil || len(after.Timeline) != 2 {
		t.Errorf("after the retry %+v", after.Delivery)
	}
	var actions []string
	for _, e := range after.History {
		actions = append(actions, e.Action+" "+e.Actor)
	}
	want := "[delivery.ignore ann delivery.reopen ann delivery.resolve ann delivery.reopen ann delivery.retry ann]"
	if fmt.Sprint(actions) != want {
		t.Errorf("history %v, want %s", actions, want)
	}
	var members map[string]any
	if err := json.Unmarshal(after.History[0].Details, &members); err != nil || members["category"] != "test-data" || members["to"] != "ignored" {
		t.Errorf("details %s: %v", after.History[0].Details, err)
	}
}

func TestActionsThatAreRefusedLeaveNoTrace(t *testing.T) {
	d := open(t)
	dead := d.dead(numbered(1))
	entries := value[int](d, "SELECT count(*) FROM redrive.audit")
	for want, a := range map[string]delivery.ActionRequest{
		"reason_required":   {Action: delivery.ActionResolve, ID: dead.ID, Reason: "  "},
		"category_required": {Action: delivery.ActionIgnore, ID: dead.ID, Reason: "x"},
	} {
		_, err := d.Act(t.Context(), a)
		if code := inputCode(t, err); code != want {
			t.Errorf("code %s, want %s", code, want)
		}
	}
	for _, id := range []string{"x", "00000000-0000-0000-0000-000000000000"} {
		if _, err := d.Act(t.Context(), delivery.ActionRequest{Action: delivery.ActionRetry, ID: id}); !errors.Is(err, delivery.ErrNotFound) {
			t.Errorf("id %s: %v", id, err)
		}
	}
	var conflict *delivery.ConflictError
	_, err := d.Act(t.Context(), delivery.ActionRequest{Action: delivery.ActionRetry, ID: dead.ID, Version: dead.Version + 1})
	if !errors.As(err, &conflict) || conflict.Actor != "engine" || conflict.State != delivery.StateDead {
		t.Errorf("stale version: %v", err)
	}
	waiting := d.accept(numbered(2))
	_, err = d.Act(t.Context(), delivery.ActionRequest{Action: delivery.ActionRetry, ID: waiting.Deliveries[0].ID})
	if !errors.As(err, &conflict) || conflict.State != delivery.StatePending {
		t.Errorf("a delivery that has not failed: %v", err)
	}
	if n := value[int](d, "SELECT count(*) FROM redrive.audit"); n != entries {
		t.Errorf("%d audit entries for refused actions", n-entries)
	}
	if after := d.read(dead.ID); after.Version != dead.Version || after.State != delivery.StateDead {
		t.Errorf("changed to %+v", after.Delivery)
	}
}

func TestAnExpiredMessageIsNotRetried(t *testing.T) {
	d := open(t)
	dead := d.dead(numbered(1))
	d.must(d.sql("UPDATE redrive.deliveries SET expires_at = now()"))
	_, err := d.Act(t.Context(), delivery.ActionRequest{Action: delivery.ActionRetry, ID: dead.ID})
	if code := inputCode(t, err); code != "expired" {
		t.Errorf("code %s", code)
	}
}

// A row of the queue without its message is one that no claim can take.
func TestWhatLostItsMessageIsNotSentAgain(t *testing.T) {
	d := open(t)
	d.manyDead("push", "g", 3)
	ids := value[[]string](d, "SELECT array_agg(id::text ORDER BY id) FROM redrive.deliveries")
	d.act(delivery.ActionRequest{Action: delivery.ActionIgnore, ID: ids[1], Reason: "r", Category: "c"})
	o := d.start(delivery.OperationRequest{Action: delivery.ActionRetry, Chosen: []delivery.Chosen{{ID: ids[2]}}})
	d.must(d.sql("DELETE FROM redrive.messages"))
	d.act(delivery.ActionRequest{Action: delivery.ActionReopen, ID: ids[1]})
	ways := map[delivery.Action]func(id string) error{
		delivery.ActionRetry: func(id string) error {
			_, err := d.Act(t.Context(), delivery.ActionRequest{Action: delivery.ActionRetry, ID: id, Actor: "ann"})
			return err
		},
		delivery.ActionEdit: func(id string) error {
			_, err := d.Edit(t.Context(), delivery.EditRequest{ID: id, Actor: "ann", Reason: "r", Payload: []byte("2")})
			return err
		},
		delivery.ActionRedirect: func(id string) error {
			_, err := d.Redirect(t.Context(), delivery.RedirectRequest{ID: id, Integration: "sms", Actor: "ann", Reason: "r"})
			return err
		},
	}
	for _, row := range delivery.Decisions.Where(func(row delivery.Transition) bool { return row.Queues }) {
		for _, id := range ids {
			if code := inputCode(t, ways[row.Action](id)); code != "message_dropped" {
				t.Errorf("%s: code %s", row.Action, code)
			}
		}
	}
	d.actAll(o.ID)
	page, err := d.OperationItems(t.Context(), o.ID, delivery.ItemFilter{})
	d.must(err)
	if item := page.Items[0]; item.Outcome != "skipped" || item.Reason != delivery.ExcludedDropped || d.operation(o.ID).State != delivery.OperationFinished {
		t.Errorf("by an operation: %+v", item)
	}
	if left := value[string](d, `SELECT concat_ws(' ', (SELECT count(*) FROM redrive.queue), count(*) FILTER (WHERE state = 'dead'),
		(SELECT count(*) FROM redrive.audit WHERE action IN ('delivery.retry', 'delivery.edit', 'delivery.redirect'))) FROM redrive.deliveries`); left != "0 3 0" {
		t.Errorf("queued, dead and audited: %s", left)
	}
}

func TestFiftyRetriesQueueOnce(t *testing.T) {
	d := open(t)
	dead := d.dead(numbered(1))
	var mu sync.Mutex
	won, lost := 0, 0
	var people sync.WaitGroup
	for n := range 50 {
		people.Go(func() {
			_, err := d.Act(t.Context(), delivery.ActionRequest{Action: delivery.ActionRetry, ID: dead.ID, Version: dead.Version, Actor: fmt.Sprint("p", n)})
			var conflict *delivery.ConflictError
			mu.Lock()
			defer mu.Unlock()
			switch {
			case err == nil:
				won++
			case errors.As(err, &conflict) && conflict.Action == "retry":
				lost++
			default:
				t.Error(err)
			}
		})
	}
	people.Wait()
	if won != 1 || lost != 49 {
		t.Errorf("%d won, %d lost", won, lost)
	}
	if n := value[int](d, "SELECT count(*) FROM redrive.queue"); n != 1 {
		t.Errorf("%d rows in the queue", n)
	}
}

// A thousand rounds of three people who do different things to the same dead letter at the same time.
func TestOneWinnerInEachRound(t *testing.T) {
	const rounds = 1000
	d := open(t)
	d.must(d.sql("SELECT redrive.enqueue('push', 't', 'x') FROM generate_series(1, $1)", rounds))
	var done []delivery.Completion
	claimed := d.claim("push", rounds, time.Minute)
	for _, c := range claimed {
		done = append(done, completion(c, answered, delivery.StateDead))
	}
	d.complete(done...)
	for _, c := range claimed {
		round(d, c.DeliveryID)
	}
	if n := value[int](d, "SELECT count(*) FROM redrive.audit WHERE subject_type = 'delivery'"); n != rounds {
		t.Errorf("%d audit entries, want %d", n, rounds)
	}
	report, err := d.VerifyAudit(t.Context())
	if err != nil || !report.OK() {
		t.Errorf("%v %v", report, err)
	}
}

func round(d desk, id string) {
	d.t.Helper()
	requests := []delivery.ActionRequest{
		{Action: delivery.ActionRetry, ID: id, Version: 1, Actor: "retry-er"},
		{Action: delivery.ActionIgnore, ID: id, Version: 1, Actor: "ignore-er", Reason: "r", Category: "other"},
		{Action: delivery.ActionResolve, ID: id, Version: 1, Actor: "resolve-er", Reason: "r"},
	}
	errs := make([]error, len(requests))
	var people sync.WaitGroup
	for i, r := range requests {
		people.Go(func() { _, errs[i] = d.Act(d.t.Context(), r) })
	}
	people.Wait()
	winner := ""
	for i, err := range errs {
		if err == nil && winner == "" {
			winner = requests[i].Actor
		} else if err == nil {
			d.t.Fatalf("%s: two winners", id)
		}
	}
	for _, err := range errs {
		var conflict *delivery.ConflictError
		if err != nil && (!errors.As(err, &conflict) || conflict.Actor != winner) {
			d.t.Fatalf("%s: the winner is %q, a loser was told %v", id, winner, err)
		}
	}
}

func TestIgnoredUntilOpensAgain(t *testing.T) {
	d := open(t)
	dead := d.dead(numbered(1))
	soon := time.Now().Add(time.Hour)
	d.act(delivery.ActionRequest{Action: delivery.ActionIgnore, ID: dead.ID, Reason: "later", Category: "other", End: delivery.End{Until: &soon}})
	if n, err := d.ReopenDue(t.Context()); n != 0 || err != nil {
		t.Fatal(n, err)
	}
	d.must(d.sql("UPDATE redrive.failure_details SET until = now()"))
	if n, err := d.ReopenDue(t.Context()); n != 1 || err != nil {
		t.Fatal(n, err)
	}
	after := d.read(dead.ID)
	last := after.History[len(after.History)-1]
	if after.State != delivery.StateDead || last.Actor != "policy" || last.Action != "delivery.reopen" {
		t.Errorf("%+v, last entry %+v", after.Delivery, last)
	}
}

// A retry that nobody has begun is taken back; what waits for its automatic try is not, and a worker who was faster keeps it.
func TestARetryIsWithdrawn(t *testing.T) {
	d := open(t)
	withdraw := func(id string) error {
		_, err := d.Act(t.Context(), delivery.ActionRequest{Action: delivery.ActionWithdraw, ID: id, Actor: "bob", Reason: "not yet"})
		return err
	}
	refused := func(id string, state delivery.State) {
		t.Helper()
		var conflict *delivery.ConflictError
		if err := withdraw(id); !errors.As(err, &conflict) || conflict.State != state {
			t.Errorf("withdrawn while %s: %v", state, err)
		}
	}
	id := d.dead(numbered(1)).ID
	refused(id, delivery.StateDead)
	d.act(delivery.ActionRequest{Action: delivery.ActionRetry, ID: id})
	d.must(withdraw(id))
	if now := d.read(id); now.State != delivery.StateDead || now.RetryRequestedAt != nil || now.Version != 3 || now.History[1].Action != "delivery.withdraw" || now.History[1].Actor != "bob" {
		t.Errorf("withdrawn %+v", now)
	}
	if n := value[int](d, "SELECT count(*) FROM redrive.queue"); n != 0 {
		t.Errorf("%d in the queue", n)
	}
	d.act(delivery.ActionRequest{Action: delivery.ActionRetry, ID: id})
	faster, done := d.rival(), make(chan error, 1)
	faster.does("UPDATE redrive.queue SET token = nextval('redrive.lease_token'), worker = 'w', claimed_at = now(), due_at = now() + interval '1 hour' WHERE id = $1", id)
	go func() { done <- withdraw(id) }()
	faster.hinders(done)
	faster.does("COMMIT")
	var conflict *delivery.ConflictError
	if err := <-done; !errors.As(err, &conflict) || conflict.State != delivery.StateSending {
		t.Errorf("withdrawn when a worker had it: %v", err)
	}
	d.accept(numbered(2))
	c := d.claimOne("push")
	later := completion(c, answered, delivery.StatePending)
	later.RetryIn = time.Hour
	d.complete(later)
	if code := inputCode(t, withdraw(c.DeliveryID)); code != "nothing_to_withdraw" {
		t.Errorf("an automatic try: %s", code)
	}
	d.verified()
}

// The operation that asked for it counts it as failed, and its canary goes on with the next.
func TestARetryIsWithdrawnFromAnOperation(t *testing.T) {
	d := open(t)
	d.manyDead("push", "g", 6)
	o := d.start(delivery.OperationRequest{Action: delivery.ActionRetry, Pace: delivery.Pace{Canary: 2}})
	d.actAll(o.ID)
	first := value[string](d, "SELECT delivery_id::text FROM redrive.operation_items WHERE operation_id = $1 AND n = 1", o.ID)
	d.act(delivery.ActionRequest{Action: delivery.ActionWithdraw, ID: first})
	d.actAll(o.ID)
	if now := d.operation(o.ID); now.Failed != 1 || now.Released != 2 || now.Wave != (delivery.Wave{Number: 1, Size: 2}) {
		t.Errorf("after it was withdrawn %+v", now)
	}
	page, err := d.OperationItems(t.Context(), o.ID, delivery.ItemFilter{Outcome: "failed"})
	if err != nil || len(page.Items) != 1 || page.Items[0].Reason != delivery.ReasonWithdrawn {
		t.Errorf("items %+v %v", page, err)
	}
	for range 3 {
		d.settle("push", allWell)
		d.actAll(o.ID)
	}
	if now := d.operation(o.ID); now.State != delivery.OperationFinished || now.Succeeded != 5 || now.Failed != 1 {
		t.Errorf("finished %+v", now)
	}
}
