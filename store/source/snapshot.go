package source

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"strings"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"

	"redrive/delivery"
)

// Chunk reads the next rows of a table in the order of its primary key, behind the key after (nil: from the beginning), as
// changes of operation snapshot. last is the key of the last row, as text; it is nil when there was none. Fewer rows than
// limit are the end. No columns means those that the stream brings; the key comes in any case. The changes have no place in the log.
func (s *Source) Chunk(
	ctx context.Context,
	schema, name string,
	columns, after []string,
	limit int,
) (rows []delivery.Change, last []string, err error) {
	t, err := s.existing(ctx, schema, name)
	if err != nil {
		return nil, nil, err
	}
	order := t.order()
	switch {
	case len(order) == 0:
		return nil, nil, delivery.Fault("snapshot.no_key", "table", t.shown())
	case after != nil && len(after) != len(order):
		return nil, nil, delivery.Fault("snapshot.other_key", "table", t.shown())
	}
	if len(columns) == 0 {
		if columns, err = s.columns(ctx, t); err != nil {
			return nil, nil, err
		}
	}
	for _, name := range t.key() {
		if !slices.Contains(columns, name) {
			columns = append(slices.Clip(columns), name)
		}
	}
	conn, err := s.pool.Acquire(ctx)
	if err != nil {
		return nil, nil, delivery.Fault("asking.connection", "why", err)
	}
	defer conn.Release()
	params := make([][]byte, len(after))
	for n, text := range after {
		params[n] = []byte(text)
	}
	// this protocol answers in text, as the stream does
	result := conn.Conn().
		PgConn().
		ExecParams(ctx, chunkQuery(t, columns, order, after != nil, limit), params, nil, nil, nil).
		Read()
	if result.Err != nil {
		return nil, nil, delivery.Fault("asking.rows", "table", t.shown(), "why", result.Err)
	}
	if len(result.Rows) == 0 {
		return nil, nil, nil
	}
	conn.Release() // types may have to be asked for
	return s.chunk(ctx, t, columns, result)
}

// chunkQuery selects the columns and, behind them, those of the order.
func chunkQuery(t *table, columns, order []string, resumed bool, limit int) string {
	key, after := make([]string, len(order)), make([]string, len(order))
	for n, name := range order {
		key[n], after[n] = pgx.Identifier{name}.Sanitize(), fmt.Sprintf("$%d", n+1)
	}
	list := make([]string, 0, len(columns)+len(order))
	for _, name := range columns {
		list = append(list, pgx.Identifier{name}.Sanitize())
	}
	where := ""
	if resumed {
		where = fmt.Sprintf(" WHERE (%s) > (%s)", strings.Join(key, ", "), strings.Join(after, ", "))
	}
	from := t.quoted()
	if t.kind == "r" {
		from = "ONLY " + from // tables that inherit from it are captured by their own names
	}
	return fmt.Sprintf("SELECT %s FROM %s%s ORDER BY %s LIMIT %d",
		strings.Join(append(list, key...), ", "), from, where, strings.Join(key, ", "), limit)
}

func (s *Source) chunk(
	ctx context.Context,
	t *table,
	columns []string,
	result *pgconn.Result,
) (rows []delivery.Change, last []string, err error) {
	types := make([]valueType, len(columns))
	for n := range columns {
		if types[n], err = s.typeOf(ctx, result.FieldDescriptions[n].DataTypeOID); err != nil {
			return nil, nil, err
		}
	}
	for _, values := range result.Rows {
		r := newRow(len(columns), 0)
		for n, name := range columns {
			r.add(name, values[n], types[n])
		}
		rows = append(rows, delivery.Change{Op: delivery.OpSnapshot, Schema: t.schema, Table: t.name,
			Row: r.values(), Key: t.key()})
	}
	for _, text := range result.Rows[len(result.Rows)-1][len(columns):] {
		last = append(last, string(text))
	}
	return rows, last, nil
}

// Estimate is how many rows the source's planner expects in a table.
func (s *Source) Estimate(ctx context.Context, schema, name string) (int64, error) {
	var raw []byte
	err := s.pool.QueryRow(ctx, "EXPLAIN (FORMAT JSON) SELECT FROM "+quote(schema, name)).Scan(&raw)
	if err != nil {
		return 0, delivery.Fault("asking.estimate", "table", quote(schema, name), "why", err)
	}
	var plans []struct {
		Plan struct {
			Rows float64 `json:"Plan Rows"`
		}
	}
	if err := json.Unmarshal(raw, &plans); err != nil || len(plans) == 0 {
		return 0, delivery.Fault("snapshot.no_plan", "table", quote(schema, name))
	}
	return int64(plans[0].Plan.Rows), nil
}
