package source_test

import (
	"encoding/json"
	"fmt"
	"os"
	"strings"
	"testing"
)

// values are columns of every kind: what is inserted and what it becomes.
var values = []struct{ kind, sql, json string }{
	{"int2", "-32768", "-32768"},
	{"int4", "2147483647", "2147483647"},
	{"int8", "9223372036854775807", "9223372036854775807"},
	{"oid", "4294967295", "4294967295"},
	{"numeric", "'123456789012345678901234567890.1200'", "123456789012345678901234567890.1200"},
	{"numeric", "'-0.50'", "-0.50"},
	{"numeric", "'NaN'", `"NaN"`},
	{"numeric", "'-Infinity'", `"-Infinity"`},
	{"float4", "1.1", "1.1"},
	{"float8", "1e300", "1e+300"},
	{"float8", "-0.0000001", "-1e-07"},
	{"float8", "'NaN'", `"NaN"`},
	{"float8", "'Infinity'", `"Infinity"`},
	{"bool", "true", "true"},
	{"bool", "false", "false"},
	{"text", `E'a "q" \\ \n\t\u0001 <ü€😀>'`, `"a \"q\" \\ \n\u0009\u0001 <ü€😀>"`},
	{"text", "''", `""`},
	{"text", "NULL", "null"},
	{"varchar(5)", "'x'", `"x"`},
	{"char(3)", "'x'", `"x  "`},
	{`"char"`, "'x'", `"x"`},
	{"bytea", `'\x00ff10'`, `"AP8Q"`},
	{"bytea", `''`, `""`},
	{"json", `'{ "b": 1,  "a": [1, 2],"a":null, "t": " < " }'`, `{"b":1,"a":[1,2],"a":null,"t":" < "}`},
	{"jsonb", `'{"b": 1.10, "a": "ü"}'`, `{"a":"ü","b":1.10}`},
	{"jsonb", `'null'`, `null`},
	{"timestamptz", "'2026-02-03 04:05:06.7+02'", `"2026-02-03T02:05:06.700000Z"`},
	{"timestamptz", "'2026-02-03 04:05:06+00'", `"2026-02-03T04:05:06.000000Z"`},
	{"timestamptz", "'infinity'", `"infinity"`},
	{"timestamptz", "'0044-03-15 12:00:00+00 BC'", `"0044-03-15 12:00:00+00 BC"`},
	{"timestamptz", "'12026-01-01 00:00:00+00'", `"12026-01-01 00:00:00+00"`},
	{"timestamp", "'2026-02-03 04:05:06.7'", `"2026-02-03 04:05:06.7"`},
	{"date", "'2026-02-03'", `"2026-02-03"`},
	{"time", "'04:05:06'", `"04:05:06"`},
	{"timetz", "'04:05:06+02'", `"04:05:06+02"`},
	{"interval", "'1 day 2 hours'", `"1 day 02:00:00"`},
	{"uuid", "'8f0a2b1c-0000-4000-8000-000000000001'", `"8f0a2b1c-0000-4000-8000-000000000001"`},
	{"inet", "'10.0.0.1/8'", `"10.0.0.1/8"`},
	{"mood", "'good \"one\"'", `"good \"one\""`},
	{"cents", "12", "12"},
	{"int4range", "'[1,5)'", `"[1,5)"`},
	{"pair", "ROW(1, 'x')", `"(1,x)"`},
	{"tsvector", "'a b'", `"'a' 'b'"`},
	{"int4[]", "'{}'", "[]"},
	{"int4[]", "'{1,NULL,3}'", "[1,null,3]"},
	{"int4[]", "'{{1,2},{3,4}}'", "[[1,2],[3,4]]"},
	{"int4[]", "'[0:1]={1,2}'", "[1,2]"},
	{"text[]", `ARRAY['a', 'NULL', NULL, '', 'b"c\', '{d},e', 'ü']`, `["a","NULL",null,"","b\"c\\","{d},e","ü"]`},
	{"jsonb[]", `ARRAY['{"a": "x,y"}'::jsonb, NULL]`, `[{"a":"x,y"},null]`},
	{"bool[]", "'{t,f}'", "[true,false]"},
	{"timestamptz[]", "'{2026-02-03 04:05:06+00}'", `["2026-02-03T04:05:06.000000Z"]`},
	{"bytea[]", `ARRAY['\x00'::bytea]`, `["AA=="]`},
	{"float8[]", "'{NaN,1.5}'", `["NaN",1.5]`},
	{"box[]", "'{(1,1),(0,0);(2,2),(1,1)}'", `["(1,1),(0,0)","(2,2),(1,1)"]`},
	{"mood[]", `ARRAY['bad', 'good "one"']::mood[]`, `["bad","good \"one\""]`},
	{"cents[]", "'{1,2}'", "[1,2]"},
	{"centlist", "'{1,2}'", "[1,2]"},
	{"int2vector", "'1 2'", `"1 2"`},
}

