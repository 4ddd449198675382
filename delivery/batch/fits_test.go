package batch_test

import (
	"fmt"
	"strings"
	"testing"

	"redrive/delivery"
	"redrive/store/storetest/patience"
	"redrive/store/table"
)

// fits are values of a query, columns, and what is there then; a reason, where nothing is.
var fits = []struct{ expression, column, holds, reason string }{
	{"'abc'::varchar", "varchar(3)", "abc", ""}, {"'abcd'::varchar", "varchar(3)", "", "does not keep"}, {"'ab  '::text", "varchar(3)", "", "does not keep"},
	{"'ab'::text", "char(5)", "ab   ", ""}, {"'ab     '::text", "char(5)", "ab   ", ""}, {"'abcdef'::text", "char(5)", "", "does not keep"},
	{"'ab'::char(5)", "text", "ab", ""}, {"'한글'::text", "varchar(2)", "한글", ""}, {"repeat('x', 64)", "name", "", "does not keep"}, {`'ab'::text`, `"char"`, "", "does not keep"},
	{"B'101'", "bit(2)", "", "does not keep"}, {"B'101'", "bit(4)", "", "does not keep"}, {"B'101'", "varbit(5)", "101", ""}, {"B'101'::varbit", "varbit(2)", "", "does not keep"},
	{"1.2", "numeric(5,2)", "1.20", ""}, {"1.50", "numeric(5,1)", "1.5", ""}, {"1.234", "numeric(5,2)", "", "does not keep"}, {"1234.5", "numeric(5,2)", "", "22003"},
	{"1.250", "numeric", "1.250", ""}, {"ARRAY[1.2, NULL]", "numeric(5,2)[]", "{1.20,NULL}", ""}, {"ARRAY[1.234]", "numeric(5,2)[]", "", "does not keep"},
	{"ARRAY['abcd']", "varchar(3)[]", "", "does not keep"}, {"1.234", "narrow", "", "does not keep"}, {"-1.0", "narrow", "", "check"},
	{"time '12:00:00.5'", "time(0)", "", "does not keep"}, {"timestamp '2026-01-31 12:00:00.5'", "timestamp(0)", "", "does not keep"},
	{"timestamptz '2026-01-31 12:00:00.5+09'", "timestamptz(0)", "", "does not keep"}, {"timestamptz '2026-01-31 12:00:00.5+09'", "timestamptz(1)", "2026-01-31 12:00:00.5+09", ""},
	{"interval '1 day 02:03:04.5'", "interval(0)", "", "does not keep"}, {"interval '1 day 02:03'", "interval day", "", "does not keep"}, {"interval '3 days'", "interval day", "3 days", ""},
	{"0.1::float8", "real", "", "does not keep"}, {"0.5::float8", "real", "0.5", ""}, {"0.1::float4", "double precision", "0.10000000149011612", ""},
	{"0.1::numeric", "double precision", "0.1", ""}, {"0.12345678901234567890", "double precision", "", "does not keep"}, {"16777217", "real", "", "does not keep"},
	{"9007199254740993::int8", "double precision", "", "does not keep"}, {"0.30000000000000004::float8", "numeric", "0.30000000000000004", ""},
	{"1.5::float8", "integer", "", "does not keep"}, {"2::float8", "integer", "2", ""}, {"40000", "smallint", "", "22003"}, {"'NaN'::float8", "integer", "", "22003"},
	{`'\x00ff'::bytea`, "bytea", `\x00ff`, ""}, {`'SGk='::text`, "bytea", "", `written as \x`}, {`'\x00ff'::text`, "bytea", `\x00ff`, ""},
	{`'"5"'::json`, "jsonb", `"5"`, ""}, {`'5'::json`, "jsonb", "5", ""}, {"'null'::jsonb", "json", "null", ""}, {"'null'::json", "jsonb", "null", ""}, {"NULL::json", "jsonb", "∅", ""},
	{`'{"a": 1, "a": 2}'::json`, "jsonb", "", "twice"}, {`'{"a": {"b": [1, {"c": 1, "c": 2}]}}'::text`, "jsonb", "", "twice"}, {`'{"a": "a", "b": {"a": 1}}'::json`, "jsonb", `{"a": "a", "b": {"a": 1}}`, ""},
	{`'"\u0000"'::json`, "jsonb", "", "22P05"}, {"'{'::text", "json", "", "22P02"}, {"'5'::text", "integer", "5", ""}, {"'5.5'::text", "integer", "", "does not keep"}, {"'yes'::text", "boolean", "", "does not keep"},
	{"'2026-01-31T12:00:00+09:00'::text", "timestamp", "", "this is no time without a zone"}, {"'2026-01-31T12:00:00Z'::text", "date", "", "this is no date"},
	{"'2026-01-31T12:00:00Z'::text", "timestamptz", "2026-01-31 21:00:00+09", ""}, {"'2026-01-31T12:00:00'::text", "timestamptz", "", "this is no time with its zone"},
	{"'2026-01-31T12:00:00.1234567Z'::text", "timestamptz", "", "this is no time"}, {"'31.01.2026'::text", "date", "", "this is no date"}, {"'0044-03-15 BC'::text", "date", "0044-03-15 BC", ""},
	{"timestamptz '2026-01-31 00:00:00+09'", "date", "2026-01-31", ""}, {"timestamptz '2026-01-31 01:00:00+09'", "date", "", "does not keep"}, {"timestamp '2026-01-31 12:00:00'", "date", "", "does not keep"},
	{"inet '192.168.1.5/24'", "cidr", "", "does not keep"}, {"inet '192.168.1.0/24'", "cidr", "192.168.1.0/24", ""}, {"int4range(1, 5)", "int8range", "", "a cast into the query"},
	{"1", "boolean", "", "a cast into the query"}, {"'happy'::mood", "text", "happy", ""}, {"'odd'::elsewhere", "text", "odd", ""}, {"'odd'::elsewhere", "mood", "", "22P02"}, {"'happy'::text", "mood", "happy", ""},
	{"'A0EEBC99-9C0B-4EF8-BB6D-6BB9BD380A11'::text", "uuid", "a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11", ""}, {`'"a"=>"1"'::hstore`, "hstore", `"a"=>"1"`, ""}, {"'AbC'::citext", "citext", "AbC", ""},
	{`'{"x": 1}'::hstore`, "text", "", ""}, {"NULL::text", "integer NOT NULL", "", "not-null"},
}

