package handlers

import (
	"encoding/json"
	"fmt"
	"maps"
	"mime"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"

	"redrive/delivery"
)

// integrationExtension is the CloudEvents extension that makes a command for one integration of what is else an event.
const integrationExtension = "redriveintegration"

// binaryEvent reads a CloudEvent whose attributes are ce- headers: the body is the payload. The headers travel on as they came.
func binaryEvent(h http.Header, body []byte) (delivery.Message, error) {
	attributes, sent := map[string]string{}, map[string]string{}
	for name, values := range h {
		attribute, ok := strings.CutPrefix(strings.ToLower(name), "ce-")
		if !ok {
			continue
		}
		if len(values) > 1 {
			return delivery.Message{}, unprocessable("invalid_cloudevent.twice", "ce-"+attribute, "attribute", attribute)
		}
		text, err := url.PathUnescape(values[0])
		if err != nil {
			text = values[0] // widespread libraries do not percent-encode as the HTTP binding asks
		}
		attributes[attribute], sent[attribute] = text, values[0]
	}
	if contentType := h.Get("Content-Type"); contentType != "" {
		attributes["datacontenttype"] = contentType
	}
	m, err := eventMessage(attributes, append([]byte{}, body...)) // HTTP cannot say null
	for attribute, value := range sent {
		if name := "ce-" + attribute; m.Headers[name] != "" {
			m.Headers[name] = value
		}
	}
	return m, err
}

// structuredEvent reads a CloudEvent that is one JSON object.
func structuredEvent(body []byte) (delivery.Message, error) {
	attributes := map[string]string{}
	var data json.RawMessage
	var encoded []byte
	var hasEncoded bool
	takeEncoded := base64Field("data_base64", &encoded, &hasEncoded)
	err := decodeMembers(body, func(name string, raw json.RawMessage) error {
		switch name {
		case "data":
			data = raw
			return nil
		case "data_base64":
			return takeEncoded(raw)
		}
		return takeAttribute(attributes, name, raw)
	})
	switch {
	case err != nil:
		return delivery.Message{}, err
	case data != nil && hasEncoded:
		return delivery.Message{}, unprocessable("payload_ambiguous.cloudevent", "data")
	case data != nil:
		if encoded, err = eventData(attributes, data); err != nil {
			return delivery.Message{}, err
		}
	}
	return eventMessage(attributes, encoded)
}

// takeAttribute keeps an attribute as text; numbers and booleans are allowed for extensions.
func takeAttribute(attributes map[string]string, name string, raw json.RawMessage) error {
	switch raw[0] {
	case 'n': // null: absent
		return nil
	case '{', '[':
		return unprocessable("invalid_cloudevent.type", name, "attribute", name)
	case '"':
		text, err := jsonText(name, raw)
		attributes[name] = text
		return err
	}
	attributes[name] = string(raw)
	return nil
}

// eventData is the payload within a structured event: JSON as it stands, else the text of the string.
func eventData(attributes map[string]string, data json.RawMessage) ([]byte, error) {
	if attributes["datacontenttype"] == "" {
		attributes["datacontenttype"] = "application/json"
	}
	if data[0] != '"' || isJSONType(attributes["datacontenttype"]) {
		return data, nil
	}
	var text string
	if err := json.Unmarshal(data, &text); err != nil {
		return nil, fmt.Errorf("reading data: %w", err)
	}
	return []byte(text), nil
}

func isJSONType(contentType string) bool {
	kind, _, _ := mime.ParseMediaType(contentType)
	return kind == "application/json" || kind == "text/json" || strings.HasSuffix(kind, "+json")
}

// eventMessage makes the message of an event. Its attributes travel on as ce- headers, so that the receiver gets the
// CloudEvent in binary mode.
func eventMessage(attributes map[string]string, payload []byte) (delivery.Message, error) {
	if err := checkAttributes(attributes); err != nil {
		return delivery.Message{}, err
	}
	m := delivery.Message{Type: attributes["type"], Integration: attributes[integrationExtension], Key: attributes["partitionkey"],
		Payload: payload, IdempotencyKey: eventKey(attributes["source"], attributes["id"]), Headers: map[string]string{}}
	if m.Key == "" {
		m.Key = attributes["subject"]
	}
	for name, value := range attributes {
		switch name {
		case "datacontenttype":
			m.Headers["Content-Type"] = value
		case integrationExtension: // addressed to us
		default:
			m.Headers["ce-"+name] = delivery.EncodeHeader(value)
		}
	}
	return m, nil
}

func checkAttributes(attributes map[string]string) error {
	for _, name := range []string{"specversion", "id", "source", "type"} {
		if attributes[name] == "" {
			return unprocessable("invalid_cloudevent.missing", name, "attribute", name)
		}
	}
	if attributes["specversion"] != "1.0" {
		return unprocessable("invalid_cloudevent.version", "specversion")
	}
	for _, name := range slices.Sorted(maps.Keys(attributes)) {
		if !delivery.IsAttributeName(name) {
			return unprocessable("invalid_cloudevent.name", name, "attribute", name)
		}
		if err := checkText(name, attributes[name]); err != nil {
			return err
		}
	}
	if at := attributes["time"]; at != "" {
		if _, err := time.Parse(time.RFC3339Nano, at); err != nil {
			return unprocessable("invalid_cloudevent.time", "time")
		}
	}
	return nil
}

// eventKey is unique for each event: source and id are, together. What cannot travel as a header is hashed.
func eventKey(source, id string) string {
	return delivery.IdempotencyKeyOf(source + " " + id) // a source is a URI reference and holds no space: no two events share a key
}
