package store_test

import (
	"context"
	"fmt"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"pgregory.net/rapid"

	"redrive/delivery"
)

// differencesSQL are the groups whose counters are not what the records say.
const differencesSQL = `
WITH live AS (
    SELECT group_id, count(*) FILTER (WHERE state = 'dead') AS dead, count(*) FILTER (WHERE state = 'dead' AND acknowledged_at IS NOT NULL) AS acknowledged,
        count(*) FILTER (WHERE state = 'pending') AS pending, count(*) FILTER (WHERE state = 'ignored') AS ignored,
        count(*) FILTER (WHERE state = 'resolved') AS resolved, count(*) FILTER (WHERE state = 'delivered') AS delivered
    FROM redrive.deliveries WHERE failed_at IS NOT NULL GROUP BY group_id
), counted AS (
    SELECT group_id, sum(dead) AS dead, sum(acknowledged) AS acknowledged, sum(pending) AS pending, sum(ignored) AS ignored,
        sum(resolved) AS resolved, sum(delivered) AS delivered
    FROM (SELECT group_id, dead, acknowledged, pending, ignored, resolved, delivered FROM redrive.group_counts
        UNION ALL SELECT group_id, dead, acknowledged, pending, ignored, resolved, delivered FROM redrive.group_deltas) c GROUP BY group_id
)
SELECT coalesce(string_agg(coalesce(l.group_id, c.group_id, 'none') || ': ' || l::text || ' but ' || c::text, '; '), '')
FROM live l FULL JOIN counted c ON c.group_id = l.group_id
WHERE (coalesce(l.dead, 0), coalesce(l.acknowledged, 0), coalesce(l.pending, 0), coalesce(l.ignored, 0), coalesce(l.resolved, 0), coalesce(l.delivered, 0))
    IS DISTINCT FROM (coalesce(c.dead, 0), coalesce(c.acknowledged, 0), coalesce(c.pending, 0), coalesce(c.ignored, 0), coalesce(c.resolved, 0), coalesce(c.delivered, 0))`

var outcomes = []struct {
	result delivery.Result
	next   delivery.State
}{
	{confirmed, delivery.StateDelivered}, {answered, delivery.StateDead}, {answered, delivery.StatePending}, {answered, delivery.StateIgnored},
	{delivery.Result{Outcome: delivery.OutcomePermanent, ErrorClass: delivery.ClassHTTP4xx, Error: "the receiver answered 422"}, delivery.StateDead},
	{delivery.Result{Outcome: delivery.OutcomePermanent, ErrorClass: delivery.ClassHTTP4xx, Error: "the receiver answered 404"}, delivery.StatePending},
}

