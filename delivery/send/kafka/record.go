package kafkasend

import (
	"encoding/base64"
	"maps"
	"net/url"
	"slices"
	"strconv"
	"strings"
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
	record := &kgo.Record{Topic: topic, Partition: partition, Value: r.Message.Payload} // null is a tombstone
	if r.Message.Key != "" {
		record.Key = []byte(r.Message.Key)
	}
	headers := map[string][]byte{}
	if fault := theirs(headers, r.Message); fault != "" {
		return nil, &delivery.Result{Outcome: delivery.OutcomePermanent, ErrorClass: delivery.ClassBadRequest, Error: fault}
	}
	if s.to.Format == delivery.FormatCloudEvents {
		if err := asEvent(headers, r); err != nil {
			return nil, &delivery.Result{Outcome: delivery.OutcomePermanent, ErrorClass: delivery.ClassBadRequest, Error: err.Error()}
		}
	}
	ours(headers, r)
	for _, name := range slices.Sorted(maps.Keys(headers)) {
		record.Headers = append(record.Headers, kgo.RecordHeader{Key: name, Value: headers[name]})
	}
	return record, nil
}

// place is the destination's topic, else where the dead letter died. Its partition counts only where no key decides.
func (s *Sender) place(m delivery.Message) (topic string, partition int32) {
	if s.to.Topic != "" || m.Origin == nil || m.Origin.Dead == nil {
		return s.to.Topic, anyPartition
	}
	dead := m.Origin.Dead
	if m.Key == "" && dead.Partition != nil && *dead.Partition >= 0 {
		return dead.Place, *dead.Partition
	}
	return dead.Place, anyPartition
}

// theirs are the message's own headers under the names that they came with, and those that are no text.
func theirs(headers map[string][]byte, m delivery.Message) (fault string) {
	for name, value := range m.Headers {
		if !utf8.ValidString(name) {
			return "the message has a header name that is no UTF-8"
		}
		if !isReserved(name) {
			headers[name] = []byte(value)
		}
	}
	if m.Origin == nil || m.Origin.Broker != delivery.BrokerKafka { // another broker's mean something else
		return ""
	}
	for name, encoded := range m.Origin.Raw {
		raw, err := base64.StdEncoding.DecodeString(encoded)
		if err != nil {
			return "a binary header of the message's origin is no Base64"
		}
		if !isReserved(name) {
			headers[name] = raw
		}
	}
	return ""
}

// isReserved: ours are written anew on each attempt, and what a dead-letter topic added stays behind, so that headers do not
// grow from one round to the next.
func isReserved(name string) bool {
	name = strings.ToLower(name)
	return name == headerIdempotency || strings.HasPrefix(name, "redrive-") || strings.HasPrefix(name, "kafka_dlt-")
}

func ours(headers map[string][]byte, r delivery.Request) {
	headers[headerID] = []byte(r.Message.ID)
	headers[headerType] = []byte(r.Message.Type)
	headers[headerAttempt] = []byte(strconv.Itoa(r.Attempt))
	headers[headerIntegration] = []byte(r.Integration)
	headers[headerIdempotency] = []byte(r.IdempotencyKey)
}

// asEvent adds the attributes of a CloudEvent in binary mode. A message that came as one keeps its attributes, in whichever
// spelling: ce- as in HTTP, ce_ as in Kafka.
func asEvent(headers map[string][]byte, r delivery.Request) error {
	given := map[string]string{}
	for name, value := range r.Message.Headers {
		lower := strings.ToLower(name)
		if attribute, ok := strings.CutPrefix(lower, "ce_"); ok {
			lower, value = "ce-"+attribute, url.PathEscape(value) // Kafka's binding encodes nothing, HTTP's does
		}
		if isReserved(name) {
			continue
		}
		if strings.HasPrefix(lower, "ce-") || lower == "content-type" {
			delete(headers, name)
		}
		given[lower] = value
	}
	r.Message.Headers = given
	attributes, err := wire.EventAttributes(r)
	for name, value := range attributes {
		headers["ce_"+name] = []byte(value)
	}
	delete(headers, "ce_datacontenttype")
	headers["content-type"] = []byte(attributes["datacontenttype"])
	return err
}
