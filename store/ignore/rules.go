package ignore

import (
	"fmt"
	"strconv"

	"gorm.io/gorm"

	"redrive/delivery"
	"redrive/store/audit"
	"redrive/store/pg"
)

const (
	// swallowedSQL is how many a rule r has swallowed, lastDaySQL how many of these in this hour and the 23 before.
	swallowedSQL = "(SELECT coalesce(sum(h.swallowed), 0) FROM redrive.ignore_rule_hours h WHERE h.rule_id = r.id)"
	lastDaySQL   = "(SELECT coalesce(sum(h.swallowed), 0) FROM redrive.ignore_rule_hours h WHERE h.rule_id = r.id AND h.hour > " + dayBeginSQL + ")"
	dayBeginSQL  = "date_trunc('hour', clock_timestamp(), 'UTC') - interval '24 hours'"

	// reachedSQL is whether the end of a rule r has come.
	reachedSQL = "(coalesce(r.until <= clock_timestamp(), false) OR coalesce(r.count <= " + swallowedSQL +
		", false) OR coalesce(r.reached_day <= " + lastDaySQL + ", false))"
)

// EndDue ends rules whose end has come, and returns how many. One that somebody is at is left for the next time.
func EndDue(tx *gorm.DB) (int, error) {
	type row struct {
		delivery.End
		id int64
		in string
	}
	due, err := pg.Read(tx, func(r *row) []any { return []any{&r.id, &r.in, &r.Until, &r.Count, &r.Grows} },
		`SELECT r.id, r.integration, r.until, coalesce(r.count, 0), coalesce(r.grows, 0) FROM redrive.ignore_rules r
		WHERE r.ended_at IS NULL AND NOT r.for_good AND `+reachedSQL+" ORDER BY r.id LIMIT 100 FOR UPDATE OF r SKIP LOCKED")
	if err != nil {
		return 0, fmt.Errorf("looking which rules are over: %w", err)
	}
	for _, r := range due {
		if err := end(tx, r.id, r.in, delivery.ActorPolicy, "", r.OverOfRule()); err != nil {
			return 0, err
		}
	}
	return len(due), nil
}

// end ends a rule that is locked, and writes who did it and why into the audit. What it swallowed is reopened step by step, see One.
func end(tx *gorm.DB, id int64, integration, actor, reason string, because delivery.Phrase) error {
	err := tx.Exec(`UPDATE redrive.ignore_rules SET ended_at = clock_timestamp(), ended_by = ?, ended_because = ?::jsonb, end_reason = ? WHERE id = ?`,
		actor, because, reason, id).Error
	if err != nil {
		return fmt.Errorf("ending rule %d: %w", id, err)
	}
	members := map[string]any{"integration": integration}
	if actor == delivery.ActorPolicy {
		members["why"] = because
	}
	return audit.Record(tx, entry("end", id, actor, reason, members))
}

func entry(step string, id int64, actor, reason string, members map[string]any) delivery.AuditEntry {
	return delivery.AuditEntry{Actor: actor, Action: "ignore-rule." + step, SubjectType: audit.SubjectIgnoreRule,
		Subject: strconv.FormatInt(id, 10), Reason: reason, Details: audit.Details(members)}
}
