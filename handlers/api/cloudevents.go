package api

import (
	"encoding/json"
	"fmt"
	"maps"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"

	"redrive/delivery"
	"redrive/handlers/web"
)

// integrationExtension is the CloudEvents extension that makes a command for one integration of what is else an event.
const integrationExtension = "redriveintegration"

// binaryEvent reads a CloudEvent whose attributes are ce- headers: the body is the payload. The headers travel on as they came.
func binaryEvent(h http.Header, body []byte) (delivery.Message, error) {
	attributes, sent := map[string]string{}, map[string]string{}
	for name, values := range h {
		attribute, ok := strings.CutPrefix(strings.ToLower(name), delivery.EventPrefix)
		if !ok {
			continue
		}
		if len(values) > 1 {
			return delivery.Message{}, web.Unprocessable("invalid_cloudevent.twice", delivery.EventPrefix+attribute, "attribute", attribute)
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
		if name := delivery.EventPrefix + attribute; m.Headers[name] != "" {
			m.Headers[name] = value
		}
	}
	return m, err
}

// StructuredEvent reads a CloudEvent that is one JSON object.
func StructuredEvent(body []byte) (delivery.Message, error) {
	attributes := map[string]string{}
	var data json.RawMessage
	var encoded []byte
	var hasEncoded bool
	takeEncoded := base64Field("data_base64", &encoded, &hasEncoded)
	err := web.DecodeMembers(body, func(name string, raw json.RawMessage) error {
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
		return delivery.Message{}, web.Unprocessable("payload_ambiguous.cloudevent", "data")
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
		return web.Unprocessable("invalid_cloudevent.type", name, "attribute", name)
	case '"':
		text, err := web.JsonText(name, raw)
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
	if data[0] != '"' || delivery.IsJSON(attributes["datacontenttype"]) {
		return data, nil
	}
	var text string
	if err := json.Unmarshal(data, &text); err != nil {
		return nil, fmt.Errorf("reading data: %w", err)
	}
	return []byte(text), nil
}

// eventMessage makes the message of an event. Its attributes travel on as ce- headers, so that the receiver gets the
// CloudEvent in binary mode.
func eventMessage(attributes map[string]string, payload []byte) (delivery.Message, error) {
	if err := checkAttributes(attributes); err != nil {
		return delivery.Message{}, err
	}
	m := delivery.Message{
		Type:           attributes["type"],
		Integration:    attributes[integrationExtension],
		Key:            attributes["partitionkey"],
		Payload:        payload,
		IdempotencyKey: delivery.EventKey(attributes),
		Headers:        map[string]string{},
	}
	if m.Key == "" {
		m.Key = attributes["subject"]
	}
	for name, value := range attributes {
		switch name {
		case "datacontenttype":
			m.Headers["Content-Type"] = value
		case integrationExtension: // addressed to us
		default:
			m.Headers[delivery.EventPrefix+name] = delivery.EncodeHeader(value)
		}
	}
	return m, nil
}

func checkAttributes(attributes map[string]string) error {
	if name := delivery.MissingAttribute(attributes); name != "" {
		return web.Unprocessable("invalid_cloudevent.missing", name, "attribute", name)
	}
	if attributes["specversion"] != delivery.EventVersion {
		return web.Unprocessable("invalid_cloudevent.version", "specversion")
	}
	for _, name := range slices.Sorted(maps.Keys(attributes)) {
		if !delivery.IsAttributeName(name) {
			return web.Unprocessable("invalid_cloudevent.name", name, "attribute", name)
		}
		if err := web.CheckText(name, attributes[name]); err != nil {
			return err
		}
	}
	if at := attributes["time"]; at != "" {
		if _, err := time.Parse(time.RFC3339Nano, at); err != nil {
			return web.Unprocessable("invalid_cloudevent.time", "time")
		}
	}
	return nil
}
