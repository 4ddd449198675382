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

// maxStrangers bounds how many sign-ins of nobody in particular are under way at once: whoever begins one needs no right to.
const maxStrangers = 10_000

const (
	keepChallengeSQL = `WITH swept AS (DELETE FROM redrive.challenges WHERE hash IN (SELECT hash FROM redrive.challenges
			WHERE expires_at < clock_timestamp() LIMIT 10 FOR UPDATE SKIP LOCKED))
		INSERT INTO redrive.challenges (hash, kind, operator_id, data, expires_at)
		SELECT @hash, @kind, CAST(@operator AS uuid), @data, clock_timestamp() + CAST(@seconds AS float8) * interval '1 second'
		WHERE CAST(@operator AS uuid) IS NOT NULL OR (SELECT count(*) FROM (SELECT FROM redrive.challenges
			WHERE operator_id IS NULL AND expires_at > clock_timestamp() LIMIT @most) strangers) < @most`

	takeChallengeSQL = `WITH was AS (SELECT hash, data, operator_id FROM redrive.challenges
			WHERE hash = ? AND kind = ? AND used_at IS NULL AND expires_at > clock_timestamp() FOR UPDATE)
		UPDATE redrive.challenges c SET used_at = clock_timestamp(), data = '' FROM was WHERE c.hash = was.hash
		RETURNING coalesce(was.operator_id::text, '') AS operator, was.data`

	usedChallengeSQL = "SELECT count(*) FROM redrive.challenges WHERE hash = ? AND kind = ? AND used_at IS NOT NULL"
)

// KeepChallenge keeps a challenge for delivery.ChallengeTime under a secret that only the browser has. Too many at once are an
// *delivery.UnavailableError.
func (s *People) KeepChallenge(ctx context.Context, secret string, c delivery.Challenge) error {
	kept := s.Gorm.WithContext(ctx).Exec(keepChallengeSQL, map[string]any{"hash": sessionKey(secret), "kind": c.Kind, "data": c.Data,
		"operator": pg.Optional(c.Operator), "seconds": delivery.ChallengeTime.Seconds(), "most": maxStrangers})
	if kept.Error != nil {
		return fmt.Errorf("keeping a challenge: %w", kept.Error)
	}
	if kept.RowsAffected == 0 {
		return &delivery.UnavailableError{Code: "busy"}
	}
	return nil
}

// TakeChallenge returns a challenge and ends it, however many ask at once. One that is over or never was is delivery.ErrNotFound; of one
// that was taken before it only tells that.
func (s *People) TakeChallenge(ctx context.Context, secret string, kind delivery.ChallengeKind) (c delivery.Challenge, err error) {
	c.Kind = kind
	err = s.Transact(ctx, func(tx *gorm.DB) error {
		taken, err := pg.ScanOne[struct {
			Operator string
			Data     []byte
		}](tx, takeChallengeSQL, sessionKey(secret), kind)
		if !errors.Is(err, delivery.ErrNotFound) {
			c.Operator, c.Data = taken.Operator, taken.Data
			return err
		}
		used, usedErr := pg.ReadOne(tx, pg.Single[int], usedChallengeSQL, sessionKey(secret), kind)
		if c.Used = used > 0; c.Used || usedErr != nil {
			return usedErr
		}
		return err
	})
	return c, err
}

// onceSQL notes that something came; a second time it notes nothing.
const onceSQL = `INSERT INTO redrive.challenges (kind, hash, data, expires_at, used_at) VALUES (?, ?, '', ?, clock_timestamp()) ON CONFLICT (hash) DO NOTHING`

const endProvidedSQL = `WITH ended AS (DELETE FROM redrive.sessions s USING redrive.operators o WHERE o.id = s.operator_id AND o.issuer = @issuer
		AND (CAST(@subject AS text) = '' OR o.subject = @subject) AND (CAST(@session AS text) = '' OR s.provider_session = @session) RETURNING o.id, o.name)
	SELECT id::text, name, count(*) AS sessions FROM ended GROUP BY id, name ORDER BY id`

// EndProvided ends the sessions that a provider says have ended, and returns how many those were. A message that came before ends none and
// is an *delivery.InputError.
func (s *People) EndProvided(ctx context.Context, l delivery.ProviderLogout) (ended int, err error) {
	err = s.Transact(ctx, func(tx *gorm.DB) error {
		noted := tx.Exec(onceSQL, delivery.ChallengeLogout, sessionKey(l.Issuer+" "+l.TokenID), l.ExpiresAt)
		if noted.Error != nil {
			return noted.Error
		}
		if noted.RowsAffected == 0 {
			return delivery.Mistake("bad_logout_token.again", "logout_token")
		}
		people, err := pg.Scan[struct {
			ID, Name string
			Sessions int
		}](tx, endProvidedSQL, map[string]any{"issuer": l.Issuer, "subject": l.Subject, "session": l.Session})
		if err != nil {
			return err
		}
		for _, p := range people {
			ended += p.Sessions
			err := audit.Record(tx, delivery.AuditEntry{Actor: delivery.ActorProgram, Action: "session.end-by-provider", SubjectType: "operator", Subject: p.Name,
				Details: audit.Details(map[string]any{"operator_id": p.ID, "sessions": p.Sessions, "issuer": l.Issuer})})
			if err != nil {
				return err
			}
		}
		return nil
	})
	return ended, err
}
