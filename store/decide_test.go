package store_test

import (
	"fmt"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"redrive/delivery"
)

// traceSQL is all that a decision leaves of one delivery, but ids; of times it says whether they are there.
const traceSQL = `SELECT jsonb_pretty(jsonb_build_object(
	'delivery', (SELECT jsonb_object_agg(k, CASE WHEN k LIKE '%\_at' THEN to_jsonb(v <> 'null') ELSE v END) FROM redrive.deliveries r, jsonb_each(to_jsonb(r)) e(k, v)
		WHERE r.id = t.id AND k NOT IN ('id', 'message_id', 'operation_id', 'operation_item')),
	'details', (SELECT jsonb_object_agg(k, CASE WHEN k LIKE '%\_at' THEN to_jsonb(v <> 'null') ELSE v END) FROM redrive.failure_details f, jsonb_each(to_jsonb(f)) e(k, v)
		WHERE f.delivery_id = t.id AND k <> 'delivery_id'),
	'queue', (SELECT jsonb_object_agg(k, CASE WHEN k = 'due_at' THEN to_jsonb(v = '"infinity"') WHEN k = 'lane' THEN to_jsonb(v <> 'null') ELSE v END)
		FROM redrive.queue w, jsonb_each(to_jsonb(w)) e(k, v) WHERE w.id = t.id AND k NOT IN ('id', 'message_id')),
	'heads', (SELECT count(*) FROM redrive.lanes l WHERE l.head = t.id),
	'goes on behind it', (SELECT jsonb_agg(isfinite(w.due_at)) FROM redrive.queue w JOIN redrive.deliveries r ON r.message_id = w.message_id WHERE r.id = t.id AND w.id <> t.id),
	'case', (SELECT to_jsonb(c) - '{delivery_id,changed_at}'::text[] FROM redrive.cases c WHERE c.delivery_id = t.id),
	'one time', (SELECT f.acted_at = r.changed_at AND coalesce(r.settled_at, r.dead_at, r.retry_requested_at) = r.changed_at FROM redrive.deliveries r
		JOIN redrive.failure_details f ON f.delivery_id = r.id WHERE r.id = t.id AND f.acted_at >= r.changed_at),
	'audit', (SELECT jsonb_agg((to_jsonb(a) - '{seq,at,subject,hash,prev_hash}'::text[]) || jsonb_build_object('details', a.details - 'operation') ORDER BY seq)
		FROM redrive.audit a WHERE a.subject = t.id::text)))
	FROM (SELECT $1::uuid AS id) t`

func (d desk) trace(id string) string {
	d.t.Helper()
	return value[string](d, traceSQL, id)
}

// shapes are what a dead letter can be beside itself.
var shapes = map[string]func(d desk, id string){
	"alone": func(desk, string) {},
	"head of a lane": func(d desk, id string) {
		d.must(d.sql("INSERT INTO redrive.lanes (integration, key, head, next) VALUES ('push', $1, $2, 2)", "key of "+id, id))
		d.must(d.sql(`INSERT INTO redrive.queue (id, message_id, integration, lane, position, due_at) SELECT redrive.new_id(), message_id, 'push', $1, 1, 'infinity'
			FROM redrive.deliveries WHERE id = $2`, "key of "+id, id))
	},
	"row of a batch": func(d desk, id string) {
		d.must(d.sql("INSERT INTO redrive.batch_rows (delivery_id, file_id, row) VALUES ($1, $1, 1)", id))
	},
	"run of a batch": func(d desk, id string) {
		d.must(d.sql(`INSERT INTO redrive.batch_runs (integration, business_date, scheduled_at, trigger, state, finished_at, delivery_id)
			VALUES ('push', '2026-01-31', now(), 'manual', 'failed', now(), $1)`, id))
	},
	"acknowledged": func(d desk, id string) {
		yes := true
		_, err := d.ChangeCase(d.t.Context(), delivery.CaseChange{ID: id, Version: -1, Actor: "bob", Acknowledge: &yes})
		d.must(err)
	},
	"edited": func(d desk, id string) { d.must(d.sql("UPDATE redrive.deliveries SET edit = 3 WHERE id = $1", id)) },
}

