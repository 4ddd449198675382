package source

import (
	"context"
	"encoding/binary"
	"encoding/json"
	"fmt"
	"slices"

	"github.com/jackc/pglogrepl"

	"redrive/delivery"
)

// decoder turns pgoutput's messages into events.
type decoder struct {
	prefix    string // of our own logical messages
	relations map[uint32]*relation
	typeOf    func(ctx context.Context, oid uint32) (valueType, error)
	keyOf     func(ctx context.Context, relation uint32) ([]string, error)
	tx        *delivery.Change // the fields shared by all changes of the current transaction; nil between transactions
}

// relation is a table as the log describes it at this place.
type relation struct {
	schema, table string
	columns       []column
	key           []string
	told          *delivery.StreamedTable
}

type column struct {
	name  string
	key   bool // of the replica identity
	value valueType
}

// decode hands out the events of one message. Rows are taken apart here: they are the mass of the stream.
func (d *decoder) decode(ctx context.Context, data []byte, emit func(delivery.CaptureEvent) error) error {
	if len(data) == 0 {
		return errTruncated
	}
	switch kind := pglogrepl.MessageType(data[0]); kind {
	case pglogrepl.MessageTypeInsert, pglogrepl.MessageTypeUpdate, pglogrepl.MessageTypeDelete:
		change, err := d.change(kind, reader{data: data[1:]})
		if err != nil {
			return err
		}
		return emit(delivery.CaptureEvent{Change: change})
	case pglogrepl.MessageTypeOrigin, pglogrepl.MessageTypeType: // say nothing about rows
		return nil
	}
	message, err := pglogrepl.Parse(data)
	if err != nil {
		return delivery.Fault("asking.stream", "why", err)
	}
	switch m := message.(type) {
	case *pglogrepl.RelationMessage:
		d.relations[m.RelationID], err = d.relation(ctx, m)
		return err
	case *pglogrepl.BeginMessage:
		d.tx = &delivery.Change{LSN: delivery.LSN(m.FinalLSN), XID: m.Xid, CommitTime: m.CommitTime.UTC()}
		return nil
	case *pglogrepl.CommitMessage:
		return d.commit(m, emit)
	case *pglogrepl.TruncateMessage:
		return d.truncate(m, emit)
	case *pglogrepl.LogicalDecodingMessage:
		return d.message(m, emit)
	}
	return delivery.Fault("stream.unknown", "type", fmt.Sprintf("%T", message))
}

func (d *decoder) commit(m *pglogrepl.CommitMessage, emit func(delivery.CaptureEvent) error) error {
	tx := d.tx
	if d.tx = nil; tx == nil {
		return errOutside
	}
	return emit(delivery.CaptureEvent{
		Commit: &delivery.CaptureCommit{LSN: delivery.LSN(m.TransactionEndLSN), Time: tx.CommitTime, XID: tx.XID},
	})
}

// message hands out a mark, or an idle event for a heartbeat. Those of others are none of our business.
func (d *decoder) message(m *pglogrepl.LogicalDecodingMessage, emit func(delivery.CaptureEvent) error) error {
	lsn := delivery.LSN(m.LSN)
	switch {
	case m.Prefix != d.prefix:
		return nil
	case !m.Transactional:
		return emit(delivery.CaptureEvent{Idle: lsn})
	}
	return emit(delivery.CaptureEvent{Mark: &delivery.CaptureMark{Content: string(m.Content), LSN: lsn}})
}

func (d *decoder) truncate(m *pglogrepl.TruncateMessage, emit func(delivery.CaptureEvent) error) error {
	for _, id := range m.RelationIDs {
		change, table, err := d.next(delivery.OpTruncate, id)
		if err != nil {
			return err
		}
		change.Key = table.key
		if err := emit(delivery.CaptureEvent{Change: change}); err != nil {
			return err
		}
	}
	return nil
}

// next numbers a change of the transaction under way.
func (d *decoder) next(op delivery.RowOperation, id uint32) (*delivery.Change, *relation, error) {
	if d.tx == nil {
		return nil, nil, errOutside
	}
	table := d.relations[id]
	if table == nil {
		return nil, nil, delivery.Fault("stream.undescribed", "table", id)
	}
	change := *d.tx
	d.tx.Index++
	change.Op, change.Schema, change.Table, change.Of = op, table.schema, table.table, table.told
	return &change, table, nil
}

var operations = map[pglogrepl.MessageType]delivery.RowOperation{
	pglogrepl.MessageTypeInsert: delivery.OpInsert,
	pglogrepl.MessageTypeUpdate: delivery.OpUpdate,
	pglogrepl.MessageTypeDelete: delivery.OpDelete,
}

