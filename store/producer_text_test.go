package store_test

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"os"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5/pgconn"
	"pgregory.net/rapid"

	"redrive/store/storetest"
)

// OIDs of the types that drivers declare for a text, beside 0, which declares none.
const (
	oidBytea, oidName, oidText, oidJSON, oidBpchar, oidVarchar, oidJSONB = 17, 19, 25, 114, 1042, 1043, 3802
)

// handover collects what was handed over and what must have been kept.
type handover struct {
	t       rapid.TB
	conn    *pgconn.PgConn
	ids     []string
	wants   []string // SHA-256
	methods []string
}

// call runs a statement that answers a message's id.
func (h *handover) call(method, want, statement string, values [][]byte, types []uint32, formats []int16) {
	h.t.Helper()
	result := h.conn.ExecParams(context.Background(), statement, values, types, formats, nil).Read()
	if result.Err != nil {
		h.t.Fatalf("%s, %q: %v", method, want, result.Err)
	}
	sum := sha256.Sum256([]byte(want))
	h.ids, h.wants, h.methods = append(h.ids, string(result.Rows[0][0])), append(h.wants, hex.EncodeToString(sum[:])), append(h.methods, method)
}

// arrived compares everything that was handed over with what is kept.
func (h *handover) arrived() {
	h.t.Helper()
	result := h.conn.ExecParams(context.Background(), `SELECT encode(sha256(m.payload), 'hex'), m.payload FROM unnest($1::uuid[]) WITH ORDINALITY AS given(id, n)
		JOIN redrive.messages m ON m.id = given.id ORDER BY given.n`, [][]byte{[]byte("{" + strings.Join(h.ids, ",") + "}")}, nil, nil, []int16{0, 1}).Read()
	if result.Err != nil || len(result.Rows) != len(h.ids) {
		h.t.Fatalf("%d of %d messages are there: %v", len(result.Rows), len(h.ids), result.Err)
	}
	for i, row := range result.Rows {
		if string(row[0]) != h.wants[i] {
			h.t.Errorf("%s: %q arrived", h.methods[i], row[1])
		}
	}
}

// printed is a JSON as Postgres prints jsonb.
func printed(t rapid.TB, conn *pgconn.PgConn, text string) string {
	t.Helper()
	result := conn.ExecParams(context.Background(), "SELECT $1::jsonb::text", [][]byte{[]byte(text)}, nil, nil, nil).Read()
	if result.Err != nil {
		t.Fatalf("%q: %v", text, result.Err)
	}
	return string(result.Rows[0][0])
}

// calls are the two functions, with a place for the payload.
var calls = []string{"SELECT redrive.enqueue('push', 't', %s)::text", "SELECT redrive.publish('order.placed', %s)::text",
	"SELECT redrive.enqueue('push', 't', %s, 'k', '{}')::text", "SELECT redrive.publish(payload => %s, type => 'order.placed', key => 'k', headers => '{\"a\": \"b\"}'::text)::text"}

// Every way in which a driver writes a parameter: its type, and its format on the wire.
func TestTextArrivesAsItWasWrittenByParameter(t *testing.T) {
	d := open(t)
	conn := d.connect().PgConn()
	rapid.Check(t, func(r *rapid.T) {
		h := &handover{t: r, conn: conn}
		text, plain := storetest.JSONText(true).Draw(r, "text"), storetest.JSONText(false).Draw(r, "plain")
		call := rapid.SampledFrom(calls).Draw(r, "call")
		for _, p := range []struct {
			oid  uint32
			cast string
		}{{0, ""}, {oidText, ""}, {oidVarchar, ""}, {oidBpchar, ""}, {oidJSON, ""}, {0, "::text"}, {0, "::json"}, {oidVarchar, "::json"}, {oidText, "::text"}, {oidBytea, ""}, {0, "::bytea"}} {
			statement := fmt.Sprintf(call, "$1"+p.cast)
			if p.cast != "::bytea" && p.oid != oidBytea { // as text, bytea has forms of its own
				h.call(fmt.Sprint("text format ", p), text, statement, [][]byte{[]byte(text)}, []uint32{p.oid}, nil)
			}
			h.call(fmt.Sprint("binary format ", p), text, statement, [][]byte{[]byte(text)}, []uint32{p.oid}, []int16{1})
		}
		want := printed(r, conn, plain)
		statement := fmt.Sprintf(call, "$1")
		h.call("jsonb as text", want, statement, [][]byte{[]byte(plain)}, []uint32{oidJSONB}, nil)
		h.call("jsonb in binary", want, statement, [][]byte{append([]byte{1}, plain...)}, []uint32{oidJSONB}, []int16{1})
		h.call("varchar::jsonb", want, fmt.Sprintf(call, "$1::jsonb"), [][]byte{[]byte(plain)}, []uint32{oidVarchar}, nil)
		h.call("bytea in hex", text, statement, [][]byte{[]byte(`\x` + hex.EncodeToString([]byte(text)))}, []uint32{oidBytea}, nil)
		h.arrived()
	})
}

