package cdc

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"sync"
	"time"

	"redrive/delivery"
	"redrive/delivery/progress"
)

// The snapshot reads tables while their changes stream by, as DBLog does: a mark in the log, a chunk of rows by primary key,
// another mark. Behind the second mark the chunk becomes messages, in one transaction with its progress; what changed between
// the marks stands in the chunk as it is at the second one. So the last message of a row always tells its last state.

// Bounds of a chunk. It begins small and grows while its rows are small.
const (
	firstChunk   = 100
	largestChunk = 1000
	heavyChunk   = 4 << 20 // bytes
	visibleEvery = 5 * time.Millisecond
)

// table is a table that rules name.
type table struct {
	schema, table string
	columns       []string // that any of its rules wants; nil: all
}

func (t table) name() string { return t.schema + "." + t.table }

// snapshotTables are the tables whose rules take what is there already, each once.
func (r *Room) snapshotTables() []table {
	var tables []table
	for _, rule := range r.source.Rules {
		if len(rule.Operations) > 0 && !slices.Contains(rule.Operations, delivery.OpSnapshot) {
			continue
		}
		i := slices.IndexFunc(tables, func(t table) bool { return t.schema == rule.Schema && t.table == rule.Table })
		switch {
		case i < 0:
			tables = append(tables, table{rule.Schema, rule.Table, slices.Clone(rule.Columns)})
		case len(rule.Columns) == 0 || len(tables[i].columns) == 0:
			tables[i].columns = nil
		default:
			tables[i].columns = slices.Compact(slices.Sorted(slices.Values(append(tables[i].columns, rule.Columns...))))
		}
	}
	return tables
}

// snapshots reads what is not read yet, one table after the other.
func (s *session) snapshots(ctx context.Context) error {
	defer s.snapshot.finish()
	for _, t := range s.snapshotTables() {
		p, begun := s.begun[t.name()]
		if p.Done || !begun && !s.Room.source.Snapshot || !s.tables.readable(t.name()) {
			continue
		}
		if p.Total == 0 {
			total, err := s.cfg.Source.Estimate(ctx, t.schema, t.table)
			if err != nil {
				return err
			}
			p.Total = total
		}
		s.log.InfoContext(ctx, "the snapshot of a table begins", "table", t.name(), "rows", p.Rows, "of about", p.Total)
		if err := s.snapshotTable(ctx, t, p); err != nil {
			return err
		}
		if s.tables.readable(t.name()) {
			s.log.InfoContext(ctx, "the snapshot of a table is complete", "table", t.name())
		}
	}
	return nil
}

func (s *session) snapshotTable(ctx context.Context, t table, p delivery.SnapshotProgress) error {
	step := progress.Begin(ctx, "snapshot of "+t.name()+" by "+s.name, p.Total)
	defer step.End()
	limit := firstChunk
	for !p.Done && s.tables.readable(t.name()) {
		rows, last, err := s.chunk(ctx, t, &p, limit)
		if err != nil {
			return err
		}
		if size := weight(rows); size > heavyChunk {
			limit = max(limit/2, 1)
		} else if size < heavyChunk/2 {
			limit = min(limit*2, largestChunk)
		}
		p.After = last
		step.Set(p.Rows)
	}
	return nil
}

// chunk reads the next rows of a table and waits until they are durable.
func (s *session) chunk(
	ctx context.Context,
	t table,
	p *delivery.SnapshotProgress,
	limit int,
) (rows []delivery.Change, last []string, err error) {
	low, reached := s.snapshot.begin(t)
	if _, err := s.cfg.Source.Mark(ctx, low); err != nil {
		return nil, nil, err
	}
	if err := wait(ctx, reached); err != nil {
		return nil, nil, err
	}
	if err := s.untilVisible(ctx); err != nil {
		return nil, nil, err
	}
	if rows, last, err = s.cfg.Source.Chunk(ctx, t.schema, t.table, t.columns, p.After, limit); err != nil {
		return nil, nil, err
	}
	now := time.Now().UTC()
	for i := range rows {
		rows[i].CommitTime = now
	}
	p.Rows += int64(len(rows))
	if p.Done = len(rows) < limit; p.Done {
		last = nil
	} else {
		p.After = last
	}
	high, durable := s.snapshot.end(chunk{table: t, rows: slices.Clone(rows), progress: *p})
	if _, err := s.cfg.Source.Mark(ctx, high); err != nil {
		return nil, nil, err
	}
	return rows, last, wait(ctx, durable)
}

