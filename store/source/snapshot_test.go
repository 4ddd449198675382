package source_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"
)

func TestSnapshotInChunks(t *testing.T) {
	b := ready(t, `CREATE TYPE mood AS ENUM ('low', 'high', 'mid');
		CREATE TABLE "The table" ("a b" text, m mood, n int, gone int, twice int GENERATED ALWAYS AS (n * 2) STORED, PRIMARY KEY (m, "a b"));
		ALTER TABLE "The table" DROP gone;
		INSERT INTO "The table" ("a b", m, n) SELECT chr(97 + n / 3) || '''"', (ARRAY['low', 'high', 'mid'])[1 + n % 3]::mood, n FROM generate_series(0, 25) n;
		ANALYZE "The table"`, "The table")
	var read, asked []string
	var after []string
	for {
		rows, last, err := b.src.Chunk(ctx(t), "public", "The table", []string{"n"}, after, 5)
		if err != nil {
			t.Fatal(err)
		}
		for _, row := range rows {
			read = append(read, string(row.Row["n"]))
			if len(row.Row) != 3 || !slices.Equal(row.Key, []string{"m", "a b"}) || row.LSN != 0 {
				t.Fatalf("%+v", row)
			}
		}
		if len(rows) < 5 {
			break
		}
		after = last
	}
	for _, m := range []int{0, 1, 2} { // in the order of the enum
		for n := m; n < 26; n += 3 {
			asked = append(asked, fmt.Sprint(n))
		}
	}
	same(t, "rows", read, asked...)
	if rows, last, err := b.src.Chunk(ctx(t), "public", "The table", nil, []string{"mid", "zz"}, 5); rows != nil || last != nil || err != nil {
		t.Errorf("behind the end: %v, %q, %v", rows, last, err)
	}
	if n, err := b.src.Estimate(ctx(t), "public", "The table"); n != 26 || err != nil {
		t.Errorf("%d rows expected: %v", n, err)
	}
	columns, err := b.src.Columns(ctx(t), "public", "The table")
	if err != nil {
		t.Fatal(err)
	}
	same(t, "columns", columns, "a b", "m", "n")
	if _, _, err := b.src.Chunk(ctx(t), "public", "The table", nil, []string{"mid"}, 5); err == nil || !strings.Contains(err.Error(), "begin its snapshot again") {
		t.Errorf("a key of another length: %v", err)
	}
	if _, _, err := b.src.Chunk(ctx(t), "public", "missing", nil, nil, 5); err == nil || !strings.Contains(err.Error(), "not at the source") {
		t.Errorf("no table: %v", err)
	}
}

// Snapshot and stream name the same key, so that one can be matched with the other.
func TestSnapshotOfPartitionsAndOtherKeys(t *testing.T) {
	b := ready(t, `CREATE TABLE parted (id int PRIMARY KEY) PARTITION BY RANGE (id); CREATE TABLE parted_1 PARTITION OF parted FOR VALUES FROM (0) TO (10);
		CREATE TABLE parted_2 PARTITION OF parted DEFAULT;
		CREATE TABLE indexed (id int PRIMARY KEY, code text NOT NULL UNIQUE); ALTER TABLE indexed REPLICA IDENTITY USING INDEX indexed_code_key;
		CREATE TABLE whole (id int PRIMARY KEY, n int); ALTER TABLE whole REPLICA IDENTITY FULL;
		CREATE TABLE keyless (n int); ALTER TABLE keyless REPLICA IDENTITY FULL`, "parted", "indexed", "whole", "keyless")
	st := b.stream(0)
	b.run("INSERT INTO parted VALUES (1), (100)", "INSERT INTO indexed VALUES (1, 'x')", "INSERT INTO whole VALUES (1, 2)")
	want := map[string][]string{}
	changes, _ := b.changes(st)
	for _, c := range changes {
		c.Op = "snapshot"
		want[c.Table] = append(want[c.Table], text(c))
	}
	for table, streamed := range want {
		rows, _, err := b.src.Chunk(ctx(t), "public", table, nil, nil, 10)
		if err != nil {
			t.Fatal(err)
		}
		same(t, table, texts(rows), streamed...)
	}
	if len(want) != 3 || len(want["parted"]) != 2 {
		t.Errorf("%v", want)
	}
	if _, _, err := b.src.Chunk(ctx(t), "public", "keyless", nil, nil, 10); err == nil || !strings.Contains(err.Error(), "no primary key") {
		t.Errorf("no key: %v", err)
	}
}
