package mapping

import (
	"bytes"
	"encoding/json"
	"fmt"
	"maps"
	"math"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"time"

	"redrive/delivery"
)

// document is the change itself as JSON, its members always in this order and columns by name. Values stand as the source gave
// them.
func document(c *delivery.Change) []byte {
	b := make([]byte, 0, 512)
	b = append(b, `{"op":`...)
	b = appendString(b, string(c.Op))
	b = append(b, `,"schema":`...)
	b = appendString(b, c.Schema)
	b = append(b, `,"table":`...)
	b = appendString(b, c.Table)
	b = append(b, `,"key":`...)
	b = appendRow(b, pick(c.Row, func(name string) bool { return slices.Contains(c.Key, name) }))
	b = append(b, `,"row":`...)
	b = appendRow(b, c.Row)
	b = append(b, `,"old":`...)
	b = appendRow(b, c.Old)
	b = append(b, `,"unchanged":[`...)
	for i, name := range c.Unchanged {
		if i > 0 {
			b = append(b, ',')
		}
		b = appendString(b, name)
	}
	b = append(b, `],"lsn":"`...)
	b = append(b, c.LSN.String()...)
	b = append(b, `","xid":`...)
	b = strconv.AppendUint(b, uint64(c.XID), 10)
	b = append(b, `,"committed_at":"`...)
	b = c.CommitTime.UTC().AppendFormat(b, time.RFC3339Nano)
	return append(b, `"}`...)
}

func appendRow(b []byte, row map[string]json.RawMessage) []byte {
	if row == nil {
		return append(b, "null"...)
	}
	b = append(b, '{')
	for i, name := range slices.Sorted(maps.Keys(row)) {
		if i > 0 {
			b = append(b, ',')
		}
		b = append(appendString(b, name), ':')
		b = append(b, row[name]...)
	}
	return append(b, '}')
}

func appendString(b []byte, text string) []byte {
	if strings.IndexFunc(text, func(r rune) bool {
		return r < ' ' || r == '"' || r == '\\' || r == '\uFFFD' || r == '\u2028' || r == '\u2029'
	}) < 0 {
		b = append(b, '"')
		b = append(b, text...)
		return append(b, '"')
	}
	var escaped bytes.Buffer
	encoder := json.NewEncoder(&escaped)
	encoder.SetEscapeHTML(false)
	_ = encoder.Encode(text) // a string can always be written
	return append(b, bytes.TrimSuffix(escaped.Bytes(), []byte("\n"))...)
}

// encode writes what an expression yielded as JSON, members by name. Of row, the whole row of the change, columns that were not
// sent are left out; anywhere else they are an error.
func encode(value any, row map[string]any) ([]byte, error) {
	return appendValue(make([]byte, 0, 256), value, row)
}

func appendValue(b []byte, value any, row map[string]any) ([]byte, error) {
	switch v := value.(type) {
	case nil:
		return append(b, "null"...), nil
	case string:
		return appendString(b, v), nil
	case bool:
		return strconv.AppendBool(b, v), nil
	case int:
		return strconv.AppendInt(b, int64(v), 10), nil
	case number:
		return append(b, v...), nil
	case float64:
		return appendFloat(b, v)
	case time.Time:
		return appendString(b, v.Format(time.RFC3339Nano)), nil
	case unsent:
		return nil, v
	case map[string]any:
		return appendObject(b, v, row)
	case []any:
		return appendList(b, v, row)
	case []string:
		return appendList(b, v, row)
	}
	return nil, fmt.Errorf("%s cannot be written as JSON", describe(value))
}

func appendFloat(b []byte, f float64) ([]byte, error) {
	if math.IsNaN(f) || math.IsInf(f, 0) {
		return nil, fmt.Errorf("JSON has no number %v", f)
	}
	raw, err := json.Marshal(f)
	return append(b, raw...), err
}

func appendObject(b []byte, object, row map[string]any) (_ []byte, err error) {
	whole := reflect.ValueOf(object).Pointer() == reflect.ValueOf(row).Pointer()
	b = append(b, '{')
	start := len(b)
	for _, name := range slices.Sorted(maps.Keys(object)) {
		if _, left := object[name].(unsent); left && whole {
			continue
		}
		if len(b) > start {
			b = append(b, ',')
		}
		if b, err = appendValue(append(appendString(b, name), ':'), object[name], row); err != nil {
			return nil, err
		}
	}
	return append(b, '}'), nil
}

func appendList[T any](b []byte, list []T, row map[string]any) (_ []byte, err error) {
	b = append(b, '[')
	for i, item := range list {
		if i > 0 {
			b = append(b, ',')
		}
		if b, err = appendValue(b, item, row); err != nil {
			return nil, err
		}
	}
	return append(b, ']'), nil
}
