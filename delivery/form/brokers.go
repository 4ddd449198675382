package form

import (
	"net/url"
	"reflect"
	"regexp"
	"slices"
	"strings"

	"redrive/delivery"
)

// The blocks of brokers serve destinations and sources; each refuses what belongs to the other.

// Redis is the block of a Redis channel.
type Redis struct {
	Addr               string `yaml:"addr"`
	Username           string `yaml:"username"`
	Password           string `yaml:"password"`
	DB                 Whole  `yaml:"db"`
	TLS                *TLS   `yaml:"tls"`
	Channel            string `yaml:"channel"`
	RequireSubscribers Whole  `yaml:"require_subscribers"`
	Format             string `yaml:"format"`
	Timeout            string `yaml:"timeout"`
}

// Server reads how to reach Redis.
func (b *Redis) Server(r *Reader, path string) delivery.RedisServer {
	if b.DB < 0 {
		r.Fail(path+"db", "db: %d is less than 0", b.DB)
	}
	return delivery.RedisServer{Addr: r.Address(path, "addr", b.Addr), Username: r.Expand(path+"username", b.Username),
		Password: r.Expand(path+"password", b.Password), DB: int(b.DB), TLS: r.tls(path, b.TLS)}
}

// RabbitMQ is the block of a RabbitMQ exchange or queue.
type RabbitMQ struct {
	URL        string `yaml:"url"`
	TLS        *TLS   `yaml:"tls"`
	Exchange   string `yaml:"exchange"`
	RoutingKey string `yaml:"routing_key"`
	Queue      string `yaml:"queue"`
	Format     string `yaml:"format"`
	Timeout    string `yaml:"timeout"`
}

// Server reads how to reach RabbitMQ.
func (b *RabbitMQ) Server(r *Reader, path string) delivery.RabbitMQServer {
	text := r.Expand(path+"url", b.URL)
	u, err := url.Parse(text)
	if err != nil || u.Scheme != "amqp" && u.Scheme != "amqps" || u.Hostname() == "" {
		r.Fail(path+"url", "url: an amqp:// or amqps:// address is needed")
	} else if b.TLS != nil && u.Scheme != "amqps" {
		r.Fail(path+"tls", "tls: the url must start with amqps://")
	}
	return delivery.RabbitMQServer{URL: text, TLS: r.tls(path, b.TLS)}
}

// Kafka is the block of a Kafka topic.
type Kafka struct {
	Brokers Addresses `yaml:"brokers"`
	TLS     *TLS      `yaml:"tls"`
	SASL    *SASL     `yaml:"sasl"`
	Topic   string    `yaml:"topic"`
	Group   string    `yaml:"group"`
	Format  string    `yaml:"format"`
	Timeout string    `yaml:"timeout"`

	ShareGroup string `yaml:"share_group"`
	Timestamp  string `yaml:"timestamp"`
}

// KeepsTime reads which time records get that go to Kafka.
func (b *Kafka) KeepsTime(r *Reader, path string) bool {
	if b.Timestamp != "" && b.Timestamp != timestampNew && b.Timestamp != timestampKeep {
		r.Fail(path+"timestamp", "timestamp: %q is neither %s nor %s", b.Timestamp, timestampNew, timestampKeep)
	}
	return b.Timestamp == timestampKeep
}

// What timestamp may be.
const (
	timestampNew  = "new"
	timestampKeep = "keep"
)

// Server reads how to reach Kafka.
func (b *Kafka) Server(r *Reader, path string) delivery.KafkaServer {
	s := delivery.KafkaServer{TLS: r.tls(path, b.TLS), SASL: r.sasl(path+"sasl.", b.SASL)}
	if len(b.Brokers) == 0 {
		r.Fail(path+"brokers", "brokers: missing; write brokers: [host:9092]")
	}
	for _, text := range b.Brokers {
		// one setting may hold several, as they usually come from the environment
		for _, one := range strings.Split(r.Expand(path+"brokers", text), ",") {
			s.Brokers = append(s.Brokers, r.hostPort(path, "brokers", strings.TrimSpace(one)))
		}
	}
	return s
}

