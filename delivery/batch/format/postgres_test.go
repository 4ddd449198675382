package format_test

import (
	"bytes"
	stdjson "encoding/json"
	"io"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5/pgconn"

	"redrive/delivery"
	"redrive/delivery/batch/format"
	"redrive/store/storetest"
)

func TestMain(m *testing.M) { storetest.Main(m) }

func connect(t testing.TB) *pgconn.PgConn {
	t.Helper()
	conn, err := pgconn.Connect(t.Context(), storetest.Empty(t))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close(t.Context()) })
	return conn
}

// query writes what a query answers.
func query(t testing.TB, conn *pgconn.PgConn, sql string, spec delivery.FileFormat, sum string, out io.Writer) *format.Writer {
	t.Helper()
	result := conn.ExecParams(t.Context(), sql, nil, nil, nil, nil)
	var cols []format.Column
	for _, f := range result.FieldDescriptions() {
		cols = append(cols, format.Column{Name: f.Name, Kind: format.KindOf(f.DataTypeOID)})
	}
	w, err := format.New(out, spec, cols)
	if err == nil && sum != "" {
		err = w.Sum(sum)
	}
	for err == nil && result.NextRow() {
		err = w.Write(result.Values())
	}
	if err == nil {
		err = w.Close()
	}
	if _, closed := result.Close(); err != nil || closed != nil {
		t.Fatalf("%s: %v %v", sql, err, closed)
	}
	return w
}

const everyType = `SELECT * FROM (VALUES
	(1::bigint, -12.50::numeric, 1e-7::float8, 'NaN'::float4, true, 'a "b", c'::text, '{"a": [1.50, null]}'::jsonb, E'[1,\n 2]'::json,
		'2026-01-31 12:00:00.5+09'::timestamptz, '\x00ff'::bytea, '2026-01-31'::date, ARRAY['x', NULL]),
	(-9223372036854775808, 0.000000000000000000001, -1.7976931348623157e308, 'Infinity', false, E'한글\r\n\t\\.''', '1', '"x"', '-infinity', '', 'infinity', '{}'),
	(9223372036854775807, 1e40, 123456789.125, 1.5, NULL, '', 'null', '{}', '0044-03-15 12:00:00+00 BC', '\x', NULL, NULL),
	(NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL)) AS v (i, n, d, f, b, s, jb, j, z, x, day, list)`

// TestPostgresAgrees compares with COPY and with to_jsonb.
func TestPostgresAgrees(t *testing.T) {
	conn := connect(t)
	if _, err := conn.Exec(t.Context(), "SET TimeZone = 'UTC'").ReadAll(); err != nil {
		t.Fatal(err)
	}
	var copied, csv, json bytes.Buffer
	if _, err := conn.CopyTo(t.Context(), &copied, "COPY ("+everyType+") TO STDOUT (FORMAT csv, HEADER)"); err != nil {
		t.Fatal(err)
	}
	query(t, conn, everyType, delivery.FileFormat{Kind: delivery.FileCSV, Header: true}, "", &csv)
	got, err := strictCSV(csv.Bytes(), ',')
	want, wantErr := strictCSV(withCRLF(copied.Bytes()), ',')
	if err != nil || wantErr != nil || differ(got, want) != "" {
		t.Errorf("csv: %v %v %s", err, wantErr, differ(got, want))
	}

	w := query(t, conn, everyType, delivery.FileFormat{Kind: delivery.FileJSON}, "n", &json)
	if sum := rowsOfQuery(t, conn, "SELECT sum(n)::text FROM ("+everyType+") every")[0][0]; w.Total() != string(sum) {
		t.Errorf("control total %s, Postgres says %s", w.Total(), sum)
	}
	theirs := rowsOfQuery(t, conn, "SELECT to_jsonb(every) - 'x' - 'day' - 'list' FROM ("+everyType+") every")
	for i, line := range strings.Split(strings.TrimSuffix(json.String(), "\n"), "\n") {
		sameAsPostgres(t, line, theirs[i][0])
	}
}

func rowsOfQuery(t *testing.T, conn *pgconn.PgConn, sql string) [][][]byte {
	t.Helper()
	result := conn.ExecParams(t.Context(), sql, nil, nil, nil, nil).Read()
	if result.Err != nil {
		t.Fatalf("%s: %v", sql, result.Err)
	}
	return result.Rows
}

// withCRLF ends records, not the lines in cells, as RFC 4180 does.
func withCRLF(file []byte) (out []byte) {
	quoted := false
	for _, b := range file {
		quoted = quoted != (b == '"')
		if b == '\n' && !quoted {
			out = append(out, '\r')
		}
		out = append(out, b)
	}
	return out
}

func sameAsPostgres(t *testing.T, ours string, theirs []byte) {
	t.Helper()
	decoded := make([]map[string]any, 2)
	for i, text := range []string{ours, string(theirs)} {
		if err := stdjson.Unmarshal([]byte(text), &decoded[i]); err != nil {
			t.Fatalf("%v: %s", err, text)
		}
	}
	for name, want := range decoded[1] {
		got := decoded[0][name]
		if moment, ok := want.(string); ok && name == "z" && !strings.HasSuffix(moment, "infinity") && !strings.HasSuffix(moment, "BC") {
			parsed, err := time.Parse(time.RFC3339Nano, got.(string))
			if theirTime, _ := time.Parse(time.RFC3339Nano, moment); err != nil || !parsed.Equal(theirTime) {
				t.Errorf("%s is %v, Postgres says %v: %v", name, got, want, err)
			}
			continue
		}
		a, _ := stdjson.Marshal(got)
		if b, _ := stdjson.Marshal(want); name != "z" && !bytes.Equal(a, b) {
			t.Errorf("%s is %s, Postgres says %s", name, a, b)
		}
	}
}

const points = `SELECT g AS id, 'seller-' || g % 1000 AS seller, (g % 10000) / 100.0 AS amount, g % 3 = 0 AS paid,
	timestamptz '2026-01-31 00:00:00Z' + g * interval '1 millisecond' AS at, '주문 적립 ' || g AS note FROM generate_series(1, 1000000) g`

// BenchmarkAgainstCopy reads a million rows of six columns from a table, by COPY and as a file. Run it with -benchtime 3x.
func BenchmarkAgainstCopy(b *testing.B) {
	conn := connect(b)
	for _, sql := range []string{"CREATE UNLOGGED TABLE points AS " + points, "VACUUM ANALYZE points"} {
		if _, err := conn.Exec(b.Context(), sql).ReadAll(); err != nil {
			b.Fatal(err)
		}
	}
	const sql = "SELECT * FROM points ORDER BY id"
	b.Run("copy", func(b *testing.B) {
		for b.Loop() {
			if _, err := conn.CopyTo(b.Context(), io.Discard, "COPY ("+sql+") TO STDOUT (FORMAT csv, HEADER)"); err != nil {
				b.Fatal(err)
			}
		}
		b.ReportMetric(1e6*float64(b.N)/b.Elapsed().Seconds(), "rows/s")
	})
	for name, spec := range specs {
		b.Run(name, func(b *testing.B) {
			for b.Loop() {
				if w := query(b, conn, sql, spec, "amount", io.Discard); w.Rows() != 1e6 {
					b.Fatalf("%d rows", w.Rows())
				}
			}
			b.ReportMetric(1e6*float64(b.N)/b.Elapsed().Seconds(), "rows/s")
		})
	}
}
