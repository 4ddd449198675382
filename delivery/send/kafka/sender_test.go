package kafkasend

// The broker of these tests is Apache Kafka. Where a test wants answers that one broker gives by accident only, or more brokers than
// one, it says "emulated": kfake, in this process, speaks the protocol, checks producer, epoch and sequence as Kafka does, and answers
// what a test tells it to. It does not replicate, and its disk never fails.

import (
	"bytes"
	"context"
	"crypto/rand"
	"encoding/hex"
	"fmt"
	"log/slog"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kgo"

	"redrive/delivery"
	"redrive/delivery/wire"
	"redrive/store/storetest/patience"
	"redrive/store/storetest/services"
)

func TestMain(m *testing.M) { services.Main(m) }

const fastTimeout = 3 * time.Second

// slowTimeout is for what is to succeed, however slow the machine is.
const slowTimeout = time.Minute

// emulated is an emulated cluster with a topic.
func emulated(t *testing.T, options ...kfake.Opt) (*kfake.Cluster, delivery.KafkaDestination) {
	t.Helper()
	c, err := kfake.NewCluster(append([]kfake.Opt{kfake.NumBrokers(1), kfake.SeedTopics(1, "orders")}, options...)...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.Close)
	return c, delivery.KafkaDestination{KafkaServer: delivery.KafkaServer{Brokers: c.ListenAddrs()}, Topic: "orders", Timeout: fastTimeout}
}

// anywhere is a new topic of the run's cluster, which may be the caller's own.
func anywhere(t *testing.T, partitions int32, settings ...string) delivery.KafkaDestination {
	t.Helper()
	return newTopic(t, services.KafkaBrokers(t), partitions, settings...)
}

func newTopic(t *testing.T, brokers []string, partitions int32, settings ...string) delivery.KafkaDestination {
	t.Helper()
	d := delivery.KafkaDestination{KafkaServer: delivery.KafkaServer{Brokers: brokers}, Topic: "redrive-test-" + random(), Timeout: slowTimeout}
	services.CreateKafkaTopic(t, services.KafkaAdmin(t, brokers), d.Topic, partitions, settings...)
	return d
}

// proxied is a new topic behind a proxy.
func proxied(t *testing.T, partitions int32) (*services.Proxy, delivery.KafkaDestination) {
	t.Helper()
	k := services.SharedKafka(t)
	d := newTopic(t, k.Brokers, partitions)
	proxy, brokers := k.Proxy(t)
	d.Brokers = brokers
	return proxy, d
}

// written tells how many records the topic has, behind the proxy's back.
func written(t *testing.T, d delivery.KafkaDestination) func() int64 {
	t.Helper()
	admin := services.SharedKafka(t).Admin(t)
	return func() (n int64) {
		t.Helper()
		ends, err := admin.ListEndOffsets(t.Context(), d.Topic)
		if err != nil {
			t.Fatal(err)
		}
		ends.Each(func(o kadm.ListedOffset) { n += o.Offset })
		return n
	}
}

func plainClient(t *testing.T, d delivery.KafkaDestination, options ...kgo.Opt) *kgo.Client {
	t.Helper()
	client, err := kgo.NewClient(append(options, kgo.SeedBrokers(d.Brokers...), kgo.MetadataMinAge(50*time.Millisecond))...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(client.Close)
	return client
}

func open(t testing.TB, d delivery.KafkaDestination) *Sender {
	t.Helper()
	s, err := New(d, wire.Dialer{Log: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = s.Close() })
	return s
}

func random() string {
	var raw [8]byte
	_, _ = rand.Read(raw[:])
	return hex.EncodeToString(raw[:])
}

func request(n int, key string) delivery.Request {
	id := fmt.Sprintf("0198f0c2-0000-7000-8000-%012d", n)
	return delivery.Request{DeliveryID: id, IdempotencyKey: "idem-" + id, Integration: "seller-push", Attempt: 1,
		Message: delivery.Message{ID: id, Type: "order.placed", Key: key, Payload: []byte(fmt.Sprintf(`{"n":%d}`, n))}}
}

// read returns all records of the topic and fails when they are not n.
func read(t *testing.T, d delivery.KafkaDestination, topic string, n int) []*kgo.Record {
	t.Helper()
	records := fetch(t, plainClient(t, d, fromStart(topic)...), n)
	if len(records) != n {
		t.Fatalf("%d records in %s, want %d", len(records), topic, n)
	}
	return records
}

func fromStart(topic string) []kgo.Opt {
	return []kgo.Opt{kgo.ConsumeTopics(topic), kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()), kgo.FetchMaxWait(100 * time.Millisecond)}
}

