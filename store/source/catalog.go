package source

import (
	"context"
	"errors"
	"slices"

	"github.com/jackc/pgx/v5"

	"redrive/delivery"
)

// Replica identities, as the catalogue writes them.
const (
	identityDefault = 'd'
	identityIndex   = 'i'
	identityFull    = 'f'
)

// table is what the catalogue says of a table.
type table struct {
	schema, name string
	oid          uint32
	kind         string // r: table, p: partitioned
	persistence  string // p: its changes are in the log
	identity     string
	columns      []string // those a stream can send
	computed     []string // generated ones, which it does not
	primary      []string // columns of the primary key, in its order
	index        []string // columns of the replica identity's index
	bare         []string // the parts of it (itself, or its partitions) whose rows have no replica identity
	readable     bool     // by our role
	schemaOID    uint32
	numbered     map[string]int // columns, also the computed ones
	partitions   []uint32       // the leaf partitions, which hold the rows
	links        []string       // of each of them: what attaches it, another text after it was attached anew
	outside      []string       // partitions whose changes are not in the log
	children     []string       // tables that inherit from it
}

// identified is SQL for: rows of class c can be told apart in the log. A deferrable key does not count.
const identified = `(c.relreplident = 'f' OR EXISTS (SELECT FROM pg_index i WHERE i.indrelid = c.oid AND i.indimmediate AND i.indisvalid
	AND (c.relreplident = 'd' AND i.indisprimary OR c.relreplident = 'i' AND i.indisreplident)))`

// leaves is SQL for what holds the rows of class t, each with its links up to it. Postgres has functions for this, which see more than
// the snapshot: a partition that was attached after a look began would be known without its rows, and never be missed.
const leaves = `(WITH RECURSIVE tree AS (
		SELECT i.inhrelid AS relid, i.xmin::text AS links FROM pg_inherits i WHERE i.inhparent = t.oid AND t.relkind = 'p' AND NOT i.inhdetachpending
		UNION ALL SELECT i.inhrelid, tree.links || '/' || i.xmin::text FROM tree JOIN pg_inherits i ON i.inhparent = tree.relid AND NOT i.inhdetachpending)
	SELECT c.oid, tree.links, c.relname, c.relnamespace, c.relkind, c.relpersistence FROM tree JOIN pg_class c ON c.oid = tree.relid WHERE c.relkind <> 'p')`

// keyColumns is SQL for the columns of an index of class t.
func keyColumns(which string) string {
	return `ARRAY(SELECT a.attname::text FROM pg_index i CROSS JOIN unnest(i.indkey) WITH ORDINALITY k(attnum, n)
		JOIN pg_attribute a ON a.attrelid = i.indrelid AND a.attnum = k.attnum
		WHERE i.indrelid = t.oid AND i.` + which + ` AND i.indimmediate AND k.n <= i.indnkeyatts ORDER BY k.n)`
}

var tableQuery = `SELECT t.oid, n.nspname::text, t.relname::text, t.relkind::text, t.relpersistence::text, t.relreplident::text,
	ARRAY(SELECT attname::text FROM pg_attribute WHERE attrelid = t.oid AND attnum > 0 AND NOT attisdropped AND attgenerated = '' ORDER BY attnum),
	ARRAY(SELECT attname::text FROM pg_attribute WHERE attrelid = t.oid AND attnum > 0 AND NOT attisdropped AND attgenerated <> '' ORDER BY attnum),
	` + keyColumns("indisprimary") + `, ` + keyColumns("indisreplident") + `,
	ARRAY(SELECT format('%I.%I', s.nspname, c.relname) FROM pg_class c JOIN pg_namespace s ON s.oid = c.relnamespace
		WHERE c.oid IN (SELECT oid FROM ` + leaves + ` l UNION ALL SELECT t.oid) AND c.relkind <> 'p' AND NOT ` + identified + ` ORDER BY 1),
	coalesce(has_schema_privilege(n.oid, 'USAGE') AND has_table_privilege(t.oid, 'SELECT'), false),
	n.oid, (SELECT coalesce(jsonb_object_agg(attname, attnum), '{}') FROM pg_attribute WHERE attrelid = t.oid AND attnum > 0 AND NOT attisdropped),
	ARRAY(SELECT l.oid FROM ` + leaves + ` l ORDER BY l.oid), ARRAY(SELECT l.links FROM ` + leaves + ` l ORDER BY l.oid),
	ARRAY(SELECT format('%I.%I', s.nspname, l.relname) FROM ` + leaves + ` l JOIN pg_namespace s ON s.oid = l.relnamespace
		WHERE l.relkind <> 'r' OR l.relpersistence <> 'p' ORDER BY 1),
	ARRAY(SELECT format('%I.%I', s.nspname, c.relname) FROM pg_inherits i JOIN pg_class c ON c.oid = i.inhrelid JOIN pg_namespace s ON s.oid = c.relnamespace
		WHERE i.inhparent = t.oid AND t.relkind = 'r' ORDER BY 1)
	FROM pg_class t JOIN pg_namespace n ON n.oid = t.relnamespace WHERE `

