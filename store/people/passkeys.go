package people

import (
	"context"
	"errors"
	"fmt"

	"gorm.io/gorm"

	"redrive/delivery"
	"redrive/store/audit"
	"redrive/store/pg"
)

// maxPasskeys is how many one person may have.
const maxPasskeys = 20

// Passkeys returns those of a person, the oldest first.
func (s *People) Passkeys(ctx context.Context, operator string) ([]delivery.Passkey, error) {
	list, err := pg.Scan[delivery.Passkey](s.Gorm.WithContext(ctx), `SELECT id::text, operator_id::text, credential_id, credential, name, sign_count, created_at, used_at
		FROM redrive.passkeys WHERE operator_id = ? ORDER BY created_at, id`, operator)
	if err != nil {
		return nil, fmt.Errorf("reading passkeys: %w", err)
	}
	return list, nil
}

// AddPasskey keeps a new passkey of a person. Too many, and one that is known, are *delivery.InputError.
func (s *People) AddPasskey(ctx context.Context, o delivery.Operator, k delivery.Passkey) error {
	return s.TransactAfter(ctx, peopleLock, func(tx *gorm.DB) error {
		n, err := pg.ReadOne(tx, pg.Single[int], "SELECT count(*) FROM redrive.passkeys WHERE operator_id = ?", o.ID)
		if err != nil {
			return err
		}
		if n >= maxPasskeys {
			return delivery.Mistake("too_many.passkeys", "name", "max", maxPasskeys)
		}
		err = once(tx.Exec(`INSERT INTO redrive.passkeys (operator_id, credential_id, credential, name, sign_count)
			VALUES (CAST(@operator AS uuid), @id, CAST(@credential AS jsonb), @name, @count) ON CONFLICT DO NOTHING`, map[string]any{"operator": o.ID,
			"id": k.CredentialID, "credential": string(k.Credential), "name": k.Name, "count": int64(k.SignCount)}))
		if errors.Is(err, delivery.ErrNotFound) {
			return delivery.Mistake("passkey.known", "name")
		}
		if err != nil {
			return err
		}
		return audit.Record(tx, operatorEntry("add-passkey", o.ID, o, map[string]any{"passkey": k.Name}))
	})
}

// UsePasskey notes that a passkey was shown, and its count, which only grows: else it is delivery.ErrNotFound.
func (s *People) UsePasskey(ctx context.Context, k delivery.Passkey) error {
	return once(s.Gorm.WithContext(ctx).Exec(`UPDATE redrive.passkeys SET sign_count = @count, used_at = clock_timestamp()
		WHERE operator_id = CAST(@operator AS uuid) AND credential_id = @id AND (sign_count < @count OR sign_count = 0 AND @count = 0)`,
		map[string]any{"operator": k.OperatorID, "id": k.CredentialID, "count": int64(k.SignCount)}))
}

// RemovePasskey takes a passkey away.
func (s *People) RemovePasskey(ctx context.Context, o delivery.Operator, id, actor string) error {
	if !delivery.IsUUID(id) {
		return delivery.ErrNotFound
	}
	return s.TransactAfter(ctx, peopleLock, func(tx *gorm.DB) error {
		name, err := pg.ReadOne(tx, pg.Single[string], "DELETE FROM redrive.passkeys WHERE id = ? AND operator_id = ? RETURNING name", id, o.ID)
		if err != nil {
			return err
		}
		return audit.Record(tx, operatorEntry("remove-passkey", actor, o, map[string]any{"passkey": name}))
	})
}
