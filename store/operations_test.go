package store_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"testing"
	"time"

	"redrive/delivery"
	"redrive/delivery/operations"
	"redrive/store"
)

var _ operations.Store = (*store.Store)(nil)

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
	page, err := d.OperationItems(t.Context(), o.ID, "failed", "", 3)
	if err != nil || len(page.Items) != 3 || page.Items[0].N != 3001 || page.Items[0].Reason != "http_5xx" || page.Next != "3003" {
		t.Errorf("items %+v %v", page, err)
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

func TestSpeedOfALargeOperation(t *testing.T) {
	d := open(t)
	d.manyDead("push", "g1", 100_000)
	d.must(d.sql("ANALYZE redrive.deliveries; ANALYZE redrive.messages"))
	began := time.Now()
	o := d.start(delivery.OperationRequest{Action: delivery.ActionRetry, Filter: &delivery.Filter{Groups: []string{"g1"}}})
	t.Logf("frozen in %v", time.Since(began))
	began = time.Now()
	ctx, stop := context.WithCancel(t.Context())
	pages := make(chan time.Duration)
	go func() {
		var worst time.Duration
		for ctx.Err() == nil {
			at := time.Now()
			if _, err := d.Failures(ctx, delivery.Filter{}); err != nil && !errors.Is(err, context.Canceled) {
				t.Error(err)
			}
			worst = max(worst, time.Since(at))
		}
		pages <- worst
	}()
	for d.step(o.ID) > 0 {
	}
	took := time.Since(began)
	stop()
	t.Logf("released in %v, slowest page %v", took, <-pages)
	d.verified()
}
