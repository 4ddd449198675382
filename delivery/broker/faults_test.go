package broker

import (
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kmsg"

	"redrive/delivery"
	"redrive/store/storetest/services"
)

// The broker is killed while messages flow, and comes back with what it had stored.
func TestRabbitMQIsKilledMidStream(t *testing.T) {
	t.Parallel() // it waits most of the time
	server := services.StartRabbitMQ(t)
	r := newRig(t, bed{name: "rabbitmq", remembers: true, open: func(t *testing.T) place { return rabbitPlace(t, server.URL, nil) }})
	if err := server.Persist(t.Context()); err != nil {
		t.Fatal(err)
	}
	l := r.start()
	release := r.ledger.hold(t)
	r.place.publish(t, notes(500)...)
	r.eventually("under way", func() bool { return r.ledger.holding.Load() > 0 })
	server.Kill()
	release()
	r.status(l, delivery.SourceReconnecting)
	if err := server.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	r.status(l, delivery.SourceConnected)
	r.ledger.arrived(t, 500)
	if err := l.stop(); err != nil {
		t.Fatal(err)
	}
	r.invariants(500)
	r.requests(500)
	r.nothingLeft()
}

// Kafka is killed while records flow, and comes back with what it had stored.
func TestKafkaIsKilledMidStream(t *testing.T) {
	t.Parallel() // it waits most of the time
	server := services.StartKafka(t)
	r := newRig(t, bed{name: "kafka", remembers: true, open: func(t *testing.T) place { return kafkaPlace(t, server, "killed") }})
	l := r.start()
	release := r.ledger.hold(t)
	r.place.publish(t, notes(500)...)
	r.eventually("under way", func() bool { return r.ledger.holding.Load() > 0 })
	server.Kill()
	release()
	r.status(l, delivery.SourceReconnecting)
	if err := server.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	back := time.Now()
	r.status(l, delivery.SourceConnected)
	r.place.publish(t, notes(600)[500:]...)
	r.ledger.arrived(t, 600)
	r.eventually("acknowledged", func() bool { return r.place.left(t) == 0 })
	t.Logf("everything was done %v after the broker's return", time.Since(back))
	if err := l.stop(); err != nil {
		t.Fatal(err)
	}
	r.invariants(600)
	r.requests(600)
	r.nothingLeft()
}

// Redis is killed: what was published meanwhile is lost, and that is said.
func TestRedisIsKilled(t *testing.T) {
	t.Parallel()
	server := services.StartRedis(t)
	r := newRig(t, bed{name: "redis", open: func(t *testing.T) place { return redisPlace(t, server.Addr) }})
	l := r.start()
	r.place.publish(t, notes(10)...)
	r.ledger.arrived(t, 10)
	server.Kill()
	r.status(l, delivery.SourceReconnecting)
	if err := server.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	r.status(l, delivery.SourceConnected)
	r.place.publish(t, notes(20)...)
	r.ledger.arrived(t, 20)
	if f := l.Facts(t.Context()); f.Gaps != 1 || !strings.HasPrefix(f.LastGap.Phrase().English(), "nobody listened from ") {
		t.Errorf("facts %+v", f)
	}
	r.invariants(20)
}

// Half-open: the connection stands, nothing passes. Heartbeats notice, and what was in our hands is not sent again.
func TestHalfOpenConnections(t *testing.T) {
	t.Parallel() // it waits most of the time
	onEach(t, every, func(t *testing.T, b bed) {
		r := newRig(t, b)
		l := r.start()
		r.place.publish(t, notes(20)...)
		r.ledger.arrived(t, 20)
		r.place.proxy.Silence()
		r.status(l, delivery.SourceReconnecting)
		if b.remembers {
			r.place.publish(t, notes(40)[20:]...)
		}
		r.place.proxy.Heal()
		r.status(l, delivery.SourceConnected)
		r.place.publish(t, notes(60)[40:]...)
		want := 60
		if !b.remembers {
			want = 40
		}
		r.ledger.arrived(t, want)
		if err := l.stop(); err != nil {
			t.Fatal(err)
		}
		r.invariants(want)
		r.requests(want)
		r.nothingLeft()
	})
}

