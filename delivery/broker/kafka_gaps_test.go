package broker

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"

	"redrive/delivery"
	"redrive/store/storetest/services"
	"redrive/views/words"
)

// gapBed is one topic of a real Kafka that a consumer reads, and what happens to it.
type gapBed struct {
	*rig
	admin   *kadm.Client
	brokers []string
	topic   string
	sent    int
	dead    bool
	onGap   delivery.OnGap
}

func newGapBed(t *testing.T, k *services.Kafka, b *gapBed, settings ...string) *gapBed {
	b.topic, b.admin = name(t), k.Admin(t)
	k.CreateTopic(t, b.topic, 1, settings...)
	b.brokers = k.Brokers
	source := delivery.BrokerSource{From: &delivery.KafkaSource{KafkaServer: delivery.KafkaServer{Brokers: k.Brokers}, Topic: b.topic, Group: b.topic}, OnGap: b.onGap}
	b.rig = newRig(t, bed{name: "kafka", remembers: true, open: func(*testing.T) place { return place{source: source} }},
		func(in *delivery.Integration) {
			in.Broker.Format, in.Broker.DeadLetters = delivery.FormatNative, b.dead
		})
	return b
}

func (b *gapBed) begin() *life {
	b.t.Helper()
	return b.start(func(c *Config) { c.look = 200 * time.Millisecond })
}

// publish writes n records to a partition.
func (b *gapBed) publish(partition int32, n int) {
	b.t.Helper()
	var list []*kgo.Record
	for range n {
		b.sent++
		list = append(list, &kgo.Record{Partition: partition, Value: fmt.Appendf(nil, `{"id": "n%04d"}`, b.sent)})
	}
	b.produce(list...)
}

// produce writes by a client that knows the topic as it is now.
func (b *gapBed) produce(list ...*kgo.Record) {
	b.t.Helper()
	client, err := kgo.NewClient(kgo.SeedBrokers(b.brokers...), kgo.DefaultProduceTopic(b.topic), kgo.RecordPartitioner(kgo.ManualPartitioner()))
	if err != nil {
		b.t.Fatal(err)
	}
	defer client.Close()
	b.eventually("the broker takes records", func() bool {
		err := client.ProduceSync(b.t.Context(), list...).FirstErr()
		if err != nil && !errors.Is(err, kerr.UnknownTopicID) { // it was just made
			b.t.Fatal(err)
		}
		return err == nil
	})
}

// settled waits until that many were delivered, or are dead letters, and are committed.
func (b *gapBed) settled(n int, next map[int32]int64) {
	b.t.Helper()
	if b.dead {
		b.eventually(fmt.Sprintf("%d dead letters", n), func() bool { return b.count("redrive.deliveries") == n })
	} else {
		b.ledger.arrived(b.t, n)
	}
	b.eventually("the commits", func() bool {
		offsets, err := b.admin.FetchOffsets(b.t.Context(), b.topic)
		if err != nil {
			return false
		}
		for partition, at := range next {
			if o, ok := offsets.Lookup(b.topic, partition); !ok || o.At != at {
				return false
			}
		}
		return true
	})
}

// delete takes the records of partition 0 before an offset, as retention does.
func (b *gapBed) delete(before int64) {
	b.t.Helper()
	var offsets kadm.Offsets
	offsets.Add(kadm.Offset{Topic: b.topic, At: before})
	answer, err := b.admin.DeleteRecords(b.t.Context(), offsets)
	if err == nil {
		err = answer.Error()
	}
	if err != nil {
		b.t.Fatal(err)
	}
}

// again deletes the topic and makes another one under its name.
func (b *gapBed) again() {
	b.t.Helper()
	b.drop()
	b.makeAgain()
}

// makeAgain makes the topic that was deleted.
func (b *gapBed) makeAgain() {
	b.t.Helper()
	b.eventually("another topic", func() bool {
		_, err := b.admin.CreateTopic(b.t.Context(), 1, 1, nil, b.topic)
		return err == nil
	})
}

func (b *gapBed) drop() {
	b.t.Helper()
	if _, err := b.admin.DeleteTopic(b.t.Context(), b.topic); err != nil {
		b.t.Fatal(err)
	}
}

