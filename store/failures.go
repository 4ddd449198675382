package store

import (
	"context"
	"database/sql"
	"fmt"
	"strings"
	"time"

	"gorm.io/gorm"

	"redrive/delivery"
)

// deliveryColumns are what lists and pages show of a delivery d with its message m and failure details f.
const deliveryColumns = `SELECT d.id::text, d.message_id::text, d.integration, d.state, d.version, d.attempts,
    coalesce(d.error_class, ''), coalesce(f.error, ''), coalesce(d.group_id, ''),
    coalesce(m.created_at, (SELECT created_at FROM redrive.deliveries WHERE id = d.id)), d.failed_at, d.changed_at, d.dead_at,
    d.settled_at, d.retry_requested_at, d.next_attempt_at, coalesce(m.type, ''), coalesce(m.key, ''),
    CASE WHEN d.started_at IS NULL THEN (SELECT max(a.started_at) FROM redrive.attempts a WHERE a.delivery_id = d.id AND a.outcome <> 'late') END, d.started_at,
    coalesce(f.actor, ''), coalesce(f.reason, ''), coalesce(f.category, ''), f.until, coalesce(f.evidence, ''),
    coalesce(d.edit, 1), coalesce(d.operation_id::text, ''), d.acknowledged_at, coalesce(c.version, 0), coalesce(c.acknowledged_by, ''),
    coalesce(c.assignee, ''), to_json(c.tags), coalesce(c.ticket, '')`

// deliveryJoins know that the message of what was delivered may be dropped.
const (
	deliveryJoins = ` LEFT JOIN redrive.messages m ON m.id = d.message_id` + caseJoins
	caseJoins     = ` LEFT JOIN redrive.failure_details f ON f.delivery_id = d.id LEFT JOIN redrive.cases c ON c.delivery_id = d.id`
)

// deliverySQL reads any delivery; filter it by id or message.
const deliverySQL = deliveryColumns + " FROM redrive.all_deliveries d" + deliveryJoins

// failureSQL reads records of failures, each with its number n; what is shown of the message stands there.
const failureSQL = deliveryColumns + ` FROM (SELECT r.id, r.message_id, r.integration,
        CASE WHEN w.token IS NOT NULL THEN 'sending' ELSE r.state END AS state, r.version, coalesce(w.attempts, r.attempts) AS attempts,
        r.error_class, r.group_id, r.failed_at, r.changed_at, r.dead_at, r.settled_at, r.retry_requested_at, r.edit, r.operation_id,
        r.acknowledged_at, CASE WHEN w.token IS NULL AND isfinite(w.due_at) THEN w.due_at END AS next_attempt_at, r.started_at, r.n,
        r.created_at, r.type, r.key
    FROM (%s) r LEFT JOIN redrive.queue w ON w.id = CASE WHEN r.state = 'pending' THEN r.id END) d CROSS JOIN LATERAL (SELECT d.created_at, d.type, d.key) m` + caseJoins

type deliveryRow struct {
	delivery.Delivery
	changedAt, lastFailedAt, startedAt *time.Time
	settlement                         delivery.Settlement // the latest decision, also when it does not stand any more
}

func deliveryPointers(r *deliveryRow) []any {
	s := &r.settlement
	return []any{&r.ID, &r.MessageID, &r.Integration, &r.State, &r.Version, &r.Attempts, &r.ErrorClass, &r.Error, &r.GroupID,
		&r.CreatedAt, &r.FailedAt, &r.changedAt, &r.DeadAt, &r.SettledAt, &r.RetryRequestedAt, &r.NextAttemptAt, &r.Type, &r.Key,
		&r.lastFailedAt, &r.startedAt, &s.Actor, &s.Reason, &s.Category, &s.Until, &s.Evidence, &r.Edit, &r.OperationID,
		&r.Case.AcknowledgedAt, &r.Case.Version, &r.Case.AcknowledgedBy, &r.Case.Assignee, jsonColumn{&r.Case.Tags}, &r.Case.Ticket}
}

