package broker

import (
	"fmt"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/rabbitmq/amqp091-go"
	"github.com/redis/go-redis/v9"
	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"

	"redrive/delivery"
	limits "redrive/store/storetest/patience"
	"redrive/store/storetest/services"
)

var places atomic.Int64

// name is one that no other test uses.
func name(t *testing.T) string {
	return fmt.Sprintf("%s-%d-%d", strings.NewReplacer("/", "-", " ", "-").Replace(t.Name()), time.Now().UnixNano()%1e9, places.Add(1))
}

// beds are the sources, all of which are real.
func beds() []bed {
	return []bed{{name: "redis", open: openRedis}, {name: "rabbitmq", remembers: true, open: openRabbit}, {name: "kafka", remembers: true, open: openKafka},
		{name: "kafka share group", remembers: true, open: openShare}}
}

// onEach runs a case on each source that it makes sense for, at the same time: it waits most of its time.
func onEach(t *testing.T, which func(bed) bool, run func(t *testing.T, b bed)) {
	for _, b := range beds() {
		if which(b) {
			t.Run(b.name, func(t *testing.T) {
				t.Parallel()
				run(t, b)
			})
		}
	}
}

func every(bed) bool         { return true }
func remembering(b bed) bool { return b.remembers }

func openRedis(t *testing.T) place { return redisPlace(t, services.RedisAddr(t)) }

func redisPlace(t *testing.T, addr string) place {
	proxy := services.StartProxy(t, addr)
	channel := name(t)
	client := redis.NewClient(&redis.Options{Addr: addr, DisableIdentity: true})
	t.Cleanup(func() { _ = client.Close() })
	publish := func(t *testing.T, list ...note) {
		t.Helper()
		for _, n := range list {
			if err := client.Publish(t.Context(), channel, n.json()).Err(); err != nil {
				t.Fatal(err)
			}
		}
	}
	return place{proxy: proxy, publish: publish, source: delivery.BrokerSource{From: &delivery.RedisSource{RedisServer: delivery.RedisServer{Addr: proxy.Addr}, Channel: channel}}}
}

func openRabbit(t *testing.T) place { return rabbitPlace(t, services.RabbitMQURL(t), nil) }

func rabbitChannel(t *testing.T, address string) *amqp091.Channel {
	t.Helper()
	conn, err := amqp091.Dial(address)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close() })
	channel, err := conn.Channel()
	if err != nil {
		t.Fatal(err)
	}
	return channel
}

func rabbitPlace(t *testing.T, address string, args amqp091.Table) place {
	proxy, proxied := services.StartRabbitMQProxy(t, address)
	queue := name(t)
	channel := rabbitChannel(t, address)
	if _, err := channel.QueueDeclare(queue, true, false, false, false, args); err != nil {
		t.Fatal(err)
	}
	if err := channel.Confirm(false); err != nil {
		t.Fatal(err)
	}
	publish := func(t *testing.T, list ...note) {
		t.Helper()
		var last *amqp091.DeferredConfirmation
		for _, n := range list {
			var err error
			last, err = channel.PublishWithDeferredConfirm("", queue, true, false, amqp091.Publishing{Body: n.json(), DeliveryMode: amqp091.Persistent,
				ContentType: "application/cloudevents+json", MessageId: n.id})
			if err != nil {
				t.Fatal(err)
			}
		}
		if last != nil && !last.Wait() {
			t.Fatal("the broker did not take a message")
		}
	}
	left := func(t *testing.T) int {
		t.Helper()
		look := rabbitChannel(t, address)
		var q amqp091.Queue
		limits.Until(t, "no consumer on "+queue, func() (alone bool) {
			var err error
			if q, err = look.QueueDeclarePassive(queue, true, false, false, false, args); err != nil {
				t.Fatal(err)
			}
			return q.Consumers == 0
		})
		return q.Messages
	}
	return place{proxy: proxy, publish: publish, left: left,
		source: delivery.BrokerSource{From: &delivery.RabbitMQSource{RabbitMQServer: delivery.RabbitMQServer{URL: proxied}, Queue: queue}}}
}

const partitions = 3

func openKafka(t *testing.T) place { return kafkaPlace(t, services.SharedKafka(t), name(t)) }

func kafkaPlace(t *testing.T, k *services.Kafka, topic string) place {
	k.CreateTopic(t, topic, partitions)
	proxy, brokers := k.Proxy(t)
	client, err := kgo.NewClient(kgo.SeedBrokers(k.Brokers...))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(client.Close)
	publish := func(t *testing.T, list ...note) {
		t.Helper()
		for _, n := range list {
			r := &kgo.Record{Topic: topic, Value: n.json(), Headers: []kgo.RecordHeader{{Key: "content-type", Value: []byte("application/cloudevents+json")}}}
			if n.key != "" {
				r.Key = []byte(n.key)
			}
			client.Produce(t.Context(), r, func(_ *kgo.Record, err error) {
				if err != nil {
					t.Error(err)
				}
			})
		}
		if err := client.Flush(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	admin, group := k.Admin(t), "redrive-"+topic
	left := func(t *testing.T) int {
		t.Helper()
		ends, err := admin.ListEndOffsets(t.Context(), topic)
		if err != nil {
			t.Fatal(err)
		}
		n := int64(0)
		ends.Each(func(o kadm.ListedOffset) { n += o.Offset })
		for _, offset := range committed(t, admin, topic, group) {
			n -= offset
		}
		return int(n)
	}
	return place{proxy: proxy, publish: publish, left: left, source: delivery.BrokerSource{From: &delivery.KafkaSource{
		KafkaServer: delivery.KafkaServer{Brokers: brokers}, Topic: topic, Group: group}}}
}

// committed is how far the group came in the partitions in which it has a position.
func committed(t *testing.T, admin *kadm.Client, topic, group string) map[int32]int64 {
	t.Helper()
	offsets, err := admin.FetchOffsetsForTopics(t.Context(), group, topic)
	if err != nil {
		t.Fatal(err)
	}
	at := map[int32]int64{}
	offsets.Each(func(o kadm.OffsetResponse) {
		if o.At >= 0 {
			at[o.Partition] = o.At
		}
	})
	return at
}
