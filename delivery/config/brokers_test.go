package config

import (
	"reflect"
	"strings"
	"testing"
	"time"

	"redrive/delivery"
)

const brokers = `integrations:
  - name: mails
    method: pool
    pool: {workers: 5, queue: 20, when_full: journal}
    destination: {http: {url: "http://${HOST}/"}}
  - name: points
    method: broker
    ordered: true
    broker:
      rabbitmq: {url: "amqp://u:${TOKEN}@127.0.0.1:5672/v", queue: points, format: cloudevents}
      prefetch: 30
    destination:
      kafka: {brokers: ["a:9092, b:9092", "c:9092"], topic: t, sasl: {mechanism: scram-sha-256, username: u, password: "${TOKEN}"}, tls: {}}
  - name: clicks
    method: broker
    broker: {kafka: {brokers: [a:9092], topic: clicks, group: g}}
    destination: {redis: {addr: "h:6379", username: u, password: "${TOKEN}", db: 2, channel: c, require_subscribers: 1, timeout: 1s}}
  - name: dead
    method: broker
    broker: {kafka: {brokers: [a:9092], topic: clicks.DLT, group: g, timestamp: keep}, dead_letters: true}
  - name: bus
    method: broker
    broker: {redis: {addr: "h:6379", channel: c}}
    destination: {rabbitmq: {url: "amqps://h", exchange: e, routing_key: r, tls: {ca: /ca.pem}}}
`

func TestBrokersAndPools(t *testing.T) {
	f, err := Parse("f.yaml", []byte(strings.ReplaceAll(brokers, "${TOKEN}", "t0ken")), lookup)
	if err != nil {
		t.Fatal(err)
	}
	mails, points, clicks, dead, bus := f.Integrations[0], f.Integrations[1], f.Integrations[2], f.Integrations[3], f.Integrations[4]
	kafka := delivery.KafkaServer{Brokers: []string{"a:9092", "b:9092", "c:9092"}, TLS: &delivery.TLS{},
		SASL: &delivery.SASL{Mechanism: "scram-sha-256", Username: "u", Password: "t0ken"}}
	for name, pair := range map[string][2]any{
		"pool":         {*mails.Pool, delivery.PoolSettings{Workers: 5, Queue: 20, WhenFull: delivery.WhenFullJournal}},
		"pool's retry": {mails.Retry, delivery.DefaultPoolRetry},
		"ordered":      {points.Ordered, true},
		"queue": {*points.Broker, delivery.BrokerSource{Format: delivery.FormatCloudEvents, Prefetch: 30, Veil: f.Hidden, From: &delivery.RabbitMQSource{
			RabbitMQServer: delivery.RabbitMQServer{URL: "amqp://u:t0ken@127.0.0.1:5672/v"}, Queue: "points"}}},
		"topic": {*points.Destination.To.(*delivery.KafkaDestination), delivery.KafkaDestination{KafkaServer: kafka, Topic: "t", Format: delivery.FormatNative, Timeout: 5 * time.Second}},
		"group": {*clicks.Broker.From.(*delivery.KafkaSource), delivery.KafkaSource{KafkaServer: delivery.KafkaServer{Brokers: []string{"a:9092"}}, Topic: "clicks", Group: "g"}},
		"channel": {*clicks.Destination.To.(*delivery.RedisDestination), delivery.RedisDestination{RedisServer: delivery.RedisServer{Addr: "h:6379", Username: "u", Password: "t0ken", DB: 2},
			Channel: "c", RequireSubscribers: 1, Format: delivery.FormatNative, Timeout: time.Second}},
		"the way back": {*dead.Destination.To.(*delivery.KafkaDestination), delivery.KafkaDestination{KafkaServer: dead.Broker.From.(*delivery.KafkaSource).KafkaServer, Format: delivery.FormatNative, Timeout: 5 * time.Second, KeepTime: true}},
		"exchange":     {bus.Destination.Address(), "h e r"},
		"address":      {points.Broker.Address(), "127.0.0.1:5672/v points"},
		"prefetch":     {bus.Broker.Prefetch, 256},
	} {
		if !reflect.DeepEqual(pair[0], pair[1]) {
			t.Errorf("%s: got %+v, want %+v", name, pair[0], pair[1])
		}
	}
	for _, in := range f.Integrations {
		if strings.Contains(in.Destination.Address(), "t0ken") || in.Broker != nil && strings.Contains(in.Broker.Address(), "t0ken") {
			t.Errorf("%s shows a secret", in.Name)
		}
	}
}

