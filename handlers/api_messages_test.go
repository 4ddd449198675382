package handlers

import (
	"encoding/base64"
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"
	"unicode/utf8"

	"redrive/delivery"
	"redrive/handlers/api"
	"redrive/handlers/web"
)

func TestPayloadBytesArriveAsTheyWereSent(t *testing.T) {
	s := newSite(t)
	odd := []string{` { "a" : 1, "a":2, "n": 123456789012345678901234567890.10 , "s":"\u0000<&>" } `, `null`, `""`, `[1,
	2]`, "\"\xff\"", `"` + strings.Repeat("x", 1<<20) + `"`}
	for _, payload := range odd {
		a := read[api.AcceptedJSON](s, s.post("/api/v1/messages", `{"integration":"push","type":"t","payload":`+payload+`}`), http.StatusAccepted)
		m, _, err := s.store.Message(t.Context(), a.ID)
		if want := strings.TrimSpace(payload); err != nil || string(m.Payload) != want {
			t.Errorf("payload %.60q arrived as %.60q: %v", want, m.Payload, err)
		}
	}
	for _, payload := range []string{"", "\x00\xff\xfe", "plain\n", `{"a":1,"a":2}`} {
		body := `{"integration":"push","type":"t","payload_base64":"` + base64.StdEncoding.EncodeToString([]byte(payload)) + `"}`
		a := read[api.AcceptedJSON](s, s.post("/api/v1/messages", body), http.StatusAccepted)
		shown := read[api.MessageWithDeliveries](s, s.get("/api/v1/messages/"+a.ID), http.StatusOK)
		if got := unbase64(t, shown.PayloadBase64); string(got) != payload || shown.Size != len(payload) || shown.Masked {
			t.Errorf("payload %q came back as %q", payload, got)
		}
	}
}

func TestTheLargestPayloadIsAcceptedAndOneByteMoreIsNot(t *testing.T) {
	s := newSite(t)
	body := func(n int) string {
		return `{"integration":"push","type":"t","payload_base64":"` + base64.StdEncoding.EncodeToString(make([]byte, n)) + `"}`
	}
	if a := s.post("/api/v1/messages", body(delivery.MaxPayload)); a.StatusCode != http.StatusAccepted {
		t.Errorf("10 MiB: %d %.200s", a.StatusCode, a.body)
	}
	s.wants("one byte more", s.post("/api/v1/messages", body(delivery.MaxPayload+1)), http.StatusRequestEntityTooLarge, "payload_too_large")
	s.wants("far too large", s.post("/api/v1/messages", body(12<<20)), http.StatusRequestEntityTooLarge, "payload_too_large")
}

func TestAMessageWithEverything(t *testing.T) {
	s := newSite(t)
	body := `{"integration":"push","kind":"command","type":"order.placed","key":"주문-1","payload":{"n":1},"headers":{"X-Shop":"a\tb ü"},
		"idempotency_key":"k-1","deliver_after":"2031-01-02T03:04:05+09:00","expires_at":"2031-01-03T00:00:00Z"}`
	first := s.post("/api/v1/messages", body)
	a := read[api.AcceptedJSON](s, first, http.StatusAccepted)
	if a.Duplicate || len(a.Deliveries) != 1 || a.Deliveries[0].Integration != "push" || a.Deliveries[0].State != delivery.StatePending {
		t.Errorf("accepted %s", first.body)
	}
	if first.Header.Get("Location") != "/api/v1/messages/"+a.ID || s.woken.Load() != 1 {
		t.Errorf("location %q, woken %d times", first.Header.Get("Location"), s.woken.Load())
	}
	again := read[api.AcceptedJSON](s, s.post("/api/v1/messages", body), http.StatusOK)
	if !again.Duplicate || again.ID != a.ID || again.Deliveries[0].ID != a.Deliveries[0].ID {
		t.Errorf("again %+v, first %+v", again, a)
	}
	raw := s.get("/api/v1/messages/" + a.ID)
	m := read[api.MessageWithDeliveries](s, raw, http.StatusOK)
	if m.Kind != delivery.KindCommand || m.Key != "주문-1" || m.Headers["X-Shop"] != "a\tb ü" || m.IdempotencyKey != "k-1" ||
		string(m.Payload) != `{"n":1}` || m.Masked || len(m.SHA256) != 64 || len(m.Deliveries) != 1 {
		t.Errorf("message %s", raw.body)
	}
	if !strings.Contains(string(raw.body), `"deliver_after":"2031-01-01T18:04:05Z"`) {
		t.Errorf("times are not in UTC: %s", raw.body)
	}
}

