package store_test

import (
	"fmt"
	"log/slog"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/pressly/goose/v3"

	"redrive/delivery"
	"redrive/migrations"
	"redrive/store"
	"redrive/store/storetest"
	"redrive/store/storetest/patience"
)

// Groups 0 to 11 are of "push" when even, of "sms" when odd; every third one has failures of two types.
const manyFailuresSQL = `
WITH made AS (
    SELECT n, gen_random_uuid() AS id, gen_random_uuid() AS message_id, floor(12 * random() * random())::int AS g, (ARRAY['dead','dead','dead','pending','ignored',
        'resolved','delivered'])[1 + floor(7 * random())::int] AS state, clock_timestamp() - floor(300 * random()) * interval '1 minute' AS at,
        1 + floor(5 * random() * random())::int AS attempts, floor(20 * random() ^ 3)::int AS key, random() AS chance, floor(4 * random() * random())::int AS who
    FROM generate_series(1, 1500) n
), typed AS (
    SELECT *, CASE WHEN g % 3 = 0 AND chance < 0.3 THEN 'order.changed' WHEN g % 2 = 0 THEN 'order.placed' ELSE 'code.asked' END AS type,
        CASE WHEN state IN ('ignored', 'resolved') OR chance > 0.6 THEN (ARRAY['ann', 'bob', 'cho', 'policy'])[1 + who] END AS actor,
        CASE WHEN g % 2 = 0 THEN 'push' ELSE 'sms' END AS integration FROM made
), messages AS (
    INSERT INTO redrive.messages (id, kind, integration, type, key, payload, created_at) SELECT message_id, 'command', integration, type, 'k' || key, 'x', at FROM typed
), groups AS (
    INSERT INTO redrive.groups (id, integration, error_class, message, types)
    SELECT 'g' || g, min(integration), (ARRAY['http_5xx', 'timeout', 'dns'])[1 + g % 3], 'message ' || g % 5, array_agg(DISTINCT type) FROM typed GROUP BY g
), records AS (
    INSERT INTO redrive.deliveries (id, message_id, integration, state, attempts, error_class, group_id, created_at, failed_at, changed_at, dead_at, settled_at,
        key, type, actor)
    SELECT id, message_id, integration, state, attempts, (ARRAY['http_5xx', 'timeout', 'dns'])[1 + g % 3], 'g' || g, at, at, at, CASE WHEN state = 'dead' THEN at END,
        CASE WHEN state NOT IN ('dead', 'pending') THEN at END, 'k' || key, type, actor FROM typed
), queued AS (
    INSERT INTO redrive.queue (id, message_id, integration, due_at) SELECT id, message_id, integration, at + interval '1 day' FROM typed WHERE state = 'pending'
), cases AS (
    INSERT INTO redrive.cases (delivery_id, assignee, tags) SELECT id, CASE WHEN chance < 0.1 THEN 'ann' END, '{late}' FROM typed WHERE chance < 0.2 AND state = 'dead'
)
INSERT INTO redrive.failure_details (delivery_id, error) SELECT id, 'error ' || g || ' of ' || n % 7 FROM typed`

// listed is a failure as a look at all of them sees it.
type listed struct {
	id, group, integration, class, message, kind, key, actor, assignee, text string
	state                                                                    delivery.State
	attempts                                                                 int
	tagged, acknowledged                                                     bool
	at                                                                       time.Time
}

func (d desk) manyFailures() (list []listed) {
	d.t.Helper()
	d.must(d.sql(manyFailuresSQL))
	d.must(d.sql("UPDATE redrive.deliveries SET acknowledged_at = changed_at WHERE state = 'dead' AND (attempts = 2 OR group_id = 'g4')"))
	conn, err := pgx.Connect(d.t.Context(), d.dsn)
	d.must(err)
	defer func() { _ = conn.Close(d.t.Context()) }()
	rows, err := conn.Query(d.t.Context(), `SELECT r.id::text, r.group_id, r.integration, r.error_class, g.message, r.type, r.key, coalesce(r.actor, ''), coalesce(c.assignee, ''),
		f.error, r.state, r.attempts, c.delivery_id IS NOT NULL, r.acknowledged_at IS NOT NULL, r.changed_at FROM redrive.deliveries r JOIN redrive.groups g ON g.id = r.group_id
		JOIN redrive.failure_details f ON f.delivery_id = r.id LEFT JOIN redrive.cases c ON c.delivery_id = r.id ORDER BY r.changed_at DESC, r.id DESC`)
	d.must(err)
	list, err = pgx.CollectRows(rows, func(row pgx.CollectableRow) (l listed, err error) {
		return l, row.Scan(&l.id, &l.group, &l.integration, &l.class, &l.message, &l.kind, &l.key, &l.actor, &l.assignee, &l.text, &l.state, &l.attempts, &l.tagged,
			&l.acknowledged, &l.at)
	})
	d.must(err)
	return list
}

