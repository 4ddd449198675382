// Package amqptest makes up messages of RabbitMQ for tests: every property and every type of header, with the values at their
// edges.
package amqptest

import (
	"fmt"
	"math"
	"strings"
	"time"

	"github.com/rabbitmq/amqp091-go"
	"pgregory.net/rapid"
)

const (
	depth   = 3 // of tables in tables
	members = 4
)

// Table makes up headers.
func Table() *rapid.Generator[amqp091.Table] { return table(depth) }

func table(depth int) *rapid.Generator[amqp091.Table] {
	return rapid.Custom(func(t *rapid.T) amqp091.Table {
		out := amqp091.Table{}
		for range rapid.IntRange(0, members).Draw(t, "members") {
			out[name().Draw(t, "name")] = value(depth).Draw(t, "value")
		}
		return out
	})
}

// name is one that means nothing to the broker: of letters, of any bytes, in two cases, or of a header that stands for a property.
func name() *rapid.Generator[string] {
	return rapid.Custom(func(t *rapid.T) string {
		switch rapid.IntRange(0, 3).Draw(t, "kind of name") {
		case 0:
			return rapid.SampledFrom([]string{
				"Content-Type",
				"content-type",
				"Correlation-Id",
				"Reply-To",
				"Content-Encoding",
				"X-One",
				"x-one",
				"Idempotency-Key",
				"redrive-type",
				"cloudEvents:note",
				"ce-note",
				"cc",
				"with space",
				"naïve",
				"a.b",
			}).
				Draw(t, "known")
		case 1:
			return "b" + string(rapid.SliceOfN(rapid.Byte(), 0, 12).Draw(t, "bytes"))
		}
		return "h-" + rapid.StringMatching("[a-z0-9]{1,8}").Draw(t, "word")
	})
}

func value(depth int) *rapid.Generator[any] {
	return rapid.Custom(func(t *rapid.T) any {
		most := 16
		if depth > 0 {
			most = 18
		}
		switch kind := rapid.IntRange(0, most).Draw(t, "kind"); kind {
		case 0:
			return nil
		case 1:
			return rapid.Bool().Draw(t, "bool")
		case 2:
			return rapid.Int8().Draw(t, "int8")
		case 3:
			return rapid.Uint8().Draw(t, "uint8")
		case 4:
			return rapid.Int16().Draw(t, "int16")
		case 5:
			return rapid.Uint16().Draw(t, "uint16")
		case 6:
			return rapid.Int32().Draw(t, "int32")
		case 7:
			return rapid.Uint32().Draw(t, "uint32")
		case 8:
			return rapid.Int64().Draw(t, "int64")
		case 9: // the broker itself takes no NaN and no infinity
			return rapid.Float32().Filter(func(f float32) bool { return !math.IsInf(float64(f), 0) && f == f }).Draw(t, "float32")
		case 10:
			return rapid.Float64().Filter(func(f float64) bool { return !math.IsInf(f, 0) && f == f }).Draw(t, "float64")
		case 11:
			return amqp091.Decimal{Scale: rapid.Uint8().Draw(t, "scale"), Value: rapid.Int32().Draw(t, "unscaled")}
		case 12:
			seconds := []int64{0, 1, -1, 1_790_000_000, -62_135_596_801, 253_402_300_800, math.MaxInt64 >> 8}
			return time.Unix(rapid.SampledFrom(seconds).Draw(t, "seconds"), 0)
		case 13:
			return rapid.SliceOfN(rapid.Byte(), 0, 20).Draw(t, "bytes")
		case 14:
			return string(rapid.SliceOfN(rapid.Byte(), 0, 20).Draw(t, "any text"))
		case 15, 16:
			return rapid.SampledFrom([]string{"", "north", "two\nlines\r\n", "grün \u0000", " ", "[1]", "{}", "null", "true", "7", strings.Repeat("x", 300)}).
				Draw(t, "text")
		case 17:
			list := []any{}
			for range rapid.IntRange(0, members).Draw(t, "elements") {
				list = append(list, value(depth-1).Draw(t, "element"))
			}
			return list
		}
		return table(depth-1).Draw(t, "table")
	})
}

// Publishing makes up a message with any of its properties; user is who publishes it, the only one that the broker lets it name.
func Publishing(user string) *rapid.Generator[amqp091.Publishing] {
	short := rapid.Custom(func(t *rapid.T) string {
		return rapid.SampledFrom([]string{"", "", "a", "application/json", "grün", "\xff\x00", "two\nlines", strings.Repeat("y", 255), " "}).
			Draw(t, "short")
	})
	return rapid.Custom(func(t *rapid.T) amqp091.Publishing {
		return amqp091.Publishing{
			Headers:         Table().Draw(t, "headers"),
			ContentType:     short.Draw(t, "content_type"),
			ContentEncoding: short.Draw(t, "content_encoding"),
			DeliveryMode:    rapid.Uint8Range(0, 2).Draw(t, "delivery_mode"),
			Priority:        rapid.Uint8().Draw(t, "priority"),
			CorrelationId:   short.Draw(t, "correlation_id"),
			ReplyTo:         short.Draw(t, "reply_to"),
			Expiration: rapid.SampledFrom([]string{"", "3600000", "007200000"}).
				Draw(t, "expiration"),
			MessageId: short.Draw(t, "message_id"),
			Timestamp: rapid.SampledFrom([]time.Time{{}, time.Unix(0, 0), time.Unix(1_790_000_000, 0), time.Unix(1<<40, 0)}).
				Draw(t, "timestamp"),
			Type:   short.Draw(t, "type"),
			UserId: rapid.SampledFrom([]string{"", user}).Draw(t, "user_id"),
			AppId:  short.Draw(t, "app_id"),
			Body:   rapid.SliceOfN(rapid.Byte(), 0, 20).Draw(t, "body"),
		}
	})
}

// Properties are what a test compares of a delivered message: each by its name, headers as text with their types.
func Properties(m amqp091.Delivery) map[string]string {
	out := map[string]string{
		"content_type":     m.ContentType,
		"content_encoding": m.ContentEncoding,
		"delivery_mode":    fmt.Sprint(m.DeliveryMode),
		"priority":         fmt.Sprint(m.Priority),
		"correlation_id":   m.CorrelationId,
		"reply_to":         m.ReplyTo,
		"expiration":       m.Expiration,
		"message_id":       m.MessageId,
		"timestamp":        fmt.Sprint(m.Timestamp.UTC().Unix(), m.Timestamp.IsZero()),
		"type":             m.Type,
		"user_id":          m.UserId,
		"app_id":           m.AppId,
	}
	for name, value := range m.Headers {
		out["header "+name] = Text(value)
	}
	return out
}

// Text is a value of a header with its type.
func Text(value any) string {
	switch v := value.(type) {
	case amqp091.Table:
		parts := map[string]string{} // printed in the order of names
		for name, inner := range v {
			parts[name] = Text(inner)
		}
		return fmt.Sprintf("table %q", parts)
	case []any:
		parts := []string{}
		for _, inner := range v {
			parts = append(parts, Text(inner))
		}
		return fmt.Sprintf("array %q", parts)
	case time.Time:
		return fmt.Sprintf("timestamp %d", v.Unix())
	case float32:
		return fmt.Sprintf("float32 %x", math.Float32bits(v))
	case float64:
		return fmt.Sprintf("float64 %x", math.Float64bits(v))
	}
	return fmt.Sprintf("%T %q", value, fmt.Sprint(value))
}
