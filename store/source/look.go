package source

import (
	"context"
	"fmt"
	"slices"

	"github.com/jackc/pgx/v5"

	"redrive/delivery"
)

// Look answers how the tables that rules name are just now. known are those of an earlier look, by the same names: where no table
// has a name any more, the known one is looked for under another.
func (s *Source) Look(ctx context.Context, known map[string]delivery.CapturedTable) (c delivery.CaptureCatalogue, err error) {
	if c, err = s.moment(ctx); err != nil {
		return c, err
	}
	// one snapshot for all: a table that is renamed between two questions would seem to have left the publication
	tx, err := s.pool.BeginTx(ctx, pgx.TxOptions{IsoLevel: pgx.RepeatableRead, AccessMode: pgx.ReadOnly})
	if err != nil {
		return c, fmt.Errorf("looking at the source's catalogue: %w", err)
	}
	defer func() { _ = tx.Rollback(context.WithoutCancel(ctx)) }() // nothing was written
	c.Tables, err = (&Source{settings: s.settings, catalogue: tx}).tables(ctx, known)
	return c, err
}

func (s *Source) tables(ctx context.Context, known map[string]delivery.CapturedTable) (map[string]delivery.CapturedTable, error) {
	p, err := s.publication(ctx)
	if err != nil {
		return nil, err
	}
	found, err := s.lookedUp(ctx, known)
	if err != nil {
		return nil, err
	}
	tables := map[string]delivery.CapturedTable{}
	for _, w := range s.wantedTables() {
		name := w.schema + "." + w.name
		t := named(found, w.schema, w.name)
		if t == nil {
			t = numbered(found, known[name].OID)
		}
		described := p.describe(t)
		if was := known[name]; t != nil && was.OID == t.oid {
			if described.Attached, err = s.attached(ctx, was.Partitions, t.partitions); err != nil {
				return nil, err
			}
		}
		tables[name] = described
	}
	return tables, nil
}

// moment reads the place before the look, and then the transactions: whatever was committed before the place has a smaller number than XMax.
func (s *Source) moment(ctx context.Context) (c delivery.CaptureCatalogue, err error) {
	var lsn, first, next int64
	if err = s.pool.QueryRow(ctx, "SELECT (pg_current_wal_insert_lsn() - '0/0')::bigint").Scan(&lsn); err == nil {
		err = s.pool.QueryRow(ctx, "SELECT pg_snapshot_xmin(s)::text::bigint, pg_snapshot_xmax(s)::text::bigint FROM pg_current_snapshot() s").Scan(&first, &next)
	}
	if err != nil {
		return c, fmt.Errorf("asking the source how far its log is: %w", err)
	}
	c.LSN, c.XMin, c.XMax = delivery.LSN(lsn), uint64(first), uint64(next)
	return c, nil
}

func (s *Source) lookedUp(ctx context.Context, known map[string]delivery.CapturedTable) ([]*table, error) {
	var schemas, names []string
	for _, w := range s.wantedTables() {
		schemas, names = append(schemas, w.schema), append(names, w.name)
	}
	oids := []uint32{}
	for _, t := range known {
		oids = append(oids, t.OID)
	}
	return s.tablesWhere(ctx, "(n.nspname, t.relname) IN (SELECT * FROM unnest($1::text[], $2::text[])) OR t.oid = ANY($3)", schemas, names, oids)
}

func named(list []*table, schema, name string) *table {
	n := slices.IndexFunc(list, func(t *table) bool { return t.schema == schema && t.name == name })
	if n < 0 {
		return nil
	}
	return list[n]
}

func numbered(list []*table, oid uint32) *table {
	n := slices.IndexFunc(list, func(t *table) bool { return t.oid == oid })
	if n < 0 {
		return nil
	}
	return list[n]
}

// describe is a table as it is captured by this publication; the zero table when there is none.
func (p publication) describe(t *table) delivery.CapturedTable {
	out := delivery.CapturedTable{Publication: delivery.CapturedPublication{OID: p.oid, Version: p.version, Owner: p.owner, Operations: p.operations, ViaRoot: p.viaRoot}}
	if t == nil {
		return out
	}
	out.OID, out.Name, out.Identity = t.oid, t.shown(), t.identity
	out.Usable = unusable(t)
	out.Covered, out.Ordered = p.covers(t), len(t.order()) > 0
	out.Partitions, out.Outside, out.Children, out.Bare = t.partitions, t.outside, t.children, t.bare
	if m, found := p.members[t.oid]; found {
		out.Members, out.Filter = append(out.Members, m.row), m.filter
	}
	if row, found := p.schemas[t.schemaOID]; found {
		out.Members = append(out.Members, row)
	}
	sent := p.brings(t, p.server)
	for _, name := range append(slices.Clone(t.columns), t.computed...) {
		out.Columns = append(out.Columns, delivery.CapturedColumn{Number: t.numbered[name], Name: name, Sent: slices.Contains(sent, name),
			Generated: slices.Contains(t.computed, name)})
	}
	out.Key, out.Old = t.numbers(t.key()), t.numbers(t.old())
	return out
}

func unusable(t *table) string {
	switch {
	case t.kind != "r" && t.kind != "p":
		return "it is no table any more"
	case t.persistence != "p":
		return "its changes are not in the log: it is unlogged"
	}
	return ""
}

// old is what the replica identity tells of a row before.
func (t *table) old() []string {
	switch t.identity {
	case string(identityFull):
		return t.columns
	case string(identityIndex):
		return t.index
	case string(identityDefault):
		return t.primary
	}
	return nil
}

func (t *table) numbers(names []string) []int {
	var out []int
	for _, name := range names {
		out = append(out, t.numbered[name])
	}
	return out
}

// attached names the partitions that are new and hold rows which were written before they became partitions: no stream tells of
// those. The first pages tell enough: what was filled before is filled from the front.
func (s *Source) attached(ctx context.Context, before, now []uint32) (names []string, err error) {
	for _, oid := range now {
		if slices.Contains(before, oid) {
			continue
		}
		var schema, name string
		var readable bool
		err := s.catalogue.QueryRow(ctx, `SELECT n.nspname::text, c.relname::text, c.relkind = 'r' AND has_schema_privilege(n.oid, 'USAGE') AND has_table_privilege(c.oid, 'SELECT')
			FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace WHERE c.oid = $1`, oid).Scan(&schema, &name, &readable)
		if err == pgx.ErrNoRows || err == nil && !readable {
			continue
		}
		if err != nil {
			return nil, fmt.Errorf("looking at a new partition: %w", err)
		}
		var older bool
		err = s.catalogue.QueryRow(ctx, "SELECT EXISTS (SELECT FROM ONLY "+quote(schema, name)+` r, pg_inherits i
			WHERE i.inhrelid = $1 AND r.ctid < '(20,0)' AND age(r.xmin) > age(i.xmin))`, oid).Scan(&older)
		if err != nil {
			return nil, fmt.Errorf("looking at a new partition: %w", err)
		}
		if older {
			names = append(names, schema+"."+name)
		}
	}
	return names, nil
}

// Settled waits until all transactions that a look may have met are over, and answers the place then. What was committed before the
// look is visible to queries then.
func (s *Source) Settled(ctx context.Context, look delivery.CaptureCatalogue) (delivery.LSN, error) {
	for {
		now, err := s.moment(ctx)
		if err != nil {
			return 0, err
		}
		if now.XMin >= look.XMax {
			return now.LSN, nil
		}
		if !delivery.Pause(ctx, settleEvery) {
			return 0, ctx.Err()
		}
	}
}
