package redissend

import (
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	cloudevents "github.com/cloudevents/sdk-go/v2/event"
	"github.com/redis/go-redis/v9"

	"redrive/delivery"
	"redrive/delivery/send/sendtest"
	"redrive/delivery/wire"
	"redrive/store/storetest/patience"
	"redrive/store/storetest/services"
)

func TestMain(m *testing.M) { services.Main(m) }

const secret = "p@ss:w/ord-of-redis"

var names atomic.Int64

// admin is a client that may do everything.
func admin(t *testing.T, addr string) *redis.Client {
	t.Helper()
	client := redis.NewClient(&redis.Options{Addr: addr, DisableIdentity: true})
	t.Cleanup(func() { _ = client.Close() })
	return client
}

// login makes a user with the secret as password and the given rules.
func login(t *testing.T, addr string, rules ...any) delivery.RedisServer {
	t.Helper()
	name := fmt.Sprintf("user-%d-%d", time.Now().UnixNano(), names.Add(1))
	client := admin(t, addr)
	if err := client.Do(t.Context(), append([]any{"ACL", "SETUSER", name, "on", ">" + secret}, rules...)...).Err(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { client.Do(context.Background(), "ACL", "DELUSER", name) })
	return delivery.RedisServer{Addr: addr, Username: name, Password: secret}
}

var everything = []any{"&*", "+publish"} // no more than a sender needs

func channel() string { return fmt.Sprintf("test.%d.%d", time.Now().UnixNano(), names.Add(1)) }

func newSender(t *testing.T, d delivery.RedisDestination, log *slog.Logger) *Sender {
	t.Helper()
	if d.Channel == "" {
		d.Channel = channel()
	}
	if d.Timeout == 0 {
		d.Timeout = 10 * time.Second
	}
	s, err := New(d, wire.Dialer{Log: log})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = s.Close() })
	return s
}

// listen returns what a subscriber of the channel gets: n messages, or what comes within a generous time.
func listen(t *testing.T, addr, channel string) func(n int) []string {
	t.Helper()
	subscription := admin(t, addr).Subscribe(t.Context(), channel)
	t.Cleanup(func() { _ = subscription.Close() })
	if _, err := subscription.Receive(t.Context()); err != nil {
		t.Fatal(err)
	}
	messages := subscription.Channel(redis.WithChannelSize(4096))
	return func(n int) (got []string) {
		late := time.After(patience.Limit)
		for len(got) < n {
			select {
			case m := <-messages:
				got = append(got, m.Payload)
			case <-late:
				return got
			}
		}
		return got
	}
}

func expect(t *testing.T, got delivery.Result, outcome delivery.Outcome, class string) {
	t.Helper()
	if got.Outcome != outcome || got.ErrorClass != class || (class == "") != (got.Error == "") {
		t.Errorf("got %s %q %q, want %s %q", got.Outcome, got.ErrorClass, got.Error, outcome, class)
	}
}

