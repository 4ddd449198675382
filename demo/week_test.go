package demo

import (
	"context"
	"encoding/json"
	"os"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"redrive/delivery"
	"redrive/delivery/config"
	"redrive/delivery/past"
	"redrive/delivery/search"
	"redrive/internal/bench/triage"
	"redrive/store"
	"redrive/store/storetest"
)

// beginsWithAWeek opens a fresh database with the demo's integrations, and returns what writes the week.
func beginsWithAWeek(t *testing.T) (*store.Store, *pgx.Conn, func() bool) {
	t.Helper()
	dsn := storetest.New(t)
	db, err := store.Open(t.Context(), dsn, nil)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(db.Close)
	file, err := config.Parse("demo/integrations.yaml", Integrations("http://127.0.0.1:8080", t.TempDir(), Brokers{}, false), os.LookupEnv)
	if err != nil {
		t.Fatal(err)
	}
	if err := db.SyncIntegrations(t.Context(), file.Integrations); err != nil {
		t.Fatal(err)
	}
	conn, err := pgx.Connect(t.Context(), dsn)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close(context.Background()) })
	return db, conn, func() bool {
		written, err := db.WriteHistory(t.Context(), func() (*past.History, error) {
			return Week(t.Context(), delivery.FirstOperator, file.Integrations, time.Now())
		}, "$argon2id$none")
		if err != nil {
			t.Fatal(err)
		}
		return written
	}
}