// Whatever happens to deliveries, in whatever order, the counters are what the records say.
func TestCountersAreExactWhateverHappens(t *testing.T) {
	d := open(t)
	d.must(d.sql(cameSQL))
	steps := map[string]func(*rapid.T){
		"attempts": func(r *rapid.T) {
			d.must(d.sql("SELECT redrive.enqueue($1, 't', 'x') FROM generate_series(1, 6)", rapid.SampledFrom([]string{"push", "sms"}).Draw(r, "to")))
			d.must(d.sql("UPDATE redrive.queue SET due_at = clock_timestamp() WHERE token IS NULL"))
			var done []delivery.Completion
			for _, c := range append(d.claim("push", 4, time.Minute), d.claim("sms", 4, time.Minute)...) {
				o := rapid.SampledFrom(outcomes).Draw(r, "outcome")
				done = append(done, completion(c, o.result, o.next))
			}
			d.complete(done...)
		},
		"lost": func(*rapid.T) {
			d.claim("push", 3, time.Minute)
			d.must(d.sql("UPDATE redrive.queue SET due_at = clock_timestamp() WHERE token IS NOT NULL"))
		},
		"acts": func(r *rapid.T) {
			states := rapid.SampledFrom([]string{"dead", "ignored", "resolved"}).Draw(r, "state")
			ids := value[[]string](d, "SELECT array(SELECT id::text FROM redrive.deliveries WHERE state = $1 ORDER BY random() LIMIT 3)", states)
			until := time.Now().Add(-time.Second)
			for _, id := range ids {
				act := delivery.ActionReopen
				if states == "dead" {
					act = rapid.SampledFrom([]delivery.Action{delivery.ActionRetry, delivery.ActionIgnore, delivery.ActionResolve}).Draw(r, "act")
				}
				request := delivery.ActionRequest{Action: act, ID: id, Actor: "ann", Reason: "r"}
				if act == delivery.ActionIgnore {
					request.Category, request.Until = "other", &until
				}
				_, err := d.Act(t.Context(), request)
				if _, refused := err.(*delivery.InputError); err != nil && !refused { // its integration may be gone
					t.Fatal(err)
				}
			}
		},
		"due": func(*rapid.T) {
			_, err := d.ReopenDue(t.Context())
			d.must(err)
		},
		"rejected": func(*rapid.T) {
			d.must(d.sql(`UPDATE redrive.deliveries SET state = 'dead', version = version + 1, settled_at = NULL, dead_at = now(), changed_at = now(),
				failed_at = coalesce(failed_at, now()), group_id = 'rejected' WHERE id IN (SELECT id FROM redrive.deliveries WHERE state = 'delivered' LIMIT 2)`))
		},
		"acknowledged": func(*rapid.T) {
			d.must(d.sql(`UPDATE redrive.deliveries SET acknowledged_at = CASE WHEN acknowledged_at IS NULL THEN now() END
				WHERE id IN (SELECT id FROM redrive.deliveries WHERE state = 'dead' ORDER BY random() LIMIT 3)`))
		},
		"retired": func(*rapid.T) {
			d.must(d.SyncIntegrations(t.Context(), []delivery.Integration{integration("push", "order.placed")}))
			d.must(d.SyncIntegrations(t.Context(), []delivery.Integration{integration("push", "order.placed"), integration("sms")}))
		},
		"folded": func(*rapid.T) {
			_, err := d.FoldCounts(t.Context())
			d.must(err)
		},
	}
	names := []string{"attempts", "attempts", "lost", "acts", "acts", "due", "rejected", "acknowledged", "retired", "folded"}
	rapid.Check(t, func(r *rapid.T) { // on one database: what is counted wrongly stays so
		before, generation := value[int64](d, "SELECT count(*) FROM redrive.deliveries WHERE state = 'dead'"), d.generation()
		name := rapid.SampledFrom(names).Draw(r, "step")
		steps[name](r)
		if wrong := value[string](d, differencesSQL); wrong != "" {
			r.Fatalf("after %s: %s", name, wrong)
		}
		if wrong := value[string](d, cameWronglySQL); wrong != "" {
			r.Fatalf("after %s: %s", name, wrong)
		}
		if now := value[int64](d, "SELECT count(*) FROM redrive.deliveries WHERE state = 'dead'"); now != before && d.generation() == generation {
			r.Fatalf("after %s: %d dead letters instead of %d, and the generation stayed", name, now, before)
		}
	})
}

func (d desk) generation() int64 {
	d.t.Helper()
	n, err := d.DeadGeneration(d.t.Context())
	d.must(err)
	return n
}

func (d desk) fold() {
	d.t.Helper()
	_, err := d.FoldCounts(d.t.Context())
	d.must(err)
}

func (d desk) onlyGroup(states ...delivery.State) delivery.Group {
	d.t.Helper()
	page, err := d.Groups(d.t.Context(), delivery.GroupFilter{Filter: delivery.Filter{States: states}})
	d.must(err)
	if len(page.Items) != 1 {
		d.t.Fatalf("%d groups", len(page.Items))
	}
	return page.Items[0]
}

// A group whose dead letters were all settled, and to which another came, is regressed: also when nothing was folded in between,
// and when only the settlement was.
func TestAGroupThatCameBackIsRegressed(t *testing.T) {
	for name, folds := range map[string][2]bool{"in one fold": {}, "folded after the settlement": {true}, "folded after both": {true, true}, "folded at the end": {false, true}} {
		d := open(t)
		first := d.dead(numbered(1))
		if g := d.onlyGroup(); g.Status != delivery.GroupNew || g.Count != 1 || g.Hours[23]+g.Hours[22] != 1 {
			t.Errorf("%s: at first %+v", name, g)
		}
		d.act(delivery.ActionRequest{Action: delivery.ActionResolve, ID: first.ID, Reason: "r"})
		if folds[0] {
			d.fold()
		}
		if g := d.onlyGroup(delivery.StateResolved); g.Status != delivery.GroupSettled || g.Dead != 0 {
			t.Errorf("%s: settled %+v", name, g)
		}
		d.dead(numbered(2))
		if folds[1] {
			d.fold()
		}
		if !folds[0] && !folds[1] { // what settled it must be known to say so
			d.fold()
		}
		if g := d.onlyGroup(); g.Status != delivery.GroupRegressed {
			t.Errorf("%s: %+v", name, g)
		}
		health, err := d.Health(t.Context())
		d.must(err)
		if health[0].Dead != 1 || health[0].NewGroups != 0 {
			t.Errorf("%s: health %+v", name, health[0])
		}
	}
}

