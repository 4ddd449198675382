package config

import (
	"net"
	"net/url"
	"slices"
	"strings"

	"redrive/delivery"
)

const (
	defaultPrefetch = 256
	maxPrefetch     = 10_000
	maxPoolWorkers  = 10_000
	maxPoolQueue    = 1_000_000
)

var (
	whenFull   = []delivery.WhenFull{delivery.WhenFullBlock, delivery.WhenFullCallerRuns, delivery.WhenFullJournal}
	mechanisms = []string{"plain", "scram-sha-256", "scram-sha-512"}
)

func (c *checker) pool(i int, in rawIntegration) *delivery.PoolSettings {
	if in.Method != string(delivery.MethodPool) {
		return nil
	}
	r, path := in.Pool, at(i, "pool.")
	if r == nil {
		r = &rawPool{}
	}
	p := &delivery.PoolSettings{WhenFull: delivery.WhenFull(r.WhenFull),
		Workers: c.number(path+"workers", "pool.workers", r.Workers, delivery.DefaultPoolWorkers, 1, maxPoolWorkers),
		Queue:   c.number(path+"queue", "pool.queue", r.Queue, delivery.DefaultPoolQueue, 1, maxPoolQueue)}
	if r.WhenFull == "" {
		p.WhenFull = delivery.WhenFullBlock
	}
	if !slices.Contains(whenFull, p.WhenFull) {
		c.fail(path+"when_full", "pool.when_full: %q is none of block, caller-runs, journal", r.WhenFull)
	}
	return p
}

func (c *checker) broker(i int, in rawIntegration) *delivery.BrokerSource {
	if in.Method != string(delivery.MethodBroker) {
		return nil
	}
	r, path := in.Broker, at(i, "broker.")
	if r == nil {
		c.fail(at(i, "method"), "broker: missing; write broker: {rabbitmq: {url: …, queue: …}}, or kafka, or redis")
		return nil
	}
	b := &delivery.BrokerSource{DeadLetters: bool(r.DeadLetters),
		Prefetch: c.number(path+"prefetch", "broker.prefetch", r.Prefetch, defaultPrefetch, 1, maxPrefetch)}
	switch given := countTrue(r.Redis != nil, r.RabbitMQ != nil, r.Kafka != nil); {
	case given != 1:
		c.fail(at(i, "broker"), "broker: exactly one of redis, rabbitmq and kafka is needed, %d are given", given)
	case r.Redis != nil:
		c.redisSource(path+"redis.", r.Redis, b)
	case r.RabbitMQ != nil:
		c.rabbitMQSource(path+"rabbitmq.", r.RabbitMQ, b)
	default:
		c.kafkaSource(path+"kafka.", r.Kafka, b)
	}
	return b
}

func (c *checker) redisSource(path string, r *rawRedis, b *delivery.BrokerSource) {
	if r.RequireSubscribers != 0 || r.Timeout != "" {
		c.fail(path+"addr", "broker.redis: require_subscribers and timeout belong to a destination")
	}
	if b.DeadLetters {
		c.fail(path+"addr", "broker.dead_letters: Redis pub/sub has no dead letters; use rabbitmq or kafka")
	}
	b.Format = c.format(path+"format", r.Format)
	b.Redis = &delivery.RedisSource{RedisServer: c.redisServer(path, r), Channel: c.required(path, "channel", r.Channel)}
}

func (c *checker) rabbitMQSource(path string, r *rawRabbitMQ, b *delivery.BrokerSource) {
	if r.Exchange != "" || r.RoutingKey != "" || r.Timeout != "" {
		c.fail(path+"url", "broker.rabbitmq: exchange, routing_key and timeout belong to a destination")
	}
	b.Format = c.format(path+"format", r.Format)
	b.RabbitMQ = &delivery.RabbitMQSource{RabbitMQServer: c.rabbitMQServer(path, r), Queue: c.required(path, "queue", r.Queue)}
}

func (c *checker) kafkaSource(path string, r *rawKafka, b *delivery.BrokerSource) {
	if r.Timeout != "" {
		c.fail(path+"timeout", "broker.kafka: timeout belongs to a destination")
	}
	b.Format = c.format(path+"format", r.Format)
	b.Kafka = &delivery.KafkaSource{KafkaServer: c.kafkaServer(path, r), Topic: c.required(path, "topic", r.Topic), Group: c.required(path, "group", r.Group)}
}

func (c *checker) redisDestination(path string, r *rawRedis) *delivery.RedisDestination {
	if r.RequireSubscribers < 0 {
		c.fail(path+"require_subscribers", "require_subscribers: %d is less than 0", r.RequireSubscribers)
	}
	return &delivery.RedisDestination{RedisServer: c.redisServer(path, r), Channel: c.required(path, "channel", r.Channel),
		RequireSubscribers: int(r.RequireSubscribers), Format: c.format(path+"format", r.Format), Timeout: c.timeout(path+"timeout", r.Timeout)}
}

