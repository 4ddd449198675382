package find

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"gorm.io/gorm"

	"redrive/delivery"
	"redrive/store/ignore"
	"redrive/store/pg"
	"redrive/store/record"
)

// withChanges begins a query that reads the counters: what is folded and what is not yet, in one statement, so that the sums are
// exact at every moment. countJoins joins both to a group g.
const (
	WithChanges = `WITH changes AS MATERIALIZED (
    SELECT group_id, sum(dead)::bigint AS dead, sum(acknowledged)::bigint AS acknowledged, sum(pending)::bigint AS pending,
        sum(ignored)::bigint AS ignored, sum(resolved)::bigint AS resolved, sum(delivered)::bigint AS delivered, sum(died)::bigint AS died,
        sum(came)::bigint AS came, sum(reopened)::bigint AS reopened
    FROM redrive.group_deltas GROUP BY group_id
) `
	CountJoins = "LEFT JOIN redrive.group_counts c ON c.group_id = g.id LEFT JOIN changes d ON d.group_id = g.id"
)

// groupsByID joins few groups g and their counters c through their keys, whatever Postgres thinks of the numbers.
func groupsByID(id string) string {
	return `CROSS JOIN LATERAL (SELECT * FROM redrive.groups WHERE id = ` + id + ` OFFSET 0) g
    LEFT JOIN LATERAL (SELECT * FROM redrive.group_counts WHERE group_id = ` + id + ` OFFSET 0) c ON true`
}

// ChangedGroups are the groups of changes d, with their counters.
var ChangedGroups = "changes d " + groupsByID("d.group_id")

// WithCells begins a query that adds up groups of which it knows no more than integration and class: as WithChanges, and exact as well.
var WithCells = strings.TrimSpace(WithChanges) + `, cells AS (
    SELECT integration, error_class, pattern, groups, dead, acknowledged, pending, ignored, resolved, delivered, day, day_before, week, week_before,
        first_seen, last_seen FROM redrive.group_sums
    UNION ALL SELECT g.integration, g.error_class, c.pattern, -1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, g.first_seen, g.last_seen
    FROM ` + ChangedGroups + ` WHERE c.group_id IS NOT NULL
    UNION ALL SELECT g.integration, g.error_class, redrive.group_pattern(` + counter("dead") + ", " + counter("pending") + ", " + counter("ignored") + `,
        ` + counter("resolved") + ", " + counter("delivered") + `, ` + RegressedSQL + `), 1,
        d.dead, d.acknowledged, d.pending, d.ignored, d.resolved, d.delivered, d.came, 0, d.came, 0, g.first_seen, g.last_seen
    FROM ` + ChangedGroups + `
) `

// inCells reports whether a filter asks of groups nothing that cells do not tell.
func (f scoped) inCells() bool { return len(f.Groups)+len(f.GroupMessages)+len(f.Types) == 0 }

// summed is where numbers of the groups that a filter selects are added up, and what a counter is called there.
func summed(f scoped) (with, from string, column func(string) string) {
	if f.inCells() {
		return WithCells, "cells g", func(name string) string { return "g." + name }
	}
	return WithChanges, "redrive.groups g " + CountJoins, counter
}

// RegressedSQL is whether a group joined by CountJoins had been settled before what is open came, or an end reopened something of it.
const RegressedSQL = `(c.settled_at IS NOT NULL AND (c.regressed_at IS NOT NULL OR coalesce(d.died, 0) > 0) OR coalesce(d.reopened, 0) > 0)`

// counter is one of the columns, of a group g joined by countJoins.
func counter(column string) string {
	return "coalesce(c." + column + ", 0) + coalesce(d." + column + ", 0)"
}

const (
	foldAtMost = 20_000
	countsLock = "redrive counts"
)

