package find

import (
	"context"

	"gorm.io/gorm"

	"redrive/delivery"
	"redrive/store/pg"
	"redrive/store/record"
)

// Failures returns one page of deliveries that failed at least once.
func (s *Lists) Failures(ctx context.Context, f delivery.Filter) (page delivery.Page[delivery.Delivery], err error) {
	limit, err := delivery.PageSize(f.Limit)
	if err != nil {
		return page, err
	}
	err = s.Snapshot(ctx, func(tx *gorm.DB) error {
		search, err := s.newFinder(tx, f, limit+1)
		if err != nil {
			return err
		}
		finds, err := search.find()
		if err != nil {
			return err
		}
		found := finds.places
		if len(found) > limit {
			found = found[:limit]
			page.Next = found[limit-1].String()
		}
		page.Items, err = deliveriesAt(tx, found)
		return err
	})
	return page, err
}

// deliveriesAt reads what stands at places of a list.
func deliveriesAt(tx *gorm.DB, places []listPosition) ([]delivery.Delivery, error) {
	if len(places) == 0 {
		return nil, nil
	}
	ids := make([]string, len(places))
	for i, p := range places {
		ids[i] = p.Id
	}
	return record.ListAt(tx, ids)
}

// FailureConditions are conditions on a record r that select what a filter does, states apart: for whoever takes them all.
func FailureConditions(db *gorm.DB, f delivery.Filter) (*pg.Where, error) {
	f, err := knownPeople(db, f)
	if err != nil {
		return nil, err
	}
	w := pg.NewWhere()
	w.Add("true")
	facetConditions(w, within(db, f), "r.group_id")
	list, err := predicatesOf(f)
	if err != nil {
		return nil, err
	}
	for _, n := range list {
		w.Add("("+n.walk+")", n.walkArgs...)
		if n.open && n.driver != "" && onlyOpen(f.States) { // all that fit: Postgres may begin there
			w.Add("r.id IN ("+n.driver+")", n.driverArgs...)
		}
	}
	return w, timeConditions(w, f)
}

func timeConditions(w *pg.Where, f delivery.Filter) error {
	if f.From != nil {
		w.Add("r.changed_at >= ?", *f.From)
	}
	if f.To != nil {
		w.Add("r.changed_at < ?", *f.To)
	}
	if f.Sort != "" && f.Sort != delivery.SortNewest && f.Sort != delivery.SortOldest {
		return delivery.Mistake("bad_sort.failures", "sort")
	}
	if f.After == "" {
		return nil
	}
	c, err := pg.ParseCursor(f.After)
	if err != nil {
		return err
	}
	compare := "<"
	if f.Sort == delivery.SortOldest {
		compare = ">"
	}
	w.Add("(r.changed_at, r.id) "+compare+" (?::timestamptz, ?::uuid)", c.At, c.Id)
	return nil
}