// A person who reopens what was settled changes their mind: nothing came back.
func TestReopenedIsNotRegressed(t *testing.T) {
	d := open(t)
	first := d.dead(numbered(1))
	d.act(delivery.ActionRequest{Action: delivery.ActionResolve, ID: first.ID, Reason: "r"})
	d.fold()
	d.act(delivery.ActionRequest{Action: delivery.ActionReopen, ID: first.ID, Reason: "r"})
	for range 2 {
		if g := d.onlyGroup(); g.Status != delivery.GroupNew {
			t.Errorf("%+v", g)
		}
		d.fold()
	}
	d.act(delivery.ActionRequest{Action: delivery.ActionRetry, ID: first.ID})
	d.complete(completion(d.claimOne("push"), confirmed, delivery.StateDelivered))
	d.fold()
	d.dead(numbered(2))
	d.fold()
	if g := d.onlyGroup(); g.Status != delivery.GroupRegressed {
		t.Errorf("after it was delivered and came back: %+v", g)
	}
}

// Acknowledged work leaves the red number, but not the list.
func TestHealthCountsTheAcknowledged(t *testing.T) {
	d := open(t)
	d.many(4)
	d.must(d.sql("UPDATE redrive.deliveries SET acknowledged_at = now() WHERE id = (SELECT min(id::text)::uuid FROM redrive.deliveries)"))
	for range 2 {
		list, err := d.Health(t.Context())
		d.must(err)
		if h := list[0]; h.Dead != 4 || h.Acknowledged != 1 || h.NewGroups != 2 {
			t.Errorf("%+v", h)
		}
		if got := len(d.pages(delivery.Filter{Limit: 10})); got != 4 {
			t.Errorf("%d listed", got)
		}
		d.fold()
	}
}

// Two processes fold at once: one of them does, the other goes on.
func TestOneFoldsAtATime(t *testing.T) {
	d := open(t)
	d.many(4)
	d.must(d.sql("INSERT INTO redrive.group_hours VALUES ('old', now() - interval '16 days', 1)"))
	done := make(chan error, 8)
	for range cap(done) {
		go func() {
			_, err := d.FoldCounts(t.Context())
			done <- err
		}()
	}
	for range cap(done) {
		d.must(<-done)
	}
	d.fold()
	got := value[string](d, "SELECT format('%s %s %s', (SELECT count(*) FROM redrive.group_deltas), sum(dead), sum(died)) FROM redrive.group_counts")
	if want := fmt.Sprint(0, 4, 4); got != want {
		t.Errorf("deltas, dead, died: %s, want %s", got, want)
	}
	if n := value[int](d, "SELECT count(*) FROM redrive.group_hours WHERE group_id = 'old'"); n != 0 {
		t.Error("old hours stay")
	}
}

// A session that has counted one change counts very many without a plan made for one.
func TestManyChangesAreCountedAsFastAsOne(t *testing.T) {
	d := open(t)
	d.must(d.sql(`INSERT INTO redrive.deliveries (id, message_id, integration, state, created_at, failed_at, dead_at, group_id)
		SELECT gen_random_uuid(), gen_random_uuid(), 'push', 'dead', now(), now(), now(), 'g' FROM generate_series(1, 20000)`))
	conn, err := pgx.Connect(t.Context(), d.dsn)
	d.must(err)
	defer conn.Close(context.Background())
	for _, statement := range []string{"SET statement_timeout = '10s'",
		"UPDATE redrive.deliveries SET acknowledged_at = now() WHERE id = (SELECT id FROM redrive.deliveries LIMIT 1)",
		"UPDATE redrive.deliveries SET state = 'resolved', dead_at = NULL, settled_at = now(), acknowledged_at = NULL WHERE state = 'dead'"} {
		_, err := conn.Exec(t.Context(), statement)
		d.must(err)
	}
	if wrong := value[string](d, differencesSQL); wrong != "" {
		t.Error(wrong)
	}
}
