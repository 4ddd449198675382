package people

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"gorm.io/gorm"

	"redrive/delivery"
	"redrive/store/audit"
	"redrive/store/pg"
)

const (
	maxTokens       = 50 // of one person, that are not revoked
	maxTokenSecrets = 2  // of one token, that are valid at once
)

const (
	fromTokensSQL  = " FROM redrive.api_tokens t LEFT JOIN redrive.operators o ON o.id = t.operator_id"
	fromSecretsSQL = " FROM redrive.token_secrets s JOIN redrive.api_tokens t ON t.id = s.token_id LEFT JOIN redrive.operators o ON o.id = t.operator_id"
	// holderSQL is what a right by a secret ends with, see Holding. Of somebody who is disabled it is nothing.
	holderSQL = "s.id::text || CASE WHEN t.operator_id IS NULL THEN '' WHEN o.disabled_at IS NULL THEN '/' || o.generation END"

	secretsSQL = `(SELECT jsonb_agg(jsonb_build_object('id', s.id, 'created_at', s.created_at, 'expires_at', s.expires_at,
			'expired', coalesce(s.expires_at <= clock_timestamp(), false), 'used_at', u.used_at, 'used_from', coalesce(u.address, ''))
			ORDER BY s.created_at DESC, s.id)
		FROM redrive.token_secrets s LEFT JOIN redrive.token_uses u ON u.secret_id = s.id WHERE s.token_id = t.id)`
)

var tokenColumns = "t.id::text, t.name, t.role, " + pg.GrantsOf("token_id", "t.id") + `, t.of_setting, t.created_at, t.revoked_at,
	coalesce(o.id::text, ''), coalesce(o.name, ''), coalesce(o.role, ''), ` + pg.GrantsOf("operator_id", "o.id")

// tokenRow is a token with its person, who may be nobody.
type tokenRow struct {
	delivery.Token
	owner   delivery.Operator
	holder  *string
	expired bool
}

func (r *tokenRow) pointers() []any {
	return []any{&r.ID, &r.Name, &r.Role, &r.Grants, &r.OfSetting, &r.CreatedAt, &r.RevokedAt, &r.owner.ID, &r.owner.Name, &r.owner.Role, &r.owner.Grants}
}

func (r *tokenRow) token() delivery.Token {
	if r.owner.ID != "" {
		r.Owner = &r.owner
	}
	return r.Token
}

// TokenByHash returns the token that has a secret with this SHA-256: delivery.ErrNotFound where it is revoked or its person disabled, and an
// *delivery.ExpiredTokenError where the secret has expired.
func (s *People) TokenByHash(ctx context.Context, sha256 []byte) (delivery.Token, error) {
	return tokenByHash(s.Gorm.WithContext(ctx), sha256)
}

func tokenByHash(db *gorm.DB, sha256 []byte) (delivery.Token, error) {
	r, err := pg.ReadOne(db, func(r *tokenRow) []any { return append(r.pointers(), &r.Secret, &r.holder, &r.expired) },
		"SELECT "+tokenColumns+", s.id::text, "+holderSQL+", coalesce(s.expires_at <= clock_timestamp(), false)"+fromSecretsSQL+
			" WHERE s.hash = ? AND t.revoked_at IS NULL", sha256)
	switch {
	case err != nil:
		return delivery.Token{}, fmt.Errorf("reading a token: %w", err)
	case r.holder == nil:
		return delivery.Token{}, delivery.ErrNotFound
	case r.expired:
		return delivery.Token{}, &delivery.ExpiredTokenError{Token: r.ID}
	}
	r.Holder = *r.holder
	return r.token(), nil
}

// Tokens lists all tokens with their secrets, the newest first.
func (s *People) Tokens(ctx context.Context) ([]delivery.Token, error) {
	return tokens(s.Gorm.WithContext(ctx), "")
}

// TokensOf lists those of a person.
func (s *People) TokensOf(ctx context.Context, operator string) ([]delivery.Token, error) {
	return tokens(s.Gorm.WithContext(ctx), " WHERE t.operator_id = ?", operator)
}

