package handlers

import (
	"net/http"
	"strings"
	"testing"

	"redrive/delivery"
)

const binaryBody = "\x00\xff not json"

func TestABinaryCloudEventIsAnEvent(t *testing.T) {
	s := newSite(t)
	headers := []string{"Content-Type", "application/octet-stream", "ce-specversion", "1.0", "ce-id", "7", "ce-source", "/shop",
		"ce-type", "order.placed", "ce-subject", "order%20%C3%BC", "ce-time", "2031-01-02T03:04:05Z", "ce-traceparent", "00-ab"}
	first := read[acceptedJSON](s, s.send("operator", "POST", "/api/v1/messages", binaryBody, headers...), http.StatusAccepted)
	again := read[acceptedJSON](s, s.send("operator", "POST", "/api/v1/messages", binaryBody, headers...), http.StatusOK)
	if again.ID != first.ID || !again.Duplicate {
		t.Errorf("source and id make no idempotency key: %+v", again)
	}
	m, _, err := s.store.Message(t.Context(), first.ID)
	s.must(err)
	want := map[string]string{"Content-Type": "application/octet-stream", "ce-specversion": "1.0", "ce-id": "7", "ce-source": "/shop",
		"ce-type": "order.placed", "ce-subject": "order%20%C3%BC", "ce-time": "2031-01-02T03:04:05Z", "ce-traceparent": "00-ab"}
	if m.Kind != delivery.KindEvent || m.Type != "order.placed" || m.Key != "order ü" || string(m.Payload) != binaryBody || len(m.Headers) != len(want) {
		t.Errorf("message %+v", m)
	}
	for name, value := range want {
		if m.Headers[name] != value {
			t.Errorf("header %s is %q, want %q", name, m.Headers[name], value)
		}
	}
}

func TestAStructuredCloudEvent(t *testing.T) {
	for _, tc := range []struct{ name, members, payload, contentType, key string }{
		{"JSON byte by byte", `"data": {"n":10000000000000000000000.10 ,"a":1,"a":2}, "partitionkey":"p","subject":"s"`,
			`{"n":10000000000000000000000.10 ,"a":1,"a":2}`, "application/json", "p"},
		{"JSON string", `"data":"x","datacontenttype":"application/vnd.x+json"`, `"x"`, "application/vnd.x+json", ""},
		{"text", `"data":"a\nb","datacontenttype":"text/plain","subject":"s"`, "a\nb", "text/plain", "s"},
		{"base64", `"data_base64":"AP8="`, "\x00\xff", "", ""},
		{"no data", `"extra":true,"count":7,"gone":null`, "", "", ""},
	} {
		m, err := structuredEvent([]byte(`{"specversion":"1.0","id":"1","source":"/s","type":"t",` + tc.members + `}`))
		if err != nil || string(m.Payload) != tc.payload || m.Headers["Content-Type"] != tc.contentType || m.Key != tc.key || m.IdempotencyKey != "/s 1" {
			t.Errorf("%s: %+v, %v", tc.name, m, err)
		}
		if _, addressed := m.Headers["ce-gone"]; addressed || (tc.name == "no data" && (m.Headers["ce-extra"] != "true" || m.Headers["ce-count"] != "7")) {
			t.Errorf("%s: headers %v", tc.name, m.Headers)
		}
	}
}

func TestTheIntegrationExtensionMakesACommand(t *testing.T) {
	s := newSite(t)
	body := `{"specversion":"1.0","id":"1","source":"/s","type":"t","redriveintegration":"sms","data":1}`
	a := read[acceptedJSON](s, s.send("operator", "POST", "/api/v1/messages", body, "Content-Type", "application/cloudevents+json; charset=UTF-8"), 202)
	m, _, err := s.store.Message(t.Context(), a.ID)
	if err != nil || m.Kind != delivery.KindCommand || m.Integration != "sms" || m.Headers["ce-redriveintegration"] != "" {
		t.Errorf("message %+v, %v", m, err)
	}
}

func TestBadCloudEventsAreRefused(t *testing.T) {
	s := newSite(t)
	const good = `"specversion":"1.0","id":"1","source":"/s","type":"t"`
	for _, tc := range []struct{ name, body, code string }{
		{"no id", `{"specversion":"1.0","source":"/s","type":"t"}`, "invalid_cloudevent"},
		{"no source", `{"specversion":"1.0","id":"1","type":"t"}`, "invalid_cloudevent"},
		{"no type", `{"specversion":"1.0","id":"1","source":"/s"}`, "invalid_cloudevent"},
		{"no version", `{"id":"1","source":"/s","type":"t"}`, "invalid_cloudevent"},
		{"another version", `{"specversion":"0.3","id":"1","source":"/s","type":"t"}`, "invalid_cloudevent"},
		{"attribute in capitals", `{` + good + `,"partitionKey":"1"}`, "invalid_cloudevent"},
		{"attribute is an object", `{` + good + `,"extra":{}}`, "invalid_cloudevent"},
		{"no time", `{` + good + `,"time":"noon"}`, "invalid_cloudevent"},
		{"both data", `{` + good + `,"data":1,"data_base64":"AA=="}`, "payload_ambiguous"},
		{"bad base64", `{` + good + `,"data_base64":"?"}`, "invalid_base64"},
		{"NUL", `{` + good + `,"subject":"\u0000"}`, "invalid_text"},
		{"long subject", `{` + good + `,"subject":"` + strings.Repeat("x", 1025) + `"}`, "too_long"},
		{"long type", `{"specversion":"1.0","id":"1","source":"/s","type":"` + strings.Repeat("x", 256) + `"}`, "too_long"},
		{"unknown integration", `{` + good + `,"redriveintegration":"nobody"}`, "unknown_integration"},
		{"line break in the content type", `{` + good + `,"datacontenttype":"a\nb"}`, "invalid_header"},
	} {
		a := s.send("operator", "POST", "/api/v1/messages", tc.body, "Content-Type", "application/cloudevents+json")
		s.wants(tc.name, a, http.StatusUnprocessableEntity, tc.code)
	}
	a := s.send("operator", "POST", "/api/v1/messages", "x", "ce-specversion", "1.0", "ce-id", "1", "ce-source", "/s", "ce-type", "%zz")
	s.wants("bad escape", a, http.StatusUnprocessableEntity, "invalid_cloudevent")
	a = s.send("operator", "POST", "/api/v1/messages", "x", "ce-specversion", "1.0", "ce-id", "%00", "ce-source", "/s", "ce-type", "t")
	s.wants("escaped NUL", a, http.StatusUnprocessableEntity, "invalid_text")
	a = s.send("operator", "POST", "/api/v1/messages", "x", "ce-specversion", "1.0", "ce-id", "%FF", "ce-source", "/s", "ce-type", "t")
	s.wants("escaped invalid UTF-8", a, http.StatusUnprocessableEntity, "invalid_text")
}

func TestEventKeysDoNotMeet(t *testing.T) {
	long := strings.Repeat("a", 300)
	seen := map[string]bool{}
	for _, pair := range [][2]string{{"a", "b"}, {"a", "b c"}, {"a/b", "c"}, {"a", "ü"}, {long, "1"}, {long, "2"}, {"ü", "1"}} {
		key := eventKey(pair[0], pair[1])
		if seen[key] || len(key) > maxIdempotencyKey || !idempotencyText.MatchString(key) {
			t.Errorf("%.20q has key %q", pair, key)
		}
		seen[key] = true
	}
}
