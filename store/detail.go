package store

import (
	"context"
	"errors"
	"fmt"
	"time"

	"gorm.io/gorm"

	"redrive/delivery"
)

const maxSiblings = 20

// Delivery answers everything known about one delivery, in one snapshot.
func (s *Store) Delivery(ctx context.Context, id string) (detail delivery.Detail, err error) {
	if !delivery.IsUUID(id) {
		return detail, delivery.ErrNotFound
	}
	err = s.transact(ctx, func(tx *gorm.DB) error {
		if err := tx.Exec("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ, READ ONLY").Error; err != nil {
			return err
		}
		detail, err = readDetail(tx, id)
		return err
	})
	return detail, err
}

func readDetail(tx *gorm.DB, id string) (detail delivery.Detail, err error) {
	rows, err := scanDeliveries(tx, deliverySQL+" WHERE d.id = ?", id)
	if err == nil && len(rows) == 0 {
		rows, err = comingDelivery(tx, id)
	}
	if err != nil {
		return detail, err
	}
	if len(rows) == 0 {
		return detail, delivery.ErrNotFound
	}
	detail.Delivery = rows[0].delivery()
	detail.Message, err = message(tx, detail.MessageID)
	if errors.Is(err, delivery.ErrNotFound) {
		detail.Message, err = droppedMessage(detail.Delivery), nil
	}
	if err != nil {
		return detail, err
	}
	if detail.Timeline, err = timeline(tx, detail.Delivery); err != nil {
		return detail, err
	}
	if detail.Edits, err = edits(tx, id, detail.Message); err != nil {
		return detail, err
	}
	delivery.SentVersions(detail.Timeline, detail.Edits)
	if detail.Notes, err = notes(tx, id); err != nil {
		return detail, err
	}
	if detail.History, err = history(tx, id); err != nil {
		return detail, err
	}
	if detail.Key != "" {
		if detail.KeySiblings, err = siblings(tx, detail.Delivery); err != nil {
			return detail, err
		}
	}
	if detail.Lane, err = lanePlace(tx, id); err != nil {
		return detail, err
	}
	return detail, tx.Raw(`SELECT coalesce((SELECT method FROM redrive.integrations WHERE name = ?), '') AS method,
		coalesce((SELECT dead FROM redrive.group_counts WHERE group_id = ?), 0)
			+ (SELECT coalesce(sum(dead), 0) FROM redrive.group_deltas WHERE group_id = ?) AS group_count`,
		detail.Integration, detail.GroupID, detail.GroupID).Row().Scan(&detail.Method, &detail.GroupCount)
}

// timeline is every attempt, oldest first: failed and late ones, and the confirmed one from the record.
func timeline(tx *gorm.DB, d delivery.Delivery) (list []delivery.Attempt, err error) {
	columns := func(a *delivery.Attempt) []any {
		return []any{&a.Number, &a.StartedAt, (*milliseconds)(&a.Duration), &a.Outcome, &a.ErrorClass, &a.Error, &a.HTTPStatus, &a.Response, &a.Late}
	}
	list, err = read(tx, columns, `SELECT number, started_at, duration_ms, outcome, error_class, error, http_status, response, late FROM (
		SELECT number, started_at, duration_ms, outcome, error_class, error, coalesce(http_status, 0) AS http_status, response,
			coalesce(late, '') AS late, recorded_at
		FROM redrive.attempts WHERE delivery_id = ?
		UNION ALL
		SELECT attempts, started_at, duration_ms, 'ok', '', '', coalesce(http_status, 0), NULL, '', settled_at
		FROM redrive.deliveries WHERE id = ? AND state = 'delivered') a ORDER BY recorded_at, number`, d.ID, d.ID)
	if err != nil {
		return nil, fmt.Errorf("reading attempts: %w", err)
	}
	return list, nil
}

// milliseconds reads a duration.
type milliseconds time.Duration

// Scan implements sql.Scanner.
func (m *milliseconds) Scan(value any) error {
	n, ok := value.(int64)
	if !ok {
		return fmt.Errorf("a duration is a %T", value)
	}
	*m = milliseconds(time.Duration(n) * time.Millisecond)
	return nil
}

// history is what people did, oldest first.
func history(tx *gorm.DB, id string) ([]delivery.AuditEntry, error) {
	list, err := read(tx, auditPointers, "SELECT "+auditColumns+" FROM redrive.audit WHERE subject = ? ORDER BY seq", id)
	if err != nil {
		return nil, fmt.Errorf("reading the history: %w", err)
	}
	return list, nil
}

// siblings are other deliveries of the same integration and key, newest first. The messages are an array, because Postgres joins a
// list with the whole view.
func siblings(tx *gorm.DB, d delivery.Delivery) ([]delivery.Delivery, error) {
	return listDeliveries(tx, deliverySQL+` WHERE d.message_id = ANY (ARRAY(SELECT m.id FROM redrive.messages m WHERE m.key = ? ORDER BY m.id DESC LIMIT 200))
		AND d.integration = ? AND d.id <> ? ORDER BY m.created_at DESC, d.id DESC LIMIT ?`, d.Key, d.Integration, d.ID, maxSiblings)
}
