package broker

import (
	"bytes"
	"encoding/json"
	"fmt"
	"mime"
	"strings"

	"redrive/delivery"
)

const (
	structuredType = "application/cloudevents+json"
	contentType    = "Content-Type"
)

// event is a CloudEvent. Its attributes travel on as ce- headers, so that an HTTP receiver gets it in binary mode.
type event struct {
	attributes map[string]string
	headers    map[string]string
	data       []byte
	unwrapped  bool // it was the payload, of which only data is left
}

// key is what the event is about, for order and for people.
func (e *event) key() string {
	if key := e.attributes["partitionkey"]; key != "" {
		return key
	}
	return e.attributes["subject"]
}

// event reads a CloudEvent: in binary mode wherever one is found, in structured mode where the source is said to bring them. It
// answers nil for a message that is none and need not be one.
func (e envelope) event(format delivery.WireFormat) (found *event, problem string) {
	if len(e.headers) == 0 && format != delivery.FormatCloudEvents {
		return nil, ""
	}
	attributes, rest := e.attributes()
	if attributes["specversion"] != "" {
		found = &event{attributes: attributes, headers: rest, data: e.payload}
		found.export()
		problem = found.problem()
		if problem != "" && format != delivery.FormatCloudEvents {
			return nil, "" // somebody's headers that look alike
		}
		return found, problem
	}
	if format != delivery.FormatCloudEvents {
		return nil, ""
	}
	if kind, _, _ := mime.ParseMediaType(header(rest, contentType)); kind != structuredType &&
		len(e.headers) > 0 && kind != "" &&
		kind != "application/json" {
		return nil, fmt.Sprintf("no CloudEvent: its content type is %s and it has no attribute specversion",
			short(kind, delivery.MaxType))
	}
	return structured(e.payload, rest)
}

// attributes parts the headers that are CloudEvents attributes from the others.
func (e envelope) attributes() (attributes, rest map[string]string) {
	attributes, rest = map[string]string{}, map[string]string{}
	for name, value := range e.headers {
		if bare, ok := e.attribute(name); ok {
			attributes[bare] = value
		} else {
			rest[name] = value
		}
	}
	return attributes, rest
}

// attribute is the name of the CloudEvents attribute that a header is.
func (e envelope) attribute(name string) (bare string, ok bool) {
	bare, ok = strings.CutPrefix(strings.Replace(strings.ToLower(name), "cloudevents_", "cloudevents:", 1), e.eventMark)
	return bare, ok && e.eventMark != "" && delivery.IsAttributeName(bare)
}

func has(headers map[string]string, name string) bool {
	for given := range headers {
		if strings.EqualFold(given, name) {
			return true
		}
	}
	return false
}

func header(headers map[string]string, name string) string {
	for given, value := range headers {
		if strings.EqualFold(given, name) {
			return value
		}
	}
	return ""
}

// structured reads a CloudEvent that is one JSON object.
func structured(payload []byte, headers map[string]string) (*event, string) {
	var members map[string]json.RawMessage
	if err := json.Unmarshal(payload, &members); err != nil || members == nil {
		return nil, "no CloudEvent: the payload is not a JSON object"
	}
	found := &event{attributes: map[string]string{}, headers: headers, unwrapped: true}
	for name, raw := range members {
		switch {
		case name == "data" || name == "data_base64" || string(raw) == "null":
		case !delivery.IsAttributeName(name):
			return nil, fmt.Sprintf("no CloudEvent: %q is no attribute name", short(name, delivery.MaxType))
		case raw[0] == '{' || raw[0] == '[':
			return nil, "no CloudEvent: attribute " + name + " is neither text, number nor boolean"
		default:
			found.attributes[name] = scalar(raw)
		}
	}
	if problem := found.content(members["data"], members["data_base64"]); problem != "" {
		return nil, problem
	}
	take(headers, contentType)
	if kind := found.attributes["datacontenttype"]; kind != "" {
		headers[contentType] = kind
	}
	found.export()
	return found, found.problem()
}

func scalar(raw json.RawMessage) string {
	var text string
	if json.Unmarshal(raw, &text) == nil {
		return text
	}
	return string(raw)
}

// content is the event's data: JSON as it stands, text of another type without its quotes, or what Base64 holds.
func (e *event) content(data, encoded json.RawMessage) (problem string) {
	switch {
	case data != nil && encoded != nil:
		return "no CloudEvent: data and data_base64 are both given"
	case encoded != nil:
		if err := json.Unmarshal(encoded, &e.data); err != nil {
			return "no CloudEvent: data_base64 is no Base64"
		}
		return ""
	case data == nil: // no data is not empty data
		return ""
	}
	if e.attributes["datacontenttype"] == "" {
		e.attributes["datacontenttype"] = "application/json"
	}
	if data[0] == '"' && !delivery.IsJSON(e.attributes["datacontenttype"]) {
		e.data = []byte(scalar(data))
	} else {
		e.data = bytes.Clone(data)
	}
	return ""
}

// export writes the attributes as HTTP headers.
func (e *event) export() {
	for name, value := range e.attributes {
		if name != "datacontenttype" {
			e.headers[delivery.EventPrefix+name] = delivery.EncodeHeader(value)
		}
	}
}

func (e *event) problem() string {
	if name := delivery.MissingAttribute(e.attributes); name != "" {
		return "no CloudEvent: attribute " + name + " is missing"
	}
	if e.attributes["specversion"] != delivery.EventVersion {
		return "no CloudEvent of version " + delivery.EventVersion
	}
	return ""
}