// foldSQL moves deltas into the counts. A group is settled when its last open failure is, after it had dead letters; the first
// dead letter after that makes it regressed, as does what an end reopens, be others open or not. All are found delta by delta, also when they
// happened within one fold.
var foldSQL = fmt.Sprintf(`
WITH taken AS (
    DELETE FROM redrive.group_deltas WHERE id IN (SELECT id FROM redrive.group_deltas ORDER BY id LIMIT ?) RETURNING *
), run AS (
    SELECT t.*, coalesce(g.integration, '') AS integration, coalesce(g.error_class, '') AS error_class, coalesce(g.first_seen, t.at) AS first_seen,
        coalesce(g.last_seen, t.at) AS last_seen, date_trunc('hour', t.at, 'UTC') AS hour, coalesce(c.dead + c.pending, 0) + sum(t.dead + t.pending) OVER w AS open, coalesce(c.died, 0) + sum(t.died) OVER w AS ever,
        c.settled_at, c.regressed_at
    FROM taken t LEFT JOIN redrive.groups g ON g.id = t.group_id LEFT JOIN redrive.group_counts c ON c.group_id = t.group_id
    WINDOW w AS (PARTITION BY t.group_id ORDER BY t.id)
), marked AS (
    SELECT *, max(id) FILTER (WHERE open = 0 AND ever > 0 AND (dead, pending) <> (0, 0)) OVER (PARTITION BY group_id) AS settled FROM run
), sums AS (
    SELECT group_id, min(integration) AS integration, min(error_class) AS error_class, min(first_seen) AS first_seen, max(last_seen) AS last_seen,
        sum(dead) AS dead, sum(acknowledged) AS acknowledged, sum(pending) AS pending, sum(ignored) AS ignored, sum(resolved) AS resolved, sum(delivered) AS delivered, sum(died) AS died,
        sum(came) AS came, %s, coalesce(max(at) FILTER (WHERE id = settled), min(settled_at), min(at) FILTER (WHERE reopened > 0)) AS settled_at,
        CASE WHEN min(settled) IS NOT NULL OR min(settled_at) IS NOT NULL OR sum(reopened) > 0 THEN
            coalesce(min(regressed_at) FILTER (WHERE settled IS NULL), min(at) FILTER (WHERE (died > 0 OR reopened > 0) AND id > coalesce(settled, 0))) END AS regressed_at
    FROM marked CROSS JOIN redrive.counting GROUP BY group_id
), %s, counted AS (
    INSERT INTO redrive.group_counts AS c (group_id, integration, error_class, first_seen, last_seen, dead, acknowledged, pending, ignored, resolved,
        delivered, died, came, settled_at, regressed_at, day, day_before, week, week_before)
    SELECT group_id, integration, error_class, first_seen, last_seen, dead, acknowledged, pending, ignored, resolved, delivered, died, came, settled_at,
        regressed_at, day, day_before, week, week_before FROM sums
    ON CONFLICT (group_id) DO UPDATE SET first_seen = excluded.first_seen, last_seen = excluded.last_seen, dead = c.dead + excluded.dead, acknowledged = c.acknowledged + excluded.acknowledged,
        pending = c.pending + excluded.pending, ignored = c.ignored + excluded.ignored, resolved = c.resolved + excluded.resolved,
        delivered = c.delivered + excluded.delivered, died = c.died + excluded.died, came = c.came + excluded.came, settled_at = excluded.settled_at,
        regressed_at = excluded.regressed_at, day = c.day + excluded.day, day_before = c.day_before + excluded.day_before,
        week = c.week + excluded.week, week_before = c.week_before + excluded.week_before
), hours AS (
    INSERT INTO redrive.group_hours AS h (group_id, hour, failed, came)
    SELECT group_id, hour, sum(failed), sum(came) FROM run WHERE failed > 0 OR came > 0 GROUP BY 1, 2
    ON CONFLICT (group_id, hour) DO UPDATE SET failed = h.failed + excluded.failed, came = h.came + excluded.came
), added AS (
    INSERT INTO redrive.group_sum_hours AS h (integration, error_class, hour, failed, came)
    SELECT integration, error_class, hour, sum(failed), sum(came) FROM run WHERE failed > 0 OR came > 0 GROUP BY 1, 2, 3
    ON CONFLICT (hour, integration, error_class) DO UPDATE SET failed = h.failed + excluded.failed, came = h.came + excluded.came
), generation AS (
    UPDATE redrive.counting SET dead_changes = dead_changes + n FROM (SELECT count(*) AS n FROM taken WHERE dead <> 0) moved WHERE n > 0
)
SELECT count(*) FROM taken`, trendSums, ignore.ReachedSQL)

