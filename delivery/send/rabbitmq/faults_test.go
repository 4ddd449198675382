package rabbitsend

import (
	"context"
	"fmt"
	"net/url"
	"sync"
	"testing"
	"time"

	"redrive/delivery"
	"redrive/delivery/send/sendtest"
	"redrive/store/storetest/patience"
	"redrive/store/storetest/services"
)

func TestALostConfirmIsUnknownAndTheMessageIsThere(t *testing.T) {
	address := services.RabbitMQURL(t)
	proxy, broken := services.StartRabbitMQProxy(t, address)
	q := queue(t, address, nil)
	s := newSender(t, to(broken, "", q), discard)
	expect(t, s.Send(t.Context(), sendtest.Request("1", "first")), delivery.OutcomeOK, "")
	proxy.LoseAnswers()
	s.to.Timeout = fastTimeout
	expect(t, s.Send(t.Context(), sendtest.Request("2", "second")), delivery.OutcomeUnknown, delivery.ClassTimeout)
	got := take(t, address, q, 2)
	if len(got) != 2 || string(got[1].Body) != "second" {
		t.Errorf("the queue has %d messages", len(got))
	}
	proxy.Heal()
	recovers(t, s)
}

func TestAConnectionThatBreaksLeavesItsMessagesUnknown(t *testing.T) {
	address := services.RabbitMQURL(t)
	proxy, broken := services.StartRabbitMQProxy(t, address)
	q := queue(t, address, nil)
	s := newSender(t, to(broken, "", q), discard)
	expect(t, s.Send(t.Context(), sendtest.Request("0", "before")), delivery.OutcomeOK, "")
	proxy.LoseAnswers()
	results := make(chan delivery.Result, 10)
	for n := range 10 {
		go func() { results <- s.Send(t.Context(), sendtest.Request(fmt.Sprint(n+1), fmt.Sprint(n))) }()
	}
	if got := take(t, address, q, 11); len(got) != 11 { // all are written
		t.Fatalf("%d messages are in the queue", len(got))
	}
	proxy.Cut()
	for range 10 {
		expect(t, patience.Receive(t, "the result", results), delivery.OutcomeUnknown, delivery.ClassConnectionLost)
	}
	expect(t, s.Send(t.Context(), sendtest.Request("11", "after")), delivery.OutcomeTransient, delivery.ClassConnect)
}

// TestAHalfOpenConnectionIsGivenUp: nobody says that the connection is dead; missing heartbeats do within 15 s.
func TestAHalfOpenConnectionIsGivenUp(t *testing.T) {
	t.Parallel()
	address := services.RabbitMQURL(t)
	proxy, broken := services.StartRabbitMQProxy(t, address)
	s := newSender(t, to(broken, "", queue(t, address, nil)), discard)
	expect(t, s.Send(t.Context(), sendtest.Request("1", "x")), delivery.OutcomeOK, "")
	proxy.Silence()
	s.to.Timeout = time.Second
	began := time.Now()
	for n := 2; ; n++ {
		sent := time.Now()
		got := s.Send(t.Context(), sendtest.Request(fmt.Sprint(n), "x"))
		if took := time.Since(sent); took > patience.Prompt {
			t.Fatalf("an attempt of a second took %v", took)
		}
		if got.Outcome == delivery.OutcomeTransient { // a new connection is tried
			break
		}
		if got.Outcome != delivery.OutcomeUnknown || time.Since(began) > 2*patience.Prompt {
			t.Fatalf("after %v: %+v", time.Since(began), got)
		}
	}
	t.Logf("given up after %v", time.Since(began).Round(time.Second))
}

// TestABrokerInTrouble shares one broker of its own among the cases that need to change it.
func TestABrokerInTrouble(t *testing.T) {
	t.Parallel()
	broker := services.StartRabbitMQ(t)
	t.Run("permissions", func(t *testing.T) { testPermissions(t, broker) })
	t.Run("message size", func(t *testing.T) { testMessageSize(t, broker) })
	t.Run("memory alarm", func(t *testing.T) { testMemoryAlarm(t, broker) })
	t.Run("restart", func(t *testing.T) { testRestart(t, broker, broker.Stop) })
	t.Run("kill", func(t *testing.T) { testRestart(t, broker, broker.Kill) })
}

