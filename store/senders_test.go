package store_test

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"

	"redrive/delivery"
	"redrive/store"
	"redrive/store/storetest"
)

// signedIn is a connection of a role of its own that signed in itself and may use the schema, and what the server told it.
func (d desk) signedIn() (conn *pgx.Conn, role string, told *[]pgconn.Notice) {
	d.t.Helper()
	role, told = fmt.Sprintf("shop_%d", time.Now().UnixNano()), &[]pgconn.Notice{}
	d.must(d.sql("CREATE ROLE " + role + " LOGIN PASSWORD 'of the shop'"))
	d.t.Cleanup(func() {
		admin, err := pgx.Connect(context.Background(), d.dsn)
		d.must(err)
		defer admin.Close(context.Background())
		if _, err := admin.Exec(context.Background(), "DROP OWNED BY "+role+" CASCADE; DROP ROLE "+role); err != nil {
			d.t.Error(err)
		}
	})
	d.must(d.sql("GRANT USAGE ON SCHEMA redrive TO " + role))
	dsn, err := url.Parse(d.dsn)
	d.must(err)
	dsn.User = url.UserPassword(role, "of the shop")
	config, err := pgx.ParseConfig(dsn.String())
	d.must(err)
	config.OnNotice = func(_ *pgconn.PgConn, n *pgconn.Notice) { *told = append(*told, *n) }
	conn, err = pgx.ConnectConfig(d.t.Context(), config)
	d.must(err)
	d.t.Cleanup(func() { _ = conn.Close(context.Background()) })
	return conn, role, told
}

// Whoever calls the functions for producers is noted by the role that signed in, in all forms of them, whatever it sets or calls through.
func TestAProducerIsNotedAsWhoSignedIn(t *testing.T) {
	d := open(t)
	conn, role, _ := d.signedIn()
	other := role + "_other"
	d.must(d.sql("CREATE ROLE " + other + "; GRANT " + other + " TO " + role + "; GRANT USAGE ON SCHEMA redrive TO " + other))
	t.Cleanup(func() { _ = d.sql("DROP OWNED BY " + other + "; DROP ROLE " + other) })
	d.must(d.sql(`CREATE SCHEMA trap; GRANT USAGE ON SCHEMA trap TO PUBLIC;
		CREATE FUNCTION trap.through(text) RETURNS uuid LANGUAGE sql SECURITY DEFINER AS $$ SELECT redrive.publish('t', $1) $$`))
	run := func(statement string) string {
		t.Helper()
		var id string
		d.must(conn.QueryRow(t.Context(), statement).Scan(&id))
		return id
	}
	calls := []string{"SELECT trap.through('x')::text", "SELECT redrive.publish('t', 'x', idempotency_key => 'k')::text"}
	for _, payload := range []string{"'x'::text", "'1'::json", "'1'::jsonb", "'x'::bytea"} {
		for _, headers := range []string{"'{}'::jsonb", "'{}'::json", "'{}'::text"} {
			calls = append(calls, fmt.Sprintf("SELECT redrive.enqueue('push', 't', %s, headers => %s, key => 'k')::text", payload, headers),
				fmt.Sprintf("SELECT redrive.publish('t', %s, headers => %s, key => 'k')::text", payload, headers))
		}
	}
	for _, pretend := range []string{"", "SET ROLE " + other, "SET redrive.sender = 'integration:push'", "SET application_name = 'role:postgres'"} {
		_, err := conn.Exec(t.Context(), pretend)
		d.must(err)
		for _, call := range calls {
			if got := value[string](d, "SELECT sender FROM redrive.messages WHERE id = $1", run(call)); got != delivery.SenderRole+role {
				t.Errorf("after %q %s is of %s", pretend, call, got)
			}
		}
	}
	for _, statement := range []string{"SET SESSION AUTHORIZATION " + value[string](d, "SELECT session_user::text"), "SELECT redrive.enqueue_from('token', 'push', 't', 'x'::bytea, NULL, '{}', NULL, NULL, NULL)",
		"SELECT redrive.publish_between('t', 'x', NULL, '{}', NULL, NULL, NULL, 'token')", "SELECT redrive.key_reuse(gen_random_uuid(), '', '', '', '')"} {
		var refused *pgconn.PgError
		if _, err := conn.Exec(t.Context(), statement); !errors.As(err, &refused) || refused.Code != "42501" {
			t.Errorf("%s: %v", statement, err)
		}
	}
}

