package notary

import (
	"context"
	"fmt"
	"time"

	"gorm.io/gorm"

	"redrive/store/pg"
)

// segment is how many entries leave at once; the trigger of audit_gone has the same number.
const segment = 4096

// ForgetAudit lets the oldest segment of entries leave if all of it is older than keep and a checkpoint covers it. Its hashes stay. It reports
// whether something left; the database refuses what is younger than a year.
func (n *Notary) ForgetAudit(ctx context.Context, keep time.Duration) (left bool, err error) {
	err = n.transact(ctx, func(tx *gorm.DB) error {
		last, err := pg.ReadOne(tx, pg.Single[int64], "SELECT coalesce(max(upto), 0) + ? FROM redrive.audit_gone", segment)
		if err != nil {
			return err
		}
		left, err = pg.ReadOne(tx, pg.Single[bool], `SELECT EXISTS (SELECT FROM redrive.audit WHERE seq = ? AND at < clock_timestamp() - make_interval(secs => ?))
			AND coalesce((SELECT max(size) FROM redrive.audit_checkpoints), 0) >= ?`, last, keep.Seconds(), last)
		if err != nil || !left {
			return err
		}
		return tx.Exec("INSERT INTO redrive.audit_gone (upto, keep) VALUES (?, make_interval(secs => ?))", last, keep.Seconds()).Error
	})
	if err != nil {
		return false, fmt.Errorf("letting old entries of the audit leave: %w", err)
	}
	return left, nil
}
