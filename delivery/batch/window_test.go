package batch_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"redrive/delivery"
)

const windowed = `SELECT id FROM points WHERE pg_visible_in_snapshot(xid, :window_to) AND NOT pg_visible_in_snapshot(xid, :window_from) ORDER BY id`

func ids(content string) (list []string) {
	for _, line := range strings.Split(content, "\r\n")[1:] {
		if line != "" {
			list = append(list, line)
		}
	}
	return list
}

// registered waits until the first window has its beginning.
func (b *bed) registered() {
	b.t.Helper()
	b.wait("position", func() bool {
		return value[int](b, "SELECT count(*) FROM redrive.batch_feeds WHERE snapshot IS NOT NULL") == 1
	})
}

func TestLateCommittersAreSentOnce(t *testing.T) {
	b := newBed(t, func(in *delivery.Integration) { in.Batch.Query = windowed })
	b.sql(pointsTable)
	b.sql("INSERT INTO points VALUES (1)") // before the position: it belongs to nobody
	b.start(nil)
	b.registered()
	conn, err := pgx.Connect(t.Context(), b.dsn)
	b.must(err)
	defer conn.Close(context.Background())
	late, err := conn.Begin(t.Context())
	b.must(err)
	_, err = late.Exec(t.Context(), "INSERT INTO points VALUES (2)")
	b.must(err)
	b.sql("INSERT INTO points VALUES (3)")
	if got := ids(b.content(b.now())); !slices.Equal(got, []string{"3"}) {
		t.Errorf("while it is open: %v", got)
	}
	b.sql("INSERT INTO points VALUES (4)")
	b.must(late.Commit(t.Context()))
	if got := ids(b.content(b.now())); !slices.Equal(got, []string{"2", "4"}) {
		t.Errorf("after it: %v", got)
	}
	if run := b.ended(b.request("")); run.State != delivery.RunEmpty {
		t.Errorf("nothing came, and the run is %+v", run)
	}
	if run, err := b.RequestRun(t.Context(), b.in.Name, "2026-01-01", "kim", "a test"); !errors.Is(err, delivery.ErrNotDated) {
		t.Errorf("a window for a date: %+v, %v", run, err)
	}
	b.sql("UPDATE redrive.integrations SET windowed = false") // as before an upgrade
	if run := b.ended(b.request("2026-01-01")); run.State != delivery.RunFailed || run.Attempts != 1 || !strings.Contains(run.Error.English(), "cannot be run for a date") {
		t.Errorf("a window for a date: %+v", run)
	}
	b.complete()
}

func TestEveryRowIsSentOnceWhileOthersWrite(t *testing.T) {
	b := newBed(t, func(in *delivery.Integration) { in.Batch.Query = windowed })
	b.sql(pointsTable)
	b.start(nil)
	b.registered()
	const writers, each = 4, 50
	done := make(chan error, writers)
	for w := range writers {
		go func() { done <- write(b.dsn, w*each, each) }()
	}
	var sent []string
	collect := func() {
		if run := b.ended(b.request("")); run.File != nil {
			sent = append(sent, ids(b.content(*run.File))...)
		}
	}
	for left := writers; left > 0; {
		select {
		case err := <-done:
			b.must(err)
			left--
		default:
			collect()
		}
	}
	collect()
	all := map[string]bool{}
	for _, id := range sent {
		all[id] = true
	}
	if len(sent) != writers*each || len(all) != len(sent) {
		t.Errorf("%d rows were sent, %d of them different; want %d", len(sent), len(all), writers*each)
	}
	b.complete()
}

// write inserts rows in transactions of different length.
func write(dsn string, from, count int) error {
	ctx := context.Background()
	conn, err := pgx.Connect(ctx, dsn)
	if err != nil {
		return err
	}
	defer conn.Close(ctx)
	for n := range count {
		_, err := conn.Exec(ctx, fmt.Sprintf("BEGIN; INSERT INTO points VALUES (%d); SELECT pg_sleep(%f); COMMIT", from+n, float64(n%5)/200))
		if err != nil {
			return err
		}
	}
	return nil
}

