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

const operatorColumns = "id::text, name, role, password_hash, created_at, disabled_at"

// OperatorByName returns an operator, disabled or not.
func (s *People) OperatorByName(ctx context.Context, name string) (delivery.Operator, error) {
	o, err := pg.ScanOne[delivery.Operator](s.Gorm.WithContext(ctx),
		"SELECT "+operatorColumns+" FROM redrive.operators WHERE name = ?", name)
	if err != nil {
		return o, pg.DomainError(fmt.Errorf("reading an operator: %w", err))
	}
	return o, nil
}

// Operators lists everybody by name.
func (s *People) Operators(ctx context.Context) ([]delivery.Operator, error) {
	list, err := pg.Scan[delivery.Operator](s.Gorm.WithContext(ctx),
		"SELECT "+operatorColumns+" FROM redrive.operators ORDER BY name")
	if err != nil {
		return nil, fmt.Errorf("reading operators: %w", err)
	}
	return list, nil
}

// EnsureFirstOperator creates an administrator when there is no operator at all.
func (s *People) EnsureFirstOperator(ctx context.Context, name, passwordHash string) (created bool, err error) {
	err = s.Transact(ctx, func(tx *gorm.DB) error {
		if err := tx.Exec("LOCK TABLE redrive.operators IN SHARE ROW EXCLUSIVE MODE").Error; err != nil {
			return err
		}
		inserted := tx.Exec(`INSERT INTO redrive.operators (name, role, password_hash) SELECT ?, 'admin', ?
			WHERE NOT EXISTS (SELECT FROM redrive.operators)`, name, passwordHash)
		if created = inserted.RowsAffected > 0; !created {
			return inserted.Error
		}
		return audit.Record(tx,
			delivery.AuditEntry{Actor: "redrive", Action: "operator.create", SubjectType: "operator", Subject: name,
				Details: audit.Details(map[string]any{"role": "admin", "why": delivery.Say("audit.first_operator")})})
	})
	return created, err
}

// CreateOperator adds a person. A name that is taken is an *delivery.InputError.
func (s *People) CreateOperator(ctx context.Context, o delivery.Operator, actor string) (delivery.Operator, error) {
	err := s.Transact(ctx, func(tx *gorm.DB) error {
		created, err := pg.ScanOne[delivery.Operator](tx,
			`INSERT INTO redrive.operators (name, role, password_hash) VALUES (?, ?, ?)
			ON CONFLICT (name) DO NOTHING RETURNING `+operatorColumns, o.Name, string(o.Role), o.PasswordHash)
		if errors.Is(err, delivery.ErrNotFound) {
			return delivery.Mistake("name_taken.operator", "name")
		}
		if err != nil {
			return err
		}
		o = created
		return audit.Record(tx,
			delivery.AuditEntry{Actor: actor, Action: "operator.create", SubjectType: "operator", Subject: o.Name,
				Details: audit.Details(map[string]any{"role": string(o.Role)})})
	})
	return o, err
}

// UpdateOperator writes role, password hash and whether o is disabled; what says in the audit what was changed. The last
// administrator can be neither disabled nor demoted.
func (s *People) UpdateOperator(ctx context.Context, o delivery.Operator, actor, what string) error {
	return s.Transact(ctx, func(tx *gorm.DB) error {
		if err := tx.Exec("LOCK TABLE redrive.operators IN SHARE ROW EXCLUSIVE MODE").Error; err != nil {
			return err
		}
		updated := tx.Exec(`UPDATE redrive.operators SET role = ?, password_hash = ?, disabled_at = ? WHERE name = ?`,
			string(o.Role), o.PasswordHash, o.DisabledAt, o.Name)
		if updated.Error != nil {
			return updated.Error
		}
		if updated.RowsAffected == 0 {
			return delivery.ErrNotFound
		}
		admins, err := pg.ReadOne(tx, pg.Single[int],
			"SELECT count(*) FROM redrive.operators WHERE role = 'admin' AND disabled_at IS NULL")
		if err != nil {
			return err
		}
		if admins == 0 {
			return delivery.Mistake("last_admin", "role")
		}
		return audit.Record(tx,
			delivery.AuditEntry{Actor: actor, Action: "operator." + what, SubjectType: "operator", Subject: o.Name,
				Details: audit.Details(map[string]any{"role": string(o.Role)})})
	})
}

