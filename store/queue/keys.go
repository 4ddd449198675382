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

// AcceptedByKey returns the message of an integration that has the idempotency key, else delivery.ErrNotFound.
func (s *Queue) AcceptedByKey(ctx context.Context, integration, key string) (a delivery.Accepted, err error) {
	db := s.Gorm.WithContext(ctx)
	a.ID, err = pg.ReadOne(db, pg.Single[string],
		"SELECT message_id::text FROM redrive.idempotency_keys WHERE scope = ? AND key = ?", integration, key)
	if err != nil {
		return a, pg.DomainError(err)
	}
	a.Duplicate = true
	a.Deliveries, err = deliveryRefs(db, a.ID)
	return a, err
}

// deliveryRefs are a message's deliveries, those that the relay will make among them.
func deliveryRefs(db *gorm.DB, message string) ([]delivery.DeliveryRef, error) {
	return pg.Read(db, func(r *delivery.DeliveryRef) []any { return []any{&r.ID, &r.Integration, &r.State} },
		`SELECT id::text, integration, state FROM redrive.all_deliveries WHERE message_id = ?
		UNION ALL SELECT id::text, integration, state FROM (`+record.ComingSQL+" AND m.id = ?) coming ORDER BY integration", message, message)
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