// trendSums are the sums of the hours that a trend has, as of counting.trend_hour.
const trendSums = `coalesce(sum(came) FILTER (WHERE hour > trend_hour - interval '24 hours'), 0) AS day,
        coalesce(sum(came) FILTER (WHERE hour <= trend_hour - interval '24 hours' AND hour > trend_hour - interval '48 hours'), 0) AS day_before,
        coalesce(sum(came) FILTER (WHERE hour > trend_hour - interval '168 hours'), 0) AS week,
        coalesce(sum(came) FILTER (WHERE hour <= trend_hour - interval '168 hours' AND hour > trend_hour - interval '336 hours'), 0) AS week_before`

// moveTrendsSQL makes the sums anew when an hour has ended; the first ones where that is said.
const moveTrendsSQL = `
WITH due AS (
    UPDATE redrive.counting SET trend_hour = date_trunc('hour', statement_timestamp(), 'UTC')
    WHERE trend_hour < date_trunc('hour', statement_timestamp(), 'UTC') AND (trend_hour > '-infinity' OR ?) RETURNING trend_hour
), sums AS (
    SELECT group_id, ` + trendSums + `
    FROM due JOIN redrive.group_hours ON hour > trend_hour - interval '336 hours' GROUP BY group_id
), made AS (
    SELECT k.group_id, coalesce(s.day, 0) AS day, coalesce(s.day_before, 0) AS day_before, coalesce(s.week, 0) AS week, coalesce(s.week_before, 0) AS week_before
    FROM due CROSS JOIN redrive.group_counts k LEFT JOIN sums s ON s.group_id = k.group_id
)
UPDATE redrive.group_counts c SET (day, day_before, week, week_before) = (m.day, m.day_before, m.week, m.week_before)
FROM made m WHERE c.group_id = m.group_id AND (c.day, c.day_before, c.week, c.week_before) <> (m.day, m.day_before, m.week, m.week_before)`

const pruneHoursSQL = `
WITH due AS (
    UPDATE redrive.counting SET pruned_at = statement_timestamp() WHERE pruned_at < statement_timestamp() - interval '1 hour' RETURNING 1
), added AS (
    DELETE FROM redrive.group_sum_hours WHERE EXISTS (SELECT FROM due) AND hour < statement_timestamp() - interval '2 days'
)
DELETE FROM redrive.group_hours WHERE EXISTS (SELECT FROM due) AND hour < statement_timestamp() - interval '15 days'`

// FoldCounts moves changes into the counters, one process at a time, and says whether there may be more. Nothing that reads the
// counters depends on when it runs, apart from the time it takes.
func (s *Lists) FoldCounts(ctx context.Context) (more bool, err error) {
	n := 0
	err = s.Transact(ctx, func(tx *gorm.DB) error {
		n = 0
		alone, err := pg.ReadOne(tx, pg.Single[bool], "SELECT pg_try_advisory_xact_lock(hashtextextended(?, 0))", countsLock)
		if err != nil || !alone {
			return err
		}
		if err := tx.Exec(moveTrendsSQL, false).Error; err != nil { // before: ends look at the rates of now
			return err
		}
		if n, err = pg.ReadOne(tx, pg.Single[int], foldSQL, foldAtMost); err != nil {
			return err
		}
		if err := tx.Exec(moveTrendsSQL, true).Error; err != nil { // after: the first sums are of groups that a fold has counted
			return err
		}
		return tx.Exec(pruneHoursSQL).Error
	})
	if err != nil {
		return false, fmt.Errorf("folding the counters: %w", err)
	}
	return n == foldAtMost, nil
}