func fetch(t *testing.T, client *kgo.Client, n int) (records []*kgo.Record) {
	for {
		wait := patience.Left(t)
		if len(records) >= n {
			wait = 300 * time.Millisecond // for one too many
		}
		ctx, cancel := context.WithTimeout(t.Context(), wait)
		fetched := client.PollFetches(ctx).Records()
		cancel()
		if len(fetched) == 0 {
			return records
		}
		records = append(records, fetched...)
	}
}

// sending is an attempt under way.
func sending(ctx context.Context, s *Sender, n int) <-chan delivery.Result {
	result := make(chan delivery.Result, 1)
	go func() { result <- s.Send(ctx, request(n, "k")) }()
	return result
}

func want(t *testing.T, got delivery.Result, outcome delivery.Outcome, class string) {
	t.Helper()
	if got.Outcome != outcome || got.ErrorClass != class {
		t.Fatalf("got %s %s (%s), want %s %s", got.Outcome, got.ErrorClass, got.Error, outcome, class)
	}
	if (outcome == delivery.OutcomeOK) != (got.Error == "") {
		t.Fatalf("error text %q with outcome %s", got.Error, outcome)
	}
}

// wantOK attempts what has to succeed; how long that takes is not looked at.
func wantOK(t *testing.T, s *Sender, n int) {
	t.Helper()
	defer func(of time.Duration) { s.timeout = of }(s.timeout)
	s.timeout = slowTimeout
	want(t, s.Send(t.Context(), request(n, "k")), delivery.OutcomeOK, "")
}

func TestSendsTheRecord(t *testing.T) {
	d := anywhere(t, 3)
	s := open(t, d)
	r := request(1, "order-7")
	r.Message.Headers = map[string]string{"X-Tenant": "ä\n", "kafka_dlt-original-topic": "old", "Redrive-Attempt": "99"}
	want(t, s.Send(t.Context(), r), delivery.OutcomeOK, "")
	r = request(2, "")
	r.Message.Payload = []byte{}
	want(t, s.Send(t.Context(), r), delivery.OutcomeOK, "")
	for _, record := range read(t, d, d.Topic, 2) {
		if len(record.Key) == 0 {
			if record.Key != nil || record.Value == nil {
				t.Errorf("key %v, value %v: an empty key is none, an empty payload is no tombstone", record.Key, record.Value)
			}
			continue
		}
		headers := headersOf(record)
		expected := map[string]string{"X-Tenant": "ä\n", "redrive-id": request(1, "").Message.ID, "redrive-type": "order.placed", "redrive-attempt": "1",
			"redrive-integration": "seller-push", "idempotency-key": request(1, "").IdempotencyKey}
		if string(record.Key) != "order-7" || string(record.Value) != `{"n":1}` || fmt.Sprint(headers) != fmt.Sprint(expected) {
			t.Errorf("key %s, value %s, headers %v", record.Key, record.Value, headers)
		}
	}
}

func headersOf(record *kgo.Record) map[string]string {
	headers := map[string]string{}
	for _, h := range record.Headers {
		headers[h.Key] = string(h.Value)
	}
	return headers
}

func TestConcurrentSendsEachArriveOnce(t *testing.T) {
	d := anywhere(t, 3)
	s := open(t, d)
	const n = 500
	var group sync.WaitGroup
	for i := range n {
		group.Go(func() {
			if got := s.Send(t.Context(), request(i, fmt.Sprint(i%7))); got.Outcome != delivery.OutcomeOK {
				t.Error(got)
			}
		})
	}
	group.Wait()
	seen := map[string]bool{}
	for _, record := range read(t, d, d.Topic, n) {
		seen[headersOf(record)["redrive-id"]] = true
	}
	if len(seen) != n {
		t.Errorf("%d different messages", len(seen))
	}
}

