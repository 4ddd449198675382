package store_test

import (
	"database/sql"
	"fmt"
	"log/slog"
	"testing"
	"time"

	_ "github.com/jackc/pgx/v5/stdlib"
	"github.com/pressly/goose/v3"

	"redrive/delivery"
	"redrive/migrations"
	"redrive/store"
	"redrive/store/storetest"
)

func sqlOpen(t *testing.T, dsn string) *sql.DB {
	t.Helper()
	db, err := sql.Open("pgx", dsn)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = db.Close() })
	return db
}

// A database that an earlier version filled keeps its messages and deliveries, and what its administrator took from PUBLIC.
func TestUpgradeKeepsWhatIsThere(t *testing.T) {
	dsn := storetest.Empty(t)
	db := sqlOpen(t, dsn)
	exec := func(statement string) {
		t.Helper()
		if _, err := db.ExecContext(t.Context(), statement); err != nil {
			t.Fatalf("%s: %v", statement, err)
		}
	}
	exec("CREATE SCHEMA redrive")
	earlier, err := goose.NewProvider(goose.DialectPostgres, db, migrations.Files, goose.WithTableName("redrive.schema_version"))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := earlier.UpTo(t.Context(), 2); err != nil {
		t.Fatal(err)
	}
	exec("INSERT INTO redrive.integrations (name, method, destination, subscribe) VALUES ('push', 'outbox', 'http', '{order.placed}')")
	exec("SELECT redrive.publish('order.placed', 'a'), redrive.enqueue('push', 'order.placed', 'b', key => 'k')")
	exec("REVOKE EXECUTE ON FUNCTION redrive.publish FROM PUBLIC")

	s, err := store.Open(t.Context(), dsn, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(s.Close)
	d := desk{Store: s, t: t, dsn: dsn}
	d.must(s.Migrate(t.Context()))
	d.must(s.SyncIntegrations(t.Context(), []delivery.Integration{integration("push", "order.placed")}))
	d.fanOut()
	claimed := d.claim("push", 10, time.Minute)
	payloads := map[string]bool{}
	for _, c := range claimed {
		payloads[string(c.Message.Payload)] = true
	}
	if len(claimed) != 2 || !payloads["a"] || !payloads["b"] {
		t.Errorf("%d deliveries, of %v: what was fanned out before must be neither lost nor repeated", len(claimed), payloads)
	}
	var allowed, kept bool
	err = db.QueryRowContext(t.Context(), fmt.Sprintf("SELECT has_function_privilege('public', %s, 'EXECUTE'), has_function_privilege('public', %s, 'EXECUTE')",
		"'redrive.publish(text, bytea, text, jsonb, text)'", "'redrive.enqueue(text, text, bytea, text, jsonb, text, timestamptz, timestamptz)'")).Scan(&allowed, &kept)
	if err != nil || allowed || !kept {
		t.Errorf("PUBLIC may publish: %v, may enqueue: %v: %v", allowed, kept, err)
	}
}
