package batch_test

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"

	"redrive/delivery"
	"redrive/delivery/batch/format"
	"redrive/delivery/wire"
	"redrive/store/storetest"
	"redrive/store/table"
)

// samples are odd values of each built-in type that a column can have; $USER stands for the role. A type that is missing here fails
// the tests: pg_type says which there are.
var samples = map[string][]string{
	"bool": {"t", "f"}, "bytea": {`\x`, `\x00ff`, `\x5c78`}, "char": {"a", ""}, "name": {"Name \"x\"", "한글"},
	"int2": {"-32768", "32767"}, "int4": {"-2147483648", "2147483647"}, "int8": {"-9223372036854775808", "9223372036854775807"},
	"int2vector": {"1 2", ""}, "oidvector": {"1 2", ""}, "oid": {"0", "4294967295"}, "tid": {"(0,1)", "(4294967295,65535)"},
	"xid": {"4294967295"}, "cid": {"4294967295"}, "xid8": {"18446744073709551615"},
	"text": {"", "a \"b\"\\ c, {d}", "x\r\n\ty\v", "한글 😀\u2028\u0085", "NULL", `\N`, "null"}, "varchar": {"", "ab   ", "é́"}, "bpchar": {"ab   ", ""},
	"json": {`"5"`, "5", "null", `{"a": 1, "a":2.50, "b":"\u0000"}`, "[1,\n 2]", `"null"`}, "jsonb": {`"5"`, "5", "null", `{"a": [1.50, null]}`, `"null"`, "1e-7"},
	"jsonpath": {`$."a"[*]?(@ > 1)`}, "xml": {`<a b="c">&lt;한글</a>`, "only text"},
	"point": {"(1,2)", "(NaN,Infinity)", "(0.1,-0)"}, "lseg": {"[(0,0),(1,1.5)]"}, "path": {"[(0,0),(1,1)]", "((0,0),(1,1))"}, "box": {"(1,1),(0,0)"},
	"polygon": {"((0,0),(1,1),(1,0))"}, "line": {"{1,2,3}"}, "circle": {"<(1,2),3>"},
	"cidr": {"192.168.0.0/24", "2001:db8::/32"}, "inet": {"192.168.1.5/24", "::1", "10.0.0.1"}, "macaddr": {"08:00:2b:01:02:03"}, "macaddr8": {"08:00:2b:01:02:03:04:05"},
	"float4":  {"NaN", "Infinity", "-0", "1.1754944e-38", "3.4028235e+38", "1e-45", "0.1"},
	"float8":  {"NaN", "-Infinity", "-0", "2.2250738585072014e-308", "1.7976931348623157e+308", "5e-324", "0.1", "0.30000000000000004"},
	"numeric": {"NaN", "Infinity", "1.500", "-0.000000000000000000001", "12345678901234567890.12345", "1e40"}, "money": {"12.34", "-92233720368547758.08"},
	"date": {"infinity", "-infinity", "0044-03-15 BC", "5874897-12-31"}, "time": {"24:00:00", "12:34:56.789012"}, "timetz": {"12:00:00+09", "24:00:00-15:59:59"},
	"timestamp":   {"infinity", "4713-01-01 00:00:00 BC", "294276-12-31 23:59:59.999999"},
	"timestamptz": {"-infinity", "0044-03-15 12:00:00+00 BC", "1900-01-01 00:00:00+00", "1987-10-11 02:30:00+10", "1987-10-11 02:30:00+09"},
	"interval":    {"1 year 2 mons -3 days +04:05:06.789", "-178000000 years", "00:00:00", "-00:00:00.000001"},
	"bit":         {"1", "1010", ""}, "varbit": {"", "10101"}, "refcursor": {"x"}, "uuid": {"a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11"},
	"pg_lsn": {"0/0", "FFFFFFFF/FFFFFFFF"}, "pg_snapshot": {"10:20:10,14,15"}, "txid_snapshot": {"10:20:"},
	"tsvector": {`'a':1A,3 'b c':2 '한글'`, ""}, "tsquery": {`'fat' & !'rat':AB`, ""},
	"int4range": {"[1,5)", "empty", "(,)"}, "int8range": {"[1,)"}, "numrange": {"[1.50,2)", "(NaN,)"}, "daterange": {"[2026-01-01,infinity)"},
	"tsrange": {`["2026-01-01 00:00:00",)`}, "tstzrange": {`["2026-01-01 00:00:00+09","2026-01-02 00:00:00.5+09"]`},
	"int4multirange": {"{}", "{[1,3),[5,7)}"}, "int8multirange": {"{(,)}"}, "nummultirange": {"{[1.5,2.50]}"}, "datemultirange": {"{[2026-01-01,2026-01-03)}"},
	"tsmultirange": {`{["2026-01-01 00:00:00",)}`}, "tstzmultirange": {`{["2026-01-01 00:00:00+09",)}`},
	"regclass": {"pg_class"}, "regcollation": {`"C"`}, "regconfig": {"english"}, "regdictionary": {"simple"}, "regnamespace": {"pg_catalog"},
	"regoper": {"||/"}, "regoperator": {"+(integer,integer)"}, "regproc": {"now"}, "regprocedure": {"sum(integer)"}, "regrole": {"$USER"}, "regtype": {"integer", "text[]"},
	"aclitem": {"=r/$USER"},
	// not built in
	"mood": {"happy", `so "so", 한글`}, "pair": {`(1,"a ""b"", c",1.50)`, "(,,)"}, "amount": {"1.50"}, "tags": {`{a,NULL,"b c"}`}, "hstore": {`"a"=>"1", "b"=>NULL`, ""}, "citext": {"AbC", ""},
}

