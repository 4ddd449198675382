package source_test

import (
	"testing"

	"github.com/jackc/pgx/v5"

	"redrive/delivery"
	"redrive/store/source"
)

// A look that began before something happened does not know the half of it: otherwise the next one sees no difference.
func TestLookIsOfOneMoment(t *testing.T) {
	b := ready(t, `CREATE TABLE articles (id int, v int, PRIMARY KEY (id, v)) PARTITION BY LIST (v); CREATE TABLE one PARTITION OF articles FOR VALUES IN (1);
		CREATE TABLE two (id int NOT NULL, v int NOT NULL); INSERT INTO two VALUES (2, 2);
		CREATE TABLE gone (id int PRIMARY KEY, body text)`, "articles", "gone")
	look := func(known map[string]delivery.CapturedTable) map[string]delivery.CapturedTable {
		t.Helper()
		now, err := b.src.Look(ctx(t), known)
		if err != nil {
			t.Fatal(err)
		}
		return now.Tables
	}
	const table = "public.articles"
	known := look(nil)
	tx, err := connect(t, b.dsn).BeginTx(ctx(t), pgx.TxOptions{IsoLevel: pgx.RepeatableRead})
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = tx.Rollback(ctx(t)) }()
	if _, err := tx.Exec(ctx(t), "SELECT count(*) FROM pg_class"); err != nil {
		t.Fatal(err)
	}
	b.run("ALTER TABLE articles ATTACH PARTITION two FOR VALUES IN (2)", "DROP TABLE gone")
	during, err := b.src.LookBy(ctx(t), tx, known)
	if err != nil {
		t.Fatal(err)
	}
	if got, want := during[table].Partitions, known[table].Partitions; len(got) != len(want) {
		t.Errorf("a look that began before knows partitions %v, want %v", got, want)
	}
	if got := source.Withdrawn(known, during); len(got) != 1 || got[0] != "public.gone" {
		t.Errorf("a look that began before has %v withdrawn, and is not taken again", got)
	}
	if why := known["public.gone"].Gone(look(known)["public.gone"]); !why.Equal(delivery.Say("gap.dropped")) {
		t.Errorf("of the table that was dropped the next look says: %s", why)
	}
	if got := look(during)[table].Attached; len(got) != 1 || got[0] != "public.two" {
		t.Errorf("the next look sees %v come with rows", got)
	}
}
