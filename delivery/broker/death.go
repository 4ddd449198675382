package broker

import (
	"cmp"
	"encoding/binary"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/rabbitmq/amqp091-go"

	"redrive/delivery"
)

// deathMarks are the names, or their beginnings, of headers that speak of a death. They do not travel on: redelivery would make
// them grow.
var deathMarks = []string{"x-death", "x-first-death-", "x-last-death-", "kafka_dlt-", "kafka_original-", "kafka_exception-", "retry_topic-",
	"x-original-", "x-exception-", "__connect.errors."}

func isDeathMark(name string) bool {
	for _, mark := range deathMarks {
		if strings.HasPrefix(name, mark) {
			return true
		}
	}
	return false
}

// isQueueMark names what RabbitMQ adds to a header table when it takes a message out of a queue.
func isQueueMark(name string) bool { return name == "x-delivery-count" || name == "x-stream-offset" }

// diedWith is the expiration that the message had when it died: RabbitMQ takes it away, or it would expire again where it goes.
func diedWith(headers amqp091.Table) string {
	entries, _ := headers["x-death"].([]any)
	if len(entries) == 0 {
		return ""
	}
	latest, _ := entries[0].(amqp091.Table)
	expiration, _ := latest["original-expiration"].(string)
	if len(expiration) > 255 || expiration == "" || strings.Trim(expiration, "0123456789") != "" { // anybody may have written it
		return ""
	}
	return expiration
}

const unsaid = "the entry does not say why it died"

// rabbitDeath reads what RabbitMQ notes of a death. Anybody may write these headers: what is malformed is passed over.
func rabbitDeath(headers amqp091.Table) *delivery.DeadOrigin {
	d := &delivery.DeadOrigin{}
	if entries, _ := headers["x-death"].([]any); len(entries) > 0 {
		latest, _ := entries[0].(amqp091.Table)
		d.Place, d.Reason = text(latest["queue"]), text(latest["reason"])
		d.Count = int(whole(latest["count"]))
		if at, ok := latest["time"].(time.Time); ok {
			d.At = at
		}
	}
	d.Place = cmp.Or(d.Place, text(headers["x-last-death-queue"]), text(headers["x-first-death-queue"]))
	d.Reason = cmp.Or(d.Reason, text(headers["x-last-death-reason"]), text(headers["x-first-death-reason"]), "unknown")
	d.At, d.Error = deathTime(d.At), rabbitReason(d.Reason, d.Place)
	return d
}

// deathTime is zero where the time is not known.
func deathTime(at time.Time) time.Time {
	if at.Year() < 1970 || at.Year() > 9999 {
		return time.Time{}
	}
	return at.UTC()
}

func rabbitReason(reason, place string) string {
	switch reason {
	case "rejected":
		return "a consumer of queue " + place + " rejected it"
	case "expired":
		return "it expired in queue " + place
	case "maxlen":
		return "queue " + place + " was full"
	case "delivery_limit":
		return "consumers of queue " + place + " failed with it too often"
	case "unknown":
		return unsaid
	}
	return "it died in queue " + place + ": " + reason
}

// text is a header's text, empty for anything else.
func text(value any) string {
	switch v := value.(type) {
	case string:
		return delivery.Storable(v)
	case []byte:
		return delivery.Storable(string(v))
	}
	return ""
}

func whole(value any) int64 {
	switch v := value.(type) {
	case int64:
		return v
	case int32:
		return int64(v)
	case int16:
		return int64(v)
	case int:
		return int64(v)
	case byte:
		return int64(v)
	}
	return 0
}

// deadHeader finds one fact under the names that Spring Kafka, Spring Cloud Stream and Kafka Connect give it.
type deadHeaders struct{ first, last map[string][]byte }

func (h deadHeaders) find(from map[string][]byte, names ...string) []byte {
	for _, name := range names {
		if value, ok := from[name]; ok && len(value) > 0 {
			return value
		}
	}
	return nil
}

// kafkaDeath reads what a dead-letter topic notes of a death. Where a header stands twice, the first names the origin and the
// last the error.
func kafkaDeath(h deadHeaders) *delivery.DeadOrigin {
	d := &delivery.DeadOrigin{
		Place: bytesText(h.find(h.first, "kafka_dlt-original-topic", "kafka_original-topic", "x-original-topic", "__connect.errors.topic")),
		Group: bytesText(h.find(h.last, "kafka_dlt-original-consumer-group", "kafka_original-consumer-group", "__connect.errors.connector.name")),
		Error: bytesText(h.find(h.last, "kafka_dlt-exception-message", "kafka_exception-message", "x-exception-message", "__connect.errors.exception.message")),
		Reason: bytesText(h.find(h.last, "kafka_dlt-exception-cause-fqcn", "kafka_dlt-exception-fqcn", "kafka_exception-cause-fqcn",
			"kafka_exception-fqcn", "x-exception-fqcn", "__connect.errors.exception.class.name")),
	}
	if n, ok := number(h.find(h.first, "kafka_dlt-original-partition", "kafka_original-partition", "x-original-partition", "__connect.errors.partition")); ok && n >= 0 && n < 1<<31 {
		partition := int32(n)
		d.Partition = &partition
	}
	if n, ok := number(h.find(h.first, "kafka_dlt-original-offset", "kafka_original-offset", "x-original-offset", "__connect.errors.offset")); ok && n >= 0 {
		d.Offset = &n
	}
	if n, ok := number(h.find(h.first, "kafka_dlt-original-timestamp", "kafka_original-timestamp", "x-original-timestamp")); ok {
		d.At = deathTime(time.UnixMilli(n))
	}
	d.Error = cmp.Or(d.Error, d.Reason, unsaid)
	if d.Reason != "" && !strings.Contains(d.Error, d.Reason) {
		d.Error = d.Reason + ": " + d.Error
	}
	d.Reason = cmp.Or(d.Reason, "unknown")
	return d
}

const maxDeathText = 4096

func bytesText(value []byte) string {
	if len(value) > maxDeathText {
		value = value[:maxDeathText]
	}
	return delivery.Storable(string(value))
}

// number reads a whole number of 4 or 8 bytes, or in digits.
func number(value []byte) (int64, bool) {
	if n, err := strconv.ParseInt(string(value), 10, 64); err == nil && len(value) > 0 {
		return n, true
	}
	switch len(value) {
	case 4:
		return int64(int32(binary.BigEndian.Uint32(value))), true
	case 8:
		return int64(binary.BigEndian.Uint64(value)), true
	}
	return 0, false
}

// deathIdentity tells one death of a message from the next.
func deathIdentity(identity string, d *delivery.DeadOrigin) string {
	return fmt.Sprintf("%s died in %s by %s at %d, %d", identity, d.Place, d.Reason, d.At.UnixMilli(), d.Count)
}
