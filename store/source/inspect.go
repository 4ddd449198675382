package source

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"github.com/jackc/pgx/v5"

	"redrive/delivery"
)

// state is everything about a source that checks and set-up are made of.
type state struct {
	identity    delivery.SourceIdentity
	server      server
	slot        slot
	publication publication
	wanted      []delivery.RowOperation // by any rule, in the order of published
	tables      []wantedTable
}

// server is what the source's settings and our role's rights are.
type server struct {
	walLevel, role        string
	standby, replicates   bool
	slots, maxSlots       int
	senders, maxSenders   int
	keepSize, idleTimeout string // as SHOW writes them; idleTimeout is empty before version 18
}

// wantedTable is a table that rules name.
type wantedTable struct {
	*table       // nil: there is none
	schema, name string
	columns      []string // named by rules
	operations   []delivery.RowOperation
}

func (s *Source) inspect(ctx context.Context) (st state, err error) {
	if st.identity, err = s.Identify(ctx); err != nil || st.old() {
		return st, err
	}
	if err := s.inspectServer(ctx, &st.server); err != nil {
		return st, err
	}
	if st.slot, err = s.slot(ctx); err != nil {
		return st, err
	}
	if st.publication, err = s.publication(ctx); err != nil {
		return st, err
	}
	st.tables = s.wantedTables()
	for n := range st.tables {
		w := &st.tables[n]
		if w.table, err = s.tableNamed(ctx, w.schema, w.name); err != nil {
			return st, err
		}
		st.wanted = merge(st.wanted, w.operations)
	}
	return st, nil
}

// old says that the source's catalogue lacks what capturing asks for: nothing else is known of it then.
func (st state) old() bool { return st.identity.Version < minVersion }

func (s *Source) inspectServer(ctx context.Context, v *server) error {
	err := s.pool.QueryRow(ctx, `SELECT current_setting('wal_level'), r.rolname::text, pg_is_in_recovery(),
			r.rolsuper OR r.rolreplication OR EXISTS (SELECT FROM pg_roles WHERE rolname = 'rds_replication' AND pg_has_role(oid, 'MEMBER')),
			(SELECT count(*) FROM pg_replication_slots), current_setting('max_replication_slots')::int,
			(SELECT count(*) FROM pg_stat_replication), current_setting('max_wal_senders')::int,
			current_setting('max_slot_wal_keep_size'), coalesce(current_setting('idle_replication_slot_timeout', true), '')
		FROM pg_roles r WHERE rolname = current_user`).
		Scan(&v.walLevel, &v.role, &v.standby, &v.replicates, &v.slots, &v.maxSlots, &v.senders, &v.maxSenders, &v.keepSize, &v.idleTimeout)
	if err != nil {
		return delivery.Fault("asking.settings", "why", err)
	}
	return nil
}

// wantedTables gathers what all rules want of each table, in the order of the rules.
func (s *Source) wantedTables() []wantedTable {
	var tables []wantedTable
	for _, rule := range s.settings.Rules {
		n := slices.IndexFunc(tables, func(w wantedTable) bool { return w.schema == rule.Schema && w.name == rule.Table })
		if n < 0 {
			n = len(tables)
			tables = append(tables, wantedTable{schema: rule.Schema, name: rule.Table})
		}
		w := &tables[n]
		operations := rule.Operations
		if len(operations) == 0 {
			operations = published[:3]
		}
		w.operations = merge(w.operations, operations)
		w.columns = append(w.columns, rule.Columns...)
	}
	return tables
}

// merge is both lists' operations as a publication orders them: snapshot is none of its.
func merge(a, b []delivery.RowOperation) []delivery.RowOperation {
	return slices.DeleteFunc(slices.Clone(published),
		func(op delivery.RowOperation) bool { return !slices.Contains(a, op) && !slices.Contains(b, op) })
}

// rewrites reports whether rows are updated or deleted: then each must be identified.
func rewrites(operations []delivery.RowOperation) bool {
	return slices.Contains(operations, delivery.OpUpdate) || slices.Contains(operations, delivery.OpDelete)
}

// serverFindings are about what only the source's owner can change.
func (s *Source) serverFindings(st state) []delivery.CaptureFinding {
	version := finding(delivery.Say("setup.version"), st.old(), "", "setup.version.old", "version", st.identity.Version/10000)
	if st.old() {
		return []delivery.CaptureFinding{version}
	}
	v := st.server
	return []delivery.CaptureFinding{
		version,
		finding(delivery.Say("setup.role"), v.standby, "", "setup.role.standby"),
		finding(delivery.Verbatim("wal_level"), v.walLevel != "logical", "ALTER SYSTEM SET wal_level = 'logical'",
			"setup.wal_level", "level", v.walLevel),
		finding(delivery.Say("setup.slots"), !st.slot.Exists && v.slots >= v.maxSlots,
			fmt.Sprintf("ALTER SYSTEM SET max_replication_slots = %d", v.maxSlots+5), "setup.slots.taken", "count", v.maxSlots),
		finding(delivery.Say("setup.senders"), !st.slot.Active && v.senders >= v.maxSenders,
			fmt.Sprintf("ALTER SYSTEM SET max_wal_senders = %d", v.maxSenders+5), "setup.senders.taken", "count", v.maxSenders),
		warning(finding(delivery.Verbatim("max_slot_wal_keep_size"), v.keepSize == "-1",
			"ALTER SYSTEM SET max_slot_wal_keep_size = '10GB'", "setup.keep_size")),
		warning(finding(delivery.Verbatim("idle_replication_slot_timeout"), v.idleTimeout != "" && v.idleTimeout != "0",
			"ALTER SYSTEM SET idle_replication_slot_timeout = 0", "setup.idle_timeout", "time", v.idleTimeout)),
	}
}

