package cdc_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"redrive/delivery"
)

// step is one thing that somebody does at the source: sql, with {t} for the table and {p} for the publication, and the changes of the table
// that it commits, such as "insert 2".
type step struct {
	sql     string
	changes []string
}

func does(sql string, changes ...string) step { return step{sql, changes} }

func inserts(id int) step {
	return step{fmt.Sprintf("INSERT INTO {t} (id, v) VALUES (%d, 1)", id), []string{fmt.Sprint("insert ", id)}}
}

// mishap is something that happens to a table that is captured.
type mishap struct {
	name  string
	lay   string // the table; default: id, v and body
	rule  func(*delivery.CDCRule)
	steps []step
	gap   string // what the gap says, with | between the ways in which it may be found; empty: nothing is lost, and nothing may be announced
	note  string // what is said although nothing is lost
	again string // why it cannot be read again as it is; empty: it can
}

const plain = "CREATE TABLE {t} (id int PRIMARY KEY, v int, body text)"

var (
	parted = "CREATE TABLE {t} (id int, v int, PRIMARY KEY (id, v)) PARTITION BY LIST (v); CREATE TABLE {t}_1 PARTITION OF {t} FOR VALUES IN (1)"
	whole  = plain + "; ALTER TABLE {t} REPLICA IDENTITY FULL"
	names  = func(r *delivery.CDCRule) {
		r.Payload = `{"op": op, "table": table, "row": {"id": row.id, "v": row.v}, "body": row.body}`
	}
	update = does("UPDATE {t} SET v = v + 1 WHERE id = 1", "update 1")
)

