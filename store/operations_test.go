package store_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"redrive/delivery"
	"redrive/delivery/operations"
	"redrive/store"
	"redrive/views/words"
)

var _ operations.Store = (*store.Store)(nil)

// english is what people read.
func english(p delivery.Phrase) string { return words.Say(words.English, p) }

// manyDead makes n dead letters of an integration in one group, whose changes are a millisecond apart, the first the oldest.
func (d desk) manyDead(integration, group string, n int) {
	d.t.Helper()
	d.must(d.sql(`WITH made AS MATERIALIZED (
			SELECT redrive.new_id() AS id, redrive.new_id() AS message, clock_timestamp() - ($3::int - k) * interval '1 millisecond' AS at FROM generate_series(1, $3::int) k
		), messages AS (
			INSERT INTO redrive.messages (id, kind, integration, type, payload, created_at) SELECT message, 'command', $1::text, 'test', '{"a":1}', at FROM made
		), details AS (
			INSERT INTO redrive.failure_details (delivery_id, error) SELECT id, 'the receiver answered 503' FROM made
		), groups AS (
			INSERT INTO redrive.groups (id, integration, error_class, message) VALUES ($2::text, $1::text, 'http_5xx', 'the receiver answered <n>') ON CONFLICT DO NOTHING
		)
		INSERT INTO redrive.deliveries (id, message_id, integration, state, attempts, error_class, group_id, created_at, failed_at, changed_at, dead_at)
		SELECT id, message, $1::text, 'dead', 3, 'http_5xx', $2::text, at, at, at, at FROM made`, integration, group, n))
}

func (d desk) start(r delivery.OperationRequest) delivery.Operation {
	d.t.Helper()
	if r.Actor == "" {
		r.Actor = "ann"
	}
	if r.Filter == nil && r.Chosen == nil {
		r.Filter = &delivery.Filter{}
	}
	o, err := d.StartOperation(d.t.Context(), r)
	d.must(err)
	return o
}

func (d desk) operation(id string) delivery.Operation {
	d.t.Helper()
	o, err := d.Operation(d.t.Context(), id)
	d.must(err)
	if sum := o.Succeeded + o.Failed + o.Skipped + o.Cancelled + o.Remaining; sum != o.Selected || o.Remaining < 0 {
		d.t.Errorf("the numbers do not add up: %+v", o)
	}
	return o
}

// step advances an operation once.
func (d desk) step(id string) (acted int) {
	d.t.Helper()
	acted, err := d.AdvanceOperation(d.t.Context(), id, operations.Plan)
	d.must(err)
	return acted
}

// actAll advances an operation until a step does nothing.
func (d desk) actAll(id string) {
	d.t.Helper()
	for d.step(id) > 0 {
		d.operation(id)
	}
}

// settle gives everything that is due its outcome.
func (d desk) settle(integration string, judge func(c delivery.Claimed) (delivery.Result, delivery.State)) {
	d.t.Helper()
	for {
		claimed := d.claim(integration, 1000, time.Minute)
		if len(claimed) == 0 {
			return
		}
		var done []delivery.Completion
		for _, c := range claimed {
			result, next := judge(c)
			done = append(done, completion(c, result, next))
		}
		d.complete(done...)
	}
}

func allWell(delivery.Claimed) (delivery.Result, delivery.State) {
	return confirmed, delivery.StateDelivered
}

func (d desk) verified() {
	d.t.Helper()
	report, err := d.VerifyAudit(d.t.Context())
	if err != nil || !report.OK() {
		d.t.Errorf("audit: %v %v", report, err)
	}
}

func TestARetryOfManyGetsItsOutcomes(t *testing.T) {
	d := open(t)
	d.manyDead("push", "g1", 3000)
	d.manyDead("sms", "g2", 5)
	r := delivery.OperationRequest{Action: delivery.ActionRetry, Reason: "it is up again", Filter: &delivery.Filter{}}
	run, err := d.DryRun(t.Context(), r)
	if err != nil || run.Eligible != 3005 || len(run.Excluded) != 0 || fmt.Sprint(run.Integrations) != "map[push:3000 sms:5]" {
		t.Fatalf("dry run %+v %v", run, err)
	}
	o := d.start(r)
	if o.Selected != 3005 || o.Remaining != 3005 || len(o.Parts) != 2 || o.Parts[0].Waiting != 3000 || o.State != delivery.OperationRunning {
		t.Fatalf("started %+v", o)
	}
	d.actAll(o.ID)
	if o = d.operation(o.ID); o.Released != 3005 || o.Remaining != 3005 || o.State != delivery.OperationRunning {
		t.Fatalf("released %+v", o)
	}
	d.settle("push", allWell)
	d.settle("sms", func(c delivery.Claimed) (delivery.Result, delivery.State) { return answered, delivery.StateDead })
	if o = d.operation(o.ID); o.Succeeded != 3000 || o.Failed != 5 || o.Remaining != 0 {
		t.Errorf("before it is counted %+v", o)
	}
	d.step(o.ID)
	if o = d.operation(o.ID); o.Succeeded != 3000 || o.Failed != 5 || o.State != delivery.OperationFinished || o.FinishedAt == nil {
		t.Errorf("finished %+v", o)
	}
	page, err := d.OperationItems(t.Context(), o.ID, delivery.ItemFilter{Outcome: "failed", Limit: 3})
	if err != nil || len(page.Items) != 3 || page.Items[0].N != 3001 || page.Items[0].Reason != "http_5xx" || page.Next != "3003" {
		t.Errorf("items %+v %v", page, err)
	}
	for _, c := range []struct {
		f        delivery.ItemFilter
		from, to int
	}{{delivery.ItemFilter{Integration: "sms"}, 3001, 3005}, {delivery.ItemFilter{Integration: "sms", Outcome: "failed", After: "3002"}, 3003, 3005},
		{delivery.ItemFilter{Integration: "push", After: "2998"}, 2999, 3000}, {delivery.ItemFilter{Integration: "sms", Outcome: "succeeded"}, 0, 0},
		{delivery.ItemFilter{Integration: "fax"}, 0, 0}} {
		page, err := d.OperationItems(t.Context(), o.ID, c.f)
		d.must(err)
		for i, item := range page.Items {
			if item.N != c.from+i || item.Integration != c.f.Integration {
				t.Errorf("%+v: item %+v", c.f, item)
			}
		}
		if n := len(page.Items); n != 0 && c.from+n-1 != c.to || n == 0 && c.to != 0 {
			t.Errorf("%+v: %d items", c.f, n)
		}
	}
	if n := value[int](d, "SELECT count(DISTINCT subject) FROM redrive.audit WHERE action = 'delivery.retry' AND actor = 'ann' AND details->>'operation' = $1", o.ID); n != 3005 {
		t.Errorf("%d deliveries audited", n)
	}
	if n := value[int](d, "SELECT count(*) FROM redrive.audit"); n != 3006 {
		t.Errorf("%d entries", n)
	}
	var members map[string]any
	raw := value[string](d, "SELECT details::text FROM redrive.audit WHERE seq = 2")
	d.must(json.Unmarshal([]byte(raw), &members))
	if members["from"] != "dead" || members["to"] != "pending" || members["version"] != 2.0 || members["integration"] != "push" {
		t.Errorf("details %s", raw)
	}
	d.verified()
}

