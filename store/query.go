package store

import (
	"encoding/base64"
	"fmt"
	"strings"
	"time"

	"gorm.io/gorm"

	"redrive/delivery"
)

// read runs a query and scans each row into what columns points to.
func read[T any](db *gorm.DB, columns func(*T) []any, query string, args ...any) (list []T, err error) {
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

// readOne is read for a query of at most one row: without one it answers delivery.ErrNotFound.
func readOne[T any](db *gorm.DB, columns func(*T) []any, query string, args ...any) (item T, err error) {
	list, err := read(db, columns, query, args...)
	if err != nil {
		return item, err
	}
	if len(list) == 0 {
		return item, delivery.ErrNotFound
	}
	return list[0], nil
}

// single points to a row of one column.
func single[T any](v *T) []any { return []any{v} }

// where collects conditions that all must hold.
type where struct {
	conditions []string
	args       []any
}

func newWhere() *where { return &where{} }

func (w *where) add(condition string, args ...any) {
	w.conditions = append(w.conditions, condition)
	w.args = append(w.args, args...)
}

func (w *where) equal(column, value string) {
	if value != "" {
		w.add(column+" = ?", value)
	}
}

func (w *where) sql() string {
	if len(w.conditions) == 0 {
		return ""
	}
	return " WHERE " + strings.Join(w.conditions, " AND ")
}

// cursor is a place in a list ordered by time and id.
type cursor struct {
	at time.Time
	id string
}

func (c cursor) String() string {
	return base64.RawURLEncoding.EncodeToString(fmt.Appendf(nil, "%d %s", c.at.UnixMicro(), c.id))
}

func parseCursor(text string) (c cursor, err error) {
	raw, err := base64.RawURLEncoding.DecodeString(text)
	if err != nil {
		return c, badCursor()
	}
	var micros int64
	if n, err := fmt.Sscanf(string(raw), "%d %s", &micros, &c.id); n != 2 || err != nil || !delivery.IsUUID(c.id) {
		return c, badCursor()
	}
	c.at = time.UnixMicro(micros).UTC()
	return c, nil
}

func badCursor() error {
	return &delivery.InputError{Code: "bad_cursor", Field: "after", Message: "this cursor was not made by this list: start again without it"}
}
