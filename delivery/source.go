package delivery

import (
	"net/url"
	"strings"
	"time"
)

// PoolSettings are the bounds of a pool integration.
type PoolSettings struct {
	Workers  int      // tasks at once; default 50
	Queue    int      // tasks that wait for a worker; default 1000
	WhenFull WhenFull // default block
}

// WhenFull says what a hand-over does when the pool's queue is full.
type WhenFull string

// What happens when a pool is full.
const (
	WhenFullBlock      WhenFull = "block"       // the producer waits
	WhenFullCallerRuns WhenFull = "caller-runs" // the producer makes the attempt itself
	WhenFullJournal    WhenFull = "journal"     // the message is written to disk and delivered later
)

// Defaults of a pool.
const (
	DefaultPoolWorkers = 50
	DefaultPoolQueue   = 1000
)

// DefaultPoolRetry is a pool's policy where none is named: one more try, after half a second.
var DefaultPoolRetry = RetryPolicy{Attempts: 2, Jitter: JitterNone, Backoff: []time.Duration{500 * time.Millisecond}}

// BrokerSource is where a broker integration takes its messages from.
type BrokerSource struct {
	From        Source
	DeadLetters bool // the source is somebody else's dead-letter queue: nothing is sent before a person says so
	OnGap       OnGap
	Original    Original // of dead letters that have lost it
	Format      WireFormat
	Prefetch    int   // messages taken and not yet acknowledged, at most
	Veil        *Veil // what Address must not say; nil: nothing
}

// Original says whose records are read from where they died, because the dead letter is not all of them.
type Original string

// Whose originals are read.
const (
	OriginalLost  Original = ""      // of those who write dead letters without headers
	OriginalFetch Original = "fetch" // of everybody who says where it died
	OriginalAsIs  Original = "as-is" // nobody's
)

// Source is the settings of one kind of broker to take messages from. Each kind has a type of its own; package kinds lists them
// with their code.
type Source interface {
	// Kind is its name in the integrations file, e.g. "redis"; messages carry it in Origin.Broker.
	Kind() string
	// Address is the source as people may see it.
	Address() string
	// Secrets must not show in what libraries and servers say.
	Secrets() []string
	// WayBack is where entries of a dead-letter queue go back to; where exactly is in each message's origin. nil: the broker has no
	// dead letters.
	WayBack() Target
}

// Names of brokers: as source, as destination and in Origin.Broker.
const (
	BrokerRedis    = "redis"
	BrokerRabbitMQ = "rabbitmq"
	BrokerKafka    = "kafka"
)

// RedisSource is a pub/sub channel to listen to.
type RedisSource struct {
	RedisServer
	Channel string
}

// Kind implements Source.
func (s *RedisSource) Kind() string { return BrokerRedis }

// Address implements Source.
func (s *RedisSource) Address() string { return s.Addr + " " + s.Channel }

// Secrets implements Source.
func (s *RedisSource) Secrets() []string { return []string{s.Password} }

// WayBack implements Source: pub/sub has no dead letters.
func (s *RedisSource) WayBack() Target { return nil }

// RabbitMQSource is a queue to consume.
type RabbitMQSource struct {
	RabbitMQServer
	Queue string
}

// Kind implements Source.
func (s *RabbitMQSource) Kind() string { return BrokerRabbitMQ }

// Address implements Source.
func (s *RabbitMQSource) Address() string { return s.host() + " " + s.Queue }

// Secrets implements Source.
func (s *RabbitMQSource) Secrets() []string {
	u, err := url.Parse(s.URL)
	if err != nil || u.User == nil {
		return nil
	}
	password, _ := u.User.Password()
	return []string{password, url.QueryEscape(password)}
}

// WayBack implements Source.
func (s *RabbitMQSource) WayBack() Target {
	return &RabbitMQDestination{RabbitMQServer: s.RabbitMQServer, Format: FormatNative, Timeout: DefaultTimeout}
}

// KafkaSource is a topic to consume as a member of a group or of a share group.
type KafkaSource struct {
	KafkaServer
	Topic      string
	Group      string // empty: ShareGroup is set
	ShareGroup string

	KeepTime bool // of the way back, see KafkaDestination
}

// Kind implements Source.
func (s *KafkaSource) Kind() string { return BrokerKafka }

// Address implements Source.
func (s *KafkaSource) Address() string { return strings.Join(s.Brokers, ",") + " " + s.Topic }

// Secrets implements Source.
func (s *KafkaSource) Secrets() []string { return s.SASL.Secrets() }

// WayBack implements Source.
func (s *KafkaSource) WayBack() Target {
	return &KafkaDestination{KafkaServer: s.KafkaServer, Format: FormatNative, Timeout: DefaultTimeout, KeepTime: s.KeepTime}
}

// Kind is the broker's name in the integrations file, e.g. "redis".
func (b BrokerSource) Kind() string {
	if b.From == nil {
		return ""
	}
	return b.From.Kind()
}

