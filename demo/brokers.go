package demo

import (
	"context"
	"embed"
	"errors"
	"fmt"
	"strings"

	"github.com/google/uuid"
	amqp "github.com/rabbitmq/amqp091-go"
	"github.com/redis/go-redis/v9"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"

	"redrive/delivery"
)

// Brokers are the addresses of brokers for the demo, which are also flags; an empty one leaves its integration out. Kafka may have
// several addresses, separated by commas.
type Brokers struct {
	Redis    string `name:"redis"    env:"REDIS"    help:"Redis (host:port) for one more integration of the demo."`
	RabbitMQ string `name:"rabbitmq" env:"RABBITMQ" help:"RabbitMQ (amqp:// URL) for one more integration of the demo."`
	Kafka    string `name:"kafka"    env:"KAFKA"    help:"Kafka (host:port, …) for one more integration of the demo."`
}

// What the demo makes for itself at the brokers.
const (
	stockChannel = "redrive-demo.stock"
	parcelQueue  = "redrive-demo.parcels"
	viewTopic    = "redrive-demo.views"
)

//go:embed redis.yaml rabbitmq.yaml kafka.yaml
var blocks embed.FS

// brokerBlocks are the integrations of the brokers, in the shape of list entries.
var brokerBlocks = func() map[string][]byte {
	out := map[string][]byte{}
	for _, name := range []string{"redis", "rabbitmq", "kafka"} {
		block, err := blocks.ReadFile(name + ".yaml")
		if err != nil {
			panic(err) // embedded above
		}
		out[name] = block
	}
	return out
}()

// given lists the brokers that have an address.
func (b Brokers) given() (names []string) {
	for _, broker := range []struct{ name, address string }{{"rabbitmq", b.RabbitMQ}, {"kafka", b.Kafka}, {"redis", b.Redis}} {
		if broker.address != "" {
			names = append(names, broker.name)
		}
	}
	return names
}

// publisher hands a message over after the commit and returns its id.
type publisher interface {
	publish(ctx context.Context, m handover) (id string, err error)
	close()
}

func (b Brokers) connect(ctx context.Context, name string) (publisher, error) {
	switch name {
	case "redis":
		return redisPublisher{redis.NewClient(&redis.Options{Addr: b.Redis})}, nil
	case "rabbitmq":
		p := &rabbitPublisher{url: b.RabbitMQ}
		_, err := p.open()
		return p, err
	default:
		return newKafkaPublisher(ctx, strings.Split(b.Kafka, ","))
	}
}

// offer is the pool of this very process.
type offer func(context.Context, delivery.Message) (delivery.Accepted, error)

func (o offer) publish(ctx context.Context, m handover) (string, error) {
	accepted, err := o(ctx, delivery.Message{
		Kind:        delivery.KindCommand,
		Integration: m.integration,
		Type:        m.messageType,
		Key:         m.key,
		Payload:     m.payload,
	})
	return accepted.ID, err
}

func (offer) close() {}

type redisPublisher struct{ *redis.Client }

func (p redisPublisher) publish(ctx context.Context, m handover) (string, error) {
	return uuid.NewString(), p.Publish(ctx, stockChannel, m.payload).Err()
}

func (p redisPublisher) close() { _ = p.Close() }

// rabbitPublisher opens a channel for each message: the demo sends few, and a broken connection is simply opened again.
type rabbitPublisher struct {
	url  string
	conn *amqp.Connection
}

// open returns a channel in confirm mode on which the queue is known to exist.
func (p *rabbitPublisher) open() (*amqp.Channel, error) {
	if p.conn == nil || p.conn.IsClosed() {
		conn, err := amqp.Dial(p.url)
		if err != nil {
			return nil, errors.New("the broker cannot be reached, or refuses the login") // err may quote the password
		}
		p.conn = conn
	}
	channel, err := p.conn.Channel()
	if err != nil {
		return nil, fmt.Errorf("open a channel: %w", err)
	}
	if _, err := channel.QueueDeclare(parcelQueue, true, false, false, false, nil); err != nil {
		return nil, fmt.Errorf("declare the queue: %w", err)
	}
	return channel, channel.Confirm(false)
}

func (p *rabbitPublisher) publish(ctx context.Context, m handover) (string, error) {
	channel, err := p.open()
	if err != nil {
		return "", err
	}
	defer channel.Close()
	id := uuid.NewString()
	confirmation, err := channel.PublishWithDeferredConfirmWithContext(ctx, "", parcelQueue, true, false, amqp.Publishing{
		MessageId:    id,
		Type:         m.messageType,
		ContentType:  "application/json",
		DeliveryMode: amqp.Persistent,
		Headers:      amqp.Table{"redrive-key": m.key},
		Body:         m.payload,
	})
	if err != nil {
		return "", fmt.Errorf("publish: %w", err)
	}
	if acked, err := confirmation.WaitContext(ctx); err != nil || !acked {
		return "", fmt.Errorf("the broker did not confirm: %w", err)
	}
	return id, nil
}

func (p *rabbitPublisher) close() {
	if p.conn != nil {
		_ = p.conn.Close()
	}
}

type kafkaPublisher struct{ *kgo.Client }

func newKafkaPublisher(ctx context.Context, brokers []string) (publisher, error) {
	client, err := kgo.NewClient(kgo.SeedBrokers(brokers...), kgo.DefaultProduceTopic(viewTopic))
	if err != nil {
		return nil, err
	}
	request := kmsg.NewPtrCreateTopicsRequest()
	topic := kmsg.NewCreateTopicsRequestTopic()
	topic.Topic, topic.NumPartitions, topic.ReplicationFactor = viewTopic, 2, -1
	request.Topics = append(request.Topics, topic)
	answer, err := request.RequestWith(ctx, client)
	if err == nil && len(answer.Topics) == 1 {
		err = kerr.ErrorForCode(answer.Topics[0].ErrorCode)
	}
	if err != nil && !errors.Is(err, kerr.TopicAlreadyExists) {
		client.Close()
		return nil, fmt.Errorf("create the topic: %w", err)
	}
	return kafkaPublisher{client}, nil
}

func (p kafkaPublisher) publish(ctx context.Context, m handover) (string, error) {
	id := uuid.NewString()
	record := &kgo.Record{
		Key:     []byte(m.key),
		Value:   m.payload,
		Headers: []kgo.RecordHeader{{Key: "redrive-id", Value: []byte(id)}, {Key: "redrive-type", Value: []byte(m.messageType)}},
	}
	return id, p.ProduceSync(ctx, record).FirstErr()
}

func (p kafkaPublisher) close() { p.Close() }