// mishaps happen to one table.
var mishaps = []mishap{
	{name: "nothing", steps: []step{inserts(2)}},
	{name: "swapped", gap: "another table has taken its name", steps: []step{does(`BEGIN; CREATE TABLE {t}_new (LIKE {t} INCLUDING ALL); INSERT INTO {t}_new SELECT * FROM {t};
		DROP TABLE {t}; ALTER TABLE {t}_new RENAME TO {n}; COMMIT`), inserts(2)}},
	{name: "renamed", note: "is named public.", steps: []step{does("ALTER TABLE {t} RENAME TO {n}_old"), does("INSERT INTO {t}_old (id, v) VALUES (2, 1)", "insert 2")}},
	{name: "renamed_and_back", steps: []step{does("ALTER TABLE {t} RENAME TO {n}_old"), does("INSERT INTO {t}_old (id, v) VALUES (2, 1)", "insert 2"),
		does("ALTER TABLE {t}_old RENAME TO {n}"), inserts(3)}},
	{name: "other_schema", note: "is named elsewhere.", steps: []step{does("ALTER TABLE {t} SET SCHEMA elsewhere"), does("INSERT INTO elsewhere.{n} (id, v) VALUES (2, 1)", "insert 2")}},
	{name: "renamed_and_another_made", gap: "another table has taken its name", steps: []step{does("ALTER TABLE {t} RENAME TO {n}_old; " + plain), inserts(2)}},
	{name: "taken_out", gap: "the publication no longer has it", steps: []step{does("ALTER PUBLICATION {p} DROP TABLE {t}"), inserts(2)}},
	{name: "taken_out_and_back", gap: "taken out of the publication and put back|no longer has it", steps: []step{does("ALTER PUBLICATION {p} DROP TABLE {t}"), inserts(2),
		does("ALTER PUBLICATION {p} ADD TABLE {t}"), inserts(3)}},
	{name: "others_added", steps: []step{does("CREATE TABLE {t}_x (id int PRIMARY KEY); ALTER PUBLICATION {p} ADD TABLE {t}_x; INSERT INTO {t}_x VALUES (7)"), inserts(2)}},
	{name: "recreated", gap: "another table has taken its name|it was dropped", steps: []step{does("DROP TABLE {t}; " + plain), inserts(2)}},
	{name: "dropped", gap: "it was dropped", again: "there is none", steps: []step{does("DROP TABLE {t}")}},
	{name: "filtered", gap: "sends only rows with (v > 5)", steps: []step{does("BEGIN; ALTER PUBLICATION {p} DROP TABLE {t}; ALTER PUBLICATION {p} ADD TABLE {t} WHERE (v > 5); COMMIT"), inserts(2)}},
	{name: "listed", gap: "no longer sends its columns v, body", steps: []step{does("BEGIN; ALTER PUBLICATION {p} DROP TABLE {t}; ALTER PUBLICATION {p} ADD TABLE {t} (id); COMMIT"), inserts(2)}},
	{name: "whole_rows_no_more", lay: whole, gap: "no longer tells v, body|no longer tells whole rows", steps: []step{does("ALTER TABLE {t} REPLICA IDENTITY DEFAULT"), update}},
	{name: "whole_rows_no_more_for_a_while", lay: whole, gap: "no longer tells v, body|no longer tells whole rows", steps: []step{does("ALTER TABLE {t} REPLICA IDENTITY DEFAULT"), update,
		does("ALTER TABLE {t} REPLICA IDENTITY FULL"), inserts(2)}},
	{name: "whole_rows_from_now_on", steps: []step{does("ALTER TABLE {t} REPLICA IDENTITY FULL"), update}},
	{name: "nothing_identifies", lay: whole, gap: "no longer tells id, v, body|no longer tells whole rows", again: "replica identity", steps: []step{does("ALTER TABLE {t} REPLICA IDENTITY NOTHING"), inserts(2)}},
	{name: "index_dropped", lay: "CREATE TABLE {t} (id int NOT NULL, v int, body text); CREATE UNIQUE INDEX {n}_i ON {t} (id); ALTER TABLE {t} REPLICA IDENTITY USING INDEX {n}_i",
		gap: "no longer tells id|no columns identify", again: "replica identity", steps: []step{does("DROP INDEX {n}_i"), inserts(2)}},
	{name: "key_dropped", gap: "no longer tells id|no columns identify", again: "replica identity", steps: []step{does("ALTER TABLE {t} DROP CONSTRAINT {n}_pkey"), inserts(2)}},
	{name: "key_dropped_of_whole_rows", lay: whole, gap: "other columns identify its rows", again: "no primary key", steps: []step{does("ALTER TABLE {t} DROP CONSTRAINT {n}_pkey"), inserts(2)}},
	{name: "column_added", steps: []step{does("ALTER TABLE {t} ADD more int DEFAULT 7"), inserts(2)}},
	{name: "column_dropped", steps: []step{does("ALTER TABLE {t} DROP body"), inserts(2)}},
	{name: "named_column_dropped", rule: names, gap: "payload: row.body: the stream does not bring this column", again: "there is no such column", steps: []step{does("ALTER TABLE {t} DROP body"), inserts(2)}},
	{name: "named_column_renamed", rule: names, gap: "row.body", again: "there is no such column", steps: []step{does("ALTER TABLE {t} RENAME body TO text"), inserts(2)}},
	{name: "named_column_renamed_and_back", rule: names, gap: "row.body", steps: []step{does("ALTER TABLE {t} RENAME body TO text"), inserts(2), does("ALTER TABLE {t} RENAME text TO body"), inserts(3)}},
	{name: "type_changed", steps: []step{does("ALTER TABLE {t} ALTER v TYPE bigint"), inserts(2)}},
	{name: "truncated", steps: []step{does("TRUNCATE {t}"), inserts(2)}},
	{name: "tended", steps: []step{does("VACUUM FULL {t}"), does("ANALYZE {t}"), does("CREATE INDEX ON {t} (v); GRANT SELECT ON {t} TO PUBLIC; COMMENT ON TABLE {t} IS 'x'; ALTER TABLE {t} SET (fillfactor = 50); CLUSTER {t} USING {n}_pkey"), inserts(2)}},
	{name: "partition_added", lay: parted, steps: []step{does("CREATE TABLE {t}_2 PARTITION OF {t} FOR VALUES IN (2)"), does("INSERT INTO {t} (id, v) VALUES (2, 2)", "insert 2")}},
	{name: "partition_attached", lay: parted, steps: []step{does("CREATE TABLE {t}_2 (id int NOT NULL, v int NOT NULL); ALTER TABLE {t} ATTACH PARTITION {t}_2 FOR VALUES IN (2)"),
		does("INSERT INTO {t} (id, v) VALUES (2, 2)", "insert 2")}},
	{name: "full_partition_attached", lay: parted, gap: "rows came with partitions", steps: []step{does("CREATE TABLE {t}_2 (id int NOT NULL, v int NOT NULL)"),
		does("INSERT INTO {t}_2 (id, v) VALUES (2, 2)"), does("ALTER TABLE {t} ATTACH PARTITION {t}_2 FOR VALUES IN (2)", "insert 2")}},
	{name: "full_partition_made_and_attached", lay: parted, gap: "rows came with partitions", steps: []step{does(`BEGIN; CREATE TABLE {t}_2 (id int NOT NULL, v int NOT NULL);
		INSERT INTO {t}_2 (id, v) VALUES (2, 2); ALTER TABLE {t} ATTACH PARTITION {t}_2 FOR VALUES IN (2); COMMIT`, "insert 2")}},
	{name: "full_tree_attached", lay: parted, gap: "rows came with partitions", steps: []step{does("CREATE TABLE {t}_2 (id int NOT NULL, v int NOT NULL) PARTITION BY LIST (v)"),
		does("CREATE TABLE {t}_3 PARTITION OF {t}_2 FOR VALUES IN (2); INSERT INTO {t}_2 (id, v) VALUES (2, 2)"), does("ALTER TABLE {t} ATTACH PARTITION {t}_2 FOR VALUES IN (2)", "insert 2")}},
	{name: "partition_made_and_filled", lay: parted, steps: []step{does("BEGIN; CREATE TABLE {t}_2 PARTITION OF {t} FOR VALUES IN (2); INSERT INTO {t} (id, v) VALUES (2, 2); COMMIT", "insert 2")}},
	{name: "partition_detached_and_attached", lay: parted + "; CREATE TABLE {t}_2 PARTITION OF {t} FOR VALUES IN (2)", gap: "were detached and attached again",
		steps: []step{does("BEGIN; ALTER TABLE {t} DETACH PARTITION {t}_2; INSERT INTO {t}_2 VALUES (2, 2); ALTER TABLE {t} ATTACH PARTITION {t}_2 FOR VALUES IN (2); COMMIT", "insert 2")}},
	{name: "partition_detached", lay: parted + "; CREATE TABLE {t}_2 PARTITION OF {t} FOR VALUES IN (2)", steps: []step{does("ALTER TABLE {t} DETACH PARTITION {t}_2; INSERT INTO {t}_2 VALUES (7, 2)"), inserts(2)}},
	{name: "unlogged_partition", lay: parted, gap: "are not in the log", again: "make them logged", steps: []step{does("ALTER TABLE {t}_1 SET UNLOGGED"), inserts(2)}},
}

