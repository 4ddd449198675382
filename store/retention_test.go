package store_test

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
	"redrive/store"
)

const days = 24 * time.Hour

// aged moves everything that is in the log to another day, as if it had been accepted then, in a partition of that day.
func (d desk) aged(ago time.Duration) (partition string) {
	d.t.Helper()
	day := time.Now().UTC().Add(-ago).Truncate(24 * time.Hour)
	first := fmt.Sprintf("%012x", day.Add(time.Hour).UnixMilli())
	shift := fmt.Sprintf("(overlay(%%s::text placing '%s-%s' from 1 for 13))::uuid", first[:8], first[8:])
	for _, column := range []string{"messages.id", "queue.message_id", "deliveries.message_id"} {
		table, name, _ := strings.Cut(column, ".")
		d.must(d.sql(fmt.Sprintf("UPDATE redrive.%s SET %s = %s", table, name, fmt.Sprintf(shift, name))))
	}
	d.must(d.sql("UPDATE redrive.messages SET created_at = $1", day.Add(time.Hour)))
	if !value[bool](d, "SELECT redrive.add_message_partition($1::date)", day) {
		d.t.Fatal("the partition was there")
	}
	return "messages_" + day.Format("20060102")
}

func (d desk) maintain(keep time.Duration) (done delivery.LogMaintenance) {
	d.t.Helper()
	d.lead(func(ctx context.Context, l *store.Leader) (err error) {
		d.must(l.OpenOutbox(ctx))
		done, err = l.MaintainLog(ctx, keep)
		return err
	})
	return done
}

func TestNothingUndeliveredIsDropped(t *testing.T) {
	d := open(t)
	for _, name := range []string{"delivered", "waiting", "dead", "ignored"} {
		d.accept(delivery.Message{Type: name, Key: name})
	}
	settle := func(name string, r delivery.Result, next delivery.State) string {
		t.Helper()
		d.must(d.sql("UPDATE redrive.queue SET due_at = CASE WHEN message_id = (SELECT id FROM redrive.messages WHERE type = $1) THEN now() ELSE now() + interval '1 hour' END", name))
		c := d.claimOne("push")
		d.complete(completion(c, r, next))
		return c.DeliveryID
	}
	delivered := settle("delivered", confirmed, delivery.StateDelivered)
	settle("dead", answered, delivery.StateDead)
	ignored := settle("ignored", answered, delivery.StateDead)
	_, err := d.Act(t.Context(), delivery.ActionRequest{ID: ignored, Action: delivery.ActionIgnore, Actor: "a", Reason: "r", Category: "other"})
	d.must(err)
	old := d.aged(40 * days)
	if done := d.maintain(50 * days); len(done.Dropped) != 0 {
		t.Fatalf("a day within the retention: %+v", done)
	}
	done := d.maintain(30 * days)
	if !slices.Equal(done.Dropped, []string{old}) || done.Moved != 3 || len(done.Busy)+len(done.Kept) != 0 {
		t.Fatalf("%+v", done)
	}
	if left := value[string](d, "SELECT string_agg(type, ' ' ORDER BY type) FROM redrive.messages"); left != "dead ignored waiting" {
		t.Errorf("left: %s", left)
	}
	detail, err := d.Delivery(t.Context(), delivered)
	if err != nil || !detail.Message.Dropped || detail.State != delivery.StateDelivered || detail.CreatedAt.IsZero() || len(detail.Timeline) != 1 {
		t.Errorf("the record of what was delivered: %+v %v", detail, err)
	}
	if m, list, err := d.Message(t.Context(), detail.MessageID); err != nil || !m.Dropped || len(list) != 1 {
		t.Errorf("its message: %+v %v", m, err)
	}
	var conflict *delivery.ConflictError
	if _, err := d.Act(t.Context(), delivery.ActionRequest{ID: delivered, Action: delivery.ActionRetry, Actor: "a"}); !errors.As(err, &conflict) {
		t.Errorf("retrying it: %v", err)
	}
	// what outlived its day is forgotten when it is delivered
	d.must(d.sql("UPDATE redrive.queue SET due_at = now()"))
	d.complete(completion(d.claimOne("push"), confirmed, delivery.StateDelivered))
	d.maintain(30 * days)
	if left := value[string](d, "SELECT string_agg(type, ' ' ORDER BY type) FROM redrive.messages"); left != "dead ignored" {
		t.Errorf("left in the end: %s", left)
	}
}

