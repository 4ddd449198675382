package store_test

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"time"

	"redrive/delivery"
	"redrive/store"
)

// capture does work as the leader of a cdc room.
func (d desk) capture(work func(l *store.Leader) error) error {
	d.t.Helper()
	return d.leading("cdc/catalogue", func(_ context.Context, l *store.Leader) error { return work(l) })
}

func captured(n int, to ...string) delivery.Captured {
	kind := delivery.KindCommand
	if len(to) == 0 {
		kind = delivery.KindEvent
	}
	return delivery.Captured{To: to, Message: delivery.Message{Kind: kind, Type: "article.insert", Key: fmt.Sprint("k", n), Payload: fmt.Appendf(nil, "%d", n),
		Origin: &delivery.Origin{Broker: delivery.OriginPostgres, Place: "public.articles", At: time.Now()}}}
}

func openCapture(t *testing.T) desk {
	t.Helper()
	d := open(t)
	catalogue, ordered := integration("catalogue"), integration("ordered")
	catalogue.Method, ordered.Ordered = delivery.MethodCDC, true
	d.must(d.SyncIntegrations(t.Context(), []delivery.Integration{catalogue, ordered, integration("push")}))
	return d
}

var start = delivery.CapturePosition{SystemIdentifier: "77/shop", Slot: "s", LSN: 0x1_0000_0010}

func TestCapturedMessagesAndPositionAreOneTransaction(t *testing.T) {
	d := openCapture(t)
	ctx := t.Context()
	at := time.Now().UTC().Truncate(time.Microsecond)
	next := delivery.CapturePosition{SystemIdentifier: "77/shop", Slot: "s", LSN: 0x1_0000_0020, CommittedAt: &at, Changes: 3,
		Snapshot: map[string]delivery.SnapshotProgress{"public.articles": {After: []string{"7"}, Rows: 7, Total: 20}}}
	d.must(d.capture(func(l *store.Leader) error {
		if _, err := l.CapturePosition(ctx, "catalogue"); err != nil {
			return err
		}
		if err := l.ResetCapture(ctx, "catalogue", start); err != nil {
			return err
		}
		broken := captured(9, "catalogue")
		broken.Error = "payload: \x00 no"
		failed := l.Capture(ctx, "catalogue", func(write func([]delivery.Captured) error) (delivery.CapturePosition, error) {
			d.must(write([]delivery.Captured{captured(1, "push")}))
			return next, errors.New("the source is gone")
		})
		if failed == nil || value[int](d, "SELECT count(*)::int FROM redrive.messages") != 0 {
			return fmt.Errorf("half a transaction was written: %v", failed)
		}
		return l.Capture(ctx, "catalogue", func(write func([]delivery.Captured) error) (delivery.CapturePosition, error) {
			d.must(write([]delivery.Captured{captured(1, "push", "catalogue"), captured(2), broken}))
			var many []delivery.Captured
			for n := range 10_000 { // more than ids of one millisecond
				many = append(many, captured(n, "ordered"))
			}
			return next, write(many)
		})
	}))
	got, err := d.CapturePosition(ctx, "catalogue")
	d.must(err)
	if got.LSN != next.LSN || !got.CommittedAt.Equal(at) || got.Changes != 3 || got.Snapshot["public.articles"].After[0] != "7" || got.SystemIdentifier != "77/shop" {
		t.Errorf("position %+v", got)
	}
	for query, want := range map[string]int{
		"SELECT count(*)::int FROM redrive.messages WHERE kind = 'event' AND integration IS NULL":                                                                                      1,
		"SELECT count(*)::int FROM redrive.queue WHERE integration = 'push' AND lane IS NULL AND due_at <= now()":                                                                      1,
		"SELECT count(*)::int FROM redrive.queue q WHERE id = redrive.delivery_id(message_id, integration) AND integration = 'catalogue'":                                              1,
		"SELECT count(*)::int FROM redrive.queue WHERE integration = 'ordered' AND lane LIKE 'k%' AND position IS NULL AND due_at = 'infinity'":                                        10_000,
		"SELECT count(*)::int FROM redrive.messages_default":                                                                                                                           0,
		"SELECT count(*)::int FROM (SELECT lag(id) OVER (ORDER BY convert_from(payload, 'UTF8')::int) >= id AS back FROM redrive.messages WHERE integration = 'ordered') m WHERE back": 0,
		"SELECT count(*)::int FROM redrive.messages WHERE created_at > clock_timestamp()":                                                                                              0,
	} {
		if got := value[int](d, query); got != want {
			t.Errorf("%s: %d, want %d", query, got, want)
		}
	}
	page, err := d.Failures(ctx, delivery.Filter{ErrorClasses: []string{delivery.ClassMapping}})
	d.must(err)
	if len(page.Items) != 1 || page.Items[0].Integration != "catalogue" || page.Items[0].Attempts != 0 || page.Items[0].Error != "payload: \uFFFD no" {
		t.Errorf("%+v", page.Items)
	}
	if c := d.claimOne("push"); c.Message.Origin.Place != "public.articles" || c.Message.Key != "k1" {
		t.Errorf("%+v", c.Message)
	}
}

