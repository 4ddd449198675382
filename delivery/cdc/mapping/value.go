package mapping

import (
	"bytes"
	"encoding/json"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"redrive/delivery"
)

// number is a JSON number that no int holds, as it was written: what passes through keeps its digits.
type number string

// calculable is a value as operators take it.
func calculable(value any) any {
	n, ok := value.(number)
	if !ok {
		return value
	}
	f, err := strconv.ParseFloat(string(n), 64)
	if err != nil {
		return value // no float64 is so large
	}
	return f
}

// unsent is the value of a column that did not change and was not sent. It is not null, and nothing can be made of it.
type unsent struct{ column string }

func (u unsent) Error() string {
	return fmt.Sprintf("column %s did not change and its value was not sent: ask for %q in unchanged first", u.column, u.column)
}

// fields are the names that expressions know.
type fields struct {
	Op          string         `expr:"op"`
	Schema      string         `expr:"schema"`
	Table       string         `expr:"table"`
	Row         map[string]any `expr:"row"`
	Old         map[string]any `expr:"old"`
	Key         map[string]any `expr:"key"`
	Changed     []string       `expr:"changed"`
	Unchanged   []string       `expr:"unchanged"`
	LSN         string         `expr:"lsn"`
	XID         int            `expr:"xid"`
	CommittedAt time.Time      `expr:"committed_at"`
}

// environment is what expressions see of one change, made when the first asks.
type environment struct {
	change *delivery.Change
	made   *fields
}

func (e *environment) fields() *fields {
	if e.made != nil {
		return e.made
	}
	c := e.change
	e.made = &fields{
		Op:          string(c.Op),
		Schema:      c.Schema,
		Table:       c.Table,
		Row:         decodeAll(c.Row),
		Old:         decodeAll(c.Old),
		Key:         map[string]any{},
		Changed:     changed(c),
		Unchanged:   append([]string{}, c.Unchanged...),
		LSN:         c.LSN.String(),
		XID:         int(c.XID),
		CommittedAt: c.CommitTime.UTC(),
	}
	for _, name := range c.Key {
		e.made.Key[name] = e.made.Row[name]
	}
	for _, name := range c.Unchanged {
		e.made.Row[name] = unsent{name}
	}
	return e.made
}

// view is a change as a rule sees it: with its columns only, which always count those that identify the row. What did not change
// and was not sent, but is in the old row, is known.
func view(c *delivery.Change, columns []string) delivery.Change {
	seen := *c
	shown := func(name string) bool {
		return len(columns) == 0 || slices.Contains(columns, name) || slices.Contains(c.Key, name)
	}
	if len(columns) > 0 {
		seen.Row, seen.Old = pick(c.Row, shown), pick(c.Old, shown)
	}
	if len(c.Unchanged) > 0 {
		seen.Row = pick(seen.Row, func(string) bool { return true })
		seen.Unchanged = nil
		for _, name := range c.Unchanged {
			if value, known := seen.Old[name]; known {
				seen.Row[name] = value
			} else if shown(name) {
				seen.Unchanged = append(seen.Unchanged, name)
			}
		}
	}
	return seen
}

func pick(row map[string]json.RawMessage, shown func(string) bool) map[string]json.RawMessage {
	if row == nil {
		return nil
	}
	out := make(map[string]json.RawMessage, len(row))
	for name, value := range row {
		if shown(name) {
			out[name] = value
		}
	}
	return out
}

// changed names the columns that an update changed, as far as the old row tells.
func changed(c *delivery.Change) []string {
	names := []string{}
	for name, old := range c.Old {
		if value, there := c.Row[name]; there && c.Op == delivery.OpUpdate && !bytes.Equal(value, old) {
			names = append(names, name)
		}
	}
	slices.Sort(names)
	return names
}

func decodeAll(row map[string]json.RawMessage) map[string]any {
	out := make(map[string]any, len(row))
	for name, raw := range row {
		out[name] = decode(raw)
	}
	return out
}

// decode reads a JSON value; numbers keep their digits. What nearly all columns are needs no decoder.
func decode(raw json.RawMessage) any {
	switch text := string(raw); {
	case text == "null":
		return nil
	case text == "true" || text == "false":
		return text == "true"
	case len(raw) >= 2 && raw[0] == '"' && bytes.IndexByte(raw, '\\') < 0:
		return text[1 : len(text)-1]
	case len(raw) > 0 && (raw[0] == '-' || raw[0] >= '0' && raw[0] <= '9'):
		return exact(json.Number(text))
	}
	decoder := json.NewDecoder(bytes.NewReader(raw))
	decoder.UseNumber()
	var value any
	if err := decoder.Decode(&value); err != nil {
		return string(raw)
	}
	return exact(value)
}

// exact makes ints of the numbers that are ints, all through a value.
func exact(value any) any {
	switch v := value.(type) {
	case json.Number:
		if n, err := strconv.Atoi(string(v)); err == nil && strconv.Itoa(n) == string(v) {
			return n
		}
		return number(v)
	case []any:
		for i := range v {
			v[i] = exact(v[i])
		}
	case map[string]any:
		for name := range v {
			v[name] = exact(v[name])
		}
	}
	return value
}

// plain is a JSON value as text: a string without its quotes.
func plain(raw json.RawMessage) string {
	text, err := scalar(decode(raw))
	if err != nil {
		return string(raw)
	}
	return text
}

// scalar is one value as text, nothing for null.
func scalar(value any) (string, error) {
	switch v := value.(type) {
	case nil:
		return "", nil
	case string:
		return v, nil
	case number:
		return string(v), nil
	case bool:
		return strconv.FormatBool(v), nil
	case int:
		return strconv.Itoa(v), nil
	case float64:
		return strconv.FormatFloat(v, 'f', -1, 64), nil
	case time.Time:
		return v.Format(time.RFC3339Nano), nil
	case unsent:
		return "", v
	}
	return "", fmt.Errorf("it must be one value, not %s", describe(value))
}

// describe names the type of a value in words.
func describe(value any) string {
	switch value.(type) {
	case nil:
		return "null"
	case string:
		return "a text"
	case int, float64, number:
		return "a number"
	case bool:
		return "true or false"
	case map[string]any, map[any]any:
		return "an object"
	case unsent:
		return "a value that was not sent"
	}
	if strings.HasPrefix(fmt.Sprintf("%T", value), "[]") {
		return "a list"
	}
	return "a value of another kind"
}
