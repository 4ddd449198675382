package broker

import (
	"fmt"
	"maps"
	"math/rand/v2"
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/rabbitmq/amqp091-go"

	"redrive/delivery"
	rabbitsend "redrive/delivery/send/rabbitmq"
	"redrive/delivery/wire"
	"redrive/delivery/wire/amqptest"
	"redrive/store/storetest/services"
)

// postbox is a queue whose rejected messages come to the desk, the desk, and another queue to redirect to.
type postbox struct {
	*desk
	address         string
	channel         *amqp091.Channel
	origin, another string
}

func newPostbox(t *testing.T) *postbox {
	t.Helper()
	address := services.RabbitMQURL(t)
	p := &postbox{address: address, channel: rabbitChannel(t, address), origin: name(t), another: name(t)}
	dead := p.origin + "_error" // as MassTransit names it
	for queue, args := range map[string]amqp091.Table{dead: nil, p.another: nil, p.origin: {"x-dead-letter-exchange": dead}} {
		if _, err := p.channel.QueueDeclare(queue, true, false, false, false, args); err != nil {
			t.Fatal(err)
		}
	}
	if err := p.channel.ExchangeDeclare(dead, "fanout", false, true, false, false, nil); err != nil { // without a routing key of its own RabbitMQ leaves CC in the message
		t.Fatal(err)
	}
	if err := p.channel.QueueBind(dead, "", dead, false, nil); err != nil {
		t.Fatal(err)
	}
	to := func(key string) delivery.Destination {
		return delivery.Destination{To: &delivery.RabbitMQDestination{RabbitMQServer: delivery.RabbitMQServer{URL: address}, RoutingKey: key, Timeout: time.Minute}}
	}
	source := delivery.BrokerSource{From: &delivery.RabbitMQSource{RabbitMQServer: delivery.RabbitMQServer{URL: address}, Queue: dead}, DeadLetters: true, Prefetch: 32}
	p.desk = newDesk(t, source, to(""), to(p.another))
	return p
}

// get waits for the next message of a queue.
func (p *postbox) get(queue string) (m amqp091.Delivery) {
	p.t.Helper()
	p.eventually("a message in "+queue, func() (ok bool) {
		var err error
		if m, ok, err = p.channel.Get(queue, false); err != nil {
			p.t.Fatal(err)
		}
		return ok
	})
	return m
}

// back waits for what was sent again, unless that failed.
func (p *postbox) back(queue, id string) amqp091.Delivery {
	p.t.Helper()
	p.delivered(id)
	return p.get(queue)
}

// die publishes a message, rejects it, and returns what a consumer saw of it and the dead letter.
func (p *postbox) die(message amqp091.Publishing) (saw amqp091.Delivery, dead delivery.Detail) {
	p.t.Helper()
	if err := p.channel.PublishWithContext(p.t.Context(), "", p.origin, true, false, message); err != nil {
		p.t.Fatal(err)
	}
	saw = p.get(p.origin)
	if err := saw.Reject(false); err != nil {
		p.t.Fatal(err)
	}
	return saw, p.dead()
}

// ours are the headers that the desk adds; see docs/sources.md.
func ours(name string) bool {
	return slices.Contains([]string{"header idempotency-key", "header redrive-delivery", "header redrive-attempt", "header redrive-integration", "header redrive-key"}, name)
}

// same compares every property and every header.
func (p *postbox) same(what string, saw, back amqp091.Delivery) {
	p.t.Helper()
	want, got := amqptest.Properties(saw), amqptest.Properties(back)
	for name := range maps.Clone(got) {
		if _, had := want[name]; !had && ours(name) {
			delete(got, name)
		}
	}
	for name := range want {
		if want[name] != got[name] {
			p.t.Errorf("%s: %s was %q and is %q", what, name, want[name], got[name])
		}
		delete(got, name)
	}
	for name, value := range got {
		p.t.Errorf("%s: %s is new: %q", what, name, value)
	}
}

// user is who the tests sign in as.
func (p *postbox) user() string {
	u, err := url.Parse(p.address)
	if err != nil {
		p.t.Fatal("the broker's address is none")
	}
	return u.User.Username()
}

// Every property and type of RabbitMQ by every way on which a message goes back to RabbitMQ.
func TestWhatGoesBackToRabbitMQIsWhatDied(t *testing.T) {
	p := newPostbox(t)
	seed := rand.IntN(1 << 30)
	t.Logf("seed %d", seed)
	messages := []amqp091.Publishing{
		{Priority: 7, AppId: "shop", Timestamp: time.Unix(1_790_000_000, 0), Expiration: "3600000", UserId: p.user(), DeliveryMode: amqp091.Transient, Body: []byte("{}"),
			Headers: amqp091.Table{"yes": true, "none": nil, "price": amqp091.Decimal{Scale: 2, Value: 1234}, "text": "two\nlines", "": "no name"}},
		{ContentType: "text/plain", Body: []byte("an event"), Headers: amqp091.Table{"cloudEvents:specversion": "1.0", "cloudEvents:id": "1 2%", "cloudEvents:source": "/s",
			"cloudEvents_type": "order.placed", "cloudEvents:n": int32(3), "Idempotency-Key": "grün", "redrive-type": "other", "redrive-attempt-of": int64(2)}},
		{}, // nothing at all
	}
	for n := range 12 {
		messages = append(messages, amqptest.Publishing(p.user()).Example(seed+n))
	}
	for n, message := range messages {
		for _, way := range []struct {
			name, queue string
			send        func(delivery.Detail) error
		}{{"retry", p.origin, p.retry}, {"edit", p.origin, p.edit}, {"redirect", p.another, p.redirect}} {
			what := fmt.Sprintf("message %d by %s", n, way.name)
			saw, dead := p.die(message)
			if err := way.send(dead); err != nil {
				t.Fatalf("%s: %v", what, err)
			}
			back := p.back(way.queue, dead.ID)
			p.same(what, saw, back)
			if way.name != "edit" && string(back.Body) != string(saw.Body) || way.name == "edit" && string(back.Body) != corrected {
				t.Errorf("%s: the payload is %q", what, back.Body)
			}
			if err := back.Ack(false); err != nil {
				t.Fatal(err)
			}
		}
	}
}