func TestAPositionThatWasMovedIsNotMovedAgain(t *testing.T) {
	d := openCapture(t)
	ctx := t.Context()
	none := func(p delivery.CapturePosition) func(func([]delivery.Captured) error) (delivery.CapturePosition, error) {
		return func(write func([]delivery.Captured) error) (delivery.CapturePosition, error) {
			return p, write([]delivery.Captured{captured(1, "push")})
		}
	}
	d.must(d.capture(func(l *store.Leader) error { return l.ResetCapture(ctx, "catalogue", start) }))
	for name, moved := range map[string]delivery.CapturePosition{
		"backwards":      {SystemIdentifier: "77/shop", Slot: "s", LSN: start.LSN - 1},
		"another slot":   {SystemIdentifier: "77/shop", Slot: "other", LSN: start.LSN + 1},
		"another source": {SystemIdentifier: "78/shop", Slot: "s", LSN: start.LSN + 1},
	} {
		if err := d.capture(func(l *store.Leader) error { return l.Capture(ctx, "catalogue", none(moved)) }); err == nil {
			t.Errorf("%s: it was written", name)
		}
	}
	if n := value[int](d, "SELECT count(*)::int FROM redrive.messages"); n != 0 {
		t.Errorf("%d messages", n)
	}
}

func TestAResnapshotIsAskedForOnce(t *testing.T) {
	d := openCapture(t)
	ctx := t.Context()
	for range 2 {
		d.must(d.RequestResnapshot(ctx, "catalogue", "kim", "the slot was lost"))
	}
	if n := value[int](d, "SELECT count(*)::int FROM redrive.audit WHERE action = 'integration.resnapshot' AND actor = 'kim' AND reason = 'the slot was lost'"); n != 1 {
		t.Errorf("%d audit entries", n)
	}
	if err := d.RequestResnapshot(ctx, "nobody", "kim", "why"); !errors.Is(err, delivery.ErrNotFound) {
		t.Error(err)
	}
	var input *delivery.InputError
	if err := d.RequestResnapshot(ctx, "push", "kim", "why"); !errors.As(err, &input) || input.Code != "not_captured" {
		t.Error(err)
	}
	p, err := d.CapturePosition(ctx, "catalogue")
	d.must(err)
	if p.ResnapshotAt == nil {
		t.Error("it is not asked for")
	}
	d.must(d.capture(func(l *store.Leader) error { return l.ResetCapture(ctx, "catalogue", start) }))
	if p, err = d.CapturePosition(ctx, "catalogue"); err != nil || p.ResnapshotAt != nil || p.LSN != start.LSN {
		t.Errorf("%+v %v", p, err)
	}
}
