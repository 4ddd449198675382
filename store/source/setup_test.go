package source_test

import (
	"bytes"
	"errors"
	"net/netip"
	"net/url"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5"

	"redrive/delivery"
	"redrive/delivery/wire"
	"redrive/store/source"
	"redrive/store/storetest"
)

const contentTable = "CREATE TABLE content (id int PRIMARY KEY, title text);"

// problems are the findings that are not as they should be.
func problems(t *testing.T, src *source.Source) (found []string, all []delivery.CaptureFinding) {
	t.Helper()
	all, err := src.Check(ctx(t))
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range all {
		if !f.Err.IsZero() {
			found = append(found, f.Phrase().English())
		}
	}
	return found, all
}

func TestSetUpAndLater(t *testing.T) {
	b := lay(t, storetest.Empty(t), contentTable+`CREATE TABLE "Other" (id int PRIMARY KEY) PARTITION BY RANGE (id); CREATE TABLE kept (n int)`, "content")
	before, _ := problems(t, b.src)
	same(t, "before", before, `publication Odd "name": there is none: run redrive cdc setup`, "replication slot "+b.settings.Slot+": there is none: run redrive cdc setup")
	same(t, "done", b.setUp(), `created publication Odd "name"`, "created replication slot "+b.settings.Slot)
	same(t, "done again", b.setUp())
	if after, all := problems(t, b.src); len(after) > 0 || len(all) < 10 {
		t.Errorf("%d findings, wrong are %q", len(all), after)
	}
	b.settings.Rules = append(b.settings.Rules, delivery.CDCRule{Schema: "public", Table: "Other"})
	b.src = b.open(b.settings)
	found, _ := problems(t, b.src)
	same(t, "another table", found, `publication Odd "name": it lacks public.Other: run redrive cdc setup`)
	same(t, "done for another table", b.setUp(), `publication Odd "name" now has public.Other`)
	same(t, "done again", b.setUp())
	b.run(`ALTER PUBLICATION "Odd ""name""" SET (publish = 'insert', publish_via_partition_root = false)`)
	found, _ = problems(t, b.src)
	same(t, "narrowed", found, `publication Odd "name": it publishes insert only: run redrive cdc setup`, `publication Odd "name": it publishes partitions under their own names: run redrive cdc setup`)
	same(t, "widened", b.setUp(), `publication Odd "name" now has insert, update, delete, truncate`, `publication Odd "name" now names partitioned tables`)
	b.run(`INSERT INTO kept VALUES (1)`, `UPDATE kept SET n = 2`) // others' tables work as before
	b.run(`DROP PUBLICATION "Odd ""name"""`, `CREATE PUBLICATION "Odd ""name""" FOR ALL TABLES WITH (publish_via_partition_root = true)`)
	same(t, "all tables", b.setUp())
}

func TestTablesThatCannotBeCaptured(t *testing.T) {
	b := lay(t, storetest.Empty(t), contentTable+`CREATE TABLE keyless (n int); CREATE UNLOGGED TABLE unlogged (id int PRIMARY KEY); CREATE VIEW seen AS SELECT 1 AS id;
		CREATE TABLE deferred (id int PRIMARY KEY DEFERRABLE); CREATE TABLE hidden (id int PRIMARY KEY); ALTER TABLE hidden REPLICA IDENTITY NOTHING;
		CREATE TABLE parted (id int PRIMARY KEY) PARTITION BY RANGE (id); CREATE TABLE parted_1 PARTITION OF parted DEFAULT; ALTER TABLE parted_1 REPLICA IDENTITY NOTHING;
		CREATE TABLE whole (n int, twice int GENERATED ALWAYS AS (n * 2) STORED); ALTER TABLE whole REPLICA IDENTITY FULL`,
		"content", "keyless", "unlogged", "seen", "deferred", "hidden", "parted", "whole", "missing")
	b.settings.Rules[0].Columns = []string{"id", "titel"}
	b.settings.Rules[7].Columns = []string{"n", "twice"}
	b.settings.Snapshot = true
	b.src = b.open(b.settings)
	_, err := b.src.SetUp(ctx(t))
	var refused *source.SetupError
	if !errors.As(err, &refused) {
		t.Fatal(err)
	}
	for _, want := range []string{
		`columns of public.content: it has no titel`,
		`replica identity of public.keyless: public.keyless has none, and the source would refuse its updates and deletes`,
		`order of the snapshot of public.keyless: it has no primary key`,
		`table public.unlogged: its changes are not in the log`,
		`table public.seen: it is not a table`,
		`replica identity of public.deferred`, `replica identity of public.hidden`,
		`replica identity of public.parted: public.parted_1 has none`,
		`columns of public.whole: twice is generated`,
		`order of the snapshot of public.whole`,
		`table public.missing: there is none`,
	} {
		if !strings.Contains(refused.Why.English(), want) {
			t.Errorf("%s\nlacks %s", refused.Why.English(), want)
		}
	}
	for _, sql := range []string{"ALTER TABLE public.keyless REPLICA IDENTITY FULL", "ALTER TABLE public.parted_1 REPLICA IDENTITY FULL"} {
		if !strings.Contains(strings.Join(refused.SQL, "\n"), sql) {
			t.Errorf("%q lacks %s", refused.SQL, sql)
		}
	}
	if b.slot().Exists {
		t.Error("a slot was created")
	}
	b.run("UPDATE keyless SET n = 1") // nothing was published

	b.settings.Snapshot = false
	b.settings.Rules = []delivery.CDCRule{{Schema: "public", Table: "keyless", Operations: []delivery.RowOperation{delivery.OpInsert}}}
	b.src = b.open(b.settings)
	b.setUp()
	b.run("INSERT INTO keyless VALUES (1)", "UPDATE keyless SET n = 2")
	same(t, "inserts only", b.told(b.stream(0)), `insert public.keyless {"n":1} by `)

	// with the updates of another table in one publication, this one's would fail
	b.settings.Rules = append(b.settings.Rules, delivery.CDCRule{Schema: "public", Table: "content"})
	b.src = b.open(b.settings)
	if _, err := b.src.SetUp(ctx(t)); !errors.As(err, &refused) || !strings.Contains(refused.Why.English(), "in an integration of its own with operations: [insert]") {
		t.Errorf("beside another table: %v", err)
	}
	b.run("UPDATE keyless SET n = 3")
}

