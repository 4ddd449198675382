package wire

import (
	"encoding/json"
	"fmt"
	"net/url"
	"strconv"
	"strings"
	"time"
	"unicode"

	"redrive/delivery"
)

const (
	// untypedEvent is the type of an event made of a message without one: CloudEvents asks for it.
	untypedEvent = "redrive.message"
	// eventHeader is how attributes of a CloudEvent that was handed over travel in a message's headers.
	eventHeader = "ce-"
	maxName     = 20 // characters of an extension's name that every receiver takes
)

// EventAttributes are the attributes of the CloudEvent 1.0 that carries a message, by their plain names. A message that was
// handed over as a CloudEvent keeps its id, source and extensions. Other headers travel as extensions where their names
// allow it. The payload's media type is datacontenttype. An error says which attribute CloudEvents does not allow.
func EventAttributes(r delivery.Request) (map[string]string, error) {
	m := r.Message
	attributes := map[string]string{"id": m.ID, "source": "redrive/" + r.Integration, "type": m.Type}
	if m.ID == "" {
		attributes["id"] = r.DeliveryID
	}
	if m.Type == "" {
		attributes["type"] = untypedEvent
	}
	if m.Key != "" {
		attributes["subject"], attributes["partitionkey"] = m.Key, m.Key
	}
	if !m.CreatedAt.IsZero() {
		attributes["time"] = m.CreatedAt.UTC().Format(time.RFC3339Nano)
	}
	addHeaders(attributes, m.Headers)
	attributes["specversion"] = "1.0"
	attributes["datacontenttype"] = ContentType(m)
	attributes["idempotencykey"] = r.IdempotencyKey
	attributes["redriveattempt"] = strconv.Itoa(r.Attempt)
	for name, value := range attributes {
		if strings.ContainsFunc(value, unicode.IsControl) { // the value may be a secret
			return nil, fmt.Errorf("attribute %s of the CloudEvent has a line break or control character", name)
		}
	}
	return attributes, nil
}

// addHeaders takes the headers of a CloudEvent over what was made up, and others where they are in nobody's way.
func addHeaders(attributes map[string]string, headers map[string]string) {
	for name, value := range headers {
		name = strings.ToLower(name)
		if _, taken := attributes[name]; !taken && isExtension(name) {
			attributes[name] = value
		}
	}
	for name, value := range headers {
		name, ok := strings.CutPrefix(strings.ToLower(name), eventHeader)
		if !ok || !isExtension(name) {
			continue
		}
		if plain, err := url.PathUnescape(value); err == nil {
			value = plain
		}
		attributes[name] = value
	}
}

// isExtension: lower-case letters and digits, not the name of the payload.
func isExtension(name string) bool {
	if name == "" || len(name) > maxName || name == "data" {
		return false
	}
	return strings.Trim(name, "abcdefghijklmnopqrstuvwxyz0123456789") == ""
}

// ContentType is what the message says of its payload, else what the payload looks like.
func ContentType(m delivery.Message) string {
	if given := HeaderValue(m, "Content-Type"); given != "" {
		return given
	}
	if json.Valid(m.Payload) {
		return "application/json"
	}
	return "application/octet-stream"
}

// HeaderValue is the value of a message's header, whatever the case of its name; empty without one.
func HeaderValue(m delivery.Message, header string) string {
	for name, value := range m.Headers {
		if strings.EqualFold(name, header) && value != "" {
			return value
		}
	}
	return ""
}
