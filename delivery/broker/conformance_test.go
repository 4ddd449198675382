package broker

import (
	"context"
	"fmt"
	"slices"
	"testing"

	"redrive/delivery"
	limits "redrive/store/storetest/patience"
)

func TestEveryMessageIsDeliveredOnce(t *testing.T) {
	onEach(t, every, func(t *testing.T, b bed) {
		r := newRig(t, b)
		l := r.start()
		r.place.publish(t, notes(200)...)
		r.ledger.arrived(t, 200)
		if err := l.stop(); err != nil {
			t.Fatal(err)
		}
		r.invariants(200)
		r.requests(200)
		r.nothingLeft()
		if got := r.ledger.all()[0]; got.idem != "/tests "+got.id || got.header.Get("Ce-Type") != "test.noted" || got.header.Get("Content-Type") != "application/json" {
			t.Errorf("got %+v", got)
		}
	})
}

// The same event twice in one batch, while the first is in flight, and long after it.
func TestWhatComesAgainIsNotDeliveredAgain(t *testing.T) {
	onEach(t, every, func(t *testing.T, b bed) {
		r := newRig(t, b)
		release := r.ledger.hold(t)
		l := r.start()
		r.place.publish(t, slices.Repeat(notes(4), 3)...)
		r.ledger.arrived(t, 4)
		release()
		r.eventually("settled", func() bool { return l.Facts(t.Context()).Known == 8 })
		r.place.publish(t, notes(5)...)
		r.ledger.arrived(t, 5)
		r.eventually("recognised", func() bool { return l.Facts(t.Context()).Known == 12 })
		if err := l.stop(); err != nil {
			t.Fatal(err)
		}
		r.invariants(5)
		r.requests(5)
		r.nothingLeft()
	})
}

// The process vanishes after the request, before anything was written.
func TestCrashBeforeSettling(t *testing.T) {
	onEach(t, remembering, func(t *testing.T, b bed) {
		t.Run("receiver drops duplicates", func(t *testing.T) {
			r := newRig(t, b)
			first := r.start()
			reached := r.freeze(first.gate)
			r.place.publish(t, notes(5)...)
			r.ledger.arrived(t, 5)
			limits.Receive(t, "an outcome to be written", reached)
			first.kill()
			second := r.start()
			r.ledger.until(t, "all of them again", func(e []entry) bool { return len(e) >= 10 })
			if err := second.stop(); err != nil {
				t.Fatal(err)
			}
			r.invariants(5)
			r.nothingLeft()
		})
		t.Run("receiver keeps duplicates", func(t *testing.T) {
			r := newRig(t, b, func(in *delivery.Integration) { in.Idempotent = false })
			first := r.start()
			reached := r.freeze(first.gate)
			r.place.publish(t, notes(5)...)
			r.ledger.arrived(t, 5)
			limits.Receive(t, "an outcome to be written", reached)
			first.kill()
			second := r.start()
			r.eventually("in the hands of a person", func() bool {
				return r.count("redrive.deliveries r JOIN redrive.failure_details d ON d.delivery_id = r.id WHERE state = 'dead' AND error_class = 'lease_lost' AND error LIKE 'redelivered, and nobody knows%'") == 5
			})
			if err := second.stop(); err != nil {
				t.Fatal(err)
			}
			r.requests(5) // never an automatic second one
			r.invariants(5)
			r.nothingLeft()
			// each is one attempt, dated when the note of it was written, and one failure of its hour
			if n := r.count("redrive.attempts a JOIN redrive.deliveries d ON d.id = a.delivery_id WHERE a.number = 1 AND d.attempts = 1 AND a.started_at IN (SELECT at FROM redrive.inbox) AND a.started_at = d.started_at"); n != 5 {
				t.Errorf("%d of 5 lost attempts are dated when they started", n)
			}
			if n := r.count("redrive.attempts"); n != 5 {
				t.Errorf("%d attempts", n)
			}
			if n := r.count("redrive.hourly WHERE failed = 5"); n != 1 {
				t.Error("they are not counted once each")
			}
		})
	})
}

// The process vanishes after the database knows, before the broker does.
func TestCrashBeforeAcknowledging(t *testing.T) {
	onEach(t, remembering, func(t *testing.T, b bed) {
		r := newRig(t, b, func(in *delivery.Integration) { in.Idempotent = false })
		first := r.start()
		written := make(chan struct{}, 100)
		first.gate.settle.Store(pointer(func(_ context.Context, next func() error) error {
			err := next()
			first.mortal.die() // no acknowledgement leaves any more
			written <- struct{}{}
			return err
		}))
		r.place.publish(t, notes(1)...)
		limits.Receive(t, "an outcome to be written", written)
		first.kill()
		second := r.start()
		r.eventually("recognised", func() bool { return second.Facts(t.Context()).Known == 1 })
		if err := second.stop(); err != nil {
			t.Fatal(err)
		}
		r.invariants(1)
		r.requests(1)
		r.nothingLeft()
	})
}