func TestListOfColumns(t *testing.T) {
	b := lay(t, storetest.Empty(t), contentTable, "content")
	b.run(`CREATE PUBLICATION "Odd ""name""" FOR TABLE content (title) WITH (publish = 'insert, update, delete, truncate')`)
	found, _ := problems(t, b.src)
	if !strings.Contains(strings.Join(found, "\n"), "the publication leaves out id") {
		t.Errorf("%q", found)
	}
	b.run(`ALTER PUBLICATION "Odd ""name""" SET TABLE content (id)`)
	b.setUp()
	columns, err := b.src.Columns(ctx(t), "public", "content")
	if err != nil {
		t.Fatal(err)
	}
	same(t, "columns", columns, "id")
}

// as is the address for another role, with a password.
func as(t *testing.T, dsn, role string) string {
	t.Helper()
	parsed, err := url.Parse(dsn)
	if err != nil {
		t.Fatal(err)
	}
	parsed.User = url.UserPassword(role, "p@ss/word")
	return parsed.String()
}

// Whoever lacks a right is told what to run; once that is run, set-up goes through.
func TestSetUpWithLittleRights(t *testing.T) {
	for role, c := range map[string]struct {
		rights, done string
		sql          []string
	}{
		"owner": {rights: `GRANT CREATE ON DATABASE %db TO %role; GRANT CREATE ON SCHEMA public TO %role; ALTER TABLE content OWNER TO %role`, done: `created publication Odd "name"`,
			sql: []string{`ALTER ROLE %role REPLICATION`, `SELECT pg_create_logical_replication_slot('%slot', 'pgoutput')`}},
		"reader": {rights: `ALTER ROLE %role REPLICATION`,
			sql: []string{`CREATE PUBLICATION "Odd ""name""" FOR TABLE "public"."content" WITH (publish = 'insert, update, delete, truncate', publish_via_partition_root = true)`,
				`SELECT pg_create_logical_replication_slot('%slot', 'pgoutput')`, "GRANT USAGE ON SCHEMA \"public\" TO %role;\nGRANT SELECT ON \"public\".\"content\" TO %role"}},
	} {
		t.Run(role, func(t *testing.T) {
			b := lay(t, storetest.Empty(t), contentTable, "content")
			name := "Role " + role
			quoted := pgx.Identifier{name}.Sanitize()
			fill := strings.NewReplacer("%db", b.sql.Config().Database, "%role", quoted, "%slot", b.settings.Slot).Replace
			b.run("CREATE ROLE "+quoted+" LOGIN PASSWORD 'p@ss/word'", fill(c.rights))
			t.Cleanup(func() { b.run("DROP OWNED BY " + quoted + "; DROP ROLE " + quoted) })
			b.settings.Snapshot = true
			src := open(t, b.settings, as(t, b.dsn, name))
			done, err := src.SetUp(ctx(t))
			var rights *source.SetupError
			if !errors.As(err, &rights) || strings.Join(done, "") != c.done {
				t.Fatalf("%q, %v", done, err)
			}
			for n := range c.sql {
				c.sql[n] = fill(c.sql[n])
			}
			same(t, "to be run", rights.SQL, c.sql...)
			b.run(rights.SQL...)
			if done, err := src.SetUp(ctx(t)); err != nil || len(done) > 0 {
				t.Errorf("then: %q, %v", done, err)
			}
			if found, _ := problems(t, src); len(found) > 0 {
				t.Errorf("then: %q", found)
			}
			st, err := src.Stream(ctx(t), 0)
			if err != nil {
				t.Fatal(err)
			}
			defer st.Close()
			b.run("INSERT INTO content VALUES (1)")
			if change := busy(t, st).Change; change == nil {
				t.Error("no change comes")
			}
			if rows, _, err := src.Chunk(ctx(t), "public", "content", nil, nil, 10); err != nil || len(rows) != 1 {
				t.Errorf("%d rows: %v", len(rows), err)
			}
			_, err = src.Mark(ctx(t), "x")
			if err := errors.Join(err, st.Close(), src.DropSlot(ctx(t)), src.Close()); err != nil {
				t.Error(err)
			}
		})
	}
}

