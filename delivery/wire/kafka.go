package wire

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"strings"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/sasl"
	"github.com/twmb/franz-go/pkg/sasl/plain"
	"github.com/twmb/franz-go/pkg/sasl/scram"

	"redrive/delivery"
)

const (
	kafkaClientID    = "redrive"
	kafkaDialTimeout = 5 * time.Second
)

// KafkaOptions are the options of every Kafka client: how it dials, signs in, and logs. Nothing is dialled yet.
func (d Dialer) KafkaOptions(s delivery.KafkaServer) ([]kgo.Opt, error) {
	if len(s.Brokers) == 0 {
		return nil, errors.New("kafka: no brokers are named")
	}
	dial, err := d.kafkaDial(s.TLS)
	if err != nil {
		return nil, err
	}
	options := []kgo.Opt{kgo.ClientID(kafkaClientID), kgo.SeedBrokers(s.Brokers...), kgo.Dialer(dial), kgo.DisableClientMetrics()}
	log := kafkaLog{log: d.Log}
	if s.SASL != nil {
		mechanism, err := d.kafkaSASL(*s.SASL)
		if err != nil {
			return nil, err
		}
		options, log.secrets = append(options, kgo.SASL(mechanism)), s.SASL.Secrets()
	}
	return append(options, kgo.WithLogger(log)), nil
}

// kafkaDial opens connections under the address rules, secured where TLS is asked for.
func (d Dialer) kafkaDial(t *delivery.TLS) (func(ctx context.Context, network, address string) (net.Conn, error), error) {
	var secure *tls.Config
	if t != nil {
		var err error
		if secure, err = TLSConfig(t); err != nil {
			return nil, err
		}
	}
	return func(ctx context.Context, network, address string) (net.Conn, error) {
		ctx, cancel := context.WithTimeout(ctx, kafkaDialTimeout) // some dials of the client have no end of their own
		defer cancel()
		return d.DialTLS(ctx, network, address, secure)
	}, nil
}

func (d Dialer) kafkaSASL(s delivery.SASL) (sasl.Mechanism, error) {
	if strings.EqualFold(s.Mechanism, delivery.OAuthBearer) {
		return d.kafkaToken(s.Token)
	}
	if s.Username == "" || s.Password == "" {
		return nil, errors.New("kafka: sasl needs username and password")
	}
	switch strings.ToLower(s.Mechanism) {
	case "plain":
		return plain.Auth{User: s.Username, Pass: s.Password}.AsMechanism(), nil
	case "scram-sha-256":
		return scram.Auth{User: s.Username, Pass: s.Password}.AsSha256Mechanism(), nil
	case "scram-sha-512":
		return scram.Auth{User: s.Username, Pass: s.Password}.AsSha512Mechanism(), nil
	}
	return nil, errors.New("kafka: sasl mechanism must be plain, scram-sha-256, scram-sha-512 or oauthbearer")
}

// kafkaLog hands the client's warnings on. It never prints a secret, whoever quotes it: a server may, in its answer.
type kafkaLog struct {
	log     *slog.Logger
	secrets []string
}

// Level is what the client needs to render at all.
func (kafkaLog) Level() kgo.LogLevel { return kgo.LogLevelWarn }

// Log writes one event.
func (l kafkaLog) Log(level kgo.LogLevel, message string, keysAndValues ...any) {
	at := slog.LevelWarn
	if level == kgo.LogLevelError {
		at = slog.LevelError
	}
	attributes := make([]any, 0, len(keysAndValues))
	for i := 0; i+1 < len(keysAndValues); i += 2 {
		attributes = append(attributes, slog.String(fmt.Sprint(keysAndValues[i]), l.redacted(keysAndValues[i+1])))
	}
	l.log.Log(context.Background(), at, "kafka: "+l.redacted(message), attributes...)
}

func (l kafkaLog) redacted(value any) string {
	text := fmt.Sprint(value)
	for _, secret := range l.secrets {
		if secret != "" {
			text = strings.ReplaceAll(text, secret, "(hidden)")
		}
	}
	return text
}
