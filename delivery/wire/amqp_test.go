package wire

import (
	"encoding/json"
	"maps"
	"testing"

	"github.com/rabbitmq/amqp091-go"
	"pgregory.net/rapid"

	"redrive/delivery"
	"redrive/delivery/wire/amqptest"
)

// What RabbitMQ knows of a message survives being written down.
func TestEveryTypeOfRabbitMQIsKept(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		given := amqptest.Publishing("somebody").Draw(t, "message")
		came := amqp091.Delivery{Headers: given.Headers, ContentType: given.ContentType, ContentEncoding: given.ContentEncoding, DeliveryMode: given.DeliveryMode,
			Priority: given.Priority, CorrelationId: given.CorrelationId, ReplyTo: given.ReplyTo, Expiration: given.Expiration, MessageId: given.MessageId,
			Timestamp: given.Timestamp, Type: given.Type, UserId: given.UserId, AppId: given.AppId}
		raw, err := json.Marshal(delivery.Origin{Properties: RabbitMQProperties(&came), Headers: RabbitMQHeaders(came.Headers)})
		if err != nil {
			t.Fatal(err)
		}
		if text := string(raw); delivery.Storable(text) != text {
			t.Fatalf("no column of JSON takes %q", text)
		}
		var kept delivery.Origin
		if err := json.Unmarshal(raw, &kept); err != nil || kept.Properties == nil {
			t.Fatal(err, kept.Properties)
		}
		var back amqp091.Publishing
		for _, f := range kept.Properties {
			if err := SetRabbitMQ(&back, f); err != nil {
				t.Fatal(err)
			}
		}
		if back.Headers, err = RabbitMQTable(kept.Headers); err != nil {
			t.Fatal(err)
		}
		want, got := amqptest.Properties(came), amqptest.Properties(amqp091.Delivery{Headers: back.Headers, ContentType: back.ContentType,
			ContentEncoding: back.ContentEncoding, DeliveryMode: back.DeliveryMode, Priority: back.Priority, CorrelationId: back.CorrelationId,
			ReplyTo: back.ReplyTo, Expiration: back.Expiration, MessageId: back.MessageId, Timestamp: back.Timestamp, Type: back.Type, UserId: back.UserId, AppId: back.AppId})
		if !maps.Equal(want, got) {
			t.Fatalf("came  %q\nwent  %q\nkept  %s", want, got, raw)
		}
	})
}

func TestDecimals(t *testing.T) {
	for text, want := range map[string]amqp091.Decimal{"12.34": {Scale: 2, Value: 1234}, "-0.05": {Scale: 2, Value: -5}, "7": {Value: 7}, "0.00": {Scale: 2}, "-2147483648": {Value: -1 << 31}} {
		if got := decimalText(want); got != text {
			t.Errorf("%+v is %s", want, got)
		}
		if got, err := parseDecimal(text); err != nil || got != want {
			t.Errorf("%s is %+v: %v", text, got, err)
		}
	}
}
