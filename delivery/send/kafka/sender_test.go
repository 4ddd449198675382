package kafkasend

// The broker of these tests is kfake, an emulator in this process: it speaks the protocol, checks producer, epoch and sequence
// as Kafka does, and answers what a test tells it to. It does not replicate, and its disk never fails. KAFKA_BROKERS (host:port,
// comma separated) points the tests that need no fault injection at a real cluster that lets topics be created.

import (
	"bytes"
	"context"
	"crypto/rand"
	"crypto/tls"
	"encoding/hex"
	"encoding/pem"
	"fmt"
	"log/slog"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"
	"go.uber.org/goleak"

	"redrive/delivery"
	"redrive/delivery/wire"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const fastTimeout = 3 * time.Second

// cluster is an emulated one with a topic.
func cluster(t *testing.T, options ...kfake.Opt) (*kfake.Cluster, delivery.KafkaDestination) {
	t.Helper()
	c, err := kfake.NewCluster(append([]kfake.Opt{kfake.NumBrokers(1), kfake.SeedTopics(1, "orders")}, options...)...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.Close)
	return c, delivery.KafkaDestination{KafkaServer: delivery.KafkaServer{Brokers: c.ListenAddrs()}, Topic: "orders", Timeout: fastTimeout}
}

// anywhere is the cluster that KAFKA_BROKERS names, else an emulated one, with a new topic.
func anywhere(t *testing.T, partitions int32) delivery.KafkaDestination {
	t.Helper()
	topic := "redrive-test-" + random()
	brokers := os.Getenv("KAFKA_BROKERS")
	if brokers == "" {
		c, d := cluster(t, kfake.SeedTopics(partitions, topic))
		d.Topic, d.Brokers = topic, c.ListenAddrs()
		return d
	}
	d := delivery.KafkaDestination{KafkaServer: delivery.KafkaServer{Brokers: strings.Split(brokers, ",")}, Topic: topic, Timeout: 10 * time.Second}
	createTopic(t, d, partitions)
	return d
}

func createTopic(t *testing.T, d delivery.KafkaDestination, partitions int32) {
	t.Helper()
	client := plainClient(t, d)
	request := kmsg.NewPtrCreateTopicsRequest()
	topic := kmsg.NewCreateTopicsRequestTopic()
	topic.Topic, topic.NumPartitions, topic.ReplicationFactor = d.Topic, partitions, -1
	request.Topics = append(request.Topics, topic)
	if _, err := request.RequestWith(t.Context(), client); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		request := kmsg.NewPtrDeleteTopicsRequest()
		request.TopicNames = []string{d.Topic}
		_, _ = request.RequestWith(context.WithoutCancel(t.Context()), client)
	})
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
		patience := 10 * time.Second
		if len(records) >= n {
			patience = 300 * time.Millisecond // for one too many
		}
		ctx, cancel := context.WithTimeout(t.Context(), patience)
		fetched := client.PollFetches(ctx).Records()
		cancel()
		if len(fetched) == 0 {
			return records
		}
		records = append(records, fetched...)
	}
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

func wantOK(t *testing.T, s *Sender, n int) {
	t.Helper()
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
	_, d := cluster(t)
	d.Topic = "nobody-made-this"
	began := time.Now()
	got := open(t, d).Send(t.Context(), request(1, ""))
	if want(t, got, delivery.OutcomePermanent, delivery.ClassUnroutable); got.Words != "UNKNOWN_TOPIC_OR_PARTITION (code 3)" {
		t.Errorf("the broker says %q", got.Words)
	}
	if took := time.Since(began); took > fastTimeout/2 {
		t.Errorf("after %s", took)
	}
}

func TestBrokerAway(t *testing.T) {
	c, d := cluster(t)
	s := open(t, d)
	wantOK(t, s, 1)
	c.Close()
	if got := s.Send(t.Context(), request(2, "")); got.Outcome == delivery.OutcomeOK { // a kept connection took bytes before it broke
		t.Error(got)
	}
	want(t, s.Send(t.Context(), request(3, "")), delivery.OutcomeTransient, delivery.ClassConnect)
	want(t, open(t, d).Send(t.Context(), request(4, "")), delivery.OutcomeTransient, delivery.ClassConnect)
}

func TestNameAndAddressRules(t *testing.T) {
	_, d := cluster(t)
	blocked := d
	blocked.Brokers = []string{"169.254.169.254:9092"}
	want(t, open(t, blocked).Send(t.Context(), request(1, "")), delivery.OutcomePermanent, delivery.ClassBlockedAddress)
	nameless := d
	nameless.Brokers = []string{"no-such-host.invalid:9092"}
	want(t, open(t, nameless).Send(t.Context(), request(1, "")), delivery.OutcomeTransient, delivery.ClassDNS)
}

func TestCancelledBeforeAnythingWasSent(t *testing.T) {
	_, d := cluster(t)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	want(t, open(t, d).Send(ctx, request(1, "")), delivery.OutcomeTransient, delivery.ClassConnect)
	read(t, d, d.Topic, 0)
}

