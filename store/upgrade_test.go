package store_test

import (
	"bytes"
	"context"
	"database/sql"
	"fmt"
	"log/slog"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgtype"

	"redrive/delivery"
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

// upgraded brings such a database to the present schema, as the program does.
func upgraded(t *testing.T, dsn string) desk {
	t.Helper()
	s, err := store.Open(t.Context(), dsn, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(s.Close)
	d := desk{Store: s, t: t, dsn: dsn}
	d.must(s.Migrate(t.Context()))
	return d
}

// A database that an earlier version filled keeps its messages and deliveries, and what its administrator took from PUBLIC.
func TestUpgradeKeepsWhatIsThere(t *testing.T) {
	dsn, db := storetest.Earlier(t, 2)
	exec := func(statement string) {
		t.Helper()
		if _, err := db.ExecContext(t.Context(), statement); err != nil {
			t.Fatalf("%s: %v", statement, err)
		}
	}
	exec("INSERT INTO redrive.integrations (name, method, destination, subscribe) VALUES ('push', 'outbox', 'http', '{order.placed}')")
	exec("SELECT redrive.publish('order.placed', 'a'), redrive.enqueue('push', 'order.placed', 'b', key => 'k')")
	exec("REVOKE EXECUTE ON FUNCTION redrive.publish FROM PUBLIC")

	d := upgraded(t, dsn)
	d.must(d.SyncIntegrations(t.Context(), []delivery.Integration{integration("push", "order.placed")}))
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
	err := db.QueryRowContext(t.Context(), fmt.Sprintf("SELECT has_function_privilege('public', %s, 'EXECUTE'), has_function_privilege('public', %s, 'EXECUTE')",
		"'redrive.publish(text, bytea, text, jsonb, text)'", "'redrive.enqueue(text, text, bytea, text, jsonb, text, timestamptz, timestamptz)'")).Scan(&allowed, &kept)
	if err != nil || allowed || !kept {
		t.Errorf("PUBLIC may publish: %v, may enqueue: %v: %v", allowed, kept, err)
	}
}

// Who hands over bytea goes on unchanged: with a type, by a statement that was prepared before, by a driver's own form for bytes.
func TestAfterAnUpgradeProducersOfBytesGoOn(t *testing.T) {
	dsn, db := storetest.Earlier(t, 6)
	_, err := db.ExecContext(t.Context(), "INSERT INTO redrive.integrations (name, method, destination, subscribe) VALUES ('push', 'outbox', 'http', '{order.placed}')")
	if err != nil {
		t.Fatal(err)
	}
	const call = "SELECT redrive.enqueue('push', 't', $1)::text"
	conn, err := pgx.Connect(t.Context(), dsn)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close(context.Background()) })
	payload := []byte{0, 0xff, '\\', 'x', '"', 0}
	var id string
	if err := conn.QueryRow(t.Context(), call, payload).Scan(&id); err != nil { // its cache keeps the statement
		t.Fatal(err)
	}
	if _, err := conn.Exec(t.Context(), "PREPARE server_side AS "+call); err != nil {
		t.Fatal(err)
	}

	d := upgraded(t, dsn)
	ids := []string{id}
	add := func(how string, err error) {
		t.Helper()
		if err != nil {
			t.Errorf("%s: %v", how, err)
			return
		}
		ids = append(ids, id)
	}
	add("a statement prepared before", conn.QueryRow(t.Context(), call, payload).Scan(&id))
	add("one prepared by SQL", conn.QueryRow(t.Context(), `EXECUTE server_side('\x00ff5c782200')`).Scan(&id))
	now := d.connect()
	literal := `'\x00ff5c782200'`
	for _, argument := range []string{literal + "::bytea", `E'\\000\\377\\\\x"\\000'::bytea`, "decode('00ff5c782200', 'hex')", literal} {
		add(argument, now.QueryRow(t.Context(), "SELECT redrive.enqueue('push', 't', "+argument+")::text").Scan(&id))
		add(argument, now.QueryRow(t.Context(), "SELECT redrive.publish('t', "+argument+", 'k', '{}')::text").Scan(&id))
	}
	for _, mode := range []pgx.QueryExecMode{pgx.QueryExecModeExec, pgx.QueryExecModeSimpleProtocol} {
		add(mode.String(), now.QueryRow(t.Context(), call, mode, payload).Scan(&id))
	}
	for _, mode := range []pgx.QueryExecMode{pgx.QueryExecModeCacheStatement, pgx.QueryExecModeCacheDescribe, pgx.QueryExecModeDescribeExec, pgx.QueryExecModeExec, pgx.QueryExecModeSimpleProtocol} {
		add(mode.String()+" with a cast", now.QueryRow(t.Context(), "SELECT redrive.enqueue('push', 't', $1::bytea)::text", mode, payload).Scan(&id))
	}
	for _, id := range ids {
		if got := value[[]byte](d, "SELECT payload FROM redrive.messages WHERE id = $1", id); !bytes.Equal(got, payload) {
			t.Errorf("%q arrived", got)
		}
	}
	// bytes that are no text, and have no type: loudly, in the producer's hands
	if err := now.QueryRow(t.Context(), call, payload).Scan(&id); code(err) != "22021" {
		t.Errorf("bytes without a type: %v", err)
	}
	text := []byte(`{"a": "\\x"}`)
	d.must(now.QueryRow(t.Context(), call, text).Scan(&id))
	if got := value[[]byte](d, "SELECT payload FROM redrive.messages WHERE id = $1", id); !bytes.Equal(got, text) {
		t.Errorf("%q arrived", got)
	}
	d.must(d.sql("DELETE FROM redrive.earlier_producers"))
	if err := now.QueryRow(t.Context(), "SELECT redrive.enqueue('push', 't', "+literal+")::text").Scan(&id); code(err) != "RD006" {
		t.Errorf("bytes as a text: %v", err)
	}
	d.must(now.QueryRow(t.Context(), `SELECT redrive.enqueue('push', 't', '\x41')::text`).Scan(&id))
	if got := value[string](d, "SELECT convert_from(payload, 'UTF8') FROM redrive.messages WHERE id = $1", id); got != `\x41` {
		t.Errorf("where nobody passes bytes so, %q arrived", got)
	}
}

