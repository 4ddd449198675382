package desk

import (
	"context"
	"errors"
	"fmt"

	"gorm.io/gorm"

	"redrive/delivery"
	"redrive/store/audit"
	"redrive/store/pg"
	"redrive/store/queue"
	"redrive/store/record"
)

// Delivery returns everything known about one delivery, in one snapshot.
func (s *Desk) Delivery(ctx context.Context, id string) (detail delivery.Detail, err error) {
	if !delivery.IsUUID(id) {
		return detail, delivery.ErrNotFound
	}
	err = s.Snapshot(ctx, func(tx *gorm.DB) error {
		detail, err = readDetail(tx, id)
		return err
	})
	return detail, err
}

func readDetail(tx *gorm.DB, id string) (detail delivery.Detail, err error) {
	rows, err := record.ScanDeliveries(tx, record.SQL+" WHERE d.id = ?", id)
	if err == nil && len(rows) == 0 {
		rows, err = record.ComingDelivery(tx, id)
	}
	if err != nil {
		return detail, err
	}
	if len(rows) == 0 {
		return detail, delivery.ErrNotFound
	}
	if err := pg.See(tx, rows[0].Integration); err != nil {
		return detail, err
	}
	detail.Delivery = rows[0].Shown()
	detail.Message, err = queue.Message(tx, detail.MessageID)
	if errors.Is(err, delivery.ErrNotFound) {
		detail.Message, err = queue.DroppedMessage(detail.Delivery), nil
	}
	if err != nil {
		return detail, err
	}
	detail.Message.Withheld = !pg.Scope(tx, delivery.PermitViewPayload).Has(detail.Integration)
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
	if detail.Remedies, err = remedies(tx, detail.Delivery); err != nil {
		return detail, err
	}
	if detail.Lane, err = queue.LanePlace(tx, id); err != nil {
		return detail, err
	}
	return detail, tx.Raw(`SELECT coalesce((SELECT method FROM redrive.integrations WHERE name = ?), '') AS method,
		coalesce((SELECT dead FROM redrive.group_counts WHERE group_id = ?), 0)
			+ (SELECT coalesce(sum(dead), 0) FROM redrive.group_deltas WHERE group_id = ?) AS group_count`,
		detail.Integration, detail.GroupID, detail.GroupID).Row().Scan(&detail.Method, &detail.GroupCount)
}

// timeline is every attempt, oldest first: failed and late ones, and the confirmed one from the record.
func timeline(tx *gorm.DB, d delivery.Delivery) ([]delivery.Attempt, error) {
	columns := func(a *delivery.Attempt) []any {
		return []any{&a.Number, &a.StartedAt, &a.Duration, (*string)(&a.Outcome), &a.ErrorClass, &a.Error, &a.HTTPStatus, &a.Response,
			(*string)(&a.Late), pg.JSON{To: &a.Exchange}}
	}
	list, err := pg.Read(tx, columns,
		`WITH kept AS (SELECT * FROM redrive.attempts WHERE delivery_id = ?)
		SELECT number, started_at, duration_ms * bigint '1000000', outcome, error_class, error, http_status, response, late, exchange FROM (
		SELECT number, started_at, duration_ms, CASE WHEN late = '`+delivery.LateConfirming+`' THEN 'ok' ELSE outcome END AS outcome, error_class, error,
			coalesce(http_status, 0) AS http_status, response, coalesce(nullif(late, '`+delivery.LateConfirming+`'), '') AS late, exchange, recorded_at
		FROM kept
		UNION ALL
		SELECT attempts, started_at, duration_ms, 'ok', '', '', coalesce(http_status, 0), NULL, '', NULL, settled_at
		FROM redrive.deliveries WHERE id = ? AND state = 'delivered'
			AND NOT EXISTS (SELECT FROM kept WHERE token = last_token AND late = '`+delivery.LateConfirming+`')) a ORDER BY recorded_at, number`, d.ID, d.ID)
	if err != nil {
		return nil, fmt.Errorf("reading attempts: %w", err)
	}
	return list, nil
}

// history is what people did, oldest first.
func history(tx *gorm.DB, id string) ([]delivery.AuditEntry, error) {
	list, err := pg.Read(tx, audit.AuditPointers,
		"SELECT "+audit.AuditColumns+" FROM redrive.audit WHERE subject = ? ORDER BY seq", id)
	if err != nil {
		return nil, fmt.Errorf("reading the history: %w", err)
	}
	return list, nil
}

// siblings are other deliveries of the same integration and key, newest first. The messages are an array, because Postgres joins a
// list with the whole view.
func siblings(tx *gorm.DB, d delivery.Delivery) ([]delivery.Delivery, error) {
	return record.ListDeliveries(tx, record.SQL+` WHERE d.message_id = ANY (ARRAY(SELECT m.id FROM redrive.messages m
		WHERE m.key = ? ORDER BY m.id DESC LIMIT 200))
		AND d.integration = ? AND d.id <> ? ORDER BY m.created_at DESC, d.id DESC LIMIT ?`,
		d.Key, d.Integration, d.ID, pg.MaxSiblings)
}
