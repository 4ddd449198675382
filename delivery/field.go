package delivery

import (
	"bytes"
	"encoding/json"
	"fmt"
	"maps"
	"net/url"
	"slices"
	"strings"
)

// Field is one header or property of a message as its broker had it. A broker's headers are a list: a name may stand twice, a
// value may be null, empty, bytes, a number. Message.Headers says of it what a map of texts can.
type Field struct {
	Name   string    // any bytes; empty for the elements of an array
	Type   FieldType // empty: text, bytes of a broker that has no types, or null
	Value  []byte    // in text where the type is none of bytes; nil for null, tables and arrays
	Fields []Field   // of a table or an array
	Shown  string    // the name in Message.Headers by which it is seen and edited; empty: it is not there
}

// FieldType is the type that RabbitMQ has for a value beside text and null.
type FieldType string

// Types of RabbitMQ's fields. Their values are decimal digits, true or false, RFC 3339 (a timestamp that it cannot say: seconds
// since 1970), a decimal with as many digits behind its point as it has.
const (
	FieldBytes     FieldType = "bytes"
	FieldBool      FieldType = "bool"
	FieldInt8      FieldType = "int8"
	FieldUint8     FieldType = "uint8"
	FieldInt16     FieldType = "int16"
	FieldUint16    FieldType = "uint16"
	FieldInt32     FieldType = "int32"
	FieldUint32    FieldType = "uint32"
	FieldInt64     FieldType = "int64"
	FieldFloat32   FieldType = "float32"
	FieldFloat64   FieldType = "float64"
	FieldDecimal   FieldType = "decimal"
	FieldTimestamp FieldType = "timestamp"
	FieldTable     FieldType = "table"
	FieldArray     FieldType = "array"
)

// IsNull says that the field has no value, which is not the same as an empty one.
func (f Field) IsNull() bool { return f.Type == "" && f.Value == nil }

// Nested says that the field is a table or an array.
func (f Field) Nested() bool { return f.Type == FieldTable || f.Type == FieldArray }

// fieldJSON is how a field is written down: text as text, other bytes in Base64, null as null.
type fieldJSON struct {
	Name       string           `json:"name,omitempty"`
	NameBase64 []byte           `json:"name_base64,omitempty"`
	Type       FieldType        `json:"type,omitempty"`
	Value      *json.RawMessage `json:"value,omitempty"`
	Base64     *[]byte          `json:"value_base64,omitempty"`
	Fields     *[]Field         `json:"fields,omitempty"`
	Shown      string           `json:"shown,omitempty"`
}

var jsonNull = json.RawMessage("null")

// MarshalJSON writes name or name_base64, type, and one of value (text or null), value_base64 and fields.
func (f Field) MarshalJSON() ([]byte, error) {
	out := fieldJSON{Type: f.Type, Shown: f.Shown}
	if out.Name = f.Name; Storable(f.Name) != f.Name {
		out.Name, out.NameBase64 = "", []byte(f.Name)
	}
	switch {
	case f.Nested():
		out.Fields = &f.Fields
		if f.Fields == nil {
			out.Fields = &[]Field{}
		}
	case f.IsNull():
		out.Value = &jsonNull
	case Storable(string(f.Value)) != string(f.Value):
		out.Base64 = &f.Value
	default:
		raw, err := json.Marshal(string(f.Value))
		if err != nil {
			return nil, err
		}
		text := json.RawMessage(raw)
		out.Value = &text
	}
	return json.Marshal(out)
}

// UnmarshalJSON reads what MarshalJSON wrote.
func (f *Field) UnmarshalJSON(raw []byte) error {
	var in fieldJSON
	if err := json.Unmarshal(raw, &in); err != nil {
		return err
	}
	*f = Field{Name: in.Name, Type: in.Type, Shown: in.Shown}
	if in.NameBase64 != nil {
		f.Name = string(in.NameBase64)
	}
	switch {
	case in.Fields != nil:
		f.Fields = *in.Fields
	case in.Base64 != nil:
		f.Value = *in.Base64
	case in.Value != nil:
		var text string
		if err := json.Unmarshal(*in.Value, &text); err != nil {
			return fmt.Errorf("the value of a field is text: %w", err)
		}
		f.Value = []byte(text)
	}
	return nil
}

// Text is a field's value for people: that of a table or an array as JSON, null as nothing.
func (f Field) Text() string {
	if !f.Nested() {
		return Storable(string(f.Value))
	}
	var b bytes.Buffer
	f.write(&b)
	return b.String()
}

func (f Field) write(b *bytes.Buffer) {
	quoted := func(text string) {
		raw, _ := json.Marshal(Storable(text)) // text always can
		b.Write(raw)
	}
	switch f.Type {
	case FieldTable, FieldArray:
		ends := map[FieldType]string{FieldTable: "{}", FieldArray: "[]"}[f.Type]
		b.WriteByte(ends[0])
		for n, inner := range f.Fields {
			if n > 0 {
				b.WriteString(", ")
			}
			if f.Type == FieldTable {
				quoted(inner.Name)
				b.WriteString(": ")
			}
			inner.write(b)
		}
		b.WriteByte(ends[1])
	case "", FieldBytes, FieldTimestamp:
		if f.IsNull() {
			b.WriteString("null")
			return
		}
		quoted(string(f.Value))
	default:
		b.Write(f.Value)
	}
}

