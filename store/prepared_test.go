package store_test

import (
	"context"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"redrive/store"
)

func TestPreparedTransactions(t *testing.T) {
	d := open(t)
	conn, err := pgx.Connect(t.Context(), d.dsn)
	d.must(err)
	always := context.WithoutCancel(t.Context()) // at the end too: a database with prepared transactions cannot be dropped
	t.Cleanup(func() { _ = conn.Close(always) })
	run := func(statements ...string) {
		t.Helper()
		for _, statement := range statements {
			_, err := conn.Exec(always, statement)
			d.must(err)
		}
	}
	found, err := d.PreparedTransactions(t.Context())
	if err != nil || len(found) != 0 {
		t.Fatalf("%v, %v", found, err)
	}
	run("BEGIN", "CREATE TABLE left_behind (n int)", "PREPARE TRANSACTION 'order-7 ''of'' the shop'", "BEGIN", "SELECT pg_current_xact_id()", "PREPARE TRANSACTION 'order-8'")
	t.Cleanup(func() { run("ROLLBACK PREPARED 'order-7 ''of'' the shop'", "ROLLBACK PREPARED 'order-8'") })
	other := open(t)
	if found, err := other.PreparedTransactions(t.Context()); err != nil || len(found) != 0 {
		t.Errorf("another database has %v, %v", found, err)
	}
	found, err = d.PreparedTransactions(t.Context())
	if err != nil || len(found) != 2 {
		t.Fatalf("%v, %v", found, err)
	}
	first := found[0]
	if first.GID != "order-7 'of' the shop" || first.Owner != conn.Config().User || first.Age < 0 || first.Age > time.Minute || first.Age < found[1].Age {
		t.Errorf("%+v", found)
	}
}

func TestOrphanedPreparedTransactions(t *testing.T) {
	young := store.PreparedTransaction{GID: "young", Owner: "shop", Age: 4 * time.Minute}
	if err := store.Orphaned([]store.PreparedTransaction{young}); err != nil {
		t.Error(err)
	}
	old := store.PreparedTransaction{GID: "order-7\n", Owner: "shop", Age: 26*time.Hour + 300*time.Millisecond}
	err := store.Orphaned([]store.PreparedTransaction{young, old})
	if err == nil || !strings.Contains(err.Error(), `1 orphaned: "order-7\n" of shop, 26h0m0s old;`) || strings.Contains(err.Error(), "young") {
		t.Error(err)
	}
}