// everyTable happens to the publication, and so to all tables.
var everyTable = []mishap{
	{name: "inserts only", gap: "no longer sends update, delete", steps: []step{does("ALTER PUBLICATION {p} SET (publish = 'insert')"), update}},
	{name: "inserts only for a while", gap: "was changed and changed back|no longer sends", steps: []step{does("ALTER PUBLICATION {p} SET (publish = 'insert')"), update,
		does("ALTER PUBLICATION {p} SET (publish = 'insert, update, delete')"), inserts(3)}},
	{name: "more operations", steps: []step{does("ALTER PUBLICATION {p} SET (publish = 'insert, update, delete, truncate')"), update}},
	{name: "another owner", steps: []step{does("CREATE ROLE {p}_o SUPERUSER; ALTER PUBLICATION {p} OWNER TO {p}_o"), update}},
	{name: "other tables", gap: "the publication no longer has it", steps: []step{does("CREATE TABLE {t}_x (id int PRIMARY KEY); ALTER PUBLICATION {p} SET TABLE {t}_x"), inserts(2)}},
	{name: "dropped", gap: "the publication", steps: []step{does("DROP PUBLICATION {p}"), inserts(2)}},
	{name: "recreated", gap: "dropped and created anew", steps: []step{does("BEGIN; DROP PUBLICATION {p}; CREATE PUBLICATION {p} FOR TABLE {t}; COMMIT"), inserts(2)}},
	{name: "partitions by their names", lay: parted, gap: "sends partitions under their own names", steps: []step{does("ALTER PUBLICATION {p} SET (publish_via_partition_root = false)"), inserts(2)}},
	{name: "unlogged", lay: plain + "; CREATE PUBLICATION {p} FOR ALL TABLES", gap: "it is unlogged", again: "its changes are not in the log", steps: []step{does("ALTER TABLE {t} SET UNLOGGED"), inserts(2)}},
	{name: "swapped in a publication of all tables", lay: plain + "; CREATE PUBLICATION {p} FOR ALL TABLES", gap: "another table has taken its name|it was dropped",
		steps: []step{does("CREATE TABLE {t}_new (LIKE {t} INCLUDING ALL); DROP TABLE {t}; ALTER TABLE {t}_new RENAME TO {n}"), inserts(2)}},
	{name: "another schema in a publication of a schema", lay: "CREATE SCHEMA s; " + plain + "; CREATE PUBLICATION {p} FOR TABLES IN SCHEMA public", gap: "no longer has it", again: "there is none",
		steps: []step{does("ALTER TABLE {t} SET SCHEMA s"), does("INSERT INTO s.{n} (id, v) VALUES (2, 1)", "insert 2")}},
}