// conditions set one field of a filter each, and say which failures fit.
var conditions = map[string]func(*rand.Rand, *delivery.Filter) func(listed) bool{
	"integration": func(_ *rand.Rand, f *delivery.Filter) func(listed) bool {
		f.Integrations = []string{"sms", "none"}
		return func(l listed) bool { return l.integration == "sms" }
	},
	"class": func(_ *rand.Rand, f *delivery.Filter) func(listed) bool {
		f.ErrorClasses = []string{"timeout"}
		return func(l listed) bool { return l.class == "timeout" }
	},
	"message of the group": func(_ *rand.Rand, f *delivery.Filter) func(listed) bool {
		f.GroupMessages = []string{"message 2"}
		return func(l listed) bool { return l.message == "message 2" }
	},
	"type": func(p *rand.Rand, f *delivery.Filter) func(listed) bool {
		f.Types = [][]string{{"order.changed"}, {"order.placed"}, {"code.asked", "order.placed"}, {"none"}}[p.IntN(4)]
		return func(l listed) bool { return slices.Contains(f.Types, l.kind) }
	},
	"key": func(p *rand.Rand, f *delivery.Filter) func(listed) bool {
		f.Key = fmt.Sprint("k", p.IntN(4))
		return func(l listed) bool { return l.key == f.Key }
	},
	"operator": func(p *rand.Rand, f *delivery.Filter) func(listed) bool {
		f.Actors = [][]string{{"ann"}, {"cho", "ann", "cho"}, {"policy"}}[p.IntN(3)]
		return func(l listed) bool { return slices.Contains(f.Actors, l.actor) }
	},
	"attempts": func(p *rand.Rand, f *delivery.Filter) func(listed) bool {
		low, high := 1+p.IntN(3), 2+p.IntN(3)
		f.Attempts = []delivery.Range{{Min: &low}, {Max: &high}, {Min: &low, Max: &high}}[p.IntN(3)]
		return func(l listed) bool {
			return (f.Attempts.Min == nil || l.attempts >= low) && (f.Attempts.Max == nil || l.attempts <= high)
		}
	},
	"assignee": func(p *rand.Rand, f *delivery.Filter) func(listed) bool {
		f.Assignees = [][]string{{"ann"}, {delivery.NoAssignee}}[p.IntN(2)]
		return func(l listed) bool { return (l.assignee == "ann") == (f.Assignees[0] == "ann") }
	},
	"tag": func(_ *rand.Rand, f *delivery.Filter) func(listed) bool {
		f.Tags = []string{"late"}
		return func(l listed) bool { return l.tagged }
	},
	"acknowledged": func(p *rand.Rand, f *delivery.Filter) func(listed) bool {
		yes := p.IntN(2) == 0
		f.Acknowledged = &yes
		return func(l listed) bool { return l.state == delivery.StateDead && l.acknowledged == yes }
	},
	"text": func(_ *rand.Rand, f *delivery.Filter) func(listed) bool {
		f.Query = "or 1 of 3"
		return func(l listed) bool { return l.text == "error 1 of 3" }
	},
	"time": func(p *rand.Rand, f *delivery.Filter) func(listed) bool {
		from := time.Now().Add(-time.Duration(60+p.IntN(200)) * time.Minute)
		to := from.Add(2 * time.Hour)
		f.From, f.To = &from, &to
		return func(l listed) bool { return !l.at.Before(from) && l.at.Before(to) }
	},
}

// Whatever is combined, a list has what a look at every failure finds, in the same order, and knows how many.
func TestListsFindWhatALookFinds(t *testing.T) {
	d := open(t)
	all := d.manyFailures()
	p := rand.New(rand.NewPCG(7, 11))
	names := make([]string, 0, len(conditions))
	for name := range conditions {
		names = append(names, name)
	}
	slices.Sort(names)
	for range 150 {
		f := delivery.Filter{Limit: []int{1, 7, 50, 500}[p.IntN(4)], Sort: []delivery.Sort{delivery.SortNewest, delivery.SortOldest}[p.IntN(2)]}
		for _, i := range p.Perm(5)[:1+p.IntN(3)] {
			f.States = append(f.States, []delivery.State{delivery.StateDead, delivery.StatePending, delivery.StateIgnored, delivery.StateResolved, delivery.StateDelivered}[i])
		}
		fits := []func(listed) bool{func(l listed) bool { return slices.Contains(f.States, l.state) }}
		var chosen []string
		for _, i := range p.Perm(len(names))[:1+p.IntN(4)] {
			chosen = append(chosen, names[i])
			fits = append(fits, conditions[names[i]](p, &f))
		}
		var want []string
		for _, l := range all {
			if !slices.ContainsFunc(fits, func(fit func(listed) bool) bool { return !fit(l) }) {
				want = append(want, l.id)
			}
		}
		for may, inTime := range map[time.Duration]bool{time.Millisecond: false, patience.Limit: true} {
			d.SetCounting(may)
			n, capped, err := d.CountFailures(t.Context(), f, 10_000)
			if err != nil || n > len(want) || n < len(want) && !capped || inTime && (capped || n < len(want)) {
				t.Fatalf("%v in %v: counts %d (%v) in %v, want %d: %v", chosen, f.States, n, capped, may, len(want), err)
			}
		}
		if f.Sort == delivery.SortOldest {
			slices.Reverse(want)
		}
		d.SetEffort(p.IntN(2)*100, 1+p.IntN(400), 1+p.IntN(2000), p.IntN(2)*200) // begins at indexes early or late
		if len(want)/f.Limit > 30 {
			f.Limit = 50
		}
		if got := d.pages(f); !slices.Equal(got, want) {
			t.Fatalf("%v in %v by pages of %d, %s: %d found, want %d", chosen, f.States, f.Limit, f.Sort, len(got), len(want))
		}
	}
}

