package kafkasend

import (
	"encoding/base64"
	"errors"
	"maps"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/twmb/franz-go/pkg/kgo"

	"redrive/delivery"
	"redrive/delivery/wire"
)

// Names of our own headers, always in lower case.
const (
	headerID          = "redrive-id"
	headerType        = "redrive-type"
	headerAttempt     = "redrive-attempt"
	headerIntegration = "redrive-integration"
	headerIdempotency = "idempotency-key"
)

// record makes the record of an attempt, or says why there cannot be one.
func (s *Sender) record(r delivery.Request) (*kgo.Record, *delivery.Result) {
	topic, partition := s.place(r.Message)
	if topic == "" {
		return nil, &delivery.Result{Outcome: delivery.OutcomePermanent, ErrorClass: delivery.ClassUnroutable,
			Error: "the destination names no topic, and the message came from no dead-letter topic"}
	}
	headers, err := s.headers(r)
	if err != nil {
		return nil, &delivery.Result{Outcome: delivery.OutcomePermanent, ErrorClass: delivery.ClassBadRequest, Error: err.Error()}
	}
	record := &kgo.Record{
		Topic:     topic,
		Partition: partition,
		Key:       r.Message.RecordKey(),
		Value:     r.Message.Payload,
		Headers:   headers,
	} // null is a tombstone
	if s.to.KeepTime {
		record.Timestamp = produced(r.Message)
	}
	return record, nil
}

// produced is when a record of Kafka was: a dead letter's family may say it of the record that died. Zero, of any other message, is now.
func produced(m delivery.Message) time.Time {
	switch o := m.Origin; {
	case o == nil || o.Broker != delivery.BrokerKafka:
		return time.Time{}
	case o.Dead != nil && !o.Dead.At.IsZero():
		return o.Dead.At
	default:
		return o.At
	}
}

// place is the destination's topic, else where the dead letter died. Its partition counts only where no key decides.
func (s *Sender) place(m delivery.Message) (topic string, partition int32) {
	if s.to.Topic != "" || m.Origin == nil || m.Origin.Dead == nil {
		return s.to.Topic, anyPartition
	}
	dead := m.Origin.Dead
	if m.RecordKey() == nil && dead.Partition != nil && *dead.Partition >= 0 {
		return dead.Place, *dead.Partition
	}
	return dead.Place, anyPartition
}

// headers are the message's own and then ours. An error says what Kafka does not take; it repeats no value.
func (s *Sender) headers(r delivery.Request) (list []kgo.RecordHeader, err error) {
	if r.Message.TypedBy(delivery.BrokerKafka) {
		list = restored(r.Message)
	} else if list, err = named(r.Message); err != nil {
		return nil, err
	}
	if s.to.Format == delivery.FormatCloudEvents {
		if list, err = asEvent(list, r); err != nil {
			return nil, err
		}
	}
	return append(list, ours(list, r)...), nil
}

// restored are the headers of a record as Kafka had them: in order, with repetition, null and empty ones.
func restored(m delivery.Message) (list []kgo.RecordHeader) {
	_, fields := m.Wire()
	for _, f := range fields {
		if !isOurs(f.Name) {
			list = append(list, kgo.RecordHeader{Key: f.Name, Value: f.Value})
		}
	}
	return list
}

// named are the headers of a message that did not come from Kafka, or before headers were kept as a list: by name, with those that
// are no text.
func named(m delivery.Message) (list []kgo.RecordHeader, err error) {
	headers := map[string][]byte{}
	for name, value := range m.Headers {
		if !utf8.ValidString(name) {
			return nil, errors.New("the message has a header name that is no UTF-8")
		}
		headers[name] = []byte(value)
	}
	if m.Origin != nil && m.Origin.Broker == delivery.BrokerKafka { // another broker's mean something else
		for name, encoded := range m.Origin.Raw {
			if headers[name], err = base64.StdEncoding.DecodeString(encoded); err != nil {
				return nil, errors.New("a binary header of the message's origin is no Base64")
			}
		}
	}
	for _, name := range slices.Sorted(maps.Keys(headers)) {
		if !isReserved(name) {
			list = append(list, kgo.RecordHeader{Key: name, Value: headers[name]})
		}
	}
	return list, nil
}

// isOurs names headers of a record that are written anew on each attempt: they would grow from one round to the next.
func isOurs(name string) bool {
	return name == headerAttempt || name == headerID || name == headerIntegration || name == headerType
}

// isReserved names headers that no other message brings along, and what a dead-letter topic added where that was not taken away as
// the message came in.
func isReserved(name string) bool {
	name = strings.ToLower(name)
	return name == headerIdempotency || strings.HasPrefix(name, "redrive-") || strings.HasPrefix(name, "kafka_dlt-")
}

// ours are the headers that say what is sent. The idempotency key of a record stays where it was.
func ours(theirs []kgo.RecordHeader, r delivery.Request) (list []kgo.RecordHeader) {
	add := func(name, value string) { list = append(list, kgo.RecordHeader{Key: name, Value: []byte(value)}) }
	if !slices.ContainsFunc(theirs, func(h kgo.RecordHeader) bool { return strings.EqualFold(h.Key, headerIdempotency) }) {
		add(headerIdempotency, r.IdempotencyKey)
	}
	add(headerAttempt, strconv.Itoa(r.Attempt))
	add(headerID, r.Message.ID)
	add(headerIntegration, r.Integration)
	add(headerType, r.Message.Type)
	return list
}

// asEvent puts the attributes of a CloudEvent in binary mode into the place of those that the message has. A message that came as one
// keeps its attributes, in whichever spelling: ce- as in HTTP, ce_ as in Kafka.
func asEvent(list []kgo.RecordHeader, r delivery.Request) ([]kgo.RecordHeader, error) {
	given := map[string]string{}
	for name, value := range r.Message.Headers {
		lower := strings.ToLower(name)
		if attribute, ok := strings.CutPrefix(lower, "ce_"); ok {
			lower, value = delivery.EventPrefix+attribute, url.PathEscape(value) // Kafka's binding encodes nothing, HTTP's does
		}
		if !isReserved(name) {
			given[lower] = value
		}
	}
	r.Message.Headers = given
	attributes, err := wire.EventAttributes(r)
	if err != nil {
		return nil, err
	}
	list = slices.DeleteFunc(list, func(h kgo.RecordHeader) bool {
		name := strings.Replace(strings.ToLower(h.Key), "ce_", delivery.EventPrefix, 1)
		return strings.HasPrefix(name, delivery.EventPrefix) || name == "content-type"
	})
	for _, name := range slices.Sorted(maps.Keys(attributes)) {
		header := "ce_" + name
		if name == "datacontenttype" {
			header = "content-type"
		}
		list = append(list, kgo.RecordHeader{Key: header, Value: []byte(attributes[name])})
	}
	return list, nil
}