// Token returns a token with its secrets, revoked or not.
func (s *People) Token(ctx context.Context, id string) (delivery.Token, error) {
	return token(s.Gorm.WithContext(ctx), id)
}

func token(db *gorm.DB, id string) (t delivery.Token, err error) {
	list, err := tokens(db, " WHERE t.id = ?", id)
	if err == nil && len(list) == 0 {
		err = delivery.ErrNotFound
	}
	if err != nil {
		return t, err
	}
	return list[0], nil
}

func tokens(db *gorm.DB, where string, args ...any) ([]delivery.Token, error) {
	rows, err := pg.Read(db, func(r *tokenRow) []any { return append(r.pointers(), &r.Secrets) },
		"SELECT "+tokenColumns+", "+secretsSQL+fromTokensSQL+where+" ORDER BY t.created_at DESC, t.id", args...)
	if err != nil {
		return nil, fmt.Errorf("reading tokens: %w", err)
	}
	list := make([]delivery.Token, len(rows))
	for n := range rows {
		list[n] = rows[n].token()
	}
	return list, nil
}

// CreateToken keeps a token and the SHA-256 of its first secret, and returns it as whoever has that secret has it.
func (s *People) CreateToken(ctx context.Context, t delivery.Token, sha256 []byte, actor string) (made delivery.Token, err error) {
	err = s.TransactAfter(ctx, peopleLock, func(tx *gorm.DB) error {
		if err := checkOwner(tx, t.OwnerID()); err != nil {
			return err
		}
		id, err := pg.ReadOne(tx, pg.Single[string], "INSERT INTO redrive.api_tokens (name, role, operator_id) VALUES (?, ?, CAST(? AS uuid)) RETURNING id::text",
			t.Name, string(t.Role), pg.Optional(t.OwnerID()))
		if err == nil {
			err = give(tx, "token_id", id, t.Grants)
		}
		if err == nil {
			err = addSecret(tx, id, sha256, t.Lifetime)
		}
		if err == nil {
			made, err = tokenByHash(tx, sha256)
		}
		if err != nil {
			return err
		}
		details := map[string]any{"role": string(made.Role), "lifetime": lifetimeText(t.Lifetime)}
		if len(made.Grants) > 0 {
			details["grants"] = made.Grants
		}
		return audit.Record(tx, tokenEntry("create", actor, made, details))
	})
	return made, err
}

// checkOwner refuses one more token of a person who has many, or who is not there.
func checkOwner(tx *gorm.DB, operatorID string) error {
	if operatorID == "" {
		return nil
	}
	o, err := operator(tx, "o.id = ?", operatorID)
	if err == nil && o.DisabledAt != nil {
		err = delivery.ErrNotFound
	}
	if err != nil {
		return err
	}
	n, err := pg.ReadOne(tx, pg.Single[int], "SELECT count(*) FROM redrive.api_tokens WHERE operator_id = ? AND revoked_at IS NULL", operatorID)
	if err == nil && n >= maxTokens {
		err = delivery.Mistake("too_many.tokens", "name", "max", maxTokens)
	}
	return err
}

// addSecret keeps the hash of a new secret; by the database's clock it ends after its lifetime, or never.
func addSecret(tx *gorm.DB, token string, sha256 []byte, lifetime time.Duration) error {
	return tx.Exec(`INSERT INTO redrive.token_secrets (token_id, hash, expires_at)
		VALUES (?, ?, clock_timestamp() + CAST(nullif(?, 0) AS float8) * interval '1 second')`, token, sha256, lifetime.Seconds()).Error
}

func lifetimeText(d time.Duration) any {
	if d == 0 {
		return nil
	}
	return d.String()
}

func tokenEntry(what, actor string, t delivery.Token, members map[string]any) delivery.AuditEntry {
	members["name"] = t.Name
	if t.Owner != nil {
		members["operator_id"], members["person"] = t.Owner.ID, t.Owner.Name
	}
	return delivery.AuditEntry{Actor: actor, Action: "token." + what, SubjectType: "token", Subject: t.ID, Details: audit.Details(members)}
}

