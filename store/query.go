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

// Sizes of one page of a list.
const (
	defaultPage = 50
	largestPage = 500
)

func pageSize(limit int) (int, error) {
	switch {
	case limit == 0:
		return defaultPage, nil
	case limit < 0 || limit > largestPage:
		return 0, delivery.Mistake("bad_limit", "limit", "max", largestPage)
	}
	return limit, nil
}

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
	if n, err := fmt.Sscanf(string(raw), "%d %s", &micros, &c.id); n != 2 || err != nil || !isUUID(c.id) {
		return c, badCursor()
	}
	c.at = time.UnixMicro(micros).UTC()
	return c, nil
}

func badCursor() error {
	return delivery.Mistake("bad_cursor", "after")
}

// isUUID keeps malformed ids out of queries: they name nothing.
func isUUID(id string) bool {
	if len(id) != 36 {
		return false
	}
	for i, c := range id {
		hex := c >= '0' && c <= '9' || c >= 'a' && c <= 'f' || c >= 'A' && c <= 'F'
		dash := i == 8 || i == 13 || i == 18 || i == 23
		if dash != (c == '-') || !dash && !hex {
			return false
		}
	}
	return true
}
