// Package table puts the rows of a batch's file into a table of another database, once, and alters none of their values: what the
// table would cut, round or read as something else is refused.
package table

import (
	"context"
	"errors"
	"fmt"
	"io"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"

	"redrive/delivery"
)

// DataError says that the rows, or the table, do not fit: the same file fails again.
type DataError struct{ Text string }

func (e *DataError) Error() string { return e.Text }

// Bookkeeping is the table beside the target that says which files are in it; it is made at the first file.
const Bookkeeping = "redrive_batches"

// Apply puts a file of JSON lines into the table in one transaction. A file that is in it already changes nothing.
func Apply(ctx context.Context, conn *pgx.Conn, to delivery.TableDestination, f delivery.BatchFile, rows io.Reader) error {
	return pgx.BeginFunc(ctx, conn, func(tx pgx.Tx) error {
		if err := settings(ctx, tx, f.TimeZone); err != nil {
			return err
		}
		target, err := describe(ctx, tx, to)
		if err != nil {
			return err
		}
		fresh, err := claim(ctx, tx, qualified(to.Schema, Bookkeeping), f)
		if err != nil || !fresh {
			return err
		}
		w := writer{tx: tx, target: target, to: to, file: f}
		return w.copy(ctx, rows)
	})
}

// qualified is a name as SQL takes it; without a schema it is where the session finds it.
func qualified(schema, name string) string {
	if schema == "" {
		return pgx.Identifier{name}.Sanitize()
	}
	return pgx.Identifier{schema, name}.Sanitize()
}

// settings makes the session, for this transaction, write values as the batch's source did.
func settings(ctx context.Context, tx pgx.Tx, zone string) error {
	if zone == "" {
		zone = "UTC"
	}
	_, err := tx.Exec(ctx,
		`SELECT pg_catalog.set_config(name, value, true) FROM (VALUES ('timezone', $1), ('datestyle', 'ISO, YMD'),
		('intervalstyle', 'postgres'), ('extra_float_digits', '1'), ('bytea_output', 'hex'), ('xmloption', 'content'), ('client_encoding', 'UTF8'))
		AS s(name, value)`, zone)
	var pg *pgconn.PgError
	if errors.As(err, &pg) && pg.Code == invalidParameter {
		return &DataError{fmt.Sprintf("the table's database does not know the time zone %q of the batch", zone)}
	}
	return err
}

// claim notes the file. Two that come at once wait for each other here; the second finds it noted.
func claim(ctx context.Context, tx pgx.Tx, bookkeeping string, f delivery.BatchFile) (fresh bool, err error) {
	var there bool
	if err := tx.QueryRow(ctx, "SELECT to_regclass($1) IS NOT NULL", bookkeeping).Scan(&there); err != nil {
		return false, err
	}
	if !there {
		_, err := tx.Exec(ctx, "CREATE TABLE IF NOT EXISTS "+bookkeeping+` (
			feed text NOT NULL, sequence bigint NOT NULL, sha256 text NOT NULL, rows bigint NOT NULL,
			applied_at timestamptz NOT NULL DEFAULT clock_timestamp(), PRIMARY KEY (feed, sequence))`)
		if err != nil {
			return false, err
		}
	}
	tag, err := tx.Exec(ctx, "INSERT INTO "+bookkeeping+
		" (feed, sequence, sha256, rows) VALUES ($1, $2, $3, $4) ON CONFLICT DO NOTHING",
		f.Integration, f.Sequence, f.SHA256, f.Rows)
	if err != nil || tag.RowsAffected() == 1 {
		return err == nil, err
	}
	var known string
	err = tx.QueryRow(ctx, "SELECT sha256 FROM "+bookkeeping+" WHERE feed = $1 AND sequence = $2", f.Integration, f.Sequence).
		Scan(&known)
	if err == nil && known != f.SHA256 {
		err = &DataError{
			fmt.Sprintf("file %d of %s was applied before with another content: two senders share the feed's name",
				f.Sequence, f.Integration),
		}
	}
	return false, err
}
