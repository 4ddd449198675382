package table

import (
	"errors"
	"strings"

	"github.com/jackc/pgx/v5/pgconn"

	"redrive/delivery"
)

// worded puts the database's message beside its SQLSTATE, where it said something. A message that may repeat values is kept apart, so
// that masks can keep it from people.
func worded(err error, r delivery.Result) delivery.Result {
	var pg *pgconn.PgError
	var own *DataError
	if !errors.As(err, &pg) || errors.As(err, &own) {
		return r
	}
	r.Error = strings.TrimSuffix(r.Error, ": "+delivery.Storable(pg.Message))
	if state := " (SQLSTATE " + pg.Code + ")"; !strings.HasSuffix(r.Error, state) {
		r.Error += state
	}
	if r.Words = pg.Message; !delivery.QuotesData(pg.Code, pg.Message, pg.Routine) {
		r.Error, r.Words = r.Error+": "+delivery.OneLine(pg.Message), ""
	}
	return r
}
