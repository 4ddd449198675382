package broker

import (
	"strings"

	"redrive/delivery"
	"redrive/delivery/form"
)

// sourceKind is a broker that messages are taken from: its settings, and the driver that is made of them.
type sourceKind struct {
	form.Source
	open func(Config) (driver, error)
}

// sourceKinds are all of them, in the order in which people read them.
var sourceKinds = []sourceKind{
	{
		form.Source{Name: delivery.BrokerRedis, Block: form.Reads(readRedis),
			NoDeadLetters: "Redis pub/sub has no dead letters",
			Least:         `{addr: "h:1", channel: c}`,
			Pages:         []form.Page{form.RedisPage}},
		func(cfg Config) (driver, error) {
			return newRedis(cfg, *cfg.Integration.Broker.From.(*delivery.RedisSource))
		},
	},
	{
		form.Source{Name: delivery.BrokerRabbitMQ, Block: form.Reads(readRabbitMQ),
			Least: `{url: "amqp://h", queue: q}`,
			Pages: []form.Page{form.RabbitMQPage}},
		func(cfg Config) (driver, error) {
			return newRabbitMQ(cfg, *cfg.Integration.Broker.From.(*delivery.RabbitMQSource)), nil
		},
	},
	{
		form.Source{Name: delivery.BrokerKafka, Block: form.Reads(readKafka), Positions: true,
			Prefetch: kafkaPrefetch,
			Least:    `{brokers: ["h:1"], topic: t, group: g}`,
			Pages:    []form.Page{form.KafkaPage}},
		func(cfg Config) (driver, error) {
			return newKafka(cfg, *cfg.Integration.Broker.From.(*delivery.KafkaSource))
		},
	},
}

// Sources are the kinds of brokers that messages can be taken from.
func Sources() []form.Source {
	list := make([]form.Source, len(sourceKinds))
	for i, k := range sourceKinds {
		list[i] = k.Source
	}
	return list
}

func readRedis(r *form.Reader, path string, b *form.Redis) delivery.BrokerSource {
	if b.RequireSubscribers != 0 || b.Timeout != "" {
		r.Fail(path+"addr", "broker.redis: require_subscribers and timeout belong to a destination")
	}
	return delivery.BrokerSource{Format: r.Format(path+"format", b.Format),
		From: &delivery.RedisSource{RedisServer: b.Server(r, path), Channel: r.Required(path, "channel", b.Channel)}}
}

func readRabbitMQ(r *form.Reader, path string, b *form.RabbitMQ) delivery.BrokerSource {
	if b.Exchange != "" || b.RoutingKey != "" || b.Timeout != "" {
		r.Fail(path+"url", "broker.rabbitmq: exchange, routing_key and timeout belong to a destination")
	}
	return delivery.BrokerSource{Format: r.Format(path+"format", b.Format),
		From: &delivery.RabbitMQSource{RabbitMQServer: b.Server(r, path), Queue: r.Required(path, "queue", b.Queue)}}
}

func readKafka(r *form.Reader, path string, b *form.Kafka) delivery.BrokerSource {
	if b.Timeout != "" {
		r.Fail(path+"timeout", "broker.kafka: timeout belongs to a destination")
	}
	group, shared := strings.TrimSpace(r.Expand(path+"group", b.Group)), strings.TrimSpace(r.Expand(path+"share_group", b.ShareGroup))
	switch {
	case group == "" && shared == "":
		r.Fail(path+"group", "group: missing; write group: NAME, or share_group: NAME with Kafka 4.2 or later")
	case group != "" && shared != "":
		r.Fail(path+"share_group", "share_group: a source has group or share_group, not both; remove one of them")
	}
	return delivery.BrokerSource{
		Format: r.Format(path+"format", b.Format),
		From: &delivery.KafkaSource{KafkaServer: b.Server(r, path), Topic: r.Required(path, "topic", b.Topic),
			Group: group, ShareGroup: shared, KeepTime: b.KeepsTime(r, path)},
	}
}
