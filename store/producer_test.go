package store_test

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"

	"redrive/delivery"
	"redrive/store"
)

// producer is a connection with a role of its own that may use the schema and nothing else.
func (d desk) producer() *pgx.Conn {
	d.t.Helper()
	role := fmt.Sprintf("producer_%d", time.Now().UnixNano())
	d.must(d.sql("CREATE ROLE " + role))
	d.t.Cleanup(func() {
		conn, err := pgx.Connect(context.Background(), d.dsn)
		d.must(err)
		defer conn.Close(context.Background())
		if _, err := conn.Exec(context.Background(), "DROP OWNED BY "+role+"; DROP ROLE "+role); err != nil {
			d.t.Error(err)
		}
	})
	d.must(d.sql("GRANT USAGE ON SCHEMA redrive TO " + role))
	conn, err := pgx.Connect(d.t.Context(), d.dsn)
	d.must(err)
	d.t.Cleanup(func() { _ = conn.Close(context.Background()) })
	_, err = conn.Exec(d.t.Context(), "SET ROLE "+role)
	d.must(err)
	return conn
}

func TestAProducerNeedsUsageOfTheSchemaOnly(t *testing.T) {
	d := open(t)
	conn := d.producer()
	for _, call := range []string{"SELECT redrive.enqueue('push', 't', 'x', idempotency_key => 'k', headers => '{\"a\": \"b\"}')",
		"SELECT redrive.publish(type => 'order.placed', payload => 'x', key => 'k')"} {
		var id string
		if err := conn.QueryRow(t.Context(), call).Scan(&id); err != nil {
			t.Errorf("%s: %v", call, err)
		}
	}
	d.fanOut()
	if n := value[int](d, "SELECT count(*) FROM redrive.queue"); n != 2 {
		t.Errorf("%d deliveries", n)
	}
	for _, statement := range []string{
		"SELECT payload FROM redrive.messages", "SELECT * FROM redrive.api_tokens", "SELECT * FROM redrive.idempotency_keys",
		"INSERT INTO redrive.queue (id, message_id, integration) VALUES (gen_random_uuid(), gen_random_uuid(), 'push')",
		"INSERT INTO redrive.audit (actor, action, subject_type, subject) VALUES ('x', 'x', 'x', 'x')",
		"SELECT redrive.new_id()", "SELECT redrive.publish_between('t', 'x', NULL, NULL, NULL, NULL, NULL)",
		"SELECT redrive.admit_message('push', 't', 'x', NULL, NULL, NULL, NULL, NULL)",
	} {
		var refused *pgconn.PgError
		if _, err := conn.Exec(t.Context(), statement); !errors.As(err, &refused) || refused.Code != "42501" {
			t.Errorf("%s: %v", statement, err)
		}
	}
}

// What a producer creates in a schema of its own must not run with the rights of the functions' owner.
func TestAProducersOwnFunctionsStayOutOfOurs(t *testing.T) {
	d := open(t)
	conn := d.producer()
	d.must(d.sql(`CREATE SCHEMA trap; GRANT USAGE ON SCHEMA trap TO PUBLIC;
		CREATE FUNCTION trap.sprung(text, text) RETURNS boolean LANGUAGE plpgsql AS $$ BEGIN RAISE EXCEPTION 'sprung'; END $$;
		CREATE OPERATOR trap.= (LEFTARG = text, RIGHTARG = text, FUNCTION = trap.sprung);
		CREATE FUNCTION trap.octet_length(bytea) RETURNS int LANGUAGE plpgsql AS $$ BEGIN RAISE EXCEPTION 'sprung'; END $$;
		CREATE FUNCTION trap.clock_timestamp() RETURNS timestamptz LANGUAGE plpgsql AS $$ BEGIN RAISE EXCEPTION 'sprung'; END $$`))
	_, err := conn.Exec(t.Context(), `SET search_path = trap, pg_catalog`)
	d.must(err)
	for _, call := range []string{"SELECT redrive.enqueue('push', 't', 'x')", "SELECT redrive.publish('order.placed', 'x', idempotency_key => 'k')"} {
		if _, err := conn.Exec(t.Context(), call); err != nil {
			t.Errorf("%s: %v", call, err)
		}
	}
	for _, name := range []string{"enqueue", "publish", "audit_append"} {
		if config := value[string](d, "SELECT array_to_string(proconfig, ' ') FROM pg_proc WHERE pronamespace = 'redrive'::regnamespace AND proname = $1",
			name); config != "search_path=pg_catalog, pg_temp" {
			t.Errorf("%s runs with %q", name, config)
		}
	}
}

// A role that sets a search_path for the program cannot slip functions under its statements either.
func TestTheProgramUsesPostgresOwnFunctions(t *testing.T) {
	d := open(t)
	d.must(d.sql(`CREATE SCHEMA trap; CREATE FUNCTION trap.clock_timestamp() RETURNS timestamptz LANGUAGE plpgsql AS $$ BEGIN RAISE EXCEPTION 'sprung'; END $$`))
	s, err := store.Open(t.Context(), d.dsn+"&options=-c%20search_path%3Dtrap,pg_catalog", slog.New(slog.DiscardHandler))
	d.must(err)
	defer s.Close()
	if _, err := s.Accept(t.Context(), delivery.Message{Kind: delivery.KindCommand, Integration: "push", Type: "t"}); err != nil {
		t.Error(err)
	}
	d.must(s.SaveBreaker(t.Context(), "push", delivery.BreakerOpen, time.Second))
}

