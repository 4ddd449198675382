package desk

import (
	"context"
	"fmt"
	"slices"
	"strconv"
	"time"

	"gorm.io/gorm"

	"redrive/delivery"
	"redrive/store/pg"
)

var termsColumns = `o.id::text, o.action, o.state, o.version, ` + pg.Called("o.actor") + ` AS actor, o.actor AS actor_id, o.reason, coalesce(o.category, '') AS category, o.until, coalesce(o.ends_count, 0) AS count, coalesce(o.ends_grows, 0) AS grows, o.for_good, coalesce(o.evidence, '') AS evidence`

const paceColumns = `coalesce(o.rate, 0) AS rate, coalesce(o.rate_end, 0) AS ramp_to, coalesce(o.ramp_ms, 0) * bigint '1000000' AS ramp_over,
    coalesce(o.canary, 0) AS canary, coalesce(o.stop_above, 0) AS stop_above`

// Totals are read in one statement, so that they add up in every snapshot: what the parts have counted, and the outcomes that
// they have not counted yet.
// The %s take the scope of whoever does not see all integrations: then the numbers are those of the parts that are shown.
var operationSQL = `
SELECT ` + termsColumns + `, ` + paceColumns + `, %[2]s, p.succeeded + d.succeeded AS succeeded, p.failed + d.failed AS failed,
    p.skipped, CASE WHEN o.state = 'cancelled' THEN p.waiting ELSE 0 END AS cancelled,
    p.acted - p.succeeded - p.failed - p.skipped - d.succeeded - d.failed AS released, p.failing + d.failing AS failing, o.note,
    o.created_at, o.changed_at, o.finished_at, w.number, w.size, w.good, w.bad
FROM redrive.operations o CROSS JOIN LATERAL (
    SELECT coalesce(sum(succeeded), 0) AS succeeded, coalesce(sum(failed), 0) AS failed, coalesce(sum(failing), 0) AS failing,
        coalesce(sum(skipped), 0) AS skipped, coalesce(sum(last - cursor), 0) AS waiting, coalesce(sum(cursor - first + 1), 0) AS acted,
        coalesce(sum(last - first + 1), 0) AS selected
    FROM redrive.operation_parts WHERE operation_id = o.id%[1]s
) p CROSS JOIN LATERAL (
    SELECT coalesce(sum(succeeded), 0) AS succeeded, coalesce(sum(failed), 0) AS failed, coalesce(sum(failing), 0) AS failing
    FROM redrive.operation_deltas WHERE operation_id = o.id%[1]s
) d CROSS JOIN LATERAL (
    SELECT max(number) AS number, sum(size) AS size, sum(good) AS good, sum(bad) AS bad FROM (` + waveSQL + ` WHERE operation_id = o.id%[1]s) w
) w%[3]s`

// waveSQL are the waves of parts, with the outcomes that they have not counted yet.
const waveSQL = `SELECT q.wave AS number, greatest(q.wave_sent, least(q.wave_size, q.wave_sent + q.last - q.cursor + q.again)) AS size,
        q.wave_good + e.good AS good, q.wave_bad + e.bad AS bad
    FROM redrive.operation_parts q CROSS JOIN LATERAL (SELECT coalesce(sum(d.succeeded), 0) AS good, coalesce(sum(d.failed + d.failing - d.withdrawn), 0) AS bad
        FROM redrive.operation_deltas d WHERE d.operation_id = q.operation_id AND d.integration = q.integration AND d.wave = q.wave) e`

// operationQuery is operationSQL as far as the scope goes. What an operation with other parts was asked for and left out is not shown.
func operationQuery(tx *gorm.DB) (query string, args []any) {
	seen := pg.Seen(tx)
	if seen.All {
		return fmt.Sprintf(operationSQL, "", "o.filter, o.excluded, o.selected", ""), nil
	}
	names := pg.Names(seen)
	const of = " AND integration = ANY(?)"
	query = fmt.Sprintf(operationSQL, of, `CASE WHEN p.selected = o.selected THEN o.filter END AS filter,
		CASE WHEN p.selected = o.selected THEN o.excluded ELSE '{}' END AS excluded, p.selected AS selected`,
		" JOIN (SELECT 1) shown ON p.selected > 0")
	return query, []any{names, names, names}
}

type operationRow struct {
	delivery.Wave
	delivery.OperationTerms
	delivery.OperationProgress
	Pace     delivery.Pace    `gorm:"embedded"`
	Filter   *delivery.Filter `gorm:"serializer:json"`
	Excluded map[string]int   `gorm:"serializer:json"`
}

