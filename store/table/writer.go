package table

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"

	"redrive/delivery"
)

const rowsAtOnce = 1000

// writer upserts rows, as text that Postgres reads as the column's type.
type writer struct {
	tx      pgx.Tx
	target  target
	to      delivery.TableDestination
	file    delivery.BatchFile
	columns []column
	insert  string
	values  [][]*string // by column
	before  int64       // rows that were written
}

func (w *writer) copy(ctx context.Context, source io.Reader) error {
	hash := sha256.New()
	in := json.NewDecoder(io.TeeReader(source, hash))
	count := int64(0)
	for {
		var row map[string]json.RawMessage
		err := in.Decode(&row)
		if err == io.EOF {
			break
		}
		if err != nil {
			return fmt.Errorf("reading the file: %w", err)
		}
		if w.insert == "" {
			if err := w.prepare(ctx, row); err != nil {
				return err
			}
		}
		count++
		if err := w.add(row, count); err != nil {
			return err
		}
		if len(w.values[0]) == rowsAtOnce {
			if err := w.flush(ctx); err != nil {
				return err
			}
		}
	}
	if _, err := io.Copy(hash, source); err != nil {
		return fmt.Errorf("reading the file: %w", err)
	}
	if count != w.file.Rows || hex.EncodeToString(hash.Sum(nil)) != w.file.SHA256 {
		return errors.New("the stored bytes are not the recorded ones")
	}
	return w.flush(ctx)
}

// add takes one row.
func (w *writer) add(row map[string]json.RawMessage, number int64) error {
	for i := range w.columns {
		c := &w.columns[i]
		text, problem, err := w.given(row[c.name])
		if err != nil {
			return fmt.Errorf("reading the file: %w", err)
		}
		if text != nil && c.read != nil {
			text, problem = c.read(*text)
		}
		if problem != "" {
			return &refused{number, c.name, &DataError{problem}}
		}
		w.values[i] = append(w.values[i], text)
	}
	return nil
}

// given is a value as it stands in the file, nil for NULL.
func (w *writer) given(raw json.RawMessage) (text *string, problem string, err error) {
	if len(w.file.Columns) > 0 {
		err := json.Unmarshal(raw, &text)
		return text, "", err
	}
	if len(raw) > 0 { // of an earlier version
		whole := string(raw)
		text = &whole
	}
	return text, "", nil
}

// prepare decides how the columns of the file get into the table, and writes the statement.
func (w *writer) prepare(ctx context.Context, row map[string]json.RawMessage) error {
	given := w.file.Columns
	if len(given) == 0 {
		for name := range row {
			given = append(given, delivery.ValueColumn{Name: name})
		}
		slices.SortFunc(given, func(a, b delivery.ValueColumn) int { return strings.Compare(a.Name, b.Name) })
	}
	for _, v := range given {
		if err := w.target.takes(v.Name, w.to); err != nil {
			return err
		}
		c, err := w.plan(ctx, v.Name, v.Type)
		if err != nil {
			return err
		}
		w.columns = append(w.columns, c)
	}
	for _, key := range w.to.Key {
		if !slices.ContainsFunc(given, func(v delivery.ValueColumn) bool { return v.Name == key }) {
			return &DataError{fmt.Sprintf("the file has no column %q, which is part of the key", key)}
		}
	}
	w.insert = w.statement()
	w.values = make([][]*string, len(w.columns))
	return nil
}

