package record

import (
	"fmt"
	"strings"
	"time"

	"gorm.io/gorm"

	"redrive/delivery"
	"redrive/store/pg"
)

// Columns are what lists and pages show of a delivery d with its message m and failure details f.
var Columns = `SELECT d.id::text, d.message_id::text, d.integration, d.state, d.version, d.attempts,
    coalesce(d.error_class, ''), coalesce(f.error, ''), coalesce(d.group_id, ''),
    coalesce(m.created_at, (SELECT created_at FROM redrive.deliveries WHERE id = d.id)), d.failed_at, d.changed_at, d.dead_at,
    d.settled_at, d.retry_requested_at, d.next_attempt_at, coalesce(m.type, ''), coalesce(m.key, ''),
    CASE WHEN d.started_at IS NULL THEN (SELECT max(a.started_at) FROM redrive.attempts a WHERE a.delivery_id = d.id AND a.outcome <> 'late') END, d.started_at,
    ` + pg.Called("f.actor") + `, coalesce(f.actor, ''), coalesce(f.reason, ''), coalesce(f.category, ''), f.until, coalesce(f.evidence, ''),
    coalesce(ends.count, rules.count, 0), coalesce(ends.grows, rules.grows, 0), coalesce(f.rule_id::text, ''), f.because,
    coalesce(d.edit, 1), coalesce(d.operation_id::text, ''), d.acknowledged_at, coalesce(c.version, 0),
    ` + pg.Called("c.acknowledged_by") + `, coalesce(c.acknowledged_by, ''), ` + pg.Called("c.assignee") + `, coalesce(c.assignee, ''), to_json(c.tags), coalesce(c.ticket, '')`

// Joins know that the message of what was delivered may be dropped.
const (
	Joins     = ` LEFT JOIN redrive.messages m ON m.id = d.message_id` + caseJoins
	caseJoins = ` LEFT JOIN redrive.failure_details f ON f.delivery_id = d.id LEFT JOIN redrive.cases c ON c.delivery_id = d.id
    LEFT JOIN redrive.ignore_ends ends ON ends.id = f.end_id LEFT JOIN redrive.ignore_rules rules ON rules.id = f.rule_id`
)

// SQL reads any delivery; filter it by id or message.
var SQL = Columns + " FROM redrive.all_deliveries d" + Joins

// FailureSQL reads records of failures, each with its number n; what is shown of the message stands there.
var FailureSQL = Columns + ` FROM (SELECT r.id, r.message_id, r.integration,
        CASE WHEN w.token IS NOT NULL THEN 'sending' ELSE r.state END AS state, r.version, coalesce(w.attempts, r.attempts) AS attempts,
        r.error_class, r.group_id, r.failed_at, r.changed_at, r.dead_at, r.settled_at, r.retry_requested_at, r.edit, r.operation_id,
        r.acknowledged_at, CASE WHEN w.token IS NULL AND isfinite(w.due_at) THEN w.due_at END AS next_attempt_at, r.started_at, r.n,
        r.created_at, r.type, r.key
    FROM (%s) r LEFT JOIN redrive.queue w ON w.id = CASE WHEN r.state = 'pending' THEN r.id END) d CROSS JOIN LATERAL (SELECT d.created_at, d.type, d.key) m` + caseJoins

// Row is a delivery as the columns of this package answer it, before what does not stand any more is left out.
type Row struct {
	delivery.Delivery
	lastFailedAt, startedAt *time.Time
	settlement              delivery.Settlement // the latest decision, also when it does not stand any more
}

func deliveryPointers(r *Row) []any {
	s := &r.settlement
	return []any{
		&r.ID,
		&r.MessageID,
		&r.Integration,
		&r.State,
		&r.Version,
		&r.Attempts,
		&r.ErrorClass,
		&r.Error,
		&r.GroupID,
		&r.CreatedAt,
		&r.FailedAt,
		&r.ChangedAt,
		&r.DeadAt,
		&r.SettledAt,
		&r.RetryRequestedAt,
		&r.NextAttemptAt,
		&r.Type,
		&r.Key,
		&r.lastFailedAt,
		&r.startedAt,
		&s.Actor,
		&s.ActorID,
		&s.Reason,
		&s.Category,
		&s.Until,
		&s.Evidence,
		&s.Count,
		&s.Grows,
		&s.RuleID,
		&r.ReopenedBecause,
		&r.Edit,
		&r.OperationID,
		&r.Case.AcknowledgedAt,
		&r.Case.Version,
		&r.Case.AcknowledgedBy,
		&r.Case.AcknowledgedID,
		&r.Case.Assignee,
		&r.Case.AssigneeID,
		pg.JSON{To: &r.Case.Tags},
		&r.Case.Ticket,
	}
}

// Shown returns the delivery as people see it.
func (r Row) Shown() delivery.Delivery {
	d := r.Delivery
	d.LastAttemptAt = r.startedAt
	if d.LastAttemptAt == nil {
		d.LastAttemptAt = r.lastFailedAt
	}
	if d.State == delivery.StateIgnored || d.State == delivery.StateResolved {
		d.Settlement = r.settlement
		d.Settlement.ForGood = d.State == delivery.StateIgnored && d.Settlement.End.IsZero()
	}
	if d.State != delivery.StateDead {
		d.ReopenedBecause = delivery.Phrase{}
	}
	if d.Case.AcknowledgedAt == nil {
		d.Case.AcknowledgedBy, d.Case.AcknowledgedID = "", "" // of an earlier time
	}
	return d
}

// ListDeliveries returns the deliveries of a query that begins with Columns, as people see them.
func ListDeliveries(db *gorm.DB, query string, args ...any) ([]delivery.Delivery, error) {
	rows, err := ScanDeliveries(db, query, args...)
	list := make([]delivery.Delivery, len(rows))
	for i, r := range rows {
		list[i] = r.Shown()
	}
	return list, err
}

// ScanDeliveries returns the rows of a query that begins with Columns.
func ScanDeliveries(db *gorm.DB, query string, args ...any) ([]Row, error) {
	rows, err := pg.Read(db, deliveryPointers, query, args...)
	if err != nil {
		return nil, pg.DomainError(fmt.Errorf("reading deliveries: %w", err))
	}
	return rows, nil
}

// EscapeLike returns a text that LIKE takes as it is.
func EscapeLike(text string) string {
	return strings.NewReplacer(`\`, `\\`, `%`, `\%`, `_`, `\_`).Replace(text)
}

// atSQL reads records one by one through their key, in the order of the ids.
const atSQL = `SELECT r.*, at.n FROM unnest(?::uuid[]) WITH ORDINALITY at(id, n) CROSS JOIN LATERAL (
    SELECT r.* FROM redrive.deliveries r WHERE r.id = at.id OFFSET 0) r`

// ListAt returns the deliveries with these ids, in their order.
func ListAt(db *gorm.DB, ids []string) ([]delivery.Delivery, error) {
	return ListDeliveries(db, fmt.Sprintf(FailureSQL, atSQL)+" ORDER BY d.n", &ids)
}
