package table

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"

	"redrive/delivery"
)

// target is the table that rows go into.
type target struct {
	name    string // as SQL takes it
	columns map[string]targetColumn
}

type targetColumn struct {
	kind      string // type with its limits, as in numeric(10,2)
	base      string // type without limits, below all domains, as in pg_catalog.numeric
	enum      bool
	generated bool // computed by the table
	identity  bool // GENERATED ALWAYS AS IDENTITY
}

const columnsSQL = `
WITH RECURSIVE below AS (
    SELECT a.attnum, t.oid, t.typtype, t.typbasetype FROM pg_catalog.pg_attribute a JOIN pg_catalog.pg_type t ON t.oid = a.atttypid
    WHERE a.attrelid = to_regclass($1) AND a.attnum > 0 AND NOT a.attisdropped
    UNION ALL
    SELECT b.attnum, t.oid, t.typtype, t.typbasetype FROM below b JOIN pg_catalog.pg_type t ON t.oid = b.typbasetype WHERE b.typtype = 'd'
)
SELECT a.attname::text, format_type(a.atttypid, a.atttypmod), quote_ident(n.nspname) || '.' || quote_ident(t.typname), t.typtype = 'e',
    a.attgenerated <> '', a.attidentity = 'a'
FROM below b JOIN pg_catalog.pg_attribute a ON a.attrelid = to_regclass($1) AND a.attnum = b.attnum
    JOIN pg_catalog.pg_type t ON t.oid = b.oid JOIN pg_catalog.pg_namespace n ON n.oid = t.typnamespace
WHERE b.typtype <> 'd'`

// describe looks the table up.
func describe(ctx context.Context, tx pgx.Tx, to delivery.TableDestination) (target, error) {
	t := target{name: qualified(to.Schema, to.Table), columns: map[string]targetColumn{}}
	rows, err := tx.Query(ctx, columnsSQL, t.name)
	if err != nil {
		return t, err
	}
	var name string
	var c targetColumn
	if _, err := pgx.ForEachRow(rows, []any{&name, &c.kind, &c.base, &c.enum, &c.generated, &c.identity}, func() error {
		c.base = canonical(c.base)
		t.columns[name] = c
		return nil
	}); err != nil {
		return t, err
	}
	if len(t.columns) == 0 {
		return t, missing(ctx, tx, to)
	}
	return t, nil
}

// missing says that there is no such table, and which one may be meant.
func missing(ctx context.Context, tx pgx.Tx, to delivery.TableDestination) error {
	text := "there is no table " + delivery.TableName(to.Schema, to.Table)
	var schema, table string
	err := tx.QueryRow(ctx, `SELECT n.nspname::text, c.relname::text FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
		WHERE lower(c.relname) = lower($1) AND c.relkind IN ('r', 'p', 'f', 'v') AND ($2 = '' OR lower(n.nspname) = lower($2))
		AND n.nspname NOT IN ('pg_catalog', 'information_schema') ORDER BY 1, 2 LIMIT 1`, to.Table, to.Schema).
		Scan(&schema, &table)
	switch {
	case errors.Is(err, pgx.ErrNoRows):
		return &DataError{text}
	case err != nil:
		return err
	}
	return &DataError{fmt.Sprintf("%s; if %s is meant, write it so, with its quotes", text, delivery.TableName(schema, table))}
}

// takes says why a value may not be given for a column.
func (t target) takes(name string, to delivery.TableDestination) error {
	c, known := t.columns[name]
	switch {
	case !known:
		return &DataError{fmt.Sprintf("the table has no column %q", name)}
	case c.generated:
		return &DataError{
			fmt.Sprintf("column %q is computed by the table (GENERATED ALWAYS AS): leave it out, by columns beside "+
				"the table's name", name),
		}
	case c.identity && !to.Overrides:
		return &DataError{
			fmt.Sprintf("column %q is numbered by the table (GENERATED ALWAYS AS IDENTITY): leave it out, by columns "+
				"beside the table's name, or write overriding_system_value: true to keep the numbers of the file", name),
		}
	case c.identity && !slices.Contains(to.Key, name):
		return &DataError{
			fmt.Sprintf("column %q is numbered by the table (GENERATED ALWAYS AS IDENTITY) and cannot be changed in "+
				"rows that are there: add it to key, or leave it out, by columns", name),
		}
	}
	return nil
}

// SQLSTATEs.
const (
	datatypeMismatch = "42804" // types that do not go together
	cannotCoerce     = "42846"
	invalidParameter = "22023"
)

// parses reports whether Postgres takes a statement, as far as types go.
func parses(ctx context.Context, tx pgx.Tx, statement string) (ok bool, err error) {
	err = pgx.BeginFunc(ctx, tx, func(inner pgx.Tx) error {
		_, err := inner.Conn().PgConn().Prepare(ctx, "", statement, nil)
		return err
	})
	var pg *pgconn.PgError
	if errors.As(err, &pg) && (pg.Code == datatypeMismatch || pg.Code == cannotCoerce) {
		return false, nil
	}
	return err == nil, err
}

// assignable reports whether Postgres itself would put a value of that type into the column.
func (t target) assignable(ctx context.Context, tx pgx.Tx, kind, column string) (bool, error) {
	return parses(ctx, tx, fmt.Sprintf("INSERT INTO %s (%s) OVERRIDING SYSTEM VALUE SELECT NULL::%s",
		t.name, pgx.Identifier{column}.Sanitize(), kind))
}

// resolve reports whether there is a type of that name here.
func resolve(ctx context.Context, tx pgx.Tx, kind string) (known bool, err error) {
	if kind == "" {
		return false, nil
	}
	err = tx.QueryRow(ctx, "SELECT count(*) = 1 FROM pg_catalog.pg_type WHERE oid = to_regtype($1) AND typtype <> 'p'", kind).
		Scan(&known)
	return known, err
}
