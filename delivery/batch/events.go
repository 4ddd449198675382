package batch

import (
	"encoding/hex"
	"encoding/json"
	"fmt"
	"strings"

	"github.com/jackc/pgx/v5/pgtype"

	"redrive/delivery"
)

// payloadColumn is the place of the payload among an event's columns.
const payloadColumn = 4

// events turns events into rows: id, type, key, created_at and payload, and each value of the payload that a column names by its
// JSON path.
type events struct {
	paths   []string
	json    bool // values keep their JSON form
	typed   bool // for a table: nothing is decided here
	control string
	columns func([]delivery.BatchColumn) error
	next    func([][]byte) error
	values  [][]byte
}

func newEvents(
	spec delivery.FileFormat,
	control string,
	columns func([]delivery.BatchColumn) error,
	row func([][]byte) error,
) *events {
	e := &events{json: spec.Kind == delivery.FileJSON, typed: spec.Text, control: control, columns: columns, next: row}
	for _, c := range spec.Columns {
		if strings.HasPrefix(c.From, "$") {
			e.paths = append(e.paths, c.From)
		}
	}
	if strings.HasPrefix(control, "$") {
		e.paths = append(e.paths, control)
	}
	return e
}

// begin announces the columns of an event and of its values.
func (e *events) begin(columns []delivery.BatchColumn) error {
	if !e.typed {
		columns[payloadColumn].OID = pgtype.TextOID
	}
	columns[payloadColumn].Type = delivery.TypeMessagePayload
	kind := uint32(pgtype.TextOID)
	if e.json {
		kind = pgtype.JSONOID
	}
	announced := map[string]bool{}
	var paths []string
	for _, path := range e.paths {
		if announced[path] {
			continue
		}
		announced[path], paths = true, append(paths, path)
		column := delivery.BatchColumn{Name: path, OID: kind, Type: delivery.TypeMessageValue}
		if path == e.control {
			column.OID = pgtype.NumericOID
		}
		columns = append(columns, column)
	}
	e.paths = paths
	return e.columns(columns)
}

func (e *events) row(event [][]byte) error {
	var payload, shown []byte // nil: there is none
	if written := event[payloadColumn]; written != nil {
		payload = make([]byte, max(hex.DecodedLen(len(written)-2), 0))
		if _, err := hex.Decode(payload, written[2:]); err != nil { // \x…
			return fmt.Errorf("reading the payload of event %s: %w", event[0], err)
		}
		shown = []byte(delivery.Storable(string(payload)))
	}
	e.values = append(e.values[:0], event...)
	if !e.typed {
		e.values[payloadColumn] = shown
	}
	for _, path := range e.paths {
		e.values = append(e.values, e.value(payload, path))
	}
	return e.next(e.values)
}

// value is what a path names, nil where there is nothing.
func (e *events) value(payload []byte, path string) []byte {
	raw, ok := delivery.Extract(payload, path)
	if !ok || string(raw) == "null" && (!e.typed || path == e.control) {
		return nil
	}
	var text string
	if (!e.json || path == e.control) && json.Unmarshal(raw, &text) == nil {
		return []byte(text)
	}
	return raw
}