// documented are the examples of docs/cdc.md.
func documented(t *testing.T) (examples []struct{ kind, sql, json string }) {
	t.Helper()
	page, err := os.ReadFile("../../docs/cdc.md")
	if err != nil {
		t.Fatal(err)
	}
	_, section, _ := strings.Cut(string(page), "## Values in messages")
	for line := range strings.Lines(section) {
		if cells := strings.Split(strings.TrimSpace(line), "` | `"); len(cells) == 3 {
			examples = append(examples, struct{ kind, sql, json string }{strings.TrimPrefix(cells[0], "| `"), cells[1], strings.TrimSuffix(cells[2], "` |")})
		}
	}
	if len(examples) < 20 {
		t.Fatalf("docs/cdc.md has %d examples", len(examples))
	}
	return examples
}

const ownTypes = `CREATE TYPE mood AS ENUM ('bad', 'good "one"'); CREATE DOMAIN cents AS numeric CHECK (VALUE > 0); CREATE DOMAIN centlist AS int[];
	CREATE TYPE pair AS (a int, b text);`

// Every type reads the same from stream and query, whatever the database's own settings are.
func TestEveryType(t *testing.T) {
	values := append(documented(t), values...)
	var columns, inserted []string
	for n, v := range values {
		columns = append(columns, fmt.Sprintf("c%d %s", n, v.kind))
		inserted = append(inserted, v.sql)
	}
	b := ready(t, ownTypes+"CREATE TABLE content (id int PRIMARY KEY, "+strings.Join(columns, ", ")+")", "content")
	b.run(`DO $$ BEGIN EXECUTE format('ALTER DATABASE %I SET DateStyle = ''German'';
		ALTER DATABASE %1$I SET TimeZone = ''Asia/Tokyo''; ALTER DATABASE %1$I SET bytea_output = ''escape''; ALTER DATABASE %1$I SET IntervalStyle = ''iso_8601'';
		ALTER DATABASE %1$I SET extra_float_digits = -3; ALTER DATABASE %1$I SET client_encoding = ''LATIN1''', current_database()); END $$`)
	b.src = b.open(b.settings)
	st := b.stream(0)
	b.run("INSERT INTO content VALUES (1, " + strings.Join(inserted, ", ") + ")")
	changes, _ := b.changes(st)
	rows, last, err := b.src.Chunk(ctx(t), "public", "content", nil, nil, 10)
	if err != nil || len(rows) != 1 || len(changes) != 1 || len(last) != 1 || last[0] != "1" {
		t.Fatalf("%d rows to %q, %d changes: %v", len(rows), last, len(changes), err)
	}
	for n, v := range values {
		name := fmt.Sprint("c", n)
		streamed, read := changes[0].Row[name], rows[0].Row[name]
		if string(streamed) != v.json || string(read) != v.json {
			t.Errorf("%s %s: stream %s, query %s, want %s", v.kind, v.sql, streamed, read, v.json)
		}
		if !json.Valid(streamed) {
			t.Errorf("%s %s is no JSON: %s", v.kind, v.sql, streamed)
		}
	}
}

func TestLargeDocument(t *testing.T) {
	b := ready(t, "CREATE TABLE content (id int PRIMARY KEY, doc jsonb)", "content")
	st := b.stream(0)
	b.run(`INSERT INTO content SELECT 1, jsonb_object_agg('key' || n, repeat('wörd ', 100)) FROM generate_series(1, 20000) n`) // 12 MB
	changes, _ := b.changes(st)
	var doc map[string]string
	if err := json.Unmarshal(changes[0].Row["doc"], &doc); err != nil || len(doc) != 20000 || doc["key20000"] != strings.Repeat("wörd ", 100) {
		t.Errorf("%d keys: %v", len(doc), err)
	}
}
