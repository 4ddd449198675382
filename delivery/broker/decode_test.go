package broker

import (
	"context"
	"errors"
	"log/slog"
	"strings"
	"testing"
	"time"

	"github.com/rabbitmq/amqp091-go"
	"github.com/twmb/franz-go/pkg/kgo"

	"redrive/delivery"
	"redrive/delivery/wire"
	"redrive/store/storetest/services"
)

func TestNativeMessagesOfRabbitMQ(t *testing.T) {
	d := &rabbitDriver{source: delivery.RabbitMQSource{Queue: "orders"}, format: delivery.FormatNative}
	at := time.Date(2026, 5, 4, 3, 2, 1, 0, time.UTC)
	full := amqp091.Delivery{MessageId: "m-1", AppId: "shop", Type: "order.placed", ContentType: "application/json", CorrelationId: "c-1", Timestamp: at, Exchange: "shop", RoutingKey: "orders.eu",
		Headers: amqp091.Table{"tenant": "north", "n": int64(7), "yes": true, "idempotency-key": "idem", "redrive-key": "order-1", "nested": amqp091.Table{"a": int32(1)}, "blob": []byte{0xff},
			"a name": "x", "lines": "a\nb", "cloudEvents:id": "half an event"}, Body: []byte(`{"a": 1}`)}
	got := d.decode(&full)
	m, o := got.message, got.message.Origin
	if m.Type != "order.placed" || m.Key != "order-1" || m.IdempotencyKey != "idem" || string(m.Payload) != `{"a": 1}` || got.identity != "message orders shop m-1" {
		t.Errorf("got %+v", got)
	}
	want := map[string]string{"tenant": "north", "n": "7", "yes": "true", "Content-Type": "application/json", "Correlation-Id": "c-1"}
	if len(m.Headers) != len(want) {
		t.Errorf("headers %v", m.Headers)
	}
	for name, value := range want {
		if m.Headers[name] != value {
			t.Errorf("%s: %q", name, m.Headers[name])
		}
	}
	if o.Place != "orders" || o.Exchange != "shop" || o.Routing != "orders.eu" || !o.At.Equal(at) || len(o.Raw) != 0 || len(o.Headers) != 10 || len(o.Properties) != 6 {
		t.Errorf("origin %+v", o)
	}
	if empty := d.decode(&amqp091.Delivery{}); empty.message.Payload == nil || empty.message.Origin.Properties == nil {
		t.Errorf("RabbitMQ knows no null: %+v", empty.message)
	}
	bare := d.decode(&amqp091.Delivery{Timestamp: time.Unix(1<<50, 0)})
	if bare.identity != "" || bare.message.Type != "orders" || bare.problem != "" || bare.message.Origin.At.Year() > 9999 {
		t.Errorf("got %+v", bare)
	}
}

func TestNativeRecordsOfKafka(t *testing.T) {
	d := &kafkaDriver{source: delivery.KafkaSource{Topic: "orders"}, format: delivery.FormatNative}
	at := time.UnixMilli(1_790_000_000_000)
	r := kgo.Record{Topic: "orders", Partition: 3, Offset: 9, Timestamp: at, Key: []byte{0xff, 0}, Headers: []kgo.RecordHeader{{Key: "redrive-type", Value: []byte("order.placed")}}}
	got := d.decode(&r)
	if got.identity != "record orders/3/9@1790000000000" || got.message.Key != "base64:/wA=" || got.message.Type != "order.placed" || *got.message.Origin.Offset != 9 || got.message.Payload != nil {
		t.Errorf("got %+v", got)
	}
	r.Value = []byte{}
	if got := d.decode(&r); got.message.Payload == nil {
		t.Error("an empty record became a tombstone")
	}
	r.Key, r.Headers = []byte(strings.Repeat("k", 5000)), []kgo.RecordHeader{
		{Key: "ce_specversion", Value: []byte("1.0")}, {Key: "ce_id", Value: []byte("1")}, {Key: "ce_source", Value: []byte("/s")}, {Key: "ce_type", Value: []byte("placed")}}
	got = d.decode(&r) // an event in binary mode is recognised in any format
	if got.identity != "event /s 1" || got.message.IdempotencyKey != "/s 1" || got.message.Headers["ce-id"] != "1" || len(got.message.Key) > delivery.MaxKey {
		t.Errorf("got %+v", got)
	}
}

func TestEvents(t *testing.T) {
	const head = `"specversion":"1.0","id":"1","source":"/s","type":"t"`
	for payload, want := range map[string]struct {
		data, problem string
		null          bool
	}{
		`{` + head + `,"data":{"b": 2, "a":1}}`:                       {data: `{"b": 2, "a":1}`},
		`{` + head + `,"data":"text","datacontenttype":"text/plain"}`: {data: "text"},
		`{` + head + `,"data":"text"}`:                                {data: `"text"`},
		`{` + head + `,"data_base64":"/wA="}`:                         {data: "\xff\x00"},
		`{` + head + `}`:                                              {null: true},
		`{` + head + `,"data":null}`:                                  {data: "null"},
		`{` + head + `,"data_base64":""}`:                             {},
		`{` + head + `,"data":1,"data_base64":""}`:                    {problem: "both given"},
		`{` + head + `,"data_base64":"?"}`:                            {problem: "no Base64"},
		`{` + head + `,"Bad_Name":1}`:                                 {problem: "no attribute name"},
		`{` + head + `,"nested":{}}`:                                  {problem: "neither text"},
		`{"specversion":"0.3","id":"1","source":"/s","type":"t"}`:     {problem: "version 1.0"},
		`{"specversion":"1.0","id":"1","source":"/s"}`:                {problem: "type is missing"},
		`[]`: {problem: "not a JSON object"}, ``: {problem: "not a JSON object"}, `null`: {problem: "not a JSON object"},
	} {
		e := newEnvelope([]byte(payload), "")
		e.origin.Place = "place"
		got := e.read(delivery.FormatCloudEvents)
		switch {
		case want.problem == "" && (got.problem != "" || string(got.message.Payload) != want.data || (got.message.Payload == nil) != want.null || got.message.Type != "t"):
			t.Errorf("%s: %+v", payload, got)
		case want.problem != "" && (!strings.Contains(got.problem, want.problem) || string(got.message.Payload) != payload || got.message.Type != "place"):
			t.Errorf("%s: %+v", payload, got)
		}
	}
}