// committed is a change of a table and a place in the log behind its commit.
type committed struct {
	change string
	before delivery.LSN
}

func (b *bed) fill(sql, table string) string {
	return strings.NewReplacer("{t}", "public."+table, "{n}", table, "{p}", b.in.CDC.Publication).Replace(sql)
}

func (b *bed) log() delivery.LSN {
	b.t.Helper()
	var text string
	if err := b.sql.QueryRow(ctx(b.t), "SELECT pg_current_wal_insert_lsn()::text").Scan(&text); err != nil {
		b.t.Fatal(err)
	}
	lsn, err := delivery.ParseLSN(text)
	if err != nil {
		b.t.Fatal(err)
	}
	return lsn
}

// happen does the steps and returns what they committed.
func (b *bed) happen(m mishap, table string) (list []committed) {
	b.t.Helper()
	for _, s := range m.steps {
		for _, sql := range strings.Split(b.fill(s.sql, table), ";") {
			b.run(sql)
		}
		for _, change := range s.changes {
			list = append(list, committed{change, b.log()})
		}
	}
	return list
}

func (b *bed) gaps() map[string]delivery.CaptureGap {
	b.t.Helper()
	all, err := b.store.CaptureGaps(ctx(b.t))
	if err != nil {
		b.t.Fatal(err)
	}
	out := map[string]delivery.CaptureGap{}
	for _, g := range all[b.in.Name] {
		out[g.Table] = g
	}
	return out
}

// looked waits until the stream and two looks are beyond everything that was done so far.
func (b *bed) looked() {
	b.t.Helper()
	b.reached()
	end := b.log()
	b.await("two looks", func() bool { return b.position().Verified >= end })
}

// holds checks the promise: each change was delivered, or lies in a gap that is announced; nothing else is announced.
func (b *bed) holds(t *testing.T, m mishap, table string, list []committed, delivered []document) {
	t.Helper()
	gap, open := b.gaps()["public."+table]
	says := func(text string) bool { return strings.Contains(gap.Why.English(), text) }
	if open != (m.gap != "") || !slices.ContainsFunc(strings.Split(m.gap, "|"), says) {
		t.Errorf("gap %t: %q, want %q", open, gap.Why.English(), m.gap)
	}
	for _, c := range list {
		if slices.ContainsFunc(delivered, func(d document) bool { return d.Table == table && fmt.Sprint(d.Op, " ", d.Row["id"]) == c.change }) {
			continue
		}
		if !open || gap.From > c.before || gap.To != nil {
			t.Errorf("%s is lost, and nobody says so: gap %+v, committed before %s", c.change, gap, c.before)
		}
	}
	if open && (gap.From == 0 || gap.Stopped < gap.From) {
		t.Errorf("gap from %s, stopped at %s", gap.From, gap.Stopped)
	}
}

// Whatever happens to a table, while it is read or while nobody reads: each change is delivered or lies in a gap that was announced.
func TestNothingOfATableIsMissedSilently(t *testing.T) {
	modes := []string{"reading", "down"}
	var ddl strings.Builder
	var rules []delivery.CDCRule
	ddl.WriteString("CREATE SCHEMA elsewhere; CREATE TABLE others (id int PRIMARY KEY, v int);")
	for _, mode := range modes {
		for _, m := range mishaps {
			table := m.name + "_" + mode
			lay := m.lay
			if lay == "" {
				lay = plain
			}
			ddl.WriteString(strings.NewReplacer("{t}", "public."+table, "{n}", table).Replace(lay) + "; INSERT INTO " + table + " (id, v) VALUES (1, 1);")
			r := rule(table)
			if m.rule != nil {
				m.rule(&r)
			}
			rules = append(rules, r)
		}
	}
	b := ready(t, ddl.String(), append(rules, rule("others"))...)
	b.watch = 150 * time.Millisecond
	p := b.start()
	b.await("it streams", func() bool { return fact(p, "connected").Value == 1 })
	b.looked()
	if gaps := b.gaps(); len(gaps) > 0 || fact(p, "alarm").Alarm {
		t.Fatalf("gaps of nothing: %v, %+v", gaps, fact(p, "alarm"))
	}
	done := map[string][]committed{}
	for _, mode := range modes {
		if mode == "down" {
			p.stop()
		}
		for _, m := range mishaps {
			done[m.name+"_"+mode] = b.happen(m, m.name+"_"+mode)
		}
		b.run(fmt.Sprintf("INSERT INTO others VALUES (%d, 1)", len(mode)))
		if mode == "down" {
			p = b.start()
			b.await("it streams", func() bool { return fact(p, "connected").Value == 1 })
		}
		b.looked()
	}
	delivered := b.documents("capture")
	for _, mode := range modes {
		for _, m := range mishaps {
			t.Run(mode+"/"+m.name, func(t *testing.T) { b.holds(t, m, m.name+"_"+mode, done[m.name+"_"+mode], delivered) })
		}
	}
	if n := count(delivered, "others"); n != len(modes) {
		t.Errorf("of a table to which nothing happened came %d changes", n)
	}
	b.await("the alarm", func() bool {
		f := fact(p, "alarm")
		return f.Alarm && strings.Contains(f.Says.English(), "redrive cdc resnapshot capture --table public.swapped_down") && fact(p, "gaps").Value == int64(len(b.gaps()))
	})
	b.readAgain(p)
}