func TestEventsAndTheIdempotencyHeader(t *testing.T) {
	s := newSite(t)
	body := `{"type":"order.placed","payload":1}`
	first := read[api.AcceptedJSON](s, s.send("admin", "POST", "/api/v1/messages", body, "Idempotency-Key", "h-1"), http.StatusAccepted)
	again := read[api.AcceptedJSON](s, s.send("admin", "POST", "/api/v1/messages", body, "Idempotency-Key", "h-1"), http.StatusOK)
	if first.ID != again.ID || len(first.Deliveries) != 1 || first.Deliveries[0].Integration != "push" {
		t.Errorf("first %+v, again %+v", first, again)
	}
	nobody := s.post("/api/v1/messages", `{"type":"unheard","kind":"event","payload":1}`)
	if read[api.AcceptedJSON](s, nobody, http.StatusAccepted); !strings.Contains(string(nobody.body), `"deliveries":[]`) {
		t.Errorf("without subscribers: %s", nobody.body)
	}
}

// badMessages are mistakes in a body, each with what it is answered with.
var badMessages = []struct {
	name, body string
	status     int
	code       string
}{
	{"unknown integration", `{"integration":"nobody","type":"t","payload":1}`, 422, "unknown_integration"},
	{"impossible integration", `{"integration":"No Body","type":"t","payload":1}`, 422, "unknown_integration"},
	{"command without addressee", `{"kind":"command","type":"t","payload":1}`, 422, "integration_required"},
	{"event with addressee", `{"kind":"event","integration":"push","type":"t","payload":1}`, 422, "integration_not_allowed"},
	{"unknown kind", `{"kind":"wish","type":"t","payload":1}`, 422, "invalid_kind"},
	{"no type", `{"integration":"push","payload":1}`, 422, "type_required"},
	{"empty type", `{"integration":"push","type":"","payload":1}`, 422, "type_required"},
	{"null type", `{"integration":"push","type":null,"payload":1}`, 422, "type_required"},
	{"type is a number", `{"integration":"push","type":7,"payload":1}`, 422, "invalid_field"},
	{"year 10000", `{"type":"t","payload":1,"expires_at":"9999-12-31T23:59:59-23:59"}`, 422, "invalid_time"},
	{"year 0", `{"type":"t","payload":1,"deliver_after":"0000-01-01T00:00:00Z"}`, 422, "invalid_time"},
	{"no payload", `{"integration":"push","type":"t"}`, 422, "payload_required"},
	{"both payloads", `{"integration":"push","type":"t","payload":1,"payload_base64":"AA=="}`, 422, "payload_ambiguous"},
	{"bad base64", `{"integration":"push","type":"t","payload_base64":"A"}`, 422, "invalid_base64"},
	{"unknown field", `{"integration":"push","type":"t","payload":1,"prioritty":1}`, 422, "unknown_field"},
	{"letter case counts", `{"Integration":"push","type":"t","payload":1}`, 422, "unknown_field"},
	{"NUL in the key", `{"integration":"push","type":"t","payload":1,"key":"a\u0000b"}`, 422, "invalid_text"},
	{"NUL in the type", `{"integration":"push","type":"\u0000","payload":1}`, 422, "invalid_text"},
	{"NUL in a header", `{"integration":"push","type":"t","payload":1,"headers":{"A":"\u0000"}}`, 422, "invalid_text"},
	{"invalid UTF-8 in the key", "{\"integration\":\"push\",\"type\":\"t\",\"payload\":1,\"key\":\"\xff\"}", 422, "invalid_text"},
	{"half a surrogate pair", `{"integration":"push","type":"t","payload":1,"key":"\ud800"}`, 422, "invalid_text"},
	{"CR LF in a header value", `{"integration":"push","type":"t","payload":1,"headers":{"A":"x\r\nB: y"}}`, 422, "invalid_header"},
	{"line feed in a header value", `{"integration":"push","type":"t","payload":1,"headers":{"A":"x\ny"}}`, 422, "invalid_header"},
	{"header name with a space", `{"integration":"push","type":"t","payload":1,"headers":{"A B":"x"}}`, 422, "invalid_header"},
	{"empty header name", `{"integration":"push","type":"t","payload":1,"headers":{"":"x"}}`, 422, "invalid_header"},
	{"header name twice", `{"integration":"push","type":"t","payload":1,"headers":{"A":"x","a":"y"}}`, 422, "invalid_header"},
	{"header value is a number", `{"integration":"push","type":"t","payload":1,"headers":{"A":1}}`, 422, "invalid_field"},
	{"headers are a list", `{"integration":"push","type":"t","payload":1,"headers":["A"]}`, 422, "invalid_field"},
	{"long header value", `{"integration":"push","type":"t","payload":1,"headers":{"A":"` + strings.Repeat("x", 8001) + `"}}`, 422, "too_long"},
	{"long type", `{"integration":"push","type":"` + strings.Repeat("x", 256) + `","payload":1}`, 422, "too_long"},
	{"long key", `{"integration":"push","type":"t","payload":1,"key":"` + strings.Repeat("x", 1025) + `"}`, 422, "too_long"},
	{"long idempotency key", `{"integration":"push","type":"t","payload":1,"idempotency_key":"` + strings.Repeat("x", 256) + `"}`, 422, "too_long"},
	{"idempotency key with an umlaut", `{"integration":"push","type":"t","payload":1,"idempotency_key":"ü"}`, 422, "invalid_idempotency_key"},
	{"no time", `{"integration":"push","type":"t","payload":1,"expires_at":"tomorrow"}`, 422, "invalid_time"},
	{"expires before it is sent", `{"integration":"push","type":"t","payload":1,"deliver_after":"2031-01-02T00:00:00Z","expires_at":"2031-01-01T00:00:00Z"}`, 422, "invalid_expiry"},
	{"not JSON", `{"integration":"push",}`, 400, "invalid_json"},
	{"cut off", `{"integration":"push"`, 400, "invalid_json"},
	{"trailing data", `{"integration":"push","type":"t","payload":1} {}`, 400, "invalid_json"},
	{"a list", `[]`, 400, "invalid_json"},
	{"a word", `null`, 400, "invalid_json"},
	{"a field twice", `{"integration":"push","type":"t","payload":1,"type":"u"}`, 400, "duplicate_field"},
	{"a header exactly twice", `{"integration":"push","type":"t","payload":1,"headers":{"A":"1","A":"2"}}`, 400, "duplicate_field"},
	{"too deep", strings.Repeat("[", 20000), 400, "invalid_json"},
}

