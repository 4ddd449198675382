package delivery

import (
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"
)

// DefaultTimeout bounds one attempt where a destination names no timeout of its own.
const DefaultTimeout = 5 * time.Second

// Destination is where messages go.
type Destination struct {
	To   Target // nil: nowhere
	Veil *Veil  // what Address must not say; nil: nothing
}

// Target is the settings of one kind of destination. Each kind has a type of its own; package kinds lists them with their code.
type Target interface {
	// Kind is its name in the integrations file, e.g. "http".
	Kind() string
	// Address is the destination as people may see it: no credentials, no query string.
	Address() string
	// Limit bounds one whole attempt; 0: DefaultTimeout.
	Limit() time.Duration
	// Traits are what the program has to know of it, with these settings.
	Traits() Traits
}

// Traits are what kinds of destinations differ in, beyond their senders.
type Traits struct {
	// Settles: its sender finds out by looking what an earlier attempt of the same delivery left there, and adds nothing where all of
	// it is: a second attempt is safe although the first may have had its effect.
	Settles bool
	// Bare: it gets the payload alone, without a header.
	Bare bool
	// KnowsNull: a payload that is null arrives as null, and not as an empty one.
	KnowsNull bool
}

// TypedTarget is a Target that carries the properties and headers of its own kind of broker as they are, but for these losses.
type TypedTarget interface {
	Losses(Message) []Loss
}

// RowTarget is a Target that says how the rows of a batch are written for it.
type RowTarget interface {
	Rows() FileFormat
}

var destinationKinds []string

// DestinationKinds are the names of all kinds of destinations, in the order in which people read them.
func DestinationKinds() []string { return slices.Clone(destinationKinds) }

// KnowDestinations is told the names by package kinds, which lists the kinds with their code and imports this package. Not for use
// while anything else runs.
func KnowDestinations(names []string) { destinationKinds = slices.Clone(names) }

// Kind is the destination's name in the integrations file, e.g. "http"; empty for nowhere.
func (d Destination) Kind() string {
	if d.To == nil {
		return ""
	}
	return d.To.Kind()
}

// Address is the destination as people may see it: no credentials, no query string.
func (d Destination) Address() string {
	if d.To == nil {
		return ""
	}
	return d.Veil.In(d.To.Address())
}

// Timeout bounds one whole attempt.
func (d Destination) Timeout() time.Duration {
	if d.To != nil && d.To.Limit() > 0 {
		return d.To.Limit()
	}
	return DefaultTimeout
}

// Settles reports whether an attempt whose outcome is unknown is settled by the next one, which looks first.
func (d Destination) Settles() bool { return d.traits().Settles }

func (d Destination) traits() Traits {
	if d.To == nil {
		return Traits{}
	}
	return d.To.Traits()
}

// HTTPDestination is an HTTP endpoint.
type HTTPDestination struct {
	URL     string
	Method  string
	Headers map[string]string
	Pass    []string // headers by which a caller signs in ([LoginHeader]) that a message may set; in canonical form
	Secret  string   // Standard Webhooks signing secret; empty: unsigned
	Former  string   // the one before, which signs beside it while the receiver changes over; empty: none
	Format  WireFormat
	Timeout time.Duration // whole attempt
}

// Passes reports whether a header of a message goes to the receiver.
func (d *HTTPDestination) Passes(name string) bool {
	return !ReservedHeader(name) && (!LoginHeader(name) || slices.Contains(d.Pass, http.CanonicalHeaderKey(name)))
}

// Kind implements Target.
func (d *HTTPDestination) Kind() string { return "http" }

// Address implements Target.
func (d *HTTPDestination) Address() string { return RedactURL(d.URL) }

// Limit implements Target.
func (d *HTTPDestination) Limit() time.Duration { return d.Timeout }

// Traits implements Target.
func (d *HTTPDestination) Traits() Traits { return Traits{} }