// Properties of a RabbitMQ message that Message.Headers shows, by the header's name.
var shownProperties = map[string]string{"Content-Type": "content_type", "Content-Encoding": "content_encoding",
	"Correlation-Id": "correlation_id", "Reply-To": "reply_to"}

// PropertyOf is the name of the RabbitMQ property that a header stands for; empty for a header that is one.
func PropertyOf(header string) string {
	for name, property := range shownProperties {
		if strings.EqualFold(name, header) {
			return property
		}
	}
	return ""
}

// HeaderOf is the header that shows a RabbitMQ property; empty where none does.
func HeaderOf(property string) string {
	for name, of := range shownProperties {
		if of == property {
			return name
		}
	}
	return ""
}

// Typed says that the message came from a broker whose properties, headers and types are kept with it.
func (m Message) Typed() bool { return m.Origin != nil && m.Origin.Properties != nil }

// TypedBy reports whether these are that broker's.
func (m Message) TypedBy(broker string) bool { return m.Typed() && m.Origin.Broker == broker }

// PropertyKey is the property that is the key of a Kafka record, which may be null, empty and any bytes.
const PropertyKey = "message_key"

// RecordKey is the key of a record that the message came from, or is sent as; nil: null.
func (m Message) RecordKey() []byte {
	if m.TypedBy(BrokerKafka) {
		if n := slices.IndexFunc(m.Origin.Properties, func(f Field) bool { return f.Name == PropertyKey }); n >= 0 {
			return m.Origin.Properties[n].Value
		}
	}
	if m.Key == "" {
		return nil
	}
	return []byte(m.Key)
}

// Wire returns the properties and headers of a typed message as its broker had them. What an edit has changed, added or taken
// away among Headers is changed, added and taken away; everything else is what came.
func (m Message) Wire() (properties, headers []Field) {
	edited := maps.Clone(m.Headers)
	properties = restored(m.Origin.Properties, edited)
	headers = restored(m.Origin.Headers, edited)
	for _, name := range slices.Sorted(maps.Keys(edited)) {
		added := Field{Name: name, Value: []byte(edited[name]), Shown: name}
		property := ""
		if m.Origin.Broker == BrokerRabbitMQ { // Kafka has headers alone
			property = PropertyOf(name)
		}
		taken := slices.ContainsFunc(properties, func(f Field) bool { return f.Name == property })
		if property != "" && !taken && len(edited[name]) <= maxShortString {
			added.Name = property
			properties = append(properties, added)
		} else {
			headers = append(headers, added)
		}
	}
	return properties, headers
}

// maxShortString is the longest text that a property of RabbitMQ may have, in bytes.
const maxShortString = 255

// restored takes from edited what stands there of fields.
func restored(fields []Field, edited map[string]string) (out []Field) {
	for _, f := range fields {
		if f.Shown == "" {
			out = append(out, f)
			continue
		}
		name, there := headerNamed(edited, f.Shown)
		if !there {
			continue
		}
		if value := edited[name]; value != f.ShownText() {
			f.Type, f.Fields, f.Value = "", nil, []byte(f.unshown(value))
		}
		out = append(out, f)
		delete(edited, name)
	}
	return out
}

// headerNamed finds a header, in the letter case given if there is one.
func headerNamed(headers map[string]string, name string) (found string, ok bool) {
	if _, ok := headers[name]; ok {
		return name, true
	}
	for _, other := range slices.Sorted(maps.Keys(headers)) {
		if strings.EqualFold(other, name) {
			return other, true
		}
	}
	return "", false
}

// isAttribute says that a header is shown as the attribute of a CloudEvent that it is, which HTTP writes percent-encoded.
func (f Field) isAttribute() bool {
	return strings.HasPrefix(f.Shown, EventPrefix) && f.Name != f.Shown
}

// ShownText is what Message.Headers says of a field that is shown there.
func (f Field) ShownText() string {
	if f.isAttribute() {
		return EncodeHeader(string(f.Value))
	}
	return string(f.Value)
}

func (f Field) unshown(text string) string {
	if !f.isAttribute() {
		return text
	}
	plain, err := url.PathUnescape(text)
	if err != nil {
		return text
	}
	return plain
}

// HeaderList is a message's headers as its broker had them, in order, as far as Headers cannot say it; nil where it can.
func (m Message) HeaderList() []Field {
	if m.Origin == nil || m.Origin.Headers == nil {
		return nil
	}
	if !m.Typed() {
		return m.Origin.Headers
	}
	_, headers := m.Wire()
	return headers
}
