package people

import (
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"time"

	"gorm.io/gorm"

	"redrive/delivery"
	"redrive/store/audit"
	"redrive/store/pg"
)

// Sessions are found by the SHA-256 of their token: who reads the table cannot sign in with it.
func sessionKey(token string) []byte {
	sum := sha256.Sum256([]byte(token))
	return sum[:]
}

// FindCtx returns the data of a session that has not expired.
func (s *People) FindCtx(ctx context.Context, token string) (b []byte, found bool, err error) {
	b, err = pg.ReadOne(s.Gorm.WithContext(ctx), pg.Single[[]byte],
		"SELECT data FROM redrive.sessions WHERE token_hash = ? AND expiry > clock_timestamp()", sessionKey(token))
	if errors.Is(err, delivery.ErrNotFound) {
		return nil, false, nil
	}
	if err != nil {
		return nil, false, fmt.Errorf("reading a session: %w", err)
	}
	return b, true, nil
}

// commitSQL writes whose a session is with its first row only: one that was ended while a request was under way comes back as nobody's.
const commitSQL = `WITH swept AS (DELETE FROM redrive.sessions WHERE token_hash IN (SELECT token_hash
		FROM redrive.sessions WHERE expiry < clock_timestamp() AND token_hash <> @key LIMIT 10 FOR UPDATE SKIP LOCKED))
	INSERT INTO redrive.sessions (expiry, token_hash, data, operator_id, generation, device, address, method, authenticated_at, provider_session, id_token)
	VALUES (@expiry, @key, @data, CAST(@operator AS uuid), @generation, @device, @address, @method, coalesce(CAST(@authenticated AS timestamptz), clock_timestamp()),
		CAST(@provider_session AS text), CAST(@id_token AS text))
	ON CONFLICT (token_hash) DO UPDATE SET data = excluded.data, expiry = excluded.expiry, seen_at = clock_timestamp(), device = excluded.device,
		address = excluded.address`

// CommitCtx writes a session, of whom delivery.WithSession says, and sweeps a few that have expired.
func (s *People) CommitCtx(ctx context.Context, token string, b []byte, expiry time.Time) error {
	of := delivery.SessionOf(ctx)
	var authenticated *time.Time
	if !of.AuthenticatedAt.IsZero() {
		authenticated = &of.AuthenticatedAt
	}
	err := s.Gorm.WithContext(ctx).Exec(commitSQL, map[string]any{"key": sessionKey(token), "expiry": expiry, "data": b,
		"operator": pg.Optional(of.OperatorID), "generation": of.Generation, "device": of.Device, "address": of.Address,
		"method": cmp.Or(of.Method, delivery.SignInPassword), "authenticated": authenticated, "provider_session": pg.Optional(of.ProviderSession),
		"id_token": pg.Optional(of.IDToken)}).Error
	if err != nil {
		return fmt.Errorf("writing a session: %w", err)
	}
	return nil
}

// signedInColumns are what SignedIn and Sessions tell of a session.
const signedInColumns = `s.id::text, o.id::text, s.generation, s.device, s.address, s.created_at, s.seen_at, s.method,
	(greatest(extract(epoch FROM clock_timestamp() - s.authenticated_at), 0) * 1e9)::bigint, coalesce(s.provider_session, '')`

func sessionPointers(s *delivery.Session) []any {
	return []any{&s.ID, &s.OperatorID, &s.Generation, &s.Device, &s.Address, &s.CreatedAt, &s.SeenAt, &s.Method, &s.Age, &s.ProviderSession}
}

// SignedIn returns the person whom a session belongs to, and the session, or delivery.ErrNotFound: the session ended, the person is
// disabled, or has another password or role than when it began.
func (s *People) SignedIn(ctx context.Context, token string) (o delivery.Operator, session delivery.Session, err error) {
	type row struct {
		delivery.Operator
		session delivery.Session
	}
	r, err := pg.ReadOne(s.Gorm.WithContext(ctx), func(r *row) []any {
		return append([]any{&r.ID, &r.Name, &r.Role, &r.Grants, &r.PasswordHash, &r.Operator.Generation, &r.Operator.CreatedAt, &r.Issuer, &r.Language}, sessionPointers(&r.session)...)
	}, "SELECT o.id::text, o.name, o.role, "+pg.GrantsOf("operator_id", "o.id")+", o.password_hash, o.generation, o.created_at, coalesce(o.issuer, ''), o.language, "+
		signedInColumns+pg.SignedInSQL+" AND s.token_hash = ?", sessionKey(token))
	if err != nil {
		return o, session, fmt.Errorf("reading who is signed in: %w", err)
	}
	return r.Operator, r.session, nil
}

