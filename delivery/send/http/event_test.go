package httpsend

import (
	"context"
	"encoding/json"
	"io"
	"maps"
	"net/http"
	"net/http/httptest"
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/cloudevents/sdk-go/v2/binding"
	"github.com/cloudevents/sdk-go/v2/event"
	cehttp "github.com/cloudevents/sdk-go/v2/protocol/http"
	standardwebhooks "github.com/standard-webhooks/standard-webhooks/libraries/go"
	"pgregory.net/rapid"

	"redrive/delivery"
	"redrive/delivery/wire"
)

// caught is a request as its receiver found it.
type caught struct {
	header   http.Header
	body     []byte
	event    *event.Event // as the CloudEvents SDK reads it
	mode     binding.Encoding
	length   int64
	transfer []string
}

// catcher returns an address and what arrived there last.
func catcher(t *testing.T) (string, *caught) {
	t.Helper()
	got := &caught{}
	return receiver(t, func(_ http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		*got = caught{header: r.Header.Clone(), body: body, length: r.ContentLength, transfer: r.TransferEncoding}
		r.Body = io.NopCloser(strings.NewReader(string(body)))
		message := cehttp.NewMessageFromHttpRequest(r)
		got.mode = message.ReadEncoding()
		if got.mode != binding.EncodingUnknown {
			got.event, _ = binding.ToEvent(context.Background(), message)
		}
	}), got
}

// decoded is the event that arrived. The SDK leaves the percent-encoding of the binary mode's headers to its caller.
func decoded(got *caught) *event.Event {
	if got.event == nil || got.mode != binding.EncodingBinary {
		return got.event
	}
	plain := got.event.Clone()
	for name, value := range got.event.Extensions() {
		text, _ := url.PathUnescape(value.(string))
		plain.SetExtension(name, text)
	}
	for set, value := range map[*func(string)]string{new(plain.SetID): plain.ID(), new(plain.SetType): plain.Type(), new(plain.SetSubject): plain.Subject(), new(plain.SetSource): plain.Source()} {
		text, _ := url.PathUnescape(value)
		(*set)(text)
	}
	return &plain
}

// sameButSpace: the SDK trims attributes.
func sameButSpace(a, b string) bool { return strings.TrimSpace(a) == strings.TrimSpace(b) }

func placed(payload string, headers map[string]string) delivery.Request {
	q := request(payload)
	q.Message = delivery.Message{ID: "01890000-0000-7000-8000-000000000001", Type: "order.placed", Key: "상점 \"7\" 100%", Payload: []byte(payload), Headers: headers,
		CreatedAt: time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)}
	return q
}

func TestTheReceiverSeesTypeKeyAndMessage(t *testing.T) {
	address, got := catcher(t)
	forged := map[string]string{}
	for _, name := range []string{"redrive-type", "REDRIVE-KEY", "Redrive-Message", "redrive-other", "webhook-signature"} {
		forged[name] = "forged"
	}
	d := delivery.HTTPDestination{URL: address, Headers: map[string]string{"redrive-type": "set", "Redrive-Key": "set", "Redrive-Message": "set",
		"Webhook-Signature": "set", "Redrive-More": "set", "idempotency-key": "set"}}
	s := newSender(t, d, wire.Network{})
	expect(t, s.Send(t.Context(), placed("{}", forged)), delivery.OutcomeOK, "")
	for name, want := range map[string][]string{"Redrive-Type": {"order.placed"}, "Redrive-Key": {"%EC%83%81%EC%A0%90%20%227%22%20100%25"}, "Idempotency-Key": {"key-1"},
		"Redrive-Message": {"01890000-0000-7000-8000-000000000001"}, "Redrive-Other": nil, "Redrive-More": nil, "Webhook-Signature": nil} {
		if !slices.Equal(got.header.Values(name), want) {
			t.Errorf("%s: %q, want %q", name, got.header.Values(name), want)
		}
	}
	q := request("{}") // neither type nor key
	q.Message.Headers = forged
	expect(t, s.Send(t.Context(), q), delivery.OutcomeOK, "")
	for _, name := range []string{"Redrive-Type", "Redrive-Key", "Redrive-Message"} {
		if values := got.header.Values(name); values != nil {
			t.Errorf("%s: %q", name, values)
		}
	}
}

