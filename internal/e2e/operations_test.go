package e2e

import (
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5"

	"redrive/delivery"
	"redrive/store/storetest/patience"
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

// addsUp returns an operation whose numbers were checked.
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

// released returns how many items the operation has acted on.
func released(t *testing.T, conn *pgx.Conn) (n int) {
	t.Helper()
	if err := conn.QueryRow(t.Context(), "SELECT sum(cursor - first + 1) FROM redrive.operation_parts").Scan(&n); err != nil {
		t.Fatal(err)
	}
	return n
}

// killAt kills the program once that many items are released: in the middle of a step's transaction, or where its requests stand by
// chance. It returns how many were released then.
func killAt(t *testing.T, p *program, conn *pgx.Conn, receiver *ledger, items int) int {
	t.Helper()
	await(t, fmt.Sprintf("%d items to be released", items), func() bool { return released(t, conn) >= items })
	if where := rand.IntN(2 * len(heldAt)); where < len(heldAt) {
		killInside(t, p, conn, holdLock+where)
	} else {
		sent, _ := receiver.requests()
		patience.Receive(t, "the moment of the kill", receiver.at(sent+1+rand.IntN(50)))
		p.kill()
	}
	return released(t, conn)
}

// manyItems is how many dead letters the operation below is on.
const manyItems = 5_000

// The program is killed 20 times during an operation, once at a random place of each twentieth of all but its end, which is long enough
// for the last kill to come before it. Its rate is such that what has piled up during a restart, a second's worth, is less than that.
func TestAnOperationSurvivesTwentyKills(t *testing.T) {
	t.Parallel() // it waits most of the time
	const total, kills, rate = manyItems, 20, 150
	const last = total - 10*rate // there the last kill comes at the latest
	receiver := newLedger(t)
	receiver.refuse = "7" // one in ten becomes a dead letter again
	database := onFreshDatabase(t)
	dsn := strings.TrimPrefix(database, "DATABASE_URL=")
	env := []string{database, configFile(t, brief(failing(receiver.URL, 3)))}
	p := serve(t, env...)
	conn := connect(t, dsn)
	if _, err := conn.Exec(t.Context(), manyDeadSQL, total); err != nil {
		t.Fatal(err)
	}
	holdable(t, conn)
	body := map[string]any{"action": "retry", "reason": "it is up again", "filter": map[string]any{}, "rate_per_second": rate}
	id := p.must("POST", "/api/v1/operations", body)["id"].(string)
	var at []int
	for n := range kills {
		const part = last / kills
		at = append(at, killAt(t, p, conn, receiver, n*part+1+rand.IntN(part)))
		p = serve(t, env...)
		if o := addsUp(t, p, id); o["state"] != "running" {
			t.Errorf("after kill %d: %v", n+1, o)
		}
	}
	spread(t, at, last)
	var o map[string]any
	t.Cleanup(func() {
		if t.Failed() {
			t.Logf("at last the operation is %v, and the queue begins with %s", o, scan[string](t, dsn, "SELECT coalesce(json_agg(q)::text, '') FROM (SELECT * FROM redrive.queue LIMIT 3) q"))
		}
	})
	await(t, "the operation's end", func() bool { o = addsUp(t, p, id); return o["state"] == "finished" })
	if o["succeeded"].(float64)+o["failed"].(float64) != total || o["failed"].(float64) < 100 {
		t.Errorf("finished %v", o)
	}
	compareOperation(t, dsn, int(o["succeeded"].(float64)))
	compareRequests(t, conn, receiver, total)
	verify := launch(t, []string{"audit", "verify"}, env...)
	verify.wait()
	if code := verify.cmd.ProcessState.ExitCode(); code != 0 {
		t.Errorf("audit verify ended with %d", code)
	}
}

// spread wants kills in every fifth of the items before the last kill.
func spread(t *testing.T, at []int, last int) {
	t.Helper()
	var fifths [5]int
	for _, n := range at {
		fifths[min(n*len(fifths)/last, len(fifths)-1)]++
	}
	t.Logf("killed when %v of %d items were released", at, manyItems)
	for _, n := range fifths {
		if n < 2 {
			t.Errorf("the kills are not spread: %v in the fifths of the operation", fifths)
		}
	}
}

// compareRequests looks at what came of each item: as many attempts as claims (the one that was confirmed is in its record), and no more
// requests than attempts. More than one of them has only what was under way at a kill.
func compareRequests(t *testing.T, conn *pgx.Conn, receiver *ledger, total int) {
	t.Helper()
	rows, err := conn.Query(t.Context(), `SELECT m.idempotency_key, coalesce(r.error_class, ''), r.attempts - 3, count(DISTINCT a.token) + (r.state = 'delivered')::int,
			count(*) FILTER (WHERE a.outcome = 'unknown') FROM redrive.deliveries r JOIN redrive.messages m ON m.id = r.message_id LEFT JOIN redrive.attempts a ON a.delivery_id = r.id
			AND a.late IS DISTINCT FROM '`+delivery.LateConfirming+`' GROUP BY r.id, 1, 2`)
	if err != nil {
		t.Fatal(err)
	}
	items, repeated, unsent := 0, 0, 0
	var key, class string
	var claims, attempts, lost int
	if _, err := pgx.ForEachRow(rows, []any{&key, &class, &claims, &attempts, &lost}, func() error {
		requests := receiver.of(key)
		if requests == 0 && lost >= 3 && class == "poison" { // a slow machine may come to three kills before it sends it
			unsent++
			items++
			return nil
		}
		if claims != attempts || attempts > 1+lost || requests < 1 || requests > attempts {
			t.Errorf("%s: %d claims, %d attempts, %d of them lost, %d requests", key, claims, attempts, lost, requests)
		}
		items, repeated = items+1, repeated+requests-1
		return nil
	}); err != nil {
		t.Fatal(err)
	}
	sent, keys := receiver.requests()
	if items != total || keys != total-unsent || sent != keys+repeated {
		t.Errorf("%d items, %d keys, %d requests, %d repeated", items, keys, sent, repeated)
	}
	t.Logf("%d items, %d requests, %d of them repeated because their outcome died with the program, %d never sent", items, sent, repeated, unsent)
}

func compareOperation(t *testing.T, dsn string, succeeded int) {
	t.Helper()
	for query, want := range map[string]int{
		"SELECT count(*) FROM redrive.audit WHERE action = 'delivery.retry'":                manyItems,
		"SELECT count(DISTINCT subject) FROM redrive.audit WHERE action = 'delivery.retry'": manyItems,
		"SELECT count(*) FROM redrive.audit WHERE action = 'operation.start'":               1,
		"SELECT count(*) FROM redrive.audit WHERE action LIKE 'operation.%'":                1, // its end is nobody's act
		"SELECT count(*) FROM redrive.deliveries WHERE state = 'delivered'":                 succeeded,
		"SELECT count(*) FROM redrive.operation_items WHERE outcome = 'succeeded'":          succeeded,
		"SELECT count(*) FROM redrive.queue":                                                0,
		`SELECT count(*) FROM redrive.deliveries r WHERE version <> 1 + (state = 'delivered')::int + (error_class IS NOT DISTINCT FROM 'poison')::int
			+ (SELECT count(*) FROM redrive.attempts a WHERE a.delivery_id = r.id AND a.outcome <> 'late')
			+ (SELECT count(*) FROM redrive.audit e WHERE e.subject = r.id::text)`: 0,
	} {
		if got := scan[int](t, dsn, query); got != want {
			t.Errorf("%s: %d, want %d", query, got, want)
		}
	}
}