// finding is about what was looked at; if it is bad, key says what is wrong with it and what to do.
func finding(what delivery.Phrase, bad bool, sql, key string, args ...any) delivery.CaptureFinding {
	if !bad {
		return delivery.CaptureFinding{What: what}
	}
	return delivery.CaptureFinding{What: what, Err: delivery.Say(key, args...), SQL: sql}
}

func warning(f delivery.CaptureFinding) delivery.CaptureFinding {
	f.Warning = !f.Err.IsZero()
	return f
}

// tableFindings are about the tables themselves; set-up refuses them and changes none.
func (s *Source) tableFindings(st state) []delivery.CaptureFinding {
	var all []delivery.CaptureFinding
	for _, w := range st.tables {
		all = append(all, s.tableFinding(w))
		if w.table == nil || !capturable(w.table) {
			continue
		}
		all = append(all, columnsFinding(w), s.identityFinding(st, w), publishedFinding(st, w))
		all = append(all, s.ruleFindings(st, w)...)
		if s.settings.Snapshot {
			all = append(all, finding(delivery.Say("setup.order", "table", w.shown()), len(w.order()) == 0, "", "setup.order.no_key"))
		}
	}
	return all
}

// ruleFindings are about what expressions name, and about what comes otherwise than somebody may expect.
func (s *Source) ruleFindings(st state, w wantedTable) []delivery.CaptureFinding {
	var rules []delivery.CDCRule
	for _, r := range s.settings.Rules {
		if r.Schema == w.schema && r.Table == w.name {
			rules = append(rules, r)
		}
	}
	p := st.publication
	if !p.covers(w.table) { // what Setup would make of it
		p.server = st.identity.Version
	}
	return delivery.TableFindings(rules, p.describe(w.table))
}

func capturable(t *table) bool { return (t.kind == "r" || t.kind == "p") && t.persistence == "p" }

func (s *Source) tableFinding(w wantedTable) delivery.CaptureFinding {
	what := delivery.Say("setup.table", "table", w.schema+"."+w.name)
	if w.table == nil {
		return finding(what, true, "", "setup.table.none")
	}
	if w.table.kind != "r" && w.table.kind != "p" {
		return finding(what, true, "", "setup.table.other")
	}
	return finding(what, !capturable(w.table), "ALTER TABLE "+w.quoted()+" SET LOGGED", "setup.table.unlogged")
}

func columnsFinding(w wantedTable) delivery.CaptureFinding {
	what, missing := delivery.Say("setup.columns", "table", w.shown()), without(w.columns, w.table.columns)
	if computed := without(missing, without(missing, w.computed)); len(computed) > 0 {
		return finding(what, true, "", "setup.columns.generated", "columns", computed)
	}
	return finding(what, len(missing) > 0, "", "setup.columns.missing", "columns", missing)
}

// without is the names that are not among others.
func without(names, others []string) []string {
	return slices.DeleteFunc(slices.Clone(names), func(name string) bool { return slices.Contains(others, name) })
}

// identityFinding refuses tables without a replica identity: in a publication of updates or deletes, Postgres refuses its
// users' own UPDATE and DELETE.
func (s *Source) identityFinding(st state, w wantedTable) delivery.CaptureFinding {
	what := delivery.Say("setup.identity", "table", w.shown())
	operations := merge(st.wanted, st.publication.operations)
	if len(w.bare) == 0 || !rewrites(operations) {
		return delivery.CaptureFinding{What: what}
	}
	sql := make([]string, len(w.bare))
	for n, part := range w.bare {
		sql[n] = "ALTER TABLE " + part + " REPLICA IDENTITY FULL"
	}
	if rewrites(w.operations) {
		return finding(what, true, strings.Join(sql, ";\n"), "setup.identity.none", "tables", w.bare)
	}
	return finding(what, true, strings.Join(sql, ";\n"), "setup.identity.elsewhere", "tables", w.bare,
		"publication", s.settings.Publication)
}

// publishedFinding looks at a list of columns that somebody gave to the publication.
func publishedFinding(st state, w wantedTable) delivery.CaptureFinding {
	needed := slices.Clone(w.columns)
	if rewrites(w.operations) {
		needed = append(needed, w.key()...)
	}
	missing := without(needed, st.publication.brings(w.table, st.identity.Version))
	missing = without(missing, without(missing, w.table.columns)) // others are reported as missing or generated
	slices.Sort(missing)
	return finding(delivery.Say("setup.published", "table", w.shown()), len(missing) > 0, "",
		"setup.published.left_out", "columns", slices.Compact(missing))
}