// TestAColumnKeepsAValueOrRefusesIt: what is narrower, wider or another type, with the reason, its row and column, and no value in it.
func TestAColumnKeepsAValueOrRefusesIt(t *testing.T) {
	c := newCarrier(t)
	c.exec(c.from, "CREATE TYPE elsewhere AS ENUM ('odd')")
	c.exec(c.to, "CREATE DOMAIN narrow AS numeric(5,2) CHECK (value > 0)")
	for i, f := range fits {
		if f.holds == "" && f.reason == "" {
			continue
		}
		name := fmt.Sprintf("f%d", i)
		c.exec(c.to, fmt.Sprintf("CREATE TABLE %s (k integer PRIMARY KEY, v %s)", name, f.column))
		file, content := c.read("SELECT 7 AS k, " + f.expression + " AS v")
		err := c.apply(name, file, content)
		switch {
		case f.reason == "" && err != nil:
			t.Errorf("%s into %s: %v", f.expression, f.column, err)
		case f.reason == "":
			if got := c.one(c.to, "SELECT CASE WHEN v IS NULL THEN '∅' ELSE concat(v) END FROM "+name); got != f.holds {
				t.Errorf("%s into %s is %s, want %s", f.expression, f.column, got, f.holds)
			}
		case err == nil:
			t.Errorf("%s went into %s as %s", f.expression, f.column, c.one(c.to, "SELECT concat(v) FROM "+name))
		case !strings.HasPrefix(err.Error(), `row 1, column "v": `) && f.reason != "check" || !strings.Contains(err.Error(), f.reason):
			t.Errorf("%s into %s: %v, want %s", f.expression, f.column, err, f.reason)
		}
	}
}