// The record has what lists ask for, whoever decided and whatever became of the message.
func TestTheRecordKeepsWhatListsAskFor(t *testing.T) {
	d := open(t)
	one := d.dead(delivery.Message{Integration: "push", Type: "order.placed", Key: "k-1"}).ID
	two := d.dead(delivery.Message{Integration: "push", Type: "order.changed", Key: "k-1"}).ID
	finds := func(f delivery.Filter, want ...string) {
		t.Helper()
		f.Limit, f.Sort = 10, delivery.SortOldest
		if got := d.pages(f); !slices.Equal(got, want) {
			t.Errorf("%+v finds %v, want %v", f, got, want)
		}
		if n, _, err := d.CountFailures(t.Context(), f, 10); err != nil || n != len(want) {
			t.Errorf("%+v counts %d, want %d: %v", f, n, len(want), err)
		}
	}
	finds(delivery.Filter{Key: "k-1"}, one, two)
	finds(delivery.Filter{Types: []string{"order.changed"}}, two) // both are in one group
	d.act(delivery.ActionRequest{Action: delivery.ActionIgnore, ID: one, Reason: "r", Category: "other", Actor: "ann"})
	finds(delivery.Filter{Actors: []string{"ann"}, States: []delivery.State{delivery.StateIgnored}}, one)
	finds(delivery.Filter{Actors: []string{"ann"}})
	d.must(d.sql("DELETE FROM redrive.messages"))
	finds(delivery.Filter{Key: "k-1", States: delivery.States}, two, one)
	if shown := d.pages(delivery.Filter{Key: "k-1", Limit: 10}); len(shown) == 1 {
		page, err := d.Failures(t.Context(), delivery.Filter{Key: "k-1"})
		if d.must(err); page.Items[0].Key != "k-1" || page.Items[0].Type != "order.changed" {
			t.Errorf("its message is gone; the list shows %+v", page.Items[0])
		}
	}
}

// An earlier version did not keep key, type and last decision in the record.
func TestUpgradeFillsTheRecords(t *testing.T) {
	dsn := storetest.Empty(t)
	s, err := store.Open(t.Context(), dsn, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(s.Close)
	d := desk{Store: s, t: t, dsn: dsn}
	d.must(s.Migrate(t.Context()))
	d.must(s.SyncIntegrations(t.Context(), []delivery.Integration{integration("push", "order.placed"), integration("sms")}))
	one := d.dead(delivery.Message{Integration: "push", Type: "order.placed", Key: "k-1", Payload: []byte("{}")}).ID
	two := d.dead(delivery.Message{Integration: "push", Type: "order.changed", Payload: []byte("{}")}).ID // null is newer
	d.act(delivery.ActionRequest{Action: delivery.ActionResolve, ID: two, Reason: "r", Actor: "ann"})
	folded := value[int](d, "SELECT count(*) FROM redrive.group_deltas")

	db := sqlOpen(t, dsn)
	goback, err := goose.NewProvider(goose.DialectPostgres, db, migrations.Files, goose.WithTableName("redrive.schema_version"))
	d.must(err)
	_, err = goback.DownTo(t.Context(), 5)
	d.must(err)
	d.must(s.Migrate(t.Context()))
	for id, want := range map[string]string{one: "k-1 order.placed -", two: "- order.changed ann"} {
		if got := value[string](d, "SELECT coalesce(key, '-') || ' ' || type || ' ' || coalesce(actor, '-') FROM redrive.deliveries WHERE id = $1", id); got != want {
			t.Errorf("the record has %q, want %q", got, want)
		}
	}
	if types := value[[]string](d, "SELECT types FROM redrive.groups"); !slices.Equal(types, []string{"order.changed", "order.placed"}) {
		t.Errorf("the group has types %v", types)
	}
	if n := value[int](d, "SELECT count(*) FROM redrive.group_deltas"); n != folded {
		t.Errorf("the upgrade counted %d changes as new", n-folded)
	}
	if n := value[int](d, "SELECT count(*) FROM pg_indexes WHERE tablename = 'deliveries' AND indexname IN ('deliveries_dead', 'deliveries_recovered_group', 'deliveries_attempts')"); n != 3 {
		t.Errorf("%d of the lists' indexes are there, want 3", n)
	}
}