// unreadable are types whose values Postgres writes and does not read.
var unreadable = []string{"pg_node_tree", "pg_ndistinct", "pg_dependencies", "pg_mcv_list", "pg_brin_bloom_summary", "pg_brin_minmax_multi_summary", "gtsvector"}

const ownTypes = `CREATE EXTENSION hstore; CREATE EXTENSION citext; CREATE TYPE mood AS ENUM ('happy', 'so "so", 한글');
	CREATE TYPE pair AS (a integer, b text, c numeric(5,2)); CREATE DOMAIN amount AS numeric(7,2) CHECK (value > 0); CREATE DOMAIN tags AS text[];
	CREATE FUNCTION tried(statement text) RETURNS text LANGUAGE plpgsql AS $$ DECLARE answer text; BEGIN EXECUTE statement INTO answer; RETURN answer; EXCEPTION WHEN others THEN RETURN NULL; END $$;
	`

// carrier takes values from one database into tables of another.
type carrier struct {
	t        *testing.T
	bed      *bed
	from, to *pgx.Conn
	target   string
	sequence int64
}

func newCarrier(t *testing.T) *carrier {
	c := &carrier{t: t, bed: newBed(t, nil), target: storetest.Empty(t)}
	for _, side := range []struct {
		dsn  string
		conn **pgx.Conn
	}{{c.bed.dsn, &c.from}, {c.target, &c.to}} {
		config, err := pgx.ParseConfig(side.dsn)
		c.must(err)
		for name, value := range map[string]string{"timezone": "Asia/Seoul", "datestyle": "ISO, YMD", "intervalstyle": "postgres", "bytea_output": "hex", "extra_float_digits": "1"} {
			config.RuntimeParams[name] = value
		}
		*side.conn, err = pgx.ConnectConfig(t.Context(), config)
		c.must(err)
		conn := *side.conn
		t.Cleanup(func() { _ = conn.Close(context.Background()) })
		_, err = conn.Exec(t.Context(), ownTypes)
		c.must(err)
	}
	return c
}

func (c *carrier) must(err error) {
	c.t.Helper()
	if err != nil {
		c.t.Fatal(err)
	}
}

func (c *carrier) exec(conn *pgx.Conn, statement string) {
	c.t.Helper()
	if _, err := conn.Exec(c.t.Context(), statement); err != nil {
		c.t.Fatalf("%.300s: %v", statement, err)
	}
}

// one returns a text, "∅" for NULL.
func (c *carrier) one(conn *pgx.Conn, query string, args ...any) string {
	c.t.Helper()
	var text *string
	if err := conn.QueryRow(c.t.Context(), query, args...).Scan(&text); err != nil {
		c.t.Fatalf("%.300s: %v", query, err)
	}
	if text == nil {
		return "∅"
	}
	return *text
}

