package store_test

import (
	"errors"
	"testing"
	"time"

	"redrive/delivery"
)

// Whoever comes too late because somebody's retry has ended since is told of both: who asked, and what came of it. One alone or many.
func TestAConflictNamesWhoAskedForTheAttempt(t *testing.T) {
	d := open(t)
	for _, how := range []string{"alone", "many"} {
		for _, end := range []delivery.State{delivery.StateDead, delivery.StateDelivered} {
			dead := d.dead(numbered(1))
			if how == "alone" {
				_, err := d.Act(t.Context(), delivery.ActionRequest{Action: delivery.ActionRetry, ID: dead.ID, Actor: "ann"})
				d.must(err)
			} else {
				d.actAll(d.start(delivery.OperationRequest{Action: delivery.ActionRetry, Filter: &delivery.Filter{IDs: []string{dead.ID}}}).ID)
			}
			d.settle("push", func(delivery.Claimed) (delivery.Result, delivery.State) {
				if end == delivery.StateDead {
					return answered, end
				}
				return confirmed, end
			})
			_, err := d.Act(t.Context(), delivery.ActionRequest{Action: delivery.ActionIgnore, ID: dead.ID, Version: dead.Version, Actor: "bob", Reason: "r", Category: "other"})
			var late *delivery.ConflictError
			if !errors.As(err, &late) || late.Actor != delivery.ActorEngine || late.State != end || late.Asked == nil ||
				late.Asked.Actor != "ann" || late.Asked.Action != "retry" || late.Asked.At.After(late.At) {
				t.Errorf("%s, %s: %v %+v", how, end, err, late)
			}
		}
	}
}

// What is ignored is found by category, person, end and month; each count is of as many rows as it opens.
func TestIgnoredIsCountedAsItIsFound(t *testing.T) {
	d := open(t)
	d.operator("ann")
	ann := d.operatorID("ann")
	until := time.Date(2099, 1, 1, 0, 0, 0, 0, time.UTC)
	for n, r := range []delivery.ActionRequest{{Category: "other", End: delivery.End{ForGood: true}}, {Category: "duplicate", End: delivery.End{Until: &until}}, {Category: "duplicate", Actor: ann, End: delivery.End{ForGood: true}}} {
		r.Action, r.ID, r.Reason = delivery.ActionIgnore, d.dead(numbered(n+1)).ID, "r"
		if r.Actor == "" {
			r.Actor = "policy"
		}
		_, err := d.Act(t.Context(), r)
		d.must(err)
	}
	later := until.AddDate(1, 0, 0)
	for name, c := range map[string]struct {
		f    delivery.IgnoredFilter
		want int
	}{
		"all": {delivery.IgnoredFilter{}, 3}, "category": {delivery.IgnoredFilter{Category: "duplicate"}, 2}, "person": {delivery.IgnoredFilter{Actor: ann}, 1},
		"soon": {delivery.IgnoredFilter{End: delivery.EndsSoon}, 0}, "later": {delivery.IgnoredFilter{End: delivery.EndsLater}, 1},
		"never": {delivery.IgnoredFilter{End: delivery.EndsNever, Category: "duplicate"}, 1}, "in time": {delivery.IgnoredFilter{From: &later}, 0},
		"integration": {delivery.IgnoredFilter{Integrations: []string{"push"}}, 3}, "another": {delivery.IgnoredFilter{Integrations: []string{"none"}}, 0},
	} {
		found := 0
		for c.f.Limit = 1; ; {
			page, err := d.Ignored(t.Context(), c.f)
			d.must(err)
			found += len(page.Items)
			if c.f.After = page.Next; page.Next == "" {
				break
			}
		}
		counts, whole, err := d.IgnoredCounts(t.Context(), c.f)
		d.must(err)
		n := 0
		for _, part := range counts {
			if (c.f.Category == "" || part.Category == c.f.Category) && (c.f.Actor == "" || part.Actor == c.f.Actor) && (c.f.End == "" || part.End == c.f.End) {
				n += part.N
			}
		}
		if found != c.want || n != c.want || !whole {
			t.Errorf("%s: %d found, %d counted, want %d", name, found, n, c.want)
		}
	}
}