// Any text of type and key arrives as it was.
func TestAnyTextTravelsAsAHeader(t *testing.T) {
	address, got := catcher(t)
	formats := map[delivery.WireFormat]*Sender{}
	for _, f := range []delivery.WireFormat{delivery.FormatNative, delivery.FormatCloudEvents, delivery.FormatStructured} {
		formats[f] = newSender(t, delivery.HTTPDestination{URL: address, Format: f}, wire.Network{})
	}
	rapid.Check(t, func(c *rapid.T) {
		q := placed("1", nil)
		q.Message.Type = rapid.StringMatching(`[^\pC]{1,20}`).Draw(c, "type")
		q.Message.Key = rapid.StringMatching(`[^\pC]{1,40}`).Draw(c, "key")
		for format, s := range formats {
			result := s.Send(t.Context(), q)
			kind, err := url.PathUnescape(got.header.Get("Redrive-Type"))
			key, _ := url.PathUnescape(got.header.Get("Redrive-Key"))
			if result.Outcome != delivery.OutcomeOK || err != nil || kind != q.Message.Type || key != q.Message.Key {
				c.Fatalf("%s: %+v; type %q, key %q arrived as %q, %q", format, result, q.Message.Type, q.Message.Key, kind, key)
			}
			if e := decoded(got); format != delivery.FormatNative && (e == nil || !sameButSpace(e.Type(), q.Message.Type) || !sameButSpace(e.Subject(), q.Message.Key)) {
				c.Fatalf("%s: type %q, key %q arrived as %v", format, q.Message.Type, q.Message.Key, e)
			}
		}
	})
}

func TestCloudEvents(t *testing.T) {
	const secret = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
	verifier, err := standardwebhooks.NewWebhook(secret)
	if err != nil {
		t.Fatal(err)
	}
	address, got := catcher(t)
	payloads := map[string]string{"{\"a\": 1,\n \"a\":2, \"n\": 12345678901234567890}": "", "not JSON <&>   \\": "text/plain; charset=utf-8", "\x00\xff": "", "\xff": "application/json",
		"": "", "null": "", `"text"`: "", `{"code": 1}`: "text/csv", "{": "application/json", "<a/>": "application/xml"}
	for mode, format := range map[binding.Encoding]delivery.WireFormat{binding.EncodingBinary: delivery.FormatCloudEvents, binding.EncodingStructured: delivery.FormatStructured} {
		s := newSender(t, delivery.HTTPDestination{URL: address, Format: format, Secret: secret, Headers: map[string]string{"X-Shop": "corner"}}, wire.Network{})
		for payload, kind := range payloads {
			headers := map[string]string{"Tenant": "north", "ce-traceparent": "00-1%20x", "ce-averyveryverylongextensionname": "kept", "Ce-Specversion": "0.3", "ce-redriveattempt": "9"}
			if kind != "" {
				headers["content-type"] = kind
			}
			expect(t, s.Send(t.Context(), placed(payload, headers)), delivery.OutcomeOK, "")
			e := decoded(got)
			if got.mode != mode || e == nil {
				t.Fatalf("%s of %q arrived as %v: %q %v", format, payload, got.mode, got.body, got.header)
			}
			if err := e.Validate(); err != nil || string(e.Data()) != payload || kind != "" && e.DataContentType() != kind {
				t.Errorf("%s of %q (%s) arrived as %q (%s): %v", format, payload, kind, e.Data(), e.DataContentType(), err)
			}
			if e.ID() != "01890000-0000-7000-8000-000000000001" || e.Source() != "redrive/push" || e.Type() != "order.placed" || e.Subject() != "상점 \"7\" 100%" ||
				!e.Time().Equal(time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)) || e.SpecVersion() != "1.0" {
				t.Errorf("%s: %v", format, e)
			}
			extensions := map[string]any{"partitionkey": "상점 \"7\" 100%", "idempotencykey": "key-1", "redriveattempt": "3", "traceparent": "00-1 x", "averyveryverylongextensionname": "kept"}
			if !maps.Equal(e.Extensions(), extensions) {
				t.Errorf("%s: extensions %v", format, e.Extensions())
			}
			if got.header.Get("Tenant") != "north" || got.header.Get("X-Shop") != "corner" || got.header.Get("Idempotency-Key") != "key-1" || got.header.Get("Redrive-Type") != "order.placed" {
				t.Errorf("%s: headers %v", format, got.header)
			}
			if err := verifier.Verify(got.body, got.header); err != nil {
				t.Errorf("%s: the signature of what arrived: %v", format, err)
			}
		}
	}
}