// TestTheBadRowIsNamed: among thousands, whatever refuses it.
func TestTheBadRowIsNamed(t *testing.T) {
	c := newCarrier(t)
	c.exec(c.to, "CREATE TABLE many (k integer PRIMARY KEY, v numeric(4,1), w text UNIQUE, x integer CHECK (x <> 13))")
	for _, f := range []struct{ v, w, x, want string }{
		{"CASE WHEN n = 1778 THEN 1.55 ELSE 1.5 END", "n::text", "1", `row 1778, column "v": `},
		{"CASE WHEN n = 2001 THEN 12345 ELSE 1.5 END", "n::text", "1", `row 2001, column "v": ERROR: numeric field overflow`},
		{"1", "CASE n WHEN 1500 THEN '20' ELSE n::text END", "1", `row 1500: ERROR: duplicate key`},
		{"1", "n::text", "CASE n WHEN 1000 THEN 13 END", `row 1000: ERROR: new row for relation`},
	} {
		file, content := c.read(fmt.Sprintf("SELECT n AS k, %s AS v, %s AS w, %s::int AS x FROM generate_series(1, 2100) n", f.v, f.w, f.x))
		if err := c.apply("many", file, content); err == nil || !strings.HasPrefix(err.Error(), f.want) {
			t.Errorf("%v, want %s", err, f.want)
		}
	}
	if n := c.one(c.to, "SELECT count(*)::text FROM many"); n != "0" {
		t.Errorf("%s rows stayed", n)
	}
}

// TestColumnsThatATableMakesItself are refused with what to do, and doing it helps.
func TestColumnsThatATableMakesItself(t *testing.T) {
	c := newCarrier(t)
	c.exec(c.to, `CREATE TABLE made (k integer PRIMARY KEY, id bigint GENERATED ALWAYS AS IDENTITY UNIQUE, twice integer GENERATED ALWAYS AS (k * 2) STORED, free integer GENERATED BY DEFAULT AS IDENTITY)`)
	to := func(change func(*delivery.TableDestination)) delivery.TableDestination {
		d := delivery.TableDestination{Table: "made", Key: []string{"k"}}
		change(&d)
		return d
	}
	for name, f := range map[string]struct {
		query  string
		to     delivery.TableDestination
		holds  string
		reason string
	}{
		"identity":          {"SELECT 1 AS k, 70 AS id", to(func(*delivery.TableDestination) {}), "", "overriding_system_value: true"},
		"left out":          {"SELECT 2 AS k, 71 AS free", to(func(*delivery.TableDestination) {}), "2|1|4|71", ""},
		"kept, not the key": {"SELECT 3 AS k, 70 AS id", to(func(d *delivery.TableDestination) { d.Overrides = true }), "", "add it to key"},
		"kept":              {"SELECT 4 AS k, 77 AS id", to(func(d *delivery.TableDestination) { d.Overrides, d.Key = true, []string{"id"} }), "4|77|8|", ""},
		"computed":          {"SELECT 5 AS k, 10 AS twice", to(func(d *delivery.TableDestination) { d.Overrides = true }), "", "computed by the table"},
	} {
		file, content := c.read(f.query)
		err := c.applyTo(f.to, file, content)
		switch {
		case f.reason != "" && (err == nil || !strings.Contains(err.Error(), f.reason)):
			t.Errorf("%s: %v", name, err)
		case f.reason == "" && err != nil:
			t.Errorf("%s: %v", name, err)
		case f.reason == "":
			if got := c.one(c.to, "SELECT concat_ws('|', k, id, twice, '') || CASE WHEN free > 50 THEN free::text ELSE '' END FROM made WHERE k = $1::int", f.holds[:1]); got != f.holds {
				t.Errorf("%s: %s, want %s", name, got, f.holds)
			}
		}
	}
}