// Dead letters are a truth value, or what is to be done with them, which is true.
func TestDeadLettersAndGapsAsTheyAreWritten(t *testing.T) {
	for written, want := range map[string]delivery.BrokerSource{
		"dead_letters: true":                                 {DeadLetters: true},
		"dead_letters: {original: fetch}":                    {DeadLetters: true, Original: delivery.OriginalFetch},
		"dead_letters: {original: as-is}, on_gap: stop":      {DeadLetters: true, Original: delivery.OriginalAsIs, OnGap: delivery.OnGapStop},
		"dead_letters: {original: \"as-is\"}, on_gap: go-on": {DeadLetters: true, Original: delivery.OriginalAsIs, OnGap: delivery.OnGapGoOn},
		"dead_letters: {}":                                   {DeadLetters: true},
	} {
		f, err := Parse("f.yaml", []byte(strings.ReplaceAll(strings.Replace(brokers, "dead_letters: true", written, 1), "${TOKEN}", "t0ken")), lookup)
		if err != nil {
			t.Errorf("%s: %v", written, err)
			continue
		}
		got := *f.Integrations[3].Broker
		if got.DeadLetters != want.DeadLetters || got.Original != want.Original || got.OnGap != want.OnGap {
			t.Errorf("%s: %+v", written, got)
		}
	}
}

// What stands in the file about a share group and a token is what source and destination get.
func TestShareGroupsAndTokens(t *testing.T) {
	text := `integrations:
  - name: shared
    method: broker
    broker: {kafka: {brokers: [a:9092], topic: clicks, share_group: s}}
    destination:
      kafka: {brokers: [b:9092], topic: t, sasl: {mechanism: oauthbearer, token: {url: "https://${HOST}/token", client_id: c,
        client_secret: "${TOKEN}", scope: a b, extensions: {tenant: "${HOST}"}, ca: ca.pem}}}
`
	f, err := Parse("f.yaml", []byte(strings.ReplaceAll(text, "${TOKEN}", "t0ken")), lookup)
	if err != nil {
		t.Fatal(err)
	}
	source, destination := f.Integrations[0].Broker.From.(*delivery.KafkaSource), f.Integrations[0].Destination.To.(*delivery.KafkaDestination)
	if source.ShareGroup != "s" || source.Group != "" {
		t.Errorf("got %+v", source)
	}
	host, _ := lookup("HOST")
	want := &delivery.SASL{Mechanism: "oauthbearer", Token: &delivery.ClientCredentials{URL: "https://" + host + "/token", ID: "c", Secret: "t0ken",
		Scope: "a b", Extensions: map[string]string{"tenant": host}, CA: "ca.pem"}}
	if !reflect.DeepEqual(destination.SASL, want) {
		t.Errorf("got %+v", destination.SASL.Token)
	}
}

