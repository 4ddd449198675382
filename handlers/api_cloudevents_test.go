package handlers

import (
	"bytes"
	"context"
	"encoding/json"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/cloudevents/sdk-go/v2/binding"
	"github.com/cloudevents/sdk-go/v2/event"
	cehttp "github.com/cloudevents/sdk-go/v2/protocol/http"

	"redrive/delivery"
	"redrive/handlers/api"
)

const binaryBody = "\x00\xff not json"

func TestABinaryCloudEventIsAnEvent(t *testing.T) {
	s := newSite(t)
	headers := []string{"Content-Type", "application/octet-stream", "ce-specversion", "1.0", "ce-id", "7", "ce-source", "/shop",
		"ce-type", "order.placed", "ce-subject", "order%20%C3%BC", "ce-time", "2031-01-02T03:04:05Z", "ce-traceparent", "00-ab"}
	first := read[api.AcceptedJSON](s, s.send("operator", "POST", "/api/v1/messages", binaryBody, headers...), http.StatusAccepted)
	again := read[api.AcceptedJSON](s, s.send("operator", "POST", "/api/v1/messages", binaryBody, headers...), http.StatusOK)
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
		m, err := api.StructuredEvent([]byte(`{"specversion":"1.0","id":"1","source":"/s","type":"t",` + tc.members + `}`))
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
	a := read[api.AcceptedJSON](s, s.send("operator", "POST", "/api/v1/messages", body, "Content-Type", "application/cloudevents+json; charset=UTF-8"), 202)
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
	a := s.send("operator", "POST", "/api/v1/messages", "x", "ce-specversion", "1.0", "ce-id", "%00", "ce-source", "/s", "ce-type", "t")
	s.wants("escaped NUL", a, http.StatusUnprocessableEntity, "invalid_text")
	a = s.send("operator", "POST", "/api/v1/messages", "x", "ce-specversion", "1.0", "ce-id", "%FF", "ce-source", "/s", "ce-type", "t")
	s.wants("escaped invalid UTF-8", a, http.StatusUnprocessableEntity, "invalid_text")
}

func TestEventKeysDoNotMeet(t *testing.T) {
	long := strings.Repeat("a", 300)
	seen := map[string]bool{}
	for _, pair := range [][2]string{{"a", "b"}, {"a", "b c"}, {"a/b", "c"}, {"a", "ü"}, {long, "1"}, {long, "2"}, {"ü", "1"}} {
		key := delivery.EventKey(map[string]string{"source": pair[0], "id": pair[1]})
		if seen[key] || !delivery.CanBeIdempotencyKey(key) {
			t.Errorf("%.20q has key %q", pair, key)
		}
		seen[key] = true
	}
}

// sdkEvent is an event as other people's programs make it.
func sdkEvent(t *testing.T) event.Event {
	t.Helper()
	e := event.New()
	e.SetID("id 1/ü")
	e.SetSource("https://shop.test/orders?x=1")
	e.SetType("order.placed")
	e.SetSubject(`order "7" 100%`)
	e.SetTime(time.Date(2031, 1, 2, 3, 4, 5, 6000, time.UTC))
	e.SetDataSchema("https://shop.test/schema")
	e.SetExtension("partitionkey", "customer 주문")
	e.SetExtension("count", 7)
	if err := e.SetData("application/json", json.RawMessage(`{"a":1,"a":2}`)); err != nil {
		t.Fatal(err)
	}
	return e
}

func TestEventsOfTheCloudEventsLibraryPassUnchanged(t *testing.T) {
	s := newSite(t)
	want := sdkEvent(t)
	ids := map[string]bool{}
	for _, inMode := range []func(context.Context) context.Context{binding.WithForceBinary, binding.WithForceStructured} {
		r, err := http.NewRequestWithContext(t.Context(), "POST", s.url+"/api/v1/messages", nil)
		s.must(err)
		s.must(cehttp.WriteRequest(inMode(t.Context()), (*binding.EventMessage)(&want), r))
		r.Header.Set("Authorization", "Bearer operator")
		response, err := http.DefaultClient.Do(r)
		s.must(err)
		body, err := io.ReadAll(response.Body)
		s.must(err)
		s.must(response.Body.Close())
		var a api.AcceptedJSON
		if err := json.Unmarshal(body, &a); err != nil || a.ID == "" {
			t.Errorf("%d %s for %v", response.StatusCode, body, r.Header)
		}
		ids[a.ID] = true
	}
	if len(ids) != 1 || ids[""] {
		t.Fatalf("one event in two modes became messages %v", ids)
	}
	for id := range ids {
		m, _, err := s.store.Message(t.Context(), id)
		s.must(err)
		header := http.Header{}
		for name, value := range m.Headers {
			header.Set(name, value)
		}
		got, err := binding.ToEvent(t.Context(), cehttp.NewMessage(header, io.NopCloser(bytes.NewReader(m.Payload))))
		s.must(err)
		if m.Key != "customer 주문" || got.ID() != want.ID() || got.Source() != want.Source() || got.Subject() != want.Subject() ||
			!got.Time().Equal(want.Time()) || got.DataSchema() != want.DataSchema() || string(got.Data()) != string(want.Data()) ||
			got.Extensions()["count"] != "7" || got.DataContentType() != "application/json" {
			t.Errorf("got  %s\nwant %s", got, want)
		}
	}
}
