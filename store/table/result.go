package table

import (
	"context"
	"errors"
	"io"
	"strings"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"

	"redrive/delivery"
	"redrive/store/session"
)

// Through returns Send with connections that dial opens.
func Through(dial delivery.Dial) func(context.Context, delivery.TableDestination, delivery.BatchFile, io.Reader) delivery.Result {
	return func(ctx context.Context, to delivery.TableDestination, f delivery.BatchFile, rows io.Reader) delivery.Result {
		return Send(ctx, dial, to, f, rows)
	}
}

// Send is Apply on a connection of its own, and says what happened in the words of an attempt.
func Send(ctx context.Context, dial delivery.Dial, to delivery.TableDestination, f delivery.BatchFile, rows io.Reader) delivery.Result {
	config, err := pgx.ParseConfig(to.URL)
	if err != nil {
		return failed(delivery.OutcomePermanent, delivery.ClassBadRequest, "the table's url is no address of a Postgres database")
	}
	config.DialFunc = pgconn.DialFunc(dial)
	session.Prepare(&config.Config, "redrive batch", nil) // the table's name may need the role's search_path
	conn, err := pgx.ConnectConfig(ctx, config)
	if err != nil {
		return worded(err, judge(err, delivery.ClassConnect))
	}
	defer conn.Close(context.WithoutCancel(ctx))
	if err := Apply(ctx, conn, to, f, rows); err != nil {
		return worded(err, judge(err, delivery.ClassConnectionLost))
	}
	return delivery.Result{Outcome: delivery.OutcomeOK}
}

// judge tells what the same rows would meet again from what passes. An outcome that was lost is no worry: the next attempt sees
// whether the file is in the table.
func judge(err error, otherwise string) delivery.Result {
	var data *DataError
	var pg *pgconn.PgError
	var at *refused
	place := ""
	if errors.As(err, &at) {
		place = at.place()
	}
	var pooler *session.PoolerError
	var blocked *delivery.BlockedError
	switch {
	case errors.As(err, &blocked):
		return failed(delivery.OutcomePermanent, delivery.ClassBlockedAddress, blocked.Error())
	case errors.As(session.Explain(err), &pooler):
		return failed(delivery.OutcomePermanent, delivery.ClassConnect, pooler.Error())
	case errors.As(err, &data):
		return failed(delivery.OutcomePermanent, delivery.ClassRefused, place+data.Text)
	case errors.As(err, &pg) && strings.HasPrefix(pg.Code, "22"): // its message may quote the value
		return failed(delivery.OutcomePermanent, delivery.ClassRefused,
			place+"a value does not fit its column (SQLSTATE "+pg.Code+")")
	case errors.As(err, &pg) && lasting(pg.Code):
		return failed(delivery.OutcomePermanent, delivery.ClassRefused, place+"the database refused the rows: "+pg.Message)
	case errors.As(err, &pg):
		return failed(delivery.OutcomeTransient, delivery.ClassConnect, "the database answered: "+pg.Message)
	case errors.Is(err, context.DeadlineExceeded):
		return failed(delivery.OutcomeTransient, delivery.ClassTimeout, "the database took too long")
	case otherwise == delivery.ClassConnect:
		return failed(delivery.OutcomeTransient, otherwise, "the database cannot be reached")
	}
	return failed(delivery.OutcomeTransient, otherwise,
		"the connection to the database was lost, or the stored file could not be read")
}

// lasting are the SQLSTATE classes of values, constraints, rights and statements.
func lasting(code string) bool {
	for _, class := range []string{"22", "23", "42", "0A", "21"} {
		if strings.HasPrefix(code, class) {
			return true
		}
	}
	return false
}

// passing are those of connections, locks, resources and administrators: the same rows may go in later.
func passing(code string) bool {
	for _, class := range []string{"08", "40", "53", "55", "57", "58"} {
		if strings.HasPrefix(code, class) {
			return true
		}
	}
	return false
}

func failed(outcome delivery.Outcome, class, text string) delivery.Result {
	return delivery.Result{Outcome: outcome, ErrorClass: class, Error: delivery.Storable(text)}
}
