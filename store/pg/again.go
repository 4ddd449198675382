package pg

import (
	"errors"

	"github.com/jackc/pgx/v5/pgconn"
)

// tries is how often a transaction is run that others were in the way of.
const tries = 5

// SQLSTATEs of being in each other's way. Postgres ends one of the transactions that wait for each other, and one that would have to
// ignore what was committed since it began.
const (
	Deadlock      = "40P01"
	serialization = "40001"
)

// Again runs a transaction anew that others were in the way of. It has left nothing, and the others go on meanwhile: there is no need
// to wait. What the transaction answers must come from its last run.
func Again(transaction func() error) (err error) {
	for range tries {
		if err = transaction(); !inTheWay(err) {
			break
		}
	}
	return err
}

// inTheWay says that the same again may succeed.
func inTheWay(err error) bool {
	var refused *pgconn.PgError
	return errors.As(err, &refused) && (refused.Code == Deadlock || refused.Code == serialization)
}