func TestConformance(t *testing.T) {
	addr := services.RedisAddr(t)
	bed := func(format delivery.WireFormat, read func(*testing.T, string) sendtest.Arrived) sendtest.Bed {
		return sendtest.Bed{
			To: delivery.Destination{To: &delivery.RedisDestination{}},
			Open: func(t *testing.T, log *slog.Logger) sendtest.Place {
				d := delivery.RedisDestination{RedisServer: login(t, addr, everything...), Channel: channel(), RequireSubscribers: 1, Format: format}
				heard := listen(t, addr, d.Channel)
				return sendtest.Place{Sender: newSender(t, d, log), Arrived: func(n int) (arrived []sendtest.Arrived) {
					for _, text := range heard(n) {
						arrived = append(arrived, read(t, text))
					}
					return arrived
				}}
			},
			Transient: sendtest.Fault{Class: delivery.ClassConnect, Make: func(t *testing.T, log *slog.Logger) delivery.Sender {
				proxy := services.StartProxy(t, addr)
				proxy.Cut()
				return newSender(t, delivery.RedisDestination{RedisServer: delivery.RedisServer{Addr: proxy.Addr, Password: secret}, Format: format}, log)
			}},
			Permanent: sendtest.Fault{Class: delivery.ClassRefused, Make: func(t *testing.T, log *slog.Logger) delivery.Sender {
				return newSender(t, delivery.RedisDestination{RedisServer: login(t, addr, "&*", "-publish"), Format: format}, log)
			}},
			Unknown: sendtest.Fault{Class: delivery.ClassTimeout, Make: func(t *testing.T, log *slog.Logger) delivery.Sender {
				proxy := services.StartProxy(t, addr)
				server := login(t, addr, everything...)
				server.Addr = proxy.Addr
				s := newSender(t, delivery.RedisDestination{RedisServer: server, Format: format, Timeout: time.Second}, log)
				expect(t, s.Send(t.Context(), sendtest.Request("0", "before")), delivery.OutcomeOK, "")
				proxy.LoseAnswers()
				return s
			}},
			Oversized: sendtest.Fault{Class: delivery.ClassTooLarge, Make: func(t *testing.T, log *slog.Logger) delivery.Sender {
				small := services.StartRedis(t, "--proto-max-bulk-len", "1mb")
				return newSender(t, delivery.RedisDestination{RedisServer: delivery.RedisServer{Addr: small.Addr}, Format: format}, log)
			}, Alter: func(r *delivery.Request) { r.Message.Payload = make([]byte, 2<<20) }},
			Secrets: []string{secret},
		}
	}
	t.Run("native", func(t *testing.T) {
		b := bed(delivery.FormatNative, func(_ *testing.T, text string) sendtest.Arrived { return sendtest.Arrived{Payload: []byte(text)} })
		b.Carries.Else = "Redis pub/sub has nothing but the payload; format cloudevents carries the rest"
		b.BadHeader.None = "headers do not travel in the native format"
		sendtest.Run(t, b)
	})
	t.Run("cloudevents", func(t *testing.T) {
		b := bed(delivery.FormatCloudEvents, readEvent)
		b.KnowsNull = true
		b.Carries = sendtest.Facts{ID: true, Type: true, Key: true, Attempt: true, IdempotencyKey: true, Headers: true}
		b.BadHeader = sendtest.Fault{Class: delivery.ClassBadRequest, Make: func(t *testing.T, log *slog.Logger) delivery.Sender {
			return newSender(t, delivery.RedisDestination{RedisServer: login(t, addr, everything...), Format: delivery.FormatCloudEvents}, log)
		}, Alter: func(r *delivery.Request) { r.Message.Headers["tenant"] = "north\r\nsouth" }}
		sendtest.Run(t, b)
	})
}

// readEvent reads with the CloudEvents project's own library.
func readEvent(t *testing.T, text string) sendtest.Arrived {
	var e cloudevents.Event
	if err := json.Unmarshal([]byte(text), &e); err != nil {
		t.Error(err)
		return sendtest.Arrived{}
	}
	if err := e.Validate(); err != nil {
		t.Errorf("no valid CloudEvent: %v", err)
	}
	if e.Source() != "redrive/seller-push" || e.Extensions()["partitionkey"] != e.Subject() || e.Time().IsZero() {
		t.Errorf("source %s, partition key %v, subject %s, time %s", e.Source(), e.Extensions()["partitionkey"], e.Subject(), e.Time())
	}
	return sendtest.Arrived{Payload: e.Data(), ID: e.ID(), Type: e.Type(), Key: e.Subject(), Attempt: fmt.Sprint(e.Extensions()["redriveattempt"]),
		IdempotencyKey: fmt.Sprint(e.Extensions()["idempotencykey"]), Header: func(name string) string { return fmt.Sprint(e.Extensions()[name]) }}
}

func TestListenersAreCounted(t *testing.T) {
	addr := services.RedisAddr(t)
	d := delivery.RedisDestination{RedisServer: delivery.RedisServer{Addr: addr}, Channel: channel(), RequireSubscribers: 2}
	s := newSender(t, d, slog.New(slog.DiscardHandler))
	for listeners := range 4 {
		got := s.Send(t.Context(), sendtest.Request("1", "x"))
		if listeners < 2 {
			expect(t, got, delivery.OutcomeTransient, delivery.ClassNoSubscribers)
			if want := fmt.Sprintf("%d subscribers received it, 2 are required", listeners); got.Error != want {
				t.Errorf("%q, want %q", got.Error, want)
			}
		} else {
			expect(t, got, delivery.OutcomeOK, "")
		}
		listen(t, addr, d.Channel)
	}
	d.Channel, d.RequireSubscribers = channel(), 0
	expect(t, newSender(t, d, slog.New(slog.DiscardHandler)).Send(t.Context(), sendtest.Request("1", "x")), delivery.OutcomeOK, "")
}

