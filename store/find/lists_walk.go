package find

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"redrive/store/pg"
)

// byCost tells conditions on the record from those that look elsewhere.
func byCost(list []predicate) (record, rest *pg.Where) {
	record, rest = pg.NewWhere(), pg.NewWhere()
	record.Add("true")
	rest.Add("true")
	for _, n := range list {
		looked := record
		if n.cost > 0 {
			looked = rest
		}
		looked.Add("("+n.walk+")", n.walkArgs...)
	}
	return record, rest
}

// branch walks through one state's part of the list until it has what is needed.
func (f *finder) branch(b branch, after *pg.Where) (found result, err error) {
	start, drove := after, false
	p, err := partsOf(f.tx, f.filter, b, f.effort.few)
	if err != nil || len(p.keys) == 0 {
		return found, err
	}
	narrowed := slices.Concat(f.narrowed(p.by), b.wait, p.extra)
	size, cost := f.need, 1
	for _, n := range narrowed {
		cost += n.cost
	}
	switch {
	case f.counts:
		size = countStep
	case len(narrowed) > len(b.wait):
		size = max(firstStep, f.need)
	case len(b.wait) > 0:
		size += sendingAtOnce
	}
	for walked := 0; ; size = f.nextStep(size, walked, found.n) {
		rows, err := f.step(b, p, narrowed, after, size)
		if err != nil || len(rows) == 0 {
			return found, err
		}
		found.add(f.fitting(rows))
		last := rows[len(rows)-1]
		if walked += last.n; last.done || found.n >= f.need {
			return f.first(found), nil
		}
		if seen := (walk{walked: walked, found: found.n, cost: cost, total: p.total}); !drove && f.isLong(seen) {
			drove = true
			drivers, err := f.driversOf(narrowed, b, seen)
			if err != nil {
				return found, err
			}
			if len(drivers) > 0 {
				return f.driven(drivers, []branch{b}, start)
			}
		}
		if time.Since(f.begun) > f.patience {
			return found, errTooBroad
		}
		after = f.after(after, last.Cursor)
	}
}

func (f *finder) fitting(rows []listPosition) (found result) {
	for _, r := range rows {
		switch {
		case f.counts:
			found.n += r.fit
		case r.fits:
			found.places = append(found.places, r)
		}
	}
	found.n += len(found.places)
	return found
}

// nextStep is what is missing by the share that fitted so far, and a little more; at most so many times the step before.
func (f *finder) nextStep(size, walked, found int) int {
	if f.counts {
		return min(2*size, largestStep)
	}
	wanted := size * stepGrowth
	if found > 0 {
		wanted = min(wanted, (f.need-found)*walked*5/(found*4)+firstStep/4)
	}
	return min(wanted, largestStep)
}

// stepSQL reads the next rows of all parts, which is exact up to the place where the first part may have more, and looks at them:
// what stands in the record while it is read, the rest afterwards.
const stepSQL = `
WITH rows AS MATERIALIZED (
    SELECT r.id, r.changed_at, r.fits, r.n FROM unnest(?::text[]) part(key) CROSS JOIN LATERAL (
        SELECT r.*, row_number() OVER () AS n FROM (SELECT r.id, r.changed_at, %[6]s AS fits FROM redrive.deliveries r
            WHERE %[1]s ORDER BY r.changed_at %[2]s, r.id %[2]s LIMIT %[3]d) r) r
), mark AS MATERIALIZED (
    SELECT changed_at, id FROM rows WHERE n = %[3]d ORDER BY changed_at %[2]s, id %[2]s LIMIT 1
), step AS MATERIALIZED (
    SELECT id, changed_at, fits, row_number() OVER (ORDER BY changed_at %[2]s, id %[2]s) AS n FROM rows
    WHERE NOT EXISTS (SELECT FROM mark) OR (changed_at, id) %[4]s (SELECT changed_at, id FROM mark)
    ORDER BY changed_at %[2]s, id %[2]s LIMIT %[5]d
), total AS MATERIALIZED (
    SELECT count(*) AS n, NOT EXISTS (SELECT FROM mark) AND count(*) = (SELECT count(*) FROM rows) AS done FROM step
), looked AS MATERIALIZED (
    SELECT r.id, r.changed_at, r.n, CASE WHEN r.fits THEN coalesce(%[7]s, false) ELSE false END AS fits FROM step r
)
SELECT s.id::text, s.changed_at, s.fits, t.done, t.n, %[8]s FROM total t CROSS JOIN looked s WHERE %[9]s s.n = t.n ORDER BY s.n`

func (f *finder) step(b branch, p parts, narrowed []predicate, after *pg.Where, size int) ([]listPosition, error) {
	order, _, upTo := f.direction()
	each := size
	if len(narrowed) > 0 && len(p.keys) > 1 {
		each = max(2*size/len(p.keys), f.need/2, 16)
	}
	w := pg.NewWhere()
	w.Add(b.state)
	switch p.by {
	case byEverything:
	case byAttempts:
		w.Add("r.attempts = part.key::int")
	case byTags:
		w.Add("r.tags IS NOT NULL")
	default:
		w.Add("r." + string(p.by) + " = part.key")
	}
	w.Add(strings.Join(after.Conditions, " AND "), after.Args...)
	record, rest := byCost(narrowed)
	fit, wanted := "0", "s.fits OR"
	if f.counts {
		fit, wanted = "(SELECT count(*) FROM looked WHERE fits)", ""
	}
	return pg.Read(f.tx, listPositionPointers, fmt.Sprintf(stepSQL, strings.Join(w.Conditions, " AND "), order, each, upTo,
		size, strings.Join(record.Conditions, " AND "), strings.Join(rest.Conditions, " AND "), fit,
		wanted), slices.Concat([]any{&p.keys}, record.Args, w.Args, rest.Args)...)
}
