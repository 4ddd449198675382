package batch_test

import (
	"context"
	"strings"
	"testing"

	"redrive/delivery"
)

const pointsTable = "CREATE TABLE points (id bigint PRIMARY KEY, name text, amount numeric, day date, xid xid8 DEFAULT pg_current_xact_id())"

func TestAFileIsStoredWithAllThatBelongsToIt(t *testing.T) {
	b := newBed(t, func(in *delivery.Integration) {
		in.Batch.Query = "SELECT id, name, amount FROM points WHERE day = :business_date ORDER BY id"
		in.Batch.ControlTotal = "amount"
	})
	b.sql(pointsTable)
	b.sql("INSERT INTO points SELECT n, 'kim ' || n, n * 1.5, DATE '2026-01-31' + n % 2 FROM generate_series(1, 4) n")
	b.start(nil)
	run := b.ended(b.request("2026-01-31"))
	f := run.File
	if f == nil || f.Name != "points_2026-01-31_1.csv" || f.Rows != 2 || f.Control != "9.0" || f.Sequence != 1 || f.State != delivery.StatePending || run.Rows != 2 || run.RequestedBy != "kim" {
		t.Fatalf("the run is %+v, its file %+v", run, f)
	}
	if got := b.content(*f); got != "id,name,amount\r\n2,kim 2,3.0\r\n4,kim 4,6.0\r\n" {
		t.Errorf("the file holds %q", got)
	}
	second := b.ended(b.request("2026-02-01")).File
	if second == nil || second.Sequence != 2 || second.Previous != f.SHA256 || second.Name != "points_2026-02-01_2.csv" {
		t.Errorf("the second file is %+v", second)
	}
	again := b.ended(b.request("2026-02-01")).File
	if again == nil || again.Sequence != 3 || again.SHA256 != second.SHA256 {
		t.Errorf("the same date again: %+v", again)
	}
	empty := b.ended(b.request("2026-03-01"))
	if empty.State != delivery.RunEmpty || empty.File != nil {
		t.Errorf("without rows: %+v", empty)
	}
	if n := len(b.complete()); n != 3 {
		t.Errorf("%d files", n)
	}
	if n := value[int](b, "SELECT count(*) FROM redrive.audit WHERE action = 'batch.run' AND actor = 'kim' AND subject = 'points'"); n != 4 {
		t.Errorf("%d audit entries", n)
	}
}

func TestAQueryThatFailsIsTriedAgainAndThenSaysWhy(t *testing.T) {
	b := newBed(t, nil)
	b.start(nil)
	run := b.ended(b.request(""))
	if run.State != delivery.RunFailed || run.Attempts != 3 || !strings.Contains(run.Error.English(), `relation "points" does not exist`) {
		t.Fatalf("the run is %+v", run)
	}
	dead := b.state(run.DeliveryID, delivery.StateDead)
	if dead.Type != delivery.TypeBatchRun || dead.Key != run.BusinessDate || dead.ErrorClass != delivery.ClassRunFailed || dead.Error != run.Error.English() {
		t.Errorf("its dead letter is %+v", dead.Delivery)
	}
	b.retry(run.DeliveryID)
	if again := b.state(run.DeliveryID, delivery.StateDead); again.Attempts != 2 || len(again.Timeline) != 2 {
		t.Errorf("after a retry that failed: %+v", again)
	}
	b.sql(pointsTable)
	b.sql("INSERT INTO points VALUES (1, 'kim')")
	b.retry(run.DeliveryID)
	b.state(run.DeliveryID, delivery.StateDelivered)
	if f := b.ended(run).File; f == nil || f.Sequence != 1 || f.BusinessDate != run.BusinessDate {
		t.Errorf("the retried run has the file %+v", f)
	}
	b.complete()
}

func TestTwoProcessesMakeOneRun(t *testing.T) { // once a day, so that no further run comes while the files are compared
	b := newBed(t, func(in *delivery.Integration) { in.Batch.Schedule = "0 0 * * *" })
	b.sql(pointsTable)
	b.sql("INSERT INTO points VALUES (1, 'kim')")
	b.sql("INSERT INTO redrive.batch_feeds (integration, last_scheduled_at) VALUES ('points', clock_timestamp() - interval '3 days')")
	other := openBed(t, b.dsn, nil)
	other.in.Batch.Schedule = "0 0 * * *"
	b.start(nil)
	other.start(nil)
	b.wait("missed runs", func() bool { return value[int](b, "SELECT count(*) FROM redrive.batch_files") >= 3 })
	if twice := value[int](b, "SELECT count(*) FROM (SELECT 1 FROM redrive.batch_runs GROUP BY scheduled_at HAVING count(*) > 1) t"); twice != 0 {
		t.Errorf("%d scheduled times ran twice", twice)
	}
	b.complete()
}

func TestRequestsOfOthers(t *testing.T) {
	b := newBed(t, nil)
	for _, tc := range []struct{ integration, date, want string }{
		{"nobody", "", "not found"}, {"points", "31.1.2026", "bad_date"}, {"points", "2026-02-30", "bad_date"},
	} {
		if _, err := b.RequestRun(context.Background(), tc.integration, tc.date, "kim", ""); err == nil || !strings.Contains(err.Error(), tc.want) {
			t.Errorf("%s %s: %v", tc.integration, tc.date, err)
		}
	}
	b.request("")
	if _, err := b.RequestRun(context.Background(), "points", "", "kim", ""); err == nil || !strings.Contains(err.Error(), "run_waiting") {
		t.Errorf("twice: %v", err)
	}
	b.request("2026-01-01")
}

func TestAScheduledTimeThatHasItsRunGetsNoOther(t *testing.T) {
	b := newBed(t, func(in *delivery.Integration) { in.Batch.Schedule = "* * * * *" })
	b.sql(pointsTable)
	b.sql("INSERT INTO points VALUES (1)")
	b.sql(`INSERT INTO redrive.batch_runs (integration, scheduled_at, trigger, state, finished_at)
		SELECT 'points', date_trunc('minute', clock_timestamp()), 'schedule', 'skipped', clock_timestamp()`)
	b.sql("INSERT INTO redrive.batch_feeds (integration, last_scheduled_at) SELECT 'points', date_trunc('minute', clock_timestamp()) - interval '1 second'")
	b.start(nil)
	b.wait("schedule", func() bool {
		return value[bool](b, "SELECT last_scheduled_at >= date_trunc('minute', clock_timestamp()) AND next_scheduled_at IS NOT NULL FROM redrive.batch_feeds")
	})
	if n := value[int](b, "SELECT count(*) FROM redrive.batch_runs WHERE scheduled_at = (SELECT min(scheduled_at) FROM redrive.batch_runs)"); n != 1 {
		t.Errorf("%d runs", n)
	}
}
