package pg

import (
	"context"
	"database/sql"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"gorm.io/gorm"

	"redrive/delivery"
)

// Read runs a query and scans each row into what columns points to.
func Read[T any](db *gorm.DB, columns func(*T) []any, query string, args ...any) (list []T, err error) {
	rows, err := db.Raw(query, args...).Rows()
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	for rows.Next() {
		var item T
		if err := rows.Scan(columns(&item)...); err != nil {
			return nil, err
		}
		list = append(list, item)
	}
	return list, rows.Err()
}

// ReadOne is Read for a query of at most one row: without one it returns delivery.ErrNotFound.
func ReadOne[T any](db *gorm.DB, columns func(*T) []any, query string, args ...any) (T, error) {
	return first(Read(db, columns, query, args...))
}

// Scan runs a query and scans each row into the fields of a T that have the names of its columns, where Read costs less but trusts their
// order. Columns and fields must be the same ones: CreatedAt is created_at, ID is id. Null leaves a field zero.
func Scan[T any](db *gorm.DB, query string, args ...any) (list []T, err error) {
	rows, err := db.Raw(query, args...).Rows()
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	if err := sameNames(db, &list, rows); err != nil || !rows.Next() {
		return nil, errors.Join(err, rows.Err())
	}
	err = db.ScanRows(rows, &list)
	return list, err
}

// ScanOne is Scan for a query of at most one row: without one it returns delivery.ErrNotFound.
func ScanOne[T any](db *gorm.DB, query string, args ...any) (T, error) {
	return first(Scan[T](db, query, args...))
}

func first[T any](list []T, err error) (item T, _ error) {
	switch {
	case err != nil:
		return item, err
	case len(list) == 0:
		return item, delivery.ErrNotFound
	}
	return list[0], nil
}

// sameNames refuses what gorm passes over in silence: a column that no field takes, and a field that no column fills.
func sameNames(db *gorm.DB, list any, rows *sql.Rows) error {
	columns, err := rows.Columns()
	if err != nil {
		return err
	}
	parsed := gorm.Statement{DB: db}
	if err := parsed.Parse(list); err != nil {
		return err
	}
	for _, column := range columns {
		if parsed.Schema.FieldsByDBName[column] == nil {
			return fmt.Errorf("%T has no field for column %s", list, column)
		}
	}
	for _, name := range parsed.Schema.DBNames {
		if !slices.Contains(columns, name) {
			return fmt.Errorf("no column %s for a field of %T", name, list)
		}
	}
	return nil
}

// CalledSQL is the present name of an actor, which is passed twice: the actor itself where it has no other.
const CalledSQL = "coalesce((SELECT a.name FROM redrive.actors a WHERE a.id = ?::text), ?::text)"

// Called is the expression of the present name of the actor in a column: empty for nobody.
func Called(column string) string {
	return "coalesce((SELECT a.name FROM redrive.actors a WHERE a.id = " + column + "), " + column + ", '')"
}

// Single points to a row of one column.
func Single[T any](v *T) []any { return []any{v} }

// Where collects conditions that all must hold.
type Where struct {
	Conditions []string
	Args       []any
}

// NewWhere returns no condition yet: everything fits.
func NewWhere() *Where { return &Where{} }

// Add puts in a condition with its arguments; all of them must hold.
func (w *Where) Add(condition string, args ...any) {
	w.Conditions = append(w.Conditions, condition)
	w.Args = append(w.Args, args...)
}

// Equal puts in that a column has a value, unless the value is empty.
func (w *Where) Equal(column, value string) {
	if value != "" {
		w.Add(column+" = ?", value)
	}
}

// Sql returns the clause, empty without a condition.
func (w *Where) Sql() string {
	if len(w.Conditions) == 0 {
		return ""
	}
	return " WHERE " + strings.Join(w.Conditions, " AND ")
}

// Cursor is a place in a list ordered by time and id.
type Cursor struct {
	At time.Time
	Id string
}

// String returns the cursor as clients get it.
func (c Cursor) String() string {
	return base64.RawURLEncoding.EncodeToString(fmt.Appendf(nil, "%d %s", c.At.UnixMicro(), c.Id))
}

// ParseCursor reads what String wrote. The error is an *InputError.
func ParseCursor(text string) (c Cursor, err error) {
	raw, err := base64.RawURLEncoding.DecodeString(text)
	if err != nil {
		return c, BadCursor()
	}
	var micros int64
	if n, err := fmt.Sscanf(string(raw), "%d %s", &micros, &c.Id); n != 2 || err != nil || !delivery.IsUUID(c.Id) {
		return c, BadCursor()
	}
	c.At = time.UnixMicro(micros).UTC()
	return c, nil
}

// BadCursor is the error of a cursor that no list gave out.
func BadCursor() error {
	return delivery.Mistake("bad_cursor", "after")
}

// JSON reads a JSON column into what to points to; null leaves it alone.
type JSON struct{ To any }

// Scan implements sql.Scanner.
func (c JSON) Scan(value any) error {
	switch raw := value.(type) {
	case nil:
		return nil
	case string:
		return json.Unmarshal([]byte(raw), c.To)
	case []byte:
		return json.Unmarshal(raw, c.To)
	}
	return fmt.Errorf("a JSON column is a %T", value)
}

// MaxSiblings is how many other deliveries of one key a page shows.
const MaxSiblings = 20

// Snapshot runs reads that must see the same moment.
func (s *DB) Snapshot(ctx context.Context, work func(tx *gorm.DB) error) error {
	done := false
	err := s.Gorm.WithContext(ctx).Transaction(func(tx *gorm.DB) error {
		err := work(tx)
		done = err == nil
		return err
	}, &sql.TxOptions{Isolation: sql.LevelRepeatableRead, ReadOnly: true})
	if done { // nothing was written: that its end fails, say by the short timeout that a search sets, takes nothing away
		return nil
	}
	return DomainError(err)
}

// Named is the conditions with names in the place of the question marks.
func (w *Where) Named() (sql string, args map[string]any) {
	args = map[string]any{}
	var out strings.Builder
	for i, part := range strings.Split(w.Sql(), "?") {
		if i > 0 {
			name := fmt.Sprintf("p%d", i)
			out.WriteString("@" + name + " ")
			args[name] = w.Args[i-1]
		}
		out.WriteString(part)
	}
	return out.String(), args
}