// twins are two dead letters of one shape, in a state that was decided before.
func (d desk) twins(shape string, state delivery.State) (a, b string) {
	d.t.Helper()
	d.must(d.sql("DELETE FROM redrive.batch_rows; DELETE FROM redrive.batch_runs"))
	before := value[[]string](d, "SELECT coalesce(array_agg(id::text), '{}') FROM redrive.deliveries")
	d.manyDead("push", "g", 2)
	made := value[[]string](d, "SELECT array_agg(id::text ORDER BY id) FROM redrive.deliveries WHERE id <> ALL($1::uuid[])", before)
	for _, id := range made {
		shapes[shape](d, id)
		for _, t := range delivery.Decisions.Alone() {
			if state != delivery.StateDead && t.To == state {
				d.act(delivery.ActionRequest{Action: t.Action, ID: id, Actor: "cid", Reason: "before", Category: "before"})
			}
		}
	}
	return made[0], made[1]
}

// alike compares the lines of two traces but those that name one of the words.
func alike(t *testing.T, what, a, b string, but ...string) {
	t.Helper()
	without := func(trace string) string {
		lines := slices.DeleteFunc(strings.Split(strings.ReplaceAll(trace, ",\n", "\n"), "\n"), func(line string) bool {
			return slices.ContainsFunc(but, func(word string) bool { return strings.Contains(line, `"`+word+`":`) })
		})
		return strings.Join(lines, "\n")
	}
	if a, b := without(a), without(b); a != b {
		t.Errorf("%s: not the same:\n%s\nand:\n%s", what, a, b)
	}
}

// detailsOf are members of a trace's details.
var detailsOf = []string{"actor", "action", "acted_at", "reason", "category", "until", "evidence"}

// Whatever is decided leaves the same, whether by a click or by an operation of one.
func TestAClickAndAnOperationOfOneLeaveTheSame(t *testing.T) {
	d := open(t)
	until := time.Now().Add(time.Hour).UTC().Truncate(time.Second)
	for _, row := range delivery.Decisions.Many() {
		for _, from := range row.From {
			for shape := range shapes {
				if row.Stays() && shape == "acknowledged" {
					continue
				}
				what := fmt.Sprintf("%s from %s, %s", row.Action, from, shape)
				a, b := d.twins(shape, from)
				o := d.start(delivery.OperationRequest{Action: row.Action, Chosen: []delivery.Chosen{{ID: b}}, Reason: "r", Category: "c", Evidence: "e", End: delivery.End{Until: &until}})
				d.actAll(o.ID)
				if row.Stays() {
					yes := row.Acknowledged
					_, err := d.ChangeCase(t.Context(), delivery.CaseChange{ID: a, Version: -1, Actor: "ann", Acknowledge: &yes})
					d.must(err)
					alike(t, what, strings.Split(d.trace(a), `"audit"`)[0], strings.Split(d.trace(b), `"audit"`)[0]) // it is audited as a change of the case
					continue
				}
				d.act(delivery.ActionRequest{Action: row.Action, ID: a, Reason: "r", Category: "c", Evidence: "e", End: delivery.End{Until: &until}})
				if row.Queues { // the operation is where its retry is written down
					alike(t, what, d.trace(a), d.trace(b), append(detailsOf, "one time")...)
					continue
				}
				alike(t, what, d.trace(a), d.trace(b))
				if !strings.Contains(d.trace(b), `"one time": true`) {
					t.Errorf("%s: its times differ: %s", what, d.trace(b))
				}
			}
		}
	}
	d.verified()
}

// A retry by an operation is found where it is written down: whoever comes second is told of it as of a person's.
func TestWhoIsSecondIsToldTheSame(t *testing.T) {
	d := open(t)
	for _, row := range delivery.Decisions.Many() {
		if row.Stays() || row.To == delivery.StateDead {
			continue
		}
		a, b := d.twins("alone", row.From[0])
		d.act(delivery.ActionRequest{Action: row.Action, ID: a, Reason: "r", Category: "c"})
		o := d.start(delivery.OperationRequest{Action: row.Action, Chosen: []delivery.Chosen{{ID: b}}, Reason: "r", Category: "c"})
		d.actAll(o.ID)
		var told []string
		for _, id := range []string{a, b} {
			_, err := d.Act(t.Context(), delivery.ActionRequest{Action: delivery.ActionResolve, ID: id, Reason: "r"})
			told = append(told, regexp.MustCompile(` at=\S+`).ReplaceAllString(fmt.Sprint(err), ""))
		}
		if want := fmt.Sprintf("conflict.delivery action=%s actor=ann state=%s version=2", row.Action, row.To); told[0] != want || told[1] != want {
			t.Errorf("%s: told %q", row.Action, told)
		}
	}
}