// read makes the file of a query, as the room does.
func (c *carrier) read(query string) (file delivery.BatchFile, content []byte) {
	c.t.Helper()
	source, err := c.bed.OpenBatchSource(c.t.Context(), wire.Dialer{}.DialContext, c.bed.dsn, "Asia/Seoul")
	c.must(err)
	defer source.Close()
	var out bytes.Buffer
	var w *format.Writer
	err = source.Read(c.t.Context(), delivery.BatchSelection{Query: query}, func(list []delivery.BatchColumn) (err error) {
		columns := make([]format.Column, len(list))
		for i, l := range list {
			columns[i] = format.Column{Name: l.Name, Kind: format.KindOf(l.OID), Type: l.Type}
		}
		w, err = format.New(&out, delivery.Integration{Destination: delivery.Destination{To: &delivery.TableDestination{}}}.BatchFormat(), columns)
		return err
	}, func(row [][]byte) error { return w.Write(row) })
	if err != nil {
		c.t.Fatalf("%.300s: %v", query, err)
	}
	c.must(w.Close())
	return delivery.BatchFile{Rows: w.Rows(), Columns: w.Values(), TimeZone: "Asia/Seoul"}, out.Bytes()
}

// apply puts a file into a table whose key is k.
func (c *carrier) apply(name string, file delivery.BatchFile, content []byte) error {
	return c.applyTo(delivery.TableDestination{Table: name, Key: []string{"k"}}, file, content)
}

func (c *carrier) applyTo(to delivery.TableDestination, file delivery.BatchFile, content []byte) error {
	c.sequence++
	sum := sha256.Sum256(content)
	file.ID, file.Integration, file.Sequence, file.SHA256 = "x", "points", c.sequence, hex.EncodeToString(sum[:])
	return table.Apply(c.t.Context(), c.to, to, file, bytes.NewReader(content))
}

// builtIn are the types of pg_type that a column can have, but for arrays.
func (c *carrier) builtIn() []string {
	c.t.Helper()
	rows, err := c.from.Query(c.t.Context(), `SELECT typname::text FROM pg_type WHERE typnamespace = 'pg_catalog'::regnamespace AND typtype IN ('b', 'r', 'm', 'd', 'e')
		AND typcategory <> 'A' OR typname IN ('int2vector', 'oidvector') ORDER BY 1`)
	c.must(err)
	names, err := pgx.CollectRows(rows, pgx.RowTo[string])
	c.must(err)
	return names
}

// literal is a sample as an expression.
func (c *carrier) literal(name, sample string) string {
	if strings.Contains(sample, "$USER") {
		sample = strings.ReplaceAll(sample, "$USER", c.one(c.from, "SELECT quote_ident(current_user)"))
	}
	return "'" + strings.ReplaceAll(sample, "'", "''") + "'::" + typeName(name)
}

func typeName(name string) string {
	if samples[name] != nil && slices.Contains([]string{"mood", "pair", "amount", "tags", "hstore", "citext"}, name) {
		return name
	}
	return `pg_catalog."` + name + `"`
}