func TestADryRunSaysWhatIsExcludedAndWhy(t *testing.T) {
	d := open(t)
	d.must(d.SyncIntegrations(t.Context(), []delivery.Integration{integration("push"), integration("sms"), integration("gone"), integration("held"), integration("resting")}))
	for _, name := range []string{"push", "sms", "gone", "held", "resting"} {
		d.manyDead(name, "g-"+name, 4)
	}
	ids := func(integration string) (list []string) {
		page, err := d.Failures(t.Context(), delivery.Filter{Integrations: []string{integration}})
		d.must(err)
		for _, f := range page.Items {
			list = append(list, f.ID)
		}
		return list
	}
	push := ids("push")
	d.act(delivery.ActionRequest{Action: delivery.ActionRetry, ID: push[0]})
	d.act(delivery.ActionRequest{Action: delivery.ActionResolve, ID: push[1], Reason: "r"})
	d.must(d.sql("UPDATE redrive.messages SET expires_at = now() WHERE id = (SELECT message_id FROM redrive.deliveries WHERE id = $1)", push[2]))
	d.must(d.sql("UPDATE redrive.deliveries SET expires_at = now() WHERE id = $1", push[2]))
	d.must(d.sql("DELETE FROM redrive.messages WHERE id = (SELECT message_id FROM redrive.deliveries WHERE id = $1)", ids("sms")[0]))
	d.must(d.sql("UPDATE redrive.deliveries SET error_class = 'timeout' WHERE id = $1", ids("sms")[1]))
	d.must(d.SyncIntegrations(t.Context(), []delivery.Integration{integration("push"), integration("sms"), integration("held"), integration("resting")}))
	d.must(d.SetPaused(t.Context(), "held", true, "bob", "r"))
	d.must(d.SaveBreaker(t.Context(), "resting", delivery.BreakerOpen, time.Minute))
	all := delivery.Filter{States: []delivery.State{delivery.StateDead, delivery.StatePending, delivery.StateResolved}}
	r := delivery.OperationRequest{Action: delivery.ActionRetry, Filter: &all}
	want := "{4 map[already_settled:1 breaker_open:4 expired:1 in_flight:1 no_integration:4 paused:4 payload_dropped:1] map[push:1 sms:3] 1 map[sms:1]}"
	run, err := d.DryRun(t.Context(), r)
	if got := fmt.Sprint(run); err != nil || got != want {
		t.Errorf("dry run %s %v, want %s", got, err, want)
	}
	o := d.start(r)
	if o.Selected != 4 || fmt.Sprint(o.Excluded) != fmt.Sprint(run.Excluded) || fmt.Sprint(o.Filter.States) != fmt.Sprint(all.States) {
		t.Errorf("started %+v", o)
	}
	for action, want := range map[delivery.Action]int{delivery.ActionIgnore: 18, delivery.ActionReopen: 1, delivery.ActionAcknowledge: 18} {
		run, err := d.DryRun(t.Context(), delivery.OperationRequest{Action: action, Filter: &delivery.Filter{}, Reason: "r", Category: "c"})
		if err != nil || run.Eligible != want || len(run.Excluded) != 0 {
			t.Errorf("%s: %+v %v", action, run, err)
		}
	}
	waiting := d.accept(numbered(1)).Deliveries[0].ID
	chosen := []delivery.Chosen{{ID: push[3], Version: 1}, {ID: push[3]}, {ID: ids("sms")[0], Version: 7}, {ID: "x"}, {ID: waiting}, {ID: push[1]}}
	run, err = d.DryRun(t.Context(), delivery.OperationRequest{Action: delivery.ActionIgnore, Chosen: chosen, Reason: "r", Category: "c"})
	if got := fmt.Sprint(run.Eligible, run.Excluded); err != nil || got != "1 map[already_settled:1 changed:1 in_flight:1 not_found:1]" {
		t.Errorf("a list: %s %v", got, err)
	}
}

func TestOperationsThatAreRefused(t *testing.T) {
	d := open(t)
	d.manyDead("push", "g", 1)
	all := &delivery.Filter{}
	for want, r := range map[string]delivery.OperationRequest{
		"bad_action":        {Action: "explode", Filter: all},
		"bad_id":            {Action: delivery.ActionRetry, Filter: all, ID: "7"},
		"bad_selection":     {Action: delivery.ActionRetry},
		"too_many":          {Action: delivery.ActionRetry, Chosen: make([]delivery.Chosen, delivery.MaxChosen+1)},
		"reason_required":   {Action: delivery.ActionIgnore, Filter: all, Category: "x"},
		"category_required": {Action: delivery.ActionIgnore, Filter: all, Reason: "x"},
		"invalid_pace":      {Action: delivery.ActionRetry, Filter: all, Pace: delivery.Pace{RampTo: 5}},
		"nothing_selected":  {Action: delivery.ActionReopen, Filter: all},
	} {
		_, err := d.StartOperation(t.Context(), r)
		if code := inputCode(t, err); code != want {
			t.Errorf("code %s, want %s", code, want)
		}
	}
	_, err := d.StartOperation(t.Context(), delivery.OperationRequest{Action: delivery.ActionResolve, Filter: all, Reason: "x", Pace: delivery.Pace{Rate: 1}})
	if code := inputCode(t, err); code != "pace_not_allowed" {
		t.Errorf("a pace of resolving: %s", code)
	}
	if n := value[int](d, "SELECT count(*) FROM redrive.operations") + value[int](d, "SELECT count(*) FROM redrive.audit"); n != 0 {
		t.Errorf("%d traces", n)
	}
}

