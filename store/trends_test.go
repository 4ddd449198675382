package store_test

import (
	"fmt"
	"slices"
	"testing"
	"time"

	"redrive/delivery"
	"redrive/store/storetest"
)

// cameSQL notes each failure that comes into a group, row by row, as the triggers of the program do not.
const cameSQL = `
CREATE TABLE public.came (group_id text, hour timestamptz);
CREATE FUNCTION public.note_came() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
    IF NEW.failed_at IS NOT NULL AND NEW.group_id IS NOT NULL AND (TG_OP = 'INSERT' OR OLD.failed_at IS NULL OR OLD.group_id IS DISTINCT FROM NEW.group_id) THEN
        INSERT INTO public.came VALUES (NEW.group_id, date_trunc('hour', statement_timestamp(), 'UTC'));
    END IF;
    RETURN NULL;
END $$;
CREATE TRIGGER note_came AFTER INSERT OR UPDATE ON redrive.deliveries FOR EACH ROW EXECUTE FUNCTION public.note_came()`

// cameWronglySQL are the groups and hours that are counted otherwise.
const cameWronglySQL = `
WITH counted AS (
    SELECT group_id, hour, sum(came) AS n FROM (SELECT group_id, hour, came FROM redrive.group_hours
        UNION ALL SELECT group_id, date_trunc('hour', at, 'UTC'), came FROM redrive.group_deltas) c GROUP BY 1, 2
), noted AS (SELECT group_id, hour, count(*) AS n FROM public.came GROUP BY 1, 2)
SELECT coalesce(string_agg(format('%s at %s: %s counted, %s came', group_id, hour, c.n, w.n), '; '), '')
FROM counted c FULL JOIN noted w USING (group_id, hour) WHERE coalesce(c.n, 0) <> coalesce(w.n, 0)`

// trends folds, and reads the groups by growth when the hour did not end meanwhile.
func (d desk) trends(prepare string) map[string]delivery.Group {
	d.t.Helper()
	for {
		d.fold()
		hour := value[time.Time](d, "SELECT trend_hour FROM redrive.counting")
		d.must(d.sql(prepare))
		d.must(d.sql("UPDATE redrive.counting SET trend_hour = '-infinity'"))
		d.fold()
		page, err := d.Groups(d.t.Context(), delivery.GroupFilter{Sort: delivery.GroupsGrowing, Filter: delivery.Filter{Limit: 500}})
		d.must(err)
		if !value[time.Time](d, "SELECT trend_hour FROM redrive.counting").Equal(hour) {
			continue
		}
		groups := map[string]delivery.Group{}
		for _, g := range page.Items {
			groups[g.ID] = g
		}
		return groups
	}
}

// A trend begins and ends with whole hours, and moves on when an hour ends.
func TestATrendMovesOnWithTheHours(t *testing.T) {
	d := open(t)
	d.manyDead("push", "g", 3)
	const hours = `DELETE FROM redrive.group_hours; INSERT INTO redrive.group_hours (group_id, hour, failed, came)
		SELECT 'g', trend_hour - (ago + %d) * interval '1 hour', 0, n FROM redrive.counting,
			(VALUES (0, 1), (23, 2), (24, 4), (47, 8), (48, 16), (167, 32), (168, 64), (335, 128), (336, 256)) h(ago, n)`
	want := delivery.Trend{Hour: delivery.TrendCount{Count: 1}, Day: delivery.TrendCount{Count: 3, Before: 12}, Week: delivery.TrendCount{Count: 63, Before: 192}}
	if got := d.trends(fmt.Sprintf(hours, 0))["g"].Trend; got != want {
		t.Errorf("%+v, want %+v", got, want)
	}
	later := delivery.Trend{Hour: delivery.TrendCount{Before: 1}, Day: delivery.TrendCount{Count: 1, Before: 6}, Week: delivery.TrendCount{Count: 31, Before: 96}}
	if got := d.trends(fmt.Sprintf(hours, 1))["g"].Trend; got != later {
		t.Errorf("an hour later %+v, want %+v", got, later)
	}
	d.manyDead("push", "g", 2) // not folded yet
	later.Day.Count, later.Week.Count = 3, 33
	if g, err := d.Group(t.Context(), "g"); err != nil || g.Trend.Day != later.Day || g.Trend.Week != later.Week {
		t.Errorf("with what is not folded yet %+v, want %+v: %v", g.Trend, later, err)
	}
}

// By growth, what is walked along the index is what sorting all of them gives: page by page, whatever is folded.
func TestGroupsByGrowthAreInOrder(t *testing.T) {
	d := open(t)
	for n := range 12 {
		d.manyDead([]string{"push", "sms"}[n%2], fmt.Sprint("g", n), 1+n*5%7)
	}
	d.trends(`UPDATE redrive.group_hours SET hour = hour - interval '24 hours', came = 3 WHERE group_id IN ('g2', 'g5', 'g7', 'g8')`)
	for _, n := range []int{1, 5, 8, 12, 13} { // known and new, and not folded
		d.manyDead("push", fmt.Sprint("g", n), 2)
	}
	for range 2 {
		for _, integrations := range [][]string{nil, {"push"}} {
			f := delivery.GroupFilter{Sort: delivery.GroupsGrowing, Filter: delivery.Filter{Integrations: integrations}}
			sorted := f
			sorted.Groups = value[[]string](d, "SELECT array_agg(id) FROM redrive.groups") // not walked
			all := d.groupPages(sorted, 100)
			for _, size := range []int{1, 4, 100} {
				if got := d.groupPages(f, size); !slices.Equal(got, all) {
					t.Errorf("of %v by %d: %v, want %v", integrations, size, got, all)
				}
			}
			if len(all) < 7 {
				t.Error(all)
			}
		}
		d.fold()
	}
}