// What the demo begins with is as its own rooms would have left it: the chain of the audit, counters, groups, attempts, queue and index.
// It is written once, and nothing of it is an event that the relay would take for new.
func TestTheWeekFitsTogether(t *testing.T) {
	db, conn, write := beginsWithAWeek(t)
	began := time.Now()
	if !write() {
		t.Fatal("a fresh database is given no week")
	}
	t.Logf("written in %s", time.Since(began).Round(time.Millisecond))
	if report, err := db.VerifyAudit(t.Context()); err != nil || !report.OK() || report.Entries < 100 {
		t.Errorf("the audit: %s, %v", report, err)
	}
	if err := triage.Verify(t.Context(), conn); err != nil {
		t.Error(err)
	}
	for more := true; more; {
		var err error
		if more, err = db.FoldCounts(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	for more := true; more; {
		var err error
		if _, more, err = db.Index(t.Context(), 1000, search.Entry); err != nil {
			t.Fatal(err)
		}
	}
	if err := triage.Verify(t.Context(), conn); err != nil {
		t.Error(err)
	}
	for what, sql := range untrue {
		var found string
		if err := conn.QueryRow(t.Context(), "SELECT coalesce(string_agg(DISTINCT x::text, ', '), '') FROM ("+sql+") AS t(x)").Scan(&found); err != nil || found != "" {
			t.Errorf("%s: %s %v", what, found, err)
		}
	}
	if write() {
		t.Error("it is written twice")
	}
}

// untrue are rows that cannot be, by what they would say.
var untrue = map[string]string{
	"events that a relay would take for new":         "SELECT m.id FROM redrive.messages m, redrive.positions p WHERE NOT pg_visible_in_snapshot(m.xid, p.snapshot)",
	"messages that do not say that they are made up": "SELECT id FROM redrive.messages WHERE headers ->> '" + Header + "' IS NULL",
	"due before anybody could see it wait":           "SELECT id FROM redrive.queue WHERE due_at < now() + interval '1 hour'",
	"times that are still to come": `SELECT id FROM redrive.deliveries WHERE greatest(changed_at, failed_at, dead_at, settled_at, started_at) > now()
		UNION ALL SELECT delivery_id FROM redrive.attempts WHERE recorded_at > now()`,
	"attempts without what was sent and heard": "SELECT delivery_id FROM redrive.attempts WHERE exchange IS NULL OR error = '' OR http_status IS NOT NULL AND response IS NULL",
	"decisions without their entry in the audit": `SELECT delivery_id FROM redrive.failure_details f WHERE actor <> 'policy'
		AND NOT EXISTS (SELECT FROM redrive.audit a WHERE a.subject = f.delivery_id::text AND a.action = 'delivery.' || f.action AND a.at = f.acted_at)`,
	"entries of nobody":         "SELECT seq FROM redrive.audit a WHERE actor NOT IN ('redrive', 'policy') AND NOT EXISTS (SELECT FROM redrive.actors WHERE id = a.details ->> 'actor_id' AND name = a.actor)",
	"entries out of their time": "SELECT seq FROM (SELECT seq, at < lag(at) OVER (ORDER BY seq) AS back FROM redrive.audit) a WHERE back",
	"hours that differ from the attempts": `SELECT integration FROM redrive.hourly h WHERE failed <> (SELECT count(*) FROM redrive.attempts a
		JOIN redrive.deliveries d ON d.id = a.delivery_id WHERE d.integration = h.integration AND date_trunc('hour', a.recorded_at, 'UTC') = h.hour)`,
	"hours that differ from the deliveries": `SELECT integration FROM redrive.hourly h WHERE delivered <> (SELECT count(*) FROM redrive.deliveries d
		WHERE d.integration = h.integration AND d.state = 'delivered' AND date_trunc('hour', d.settled_at, 'UTC') = h.hour)`,
	"operations that differ from their items": `SELECT operation_id FROM redrive.operation_parts p WHERE (succeeded, failed) <> (SELECT count(*) FILTER (WHERE outcome = 'succeeded'),
		count(*) FILTER (WHERE outcome = 'failed') FROM redrive.operation_items i WHERE i.operation_id = p.operation_id)`,
	"lists without what belongs to the week": `SELECT what FROM (VALUES ('dead', 150), ('pending', 12), ('ignored', 40), ('resolved', 20), ('delivered', 80)) w(what, least)
		WHERE least > (SELECT count(*) FROM redrive.deliveries WHERE state = what AND failed_at IS NOT NULL)`,
}

// Whatever happened before, a person, a message or an entry of the audit: such a database is not given anything made up.
func TestADatabaseInUseIsLeftAlone(t *testing.T) {
	db, conn, write := beginsWithAWeek(t)
	for _, sql := range []string{
		"INSERT INTO redrive.operators (name, role, password_hash) VALUES ('kim', 'admin', 'x')",
		"SELECT redrive.enqueue('grant-points', 'lesson.finished', '{}')",
	} {
		if _, err := conn.Exec(t.Context(), sql); err != nil {
			t.Fatal(err)
		}
		if write() {
			t.Errorf("after %q a week is written", sql)
		}
		if _, err := conn.Exec(t.Context(), "DELETE FROM redrive.operators"); err != nil {
			t.Fatal(err)
		}
	}
	if err := db.Record(t.Context(), delivery.AuditEntry{Actor: delivery.ActorProgram, Action: "test", SubjectType: "test"}); err != nil {
		t.Fatal(err)
	}
	if _, err := conn.Exec(t.Context(), "TRUNCATE redrive.messages, redrive.queue"); err != nil {
		t.Fatal(err)
	}
	if write() {
		t.Error("over an audit that has begun a week is written")
	}
}

// Each lasting cause is what the receiver answers now: what is retried fails for the same cause, until it is mended.
func TestReceiversSayTheSameAgain(t *testing.T) {
	for _, why := range lasting {
		for _, tell := range []content{{"item": soldOut}, {"channel": "marketplace"}, {"address": "nowhere"}, {"gift_note": "x"}, {"student": "a " + withdrawn},
			{"phone": blocked + "1"}, {"name": "a" + oldMail}} {
			if !why.lasting(tell) {
				continue
			}
			want := why.answers(tell)
			if _, ok := tell["address"]; !ok {
				tell["address"] = "12 Harbour Street"
			}
			payload, _ := json.Marshal(tell)
			if got, does := complains(why.receiver, payload); !does || got != want {
				t.Errorf("%s says %+v of %s, not %+v", why.receiver, got, payload, want)
			}
		}
	}
	if c, does := complains("seller-push", []byte(`{"address":"12 Harbour Street","item":"Linen shirt"}`)); does {
		t.Errorf("of what is well it says %+v", c)
	}
}