func wait(ctx context.Context, signal <-chan struct{}) error {
	select {
	case <-signal:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// untilVisible waits until a query sees everything that was streamed before the first mark: a commit stands in the log a moment
// before it is seen.
func (s *session) untilVisible(ctx context.Context) error {
	xids := s.snapshot.takeCommitted()
	for len(xids) > 0 {
		var err error
		if xids, err = s.cfg.Source.Unseen(ctx, xids); err != nil {
			return err
		}
		if len(xids) > 0 && !delivery.Pause(ctx, visibleEvery) {
			return ctx.Err()
		}
	}
	return nil
}

func weight(rows []delivery.Change) (bytes int) {
	for _, row := range rows {
		for _, value := range row.Row {
			bytes += len(value)
		}
	}
	return bytes
}

// chunk is rows between two marks.
type chunk struct {
	table    table
	rows     []delivery.Change
	progress delivery.SnapshotProgress // when they are durable
}

// snapshot is the chunk under way, between who reads rows and who reads the stream.
type snapshot struct {
	mu        sync.Mutex
	run       string
	number    int
	table     table
	low, high string
	lowSeen   chan struct{}
	open      bool // between the marks
	chunk     *chunk
	truncated bool
	touched   map[string]changedRow // by key
	saved     chan struct{}         // the chunk is durable
	xids      map[uint32]bool       // committed in the stream; nil when no chunk comes any more
}

// changedRow is what the stream told of a row between the marks.
type changedRow struct {
	deleted bool
	known   map[string]json.RawMessage
}

func newSnapshot() *snapshot {
	// marks of an earlier session, which the stream brings again, are not taken for ours
	return &snapshot{run: fmt.Sprintf("%x", time.Now().UnixNano()), xids: map[uint32]bool{}}
}

// begin returns the content of the mark before a chunk of a table, and what tells that the stream brought it.
func (s *snapshot) begin(t table) (low string, reached <-chan struct{}) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.number++
	s.table, s.low, s.high = t, fmt.Sprintf("low %s %d", s.run, s.number), ""
	s.lowSeen, s.open, s.truncated, s.chunk = make(chan struct{}), false, false, nil
	return s.low, s.lowSeen
}

// end returns the content of the mark behind a chunk, and what tells that the chunk is durable.
func (s *snapshot) end(c chunk) (high string, saved <-chan struct{}) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.high, s.chunk, s.saved = fmt.Sprintf("high %s %d", s.run, s.number), &c, make(chan struct{})
	return s.high, s.saved
}

// mark returns the chunk that ends at a mark, as its rows are there; else nil.
func (s *snapshot) mark(content string) *chunk {
	s.mu.Lock()
	defer s.mu.Unlock()
	switch content {
	case s.low:
		s.open, s.touched = true, map[string]changedRow{}
		close(s.lowSeen)
	case s.high:
		s.open, s.low, s.high = false, "", ""
		s.chunk.rows = s.merged()
		return s.chunk
	}
	return nil
}

// durable says that chunks were committed.
func (s *snapshot) durable(chunks int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if chunks > 0 {
		close(s.saved)
	}
}

// committed notes a transaction of the stream.
func (s *snapshot) committed(xid uint32) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.xids != nil {
		s.xids[xid] = true
	}
}

func (s *snapshot) finish() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.xids = nil
}

func (s *snapshot) takeCommitted() []uint32 {
	s.mu.Lock()
	defer s.mu.Unlock()
	xids := slices.Collect(maps.Keys(s.xids))
	clear(s.xids)
	return xids
}

// touch notes a change between the marks.
func (s *snapshot) touch(c *delivery.Change) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if !s.open || c.Schema != s.table.schema || c.Table != s.table.table {
		return
	}
	key := rowKey(c.Row, c.Key)
	switch c.Op {
	case delivery.OpTruncate:
		s.truncated = true
		clear(s.touched)
		return
	case delivery.OpDelete:
		s.touched[key] = changedRow{deleted: true}
		return
	}
	if before := rowKey(c.Old, c.Key); c.Op == delivery.OpUpdate && len(c.Old) > 0 && before != key {
		s.touched[before] = changedRow{deleted: true}
	}
	t := s.touched[key]
	if t.deleted || t.known == nil {
		t = changedRow{known: map[string]json.RawMessage{}}
	}
	maps.Copy(t.known, c.Row)
	s.touched[key] = t
}

func rowKey(row map[string]json.RawMessage, key []string) string {
	var b bytes.Buffer
	for _, name := range key {
		b.Write(row[name])
		b.WriteByte(0)
	}
	return b.String()
}

// merged is the chunk's rows as they are at the second mark. What did not change between the marks is as the chunk read it.
func (s *snapshot) merged() []delivery.Change {
	if s.truncated {
		return nil
	}
	rows := s.chunk.rows[:0]
	for _, row := range s.chunk.rows {
		t, changed := s.touched[rowKey(row.Row, row.Key)]
		if t.deleted {
			continue
		}
		if changed {
			row.Row = maps.Clone(row.Row)
			for name := range row.Row {
				if value, known := t.known[name]; known {
					row.Row[name] = value
				}
			}
		}
		rows = append(rows, row)
	}
	return rows
}