func TestIdsAreStable(t *testing.T) {
	message, of := ids("seller-push", "record orders/1/2@3")
	if message == of || len(message) != 36 || message[14] != '5' {
		t.Errorf("%s %s", message, of)
	}
	again, _ := ids("seller-push", "record orders/1/2@3")
	other, _ := ids("seller-mail", "record orders/1/2@3")
	random, _ := ids("seller-push", "")
	another, _ := ids("seller-push", "")
	if again != message || other == message || random == another {
		t.Error("ids are not what they should be")
	}
}

// An ordered queue belongs to one consumer; a second one stands by and takes over.
func TestOrderedQueueHasOneConsumer(t *testing.T) {
	r := newRig(t, bed{name: "rabbitmq", remembers: true, open: openRabbit}, func(in *delivery.Integration) { in.Ordered = true })
	first := r.start()
	standby, err := New(Config{Integration: r.in, Store: r.db, Attempter: r.engine, Dialer: wire.Dialer{Log: r.log}, Log: r.log})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- standby.Run(ctx, ctx) }()
	r.eventually("standing by", func() bool { return standby.Facts(t.Context()).Status == delivery.SourceReconnecting })
	r.place.publish(t, notes(5)...)
	r.ledger.arrived(t, 5)
	if err := first.stop(); err != nil {
		t.Fatal(err)
	}
	r.place.publish(t, notes(10)[5:]...)
	r.ledger.arrived(t, 10)
	cancel()
	if err := <-done; err != nil {
		t.Fatal(err)
	}
	r.invariants(10)
	r.nothingLeft()
}

// Logins are refused by all brokers; no password shows in log or facts.
func TestPasswordsDoNotShow(t *testing.T) {
	const password = "s3cr3t-of-the-broker"
	rabbit := strings.Replace(services.RabbitMQURL(t), "amqp://", "amqp://nobody:"+password+"@", 1)
	if _, rest, found := strings.Cut(services.RabbitMQURL(t), "@"); found {
		rabbit = "amqp://nobody:" + password + "@" + rest
	}
	for name, source := range map[string]delivery.BrokerSource{
		"redis":    {From: &delivery.RedisSource{RedisServer: delivery.RedisServer{Addr: services.RedisAddr(t), Username: "nobody", Password: password}, Channel: "c"}},
		"rabbitmq": {From: &delivery.RabbitMQSource{RabbitMQServer: delivery.RabbitMQServer{URL: rabbit}, Queue: "q"}},
		"kafka":    {From: &delivery.KafkaSource{KafkaServer: delivery.KafkaServer{Brokers: []string{"127.0.0.1:1"}, SASL: &delivery.SASL{Mechanism: "plain", Username: "nobody", Password: password}}, Topic: "t", Group: "g"}},
	} {
		t.Run(name, func(t *testing.T) {
			var text strings.Builder
			log := slog.New(slog.NewTextHandler(&text, &slog.HandlerOptions{Level: slog.LevelDebug}))
			in := delivery.Integration{Name: "x", Broker: &source}
			c, err := New(Config{Integration: in, Store: awayStore{}, Attempter: open{}, Dialer: wire.Dialer{Log: log}, Log: log})
			if err != nil {
				t.Fatal(err)
			}
			ctx, cancel := context.WithCancel(t.Context())
			done := make(chan error, 1)
			go func() { done <- c.Run(ctx, ctx) }()
			r := rig{t: t}
			r.eventually("refused", func() bool { return c.Facts(t.Context()).Status == delivery.SourceReconnecting })
			why := c.Facts(t.Context()).Why.English()
			cancel()
			if err := <-done; err != nil {
				t.Fatal(err)
			}
			if why == "" || strings.Contains(why+text.String(), password) {
				t.Errorf("%s\n%s", why, text.String())
			}
		})
	}
}

type open struct{}

func (open) Try(context.Context, delivery.Request) (delivery.Tried, time.Duration, bool) {
	return delivery.Tried{}, 0, false
}
func (open) Admits(string) (time.Duration, bool) { return 0, true }

type awayStore struct{ Store }

func (awayStore) PruneInbox(context.Context, string, time.Duration) (int, error) {
	return 0, errors.New("away")
}

func (awayStore) SourceGaps(context.Context, string) (delivery.SourceGaps, error) {
	return delivery.SourceGaps{}, errors.New("away")
}

func (awayStore) Unlisten(context.Context, delivery.Listening) error { return errors.New("away") }