func count(list []document, table string) (n int) {
	for _, d := range list {
		if d.Table == table {
			n++
		}
	}
	return n
}

// readAgain asks for every table that has stopped, and checks that it goes on where it can.
func (b *bed) readAgain(p *process) {
	b.t.Helper()
	again := map[string]mishap{}
	for _, m := range mishaps {
		if m.gap != "" {
			again[m.name+"_down"] = m
		}
	}
	for table := range again {
		if err := b.store.RequestTable(ctx(b.t), "capture", "public."+table, "kim", "changes are missing"); err != nil {
			b.t.Fatal(err)
		}
	}
	b.await("all is answered", func() bool {
		gaps := b.gaps()
		for table := range again {
			if g, open := gaps["public."+table]; open && g.Note.IsZero() {
				return false
			}
		}
		return true
	})
	for table, m := range again {
		if m.again == "" {
			b.run("INSERT INTO " + table + " (id, v) VALUES (9, 1)")
		}
	}
	b.await("it streams", func() bool { return fact(p, "connected").Value == 1 })
	b.await("the snapshots", func() bool {
		progress := b.position().Snapshot
		for table, m := range again {
			if m.again == "" && !progress["public."+table].Done {
				return false
			}
		}
		return true
	})
	b.reached()
	gaps, delivered := b.gaps(), b.documents("capture")
	for table, m := range again {
		g, open := gaps["public."+table]
		if open != (m.again != "") || !strings.Contains(g.Note.English(), m.again) {
			b.t.Errorf("%s read again: still open %t, %q, want %q", table, open, g.Note, m.again)
		}
		for _, op := range []string{"insert 9", "snapshot 2"} {
			came := slices.ContainsFunc(delivered, func(d document) bool { return d.Table == table && fmt.Sprint(d.Op, " ", d.Row["id"]) == op })
			has := m.again == "" && (op != "snapshot 2" || slices.ContainsFunc(m.steps, func(s step) bool { return slices.Contains(s.changes, "insert 2") }))
			if came != has && !(op == "insert 9" && m.name == "filtered") {
				b.t.Errorf("%s: %s came %t, want %t", table, op, came, has)
			}
		}
	}
}

// Whatever happens to the publication.
func TestNothingOfAPublicationIsMissedSilently(t *testing.T) {
	for _, m := range everyTable {
		for _, mode := range []string{"reading", "down"} {
			t.Run(m.name+"/"+mode, func(t *testing.T) {
				t.Parallel()
				if m.lay == "" {
					m.lay = plain
				}
				b := ready(t, "", rule("articles"))
				b.watch = 150 * time.Millisecond
				b.run(b.fill(m.lay+"; INSERT INTO {t} (id, v) VALUES (1, 1)", "articles"))
				p := b.start()
				b.await("it streams", func() bool { return fact(p, "connected").Value == 1 })
				b.looked()
				if mode == "down" {
					p.stop()
				}
				list := b.happen(m, "articles")
				if mode == "down" {
					p = b.start()
				}
				if m.gap != "" {
					b.await("it is announced", func() bool { f := fact(p, "alarm"); return f.Alarm && len(b.gaps()) > 0 || fact(p, "connected").Alarm })
				} else {
					b.looked()
				}
				if f := fact(p, "connected"); f.Alarm && m.name == "dropped" { // nothing can be read of that slot any more
					if !strings.Contains(f.Says.English(), "no such publication") {
						t.Error(f.Says.English())
					}
					return
				}
				b.holds(t, m, "articles", list, b.documents("capture"))
			})
		}
	}
}