// groupPages turns pages of that size to the end.
func (d desk) groupPages(f delivery.GroupFilter, size int) (list []string) {
	d.t.Helper()
	for f.Limit = size; ; {
		page, err := d.Groups(d.t.Context(), f)
		d.must(err)
		for _, g := range page.Items {
			list = append(list, describe(g))
		}
		if f.After = page.Next; f.After == "" {
			return list
		}
	}
}

// A group knows its latest retry, how far it is, and who looks after what of it; what moved to another group stays counted where it was.
func TestAGroupKnowsItsLatestRetryAndItsAssignees(t *testing.T) {
	d := open(t)
	d.manyDead("push", "g", 3)
	d.manyDead("sms", "other", 1)
	d.must(d.sql("UPDATE redrive.deliveries SET assignee = CASE WHEN id = (SELECT min(id::text)::uuid FROM redrive.deliveries WHERE group_id = 'g') THEN 'bob' ELSE 'ann' END"))
	g, err := d.Group(t.Context(), "g")
	d.must(err)
	if want := []delivery.Assignee{{Name: "ann", ID: "ann", Count: 2}, {Name: "bob", ID: "bob", Count: 1}}; !slices.Equal(g.Assignees, want) || g.Retried != nil {
		t.Errorf("%+v, retried %+v", g.Assignees, g.Retried)
	}
	d.start(delivery.OperationRequest{Action: delivery.ActionIgnore, Filter: &delivery.Filter{Groups: []string{"other"}}, Reason: "r", Category: "other"})
	o := d.start(delivery.OperationRequest{Action: delivery.ActionRetry})
	d.retried("g", delivery.GroupRetry{OperationID: o.ID, Actor: "ann", State: delivery.OperationRunning, Selected: 3, Counted: true})
	d.actAll(o.ID)
	n := 0
	d.settle("push", func(delivery.Claimed) (delivery.Result, delivery.State) {
		if n++; n == 1 {
			return confirmed, delivery.StateDelivered
		}
		return answered, delivery.StateDead // of another group
	})
	d.retried("g", delivery.GroupRetry{OperationID: o.ID, Actor: "ann", State: delivery.OperationRunning, Selected: 3, Succeeded: 1, Failed: 2, Counted: true})
	d.settle("sms", func(delivery.Claimed) (delivery.Result, delivery.State) { return answered, delivery.StateDead })
	d.actAll(o.ID)
	done := delivery.GroupRetry{OperationID: o.ID, Actor: "ann", State: delivery.OperationFinished, Selected: 3, Succeeded: 1, Failed: 2, Counted: true}
	d.retried("g", done)
	d.must(d.sql("DELETE FROM redrive.operation_items")) // it was noted
	d.retried("g", done)
}

func (d desk) retried(group string, want delivery.GroupRetry) {
	d.t.Helper()
	g, err := d.Group(d.t.Context(), group)
	d.must(err)
	if g.Retried == nil {
		d.t.Fatal("no retry is known")
	}
	got := *g.Retried
	got.At, got.ActorID = time.Time{}, ""
	if got != want {
		d.t.Errorf("%+v, want %+v", got, want)
	}
}

// After an upgrade the trends are those of the failures that are there, and finished retries are known.
func TestAnUpgradeKnowsTrends(t *testing.T) {
	dsn, db := storetest.Earlier(t, 37)
	for _, statement := range []string{
		`INSERT INTO redrive.groups (id, integration, error_class, message) VALUES ('g', 'push', 'http_5xx', 'm')`,
		`INSERT INTO redrive.deliveries (id, message_id, integration, state, created_at, failed_at, dead_at, group_id)
			SELECT md5(n::text)::uuid, gen_random_uuid(), 'push', 'dead', now(), now() - at, now(), 'g'
			FROM (VALUES (1, interval '0'), (2, '3 hours'), (3, '30 hours'), (4, '10 days'), (5, '20 days')) f(n, at)`,
		`INSERT INTO redrive.operations (id, action, actor, state, finished_at, selected) VALUES (md5('o')::uuid, 'retry', 'ann', 'finished', now(), 2)`,
		`INSERT INTO redrive.operation_items (operation_id, n, delivery_id, version, outcome) VALUES (md5('o')::uuid, 1, md5('1')::uuid, 1, 'succeeded'), (md5('o')::uuid, 2, md5('2')::uuid, 1, 'failed')`,
	} {
		if _, err := db.ExecContext(t.Context(), statement); err != nil {
			t.Fatal(err)
		}
	}
	d := upgraded(t, dsn)
	d.fold()
	g, err := d.Group(t.Context(), "g")
	d.must(err)
	if want := (delivery.TrendCount{Count: 2, Before: 1}); g.Trend.Day != want || g.Trend.Week != (delivery.TrendCount{Count: 3, Before: 1}) {
		t.Errorf("%+v", g.Trend)
	}
	d.retried("g", delivery.GroupRetry{OperationID: g.Retried.OperationID, Actor: "ann", State: delivery.OperationFinished, Selected: 2, Succeeded: 1, Failed: 1, Counted: true})
}
