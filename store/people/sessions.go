package people

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"time"

	"redrive/delivery"
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

// CommitCtx writes a session, and sweeps a few that have expired.
func (s *People) CommitCtx(ctx context.Context, token string, b []byte, expiry time.Time) error {
	err := s.Gorm.WithContext(ctx).Exec(`WITH swept AS (DELETE FROM redrive.sessions WHERE token_hash IN (SELECT token_hash
			FROM redrive.sessions WHERE expiry < clock_timestamp() AND token_hash <> ? LIMIT 10 FOR UPDATE SKIP LOCKED))
		INSERT INTO redrive.sessions (expiry, token_hash, data) VALUES (?, ?, ?)
		ON CONFLICT (token_hash) DO UPDATE SET data = excluded.data, expiry = excluded.expiry`, sessionKey(token), expiry, sessionKey(token), b).Error
	if err != nil {
		return fmt.Errorf("writing a session: %w", err)
	}
	return nil
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