func TestOneKeyKeepsItsOrder(t *testing.T) {
	d := anywhere(t, 4)
	s := open(t, d)
	var group sync.WaitGroup
	const keys, each = 8, 25
	for k := range keys {
		group.Go(func() { // as the engine does for ordered integrations: one at a time for each key
			for i := range each {
				if got := s.Send(t.Context(), request(k*each+i, fmt.Sprint("key-", k))); got.Outcome != delivery.OutcomeOK {
					t.Error(got)
				}
			}
		})
	}
	group.Wait()
	last, partition := map[string]string{}, map[string]int32{}
	for _, record := range read(t, d, d.Topic, keys*each) {
		key, id := string(record.Key), headersOf(record)["redrive-id"]
		if at, ok := partition[key]; ok && (at != record.Partition || last[key] >= id) {
			t.Fatalf("%s: %s after %s, partitions %d and %d", key, id, last[key], record.Partition, at)
		}
		last[key], partition[key] = id, record.Partition
	}
}

func TestUnknownTopicIsSaidAtOnce(t *testing.T) {
	d := anywhere(t, 1)
	d.Topic = "nobody-made-this-" + random()
	began := time.Now()
	got := open(t, d).Send(t.Context(), request(1, ""))
	if want(t, got, delivery.OutcomePermanent, delivery.ClassUnroutable); got.Words != "UNKNOWN_TOPIC_OR_PARTITION (code 3)" {
		t.Errorf("the broker says %q", got.Words)
	}
	if took := time.Since(began); took > d.Timeout/2 {
		t.Errorf("after %s", took)
	}
}

func TestBrokerAway(t *testing.T) {
	t.Parallel()
	proxy, d := proxied(t, 1)
	d.Timeout = fastTimeout
	s := open(t, d)
	wantOK(t, s, 1)
	proxy.Cut()
	if got := s.Send(t.Context(), request(2, "")); got.Outcome == delivery.OutcomeOK { // a kept connection took bytes before it broke
		t.Error(got)
	}
	want(t, s.Send(t.Context(), request(3, "")), delivery.OutcomeTransient, delivery.ClassConnect)
	want(t, open(t, d).Send(t.Context(), request(4, "")), delivery.OutcomeTransient, delivery.ClassConnect)
	proxy.Heal()
	wantOK(t, s, 5)
}

func TestNameAndAddressRules(t *testing.T) {
	blocked := delivery.KafkaDestination{KafkaServer: delivery.KafkaServer{Brokers: []string{"169.254.169.254:9092"}}, Topic: "orders", Timeout: fastTimeout}
	want(t, open(t, blocked).Send(t.Context(), request(1, "")), delivery.OutcomePermanent, delivery.ClassBlockedAddress)
	nameless := blocked
	nameless.Brokers = []string{"no-such-host.invalid:9092"}
	want(t, open(t, nameless).Send(t.Context(), request(1, "")), delivery.OutcomeTransient, delivery.ClassDNS)
}

func TestCancelledBeforeAnythingWasSent(t *testing.T) {
	d := anywhere(t, 1)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	want(t, open(t, d).Send(ctx, request(1, "")), delivery.OutcomeTransient, delivery.ClassConnect)
	read(t, d, d.Topic, 0)
}

func TestClosedSenderSendsNothing(t *testing.T) {
	d := anywhere(t, 1)
	s := open(t, d)
	wantOK(t, s, 1)
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	want(t, s.Send(t.Context(), request(2, "")), delivery.OutcomeTransient, delivery.ClassConnect)
}

