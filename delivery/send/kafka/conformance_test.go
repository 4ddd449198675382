package kafkasend

import (
	"log/slog"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kgo"

	"redrive/delivery"
	"redrive/delivery/send/sendtest"
	"redrive/delivery/wire"
)

const secret = "p@ss:w/ord-of-kafka"

// The suite that every destination runs, on the emulated broker with sign-in.
func TestConformance(t *testing.T) {
	t.Run("native", func(t *testing.T) {
		b := bed(delivery.FormatNative, arrivedNative)
		b.BadHeader.None = "a record's header takes any bytes"
		sendtest.Run(t, b)
	})
	t.Run("cloudevents", func(t *testing.T) {
		b := bed(delivery.FormatCloudEvents, arrivedEvent)
		b.BadHeader = sendtest.Fault{Class: delivery.ClassBadRequest, Make: func(t *testing.T, log *slog.Logger) delivery.Sender {
			_, d := signedIn(t, delivery.FormatCloudEvents)
			return logged(t, d, log)
		}, Alter: func(r *delivery.Request) { r.Message.Headers["tenant"] = "north\r\nsouth" }}
		sendtest.Run(t, b)
	})
}

func signedIn(t *testing.T, format delivery.WireFormat, options ...kfake.Opt) (*kfake.Cluster, delivery.KafkaDestination) {
	t.Helper()
	c, d := cluster(t, append(options, kfake.EnableSASL(), kfake.Superuser("SCRAM-SHA-256", "redrive", secret))...)
	d.SASL = &delivery.SASL{Mechanism: "scram-sha-256", Username: "redrive", Password: secret}
	d.Format = format
	return c, d
}

func logged(t *testing.T, d delivery.KafkaDestination, log *slog.Logger) *Sender {
	t.Helper()
	s, err := New(d, wire.Dialer{Log: log})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = s.Close() })
	return s
}

func bed(format delivery.WireFormat, read func(*kgo.Record) sendtest.Arrived) sendtest.Bed {
	facing := func(prepare func(*kfake.Cluster)) func(*testing.T, *slog.Logger) delivery.Sender {
		return func(t *testing.T, log *slog.Logger) delivery.Sender {
			c, d := signedIn(t, format)
			prepare(c)
			return logged(t, d, log)
		}
	}
	answering := func(answer *kerr.Error) func(*kfake.Cluster) {
		return func(c *kfake.Cluster) { c.Fault(kfake.Fault{Keys: produce, Err: answer, Count: -1}) }
	}
	return sendtest.Bed{KnowsNull: true,
		To: delivery.Destination{To: &delivery.KafkaDestination{}},
		Open: func(t *testing.T, log *slog.Logger) sendtest.Place {
			_, d := signedIn(t, format, kfake.BrokerConfigs(map[string]string{"message.max.bytes": "12000000"}))
			return sendtest.Place{Sender: logged(t, d, log), Arrived: func(n int) []sendtest.Arrived { return consume(t, d, n, read) }}
		},
		Carries:   sendtest.Facts{ID: true, Type: true, Key: true, Attempt: true, IdempotencyKey: true, Headers: true},
		Transient: sendtest.Fault{Class: delivery.ClassConnect, Make: facing((*kfake.Cluster).Close)},
		Permanent: sendtest.Fault{Class: delivery.ClassRefused, Make: facing(answering(kerr.TopicAuthorizationFailed))},
		Unknown: sendtest.Fault{Class: delivery.ClassTimeout, Make: func(t *testing.T, log *slog.Logger) delivery.Sender {
			var line muted
			_, d := signedIn(t, format, kfake.ListenFn(line.listen))
			d.Timeout = time.Second
			s := logged(t, d, log)
			want(t, s.Send(t.Context(), sendtest.Request("0", "before")), delivery.OutcomeOK, "")
			line.silent.Store(true)
			return s
		}},
		Oversized: sendtest.Fault{Class: delivery.ClassTooLarge, Make: facing(func(*kfake.Cluster) {}),
			Alter: func(r *delivery.Request) { r.Message.Payload = noise(2 << 20) }},
		Secrets: []string{secret},
	}
}

func consume(t *testing.T, d delivery.KafkaDestination, n int, read func(*kgo.Record) sendtest.Arrived) (arrived []sendtest.Arrived) {
	t.Helper()
	options, err := wire.Dialer{Log: slog.New(slog.DiscardHandler)}.KafkaOptions(d.KafkaServer)
	if err != nil {
		t.Fatal(err)
	}
	for _, record := range fetch(t, plainClient(t, d, append(options, fromStart(d.Topic)...)...), n) {
		arrived = append(arrived, read(record))
	}
	return arrived
}

func arrivedNative(r *kgo.Record) sendtest.Arrived {
	headers := headersOf(r)
	return sendtest.Arrived{Payload: r.Value, ID: headers["redrive-id"], Type: headers["redrive-type"], Key: string(r.Key), Attempt: headers["redrive-attempt"],
		IdempotencyKey: headers["idempotency-key"], Header: func(name string) string { return headers[name] }}
}

func arrivedEvent(r *kgo.Record) sendtest.Arrived {
	headers := headersOf(r)
	return sendtest.Arrived{Payload: r.Value, ID: headers["ce_id"], Type: headers["ce_type"], Key: headers["ce_subject"], Attempt: headers["ce_redriveattempt"],
		IdempotencyKey: headers["ce_idempotencykey"], Header: func(name string) string { return headers["ce_"+name] }}
}
