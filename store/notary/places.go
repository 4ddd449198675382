package notary

import (
	"context"
	"fmt"

	"gorm.io/gorm"

	"redrive/delivery/ledger"
	"redrive/store/pg"
)

// Places are the places outside that were given something, by name.
func (n *Notary) Places(ctx context.Context) ([]ledger.Place, error) {
	list, err := pg.Scan[ledger.Place](n.Gorm.WithContext(ctx), "SELECT place AS name, size, at, error, since FROM redrive.audit_places ORDER BY place")
	if err != nil {
		return nil, fmt.Errorf("reading where the audit goes: %w", err)
	}
	return list, nil
}

// PlaceHas notes that a place outside has the entries up to size, or the checkpoint of so many. A place only moves on.
func (n *Notary) PlaceHas(ctx context.Context, name string, size int64) error {
	return n.Transact(ctx, func(tx *gorm.DB) error {
		return tx.Exec(`INSERT INTO redrive.audit_places (place, size, at) VALUES (?, ?, clock_timestamp()) ON CONFLICT (place) DO UPDATE
			SET size = greatest(audit_places.size, excluded.size), at = excluded.at, error = '', since = NULL`, name, size).Error
	})
}

// PlaceFails notes why a place outside takes nothing.
func (n *Notary) PlaceFails(ctx context.Context, name, why string) error {
	return n.Transact(ctx, func(tx *gorm.DB) error {
		return tx.Exec(`INSERT INTO redrive.audit_places (place, error, since) VALUES (?, ?, clock_timestamp()) ON CONFLICT (place) DO UPDATE
			SET error = excluded.error, since = coalesce(audit_places.since, excluded.since)`, name, why).Error
	})
}

// KeepCosignature keeps the line that a witness signed for the checkpoint of a size.
func (n *Notary) KeepCosignature(ctx context.Context, size int64, witness, line string) error {
	return n.Transact(ctx, func(tx *gorm.DB) error {
		return tx.Exec(`INSERT INTO redrive.audit_cosignatures (size, witness, signature) VALUES (?, ?, ?) ON CONFLICT DO NOTHING`, size, witness, line).Error
	})
}