func (r deliveryRow) delivery() delivery.Delivery {
	d := r.Delivery
	d.LastAttemptAt = r.startedAt
	if d.LastAttemptAt == nil {
		d.LastAttemptAt = r.lastFailedAt
	}
	if d.State == delivery.StateIgnored || d.State == delivery.StateResolved {
		d.Settlement = r.settlement
	}
	if d.Case.AcknowledgedAt == nil {
		d.Case.AcknowledgedBy = "" // of an earlier time
	}
	return d
}

func listDeliveries(db *gorm.DB, query string, args ...any) ([]delivery.Delivery, error) {
	rows, err := scanDeliveries(db, query, args...)
	list := make([]delivery.Delivery, len(rows))
	for i, r := range rows {
		list[i] = r.delivery()
	}
	return list, err
}

func scanDeliveries(db *gorm.DB, query string, args ...any) ([]deliveryRow, error) {
	rows, err := read(db, deliveryPointers, query, args...)
	if err != nil {
		return nil, domainError(fmt.Errorf("reading deliveries: %w", err))
	}
	return rows, nil
}

// snapshot runs reads that must see the same moment.
func (s *Store) snapshot(ctx context.Context, work func(tx *gorm.DB) error) error {
	done := false
	err := s.db.WithContext(ctx).Transaction(func(tx *gorm.DB) error {
		err := work(tx)
		done = err == nil
		return err
	}, &sql.TxOptions{Isolation: sql.LevelRepeatableRead, ReadOnly: true})
	if done { // nothing was written: that its end fails, say by the short timeout that a search sets, takes nothing away
		return nil
	}
	return domainError(err)
}

// Failures answers one page of deliveries that failed at least once.
func (s *Store) Failures(ctx context.Context, f delivery.Filter) (page delivery.Page[delivery.Delivery], err error) {
	limit, err := pageSize(f.Limit)
	if err != nil {
		return page, err
	}
	err = s.snapshot(ctx, func(tx *gorm.DB) error {
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

// atSQL reads records one by one through their key, in the order of the ids.
const atSQL = `SELECT r.*, at.n FROM unnest(?::uuid[]) WITH ORDINALITY at(id, n) CROSS JOIN LATERAL (
    SELECT r.* FROM redrive.deliveries r WHERE r.id = at.id OFFSET 0) r`

func deliveriesAt(tx *gorm.DB, places []place) ([]delivery.Delivery, error) {
	if len(places) == 0 {
		return nil, nil
	}
	ids := make([]string, len(places))
	for i, p := range places {
		ids[i] = p.id
	}
	return listDeliveries(tx, fmt.Sprintf(failureSQL, atSQL)+" ORDER BY d.n", &ids)
}

// failureConditions are conditions on a record r that select what a filter does, states apart: for whoever takes them all.
func failureConditions(f delivery.Filter) (*where, error) {
	w := newWhere()
	w.add("true")
	facetConditions(w, f, "r.group_id")
	list, err := narrowings(f)
	if err != nil {
		return nil, err
	}
	for _, n := range list {
		w.add("("+n.walk+")", n.walkArgs...)
		if n.open && n.driver != "" && onlyOpen(f.States) { // all that fit: Postgres may begin there
			w.add("r.id IN ("+n.driver+")", n.driverArgs...)
		}
	}
	return w, timeConditions(w, f)
}

func timeConditions(w *where, f delivery.Filter) error {
	if f.From != nil {
		w.add("r.changed_at >= ?", *f.From)
	}
	if f.To != nil {
		w.add("r.changed_at < ?", *f.To)
	}
	if f.Sort != "" && f.Sort != delivery.SortNewest && f.Sort != delivery.SortOldest {
		return delivery.Mistake("bad_sort.failures", "sort")
	}
	if f.After == "" {
		return nil
	}
	c, err := parseCursor(f.After)
	if err != nil {
		return err
	}
	compare := "<"
	if f.Sort == delivery.SortOldest {
		compare = ">"
	}
	w.add("(r.changed_at, r.id) "+compare+" (?::timestamptz, ?::uuid)", c.at, c.id)
	return nil
}

func escapeLike(text string) string {
	return strings.NewReplacer(`\`, `\\`, `%`, `\%`, `_`, `\_`).Replace(text)
}
