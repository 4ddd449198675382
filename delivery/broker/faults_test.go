package broker

import (
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"

	"redrive/delivery"
	"redrive/store/storetest/services"
)

// The broker is killed while messages flow, and comes back with what it had stored.
func TestRabbitMQIsKilledMidStream(t *testing.T) {
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

// Redis is killed: what was published meanwhile is lost, and that is said.
func TestRedisIsKilled(t *testing.T) {
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
	if f := l.Facts(t.Context()); f.Gaps != 1 || f.LastGap.From == nil || f.LastGap.Phrase().Key != "gap.unheard" {
		t.Errorf("facts %+v", f)
	}
	r.invariants(20)
}

// Half-open: the connection stands, nothing passes. Heartbeats notice, and what was in our hands is not sent again.
func TestHalfOpenConnections(t *testing.T) {
	onEach(t, func(b bed) bool { return b.name != "kafka emulator" }, func(t *testing.T, b bed) {
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

// Acknowledgements get lost on the way: the broker brings everything again, and everything is recognised.
func TestAcknowledgementLost(t *testing.T) {
	t.Run("rabbitmq", func(t *testing.T) {
		r := newRig(t, bed{name: "rabbitmq", remembers: true, open: openRabbit}, func(in *delivery.Integration) { in.Idempotent = false })
		release := r.ledger.hold(t)
		l := r.start()
		r.place.publish(t, notes(8)...)
		r.eventually("under way", func() bool { return r.ledger.holding.Load() == 8 })
		r.place.proxy.Cut()
		release()
		r.eventually("settled without an acknowledgement", func() bool { return l.Facts(t.Context()).Delivered == 8 })
		r.place.proxy.Heal()
		r.eventually("recognised", func() bool { return l.Facts(t.Context()).Known == 8 })
		if err := l.stop(); err != nil {
			t.Fatal(err)
		}
		r.invariants(8)
		r.requests(8)
		r.nothingLeft()
	})
	t.Run("kafka emulator", func(t *testing.T) {
		topic := name(t)
		cluster, err := kfake.NewCluster(kfake.NumBrokers(1), kfake.SeedTopics(partitions, topic))
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(cluster.Close)
		r := newRig(t, bed{name: "kafka emulator", remembers: true, open: func(t *testing.T) place { return kafkaPlace(t, cluster.ListenAddrs(), topic) }})
		fault := cluster.Fault(kfake.Fault{Keys: []kmsg.Key{kmsg.OffsetCommit}, Err: kerr.UnknownServerError, Count: -1})
		l := r.start()
		r.place.publish(t, notes(50)...)
		r.ledger.arrived(t, 50)
		r.eventually("settled", func() bool { return l.Facts(t.Context()).Delivered == 50 })
		_ = l.stop()
		fault.Remove()
		if n := r.place.left(t); n != 50 {
			t.Fatalf("%d left: the fault did not work", n)
		}
		again := r.start()
		r.eventually("recognised", func() bool { return again.Facts(t.Context()).Known == 50 })
		if err := again.stop(); err != nil {
			t.Fatal(err)
		}
		r.invariants(50)
		r.requests(50)
		r.nothingLeft()
	})
}

// Members come and go while messages flow, some of which hang: each message is sent once, and positions never go back.
func TestRebalance(t *testing.T) {
	r := newRig(t, bed{name: "kafka emulator", remembers: true, open: openKafka})
	r.ledger.set(func(e entry) int {
		if strings.HasSuffix(e.id, "3") {
			delivery.Pause(t.Context(), 20*time.Millisecond) // a slow receiver
		}
		return http.StatusOK
	})
	client, err := kgo.NewClient(kgo.SeedBrokers(r.in.Broker.From.(*delivery.KafkaSource).Brokers...))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(client.Close)
	before := map[int32]int64{}
	check := func() {
		t.Helper()
		for p, offset := range committed(t, client, r.in.Broker.From.(*delivery.KafkaSource).Topic, r.in.Broker.From.(*delivery.KafkaSource).Group) {
			if offset = max(offset, 0); offset < before[p] {
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
	r := newRig(t, bed{name: "kafka emulator", remembers: true, open: openKafka})
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