func TestTheSameIDStartsOneOperation(t *testing.T) {
	d := open(t)
	d.manyDead("push", "g", 10)
	r := delivery.OperationRequest{ID: "0190a0a0-0000-7000-8000-000000000001", Action: delivery.ActionRetry, Filter: &delivery.Filter{}, Actor: "ann"}
	var clicks sync.WaitGroup
	for range 8 {
		clicks.Go(func() {
			if o, err := d.StartOperation(t.Context(), r); err != nil || o.ID != r.ID || o.Selected != 10 {
				t.Errorf("%+v %v", o, err)
			}
		})
	}
	clicks.Wait()
	if n := value[int](d, "SELECT count(*) FROM redrive.audit"); n != 1 {
		t.Errorf("%d entries", n)
	}
	r.Actor = "bob"
	_, err := d.StartOperation(t.Context(), r)
	if code := inputCode(t, err); code != "conflict" {
		t.Errorf("another actor: %s", code)
	}
	page, err := d.Operations(t.Context(), delivery.OperationFilter{Actor: "ann", States: []delivery.OperationState{delivery.OperationRunning}})
	if err != nil || len(page.Items) != 1 || page.Items[0].Remaining != 10 {
		t.Errorf("list %+v %v", page, err)
	}
}

func TestWhoWasFasterIsSaid(t *testing.T) {
	d := open(t)
	d.manyDead("push", "g", 6)
	o := d.start(delivery.OperationRequest{Action: delivery.ActionResolve, Reason: "gone", Filter: &delivery.Filter{}})
	page, err := d.OperationItems(t.Context(), o.ID, delivery.ItemFilter{Outcome: "waiting"})
	if err != nil || len(page.Items) != 6 {
		t.Fatalf("items %+v %v", page, err)
	}
	id := func(n int) string { return page.Items[n].DeliveryID }
	d.act(delivery.ActionRequest{Action: delivery.ActionIgnore, ID: id(0), Reason: "r", Category: "c", Actor: "bob"})
	d.act(delivery.ActionRequest{Action: delivery.ActionRetry, ID: id(1), Actor: "cid"})
	d.act(delivery.ActionRequest{Action: delivery.ActionIgnore, ID: id(2), Reason: "r", Category: "c", Actor: "bob"})
	d.act(delivery.ActionRequest{Action: delivery.ActionReopen, ID: id(2), Actor: "dan"})
	other := d.start(delivery.OperationRequest{Action: delivery.ActionRetry, Chosen: []delivery.Chosen{{ID: id(3)}, {ID: id(4)}}, Actor: "eve"})
	d.actAll(other.ID)
	claimed := d.claim("push", 10, time.Minute)
	for _, c := range claimed {
		if c.DeliveryID == id(4) {
			d.complete(completion(c, answered, delivery.StateDead))
		}
	}
	byEve, err := d.Failures(t.Context(), delivery.Filter{Actors: []string{"eve"}, States: []delivery.State{delivery.StateDead, delivery.StatePending, delivery.StateSending}})
	if err != nil || len(byEve.Items) != 2 {
		t.Errorf("retried by eve: %+v %v", byEve.Items, err)
	}
	d.actAll(o.ID)
	if o = d.operation(o.ID); o.Succeeded != 1 || o.Skipped != 5 || o.State != delivery.OperationFinished {
		t.Errorf("finished %+v", o)
	}
	page, err = d.OperationItems(t.Context(), o.ID, delivery.ItemFilter{})
	d.must(err)
	for n, want := range []string{"already_settled: bob did ignore", "in_flight: cid did retry", "changed: dan did reopen", "in_flight: eve did retry",
		"changed: engine did attempt", ""} {
		got := page.Items[n].Reason
		if who := english(page.Items[n].Who); who != "" {
			got += ": " + who
		}
		if !strings.HasPrefix(got, want) || (got == "") != (want == "") {
			t.Errorf("item %d: %q, want %q", n, got, want)
		}
	}
	if page.Items[5].Outcome != "succeeded" {
		t.Errorf("item 5: %+v", page.Items[5])
	}
	var conflict *delivery.ConflictError
	_, err = d.Act(t.Context(), delivery.ActionRequest{Action: delivery.ActionRetry, ID: id(3), Actor: "ann"})
	if !errors.As(err, &conflict) || conflict.Actor != "eve" || conflict.Action != "retry" {
		t.Errorf("a person after an operation: %v", err)
	}
	_, err = d.Act(t.Context(), delivery.ActionRequest{Action: delivery.ActionRetry, ID: id(5), Actor: "bob"})
	if !errors.As(err, &conflict) || conflict.Actor != "ann" || conflict.Action != "resolve" {
		t.Errorf("a person after an operation: %v", err)
	}
	if n := value[int](d, "SELECT count(*) FROM redrive.audit WHERE details->>'operation' = $1", o.ID); n != 1 {
		t.Errorf("%d of the items audited", n)
	}
	d.verified()
}

