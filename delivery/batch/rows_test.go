package batch_test

import (
	"fmt"
	"testing"

	"redrive/delivery"
)

func TestRowByRow(t *testing.T) {
	b := newBed(t, func(in *delivery.Integration) {
		in.Destination = delivery.Destination{To: &delivery.HTTPDestination{URL: "http://127.0.0.1:1/"}}
		in.Batch.Per, in.Batch.Key = delivery.PerRow, "name"
	})
	b.csv = b.in.BatchFormat()
	b.sql(pointsTable)
	b.sql("INSERT INTO points SELECT n, 'kim ' || n FROM generate_series(1, 2500) n")
	b.start(nil)
	f := b.now()
	if f.Rows != 2500 || f.DeliveryID != "" || f.Name != fmt.Sprintf("points_%s_1.jsonl", f.BusinessDate) {
		t.Errorf("the file is %+v", f)
	}
	b.content(f)
	queued := value[int](b, `SELECT count(*) FROM redrive.queue w JOIN redrive.messages m ON m.id = w.message_id
		WHERE w.id = redrive.delivery_id(m.id, 'points') AND m.type = 'batch.row' AND m.kind = 'command' AND w.due_at <= clock_timestamp()
		AND m.payload = convert_to('{"id":' || substr(m.key, 5) || ',"name":"' || m.key || '"}', 'UTF8')`)
	if all := value[int](b, "SELECT count(*) FROM redrive.messages"); queued != 2500 || all != 2500 {
		t.Errorf("%d of %d messages are rows in the queue", queued, all)
	}
}

func TestAKeyThatNoColumnGives(t *testing.T) {
	b := newBed(t, func(in *delivery.Integration) {
		in.Destination = delivery.Destination{To: &delivery.HTTPDestination{URL: "http://127.0.0.1:1/"}}
		in.Batch.Per, in.Batch.Key, in.Retry.Attempts = delivery.PerRow, "nobody", 1
	})
	b.csv = b.in.BatchFormat()
	b.sql(pointsTable)
	b.start(nil)
	if run := b.ended(b.request("")); run.State != delivery.RunFailed || run.Error.English() != `batch.key: the query answers no column "nobody"` {
		t.Errorf("%+v", run)
	}
}