func TestPoisonIsKeptAndStopsNothing(t *testing.T) {
	onEach(t, every, func(t *testing.T, b bed) {
		r := newRig(t, b)
		l := r.start()
		poison := []note{{raw: []byte("{no json")}, {raw: []byte(`{"specversion":"1.0","id":"x"}`)}, {raw: []byte("\x00\xff\xfe")}, {raw: []byte{}}}
		r.place.publish(t, append(poison, notes(10)...)...)
		r.ledger.arrived(t, 10)
		r.eventually("buried", func() bool {
			return r.count("redrive.deliveries WHERE state = 'dead' AND error_class = 'bad_request'") == 4
		})
		if err := l.stop(); err != nil {
			t.Fatal(err)
		}
		if n := r.count(`redrive.messages WHERE payload = '\x00fffe' AND origin->>'broker' <> ''`); n != 1 {
			t.Error("the payload was changed")
		}
		r.requests(10)
		r.nothingLeft()
	})
}

func TestFailuresAreParkedAndTheEngineGoesOn(t *testing.T) {
	onEach(t, every, func(t *testing.T, b bed) {
		r := newRig(t, b, func(in *delivery.Integration) { in.Concurrency = 16 }) // all at once: what Redis brings beyond that is parked too
		seen := map[string]int{}
		r.ledger.set(func(e entry) int {
			r.ledger.mu.Lock()
			defer r.ledger.mu.Unlock()
			switch seen[e.id]++; {
			case e.id == "n0001":
				return 400
			case e.id == "n0002" && seen[e.id] < 3:
				return 503
			}
			return 200
		})
		l := r.start()
		r.place.publish(t, notes(10)...)
		r.ledger.until(t, "the third attempt", func(e []entry) bool { return len(byID(e)) == 10 && len(byID(e)["n0002"]) == 3 })
		r.eventually("settled", func() bool {
			return r.count("redrive.deliveries WHERE state = 'dead'") == 1 && r.count("redrive.deliveries WHERE state = 'delivered'") == 1 && r.count("redrive.queue") == 0
		})
		if err := l.stop(); err != nil {
			t.Fatal(err)
		}
		r.invariants(10)
		r.nothingLeft()
		if facts := l.Facts(t.Context()); facts.Delivered != 8 || facts.Parked != 2 || facts.Received != 10 || facts.InFlight != 0 {
			t.Errorf("facts %+v", facts)
		}
	})
}

// Keys whose messages fail now and then keep their order all the same, the engine's attempts included.
func TestOrderPerKey(t *testing.T) {
	onEach(t, func(b bed) bool { return b.name != "kafka share group" }, func(t *testing.T, b bed) {
		r := newRig(t, b, func(in *delivery.Integration) {
			in.Ordered = true
			in.Retry.Attempts = 20
		})
		failed := map[string]bool{}
		r.ledger.set(func(e entry) int {
			r.ledger.mu.Lock()
			defer r.ledger.mu.Unlock()
			if n := len(e.id); !failed[e.id] && (e.id[n-1] == '7') {
				failed[e.id] = true
				return 503
			}
			return 200
		})
		l := r.start()
		list := notes(150)
		for i := range list {
			list[i].key = fmt.Sprintf("key-%d", i%5)
		}
		r.place.publish(t, list...)
		r.ledger.arrived(t, 150)
		r.eventually("the queue is empty", func() bool { return r.count("redrive.queue") == 0 })
		if err := l.stop(); err != nil {
			t.Fatal(err)
		}
		last := map[string]string{}
		for _, e := range r.ledger.all() {
			if e.id < last[e.key] {
				t.Errorf("key %s: %s after %s", e.key, e.id, last[e.key])
			}
			last[e.key] = e.id
		}
		r.invariants(150)
		r.nothingLeft()
		if l.Facts(t.Context()).Parked == 0 {
			t.Error("nothing failed: the test shows nothing")
		}
	})
}

