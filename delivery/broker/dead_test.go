package broker

import (
	"encoding/binary"
	"encoding/json"
	"fmt"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/rabbitmq/amqp091-go"
	"github.com/twmb/franz-go/pkg/kgo"

	"redrive/delivery"
	"redrive/store/storetest"
	"redrive/store/storetest/services"
)

func deadLetters(in *delivery.Integration) {
	in.Broker.DeadLetters, in.Broker.Format = true, delivery.FormatNative
}

// dead waits for n dead letters and returns their details.
func (r *rig) dead(n int) (list []delivery.Detail) {
	r.t.Helper()
	r.eventually(fmt.Sprintf("%d dead letters", n), func() bool { return r.count("redrive.deliveries WHERE state = 'dead'") >= n })
	rows, _ := storetest.Session(r.t, r.dsn).Query(r.t.Context(), "SELECT id::text FROM redrive.deliveries WHERE state = 'dead' ORDER BY dead_at, id")
	ids, err := pgx.CollectRows(rows, pgx.RowTo[string])
	if err != nil || len(ids) != n {
		r.t.Fatalf("%d dead letters: %v", len(ids), err)
	}
	for _, id := range ids {
		d, err := r.db.Delivery(r.t.Context(), id)
		if err != nil {
			r.t.Fatal(err)
		}
		list = append(list, d)
	}
	return list
}

// A real queue with a dead-letter exchange: a consumer rejects, the entry becomes a dead letter with its story.
func TestDeadLettersOfRabbitMQ(t *testing.T) {
	r := newRig(t, bed{name: "rabbitmq", remembers: true, open: openRabbit}, deadLetters)
	channel := rabbitChannel(t, services.RabbitMQURL(t))
	origin := name(t)
	if _, err := channel.QueueDeclare(origin, true, false, false, false, amqp091.Table{"x-dead-letter-exchange": "", "x-dead-letter-routing-key": r.in.Broker.From.(*delivery.RabbitMQSource).Queue}); err != nil {
		t.Fatal(err)
	}
	reject := func(id string) {
		t.Helper()
		err := channel.PublishWithContext(t.Context(), "", origin, true, false, amqp091.Publishing{MessageId: id, Type: "order.placed", ContentType: "text/plain",
			Headers: amqp091.Table{"tenant": "north", "blob": []byte{0xff, 0}, "n": int32(7)}, Body: []byte("payload " + id)})
		if err != nil {
			t.Fatal(err)
		}
		var m amqp091.Delivery
		r.eventually("published", func() (ok bool) { m, ok, err = channel.Get(origin, false); return ok || err != nil })
		if err := channel.Reject(m.DeliveryTag, false); err != nil {
			t.Fatal(err)
		}
	}
	l := r.start()
	reject("m-1")
	got := r.dead(1)[0]
	o := got.Message.Origin
	if o == nil || o.Dead == nil || o.Broker != "rabbitmq" || o.Dead.Place != origin || o.Dead.Reason != "rejected" || o.Dead.Count != 1 || time.Since(o.Dead.At) > time.Minute {
		t.Fatalf("origin %+v dead %+v", o, o.Dead)
	}
	if got.ErrorClass != delivery.ClassForeign || got.Error != "a consumer of queue "+origin+" rejected it" || got.Message.Type != "order.placed" || string(got.Message.Payload) != "payload m-1" {
		t.Errorf("got %+v", got)
	}
	if len(got.Timeline) != 1 || got.Timeline[0].Number != 0 || got.Timeline[0].Outcome != delivery.OutcomePermanent || !got.Timeline[0].StartedAt.Equal(o.Dead.At) {
		t.Errorf("timeline %+v", got.Timeline)
	}
	if h := got.Message.Headers; h["tenant"] != "north" || h["n"] != "7" || h["Content-Type"] != "text/plain" || len(h) != 3 {
		t.Errorf("headers %v", h)
	}
	if list, _ := json.Marshal(got.Message.HeaderList()); string(list) != `[{"name":"blob","type":"bytes","value_base64":"/wA="},{"name":"n","type":"int32","value":"7","shown":"n"},{"name":"tenant","value":"north","shown":"tenant"}]` {
		t.Errorf("header list %s", list)
	}
	reject("m-1") // the same message dies once more, maybe within the same second
	r.dead(2)
	if err := l.stop(); err != nil {
		t.Fatal(err)
	}
	r.requests(0)
	r.nothingLeft()
}