func TestSlotOfSomethingElse(t *testing.T) {
	b := lay(t, storetest.Empty(t), contentTable, "content")
	b.run("SELECT pg_create_logical_replication_slot('" + b.settings.Slot + "', 'test_decoding')")
	if _, err := b.src.SetUp(ctx(t)); err == nil || !strings.Contains(err.Error(), "it is one of test_decoding") {
		t.Errorf("another plugin: %v", err)
	}
	other := lay(t, storetest.Empty(t), contentTable, "content")
	src := other.open(b.settings)
	if _, err := src.SetUp(ctx(t)); err == nil || !strings.Contains(err.Error(), "it belongs to database "+b.sql.Config().Database) {
		t.Errorf("another database: %v", err)
	}
}

func TestSettingsThatCannotBe(t *testing.T) {
	for _, settings := range []delivery.CDCSource{
		{URL: "postgres://me:s3cret@host:port:1/x"}, {URL: "host=x password='s3cret"}, {Slot: "Not-a-slot"}, {Publication: strings.Repeat("x", 64)},
	} {
		_, err := source.New(settings, "postgres://localhost/x", "content-search", wire.Dialer{}.DialContext, nil)
		if err == nil || strings.Contains(err.Error(), "s3cret") || !strings.Contains(err.Error(), "content-search") {
			t.Errorf("%+v: %v", settings, err)
		}
	}
}

// A source that an integration names is reached by the network rules alone, with each kind of connection; our own database always is.
func TestTheAddressIsCheckedWhenDialling(t *testing.T) {
	dsn := storetest.Empty(t)
	closed := wire.Dialer{Network: wire.Network{Deny: []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8"), netip.MustParsePrefix("::1/128")}}}
	for url, refused := range map[string]bool{dsn: true, "": false} {
		src, err := source.New(delivery.CDCSource{URL: url}, dsn, "content-search", closed.DialContext, nil)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = src.Close() })
		_, stream := src.Stream(ctx(t), 0)
		_, identity := src.Identify(ctx(t))
		for _, err := range []error{stream, identity} {
			var blocked *delivery.BlockedError
			if errors.As(err, &blocked) != refused {
				t.Errorf("%q: %v", url, err)
			}
		}
	}
}

func TestPasswordStaysOutOfErrors(t *testing.T) {
	src := open(t, delivery.CDCSource{}, strings.Replace(as(t, storetest.Empty(t), "nobody"), "p%40ss", "s3cret", 1))
	_, stream := src.Stream(ctx(t), 0)
	_, identity := src.Identify(ctx(t))
	_, check := src.Check(ctx(t))
	for _, err := range []error{stream, identity, check} {
		if err == nil || strings.Contains(err.Error(), "s3cret") {
			t.Errorf("%v", err)
		}
	}
}

func TestIdentity(t *testing.T) {
	b := lay(t, storetest.Empty(t), "")
	id, err := b.src.Identify(ctx(t))
	if err != nil || id.Database != b.sql.Config().Database || id.Version < 140000 || len(id.SystemIdentifier) < 10 {
		t.Errorf("%+v: %v", id, err)
	}
}

func TestSetUpGoesOnAfterASourceThatRefuses(t *testing.T) {
	dsn := storetest.Empty(t)
	b := lay(t, dsn, contentTable, "content")
	good, nameless := b.settings, b.settings
	nameless.Slot = "No Slot"
	list := []delivery.Integration{{Name: "nameless", CDC: &nameless}, {Name: "content", CDC: &good}}
	var out bytes.Buffer
	if source.SetUpAll(ctx(t), list, dsn, wire.Dialer{}.DialContext, &out, delivery.Phrase.English) || !strings.Contains(out.String(), "nameless: cdc of nameless: ") || !strings.Contains(out.String(), "content: created replication slot ") {
		t.Errorf("said %q", &out)
	}
	out.Reset()
	if !source.SetUpAll(ctx(t), list[1:], dsn, wire.Dialer{}.DialContext, &out, delivery.Phrase.English) || out.String() != "content: everything is there\n" {
		t.Errorf("said %q", &out)
	}
}