func TestEachActionOfAnOperation(t *testing.T) {
	d := open(t)
	d.manyDead("push", "g", 4)
	until := time.Now().Add(time.Hour).UTC().Truncate(time.Second)
	act := func(r delivery.OperationRequest) delivery.Operation {
		t.Helper()
		r.Filter = &delivery.Filter{}
		o := d.start(r)
		d.actAll(o.ID)
		if o = d.operation(o.ID); o.Succeeded != 4 || o.State != delivery.OperationFinished {
			t.Fatalf("%s: %+v", r.Action, o)
		}
		return o
	}
	before := value[string](d, "SELECT string_agg(version || ' ' || changed_at, ', ' ORDER BY id) FROM redrive.deliveries")
	act(delivery.OperationRequest{Action: delivery.ActionAcknowledge, Actor: "dan"})
	if after := value[string](d, "SELECT string_agg(version || ' ' || changed_at, ', ' ORDER BY id) FROM redrive.deliveries"); after != before {
		t.Errorf("to acknowledge changed %s to %s", before, after)
	}
	ids := value[[]string](d, "SELECT array_agg(id::text ORDER BY id) FROM redrive.deliveries")
	if one := d.read(ids[0]); one.Case.AcknowledgedBy != "dan" || one.Case.AcknowledgedAt == nil || one.OperationID != "" {
		t.Errorf("acknowledged %+v", one.Case)
	}
	_, err := d.StartOperation(t.Context(), delivery.OperationRequest{Action: delivery.ActionAcknowledge, Filter: &delivery.Filter{}})
	if code := inputCode(t, err); code != "nothing_selected" {
		t.Errorf("acknowledged twice: %s", code)
	}
	o := act(delivery.OperationRequest{Action: delivery.ActionIgnore, Reason: "a test", Category: "test-data", End: delivery.End{Until: &until}})
	if one := d.read(ids[0]); one.State != delivery.StateIgnored || one.Settlement.Actor != "ann" || one.Settlement.Category != "test-data" ||
		!one.Settlement.Until.Equal(until) || one.OperationID != o.ID || one.Case.AcknowledgedAt != nil {
		t.Errorf("ignored %+v", one.Delivery)
	}
	d.act(delivery.ActionRequest{Action: delivery.ActionReopen, ID: ids[1]})
	d.act(delivery.ActionRequest{Action: delivery.ActionResolve, ID: ids[1], Reason: "r"})
	act(delivery.OperationRequest{Action: delivery.ActionReopen})
	if from := value[[]string](d, "SELECT array_agg(details->>'from' ORDER BY seq DESC) FROM redrive.audit WHERE action = 'delivery.reopen' AND details ? 'operation'"); len(from) != 4 ||
		!slices.Contains(from, "resolved") || !slices.Contains(from, "ignored") {
		t.Errorf("reopened from %v", from)
	}
	act(delivery.OperationRequest{Action: delivery.ActionResolve, Reason: "by hand", Evidence: "ticket 7"})
	if one := d.read(ids[3]); one.State != delivery.StateResolved || one.Settlement.Evidence != "ticket 7" || one.Settlement.Until != nil {
		t.Errorf("resolved %+v", one.Delivery)
	}
	if single, many := d.read(ids[1]).History[3], d.read(ids[1]).History[5]; single.Action != "delivery.resolve" || many.Action != "delivery.resolve" || !sameShape(single, many) {
		t.Errorf("audited as %+v, alone as %+v", many, single)
	}
	d.verified()
}

// sameShape compares the names of what two entries tell; the operation comes on top.
func sameShape(single, many delivery.AuditEntry) bool {
	var a, b map[string]any
	if json.Unmarshal(single.Details, &a) != nil || json.Unmarshal(many.Details, &b) != nil {
		return false
	}
	delete(b, "operation")
	delete(b, "evidence")
	return slices.Equal(slices.Sorted(maps.Keys(a)), slices.Sorted(maps.Keys(b)))
}

func TestOperationsKeepLanesAndBatches(t *testing.T) {
	d := open(t)
	ordered := integration("line")
	ordered.Ordered = true
	d.must(d.SyncIntegrations(t.Context(), []delivery.Integration{integration("push"), ordered}))
	d.manyDead("push", "g", 2)
	d.manyDead("line", "l", 2)
	heads := value[[]string](d, "SELECT array_agg(id::text ORDER BY id) FROM redrive.deliveries WHERE integration = 'line'")
	for n, head := range heads {
		d.must(d.sql("INSERT INTO redrive.lanes (integration, key, head, next) VALUES ('line', $1, $2, 2)", fmt.Sprint("k", n), head))
		d.must(d.sql(`INSERT INTO redrive.queue (id, message_id, integration, lane, position, due_at) SELECT redrive.new_id(), message_id, 'line', $1, 1, 'infinity'
			FROM redrive.deliveries WHERE id = $2`, fmt.Sprint("k", n), head))
	}
	row := value[string](d, "SELECT min(id::text) FROM redrive.deliveries WHERE integration = 'push'")
	d.must(d.sql("INSERT INTO redrive.batch_rows (delivery_id, file_id, row) VALUES ($1, $1, 1)", row))
	d.must(d.sql("UPDATE redrive.deliveries SET edit = 3 WHERE id = $1", heads[0]))
	o := d.start(delivery.OperationRequest{Action: delivery.ActionRetry, Chosen: []delivery.Chosen{{ID: heads[0]}, {ID: row}}})
	d.actAll(o.ID)
	if got := value[string](d, "SELECT lane || ' ' || position || ' ' || isfinite(due_at) || ' ' || edit FROM redrive.queue WHERE id = $1", heads[0]); got != "k0 0 true 3" {
		t.Errorf("the head of a lane is queued as %s", got)
	}
	if value[bool](d, "SELECT isfinite(due_at) FROM redrive.queue WHERE id = $1", row) {
		t.Error("a row of a batch is due")
	}
	o = d.start(delivery.OperationRequest{Action: delivery.ActionIgnore, Reason: "r", Category: "c", Filter: &delivery.Filter{}})
	d.actAll(o.ID)
	if got := value[string](d, "SELECT string_agg(l.key || ' ' || (l.head <> ALL($1)), ', ' ORDER BY l.key) FROM redrive.lanes l", heads); got != "k0 false, k1 true" {
		t.Errorf("lanes %s", got)
	}
	if !value[bool](d, "SELECT isfinite(due_at) FROM redrive.queue WHERE lane = 'k1'") {
		t.Error("what waited for an ignored head still waits")
	}
}

