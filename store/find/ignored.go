package find

import (
	"context"
	"fmt"
	"time"

	"gorm.io/gorm"

	"redrive/delivery"
	"redrive/store/pg"
)

// ignoredEndSQL is when an ignored failure k comes back; it takes until when that is soon.
const (
	ignoredEndSQL = "CASE WHEN k.until < ? THEN 'soon' WHEN k.until IS NOT NULL THEN 'later' WHEN " + countedSQL + " THEN 'counted' ELSE 'never' END"
	countedSQL    = "(k.end_id IS NOT NULL OR coalesce((SELECT NOT i.for_good FROM redrive.ignore_rules i WHERE i.id = k.rule_id), false))"
)

const ignoredSQL = " FROM redrive.deliveries r JOIN redrive.failure_details k ON k.delivery_id = r.id"

// mostCounted is up to how many ignored failures are counted by what they have in common.
const mostCounted = 5000

// Ignored returns what was hidden, the last first.
func (s *Lists) Ignored(ctx context.Context, f delivery.IgnoredFilter) (page delivery.Page[delivery.Delivery], err error) {
	limit, err := delivery.PageSize(f.Limit)
	if err != nil {
		return page, err
	}
	err = s.Snapshot(ctx, func(tx *gorm.DB) error {
		w, err := ignoredIn(tx, f)
		if err != nil {
			return err
		}
		w.Equal("k.category", f.Category)
		w.Equal("r.actor", f.Actor)
		if f.Rule != "" {
			w.Add("k.rule_id = ?", f.Rule)
		}
		ignoredUntil(w, f.End)
		at, order := "r.changed_at", "r.changed_at DESC, r.id DESC"
		if f.ByEnd() {
			at, order = "k.until", "k.until, r.id"
		}
		places, err := pg.Scan[struct {
			ID        string
			ChangedAt time.Time
		}](tx, "SELECT r.id::text, "+at+" AS changed_at"+ignoredSQL+w.Sql()+" ORDER BY "+order+" LIMIT ?", append(w.Args, limit+1)...)
		if err != nil {
			return err
		}
		found := make([]listPosition, len(places))
		for i, p := range places {
			found[i].Cursor = pg.Cursor{At: p.ChangedAt, Id: p.ID}
		}
		if len(found) > limit {
			found = found[:limit]
			page.Next = found[limit-1].String()
		}
		page.Items, err = deliveriesAt(tx, found)
		return err
	})
	return page, err
}

// ignoredIn are the conditions of integrations, times and place.
func ignoredIn(tx *gorm.DB, f delivery.IgnoredFilter) (*pg.Where, error) {
	w := pg.NewWhere()
	w.Add("r.state = 'ignored'")
	if seen := within(tx, delivery.Filter{Integrations: f.Integrations}); len(seen.Integrations) > 0 {
		w.Add("r.integration = ANY(?)", &seen.Integrations)
	}
	if f.After != "" && f.ByEnd() {
		after, err := pg.ParseCursor(f.After)
		if err != nil {
			return nil, err
		}
		w.Add("(k.until, r.id) > (?, ?::uuid)", after.At, after.Id)
		f.After = ""
	}
	return w, timeConditions(w, delivery.Filter{From: f.From, To: f.To, After: f.After})
}

func ignoredUntil(w *pg.Where, end delivery.IgnoreEnd) {
	soon := time.Now().Add(delivery.SoonEnds)
	switch end {
	case delivery.EndsSoon:
		w.Add("k.until < ?", soon)
	case delivery.EndsLater:
		w.Add("k.until >= ?", soon)
	case delivery.EndsCount:
		w.Add("k.until IS NULL AND " + countedSQL)
	case delivery.EndsNever:
		w.Add("k.until IS NULL AND NOT " + countedSQL)
	}
}

// IgnoredCounts says how what is ignored divides by category, person and end, whatever of these the filter names. Of more than a few
// thousand it is a part, and whole is false.
func (s *Lists) IgnoredCounts(ctx context.Context, f delivery.IgnoredFilter) (counts []delivery.IgnoredCount, whole bool, err error) {
	f.After = ""
	err = s.Snapshot(ctx, func(tx *gorm.DB) error {
		w, err := ignoredIn(tx, f)
		if err != nil {
			return err
		}
		args := append([]any{time.Now().Add(delivery.SoonEnds)}, w.Args...)
		counts, err = pg.Scan[delivery.IgnoredCount](tx, "SELECT category, actor, "+pg.Called("c.actor")+` AS name, "end", count(*) AS n FROM (
			SELECT coalesce(k.category, '') AS category, coalesce(r.actor, '') AS actor, `+ignoredEndSQL+` AS "end"`+ignoredSQL+w.Sql()+
			" LIMIT ?) c GROUP BY 1, 2, 3, 4 ORDER BY 3, 1, 4", append(args, mostCounted+1)...)
		return err
	})
	if err != nil {
		return nil, false, pg.DomainError(fmt.Errorf("counting what is ignored: %w", err))
	}
	n := 0
	for _, c := range counts {
		n += c.N
	}
	return counts, n <= mostCounted, nil
}