// The new forms belong to whom the old ones belong, and may be called by whom those may be.
func TestAnUpgradeKeepsTheRightsOnEachForm(t *testing.T) {
	dsn, db := storetest.Earlier(t, 6)
	exec := func(statement string) {
		t.Helper()
		if _, err := db.ExecContext(t.Context(), statement); err != nil {
			t.Fatalf("%s: %v", statement, err)
		}
	}
	owner, shop, reports := fmt.Sprintf("owner_%d", os.Getpid()), fmt.Sprintf("Shop %d", os.Getpid()), fmt.Sprintf("reports_%d", os.Getpid())
	for _, role := range []string{owner, shop, reports} {
		exec(`CREATE ROLE "` + role + `"`)
	}
	t.Cleanup(func() {
		for _, role := range []string{owner, shop, reports} {
			if _, err := db.ExecContext(context.Background(), fmt.Sprintf(`DROP OWNED BY %[1]q CASCADE; DROP ROLE %[1]q`, role)); err != nil {
				t.Error(err)
			}
		}
	})
	exec(fmt.Sprintf(`GRANT USAGE, CREATE ON SCHEMA redrive TO %[1]q; ALTER FUNCTION redrive.publish OWNER TO %[1]q; REVOKE ALL ON FUNCTION redrive.publish FROM PUBLIC;
		GRANT EXECUTE ON FUNCTION redrive.publish TO %[2]q WITH GRANT OPTION; ALTER DEFAULT PRIVILEGES GRANT EXECUTE ON FUNCTIONS TO %[3]q`, owner, shop, reports))
	d := upgraded(t, dsn)
	var forms []string
	d.must(db.QueryRowContext(t.Context(), `SELECT array_agg(DISTINCT proname || ' ' || proowner::regrole || ' ' || (SELECT coalesce(string_agg(CASE grantee WHEN 0 THEN 'PUBLIC' ELSE grantee::regrole::text END || is_grantable, ' ' ORDER BY 1), '')
		FROM aclexplode(coalesce(proacl, acldefault('f', proowner))) WHERE grantee <> proowner)) FROM pg_proc WHERE pronamespace = 'redrive'::regnamespace AND proname IN ('enqueue', 'publish')`).Scan(pgtype.NewMap().SQLScanner(&forms)))
	if len(forms) != 2 || !strings.Contains(strings.Join(forms, "\n"), "publish "+owner+` "`+shop+`"true`) || !strings.Contains(strings.Join(forms, "\n"), " PUBLICfalse") {
		t.Errorf("%q", forms)
	}
	if n := value[int](d, "SELECT count(*) FROM pg_proc WHERE pronamespace = 'redrive'::regnamespace AND proname IN ('enqueue', 'publish')"); n != 40 {
		t.Errorf("%d forms", n)
	}
}

