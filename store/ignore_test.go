package store_test

import (
	"context"
	"errors"
	"log/slog"
	"strconv"
	"testing"
	"time"

	"gorm.io/gorm"

	"redrive/delivery"
	"redrive/store"
	"redrive/store/ignore"
)

// ignore hides what is dead in a group by one decision, and returns how many it hid.
func (d desk) ignore(group string, end delivery.End) int {
	d.t.Helper()
	o := d.start(delivery.OperationRequest{Action: delivery.ActionIgnore, Filter: &delivery.Filter{Groups: []string{group}}, Reason: "r", Category: "other", End: end})
	d.actAll(o.ID)
	return d.operation(o.ID).Succeeded
}

// due reopens until nothing is due, and returns how many were.
func (d desk) due() (all int) {
	d.t.Helper()
	for {
		n, err := d.ReopenDue(d.t.Context())
		d.must(err)
		if n == 0 {
			return all
		}
		all += n
	}
}

func (d desk) states(group string) (dead, ignored int) {
	d.t.Helper()
	return value[int](d, "SELECT count(*) FROM redrive.deliveries WHERE group_id = $1 AND state = 'dead'", group),
		value[int](d, "SELECT count(*) FROM redrive.deliveries WHERE group_id = $1 AND state = 'ignored'", group)
}

// Each of the ends comes when it is to come and not before, whoever folds the counters and however often; the group counts as regressed.
func TestEndsOfWhatIsIgnored(t *testing.T) {
	d := open(t)
	d.SetReopening(3)
	for name, end := range map[string]delivery.End{"count": {Count: 4}, "grows": {Grows: 1.5}} {
		d.manyDead("push", name, 8)
		d.fold()
		if n := d.ignore(name, end); n != 8 {
			t.Fatalf("%s: %d ignored", name, n)
		}
		one := d.one(name)
		if got := one.Settlement.End; got != end {
			t.Errorf("%s: the end is %+v", name, got)
		}
		d.manyDead("push", name, 3)
		for range 2 {
			d.fold()
			if n := d.due(); n != 0 {
				t.Errorf("%s: %d reopened too early", name, n)
			}
		}
		d.manyDead("push", name, 1)
		d.fold()
		if dead, ignored := d.states(name); dead != 4 || ignored != 8 {
			t.Errorf("%s: before the end is carried out %d dead, %d ignored", name, dead, ignored)
		}
		// another process, which knows nothing of the first
		second := d.again()
		second.SetReopening(3)
		if n := second.due(); n != 8 {
			t.Errorf("%s: %d reopened", name, n)
		}
		if n := d.due(); n != 0 {
			t.Errorf("%s: %d reopened twice", name, n)
		}
		after := d.read(one.ID)
		if last := after.History[len(after.History)-1]; after.State != delivery.StateDead || after.ReopenedBecause.Key != "reopened."+name ||
			last.Actor != delivery.ActorPolicy || !last.Why().Equal(after.ReopenedBecause) {
			t.Errorf("%s: %s because %s, the audit says %+v", name, after.State, after.ReopenedBecause, last)
		}
	}
	for _, what := range []string{"before it is folded", "folded"} {
		page, err := d.Groups(t.Context(), delivery.GroupFilter{})
		d.must(err)
		for _, g := range page.Items {
			if g.Status != delivery.GroupRegressed {
				t.Errorf("%s: group %s is %s", what, g.ID, g.Status)
			}
		}
		d.fold()
	}
	d.verified()
}

func (d desk) one(group string) delivery.Detail {
	d.t.Helper()
	return d.read(value[string](d, "SELECT min(id::text) FROM redrive.deliveries WHERE group_id = $1", group))
}

// The usual end, a time, is by the clock of the database; for good is for good.
func TestEndsByTheClock(t *testing.T) {
	d := open(t)
	d.SetReopening(2)
	d.SetIgnoreDays(10)
	d.manyDead("push", "usual", 5)
	d.manyDead("push", "good", 1)
	d.manyDead("push", "open", 1)
	d.ignore("usual", delivery.End{})
	d.ignore("good", delivery.End{ForGood: true})
	in := time.Until(*d.one("usual").Settlement.Until)
	if in < 10*24*time.Hour-time.Hour || in > 10*24*time.Hour || !d.one("good").Settlement.ForGood {
		t.Errorf("the usual end is in %s", in)
	}
	if n := d.due(); n != 0 {
		t.Errorf("%d reopened", n)
	}
	d.jump(9 * 24 * time.Hour)
	if n := d.due(); n != 0 {
		t.Errorf("%d reopened after nine days", n)
	}
	d.jump(2 * 24 * time.Hour)
	if n := d.due(); n != 5 {
		t.Errorf("%d reopened after eleven days", n)
	}
	for _, what := range []string{"before it is folded", "folded"} {
		g, err := d.Group(t.Context(), "usual")
		if d.must(err); g.Status != delivery.GroupRegressed {
			t.Errorf("%s: the group is %s", what, g.Status)
		}
		d.fold()
	}
	d.jump(-30 * 24 * time.Hour)
	d.jump(40 * 24 * time.Hour)
	if n := d.due(); n != 0 {
		t.Errorf("%d reopened twice", n)
	}
	after := d.one("usual")
	if english(after.ReopenedBecause) != "the time it was ignored for is over" || d.one("good").State != delivery.StateIgnored {
		t.Errorf("%+v", after.Delivery)
	}
	d.fold()
	if g := d.onlyGroup(delivery.StateIgnored); g.ID != "good" {
		t.Errorf("ignored is %+v", g)
	}
	if n := value[int](d, "SELECT count(*) FROM redrive.audit WHERE action = 'delivery.reopen'"); n != 5 {
		t.Errorf("%d entries", n)
	}
}