// TLS names files in PEM.
type TLS struct {
	CA         string `yaml:"ca"`
	Cert       string `yaml:"cert"`
	Key        string `yaml:"key"`
	ServerName string `yaml:"server_name"`
}

// SASL signs in at Kafka.
type SASL struct {
	Mechanism string `yaml:"mechanism"`
	Username  string `yaml:"username"`
	Password  string `yaml:"password"`
	Token     *Token `yaml:"token"`
}

// Token is how a token for Kafka is got.
type Token struct {
	URL        string            `yaml:"url"`
	ID         string            `yaml:"client_id"`
	Secret     string            `yaml:"client_secret"`
	Scope      string            `yaml:"scope"`
	Extensions map[string]string `yaml:"extensions"`
	CA         string            `yaml:"ca"`
}

var mechanisms = []string{"plain", "scram-sha-256", "scram-sha-512", delivery.OAuthBearer}

func (r *Reader) sasl(path string, b *SASL) *delivery.SASL {
	if b == nil {
		return nil
	}
	if !slices.Contains(mechanisms, b.Mechanism) {
		r.Fail(path+"mechanism", "sasl.mechanism: %q is none of %s", b.Mechanism, strings.Join(mechanisms, ", "))
	}
	if b.Mechanism == delivery.OAuthBearer {
		for setting, given := range map[string]string{"username": b.Username, "password": b.Password} {
			if given != "" {
				r.Fail(path+setting, "sasl.%s: oauthbearer signs in with a token; remove it", setting)
			}
		}
		return &delivery.SASL{Mechanism: b.Mechanism, Token: r.token(path, b.Token)}
	}
	if b.Token != nil {
		r.Fail(path+"token", "sasl.token: it belongs to mechanism %s", delivery.OAuthBearer)
	}
	return &delivery.SASL{Mechanism: b.Mechanism,
		Username: r.Required(path, "username", b.Username), Password: r.Required(path, "password", b.Password)}
}

// extension is the name of an extension (RFC 7628), of which auth is the token's own.
var extension = regexp.MustCompile(`^[A-Za-z]+$`)

func (r *Reader) token(path string, b *Token) *delivery.ClientCredentials {
	if b == nil {
		r.Fail(path+"token", "sasl.token: missing; write token: {url: …, client_id: …, client_secret: …}")
		return nil
	}
	path += "token."
	c := &delivery.ClientCredentials{
		URL:    r.Required(path, "url", b.URL),
		ID:     r.Required(path, "client_id", b.ID),
		Secret: r.Required(path, "client_secret", b.Secret),
		Scope:  r.Expand(path+"scope", b.Scope),
		CA:     r.Expand(path+"ca", b.CA),
	}
	if u, err := url.Parse(c.URL); c.URL != "" && (err != nil || u.Scheme != "https" && u.Scheme != "http" || u.Host == "" || u.User != nil) {
		r.Fail(path+"url", "sasl.token.url: an address such as https://sign-in.example/token is needed, without credentials")
	}
	for name, text := range b.Extensions {
		value := r.Expand(path+"extensions."+name, text)
		if !extension.MatchString(name) || name == "auth" || strings.ContainsRune(value, 1) {
			r.Fail(path+"extensions", "sasl.token.extensions: %q is no extension; its name is of letters and not auth", name)
		}
		if c.Extensions == nil {
			c.Extensions = map[string]string{}
		}
		c.Extensions[name] = value
	}
	return c
}

func (r *Reader) tls(path string, b *TLS) *delivery.TLS {
	if b == nil {
		return nil
	}
	if (b.Cert == "") != (b.Key == "") {
		r.Fail(path+"tls", "tls: cert and key belong together")
	}
	return &delivery.TLS{CA: r.Expand(path+"tls.ca", b.CA), ServerName: b.ServerName,
		Cert: r.Expand(path+"tls.cert", b.Cert), Key: r.Expand(path+"tls.key", b.Key)}
}