// Every way in which a person or a program writes a literal.
func TestTextArrivesAsItWasWrittenByLiteral(t *testing.T) {
	d := open(t)
	conn, old := d.connect().PgConn(), d.connect().PgConn()
	if err := old.Exec(t.Context(), "SET standard_conforming_strings = off; SET escape_string_warning = off; SET client_min_messages = error").Close(); err != nil {
		t.Fatal(err)
	}
	rapid.Check(t, func(r *rapid.T) {
		h := &handover{t: r, conn: conn}
		text, plain := storetest.JSONText(true).Draw(r, "text"), storetest.JSONText(false).Draw(r, "plain")
		call := rapid.SampledFrom(calls).Draw(r, "call")
		quoted := "'" + strings.ReplaceAll(text, "'", "''") + "'"
		escaped := strings.NewReplacer(`\`, `\\`, "'", `\'`).Replace(text)
		for _, literal := range []string{quoted, " E'" + escaped + "'", "$json$" + text + "$json$", "U&" + strings.ReplaceAll(quoted, `\`, `\\`)} {
			for _, cast := range []string{"", "::text", "::json", "::varchar", "::text::json"} {
				h.call(literal+cast, text, fmt.Sprintf(call, literal+cast), nil, nil, nil)
			}
		}
		h.call("bytea", text, fmt.Sprintf(call, `'\x`+hex.EncodeToString([]byte(text))+"'::bytea"), nil, nil, nil)
		h.call("convert_to", text, fmt.Sprintf(call, "convert_to("+quoted+", 'UTF8')"), nil, nil, nil)
		h.call("jsonb", printed(r, conn, plain), fmt.Sprintf(call, "'"+strings.ReplaceAll(plain, "'", "''")+"'::jsonb"), nil, nil, nil)
		h.conn = old
		h.call("without standard_conforming_strings", text, fmt.Sprintf(call, "'"+strings.ReplaceAll(escaped, `\'`, "''")+"'"), nil, nil, nil)
		h.call("E'' without standard_conforming_strings", text, fmt.Sprintf(call, "E'"+strings.ReplaceAll(escaped, `\'`, "''")+"'"), nil, nil, nil)
		h.conn = conn
		h.arrived()
	})
}

// What looks like bytea's forms is a text like any other, and so is what is no JSON.
func TestOtherTextsArriveAsTheyWereWritten(t *testing.T) {
	d := open(t)
	h := &handover{t: t, conn: d.connect().PgConn()}
	for _, text := range []string{"", " ", "x", `\x41`, `\\x41`, `\x`, `\X4142`, `\101`, `\\`, `\`, "a\tb\r\nc\n", "null", "한글 é 😀", "\ufeff{}", strings.Repeat(`\"`, 50_000)} {
		for _, call := range calls {
			for _, oid := range []uint32{0, oidText, oidVarchar} {
				h.call(fmt.Sprint("parameter ", oid), text, fmt.Sprintf(call, "$1"), [][]byte{[]byte(text)}, []uint32{oid}, nil)
			}
			h.call("literal", text, fmt.Sprintf(call, "'"+text+"'"), nil, nil, nil)
		}
	}
	h.arrived()
}

// Columns and variables of the types that stand for a text.
func TestTextOfOtherTypes(t *testing.T) {
	d := open(t)
	d.must(d.sql(`CREATE DOMAIN public.document AS text CHECK (VALUE <> ''); CREATE DOMAIN public.jdoc AS jsonb; CREATE DOMAIN public.raw AS bytea;
		CREATE TABLE public.texts (a varchar(40), b char(40), c name, d public.document, e "char", f public.jdoc, g public.raw, h json)`))
	const text = `{"a": "C:\\temp \" \u00e9"}`
	d.must(d.sql(`INSERT INTO public.texts SELECT $1, $1, $1, $1, 'x', $1::jsonb, convert_to($1, 'UTF8'), $1::json FROM (SELECT $1::text) t`, text))
	columns := map[string]string{"a": text, "b": text, "c": text, "d": text, "e": "x", "f": `{"a": "C:\\temp \" é"}`, "g": text, "h": text}
	if value[bool](d, "SELECT EXISTS (SELECT FROM pg_available_extensions WHERE name = 'citext')") {
		d.must(d.sql("CREATE EXTENSION citext SCHEMA public; ALTER TABLE public.texts ADD COLUMN i public.citext; UPDATE public.texts SET i = a"))
		columns["i"] = text
	} else {
		t.Log("citext is not installed")
	}
	h := &handover{t: t, conn: d.connect().PgConn()}
	for column, want := range columns {
		for _, call := range calls {
			h.call(column, want, strings.TrimSuffix(fmt.Sprintf(call, column), "::text")+"::text FROM public.texts", nil, nil, nil)
		}
	}
	h.arrived()
}

// Which form a call takes is decided for each way to write it; none is ambiguous.
func TestHeadersMayBeText(t *testing.T) {
	d := open(t)
	d.must(d.sql("CREATE DOMAIN public.jsondoc AS json; CREATE DOMAIN public.jsonbdoc AS jsonb; CREATE DOMAIN public.textdoc AS text"))
	conn := d.connect().PgConn()
	run := func(statement string) (string, error) {
		results, err := conn.Exec(t.Context(), statement).ReadAll()
		if err != nil {
			return "", err
		}
		return string(results[len(results)-1].Rows[0][0]), nil
	}
	const kept = "; SELECT headers::text || ' ' || coalesce(key, '-') FROM redrive.messages ORDER BY id DESC LIMIT 1"
	for _, payload := range []string{"'x'", "'x'::text", "'x'::varchar", "'\"x\"'::json", "'\"x\"'::jsonb", "'x'::bytea", "NULL::bytea"} {
		rests := map[string]string{"": "{} -", ", 'k'": "{} k", ", NULL": "{} -", ", 'k'::varchar": "{} k", ", key => 'k'": "{} k", ", idempotency_key => NULL": "{} -",
			", 'k', NULL": "{} k", ", headers => NULL": "{} -", ", headers => NULL::json": "{} -", ", 'k', NULL::json": "{} k", ", 'k', NULL, NULL": "{} k", ", 'k', '{}'": "{} k"}
		for _, headers := range []string{`'{"a": "b"}'`, `'{"a": "b"}'::text`, `'{"a": "b"}'::varchar`, `'{"a": "b"}'::jsonb`, `'{"a":  "b"}'::json`,
			`'{"a": "b"}'::public.jsondoc`, `'{"a": "b"}'::public.jsonbdoc`, `'{"a": "b"}'::public.textdoc`} {
			for _, rest := range []string{", headers => %s", ", NULL, %s", ", NULL, headers => %s", ", idempotency_key => NULL, headers => %s"} {
				rests[fmt.Sprintf(rest, headers)] = `{"a": "b"} -`
			}
			for _, rest := range []string{", key => 'k', headers => %s", ", headers => %s, key => 'k'::text", ", 'k', %s", ", 'k'::text, %s", ", 'k'::varchar, %s", ", 'k', %s, NULL"} {
				rests[fmt.Sprintf(rest, headers)] = `{"a": "b"} k`
			}
		}
		for rest, want := range rests {
			for _, call := range []string{"redrive.enqueue('push', 't', " + payload + rest + ")", "redrive.publish('order.placed', " + payload + rest + ")"} {
				if got, err := run("SELECT " + call + kept); err != nil || got != want {
					t.Errorf("%s: %s, not %s: %v", call, got, want, err)
				}
			}
		}
	}
	for _, all := range []string{"'k', '{}', NULL, NULL, NULL", "'k', '{}', NULL, now() + interval '1 h', now() + interval '2 h'"} {
		if got, err := run("SELECT redrive.enqueue('push', 't', 'x', " + all + ")" + kept); err != nil || got != "{} k" {
			t.Errorf("%s: %s: %v", all, got, err)
		}
	}
	for wrong, want := range map[string]string{`'{"a": "1", "a": "2"}'`: "RD005", `'{"A": "1", "a": "2"}'::text`: "RD005", `'{"a": "1", "a": "2"}'::json`: "RD005", `'3'::json`: "RD005", `'[]'`: "RD005", `'3'::text`: "RD005", `'{"a": 1}'`: "RD005", `'{'`: "22P02"} {
		if _, err := run("SELECT redrive.publish('t', 'x', headers => " + wrong + ")"); code(err) != want {
			t.Errorf("headers %s: %v", wrong, err)
		}
	}
}

// Some drivers write bytes as a literal in bytea's hex form without a type. Where that shows, it is refused.
func TestBytesThatADriverWroteAsTextAreRefused(t *testing.T) {
	d := open(t)
	for _, payload := range []string{"\x00\xff", "\xff", `{"a": 1}`, "[]", " {} "} {
		for _, call := range calls {
			err := d.sql(fmt.Sprintf(call, `'\x`+hex.EncodeToString([]byte(payload))+"'"))
			var refused *pgconn.PgError
			if !errors.As(err, &refused) || refused.Code != "RD006" || !strings.Contains(refused.Hint, "$1::bytea") {
				t.Errorf("%q: %v", payload, err)
			}
		}
	}
}

func TestNoPayloadIsSaidByAType(t *testing.T) {
	d := open(t)
	for _, call := range calls {
		for _, null := range []string{"NULL", "NULL::text", "NULL::json", "NULL::jsonb", "NULL::varchar"} {
			err := d.sql(fmt.Sprintf(call, null))
			var refused *pgconn.PgError
			if !errors.As(err, &refused) || refused.Code != "RD003" || !strings.Contains(refused.Hint, "NULL::bytea") {
				t.Errorf("%s: %v", fmt.Sprintf(call, null), err)
			}
		}
		d.must(d.sql(fmt.Sprintf(call, "NULL::bytea")))
	}
	if n := value[int](d, "SELECT count(*) FROM redrive.messages WHERE payload IS NULL"); n != len(calls) {
		t.Errorf("%d messages without payload", n)
	}
}

func code(err error) string {
	var refused *pgconn.PgError
	if errors.As(err, &refused) {
		return refused.Code
	}
	return ""
}

// The type of a parameter for headers: a driver declares one, or leaves it to the server.
func TestHeadersAsAParameter(t *testing.T) {
	d := open(t)
	conn := d.connect().PgConn()
	const headers = `{"a":  "b"}`
	for _, payload := range []uint32{0, oidText, oidVarchar, oidJSON, oidJSONB} {
		for _, typed := range []uint32{0, oidText, oidVarchar, oidJSON, oidJSONB} {
			for _, call := range []string{"SELECT redrive.enqueue('push', 't', $1, NULL, $2)", "SELECT redrive.publish('t', $1, 'k', $2)",
				"SELECT redrive.enqueue('push', 't', $1, headers => $2)", "SELECT redrive.publish('t', $1, headers => $2, key => 'k'::text)"} {
				if result := conn.ExecParams(t.Context(), call, [][]byte{[]byte("1"), []byte(headers)}, []uint32{payload, typed}, nil, nil).Read(); result.Err != nil {
					t.Errorf("%s, types %d and %d: %v", call, payload, typed, result.Err)
				}
			}
		}
	}
	if n, all := value[int](d, `SELECT count(*) FROM redrive.messages WHERE headers = '{"a": "b"}'`), value[int](d, "SELECT count(*) FROM redrive.messages"); n != all || n != 100 {
		t.Errorf("%d of %d messages have the headers", n, all)
	}
}

// Bytes that are no UTF-8 do not come as far as a function when they have no type: the server reads a literal or a text parameter first.
// What it says then is in docs/outbox.md.
func TestBytesWithoutATypeAreRefusedByTheServer(t *testing.T) {
	d := open(t)
	docs, err := os.ReadFile("../docs/outbox.md")
	d.must(err)
	conn := d.connect().PgConn()
	for _, call := range calls {
		for said, try := range map[string]func() error{
			"literal": func() error { return conn.Exec(t.Context(), fmt.Sprintf(call, "'a\xff'")).Close() },
			"escape":  func() error { return conn.Exec(t.Context(), fmt.Sprintf(call, ` E'a\xff'`)).Close() },
			"no type": func() error {
				return conn.ExecParams(t.Context(), fmt.Sprintf(call, "$1"), [][]byte{[]byte("a\xff")}, nil, nil, nil).Read().Err
			},
			"text": func() error {
				return conn.ExecParams(t.Context(), fmt.Sprintf(call, "$1"), [][]byte{[]byte("a\xff")}, []uint32{oidText}, nil, []int16{1}).Read().Err
			},
		} {
			var refused *pgconn.PgError
			if err := try(); !errors.As(err, &refused) || refused.Code != "22021" || !strings.Contains(string(docs), refused.Message) {
				t.Errorf("%s: %v", said, err)
			}
		}
	}
}