func (c *checker) rabbitMQDestination(path string, r *rawRabbitMQ) *delivery.RabbitMQDestination {
	if r.Queue != "" {
		c.fail(path+"queue", "queue belongs to a source; a destination names an exchange and a routing_key")
	}
	if r.Exchange == "" && r.RoutingKey == "" {
		c.fail(path+"url", "rabbitmq: name an exchange, or a routing_key, which without an exchange is a queue's name")
	}
	return &delivery.RabbitMQDestination{RabbitMQServer: c.rabbitMQServer(path, r), Exchange: r.Exchange, RoutingKey: r.RoutingKey,
		Format: c.format(path+"format", r.Format), Timeout: c.timeout(path+"timeout", r.Timeout)}
}

func (c *checker) kafkaDestination(path string, r *rawKafka) *delivery.KafkaDestination {
	if r.Group != "" {
		c.fail(path+"group", "group belongs to a source")
	}
	return &delivery.KafkaDestination{KafkaServer: c.kafkaServer(path, r), Topic: c.required(path, "topic", r.Topic),
		Format: c.format(path+"format", r.Format), Timeout: c.timeout(path+"timeout", r.Timeout)}
}

func (c *checker) redisServer(path string, r *rawRedis) delivery.RedisServer {
	if r.DB < 0 {
		c.fail(path+"db", "db: %d is less than 0", r.DB)
	}
	return delivery.RedisServer{Addr: c.address(path, "addr", r.Addr), Username: c.expand(path+"username", r.Username),
		Password: c.expand(path+"password", r.Password), DB: int(r.DB), TLS: c.tls(path, r.TLS)}
}

func (c *checker) rabbitMQServer(path string, r *rawRabbitMQ) delivery.RabbitMQServer {
	text := c.expand(path+"url", r.URL)
	u, err := url.Parse(text)
	if err != nil || u.Scheme != "amqp" && u.Scheme != "amqps" || u.Hostname() == "" {
		c.fail(path+"url", "url: an amqp:// or amqps:// address is needed")
	} else if r.TLS != nil && u.Scheme != "amqps" {
		c.fail(path+"tls", "tls: the url must start with amqps://")
	}
	return delivery.RabbitMQServer{URL: text, TLS: c.tls(path, r.TLS)}
}

func (c *checker) kafkaServer(path string, r *rawKafka) delivery.KafkaServer {
	s := delivery.KafkaServer{TLS: c.tls(path, r.TLS), SASL: c.sasl(path+"sasl.", r.SASL)}
	if len(r.Brokers) == 0 {
		c.fail(path+"brokers", "brokers: missing; write brokers: [host:9092]")
	}
	for _, text := range r.Brokers {
		// one setting may hold several, as they usually come from the environment
		for _, one := range strings.Split(c.expand(path+"brokers", text), ",") {
			s.Brokers = append(s.Brokers, c.hostPort(path, "brokers", strings.TrimSpace(one)))
		}
	}
	return s
}

func (c *checker) sasl(path string, r *rawSASL) *delivery.SASL {
	if r == nil {
		return nil
	}
	if !slices.Contains(mechanisms, r.Mechanism) {
		c.fail(path+"mechanism", "sasl.mechanism: %q is none of %s", r.Mechanism, strings.Join(mechanisms, ", "))
	}
	return &delivery.SASL{Mechanism: r.Mechanism, Username: c.required(path, "username", r.Username), Password: c.required(path, "password", r.Password)}
}

func (c *checker) tls(path string, r *rawTLS) *delivery.TLS {
	if r == nil {
		return nil
	}
	if (r.Cert == "") != (r.Key == "") {
		c.fail(path+"tls", "tls: cert and key belong together")
	}
	return &delivery.TLS{CA: c.expand(path+"tls.ca", r.CA), Cert: c.expand(path+"tls.cert", r.Cert), Key: c.expand(path+"tls.key", r.Key), ServerName: r.ServerName}
}

func (c *checker) format(path, text string) delivery.WireFormat {
	switch f := delivery.WireFormat(text); f {
	case "":
		return delivery.FormatNative
	case delivery.FormatNative, delivery.FormatCloudEvents:
		return f
	}
	c.fail(path, "format: %q is neither native nor cloudevents", text)
	return delivery.FormatNative
}

func (c *checker) required(path, setting, text string) string {
	text = c.expand(path+setting, text)
	if strings.TrimSpace(text) == "" {
		c.fail(path+setting, "%s: missing", setting)
	}
	return text
}

func (c *checker) address(path, setting, text string) string {
	return c.hostPort(path, setting, c.expand(path+setting, text))
}

func (c *checker) hostPort(path, setting, text string) string {
	if host, port, err := net.SplitHostPort(text); err != nil || host == "" || port == "" {
		c.fail(path+setting, "%s: an address such as 127.0.0.1:6379 is needed", setting) // what is there may hold a password
	}
	return text
}