// DeadGeneration returns a number that changes whenever a dead letter comes or goes.
func (s *Lists) DeadGeneration(ctx context.Context) (int64, error) {
	n, err := pg.ReadOne(s.Gorm.WithContext(ctx), pg.Single[int64],
		"SELECT dead_changes + (SELECT count(*) FROM redrive.group_deltas WHERE dead <> 0) FROM redrive.counting")
	if err != nil {
		return 0, fmt.Errorf("reading the dead letters' generation: %w", err)
	}
	return n, nil
}

// CountFailures returns how many failures a filter selects. States and facets are counted exactly, whatever the number; with
// other conditions more than atMost, or what cannot be counted quickly, are not counted, and capped says so.
func (s *Lists) CountFailures(ctx context.Context, f delivery.Filter, atMost int) (n int, capped bool, err error) {
	f.After = ""
	plain := f
	plain.Acknowledged = nil
	list, err := predicatesOf(plain)
	if err != nil {
		return 0, false, pg.DomainError(err)
	}
	var found result
	err = s.Snapshot(ctx, func(tx *gorm.DB) error {
		if len(list) == 0 && f.From == nil && f.To == nil {
			exact := false
			if n, exact, err = countByFacets(tx, within(tx, f)); err != nil || exact {
				return err
			}
		}
		search, err := s.newFinder(tx, f, atMost+1)
		if err != nil {
			return err
		}
		search.patience, search.counts = s.effort.counting, true
		found, err = search.find()
		n, capped = min(found.n, atMost), found.n > atMost
		return err
	})
	if errors.Is(tooBroad(err), errTooBroad) { // out of time, be it only as the transaction ends
		return min(found.n, atMost), true, nil
	}
	return n, capped, err
}

// countByFacets sums up the counters. They do not tell what is being sent from what waits: that is looked up. Nor do they tell types
// apart: where a group has others than the wanted ones, the answer is not exact.
func countByFacets(tx *gorm.DB, f scoped) (n int, exact bool, err error) {
	sum, sending := "0::bigint", 0
	_, _, counter := summed(f)
	for _, b := range branches(f.States) {
		switch {
		case f.Acknowledged != nil && b.counter != "dead":
		case f.Acknowledged != nil && *f.Acknowledged:
			sum += " + " + counter("acknowledged")
		case f.Acknowledged != nil:
			sum += " + " + counter("dead") + " - (" + counter("acknowledged") + ")"
		case len(b.wait) > 0:
			live, err := countSending(tx, f)
			if err != nil {
				return 0, false, err
			}
			if sending = live; b.wait[0].driver == "" { // those that wait
				sending, sum = -live, sum+" + "+counter("pending")
			}
		default:
			sum += " + " + counter(b.counter)
		}
	}
	type counted struct {
		N     int
		Exact bool
	}
	query, args := countQuery(f, sum)
	c, err := pg.ScanOne[counted](tx, query, args...)
	if err != nil {
		return 0, false, fmt.Errorf("counting failures: %w", err)
	}
	return c.N + sending, c.Exact, nil
}

// countQuery adds up an expression of counters, and says whether all failures of the groups have the types that are asked for.
func countQuery(f scoped, sum string) (query string, args []any) {
	with, from, _ := summed(f)
	w, exact := pg.NewWhere(), "true"
	facetConditions(w, f, "g.id")
	if len(f.Types) > 0 {
		exact, args = "coalesce(bool_and(g.types <@ ?::text[] AND NOT "+record.TypesFull+"), true)", []any{&f.Types}
	}
	return with + "SELECT coalesce(sum(" + sum + "), 0)::bigint AS n, " + exact + " AS exact FROM " + from + w.Sql(), append(args, w.Args...)
}

func countSending(tx *gorm.DB, f scoped) (int, error) {
	w := pg.NewWhere()
	w.Add("w.token IS NOT NULL AND r.state = 'pending'")
	facetConditions(w, f, "r.group_id")
	n, err := pg.ReadOne(tx, pg.Single[int],
		"SELECT count(*) FROM redrive.queue w JOIN redrive.deliveries r ON r.id = w.id"+w.Sql(), w.Args...)
	if err != nil {
		return 0, fmt.Errorf("counting what is being sent: %w", err)
	}
	return n, nil
}
