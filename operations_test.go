package main

import (
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5"
)

// heldAt are the statements at which a step of an operation is stopped in the middle of its transaction.
var heldAt = []string{"INSERT ON redrive.queue", "INSERT ON redrive.audit", "UPDATE ON redrive.operation_parts"}

const holdLock = 7_310_000 // advisory; the place's number is added

// holdable lets the test stop whoever writes to one of the tables, by a lock.
func holdable(t *testing.T, conn *pgx.Conn) {
	t.Helper()
	statements := []string{`CREATE FUNCTION hold() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN PERFORM pg_catalog.pg_advisory_xact_lock_shared(TG_ARGV[0]::bigint); RETURN NULL; END $$`}
	for n, what := range heldAt {
		statements = append(statements, fmt.Sprintf("CREATE TRIGGER hold AFTER %s FOR EACH STATEMENT EXECUTE FUNCTION hold(%d)", what, holdLock+n))
	}
	for _, statement := range statements {
		if _, err := conn.Exec(t.Context(), statement); err != nil {
			t.Fatal(err)
		}
	}
}

// killInside kills the program while it waits inside of a transaction.
func killInside(t *testing.T, p *program, conn *pgx.Conn, lock int) {
	t.Helper()
	if _, err := conn.Exec(t.Context(), "SELECT pg_advisory_lock($1)", lock); err != nil {
		t.Fatal(err)
	}
	await(t, "a step to come to "+heldAt[lock-holdLock], func() bool {
		var n int
		if err := conn.QueryRow(t.Context(), "SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND objid = $1 AND NOT granted", lock).Scan(&n); err != nil {
			t.Fatal(err)
		}
		return n > 0
	})
	p.kill()
	if _, err := conn.Exec(t.Context(), "SELECT pg_advisory_unlock($1)", lock); err != nil {
		t.Fatal(err)
	}
}

const manyDeadSQL = `WITH made AS MATERIALIZED (
		SELECT redrive.new_id() AS id, redrive.new_id() AS message, clock_timestamp() AS at, n FROM generate_series(1, $1::int) n
	), messages AS (
		INSERT INTO redrive.messages (id, kind, integration, type, payload, idempotency_key) SELECT message, 'command', 'push', 'test', 'x', 'key-' || n FROM made
	), details AS (
		INSERT INTO redrive.failure_details (delivery_id, error) SELECT id, 'x' FROM made
	), groups AS (
		INSERT INTO redrive.groups (id, integration, error_class, message) VALUES ('g', 'push', 'http_5xx', 'x')
	)
	INSERT INTO redrive.deliveries (id, message_id, integration, state, attempts, error_class, group_id, created_at, failed_at, dead_at)
	SELECT id, message, 'push', 'dead', 3, 'http_5xx', 'g', at, at, at FROM made`

// addsUp answers an operation whose numbers were checked.
func addsUp(t *testing.T, p *program, id string) map[string]any {
	t.Helper()
	o := p.must("GET", "/api/v1/operations/"+id, nil)
	sum := 0.0
	for _, name := range []string{"succeeded", "failed", "skipped", "cancelled", "remaining"} {
		sum += o[name].(float64)
	}
	if sum != o["selected"].(float64) || o["remaining"].(float64) < 0 {
		t.Errorf("the numbers do not add up: %v", o)
	}
	return o
}

// The program is killed 20 times during an operation on 10,000 dead letters: where its requests stand by chance, or in the middle of a
// step's transaction.
func TestAnOperationSurvivesTwentyKills(t *testing.T) {
	const total, kills = 10_000, 20
	receiver := newLedger(t)
	receiver.refuse = "7" // one in ten becomes a dead letter again
	database := onFreshDatabase(t)
	dsn := strings.TrimPrefix(database, "DATABASE_URL=")
	env := []string{database, configFile(t, failing(receiver.URL, 3))}
	p := serve(t, env...)
	conn := connect(t, dsn)
	if _, err := conn.Exec(t.Context(), manyDeadSQL, total); err != nil {
		t.Fatal(err)
	}
	holdable(t, conn)
	body := map[string]any{"action": "retry", "reason": "it is up again", "filter": map[string]any{}, "rate_per_second": 400}
	id := p.must("POST", "/api/v1/operations", body)["id"].(string)
	for n := range kills {
		if where := rand.IntN(2 * len(heldAt)); where < len(heldAt) {
			killInside(t, p, conn, holdLock+where)
		} else {
			sent, _ := receiver.requests()
			<-receiver.at(sent + 1 + rand.IntN(300))
			p.kill()
		}
		p = serve(t, env...)
		if o := addsUp(t, p, id); n == kills-1 {
			t.Logf("after the last kill: %v of %d released, %v settled", o["selected"].(float64)-o["parts"].([]any)[0].(map[string]any)["waiting"].(float64), total,
				o["succeeded"].(float64)+o["failed"].(float64))
		}
	}
	p.must("PATCH", "/api/v1/operations/"+id, map[string]any{"rate_per_second": 0})
	var o map[string]any
	await(t, "the operation's end", func() bool { o = addsUp(t, p, id); return o["state"] == "finished" })
	if o["succeeded"].(float64)+o["failed"].(float64) != total || o["failed"].(float64) < 100 {
		t.Errorf("finished %v", o)
	}
	compareOperation(t, dsn, int(o["succeeded"].(float64)))
	verify := launch(t, []string{"audit", "verify"}, env...)
	<-verify.done
	if code := verify.cmd.ProcessState.ExitCode(); code != 0 {
		t.Errorf("audit verify ended with %d", code)
	}
}

func compareOperation(t *testing.T, dsn string, succeeded int) {
	t.Helper()
	for query, want := range map[string]int{
		"SELECT count(*) FROM redrive.audit WHERE action = 'delivery.retry'":                10_000,
		"SELECT count(DISTINCT subject) FROM redrive.audit WHERE action = 'delivery.retry'": 10_000,
		"SELECT count(*) FROM redrive.audit WHERE action = 'operation.start'":               1,
		"SELECT count(*) FROM redrive.audit WHERE action LIKE 'operation.%'":                2, // and the pace
		"SELECT count(*) FROM redrive.deliveries WHERE state = 'delivered'":                 succeeded,
		"SELECT count(*) FROM redrive.operation_items WHERE outcome = 'succeeded'":          succeeded,
		"SELECT count(*) FROM redrive.queue":                                                0,
		`SELECT count(*) FROM redrive.deliveries r WHERE version <> 1 + (state = 'delivered')::int
			+ (SELECT count(*) FROM redrive.attempts a WHERE a.delivery_id = r.id AND a.outcome <> 'late')
			+ (SELECT count(*) FROM redrive.audit e WHERE e.subject = r.id::text)`: 0,
	} {
		if got := scan[int](t, dsn, query); got != want {
			t.Errorf("%s: %d, want %d", query, got, want)
		}
	}
}
