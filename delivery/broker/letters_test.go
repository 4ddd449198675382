package broker

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/rabbitmq/amqp091-go"
	"github.com/twmb/franz-go/pkg/kgo"

	"redrive/delivery"
	"redrive/store/storetest/services"
)

// letter is an entry of a dead-letter queue or topic as its producer wrote it, and what is known of it.
type letter struct {
	Note       string
	Alike      bool   // the first of its family but for the cause: to retry it is enough
	Key, Value []byte // Kafka
	Properties struct {
		ContentType   string `json:"content_type"`
		DeliveryMode  uint8  `json:"delivery_mode"`
		CorrelationID string `json:"correlation_id"`
		MessageID     string `json:"message_id"`
		ReplyTo       string `json:"reply_to"`
		AppID         string `json:"app_id"`
		Timestamp     int64
		Type          string
	} // RabbitMQ
	Body    string          // RabbitMQ
	Headers json.RawMessage // Kafka: pairs; RabbitMQ: an object
	Own     []string        // names of the headers that it had before it died, in order
	Died    delivery.DeadOrigin
	Cause   string // the error has it
}

type letters struct {
	Families []struct {
		Family, Version, How string
		Letters              []letter
	}
}

func readLetters(t *testing.T, path string) (all letters) {
	t.Helper()
	raw, err := os.ReadFile(path)
	if err == nil {
		err = json.Unmarshal(raw, &all)
	}
	if err != nil || len(all.Families) == 0 {
		t.Fatalf("%s: %v", path, err)
	}
	return all
}

// traced is a stack trace that is not empty.
var traced = regexp.MustCompile(`tack[tT]race"\s*[:,]\s*"[^"]`)

// told compares what a dead letter says of its death with what its family wrote.
func (l letter) told(t *testing.T, what, family string, got delivery.Detail) {
	t.Helper()
	dead := got.Message.Origin.Dead
	want := l.Died
	want.Family, want.Error, want.Missing, want.Fetched = family, dead.Error, dead.Missing, dead.Fetched
	if want.At.IsZero() {
		want.At = dead.At
	}
	if a, b := asJSON(*dead), asJSON(want); a != b {
		t.Errorf("%s: it died\n%s, want\n%s", what, a, b)
	}
	if !strings.Contains(got.Error, l.Cause) || got.ErrorClass != delivery.ClassForeign || l.Died.Reason != "unknown" && !strings.Contains(got.Error, l.Died.Reason) {
		t.Errorf("%s: the error is %q, want %q by %q", what, got.Error, l.Cause, l.Died.Reason)
	}
	if trace := string(got.Timeline[0].Response); traced.Match(l.Headers) {
		if !strings.Contains(trace, "\n") || !strings.Contains(trace, "at ") {
			t.Errorf("%s: the stack trace is %q", what, trace)
		}
	}
}

func asJSON(v any) string {
	raw, _ := json.Marshal(v)
	return string(raw)
}

// ways are what a person may do with a dead letter. Where nothing is sent, to is empty.
var ways = []struct {
	name, to string
	act      func(*desk, delivery.Detail) error
}{{"retry", "home", (*desk).retry}, {"edit", "home", (*desk).edit}, {"redirect", "elsewhere", (*desk).redirect}, {"ignore", "", (*desk).ignore}}

// homes are the topics in which the letters died.
var homes = []string{"blocked", "retried", "bound", "connected", "streamed", "shared", "milled"}

