package embedded_test

import (
	"context"
	"database/sql"
	"errors"
	"log/slog"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	_ "github.com/jackc/pgx/v5/stdlib"
	"github.com/pressly/goose/v3"

	"redrive/delivery"
	"redrive/migrations"
	"redrive/store"
	"redrive/store/embedded"
)

// before is a data directory as the version before left it: everything is the superuser's.
func before(t *testing.T, dir string) {
	t.Helper()
	server := start(t, dir)
	run(t, server.DSN(""), "DROP OWNED BY redrive, redrive_owner; DROP ROLE redrive; DROP ROLE redrive_owner; CREATE SCHEMA redrive")
	db, err := sql.Open("pgx", server.DSN(""))
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	provider, err := goose.NewProvider(goose.DialectPostgres, db, migrations.Files, goose.WithTableName("redrive.schema_version"))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := provider.UpTo(t.Context(), 23); err != nil {
		t.Fatal(err)
	}
	run(t, server.DSN(""), `INSERT INTO redrive.audit (actor, action, subject_type, subject) VALUES ('ann', 'delivery.retry', 'delivery', 'x');
		INSERT INTO redrive.integrations (name, method, destination) VALUES ('push', 'outbox', 'http'); SELECT redrive.enqueue('push', 't', 'x');
		CREATE SCHEMA redrive_demo; CREATE TABLE redrive_demo.articles (id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, title text); CREATE TABLE public.mine (n serial);
		CREATE VIEW public.seen AS SELECT * FROM public.mine; CREATE TYPE public.mood AS ENUM ('good'); CREATE FUNCTION public.f() RETURNS int LANGUAGE sql AS 'SELECT 1';
		CREATE PUBLICATION redrive_articles FOR TABLE redrive_demo.articles`)
	run(t, server.DSN(""), "SELECT pg_create_logical_replication_slot('redrive_articles', 'pgoutput')")
	if err := server.Stop(); err != nil {
		t.Fatal(err)
	}
}

// program opens the database as serve does.
func program(t *testing.T, server *embedded.Server) *store.Store {
	t.Helper()
	db, err := store.Open(t.Context(), server.ProgramDSN(), slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(db.Close)
	db.OwnedBy(server.OwnerDSN())
	if err := db.Migrate(t.Context()); err != nil {
		t.Fatal(err)
	}
	return db
}

func TestAnEarlierClusterIsDividedBetweenItsRoles(t *testing.T) {
	dir := openDir(t)
	before(t, dir)
	server := start(t, dir)
	db := program(t, server)
	if report, err := db.VerifyAudit(t.Context()); err != nil || !report.OK() || report.Entries != 1 {
		t.Errorf("the audit: %v, %v", report, err)
	}
	power, err := db.Power(t.Context())
	if err != nil || power != "" {
		t.Errorf("the program's role may change the audit: %s: %v", power, err)
	}
	if why, err := db.CannotCapture(t.Context()); err != nil || !why.IsZero() {
		t.Errorf("changes cannot be captured: %s, %v", why.English(), err)
	}
	if claimed, err := db.Claim(t.Context(), "w", []delivery.Quota{{Integration: "push", Limit: 1, Lease: time.Minute}}); err != nil || len(claimed) != 1 {
		t.Errorf("claimed %d: %v", len(claimed), err)
	}
	conn := connect(t, server.ProgramDSN())
	defer conn.Close(context.Background())
	for _, statement := range []string{ // what was the superuser's is the program's
		"INSERT INTO redrive_demo.articles (title) VALUES ('a')", "ALTER TABLE redrive_demo.articles REPLICA IDENTITY FULL", "INSERT INTO public.mine DEFAULT VALUES",
		"SELECT * FROM public.seen", "DROP VIEW public.seen", "DROP TYPE public.mood", "DROP FUNCTION public.f()", "CREATE SCHEMA shop", "CREATE TABLE public.other ()",
		"ALTER PUBLICATION redrive_articles SET (publish = 'insert')", "SELECT system_identifier FROM pg_control_system()",
		"SELECT pg_drop_replication_slot('redrive_articles')", "SELECT pg_create_logical_replication_slot('again', 'pgoutput')", "SELECT pg_drop_replication_slot('again')",
		"BEGIN", "SELECT redrive.publish('t', 'x')", "PREPARE TRANSACTION 'p'", "COMMIT PREPARED 'p'",
	} {
		if _, err := conn.Exec(t.Context(), statement); err != nil {
			t.Errorf("%s: %v", statement, err)
		}
	}
	refused(t, conn, "UPDATE redrive.audit SET reason = 'x'", "DROP TABLE redrive.audit", "ALTER TABLE redrive.audit DISABLE TRIGGER ALL", "DROP SCHEMA redrive CASCADE",
		"COPY redrive.audit TO PROGRAM 'cat'", "SELECT pg_read_file('redrive.password')", "CREATE ROLE mine SUPERUSER", "SET ROLE redrive_owner", "ALTER SYSTEM SET fsync = off")
	if err := server.Stop(); err != nil {
		t.Fatal(err)
	}
	again := start(t, dir)
	value(t, again.ProgramDSN(), "SELECT count(*)::text FROM redrive.messages")
	if left := value(t, again.DSN(""), `SELECT count(*)::text FROM pg_class c WHERE c.relowner = 'app'::regrole AND c.relnamespace IN (
		'redrive'::regnamespace, 'redrive_demo'::regnamespace, 'public'::regnamespace)`); left != "0" {
		t.Errorf("%s tables are still the superuser's", left)
	}
}

func refused(t *testing.T, conn *pgx.Conn, statements ...string) {
	t.Helper()
	for _, statement := range statements {
		var refused *pgconn.PgError
		if _, err := conn.Exec(t.Context(), statement); !errors.As(err, &refused) || refused.Code != "42501" {
			t.Errorf("%s: %v", statement, err)
		}
	}
}