// operation is the row as far as its reader sees: what stopped it somewhere else is not told.
func (r operationRow) operation(seen delivery.Scope) delivery.Operation {
	if name := r.Note.About(); name != "" && !seen.Has(name) {
		r.Note = delivery.Phrase{}
	}
	if !r.Action.Row().Queues {
		r.Wave = delivery.Wave{}
	}
	return delivery.Operation{
		OperationTerms:    r.OperationTerms,
		OperationProgress: r.OperationProgress,
		Pace:              r.Pace,
		Filter:            r.Filter,
		Excluded:          r.Excluded,
		Wave:              r.Wave,
		Remaining:         r.Selected - r.Succeeded - r.Failed - r.Skipped - r.Cancelled,
	}
}

// Operation returns one operation with its parts, in one snapshot.
func (s *Desk) Operation(ctx context.Context, id string) (o delivery.Operation, err error) {
	if !delivery.IsUUID(id) {
		return o, delivery.ErrNotFound
	}
	err = s.Snapshot(ctx, func(tx *gorm.DB) error {
		o, err = operation(tx, id)
		return err
	})
	return o, err
}

func operation(tx *gorm.DB, id string) (o delivery.Operation, err error) {
	query, args := operationQuery(tx)
	row, err := pg.ScanOne[operationRow](tx, query+" WHERE o.id = ?", append(args, id)...)
	if err != nil {
		return o, err
	}
	seen := pg.Seen(tx)
	o = row.operation(seen)
	parts, err := pg.Scan[partRow](tx, partSQL, id)
	if err != nil {
		return o, fmt.Errorf("reading the parts: %w", err)
	}
	for _, p := range parts {
		if !seen.Has(p.Integration) {
			continue
		}
		if p.Ramping != nil && p.Waiting > 0 && p.Phase == delivery.PhaseRamp {
			p.Rate = o.Pace.At(time.Duration(*p.Ramping * float64(time.Second)))
		}
		if !o.Action.Row().Queues {
			p.Wave = delivery.Wave{}
		}
		o.Parts = append(o.Parts, p.OperationPart)
	}
	if len(o.Parts) == len(parts) { // else they name what is not shown
		o.Steps, err = history(tx, id)
	}
	return o, err
}

const partSQL = `
SELECT p.integration, p.phase, p.last - p.first + 1 AS selected, p.last - p.cursor AS waiting,
    p.cursor - p.first + 1 - p.succeeded - p.failed - p.skipped - d.succeeded - d.failed AS released, p.failing + d.failing AS failing,
    p.succeeded + d.succeeded AS succeeded, p.failed + d.failed AS failed, p.skipped, 0 AS rate, p.held,
    CAST(extract(epoch FROM coalesce(p.tick_at, p.ramp_at) - p.ramp_at) AS float8) AS ramping,
    w.number, w.size, w.good, w.bad
FROM redrive.operation_parts p CROSS JOIN LATERAL (
    SELECT coalesce(sum(succeeded), 0) AS succeeded, coalesce(sum(failed), 0) AS failed, coalesce(sum(failing), 0) AS failing
    FROM redrive.operation_deltas WHERE operation_id = p.operation_id AND integration = p.integration
) d CROSS JOIN LATERAL (` + waveSQL + ` WHERE operation_id = p.operation_id AND integration = p.integration) w
WHERE p.operation_id = ? ORDER BY p.integration`

type partRow struct {
	delivery.OperationPart
	Ramping *float64 // seconds
}

// Operations returns operations without their parts, newest first.
func (s *Desk) Operations(ctx context.Context, f delivery.OperationFilter) (page delivery.Page[delivery.Operation], err error) {
	limit, err := delivery.PageSize(f.Limit)
	if err != nil {
		return page, err
	}
	w := pg.NewWhere()
	if f.Actor != "" {
		w.Add("o.actor = ANY(ARRAY(SELECT a.id FROM redrive.actors a WHERE a.name = ?) || ?::text)", f.Actor, f.Actor)
	}
	if len(f.States) > 0 {
		states := make([]string, len(f.States))
		for i, state := range f.States {
			states[i] = string(state)
		}
		w.Add("o.state = ANY(?)", &states)
	}
	if f.After != "" {
		c, err := pg.ParseCursor(f.After)
		if err != nil {
			return page, err
		}
		w.Add("(o.created_at, o.id) < (?::timestamptz, ?::uuid)", c.At, c.Id)
	}
	db := s.Gorm.WithContext(ctx)
	query, args := operationQuery(db)
	rows, err := pg.Scan[operationRow](db,
		query+w.Sql()+" ORDER BY o.created_at DESC, o.id DESC LIMIT ?", slices.Concat(args, w.Args, []any{limit + 1})...)
	if err != nil {
		return page, pg.DomainError(fmt.Errorf("reading operations: %w", err))
	}
	if len(rows) > limit {
		rows = rows[:limit]
		page.Next = pg.Cursor{At: rows[limit-1].CreatedAt, Id: rows[limit-1].ID}.String()
	}
	for _, r := range rows {
		page.Items = append(page.Items, r.operation(pg.Seen(db)))
	}
	return page, nil
}