// table looks a table up; nil when there is none.
func (s *Source) table(ctx context.Context, where string, args ...any) (*table, error) {
	list, err := s.tablesWhere(ctx, where, args...)
	if err != nil || len(list) == 0 {
		return nil, err
	}
	return list[0], nil
}

func (s *Source) tablesWhere(ctx context.Context, where string, args ...any) ([]*table, error) {
	rows, err := s.catalogue.Query(ctx, tableQuery+where, args...)
	if err != nil {
		return nil, delivery.Fault("asking.tables", "why", err)
	}
	list, err := pgx.CollectRows(rows, func(row pgx.CollectableRow) (*table, error) {
		var t table
		return &t, row.Scan(&t.oid, &t.schema, &t.name, &t.kind, &t.persistence, &t.identity, &t.columns, &t.computed,
			&t.primary, &t.index, &t.bare, &t.readable, &t.schemaOID, &t.numbered, &t.partitions, &t.links, &t.outside,
			&t.children)
	})
	if err != nil {
		return nil, delivery.Fault("asking.tables", "why", err)
	}
	return list, nil
}

func (s *Source) tableNamed(ctx context.Context, schema, name string) (*table, error) {
	return s.table(ctx, "n.nspname = $1 AND t.relname = $2", schema, name)
}

// keyOf returns the columns that identify the rows of a table; none when it has gone.
func (s *Source) keyOf(ctx context.Context, oid uint32) ([]string, error) {
	t, err := s.table(ctx, "t.oid = $1", oid)
	if err != nil || t == nil {
		return nil, err
	}
	return t.key(), nil
}

// key is what a change names as its key: the columns of the replica identity's index, else of the primary key. With replica
// identity full and no primary key it is the whole row.
func (t *table) key() []string {
	switch {
	case t.identity == string(identityIndex):
		return t.index
	case t.identity == string(identityFull) && len(t.primary) == 0:
		return t.columns
	}
	return t.primary
}

// order is what a snapshot reads by: unique, and none of it NULL. None when there is no such key.
func (t *table) order() []string {
	if len(t.primary) == 0 {
		return t.index
	}
	return t.primary
}

func (t *table) quoted() string { return quote(t.schema, t.name) }
func (t *table) shown() string  { return t.schema + "." + t.name } // to people

func quote(schema, name string) string { return pgx.Identifier{schema, name}.Sanitize() }

// publication is what the catalogue says of ours.
type publication struct {
	exists, allTables, viaRoot bool
	operations                 []delivery.RowOperation
	oid, owner                 uint32
	server                     int                 // version of the source
	version                    string              // another one after each change
	members                    map[uint32]member   // tables that were added by name
	schemas                    map[uint32]uint32   // schemas that were added, and the catalogue's row for it
	columns                    map[string][]string // published ones of each table that it covers, by its quoted name; nil: all
}

func (s *Source) publication(ctx context.Context) (p publication, err error) {
	var insert, update, remove, truncate bool
	err = s.catalogue.QueryRow(ctx, `SELECT oid, pubowner, xmin::text, current_setting('server_version_num')::int, puballtables, pubviaroot, pubinsert, pubupdate, pubdelete, pubtruncate
		FROM pg_publication p WHERE pubname = $1`, s.settings.Publication).
		Scan(&p.oid, &p.owner, &p.version, &p.server, &p.allTables, &p.viaRoot, &insert, &update, &remove, &truncate)
	if errors.Is(err, pgx.ErrNoRows) {
		return p, nil
	}
	if err != nil {
		return p, delivery.Fault("asking.publication", "publication", s.settings.Publication, "why", err)
	}
	p.exists = true
	for n, has := range []bool{insert, update, remove, truncate} {
		if has {
			p.operations = append(p.operations, published[n])
		}
	}
	if err := s.members(ctx, &p); err != nil {
		return p, err
	}
	p.columns, err = s.publishedColumns(ctx)
	return p, err
}