// What earlier versions wrote in English is kept as phrases that read the same.
func TestAfterAnUpgradeStoredWordsReadTheSame(t *testing.T) {
	dsn, db := storetest.Earlier(t, 13)
	exec := func(statement string, args ...any) {
		t.Helper()
		if _, err := db.ExecContext(t.Context(), statement, args...); err != nil {
			t.Fatalf("%s: %v", statement, err)
		}
	}
	notes := []string{"", "paused by bob", "paused by token:stand by: me", "paused by kim (command line): it: fails\nagain", "cancelled by bob: enough",
		"sms: 100% of 4 outcomes failed, more than 50%", "written by hand"}
	held := []string{"", "paused by bob", "its circuit breaker is open", "its circuit breaker lets one try after another", "it is not in the integrations file any more", "by hand"}
	ids := make([]string, len(notes))
	for n, note := range notes {
		ids[n] = fmt.Sprintf("0190a0a0-0000-7000-8000-%012d", n)
		exec("INSERT INTO redrive.operations (id, action, actor, note) VALUES ($1, 'retry', 'ann', $2)", ids[n], note)
	}
	for n, why := range held {
		exec("INSERT INTO redrive.operation_parts (operation_id, integration, first, last, cursor, held) VALUES ($1, $2, $3, $3, $3::int - 1, $4)",
			ids[0], fmt.Sprint("part-", n), n+1, why)
	}
	exec("INSERT INTO redrive.operation_parts (operation_id, integration, first, last, cursor, held) VALUES ($1, 'push', 1, 3, 3, '')", ids[1])
	skipped := []string{"changed: engine did attempt at 2031-01-02T03:04:05Z", "in_flight: token:he did it did retry at 2031-01-02T03:04:05Z", "not_found"}
	for n, why := range skipped {
		exec("INSERT INTO redrive.operation_items (operation_id, n, delivery_id, version, outcome, reason) VALUES ($1, $2, $1, 1, 'skipped', $3)", ids[1], n+1, why)
	}
	exec("INSERT INTO redrive.batch_feeds (integration) VALUES ('nightly')")
	reasons := map[string]string{"3 rejected rows of a, b_20260131_000001.csv": "correction", "3 rejected rows of it are missing": "manual"}
	for reason, trigger := range reasons {
		exec("INSERT INTO redrive.batch_runs (integration, scheduled_at, trigger, reason, error) VALUES ('nightly', now(), $1, $2, 'the query failed: no')", trigger, reason)
	}
	exec("INSERT INTO redrive.gaps (integration, place, what) VALUES ('push', 'here', 'partition 3 lost records')")
	exec("INSERT INTO redrive.gaps (integration, place, began_at, ended_at) VALUES ('pull', 'here', now(), now())")
	exec("INSERT INTO redrive.health (integration, part, worker, status, since, seen_at, last_error) VALUES ('push', 'source', 'a', 'degraded', now(), now(), 'no \"route\"'), ('pull', 'source', 'a', 'ok', now(), now(), '')")
	exec("INSERT INTO redrive.captures (integration) VALUES ('push')")
	exec("INSERT INTO redrive.capture_gaps (integration, table_name, from_lsn, stopped_lsn, why, note) VALUES ('push', 'public.a', '0/1', '0/2', 'it was dropped', 'no key'), ('push', 'public.b', '0/1', '0/2', 'it was filtered', '')")

	d := upgraded(t, dsn)
	d.toldAsBefore()
	for n, note := range notes {
		o := d.operation(ids[n])
		if english(o.Note) != note || (o.Note.Key == "verbatim") != (note == "written by hand") {
			t.Errorf("the note %q is %s", note, o.Note)
		}
		for i, p := range o.Parts {
			if english(p.Held) != held[i] || (p.Held.Key == "verbatim") != (held[i] == "by hand") {
				t.Errorf("held by %q: %s", held[i], p.Held)
			}
		}
	}
	if o := d.operation(ids[3]); o.Note.Args["actor"] != "kim (command line)" || len(d.operation(ids[0]).Parts) != len(held) {
		t.Errorf("%+v", o.Note.Args)
	}
	items, err := d.OperationItems(t.Context(), ids[1], delivery.ItemFilter{})
	if d.must(err); len(items.Items) != len(skipped) {
		t.Fatalf("%+v", items)
	}
	for n, i := range items.Items {
		code, who, _ := strings.Cut(skipped[n], ": ")
		if i.Reason != code || english(i.Who) != who {
			t.Errorf("skipped for %q: %q, %s", skipped[n], i.Reason, i.Who)
		}
	}
	runs, err := d.Runs(t.Context(), "nightly", "", 0)
	if d.must(err); len(runs.Items) != len(reasons) {
		t.Fatalf("%+v", runs)
	}
	for _, r := range runs.Items {
		if english(r.Error) != "the query failed: no" {
			t.Errorf("the run failed because of %s", r.Error)
		}
		if text := r.Reason + english(r.Because); reasons[text] != string(r.Trigger) || (r.Reason == "") != (r.Trigger == delivery.TriggerCorrection) {
			t.Errorf("a run of %s has the reason %q, %s", r.Trigger, r.Reason, r.Because)
		}
	}
}

