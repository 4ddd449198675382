package people

import (
	"context"
	"errors"
	"fmt"
	"time"

	"gorm.io/gorm"

	"redrive/delivery"
	"redrive/store/audit"
	"redrive/store/pg"
)

// Bounds of what strangers have kept for them, who need no right to: all of them, and those of one address.
const (
	maxStrangers  = 60
	maxOfStranger = 4
)

const (
	sweptSQL = `WITH swept AS (DELETE FROM redrive.challenges WHERE hash IN (SELECT hash FROM redrive.challenges
			WHERE expires_at < clock_timestamp() LIMIT 10 FOR UPDATE SKIP LOCKED)) `

	keepChallengeSQL = sweptSQL + `INSERT INTO redrive.challenges (hash, kind, operator_id, address, data, expires_at)
		SELECT @hash, @kind, CAST(@operator AS uuid), CAST(@address AS text), @data, clock_timestamp() + CAST(@seconds AS float8) * interval '1 second'`

	strangersLock = "SELECT pg_advisory_xact_lock(hashtextextended('redrive.challenges', 0))"

	// makeRoomSQL ends the oldest of an address that has its part, else the oldest of those that have most.
	makeRoomSQL = `DELETE FROM redrive.challenges WHERE hash = (SELECT hash FROM (SELECT hash, address, expires_at, count(*) OVER () AS everybody,
			count(*) OVER (PARTITION BY address) AS own FROM redrive.challenges WHERE operator_id IS NULL AND address IS NOT NULL) kept
		WHERE everybody >= @most OR address = @address AND own >= @own
		ORDER BY address = @address AND own >= @own DESC, own DESC, expires_at LIMIT 1)`

	takeChallengeSQL = `WITH was AS (SELECT hash, data, operator_id FROM redrive.challenges
			WHERE hash = ? AND kind = ? AND used_at IS NULL AND expires_at > clock_timestamp() FOR UPDATE)
		UPDATE redrive.challenges c SET used_at = clock_timestamp(), data = '' FROM was WHERE c.hash = was.hash
		RETURNING coalesce(was.operator_id::text, '') AS operator, was.data`

	usedChallengeSQL = "SELECT count(*) FROM redrive.challenges WHERE hash = ? AND kind = ? AND used_at IS NOT NULL"
)

// KeepChallenge keeps a challenge for delivery.ChallengeTime under a secret that only the browser has. One of nobody in particular takes
// the place of others of its address, or of the address that has most, once there are many.
func (s *People) KeepChallenge(ctx context.Context, secret string, c delivery.Challenge) error {
	row := map[string]any{"hash": sessionKey(secret), "kind": c.Kind, "data": c.Data, "operator": pg.Optional(c.Operator),
		"address": nil, "seconds": delivery.ChallengeTime.Seconds(), "most": maxStrangers, "own": maxOfStranger}
	err := s.Transact(ctx, func(tx *gorm.DB) error {
		if c.Operator == "" {
			row["address"] = c.Address
			if err := tx.Exec(strangersLock).Error; err != nil {
				return err
			}
			if err := tx.Exec(makeRoomSQL, row).Error; err != nil {
				return err
			}
		}
		return tx.Exec(keepChallengeSQL, row).Error
	})
	if err != nil {
		return fmt.Errorf("keeping a challenge: %w", err)
	}
	return nil
}

// TicketKey returns the key that tickets of sign-ins under way are sealed with: 32 bytes.
func (s *People) TicketKey(ctx context.Context) ([]byte, error) {
	key, err := pg.ReadOne(s.Gorm.WithContext(ctx), pg.Single[[]byte], "SELECT key FROM redrive.sign_in_key")
	if err != nil {
		return nil, fmt.Errorf("reading the key of tickets: %w", err)
	}
	return key, nil
}

// TicketEnded reports whether a ticket has signed somebody in.
func (s *People) TicketEnded(ctx context.Context, id string) (bool, error) {
	n, err := pg.ReadOne(s.Gorm.WithContext(ctx), pg.Single[int], usedChallengeSQL, sessionKey(id), delivery.ChallengeEnded)
	return n > 0, err
}

// EndTicket notes that a ticket signs somebody in: delivery.ErrNotFound where it did before. It is remembered for longer than tickets hold.
func (s *People) EndTicket(ctx context.Context, id string) error {
	return once(s.Gorm.WithContext(ctx).Exec(onceSQL, delivery.ChallengeEnded, sessionKey(id), (2 * delivery.ChallengeTime).Seconds()))
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

// onceSQL notes that something came, for so many seconds; a second time it notes nothing.
const onceSQL = sweptSQL + `INSERT INTO redrive.challenges (kind, hash, data, expires_at, used_at)
	VALUES (?, ?, '', clock_timestamp() + CAST(? AS float8) * interval '1 second', clock_timestamp()) ON CONFLICT (hash) DO NOTHING`

const endProvidedSQL = `WITH ended AS (DELETE FROM redrive.sessions s USING redrive.operators o WHERE o.id = s.operator_id AND o.issuer = @issuer
		AND (CAST(@subject AS text) = '' OR o.subject = @subject) AND (CAST(@session AS text) = '' OR s.provider_session = @session) RETURNING o.id, o.name)
	SELECT id::text, name, count(*) AS sessions FROM ended GROUP BY id, name ORDER BY id`

// EndProvided ends the sessions that a provider says have ended, and returns how many those were. A message that came before ends none and
// is an *delivery.InputError.
func (s *People) EndProvided(ctx context.Context, l delivery.ProviderLogout) (ended int, err error) {
	err = s.Transact(ctx, func(tx *gorm.DB) error {
		noted := tx.Exec(onceSQL, delivery.ChallengeLogout, sessionKey(l.Issuer+" "+l.TokenID), time.Until(l.ExpiresAt).Seconds())
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