// Every family on Kafka, by everything that a person may do: what arrives is what died, without a mark of its death.
func TestLettersOfKafkaGoBackAsTheyWere(t *testing.T) {
	dead := name(t)
	l := newLog(t, dead, append(homes, "elsewhere")...)
	for _, family := range readLetters(t, "testdata/letters/kafka.json").Families {
		for n, letter := range family.Letters {
			for _, way := range ways {
				what := fmt.Sprintf("%s, letter %d by %s", family.Family, n, way.name)
				died := letter.record(t)
				l.produce(&kgo.Record{Topic: dead, Key: died.Key, Value: died.Value, Headers: died.Headers})
				got := l.dead()
				letter.told(t, what, family.Family, got)
				if err := way.act(l.desk, got); err != nil {
					t.Fatalf("%s: %v", what, err)
				}
				if way.to == "" {
					continue
				}
				l.delivered(got.ID)
				want := kgo.Record{Topic: letter.Died.Place, Key: died.Key, Value: died.Value, Headers: letter.own(died.Headers)}
				switch way.name {
				case "edit":
					want.Value = []byte(corrected)
				case "redirect":
					want.Topic = "elsewhere"
				}
				back := l.next()
				sameRecord(t, what, want, back)
				if at := letter.Died.At; !at.IsZero() && way.to == "home" && !back.Timestamp.Equal(at) {
					t.Errorf("%s: its time is %s, was %s", what, back.Timestamp, at)
				}
				if want.Key == nil && way.to == "home" && letter.Died.Partition != nil && back.Partition != *letter.Died.Partition {
					t.Errorf("%s: partition %d, want %d", what, back.Partition, *letter.Died.Partition)
				}
			}
		}
	}
}

// logs are topics of Kafka: that of the dead letters, and where they go.
type logs struct {
	*desk
	client *kgo.Client
	inbox  []*kgo.Record
}