// moves sets the group's position, as kafka-consumer-groups --reset-offsets does.
func (b *gapBed) moves(to int64, metadata string) {
	b.t.Helper()
	var offsets kadm.Offsets
	offsets.Add(kadm.Offset{Topic: b.topic, At: to, LeaderEpoch: -1, Metadata: metadata})
	b.eventually("the group is empty", func() bool {
		answer, err := b.admin.CommitOffsets(b.t.Context(), b.topic, offsets)
		return err == nil && answer.Error() == nil
	})
}

// idle keeps the consumer from fetching until it is called.
func (b *gapBed) idle(l *life) (resume func()) {
	b.t.Helper()
	l.mortal.mu.Lock()
	client := l.mortal.last.(*kafkaSession).client
	l.mortal.mu.Unlock()
	client.PauseFetchTopics(b.topic)
	return func() { client.ResumeFetchTopics(b.topic) }
}

// found waits for what was noted, oldest first: the key of its phrase, and of a gap partition, offsets and number.
func (b *gapBed) found(want ...string) {
	b.t.Helper()
	var got []string
	var gaps delivery.SourceGaps
	b.eventually(fmt.Sprint(want), func() bool {
		var err error
		if gaps, err = b.db.SourceGaps(b.t.Context(), b.in.Name); err != nil {
			b.t.Fatal(err)
		}
		got = nil
		for _, g := range slices.Backward(gaps.Latest) {
			got = append(got, told(g))
		}
		return len(got) >= len(want)
	})
	if fmt.Sprint(got) != fmt.Sprint(want) {
		b.t.Errorf("found %v, want %v", got, want)
	}
	records, n := int64(0), 0
	for _, g := range gaps.Latest {
		if text := words.Say(words.English, g.Phrase()); strings.Contains(text, "{") || text == g.Phrase().String() {
			b.t.Errorf("nobody can read %q", text)
		}
		if !g.Notice {
			n++
		}
		if !g.Notice && g.Records != nil {
			records += *g.Records
		}
	}
	if gaps.Count != int64(n) || gaps.Records != records {
		b.t.Errorf("%d gaps of %d records, want %d of %d", gaps.Count, gaps.Records, n, records)
	}
	if audited := b.count("redrive.audit WHERE action IN ('integration.gap', 'integration.source-change') AND actor = 'policy'"); audited != len(want) {
		b.t.Errorf("%d audit entries for %d findings", audited, len(want))
	}
}

func told(g delivery.SourceGap) string {
	text := strings.TrimPrefix(g.Phrase().Key, "gap.")
	if g.Partition != nil {
		text += fmt.Sprintf(" %d:", *g.Partition)
	}
	for _, n := range []*int64{g.FromOffset, g.ToOffset, g.Records} {
		if n == nil {
			text += " ?"
		} else {
			text += fmt.Sprintf(" %d", *n)
		}
	}
	if g.Notice {
		text += " (notice)"
	}
	return text
}

// factsTell waits until the figures of the integration do.
func (b *gapBed) factsTell(l *life, gaps, records int64) {
	b.t.Helper()
	b.eventually("the facts", func() bool {
		f := l.Facts(b.t.Context())
		return f.Gaps == gaps && f.GapRecords != nil && *f.GapRecords == records
	})
}