// RedisDestination is a Redis pub/sub channel. Pub/sub has no memory: who does not listen misses the message.
type RedisDestination struct {
	RedisServer
	Channel            string
	RequireSubscribers int // fewer listeners than this are a failure; 0 accepts that nobody listens
	Format             WireFormat
	Timeout            time.Duration // whole attempt
}

// Kind implements Target.
func (d *RedisDestination) Kind() string { return BrokerRedis }

// Address implements Target.
func (d *RedisDestination) Address() string { return d.Addr + " " + d.Channel }

// Limit implements Target.
func (d *RedisDestination) Limit() time.Duration { return d.Timeout }

// Traits implements Target: a CloudEvent in JSON has headers, and may have no data.
func (d *RedisDestination) Traits() Traits {
	event := d.Format == FormatCloudEvents
	return Traits{Bare: !event, KnowsNull: event}
}

// RabbitMQDestination is an exchange of a RabbitMQ broker.
type RabbitMQDestination struct {
	RabbitMQServer
	Exchange   string // empty: the default exchange, whose routing key is a queue's name
	RoutingKey string
	Format     WireFormat
	Timeout    time.Duration // whole attempt
}

// Kind implements Target.
func (d *RabbitMQDestination) Kind() string { return BrokerRabbitMQ }

// Address implements Target.
func (d *RabbitMQDestination) Address() string {
	return strings.Join(strings.Fields(d.host()+" "+d.Exchange+" "+d.RoutingKey), " ")
}

// Limit implements Target.
func (d *RabbitMQDestination) Limit() time.Duration { return d.Timeout }

// Traits implements Target.
func (d *RabbitMQDestination) Traits() Traits { return Traits{} }

// KafkaDestination is a Kafka topic.
type KafkaDestination struct {
	KafkaServer
	Topic   string
	Format  WireFormat
	Timeout time.Duration // whole attempt

	KeepTime bool // a record of Kafka is sent with the time that it had; else with that of its sending
}

// Kind implements Target.
func (d *KafkaDestination) Kind() string { return BrokerKafka }

// Address implements Target.
func (d *KafkaDestination) Address() string { return strings.Join(d.Brokers, ",") + " " + d.Topic }

// Limit implements Target.
func (d *KafkaDestination) Limit() time.Duration { return d.Timeout }

// Traits implements Target: Kafka has values that are null.
func (d *KafkaDestination) Traits() Traits { return Traits{KnowsNull: true} }

// WireFormat says how a message's id, type, key, attempt and headers travel beside its payload.
type WireFormat string

// Wire formats.
const (
	FormatNative      WireFormat = "native"      // payload unchanged, the rest in the protocol's own properties and headers
	FormatCloudEvents WireFormat = "cloudevents" // CloudEvents 1.0: binary mode where the protocol has headers, structured on Redis

	// FormatStructured is a CloudEvent that is one JSON object; only HTTP, which has both modes, offers it beside the binary one.
	FormatStructured WireFormat = "cloudevents-structured"
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
	Mechanism string // plain, scram-sha-256, scram-sha-512 or oauthbearer
	Username  string
	Password  string
	Token     *ClientCredentials // of oauthbearer; nil otherwise
}

// OAuthBearer is the mechanism that signs in with a token.
const OAuthBearer = "oauthbearer"

// ClientCredentials are how a token is got (OAuth 2.0, RFC 6749, section 4.4).
type ClientCredentials struct {
	URL        string // of the token endpoint
	ID, Secret string
	Scope      string            // several are parted by blanks; empty: none is named
	Extensions map[string]string // of SASL, which the broker is told beside the token
	CA         string            // PEM file of authorities to trust for the endpoint instead of the system's
}

// Secrets must not show in what libraries and servers say. No sign-in has none.
func (s *SASL) Secrets() []string {
	switch {
	case s == nil:
		return nil
	case s.Token != nil:
		return []string{s.Password, s.Token.Secret}
	}
	return []string{s.Password}
}

// TLS names files in PEM; each may be empty. Certificates are always verified.
type TLS struct {
	CA         string // authorities to trust instead of the system's
	Cert, Key  string // our own certificate and its key
	ServerName string // expected name, when it is not the address's host
}