// One time that Go cannot read would stop the claims of a whole integration.
func TestTimesThatNobodyCanReadAreRefused(t *testing.T) {
	d := open(t)
	for _, at := range []string{"infinity", "-infinity", "20000-01-01Z", "0001-01-01 BC"} {
		for _, argument := range []string{"deliver_after", "expires_at"} {
			var refused *pgconn.PgError
			err := d.sql(fmt.Sprintf("SELECT redrive.enqueue('push', 't', 'x', %s => '%s')", argument, at))
			if !errors.As(err, &refused) || refused.Code != "RD006" || !strings.Contains(refused.Message, argument) {
				t.Errorf("%s => %s: %v", argument, at, err)
			}
		}
	}
	for i, spoil := range []func(m *delivery.Message, at time.Time){
		func(m *delivery.Message, at time.Time) { m.DeliverAfter = &at }, func(m *delivery.Message, at time.Time) { m.ExpiresAt = &at },
	} {
		for _, year := range []int{-1, 10_000} {
			p := parked(i, "", delivery.StatePending)
			spoil(&p.Message, time.Date(year, 1, 1, 0, 0, 0, 0, time.UTC))
			if _, err := d.Park(t.Context(), []delivery.Parked{p}); err == nil {
				t.Errorf("a message of the year %d was parked", year)
			}
		}
	}
	d.must(d.sql("SELECT redrive.enqueue('push', 't', 'x', deliver_after => '0001-01-01Z', expires_at => '9999-12-31 23:59:59Z')"))
	if claimed := d.claim("push", 10, time.Minute); len(claimed) != 1 {
		t.Errorf("%d claimed", len(claimed))
	}
}

func TestHeadersOfSQLHaveTheBoundsOfTheAPI(t *testing.T) {
	d := open(t)
	for name, headers := range map[string]string{"65": "(SELECT jsonb_object_agg('h' || i, 'v') FROM generate_series(1, 65) i)", "twice": `'{"A": "1", "a": "2"}'`} {
		var refused *pgconn.PgError
		if err := d.sql("SELECT redrive.publish('t', 'x', headers => " + headers + ")"); !errors.As(err, &refused) || refused.Code != "RD005" {
			t.Errorf("%s: %v", name, err)
		}
	}
	d.must(d.sql("SELECT redrive.publish('t', 'x', headers => (SELECT jsonb_object_agg('h' || i, 'v') FROM generate_series(1, 64) i))"))
}

// Whoever is stricter about isolation gets an error to try again on, never a second message.
func TestOneKeyInTwoOpenTransactions(t *testing.T) {
	d := open(t)
	const call = "SELECT redrive.enqueue('push', 't', 'x', idempotency_key => 'k')::text"
	for _, c := range []struct{ isolation, end, want string }{
		{"READ COMMITTED", "COMMIT", "same"}, {"READ COMMITTED", "ROLLBACK", "own"}, {"REPEATABLE READ", "COMMIT", "40001"},
		{"REPEATABLE READ", "ROLLBACK", "own"}, {"SERIALIZABLE", "COMMIT", "40001"},
	} {
		t.Run(c.isolation+" "+c.end, func(t *testing.T) {
			d.must(d.sql("DELETE FROM redrive.idempotency_keys"))
			first, second := d.connect(), d.connect()
			_, err := first.Exec(t.Context(), "BEGIN")
			d.must(err)
			var one, two string
			d.must(first.QueryRow(t.Context(), call).Scan(&one))
			_, err = second.Exec(t.Context(), "BEGIN ISOLATION LEVEL "+c.isolation+"; SELECT 1")
			d.must(err)
			answered := make(chan error, 1)
			go func() { answered <- second.QueryRow(t.Context(), call).Scan(&two) }()
			d.awaitLock()
			_, err = first.Exec(t.Context(), c.end)
			d.must(err)
			got, err := "own", <-answered
			var refused *pgconn.PgError
			if errors.As(err, &refused) {
				got = refused.Code
			} else if d.must(err); one == two {
				got = "same"
			}
			if got != c.want {
				t.Errorf("the second producer got %s, want %s", got, c.want)
			}
			_, err = second.Exec(t.Context(), "ROLLBACK")
			d.must(err)
		})
	}
}

func (d desk) connect() *pgx.Conn {
	d.t.Helper()
	conn, err := pgx.Connect(d.t.Context(), d.dsn)
	d.must(err)
	d.t.Cleanup(func() { _ = conn.Close(context.Background()) })
	return conn
}

// awaitLock returns when somebody waits for a lock in this database.
func (d desk) awaitLock() {
	d.t.Helper()
	for range 500 {
		if value[bool](d, "SELECT EXISTS (SELECT FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock')") {
			return
		}
		time.Sleep(10 * time.Millisecond)
	}
	d.t.Fatal("nobody waits for a lock")
}

func TestAPauseHoldsAtOnce(t *testing.T) {
	d := open(t)
	d.accept(delivery.Message{Integration: "push"})
	d.must(d.SetPaused(t.Context(), "push", true, "ann", "maintenance"))
	if claimed := d.claim("push", 10, time.Minute); len(claimed) != 0 {
		t.Errorf("%d claimed from a paused integration", len(claimed))
	}
	d.must(d.SetPaused(t.Context(), "push", false, "ann", ""))
	if claimed := d.claim("push", 10, time.Minute); len(claimed) != 1 {
		t.Errorf("%d claimed after it was resumed", len(claimed))
	}
}