func TestRefusals(t *testing.T) {
	addr := services.RedisAddr(t)
	discard := slog.New(slog.DiscardHandler)
	wrong := login(t, addr, everything...)
	wrong.Password = "another"
	locked := services.StartRedis(t, "--requirepass", secret)
	groups := map[string]string{}
	for want, server := range map[string]delivery.RedisServer{"WRONGPASS ": wrong, "NOAUTH ": {Addr: locked.Addr}, "NOPERM ": login(t, addr, "+publish", "&other.*"), "NOPERM": login(t, addr, "&*", "-publish")} {
		got := newSender(t, delivery.RedisDestination{RedisServer: server, Channel: "orders"}, discard).Send(t.Context(), sendtest.Request("1", "x"))
		expect(t, got, delivery.OutcomePermanent, delivery.ClassRefused)
		if !strings.HasPrefix(got.Words, want) || server.Username != "" && strings.Contains(got.Words, server.Username) {
			t.Errorf("Redis says %q, want %s", got.Words, want)
		}
		id, text := delivery.Fingerprint("push", got.ErrorClass, got.Conceal(nil, delivery.Masking{}).Error)
		if groups[id] != "" {
			t.Errorf("one group: %q, %q", groups[id], text)
		}
		groups[id] = text
	}
}

func TestAnswersOfATroubledServer(t *testing.T) {
	for text, want := range map[string]struct {
		outcome delivery.Outcome
		class   string
	}{
		"LOADING Redis is loading the dataset in memory":                     {delivery.OutcomeTransient, delivery.ClassRefused},
		"MASTERDOWN Link with MASTER is down":                                {delivery.OutcomeTransient, delivery.ClassRefused},
		"OOM command not allowed when used memory > 'maxmemory'.":            {delivery.OutcomeTransient, delivery.ClassRefused},
		"ERR max number of clients reached":                                  {delivery.OutcomeTransient, delivery.ClassRefused},
		"BUSY Redis is busy running a script by user:secret":                 {delivery.OutcomeTransient, delivery.ClassRefused},
		"NOPERM User secret has no permissions to run the 'publish' command": {delivery.OutcomePermanent, delivery.ClassRefused},
		"WRONGPASS invalid username-password pair or user is disabled.":      {delivery.OutcomePermanent, delivery.ClassRefused},
		"ERR Protocol error: invalid bulk length":                            {delivery.OutcomePermanent, delivery.ClassTooLarge},
	} {
		s := &Sender{to: delivery.RedisDestination{RedisServer: delivery.RedisServer{Username: "secret"}}}
		got := s.failure(t.Context(), answer(text), true)
		expect(t, got, want.outcome, want.class)
		if got.Words != strings.ReplaceAll(text, "secret", delivery.Hidden) {
			t.Errorf("%q says %q", text, got.Words)
		}
	}
}

type answer string

func (a answer) Error() string { return string(a) }
func (answer) RedisError()     {}

// TestRestart: a ledger over a server that is killed and comes back, again and again, while messages are sent.
func TestRestart(t *testing.T) {
	server := services.StartRedis(t)
	s := newSender(t, delivery.RedisDestination{RedisServer: delivery.RedisServer{Addr: server.Addr}, Timeout: 2 * time.Second}, slog.New(slog.DiscardHandler))
	counts := map[delivery.Outcome]int{}
	for round := range 3 {
		for n := 0; n < 50; n++ {
			if n == 20 {
				server.Kill()
			}
			if n == 30 {
				if err := server.Start(t.Context()); err != nil {
					t.Fatal(err)
				}
			}
			got := s.Send(t.Context(), sendtest.Request(fmt.Sprint(round, n), "x"))
			counts[got.Outcome]++
			switch {
			case n < 20 && round == 0 || n > 45: // the client may find a last dead connection right after the start
				expect(t, got, delivery.OutcomeOK, "")
			case n > 20 && n < 30:
				expect(t, got, delivery.OutcomeTransient, delivery.ClassConnect)
			}
		}
	}
	t.Logf("%v", counts)
}

func TestHalfOpenConnectionEndsInTime(t *testing.T) {
	proxy := services.StartProxy(t, services.RedisAddr(t))
	s := newSender(t, delivery.RedisDestination{RedisServer: delivery.RedisServer{Addr: proxy.Addr}, Timeout: time.Second}, slog.New(slog.DiscardHandler))
	expect(t, s.Send(t.Context(), sendtest.Request("1", "x")), delivery.OutcomeOK, "")
	proxy.Silence()
	began := time.Now()
	expect(t, s.Send(t.Context(), sendtest.Request("2", "x")), delivery.OutcomeUnknown, delivery.ClassTimeout)
	expect(t, s.Send(t.Context(), sendtest.Request("3", "x")), delivery.OutcomeTransient, delivery.ClassConnect) // the handshake hangs
	if took := time.Since(began); took > patience.Prompt {
		t.Errorf("two attempts of a second took %v", took)
	}
	proxy.Heal()
	expect(t, s.Send(t.Context(), sendtest.Request("4", "x")), delivery.OutcomeOK, "")
}