func TestBadMessagesAreRefusedAndNothingIsKept(t *testing.T) {
	s := newSite(t)
	for _, tc := range badMessages {
		s.wants(tc.name, s.post("/api/v1/messages", tc.body), tc.status, tc.code)
	}
	s.wants("empty body", s.post("/api/v1/messages", " "), 400, "invalid_json")
	for _, contentType := range []string{"text/plain", "application/x-www-form-urlencoded", "", "application/cloudevents-batch+json",
		"application/json; charset=latin1", "application/json;;"} {
		s.wants("content type "+contentType, s.send("operator", "POST", "/api/v1/messages", `{}`, "Content-Type", contentType), 415, "unsupported_media_type")
	}
	s.wants("two keys", s.send("operator", "POST", "/api/v1/messages", `{"integration":"push","type":"t","payload":1,"idempotency_key":"a"}`,
		"Idempotency-Key", "b"), 422, "idempotency_key_mismatch")
	if n := s.woken.Load(); n != 0 {
		t.Errorf("the engine was woken %d times", n)
	}
	health, err := s.store.Health(t.Context())
	s.must(err)
	for _, h := range health {
		if h.Pending != 0 {
			t.Errorf("%s has %d deliveries", h.Name, h.Pending)
		}
	}
}

// Where one of several members is to be given, a request with two hears which.
func TestTwoOfWhichOneIsToBeGivenAreNamed(t *testing.T) {
	s := newSite(t)
	id := s.fail(delivery.Message{Integration: "push", Payload: []byte(`{}`)}, "")
	values := map[string]string{"payload": `1`, "payload_base64": `"MQ=="`, "payload_null": `true`, "data": `1`, "data_base64": `"MQ=="`, "filter": `{}`, "ids": `["` + id + `"]`}
	for _, c := range []struct {
		path, kind, rest string
		members          []string
	}{
		{"/api/v1/messages", "application/json", `"integration":"push","type":"t"`, []string{"payload", "payload_base64", "payload_null"}},
		{"/api/v1/failures/" + id + "/edit", "application/json", `"reason":"x"`, []string{"payload", "payload_base64", "payload_null"}},
		{"/api/v1/messages", "application/cloudevents+json", `"specversion":"1.0","id":"1","source":"s","type":"t"`, []string{"data", "data_base64"}},
		{"/api/v1/operations", "application/json", `"action":"retry","reason":"x"`, []string{"filter", "ids"}},
	} {
		for i, one := range c.members {
			for _, two := range c.members[i+1:] {
				body := fmt.Sprintf(`{%s,%q:%s,%q:%s}`, c.rest, one, values[one], two, values[two])
				p := read[web.Problem](s, s.send("admin", "POST", c.path, body, "Content-Type", c.kind), http.StatusUnprocessableEntity)
				words := strings.FieldsFunc(strings.SplitN(p.Detail, ". ", 2)[0], func(r rune) bool { return r != '_' && (r < 'a' || r > 'z') && (r < '0' || r > '9') })
				if !slices.Contains(words, one) || !slices.Contains(words, two) || !slices.Contains(c.members, p.Field) {
					t.Errorf("%s: %s, field %s", body, p.Detail, p.Field)
				}
			}
		}
	}
}

