package broker

import (
	"context"
	"encoding/binary"
	"fmt"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"

	"redrive/delivery"
	"redrive/store/storetest/services"
)

// A machine vanishes without a word: no connection of it ends, neither at the broker nor at Postgres, so that nobody can make its member
// leave. The group waits for it as long as its session lasts, then the others have everything; and it may come back.
func TestAMachineThatVanishesWithoutAWord(t *testing.T) {
	t.Parallel() // it waits most of the time
	e := onKafka(t)
	vanishes := e.start()
	source := *e.in.Broker.From.(*delivery.KafkaSource)
	source.KafkaServer = delivery.KafkaServer{Brokers: services.SharedKafka(t).Brokers} // not by way of the proxy
	block := *e.in.Broker
	block.From = &source
	stays := e.start(func(c *Config) { c.Integration.Broker = &block })
	e.eventually("both have some", func() bool { return len(e.has(vanishes).Numbers) > 0 && len(e.has(stays).Numbers) > 0 })
	e.place.publish(t, notes(20)...)
	e.ledger.arrived(t, 20)
	e.eventually("acknowledged", func() bool { return e.place.left(t) == 0 })
	gone := time.Now()
	e.place.proxy.Silence()
	list := notes(40)[20:]
	for i := range list {
		list[i].key = fmt.Sprintf("key-%d", i) // to all partitions
	}
	e.place.publish(t, list...)
	e.ledger.arrived(t, 40)
	t.Logf("all records of a machine that vanished arrived after %v, of a session of %v", time.Since(gone), kafkaMembership)
	e.eventually("the other one has all", func() bool { return len(e.has(stays).Numbers) == partitions })
	e.place.proxy.Heal()
	e.eventually("both have some again", func() bool { return len(e.has(vanishes).Numbers) > 0 && len(e.has(stays).Numbers) < partitions })
	e.place.publish(t, notes(60)[40:]...)
	e.ledger.arrived(t, 60)
	for _, l := range []*life{vanishes, stays} {
		if err := l.stop(); err != nil {
			t.Fatal(err)
		}
	}
	e.invariants(60)
	e.requests(60)
	e.nothingLeft()
}

// The broker is killed in the middle of a share group's work, and loses the end of another topic, as an election of one that lagged
// behind does: its new records stand where others stood that were read.
func TestABrokerIsKilledAndForgetsTheEndOfALog(t *testing.T) {
	t.Parallel() // it waits most of the time
	k := services.StartKafka(t)
	b := newGapBed(t, k, &gapBed{})
	before := b.begin()
	b.publish(0, 6)
	b.publish(0, 4)
	b.settled(10, map[int32]int64{0: 10})
	b.stopped(before)
	r := newRig(t, onShare(func(t *testing.T) place { return shareOn(t, k) }))
	l := r.start()
	r.place.publish(t, notes(1)...)
	r.ledger.arrived(t, 1)
	release := r.ledger.hold(t)
	r.place.publish(t, notes(200)[1:]...)
	r.eventually("under way", func() bool { return r.ledger.holding.Load() == 8 })
	k.Kill()
	release()
	r.status(l, delivery.SourceReconnecting)
	forget(t, k, b.topic, 6)
	if err := k.Start(context.Background()); err != nil {
		t.Fatal(err)
	}
	back := time.Now()
	r.ledger.arrived(t, 200)
	r.place.publish(t, notes(220)[200:]...)
	r.ledger.arrived(t, 220)
	r.eventually("acknowledged", func() bool { return r.place.left(t) == 0 })
	t.Logf("the share group was done %v after the broker's return", time.Since(back))
	if err := l.stop(); err != nil {
		t.Fatal(err)
	}
	r.invariants(220)
	r.requests(220)

	b.publish(0, 4) // the log is as long as it was
	b.begin()
	b.settled(14, map[int32]int64{0: 10})
	b.found("cut 0: 10 6 ?")
}

// shareOn is a share group on a topic of a broker of one's own.
func shareOn(t *testing.T, k *services.Kafka) place {
	t.Helper()
	p := kafkaPlace(t, k, "killed-share")
	source := p.source.From.(*delivery.KafkaSource)
	source.Group, source.ShareGroup = "", "redrive-killed-share"
	client, err := kgo.NewClient(kgo.SeedBrokers(k.Brokers...))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(client.Close)
	p.left = func(t *testing.T) int {
		t.Helper()
		lag, known, err := shareOffsets(t.Context(), client, *source)
		if err != nil || !known {
			return -1 // its coordinator is not back yet
		}
		return int(lag)
	}
	return p
}

// forget takes the records from an offset on, which begins a batch, out of a log whose broker is dead.
func forget(t *testing.T, k *services.Kafka, topic string, from uint64) {
	t.Helper()
	logs, err := filepath.Glob(filepath.Join(k.Dir, "*", topic+"-0", "*.log"))
	if err != nil || len(logs) != 1 {
		t.Fatal(logs, err)
	}
	raw, err := os.ReadFile(logs[0])
	if err != nil {
		t.Fatal(err)
	}
	for at := 0; at+12 <= len(raw); at += 12 + int(binary.BigEndian.Uint32(raw[at+8:])) { // offset, then the length of what follows
		if binary.BigEndian.Uint64(raw[at:]) == from {
			if err := os.Truncate(logs[0], int64(at)); err != nil {
				t.Fatal(err)
			}
			return
		}
	}
	t.Fatalf("no batch begins with %d", from)
}
