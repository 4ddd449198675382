package people

import (
	"context"
	"crypto/subtle"
	"encoding/json"
	"errors"
	"fmt"

	"gorm.io/gorm"

	"redrive/delivery"
	"redrive/store/audit"
	"redrive/store/pg"
)

// What codes are made of is sealed for the row of its person.
const codeOwner = "people"

func codePlace(operator string) string { return "redrive.totp/" + operator }

const codeSecretSQL = `SELECT sealed AS secret, confirmed_at IS NOT NULL AS confirmed,
	failures >= ? AND coalesce(failed_at > clock_timestamp() - CAST(? AS float8) * interval '1 second', false) AS blocked
	FROM redrive.totp WHERE operator_id = ? AND sealed IS NOT NULL`

// CodeSecret returns what the codes of a person's app are made of: delivery.ErrNotFound where there is none.
func (s *People) CodeSecret(ctx context.Context, operator string) (delivery.CodeSecret, error) {
	return s.codeSecret(s.Gorm.WithContext(ctx), operator, "")
}

func (s *People) codeSecret(tx *gorm.DB, operator, lock string) (c delivery.CodeSecret, err error) {
	c, err = pg.ScanOne[delivery.CodeSecret](tx, codeSecretSQL+lock, delivery.MaxWrongCodes, delivery.WrongCodeTime.Seconds(), operator)
	if err == nil {
		c.Secret, err = s.vault.OpenRow(tx, codeOwner, codePlace(operator), c.Secret)
	}
	if err != nil {
		return c, fmt.Errorf("reading the secret of codes: %w", err)
	}
	return c, nil
}

// SealCodes seals what earlier versions left unsealed, each at once: whatever ends it, the next call goes on. It returns how many those were.
func (s *People) SealCodes(ctx context.Context) (count int, err error) {
	for {
		err := s.Transact(ctx, func(tx *gorm.DB) error {
			row, err := pg.ScanOne[struct {
				ID     string
				Secret []byte
			}](tx, "SELECT operator_id::text AS id, secret FROM redrive.totp WHERE secret IS NOT NULL ORDER BY operator_id LIMIT 1 FOR UPDATE")
			if err != nil {
				return err
			}
			sealed, err := s.vault.SealRow(tx, codeOwner, codePlace(row.ID), row.Secret)
			if err != nil {
				return err
			}
			return tx.Exec("UPDATE redrive.totp SET sealed = ?, secret = NULL WHERE operator_id = ?", sealed, row.ID).Error
		})
		switch {
		case errors.Is(err, delivery.ErrNotFound):
			return count, nil
		case err != nil:
			return count, fmt.Errorf("sealing the secrets of codes: %w", err)
		}
		count++
	}
}

// ProposeCodeSecret keeps a secret that its person has to prove yet. One that was proved is not replaced: that is an *delivery.InputError.
func (s *People) ProposeCodeSecret(ctx context.Context, operator string, secret []byte) error {
	return s.Transact(ctx, func(tx *gorm.DB) error {
		sealed, err := s.vault.SealRow(tx, codeOwner, codePlace(operator), secret)
		if err != nil {
			return err
		}
		kept := tx.Exec(`INSERT INTO redrive.totp AS t (operator_id, sealed) VALUES (?, ?)
			ON CONFLICT (operator_id) DO UPDATE SET sealed = excluded.sealed, secret = NULL WHERE t.confirmed_at IS NULL`, operator, sealed)
		if kept.Error == nil && kept.RowsAffected == 0 {
			return delivery.Mistake("second_factor.exists", "code")
		}
		return kept.Error
	})
}