// SignIn writes down that a person signs in, if they are as they were when the password was read: else it returns delivery.ErrNotFound.
func (s *People) SignIn(ctx context.Context, o delivery.Operator, details json.RawMessage) error {
	return s.Transact(ctx, func(tx *gorm.DB) error {
		_, err := pg.ReadOne(tx, pg.Single[int], `SELECT 1 FROM redrive.operators WHERE id = ? AND generation = ? AND disabled_at IS NULL FOR SHARE`,
			o.ID, o.Generation)
		if err != nil {
			return err
		}
		return audit.Record(tx, signInEntry(o, details))
	})
}

// IDToken returns the ID token with which a session began at a provider; empty where it did not.
func (s *People) IDToken(ctx context.Context, session string) (string, error) {
	token, err := pg.ReadOne(s.Gorm.WithContext(ctx), pg.Single[string], "SELECT coalesce(id_token, '') FROM redrive.sessions WHERE id = ?", session)
	if err != nil {
		return "", fmt.Errorf("reading an ID token: %w", err)
	}
	return token, nil
}

// Sessions returns where a person is signed in, the latest use first.
func (s *People) Sessions(ctx context.Context, operator string) ([]delivery.Session, error) {
	list, err := pg.Read(s.Gorm.WithContext(ctx), sessionPointers, "SELECT "+signedInColumns+pg.SignedInSQL+
		" AND o.id = ? ORDER BY s.seen_at DESC, s.id", operator)
	if err != nil {
		return nil, fmt.Errorf("reading sessions: %w", err)
	}
	return list, nil
}

// EndSession signs a person out of one browser.
func (s *People) EndSession(ctx context.Context, operatorID, session, actor string) error {
	if !delivery.IsUUID(session) {
		return delivery.ErrNotFound
	}
	return s.TransactAfter(ctx, peopleLock, func(tx *gorm.DB) error {
		o, err := operator(tx, "o.id = ?", operatorID)
		if err != nil {
			return err
		}
		device, err := pg.ReadOne(tx, pg.Single[string], "DELETE FROM redrive.sessions WHERE id = ? AND operator_id = ? RETURNING device", session, o.ID)
		if err != nil {
			return err
		}
		return audit.Record(tx, delivery.AuditEntry{Actor: actor, Action: "session.end", SubjectType: "operator", Subject: o.Name,
			Details: audit.Details(map[string]any{"operator_id": o.ID, "session": session, "device": device})})
	})
}

// holdingSQL names a session by its id, and a token's secret by its id and, of a person's, the generation of the person: with what they may
// do it is another holder.
const holdingSQL = "SELECT s.id::text" + pg.SignedInSQL + ` AND s.id = ANY(SELECT split_part(named, '/', 1)::uuid FROM unnest(CAST(@named AS text[])) named)
	UNION ALL SELECT ` + holderSQL + fromSecretsSQL + ` WHERE s.id = ANY(SELECT split_part(named, '/', 1)::uuid FROM unnest(CAST(@named AS text[])) named) AND ` + pg.LetsInSQL

// Holding returns those of the holders of rights (delivery.Right) that still let somebody in.
func (s *People) Holding(ctx context.Context, holders []string) ([]string, error) {
	list, err := pg.Read(s.Gorm.WithContext(ctx), pg.Single[string], holdingSQL, map[string]any{"named": &holders})
	if err != nil {
		return nil, fmt.Errorf("looking which sessions hold: %w", err)
	}
	return slices.DeleteFunc(list, func(now string) bool { return !slices.Contains(holders, now) }), nil
}

// DeleteCtx ends a session.
func (s *People) DeleteCtx(ctx context.Context, token string) error {
	if err := s.Gorm.WithContext(ctx).
		Exec("DELETE FROM redrive.sessions WHERE token_hash = ?", sessionKey(token)).
		Error; err != nil {
		return fmt.Errorf("ending a session: %w", err)
	}
	return nil
}

// Find is FindCtx for callers without a context.
func (s *People) Find(token string) (b []byte, found bool, err error) {
	return s.FindCtx(context.Background(), token)
}

// Commit is CommitCtx for callers without a context.
func (s *People) Commit(token string, b []byte, expiry time.Time) error {
	return s.CommitCtx(context.Background(), token, b, expiry)
}

// Delete is DeleteCtx for callers without a context.
func (s *People) Delete(token string) error { return s.DeleteCtx(context.Background(), token) }