// What people and tokens did, own and look after stays theirs when ids take the place of names; who has a name only since then, or shares
// it, gets nothing. The chain of the audit fits as before.
func TestAfterAnUpgradeEverythingIsOfWhoDidIt(t *testing.T) {
	dsn, db := storetest.Earlier(t, 20)
	exec := func(statement string, args ...any) {
		t.Helper()
		if _, err := db.ExecContext(t.Context(), statement, args...); err != nil {
			t.Fatalf("%s: %v", statement, err)
		}
	}
	id := func(n int) string { return fmt.Sprintf("0190a0a0-0000-7000-8000-%012d", n) }
	const ann, bob, ci, ci2, env, own = 1, 2, 3, 4, 5, 6
	for n, name := range map[int]string{ann: "ann", bob: "bob"} { // bob is not the first of that name
		exec("INSERT INTO redrive.operators (id, name, role, password_hash, created_at) VALUES ($1, $2, 'admin', 'h', $3)", id(n), name, fmt.Sprintf("2026-0%d-01", 3*n-2))
	}
	for _, role := range []string{"viewer", "operator", "admin"} {
		exec("INSERT INTO redrive.operators (name, role, password_hash) VALUES ($1, $2, 'h')", "was-"+role, role)
	}
	for n, t := range map[int][3]string{ci: {"ci", "2026-01-01", "2026-02-10"}, ci2: {"ci", "2026-02-01", ""}, env: {"environment", "2026-01-01", ""}, own: {"environment", "2026-01-02", ""}} {
		exec("INSERT INTO redrive.api_tokens (id, name, role, token_hash, created_at, revoked_at) VALUES ($1, $2, 'operator', $3, $4, nullif($5, '')::timestamptz)",
			id(n), t[0], bytes.Repeat([]byte{byte(n)}, 32), t[1], t[2])
	}
	for _, entry := range [][3]string{{"ann", "delivery.retry", id(50)}, {"token:ci", "delivery.ignore", id(50)}, {"ann", "token.create", id(own)}} {
		exec("INSERT INTO redrive.audit (actor, action, subject_type, subject) VALUES ($1, $2, 'x', $3)", entry[0], entry[1], entry[2])
	}
	for name, owner := range map[string][2]string{"a": {"ann", "2026-02-01"}, "early": {"token:ci", "2026-01-15"}, "both": {"token:ci", "2026-02-05"}, "late": {"token:ci", "2026-02-20"}, "b": {"bob", "2026-02-01"}} {
		exec("INSERT INTO redrive.saved_views (owner, name, search, created_at) VALUES ($1, $2, 'state:dead', $3)", owner[0], name, owner[1])
	}
	for n, who := range map[int]string{50: "ann", 51: "bob", 52: "policy", 53: "kim (command line)"} {
		exec(`INSERT INTO redrive.deliveries (id, message_id, integration, state, created_at, failed_at, changed_at, settled_at, group_id, actor)
			VALUES ($1, $1, 'push', 'resolved', '2026-02-01', '2026-02-01', '2026-02-02', '2026-02-02', 'g', $2)`, id(n), who)
		exec("INSERT INTO redrive.failure_details (delivery_id, actor, action, acted_at, reason) VALUES ($1, $2, 'resolve', '2026-02-02', 'r')", id(n), who)
		exec("INSERT INTO redrive.cases (delivery_id, assignee, changed_by, changed_at) VALUES ($1, $2, $2, '2026-02-02')", id(n), who)
		exec("INSERT INTO redrive.notes (id, delivery_id, at, author, text) VALUES ($1, $1, '2026-02-02', $2, 'n')", id(n), who)
		exec("INSERT INTO redrive.operations (id, action, actor, created_at) VALUES ($1, 'resolve', $2, '2026-02-02')", id(n), who)
		exec("INSERT INTO redrive.edits (delivery_id, number, actor, reason, after_attempt, created_at) VALUES ($1, 2, $2, 'r', 1, '2026-02-02')", id(n), who)
	}
	exec("INSERT INTO redrive.integrations (name, method, destination, paused_at, paused_by) VALUES ('push', 'outbox', 'http', '2026-02-02', 'ann')")

	d := upgraded(t, dsn)
	for name, want := range map[string]string{"a": id(ann), "early": id(ci), "both": "token:ci", "late": id(ci2), "b": "bob"} {
		if got := value[string](d, "SELECT owner FROM redrive.saved_views WHERE name = $1", name); got != want {
			t.Errorf("the view %s is of %s, want %s", name, got, want)
		}
	}
	for n, want := range map[int]string{50: id(ann), 51: "bob", 52: "policy", 53: "kim (command line)"} {
		for _, column := range []string{"deliveries.actor", "deliveries.assignee", "failure_details.actor", "cases.assignee", "cases.changed_by", "notes.author", "operations.actor", "edits.actor"} {
			table, name, _ := strings.Cut(column, ".")
			key := map[bool]string{true: "id", false: "delivery_id"}[table == "deliveries" || table == "operations"]
			if got := value[string](d, fmt.Sprintf("SELECT %s FROM redrive.%s WHERE %s = $1", name, table, key), id(n)); got != want {
				t.Errorf("%s is %s, want %s", column, got, want)
			}
		}
	}
	mine, err := d.Failures(t.Context(), delivery.Filter{States: []delivery.State{delivery.StateResolved}, Assignees: []string{id(ann)}})
	if d.must(err); len(mine.Items) != 1 || mine.Items[0].Case.Assignee != "ann" || mine.Items[0].Settlement.Actor != "ann" {
		t.Errorf("%+v", mine.Items)
	}
	if theirs, err := d.Failures(t.Context(), delivery.Filter{States: []delivery.State{delivery.StateResolved}, Assignees: []string{id(bob)}}); err != nil || len(theirs.Items) != 0 {
		t.Errorf("who has the name since then looks after %+v: %v", theirs.Items, err)
	}
	states, err := d.IntegrationStates(t.Context())
	if d.must(err); states["push"].PausedBy != "ann" || states["push"].PausedByID != id(ann) {
		t.Errorf("%+v", states)
	}
	d.must(d.EnsureEnvToken(t.Context(), bytes.Repeat([]byte{env}, 32)))
	for n := ci2; n <= own; n++ {
		if found, err := d.TokenByHash(t.Context(), bytes.Repeat([]byte{byte(n)}, 32)); err != nil || found.ID != id(n) {
			t.Errorf("token %d: %+v %v", n, found, err)
		}
	}
	for role, wants := range map[string][2]delivery.Permission{"viewer": {delivery.PermitViewPayload, delivery.PermitRetry},
		"operator": {delivery.PermitEdit, delivery.PermitReveal}, "admin": {delivery.PermitAdminister, ""}} {
		o, err := d.OperatorByName(t.Context(), "was-"+role)
		if d.must(err); !o.Rights().Scope(wants[0], delivery.PermitView, delivery.PermitAudit).All || o.Rights().May(wants[1]) {
			t.Errorf("%s: %+v", role, o.Rights())
		}
	}
	if o, err := d.OperatorByName(t.Context(), "ann"); err != nil || o.ID != id(ann) || o.PasswordHash != "h" || o.Role != delivery.RoleAdmin {
		t.Errorf("%+v %v", o, err)
	}
	_, err = d.SaveView(t.Context(), delivery.SavedView{Owner: id(ann), Name: "new", Search: "state:dead"})
	d.must(err)
	if report, err := d.VerifyAudit(t.Context()); err != nil || !report.OK() || report.Entries != 5 {
		t.Errorf("%s %v", report, err)
	}
}

// toldAsBefore checks that what was written as a text is said as it was.
func (d desk) toldAsBefore() {
	d.t.Helper()
	for integration, want := range map[string]string{"push": "partition 3 lost records", "pull": ""} {
		gaps, err := d.SourceGaps(d.t.Context(), integration)
		if gap := gaps.Last; gaps.Count != 1 || err != nil || english(gap.What) != want || (gap.From == nil) != (want != "") {
			d.t.Errorf("of %s may be lost %+v, %v", integration, gaps, err)
		}
	}
	health, err := d.PartHealth(d.t.Context())
	if d.must(err); english(health["push"][0].LastError) != `no "route"` || !health["pull"][0].LastError.IsZero() {
		d.t.Errorf("%+v", health)
	}
	gaps, err := d.CaptureGaps(d.t.Context())
	if d.must(err); len(gaps["push"]) != 2 || english(gaps["push"][0].Why) != "it was dropped" || english(gaps["push"][0].Note) != "no key" || !gaps["push"][1].Note.IsZero() {
		d.t.Errorf("%+v", gaps)
	}
}
