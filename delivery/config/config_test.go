package config

import (
	"reflect"
	"strings"
	"testing"
	"time"

	"redrive/delivery"
)

const good = `network: {allow: [127.0.0.0/8], deny: [10.1.2.3]}
integrations:
  - name: seller-push
    description: Tell the seller about a new order
    method: outbox
    subscribe: [order.placed]
    destination:
      http: {url: "http://${HOST}/push", headers: {x-shop: "a ${TOKEN} b"}, secret: "${TOKEN}", timeout: 2s}
    idempotent: true
    retry: {attempts: 3, backoff: [5s, 1m], jitter: none}
    on_failure: ignore
    concurrency: 4
    mask: ["$.code"]
  - name: plain
    method: outbox
    destination: {http: {url: "https://example.test/x?key=1"}}
`

func lookup(name string) (string, bool) {
	v, ok := map[string]string{"HOST": "127.0.0.1:1", "TOKEN": "s3cret: [}", "EMPTY": ""}[name]
	return v, ok
}

func TestFormatsOfHTTP(t *testing.T) {
	for text, want := range map[string]delivery.WireFormat{"": delivery.FormatNative, "format: native, ": delivery.FormatNative,
		"format: cloudevents, ": delivery.FormatCloudEvents, "format: cloudevents-structured, ": delivery.FormatStructured} {
		f, err := Parse("f.yaml", []byte(strings.Replace(good, "timeout: 2s", text+"timeout: 2s", 1)), lookup)
		if err != nil || f.Integrations[0].Destination.To.(*delivery.HTTPDestination).Format != want {
			t.Errorf("%q: %v", text, err)
		}
	}
}

func TestParseFillsEverySetting(t *testing.T) {
	f, err := Parse("f.yaml", []byte(good), lookup)
	if err != nil {
		t.Fatal(err)
	}
	if len(f.Integrations) != 2 || f.Allow[0].String() != "127.0.0.0/8" || f.Deny[0].String() != "10.1.2.3/32" {
		t.Fatalf("got %+v", f)
	}
	want := delivery.Integration{
		Name: "seller-push", Description: "Tell the seller about a new order", Method: delivery.MethodOutbox,
		Subscribe: []string{"order.placed"}, Idempotent: true, OnFailure: delivery.StateIgnored, Concurrency: 4, Mask: []string{"$.code"},
		Retry: delivery.RetryPolicy{Attempts: 3, Backoff: []time.Duration{5 * time.Second, time.Minute}, Jitter: delivery.JitterNone},
		Destination: delivery.Destination{To: &delivery.HTTPDestination{URL: "http://127.0.0.1:1/push", Method: "POST", Format: delivery.FormatNative,
			Headers: map[string]string{"X-Shop": "a s3cret: [} b"}, Secret: "s3cret: [}", Timeout: 2 * time.Second},
			Veil: f.Hidden},
		OnDead: delivery.OnDeadBlock, Outbox: &delivery.OutboxSettings{Start: delivery.StartNow},
	}
	f.Integrations[0].Settings = ""
	if !reflect.DeepEqual(f.Integrations[0], want) {
		t.Errorf("got  %+v\nwant %+v", f.Integrations[0], want)
	}
	plain := f.Integrations[1]
	if plain.Retry.Attempts != 8 || plain.Concurrency != 16 || plain.Destination.To.(*delivery.HTTPDestination).Timeout != 5*time.Second || plain.OnFailure != delivery.StateDead {
		t.Errorf("defaults are wrong: %+v", plain)
	}
}