// Whatever happens to a topic while nobody reads it, or somebody does: what is lost is counted, once, and said; what is not is not.
func TestGapsOfKafka(t *testing.T) {
	k := services.SharedKafka(t)
	for _, tc := range []struct {
		name     string
		settings []string
		run      func(b *gapBed)
	}{
		{"deleted while nobody reads", nil, func(b *gapBed) {
			l := b.begin()
			b.publish(0, 10)
			b.settled(10, map[int32]int64{0: 10})
			b.stopped(l)
			b.publish(0, 50)
			b.delete(50)
			l = b.begin()
			b.settled(20, map[int32]int64{0: 60})
			b.found("deleted_unread 0: 10 50 40")
			b.factsTell(l, 1, 40)
			b.stopped(l)
			b.begin()
			b.publish(0, 1)
			b.settled(21, map[int32]int64{0: 61})
			b.found("deleted_unread 0: 10 50 40") // and no second one
		}},
		{"deleted before anything is committed", nil, func(b *gapBed) {
			l := b.begin()
			b.eventually("a position", func() bool { return b.count("redrive.source_positions") == 1 })
			b.stopped(l)
			b.publish(0, 5)
			b.delete(3)
			b.begin()
			b.settled(2, map[int32]int64{0: 5})
			b.found("deleted_unread 0: 0 3 3")
		}},
		{"deleted after a kill", nil, func(b *gapBed) {
			l := b.begin()
			b.publish(0, 10)
			b.settled(10, map[int32]int64{0: 10})
			l.kill()
			b.publish(0, 5)
			b.delete(15)
			b.begin()
			b.found("deleted_unread 0: 10 15 5")
		}},
		{"deleted while it is read", nil, func(b *gapBed) {
			l := b.begin()
			b.publish(0, 10)
			b.settled(10, map[int32]int64{0: 10})
			resume := b.idle(l)
			b.publish(0, 9)
			b.delete(17)
			resume()
			b.settled(12, map[int32]int64{0: 19})
			b.found("deleted_unread 0: 10 17 7")
		}},
		{"all deleted while it is read", nil, func(b *gapBed) {
			l := b.begin()
			b.publish(0, 10)
			b.settled(10, map[int32]int64{0: 10})
			resume := b.idle(l)
			b.publish(0, 7)
			b.delete(17)
			b.found("deleted_unread 0: 10 17 7")
			resume()
			b.publish(0, 1)
			b.settled(11, map[int32]int64{0: 18})
			b.factsTell(l, 1, 7)
		}},
		{"deleted of a compacted topic", []string{"cleanup.policy=compact,delete"}, func(b *gapBed) {
			l := b.begin()
			produce := func(n int) {
				for range n {
					b.sent++
					b.produce(&kgo.Record{Key: []byte("k"), Value: fmt.Appendf(nil, `{"id": "k%d"}`, b.sent)})
				}
			}
			produce(3)
			b.settled(3, map[int32]int64{0: 3})
			b.stopped(l)
			produce(4)
			b.delete(5)
			b.begin()
			b.settled(5, map[int32]int64{0: 7})
			b.found("deleted_unread.compacted 0: 3 5 ?")
		}},
		{"transactions", nil, func(b *gapBed) {
			l := b.begin()
			b.transaction(2, kgo.TryCommit)
			b.transaction(3, kgo.TryAbort)
			b.transaction(1, kgo.TryCommit)
			b.settled(3, map[int32]int64{0: 9}) // six records, of which three count, and three ends
			if f := l.Facts(b.t.Context()); *f.Waiting != 0 {
				b.t.Errorf("%d wait", *f.Waiting)
			}
			b.stopped(l)
			b.delete(9)
			l = b.begin()
			b.publish(0, 1)
			b.settled(4, map[int32]int64{0: 10})
			resume := b.idle(l)
			b.transaction(2, kgo.TryAbort)
			resume()
			b.publish(0, 1)
			b.settled(5, map[int32]int64{0: 14})
			b.found()
		}},
		{"another topic while nobody reads", nil, func(b *gapBed) {
			at := time.Now().Add(-time.Hour)
			l := b.begin()
			copied := func(n int) {
				for i := range n {
					b.produce(&kgo.Record{Timestamp: at.Add(time.Duration(i) * time.Second), Value: fmt.Appendf(nil, `{"id": "c%d"}`, i)})
				}
			}
			copied(4)
			b.settled(4, map[int32]int64{0: 4})
			b.stopped(l)
			b.again()
			copied(6) // the same records, with the same times
			b.begin()
			b.settled(6, map[int32]int64{0: 6})
			b.requests(10)
			b.found("topic_replaced.read 0: 4 ? 0")
		}},
		{"another topic while it is read", nil, func(b *gapBed) {
			l := b.begin()
			b.publish(0, 4)
			b.settled(4, map[int32]int64{0: 4})
			b.idle(l)
			b.publish(0, 3)
			b.eventually("its end was seen", func() bool { return b.count("redrive.source_positions WHERE end_offset = 7") == 1 })
			b.again()
			b.publish(0, 5)
			b.settled(9, map[int32]int64{0: 5})
			b.eventually("it was noted", func() bool { return b.count("redrive.source_topics WHERE made_again = 1") == 1 })
			if n := b.count("redrive.gaps WHERE records = 3 AND from_offset = 4"); n != 1 {
				b.t.Errorf("%d gaps of three records", n)
			}
		}},
		{"a late commit to another topic", nil, func(b *gapBed) {
			l := b.begin()
			b.publish(0, 4)
			b.settled(4, map[int32]int64{0: 4})
			before, err := b.admin.FetchOffsets(b.t.Context(), b.topic)
			if err != nil {
				b.t.Fatal(err)
			}
			committed, _ := before.Lookup(b.topic, 0)
			b.stopped(l)
			b.again()
			b.publish(0, 6)
			b.moves(4, committed.Metadata)
			b.begin()
			b.settled(10, map[int32]int64{0: 6})
			b.found("topic_replaced.read 0: 4 ? 0")
		}},
		{"deleted and made again", nil, func(b *gapBed) {
			l := b.begin()
			b.publish(0, 4)
			b.settled(4, map[int32]int64{0: 4})
			b.stopped(l)
			b.publish(0, 3)
			b.drop()
			b.lateStart()
			b.found("topic_deleted.read 0: 4 ? 0") // what came while nobody looked was not seen
			b.makeAgain()
			b.publish(0, 2)
			b.settled(6, map[int32]int64{0: 2})
			b.found("topic_deleted.read 0: 4 ? 0", "topic_made_again ? ? ? (notice)")
		}},
		{"partitions added", nil, func(b *gapBed) {
			b.begin()
			b.publish(0, 2)
			b.settled(2, map[int32]int64{0: 2})
			if _, err := b.admin.UpdatePartitions(b.t.Context(), 3, b.topic); err != nil {
				b.t.Fatal(err)
			}
			b.eventually("all know them", func() bool {
				topics, err := b.admin.ListTopics(b.t.Context(), b.topic)
				return err == nil && len(topics[b.topic].Partitions) == 3
			})
			b.publish(2, 3)
			b.publish(1, 1)
			b.settled(6, map[int32]int64{0: 2, 1: 1, 2: 3})
			b.found("partitions_added ? ? ? (notice)")
		}},
		{"moved by somebody else", nil, func(b *gapBed) {
			l := b.begin()
			b.publish(0, 10)
			b.settled(10, map[int32]int64{0: 10})
			b.stopped(l)
			b.publish(0, 10)
			b.moves(15, "")
			l = b.begin()
			b.settled(15, map[int32]int64{0: 20})
			b.found("moved 0: 10 15 5")
			b.stopped(l)
			b.moves(8, "")
			b.begin()
			b.publish(0, 1)
			b.settled(21, map[int32]int64{0: 21}) // 1 and the five that were left out
			b.found("moved 0: 10 15 5", "moved_back 0: 20 8 ? (notice)")
		}},
		{"its position deleted", nil, func(b *gapBed) {
			l := b.begin()
			b.publish(0, 5)
			b.settled(5, map[int32]int64{0: 5})
			b.stopped(l)
			b.eventually("no position", func() bool {
				var set kadm.TopicsSet
				set.Add(b.topic, 0)
				answer, err := b.admin.DeleteOffsets(b.t.Context(), b.topic, set)
				return err == nil && answer.Error() == nil
			})
			b.begin()
			b.publish(0, 1)
			b.settled(6, map[int32]int64{0: 6})
			b.found("forgotten 0: 5 0 ? (notice)")
		}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			tc.run(newGapBed(t, k, &gapBed{}, tc.settings...))
		})
	}
}