// change reads a row's change.
func (d *decoder) change(kind pglogrepl.MessageType, r reader) (*delivery.Change, error) {
	change, table, err := d.next(operations[kind], r.uint32())
	if err != nil {
		return nil, err
	}
	change.Key = table.key
	var fresh, old []value
	tuple := r.byte()
	whole := tuple == 'O' // otherwise the old row is only its key
	if tuple == 'O' || tuple == 'K' {
		old = r.tuple(len(table.columns))
		if kind == pglogrepl.MessageTypeUpdate {
			tuple = r.byte()
		}
	}
	if kind != pglogrepl.MessageTypeDelete {
		if tuple != 'N' {
			return nil, errTruncated
		}
		fresh = r.tuple(len(table.columns))
	}
	if r.short {
		return nil, errTruncated
	}
	if old != nil {
		change.Old = table.old(old, whole)
	}
	if kind == pglogrepl.MessageTypeDelete {
		change.Row = change.Old
		return change, nil
	}
	change.Row, change.Unchanged = table.fresh(fresh, change.Old)
	return change, nil
}

// old is the row before, as far as it was sent.
func (t *relation) old(values []value, whole bool) map[string]json.RawMessage {
	r := newRow(len(values), size(values))
	for n, v := range values {
		if (whole || t.columns[n].key) && !v.unchanged {
			r.add(t.columns[n].name, v.text, t.columns[n].value)
		}
	}
	return r.values()
}

// fresh is the row after. What was not sent because it did not change is taken from the row before, or named.
func (t *relation) fresh(values []value, old map[string]json.RawMessage) (row map[string]json.RawMessage, unchanged []string) {
	r := newRow(len(values), size(values))
	var kept []string
	for n, v := range values {
		name := t.columns[n].name
		if !v.unchanged {
			r.add(name, v.text, t.columns[n].value)
		} else if _, known := old[name]; known {
			kept = append(kept, name)
		} else {
			unchanged = append(unchanged, name)
		}
	}
	row = r.values()
	for _, name := range kept {
		row[name] = old[name]
	}
	return row, unchanged
}

// size guesses the room that a row's JSON takes.
func size(values []value) int {
	total := 0
	for _, v := range values {
		total += len(v.text) + 8
	}
	return total
}

func (d *decoder) relation(ctx context.Context, m *pglogrepl.RelationMessage) (*relation, error) {
	told := &delivery.StreamedTable{OID: m.RelationID, Identity: string(rune(m.ReplicaIdentity))}
	table := &relation{schema: m.Namespace, table: m.RelationName, told: told}
	for _, c := range m.Columns {
		t, err := d.typeOf(ctx, c.DataType)
		if err != nil {
			return nil, err
		}
		table.columns = append(table.columns, column{name: c.Name, key: c.Flags&1 != 0, value: t})
		if c.Flags&1 != 0 {
			table.key = append(table.key, c.Name)
		}
		told.Columns = append(told.Columns, c.Name)
	}
	told.Key = table.key
	if m.ReplicaIdentity == identityDefault || m.ReplicaIdentity == identityIndex {
		return table, nil
	}
	// full marks every column, nothing none: what identifies a row stands in the catalogue only
	key, err := d.keyOf(ctx, m.RelationID)
	if err != nil {
		return nil, err
	}
	if len(key) > 0 && !slices.ContainsFunc(key, func(name string) bool { return !table.has(name) }) {
		table.key = key
	}
	return table, nil
}

func (t *relation) has(name string) bool {
	return slices.ContainsFunc(t.columns, func(c column) bool { return c.name == name })
}

var (
	errTruncated = delivery.Fault("stream.truncated")
	errOutside   = delivery.Fault("stream.outside")
)

// value is a column's value in the stream: its text, nil for NULL.
type value struct {
	text      []byte
	unchanged bool // it was not sent
}

// reader takes a message apart; short tells that it ended too early.
type reader struct {
	data  []byte
	short bool
}

func (r *reader) take(n int) []byte {
	if n < 0 || n > len(r.data) {
		r.data, r.short = nil, true
		return make([]byte, min(max(n, 0), 4))
	}
	taken := r.data[:n:n]
	r.data = r.data[n:]
	return taken
}

func (r *reader) byte() byte     { return r.take(1)[0] }
func (r *reader) uint32() uint32 { return binary.BigEndian.Uint32(r.take(4)) }

// tuple reads a row of as many columns as its table has.
func (r *reader) tuple(columns int) []value {
	if int(binary.BigEndian.Uint16(r.take(2))) != columns {
		r.short = true
		return nil
	}
	values := make([]value, columns)
	for n := range values {
		switch r.byte() {
		case pglogrepl.TupleDataTypeNull:
		case pglogrepl.TupleDataTypeToast:
			values[n].unchanged = true
		case pglogrepl.TupleDataTypeText:
			values[n].text = r.take(int(r.uint32()))
		default:
			r.short = true
		}
	}
	return values
}
