package pg

import (
	"context"
	"fmt"
	"time"
)

// PreparedTransaction is one half of a two-phase commit that waits for its end. While it does, its locks stay and vacuum
// removes nothing that is newer.
type PreparedTransaction struct {
	GID   string
	Owner string
	Age   time.Duration
}

// PreparedTransactions returns those of this database, oldest first. Young ones are ordinary; an old one is an orphan, whose
// coordinator will not come back.
func (s *DB) PreparedTransactions(ctx context.Context) ([]PreparedTransaction, error) {
	rows, err := s.Pool.QueryContext(ctx, `SELECT gid, owner, extract(epoch FROM clock_timestamp() - prepared)::float8
		FROM pg_prepared_xacts WHERE database = current_database() ORDER BY prepared`)
	if err != nil {
		return nil, fmt.Errorf("looking for prepared transactions: %w", err)
	}
	defer func() { _ = rows.Close() }()
	var found []PreparedTransaction
	for rows.Next() {
		var p PreparedTransaction
		var seconds float64
		if err := rows.Scan(&p.GID, &p.Owner, &seconds); err != nil {
			return nil, fmt.Errorf("reading prepared transactions: %w", err)
		}
		p.Age = max(time.Duration(seconds*float64(time.Second)), 0)
		found = append(found, p)
	}
	return found, rows.Err()
}
