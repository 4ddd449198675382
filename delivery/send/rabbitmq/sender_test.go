package rabbitsend

import (
	"context"
	"encoding/base64"
	"fmt"
	"log/slog"
	"net/url"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/rabbitmq/amqp091-go"

	"redrive/delivery"
	"redrive/delivery/send/sendtest"
	"redrive/delivery/wire"
	"redrive/store/storetest/patience"
	"redrive/store/storetest/services"
)

func TestMain(m *testing.M) { services.Main(m) }

var (
	names   atomic.Int64
	discard = slog.New(slog.DiscardHandler)
)

func name() string { return fmt.Sprintf("test.%d.%d", time.Now().UnixNano(), names.Add(1)) }

// channel is a test's own way to the broker.
func channel(t testing.TB, address string) *amqp091.Channel {
	t.Helper()
	conn, err := amqp091.Dial(address)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close() })
	ch, err := conn.Channel()
	if err != nil {
		t.Fatal(err)
	}
	return ch
}

// queue declares one that goes away after the test.
func queue(t testing.TB, address string, args amqp091.Table) string {
	t.Helper()
	q := name()
	if _, err := channel(t, address).QueueDeclare(q, true, false, false, false, args); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if conn, err := amqp091.Dial(address); err == nil { // a broker that the test ended has none
			defer conn.Close()
			if ch, err := conn.Channel(); err == nil {
				_, _ = ch.QueueDelete(q, false, false, false)
			}
		}
	})
	return q
}

// fastTimeout is for attempts that are to run into it: what is sent leaves the program long before.
const fastTimeout = 3 * time.Second

func newSender(t testing.TB, d delivery.RabbitMQDestination, log *slog.Logger) *Sender {
	t.Helper()
	if d.Timeout == 0 {
		d.Timeout = time.Minute // for what is to succeed, however slow the machine is
	}
	s, err := New(d, wire.Dialer{Log: log})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = s.Close() })
	return s
}

func to(address, exchange, key string) delivery.RabbitMQDestination {
	return delivery.RabbitMQDestination{RabbitMQServer: delivery.RabbitMQServer{URL: address}, Exchange: exchange, RoutingKey: key}
}

// take consumes n messages, or what comes within a generous time.
func take(t testing.TB, address, q string, n int) (got []amqp091.Delivery) {
	t.Helper()
	ch := channel(t, address)
	deliveries, err := ch.Consume(q, "", true, false, false, false, nil)
	if err != nil {
		t.Fatal(err)
	}
	late := time.After(patience.Limit)
	for len(got) < n {
		select {
		case d, ok := <-deliveries:
			if !ok {
				return got
			}
			got = append(got, d)
		case <-late:
			return got
		}
	}
	_ = ch.Close()
	return got
}

// rest is everything that is in the queue.
func rest(t testing.TB, address, q string) map[string]int {
	t.Helper()
	ch := channel(t, address)
	found := map[string]int{}
	for {
		d, ok, err := ch.Get(q, true)
		if err != nil {
			t.Fatal(err)
		}
		if !ok {
			return found
		}
		found[string(d.Body)]++
	}
}

func expect(t testing.TB, got delivery.Result, outcome delivery.Outcome, class string) {
	t.Helper()
	if got.Outcome != outcome || got.ErrorClass != class || (class == "") != (got.Error == "") {
		t.Errorf("got %s %q %q, want %s %q", got.Outcome, got.ErrorClass, got.Error, outcome, class)
	}
}

func text(v any) string {
	if v == nil {
		return ""
	}
	return fmt.Sprint(v)
}