// A dead letter holds up its key until a person settles it, or, where the integration says so, lets the later ones go on.
func TestADeadLetterAndItsKey(t *testing.T) {
	const total, bad = 10, 2
	for policy, waiting := range map[delivery.OnDead]int{delivery.OnDeadBlock: total - bad - 1, delivery.OnDeadSkip: 0} {
		t.Run(string(policy), func(t *testing.T) {
			onEach(t, every, func(t *testing.T, b bed) {
				r := newRig(t, b, func(in *delivery.Integration) { in.Ordered, in.OnDead, in.Retry.Attempts = true, policy, 1 })
				list := notes(total)
				for i := range list {
					list[i].key = "a"
				}
				r.ledger.set(func(e entry) int {
					if e.id == list[bad].id {
						return 422
					}
					return 200
				})
				l := r.start()
				r.place.publish(t, list...)
				r.ledger.arrived(t, total-waiting)
				r.eventually("one is dead", func() bool { return r.count("redrive.deliveries WHERE state = 'dead'") == 1 })
				r.eventually("the others wait or are delivered", func() bool { return r.count("redrive.queue") == waiting })
				if err := l.stop(); err != nil {
					t.Fatal(err)
				}
				r.requests(total - waiting)
				for i, e := range r.ledger.all() {
					if e.id != list[i].id {
						t.Errorf("%s came in the place of %s", e.id, list[i].id)
					}
				}
				r.nothingLeft()
			})
		})
	}
}

// What the integration does not subscribe to is acknowledged and goes nowhere; what cannot be read is still for a person.
func TestOtherTypesPass(t *testing.T) {
	onEach(t, every, func(t *testing.T, b bed) {
		r := newRig(t, b, func(in *delivery.Integration) { in.Idempotent, in.Subscribe = false, []string{"test.noted"} })
		l := r.start()
		other := note{raw: []byte(`{"specversion":"1.0","id":"o","source":"/tests","type":"test.other","data":1}`)}
		r.place.publish(t, append([]note{other, {raw: []byte("{no json")}}, notes(5)...)...)
		r.ledger.arrived(t, 5)
		r.eventually("all dealt with", func() bool {
			f := l.Facts(t.Context())
			return f.Delivered == 5 && f.Unwanted == 1 && f.Parked == 1 && f.InFlight == 0
		})
		if err := l.stop(); err != nil {
			t.Fatal(err)
		}
		r.requests(5)
		r.nothingLeft()
	})
}

func TestBackPressure(t *testing.T) {
	onEach(t, every, func(t *testing.T, b bed) {
		for _, idempotent := range []bool{true, false} {
			t.Run(fmt.Sprintf("idempotent %v", idempotent), func(t *testing.T) {
				r := newRig(t, b, func(in *delivery.Integration) { in.Idempotent, in.Broker.Prefetch = idempotent, 32 })
				release := r.ledger.hold(t)
				l := r.start()
				r.place.publish(t, notes(300)...)
				r.eventually("all workers hang", func() bool { return int(r.ledger.holding.Load()) >= r.in.Concurrency })
				const bound = 32
				if b.remembers {
					// all workers hang: from here on the bound is what holds
					if f := l.Facts(t.Context()); f.InFlight > bound || f.Received > int64(bound) {
						t.Errorf("%d received with room for %d", f.Received, bound)
					}
				} else { // what cannot wait at the source is made durable
					r.eventually("spilled", func() bool { return l.Facts(t.Context()).Parked == int64(300-r.in.Concurrency) })
				}
				release()
				r.ledger.arrived(t, 300)
				if err := l.stop(); err != nil {
					t.Fatal(err)
				}
				r.invariants(300)
				r.requests(300)
				r.nothingLeft()
			})
		}
	})
}

// Stopped in the middle, then started again: nothing is lost and nothing sent twice.
func TestGracefulStop(t *testing.T) {
	onEach(t, remembering, func(t *testing.T, b bed) {
		for _, idempotent := range []bool{true, false} {
			t.Run(fmt.Sprintf("idempotent %v", idempotent), func(t *testing.T) {
				r := newRig(t, b, func(in *delivery.Integration) { in.Idempotent = idempotent })
				release := r.ledger.hold(t)
				l := r.start()
				r.place.publish(t, notes(100)...)
				r.eventually("attempts under way", func() bool { return int(r.ledger.holding.Load()) == r.in.Concurrency })
				stopped := make(chan error, 1)
				go func() { stopped <- l.stop() }()
				r.eventually("given back", func() bool { return l.Facts(t.Context()).InFlight == r.in.Concurrency })
				release()
				if err := limits.Receive(t, "the end of the consumer", stopped); err != nil {
					t.Fatal(err)
				}
				r.requests(r.in.Concurrency)
				if n := r.place.left(t); n != 100-r.in.Concurrency {
					t.Errorf("%d left at the source", n)
				}
				again := r.start()
				r.ledger.arrived(t, 100)
				if err := again.stop(); err != nil {
					t.Fatal(err)
				}
				r.invariants(100)
				r.requests(100)
				r.nothingLeft()
				if n := r.count("redrive.deliveries"); n != 0 {
					t.Errorf("%d records of failures", n)
				}
			})
		}
	})
}