func control(t *testing.T, broker *services.RabbitMQ, args ...string) {
	t.Helper()
	if err := broker.Control(t.Context(), args...); err != nil {
		t.Fatal(err)
	}
}

func testPermissions(t *testing.T, broker *services.RabbitMQ) {
	control(t, broker, "add_user", "limited", "limited-password")
	control(t, broker, "set_permissions", "limited", "^$", "^allowed$", "^$")
	u, err := url.Parse(broker.URL)
	if err != nil {
		t.Fatal(err)
	}
	u.User = url.UserPassword("limited", "limited-password")
	s := newSender(t, to(u.String(), "amq.fanout", "k"), discard)
	for _, got := range inParallel(20, func(n int) delivery.Result { return s.Send(t.Context(), sendtest.Request(fmt.Sprint(n), "x")) }) {
		expect(t, got, delivery.OutcomePermanent, delivery.ClassRefused)
	}
}

// testMessageSize: one message that is too large, among others that are under way on the same channel.
func testMessageSize(t *testing.T, broker *services.RabbitMQ) {
	control(t, broker, "eval", "application:set_env(rabbit, max_message_size, 1048576).")
	q := queue(t, broker.URL, nil)
	s := newSender(t, to(broker.URL, "", q), discard)
	expect(t, s.Send(t.Context(), sendtest.Request("0", "warm")), delivery.OutcomeOK, "")
	results := inParallel(60, func(n int) delivery.Result {
		r := sendtest.Request(fmt.Sprint(n+1), fmt.Sprint(n))
		if n%20 == 10 {
			r.Message.Payload = make([]byte, 1<<20+n)
		}
		return s.Send(t.Context(), r)
	})
	found := rest(t, broker.URL, q)
	counts := map[delivery.Outcome]int{}
	for n, got := range results {
		counts[got.Outcome]++
		switch {
		case n%20 == 10 && got.Outcome == delivery.OutcomeTransient: // it followed another one that closed the channel
		case n%20 == 10:
			expect(t, got, delivery.OutcomePermanent, delivery.ClassTooLarge)
		default:
			agree(t, got, found[fmt.Sprint(n)])
		}
	}
	t.Logf("%v", counts)
	if counts[delivery.OutcomePermanent] == 0 {
		t.Error("no message was found too large")
	}
	for n, got := range inParallel(60, func(n int) delivery.Result { // the limit is known by now: nobody else suffers
		r := sendtest.Request(fmt.Sprint(n+1), "x")
		if n%20 == 10 {
			r.Message.Payload = make([]byte, 1<<20+n)
		}
		return s.Send(t.Context(), r)
	}) {
		if n%20 == 10 {
			expect(t, got, delivery.OutcomePermanent, delivery.ClassTooLarge)
		} else {
			expect(t, got, delivery.OutcomeOK, "")
		}
	}
	control(t, broker, "eval", "application:set_env(rabbit, max_message_size, 134217728).")
}

// agree compares what was said of a message with how often it is in the queue.
func agree(t *testing.T, said delivery.Result, found int) {
	t.Helper()
	switch {
	case said.Outcome == delivery.OutcomeOK && found != 1, said.Outcome == delivery.OutcomeTransient && found != 0,
		said.Outcome == delivery.OutcomePermanent, found > 1:
		t.Errorf("%s %s %q, and the message is there %d times", said.Outcome, said.ErrorClass, said.Error, found)
	}
}