// What an edit changes of the headers is changed, and nothing else.
func TestAnEditChangesThatHeaderAlone(t *testing.T) {
	p := newPostbox(t)
	saw, dead := p.die(amqp091.Publishing{ContentType: "text/plain", ReplyTo: "answers", Priority: 3, Body: []byte("x"),
		Headers: amqp091.Table{"n": int32(7), "gone": true, "kept": amqp091.Decimal{Scale: 1, Value: 5}, "deep": amqp091.Table{"a": []any{int8(1), nil}}}})
	headers := maps.Clone(dead.Message.Headers)
	delete(headers, "gone")
	delete(headers, "Reply-To")
	headers["n"], headers["content-type"], headers["Correlation-Id"], headers["new"] = "8", "text/csv", "c-1", "1"
	delete(headers, "Content-Type")
	if _, err := p.db.Edit(t.Context(), delivery.EditRequest{ID: dead.ID, Version: dead.Version, Actor: "tester", Reason: "wrong", Headers: headers}); err != nil {
		t.Fatal(err)
	}
	want := saw
	want.ContentType, want.CorrelationId, want.ReplyTo = "text/csv", "c-1", ""
	want.Headers = maps.Clone(saw.Headers)
	want.Headers["n"], want.Headers["new"] = "8", "1"
	delete(want.Headers, "gone")
	p.same("edited", want, p.get(p.origin))
}

// What may not go back stays behind, and is said.
func TestWhatIsLeftBehindOnTheWayBack(t *testing.T) {
	p := newPostbox(t)
	_, dead := p.die(amqp091.Publishing{Body: []byte("x"), Headers: amqp091.Table{"CC": []any{p.another}, "cc": "mine", "x-note": "kept"}})
	if err := p.channel.PublishWithContext(t.Context(), "", p.another, true, false, amqp091.Publishing{Body: []byte("mark")}); err != nil {
		t.Fatal(err)
	}
	if copied := p.get(p.another); string(copied.Body) != "x" { // by CC, when it was published
		t.Fatalf("got %q", copied.Body)
	}
	if got := delivery.Losses(dead.Message, p.died.Destination); !slices.Equal(got, []delivery.Loss{{What: delivery.LossRouting, Name: "CC"}}) {
		t.Errorf("losses %v", got)
	}
	if err := p.retry(dead); err != nil {
		t.Fatal(err)
	}
	back := p.get(p.origin)
	if back.Headers["CC"] != nil || back.Headers["cc"] != "mine" || back.Headers["x-note"] != "kept" || back.Headers["x-death"] != nil {
		t.Errorf("headers %v", back.Headers)
	}
	if m := p.get(p.another); string(m.Body) != "mark" {
		t.Errorf("the retry went to another queue too: %q", m.Body)
	}
}

// A name that the broker would refuse travels beside the message.
func TestTheNameOfAnotherUser(t *testing.T) {
	m := delivery.Message{ID: "m", Payload: []byte("x"), Origin: &delivery.Origin{Broker: "rabbitmq", Properties: []delivery.Field{{Name: "user_id", Value: []byte("somebody")}}}}
	address := services.RabbitMQURL(t)
	queue := name(t)
	channel := rabbitChannel(t, address)
	if _, err := channel.QueueDeclare(queue, false, true, false, false, nil); err != nil {
		t.Fatal(err)
	}
	to := delivery.RabbitMQDestination{RabbitMQServer: delivery.RabbitMQServer{URL: address}, RoutingKey: queue, Timeout: time.Minute}
	sender, err := rabbitsend.New(to, wire.Dialer{})
	if err != nil {
		t.Fatal(err)
	}
	defer sender.Close()
	if got := sender.Send(t.Context(), delivery.Request{DeliveryID: "d", IdempotencyKey: "d", Message: m}); got.Outcome != delivery.OutcomeOK {
		t.Fatalf("got %+v", got)
	}
	back, ok, err := channel.Get(queue, true)
	if err != nil || !ok || back.UserId != "" || back.Headers["redrive-user-id"] != "somebody" {
		t.Errorf("got %+v %v", back, err)
	}
	losses := fmt.Sprint(delivery.Losses(m, delivery.Destination{To: &to}))
	if !strings.Contains(losses, "user_id") {
		t.Errorf("losses %s", losses)
	}
}
