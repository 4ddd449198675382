package store_test

import (
	"fmt"
	"slices"
	"testing"
	"time"

	"redrive/delivery"
)

// many makes n dead letters of "push", half of them with another error, and returns their ids.
func (d desk) many(n int) (ids []string) {
	d.t.Helper()
	d.must(d.sql("SELECT redrive.enqueue('push', 't', 'x', key => 'k' || n % 3) FROM generate_series(1, $1) n", n))
	var done []delivery.Completion
	for i, c := range d.claim("push", n, time.Minute) {
		result := answered
		if i%2 == 1 {
			result = delivery.Result{Outcome: delivery.OutcomePermanent, ErrorClass: delivery.ClassHTTP4xx, Error: "the receiver answered 100% \\wrong_", HTTPStatus: 422}
		}
		done = append(done, completion(c, result, delivery.StateDead))
		ids = append(ids, c.DeliveryID)
	}
	d.complete(done...)
	return ids
}

func (d desk) pages(f delivery.Filter) (ids []string) {
	d.t.Helper()
	for {
		page, err := d.Failures(d.t.Context(), f)
		d.must(err)
		if len(page.Items) > f.Limit {
			d.t.Fatalf("a page of %d", len(page.Items))
		}
		for _, item := range page.Items {
			ids = append(ids, item.ID)
		}
		if f.After = page.Next; page.Next == "" {
			return ids
		}
	}
}

// All rows of one batch carry the same time: only the id tells them apart.
func TestPagesNeitherDropNorRepeat(t *testing.T) {
	d := open(t)
	want := d.many(53)
	slices.Sort(want)
	for _, order := range []delivery.Sort{delivery.SortNewest, delivery.SortOldest} {
		got := d.pages(delivery.Filter{Limit: 7, Sort: order})
		slices.Sort(got)
		if !slices.Equal(got, want) {
			t.Errorf("%s: %d rows in pages, want %d", order, len(got), len(want))
		}
	}
	newest, oldest := d.pages(delivery.Filter{Limit: 10}), d.pages(delivery.Filter{Limit: 10, Sort: delivery.SortOldest})
	slices.Reverse(oldest)
	if !slices.Equal(newest, oldest) {
		t.Error("oldest first is not newest first reversed")
	}
}

func TestFilters(t *testing.T) {
	d := open(t)
	ids := d.many(12)
	one := d.read(ids[0])
	d.act(delivery.ActionRequest{Action: delivery.ActionIgnore, ID: ids[10], Reason: "r", Category: "other"})
	d.act(delivery.ActionRequest{Action: delivery.ActionRetry, ID: ids[11]})
	past, future := time.Now().Add(-time.Hour), time.Now().Add(time.Hour)
	for name, c := range map[string]struct {
		filter delivery.Filter
		want   int
	}{
		"default is dead": {delivery.Filter{}, 10},
		"two states":      {delivery.Filter{States: []delivery.State{delivery.StateDead, delivery.StateIgnored}}, 11},
		"all states":      {delivery.Filter{States: delivery.States}, 12},
		"pending":         {delivery.Filter{States: []delivery.State{delivery.StatePending}}, 1},
		"sending":         {delivery.Filter{States: []delivery.State{delivery.StateSending}}, 0},
		"integration":     {delivery.Filter{Integrations: []string{"sms", "none"}}, 0},
		"method":          {delivery.Filter{Methods: []delivery.Method{delivery.MethodOutbox}}, 10},
		"other method":    {delivery.Filter{Methods: []delivery.Method{delivery.MethodPool}}, 0},
		"class":           {delivery.Filter{ErrorClasses: []string{delivery.ClassHTTP4xx}}, 5},
		"group":           {delivery.Filter{Groups: []string{one.GroupID}}, 5},
		"key":             {delivery.Filter{Key: one.Key}, 4 - count(d, ids[10:], one.Key)},
		"message":         {delivery.Filter{MessageID: one.MessageID}, 1},
		"text":            {delivery.Filter{Query: "ANSWERED 503"}, 5},
		"text with signs": {delivery.Filter{Query: `100% \wrong_`}, 5},
		"no wildcard":     {delivery.Filter{Query: `100_`}, 0},
		"from":            {delivery.Filter{From: &future}, 0},
		"to":              {delivery.Filter{To: &past}, 0},
		"between":         {delivery.Filter{From: &past, To: &future}, 10},
	} {
		page, err := d.Failures(t.Context(), c.filter)
		if err != nil || len(page.Items) != c.want {
			t.Errorf("%s: %d rows, want %d: %v", name, len(page.Items), c.want, err)
		}
	}
}

func count(d desk, ids []string, key string) (n int) {
	for _, id := range ids {
		if d.read(id).Key == key {
			n++
		}
	}
	return n
}

func TestBadFilters(t *testing.T) {
	d := open(t)
	for want, f := range map[string]delivery.Filter{
		"bad_cursor":   {After: "nonsense"},
		"bad_limit":    {Limit: 501},
		"bad_sort":     {Sort: "random"},
		"bad_id":       {MessageID: "7"},
		"invalid_text": {Query: "a\x00b"},
	} {
		_, err := d.Failures(t.Context(), f)
		if code := inputCode(t, err); code != want {
			t.Errorf("code %s, want %s", code, want)
		}
	}
}

