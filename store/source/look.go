package source

import (
	"context"
	"fmt"
	"maps"
	"slices"

	"github.com/jackc/pgx/v5"

	"redrive/delivery"
)

// Look returns how the tables that rules name are just now. known are those of an earlier look, by the same names: where no table
// has a name any more, the known one is looked for under another.
func (s *Source) Look(ctx context.Context, known map[string]delivery.CapturedTable) (c delivery.CaptureCatalogue, err error) {
	var before []string
	for {
		if c, err = s.glance(ctx, known); err != nil {
			return c, err
		}
		// what a publication has is told as of later than the rest: what is dropped meanwhile would seem to be withdrawn
		now := withdrawn(known, c.Tables)
		if slices.Equal(now, before) {
			return c, nil
		}
		before = now
	}
}

func (s *Source) glance(ctx context.Context, known map[string]delivery.CapturedTable) (c delivery.CaptureCatalogue, err error) {
	if c, err = s.moment(ctx); err != nil {
		return c, err
	}
	// one snapshot for all: a table that is renamed between two questions would seem to have left the publication
	tx, err := s.pool.BeginTx(ctx, pgx.TxOptions{IsoLevel: pgx.RepeatableRead, AccessMode: pgx.ReadOnly})
	if err != nil {
		return c, delivery.Fault("asking.catalogue", "why", err)
	}
	defer func() { _ = tx.Rollback(context.WithoutCancel(ctx)) }() // nothing was written
	c.Tables, err = (&Source{settings: s.settings, catalogue: tx}).tables(ctx, known)
	return c, err
}

// withdrawn lists the tables and columns that are there and that a publication seems to send no longer.
func withdrawn(known, now map[string]delivery.CapturedTable) (list []string) {
	for _, name := range slices.Sorted(maps.Keys(known)) {
		was, is := known[name], now[name]
		if is.OID == 0 || is.OID != was.OID {
			continue
		}
		if was.Covered && !is.Covered {
			list = append(list, name)
		}
		for _, column := range was.Withdrawn(is) {
			list = append(list, name+"."+column)
		}
	}
	return list
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
			if err = s.attached(ctx, was, &described); err != nil {
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
		err = s.pool.QueryRow(ctx, "SELECT pg_snapshot_xmin(s)::text::bigint, pg_snapshot_xmax(s)::text::bigint FROM pg_current_snapshot() s").
			Scan(&first, &next)
	}
	if err != nil {
		return c, delivery.Fault("asking.log", "why", err)
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
	return s.tablesWhere(ctx,
		"(n.nspname, t.relname) IN (SELECT * FROM unnest($1::text[], $2::text[])) OR t.oid = ANY($3)", schemas, names, oids)
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
	out := delivery.CapturedTable{
		Publication: delivery.CapturedPublication{
			OID:        p.oid,
			Version:    p.version,
			Owner:      p.owner,
			Operations: p.operations,
			ViaRoot:    p.viaRoot,
		},
	}
	if t == nil {
		return out
	}
	out.OID, out.Name, out.Identity = t.oid, t.shown(), t.identity
	out.Usable = unusable(t)
	out.Covered, out.Ordered = p.covers(t), len(t.order()) > 0
	out.Partitions, out.Links, out.Outside, out.Children, out.Bare = t.partitions, t.links, t.outside, t.children, t.bare
	if m, found := p.members[t.oid]; found {
		out.Members, out.Filter = append(out.Members, m.row), m.filter
	}
	if row, found := p.schemas[t.schemaOID]; found {
		out.Members = append(out.Members, row)
	}
	sent := p.brings(t, p.server)
	for _, name := range append(slices.Clone(t.columns), t.computed...) {
		out.Columns = append(out.Columns,
			delivery.CapturedColumn{Number: t.numbered[name], Name: name, Sent: slices.Contains(sent, name),
				Generated: slices.Contains(t.computed, name)})
	}
	out.Key, out.Old = t.numbers(t.key()), t.numbers(t.old())
	return out
}

func unusable(t *table) (why delivery.Phrase) {
	switch {
	case t.kind != "r" && t.kind != "p":
		return delivery.Say("gap.no_table")
	case t.persistence != "p":
		return delivery.Say("gap.unlogged")
	}
	return why
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

// attached names the partitions that are new and hold rows which were written before they became partitions, and those that are known
// and were none for a while: no stream tells of what was done to them meanwhile.
func (s *Source) attached(ctx context.Context, was delivery.CapturedTable, now *delivery.CapturedTable) error {
	for n, oid := range now.Partitions {
		before := slices.Index(was.Partitions, oid)
		same := before >= 0 && (before >= len(was.Links) || was.Links[before] == now.Links[n])
		if same {
			continue
		}
		name, older, err := s.older(ctx, oid)
		switch {
		case err != nil:
			return delivery.Fault("asking.partition", "why", err)
		case before >= 0:
			now.Rejoined = append(now.Rejoined, name)
		case older:
			now.Attached = append(now.Attached, name)
		}
	}
	return nil
}

// older reports whether a partition that we may read holds rows which were written before the last of its links to the whole table was made,
// and how it is named.
func (s *Source) older(ctx context.Context, oid uint32) (shown string, older bool, err error) {
	var schema, name string
	var readable bool
	err = s.catalogue.QueryRow(ctx, `SELECT n.nspname::text, c.relname::text,
		coalesce(c.relkind = 'r' AND has_schema_privilege(n.oid, 'USAGE') AND has_table_privilege(c.oid, 'SELECT'), false)
		FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace WHERE c.oid = $1`, oid).Scan(&schema, &name, &readable)
	if shown = schema + "." + name; err != nil || !readable {
		return shown, false, err
	}
	err = s.catalogue.QueryRow(ctx, fmt.Sprintf(olderQuery, quote(schema, name)), oid).Scan(&older)
	return shown, older, err
}

// olderQuery asks whether rows of a table are older than the newest link above it: of an earlier transaction, or of an earlier command of the
// same one. Of what was made as a partition the first pages tell enough, so that one that has grown is not read as a whole.
const olderQuery = `WITH RECURSIVE chain AS (
		SELECT inhparent AS parent, xmin AS made, cmin::text::bigint AS command FROM pg_inherits WHERE inhrelid = $1
		UNION ALL SELECT i.inhparent, i.xmin, i.cmin::text::bigint FROM chain JOIN pg_inherits i ON i.inhrelid = chain.parent),
	link AS MATERIALIZED (SELECT made, command, EXISTS (SELECT FROM pg_attribute a WHERE a.attrelid = $1 AND a.attnum = -1 AND a.xmin = made) AS fresh
		FROM chain ORDER BY age(made), command DESC LIMIT 1)
	SELECT EXISTS (SELECT FROM link, LATERAL (SELECT r.xmin AS written, r.cmin AS command FROM ONLY %[1]s r WHERE r.ctid < '(20,0)' AND fresh
			UNION ALL SELECT r.xmin, r.cmin FROM ONLY %[1]s r WHERE NOT fresh) r
		WHERE age(r.written) > age(link.made) OR r.written = link.made AND r.command::text::bigint < link.command)`

// Settled waits until all transactions that a look may have met are over, and returns the place then. What was committed before the
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
