package store_test

import (
	"context"
	"errors"
	"log/slog"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"redrive/delivery"
	"redrive/store"
	"redrive/store/storetest"
)

// backlog is a database with pending deliveries, of which so many wait behind one stuck key.
func backlog(t testing.TB, pending, stuck int) (dsn string) {
	t.Helper()
	dsn = storetest.New(t)
	s, err := store.Open(t.Context(), dsn, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	in := integration("push")
	in.Ordered = stuck > 0
	if err := s.SyncIntegrations(t.Context(), []delivery.Integration{in}); err != nil {
		t.Fatal(err)
	}
	conn, err := pgx.Connect(t.Context(), dsn)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close(context.Background())
	fill := func(n int, key string) {
		if _, err := conn.Exec(t.Context(), "SELECT count(redrive.enqueue('push', 't', 'x', "+key+")) FROM generate_series(1, $1) n", n); err != nil {
			t.Fatal(err)
		}
	}
	fill(stuck, "'stuck'")
	fill(pending-stuck, "n::text")
	var placing error
	err = s.Lead(t.Context(), "outbox", func(ctx context.Context, l *store.Leader) error {
		for placed := -1; placed != 0 && placing == nil; {
			placed, placing = l.Place(ctx, 5000)
		}
		return nil
	}, nil)
	if err := errors.Join(err, placing); err != nil {
		t.Fatal(err)
	}
	// the head is a dead letter, as nearly: its next attempt is far away
	if _, err := conn.Exec(t.Context(), "UPDATE redrive.queue SET due_at = clock_timestamp() + interval '1 day' WHERE id IN (SELECT head FROM redrive.lanes WHERE key = 'stuck')"); err != nil {
		t.Fatal(err)
	}
	if _, err := conn.Exec(t.Context(), "VACUUM ANALYZE redrive.queue, redrive.messages, redrive.lanes"); err != nil {
		t.Fatal(err)
	}
	return dsn
}

func claimHundred(t testing.TB, s *store.Store) {
	claimed, err := s.Claim(t.Context(), "w", []delivery.Quota{{Integration: "push", Limit: 100, Bytes: 1 << 20, Lease: time.Hour}})
	if err != nil || len(claimed) != 100 {
		t.Fatalf("%d claimed: %v", len(claimed), err)
	}
}

// What waits behind a stuck key must not be read by claims: a quarter of the backlog is stuck, and as many rows are read.
func TestAStuckKeyCostsClaimsNothing(t *testing.T) {
	var read [2]int
	for i, stuck := range []int{0, 2500} {
		d := desk{t: t, dsn: backlog(t, 10_000, stuck)}
		d.endOthers()
		before := d.rowsRead()["queue"]
		s, err := store.Open(t.Context(), d.dsn, slog.New(slog.DiscardHandler))
		d.must(err)
		for range 20 {
			claimHundred(t, s)
		}
		s.Close()
		d.endOthers()
		read[i] = d.rowsRead()["queue"] - before
	}
	t.Logf("rows of the queue read by 20 claims of 100: %d without order, %d behind a stuck key", read[0], read[1])
	if read[0] == 0 || read[1] > read[0]*3/2 {
		t.Errorf("%d rows read, %d without order", read[1], read[0])
	}
}

// 200,000 pending, 50,000 of them behind one stuck key, against the same without order.
func BenchmarkClaim(b *testing.B) {
	for name, stuck := range map[string]int{"without order": 0, "50000 behind a stuck key": 50_000} {
		b.Run(name, func(b *testing.B) {
			s, err := store.Open(b.Context(), backlog(b, 200_000, stuck), slog.New(slog.DiscardHandler))
			if err != nil {
				b.Fatal(err)
			}
			b.Cleanup(s.Close)
			for b.Loop() {
				claimHundred(b, s)
			}
		})
	}
}
