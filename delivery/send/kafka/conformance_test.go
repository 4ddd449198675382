package kafkasend

import (
	"log/slog"
	"testing"

	"github.com/twmb/franz-go/pkg/kgo"

	"redrive/delivery"
	"redrive/delivery/send/sendtest"
	"redrive/delivery/wire"
	"redrive/store/storetest/services"
)

// The suite that every destination runs, on a broker with sign-in.
func TestConformance(t *testing.T) {
	t.Run("native", func(t *testing.T) {
		b := bed(delivery.FormatNative, arrivedNative)
		b.BadHeader.None = "a record's header takes any bytes"
		sendtest.Run(t, b)
	})
	t.Run("cloudevents", func(t *testing.T) {
		b := bed(delivery.FormatCloudEvents, arrivedEvent)
		b.BadHeader = sendtest.Fault{Class: delivery.ClassBadRequest, Make: func(t *testing.T, log *slog.Logger) delivery.Sender {
			return logged(t, signedIn(t, delivery.FormatCloudEvents), log)
		}, Alter: func(r *delivery.Request) { r.Message.Headers["tenant"] = "north\r\nsouth" }}
		sendtest.Run(t, b)
	})
}

// signedIn is a new topic, for a user who signs in.
func signedIn(t *testing.T, format delivery.WireFormat, settings ...string) delivery.KafkaDestination {
	t.Helper()
	k := services.SharedKafka(t)
	d := newTopic(t, k.Brokers, 1, settings...)
	d.Brokers, d.Format = k.SASL, format
	d.SASL = &delivery.SASL{Mechanism: "scram-sha-256", Username: services.KafkaUser, Password: services.KafkaPassword}
	return d
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
	to := func(change func(*testing.T, *delivery.KafkaDestination)) func(*testing.T, *slog.Logger) delivery.Sender {
		return func(t *testing.T, log *slog.Logger) delivery.Sender {
			d := signedIn(t, format)
			change(t, &d)
			return logged(t, d, log)
		}
	}
	return sendtest.Bed{KnowsNull: true,
		To: delivery.Destination{To: &delivery.KafkaDestination{}},
		Open: func(t *testing.T, log *slog.Logger) sendtest.Place {
			d := signedIn(t, format, "max.message.bytes=12000000")
			return sendtest.Place{Sender: logged(t, d, log), Arrived: func(n int) []sendtest.Arrived { return consume(t, d, n, read) }}
		},
		Carries: sendtest.Facts{ID: true, Type: true, Key: true, Attempt: true, IdempotencyKey: true, Headers: true},
		Transient: sendtest.Fault{Class: delivery.ClassConnect, Make: to(func(t *testing.T, d *delivery.KafkaDestination) {
			proxy, brokers := services.SharedKafka(t).SASLProxy(t)
			d.Brokers, d.Timeout = brokers, fastTimeout
			proxy.Cut()
		})},
		Permanent: sendtest.Fault{Class: delivery.ClassRefused, Make: to(func(_ *testing.T, d *delivery.KafkaDestination) {
			d.SASL.Username = services.KafkaStranger // who may not write
		})},
		Unknown: sendtest.Fault{Class: delivery.ClassTimeout, Make: func(t *testing.T, log *slog.Logger) delivery.Sender {
			proxy, brokers := services.SharedKafka(t).SASLProxy(t)
			d := signedIn(t, format)
			d.Brokers = brokers
			s := logged(t, d, log)
			want(t, s.Send(t.Context(), sendtest.Request("0", "before")), delivery.OutcomeOK, "")
			proxy.LoseAnswers()
			s.timeout = fastTimeout
			return s
		}},
		Oversized: sendtest.Fault{Class: delivery.ClassTooLarge, Make: to(func(*testing.T, *delivery.KafkaDestination) {}),
			Alter: func(r *delivery.Request) { r.Message.Payload = noise(2 << 20) }},
		Secrets: []string{services.KafkaPassword},
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
