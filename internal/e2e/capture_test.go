package e2e

import (
	"context"
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5"

	"redrive/store/storetest"
	"redrive/store/storetest/patience"
)

// 20,000 changes of another database go to two receivers, one as commands and one as events, while the program is killed, and
// the source's Postgres too. Then both ledgers are compared with what was committed.
func TestNoChangeIsLostOrDoubledWhenTheProgramIsKilled(t *testing.T) {
	t.Parallel() // it waits most of the time
	const total, kills = 20_000, 6
	source := storetest.Cluster(t)
	src := source.DSN("redrive")
	sql := connect(t, src)
	mustExec(t, sql, "CREATE TABLE items (id int PRIMARY KEY, v int NOT NULL, body text); CREATE TABLE log (id int, v int)")
	direct, subscribed := newLedger(t), newLedger(t)
	env := []string{onFreshDatabase(t), configFile(t, fmt.Sprintf(`
integrations:
  - name: capture
    method: cdc
    cdc:
      url: %q
      tables:
        - {table: public.items, operations: [insert, update], type: "item.{{ op }}", payload: '{"id": row.id, "v": row.v}'}
        - {table: public.items, operations: [insert, update], type: "item.changed", payload: '{"id": row.id, "v": row.v}', publish: true}
    destination: {http: {url: %q}}
    idempotent: true
    concurrency: 32
  - name: subscriber
    method: outbox
    subscribe: [item.changed]
    destination: {http: {url: %q}}
    idempotent: true
    concurrency: 32
`, src, direct.URL, subscribed.URL))}
	dsn := strings.TrimPrefix(env[0], "DATABASE_URL=")
	p := serve(t, env...)
	await(t, "the slot", func() bool {
		return scan[bool](t, src, "SELECT EXISTS (SELECT FROM pg_replication_slots WHERE active)")
	})
	written := make(chan error, 1)
	go func() { written <- changeItems(src, total) }()
	for n := range kills {
		await(t, "deliveries", func() bool { _, keys := direct.requests(); return keys > n*total/(2*kills) })
		p.kill()
		if n%3 == 1 {
			source.Kill()
		}
		p = serve(t, env...)
	}
	if err := patience.Receive(t, "all changes to be made", written); err != nil {
		t.Fatal(err)
	}
	changes := scan[int](t, src, "SELECT count(*)::int FROM log")
	if changes < total {
		t.Fatalf("only %d changes were committed", changes)
	}
	for name, receiver := range map[string]*ledger{"capture": direct, "subscriber": subscribed} {
		await(t, name+" has everything", func() bool { _, keys := receiver.requests(); return keys >= changes })
		await(t, name+" waits for nothing", func() bool {
			return scan[bool](t, dsn, "SELECT NOT EXISTS (SELECT FROM redrive.queue WHERE integration = $1)", name)
		})
		rows := scan[int](t, dsn, "SELECT count(*)::int FROM redrive.deliveries WHERE integration = $1", name)
		if _, keys := receiver.requests(); keys != changes || rows != changes {
			t.Errorf("%s: %d keys at the receiver, %d deliveries, %d changes were committed", name, keys, rows, changes)
		}
		got, want := contents(t, dsn, name), committed(t, src)
		if got != want {
			t.Errorf("%s: what was delivered is not what was committed: %s, %s", name, got, want)
		}
	}
}

// contents is a digest of all changes that became deliveries, by value.
func contents(t *testing.T, dsn, integration string) string {
	t.Helper()
	return scan[string](t, dsn, `SELECT md5(string_agg(p->>'id' || ' ' || (p->>'v'), ',' ORDER BY (p->>'v')::int)) FROM (
		SELECT convert_from(m.payload, 'UTF8')::jsonb AS p FROM redrive.deliveries d JOIN redrive.messages m ON m.id = d.message_id
		WHERE d.integration = $1) x`, integration)
}

func committed(t *testing.T, src string) string {
	t.Helper()
	return scan[string](t, src, "SELECT md5(string_agg(id || ' ' || v, ',' ORDER BY v)) FROM log")
}

// changeItems makes changes in transactions of all sizes until total are committed; each writes itself down. No two have the same
// value. A server that is killed meanwhile is waited for.
func changeItems(src string, total int) error {
	ctx := context.Background()
	var conn *pgx.Conn
	next, done := 0, 0
	for failures := 0; done < total; {
		if conn == nil || conn.IsClosed() {
			var err error
			if conn, err = pgx.Connect(ctx, src); err != nil {
				if failures++; failures > 10_000 {
					return err
				}
				continue
			}
		}
		size := 1 + rand.IntN(60)
		_, err := conn.Exec(ctx, `WITH c AS (INSERT INTO items SELECT n % 500, n, repeat('t', 3000) FROM generate_series($1::int, $2::int) n
			ON CONFLICT (id) DO UPDATE SET v = excluded.v RETURNING id, v) INSERT INTO log SELECT id, v FROM c`, next, next+size-1)
		next += size // a commit whose answer was lost may have happened
		if err == nil {
			done += size
		}
	}
	return conn.Close(ctx)
}

func mustExec(t *testing.T, conn *pgx.Conn, statement string) {
	t.Helper()
	if _, err := conn.Exec(t.Context(), statement, pgx.QueryExecModeSimpleProtocol); err != nil {
		t.Fatal(err)
	}
}