// slotFinding is about a slot that is there; to create one is a step of set-up.
func (s *Source) slotFinding(st state) delivery.CaptureFinding {
	what := s.slotNamed()
	drop := "SELECT pg_drop_replication_slot(" + literal(s.settings.Slot) + ")"
	switch {
	case !st.slot.Exists:
	case st.slot.database != st.identity.Database:
		return finding(what, true, "", "setup.slot.database", "database", st.slot.database)
	case st.slot.plugin != "pgoutput":
		return finding(what, true, "", "setup.slot.plugin", "plugin", st.slot.plugin)
	case st.slot.Lost:
		return finding(what, true, drop, "setup.slot.lost", "why", st.slot.Why)
	}
	return delivery.CaptureFinding{What: what}
}

func (s *Source) slotNamed() delivery.Phrase {
	return delivery.Say("setup.slot", "slot", s.settings.Slot)
}

func (s *Source) publicationNamed() delivery.Phrase {
	return delivery.Say("setup.publication", "publication", s.settings.Publication)
}

// step is something that set-up still has to do.
type step struct {
	what delivery.Phrase // for Check
	err  delivery.Phrase // why
	sql  string
	done delivery.Phrase
	ask  bool // our role certainly may not
	slot bool // CreateSlot does it
}

// steps are in the order in which they must be taken: a slot reads only what was published when it was created.
func (s *Source) steps(st state) []step {
	steps := s.publicationSteps(st)
	role := pgx.Identifier{st.server.role}.Sanitize()
	if !st.server.replicates {
		steps = append(steps, step{what: delivery.Say("setup.replicate"), ask: true, sql: "ALTER ROLE " + role + " REPLICATION",
			err: delivery.Say("setup.replicate.denied", "role", st.server.role)})
	}
	if !st.slot.Exists {
		steps = append(steps, step{
			what: s.slotNamed(),
			slot: true,
			done: delivery.Say("setup.done.slot", "slot", s.settings.Slot),
			sql:  "SELECT pg_create_logical_replication_slot(" + literal(s.settings.Slot) + ", 'pgoutput')",
			err:  delivery.Say("setup.none"),
		})
	}
	for _, w := range st.tables {
		if s.settings.Snapshot && w.table != nil && !w.readable {
			steps = append(steps, step{
				what: delivery.Say("setup.read", "table", w.quoted()),
				ask:  true,
				err:  delivery.Say("setup.read.denied", "role", st.server.role),
				sql: "GRANT USAGE ON SCHEMA " + pgx.Identifier{w.schema}.Sanitize() + " TO " + role +
					";\nGRANT SELECT ON " + w.quoted() + " TO " + role,
			})
		}
	}
	return steps
}

func (s *Source) publicationSteps(st state) (steps []step) {
	publication, p := s.settings.Publication, st.publication
	name := pgx.Identifier{publication}.Sanitize()
	add := func(err, done delivery.Phrase, format string, args ...any) {
		steps = append(steps, step{what: s.publicationNamed(), err: err, done: done, sql: fmt.Sprintf(format, args...)})
	}
	if !p.exists {
		var tables []string
		for _, w := range st.tables {
			tables = append(tables, quote(w.schema, w.name))
		}
		add(delivery.Say("setup.none"), delivery.Say("setup.done.publication", "publication", publication),
			"CREATE PUBLICATION %s FOR TABLE %s WITH (publish = '%s', publish_via_partition_root = true)",
			name, strings.Join(tables, ", "), list(st.wanted))
		return steps
	}
	if operations := merge(st.wanted, p.operations); len(operations) > len(p.operations) {
		add(delivery.Say("setup.publication.operations", "operations", p.operations),
			delivery.Say("setup.done.operations", "publication", publication, "operations", operations),
			"ALTER PUBLICATION %s SET (publish = '%s')", name, list(operations))
	}
	if !p.viaRoot && slices.ContainsFunc(st.tables, func(w wantedTable) bool { return w.table != nil && w.kind == "p" }) {
		add(delivery.Say("setup.publication.partitions"), delivery.Say("setup.done.partitions", "publication", publication),
			"ALTER PUBLICATION %s SET (publish_via_partition_root = true)", name)
	}
	for _, w := range st.tables {
		if w.table != nil && capturable(w.table) && !p.allTables && !p.covers(w.table) && !p.names(w.oid) {
			add(delivery.Say("setup.publication.lacks", "table", w.shown()),
				delivery.Say("setup.done.table", "publication", publication, "table", w.shown()),
				"ALTER PUBLICATION %s ADD TABLE %s", name, w.quoted())
		}
	}
	return steps
}

func list(operations []delivery.RowOperation) string {
	names := make([]string, len(operations))
	for n, op := range operations {
		names[n] = string(op)
	}
	return strings.Join(names, ", ")
}