func TestTheKeysOtherDeliveries(t *testing.T) {
	d := open(t)
	first := d.dead(delivery.Message{Key: "order-1", Payload: []byte("a")})
	d.dead(delivery.Message{Key: "order-2"})
	waiting := d.accept(delivery.Message{Key: "order-1"})
	d.accept(delivery.Message{Key: "order-1", Integration: "sms"})
	detail := d.read(first.ID)
	if len(detail.KeySiblings) != 1 || detail.KeySiblings[0].ID != waiting.Deliveries[0].ID || detail.Method != delivery.MethodOutbox {
		t.Errorf("siblings %+v", detail.KeySiblings)
	}
}

// The partial index of the state must serve the list at every size.
func TestListsUseThePartialIndex(t *testing.T) {
	d := open(t)
	d.must(d.sql(`INSERT INTO redrive.deliveries (id, message_id, integration, state, created_at, failed_at, settled_at)
		SELECT gen_random_uuid(), gen_random_uuid(), 'push', 'delivered', now(), now(), now() FROM generate_series(1, 20000)`))
	d.many(20)
	d.must(d.sql("ANALYZE redrive.deliveries"))
	before := value[int64](d, "SELECT coalesce(seq_scan, 0) FROM pg_stat_user_tables WHERE relname = 'deliveries'")
	for range 8 { // past the point where Postgres turns to a generic plan
		if ids := d.pages(delivery.Filter{Limit: 50, Integrations: []string{"push"}}); len(ids) != 20 {
			t.Fatal(len(ids))
		}
	}
	await(t, func() bool {
		return value[int64](d, "SELECT coalesce(sum(idx_scan), 0)::bigint FROM pg_stat_user_indexes WHERE indexrelname LIKE 'deliveries_dead%'") >= 8
	})
	if after := value[int64](d, "SELECT seq_scan FROM pg_stat_user_tables WHERE relname = 'deliveries'"); after != before {
		t.Errorf("%d sequential scans of the deliveries", after-before)
	}
}

func TestHealth(t *testing.T) {
	d := open(t)
	d.many(4)
	d.accept(numbered(1))
	d.claimOne("push")
	d.accept(numbered(2))
	d.must(d.SaveBreaker(t.Context(), "push", delivery.BreakerOpen, time.Minute))
	d.must(d.SetPaused(t.Context(), "push", true, "ann", "maintenance"))
	d.must(d.SetPaused(t.Context(), "push", true, "bob", "again"))
	list, err := d.Health(t.Context())
	d.must(err)
	h := list[0]
	got := fmt.Sprintln(h.Name, h.Pending, h.Sending, h.Dead, h.Ignored, h.NewGroups, h.Failed24h, h.PausedBy, h.PauseReason, h.Breaker, h.Address)
	if want := fmt.Sprintln("push", 1, 1, 4, 0, 2, 4, "ann", "maintenance", "open", "http://127.0.0.1:1/x"); got != want {
		t.Errorf("health %s, want %s", got, want)
	}
	if h.OldestPending == nil || h.PausedAt == nil || h.BreakerUntil == nil {
		t.Errorf("times missing: %+v", h)
	}
	d.must(d.SetPaused(t.Context(), "push", false, "bob", ""))
	states, err := d.IntegrationStates(t.Context())
	if err != nil || states["push"].PausedAt != nil || states["sms"].Breaker != delivery.BreakerClosed {
		t.Errorf("states %+v %v", states, err)
	}
	if n := value[int](d, "SELECT count(*) FROM redrive.audit WHERE subject = 'push'"); n != 2 {
		t.Errorf("%d audit entries for one pause and one resume", n)
	}
}

func TestGroupsOfOtherStates(t *testing.T) {
	d := open(t)
	one, two := d.dead(delivery.Message{Integration: "push"}), d.dead(delivery.Message{Integration: "push"})
	groups := func(states ...delivery.State) []delivery.Group {
		page, err := d.Groups(t.Context(), delivery.GroupFilter{Filter: delivery.Filter{States: states}})
		d.must(err)
		return page.Items
	}
	d.act(delivery.ActionRequest{Action: delivery.ActionIgnore, ID: one.ID, Reason: "x", Category: "house-move"})
	if g := groups(delivery.StateIgnored); len(g) != 1 || g[0].Count != 1 || g[0].Status != delivery.GroupNew {
		t.Errorf("while one is still dead: %+v", g)
	}
	d.act(delivery.ActionRequest{Action: delivery.ActionResolve, ID: two.ID, Reason: "x"})
	if g := groups(delivery.StateIgnored, delivery.StateResolved); len(g) != 1 || g[0].Count != 2 || g[0].Status != delivery.GroupSettled {
		t.Errorf("after both were settled: %+v", g)
	}
	if g := groups(); len(g) != 0 {
		t.Errorf("dead letters: %+v", g)
	}
}