func TestEventsAreRows(t *testing.T) {
	b := newBed(t, func(in *delivery.Integration) {
		in.Batch.Query, in.Subscribe, in.Batch.ControlTotal = "", []string{"points.earned"}, "$.amount"
	})
	b.csv.Columns = []delivery.FileColumn{{Name: "who", From: "key"}, {Name: "amount", From: "$.amount"}, {Name: "why", From: "$.for.lesson"}, {Name: "all", From: "payload"}}
	b.start(nil)
	b.registered()
	for _, e := range []struct{ kind, payload string }{{"points.earned", `{"amount": 10.50, "for": {"lesson": "Grammar, 1"}}`},
		{"other", `{}`}, {"points.earned", `{"amount": "2", "for": null}`}, {"points.earned", "\xff no JSON"}} {
		_, err := b.Accept(t.Context(), delivery.Message{Kind: delivery.KindEvent, Type: e.kind, Key: "kim", Payload: []byte(e.payload)})
		b.must(err)
	}
	_, err := b.Accept(t.Context(), delivery.Message{Kind: delivery.KindEvent, Type: "points.earned", Key: "null"})
	b.must(err)
	f := b.now()
	if got := b.content(f); got != "who,amount,why,all\r\nkim,10.50,\"Grammar, 1\",\"{\"\"amount\"\": 10.50, \"\"for\"\": {\"\"lesson\"\": \"\"Grammar, 1\"\"}}\"\r\n"+
		"kim,2,,\"{\"\"amount\"\": \"\"2\"\", \"\"for\"\": null}\"\r\nkim,,,\uFFFD no JSON\r\nnull,,,\r\n" || f.Control != "12.50" {
		t.Errorf("the file holds %q, control total %s", got, f.Control)
	}
}

func TestARestoredCopyIsRefused(t *testing.T) {
	b := newBed(t, func(in *delivery.Integration) { in.Batch.Query = windowed })
	b.sql(pointsTable)
	b.sql("INSERT INTO redrive.batch_feeds (integration, snapshot, database_id) VALUES ('points', '3:3:', '1/2')")
	b.start(nil)
	run := b.ended(b.request(""))
	if run.State != delivery.RunFailed || !strings.Contains(run.Error.English(), "another database than before") {
		t.Errorf("the run is %+v", run)
	}
}

func TestMissedRuns(t *testing.T) {
	for _, tc := range []struct {
		missed          delivery.MissedRuns
		since           time.Duration
		queued, skipped int
	}{
		{delivery.MissedCatchUp, 5 * time.Minute, 5, 0}, {delivery.MissedCatchUp, 2 * time.Hour, 31, 1}, {delivery.MissedSkip, 5 * time.Minute, 1, 4},
	} {
		t.Run(fmt.Sprint(tc.missed, tc.since), func(t *testing.T) {
			b := newBed(t, func(in *delivery.Integration) { in.Batch.Schedule, in.Batch.Missed = "* * * * *", tc.missed })
			b.sql(pointsTable)
			b.sql("INSERT INTO points VALUES (1)")
			b.sql("INSERT INTO redrive.batch_feeds (integration, last_scheduled_at) VALUES ('points', $1)", time.Now().Add(-tc.since))
			stop := b.start(nil)
			b.wait("missed runs", func() bool {
				return value[int](b, "SELECT count(*) FROM redrive.batch_runs WHERE state IN ('stored', 'skipped')") >= tc.queued+tc.skipped
			})
			stored := value[int](b, "SELECT count(*) FROM redrive.batch_runs WHERE state = 'stored'")
			skipped := value[int](b, "SELECT count(*) FROM redrive.batch_runs WHERE state = 'skipped'")
			// a full minute may have come in between
			if stored < tc.queued || stored > tc.queued+1 || skipped < tc.skipped || skipped > tc.skipped+1 {
				t.Errorf("%d stored, %d skipped; want %d and %d", stored, skipped, tc.queued, tc.skipped)
			}
			if bad := value[int](b, `SELECT count(*) FROM redrive.batch_runs r JOIN redrive.batch_files f ON f.id = r.file_id
				WHERE f.business_date <> (r.scheduled_at AT TIME ZONE 'UTC')::date - 1`); bad != 0 {
				t.Errorf("%d files have another business date than the day before", bad)
			}
			b.wait("the last run's end", func() bool {
				return value[int](b, "SELECT count(*) FROM redrive.batch_runs WHERE state IN ('queued', 'running')") == 0
			})
			stop() // the next minute's file must not come while the files are looked at
			b.complete()
		})
	}
}