// member is a table that was added to a publication by name.
type member struct {
	row    uint32 // of the catalogue; another one when the table was taken out and put back
	filter string
}

// members reads what Postgres 14 lacks only where it is there.
func (s *Source) members(ctx context.Context, p *publication) error {
	p.members, p.schemas = map[uint32]member{}, map[uint32]uint32{}
	filter := "''"
	if p.server >= 150000 {
		filter = "coalesce(pg_get_expr(prqual, prrelid), '')"
	}
	var of, row uint32
	var text string
	err := s.each(ctx, "SELECT prrelid, oid, "+filter+" FROM pg_publication_rel WHERE prpubid = $1", p.oid,
		func() { p.members[of] = member{row, text} }, &of, &row, &text)
	if err != nil || p.server < 150000 {
		return err
	}
	return s.each(ctx, "SELECT pnnspid, oid FROM pg_publication_namespace WHERE pnpubid = $1",
		p.oid, func() { p.schemas[of] = row }, &of, &row)
}

// each reads rows about our publication into the places.
func (s *Source) each(ctx context.Context, sql string, publication uint32, take func(), places ...any) error {
	rows, err := s.catalogue.Query(ctx, sql, publication)
	if err == nil {
		_, err = pgx.ForEachRow(rows, places, func() error { take(); return nil })
	}
	if err != nil {
		return delivery.Fault("asking.publication", "publication", s.settings.Publication, "why", err)
	}
	return nil
}

// published are the operations that a publication can have, in its catalogue's order.
var published = []delivery.RowOperation{delivery.OpInsert, delivery.OpUpdate, delivery.OpDelete, delivery.OpTruncate}

// publishedColumns reads the view by way of jsonb, because Postgres 14 has no lists of columns.
func (s *Source) publishedColumns(ctx context.Context) (map[string][]string, error) {
	rows, err := s.catalogue.Query(ctx, `SELECT schemaname::text, tablename::text,
		CASE WHEN to_jsonb(p) ? 'attnames' THEN ARRAY(SELECT jsonb_array_elements_text(to_jsonb(p) -> 'attnames')) END
		FROM pg_publication_tables p WHERE pubname = $1`, s.settings.Publication)
	if err != nil {
		return nil, delivery.Fault("asking.publication", "publication", s.settings.Publication, "why", err)
	}
	columns := map[string][]string{}
	var schema, name string
	var names []string
	_, err = pgx.ForEachRow(rows, []any{&schema, &name, &names}, func() error {
		columns[quote(schema, name)] = names
		names = nil
		return nil
	})
	if err != nil {
		return nil, delivery.Fault("asking.publication", "publication", s.settings.Publication, "why", err)
	}
	return columns, nil
}

// covers reports whether changes come under this table's name.
func (p publication) covers(t *table) bool {
	_, found := p.columns[t.quoted()]
	return found
}

func (p publication) names(table uint32) bool {
	_, found := p.members[table]
	return found
}

// brings are the columns of a table that a stream brings; all that it can while the publication does not cover the table.
// Before version 18 the view lists generated columns that are not sent.
func (p publication) brings(t *table, version int) []string {
	listed := p.columns[t.quoted()]
	if listed == nil {
		return t.columns
	}
	return slices.DeleteFunc(slices.Clone(listed),
		func(name string) bool { return version < 180000 && slices.Contains(t.computed, name) })
}

// Columns returns the columns of a table that the stream brings, in the table's order.
func (s *Source) Columns(ctx context.Context, schema, name string) ([]string, error) {
	t, err := s.existing(ctx, schema, name)
	if err != nil {
		return nil, err
	}
	return s.columns(ctx, t)
}

func (s *Source) columns(ctx context.Context, t *table) ([]string, error) {
	p, err := s.publication(ctx)
	if err != nil {
		return nil, err
	}
	id, err := s.Identify(ctx)
	if err != nil {
		return nil, err
	}
	return p.brings(t, id.Version), nil
}

func (s *Source) existing(ctx context.Context, schema, name string) (*table, error) {
	t, err := s.tableNamed(ctx, schema, name)
	if err == nil && t == nil {
		err = delivery.Fault("table.nowhere", "table", schema+"."+name)
	}
	return t, err
}