// What anybody may have written into the headers of a death never costs an entry.
func TestMalformedDeathsAreKept(t *testing.T) {
	r := newRig(t, bed{name: "rabbitmq", remembers: true, open: openRabbit}, deadLetters)
	l := r.start()
	channel := rabbitChannel(t, services.RabbitMQURL(t))
	headers := []amqp091.Table{nil, {"x-death": "text"}, {"x-death": []any{}}, {"x-death": []any{int32(1)}}, {"x-death": []any{amqp091.Table{"queue": int32(1), "time": "never", "count": "many"}}},
		{"x-first-death-queue": "first", "x-first-death-reason": "expired"}, {"x-death": []any{amqp091.Table{"queue": "q\xff", "reason": "made up", "time": time.Unix(1<<40, 0), "count": int64(-1)}}}}
	for _, h := range headers {
		if err := channel.PublishWithContext(t.Context(), "", r.in.Broker.From.(*delivery.RabbitMQSource).Queue, true, false, amqp091.Publishing{Headers: h, Body: []byte("x")}); err != nil {
			t.Fatal(err)
		}
	}
	found := 0
	for _, d := range r.dead(len(headers)) {
		if len(d.Message.Headers) != 0 {
			t.Errorf("headers %v", d.Message.Headers)
		}
		if d.Message.Origin.Dead.Place == "first" && d.Error == "it expired in queue first" {
			found++
		}
	}
	if found != 1 {
		t.Errorf("the first death was read %d times", found)
	}
	if err := l.stop(); err != nil {
		t.Fatal(err)
	}
	r.nothingLeft()
}

func bigEndian[T uint32 | uint64](v T) []byte {
	raw, _ := binary.Append(nil, binary.BigEndian, v)
	return raw
}

func TestDeadLettersOfKafka(t *testing.T) {
	r := newRig(t, bed{name: "kafka", remembers: true, open: openKafka}, deadLetters,
		func(in *delivery.Integration) { in.Mask = []string{"$.code"} })
	source := r.in.Broker.From.(*delivery.KafkaSource)
	producer, err := kgo.NewClient(kgo.SeedBrokers(source.Brokers...))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(producer.Close)
	h := func(key, value string) kgo.RecordHeader { return kgo.RecordHeader{Key: key, Value: []byte(value)} }
	at := time.Now().Add(-time.Hour).Truncate(time.Millisecond)
	records := map[string][]kgo.RecordHeader{
		"spring": {h("tenant", "north"), h("kafka_dlt-original-topic", "orders"), {Key: "kafka_dlt-original-partition", Value: bigEndian(uint32(2))},
			{Key: "kafka_dlt-original-offset", Value: bigEndian(uint64(4711))}, {Key: "kafka_dlt-original-timestamp", Value: bigEndian(uint64(at.UnixMilli()))},
			h("kafka_dlt-original-consumer-group", "billing"), h("kafka_dlt-exception-fqcn", "org.springframework.kafka.listener.ListenerExecutionFailedException"),
			h("kafka_dlt-exception-cause-fqcn", "java.lang.IllegalStateException"), h("kafka_dlt-exception-message", "no stock"), h("kafka_dlt-exception-stacktrace", "at\nat\n")},
		"connect": {h("__connect.errors.topic", "orders"), h("__connect.errors.partition", "1"), h("__connect.errors.offset", "12"), h("__connect.errors.connector.name", "sink"),
			h("__connect.errors.exception.class.name", "DataException"), h("__connect.errors.exception.message", "bad field")},
		"malformed":         {{Key: "kafka_dlt-original-offset", Value: []byte{1, 2, 3}}, {Key: "kafka_dlt-original-partition"}, h("kafka_dlt-exception-message", "\xff\x00")},
		"nothing":           nil,
		`{"code":"471199"}`: {h("kafka_dlt-exception-message", "code 471199 is used up")}, // which is masked
	}
	l := r.start()
	for value, headers := range records {
		if err := producer.ProduceSync(t.Context(), &kgo.Record{Topic: source.Topic, Key: []byte("k"), Value: []byte(value), Headers: headers}).FirstErr(); err != nil {
			t.Fatal(err)
		}
	}
	for _, d := range r.dead(5) {
		dead := d.Message.Origin.Dead
		switch string(d.Message.Payload) {
		case `{"code":"471199"}`:
			if d.Error != "code "+delivery.Hidden+" is used up" || d.Timeline[0].Error != d.Error {
				t.Errorf("a masked value: %q", d.Error)
			}
		case "spring":
			if dead.Place != "orders" || *dead.Partition != 2 || *dead.Offset != 4711 || !dead.At.Equal(at) || dead.Group != "billing" ||
				dead.Reason != "java.lang.IllegalStateException" || d.Error != "java.lang.IllegalStateException: no stock" || len(d.Message.Headers) != 1 || d.Message.Key != "k" {
				t.Errorf("spring: %+v %+v", dead, d.Delivery)
			}
		case "connect":
			if dead.Place != "orders" || *dead.Partition != 1 || *dead.Offset != 12 || d.Error != "DataException: bad field" {
				t.Errorf("connect: %+v", dead)
			}
		default:
			if dead.Place != "" || dead.Partition != nil || dead.Offset != nil || d.ErrorClass != delivery.ClassForeign || len(d.Message.Headers) != 0 {
				t.Errorf("%s: %+v %v", d.Message.Payload, dead, d.Message.Headers)
			}
		}
	}
	if err := l.stop(); err != nil {
		t.Fatal(err)
	}
	r.requests(0)
	r.nothingLeft()
}