// Everything that comes in says from whom: requests by their person or token, what a source or batch brings by its integration.
func TestEveryMessageHasASender(t *testing.T) {
	d := openCapture(t)
	ann := d.scopedToken(delivery.Grants{{Role: delivery.RoleAdmin}})
	right, _ := delivery.RightOf(ann)
	d.park(parked(1, "", delivery.StateDead), handed(2, "k", delivery.StateDead))
	d.must(d.capture(func(l *store.Leader) error {
		if err := l.ResetCapture(t.Context(), "catalogue", start); err != nil {
			return err
		}
		return l.Capture(t.Context(), "catalogue", func(write func([]delivery.Captured) error) (delivery.CapturePosition, error) {
			broken := captured(3, "push")
			broken.Error = "no such field"
			return start, write([]delivery.Captured{captured(1), captured(2, "push"), broken})
		})
	}))
	for _, kind := range []delivery.Kind{delivery.KindCommand, delivery.KindEvent} {
		m := delivery.Message{Kind: kind, Type: "http", Sender: right.Actor}
		if kind == delivery.KindCommand {
			m.Integration = "push"
		}
		a, err := d.Accept(ann, m)
		d.must(err)
		m, _, err = d.Message(t.Context(), a.ID)
		d.must(err)
		if m.Sender != right.Actor || m.SenderName == right.Actor || m.SenderName == "" {
			t.Errorf("a %s is of %q, called %q", kind, m.Sender, m.SenderName)
		}
	}
	d.accept(delivery.Message{Type: "own"})
	if got := value[string](d, "SELECT string_agg(DISTINCT type || ' ' || sender, ',' ORDER BY type || ' ' || sender) FROM redrive.messages WHERE type <> 'http'"); got !=
		"article.insert integration:catalogue,own redrive,t integration:push" {
		t.Error(got)
	}
}

// What uses the key of something else is not taken in, and its sender is told: who repeats a message hears nothing.
func TestASenderIsToldOfAKeyThatWasUsedForSomethingElse(t *testing.T) {
	d := open(t)
	mine, _, told := d.signedIn()
	theirs, _, theirTold := d.signedIn()
	call := func(conn *pgx.Conn, statement string) (id string) {
		t.Helper()
		if err := conn.QueryRow(t.Context(), statement).Scan(&id); err != nil {
			t.Errorf("%s: %v", statement, err)
		}
		return id
	}
	const first = "'t', 'x', key => 'k', idempotency_key => 'once')::text"
	for _, how := range []string{"SELECT redrive.enqueue('push', ", "SELECT redrive.publish("} {
		*told, *theirTold = nil, nil
		id := call(mine, how+first)
		if again := call(mine, how+first); again != id || len(*told) > 0 {
			t.Errorf("a repetition is %s, not %s, and told %v", again, id, *told)
		}
		for _, other := range []string{"'t', 'y', key => 'k', idempotency_key => 'once')::text", "'other', 'x', key => 'k', idempotency_key => 'once')::text",
			"'t', 'x', key => 'other', idempotency_key => 'once')::text", "'t', 'x', idempotency_key => 'once')::text"} {
			*told = nil
			if again := call(mine, how+other); again != id || len(*told) != 1 || (*told)[0].Code != "RD007" || (*told)[0].Severity != "WARNING" {
				t.Errorf("%s is %s, and told %+v", other, again, *told)
			}
		}
		for _, same := range []string{first, "'t', 'guess', idempotency_key => 'once')::text"} { // nobody learns what another one sent
			*theirTold = nil
			if again := call(theirs, how+same); again != id || len(*theirTold) != 1 || (*theirTold)[0].Message != "the idempotency key was used by another sender: this message is not taken in" {
				t.Errorf("%s by another one is %s, and told %+v", same, again, *theirTold)
			}
		}
	}
	if got := value[string](d, "SELECT string_agg(integration || ' ' || differs || ' ' || n, ', ' ORDER BY integration, differs) FROM (SELECT integration, differs, count(*) AS n FROM redrive.reused_keys GROUP BY 1, 2) g"); got !=
		" content 4,  sender 2, push content 4, push sender 2" {
		t.Error(got)
	}
	_, err := mine.Exec(t.Context(), "SET redrive.reused_keys = 'refuse'")
	d.must(err)
	call(mine, "SELECT redrive.enqueue('push', "+first)
	if err := mine.QueryRow(t.Context(), "SELECT redrive.enqueue('push', 't', 'y', idempotency_key => 'once')::text").Scan(new(string)); code(err) != "RD007" {
		t.Errorf("refused with %v", err)
	}
	d.must(d.sql("DELETE FROM redrive.messages"))
	if a := d.accept(delivery.Message{IdempotencyKey: "once"}); !a.Duplicate || a.Differs != delivery.ReusedByGone {
		t.Errorf("after the first message: %+v", a)
	}
}