func TestALostAnswerMayHaveHadItsEffect(t *testing.T) {
	addr := services.RedisAddr(t)
	proxy := services.StartProxy(t, addr)
	d := delivery.RedisDestination{RedisServer: delivery.RedisServer{Addr: proxy.Addr}, Channel: channel(), Timeout: time.Second}
	heard := listen(t, addr, d.Channel)
	s := newSender(t, d, slog.New(slog.DiscardHandler))
	expect(t, s.Send(t.Context(), sendtest.Request("1", "first")), delivery.OutcomeOK, "")
	proxy.LoseAnswers()
	expect(t, s.Send(t.Context(), sendtest.Request("2", "second")), delivery.OutcomeUnknown, delivery.ClassTimeout)
	if got := heard(2); len(got) != 2 || got[1] != "second" {
		t.Errorf("heard %q", got)
	}
}

// TestTheClientSendsNothingTwice: its connection breaks after the message was heard, and the next one would work.
func TestTheClientSendsNothingTwice(t *testing.T) {
	addr := services.RedisAddr(t)
	proxy := services.StartProxy(t, addr)
	d := delivery.RedisDestination{RedisServer: delivery.RedisServer{Addr: proxy.Addr}, Channel: channel()}
	heard := listen(t, addr, d.Channel)
	s := newSender(t, d, slog.New(slog.DiscardHandler))
	expect(t, s.Send(t.Context(), sendtest.Request("1", "first")), delivery.OutcomeOK, "")
	proxy.LoseAnswers()
	result := make(chan delivery.Result)
	go func() { result <- s.Send(t.Context(), sendtest.Request("2", "second")) }()
	if got := heard(2); len(got) != 2 {
		t.Fatalf("heard %q", got)
	}
	proxy.Heal() // closes the connection
	expect(t, <-result, delivery.OutcomeUnknown, delivery.ClassConnectionLost)
	expect(t, s.Send(t.Context(), sendtest.Request("3", "third")), delivery.OutcomeOK, "")
	if got := heard(1); len(got) != 1 || got[0] != "third" {
		t.Errorf("heard %q", got)
	}
}

func TestSettingsAreChecked(t *testing.T) {
	for _, d := range []delivery.RedisDestination{{}, {Channel: "x"}, {RedisServer: delivery.RedisServer{Addr: "a:1"}},
		{RedisServer: delivery.RedisServer{Addr: "a:1", TLS: &delivery.TLS{CA: "/no/such/file"}}, Channel: "x"}} {
		if _, err := New(d, wire.Dialer{}); err == nil {
			t.Errorf("%+v is accepted", d)
		}
	}
}

func TestTheNetworkRulesHold(t *testing.T) {
	s := newSender(t, delivery.RedisDestination{RedisServer: delivery.RedisServer{Addr: "169.254.169.254:6379"}}, slog.New(slog.DiscardHandler))
	expect(t, s.Send(t.Context(), sendtest.Request("1", "x")), delivery.OutcomePermanent, delivery.ClassBlockedAddress)
	s = newSender(t, delivery.RedisDestination{RedisServer: delivery.RedisServer{Addr: "nowhere.invalid:6379"}}, slog.New(slog.DiscardHandler))
	expect(t, s.Send(t.Context(), sendtest.Request("1", "x")), delivery.OutcomeTransient, delivery.ClassDNS)
}

func BenchmarkSend(b *testing.B) {
	s, err := New(delivery.RedisDestination{RedisServer: delivery.RedisServer{Addr: services.RedisAddr(b)}, Channel: "bench"}, wire.Dialer{Log: slog.New(slog.DiscardHandler)})
	if err != nil {
		b.Fatal(err)
	}
	defer s.Close()
	b.SetParallelism(16)
	r := sendtest.Request("1", strings.Repeat("x", 500))
	b.RunParallel(func(pb *testing.PB) {
		for pb.Next() {
			if got := s.Send(context.Background(), r); got.Outcome != delivery.OutcomeOK {
				b.Fatal(got)
			}
		}
	})
}