// Redis forgets what nobody takes: what was read when the stop came is made durable, and the engine goes on.
func TestGracefulStopOfASourceThatForgets(t *testing.T) {
	t.Parallel()
	r := newRig(t, bed{name: "redis", open: openRedis})
	release := r.ledger.hold(t)
	l := r.start()
	r.place.publish(t, notes(100)...)
	r.eventually("received", func() bool { return l.Facts(t.Context()).Received == 100 })
	stopped := make(chan error, 1)
	go func() { stopped <- l.stop() }()
	r.eventually("made durable", func() bool { return l.Facts(t.Context()).Parked == 100-8 })
	release()
	if err := limits.Receive(t, "the end of the consumer", stopped); err != nil {
		t.Fatal(err)
	}
	r.ledger.arrived(t, 100)
	r.invariants(100)
	r.requests(100)
}

func TestPause(t *testing.T) {
	onEach(t, every, func(t *testing.T, b bed) {
		r := newRig(t, b)
		l := r.start()
		r.place.publish(t, note{id: "before"})
		r.ledger.arrived(t, 1)
		r.eventually("settled", func() bool { return l.Facts(t.Context()).Delivered == 1 })
		l.gate.paused.Store(true)
		r.place.publish(t, notes(50)...)
		if b.remembers {
			r.status(l, delivery.SourceWaiting)
		} else {
			r.eventually("made durable", func() bool { return l.Facts(t.Context()).Parked == 50 }) // the engine, not paused here, goes on
			r.ledger.arrived(t, 51)
			return
		}
		r.requests(1)
		l.gate.paused.Store(false)
		r.ledger.arrived(t, 51)
		r.status(l, delivery.SourceConnected)
		if err := l.stop(); err != nil {
			t.Fatal(err)
		}
		r.invariants(51)
		r.requests(51)
		r.nothingLeft()
	})
}

// A pause that lasts longer than RabbitMQ bears unacknowledged messages: they go back, and come again afterwards.
func TestLongPauseGivesBack(t *testing.T) {
	t.Parallel()
	r := newRig(t, bed{name: "rabbitmq", remembers: true, open: openRabbit}, func(in *delivery.Integration) { in.Idempotent = false })
	l := r.start(func(c *Config) { c.Patience = 1 })
	l.gate.paused.Store(true)
	r.place.publish(t, notes(50)...)
	r.eventually("given back", func() bool {
		return l.Facts(t.Context()).Status == delivery.SourceWaiting && l.Facts(t.Context()).InFlight == 0
	})
	if n := r.place.left(t); n != 50 {
		t.Errorf("%d at the broker", n)
	}
	l.gate.paused.Store(false)
	r.ledger.arrived(t, 50)
	if err := l.stop(); err != nil {
		t.Fatal(err)
	}
	r.invariants(50)
	r.requests(50)
	r.nothingLeft()
}

func TestDatabaseAwayAndBack(t *testing.T) {
	onEach(t, every, func(t *testing.T, b bed) {
		r := newRig(t, b)
		l := r.start()
		r.place.publish(t, notes(5)...)
		r.ledger.arrived(t, 5)
		r.eventually("settled", func() bool { return l.Facts(t.Context()).Delivered == 5 })
		l.gate.away.Store(true)
		list := notes(200)[5:]
		r.place.publish(t, list...)
		r.eventually("hands", func() bool { return l.Facts(t.Context()).InFlight > 0 })
		if f := l.Facts(t.Context()); f.InFlight > 2*f.Prefetch || f.Delivered != 5 {
			t.Errorf("%d in flight, %d delivered", f.InFlight, f.Delivered)
		}
		l.gate.away.Store(false)
		r.ledger.arrived(t, 200)
		if err := l.stop(); err != nil {
			t.Fatal(err)
		}
		r.invariants(200)
		r.requests(200)
		r.nothingLeft()
	})
}

// A receiver in trouble opens the engine's breaker: messages stay at the source, and flow again when it has recovered.
func TestOpenBreaker(t *testing.T) {
	onEach(t, remembering, func(t *testing.T, b bed) {
		r := newRig(t, b, func(in *delivery.Integration) { in.Retry.Attempts = 100 })
		r.ledger.set(func(entry) int { return 503 })
		l := r.start()
		r.place.publish(t, notes(200)...)
		r.status(l, delivery.SourceWaiting)
		if f := l.Facts(t.Context()); f.Received > 100 {
			t.Errorf("%d messages were taken", f.Received)
		}
		r.ledger.set(nil)
		r.ledger.arrived(t, 200)
		r.eventually("all settled", func() bool {
			f := l.Facts(t.Context())
			return f.Delivered+f.Parked == 200 && r.count("redrive.queue") == 0
		})
		if err := l.stop(); err != nil {
			t.Fatal(err)
		}
		r.invariants(200)
		r.nothingLeft()
	})
}