// jump moves the clock of the database as far as ends know of it: what was to come then comes that much sooner.
func (d desk) jump(by time.Duration) {
	d.t.Helper()
	for _, table := range []string{"failure_details", "ignore_rules"} {
		d.must(d.sql("UPDATE redrive."+table+" SET until = until - $1::bigint * interval '1 millisecond' WHERE until IS NOT NULL", by.Milliseconds()))
	}
}

// What is killed amid reopening is done again by whoever comes next: nothing is reopened twice, and no audit entry is without its change.
func TestReopeningSurvivesItsProcess(t *testing.T) {
	d := open(t)
	d.SetReopening(4)
	d.manyDead("push", "g", 20)
	d.ignore("g", delivery.End{Count: 1})
	d.manyDead("push", "g", 1)
	d.fold()
	victim := d.again()
	victim.SetReopening(4)
	killed := errors.New("killed")
	for round := range 3 {
		if _, err := victim.ReopenDue(t.Context()); err != nil {
			t.Fatal(round, err)
		}
		err := victim.Transact(t.Context(), func(tx *gorm.DB) error { // it dies before it commits
			if err := tx.Exec("UPDATE redrive.ignore_ends SET done_at = statement_timestamp() WHERE ended_at IS NOT NULL").Error; err != nil {
				return err
			}
			return killed
		})
		if !errors.Is(err, killed) {
			t.Fatal(err)
		}
	}
	victim.Close()
	type answer struct {
		n   int
		err error
	}
	answers := make(chan answer, 2)
	for range cap(answers) {
		go func(s desk) {
			all := 0
			for {
				n, err := s.ReopenDue(context.WithoutCancel(t.Context()))
				if all += n; err != nil || n == 0 {
					answers <- answer{all, err}
					return
				}
			}
		}(d)
	}
	sum := 12
	for range cap(answers) {
		a := <-answers
		d.must(a.err)
		sum += a.n
	}
	sum += d.due()
	entries := value[int](d, "SELECT count(DISTINCT subject) FROM redrive.audit WHERE action = 'delivery.reopen'")
	if dead, ignored := d.states("g"); dead != 21 || ignored != 0 || sum != 20 || entries != 20 ||
		value[int](d, "SELECT count(*) FROM redrive.audit WHERE action = 'delivery.reopen'") != 20 {
		t.Errorf("%d dead, %d ignored, %d reopened, %d in the audit", dead, ignored, sum, entries)
	}
	d.verified()
}

// What an operation still ignores after its end has come is reopened as well.
func TestAnEndThatComesWhileTheOperationIsUnderWay(t *testing.T) {
	d := open(t)
	d.manyDead("push", "g", 4)
	o := d.start(delivery.OperationRequest{Action: delivery.ActionIgnore, Reason: "r", Category: "other", End: delivery.End{Count: 1}})
	d.actAll(o.ID)
	d.manyDead("push", "g", 2)
	d.fold()
	if n := d.due(); n != 4 {
		t.Fatal(n)
	}
	// a step that was waiting
	id := value[string](d, "SELECT min(id::text) FROM redrive.deliveries")
	d.must(d.Transact(t.Context(), func(tx *gorm.DB) error { return ignore.Watch(tx, o.ID, []string{id}, delivery.End{Count: 1}) }))
	d.must(d.sql(`WITH e AS (SELECT id FROM redrive.ignore_ends), r AS (
			UPDATE redrive.deliveries SET state = 'ignored', settled_at = clock_timestamp(), dead_at = NULL WHERE id = $1 RETURNING id)
		UPDATE redrive.failure_details f SET end_id = e.id FROM e, r WHERE f.delivery_id = r.id`, id))
	if n := d.due(); n != 1 || d.read(id).State != delivery.StateDead {
		t.Errorf("%d reopened, it is %s", n, d.read(id).State)
	}
}

// Two ends, numbers that are none, and ends of what has none are refused.
func TestEndsThatAreNone(t *testing.T) {
	d := open(t)
	dead, soon := d.dead(numbered(1)), time.Now().Add(time.Hour)
	for n, a := range []delivery.ActionRequest{
		{End: delivery.End{Count: 1, Grows: 2}}, {End: delivery.End{Until: &soon, ForGood: true}}, {End: delivery.End{Count: -1}},
		{End: delivery.End{Grows: 1}}, {End: delivery.End{Grows: delivery.MaxEndGrows + 1}}, {Action: delivery.ActionResolve, End: delivery.End{Count: 2}},
	} {
		if a.ID, a.Reason, a.Category = dead.ID, "r", "other"; a.Action == "" {
			a.Action = delivery.ActionIgnore
		}
		_, err := d.Act(t.Context(), a)
		var mistake *delivery.InputError
		if !errors.As(err, &mistake) || mistake.Code != "invalid_end" {
			t.Error(strconv.Itoa(n), err)
		}
	}
}

// again is another process on the same database.
func (d desk) again() desk {
	d.t.Helper()
	s, err := store.Open(d.t.Context(), d.dsn, slog.New(slog.DiscardHandler))
	d.must(err)
	d.t.Cleanup(s.Close)
	return desk{Store: s, t: d.t, dsn: d.dsn}
}
