package queue

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"

	"gorm.io/gorm"

	"redrive/delivery"
	"redrive/store/pg"
	"redrive/store/record"
)

// Accept takes a message in. It is durable, with its deliveries, when this returns. The SQL functions are the same that
// producers call in their own transactions.
func (s *Queue) Accept(ctx context.Context, m delivery.Message) (accepted delivery.Accepted, err error) {
	err = s.Admit(ctx, func(tx *gorm.DB) error {
		if err := maySend(tx, m); err != nil {
			return err
		}
		id, err := insertMessage(tx, m)
		if err != nil {
			return err
		}
		accepted.ID = id
		// a row that this very transaction inserted is no duplicate; the first one may be older than what is kept
		accepted.Duplicate, err = pg.ReadOne(tx, pg.Single[bool],
			"SELECT NOT EXISTS (SELECT FROM redrive.messages WHERE id = ? AND xid = pg_current_xact_id())", id)
		if err != nil {
			return fmt.Errorf("looking for a duplicate: %w", err)
		}
		if accepted.Duplicate {
			if accepted.Differs, err = keyReuse(tx, id, m); err != nil {
				return err
			}
		}
		accepted.Deliveries, err = deliveryRefs(tx, id)
		return err
	})
	return accepted, err
}

// senderOf is who hands a message over: the program itself, where nobody else does.
func senderOf(m delivery.Message) string { return cmp.Or(m.Sender, delivery.ActorProgram) }

// maySend refuses a command to an integration that whoever acts may not send to, and an event that one of those would get.
func maySend(tx *gorm.DB, m delivery.Message) error {
	r, _ := delivery.RightOf(tx.Statement.Context)
	scope := pg.Scope(tx, delivery.PermitSend)
	switch {
	case scope.All, m.Kind == delivery.KindCommand && scope.Has(m.Integration):
		return nil
	case m.Kind == delivery.KindCommand: // whether it is there or not
		return &delivery.RightError{Right: r, Missing: delivery.PermitSend, Integration: m.Integration}
	}
	others, err := pg.Read(tx, pg.Single[string], `SELECT name FROM redrive.integrations
		WHERE active AND subscribe @> ARRAY[?::text] AND NOT name = ANY(?) ORDER BY name LIMIT 1`, m.Type, pg.Names(scope))
	if err != nil || len(others) == 0 {
		return err
	}
	return &delivery.RightError{Right: r, Missing: delivery.PermitSend}
}

func insertMessage(tx *gorm.DB, m delivery.Message) (id string, err error) {
	headers := []byte("{}")
	if len(m.Headers) > 0 {
		if headers, err = json.Marshal(m.Headers); err != nil {
			return "", fmt.Errorf("encoding headers: %w", err)
		}
	}
	args := []any{
		m.Type,
		m.Payload,
		pg.Optional(m.Key),
		string(headers),
		pg.Optional(m.IdempotencyKey),
		m.DeliverAfter,
		m.ExpiresAt,
	}
	if m.Kind == delivery.KindCommand {
		return pg.ReadOne(tx, pg.Single[string], "SELECT redrive.enqueue_from(?, ?, ?, ?::bytea, ?, ?::jsonb, ?, ?, ?)::text",
			append([]any{senderOf(m), m.Integration}, args...)...)
	}
	return pg.ReadOne(tx, pg.Single[string], "SELECT redrive.publish_between(?, ?, ?, ?::jsonb, ?, ?, ?, ?)::text", append(args, senderOf(m))...)
}

// Message returns a message and its deliveries by integration name.
func (s *Queue) Message(ctx context.Context, id string) (m delivery.Message, deliveries []delivery.Delivery, err error) {
	if !delivery.IsUUID(id) {
		return m, nil, delivery.ErrNotFound
	}
	db := s.Gorm.WithContext(ctx)
	deliveries, err = record.ListDeliveries(db, record.Columns+
		" FROM (SELECT * FROM redrive.all_deliveries WHERE message_id = ? UNION ALL "+record.ComingSQL+" AND m.id = ?) d"+
		record.Joins+" ORDER BY d.integration, d.id", id, id)
	if err != nil {
		return m, nil, err
	}
	if seen := pg.Seen(db); !seen.All {
		deliveries = slices.DeleteFunc(deliveries, func(d delivery.Delivery) bool { return !seen.Has(d.Integration) })
		if len(deliveries) == 0 {
			return m, nil, delivery.ErrNotFound
		}
	}
	m, err = Message(db, id)
	if errors.Is(err, delivery.ErrNotFound) && len(deliveries) > 0 {
		m, err = DroppedMessage(deliveries[0]), nil
	}
	scope := pg.Scope(db, delivery.PermitViewPayload)
	m.Withheld = !scope.All && !slices.ContainsFunc(deliveries, func(d delivery.Delivery) bool { return scope.Has(d.Integration) })
	return m, deliveries, err
}

// DroppedMessage is what a delivery still tells of a message that retention has dropped.
func DroppedMessage(d delivery.Delivery) delivery.Message {
	return delivery.Message{ID: d.MessageID, CreatedAt: d.CreatedAt, Dropped: true}
}

// Message returns a message with its payload, or delivery.ErrNotFound.
func Message(db *gorm.DB, id string) (delivery.Message, error) {
	columns := func(m *delivery.Message) []any {
		return []any{&m.ID, &m.Kind, &m.Integration, &m.Type, &m.Key, pg.JSON{To: &m.Headers}, &m.Payload, &m.IdempotencyKey,
			&m.DeliverAfter, &m.ExpiresAt, pg.JSON{To: &m.Origin}, &m.CreatedAt, &m.Sender, &m.SenderName}
	}
	m, err := pg.ReadOne(db, columns,
		`SELECT id::text, kind, coalesce(integration, ''), type, coalesce(key, ''), headers, payload,
		coalesce(idempotency_key, ''), deliver_after, expires_at, origin, created_at, coalesce(sender, ''), `+pg.Called("sender")+`
		FROM redrive.messages WHERE id = ?`, id)
	if err != nil {
		return m, fmt.Errorf("reading message %s: %w", id, err)
	}
	return m, nil
}