func TestConformance(t *testing.T) {
	address := services.RabbitMQURL(t)
	u, err := url.Parse(address)
	if err != nil {
		t.Fatal("the broker's address is none")
	}
	password, _ := u.User.Password()
	bed := func(format delivery.WireFormat, read func(*testing.T, amqp091.Delivery) sendtest.Arrived) sendtest.Bed {
		open := func(t *testing.T, address string, q string, log *slog.Logger) *Sender {
			d := to(address, "", q)
			d.Format = format
			return newSender(t, d, log)
		}
		return sendtest.Bed{
			To: delivery.Destination{To: &delivery.RabbitMQDestination{}},
			Open: func(t *testing.T, log *slog.Logger) sendtest.Place {
				q := queue(t, address, nil)
				d := to(address, "", q)
				d.Format = format
				return sendtest.Place{Sender: newSender(t, d, log), Arrived: func(n int) (arrived []sendtest.Arrived) {
					for _, d := range take(t, address, q, n) {
						arrived = append(arrived, read(t, d))
					}
					return arrived
				}}
			},
			Carries: sendtest.Facts{ID: true, Type: true, Key: true, Attempt: true, IdempotencyKey: true, Headers: true},
			Transient: sendtest.Fault{Class: delivery.ClassConnect, Make: func(t *testing.T, log *slog.Logger) delivery.Sender {
				proxy, away := services.StartRabbitMQProxy(t, address)
				proxy.Cut()
				return open(t, away, "q", log)
			}},
			Permanent: sendtest.Fault{Class: delivery.ClassUnroutable, Make: func(t *testing.T, log *slog.Logger) delivery.Sender {
				return open(t, address, name(), log)
			}},
			Unknown: sendtest.Fault{Class: delivery.ClassTimeout, Make: func(t *testing.T, log *slog.Logger) delivery.Sender {
				proxy, broken := services.StartRabbitMQProxy(t, address)
				s := open(t, broken, queue(t, address, nil), log)
				expect(t, s.Send(t.Context(), sendtest.Request("0", "before")), delivery.OutcomeOK, "")
				proxy.LoseAnswers()
				s.to.Timeout = fastTimeout
				return s
			}},
			Oversized: sendtest.Fault{Class: delivery.ClassTooLarge, Make: func(t *testing.T, log *slog.Logger) delivery.Sender {
				return open(t, address, queue(t, address, nil), log)
			}, Alter: func(r *delivery.Request) { r.Message.Headers["large"] = strings.Repeat("x", 200_000) }},
			BadHeader: sendtest.Fault{Class: delivery.ClassBadRequest, Make: func(t *testing.T, log *slog.Logger) delivery.Sender {
				return open(t, address, queue(t, address, nil), log)
			}, Alter: func(r *delivery.Request) { r.Message.Headers[strings.Repeat("n", 256)] = "x" }},
			Secrets: []string{password, u.User.String()},
		}
	}
	t.Run("native", func(t *testing.T) {
		sendtest.Run(t, bed(delivery.FormatNative, func(_ *testing.T, d amqp091.Delivery) sendtest.Arrived {
			return sendtest.Arrived{Payload: d.Body, ID: d.MessageId, Type: d.Type, Key: text(d.Headers["redrive-key"]), Attempt: text(d.Headers["redrive-attempt"]),
				IdempotencyKey: text(d.Headers["idempotency-key"]), Header: func(name string) string { return text(d.Headers[name]) }}
		}))
	})
	t.Run("cloudevents", func(t *testing.T) {
		b := bed(delivery.FormatCloudEvents, readEvent)
		b.BadHeader.Alter = func(r *delivery.Request) { r.Message.Headers["tenant"] = "north\r\nsouth" }
		sendtest.Run(t, b)
	})
}

// readEvent reads the binary mode of the CloudEvents AMQP binding.
func readEvent(t *testing.T, d amqp091.Delivery) sendtest.Arrived {
	attribute := func(name string) string { return text(d.Headers["cloudEvents:"+name]) }
	if attribute("specversion") != "1.0" || attribute("source") != "redrive/seller-push" || attribute("datacontenttype") != "" || d.ContentType == "" {
		t.Errorf("no valid CloudEvent: %v", d.Headers)
	}
	if _, err := time.Parse(time.RFC3339Nano, attribute("time")); err != nil {
		t.Error(err)
	}
	return sendtest.Arrived{Payload: d.Body, ID: attribute("id"), Type: attribute("type"), Key: attribute("subject"), Attempt: attribute("redriveattempt"),
		IdempotencyKey: attribute("idempotencykey"), Header: attribute}
}