// Acknowledgements get lost on the way: RabbitMQ brings everything again, and everything is recognised.
func TestAcknowledgementLost(t *testing.T) {
	t.Parallel()
	r := newRig(t, bed{name: "rabbitmq", remembers: true, open: openRabbit}, func(in *delivery.Integration) { in.Idempotent = false })
	l := r.settle(8, r.place.proxy.Cut)
	r.place.proxy.Heal()
	r.eventually("recognised", func() bool { return l.Facts(t.Context()).Known == 8 })
	if err := l.stop(); err != nil {
		t.Fatal(err)
	}
	r.invariants(8)
	r.requests(8)
	r.nothingLeft()
}

// settle attempts n messages while a fault lasts: their outcomes are written, and the broker may not hear of it.
func (r *rig) settle(n int, fault func()) *life {
	r.t.Helper()
	release := r.ledger.hold(r.t)
	l := r.start()
	r.place.publish(r.t, notes(n)...)
	r.eventually("under way", func() bool { return int(r.ledger.holding.Load()) == n })
	fault()
	release()
	r.eventually("settled", func() bool { return l.Facts(r.t.Context()).Delivered == int64(n) })
	return l
}

// Kafka's positions get lost on the way: the member writes them when it can, so that nothing comes again; a member that is killed
// meanwhile leaves everything to the next one, which recognises it.
func TestPositionLost(t *testing.T) {
	t.Parallel()
	commit := kmsg.NewPtrOffsetCommitRequest().Key()
	for name, c := range map[string]struct {
		fault   func(*services.Proxy) (asked func() int)
		written bool // the broker has it all the same
	}{
		"before it left": {fault: func(p *services.Proxy) func() int { p.Cut(); return nil }},
		"in its middle":  {fault: func(p *services.Proxy) func() int { return p.CutWithin(commit) }},
		"its answer":     {fault: func(p *services.Proxy) func() int { return p.LoseAnswersTo(commit) }, written: true},
	} {
		t.Run(name, func(t *testing.T) {
			r := newRig(t, bed{name: "kafka", remembers: true, open: openKafka}, func(in *delivery.Integration) { in.Idempotent = false })
			var asked func() int
			l := r.settle(8, func() { asked = c.fault(r.place.proxy) })
			if asked != nil {
				r.eventually("a commit met the fault", func() bool { return asked() > 0 })
			}
			if c.written { // the first commit, which need not be of all: the next one waits for its answer
				r.eventually("written by the broker", func() bool { return r.place.left(t) < 8 })
			} else if n := r.place.left(t); n != 8 {
				t.Fatalf("%d left: the fault did not work", n)
			}
			if n := l.confirmed(); n > 0 {
				t.Fatalf("the member knows of %d that were written: the fault did not work", n)
			}
			r.place.proxy.Heal()
			if asked != nil {
				r.eventually("it asks again", func() bool { return asked() > 1 })
			}
			r.eventually("written after all", func() bool { return r.place.left(t) == 0 })
			r.eventually("and it knows", func() bool { return l.confirmed() == 8 })
			r.place.publish(t, notes(16)[8:]...)
			r.ledger.arrived(t, 16)
			if err := l.stop(); err != nil {
				t.Fatal(err)
			}
			r.invariants(16)
			r.requests(16)
			r.nothingLeft()
		})
	}
	t.Run("with its member", func(t *testing.T) {
		r := newRig(t, bed{name: "kafka", remembers: true, open: openKafka}, func(in *delivery.Integration) { in.Idempotent = false })
		r.settle(8, r.place.proxy.Cut).kill()
		if n := r.place.left(t); n != 8 {
			t.Fatalf("%d left: the fault did not work", n)
		}
		r.place.proxy.Heal()
		source := r.in.Broker.From.(*delivery.KafkaSource)
		services.EvictFromKafka(t, source.Brokers, source.Group)
		again := r.start()
		r.eventually("recognised", func() bool { return again.Facts(t.Context()).Known == 8 })
		if err := again.stop(); err != nil {
			t.Fatal(err)
		}
		r.invariants(8)
		r.requests(8)
		r.nothingLeft()
	})
}

