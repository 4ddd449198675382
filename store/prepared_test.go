package store_test

import (
	"context"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
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