// TestEveryTypeArrivesAsItIs: all types that there are, each with its odd values, its empty, nested and shifted arrays, and NULL.
func TestEveryTypeArrivesAsItIs(t *testing.T) {
	c := newCarrier(t)
	names := append(c.builtIn(), "mood", "pair", "amount", "tags", "hstore", "citext")
	names = slices.DeleteFunc(names, func(name string) bool { return slices.Contains(unreadable, name) })
	if c.one(c.from, `SELECT tried('SELECT ''<a/>''::xml::text')`) == "∅" { // a server that was built without it
		names = slices.DeleteFunc(names, func(name string) bool { return name == "xml" })
	}
	var columns, empty []string
	rows := make([][]string, 0, 16)
	put := func(row, column int, expression string) {
		for len(rows) <= row {
			rows = append(rows, slices.Clone(empty))
		}
		rows[row][column] = expression
	}
	empty = make([]string, 2*len(names))
	for i := range empty {
		empty[i] = "NULL"
	}
	for i, name := range names {
		list := samples[name]
		if len(list) == 0 {
			t.Errorf("there are no samples of the type %s", name)
			continue
		}
		columns = append(columns, fmt.Sprintf(`"v %d" %s, "a %d" %s[]`, i, typeName(name), i, typeName(name)))
		for n, sample := range list {
			put(n, 2*i, c.literal(name, sample))
		}
		first, last := c.literal(name, list[0]), c.literal(name, list[len(list)-1])
		for n, form := range []string{"ARRAY[%[1]s, NULL, %[2]s]", "'{}'", "ARRAY[NULL]::" + strings.ReplaceAll(typeName(name), "%", "%%") + "[]",
			"array_fill(%[1]s, ARRAY[2], ARRAY[0])", "ARRAY[ARRAY[%[1]s, NULL], ARRAY[%[2]s, %[1]s]]"} {
			if name == "tags" && n != 1 { // arrays of a domain that is an array are not written so
				continue
			}
			text := form
			if strings.Contains(form, "[1]") || strings.Contains(form, "[2]s") {
				text = fmt.Sprintf(form, first, last)
			}
			put(n, 2*i+1, text)
		}
	}
	if t.Failed() {
		t.FailNow()
	}
	create := "CREATE TABLE every (k integer PRIMARY KEY, " + strings.Join(columns, ", ") + ")"
	c.exec(c.from, create)
	c.exec(c.to, create)
	for n, row := range rows {
		c.exec(c.from, fmt.Sprintf("INSERT INTO every VALUES (%d, %s)", n, strings.Join(row, ", ")))
	}
	file, content := c.read("SELECT * FROM every ORDER BY k")
	c.must(c.apply("every", file, content))
	for i, name := range names {
		for _, column := range []string{fmt.Sprintf(`"v %d"`, i), fmt.Sprintf(`"a %d"`, i)} {
			query := fmt.Sprintf(`SELECT string_agg(CASE WHEN %[1]s IS NULL THEN '∅' ELSE concat(%[1]s) END, E'\n' ORDER BY k) FROM every`, column)
			if got, want := c.one(c.to, query), c.one(c.from, query); got != want {
				t.Errorf("%s, %s:\n%s\narrived as\n%s", name, column, want, got)
			}
		}
	}
	for _, name := range unreadable {
		if c.one(c.to, "SELECT to_regtype($1)::text", "pg_catalog."+name) == "∅" {
			continue
		}
		c.exec(c.to, fmt.Sprintf("CREATE TABLE not_%s (k integer PRIMARY KEY, v %s)", name, typeName(name)))
		err := c.apply("not_"+name, one("pg_catalog."+name), []byte(`{"k":"1","v":"x"}`+"\n"))
		if err == nil || !strings.HasPrefix(err.Error(), `row 1, column "v": `) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// one is a file of one row with the columns k and v.
func one(kind string) delivery.BatchFile {
	return delivery.BatchFile{Rows: 1, TimeZone: "Asia/Seoul", Columns: []delivery.ValueColumn{{Name: "k", Type: "pg_catalog.int4"}, {Name: "v", Type: kind}}}
}

// line is a row as it stands in a file.
func line(t *testing.T, row map[string]any) []byte {
	t.Helper()
	raw, err := json.Marshal(row)
	if err != nil {
		t.Fatal(err)
	}
	return append(raw, '\n')
}

// targets are columns that many types fit into, or nearly.
var targets = []string{"text", "varchar(3)", "char(3)", "bit(2)", "varbit(2)", "smallint", "bigint", "numeric", "numeric(5,1)", "real", "double precision", "boolean",
	"bytea", "json", "jsonb", "date", "timestamp(0)", "timestamptz(0)", "time(0)", "interval(0)", "interval day", `"char"`, "money", "cidr", "int8range", "text[]", "mood"}

// TestWhatPostgresKeepsIsTakenAndNothingElse: each type into each of the targets. What was taken comes back as what it was, by
// Postgres's own casts; and what Postgres assigns without a loss is taken.
func TestWhatPostgresKeepsIsTakenAndNothingElse(t *testing.T) {
	c := newCarrier(t)
	for i, kind := range targets {
		c.exec(c.to, fmt.Sprintf("CREATE TABLE t%d (k serial PRIMARY KEY, v %s)", i, kind))
		c.exec(c.to, fmt.Sprintf("CREATE TABLE p%d (v %s)", i, kind))
	}
	taken, refused := 0, 0
	for _, name := range append(c.builtIn(), "mood", "pair", "hstore", "citext") {
		if slices.Contains(unreadable, name) || name == "xml" {
			continue
		}
		list := samples[name]
		for _, sample := range slices.Compact([]string{list[0], list[len(list)-1]}) {
			text := c.one(c.from, "SELECT concat("+c.literal(name, sample)+")")
			for i, kind := range targets {
				if c.pair(fmt.Sprintf("%d", i), name, text, kind) {
					taken++
				} else {
					refused++
				}
			}
		}
	}
	if taken < 200 || refused < 200 {
		t.Errorf("%d taken, %d refused: the test compares too little", taken, refused)
	}
	t.Logf("%d taken, %d refused", taken, refused)
}

// pair carries one value into one column and returns whether it was taken.
func (c *carrier) pair(i, name, text, kind string) bool {
	c.t.Helper()
	c.exec(c.to, "DELETE FROM t"+i)
	source := typeName(name)
	if slices.Contains([]string{"mood", "pair", "hstore", "citext"}, name) {
		source = "public." + name
	}
	err := c.apply("t"+i, one(source), line(c.t, map[string]any{"k": "1", "v": text}))
	literal := "'" + strings.ReplaceAll(text, "'", "''") + "'::" + source
	same := func(table string) bool { return c.same(name, kind, literal, table) }
	if err == nil {
		if !same("t" + i) {
			c.t.Errorf("%s %q went into %s as %s", name, text, kind, c.one(c.to, "SELECT concat(v) FROM t"+i))
		}
		return true
	}
	var pg *pgconn.PgError
	if !strings.HasPrefix(err.Error(), `row 1, column "v": `) {
		c.t.Errorf("%s %q into %s: %v", name, text, kind, err)
	}
	if c.one(c.to, "SELECT count(*)::text FROM t"+i) != "0" {
		c.t.Errorf("%s %q into %s was refused, and left a row", name, text, kind)
	}
	_, err = c.to.Exec(c.t.Context(), fmt.Sprintf("DELETE FROM p%s; INSERT INTO p%s SELECT %s", i, i, literal))
	if empty := text == "" && (name == "char" || kind == `"char"`); err == nil && same("p"+i) && !empty { // a cast of an empty "char" makes a zero byte
		c.t.Errorf("%s %q into %s was refused, and Postgres keeps it", name, text, kind)
	} else if err != nil && !errors.As(err, &pg) {
		c.t.Fatal(err)
	}
	return false
}

// same reports whether the table's value is that of the literal: the same text where the column is one, else what Postgres makes of it
// in the type that it came from; by Postgres's equality where one value is written in several ways.
func (c *carrier) same(name, kind, literal, table string) bool {
	c.t.Helper()
	truth := func(condition string) string {
		return c.one(c.to, "SELECT tried($1)", "SELECT ("+condition+")::text FROM "+table)
	}
	source := strings.TrimPrefix(literal[strings.LastIndex(literal, "'::"):], "'::")
	switch {
	case slices.Contains([]string{"text", "varchar(3)", `"char"`}, kind):
		return truth("v::text = ("+literal+")::text") == "true"
	case kind == "char(3)":
		return truth("v = ("+literal+")::text::bpchar") == "true"
	case name == "float8" && kind == "real" || slices.Contains([]string{"numeric", "bpchar"}, name) || strings.HasPrefix(name, "int") && truth("v::"+source+" = "+literal) == "true":
		if kind != "real" && kind != "double precision" || name != "numeric" {
			return truth("v::"+source+" = "+literal) == "true"
		}
		return truth("concat(v)::numeric = "+literal) == "true"
	case strings.HasPrefix(name, "float") && kind != "real" && kind != "double precision" && truth("concat(v)::numeric = concat("+literal+")::numeric") == "true":
		return true
	case name == "json" && kind == "jsonb":
		return truth("v = ("+literal+")::jsonb") == "true"
	}
	if back := truth("concat(v::" + source + ") = concat(" + literal + ")"); back != "∅" {
		return back == "true"
	}
	return truth("concat(v) = concat("+literal+")") == "true"
}