// An edit and a redirect are retries of something else, and a time that is over reopens as a person does.
func TestOtherWaysToTheSameDecisions(t *testing.T) {
	d := open(t)
	for shape := range shapes {
		if strings.HasSuffix(shape, "batch") || shape == "edited" {
			continue
		}
		a, b := d.twins(shape, delivery.StateDead)
		_, redirected := d.twins(shape, delivery.StateDead)
		d.act(delivery.ActionRequest{Action: delivery.ActionRetry, ID: a, Reason: "r"})
		_, err := d.Edit(t.Context(), delivery.EditRequest{ID: b, Actor: "ann", Reason: "r", Payload: []byte("2")})
		d.must(err)
		alike(t, "an edit, "+shape, d.trace(a), d.trace(b), "edit", "action", "number", "old_sha256", "new_sha256")
		_, err = d.Redirect(t.Context(), delivery.RedirectRequest{ID: redirected, Integration: "sms", Actor: "ann", Reason: "r"})
		d.must(err)
		if shape == "alone" {
			alike(t, "a redirect", d.trace(a), d.trace(redirected), "integration", "group_id", "action", "from", "to")
		}
	}
	a, b := d.twins("alone", delivery.StateDead)
	over := time.Now().Add(-time.Second)
	for id, until := range map[string]*time.Time{a: nil, b: &over} {
		d.act(delivery.ActionRequest{Action: delivery.ActionIgnore, ID: id, Reason: "r", Category: "c", End: delivery.End{Until: until}})
	}
	d.act(delivery.ActionRequest{Action: delivery.ActionReopen, ID: a, Actor: delivery.ActorPolicy})
	if n, err := d.ReopenDue(t.Context()); n != 1 || err != nil {
		t.Fatal(n, err)
	}
	policys := regexp.MustCompile(`"why": \{[^}]*\},\s*`).ReplaceAllString(d.trace(b), "") // it says why by itself
	policys = regexp.MustCompile(`"because": \{[^}]*\}`).ReplaceAllString(policys, `"because": null`)
	alike(t, "a time that is over", d.trace(a), policys, "until")
	d.verified()
}

// What the database checks is what the table says.
func TestTheChecksOfTheDatabaseAreTheTables(t *testing.T) {
	d := open(t)
	words := func(table, about string) []string {
		def := value[string](d, `SELECT coalesce(string_agg(pg_get_constraintdef(oid), ' '), '') FROM pg_constraint
			WHERE conrelid = $1::regclass AND contype = 'c' AND pg_get_constraintdef(oid) LIKE $2`, table, about)
		var out []string
		for _, m := range regexp.MustCompile(`'(\w+)'::text`).FindAllStringSubmatch(def, -1) {
			out = append(out, m[1])
		}
		slices.Sort(out)
		return out
	}
	var states, settled []string
	for _, s := range delivery.States {
		if s != delivery.StateSending { // derived from the queue
			states = append(states, string(s))
		}
		if s.Settled() {
			settled = append(settled, string(s))
		}
	}
	var actions, used []string
	for _, row := range delivery.Decisions {
		if row.Many {
			actions = append(actions, string(row.Action))
		}
		for _, s := range append([]delivery.State{row.To}, row.From...) {
			used = append(used, string(s))
		}
	}
	for about, c := range map[string]struct{ got, want []string }{
		"actions of operations": {words("redrive.operations", "CHECK ((action = ANY%"), actions},
		"states":                {words("redrive.deliveries", "CHECK ((state = ANY%"), states},
		"settled states":        {words("redrive.deliveries", "%settled_at IS NOT NULL%"), settled},
		"dead":                  {words("redrive.deliveries", "%dead_at IS NOT NULL%"), []string{string(delivery.StateDead)}},
	} {
		slices.Sort(c.want)
		if !slices.Equal(c.got, c.want) {
			t.Errorf("%s: the database has %v, the program %v", about, c.got, c.want)
		}
	}
	for _, s := range used {
		if !slices.Contains(states, s) {
			t.Errorf("a decision leads from or to %s, which is not stored", s)
		}
	}
}