func testMemoryAlarm(t *testing.T, broker *services.RabbitMQ) {
	q := queue(t, broker.URL, nil)
	d := to(broker.URL, "", q)
	s := newSender(t, d, discard)
	expect(t, s.Send(t.Context(), sendtest.Request("1", "before")), delivery.OutcomeOK, "")
	s.to.Timeout = fastTimeout
	if err := broker.MemoryAlarm(t.Context(), true); err != nil {
		t.Fatal(err)
	}
	// RabbitMQ tells a publisher by its first message, which it neither takes nor refuses
	expect(t, s.Send(t.Context(), sendtest.Request("2", "into the alarm")), delivery.OutcomeUnknown, delivery.ClassBrokerBlocked)
	began := time.Now()
	for _, got := range inParallel(8, func(n int) delivery.Result { return s.Send(t.Context(), sendtest.Request(fmt.Sprint(n), "held back")) }) {
		expect(t, got, delivery.OutcomeTransient, delivery.ClassBrokerBlocked)
	}
	if took := time.Since(began); took > patience.Prompt {
		t.Errorf("attempts of three seconds took %v", took)
	}
	waiting := make(chan delivery.Result)
	patient := newSender(t, d, discard)
	go func() { waiting <- patient.Send(context.Background(), sendtest.Request("4", "waited")) }()
	if err := broker.MemoryAlarm(t.Context(), false); err != nil {
		t.Fatal(err)
	}
	expect(t, patience.Receive(t, "the result", waiting), delivery.OutcomeOK, "")
	s.to.Timeout = patient.to.Timeout
	expect(t, s.Send(t.Context(), sendtest.Request("5", "after")), delivery.OutcomeOK, "")
	if found := rest(t, broker.URL, q); found["held back"] != 0 || found["waited"] != 1 || found["after"] != 1 {
		t.Errorf("found %v", found)
	}
}

// testRestart: a ledger over a broker that ends and comes back while many senders are at work.
func testRestart(t *testing.T, broker *services.RabbitMQ, end func()) {
	const senders = 16
	q := queue(t, broker.URL, nil)
	if err := broker.Persist(t.Context()); err != nil {
		t.Fatal(err)
	}
	d := to(broker.URL, "", q)
	d.Timeout = 5 * time.Second
	s := newSender(t, d, discard)
	var mu sync.Mutex
	ledger := map[string]delivery.Result{}
	pace := time.NewTicker(time.Millisecond) // a broker that is away fails at once
	defer pace.Stop()
	stop, warm := make(chan struct{}), make(chan struct{}, senders)
	var group sync.WaitGroup
	for n := range senders {
		group.Go(func() {
			for m := 0; ; m++ {
				select {
				case <-stop:
					return
				default:
				}
				payload := fmt.Sprintf("%d-%d", n, m)
				got := s.Send(context.Background(), sendtest.Request(payload, payload))
				mu.Lock()
				ledger[payload] = got
				mu.Unlock()
				if m == 100 {
					warm <- struct{}{}
				}
				if got.Outcome != delivery.OutcomeOK {
					<-pace.C
				}
			}
		})
	}
	for range senders {
		patience.Receive(t, "a hundred messages of each", warm)
	}
	end()
	if err := broker.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	close(stop)
	group.Wait()
	recovers(t, s)
	check(t, ledger, rest(t, broker.URL, q))
}

// recovers waits until a message is delivered, without help.
func recovers(t *testing.T, s *Sender) {
	t.Helper()
	pace := time.NewTicker(20 * time.Millisecond)
	defer pace.Stop()
	for began := time.Now(); ; <-pace.C {
		got := s.Send(t.Context(), sendtest.Request("last", "last"))
		if got.Outcome == delivery.OutcomeOK {
			return
		}
		if time.Since(began) > patience.Left(t) {
			t.Fatalf("it does not recover: %+v", got)
		}
	}
}

func check(t *testing.T, ledger map[string]delivery.Result, found map[string]int) {
	t.Helper()
	counts := map[string]int{}
	for payload, said := range ledger {
		counts[string(said.Outcome)+" "+said.ErrorClass]++
		agree(t, said, found[payload])
	}
	t.Logf("%d messages: %v", len(ledger), counts)
	if counts["ok "] < 1600 || len(ledger) == counts["ok "] {
		t.Errorf("the restart did not come in the middle: %v", counts)
	}
}