// awaited are the actions whose outcomes come later, from the engine.
var awaited = literals(delivery.Decisions.Where(func(t delivery.Transition) bool { return t.Queues }).Actions())

// itemOutcomes say which items have which outcome, and how it is found.
var itemOutcomes = map[string]string{
	"":          "true",
	"waiting":   "i.n > p.cursor AND o.state <> 'cancelled'",
	"cancelled": "i.n > p.cursor AND o.state = 'cancelled'",
	"released":  "i.n <= p.cursor AND i.outcome IS NULL AND o.action IN (" + awaited + ")",
	"succeeded": "(i.outcome = 'succeeded' OR i.n <= p.cursor AND i.outcome IS NULL AND o.action NOT IN (" + awaited + "))",
	"failed":    "i.outcome = 'failed'",
	"skipped":   "i.outcome = 'skipped'",
}

var itemsSQL = `
SELECT i.n, i.delivery_id::text, coalesce((SELECT r.key FROM redrive.deliveries r WHERE r.id = i.delivery_id), '') AS key, p.integration, i.version, coalesce(i.reason, '') AS reason, i.who, coalesce(i.outcome, 
    CASE WHEN i.n > p.cursor THEN CASE o.state WHEN 'cancelled' THEN 'cancelled' ELSE 'waiting' END WHEN o.action IN (` + awaited + `) THEN 'released' ELSE 'succeeded' END) AS outcome
FROM redrive.operations o JOIN redrive.operation_items i ON i.operation_id = o.id
JOIN redrive.operation_parts p ON p.operation_id = o.id AND i.n BETWEEN p.first AND p.last
WHERE o.id = @id AND i.n > @from AND %s ORDER BY i.n LIMIT @limit`

// ofPartSQL are bounds that the items' index can use: the items of a part stand together.
const ofPartSQL = ` AND i.n BETWEEN (SELECT first FROM redrive.operation_parts WHERE operation_id = @id AND integration = @integration)
    AND (SELECT last FROM redrive.operation_parts WHERE operation_id = @id AND integration = @integration)`

// OperationItems returns the items of an operation in their order.
func (s *Desk) OperationItems(
	ctx context.Context,
	id string,
	f delivery.ItemFilter,
) (page delivery.Page[delivery.OperationItem], err error) {
	limit, err := delivery.PageSize(f.Limit)
	if err != nil {
		return page, err
	}
	condition, known := itemOutcomes[f.Outcome]
	if !known {
		return page, delivery.Mistake("bad_outcome", "outcome")
	}
	from, err := itemCursor(f.After)
	if err != nil {
		return page, err
	}
	if !delivery.IsUUID(id) {
		return page, delivery.ErrNotFound
	}
	if f.Integration != "" {
		condition += ofPartSQL
	}
	db := s.Gorm.WithContext(ctx)
	seen := pg.Seen(db)
	if !seen.All {
		condition += " AND p.integration = ANY(CAST(@seen AS text[]))"
	}
	page.Items, err = pg.Scan[delivery.OperationItem](db, fmt.Sprintf(itemsSQL, condition),
		map[string]any{"id": id, "from": from, "integration": f.Integration, "limit": limit + 1, "seen": pg.Names(seen)})
	if err != nil {
		return page, pg.DomainError(fmt.Errorf("reading the items: %w", err))
	}
	if len(page.Items) > limit {
		page.Items = page.Items[:limit]
		page.Next = strconv.Itoa(page.Items[limit-1].N)
	}
	return page, nil
}

// itemCursor is the number of the last item of the page before, 0 for the first page.
func itemCursor(after string) (int, error) {
	if after == "" {
		return 0, nil
	}
	n, err := strconv.Atoi(after)
	if err != nil || n < 1 || n > 1<<31-1 {
		return 0, pg.BadCursor()
	}
	return n, nil
}