func (b *gapBed) stopped(l *life) {
	b.t.Helper()
	if err := l.stop(); err != nil {
		b.t.Fatal(err)
	}
}

// transaction writes n records in one.
func (b *gapBed) transaction(n int, end kgo.TransactionEndTry) {
	b.t.Helper()
	client, err := kgo.NewClient(kgo.SeedBrokers(b.brokers...), kgo.TransactionalID(name(b.t)),
		kgo.RecordPartitioner(kgo.ManualPartitioner()))
	if err != nil {
		b.t.Fatal(err)
	}
	defer client.Close()
	err = client.BeginTransaction()
	for i := 0; i < n && err == nil; i++ {
		b.sent++
		err = client.ProduceSync(b.t.Context(), &kgo.Record{Topic: b.topic, Value: fmt.Appendf(nil, `{"id": "t%04d"}`, b.sent)}).FirstErr()
	}
	if err == nil {
		err = client.EndTransaction(b.t.Context(), end)
	}
	if err != nil {
		b.t.Fatal(err)
	}
}

// A gap that stops the integration stops it before what lies behind is read; a person lets it go on, and it is not found once more.
func TestAGapStopsTheReading(t *testing.T) {
	k := services.SharedKafka(t)
	for _, dead := range []bool{false, true} {
		t.Run(fmt.Sprintf("dead letters %t", dead), func(t *testing.T) {
			t.Parallel()
			b := newGapBed(t, k, &gapBed{onGap: delivery.OnGapStop, dead: dead})
			l := b.begin()
			b.publish(0, 3)
			b.settled(3, map[int32]int64{0: 3})
			resume := b.idle(l)
			b.publish(0, 9)
			b.delete(10)
			resume()
			b.held(l, "deleted_unread 0: 3 10 7")
			b.stopped(l)
			l = b.lateStart()
			b.status(l, delivery.SourceWaiting)
			b.goOn()
			b.settled(5, map[int32]int64{0: 12})
			b.found("deleted_unread 0: 3 10 7")
			b.stopped(l)
			b.publish(0, 4)
			b.delete(16)
			l = b.lateStart()
			b.held(l, "deleted_unread 0: 3 10 7", "deleted_unread 0: 12 16 4")
			b.goOn()
			b.publish(0, 1)
			b.settled(6, map[int32]int64{0: 17})
		})
	}
}