func TestSteering(t *testing.T) {
	d := open(t)
	d.manyDead("push", "g", 100)
	o := d.start(delivery.OperationRequest{Action: delivery.ActionRetry, Filter: &delivery.Filter{}, Pace: delivery.Pace{Canary: 10}})
	steer := func(s delivery.Steer) (delivery.Operation, error) {
		s.ID, s.Actor = o.ID, "bob"
		return d.SteerOperation(t.Context(), s)
	}
	var conflict *delivery.OperationConflictError
	if _, err := steer(delivery.Steer{Resume: true}); !errors.As(err, &conflict) || conflict.State != delivery.OperationRunning || conflict.Action != "start" || conflict.At.IsZero() {
		t.Errorf("resumed while running: %v", err)
	}
	d.actAll(o.ID)
	paused, err := steer(delivery.Steer{Pause: true, Version: 1, Reason: "lunch"})
	if err != nil || paused.State != delivery.OperationPaused || english(paused.Note) != "paused by bob: lunch" || paused.Version != 2 || paused.Released != 10 {
		t.Fatalf("paused %+v %v", paused, err)
	}
	if _, err := steer(delivery.Steer{Resume: true, Version: 1}); !errors.As(err, &conflict) || conflict.Version != 2 {
		t.Errorf("an old version: %v", err)
	}
	d.settle("push", allWell)
	if d.step(o.ID) != 0 || d.operation(o.ID).Succeeded != 10 {
		t.Error("while it is paused, outcomes are counted and nothing is released")
	}
	resumed, err := steer(delivery.Steer{Resume: true})
	if err != nil || resumed.State != delivery.OperationRunning || !resumed.Note.IsZero() {
		t.Fatalf("resumed %+v %v", resumed, err)
	}
	slow := delivery.Pace{Rate: 0.001}
	if changed, err := steer(delivery.Steer{Pace: &slow}); err != nil || changed.Pace != slow || changed.Version != 4 {
		t.Fatalf("pace %+v %v", changed, err)
	}
	if n := d.step(o.ID); n != 1 {
		t.Errorf("%d released at a slow pace", n)
	}
	cancelled, err := steer(delivery.Steer{Cancel: true, Reason: "enough"})
	if err != nil || cancelled.State != delivery.OperationCancelled || cancelled.Cancelled != 89 || cancelled.Remaining != 1 || cancelled.FinishedAt != nil {
		t.Fatalf("cancelled %+v %v", cancelled, err)
	}
	if _, err := steer(delivery.Steer{Pause: true}); !errors.As(err, &conflict) || conflict.State != delivery.OperationCancelled {
		t.Errorf("paused when cancelled: %v", err)
	}
	d.settle("push", allWell)
	d.step(o.ID)
	if o := d.operation(o.ID); o.State != delivery.OperationCancelled || o.Succeeded != 11 || o.Cancelled != 89 || o.FinishedAt == nil {
		t.Errorf("in the end %+v", o)
	}
	page, err := d.OperationItems(t.Context(), o.ID, delivery.ItemFilter{Outcome: "cancelled"})
	if err != nil || len(page.Items) != 50 || page.Items[0].N != 12 {
		t.Errorf("cancelled items %+v %v", page, err)
	}
	if n := value[int](d, "SELECT count(*) FROM redrive.queue") + value[int](d, "SELECT count(*) FROM redrive.deliveries WHERE state = 'dead'"); n != 89 {
		t.Errorf("%d left dead", n)
	}
	actions := value[string](d, "SELECT string_agg(action || ' ' || actor || ' ' || reason, ', ' ORDER BY seq) FROM redrive.audit WHERE subject_type = 'operation'")
	if want := "operation.start ann , operation.pause bob lunch, operation.resume bob , operation.pace bob , operation.cancel bob enough"; actions != want {
		t.Errorf("audited %s", actions)
	}
	d.verified()
}

// Of two who steer at the same moment the second waits for the first, and is told who was faster.
func TestTheSecondToSteerIsTold(t *testing.T) {
	d := open(t)
	d.manyDead("push", "g", 1)
	o := d.start(delivery.OperationRequest{Action: delivery.ActionRetry, Filter: &delivery.Filter{}})
	gate, ends := d.rival(), map[string]chan error{"cid": make(chan error, 1), "dan": make(chan error, 1)}
	gate.does("SELECT FROM redrive.operations WHERE id = $1 FOR UPDATE", o.ID)
	for who, end := range ends {
		go func() {
			_, err := d.SteerOperation(t.Context(), delivery.Steer{ID: o.ID, Actor: who, Pause: true, Version: o.Version})
			end <- err
		}()
	}
	d.waitForBlocked(2)
	gate.does("COMMIT")
	first, second := <-ends["cid"], <-ends["dan"]
	winner := "cid"
	if first != nil {
		first, second, winner = second, first, "dan"
	}
	var conflict *delivery.OperationConflictError
	if first != nil || !errors.As(second, &conflict) || conflict.Actor != winner || conflict.Action != "pause" || conflict.Version != o.Version+1 {
		t.Errorf("the first: %v, the second: %v", first, second)
	}
	if paused := d.operation(o.ID); paused.Version != o.Version+1 || english(paused.Note) != "paused by "+winner {
		t.Errorf("in the end %+v", paused)
	}
}

func TestAnOperationStopsItselfAndIsResumed(t *testing.T) {
	d := open(t)
	d.manyDead("push", "g", 20)
	d.manyDead("sms", "s", 20)
	o := d.start(delivery.OperationRequest{Action: delivery.ActionRetry, Filter: &delivery.Filter{}, Pace: delivery.Pace{Canary: 4, StopAbove: 0.5}})
	d.actAll(o.ID)
	bad := func(c delivery.Claimed) (delivery.Result, delivery.State) { return answered, delivery.StatePending }
	d.settle("push", allWell)
	claimed := d.claim("sms", 10, time.Minute)
	for _, c := range claimed {
		result, next := bad(c)
		done := completion(c, result, next)
		done.RetryIn = time.Hour
		d.complete(done)
	}
	if n := d.step(o.ID); n != 0 {
		t.Errorf("%d released", n)
	}
	o = d.operation(o.ID)
	if o.State != delivery.OperationPaused || english(o.Note) != "sms: 100% of 4 outcomes failed, more than 50%" || o.Failing != 4 || o.Succeeded != 4 || o.Released != 4 {
		t.Fatalf("stopped %+v", o)
	}
	if n := value[int](d, "SELECT count(*) FROM redrive.audit WHERE action = 'operation.pause' AND actor = 'policy' AND subject = $1 AND details -> 'why' = $2::jsonb", o.ID, *o.Note.JSON()); n != 1 {
		t.Errorf("%d entries of policy", n)
	}
	if _, err := d.SteerOperation(t.Context(), delivery.Steer{ID: o.ID, Actor: "ann", Resume: true}); err != nil {
		t.Fatal(err)
	}
	d.actAll(o.ID)
	if o = d.operation(o.ID); o.State != delivery.OperationRunning || o.Released != 8 || o.Failing != 0 {
		t.Errorf("resumed %+v", o)
	}
	for range 4 { // waves of 4, 8 and the rest; nothing waits for its automatic try
		d.settle("push", allWell)
		d.settle("sms", allWell)
		d.actAll(o.ID)
	}
	if o = d.operation(o.ID); o.State != delivery.OperationFinished || o.Succeeded != 40 || o.Failing != 0 {
		t.Errorf("finished %+v", o)
	}
}

