package queue

import (
	"context"
	"fmt"
	"slices"

	"gorm.io/gorm"

	"redrive/delivery"
	"redrive/store/pg"
	"redrive/store/record"
)

// AcceptedByKey returns the message that has the idempotency key of a command's, for its integration, else delivery.ErrNotFound.
func (s *Queue) AcceptedByKey(ctx context.Context, m delivery.Message) (a delivery.Accepted, err error) {
	db := s.Gorm.WithContext(ctx)
	a.ID, err = pg.ReadOne(db, pg.Single[string],
		"SELECT message_id::text FROM redrive.idempotency_keys WHERE scope = ? AND key = ?", m.Integration, m.IdempotencyKey)
	if err != nil {
		return a, pg.DomainError(err)
	}
	a.Duplicate = true
	if a.Differs, err = keyReuse(db, a.ID, m); err != nil {
		return a, err
	}
	a.Deliveries, err = deliveryRefs(db, a.ID)
	return a, err
}

// keyReuse is what tells a message from the first one with its idempotency key.
func keyReuse(db *gorm.DB, first string, m delivery.Message) (delivery.KeyReuse, error) {
	differs, err := pg.ReadOne(db, pg.Single[string], "SELECT redrive.key_reuse(?::uuid, ?, ?, ?, ?::bytea)", first, senderOf(m), m.Type, m.Key, m.Payload)
	if err != nil {
		return "", fmt.Errorf("comparing with the first message of a key: %w", err)
	}
	return delivery.KeyReuse(differs), nil
}

// NoteKeyReuse writes down that a message was not taken in, as its key had been used for another one. What the functions for producers take
// in they write down themselves.
func (s *Queue) NoteKeyReuse(ctx context.Context, m delivery.Message, first delivery.Accepted) error {
	err := s.Gorm.WithContext(ctx).Exec(`INSERT INTO redrive.reused_keys (integration, type, message_id, sender, differs)
		VALUES (?, ?, ?::uuid, ?, ?)`, m.Integration, m.Type, first.ID, senderOf(m), string(first.Differs)).Error
	if err != nil {
		return fmt.Errorf("noting the reuse of a key: %w", err)
	}
	return nil
}

// deliveryRefs are a message's deliveries, those that the relay will make among them, as far as whoever asks may send there: the first
// message of a key may be somebody else's.
func deliveryRefs(db *gorm.DB, message string) ([]delivery.DeliveryRef, error) {
	refs, err := pg.Read(db, func(r *delivery.DeliveryRef) []any { return []any{&r.ID, &r.Integration, &r.State} },
		`SELECT id::text, integration, state FROM redrive.all_deliveries WHERE message_id = ?
		UNION ALL SELECT id::text, integration, state FROM (`+record.ComingSQL+" AND m.id = ?) coming ORDER BY integration", message, message)
	scope := pg.Scope(db, delivery.PermitSend)
	return slices.DeleteFunc(refs, func(r delivery.DeliveryRef) bool { return !scope.Has(r.Integration) }), err
}

// keepKeys remembers the idempotency keys of what producers handed over in memory and was parked now. One that is known already
// stays with the first message.
func keepKeys(tx *gorm.DB, kept []delivery.Parked) error {
	type pair struct{ scope, key, message string }
	var pairs []pair
	for _, p := range kept {
		if p.InboxKey == "" && p.Message.Origin == nil && p.Message.IdempotencyKey != "" {
			pairs = append(pairs, pair{p.Integration, p.Message.IdempotencyKey, p.Message.ID})
		}
	}
	if len(pairs) == 0 {
		return nil
	}
	slices.SortFunc(pairs, func(a, b pair) int { // in one order, so that two transactions do not wait for each other
		return slices.Compare([]string{a.scope, a.key}, []string{b.scope, b.key})
	})
	var scopes, keys, messages []string
	for _, p := range pairs {
		scopes, keys, messages = append(scopes, p.scope), append(keys, p.key), append(messages, p.message)
	}
	err := tx.Exec(`INSERT INTO redrive.idempotency_keys (scope, key, message_id)
		SELECT * FROM unnest(?::text[], ?::text[], ?::uuid[]) ON CONFLICT DO NOTHING`, &scopes, &keys, &messages).Error
	if err != nil {
		return fmt.Errorf("keeping idempotency keys: %w", err)
	}
	return nil
}