// statement writes the rows and answers none, or writes none and returns the first row and column that would not be kept.
func (w *writer) statement() string {
	var arrays, given, made, bad, names, values, sets, keys []string
	for i, c := range w.columns {
		from, to, quoted := fmt.Sprintf("c%d", i+1), fmt.Sprintf("v%d", i+1), pgx.Identifier{c.name}.Sanitize()
		arrays, given = append(arrays, fmt.Sprintf("$%d::text[]", i+1)), append(given, from)
		made = append(made, fmt.Sprintf("%s AS %s", fill(c.value, from, to), to))
		if c.kept != "true" {
			bad = append(bad, fmt.Sprintf("WHEN %s IS NOT NULL AND (%s) IS NOT TRUE THEN %d", from, fill(c.kept, from, to), i))
		}
		names, values = append(names, quoted), append(values, to)
		if !slices.Contains(w.to.Key, c.name) {
			sets = append(sets, quoted+" = excluded."+quoted)
		}
	}
	for _, key := range w.to.Key {
		keys = append(keys, pgx.Identifier{key}.Sanitize())
	}
	does, overriding, which := "NOTHING", "", "NULL::int"
	if len(sets) > 0 {
		does = "UPDATE SET " + strings.Join(sets, ", ")
	}
	if w.to.Overrides {
		overriding = " OVERRIDING SYSTEM VALUE"
	}
	if len(bad) > 0 {
		which = "CASE " + strings.Join(bad, " ") + " END"
	}
	list := func(parts []string) string { return strings.Join(parts, ", ") }
	return fmt.Sprintf(`WITH given AS MATERIALIZED (
	SELECT * FROM ROWS FROM (unnest(%s)) WITH ORDINALITY AS r(%s, n)
), made AS MATERIALIZED (
	SELECT *, %s FROM given
), bad AS MATERIALIZED (
	SELECT n, which FROM (SELECT n, %s AS which FROM made) m WHERE which IS NOT NULL ORDER BY n LIMIT 1
), put AS (
	INSERT INTO %s (%s)%s SELECT %s FROM made WHERE NOT EXISTS (SELECT FROM bad) ORDER BY n ON CONFLICT (%s) DO %s
)
SELECT n, which FROM bad`, list(arrays), list(given), list(made), which, w.target.name, list(names), overriding, list(values), list(keys), does)
}

func (w *writer) flush(ctx context.Context) error {
	if w.insert == "" || len(w.values[0]) == 0 {
		return nil
	}
	n := len(w.values[0])
	err := pgx.BeginFunc(ctx, w.tx, func(tx pgx.Tx) error { return w.put(ctx, tx, n) })
	if err != nil {
		return w.locate(ctx, n, err)
	}
	for i := range w.values {
		w.values[i] = w.values[i][:0]
	}
	w.before += int64(n)
	return nil
}

// put writes the first n rows that wait.
func (w *writer) put(ctx context.Context, tx pgx.Tx, n int) error {
	args := make([]any, len(w.values))
	for i := range w.values {
		args[i] = w.values[i][:n]
	}
	var row int64
	var which int
	switch err := tx.QueryRow(ctx, w.insert, args...).Scan(&row, &which); {
	case errors.Is(err, pgx.ErrNoRows):
		return nil
	case err != nil:
		return err
	}
	c := &w.columns[which]
	return &refused{w.before + row, c.name, &DataError{c.altered()}}
}

var errTried = errors.New("tried")

// locate finds the first row that Postgres refuses, and its column.
func (w *writer) locate(ctx context.Context, n int, cause error) error {
	var pg *pgconn.PgError
	if !errors.As(cause, &pg) || passing(pg.Code) {
		return cause
	}
	try := func(n int) error {
		err := pgx.BeginFunc(ctx, w.tx, func(tx pgx.Tx) error {
			if err := w.put(ctx, tx, n); err != nil {
				return err
			}
			return errTried // whatever it did is undone
		})
		if errors.Is(err, errTried) {
			return nil
		}
		return err
	}
	good := 0
	for n-good > 1 {
		middle := (good + n) / 2
		if err := try(middle); err != nil {
			n, cause = middle, err
		} else {
			good = middle
		}
	}
	var known *refused
	if errors.As(cause, &known) {
		return cause
	}
	column, cause := w.blamed(ctx, n-1, cause)
	return &refused{w.before + int64(n), column, cause}
}

// blamed is the column whose value in a row cannot be read, and why; or the one that Postgres names.
func (w *writer) blamed(ctx context.Context, row int, cause error) (column string, why error) {
	var pg *pgconn.PgError
	for i, c := range w.columns {
		err := pgx.BeginFunc(ctx, w.tx, func(tx pgx.Tx) error {
			var made *string
			var kept bool
			return tx.QueryRow(ctx, fmt.Sprintf("SELECT %s, coalesce((%s), true) FROM (SELECT c, %s AS v FROM (SELECT $1::text AS c) g) m",
				written("v"), fill(c.kept, "c", "v"), fill(c.value, "c", "v")), w.values[i][row]).
				Scan(&made, &kept)
		})
		switch {
		case err == nil:
		case errors.As(err, &pg) && pg.Code[:2] != "22" && pg.Code[:2] != "23": // the message may name the value
			return c.name, &DataError{c.altered()}
		default:
			return c.name, err
		}
	}
	if errors.As(cause, &pg) {
		return pg.ColumnName, cause
	}
	return "", cause
}
