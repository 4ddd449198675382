package rabbitsend

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"strconv"
	"strings"

	"github.com/rabbitmq/amqp091-go"
	"golang.org/x/net/http/httpguts"

	"redrive/delivery"
	"redrive/delivery/wire"
)

const (
	headerKey         = "idempotency-key"
	headerOurs        = "redrive-" // prefix of our own headers
	headerDelivery    = "redrive-delivery"
	headerAttempt     = "redrive-attempt"
	headerIntegration = "redrive-integration"
	headerMessageKey  = "redrive-key"
	eventPrefix       = "cloudEvents:" // of an attribute, in the binary mode of the CloudEvents AMQP binding
)

// untyped are the headers of a message whose types were not kept, and those of RabbitMQ that were put aside.
func untyped(m delivery.Message) amqp091.Table {
	headers := amqp091.Table{}
	if o := m.Origin; o != nil && o.Broker == delivery.BrokerRabbitMQ {
		for name, raw := range o.Raw {
			if value, err := base64.StdEncoding.DecodeString(raw); err == nil && !isReserved(name) {
				headers[name] = original(value)
			}
		}
	}
	for name, value := range m.Headers {
		if !isReserved(name) {
			headers[name] = value
		}
	}
	return headers
}

// address adds our own headers to those of the message. A header that was read as the idempotency key or the key stays what it was.
func (s *Sender) address(p *amqp091.Publishing, r delivery.Request) error {
	headers := p.Headers
	if !has(headers, headerKey) {
		headers[headerKey] = r.IdempotencyKey
	}
	headers[headerDelivery] = r.DeliveryID
	headers[headerAttempt], headers[headerIntegration] = strconv.Itoa(r.Attempt), r.Integration
	if r.Message.Key != "" && !has(headers, headerMessageKey) {
		headers[headerMessageKey] = r.Message.Key
	}
	if s.to.Format != delivery.FormatCloudEvents {
		return nil
	}
	attributes, err := wire.EventAttributes(r)
	for name := range headers {
		if strings.HasPrefix(strings.ToLower(name), strings.ToLower(eventPrefix)) {
			delete(headers, name)
		}
	}
	p.ContentType = attributes["datacontenttype"]
	delete(attributes, "datacontenttype") // the property content-type
	for name, value := range attributes {
		headers[eventPrefix+name] = value
	}
	return err
}

func has(headers amqp091.Table, name string) bool {
	for given := range headers {
		if strings.EqualFold(given, name) {
			return true
		}
	}
	return false
}

// isReserved names what is ours, what is a property, what routes (CC, BCC), and what the broker adds when a message dies:
// taken back along, the latter would grow with each round.
func isReserved(name string) bool {
	lower := strings.ToLower(name)
	for _, prefix := range []string{headerOurs, strings.ToLower(eventPrefix)} {
		if strings.HasPrefix(lower, prefix) {
			return true
		}
	}
	return lower == headerKey || lower == "content-type" || delivery.StaysBehind(name)
}

// takeShort removes a header that AMQP has a property for, if it is short enough for one.
func takeShort(headers amqp091.Table, name string) string {
	for given, value := range headers {
		if text, ok := value.(string); ok && strings.EqualFold(given, name) && len(text) <= maxShort {
			delete(headers, given)
			return text
		}
	}
	return ""
}

// original is a header as it was before the source put it aside. What it put aside although it is text was a structure, in
// JSON; the rest were bytes.
func original(raw []byte) any {
	if !httpguts.ValidHeaderFieldValue(string(raw)) || !bytes.HasPrefix(raw, []byte("{")) && !bytes.HasPrefix(raw, []byte("[")) {
		return raw
	}
	decoder := json.NewDecoder(bytes.NewReader(raw))
	decoder.UseNumber()
	var value any
	if err := decoder.Decode(&value); err != nil {
		return raw
	}
	return field(value)
}

// field is a value of JSON in AMQP's types.
func field(value any) any {
	switch v := value.(type) {
	case map[string]any:
		table := amqp091.Table{}
		for name, inner := range v {
			table[name[:min(len(name), maxShort)]] = field(inner)
		}
		return table
	case []any:
		for n := range v {
			v[n] = field(v[n])
		}
		return v
	case json.Number:
		if whole, err := v.Int64(); err == nil {
			return whole
		}
		fraction, _ := v.Float64() // too large: infinite
		return fraction
	}
	return value
}

// size is about what the headers take on the wire.
func size(value any) int {
	const overhead = 13 // lengths and type, or a number
	switch v := value.(type) {
	case string:
		return len(v) + overhead
	case []byte:
		return len(v) + overhead
	case amqp091.Table:
		total := overhead
		for name, inner := range v {
			total += len(name) + size(inner)
		}
		return total
	case []any:
		total := overhead
		for _, inner := range v {
			total += size(inner)
		}
		return total
	}
	return overhead
}
