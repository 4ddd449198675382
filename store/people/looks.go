package people

import (
	"context"
	"fmt"
	"time"

	"gorm.io/gorm"

	"redrive/delivery"
	"redrive/store/pg"
)

// lookSQL also answers until when whoever looks from now on sees everything: a failure is listed by the moment at which it was written,
// and shows up when its transaction ends. Transactions that take longer than that do not hold a mark back.
const lookSQL = `SELECT coalesce(l.seen_until, o.created_at) AS until, greatest(statement_timestamp() - interval '1 minute',
		least(statement_timestamp(), (SELECT min(a.xact_start) FROM pg_stat_activity a
			WHERE a.datname = current_database() AND a.backend_xid IS NOT NULL))) AS complete
	FROM redrive.operators o LEFT JOIN redrive.looks l ON l.operator_id = o.id WHERE o.id = ?`

// Look returns until when a person has seen what fails; the zero look for whoever is no person. Read it before the list that it goes with.
func (s *People) Look(ctx context.Context, operator string) (look delivery.Look, err error) {
	if !delivery.IsUUID(operator) {
		return look, nil
	}
	found, err := pg.Scan[delivery.Look](s.Gorm.WithContext(ctx), lookSQL, operator)
	if err != nil {
		return look, fmt.Errorf("reading what somebody has seen: %w", err)
	}
	if len(found) == 1 {
		look = found[0]
	}
	return look, nil
}

// Seen notes that a person has seen what failed until a time, which is not moved back, nor into the future.
func (s *People) Seen(ctx context.Context, operator string, until time.Time) error {
	if !delivery.IsUUID(operator) {
		return delivery.ErrNotFound
	}
	return s.Transact(ctx, func(tx *gorm.DB) error {
		err := tx.Exec(`INSERT INTO redrive.looks AS l (operator_id, seen_until)
			SELECT o.id, least(CAST(? AS timestamptz), statement_timestamp()) FROM redrive.operators o WHERE o.id = ?
			ON CONFLICT (operator_id) DO UPDATE SET seen_until = greatest(l.seen_until, excluded.seen_until)`, until, operator).Error
		if err != nil {
			return fmt.Errorf("noting what somebody has seen: %w", err)
		}
		return nil
	})
}