func TestTheMessage(t *testing.T) {
	address := services.RabbitMQURL(t)
	q := queue(t, address, nil)
	s := newSender(t, to(address, "", q), discard)
	r := sendtest.Request("1", `{"a": 1}`)
	r.Message.Headers = map[string]string{"Content-Type": "application/vnd.shop+json", "a": "line\nbreak \x00", "CC": "elsewhere", "Redrive-Attempt": "forged", "Idempotency-Key": "forged",
		"x-death": "old", "x-first-death-queue": "old", "X-Last-Death-Reason": "old", "x-deathly": "old too"}
	expect(t, s.Send(t.Context(), r), delivery.OutcomeOK, "")
	got := take(t, address, q, 1)[0]
	if got.DeliveryMode != amqp091.Persistent || got.ContentType != "application/vnd.shop+json" || got.MessageId != r.Message.ID || got.Type != "order.placed" ||
		!got.Timestamp.Equal(r.Message.CreatedAt.Truncate(time.Second)) {
		t.Errorf("properties %+v", got)
	}
	want := amqp091.Table{"a": "line\nbreak \x00", "idempotency-key": "idem-1", "redrive-delivery": r.DeliveryID, "redrive-attempt": "3",
		"redrive-integration": "seller-push", "redrive-key": "order-1"}
	if fmt.Sprint(got.Headers) != fmt.Sprint(want) {
		t.Errorf("headers %v, want %v", got.Headers, want)
	}
}

// TestADeadLetterGoesBackToItsQueue: what a foreign dead-letter queue brought goes to the queue in which it died, round after
// round, and its headers do not grow.
func TestADeadLetterGoesBackToItsQueue(t *testing.T) {
	address := services.RabbitMQURL(t)
	dead := queue(t, address, nil)
	home := queue(t, address, amqp091.Table{"x-dead-letter-exchange": "", "x-dead-letter-routing-key": dead})
	s := newSender(t, to(address, "", ""), discard)
	r := sendtest.Request("1", "\x00again")
	r.Message.Headers = map[string]string{"tenant": "north", "Correlation-Id": "c-7", "Reply-To": "answers"}
	r.Message.Origin = &delivery.Origin{Broker: "rabbitmq", Place: dead, Raw: map[string]string{"binary": base64.StdEncoding.EncodeToString([]byte("\x00\xff")),
		"table": base64.StdEncoding.EncodeToString([]byte(`{"a":[1,2.5,"x",null,true]}`))},
		Dead: &delivery.DeadOrigin{Place: home}}
	sizes := map[int]bool{}
	for round := range 3 {
		expect(t, s.Send(t.Context(), r), delivery.OutcomeOK, "")
		ch := channel(t, address)
		d, ok, err := ch.Get(home, false)
		if err != nil || !ok {
			t.Fatalf("round %d: it is not in the queue in which it died: %v", round, err)
		}
		if string(d.Body) != "\x00again" || string(d.Headers["binary"].([]byte)) != "\x00\xff" || d.Headers["tenant"] != "north" {
			t.Errorf("round %d: %q with %v", round, d.Body, d.Headers)
		}
		if got := fmt.Sprint(d.Headers["table"]); got != "map[a:[1 2.5 x <nil> true]]" {
			t.Errorf("the table came back as %s", got)
		}
		if round == 0 && (d.CorrelationId != "c-7" || d.ReplyTo != "answers" || d.Headers["Reply-To"] != nil) {
			t.Errorf("correlation id %q, reply to %q", d.CorrelationId, d.ReplyTo)
		}
		sizes[len(d.Headers)] = true
		if err := d.Nack(false, false); err != nil { // it dies again
			t.Fatal(err)
		}
		fallen := take(t, address, dead, 1)[0]
		r.Message.Headers = map[string]string{} // as a consumer of the dead-letter queue would hand it over
		for name, value := range fallen.Headers {
			if text, ok := value.(string); ok {
				r.Message.Headers[name] = text
			}
		}
	}
	if len(sizes) != 1 {
		t.Errorf("the number of headers changes: %v", sizes)
	}
	r.Message.Origin.Dead.Place = name()
	expect(t, s.Send(t.Context(), r), delivery.OutcomePermanent, delivery.ClassUnroutable)
	r.Message.Origin = nil
	expect(t, s.Send(t.Context(), r), delivery.OutcomePermanent, delivery.ClassBadRequest)
}