func TestMalformedJSONNamesTheLine(t *testing.T) {
	err := web.DecodeObject([]byte("{\n \"a\": 1,\n \"b\": x\n}"), web.Fields{"a": func(json.RawMessage) error { return nil }})
	if p := web.ProblemOf(err); p.Status != 400 || !strings.Contains(p.Detail, "line 3, byte 18") {
		t.Errorf("detail %q", p.Detail)
	}
}

// FuzzReadMessage feeds any body in any of the three formats: no panic, no text that the database refuses, every refusal a
// problem of the caller.
func FuzzReadMessage(f *testing.F) {
	for _, tc := range badMessages {
		f.Add(tc.body, uint8(0))
	}
	f.Add(`{"integration":"push","type":"t","payload": {"a":1,"a":2} ,"headers":{"A":"b"},"key":"k","deliver_after":"2031-01-01T00:00:00Z"}`, uint8(0))
	f.Add(`{"specversion":"1.0","id":"1","source":"/s","type":"t","data":{"a":1},"subject":"s","extra":7}`, uint8(1))
	f.Add(`{"specversion":"1.0","id":"1","source":"/s","type":"t","data":"x","datacontenttype":"text/plain"}`, uint8(1))
	f.Add("\x00\xff", uint8(2))
	f.Fuzz(func(t *testing.T, body string, format uint8) {
		r := httptest.NewRequest(http.MethodPost, "/", strings.NewReader(body))
		r.Header.Set("Content-Type", [...]string{"application/json", "application/cloudevents+json", "text/plain"}[format%3])
		if format%3 == 2 {
			for name, value := range map[string]string{"ce-specversion": "1.0", "ce-id": body, "ce-source": "/s", "ce-type": "t", "ce-subject": body} {
				r.Header.Set(name, value)
			}
		}
		m, err := api.ReadMessage(r)
		if err != nil {
			if p := web.ProblemOf(err); p.Status < 400 || p.Status >= 500 {
				t.Fatalf("%q: %v", body, err)
			}
			return
		}
		texts := []string{m.Type, m.Key, m.IdempotencyKey, m.Integration}
		for name, value := range m.Headers {
			texts = append(texts, name, value)
		}
		for _, text := range texts {
			if !utf8.ValidString(text) || strings.ContainsRune(text, 0) {
				t.Fatalf("%q gives the text %q", body, text)
			}
		}
		copied := format%3 != 0 || strings.Contains(body, "base64") || strings.Contains(body, string(m.Payload))
		if m.Type == "" || (m.Kind == delivery.KindCommand) != (m.Integration != "") || !copied {
			t.Fatalf("%q gives %+v", body, m)
		}
	})
}
