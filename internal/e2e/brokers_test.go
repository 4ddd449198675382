package e2e

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5"
	amqp "github.com/rabbitmq/amqp091-go"
	"github.com/redis/go-redis/v9"

	"redrive/store/storetest/patience"
	"redrive/store/storetest/services"
)

// The demo by every broker: a form publishes after its commit, the program consumes, the receiver hears of it, and what fails
// is kept.
func TestTheDemoByEveryBroker(t *testing.T) {
	rabbit := services.StartRabbitMQ(t) // its own: the demo's queue stays
	p := serve(t, onFreshDatabase(t), "REDRIVE_DEMO=1", "REDRIVE_DEMO_REDIS="+services.StartRedis(t).Addr, "REDRIVE_DEMO_RABBITMQ="+rabbit.URL,
		"REDRIVE_DEMO_KAFKA="+services.SharedKafka(t).Brokers[0])
	for name, form := range map[string]struct {
		path   string
		fields url.Values
	}{
		"parcel-notice": {"/demo/warehouse", url.Values{"parcel": {"p"}, "customer": {"c"}}},
		"view-counter":  {"/demo/reading", url.Values{"page": {"p"}}},
		"stock-display": {"/demo/stock", url.Values{"item": {"i"}}},
		"welcome-mail":  {"/demo/welcome", url.Values{"name": {"n"}}},
	} {
		await(t, name+" connected", func() bool { return name == "welcome-mail" || p.figure(name, "connected") == 1 })
		p.knobs(name, `{}`)
		before := p.received(name)
		p.submit(form.path, form.fields)
		await(t, name+" received", func() bool { return p.received(name) > before })
		p.knobs(name, `{"refuse":true}`)
		p.submit(form.path, form.fields)
		await(t, name+" kept", func() bool { return p.failed(name) > 0 })
	}
	page := p.do("GET", "/api/v1/integrations", "")
	if out := p.output(); strings.Contains(page+out, services.RabbitMQPassword) || strings.Contains(page+out, url.QueryEscape(services.RabbitMQPassword)) {
		t.Error("the broker's password shows")
	}
}

func (p *program) do(method, path, body string) string {
	p.t.Helper()
	request, err := http.NewRequestWithContext(p.t.Context(), method, p.url+path, strings.NewReader(body))
	if err != nil {
		p.t.Fatal(err)
	}
	request.Header.Set("Authorization", "Bearer "+apiToken)
	request.Header.Set("Content-Type", "application/json")
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		p.t.Fatal(err)
	}
	defer response.Body.Close()
	content, err := io.ReadAll(response.Body)
	if err != nil || response.StatusCode >= 300 {
		p.t.Fatalf("%s %s: %d %v %s", method, path, response.StatusCode, err, content)
	}
	return string(content)
}

func (p *program) json(path string, into any) {
	p.t.Helper()
	if err := json.Unmarshal([]byte(p.do("GET", path, "")), into); err != nil {
		p.t.Fatal(path, err)
	}
}

// figure is one of the figures of an integration's method.
func (p *program) figure(integration, name string) int64 {
	p.t.Helper()
	var list struct {
		Items []struct {
			Name  string
			Facts []struct {
				Name  string
				Value int64
			}
		}
	}
	p.json("/api/v1/integrations", &list)
	for _, in := range list.Items {
		for _, f := range in.Facts {
			if in.Name == integration && f.Name == name {
				return f.Value
			}
		}
	}
	return -1
}

func (p *program) received(name string) int {
	p.t.Helper()
	var state struct{ Effects int }
	p.json("/demo/receivers/"+name, &state)
	return state.Effects
}

func (p *program) failed(name string) int {
	p.t.Helper()
	var list struct{ Items []struct{ ID string } }
	p.json("/api/v1/failures?state=dead&state=ignored&integration="+name, &list)
	return len(list.Items)
}

func (p *program) knobs(name, knobs string) {
	p.t.Helper()
	p.do("PUT", "/demo/receivers/"+name+"/knobs", knobs)
}

func (p *program) submit(path string, fields url.Values) {
	p.t.Helper()
	response, err := http.PostForm(p.url+path, fields)
	if err != nil {
		p.t.Fatal(err)
	}
	defer response.Body.Close()
	if response.StatusCode != http.StatusOK {
		p.t.Fatalf("%s: %d", path, response.StatusCode)
	}
}