func TestRefusedByTheQueue(t *testing.T) {
	address := services.RabbitMQURL(t)
	q := queue(t, address, amqp091.Table{"x-max-length": int32(2), "x-overflow": "reject-publish"})
	s := newSender(t, to(address, "", q), discard)
	for n := range 2 {
		expect(t, s.Send(t.Context(), sendtest.Request(fmt.Sprint(n), "x")), delivery.OutcomeOK, "")
	}
	expect(t, s.Send(t.Context(), sendtest.Request("3", "x")), delivery.OutcomeTransient, delivery.ClassRefused)
	take(t, address, q, 1)
	expect(t, s.Send(t.Context(), sendtest.Request("4", "x")), delivery.OutcomeOK, "")
}

// TestNoExchange: the broker closes the channel on each message, and none is blamed for another.
func TestNoExchange(t *testing.T) {
	address := services.RabbitMQURL(t)
	exchange := name()
	s := newSender(t, to(address, exchange, "k"), discard)
	results := inParallel(40, func(n int) delivery.Result { return s.Send(t.Context(), sendtest.Request(fmt.Sprint(n), "x")) })
	for _, got := range results {
		expect(t, got, delivery.OutcomePermanent, delivery.ClassUnroutable)
		if want := "404 NOT_FOUND - no exchange '" + exchange + "' in vhost '/'"; got.Words != want {
			t.Fatalf("the broker says %q, want %q", got.Words, want)
		}
	}
	ch := channel(t, address)
	if err := ch.ExchangeDeclare(exchange, "fanout", false, true, false, false, nil); err != nil {
		t.Fatal(err)
	}
	q := queue(t, address, nil)
	if err := ch.QueueBind(q, "", exchange, false, nil); err != nil {
		t.Fatal(err)
	}
	for _, got := range inParallel(40, func(n int) delivery.Result {
		return s.Send(t.Context(), sendtest.Request(fmt.Sprint(n), fmt.Sprint(n)))
	}) {
		expect(t, got, delivery.OutcomeOK, "")
	}
	if found := rest(t, address, q); len(found) != 40 {
		t.Errorf("%d of 40 messages are in the queue", len(found))
	}
}

// TestReturnsAreToldApart: routable and unroutable messages under way at once on one channel.
func TestReturnsAreToldApart(t *testing.T) {
	address := services.RabbitMQURL(t)
	home := queue(t, address, nil)
	s := newSender(t, to(address, "", ""), discard)
	for n, got := range inParallel(3000, func(n int) delivery.Result {
		r := sendtest.Request(fmt.Sprint(n), fmt.Sprint(n))
		r.Message.Origin = &delivery.Origin{Broker: "rabbitmq", Dead: &delivery.DeadOrigin{Place: home}}
		if n%3 == 0 {
			r.Message.Origin.Dead.Place = "nowhere"
		}
		return s.Send(t.Context(), r)
	}) {
		if n%3 == 0 {
			if expect(t, got, delivery.OutcomePermanent, delivery.ClassUnroutable); got.Words != "312 NO_ROUTE" {
				t.Fatalf("the broker says %q", got.Words)
			}
		} else {
			expect(t, got, delivery.OutcomeOK, "")
		}
	}
	if found := rest(t, address, home); len(found) != 2000 {
		t.Errorf("%d of 2000 messages are in the queue", len(found))
	}
}

// TestALoginThatIsRefused is told in the broker's words, which are told from others' and name nobody.
func TestALoginThatIsRefused(t *testing.T) {
	address, err := url.Parse(services.RabbitMQURL(t))
	if err != nil {
		t.Fatal(err)
	}
	groups := map[string]bool{}
	for user, want := range map[string]string{"somebody": "403 ACCESS_REFUSED - Login was refused", address.User.Username(): "530 NOT_ALLOWED - vhost nowhere not found"} {
		other := *address
		if other.Path = "/nowhere"; user == "somebody" {
			other.Path, other.User = "/", url.UserPassword(user, "passw0rd")
		}
		got := newSender(t, to(other.String(), "", "q"), discard).Send(t.Context(), sendtest.Request("1", "x"))
		expect(t, got, delivery.OutcomePermanent, delivery.ClassRefused)
		if !strings.HasPrefix(got.Words, want) || strings.Contains(got.Words, "'"+user+"'") || strings.Contains(got.Words, "passw0rd") {
			t.Errorf("%s: %q", user, got.Words)
		}
		id, _ := delivery.Fingerprint("push", got.ErrorClass, got.Conceal(nil, delivery.Masking{}).Error)
		groups[id] = true
	}
	if len(groups) != 2 {
		t.Error("two reasons are one group")
	}
}