func TestBrokersAndPoolsNameLineAndSetting(t *testing.T) {
	text := strings.ReplaceAll(brokers, "${TOKEN}", "s3cret")
	const sasl = `sasl: {mechanism: scram-sha-256, username: u, password: "s3cret"}`
	for _, tc := range []struct{ from, to, want string }{
		{"workers: 5", "workers: 0", "f.yaml line 4: pool.workers: 0 is not between"},
		{"queue: 20", "queue: 2000000", "f.yaml line 4: pool.queue: 2000000 is not between"},
		{"when_full: journal", "when_full: drop", "f.yaml line 4: pool.when_full: \"drop\" is none of"},
		{"    pool: {workers", "    subscribe: [a]\n    pool: {workers", "f.yaml line 4: subscribe: a pool takes commands only"},
		{"    pool: {workers", "    ordered: true\n    pool: {workers", "f.yaml line 4: ordered:"},
		{"method: pool", "method: outbox", "f.yaml line 4: pool: this block belongs to method pool"},
		{"method: pool", "method: cdc", "f.yaml line 4: pool: this block belongs to method pool"},
		{"amqp://u", "http://u", "f.yaml line 10: url: an amqp:// or amqps://"},
		{"queue: points, ", "", "f.yaml line 10: queue: missing"},
		{"queue: points, ", "queue: points, exchange: e, ", "f.yaml line 10: broker.rabbitmq: exchange"},
		{"format: cloudevents", "format: xml", "f.yaml line 10: format: \"xml\" is neither"},
		{"prefetch: 30", "prefetch: 0", "f.yaml line 11: broker.prefetch: 0"},
		{"      prefetch: 30", "      kafka: {brokers: [a:1], topic: t, group: g}", "f.yaml line 10: broker: exactly one"},
		{"mechanism: scram-sha-256", "mechanism: md5", "f.yaml line 13: sasl.mechanism: \"md5\""},
		{"password: \"s3cret\"}, tls: {}", "password: \"\"}, tls: {}", "f.yaml line 13: password: missing"},
		{"tls: {}}", "tls: {cert: c.pem}}", "f.yaml line 13: tls: cert and key"},
		{"topic: t, sasl", "topic: t, group: g, sasl", "f.yaml line 13: group belongs to a source"},
		{"topic: t, sasl", "topic: t, timestamp: old, sasl", "f.yaml line 13: timestamp: \"old\" is neither new nor keep"},
		{"topic: clicks, group: g}}", "topic: clicks}}", "f.yaml line 16: group: missing; write group: NAME, or share_group: NAME"},
		{"topic: clicks, group: g}}", "topic: clicks, group: g, share_group: g}}", "f.yaml line 16: share_group: a source has group or share_group"},
		{"    broker: {kafka: {brokers: [a:9092], topic: clicks, group: g}}", "    ordered: true\n    broker: {kafka: {brokers: [a:9092], topic: clicks, share_group: g}}", "f.yaml line 16: ordered: a share group has no order"},
		{"topic: t, sasl", "topic: t, share_group: g, sasl", "f.yaml line 13: share_group belongs to a source"},
		{"mechanism: scram-sha-256", "mechanism: oauthbearer", "f.yaml line 13: sasl."},
		{sasl, "sasl: {mechanism: oauthbearer}", "f.yaml line 13: sasl.token: missing"},
		{sasl, `sasl: {mechanism: oauthbearer, token: {url: "ftp://h", client_id: c, client_secret: s3cret}}`, "f.yaml line 13: sasl.token.url"},
		{sasl, `sasl: {mechanism: oauthbearer, token: {url: "https://u:s3cret@h", client_id: c, client_secret: s3cret}}`, "f.yaml line 13: sasl.token.url"},
		{sasl, `sasl: {mechanism: oauthbearer, token: {url: "https://h", client_id: c}}`, "f.yaml line 13: client_secret: missing"},
		{sasl, `sasl: {mechanism: oauthbearer, token: {url: "https://h", client_id: c, client_secret: s3cret, extensions: {auth: x}}}`, "f.yaml line 13: sasl.token.extensions"},
		{sasl, `sasl: {mechanism: plain, username: u, password: s3cret, token: {url: "https://h"}}`, "f.yaml line 13: sasl.token: it belongs to"},
		{"addr: \"h:6379\", username", "addr: \"redis://:s3cret@h\", username", "f.yaml line 17: addr: an address such as"},
		{"require_subscribers: 1", "require_subscribers: -1", "f.yaml line 17: require_subscribers: -1"},
		{"dead_letters: true}", "dead_letters: false}", "f.yaml line 18: destination: missing"},
		{"{redis: {addr: \"h:6379\", channel: c}}", "{redis: {addr: \"h:6379\", channel: c}, dead_letters: true}", "f.yaml line 23: broker.dead_letters"},
		{"dead_letters: true}", "dead_letters: true}\n    destination: {http: {url: \"http://h\"}}", "f.yaml line 21: destination: entries of a dead-letter queue go back"},
		{"dead_letters: true}", "dead_letters: true}\n    subscribe: [a]", "f.yaml line 21: subscribe: every entry"},
		{"dead_letters: true}", "dead_letters: {original: no}}", "f.yaml line 20: original: \"no\" is neither fetch nor as-is"},
		{"dead_letters: true}", "dead_letters: {origin: fetch}}", "f.yaml line 20: "},
		{"dead_letters: true}", "dead_letters: perhaps}", "f.yaml line 20: "},
		{"group: g, timestamp: keep}, dead_letters: true}", "share_group: g, timestamp: keep}, dead_letters: true, on_gap: stop}", "f.yaml line 20: broker.on_gap: a share group"},
		{"dead_letters: true}", "dead_letters: true, on_gap: halt}", "f.yaml line 20: broker.on_gap: \"halt\" is neither go-on nor stop"},
		{"{redis: {addr: \"h:6379\", channel: c}}", "{redis: {addr: \"h:6379\", channel: c}, on_gap: stop}", "f.yaml line 23: broker.on_gap: messages of redis have no positions"},
		{"prefetch: 30", "dead_letters: {original: fetch}", "f.yaml line 11: broker.dead_letters: messages of rabbitmq have no positions"},
		{"amqps://h", "amqp://h", "f.yaml line 24: tls: the url must start with amqps://"},
		{"exchange: e, routing_key: r, ", "", "f.yaml line 24: rabbitmq: name an exchange"},
		{"{rabbitmq: {url: \"amqps", "{http: {url: \"http://h\"}, rabbitmq: {url: \"amqps", "f.yaml line 24: destination: exactly one"},
		{"    broker: {redis: {addr: \"h:6379\", channel: c}}\n", "", "f.yaml line 22: broker: missing"},
	} {
		changed := strings.Replace(text, tc.from, tc.to, 1)
		if changed == text {
			t.Fatalf("%q is not in the file", tc.from)
		}
		_, err := Parse("f.yaml", []byte(changed), lookup)
		if err == nil || !strings.HasPrefix(err.Error(), tc.want) {
			t.Errorf("%s: got %v, want %s…", tc.to, err, tc.want)
		}
		if err != nil && strings.Contains(err.Error(), "s3cret") {
			t.Errorf("%s: the error shows a secret: %v", tc.to, err)
		}
	}
}