func TestAFeedThatLagsHoldsItsDay(t *testing.T) {
	d := open(t)
	d.publish("order.placed")
	old := d.aged(40 * days)
	if done := d.maintain(30 * days); done.Kept[old] == "" || len(done.Dropped) != 0 {
		t.Errorf("nobody has read it: %+v", done)
	}
	d.fanOut()
	d.complete(completion(d.claimOne("push"), confirmed, delivery.StateDelivered))
	if done := d.maintain(30 * days); !slices.Equal(done.Dropped, []string{old}) {
		t.Errorf("everybody has: %+v", done)
	}
}

func TestRowsMoveToTheirDayAndProducersNeverWaitForIt(t *testing.T) {
	d := open(t)
	for range 3 {
		d.publish("order.placed")
	}
	today := time.Now().UTC().Format("20060102")
	d.must(d.sql("ALTER TABLE redrive.messages DETACH PARTITION redrive.messages_" + today))
	d.must(d.sql("INSERT INTO redrive.messages SELECT * FROM redrive.messages_" + today + "; DROP TABLE redrive.messages_" + today))
	if n := value[int](d, "SELECT count(*) FROM redrive.messages_default"); n != 3 {
		t.Fatalf("%d rows without a day", n)
	}
	producer, err := pgx.Connect(t.Context(), d.dsn)
	d.must(err)
	defer producer.Close(context.Background())
	_, err = producer.Exec(t.Context(), "BEGIN; SELECT redrive.publish('order.placed', 'x')")
	d.must(err)
	if done := d.maintain(0); len(done.Busy) != 1 || len(done.Made) != 0 {
		t.Errorf("beside a producer's long transaction: %+v", done)
	}
	d.publish("order.placed") // does not hang
	_, err = producer.Exec(t.Context(), "COMMIT")
	d.must(err)
	if done := d.maintain(0); len(done.Made) != 1 || len(done.Busy) != 0 {
		t.Errorf("after it: %+v", done)
	}
	if n := value[int](d, "SELECT count(*) FROM redrive.messages_"+today); n != 5 {
		t.Errorf("%d rows of today", n)
	}
	d.fanOut()
	if n := strings.Count(d.got("push"), "order.placed"); n != 5 {
		t.Errorf("%d deliveries", n)
	}
}

func TestLagIsCountedByAnyProcess(t *testing.T) {
	d := open(t)
	lag := func() delivery.OutboxLag {
		t.Helper()
		list, err := d.OutboxLag(t.Context())
		d.must(err)
		if len(list) != 2 || list[0].Integration != "push" || list[1].Rows != 0 {
			t.Fatalf("%+v", list)
		}
		return list[0]
	}
	if l := lag(); l.Rows != 0 || l.Age != 0 || l.Led || l.Capped || !l.Refused.IsZero() {
		t.Errorf("at first %+v", l)
	}
	d.must(d.sql("SELECT redrive.publish('order.placed', 'x') FROM generate_series(1, 7); SELECT redrive.publish('other', 'x')"))
	d.must(d.sql("UPDATE redrive.messages SET created_at = now() - interval '1 minute' WHERE id = (SELECT id FROM redrive.messages ORDER BY id LIMIT 1)"))
	if l := lag(); l.Rows != 7 || l.Age < time.Minute || l.Capped {
		t.Errorf("nobody relays: %+v", l)
	}
	d.lead(func(ctx context.Context, l *store.Leader) error {
		d.must(l.OpenOutbox(ctx))
		feeds, err := l.OutboxFeeds(ctx, nil, 1)
		d.must(err)
		for _, f := range feeds {
			d.must(l.BeginPages(ctx, f))
		}
		_, err = l.FanOutPage(ctx, "outbox/push", 3)
		d.must(err)
		d.publish("order.placed")
		if l := lag(); l.Rows != 5 || !l.Led {
			t.Errorf("in the middle of a window: %+v", l)
		}
		return nil
	})
	d.must(d.sql("SELECT redrive.publish('order.placed', 'x') FROM generate_series(1, 10001)"))
	if l := lag(); l.Rows != 10_000 || !l.Capped {
		t.Errorf("far behind: %+v", l)
	}
	d.fanOut()
	if l := lag(); l.Rows != 0 || l.Age != 0 {
		t.Errorf("caught up: %+v", l)
	}
}
