package people

import (
	"context"
	"fmt"
	"time"

	"gorm.io/gorm"

	"redrive/delivery"
	"redrive/store/pg"
)

// How long a place is known without use, and how many of one person are.
const (
	keepPlace = 180 * 24 * time.Hour
	maxPlaces = 20
)

// KnownPlace reports what is known of a place from where somebody signs in by a name: whether its browser is one of theirs, by the secret
// that RememberPlace was given, and whether its address is.
func (s *People) KnownPlace(ctx context.Context, name, secret, address string) (browser, known bool, err error) {
	type found struct{ Browser, Address bool }
	f, err := pg.ScanOne[found](s.Gorm.WithContext(ctx),
		`SELECT coalesce(bool_or(p.hash = ?), false) AS browser, coalesce(bool_or(p.address = ?), false) AS address
		FROM redrive.places p JOIN redrive.operators o ON o.id = p.operator_id
		WHERE o.name = ? AND p.seen_at > clock_timestamp() - make_interval(secs => ?)`,
		sessionKey(secret), address, name, keepPlace.Seconds())
	if err != nil {
		return false, false, fmt.Errorf("reading a place: %w", err)
	}
	return f.Browser, f.Address, nil
}

// RememberPlace keeps that a person signed in with a browser that has this secret, at an address, and forgets what is older than what is kept.
func (s *People) RememberPlace(ctx context.Context, o delivery.Operator, secret, address string) error {
	return s.Transact(ctx, func(tx *gorm.DB) error {
		err := tx.Exec(`INSERT INTO redrive.places (operator_id, hash, address) VALUES (?, ?, ?)
			ON CONFLICT (operator_id, hash) DO UPDATE SET address = excluded.address, seen_at = clock_timestamp()`, o.ID, sessionKey(secret), address).Error
		if err != nil {
			return fmt.Errorf("keeping a place: %w", err)
		}
		return tx.Exec(`DELETE FROM redrive.places p WHERE operator_id = ? AND (seen_at < clock_timestamp() - make_interval(secs => ?)
			OR hash NOT IN (SELECT hash FROM redrive.places WHERE operator_id = p.operator_id ORDER BY seen_at DESC LIMIT ?))`,
			o.ID, keepPlace.Seconds(), maxPlaces).Error
	})
}