func TestParseNamesLineAndSetting(t *testing.T) {
	for _, tc := range []struct{ from, to, want string }{
		{"    idempotent: true", "    idempotant: true", "f.yaml line 9: unknown field \"idempotant\""},
		{"name: plain", "name: Plain_1", "f.yaml line 14: name: \"Plain_1\" must be"},
		{"name: plain", "name: seller-push", "f.yaml line 14: the name \"seller-push\" is used twice"},
		{"on_failure: ignore", "on_failure: drop", "f.yaml line 11: on_failure: \"drop\" is neither"},
		{"attempts: 3", "attempts: 0", "f.yaml line 10: retry.attempts: 0 is not between"},
		{"jitter: none", "jitter: some", "f.yaml line 10: retry.jitter"},
		{"concurrency: 4", "concurrency: 4000", "f.yaml line 12: concurrency: 4000"},
		{"concurrency: 4", "concurrency: four", "f.yaml line 12:"},
		{"timeout: 2s", "timeout: 2 parsecs", "f.yaml line 8: timeout: \"2 parsecs\" is no duration"},
		{"timeout: 2s", "timeout: 1h", "f.yaml line 8: timeout: 1h is not between"},
		{"${HOST}", "${NOT_SET}", "f.yaml line 8: the environment variable \"NOT_SET\" is not set"},
		{"http://${HOST}", "ftp://${HOST}", "f.yaml line 8: url: an http:// or https://"},
		{"127.0.0.0/8", "127.0.0.0/88", "f.yaml line 1: network.allow: \"127.0.0.0/88\""},
		{"method: outbox\n    subscribe", "method: carrier-pigeon\n    subscribe", "f.yaml line 5: method: \"carrier-pigeon\""},
		{"$.code", "code", "f.yaml line 13: mask: \"code\""},
		{"{http: {url: \"https://example.test/x?key=1\"}}", "{}", "f.yaml line 16: destination: missing"},
		{"idempotent: true", "idempotent: maybe", "f.yaml line 9: idempotent: \"maybe\" is neither true nor false"},
		{"backoff: [5s, 1m]", "backoff: 5s", "f.yaml line 10: backoff: string was used where sequence is expected"},
		{"backoff: [5s, 1m]", "backoff: []", "f.yaml line 10: retry.backoff: the list is empty"},
		{"x-shop", "x shop", "f.yaml line 8: headers: \"x shop\" is no header name"},
		{"x-shop", "redrive-key", "f.yaml line 8: headers: Redrive-Key is set by Redrive, leave it out"},
		{"x-shop", "webhook-signature", "f.yaml line 8: headers: Webhook-Signature is set by Redrive"},
		{"x-shop", "IDEMPOTENCY-KEY", "f.yaml line 8: headers: Idempotency-Key is set by Redrive"},
		{"timeout: 2s", "format: json", "f.yaml line 8: format: \"json\" is none of native, cloudevents and cloudevents-structured"},
		{"{x-shop: \"a ${TOKEN} b\"}", "{ce-source: a}, format: cloudevents", "f.yaml line 8: headers: Ce-Source is an attribute of the CloudEvent"},
		{"{x-shop: \"a ${TOKEN} b\"}", "{content-type: a/b}, format: cloudevents-structured", "f.yaml line 8: headers: with format cloudevents-structured the Content-Type"},
		{"https://example.test", "https://example.test:99999", "f.yaml line 16: url: the port"},
		{"${HOST}", "${HOST", "f.yaml line 8: a ${ has no closing }"},
		{"secret: \"${TOKEN}\"", "secret: \"${EMPTY}\"", "f.yaml line 8: secret: ${EMPTY} is empty"},
		{"secret: \"${TOKEN}\"", "secret: \"whsec_s3cret!\"", "f.yaml line 8: secret: it starts with whsec_"},
		{"secret: \"${TOKEN}\"", "secret: [a, b, c]", "f.yaml line 8: secret: there are 3"},
		{"secret: \"${TOKEN}\"", "secret: [\"${TOKEN}\", '']", "f.yaml line 8: secret: one of the two is empty"},
		{"secret: \"${TOKEN}\"", "secret: [\"${TOKEN}\", whsec_s3cret!]", "f.yaml line 8: secret: it starts with whsec_"},
		{"  - name: plain", "---\n  - name: plain", "f.yaml: there is more than one YAML document"},
		{"  - name: plain", "   - name: plain\n  x", "f.yaml line 1"},
	} {
		text := strings.Replace(good, tc.from, tc.to, 1)
		if text == good {
			t.Fatalf("%q is not in the file", tc.from)
		}
		_, err := Parse("f.yaml", []byte(text), lookup)
		if err == nil || !strings.HasPrefix(err.Error(), tc.want) {
			t.Errorf("%s: got %v, want %s…", tc.to, err, tc.want)
		}
		if err != nil && strings.Contains(err.Error(), "s3cret") {
			t.Errorf("%s: the error shows a secret: %v", tc.to, err)
		}
	}
}
