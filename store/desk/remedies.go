package desk

import (
	"fmt"

	"gorm.io/gorm"

	"redrive/delivery"
	"redrive/store/pg"
)

// remedySQL notes a decision with the groups that it is about. The steps of an operation add up.
const remedySQL = `
INSERT INTO redrive.settlements AS s (group_id, id, action, operation, actor, reason, category, evidence, ticket, deliveries)
SELECT r.group_id, coalesce(CAST(@operation AS uuid), (array_agg(r.id))[1]), CAST(@action AS text), CAST(@operation AS uuid) IS NOT NULL,
    CAST(@actor AS text), CAST(@reason AS text), CAST(@category AS text), CAST(@evidence AS text), max(c.ticket), count(*)
FROM redrive.deliveries r LEFT JOIN redrive.cases c ON c.delivery_id = r.id
WHERE r.id = ANY(CAST(@ids AS uuid[])) AND r.group_id IS NOT NULL GROUP BY r.group_id
ON CONFLICT (group_id, id, action) DO UPDATE SET actor = excluded.actor, reason = excluded.reason, category = excluded.category,
    evidence = excluded.evidence, ticket = coalesce(excluded.ticket, s.ticket), decided_at = excluded.decided_at,
    deliveries = CASE WHEN s.operation THEN s.deliveries + excluded.deliveries ELSE 1 END`

// noteRemedy notes what settles deliveries, or sends them again.
func noteRemedy(tx *gorm.DB, list []lockedDelivery, d decision) error {
	if !d.Queues && !d.To.Settled() {
		return nil
	}
	deliveries := ids(list)
	err := tx.Exec(remedySQL, map[string]any{
		"operation": pg.Optional(d.operation),
		"action":    string(d.Action),
		"actor":     d.actor,
		"reason":    d.reason,
		"category":  pg.Optional(d.category),
		"evidence":  pg.Optional(d.evidence),
		"ids":       &deliveries,
	}).Error
	if err != nil {
		return fmt.Errorf("%s: noting it for the group: %w", d.Action, err)
	}
	return nil
}

// decisionsRead is how many decisions are read to tell the latest remedies: those of one person in a row are one.
const decisionsRead = 50

// remedies are how other failures of a delivery's group were settled before, the latest first; what was decided about this one alone its
// history tells. A group is of one integration: after a redirect
// it is another's, which the reader may not see.
func remedies(tx *gorm.DB, d delivery.Delivery) ([]delivery.Remedy, error) {
	list, err := pg.Scan[delivery.Remedy](tx, `
SELECT s.id::text, s.action, s.operation, `+pg.Called("s.actor")+` AS actor, s.actor AS actor_id, s.reason, coalesce(s.category, '') AS category,
    coalesce(s.evidence, '') AS evidence, coalesce(c.ticket, s.ticket, '') AS ticket, s.deliveries, s.decided_at AS at,
    coalesce(p.last - p.first + 1, s.deliveries) AS sent,
    CASE WHEN s.operation THEN coalesce(p.succeeded, 0) + coalesce((SELECT sum(o.succeeded) FROM redrive.operation_deltas o
        WHERE o.operation_id = s.id AND o.integration = p.integration), 0) ELSE (r.state = 'delivered')::int END AS confirmed
FROM (SELECT s.* FROM redrive.settlements s JOIN redrive.groups g ON g.id = s.group_id AND g.integration = ?
    WHERE s.group_id = ? AND s.id <> ?::uuid ORDER BY s.decided_at DESC LIMIT ?) s
LEFT JOIN redrive.operation_parts p ON s.operation AND p.operation_id = s.id AND p.integration = ?
LEFT JOIN redrive.deliveries r ON NOT s.operation AND r.id = s.id
LEFT JOIN redrive.cases c ON NOT s.operation AND c.delivery_id = s.id
ORDER BY s.decided_at DESC`, d.Integration, d.GroupID, d.ID, decisionsRead, d.Integration)
	if err != nil {
		return nil, fmt.Errorf("reading what was decided before: %w", err)
	}
	return delivery.Remedies(list), nil
}
