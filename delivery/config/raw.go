package config

import "fmt"

// The file as written. Pointers tell "not given" from "zero".
type rawFile struct {
	Network      rawNetwork       `yaml:"network"`
	TicketURL    string           `yaml:"ticket_url"`
	Integrations []rawIntegration `yaml:"integrations"`
}

type rawNetwork struct {
	Allow []string `yaml:"allow"`
	Deny  []string `yaml:"deny"`
}

type rawIntegration struct {
	Name        string         `yaml:"name"`
	Description string         `yaml:"description"`
	Method      string         `yaml:"method"`
	Subscribe   []string       `yaml:"subscribe"`
	Destination rawDestination `yaml:"destination"`
	Idempotent  truth          `yaml:"idempotent"`
	Ordered     truth          `yaml:"ordered"`
	Retry       rawRetry       `yaml:"retry"`
	OnFailure   string         `yaml:"on_failure"`
	Concurrency *whole         `yaml:"concurrency"`
	Mask        []string       `yaml:"mask"`
	Schema      string         `yaml:"schema"`
	Pool        *rawPool       `yaml:"pool"`
	Broker      *rawBroker     `yaml:"broker"`
	Outbox      *rawOutbox     `yaml:"outbox"`
	OnDead      string         `yaml:"on_dead"`
	Batch       *rawBatch      `yaml:"batch"`
	CDC         *rawCDC        `yaml:"cdc"`
}

type rawDestination struct {
	HTTP     *rawHTTP            `yaml:"http"`
	Kafka    *rawKafka           `yaml:"kafka"`
	RabbitMQ *rawRabbitMQ        `yaml:"rabbitmq"`
	Redis    *rawRedis           `yaml:"redis"`
	File     *rawFileDestination `yaml:"file"`
	Table    *rawTable           `yaml:"table"`
}

type rawHTTP struct {
	Format  string            `yaml:"format"`
	URL     string            `yaml:"url"`
	Method  string            `yaml:"method"`
	Headers map[string]string `yaml:"headers"`
	Secret  string            `yaml:"secret"`
	Timeout string            `yaml:"timeout"`
}

type rawRetry struct {
	Attempts *whole   `yaml:"attempts"`
	Backoff  []string `yaml:"backoff"`
	Jitter   string   `yaml:"jitter"`
}

// The broker blocks serve destinations and sources; checks refuse what belongs to the other.
type rawRedis struct {
	Addr               string  `yaml:"addr"`
	Username           string  `yaml:"username"`
	Password           string  `yaml:"password"`
	DB                 whole   `yaml:"db"`
	TLS                *rawTLS `yaml:"tls"`
	Channel            string  `yaml:"channel"`
	RequireSubscribers whole   `yaml:"require_subscribers"`
	Format             string  `yaml:"format"`
	Timeout            string  `yaml:"timeout"`
}

type rawRabbitMQ struct {
	URL        string  `yaml:"url"`
	TLS        *rawTLS `yaml:"tls"`
	Exchange   string  `yaml:"exchange"`
	RoutingKey string  `yaml:"routing_key"`
	Queue      string  `yaml:"queue"`
	Format     string  `yaml:"format"`
	Timeout    string  `yaml:"timeout"`
}

type rawKafka struct {
	Brokers rawAddresses `yaml:"brokers"`
	TLS     *rawTLS      `yaml:"tls"`
	SASL    *rawSASL     `yaml:"sasl"`
	Topic   string       `yaml:"topic"`
	Group   string       `yaml:"group"`
	Format  string       `yaml:"format"`
	Timeout string       `yaml:"timeout"`
}

type rawTLS struct {
	CA         string `yaml:"ca"`
	Cert       string `yaml:"cert"`
	Key        string `yaml:"key"`
	ServerName string `yaml:"server_name"`
}

type rawSASL struct {
	Mechanism string `yaml:"mechanism"`
	Username  string `yaml:"username"`
	Password  string `yaml:"password"`
}

type rawPool struct {
	Workers  *whole `yaml:"workers"`
	Queue    *whole `yaml:"queue"`
	WhenFull string `yaml:"when_full"`
}

type rawBroker struct {
	Redis       *rawRedis    `yaml:"redis"`
	RabbitMQ    *rawRabbitMQ `yaml:"rabbitmq"`
	Kafka       *rawKafka    `yaml:"kafka"`
	DeadLetters truth        `yaml:"dead_letters"`
	Prefetch    *whole       `yaml:"prefetch"`
}

// rawAddresses is a list of host:port. The YAML library takes an unquoted one inside [ ] for a mapping of host to port; people
// write it that way.
type rawAddresses []string

// UnmarshalYAML implements yaml.InterfaceUnmarshaler.
func (a *rawAddresses) UnmarshalYAML(unmarshal func(any) error) error {
	var items []any
	if err := unmarshal(&items); err != nil {
		var one string
		if unmarshal(&one) != nil {
			return err
		}
		items = []any{one}
	}
	for _, item := range items {
		switch item := item.(type) {
		case string:
			*a = append(*a, item)
		case map[string]any:
			for host, port := range item {
				*a = append(*a, fmt.Sprintf("%s:%v", host, port))
			}
		default:
			*a = append(*a, "")
		}
	}
	return nil
}
