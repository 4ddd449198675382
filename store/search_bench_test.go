package store_test

import (
	"context"
	"fmt"
	"log/slog"
	"os"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"redrive/delivery"
	"redrive/delivery/search"
	"redrive/store"
	"redrive/store/storetest"
)

// openFailuresSQL fills a database: $OPEN open failures of 20 integrations in 200 groups, and as many that are settled.
const openFailuresSQL = `
SET session_replication_role = replica; -- no triggers
SET synchronous_commit = off;
INSERT INTO redrive.integrations (name, method, destination) SELECT 'i' || n, 'outbox', 'http' FROM generate_series(0, 19) n;
CREATE TEMP TABLE made AS
    SELECT n, (lpad(to_hex((extract(epoch FROM now()) * 1000)::bigint - n * 200), 12, '0') || '7' || right(md5('m' || n), 3) || '8' || right(md5('n' || n), 15))::uuid AS m,
        (lpad(to_hex((extract(epoch FROM now()) * 1000)::bigint - n * 200), 12, '0') || '7' || right(md5('d' || n), 3) || '8' || right(md5('e' || n), 15))::uuid AS d,
        'i' || n % 20 AS integration, md5('g' || n % 200) AS g, now() - n * interval '200 ms' AS at FROM generate_series(1, 2 * $OPEN) n;
INSERT INTO redrive.messages (id, kind, integration, type, key, payload, created_at)
    SELECT m, 'command', integration, 'order.placed', 'order-' || n, convert_to(format('{"order": %s, "customer": {"id": %s, "name": "customer %s of town %s", "vip": %s},
        "items": [{"sku": "SKU-%s", "count": %s}, {"sku": "SKU-%s", "count": 1}], "note": "%s", "total": %s.50, "filler": "%s"}',
        n, n % 50000, n, n % 300, (n % 1000 = 0)::text, n % 7000, n % 9, n % 100, md5(n::text), n % 997, repeat(md5(n::text) || ' ', 8)), 'UTF8'), at FROM made;
INSERT INTO redrive.deliveries (id, message_id, integration, state, attempts, error_class, group_id, created_at, failed_at, changed_at, dead_at, settled_at)
    SELECT d, m, integration, CASE WHEN n > $OPEN THEN 'resolved' WHEN n % 10 = 0 THEN 'pending' ELSE 'dead' END, n % 8, 'http_5xx', g, at, at, at,
        CASE WHEN n <= $OPEN AND n % 10 <> 0 THEN at END, CASE WHEN n > $OPEN THEN at END FROM made;
INSERT INTO redrive.failure_details (delivery_id, error)
    SELECT d, format('dial tcp 10.0.%s.%s:443: %s of shard%s while calling %s, request %s', n % 200, n % 250,
        (ARRAY['connection refused', 'i/o timeout', 'certificate has expired', 'no such host', 'connection reset by peer'])[1 + n % 5], n % 200, integration, md5('r' || n)) FROM made;
INSERT INTO redrive.groups (id, integration, error_class, message) SELECT DISTINCT ON (g) g, integration, 'http_5xx', 'm' FROM made;
INSERT INTO redrive.queue (id, message_id, integration, due_at) SELECT d, m, integration, now() + interval '1 day' FROM made WHERE n <= $OPEN AND n % 10 = 0;
INSERT INTO redrive.unindexed (delivery_id) SELECT d FROM made WHERE n <= $OPEN ORDER BY n DESC;
SET session_replication_role = origin;
INSERT INTO redrive.group_counts (group_id, dead, pending, resolved, died)
    SELECT group_id, count(*) FILTER (WHERE state = 'dead'), count(*) FILTER (WHERE state = 'pending'), count(*) FILTER (WHERE state = 'resolved'), count(*)
    FROM redrive.deliveries GROUP BY group_id ON CONFLICT (group_id) DO UPDATE SET dead = excluded.dead, pending = excluded.pending, resolved = excluded.resolved;
ANALYZE`

