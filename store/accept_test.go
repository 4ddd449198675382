package store_test

import (
	"bytes"
	"errors"
	"slices"
	"strings"
	"sync"
	"testing"

	"redrive/delivery"
)

func TestPayloadsComeBackIdentical(t *testing.T) {
	d := open(t)
	for _, payload := range [][]byte{{}, {0}, []byte("\xff\xfe"), []byte(`{"a":1,"a":2,"n":123456789012345678901234567890}`),
		bytes.Repeat([]byte{7}, delivery.MaxPayload)} {
		a := d.accept(delivery.Message{Payload: payload})
		m, deliveries, err := d.Message(t.Context(), a.ID)
		if err != nil || !bytes.Equal(m.Payload, payload) || len(deliveries) != 1 {
			t.Errorf("%d bytes came back as %d: %v", len(payload), len(m.Payload), err)
		}
	}
}

func TestEventsGoToEverySubscriber(t *testing.T) {
	d := open(t)
	d.must(d.SyncIntegrations(t.Context(), []delivery.Integration{integration("push", "order.placed"), integration("index", "order.placed", "x"), integration("sms")}))
	a := d.accept(delivery.Message{Kind: delivery.KindEvent, Type: "order.placed"})
	if len(a.Deliveries) != 2 || a.Deliveries[0].Integration != "index" || a.Deliveries[1].Integration != "push" {
		t.Errorf("deliveries %+v", a.Deliveries)
	}
	for _, when := range []string{"before", "after"} { // the relay makes what was announced
		_, list, err := d.Message(t.Context(), a.ID)
		d.must(err)
		for i, ref := range a.Deliveries {
			detail, err := d.Delivery(t.Context(), ref.ID)
			if err != nil || detail.State != delivery.StatePending || detail.Integration != ref.Integration || len(list) != 2 || list[i].ID != ref.ID {
				t.Errorf("%s the fan-out: %+v in %+v: %v", when, detail.Delivery, list, err)
			}
		}
		d.fanOut()
	}
	again := d.accept(delivery.Message{Kind: delivery.KindEvent, Type: "order.placed", IdempotencyKey: "k"})
	if second := d.accept(delivery.Message{Kind: delivery.KindEvent, Type: "order.placed", IdempotencyKey: "k"}); !second.Duplicate || !slices.Equal(second.Deliveries, again.Deliveries) {
		t.Errorf("the same again: %+v, first %+v", second, again)
	}
	if nobody := d.accept(delivery.Message{Kind: delivery.KindEvent, Type: "unheard"}); len(nobody.Deliveries) != 0 || nobody.ID == "" {
		t.Errorf("without subscribers: %+v", nobody)
	}
}

func TestTheSameIdempotencyKeyIsOneMessage(t *testing.T) {
	d := open(t)
	var mu sync.Mutex
	first, ids := 0, map[string]bool{}
	var producers sync.WaitGroup
	for range 20 {
		producers.Go(func() {
			a, err := d.Accept(t.Context(), delivery.Message{Kind: delivery.KindCommand, Integration: "push", Type: "t", IdempotencyKey: "k"})
			mu.Lock()
			defer mu.Unlock()
			if err != nil {
				t.Error(err)
			}
			if ids[a.ID] = true; !a.Duplicate {
				first++
			}
		})
	}
	producers.Wait()
	if first != 1 || len(ids) != 1 {
		t.Errorf("%d accepted, %d ids", first, len(ids))
	}
	if other := d.accept(delivery.Message{Integration: "sms", IdempotencyKey: "k"}); other.Duplicate {
		t.Error("the key of another integration counted")
	}
	if n := value[int](d, "SELECT count(*) FROM redrive.queue"); n != 2 {
		t.Errorf("%d deliveries", n)
	}
}

