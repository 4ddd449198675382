package store_test

import (
	"log/slog"
	"slices"
	"testing"
	"time"

	"redrive/delivery"
	"redrive/store"
	"redrive/store/storetest"
)

// manyGroupsSQL makes 100,000 groups with open dead letters; of a tenth something came in the last two weeks, of 300 something is not
// folded yet.
const manyGroupsSQL = `
INSERT INTO redrive.integrations (name, method, destination) SELECT 'i' || n, 'outbox', 'http' FROM generate_series(0, 99) n;
INSERT INTO redrive.groups (id, integration, error_class, message)
    SELECT md5(n::text), 'i' || n % 100, 'http_5xx', 'the receiver answered 503: node ' || n || ' is out' FROM generate_series(1, 100000) n;
INSERT INTO redrive.group_counts (group_id, integration, error_class, first_seen, last_seen, dead, died)
    SELECT id, integration, error_class, first_seen, last_seen, 1 + length(message) % 90, 90 FROM redrive.groups;
INSERT INTO redrive.group_hours (group_id, hour, failed, came)
    SELECT md5(n::text), date_trunc('hour', now(), 'UTC') - h * interval '1 hour', 3, 1 + (n * h) % 7
    FROM generate_series(1, 10000) n, generate_series(0, 335, 5 + n % 11) h;
INSERT INTO redrive.group_deltas (group_id, dead, acknowledged, pending, ignored, resolved, delivered, failed, died, came)
    SELECT md5(n::text), 1, 0, 0, 0, 0, 0, 1, 1, 1 FROM generate_series(1, 30000, 100) n;
ANALYZE`

// BenchmarkGroupsByGrowth reads pages of many groups by growth.
func BenchmarkGroupsByGrowth(b *testing.B) {
	dsn := storetest.New(b)
	s, err := store.Open(b.Context(), dsn, slog.New(slog.DiscardHandler))
	if err != nil {
		b.Fatal(err)
	}
	defer s.Close()
	benchExec(b, dsn, manyGroupsSQL)
	began := time.Now()
	if _, err := s.FoldCounts(b.Context()); err != nil {
		b.Fatal(err)
	}
	say(b, "folding when an hour ends: %s", time.Since(began).Round(time.Millisecond))
	benchExec(b, dsn, "VACUUM ANALYZE redrive.group_counts")
	benchExec(b, dsn, `INSERT INTO redrive.group_deltas (group_id, dead, acknowledged, pending, ignored, resolved, delivered, failed, died, came)
		SELECT md5(n::text), 1, 0, 0, 0, 0, 0, 1, 1, 1 FROM generate_series(1, 30000, 100) n`)
	for name, f := range map[string]delivery.GroupFilter{"all": {}, "of an integration": {Filter: delivery.Filter{Integrations: []string{"i7"}}}} {
		b.Run(name, func(b *testing.B) {
			f.Sort, f.Limit = delivery.GroupsGrowing, 50
			var took []time.Duration
			turn := func() {
				began := time.Now()
				page, err := s.Groups(b.Context(), f)
				if err != nil || len(page.Items) != 50 {
					b.Fatalf("%d groups: %v", len(page.Items), err)
				}
				took, f.After = append(took, time.Since(began)), page.Next
				if len(took)%10 == 0 {
					f.After = ""
				}
			}
			for range 20 { // more than the runs after which Postgres may keep a plan for any values
				turn()
			}
			took = nil
			for b.Loop() {
				turn()
			}
			slices.Sort(took)
			b.ReportMetric(float64(took[len(took)/2].Microseconds())/1000, "p50-ms")
			b.ReportMetric(float64(took[len(took)*99/100].Microseconds())/1000, "p99-ms")
		})
	}
}