// Of 185 that all fail the canary is sent and nothing else, however they fail and however often somebody pauses and resumes.
func TestResumingSendsTheFirstWaveOnly(t *testing.T) {
	later := func(d desk, integration string) { // fails, and will be tried again by itself
		for _, c := range d.claim(integration, 1000, time.Minute) {
			done := completion(c, answered, delivery.StatePending)
			done.RetryIn = time.Hour
			d.complete(done)
		}
	}
	dies := func(d desk, integration string) {
		d.settle(integration, func(delivery.Claimed) (delivery.Result, delivery.State) { return answered, delivery.StateDead })
	}
	d := open(t)
	d.must(d.SyncIntegrations(t.Context(), []delivery.Integration{integration("dead"), integration("later"), integration("first-later"), integration("in-flight")}))
	for name, fails := range map[string]func(desk, string){"dead": dies, "later": later, "first-later": func(d desk, integration string) {
		if n := value[int](d, "SELECT count(*) FROM redrive.deliveries WHERE integration = $1 AND attempts > 4", integration); n > 0 {
			dies(d, integration)
		} else {
			later(d, integration)
		}
	}, "in-flight": func(desk, string) {}} {
		t.Run(name, func(t *testing.T) {
			d := d
			d.t = t
			d.manyDead(name, "g-"+name, 185)
			o := d.start(delivery.OperationRequest{Action: delivery.ActionRetry, Filter: &delivery.Filter{Integrations: []string{name}}, Pace: delivery.Pace{Canary: 10, StopAbove: .2}})
			sent := func() int {
				return value[int](d, "SELECT count(*) FROM redrive.deliveries WHERE integration = $1 AND version > 1", name)
			}
			steer := func(s delivery.Steer) delivery.Operation {
				s.ID, s.Actor = o.ID, "bob"
				now, err := d.SteerOperation(t.Context(), s)
				d.must(err)
				return now
			}
			for n := range 4 {
				d.actAll(o.ID)
				fails(d, name)
				d.actAll(o.ID)
				now := d.operation(o.ID)
				if sent() != 10 || now.Wave.Number != n+1 || now.Wave.Size != 10 {
					t.Fatalf("after %d resumes %d are sent: %+v", n, sent(), now)
				}
				if now.State == delivery.OperationRunning {
					steer(delivery.Steer{Pause: true})
				} else if now.Wave.Bad != 10 || now.Wave.Ratio() != 1 {
					t.Errorf("stopped %+v", now)
				}
				steer(delivery.Steer{Resume: true})
			}
			d.actAll(o.ID)
			fails(d, name)
			d.actAll(o.ID)
			if d.operation(o.ID).State == delivery.OperationRunning {
				steer(delivery.Steer{Pause: true})
			}
			more := 25
			if now := steer(delivery.Steer{Resume: true, Canary: &more}); now.Pace.Canary != 25 {
				t.Errorf("pace %+v", now.Pace)
			}
			d.actAll(o.ID)
			if sent() != 25 {
				t.Errorf("%d are sent after the limit was raised to 25", sent())
			}
			last := d.operation(o.ID).Steps
			if got := string(last[len(last)-1].Details); !strings.Contains(got, `"canary": 25`) || !strings.Contains(got, `"from": {"canary": 10`) || last[len(last)-1].Actor != "bob" {
				t.Errorf("audited %s", got)
			}
			for range 8 {
				d.settle(name, allWell)
				d.actAll(o.ID)
			}
			if now := d.operation(o.ID); now.State != delivery.OperationFinished || now.Succeeded != 185 {
				t.Errorf("finished %+v", now)
			}
		})
	}
	d.verified()
}

// What somebody settled meanwhile is not sent again, and does not hold up the canary.
func TestWhatIsSentAgainIsAsItFailed(t *testing.T) {
	d := open(t)
	d.manyDead("push", "g", 30)
	o := d.start(delivery.OperationRequest{Action: delivery.ActionRetry, Pace: delivery.Pace{Canary: 4}})
	d.actAll(o.ID)
	claimed := d.claim("push", 10, time.Minute)
	for _, c := range claimed {
		d.complete(completion(c, answered, delivery.StateDead))
	}
	d.actAll(o.ID)
	d.act(delivery.ActionRequest{Action: delivery.ActionResolve, ID: claimed[0].DeliveryID, Reason: "by hand"})
	d.act(delivery.ActionRequest{Action: delivery.ActionRetry, ID: claimed[1].DeliveryID})
	d.must(d.sql("UPDATE redrive.deliveries SET expires_at = now() WHERE id = $1", claimed[2].DeliveryID))
	none := 0
	_, err := d.SteerOperation(t.Context(), delivery.Steer{ID: o.ID, Actor: "bob", Resume: true})
	d.must(err)
	d.actAll(o.ID)
	if now := d.operation(o.ID); now.Released != 4 || now.Failed != 3 || now.Parts[0].Waiting != 23 {
		t.Errorf("resumed %+v", now)
	}
	_, err = d.SteerOperation(t.Context(), delivery.Steer{ID: o.ID, Actor: "bob", Pause: true})
	d.must(err)
	_, err = d.SteerOperation(t.Context(), delivery.Steer{ID: o.ID, Actor: "bob", Resume: true, Canary: &none})
	d.must(err)
	d.actAll(o.ID)
	if now := d.operation(o.ID); now.Released != 27 || now.Wave.Size != 27 || now.Pace.Canary != 0 {
		t.Errorf("without a canary %+v", now)
	}
	d.settle("push", allWell)
	d.actAll(o.ID)
	if now := d.operation(o.ID); now.State != delivery.OperationFinished || now.Succeeded != 27 || now.Failed != 3 {
		t.Errorf("finished %+v", now)
	}
	d.verified()
}