// TestNamesOfEveryKind: quotes, dots, capitals and Korean, in the table's name, the key, the columns and the query.
func TestNamesOfEveryKind(t *testing.T) {
	c := newCarrier(t)
	names := []string{"Name", "주문 번호", "a.b", `say "x"`, "order", "$1", "c1", "v1", "n", "which", ":date", "백.\"분\"율%s", "k"}
	var columns, selected []string
	for i, name := range names {
		quoted := `"` + strings.ReplaceAll(name, `"`, `""`) + `"`
		columns = append(columns, quoted+" integer")
		selected = append(selected, fmt.Sprintf("%d AS %s", i, quoted))
	}
	for _, text := range []string{"plain", `"Odd.Schema"."이름 ""x"""`, `"Odd.Schema".한글표`, `public."Select"`} {
		schema, name, ok := delivery.ParseTableName(text)
		if !ok || delivery.TableName(schema, name) != text {
			t.Fatalf("%s is read as %q, %q, %v, and written as %s", text, schema, name, ok, delivery.TableName(schema, name))
		}
		c.exec(c.to, `CREATE SCHEMA IF NOT EXISTS "Odd.Schema"`)
		c.exec(c.to, fmt.Sprintf("CREATE TABLE %s (%s, UNIQUE (%s))", text, strings.Join(columns, ", "), `"주문 번호", "say ""x"""`))
		file, content := c.read("SELECT " + strings.Join(selected, ", "))
		to := delivery.TableDestination{Schema: schema, Table: name, Key: []string{"주문 번호", `say "x"`}}
		for range 2 { // the second time the row is there
			if err := c.applyTo(to, file, content); err != nil {
				t.Fatalf("%s: %v", text, err)
			}
		}
		for i, column := range names {
			if got := c.one(c.to, fmt.Sprintf(`SELECT "%s"::text FROM %s`, strings.ReplaceAll(column, `"`, `""`), text)); got != fmt.Sprint(i) {
				t.Errorf("%s of %s is %s, want %d", column, text, got, i)
			}
		}
	}
	file, content := c.read("SELECT 1 AS k")
	err := c.applyTo(delivery.TableDestination{Schema: "odd.schema", Table: "한글표", Key: []string{"k"}}, file, content)
	if err == nil || !strings.Contains(err.Error(), `"Odd.Schema".한글표 is meant`) {
		t.Errorf("a name in another case: %v", err)
	}
}

// TestMessagesGoIntoATableAsTheyAre: what JSON paths name in events, and their payloads, into columns of many types.
func TestMessagesGoIntoATableAsTheyAre(t *testing.T) {
	c := newCarrier(t)
	c.exec(c.to, `CREATE TABLE facts (k integer PRIMARY KEY, doc jsonb, text text, number numeric(6,2), whole integer, flag boolean, at timestamptz, day date, raw json, short varchar(4), real double precision, bytes bytea)`)
	columns := map[string]string{"doc": "$.doc", "text": "$.text", "number": "$.number", "whole": "$.whole", "flag": "$.flag", "at": "$.at", "day": "$.day", "raw": "$.raw", "short": "$.short", "real": "$.real", "bytes": "$.bytes"}
	kinds := []delivery.ValueColumn{{Name: "k", Type: "pg_catalog.int4"}}
	for name := range columns {
		kinds = append(kinds, delivery.ValueColumn{Name: name, Type: delivery.TypeMessageValue})
	}
	for _, f := range []struct{ column, value, holds, reason string }{
		{"doc", `"5"`, `"5"`, ""}, {"doc", "5", "5", ""}, {"doc", "null", "null", ""}, {"doc", `{"a":{"b":1,"b":2}}`, "", "twice"}, {"raw", `{"a":1,"a":2}`, `{"a":1,"a":2}`, ""}, {"raw", "null", "null", ""},
		{"text", `"5"`, "5", ""}, {"text", "5.10", "5.10", ""}, {"text", "null", "∅", ""}, {"text", `"null"`, "null", ""}, {"text", `{"a": [1]}`, `{"a": [1]}`, ""}, {"text", "true", "true", ""},
		{"text", `"a\u0000b"`, "", "zero byte"}, {"text", `"\ud83d\ude00 \\ud800"`, `😀 \ud800`, ""}, {"text", `"\ud83d"`, "", "halves of surrogates"}, {"text", `"\ude00\ud83d"`, "", "halves of surrogates"}, {"text", `"x\\\ud83dx"`, "", "halves"},
		{"number", "1.5", "1.50", ""}, {"number", `"1.25"`, "1.25", ""}, {"number", "1.005", "", "does not keep"}, {"number", "true", "", "22P02"}, {"whole", "1e3", "1000", ""}, {"whole", "1.5", "", "does not keep"},
		{"flag", "true", "t", ""}, {"flag", `"false"`, "f", ""}, {"flag", "1", "", "does not keep"}, {"at", `"2026-01-31T12:00:00Z"`, "2026-01-31 21:00:00+09", ""}, {"at", `"2026-01-31 12:00"`, "", "this is no time"},
		{"day", `"2026-01-31"`, "2026-01-31", ""}, {"day", `"2026-01-31T00:00:00Z"`, "", "this is no date"}, {"day", "20260131", "", "this is no date"}, {"short", `"abcd"`, "abcd", ""}, {"short", `"abcde"`, "", "does not keep"},
		{"real", "0.1", "0.1", ""}, {"real", "0.1000000000000000000001", "", "does not keep"}, {"real", "1e400", "", "22003"}, {"bytes", `"SGk="`, "", `written as \x`}, {"bytes", `"\\x4869"`, `\x4869`, ""},
	} {
		row := map[string]any{"k": "1"}
		for name := range columns {
			row[name] = nil
		}
		row[f.column] = f.value
		c.exec(c.to, "DELETE FROM facts")
		err := c.apply("facts", delivery.BatchFile{Rows: 1, Columns: kinds, TimeZone: "Asia/Seoul"}, line(t, row))
		switch {
		case f.reason != "" && (err == nil || !strings.HasPrefix(err.Error(), fmt.Sprintf("row 1, column %q: ", f.column)) || !strings.Contains(err.Error(), f.reason)):
			t.Errorf("%s into %s: %v, want %s", f.value, f.column, err, f.reason)
		case f.reason == "" && err != nil:
			t.Errorf("%s into %s: %v", f.value, f.column, err)
		case f.reason == "":
			if got := c.one(c.to, fmt.Sprintf("SELECT CASE WHEN %[1]s IS NULL THEN '∅' ELSE concat(%[1]s) END FROM facts", f.column)); got != f.holds {
				t.Errorf("%s into %s is %s, want %s", f.value, f.column, got, f.holds)
			}
		}
	}
}

