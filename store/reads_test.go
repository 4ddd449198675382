package store_test

import (
	"context"
	"log/slog"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"redrive/delivery"
	"redrive/store"
)

// The engine's statements must cost what they take, not what the tables hold: no plan may read a whole table.
func TestTheEngineReadsOnlyWhatItTakes(t *testing.T) {
	d := open(t)
	const total = 20_000
	d.must(d.sql("SELECT redrive.enqueue('push', 't', 'x') FROM generate_series(1, $1)", total))
	d.must(d.sql("ANALYZE redrive.messages, redrive.queue"))
	d.Close()
	d.endOthers()
	before := d.rowsRead()
	s, err := store.Open(t.Context(), d.dsn, slog.New(slog.DiscardHandler))
	d.must(err)
	for range 10 { // the planner changes its mind after a few executions
		busy(t, s)
	}
	s.Close()
	d.endOthers()
	for table, n := range d.rowsRead() {
		if read := n - before[table]; read > total/4 {
			t.Errorf("%s: %d rows were read", table, read)
		}
	}
}

// busy does with 20 deliveries all that an engine does.
func busy(t *testing.T, s *store.Store) {
	t.Helper()
	check := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	claimed, err := s.Claim(t.Context(), "w", []delivery.Quota{{Integration: "push", Limit: 20, Bytes: 1 << 20, Lease: time.Minute},
		{Integration: "sms", Limit: 20, Bytes: 1 << 20, Lease: time.Minute}})
	check(err)
	var held, back []delivery.Lease
	var done []delivery.Completion
	for i, c := range claimed {
		held = append(held, c.Lease)
		switch i % 4 {
		case 0:
			back = append(back, c.Lease)
		case 1:
			done = append(done, completion(c, answered, delivery.StateDead))
		case 2:
			retry := completion(c, answered, delivery.StatePending)
			retry.RetryIn = time.Hour
			done = append(done, retry)
		default:
			done = append(done, completion(c, confirmed, delivery.StateDelivered))
		}
	}
	_, err = s.Extend(t.Context(), held, time.Minute)
	check(err)
	check(s.Release(t.Context(), back, time.Hour))
	for range 2 { // the second time nothing is current any more
		_, err = s.Complete(t.Context(), done)
		check(err)
	}
}

func (d desk) rowsRead() map[string]int {
	d.t.Helper()
	conn, err := pgx.Connect(d.t.Context(), d.dsn)
	d.must(err)
	defer conn.Close(context.Background())
	rows, err := conn.Query(d.t.Context(), `SELECT relname, coalesce(seq_tup_read, 0) + coalesce(idx_tup_fetch, 0)
		FROM pg_stat_user_tables WHERE schemaname = 'redrive'`)
	d.must(err)
	defer rows.Close()
	read := map[string]int{}
	for rows.Next() {
		var table string
		var n int
		d.must(rows.Scan(&table, &n))
		read[table] = n
	}
	d.must(rows.Err())
	return read
}