// BenchmarkSearch fills 250,000 open failures (REDRIVE_BENCH_OPEN), indexes them as the room does, and searches: p95 of pages of 50.
func BenchmarkSearch(b *testing.B) {
	open := 250_000
	if n, err := strconv.Atoi(os.Getenv("REDRIVE_BENCH_OPEN")); err == nil {
		open = n
	}
	dsn := storetest.New(b)
	s, err := store.Open(b.Context(), dsn, slog.New(slog.DiscardHandler))
	if err != nil {
		b.Fatal(err)
	}
	defer s.Close()
	begun := time.Now()
	benchExec(b, dsn, strings.ReplaceAll(openFailuresSQL, "$OPEN", strconv.Itoa(open)))
	say(b, "filled in %s", time.Since(begun).Round(time.Second))
	indexAll(b, s, open)
	benchExec(b, dsn, "ANALYZE redrive.search")
	say(b, "sizes: %s", benchValue(b, dsn, `SELECT string_agg(relname || ' ' || pg_size_pretty(pg_relation_size(c.oid)), ', ' ORDER BY relname)
		FROM pg_class c WHERE relnamespace = 'redrive'::regnamespace AND relname LIKE 'search%'`))
	for _, text := range []string{"connection refused", "i/o timeout of shard", "of shard17 while", "shard199", "no such text", "10.0.7.7", "request " + "d41d8cd9", "nothing refused",
		"re", "zq", "shard17 integration:i17", "certificate has expired integration:i3", "payload.customer.id:4711", "payload.items[*].sku:SKU-4711", "payload.items[*].sku:SKU-17",
		"payload.items[0].count:3", "payload.customer.vip:true", "payload.customer.id:999999", "payload.order:77777", "payload..sku:SKU-4711", "payload:town", "payload:customer payload:249999",
		"payload:nothing", "payload:2499", "payload.customer.id:4711 refused", "shard17 state:dead,pending", "no such text state:dead,pending", "of shard17 while sort:oldest"} {
		f, err := delivery.ParseSearch(text, time.Now(), time.UTC)
		if err != nil {
			b.Fatal(err)
		}
		var times []time.Duration
		found, failed := 0, error(nil)
		for range 25 {
			begun := time.Now()
			page, err := s.Failures(b.Context(), f)
			times = append(times, time.Since(begun))
			found, failed = len(page.Items), err
		}
		slices.Sort(times)
		say(b, "%-55s found %2d p50 %7.1f p95 %7.1f ms %v", text, found, ms(times[len(times)/2]), ms(times[len(times)*95/100]), failed)
	}
	for _, c := range [][2]string{{"key", "order-2"}, {"type", ""}, {"assignee", ""}, {"by", ""}, {"tag", ""}, {"integration", "i1"}} {
		begun := time.Now()
		for range 20 {
			if _, err := s.Suggest(b.Context(), c[0], c[1]); err != nil {
				b.Fatal(err)
			}
		}
		say(b, "suggest %s: %.1f ms", c[0], ms(time.Since(begun)/20))
	}
	begun = time.Now()
	steps, worst := 0, time.Duration(0)
	for after := ""; ; steps++ {
		step := time.Now()
		last, _, err := s.ForgetSettled(b.Context(), after, 200)
		worst = max(worst, time.Since(step))
		if err != nil {
			b.Fatal(err)
		}
		if after = last; last == "" {
			break
		}
	}
	say(b, "sweep: %d steps, %.2f ms each, worst %.1f", steps, ms(time.Since(begun))/float64(steps), ms(worst))
}

// say prints at once: a benchmark's log is cut.
func say(b *testing.B, format string, args ...any) {
	b.Helper()
	_, _ = fmt.Fprintf(os.Stderr, format+"\n", args...)
}

func ms(d time.Duration) float64 { return float64(d.Microseconds()) / 1000 }

// indexAll indexes with the room's own pace, while somebody looks at list pages.
func indexAll(b *testing.B, s *store.Store, want int) {
	ctx, stop := context.WithCancel(b.Context())
	done := make(chan []time.Duration)
	go func() {
		var pages []time.Duration
		for delivery.Pause(ctx, 100*time.Millisecond) {
			begun := time.Now()
			if _, err := s.Failures(b.Context(), delivery.Filter{}); err != nil {
				b.Error(err)
			}
			pages = append(pages, time.Since(begun))
		}
		done <- pages
	}()
	begun, n := time.Now(), 0
	var busy time.Duration
	for more := true; more; {
		step := time.Now()
		did, left, err := s.Index(ctx, 500, search.Entry)
		if err != nil {
			b.Fatal(err)
		}
		n, more = n+did, left
		busy += time.Since(step)
		delivery.Pause(ctx, time.Since(step))
	}
	took := time.Since(begun)
	stop()
	pages := <-done
	slices.Sort(pages)
	say(b, "indexed %d of %d in %s: %.0f rows/s at half pace, %.0f busy; list pages meanwhile p50 %.1f p95 %.1f ms", n, want, took.Round(time.Second),
		float64(n)/took.Seconds(), float64(n)/busy.Seconds(), ms(pages[len(pages)/2]), ms(pages[len(pages)*95/100]))
}

func benchExec(b *testing.B, dsn, statement string) {
	b.Helper()
	conn := benchConnect(b, dsn)
	defer conn.Close(context.Background())
	if _, err := conn.PgConn().Exec(b.Context(), statement).ReadAll(); err != nil {
		b.Fatal(err)
	}
}

func benchValue(b *testing.B, dsn, query string) (text string) {
	b.Helper()
	conn := benchConnect(b, dsn)
	defer conn.Close(context.Background())
	if err := conn.QueryRow(b.Context(), query).Scan(&text); err != nil {
		b.Fatal(err)
	}
	return text
}

func benchConnect(b *testing.B, dsn string) *pgx.Conn {
	b.Helper()
	conn, err := pgx.Connect(b.Context(), dsn)
	if err != nil {
		b.Fatal(err)
	}
	return conn
}