// RotateToken gives a token a new secret and ends those before, at once or after the overlap, and returns the token as whoever has the new
// secret has it. A token that is revoked is delivery.ErrNotFound; that of the setting, and one with too many valid secrets for an overlap, is
// an *delivery.InputError.
func (s *People) RotateToken(ctx context.Context, r delivery.TokenRotation) (t delivery.Token, err error) {
	if !delivery.IsUUID(r.ID) {
		return t, delivery.ErrNotFound
	}
	err = s.TransactAfter(ctx, peopleLock, func(tx *gorm.DB) error {
		was, err := lockedToken(tx, r.ID)
		switch {
		case err != nil:
			return err
		case was.RevokedAt != nil:
			return delivery.ErrNotFound
		case was.OfSetting:
			return delivery.Mistake("token_of_setting", "id")
		}
		valid := slices.DeleteFunc(slices.Clone(was.Secrets), func(s delivery.TokenSecret) bool { return s.Expired })
		if r.Overlap > 0 && len(valid) >= maxTokenSecrets {
			return delivery.Mistake("too_many.secrets", "overlap_hours", "max", maxTokenSecrets)
		}
		if err := endSecrets(tx, r.ID, r.Overlap); err != nil {
			return err
		}
		if err := addSecret(tx, r.ID, r.Hash, r.Lifetime); err != nil {
			return err
		}
		if t, err = tokenByHash(tx, r.Hash); err != nil {
			return err
		}
		return audit.Record(tx, tokenEntry("rotate", r.Actor, t, map[string]any{"secret": t.Secret, "lifetime": lifetimeText(r.Lifetime),
			"overlap": r.Overlap.String()}))
	})
	return t, err
}

// lockedToken keeps a token from being changed or used by others until the transaction's end.
func lockedToken(tx *gorm.DB, id string) (t delivery.Token, err error) {
	if _, err := pg.ReadOne(tx, pg.Single[string], "SELECT id::text FROM redrive.api_tokens WHERE id = ? FOR UPDATE", id); err != nil {
		return t, err
	}
	return token(tx, id)
}

// endSecrets ends the secrets of a token after a while, those that end before it as they would.
func endSecrets(tx *gorm.DB, token string, after time.Duration) error {
	return tx.Exec(`UPDATE redrive.token_secrets SET expires_at = least(expires_at, clock_timestamp() + CAST(? AS float8) * interval '1 second')
		WHERE token_id = ? AND (expires_at IS NULL OR expires_at > clock_timestamp())`, after.Seconds(), token).Error
}

// RevokeToken ends a token for good. Revoking it again changes nothing.
func (s *People) RevokeToken(ctx context.Context, id, actor string) error {
	if !delivery.IsUUID(id) {
		return delivery.ErrNotFound
	}
	return s.TransactAfter(ctx, peopleLock, func(tx *gorm.DB) error {
		t, err := lockedToken(tx, id)
		if err != nil || t.RevokedAt != nil {
			return err
		}
		return revoke(tx, t, actor, map[string]any{})
	})
}

func revoke(tx *gorm.DB, t delivery.Token, actor string, details map[string]any) error {
	if err := tx.Exec("UPDATE redrive.api_tokens SET revoked_at = clock_timestamp() WHERE id = ?", t.ID).Error; err != nil {
		return err
	}
	return audit.Record(tx, tokenEntry("revoke", actor, t, details))
}

// endTokens revokes the tokens of a person who is being disabled: enabling them revives none.
func endTokens(tx *gorm.DB, c delivery.OperatorChange) error {
	list, err := tokens(tx, " WHERE t.operator_id = ? AND t.revoked_at IS NULL", c.ID)
	if err != nil {
		return err
	}
	for _, t := range list {
		if err := revoke(tx, t, c.Actor, map[string]any{"because": "operator." + c.What()}); err != nil {
			return err
		}
	}
	return nil
}