// ConfirmCodes makes the codes of an app the second factor of a person who has sent the one of a step, with hashes of codes for when the app
// is lost. A secret that was replaced or proved meanwhile is delivery.ErrNotFound.
func (s *People) ConfirmCodes(ctx context.Context, o delivery.Operator, secret []byte, step int64, recovery [][]byte) error {
	return s.Transact(ctx, func(tx *gorm.DB) error {
		proposed, err := s.codeSecret(tx, o.ID, " FOR UPDATE")
		if err == nil && (proposed.Confirmed || subtle.ConstantTimeCompare(proposed.Secret, secret) != 1) {
			err = delivery.ErrNotFound
		}
		if err != nil {
			return err
		}
		err = tx.Exec("UPDATE redrive.totp SET confirmed_at = clock_timestamp(), last_step = ?, failures = 0 WHERE operator_id = ?", step, o.ID).Error
		if err != nil {
			return err
		}
		for _, hash := range recovery {
			if err := tx.Exec("INSERT INTO redrive.recovery_codes (operator_id, code_hash) VALUES (?, ?)", o.ID, hash).Error; err != nil {
				return err
			}
		}
		return audit.Record(tx, operatorEntry("add-code", o.ID, o, nil))
	})
}

// UseCode takes the code of a step, which is taken once: of that step and those before none is taken any more. That is delivery.ErrNotFound.
func (s *People) UseCode(ctx context.Context, operator string, step int64) error {
	used := s.Gorm.WithContext(ctx).Exec(`UPDATE redrive.totp SET last_step = ?, failures = 0
		WHERE operator_id = ? AND confirmed_at IS NOT NULL AND last_step < ?`, step, operator, step)
	return once(used)
}

// UseRecoveryCode takes one of the codes for when the app is lost, once: else it is delivery.ErrNotFound.
func (s *People) UseRecoveryCode(ctx context.Context, o delivery.Operator, hash []byte, details json.RawMessage) error {
	return s.Transact(ctx, func(tx *gorm.DB) error {
		err := once(tx.Exec("UPDATE redrive.recovery_codes SET used_at = clock_timestamp() WHERE operator_id = ? AND code_hash = ? AND used_at IS NULL", o.ID, hash))
		if err != nil {
			return err
		}
		return audit.Record(tx, delivery.AuditEntry{Actor: o.ID, Action: "session.recovery-code", SubjectType: "operator", Subject: o.Name, Details: details})
	})
}

func once(done *gorm.DB) error {
	if done.Error == nil && done.RowsAffected == 0 {
		return delivery.ErrNotFound
	}
	return done.Error
}

// FailCode counts a wrong code of a person whose password was right.
func (s *People) FailCode(ctx context.Context, o delivery.Operator, details json.RawMessage) error {
	return s.Transact(ctx, func(tx *gorm.DB) error {
		failed := tx.Exec(`UPDATE redrive.totp SET failed_at = clock_timestamp(), failures = 1 +
			CASE WHEN failed_at > clock_timestamp() - CAST(? AS float8) * interval '1 second' THEN failures ELSE 0 END WHERE operator_id = ?`,
			delivery.WrongCodeTime.Seconds(), o.ID)
		if failed.Error != nil {
			return failed.Error
		}
		return audit.Record(tx, delivery.AuditEntry{Actor: delivery.ActorAnonymous, Action: "session.sign-in-failed", SubjectType: "operator",
			Subject: o.Name, Details: details})
	})
}

// RecoveryCodes returns how many codes a person has left for when the app is lost.
func (s *People) RecoveryCodes(ctx context.Context, operator string) (left int, err error) {
	left, err = pg.ReadOne(s.Gorm.WithContext(ctx), pg.Single[int], "SELECT count(*) FROM redrive.recovery_codes WHERE operator_id = ? AND used_at IS NULL", operator)
	if err != nil {
		return 0, fmt.Errorf("counting recovery codes: %w", err)
	}
	return left, nil
}

// removeCodes takes the second factor away.
func removeCodes(tx *gorm.DB, operator string) error {
	return errors.Join(tx.Exec("DELETE FROM redrive.totp WHERE operator_id = ?", operator).Error,
		tx.Exec("DELETE FROM redrive.recovery_codes WHERE operator_id = ?", operator).Error)
}
