package broker

import (
	"fmt"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"

	"redrive/delivery"
	"redrive/store/storetest/services"
)

// The broker itself writes the letters of a share group here. They are read by a group and by a share group, with the record copied
// and without; what goes back is what died.
func TestTheLettersThatTheBrokerWrites(t *testing.T) {
	k := services.SharedKafka(t)
	for _, shared := range []bool{false, true} {
		t.Run(fmt.Sprintf("read by a share group %t", shared), func(t *testing.T) {
			t.Parallel() // it waits most of the time
			b := newBrokerLetters(t, k, shared)
			for n, copies := range []string{"true", "false"} {
				died := kgo.Record{Topic: b.origin, Key: []byte("k"), Value: fmt.Appendf(nil, `{"n": %d.50}`, n), Headers: []kgo.RecordHeader{
					{Key: "x-shop", Value: []byte("17")}, {Key: "twice", Value: []byte("a")}, {Key: "twice"}, {Key: "trace", Value: []byte{0, 0xff}}}}
				b.produce(&died)
				b.set("errors.deadletterqueue.copy.record.enable", copies)
				b.say(kgo.AckReject)
				got := b.dead()
				dead := got.Message.Origin.Dead
				if !dead.Fetched || dead.Missing != nil || dead.Place != b.origin || *dead.Offset != died.Offset || dead.Group != b.group || got.Error == "" ||
					got.Message.Headers["x-shop"] != "17" {
					t.Errorf("copied %s: it died %s, %q", copies, asJSON(dead), got.Error)
				}
				if err := b.retry(got); err != nil {
					t.Fatal(err)
				}
				b.delivered(got.ID)
				sameRecord(t, "copied "+copies, died, b.next(died.Offset+1))
				b.say(kgo.AckAccept) // what came back
			}
		})
	}
}

// brokerLetters is a share group that rejects, whose letters a desk reads.
type brokerLetters struct {
	*lostBed
	group  string
	member *kgo.Client
}

func newBrokerLetters(t *testing.T, k *services.Kafka, shared bool) *brokerLetters {
	t.Helper()
	b := &brokerLetters{lostBed: &lostBed{k: k, died: "dlq." + name(t), origin: name(t)}, group: name(t)}
	k.CreateTopic(t, b.died, 1, "errors.deadletterqueue.group.enable=true")
	k.CreateTopic(t, b.origin, 1)
	server := delivery.KafkaServer{Brokers: k.Brokers}
	from := &delivery.KafkaSource{KafkaServer: server, Topic: b.died, Group: b.died}
	if shared {
		from.Group, from.ShareGroup = "", b.died
	}
	b.desk = newDesk(t, delivery.BrokerSource{From: from, Original: delivery.OriginalLost}, delivery.Destination{To: from.WayBack()},
		delivery.Destination{To: &delivery.KafkaDestination{KafkaServer: server, Topic: b.origin, Timeout: time.Minute}})
	b.client = b.open(kgo.ConsumeTopics(b.origin), kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()))
	b.set(shareReset, "earliest")
	b.set("errors.deadletterqueue.topic.name", b.died)
	b.member = b.open(kgo.ShareGroup(b.group), kgo.ConsumeTopics(b.origin))
	return b
}

func (b *brokerLetters) open(options ...kgo.Opt) *kgo.Client {
	b.t.Helper()
	client, err := kgo.NewClient(append(options, kgo.SeedBrokers(b.k.Brokers...))...)
	if err != nil {
		b.t.Fatal(err)
	}
	b.t.Cleanup(client.Close)
	return client
}

func (b *brokerLetters) set(name, value string) {
	b.t.Helper()
	if err := alterShareGroup(b.t.Context(), b.client, b.group, map[string]string{name: value}); err != nil {
		b.t.Fatal(err)
	}
}

// say deals with the next record of the group.
func (b *brokerLetters) say(word kgo.AckStatus) {
	b.t.Helper()
	var list []*kgo.Record
	for len(list) == 0 {
		if list = b.member.PollFetches(b.t.Context()).Records(); b.t.Context().Err() != nil {
			b.t.Fatal("the share group got no record")
		}
	}
	for _, r := range list {
		r.Ack(word)
	}
	if err := b.member.FlushAcks(b.t.Context()); err != nil {
		b.t.Fatal(err)
	}
}
