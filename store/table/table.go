// Package table puts the rows of a batch's file into a table of another database, once.
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

	"redrive/delivery"
)

const rowsAtOnce = 1000

// DataError says that the rows, or the table, do not fit: the same file fails again.
type DataError struct{ Text string }

func (e *DataError) Error() string { return e.Text }

// Bookkeeping is the table beside the target that says which files are in it; it is made at the first file.
const Bookkeeping = "redrive_batches"

// Apply puts a file of JSON lines into the table in one transaction. A file that is in it already changes nothing.
func Apply(ctx context.Context, conn *pgx.Conn, to delivery.TableDestination, f delivery.BatchFile, rows io.Reader) error {
	return pgx.BeginFunc(ctx, conn, func(tx pgx.Tx) error {
		name := identifier(to.Table)
		target, err := describe(ctx, tx, name.Sanitize())
		if err != nil {
			return err
		}
		fresh, err := claim(ctx, tx, append(slices.Clone(name[:len(name)-1]), Bookkeeping).Sanitize(), f)
		if err != nil || !fresh {
			return err
		}
		w := writer{tx: tx, table: name.Sanitize(), to: to, types: target}
		return w.copy(ctx, rows, f)
	})
}

func identifier(table string) pgx.Identifier { return strings.Split(table, ".") }

// describe answers the types of the table's columns.
func describe(ctx context.Context, tx pgx.Tx, table string) (map[string]string, error) {
	rows, err := tx.Query(ctx, `SELECT attname, format_type(atttypid, atttypmod) FROM pg_attribute
		WHERE attrelid = to_regclass($1) AND attnum > 0 AND NOT attisdropped AND attgenerated = ''`, table)
	if err != nil {
		return nil, err
	}
	types := map[string]string{}
	var name, kind string
	if _, err := pgx.ForEachRow(rows, []any{&name, &kind}, func() error { types[name] = kind; return nil }); err != nil {
		return nil, err
	}
	if len(types) == 0 {
		return nil, &DataError{fmt.Sprintf("there is no table %s", table)}
	}
	return types, nil
}

// claim notes the file. Two that come at once wait for each other here; the second finds it noted.
func claim(ctx context.Context, tx pgx.Tx, bookkeeping string, f delivery.BatchFile) (fresh bool, err error) {
	var there bool
	if err := tx.QueryRow(ctx, "SELECT to_regclass($1) IS NOT NULL", bookkeeping).Scan(&there); err != nil {
		return false, err
	}
	if !there {
		if _, err := tx.Exec(ctx, "CREATE TABLE IF NOT EXISTS "+bookkeeping+` (feed text NOT NULL, sequence bigint NOT NULL, sha256 text NOT NULL,
			rows bigint NOT NULL, applied_at timestamptz NOT NULL DEFAULT clock_timestamp(), PRIMARY KEY (feed, sequence))`); err != nil {
			return false, err
		}
	}
	tag, err := tx.Exec(ctx, "INSERT INTO "+bookkeeping+" (feed, sequence, sha256, rows) VALUES ($1, $2, $3, $4) ON CONFLICT DO NOTHING",
		f.Integration, f.Sequence, f.SHA256, f.Rows)
	if err != nil || tag.RowsAffected() == 1 {
		return err == nil, err
	}
	var known string
	err = tx.QueryRow(ctx, "SELECT sha256 FROM "+bookkeeping+" WHERE feed = $1 AND sequence = $2", f.Integration, f.Sequence).Scan(&known)
	if err == nil && known != f.SHA256 {
		err = &DataError{fmt.Sprintf("file %d of %s was applied before with another content: two senders share the feed's name", f.Sequence, f.Integration)}
	}
	return false, err
}

// writer upserts rows, as text that Postgres reads as the column's type.
type writer struct {
	tx     pgx.Tx
	table  string
	to     delivery.TableDestination
	types  map[string]string
	names  []string // in the table
	insert string
	values [][]*string // by column
}

func (w *writer) copy(ctx context.Context, source io.Reader, f delivery.BatchFile) error {
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
			if err := w.prepare(row); err != nil {
				return err
			}
		}
		for i, name := range w.names {
			w.values[i] = append(w.values[i], text(row[name]))
		}
		if count++; len(w.values[0]) == rowsAtOnce {
			if err := w.flush(ctx); err != nil {
				return err
			}
		}
	}
	if _, err := io.Copy(hash, source); err != nil {
		return fmt.Errorf("reading the file: %w", err)
	}
	if count != f.Rows || hex.EncodeToString(hash.Sum(nil)) != f.SHA256 {
		return errors.New("the stored bytes are not the recorded ones")
	}
	return w.flush(ctx)
}

// prepare writes the statement for the columns of the file.
func (w *writer) prepare(row map[string]json.RawMessage) error {
	for name := range row {
		w.names = append(w.names, name)
	}
	slices.Sort(w.names)
	var columns, arrays, places, casts, sets, keys []string
	for i, name := range w.names {
		kind, known := w.types[name]
		if !known {
			return &DataError{fmt.Sprintf("the table has no column %q", name)}
		}
		quoted := pgx.Identifier{name}.Sanitize()
		columns = append(columns, quoted)
		arrays, places = append(arrays, fmt.Sprintf("$%d::text[]", i+1)), append(places, fmt.Sprintf("c%d", i+1))
		casts = append(casts, fmt.Sprintf("c%d::%s", i+1, kind))
		if !slices.Contains(w.to.Key, name) {
			sets = append(sets, quoted+" = excluded."+quoted)
		}
	}
	for _, key := range w.to.Key {
		if !slices.Contains(w.names, key) {
			return &DataError{fmt.Sprintf("the file has no column %q, which is part of the key", key)}
		}
		keys = append(keys, pgx.Identifier{key}.Sanitize())
	}
	does := "UPDATE SET " + strings.Join(sets, ", ")
	if len(sets) == 0 {
		does = "NOTHING"
	}
	list := func(parts []string) string { return strings.Join(parts, ", ") }
	w.insert = fmt.Sprintf("INSERT INTO %s (%s) SELECT %s FROM unnest(%s) AS r(%s) ON CONFLICT (%s) DO %s", w.table, list(columns),
		list(casts), list(arrays), list(places), list(keys), does)
	w.values = make([][]*string, len(w.names))
	return nil
}

func (w *writer) flush(ctx context.Context) error {
	if w.insert == "" || len(w.values[0]) == 0 {
		return nil
	}
	args := make([]any, len(w.values))
	for i := range w.values {
		args[i] = w.values[i]
	}
	_, err := w.tx.Exec(ctx, w.insert, args...)
	for i := range w.values {
		w.values[i] = w.values[i][:0]
	}
	return err
}

// text is a JSON value as Postgres reads it; null is nil.
func text(raw json.RawMessage) *string {
	if len(raw) == 0 || string(raw) == "null" {
		return nil
	}
	s := string(raw)
	if raw[0] == '"' {
		_ = json.Unmarshal(raw, &s) // the decoder has read it: it is a string
	}
	return &s
}
