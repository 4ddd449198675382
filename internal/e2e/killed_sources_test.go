package e2e

import (
	"context"
	"crypto/rand"
	"fmt"
	"net/http"
	"strings"
	"testing"

	amqp "github.com/rabbitmq/amqp091-go"
	"github.com/redis/go-redis/v9"
	"github.com/twmb/franz-go/pkg/kgo"

	"redrive/store/storetest/patience"
	"redrive/store/storetest/services"
)

// Of these many messages that a source has for four workers, which all hang, the process is killed.
const (
	inHand    = 60
	atWork    = 4
	unstarted = inHand - atWork
)

// killed is a source, and what is known of its messages after the process that read it was killed.
type killed struct {
	name     string
	source   string // in the integrations file
	publish  func(text string) error
	receiver *ledger
	lost     bool // its broker brings nothing again
}

func (k *killed) yaml() string {
	return fmt.Sprintf(`  - name: %s
    method: broker
    broker: {%s, prefetch: 64}
    destination: {http: {url: %q, timeout: 5m}}
    idempotent: false
    concurrency: %d
`, k.name, k.source, k.receiver.URL, atWork)
}

// bodies counts the different payloads that came.
func (l *ledger) bodies() int {
	l.mu.Lock()
	defer l.mu.Unlock()
	different := map[[32]byte]bool{}
	for _, payloads := range l.seen {
		for sum := range payloads {
			different[sum] = true
		}
	}
	return len(different)
}

func sources(t *testing.T) []*killed {
	t.Helper()
	address := services.RabbitMQURL(t)
	conn, err := amqp.Dial(address)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close() })
	channel, err := conn.Channel()
	if err != nil {
		t.Fatal(err)
	}
	queue := func(name string, id func(text string) string) *killed {
		q, err := channel.QueueDeclare("killed-"+name+strings.ReplaceAll(t.Name(), "/", "-"), false, false, false, false, nil)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _, _ = channel.QueueDelete(q.Name, false, false, false) })
		return &killed{name: name, source: fmt.Sprintf("rabbitmq: {url: %q, queue: %q}", address, q.Name), publish: func(text string) error {
			return channel.PublishWithContext(t.Context(), "", q.Name, false, false, amqp.Publishing{MessageId: id(text), Body: []byte(text)})
		}}
	}
	addr := services.RedisAddr(t)
	client := redis.NewClient(&redis.Options{Addr: addr, DisableIdentity: true})
	t.Cleanup(func() { _ = client.Close() })
	brokers, topic := services.KafkaBrokers(t), "killed-"+rand.Text()
	services.CreateKafkaTopic(t, services.KafkaAdmin(t, brokers), topic, 3)
	producer, err := kgo.NewClient(kgo.SeedBrokers(brokers...), kgo.DefaultProduceTopic(topic))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(producer.Close)
	channelName := "killed-" + t.Name()
	return []*killed{
		queue("nameless", func(string) string { return "" }), queue("named", func(text string) string { return text }),
		{name: "kafka", source: fmt.Sprintf("kafka: {brokers: [%q], topic: %s, group: %[2]s}", brokers[0], topic), publish: func(text string) error {
			return producer.ProduceSync(context.Background(), &kgo.Record{Key: []byte(text), Value: []byte(text)}).FirstErr()
		}},
		{name: "redis", lost: true, source: fmt.Sprintf("redis: {addr: %q, channel: %q}", addr, channelName), publish: func(text string) error {
			return client.Publish(t.Context(), channelName, text).Err()
		}},
	}
}

// The process is killed while all workers of each source hang, and more messages were received than they can attempt. Only what
// was being attempted is lost (Redis) or of unknown outcome (the others); everything else is delivered by the next process. (Of Redis'
// messages the engine attempts as many at the same time, from Postgres: their leases outlast this test.) The time
// in which nobody listened is counted where it costs messages.
func TestKilledWithFullHands(t *testing.T) {
	t.Parallel() // it waits most of the time
	list := sources(t)
	file := "integrations:\n"
	for _, k := range list {
		k.receiver = newLedger(t)
		k.receiver.hold = make(chan struct{})
		file += k.yaml()
	}
	database, config := onFreshDatabase(t), configFile(t, file)
	dsn := strings.TrimPrefix(database, "DATABASE_URL=")
	p := serve(t, database, config)
	for _, k := range list {
		await(t, k.name+" connected", func() bool { return p.figure(k.name, "connected") == 1 })
		for n := range inHand {
			if err := k.publish(fmt.Sprintf("%s-%d", k.name, n)); err != nil {
				t.Fatal(err)
			}
		}
	}
	for _, k := range list {
		for range atWork {
			patience.Receive(t, "a request", k.receiver.arrived)
		}
		if k.lost {
			await(t, k.name+": what no worker takes is durable", func() bool { return p.figure(k.name, "parked") == unstarted })
			await(t, k.name+": it shows that it listens", func() bool { return scan[int](t, dsn, "SELECT count(*) FROM redrive.listeners") == 1 })
		}
	}
	p.kill()
	for _, k := range list {
		k.receiver.mu.Lock()
		close(k.receiver.hold)
		k.receiver.hold, k.receiver.status = nil, http.StatusOK
		k.receiver.mu.Unlock()
	}
	p = serve(t, database, config)
	for _, k := range list {
		doubtful := func() int {
			return scan[int](t, dsn, "SELECT count(*) FROM redrive.deliveries WHERE integration = $1 AND state = 'dead' AND error_class = 'lease_lost'", k.name)
		}
		await(t, k.name+": the others are delivered", func() bool {
			total, _ := k.receiver.requests()
			return total >= inHand && k.receiver.bodies() == inHand
		})
		if !k.lost {
			await(t, k.name+": a person hears of what was attempted", func() bool { return doubtful() == atWork })
		}
		if total, _ := k.receiver.requests(); total != inHand {
			t.Errorf("%s: %d requests for %d messages", k.name, total, inHand)
		}
		if n := scan[int](t, dsn, "SELECT count(*) FROM redrive.deliveries WHERE integration = $1 AND state = 'dead'", k.name); !k.lost && n != atWork || k.lost && n != 0 {
			t.Errorf("%s: %d dead letters, %d messages were being attempted", k.name, n, atWork)
		}
	}
	await(t, "the gap of the kill is counted", func() bool { return p.figure("redis", "gaps") == 1 })
	if code := p.stop(); code != 0 {
		t.Errorf("exit code %d", code)
	}
	p = serve(t, database, config)
	await(t, "the gap of the stop is counted", func() bool { return p.figure("redis", "gaps") == 2 })
	if wrong := scan[int](t, dsn, "SELECT count(*) FROM redrive.gaps WHERE began_at IS NULL OR NOT began_at < ended_at OR ended_at > clock_timestamp()"); wrong != 0 {
		t.Errorf("%d gaps without a time", wrong)
	}
}