func TestSettingsAreChecked(t *testing.T) {
	for name, d := range map[string]delivery.KafkaDestination{
		"no brokers": {Topic: "orders"},
		"mechanism":  {KafkaServer: delivery.KafkaServer{Brokers: []string{"b:1"}, SASL: &delivery.SASL{Mechanism: "magic", Username: "u", Password: "s3cret"}}},
		"password":   {KafkaServer: delivery.KafkaServer{Brokers: []string{"b:1"}, SASL: &delivery.SASL{Mechanism: "plain", Username: "u"}}},
		"ca":         {KafkaServer: delivery.KafkaServer{Brokers: []string{"b:1"}, TLS: &delivery.TLS{CA: "/nowhere"}}},
	} {
		if _, err := New(d, wire.Dialer{}); err == nil || strings.Contains(err.Error(), "s3cret") {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// Every way to sign in, by an open line and by TLS: the right password sends, a wrong one is said, and neither shows.
func TestSignIn(t *testing.T) {
	k := services.SharedKafka(t)
	d := newTopic(t, k.Brokers, 1)
	for name, server := range map[string]delivery.KafkaServer{"open": {Brokers: k.SASL}, "tls": {Brokers: k.SASLTLS, TLS: &delivery.TLS{CA: k.CA}}} {
		for _, mechanism := range []string{"plain", "scram-sha-256", "scram-sha-512"} {
			t.Run(name+" "+mechanism, func(t *testing.T) {
				t.Parallel()
				d := d
				var log bytes.Buffer
				dialer := wire.Dialer{Log: slog.New(slog.NewTextHandler(&log, &slog.HandlerOptions{Level: slog.LevelDebug}))}
				for _, given := range []string{services.KafkaPassword, "wrong horse battery"} {
					d.KafkaServer = server
					d.SASL = &delivery.SASL{Mechanism: mechanism, Username: services.KafkaUser, Password: given}
					s, err := New(d, dialer)
					if err != nil {
						t.Fatal(err)
					}
					got := s.Send(t.Context(), request(1, ""))
					_ = s.Close()
					if given == services.KafkaPassword {
						want(t, got, delivery.OutcomeOK, "")
					} else {
						want(t, got, delivery.OutcomePermanent, delivery.ClassRefused)
					}
					if strings.Contains(fmt.Sprint(got), given) || strings.Contains(log.String(), given) {
						t.Errorf("the password leaks: %v\n%s", got, &log)
					}
				}
			})
		}
	}
}

func TestTLS(t *testing.T) {
	k := services.SharedKafka(t)
	d := newTopic(t, k.Brokers, 1)
	with := func(known bool, until time.Time) *delivery.TLS {
		cert, key := k.IssueClient(t, known, until)
		return &delivery.TLS{CA: k.CA, Cert: cert, Key: key}
	}
	for name, c := range map[string]struct {
		brokers []string
		tls     *delivery.TLS
		outcome delivery.Outcome
		class   string
	}{
		"trusted":         {k.TLS, &delivery.TLS{CA: k.CA}, delivery.OutcomeOK, ""},
		"unknown":         {k.TLS, &delivery.TLS{}, delivery.OutcomeTransient, delivery.ClassTLS},
		"another's":       {k.TLS, &delivery.TLS{CA: k.CA, ServerName: "another.example"}, delivery.OutcomeTransient, delivery.ClassTLS},
		"plain text":      {k.TLS, nil, delivery.OutcomeTransient, delivery.ClassConnect},
		"mutual":          {k.MutualTLS, &delivery.TLS{CA: k.CA, Cert: k.ClientCert, Key: k.ClientKey}, delivery.OutcomeOK, ""},
		"mutual, without": {k.MutualTLS, &delivery.TLS{CA: k.CA}, delivery.OutcomeTransient, delivery.ClassTLS},
		"mutual, new":     {k.MutualTLS, with(true, time.Now().Add(time.Hour)), delivery.OutcomeOK, ""},
		"mutual, expired": {k.MutualTLS, with(true, time.Now().Add(-time.Hour)), delivery.OutcomeTransient, delivery.ClassTLS},
		"mutual, unknown": {k.MutualTLS, with(false, time.Now().Add(time.Hour)), delivery.OutcomeTransient, delivery.ClassTLS},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			d := d
			d.Brokers, d.TLS = c.brokers, c.tls
			d.Timeout = slowTimeout
			if c.outcome != delivery.OutcomeOK {
				d.Timeout = fastTimeout
			}
			want(t, open(t, d).Send(t.Context(), request(1, "")), c.outcome, c.class)
		})
	}
}

// BenchmarkSend measures the sender alone, many attempts at once against an emulated broker in the same process.
func BenchmarkSend(b *testing.B) {
	for _, at := range []int{1, 16, 256} {
		b.Run(fmt.Sprint(at, " at once"), func(b *testing.B) {
			c, err := kfake.NewCluster(kfake.NumBrokers(1), kfake.SeedTopics(4, "orders"), kfake.BlackholeProduce())
			if err != nil {
				b.Fatal(err)
			}
			defer c.Close()
			s := open(b, delivery.KafkaDestination{KafkaServer: delivery.KafkaServer{Brokers: c.ListenAddrs()}, Topic: "orders", Timeout: fastTimeout})
			var next atomic.Int64
			var group sync.WaitGroup
			for range at {
				group.Go(func() {
					for n := next.Add(1); n <= int64(b.N); n = next.Add(1) {
						if got := s.Send(b.Context(), request(int(n), fmt.Sprint(n%50))); got.Outcome != delivery.OutcomeOK {
							b.Error(got)
						}
					}
				})
			}
			group.Wait()
			b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "sends/s")
		})
	}
}