// Pages of the blocks that destinations and sources share.
var (
	RedisPage = Page{"`redis` (`destination`, `broker`)", reflect.TypeFor[Redis](), []Setting{
		{Name: "addr", Required: true, Help: "host:port"},
		{Name: "username", Help: "of Redis's ACL"},
		{Name: "password", Help: ""},
		{Name: "db", Standard: "0", Help: "of the connection; channels know no databases"},
		{Name: "channel", Required: true, Help: ""},
		{Name: "require_subscribers", Standard: "0", Help: "destination: fewer listeners are a failure"},
		{Name: "format", Standard: "native", Help: "or `cloudevents`"},
		{Name: "timeout", Standard: "5s", Help: "destination: of a whole attempt, 10ms to 5m"},
	}}
	RabbitMQPage = Page{"`rabbitmq` (`destination`, `broker`)", reflect.TypeFor[RabbitMQ](), []Setting{
		{Name: "url", Required: true, Help: "`amqp://` or `amqps://`, with user, password and virtual host"},
		{Name: "exchange", Help: "destination: none is the default exchange, whose routing key is a queue"},
		{Name: "routing_key", Help: "destination"},
		{Name: "queue", Required: true, Help: "source"},
		{Name: "format", Standard: "native", Help: "or `cloudevents`"},
		{Name: "timeout", Standard: "5s", Help: "destination: of a whole attempt, 10ms to 5m"},
	}}
	KafkaPage = Page{
		"`kafka` (`destination`, `broker`)",
		reflect.TypeFor[Kafka](),
		[]Setting{
			{Name: "brokers", Required: true, Help: "list of host:port"},
			{Name: "topic", Required: true, Help: ""},
			{Name: "group", Help: "source: the consumer group; this or `share_group`"},
			{Name: "share_group", Help: "source: the share group (Kafka 4.2 and later)"},
			{Name: "format", Standard: "native", Help: "or `cloudevents`"},
			{
				Name:     "timestamp",
				Standard: "new",
				Help:     "destination, and source with `dead_letters: true`: `keep` sends a record of Kafka with the time that it had",
			},
			{Name: "timeout", Standard: "5s", Help: "destination: of a whole attempt, 10ms to 5m"},
		},
	}
	TLSPage = Page{"`tls` (of `redis`, `rabbitmq`, `kafka`)", reflect.TypeFor[TLS](), []Setting{
		{Name: "ca", Help: "PEM file of authorities; none: the system's"},
		{Name: "cert", Help: "PEM file of the client's certificate, with `key`"},
		{Name: "key", Help: "PEM file of its key"},
		{Name: "server_name", Help: "that the certificate must have; none: the address's host"},
	}}
	SASLPage = Page{"`sasl` (of `kafka`)", reflect.TypeFor[SASL](), []Setting{
		{Name: "mechanism", Required: true, Help: "`plain`, `scram-sha-256`, `scram-sha-512` or `oauthbearer`, which takes `token` instead of the others"},
		{Name: "username", Help: "required but for `oauthbearer`"},
		{Name: "password", Help: "required but for `oauthbearer`"},
	}}
	TokenPage = Page{"`token` (of `sasl`)", reflect.TypeFor[Token](), []Setting{
		{Name: "url", Required: true, Help: "token endpoint (OAuth 2.0, client credentials); the address rules hold for it"},
		{Name: "client_id", Required: true, Help: ""},
		{Name: "client_secret", Required: true, Help: ""},
		{Name: "scope", Help: "several are parted by blanks"},
		{Name: "extensions", Help: "SASL extensions for the broker, such as `{logicalCluster: lkc-1}`"},
		{Name: "ca", Help: "PEM file of authorities for the endpoint; none: the system's"},
	}}
)