func TestAPausedIntegrationHoldsItsPart(t *testing.T) {
	d := open(t)
	d.manyDead("push", "g", 5)
	d.manyDead("sms", "s", 5)
	o := d.start(delivery.OperationRequest{Action: delivery.ActionRetry, Filter: &delivery.Filter{}})
	d.must(d.SetPaused(t.Context(), "push", true, "bob", "repairs"))
	d.actAll(o.ID)
	o = d.operation(o.ID)
	if english(o.Parts[0].Held) != "paused by bob" || o.Parts[0].Waiting != 5 || o.Parts[1].Waiting != 0 || o.Parts[1].Phase != delivery.PhaseDone {
		t.Fatalf("held %+v", o.Parts)
	}
	d.must(d.SetPaused(t.Context(), "push", false, "bob", ""))
	d.must(d.SaveBreaker(t.Context(), "push", delivery.BreakerOpen, time.Minute))
	d.step(o.ID)
	if o = d.operation(o.ID); english(o.Parts[0].Held) != "its circuit breaker is open" {
		t.Errorf("held by %s", o.Parts[0].Held)
	}
	d.must(d.SaveBreaker(t.Context(), "push", delivery.BreakerHalfOpen, 0))
	if n := d.step(o.ID) + d.step(o.ID); n != 1 {
		t.Errorf("%d probes", n)
	}
	d.must(d.SaveBreaker(t.Context(), "push", delivery.BreakerClosed, 0))
	d.actAll(o.ID)
	if o = d.operation(o.ID); !o.Parts[0].Held.IsZero() || o.Released != 10 {
		t.Errorf("released %+v", o)
	}
}

func TestOneFormActsOnce(t *testing.T) {
	d := open(t)
	dead := d.dead(numbered(1))
	a := delivery.ActionRequest{Action: delivery.ActionRetry, ID: dead.ID, Token: "0190a0a0-0000-7000-8000-00000000000a"}
	var clicks sync.WaitGroup
	for range 6 {
		clicks.Go(func() {
			if _, err := d.Act(t.Context(), a); err != nil {
				t.Error(err)
			}
		})
	}
	clicks.Wait()
	d.complete(completion(d.claimOne("push"), answered, delivery.StateDead))
	if again := d.act(a); again.State != delivery.StateDead || again.Version != dead.Version+2 {
		t.Errorf("the form again: %+v", again)
	}
	if n := value[int](d, "SELECT count(*) FROM redrive.audit"); n != 1 {
		t.Errorf("%d entries", n)
	}
	a.Token = "x"
	_, err := d.Act(t.Context(), a)
	if code := inputCode(t, err); code != "bad_token" {
		t.Errorf("code %s", code)
	}
	a.Token = "0190a0a0-0000-7000-8000-00000000000b"
	a.Version = 1
	var conflict *delivery.ConflictError
	if _, err := d.Act(t.Context(), a); !errors.As(err, &conflict) {
		t.Errorf("an old version: %v", err)
	}
	a.Version = 0
	if after := d.act(a); after.State != delivery.StatePending {
		t.Errorf("a refused form is used up: %+v", after)
	}
	d.must(d.sql("UPDATE redrive.form_tokens SET at = at - interval '8 days' WHERE token::text LIKE '%0a'"))
	d.must(d.ForgetFormTokens(t.Context()))
	if n := value[int](d, "SELECT count(*) FROM redrive.form_tokens"); n != 1 {
		t.Errorf("%d tokens kept", n)
	}
}

// Two people's operations on the same dead letters, a third who acts on single ones, and an engine, all at once.
// A step that has to wait for somebody leaves alone what that one made of the failure.
func TestAStepSkipsWhatChangesWhileItWaits(t *testing.T) {
	d := open(t)
	d.manyDead("push", "g", 3)
	o := d.start(delivery.OperationRequest{Action: delivery.ActionRetry, Filter: &delivery.Filter{}})
	first := value[string](d, "SELECT delivery_id::text FROM redrive.operation_items WHERE operation_id = $1 AND n = 1", o.ID)
	faster := d.rival()
	faster.does("UPDATE redrive.deliveries SET state = 'resolved', version = version + 1, dead_at = NULL, settled_at = now(), changed_at = now() WHERE id = $1", first)
	done := make(chan error, 1)
	go func() {
		_, err := d.AdvanceOperation(t.Context(), o.ID, operations.Plan)
		done <- err
	}()
	faster.hinders(done)
	faster.does("COMMIT")
	d.must(<-done)
	if o = d.operation(o.ID); o.Skipped != 1 || o.Released != 2 {
		t.Errorf("skipped %d, released %d, want 1 and 2", o.Skipped, o.Released)
	}
	if state := d.read(first).State; state != delivery.StateResolved {
		t.Errorf("what was resolved meanwhile is %s", state)
	}
}

