package broker

import (
	"cmp"
	"encoding/base64"
	"maps"
	"slices"
	"strings"
	"time"

	"redrive/delivery"
)

// envelope is one message in the words of no broker in particular.
type envelope struct {
	payload   []byte
	headers   map[string]string // text
	raw       map[string][]byte // values that are no text, or whose names receivers refuse
	typed     bool              // fields have all headers as they came, and nothing need be put into raw
	fields    []delivery.Field
	inOrder   bool   // the order of fields counts, and so does a name that stands twice
	eventMark string // prefix of the headers that are CloudEvents attributes; empty: the broker has no headers
	kind      string // the type, where the broker has a place for it
	key       string
	identity  string // by the broker's own means
	origin    delivery.Origin
}

func newEnvelope(payload []byte, eventMark string) envelope {
	return envelope{payload: payload, eventMark: eventMark, headers: map[string]string{}, raw: map[string][]byte{}}
}

// header takes one header. What cannot travel as text is kept apart.
func (e *envelope) header(name string, value []byte) {
	if delivery.CanBeHeader(string(value)) && (delivery.IsHeaderName(name) || e.isEventMark(name)) {
		e.headers[name] = string(value)
		return
	}
	e.keep(name, value)
}

// keep puts aside what the headers cannot say.
func (e *envelope) keep(name string, value []byte) {
	if !e.typed {
		e.raw[delivery.Storable(name)] = value
	}
}

func (e *envelope) isEventMark(name string) bool {
	return e.eventMark != "" && strings.HasPrefix(strings.ToLower(name), e.eventMark)
}

// read makes a message of it. What cannot be read is kept as it came, with the problem in words.
func (e envelope) read(format delivery.WireFormat) *taken {
	t := &taken{
		identity: e.identity,
		message:  delivery.Message{Type: e.kind, Key: e.key, Headers: maps.Clone(e.headers), Payload: e.payload},
	}
	event, problem := e.event(format)
	switch {
	case problem != "":
		t.problem = problem
	case event != nil:
		t.message.Type, t.message.Headers, t.message.Payload = event.attributes["type"], event.headers, event.data
		if key := event.key(); key != "" {
			t.message.Key = key
		}
		t.identity = "event " + event.attributes["source"] + " " + event.attributes["id"]
		t.message.IdempotencyKey = delivery.EventKey(event.attributes)
	}
	// a blank one would make all messages one
	if key := take(t.message.Headers, "Idempotency-Key"); strings.Trim(key, " \t") != "" {
		t.message.IdempotencyKey = delivery.IdempotencyKeyOf(key)
	}
	// as another Redrive sends it
	t.message.Type = cmp.Or(take(t.message.Headers, "redrive-type"), t.message.Type, e.origin.Place)
	t.message.Key = cmp.Or(t.message.Key, take(t.message.Headers, "redrive-key"))
	t.message.Type, t.message.Key = short(t.message.Type, delivery.MaxType), short(t.message.Key, delivery.MaxKey)
	if t.identity != "" {
		t.identity = short(t.identity, maxIdentity)
	}
	for name, value := range t.message.Headers {
		if !delivery.IsHeaderName(name) { // an attribute of what is no event
			e.keep(name, []byte(value))
			delete(t.message.Headers, name)
		}
	}
	origin := e.origin
	origin.At = storableTime(origin.At)
	origin.Raw = encoded(e.raw)
	if e.typed {
		if event != nil && event.unwrapped { // the payload is its data, and not of the type that the message had
			origin.Properties = slices.DeleteFunc(origin.Properties,
				func(f delivery.Field) bool { return f.Name == delivery.PropertyOf(contentType) })
			e.fields = slices.DeleteFunc(e.fields,
				func(f delivery.Field) bool { return e.inOrder && strings.EqualFold(f.Name, contentType) })
		}
		e.listed(&origin, t.message.Headers, event != nil)
	}
	t.message.Origin = &origin
	return t
}

// listed notes of each property and header where the message's headers show it. The list of headers stays only where these do
// not say all of it.
func (e envelope) listed(origin *delivery.Origin, headers map[string]string, event bool) {
	claimed := map[string]bool{}
	show := func(f *delivery.Field, name string) {
		f.Shown = name
		if value, there := headers[name]; !there || claimed[name] || value != f.ShownText() || f.Nested() {
			f.Shown = ""
		}
		claimed[f.Shown] = f.Shown != ""
	}
	for n := range origin.Properties {
		show(&origin.Properties[n], delivery.HeaderOf(origin.Properties[n].Name))
	}
	told := true
	for n := range slices.Backward(e.fields) {
		f := &e.fields[n]
		show(f, f.Name)
		if attribute, ok := e.attribute(f.Name); event && ok {
			show(f, delivery.EventPrefix+attribute)
		}
		told = told && f.Shown == f.Name && f.Type == "" && !f.IsNull()
		if e.inOrder {
			told = told && (n == 0 || e.fields[n-1].Name < f.Name)
		} else {
			told = told && delivery.PropertyOf(f.Name) == ""
		}
	}
	if !told {
		origin.Headers = e.fields
	}
}

// take removes a header, whatever the case of its name, and returns its value.
func take(headers map[string]string, name string) (value string) {
	for given, v := range headers {
		if strings.EqualFold(given, name) {
			value = v
			delete(headers, given)
		}
	}
	return value
}

func encoded(raw map[string][]byte) map[string]string {
	if len(raw) == 0 {
		return nil
	}
	out := make(map[string]string, len(raw))
	for name, value := range raw {
		out[name] = base64.StdEncoding.EncodeToString(value)
	}
	return out
}

// storableTime is the present where a clock far away says what no column takes.
func storableTime(at time.Time) time.Time {
	if at.Year() < 1970 || at.Year() > 9999 {
		return time.Now().UTC()
	}
	return at.UTC()
}

// keyText is a key as text; bytes that are none are written in Base64, so that two keys stay two.
func keyText(key []byte) string {
	if text := string(key); delivery.Storable(text) == text {
		return text
	}
	return "base64:" + base64.StdEncoding.EncodeToString(key)
}
