package broker

import (
	"cmp"
	"encoding/binary"
	"fmt"
	"iter"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/rabbitmq/amqp091-go"

	"redrive/delivery"
	"redrive/delivery/words"
)

// died parts the headers of an entry of a dead-letter queue: what it had when it died, the story of its death that the others tell,
// and the stack trace, if there is one. table are the headers as RabbitMQ has them.
func died(
	origin delivery.Origin,
	headers []delivery.Field,
	table amqp091.Table,
) (own []delivery.Field, d *delivery.DeadOrigin, trace []byte) {
	writers, by := wrote(origin.Broker, headers)
	for _, h := range headers {
		if !isQueueMark(h.Name) && !slices.ContainsFunc(writers, func(f *family) bool { return marked(h.Name, f.marks) }) {
			own = append(own, h)
		}
	}
	d = &delivery.DeadOrigin{Error: unsaid, Reason: "unknown"}
	if by == nil {
		return own, d, nil
	}
	if by.read != nil {
		d = by.read(table)
	} else {
		d, trace = by.story(origin, headers)
	}
	d.Family = by.name
	return own, d, trace
}

// isQueueMark names what RabbitMQ adds to a header table when it takes a message out of a queue.
func isQueueMark(name string) bool {
	return name == "x-delivery-count" || name == "x-acquired-count" || name == "x-stream-offset"
}

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

// story reads the facts where the family writes them. Anybody may write these headers: what is malformed is passed over.
func (f *family) story(origin delivery.Origin, headers []delivery.Field) (d *delivery.DeadOrigin, trace []byte) {
	first := func(names []string) []byte { return find(slices.All(headers), names) }
	last := func(names []string) []byte { return find(slices.Backward(headers), names) }
	d = &delivery.DeadOrigin{
		Place:    bytesText(first(f.place)),
		Exchange: bytesText(first(f.exchange)),
		Group:    bytesText(last(f.group)),
	}
	if f.queue != nil {
		d.Place = f.queue(d.Place, origin.Place)
	}
	if n, ok := number(first(f.partition)); ok && n >= 0 && n < 1<<31 {
		partition := int32(n)
		d.Partition = &partition
	}
	if n, ok := number(first(f.offset)); ok && n >= 0 {
		d.Offset = &n
	}
	if n, ok := number(last(f.attempts)); ok && n >= 0 && n < 1<<31 {
		d.Attempts = max(int(n)+f.more, 0)
	}
	d.At = moment(first(f.at))
	trace = last(f.trace)
	message := bytesText(last(f.message))
	if meaning, ok := f.says[message]; ok {
		message = meaning
	}
	d.Reason, d.Error = cause(bytesText(last(f.class)), message, string(trace))
	return d, trace[:min(len(trace), maxTrace)]
}

// find is the value of the first of these names that is there and has one.
func find(headers iter.Seq2[int, delivery.Field], names []string) []byte {
	for _, name := range names {
		for _, h := range headers {
			if h.Name == name && len(h.Value) > 0 {
				return h.Value
			}
		}
	}
	return nil
}

// cause is the class of what went wrong, and a sentence with it. Where the message does not say it, the innermost exception of the
// stack trace does.
func cause(class, message, trace string) (reason, sentence string) {
	inner, text := words.Innermost(trace)
	inner, text = bytesText([]byte(inner)), bytesText([]byte(text))
	reason, sentence = cmp.Or(class, inner), message
	if text != "" {
		reason = inner
	}
	if text != "" && !strings.Contains(delivery.OneLine(message), text) {
		if sentence = strings.TrimRight(message, ": "); sentence != "" {
			sentence += ": "
		}
		sentence += inner + ": " + text
	}
	sentence = cmp.Or(sentence, reason, unsaid)
	if reason != "" && !strings.Contains(sentence, reason) {
		sentence = reason + ": " + sentence
	}
	return cmp.Or(reason, "unknown"), sentence
}

// maxTrace bounds what is kept of a stack trace.
const maxTrace = 16 << 10

const maxDeathText = 4096

func bytesText(value []byte) string {
	if len(value) > maxDeathText {
		value = value[:maxDeathText]
	}
	return delivery.Storable(string(value))
}

// number reads a whole number of 4 or 8 bytes, in digits, or as the fewest bytes that hold it, which 1 and 6 are for a count and a time.
func number(value []byte) (int64, bool) {
	if n, err := strconv.ParseInt(string(value), 10, 64); err == nil && len(value) > 0 {
		return n, true
	}
	switch len(value) {
	case 4:
		return int64(int32(binary.BigEndian.Uint32(value))), true
	case 1, 6, 8:
		var wide [8]byte
		copy(wide[8-len(value):], value)
		return int64(binary.BigEndian.Uint64(wide[:])), true
	}
	return 0, false
}

// moment is a time in milliseconds since 1970 or as .NET writes it; zero where it is not known.
func moment(value []byte) time.Time {
	if n, ok := number(value); ok {
		return deathTime(time.UnixMilli(n))
	}
	for _, layout := range []string{time.RFC3339Nano, "2006-01-02 15:04:05.000000 Z"} {
		text := string(value)
		if n := strings.LastIndexByte(text, ':'); layout != time.RFC3339Nano && n >= 0 { // NServiceBus
			text = text[:n] + "." + text[n+1:]
		}
		if at, err := time.Parse(layout, text); err == nil {
			return deathTime(at)
		}
	}
	return time.Time{}
}

// deathIdentity tells one death of a message from the next.
func deathIdentity(identity string, d *delivery.DeadOrigin) string {
	return fmt.Sprintf("%s died in %s by %s at %d, %d", identity, d.Place, d.Reason, d.At.UnixMilli(), d.Count)
}