// held waits until the integration is paused by what was found, and nothing was read behind it.
func (b *gapBed) held(l *life, want ...string) {
	b.t.Helper()
	b.found(want...)
	b.status(l, delivery.SourceWaiting)
	states, err := b.db.IntegrationStates(b.t.Context())
	if err != nil {
		b.t.Fatal(err)
	}
	if s := states[b.in.Name]; s.PausedAt == nil || s.PausedBy != delivery.ActorPolicy || s.PauseSays.Key != "gap.held" {
		b.t.Errorf("the integration is %+v", s)
	}
	if n := b.count("redrive.audit WHERE action = 'integration.pause' AND actor = 'policy'"); n != len(want) {
		b.t.Errorf("%d audit entries of pauses", n)
	}
	if n := l.Facts(b.t.Context()).InFlight; n != 0 {
		b.t.Errorf("%d in hand", n)
	}
}

func (b *gapBed) goOn() {
	b.t.Helper()
	if err := b.db.SetPaused(b.t.Context(), b.in.Name, false, "kim", "I saw it"); err != nil {
		b.t.Fatal(err)
	}
}

// lateStart starts a consumer that cannot connect yet.
func (b *gapBed) lateStart() *life {
	b.t.Helper()
	return b.launch(func(c *Config) { c.look = 200 * time.Millisecond })
}

// A log that was cut back, here because the broker lost its disk, is read again from its beginning.
func TestALogThatWasCutBack(t *testing.T) {
	t.Parallel()
	k := services.StartKafka(t)
	b := newGapBed(t, k, &gapBed{})
	l := b.begin()
	b.publish(0, 10)
	b.settled(10, map[int32]int64{0: 10})
	b.stopped(l)
	k.Stop()
	parts, err := filepath.Glob(filepath.Join(k.Dir, "*", b.topic+"-0"))
	if err != nil || len(parts) != 1 {
		t.Fatal(parts, err)
	}
	if err := os.RemoveAll(parts[0]); err != nil {
		t.Fatal(err)
	}
	if err := k.Start(context.Background()); err != nil {
		t.Fatal(err)
	}
	b.publish(0, 4)
	b.begin()
	b.settled(14, map[int32]int64{0: 4})
	b.found("cut 0: 10 0 ?")
}