const tokenColumns = "id::text, name, role, created_at, revoked_at"

// TokenByHash returns the token with this SHA-256 if it is not revoked.
func (s *People) TokenByHash(ctx context.Context, sha256 []byte) (delivery.Token, error) {
	t, err := pg.ScanOne[delivery.Token](s.Gorm.WithContext(ctx), "SELECT "+tokenColumns+
		" FROM redrive.api_tokens WHERE token_hash = ? AND revoked_at IS NULL", sha256)
	if err != nil {
		return t, fmt.Errorf("reading a token: %w", err)
	}
	return t, nil
}

// Tokens lists all tokens, newest first.
func (s *People) Tokens(ctx context.Context) ([]delivery.Token, error) {
	list, err := pg.Scan[delivery.Token](s.Gorm.WithContext(ctx),
		"SELECT "+tokenColumns+" FROM redrive.api_tokens ORDER BY created_at DESC, id")
	if err != nil {
		return nil, fmt.Errorf("reading tokens: %w", err)
	}
	return list, nil
}

// CreateToken keeps a token's name, role and SHA-256.
func (s *People) CreateToken(ctx context.Context, t delivery.Token, sha256 []byte, actor string) (delivery.Token, error) {
	err := s.Transact(ctx, func(tx *gorm.DB) error {
		created, err := pg.ScanOne[delivery.Token](tx,
			"INSERT INTO redrive.api_tokens (name, role, token_hash) VALUES (?, ?, ?) RETURNING "+tokenColumns,
			t.Name, string(t.Role), sha256)
		if err != nil {
			return err
		}
		t = created
		return audit.Record(tx, delivery.AuditEntry{Actor: actor, Action: "token.create", SubjectType: "token", Subject: t.ID,
			Details: audit.Details(map[string]any{"name": t.Name, "role": string(t.Role)})})
	})
	return t, err
}

// RevokeToken ends a token for good. Revoking it again changes nothing.
func (s *People) RevokeToken(ctx context.Context, id, actor string) error {
	if !delivery.IsUUID(id) {
		return delivery.ErrNotFound
	}
	return s.Transact(ctx, func(tx *gorm.DB) error {
		t, err := pg.ScanOne[delivery.Token](tx, "SELECT "+tokenColumns+" FROM redrive.api_tokens WHERE id = ? FOR UPDATE", id)
		if err != nil || t.RevokedAt != nil {
			return err
		}
		if err := tx.Exec("UPDATE redrive.api_tokens SET revoked_at = clock_timestamp() WHERE id = ?", id).Error; err != nil {
			return err
		}
		return audit.Record(tx, delivery.AuditEntry{Actor: actor, Action: "token.revoke", SubjectType: "token", Subject: id,
			Details: audit.Details(map[string]any{"name": t.Name})})
	})
}

// environmentToken is the name of the token that REDRIVE_API_TOKEN sets.
const environmentToken = "environment"

// EnsureEnvToken makes the token with this SHA-256 the environment's administrator token and revokes an earlier one; nil
// revokes only.
func (s *People) EnsureEnvToken(ctx context.Context, sha256 []byte) error {
	return s.Transact(ctx, func(tx *gorm.DB) error {
		revoked := tx.Exec(`UPDATE redrive.api_tokens SET revoked_at = clock_timestamp()
			WHERE name = ? AND revoked_at IS NULL AND token_hash IS DISTINCT FROM ?::bytea`, environmentToken, sha256)
		if revoked.Error != nil {
			return revoked.Error
		}
		changed := revoked.RowsAffected
		if sha256 != nil {
			inserted := tx.Exec(`INSERT INTO redrive.api_tokens (name, role, token_hash) VALUES (?, 'admin', ?)
				ON CONFLICT (token_hash) DO UPDATE SET name = excluded.name, role = 'admin', revoked_at = NULL
				WHERE api_tokens.revoked_at IS NOT NULL OR api_tokens.role <> 'admin'`, environmentToken, sha256)
			if inserted.Error != nil {
				return inserted.Error
			}
			changed += inserted.RowsAffected
		}
		if changed == 0 {
			return nil
		}
		return audit.Record(tx, delivery.AuditEntry{Actor: "redrive", Action: "token.environment", SubjectType: "token",
			Subject: environmentToken, Details: audit.Details(map[string]any{"why": delivery.Say("audit.environment_token")})})
	})
}