// Somebody else's dead letter is shown with its story, and a retry sends it back to the queue in which it died: the same bytes,
// and no more headers than before, however often it dies.
func TestForeignDeadLettersGoBackToWhereTheyDied(t *testing.T) {
	rabbit := services.StartRabbitMQ(t)
	conn, err := amqp.Dial(rabbit.URL)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	channel, err := conn.Channel()
	if err != nil {
		t.Fatal(err)
	}
	_, err = channel.QueueDeclare("orders", true, false, false, false, amqp.Table{"x-dead-letter-exchange": "", "x-dead-letter-routing-key": "orders.dlq"})
	if err == nil {
		_, err = channel.QueueDeclare("orders.dlq", true, false, false, false, nil)
	}
	if err == nil {
		err = channel.PublishWithContext(t.Context(), "", "orders", false, false, amqp.Publishing{MessageId: "m1", Type: "order.placed", Body: []byte("\x00\xff{1:"),
			Headers: amqp.Table{"shop": "17", "weight": int32(3)}})
	}
	if err != nil {
		t.Fatal(err)
	}
	consumed, err := channel.Consume("orders", "", false, true, false, false, nil)
	if err != nil {
		t.Fatal(err)
	}
	p := serve(t, onFreshDatabase(t), configFile(t, fmt.Sprintf("integrations:\n  - {name: died, method: broker, broker: {rabbitmq: {url: %q, queue: orders.dlq}, dead_letters: true}}\n", rabbit.URL)))
	var seen map[string]any
	for round := range 3 {
		m := patience.Receive(t, "the message at its queue", consumed)
		if string(m.Body) != "\x00\xff{1:" || m.MessageId != "m1" || m.Type != "order.placed" || m.Headers["shop"] != "17" || fmt.Sprint(m.Headers["weight"]) != "3" || m.Headers["x-death"] != nil {
			t.Fatalf("round %d: %q %v", round, m.Body, m)
		}
		if round == 1 {
			seen = m.Headers
		}
		if round == 2 && len(m.Headers) != len(seen) {
			t.Errorf("the headers grow: %v, then %v", seen, m.Headers)
		}
		if err := m.Reject(false); err != nil {
			t.Fatal(err)
		}
		await(t, "a dead letter", func() bool { return p.failed("died") == 1 })
		id := p.only("died")
		if page := p.do("GET", "/api/v1/deliveries/"+id, ""); !strings.Contains(page, `"foreign"`) || !strings.Contains(page, `"place":"orders"`) || !strings.Contains(page, "rejected") {
			t.Errorf("its story is not told: %s", page)
		}
		if round < 2 {
			p.do("POST", "/api/v1/failures/"+id+"/retry", `{}`)
			await(t, "sent back", func() bool { return p.failed("died") == 0 })
		}
	}
}

// only is the id of an integration's one failure.
func (p *program) only(name string) string {
	p.t.Helper()
	var list struct{ Items []struct{ ID string } }
	p.json("/api/v1/failures?state=dead&integration="+name, &list)
	if len(list.Items) != 1 {
		p.t.Fatalf("%d failures of %s", len(list.Items), name)
	}
	return list.Items[0].ID
}

// errSoldOut is what a business rule says at the end of a transaction.
var errSoldOut = errors.New("sold out")

// orders is a shop that tells its customers through a broker, and its seller through the outbox.
type orders struct {
	*testing.T
	conn   *pgx.Conn
	broker *redis.Client
}

const customers = "customers-of-the-tests"

func (o orders) tell(text string) error { return o.broker.Publish(o.Context(), customers, text).Err() }

// place writes an order and hands its message over by the outbox; inside is called before the transaction ends, with the error
// that end gives, and after once it is committed.
func (o orders) place(id int, inside func() error, end error, after func() error) {
	o.Helper()
	err := pgx.BeginFunc(o.Context(), o.conn, func(tx pgx.Tx) error {
		if _, err := tx.Exec(o.Context(), "INSERT INTO orders VALUES ($1)", id); err != nil {
			return err
		}
		if _, err := tx.Exec(o.Context(), "SELECT redrive.enqueue('push', 'order.placed', $1)", fmt.Append(nil, id)); err != nil {
			return err
		}
		return errors.Join(inside(), end)
	})
	if err == nil {
		err = after()
	}
	if !errors.Is(err, end) {
		o.Fatal(err)
	}
}

// An order is placed, its customer is told through a broker, and the transaction rolls back. Told inside the transaction, the
// customer hears of an order that does not exist; told after the commit, or through the outbox, only of those that do.
func TestPublishAfterTheCommitOnly(t *testing.T) {
	db := onFreshDatabase(t)
	receiver := newLedger(t)
	p := serve(t, db, configFile(t, failing(receiver.URL, 1)))
	o := orders{T: t, conn: connect(t, strings.TrimPrefix(db, "DATABASE_URL=")), broker: redis.NewClient(&redis.Options{Addr: services.StartRedis(t).Addr})}
	defer o.broker.Close()
	customer := o.broker.Subscribe(t.Context(), customers)
	defer customer.Close()
	if _, err := customer.Receive(t.Context()); err != nil { // subscribed
		t.Fatal(err)
	}
	if _, err := o.conn.Exec(t.Context(), "CREATE TABLE orders (id int PRIMARY KEY)"); err != nil {
		t.Fatal(err)
	}
	nothing := func() error { return nil }
	o.place(1, func() error { return o.tell("wrong: order 1") }, errSoldOut, nothing)
	o.place(2, nothing, errSoldOut, func() error { return o.tell("right: order 2") })
	o.place(3, nothing, nil, func() error { return o.tell("right: order 3") })
	var heard []string
	for len(heard) < 2 {
		ctx, cancel := context.WithTimeout(t.Context(), patience.Limit)
		message, err := customer.ReceiveMessage(ctx)
		cancel()
		if err != nil {
			t.Fatal(err)
		}
		heard = append(heard, message.Payload)
	}
	if got := strings.Join(heard, ", "); got != "wrong: order 1, right: order 3" {
		t.Errorf("the customer heard %q", got)
	}
	await(t, "the seller's push", func() bool { total, _ := receiver.requests(); return total > 0 })
	var found, messages int
	if err := o.conn.QueryRow(t.Context(), "SELECT (SELECT count(*) FROM orders), (SELECT count(*) FROM redrive.messages)").Scan(&found, &messages); err != nil {
		t.Fatal(err)
	}
	if total, _ := receiver.requests(); found != 1 || messages != 1 || total != 1 {
		t.Errorf("%d orders, %d messages in the outbox, %d requests by %s", found, messages, total, p.url)
	}
}