// NoteTokenUses keeps when and from where secrets were used last; earlier uses than those known change nothing.
func (s *People) NoteTokenUses(ctx context.Context, uses []delivery.TokenUse) error {
	uses = slices.SortedFunc(slices.Values(uses), func(a, b delivery.TokenUse) int { return cmp.Compare(a.Secret, b.Secret) }) // two processes lock in one order
	ids, ago, addresses := []string{}, []float64{}, []string{}
	for _, u := range uses {
		ids, ago, addresses = append(ids, u.Secret), append(ago, u.Ago.Seconds()), append(addresses, u.Address)
	}
	err := pg.Again(func() error {
		return s.Gorm.WithContext(ctx).Exec(`INSERT INTO redrive.token_uses AS was (secret_id, used_at, address)
			SELECT u.id, clock_timestamp() - u.ago * interval '1 second', u.address
			FROM unnest(CAST(@ids AS uuid[]), CAST(@ago AS float8[]), CAST(@addresses AS text[])) AS u (id, ago, address)
			WHERE EXISTS (SELECT FROM redrive.token_secrets s WHERE s.id = u.id)
			ON CONFLICT (secret_id) DO UPDATE SET used_at = excluded.used_at, address = excluded.address WHERE excluded.used_at > was.used_at`,
			map[string]any{"ids": &ids, "ago": &ago, "addresses": &addresses}).Error
	})
	if err != nil {
		return fmt.Errorf("noting when tokens were used: %w", err)
	}
	return nil
}

// environmentToken is the name of the token that REDRIVE_API_TOKEN sets.
const environmentToken = "environment"

// EnsureEnvToken makes the secret with this SHA-256 that of the environment's administrator token, which stays the same actor whatever its
// secret is; nil revokes it. Another token that has the secret ends.
func (s *People) EnsureEnvToken(ctx context.Context, sha256 []byte) error {
	return s.TransactAfter(ctx, peopleLock, func(tx *gorm.DB) error {
		changed, err := setEnvToken(tx, sha256)
		if err != nil || !changed {
			return err
		}
		return audit.Record(
			tx,
			delivery.AuditEntry{Actor: delivery.ActorProgram, Action: "token.environment", SubjectType: "token", Subject: environmentToken,
				Details: audit.Details(map[string]any{"why": delivery.Say("audit.environment_token")})},
		)
	})
}

const (
	revokeEnvSQL = "UPDATE redrive.api_tokens SET revoked_at = clock_timestamp() WHERE of_setting AND revoked_at IS NULL"

	// yieldSecretSQL leaves no way back to a token whose secret the setting has now: its hash is hashed once more.
	yieldSecretSQL = `WITH yields AS (UPDATE redrive.token_secrets s SET hash = sha256(s.hash), expires_at = least(s.expires_at, clock_timestamp())
			FROM redrive.api_tokens t WHERE t.id = s.token_id AND s.hash = ? AND NOT t.of_setting RETURNING s.token_id)
		UPDATE redrive.api_tokens SET revoked_at = clock_timestamp() WHERE id IN (SELECT token_id FROM yields) AND revoked_at IS NULL`

	setEnvSQL = `INSERT INTO redrive.api_tokens AS t (name, role, of_setting) VALUES (?, 'admin', true)
		ON CONFLICT (of_setting) WHERE of_setting DO UPDATE SET name = excluded.name, role = 'admin', revoked_at = NULL
		WHERE t.revoked_at IS NOT NULL OR t.role <> 'admin'`

	dropEnvSecretsSQL = `DELETE FROM redrive.token_secrets s USING redrive.api_tokens t WHERE t.id = s.token_id AND t.of_setting
		AND (s.hash <> ? OR s.expires_at IS NOT NULL)`

	addEnvSecretSQL = "INSERT INTO redrive.token_secrets (token_id, hash) SELECT id, ? FROM redrive.api_tokens WHERE of_setting ON CONFLICT (hash) DO NOTHING"
)

func setEnvToken(tx *gorm.DB, sha256 []byte) (changed bool, err error) {
	if sha256 == nil {
		revoked := tx.Exec(revokeEnvSQL)
		return revoked.RowsAffected > 0, revoked.Error
	}
	if err := tx.Exec(yieldSecretSQL, sha256).Error; err != nil {
		return false, err
	}
	set := tx.Exec(setEnvSQL, environmentToken)
	err = errors.Join(set.Error, tx.Exec(dropEnvSecretsSQL, sha256).Error)
	added := tx.Exec(addEnvSecretSQL, sha256)
	return set.RowsAffected+added.RowsAffected > 0, errors.Join(err, added.Error)
}