// A program is told in its answer, and people see how many it were: those who may see the integration that would have got them.
func TestReusedKeysAreCountedWhereTheyWouldHaveGone(t *testing.T) {
	d := open(t)
	d.must(d.SyncIntegrations(t.Context(), []delivery.Integration{integration("push", "order.placed"), integration("mail", "other.type")}))
	send := func(sender, payload, integration, typ string) delivery.Accepted {
		t.Helper()
		m := delivery.Message{Kind: delivery.KindEvent, Type: typ, Payload: []byte(payload), IdempotencyKey: "once", Sender: sender}
		if integration != "" {
			m.Kind, m.Integration = delivery.KindCommand, integration
		}
		a, err := d.Accept(t.Context(), m)
		d.must(err)
		return a
	}
	for _, to := range []string{"push", ""} {
		for _, try := range []struct {
			sender, payload string
			duplicate       bool
			differs         delivery.KeyReuse
		}{{"ann", "x", false, ""}, {"ann", "x", true, ""}, {"ann", "y", true, delivery.ReusedByContent}, {"bob", "x", true, delivery.ReusedBySender}} {
			if a := send(try.sender, try.payload, to, "order.placed"); a.Duplicate != try.duplicate || a.Differs != try.differs {
				t.Errorf("%+v to %q: %+v", try, to, a)
			}
		}
	}
	// whoever may send one type of events learns nothing of who gets another
	scoped := d.scopedToken(delivery.Grants{{Role: delivery.RoleAdmin, Integrations: []string{"mail"}}})
	a, err := d.Accept(scoped, delivery.Message{Kind: delivery.KindEvent, Type: "other.type", IdempotencyKey: "once", Sender: "carl"})
	d.must(err)
	if len(a.Deliveries) > 0 || a.Differs != delivery.ReusedBySender {
		t.Errorf("%+v", a)
	}
	health, err := d.Health(t.Context())
	d.must(err)
	counts := map[string]delivery.ReusedKeys{}
	for _, h := range health {
		counts[h.Name] = h.ReusedKeys
	}
	if n := counts["push"]; n.Count != 4 || n.Sender != "bob" || n.Differs != delivery.ReusedBySender || n.MessageID == "" || n.LastAt.IsZero() {
		t.Errorf("push: %+v", n)
	}
	if counts["mail"].Count != 1 {
		t.Errorf("mail: %+v", counts["mail"])
	}
	d.must(d.sql("UPDATE redrive.reused_keys SET at = at - interval '25 hours'"))
	d.maintain(0)
	if n := value[int](d, "SELECT count(*) FROM redrive.reused_keys"); n != 0 {
		t.Errorf("%d are kept after their day", n)
	}
}

// Producers that are connected go on through the upgrade; what was accepted before has no sender, and its key tells nobody anything.
func TestSendersAfterAnUpgrade(t *testing.T) {
	dsn, db := storetest.Earlier(t, 31)
	const call = "SELECT redrive.enqueue('push', 't', $1::bytea, idempotency_key => $2)::text"
	exec := func(statement string) {
		t.Helper()
		if _, err := db.ExecContext(t.Context(), statement); err != nil {
			t.Fatal(err)
		}
	}
	exec("INSERT INTO redrive.integrations (name, method, destination, subscribe) VALUES ('push', 'outbox', 'http', '{order.placed}')")
	exec("SELECT redrive.add_message_partition(current_date)")
	conn, err := pgx.Connect(t.Context(), dsn)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close(context.Background()) })
	var first, again, event string
	for _, key := range []string{"before", "before"} {
		if err := conn.QueryRow(t.Context(), call, []byte("x"), key).Scan(&first); err != nil {
			t.Fatal(err)
		}
	}
	if err := conn.QueryRow(t.Context(), "SELECT redrive.publish('t', 'x')::text").Scan(&event); err != nil {
		t.Fatal(err)
	}
	d := upgraded(t, dsn)
	if n := value[int](d, "SELECT count(*) FROM redrive.messages WHERE sender IS NOT NULL"); n != 0 {
		t.Errorf("%d earlier messages have a sender", n)
	}
	d.must(conn.QueryRow(t.Context(), call, []byte("other"), "before").Scan(&again))
	d.must(conn.QueryRow(t.Context(), "SELECT redrive.publish('t', 'x')::text").Scan(&event))
	if n := value[int](d, "SELECT count(*) FROM redrive.reused_keys"); again != first || n != 0 {
		t.Errorf("%s after %s, %d told", again, first, n)
	}
	d.must(conn.QueryRow(t.Context(), call, []byte("x"), "after").Scan(&first))
	for _, id := range []string{first, event} {
		if sender := value[string](d, "SELECT sender FROM redrive.messages WHERE id = $1", id); sender != delivery.SenderRole+value[string](d, "SELECT session_user::text") {
			t.Errorf("a message after the upgrade is of %s", sender)
		}
	}
	// processes of before call as they did
	d.must(d.sql("SELECT redrive.publish_between('t', 'x', NULL, '{}', NULL, NULL, NULL), redrive.known_message('push', 'before')"))
}
