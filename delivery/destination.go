package delivery

import (
	"net/url"
	"strings"
	"time"
)

// DefaultTimeout bounds one attempt where a destination names no timeout of its own.
const DefaultTimeout = 5 * time.Second

// Destination names where messages go. Exactly one field is set.
type Destination struct {
	HTTP     *HTTPDestination
	Redis    *RedisDestination
	RabbitMQ *RabbitMQDestination
	Kafka    *KafkaDestination
	File     *FileDestination
	Table    *TableDestination
}

// place is what every destination says of itself.
type place interface {
	kind() string
	address() string
	timeout() time.Duration
	// settles says whether its sender finds out by looking what an earlier attempt of the same delivery left there, and adds
	// nothing where all of it is: a second attempt is safe although the first may have had its effect.
	settles() bool
}

func (d Destination) place() place {
	switch {
	case d.HTTP != nil:
		return d.HTTP
	case d.Redis != nil:
		return d.Redis
	case d.RabbitMQ != nil:
		return d.RabbitMQ
	case d.Kafka != nil:
		return d.Kafka
	case d.File != nil:
		return d.File
	case d.Table != nil:
		return d.Table
	}
	return nowhere{}
}

// Kind is the destination's name in the integrations file, e.g. "http".
func (d Destination) Kind() string { return d.place().kind() }

// Address is the destination as people may see it: no credentials, no query string.
func (d Destination) Address() string { return d.place().address() }

// Timeout bounds one whole attempt.
func (d Destination) Timeout() time.Duration {
	if t := d.place().timeout(); t > 0 {
		return t
	}
	return DefaultTimeout
}

// Settles says whether an attempt whose outcome is unknown is settled by the next one, which looks first.
func (d Destination) Settles() bool { return d.place().settles() }

type nowhere struct{}

func (nowhere) kind() string           { return "" }
func (nowhere) address() string        { return "" }
func (nowhere) timeout() time.Duration { return 0 }
func (nowhere) settles() bool          { return false }

// HTTPDestination is an HTTP endpoint.
type HTTPDestination struct {
	URL     string
	Method  string
	Headers map[string]string
	Secret  string        // Standard Webhooks signing secret; empty: unsigned
	Timeout time.Duration // whole attempt
}

func (d *HTTPDestination) kind() string           { return "http" }
func (d *HTTPDestination) address() string        { return RedactURL(d.URL) }
func (d *HTTPDestination) timeout() time.Duration { return d.Timeout }
func (d *HTTPDestination) settles() bool          { return false }

// RedisDestination is a Redis pub/sub channel. Pub/sub has no memory: who does not listen misses the message.
type RedisDestination struct {
	RedisServer
	Channel            string
	RequireSubscribers int // fewer listeners than this are a failure; 0 accepts that nobody listens
	Format             WireFormat
	Timeout            time.Duration // whole attempt
}

func (d *RedisDestination) kind() string           { return "redis" }
func (d *RedisDestination) address() string        { return d.Addr + " " + d.Channel }
func (d *RedisDestination) timeout() time.Duration { return d.Timeout }
func (d *RedisDestination) settles() bool          { return false }

// RabbitMQDestination is an exchange of a RabbitMQ broker.
type RabbitMQDestination struct {
	RabbitMQServer
	Exchange   string // empty: the default exchange, whose routing key is a queue's name
	RoutingKey string
	Format     WireFormat
	Timeout    time.Duration // whole attempt
}

func (d *RabbitMQDestination) kind() string { return "rabbitmq" }
func (d *RabbitMQDestination) address() string {
	return strings.Join(strings.Fields(d.host()+" "+d.Exchange+" "+d.RoutingKey), " ")
}
func (d *RabbitMQDestination) timeout() time.Duration { return d.Timeout }
func (d *RabbitMQDestination) settles() bool          { return false }

// KafkaDestination is a Kafka topic.
type KafkaDestination struct {
	KafkaServer
	Topic   string
	Format  WireFormat
	Timeout time.Duration // whole attempt
}

func (d *KafkaDestination) kind() string           { return "kafka" }
func (d *KafkaDestination) address() string        { return strings.Join(d.Brokers, ",") + " " + d.Topic }
func (d *KafkaDestination) timeout() time.Duration { return d.Timeout }
func (d *KafkaDestination) settles() bool          { return false }

// WireFormat says how a message's id, type, key, attempt and headers travel beside its payload.
type WireFormat string

// Wire formats.
const (
	FormatNative      WireFormat = "native"      // payload unchanged, the rest in the broker's own properties and headers
	FormatCloudEvents WireFormat = "cloudevents" // CloudEvents 1.0: binary mode where the broker has headers, structured on Redis
)

// RedisServer is how to reach Redis.
type RedisServer struct {
	Addr     string // host:port
	Username string
	Password string
	DB       int
	TLS      *TLS // nil: plain text
}

// RabbitMQServer is how to reach RabbitMQ.
type RabbitMQServer struct {
	URL string // amqp:// or amqps://, with user, password and virtual host
	TLS *TLS   // more about an amqps:// connection; nil: the system's authorities
}

// host is the broker's address without credentials.
func (s RabbitMQServer) host() string {
	u, err := url.Parse(s.URL)
	if err != nil {
		return "(unreadable address)"
	}
	return u.Host + strings.TrimSuffix(u.EscapedPath(), "/")
}

// KafkaServer is how to reach a Kafka cluster.
type KafkaServer struct {
	Brokers []string // host:port, where the cluster is asked for its members
	SASL    *SASL    // nil: no sign-in
	TLS     *TLS     // nil: plain text
}

// SASL signs in at Kafka.
type SASL struct {
	Mechanism string // plain, scram-sha-256 or scram-sha-512
	Username  string
	Password  string
}

// TLS names files in PEM; each may be empty. Certificates are always verified.
type TLS struct {
	CA         string // authorities to trust instead of the system's
	Cert, Key  string // our own certificate and its key
	ServerName string // expected name, when it is not the address's host
}