func inParallel(n int, send func(int) delivery.Result) []delivery.Result {
	results := make([]delivery.Result, n)
	done := make(chan struct{})
	for i := range n {
		go func() {
			results[i] = send(i)
			done <- struct{}{}
		}()
	}
	for range n {
		<-done
	}
	return results
}

func TestSettingsAreChecked(t *testing.T) {
	const secret = "hunter2"
	for _, d := range []delivery.RabbitMQDestination{to("", "", "q"), to("http://user:"+secret+"@host/", "", "q"), to("amqp://user:"+secret+"@ho st/", "", "q"),
		to("amqp://user:"+secret+"@host:port/", "", "q"), to("amqp://user:"+secret+"%zz@host/", "", "q"), to("amqp://host/", strings.Repeat("x", 256), "q"),
		{RabbitMQServer: delivery.RabbitMQServer{URL: "amqp://host/", TLS: &delivery.TLS{}}, RoutingKey: "q"},
		{RabbitMQServer: delivery.RabbitMQServer{URL: "amqps://host/", TLS: &delivery.TLS{CA: "/no/such/file"}}, RoutingKey: "q"}} {
		_, err := New(d, wire.Dialer{})
		if err == nil || strings.Contains(err.Error(), secret) {
			t.Errorf("%s: %v", d.Exchange, err)
		}
	}
}

func TestWhatIsNotReached(t *testing.T) {
	for host, want := range map[string]delivery.Result{"169.254.169.254": {Outcome: delivery.OutcomePermanent, ErrorClass: delivery.ClassBlockedAddress},
		"nowhere.invalid": {Outcome: delivery.OutcomeTransient, ErrorClass: delivery.ClassDNS}} {
		s := newSender(t, to("amqp://u:p@"+host+"/", "", "q"), discard)
		expect(t, s.Send(t.Context(), sendtest.Request("1", "x")), want.Outcome, want.ErrorClass)
	}
	plain, err := url.Parse(services.RabbitMQURL(t))
	if err != nil {
		t.Fatal("the broker's address is none")
	}
	plain.Scheme = "amqps" // to a port that speaks no TLS
	if plain.Port() == "" {
		plain.Host += ":5672"
	}
	expect(t, newSender(t, to(plain.String(), "", "q"), discard).Send(t.Context(), sendtest.Request("1", "x")), delivery.OutcomeTransient, delivery.ClassTLS)
	plain.Scheme, plain.User = "amqp", url.UserPassword("nobody", "hunter2")
	began := time.Now()
	expect(t, newSender(t, to(plain.String(), "", "q"), discard).Send(t.Context(), sendtest.Request("1", "x")), delivery.OutcomePermanent, delivery.ClassRefused)
	if took := time.Since(began); took > patience.Prompt {
		t.Errorf("a wrong login took %v to be noticed", took)
	}
	plain, _ = url.Parse(services.RabbitMQURL(t))
	plain.Path = "/no-such-host"
	expect(t, newSender(t, to(plain.String(), "", "q"), discard).Send(t.Context(), sendtest.Request("1", "x")), delivery.OutcomePermanent, delivery.ClassRefused)
}

func BenchmarkSend(b *testing.B) {
	address := services.RabbitMQURL(b)
	q := queue(b, address, nil)
	d := to(address, "", q)
	s, err := New(d, wire.Dialer{Log: discard})
	if err != nil {
		b.Fatal(err)
	}
	defer s.Close()
	b.SetParallelism(32)
	r := sendtest.Request("1", strings.Repeat("x", 500))
	b.ResetTimer()
	b.RunParallel(func(pb *testing.PB) {
		for pb.Next() {
			if got := s.Send(context.Background(), r); got.Outcome != delivery.OutcomeOK {
				b.Fatal(got)
			}
		}
	})
}