// What came as a CloudEvent goes on as the same one, and who masks a field finds it in an answer that repeats the event.
func TestAnEventStaysTheSameAndShowsItsFields(t *testing.T) {
	url := receiver(t, func(w http.ResponseWriter, r *http.Request) {
		w.WriteHeader(http.StatusTeapot)
		_, _ = io.Copy(w, r.Body)
	})
	q := placed(`{"code": "48151623"}`, map[string]string{"Ce-Id": "7", "ce-source": "/shop%20east", "ce-type": "theirs", "ce-specversion": "1.0"})
	s := newSender(t, delivery.HTTPDestination{URL: url, Format: delivery.FormatStructured}, wire.Network{})
	for _, kind := range []string{"application/json", "text/csv"} {
		q.Message.Headers["Content-Type"] = kind
		result := s.Send(t.Context(), q)
		var e struct{ ID, Source, Type string }
		if err := json.Unmarshal(result.Response, &e); err != nil || e.ID != "7" || e.Source != "/shop east" || e.Type != "theirs" {
			t.Errorf("%s: %v", result.Response, err)
		}
		hidden := delivery.HideValues(string(result.Response), delivery.MaskedValues(q.Message.Payload, []string{"$.code"}))
		if strings.Contains(hidden, "4815") || !strings.Contains(hidden, delivery.Hidden) {
			t.Errorf("%s: the answer shows a masked field: %s", kind, hidden)
		}
	}
}

func TestAnAttributeThatCannotTravelIsRefused(t *testing.T) {
	url := receiver(t, func(http.ResponseWriter, *http.Request) { t.Error("sent") })
	for _, f := range []delivery.WireFormat{delivery.FormatCloudEvents, delivery.FormatStructured} {
		s := newSender(t, delivery.HTTPDestination{URL: url, Format: f}, wire.Network{})
		expect(t, s.Send(t.Context(), placed("1", map[string]string{"ce-x": "a%0Ab"})), delivery.OutcomePermanent, delivery.ClassBadRequest)
	}
}

func TestAnEmptyPayloadSaysItsLength(t *testing.T) {
	for _, payload := range [][]byte{nil, {}} {
		for _, method := range []string{http.MethodPost, http.MethodPut, http.MethodPatch, http.MethodDelete} {
			for _, format := range []delivery.WireFormat{delivery.FormatNative, delivery.FormatCloudEvents} {
				head := make(chan string, 1)
				tap := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
					head <- strings.Join(append(r.TransferEncoding, r.Header.Values("Content-Length")...), ",") + "|" + r.Header.Get("Idempotency-Key")
				}))
				q := placed("", nil)
				q.Message.Payload = payload
				s := newSender(t, delivery.HTTPDestination{URL: tap.URL, Method: method, Format: format}, wire.Network{})
				expect(t, s.Send(t.Context(), q), delivery.OutcomeOK, "")
				tap.Close()
				want := "0|key-1"
				if method == http.MethodDelete { // has none by itself
					want = "|key-1"
				}
				if got := <-head; got != want {
					t.Errorf("%s %v: %q, want %q", method, payload, got, want)
				}
			}
		}
	}
}