// newLog makes the topics, which no other test uses at the same time.
func newLog(t *testing.T, dead string, others ...string) *logs {
	t.Helper()
	k := services.SharedKafka(t)
	for _, topic := range append(others, dead) {
		k.CreateTopic(t, topic, partitions)
	}
	server := delivery.KafkaServer{Brokers: k.Brokers}
	to := func(topic string) delivery.Destination {
		return delivery.Destination{To: &delivery.KafkaDestination{KafkaServer: server, Topic: topic, Timeout: time.Minute}}
	}
	from := &delivery.KafkaSource{KafkaServer: server, Topic: dead, Group: dead, KeepTime: true}
	l := &logs{desk: newDesk(t, delivery.BrokerSource{From: from}, delivery.Destination{To: from.WayBack()}, to("elsewhere"))}
	var err error
	l.client, err = kgo.NewClient(kgo.SeedBrokers(k.Brokers...), kgo.ConsumeTopics(others...), kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(l.client.Close)
	return l
}

func (l *logs) produce(r *kgo.Record) {
	l.t.Helper()
	if err := l.client.ProduceSync(l.t.Context(), r).FirstErr(); err != nil {
		l.t.Fatal(err)
	}
}

// next waits for the next record that was sent back or elsewhere.
func (l *logs) next() *kgo.Record {
	l.t.Helper()
	l.eventually("a record", func() bool {
		if len(l.inbox) == 0 {
			ctx, cancel := context.WithTimeout(l.t.Context(), time.Second) // and looks again
			defer cancel()
			l.inbox = append(l.inbox, l.client.PollFetches(ctx).Records()...)
		}
		return len(l.inbox) > 0
	})
	r := l.inbox[0]
	l.inbox = l.inbox[1:]
	return r
}

func (l letter) record(t *testing.T) *kgo.Record {
	t.Helper()
	r := &kgo.Record{Key: l.Key, Value: l.Value}
	var pairs [][2]json.RawMessage
	if err := json.Unmarshal(l.Headers, &pairs); err != nil {
		t.Fatal(err)
	}
	for _, pair := range pairs {
		var h kgo.RecordHeader
		if err := json.Unmarshal(pair[0], &h.Key); err != nil {
			t.Fatal(err)
		}
		if err := json.Unmarshal(pair[1], &h.Value); err != nil {
			t.Fatal(err)
		}
		r.Headers = append(r.Headers, h)
	}
	return r
}

func (l letter) own(headers []kgo.RecordHeader) (own []kgo.RecordHeader) {
	for _, h := range headers {
		if slices.Contains(l.Own, h.Key) {
			own = append(own, h)
		}
	}
	return own
}

// addedToRecords are the headers that a record has more; see docs/sources.md.
var addedToRecords = []string{"redrive-id", "redrive-type", "redrive-attempt", "redrive-integration", "idempotency-key"}

// sameRecord compares all that a record has but its place, and what we add behind.
func sameRecord(t *testing.T, what string, want kgo.Record, got *kgo.Record) {
	t.Helper()
	theirs := slices.Clone(got.Headers)
	for len(theirs) > len(want.Headers) && slices.Contains(addedToRecords, theirs[len(theirs)-1].Key) {
		theirs = theirs[:len(theirs)-1]
	}
	if a, b := exactly(got.Topic, got.Key, got.Value, theirs), exactly(want.Topic, want.Key, want.Value, want.Headers); a != b {
		t.Errorf("%s: came back as\n%s, was\n%s", what, a, b)
	}
}

// exactly tells null from empty.
func exactly(topic string, key, value []byte, headers []kgo.RecordHeader) string {
	text := fmt.Sprintf("%s %#v %#v", topic, key, value)
	for _, h := range headers {
		text += fmt.Sprintf("\n  %q %#v", h.Key, h.Value)
	}
	return text
}

// Every family on RabbitMQ in the same way; classic and quorum queues write their own.
func TestLettersOfRabbitMQGoBackAsTheyWere(t *testing.T) {
	p := newPostbox(t)
	for _, family := range readLetters(t, "testdata/letters/rabbitmq.json").Families {
		for n, letter := range family.Letters {
			for _, way := range ways {
				if letter.Alike && way.name != "retry" {
					continue
				}
				what := fmt.Sprintf("%s, letter %d by %s", family.Family, n, way.name)
				fallen, want := letter.message(t)
				here := letter
				here.Died = p.home(fallen.Headers, letter.Died)
				p.publish(p.died.Broker.From.(*delivery.RabbitMQSource).Queue, fallen)
				got := p.dead()
				here.told(t, what, family.Family, got)
				p.done(what, way.name, want, got, way.act)
			}
		}
	}
	p.nothing()
}

func TestTheQueueOfAMassTransitEndpoint(t *testing.T) {
	for _, c := range []struct{ address, from, want string }{
		{"rabbitmq://localhost/shop/order%2Dplaced?durable=true", "dead", "order-placed"},
		{"rabbitmq://localhost/order-placed", "other_error", "order-placed"},
		{"", "order-placed_error", "order-placed"},
		{"", "order-placed_skipped", "order-placed"},
		{"no address", "order-placed_error", "order-placed"},
		{"rabbitmq://localhost/", "order-placed_error", "order-placed"},
		{"", "dead", ""}, // or it came back to where it was taken from, again and again
	} {
		if got := massTransitQueue(c.address, c.from); got != c.want {
			t.Errorf("%q from %s: %q, want %q", c.address, c.from, got, c.want)
		}
	}
}

// done acts on a dead letter and compares what arrives.
func (p *postbox) done(what, way string, want amqp091.Delivery, got delivery.Detail, act func(*desk, delivery.Detail) error) {
	p.t.Helper()
	if err := act(p.desk, got); err != nil {
		p.t.Fatalf("%s: %v", what, err)
	}
	if way == "ignore" {
		return
	}
	queue := p.origin
	if way == "redirect" {
		queue = p.another
	}
	back := p.back(queue, got.ID)
	delete(want.Headers, "x-delivery-count") // the queue's, while the message is in it
	delete(back.Headers, "x-delivery-count")
	p.same(what, want, back)
	body := string(want.Body)
	if way == "edit" {
		body = corrected
	}
	if string(back.Body) != body {
		p.t.Errorf("%s: the payload is %q", what, back.Body)
	}
	if err := back.Ack(false); err != nil {
		p.t.Fatal(err)
	}
}

// home writes the queue of this test, which no other has, into the mark that names the place, and returns where it died then.
func (p *postbox) home(headers amqp091.Table, died delivery.DeadOrigin) delivery.DeadOrigin {
	if died.Exchange != "" {
		headers["x-original-exchange"] = p.exchange(died.Place)
		died.Exchange = headers["x-original-exchange"].(string)
		return died
	}
	for _, mark := range []string{"x-original-routingKey", "MT-Fault-InputAddress", "NServiceBus.FailedQ", "topic_poisoned"} {
		if text, ok := headers[mark].(string); ok {
			headers[mark] = strings.ReplaceAll(strings.ReplaceAll(text, "%2D", "-"), died.Place, p.origin)
		}
	}
	died.Place = p.origin
	return died
}

// exchange is one that brings what has the routing key to the queue that messages go back to.
func (p *postbox) exchange(key string) string {
	p.t.Helper()
	exchange := p.origin + "-exchange"
	err := p.channel.ExchangeDeclare(exchange, "topic", false, true, false, false, nil)
	if err == nil {
		err = p.channel.QueueBind(p.origin, key, exchange, false, nil)
	}
	if err != nil {
		p.t.Fatal(err)
	}
	return exchange
}

func (p *postbox) publish(queue string, m amqp091.Publishing) {
	p.t.Helper()
	if err := p.channel.PublishWithContext(p.t.Context(), "", queue, true, false, m); err != nil {
		p.t.Fatal(err)
	}
}

// nothing fails where a message is left: what was ignored was sent nowhere.
func (p *postbox) nothing() {
	p.t.Helper()
	for _, queue := range []string{p.origin, p.another} {
		if m, ok, err := p.channel.Get(queue, true); err != nil || ok {
			p.t.Errorf("%s has %q %v", queue, m.Body, err)
		}
	}
}

// message is the letter, and what it was before it died.
func (l letter) message(t *testing.T) (fallen amqp091.Publishing, was amqp091.Delivery) {
	t.Helper()
	var headers amqp091.Table
	if err := json.Unmarshal(l.Headers, &headers); err != nil {
		t.Fatal(err)
	}
	for name, value := range headers {
		if n, ok := value.(float64); ok {
			headers[name] = int32(n) // as .NET writes it
		}
	}
	own := amqp091.Table{}
	for _, name := range l.Own {
		own[name] = headers[name]
	}
	m := l.Properties
	fallen = amqp091.Publishing{ContentType: m.ContentType, DeliveryMode: m.DeliveryMode, CorrelationId: m.CorrelationID, MessageId: m.MessageID, ReplyTo: m.ReplyTo, AppId: m.AppID,
		Type: m.Type, Headers: headers, Body: []byte(l.Body)}
	if m.Timestamp != 0 {
		fallen.Timestamp = time.Unix(m.Timestamp, 0)
	}
	was = amqp091.Delivery{ContentType: m.ContentType, DeliveryMode: m.DeliveryMode, CorrelationId: m.CorrelationID, MessageId: m.MessageID, ReplyTo: m.ReplyTo, AppId: m.AppID,
		Type: m.Type, Timestamp: fallen.Timestamp, Headers: own, Body: fallen.Body}
	return fallen, was
}

// What classic and quorum queues write of a death, by everything that a person may do.
func TestLettersOfQueuesGoBackAsTheyWere(t *testing.T) {
	p := newPostbox(t)
	quorum := name(t)
	dead := p.died.Broker.From.(*delivery.RabbitMQSource).Queue
	_, err := p.channel.QueueDeclare(quorum, true, false, false, false, amqp091.Table{"x-queue-type": "quorum", "x-delivery-limit": int32(1), "x-dead-letter-exchange": "", "x-dead-letter-routing-key": dead})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _, _ = p.channel.QueueDelete(quorum, false, false, false) })
	classic := p.origin
	for queue, reason := range map[string]string{classic: "rejected", quorum: "delivery_limit"} {
		p.origin = queue
		for _, way := range ways {
			what := reason + " by " + way.name
			p.publish(queue, amqp091.Publishing{MessageId: "m-1", Priority: 3, Headers: amqp091.Table{"tenant": "north", "none": nil, "blob": []byte{0xff, 0}}, Body: []byte("x")})
			saw := p.get(queue)
			for n := 0; reason == "delivery_limit" && n < 1; n++ {
				if err := saw.Nack(false, true); err != nil {
					t.Fatal(err)
				}
				again := p.get(queue)
				saw.Acknowledger, saw.DeliveryTag = again.Acknowledger, again.DeliveryTag
			}
			if err := saw.Nack(false, reason == "delivery_limit"); err != nil {
				t.Fatal(err)
			}
			got := p.dead()
			if d := got.Message.Origin.Dead; d.Family != "RabbitMQ" || d.Place != queue || d.Reason != reason || d.Count != 1 {
				t.Errorf("%s: it died %s", what, asJSON(d))
			}
			p.done(what, way.name, saw, got, way.act)
		}
	}
}
