package store_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/url"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"

	"redrive/delivery"
	"redrive/store"
	"redrive/store/doctor"
	"redrive/store/storetest"
	_ "redrive/views/words" // what phrases read like
)

// documented are the statements of the page on roles, as it tells them, for other names.
func documented(t *testing.T, names *strings.Replacer) (blocks []string) {
	t.Helper()
	raw, err := os.ReadFile("../docs/roles.md")
	if err != nil {
		t.Fatal(err)
	}
	for _, block := range strings.Split(string(raw), "```sql\n")[1:] {
		block, _, _ = strings.Cut(block, "```")
		blocks = append(blocks, names.Replace(block))
	}
	return blocks
}

// roles makes what the page tells an administrator to make in an empty database, and returns the DSNs of owner and program, and what the
// owner says to admit the program.
func roles(t *testing.T) (admin desk, owner, program, admit string) {
	t.Helper()
	admin = desk{t: t, dsn: storetest.Empty(t)}
	names := []string{fmt.Sprintf("owner_%d", time.Now().UnixNano()), fmt.Sprintf("program_%d", time.Now().UnixNano())}
	statements := documented(t, strings.NewReplacer("redrive_owner", names[0], "redrive_app", names[1], "shop", value[string](admin, "SELECT current_database()")))
	t.Cleanup(func() {
		conn, err := pgx.Connect(context.Background(), admin.dsn)
		admin.must(err)
		defer conn.Close(context.Background())
		for _, name := range names {
			if _, err := conn.Exec(context.Background(), "DROP OWNED BY "+name+" CASCADE; DROP ROLE "+name); err != nil {
				t.Error(err)
			}
		}
	})
	conn, err := pgx.Connect(t.Context(), admin.dsn)
	admin.must(err)
	defer conn.Close(context.Background())
	_, err = conn.PgConn().Exec(t.Context(), statements[0]).ReadAll()
	admin.must(err)
	dsn, err := url.Parse(admin.dsn)
	admin.must(err)
	dsn.User = url.UserPassword(names[0], "long and random")
	owner = dsn.String()
	dsn.User = url.UserPassword(names[1], "another one")
	return admin, owner, dsn.String(), statements[1]
}

func as(t *testing.T, dsn string) *store.Store {
	t.Helper()
	s, err := store.Open(t.Context(), dsn, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(s.Close)
	return s
}

// asOwner runs statements as the owner.
func asOwner(t *testing.T, dsn string) func(statement string) error {
	t.Helper()
	conn, err := pgx.Connect(t.Context(), dsn)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close(context.Background()) })
	return func(statement string) error { _, err := conn.Exec(context.Background(), statement); return err }
}

func (d desk) says(err error, texts ...string) {
	d.t.Helper()
	for _, text := range texts {
		if err == nil || !strings.Contains(err.Error(), text) {
			d.t.Errorf("error %v, want it to say %q", err, text)
		}
	}
}

// The owner migrates, the program works with less: all that a delivery, a decision and the retention need, and nothing that changes the
// audit.
func TestTheProgramWorksAsARoleThatCannotChangeTheAudit(t *testing.T) {
	d, ownerDSN, programDSN, admit := roles(t)
	owner := as(t, ownerDSN)
	d.Store = as(t, programDSN)
	role := d.Config.User
	d.must(owner.Migrate(t.Context()))
	d.says(d.Ready(t.Context()), role, "redrive migrate", "redrive.admit_program")
	d.must(asOwner(t, ownerDSN)(admit))
	d.must(d.Ready(t.Context()))
	d.must(d.Migrate(t.Context()))

	d.must(d.SyncIntegrations(t.Context(), []delivery.Integration{integration("push", "order.placed")}))
	dead := d.dead(delivery.Message{Payload: []byte(`{"a": 1}`)})
	d.act(delivery.ActionRequest{Action: delivery.ActionRetry, ID: dead.ID, Reason: "mended"})
	c := d.claimOne("push")
	d.complete(completion(c, confirmed, delivery.StateDelivered))
	day := d.aged(40 * days)
	if done := d.maintain(30 * days); len(done.Dropped) != 1 || done.Dropped[0] != day || len(done.Busy) > 0 {
		t.Errorf("the retention did %+v", done)
	}
	d.refused(role)
	d.verified()
	d.judged(owner, "owns the audit")
	d.judged(d.Store, "")
}