// A line across the world makes everything slower and nothing else.
func TestSlowConnections(t *testing.T) {
	onEach(t, every, func(t *testing.T, b bed) {
		r := newRig(t, b)
		r.place.proxy.Delay(30 * time.Millisecond)
		began := time.Now()
		l := r.start()
		if took := time.Since(began); took < 60*time.Millisecond {
			t.Errorf("connected after %v: the fault did not work", took)
		}
		r.place.publish(t, notes(100)...)
		r.ledger.arrived(t, 100)
		if err := l.stop(); err != nil {
			t.Fatal(err)
		}
		r.invariants(100)
		r.requests(100)
		r.nothingLeft()
	})
}

// Members come and go while messages flow, some of which hang: each message is sent once, and positions never go back.
func TestRebalance(t *testing.T) {
	t.Parallel()
	r := newRig(t, bed{name: "kafka", remembers: true, open: openKafka})
	r.ledger.set(func(e entry) int {
		if strings.HasSuffix(e.id, "3") {
			delivery.Pause(t.Context(), 20*time.Millisecond) // a slow receiver
		}
		return http.StatusOK
	})
	source := r.in.Broker.From.(*delivery.KafkaSource)
	admin := services.KafkaAdmin(t, source.Brokers)
	before := map[int32]int64{}
	check := func() {
		t.Helper()
		for p, offset := range committed(t, admin, source.Topic, source.Group) {
			if offset < before[p] {
				t.Errorf("partition %d went back from %d to %d", p, before[p], offset)
			}
			before[p] = offset
		}
	}
	const rounds, each = 6, 100
	lives := []*life{r.start()}
	all := notes(rounds * each)
	for i := range all {
		all[i].key = fmt.Sprintf("key-%d", i%17)
	}
	for round := range rounds {
		r.place.publish(t, all[round*each:(round+1)*each]...)
		if round%2 == 0 {
			lives = append(lives, r.start())
		} else if err := lives[round/2].stop(); err != nil {
			t.Fatal(err)
		}
		r.ledger.arrived(t, round*each+each/2)
		check()
	}
	r.ledger.arrived(t, rounds*each)
	for _, l := range lives {
		if err := l.stop(); err != nil {
			t.Fatal(err)
		}
		check()
	}
	r.invariants(rounds * each)
	r.requests(rounds * each)
	r.nothingLeft()
}

// A partition changes hands while its messages are being attempted: the next member gets it when their outcomes are written.
func TestHandOverWaitsForWhatIsUnderWay(t *testing.T) {
	t.Parallel()
	r := newRig(t, bed{name: "kafka", remembers: true, open: openKafka})
	release := r.ledger.hold(t)
	first := r.start()
	list := notes(8)
	for i := range list {
		list[i].key = fmt.Sprintf("key-%d", i)
	}
	r.place.publish(t, list...)
	r.eventually("under way", func() bool { return r.ledger.holding.Load() == 8 })
	second := r.start()
	for range 300 { // it must not get anything; where it does, it does within this time
		if second.Facts(t.Context()).Received > 0 {
			t.Fatal("messages under way were handed over")
		}
		delivery.Pause(t.Context(), 5*time.Millisecond)
	}
	release()
	r.eventually("handed over", func() bool { return len(second.Facts(t.Context()).Positions) > 0 })
	r.place.publish(t, notes(60)[8:]...)
	r.ledger.arrived(t, 60)
	for _, l := range []*life{first, second} {
		if err := l.stop(); err != nil {
			t.Fatal(err)
		}
	}
	r.invariants(60)
	r.requests(60)
	r.nothingLeft()
}
