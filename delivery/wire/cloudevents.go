package wire

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"redrive/delivery"
)

const (
	// untypedEvent is the type of an event made of a message without one: CloudEvents asks for it.
	untypedEvent = "redrive.message"
	maxName      = 20 // characters of an extension's name that every receiver takes
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
	attributes["specversion"] = delivery.EventVersion
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

// StructuredEvent is the message as a CloudEvent that is one JSON object, made of its attributes. JSON stands in it as it is, byte by
// byte, other text as a string, so that whoever hides a field of the payload finds it; what is no text is Base64.
func StructuredEvent(attributes map[string]string, payload []byte) ([]byte, error) {
	event, err := json.Marshal(attributes)
	if err != nil {
		return nil, errors.New("the message cannot be written as a CloudEvent")
	}
	if len(payload) == 0 {
		return event, nil
	}
	name, data := "data", payload
	switch {
	case !utf8.Valid(payload):
		name, data = "data_base64", quoted(base64.StdEncoding.EncodeToString(payload))
	case delivery.IsJSON(attributes["datacontenttype"]):
		if !json.Valid(payload) { // it only says so
			name, data = "data_base64", quoted(base64.StdEncoding.EncodeToString(payload))
		}
	default:
		data = quoted(string(payload))
	}
	return slices.Concat(event[:len(event)-1], []byte(`,"`+name+`":`), data, []byte("}")), nil
}

// quoted is text as a JSON string that stays readable.
func quoted(text string) []byte {
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	_ = e.Encode(text) // a string in memory: cannot fail
	return bytes.TrimSuffix(b.Bytes(), []byte("\n"))
}

// addHeaders adds a message's headers: attributes of a CloudEvent replace those made here, other headers only fill gaps.
func addHeaders(attributes map[string]string, headers map[string]string) {
	for name, value := range headers {
		name = strings.ToLower(name)
		if _, taken := attributes[name]; !taken && isExtension(name) {
			attributes[name] = value
		}
	}
	for name, value := range headers {
		name, ok := strings.CutPrefix(strings.ToLower(name), delivery.EventPrefix)
		if !ok || !isName(name) {
			continue
		}
		if plain, err := url.PathUnescape(value); err == nil {
			value = plain
		}
		attributes[name] = value
	}
}

// isExtension: a name that every receiver takes.
func isExtension(name string) bool { return isName(name) && len(name) <= maxName }

// isName: lower-case letters and digits, not the name of the payload.
func isName(name string) bool {
	return name != "" && name != "data" && strings.Trim(name, "abcdefghijklmnopqrstuvwxyz0123456789") == ""
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
