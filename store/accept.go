package store

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"

	"gorm.io/gorm"

	"redrive/delivery"
)

// Accept takes a message in. It is durable, with its deliveries, when this returns. The SQL functions are the same that
// producers call in their own transactions.
func (s *Store) Accept(ctx context.Context, m delivery.Message) (accepted delivery.Accepted, err error) {
	err = s.transact(ctx, func(tx *gorm.DB) error {
		id, err := insertMessage(tx, m)
		if err != nil {
			return err
		}
		accepted.ID = id
		// a row that this very transaction inserted is no duplicate; the first one may be older than what is kept
		accepted.Duplicate, err = readOne(tx, single[bool], "SELECT NOT EXISTS (SELECT FROM redrive.messages WHERE id = ? AND xid = pg_current_xact_id())", id)
		if err != nil {
			return fmt.Errorf("looking for a duplicate: %w", err)
		}
		accepted.Deliveries, err = deliveryRefs(tx, id)
		return err
	})
	return accepted, err
}

func insertMessage(tx *gorm.DB, m delivery.Message) (id string, err error) {
	headers := []byte("{}")
	if len(m.Headers) > 0 {
		if headers, err = json.Marshal(m.Headers); err != nil {
			return "", fmt.Errorf("encoding headers: %w", err)
		}
	}
	args := []any{m.Type, m.Payload, optional(m.Key), string(headers), optional(m.IdempotencyKey), m.DeliverAfter, m.ExpiresAt}
	call := "SELECT redrive.publish_between(?, ?, ?, ?::jsonb, ?, ?, ?)::text"
	if m.Kind == delivery.KindCommand {
		call = "SELECT redrive.enqueue(?, ?, ?::bytea, ?, ?::jsonb, ?, ?, ?)::text"
		args = append([]any{m.Integration}, args...)
	}
	return readOne(tx, single[string], call, args...)
}

// Message answers a message and its deliveries by integration name.
func (s *Store) Message(ctx context.Context, id string) (m delivery.Message, deliveries []delivery.Delivery, err error) {
	if !delivery.IsUUID(id) {
		return m, nil, delivery.ErrNotFound
	}
	db := s.db.WithContext(ctx)
	deliveries, err = listDeliveries(db, deliveryColumns+" FROM (SELECT * FROM redrive.all_deliveries WHERE message_id = ? UNION ALL "+comingSQL+
		" AND m.id = ?) d"+deliveryJoins+" ORDER BY d.integration, d.id", id, id)
	if err != nil {
		return m, nil, err
	}
	m, err = message(db, id)
	if errors.Is(err, delivery.ErrNotFound) && len(deliveries) > 0 {
		return droppedMessage(deliveries[0]), deliveries, nil
	}
	return m, deliveries, err
}

// droppedMessage is what a delivery still tells of a message that retention has dropped.
func droppedMessage(d delivery.Delivery) delivery.Message {
	return delivery.Message{ID: d.MessageID, CreatedAt: d.CreatedAt, Dropped: true}
}

func message(db *gorm.DB, id string) (delivery.Message, error) {
	columns := func(m *delivery.Message) []any {
		return []any{&m.ID, &m.Kind, &m.Integration, &m.Type, &m.Key, jsonColumn{&m.Headers}, &m.Payload, &m.IdempotencyKey,
			&m.DeliverAfter, &m.ExpiresAt, jsonColumn{&m.Origin}, &m.CreatedAt}
	}
	m, err := readOne(db, columns, `SELECT id::text, kind, coalesce(integration, ''), type, coalesce(key, ''), headers, payload,
		coalesce(idempotency_key, ''), deliver_after, expires_at, origin, created_at FROM redrive.messages WHERE id = ?`, id)
	if err != nil {
		return m, fmt.Errorf("reading message %s: %w", id, err)
	}
	return m, nil
}