// TestEventsReachATable: by the room and the engine, as the program runs them; and payloads that are no text.
func TestEventsReachATable(t *testing.T) {
	c := newCarrier(t)
	c.exec(c.to, "CREATE TABLE said (id uuid PRIMARY KEY, doc jsonb, also text, payload bytea)")
	b := newBed(t, func(in *delivery.Integration) {
		in.Subscribe, in.Batch.Query, in.Batch.Start = []string{"said"}, "", delivery.StartBeginning
		*in = careful(*in, delivery.Destination{To: &delivery.TableDestination{URL: c.target, Table: "said", Key: []string{"id"}, Timeout: patience.Limit,
			Columns: []delivery.FileColumn{{Name: "id", From: "id"}, {Name: "doc", From: "$.v"}, {Name: "also", From: "$.v"}, {Name: "payload", From: "payload"}}}})
	})
	for _, payload := range []string{`{"v": "5"}`, `{"v": 5}`, `{"v": null}`, `{}`, "\xff\x00"} {
		b.sql("SELECT redrive.publish('said', $1::bytea)", []byte(payload))
	}
	b.request("")
	b.runRooms()
	b.state(b.file(1).DeliveryID, delivery.StateDelivered)
	got := c.one(c.to, `SELECT string_agg(concat_ws('|', coalesce(doc::text, '∅'), coalesce(also, '∅'), payload), ' ' ORDER BY id) FROM said`)
	hex := func(text string) string { return fmt.Sprintf(`\x%x`, text) }
	want := fmt.Sprintf(`"5"|5|%s 5|5|%s null|∅|%s ∅|∅|%s ∅|∅|\xff00`, hex(`{"v": "5"}`), hex(`{"v": 5}`), hex(`{"v": null}`), hex("{}"))
	if got != want {
		t.Errorf("the table holds\n%s, want\n%s", got, want)
	}
	if n := c.one(c.to, "SELECT count(*)::text FROM "+table.Bookkeeping); n != "1" {
		t.Errorf("%s files are noted", n)
	}
}