// refused tries to change the audit as a role, in every way that there is.
func (d desk) refused(role string) {
	d.t.Helper()
	conn, err := pgx.Connect(d.t.Context(), d.Config.ConnString())
	d.must(err)
	defer conn.Close(context.Background())
	for _, statement := range []string{
		"UPDATE redrive.audit SET reason = ''", "DELETE FROM redrive.audit", "TRUNCATE redrive.audit", "DROP TABLE redrive.audit",
		"ALTER TABLE redrive.audit DISABLE TRIGGER ALL", "ALTER TABLE redrive.audit DISABLE TRIGGER audit_refuse", "DROP TRIGGER audit_refuse ON redrive.audit",
		"ALTER TABLE redrive.audit OWNER TO " + role, "ALTER TABLE redrive.audit RENAME TO gone", "DROP SCHEMA redrive CASCADE",
		"CREATE RULE r AS ON INSERT TO redrive.audit DO INSTEAD NOTHING", "CREATE TRIGGER t BEFORE INSERT ON redrive.audit FOR EACH ROW EXECUTE FUNCTION suppress_redundant_updates_trigger()",
		"SET session_replication_role = replica", "SET SESSION AUTHORIZATION " + value[string](d, "SELECT current_user"), "CREATE TABLE redrive.mine ()",
		"UPDATE redrive.audit_head SET seq = 0", "UPDATE redrive.audit_head SET only_row = true", "DELETE FROM redrive.audit_head",
		"UPDATE redrive.schema_version SET version_id = 0", "DROP FUNCTION redrive.audit_refuse CASCADE",
		"CREATE OR REPLACE FUNCTION redrive.audit_refuse() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NULL; END'",
		"ALTER FUNCTION redrive.audit_append() SECURITY INVOKER", "SELECT redrive.admit_program(current_user)", "COPY redrive.audit FROM PROGRAM 'true'",
		// a trigger of one's own runs below another's, where the head may move
		`CREATE TEMP TABLE mine (n int); CREATE FUNCTION pg_temp.move() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN UPDATE redrive.audit_head SET seq = 0; RETURN NULL; END $$;
			CREATE TRIGGER t BEFORE INSERT ON mine FOR EACH ROW EXECUTE FUNCTION pg_temp.move(); INSERT INTO mine VALUES (1)`,
		"CREATE TEMP TABLE other (LIKE redrive.audit); CREATE TRIGGER t BEFORE INSERT ON other FOR EACH ROW EXECUTE FUNCTION redrive.audit_append()",
		`INSERT INTO redrive.audit (seq, at, actor, action, subject_type, subject, prev_hash, hash) VALUES (1000, now(), 'x', 'x', 'x', 'x', '', '')`,
	} {
		var refused *pgconn.PgError
		if _, err := conn.Exec(d.t.Context(), statement); !errors.As(err, &refused) || refused.Code != "42501" {
			d.t.Errorf("%s: %v", statement, err)
		}
	}
}

// judged is what the doctor says of a role.
func (d desk) judged(s *store.Store, power string) {
	d.t.Helper()
	var out bytes.Buffer
	r := doctor.Report{Out: &out}
	r.Database(d.t.Context(), s)
	want := "ok    role\n"
	if power != "" {
		want = "warn  role: role " + s.Config.User + " " + power
	}
	if r.Failed || !strings.Contains(out.String(), want) {
		d.t.Errorf("the doctor says %s, want %s", &out, want)
	}
}

// What a migration adds is there for the program as well; a role that is or becomes the owner is none for it.
func TestMigrationsExtendWhatTheProgramMay(t *testing.T) {
	d, ownerDSN, programDSN, admit := roles(t)
	owner := as(t, ownerDSN)
	d.Store = as(t, programDSN)
	role := d.Config.User
	d.must(owner.Migrate(t.Context()))
	run := asOwner(t, ownerDSN)
	d.must(run(admit))
	d.must(run("CREATE TABLE redrive.later (n int); CREATE FUNCTION redrive.later() RETURNS int LANGUAGE sql AS 'SELECT 1'; REVOKE ALL ON FUNCTION redrive.later FROM PUBLIC"))
	d.must(run("UPDATE redrive.schema_version SET is_applied = false WHERE version_id = (SELECT max(version_id) FROM redrive.schema_version)"))
	d.says(d.Migrate(t.Context()), role, "does not own it: run redrive migrate with the DATABASE_URL of its owner")
	d.must(run("UPDATE redrive.schema_version SET is_applied = true"))
	d.must(owner.AdmitAgain(t.Context()))
	if !value[bool](d, "SELECT has_table_privilege($1, 'redrive.later', 'INSERT') AND has_function_privilege($1, 'redrive.later()', 'EXECUTE')", role) {
		t.Error("the program may not use what a migration added")
	}
	d.says(run("SELECT redrive.admit_program(current_user)"), "may do all that the owner of the schema may")
}
