// Package ignore is when what is ignored comes back: ends that hang on counters, and the rules by which new dead letters are ignored as
// they come. Reopening is the desk's.
package ignore

import (
	"fmt"

	"gorm.io/gorm"

	"redrive/delivery"
	"redrive/store/pg"
)

// watchSQL notes for each group of some deliveries, which are locked, when the end comes. The numbers of now are read in one snapshot. The decision
// changes the group's counters itself, so that whoever adds that up looks at the end after it was made: see ReachedSQL.
const watchSQL = `
WITH ignored AS (
    SELECT DISTINCT group_id FROM redrive.deliveries WHERE id = ANY(CAST(@ids AS uuid[])) AND group_id IS NOT NULL
), coming AS (
    SELECT group_id, sum(came) AS came FROM redrive.group_deltas WHERE group_id IN (SELECT group_id FROM ignored) GROUP BY group_id
), counted AS (
    SELECT i.group_id, coalesce(c.came, 0) + coalesce(d.came, 0) AS came, coalesce(c.day, 0) + coalesce(d.came, 0) AS day
    FROM ignored i LEFT JOIN redrive.group_counts c ON c.group_id = i.group_id LEFT JOIN coming d ON d.group_id = i.group_id
)
INSERT INTO redrive.ignore_ends (decision, group_id, count, grows, day, reached_came, reached_day)
SELECT CAST(@decision AS uuid), group_id, nullif(CAST(@count AS int), 0), nullif(CAST(@grows AS float8), 0), day,
    came + nullif(CAST(@count AS int), 0), ` + reachedDaySQL + `
FROM counted ORDER BY group_id
ON CONFLICT (decision, group_id) DO UPDATE SET done_at = NULL WHERE ignore_ends.done_at IS NOT NULL`

// reachedDaySQL is how many within 24 hours are so many times a rate; one that is nothing counts as one.
const reachedDaySQL = `CAST(ceil(nullif(CAST(@grows AS float8), 0) * greatest(day, 1)) AS bigint)`

// Watch notes an end that hangs on counters for the groups of deliveries that a decision is about to ignore. What the same decision ignores
// of a group later shares its end.
func Watch(tx *gorm.DB, decision string, ids []string, end delivery.End) error {
	err := tx.Exec(watchSQL, map[string]any{"ids": &ids, "decision": decision, "count": end.Count, "grows": end.Grows}).Error
	if err != nil {
		return fmt.Errorf("noting when it comes back: %w", err)
	}
	return nil
}

// EndSQL is the id of the end that a decision has for the group of a row.
const EndSQL = "(SELECT e.id FROM redrive.ignore_ends e WHERE e.decision = CAST(@decision AS uuid) AND e.group_id = %s)"

// ReachedSQL ends what the counters of groups have reached. It is put behind sums, which are about to be added to redrive.group_counts.
const ReachedSQL = `ended AS (
    UPDATE redrive.ignore_ends e SET ended_at = statement_timestamp() FROM sums s LEFT JOIN redrive.group_counts c ON c.group_id = s.group_id
    WHERE e.group_id = s.group_id AND e.ended_at IS NULL
        AND (e.reached_came <= coalesce(c.came, 0) + s.came OR e.reached_day <= coalesce(c.day, 0) + s.day)
)`

// Over is an end or a rule that is over while something may still be ignored because of it.
type Over struct {
	Column string // of redrive.failure_details, that has ID
	ID     int64
	Why    delivery.Phrase
	table  string
}

// One returns an end or a rule that is over, and locks it; what somebody else is at is left to them. ok is false when there is none.
func One(tx *gorm.DB) (o Over, ok bool, err error) {
	ends, err := pg.Read(tx, func(e *endedRow) []any { return []any{&e.id, &e.Count, &e.Grows} }, `SELECT id, coalesce(count, 0), coalesce(grows, 0)
		FROM redrive.ignore_ends WHERE ended_at IS NOT NULL AND done_at IS NULL ORDER BY id LIMIT 1 FOR UPDATE SKIP LOCKED`)
	if err != nil || len(ends) > 0 {
		for _, e := range ends {
			o = Over{Column: "end_id", ID: e.id, Why: e.Over(), table: "ignore_ends"}
		}
		return o, len(ends) > 0, err
	}
	rules, err := pg.Read(tx, func(e *endedRow) []any { return []any{&e.id, &e.because} }, `SELECT id, ended_because
		FROM redrive.ignore_rules WHERE ended_at IS NOT NULL AND done_at IS NULL ORDER BY id LIMIT 1 FOR UPDATE SKIP LOCKED`)
	for _, e := range rules {
		o = Over{Column: "rule_id", ID: e.id, Why: delivery.Say("reopened.rule", "rule", e.id, "why", e.because), table: "ignore_rules"}
	}
	return o, len(rules) > 0, err
}

type endedRow struct {
	delivery.End
	id      int64
	because delivery.Phrase
}

// Done notes that nothing is ignored because of it any more, unless something is: then somebody is at that.
func (o Over) Done(tx *gorm.DB) error {
	left := "SELECT FROM redrive.failure_details WHERE " + o.Column + " = ?"
	set := "UPDATE redrive.ignore_ends SET done_at = statement_timestamp() WHERE id = ? AND NOT EXISTS (" + left + ")"
	if o.table == "ignore_rules" {
		set = "UPDATE redrive.ignore_rules SET done_at = statement_timestamp() WHERE id = ? AND NOT EXISTS (" + left + ")"
	}
	return tx.Exec(set, o.ID, o.ID).Error
}