// Address is the source as people may see it.
func (b BrokerSource) Address() string {
	if b.From == nil {
		return ""
	}
	return b.Veil.In(b.From.Address())
}

// Origin is where a message came from, when a broker brought it or a batch's receiver gave it back.
type Origin struct {
	Broker    string    `json:"broker"`              // redis, rabbitmq, kafka, or batch: then File is set
	Place     string    `json:"place"`               // channel, queue or topic that it was taken from
	Exchange  string    `json:"exchange,omitempty"`  // RabbitMQ: as it was published
	Routing   string    `json:"routing,omitempty"`   // RabbitMQ: routing key
	ID        string    `json:"id,omitempty"`        // RabbitMQ: message_id, which goes back with it
	Partition *int32    `json:"partition,omitempty"` // Kafka
	Offset    *int64    `json:"offset,omitempty"`    // Kafka
	At        time.Time `json:"at,omitzero"`         // the broker's time, else when it was taken
	// Deliveries is how often a share group of Kafka had given it out when it was taken, the last time included; 0: nobody says.
	Deliveries int `json:"deliveries,omitempty"`
	// Raw are headers that are no text, in Base64: what goes back to the broker carries them unchanged.
	Raw map[string]string `json:"raw,omitempty"`
	// Properties are those of a RabbitMQ message, by their names in AMQP, and the key of a Kafka record where Message.Key is not just
	// that; nil where they were not kept.
	Properties []Field `json:"properties,omitzero"`
	// Headers are all of the broker's headers, in order, where Message.Headers does not say all of them.
	Headers []Field `json:"header_list,omitempty"`
	// Dead is set for an entry of somebody else's dead-letter queue.
	Dead *DeadOrigin `json:"dead,omitempty"`
	// File is set for a row that the receiver of a batch's file rejected.
	File *FileOrigin `json:"file,omitempty"`
}

// DeadOrigin is what a foreign dead-letter queue says of an entry.
type DeadOrigin struct {
	Family    string    `json:"family,omitempty"`    // the program that wrote it, e.g. Kafka Connect; empty: nobody knows
	Place     string    `json:"place"`               // queue or topic in which it died: where a retry sends it
	Exchange  string    `json:"exchange,omitempty"`  // RabbitMQ: a retry publishes it there with Place as routing key; empty: Place is a queue
	Partition *int32    `json:"partition,omitempty"` // Kafka
	Offset    *int64    `json:"offset,omitempty"`    // Kafka
	At        time.Time `json:"at,omitzero"`         // when it was produced (Kafka) or died (RabbitMQ)
	Group     string    `json:"group,omitempty"`     // the consumer group, connector, handler or consumer that gave up
	Reason    string    `json:"reason"`              // exception class; where RabbitMQ itself wrote it: rejected, expired, maxlen, delivery_limit
	Error     string    `json:"error,omitempty"`     // exception class and message, or a sentence made of the reason
	Count     int       `json:"count,omitempty"`     // how often it died
	Attempts  int       `json:"attempts,omitempty"`  // made before it died; 0: nobody says

	Fetched bool             `json:"fetched,omitempty"` // the record was read from where it died, and is the message
	Missing *MissingOriginal `json:"missing,omitempty"` // the dead letter is not all of the record, and the rest could not be read
}

// MissingOriginal is what a dead letter lacks of the record that died.
type MissingOriginal struct {
	Record bool   `json:"record,omitempty"` // all of it; else the headers
	Why    Phrase `json:"why"`
}

// LacksRecord reports whether nothing of what died is known but its place: to send that would send an empty record.
func (o *Origin) LacksRecord() bool {
	return o != nil && o.Dead != nil && o.Dead.Missing != nil && o.Dead.Missing.Record
}

// Where is the place in which it died, for people.
func (d DeadOrigin) Where() string { return strings.TrimSpace(d.Exchange + " " + d.Place) }

// Parked is a message whose first attempts were made outside of the engine, by a pool or a broker's consumer, and which
// becomes durable now: message, record, attempts and, while Next is pending, a place in the queue.
type Parked struct {
	DeliveryID  string // uuid
	Integration string
	Message     Message       // with its ID; Kind is command
	InboxKey    string        // identity at the source, see Inbox; empty: none
	Attempts    []Attempt     // made so far, oldest first, none of them ok; empty: it was never tried
	Next        State         // pending, dead or ignored
	RetryIn     time.Duration // pending: from the database's now
	Lane        string        // ordered integrations: the key in whose order it waits; empty: no order
}

// InboxNote is what is known of a message that a broker brings, and since when.
type InboxNote struct {
	State InboxState
	At    time.Time // by the database's clock
}

// InboxState is what is known of a message that a broker brings.
type InboxState string

// What the inbox knows.
const (
	InboxNew     InboxState = ""        // never seen
	InboxStarted InboxState = "started" // an attempt was begun and its outcome is not known; only where receivers keep duplicates
	InboxDone    InboxState = "done"    // delivered, or parked in Postgres
)