func TestWrongMessagesAreRefusedWhole(t *testing.T) {
	d := open(t)
	command := func(change func(*delivery.Message)) delivery.Message {
		m := delivery.Message{Kind: delivery.KindCommand, Integration: "push", Type: "t", IdempotencyKey: "k"}
		change(&m)
		return m
	}
	for _, c := range []struct {
		want string
		m    delivery.Message
	}{
		{"unknown_integration", command(func(m *delivery.Message) { m.Integration = "nobody" })},
		{"type_missing", command(func(m *delivery.Message) { m.Type = "" })},
		{"payload_too_large", command(func(m *delivery.Message) { m.Payload = make([]byte, delivery.MaxPayload+1) })},
		{"bad_header", command(func(m *delivery.Message) { m.Headers = map[string]string{"X": "a\r\nb"} })},
		{"bad_header", command(func(m *delivery.Message) { m.Headers = map[string]string{"a b": "x"} })},
		{"field_invalid", command(func(m *delivery.Message) { m.Key = strings.Repeat("k", 1025) })},
		{"field_invalid", command(func(m *delivery.Message) { m.IdempotencyKey = "a\nb" })},
		{"invalid_text", command(func(m *delivery.Message) { m.Key = "a\x00b" })},
		{"invalid_text", command(func(m *delivery.Message) { m.Type = "\xff" })},
	} {
		_, err := d.Accept(t.Context(), c.m)
		if code := inputCode(t, err); code != c.want {
			t.Errorf("code %s, want %s", code, c.want)
		}
	}
	for _, table := range []string{"messages", "queue", "idempotency_keys"} {
		if n := value[int](d, "SELECT count(*) FROM redrive."+table); n != 0 {
			t.Errorf("%d rows left in %s", n, table)
		}
	}
	for _, id := range []string{"", "7", "00000000-0000-0000-0000-000000000000"} {
		if _, _, err := d.Message(t.Context(), id); !errors.Is(err, delivery.ErrNotFound) {
			t.Errorf("message %q: %v", id, err)
		}
	}
}

func TestProducersSpeakSQL(t *testing.T) {
	d := open(t)
	id := value[string](d, `SELECT redrive.enqueue(integration => 'push', type => 'order.placed', payload => '\x00ff'::bytea, key => 'o-1',
		headers => '{"X-Trace": "1"}', idempotency_key => 'i', deliver_after => now() + interval '1 hour', expires_at => now() + interval '2 hours')::text`)
	m, deliveries, err := d.Message(t.Context(), id)
	d.must(err)
	if string(m.Payload) != "\x00\xff" || m.Headers["X-Trace"] != "1" || m.DeliverAfter == nil || m.ExpiresAt == nil || deliveries[0].State != delivery.StatePending {
		t.Errorf("%+v %+v", m, deliveries)
	}
	if err := d.sql("BEGIN; SELECT redrive.publish('order.placed', 'x'); ROLLBACK"); err != nil {
		t.Error(err)
	}
	if n := value[int](d, "SELECT count(*) FROM redrive.messages"); n != 1 {
		t.Errorf("%d messages after a rollback", n)
	}
	for _, wrong := range []string{"SELECT redrive.enqueue('nobody', 't', 'x')", "SELECT redrive.enqueue('push', NULL, 'x')",
		"SELECT redrive.enqueue('push', 't', NULL)", `SELECT redrive.enqueue('push', 't', 'x', headers => '{"a": 1}')`,
		`SELECT redrive.enqueue('push', 't', 'x', headers => '[]')`} {
		if err := d.sql(wrong); err == nil || !strings.Contains(err.Error(), "RD00") {
			t.Errorf("%s: %v", wrong, err)
		}
	}
}

func TestWhatWaitsForARetiredIntegrationIsNotLost(t *testing.T) {
	d := open(t)
	waiting := d.accept(delivery.Message{Integration: "sms"})
	d.must(d.SyncIntegrations(t.Context(), []delivery.Integration{integration("push")}))
	detail := d.read(waiting.Deliveries[0].ID)
	if detail.State != delivery.StateDead || detail.ErrorClass != delivery.ClassNoIntegration || detail.GroupCount != 1 {
		t.Fatalf("%+v", detail.Delivery)
	}
	_, err := d.Act(t.Context(), delivery.ActionRequest{Action: delivery.ActionRetry, ID: detail.ID})
	if code := inputCode(t, err); code != "no_integration" {
		t.Errorf("retry: %s", code)
	}
	if _, err := d.Accept(t.Context(), delivery.Message{Kind: delivery.KindCommand, Integration: "sms", Type: "t"}); inputCode(t, err) != "unknown_integration" {
		t.Error(err)
	}
	d.must(d.SyncIntegrations(t.Context(), []delivery.Integration{integration("push"), integration("sms")}))
	d.act(delivery.ActionRequest{Action: delivery.ActionRetry, ID: detail.ID})
	if c := d.claimOne("sms"); c.DeliveryID != detail.ID {
		t.Errorf("claimed %s", c.DeliveryID)
	}
}