func TestOverlappingOperationsActOnceOnEach(t *testing.T) {
	const n = 3000
	d := open(t)
	d.manyDead("push", "g", n)
	first := d.start(delivery.OperationRequest{Action: delivery.ActionRetry, Filter: &delivery.Filter{}, Actor: "ann"})
	second := d.start(delivery.OperationRequest{Action: delivery.ActionRetry, Filter: &delivery.Filter{}, Actor: "bob"})
	var newest []delivery.Chosen // so that somebody begins where the others have not come yet
	for _, id := range value[[]string](d, "SELECT array_agg(delivery_id::text) FROM redrive.operation_items WHERE operation_id = $1 AND n > 2000", first.ID) {
		newest = append(newest, delivery.Chosen{ID: id, Version: 1})
	}
	third := d.start(delivery.OperationRequest{Action: delivery.ActionIgnore, Reason: "r", Category: "c", Chosen: newest, Actor: "cid"})
	ctx, stop := context.WithCancel(t.Context())
	var running, others sync.WaitGroup
	for _, id := range []string{first.ID, second.ID, third.ID} {
		running.Go(func() {
			for {
				acted, err := d.AdvanceOperation(ctx, id, func(s *delivery.OperationStep) {
					operations.Plan(s)
					for i := range s.Parts {
						s.Parts[i].Release = min(s.Parts[i].Release, 97)
					}
				})
				if err != nil {
					t.Error(err)
					return
				}
				if o := d.operation(id); acted == 0 && o.Selected-o.Remaining+o.Released == o.Selected {
					return
				}
			}
		})
	}
	single := 0
	others.Go(func() {
		page, err := d.OperationItems(ctx, first.ID, delivery.ItemFilter{After: "1500", Limit: 500})
		if err != nil {
			t.Error(err)
		}
		for _, item := range page.Items {
			_, err := d.Act(ctx, delivery.ActionRequest{Action: delivery.ActionResolve, ID: item.DeliveryID, Version: 1, Reason: "r", Actor: "dan"})
			var conflict *delivery.ConflictError
			if err == nil {
				single++
			} else if !errors.As(err, &conflict) && ctx.Err() == nil {
				t.Error(err)
			}
		}
	})
	others.Go(func() {
		for ctx.Err() == nil {
			claimed, err := d.Claim(ctx, "worker", []delivery.Quota{{Integration: "push", Limit: 200, Lease: time.Minute}})
			if err != nil {
				continue
			}
			for i := 0; i < len(claimed); i += 7 {
				_, err := d.Complete(ctx, []delivery.Completion{completion(claimed[i], confirmed, delivery.StateDelivered)})
				if err != nil && ctx.Err() == nil {
					t.Error(err)
				}
			}
		}
	})
	running.Wait()
	stop()
	others.Wait()
	audited := value[int](d, "SELECT count(*) FROM redrive.audit WHERE subject_type = 'delivery'")
	if twice := value[int](d, "SELECT count(*) FROM (SELECT subject FROM redrive.audit WHERE subject_type = 'delivery' GROUP BY subject HAVING count(*) > 1) x"); twice != 0 || audited != n {
		t.Errorf("%d audited, %d twice", audited, twice)
	}
	a, b, c := d.operation(first.ID), d.operation(second.ID), d.operation(third.ID)
	acted := a.Selected + b.Selected + c.Selected - a.Skipped - b.Skipped - c.Skipped
	t.Logf("retried %d and %d, ignored %d, %d by hand", n-a.Skipped, n-b.Skipped, c.Succeeded, single)
	if acted+single != n {
		t.Errorf("%d by operations, %d by hand, of %d", acted, single, n)
	}
	if queued := value[int](d, "SELECT count(*) FROM redrive.queue") + value[int](d, "SELECT count(*) FROM redrive.deliveries WHERE state = 'delivered'"); queued != acted-c.Succeeded {
		t.Errorf("%d retried, %d queued or delivered", acted-c.Succeeded, queued)
	}
	d.verified()
}

// Retrying a group of 10,000, while somebody reads the list: run it alone to see what the machine can do. What it asserts is so much
// more generous that a busy machine does not fail.
func TestSpeedOfALargeOperation(t *testing.T) {
	d := open(t)
	d.manyDead("push", "g1", 10_000)
	d.must(d.sql("VACUUM ANALYZE"))
	began := time.Now()
	o := d.start(delivery.OperationRequest{Action: delivery.ActionRetry, Filter: &delivery.Filter{Groups: []string{"g1"}}})
	frozen := time.Since(began)
	ctx, stop := context.WithCancel(t.Context())
	var reading sync.WaitGroup
	var slowest time.Duration
	reading.Go(func() {
		for ctx.Err() == nil {
			at := time.Now()
			if _, err := d.Failures(ctx, delivery.Filter{}); err != nil && ctx.Err() == nil {
				t.Error(err)
			}
			slowest = max(slowest, time.Since(at))
			delivery.Pause(ctx, 50*time.Millisecond)
		}
	})
	began = time.Now()
	for d.step(o.ID) > 0 {
	}
	released := time.Since(began)
	stop()
	reading.Wait()
	t.Logf("frozen in %v, released in %v, slowest list page %v", frozen.Round(time.Millisecond), released.Round(time.Millisecond), slowest.Round(time.Millisecond))
	if frozen > 15*time.Second || released > time.Minute || slowest > 10*time.Second {
		t.Error("far from what was measured with 25,000: 0.3 s, 1 s and 100 ms are the figures to keep")
	}
	if o = d.operation(o.ID); o.Released != 10_000 {
		t.Errorf("released %+v", o)
	}
	d.verified()
}

// An operation comes to its end although a process was killed that held an item of an integration that has left the file since: nobody
// would ever take it, and at the start its lease had not run out.
func TestAnOperationEndsWithoutItsIntegration(t *testing.T) {
	d := open(t)
	d.manyDead("sms", "g", 3)
	id := d.start(delivery.OperationRequest{Action: delivery.ActionRetry}).ID
	d.actAll(id)
	if n := len(d.claim("sms", 2, time.Hour)); n != 2 {
		t.Fatalf("%d claimed", n)
	}
	d.must(d.SyncIntegrations(t.Context(), []delivery.Integration{integration("push")}))
	d.must(d.SettleRetired(t.Context()))
	d.actAll(id)
	if o := d.operation(id); o.State != delivery.OperationRunning || o.Released != 2 || o.Failed != 1 {
		t.Errorf("while the leases hold %+v", o)
	}
	d.must(d.sql("UPDATE redrive.queue SET due_at = now() - interval '1 second' WHERE token IS NOT NULL"))
	d.must(d.SettleRetired(t.Context()))
	d.must(d.SettleRetired(t.Context()))
	d.actAll(id)
	if o := d.operation(id); o.State != delivery.OperationFinished || o.Failed != 3 {
		t.Errorf("after the leases %+v", o)
	}
}