func TestClosedSenderSendsNothing(t *testing.T) {
	_, d := cluster(t)
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

func TestSignIn(t *testing.T) {
	const password = "correct horse battery"
	for _, mechanism := range []string{"plain", "scram-sha-256", "scram-sha-512"} {
		_, d := cluster(t, kfake.EnableSASL(), kfake.Superuser(strings.ToUpper(mechanism), "redrive", password))
		var log bytes.Buffer
		dialer := wire.Dialer{Log: slog.New(slog.NewTextHandler(&log, &slog.HandlerOptions{Level: slog.LevelDebug}))}
		for _, given := range []string{password, "wrong horse battery"} {
			d.SASL = &delivery.SASL{Mechanism: mechanism, Username: "redrive", Password: given}
			s, err := New(d, dialer)
			if err != nil {
				t.Fatal(err)
			}
			got := s.Send(t.Context(), request(1, ""))
			_ = s.Close()
			if given == password {
				want(t, got, delivery.OutcomeOK, "")
			} else {
				want(t, got, delivery.OutcomeTransient, delivery.ClassRefused)
			}
			if strings.Contains(fmt.Sprint(got), given) || strings.Contains(log.String(), given) {
				t.Errorf("%s: the password leaks: %v\n%s", mechanism, got, &log)
			}
		}
	}
}

func TestTLS(t *testing.T) {
	server := httptest.NewTLSServer(nil) // for its certificate
	defer server.Close()
	ca := filepath.Join(t.TempDir(), "ca.pem")
	if err := os.WriteFile(ca, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: server.Certificate().Raw}), 0o600); err != nil {
		t.Fatal(err)
	}
	_, d := cluster(t, kfake.TLS(&tls.Config{Certificates: server.TLS.Certificates}))
	d.TLS = &delivery.TLS{CA: ca}
	want(t, open(t, d).Send(t.Context(), request(1, "")), delivery.OutcomeOK, "")
	d.TLS = &delivery.TLS{}
	want(t, open(t, d).Send(t.Context(), request(2, "")), delivery.OutcomeTransient, delivery.ClassTLS)
	d.TLS = &delivery.TLS{CA: ca, ServerName: "another.example"}
	want(t, open(t, d).Send(t.Context(), request(3, "")), delivery.OutcomeTransient, delivery.ClassTLS)
	d.TLS = nil
	if got := open(t, d).Send(t.Context(), request(4, "")); got.Outcome != delivery.OutcomeTransient {
		t.Errorf("plain text to TLS: %+v", got)
	}
}

func TestNoAuthorisation(t *testing.T) {
	_, d := cluster(t, kfake.EnableSASL(), kfake.EnableACLs(), kfake.User("PLAIN", "redrive", "p4ssw0rd",
		kfake.ACL{Resource: kmsg.ACLResourceTypeTopic, Name: "orders", Pattern: kmsg.ACLResourcePatternTypeLiteral, Operation: kmsg.ACLOperationDescribe, Allow: true}))
	d.SASL = &delivery.SASL{Mechanism: "plain", Username: "redrive", Password: "p4ssw0rd"}
	got := open(t, d).Send(t.Context(), request(1, ""))
	if want(t, got, delivery.OutcomePermanent, delivery.ClassRefused); got.Words != "CLUSTER_AUTHORIZATION_FAILED (code 31)" {
		t.Errorf("the broker says %q", got.Words)
	}
}

// BenchmarkSend measures the sender alone, many attempts at once against a broker in the same process.
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

// A topic that was deleted and made again, or whose cluster was replaced by another one at the same address, is another topic under the
// old name: it is written to as soon as it is there, from all attempts at once.
func TestATopicThatIsAnotherOne(t *testing.T) {
	for name, change := range map[string]func(t *testing.T, c *kfake.Cluster, d delivery.KafkaDestination) delivery.KafkaDestination{
		"made again": func(t *testing.T, _ *kfake.Cluster, d delivery.KafkaDestination) delivery.KafkaDestination {
			admin := kadm.NewClient(plainClient(t, d))
			if _, err := admin.DeleteTopic(t.Context(), d.Topic); err != nil {
				t.Fatal(err)
			}
			if _, err := admin.CreateTopic(t.Context(), 1, 1, nil, d.Topic); err != nil {
				t.Fatal(err)
			}
			return d
		},
		"of another cluster": func(t *testing.T, c *kfake.Cluster, d delivery.KafkaDestination) delivery.KafkaDestination {
			_, port, _ := strings.Cut(d.Brokers[0], ":")
			c.Close()
			number, err := strconv.Atoi(port)
			if err != nil {
				t.Fatal(err)
			}
			cluster(t, kfake.Ports(number))
			return d
		},
	} {
		t.Run(name, func(t *testing.T) {
			c, d := cluster(t)
			s := open(t, d)
			if r := s.Send(t.Context(), request(0, "k")); r.Outcome != delivery.OutcomeOK {
				t.Fatalf("%+v", r)
			}
			d = change(t, c, d)
			// what is written to a connection that has ended is of unknown outcome, once
			if r := s.Send(t.Context(), request(0, "k")); r.Outcome == delivery.OutcomeUnknown {
				r = s.Send(t.Context(), request(0, "k"))
				if r.Outcome != delivery.OutcomeOK {
					t.Errorf("%+v", r)
				}
			} else if r.Outcome != delivery.OutcomeOK {
				t.Errorf("%+v", r)
			}
			const n = 20
			results := make(chan delivery.Result, n)
			for i := range n {
				go func() { results <- s.Send(t.Context(), request(1+i, fmt.Sprint(i))) }()
			}
			for range n {
				if r := <-results; r.Outcome != delivery.OutcomeOK {
					t.Errorf("%+v", r)
				}
			}
			if got := len(read(t, d, d.Topic, n+1)); got != n+1 {
				t.Errorf("%d records", got)
			}
		})
	}
}
