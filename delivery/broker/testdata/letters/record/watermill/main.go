// Command watermill lets a handler of Watermill 1.5.1 fail with a message from Kafka (watermill-kafka 3.0.6) and one from RabbitMQ
// (watermill-amqp 3.0.2), and prints what its poison queue middleware wrote, a line each. The addresses of the brokers are its arguments.
// It is run by hand, in a module of its own, against brokers that are empty and let topics be made:
//
//	go mod init record && go mod tidy && go run . 127.0.0.1:9092 amqp://127.0.0.1/
package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log"
	"os"
	"time"

	"github.com/IBM/sarama"
	"github.com/ThreeDotsLabs/watermill"
	wamqp "github.com/ThreeDotsLabs/watermill-amqp/v3/pkg/amqp"
	wkafka "github.com/ThreeDotsLabs/watermill-kafka/v3/pkg/kafka"
	"github.com/ThreeDotsLabs/watermill/message"
	"github.com/ThreeDotsLabs/watermill/message/router/middleware"
	"github.com/rabbitmq/amqp091-go"
	"github.com/twmb/franz-go/pkg/kgo"
)

const topic, poison = "milled", "milled.poison"

func main() {
	logger := watermill.NopLogger{}
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	kafka, address := os.Args[1], os.Args[2]
	queues := wamqp.NewDurableQueueConfig(address)

	kpub := must(wkafka.NewPublisher(wkafka.PublisherConfig{Brokers: []string{kafka}, Marshaler: wkafka.DefaultMarshaler{}}, logger))
	ksub := must(wkafka.NewSubscriber(wkafka.SubscriberConfig{Brokers: []string{kafka}, Unmarshaler: wkafka.DefaultMarshaler{}, ConsumerGroup: "billing",
		OverwriteSaramaConfig: fromStart()}, logger))
	qpub := must(wamqp.NewPublisher(queues, logger))
	qsub := must(wamqp.NewSubscriber(queues, logger))

	client := must(kgo.NewClient(kgo.SeedBrokers(kafka), kgo.AllowAutoTopicCreation(), kgo.ConsumeTopics(poison), kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()), kgo.UnknownTopicRetries(20)))
	check(client.ProduceSync(ctx, &kgo.Record{Topic: topic, Value: []byte("{}")}).FirstErr()) // so that the broker makes the topics
	check(client.ProduceSync(ctx, &kgo.Record{Topic: poison, Value: []byte("{}")}).FirstErr())
	check(qsub.SubscribeInitialize(topic))
	check(qsub.SubscribeInitialize(poison))
	check(errors.Join(kpub.Publish(topic, shop()), qpub.Publish(topic, shop())))

	go run(ctx, ksub, kpub)
	go run(ctx, qsub, qpub)
	for found := 0; found < 3; {
		for _, r := range client.PollFetches(ctx).Records() {
			headers := [][]any{}
			for _, h := range r.Headers {
				headers = append(headers, []any{h.Key, h.Value})
			}
			letter(map[string]any{"broker": "kafka", "key": r.Key, "value": r.Value, "headers": headers})
			found++
		}
		check(ctx.Err())
	}
	conn := must(amqp091.Dial(address))
	channel := must(conn.Channel())
	for {
		m, ok, err := channel.Get(poison, true)
		if err == nil && ok {
			letter(map[string]any{"broker": "rabbitmq", "body": string(m.Body), "headers": m.Headers, "content_type": m.ContentType, "delivery_mode": m.DeliveryMode, "message_id": m.MessageId, "type": m.Type})
			return
		}
		if err != nil {
			channel = must(conn.Channel())
		}
		check(ctx.Err())
		time.Sleep(50 * time.Millisecond)
	}
}

func run(ctx context.Context, sub message.Subscriber, pub message.Publisher) {
	router := must(message.NewRouter(message.RouterConfig{}, watermill.NopLogger{}))
	router.AddMiddleware(must(middleware.PoisonQueue(pub, poison)))
	router.AddNoPublisherHandler("billing", topic, sub, func(*message.Message) error { return errors.New("no such shop: 17") })
	check(router.Run(ctx))
}

func shop() *message.Message {
	m := message.NewMessage(watermill.NewUUID(), []byte(`{"order": 1, "n": 1.50}`))
	m.Metadata.Set("x-shop", "17")
	return m
}

func fromStart() *sarama.Config {
	c := wkafka.DefaultSaramaSubscriberConfig()
	c.Consumer.Offsets.Initial = sarama.OffsetOldest
	return c
}

func letter(l map[string]any) { fmt.Println("LETTER " + string(must(json.Marshal(l)))) }

func must[T any](v T, err error) T { check(err); return v }

func check(err error) {
	if err != nil {
		log.Fatal(err)
	}
}
