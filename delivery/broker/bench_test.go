package broker

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/rabbitmq/amqp091-go"
	"github.com/redis/go-redis/v9"
	"github.com/twmb/franz-go/pkg/kgo"

	"redrive/delivery"
	"redrive/delivery/engine"
	httpsend "redrive/delivery/send/http"
	"redrive/delivery/wire"
	"redrive/internal/bench"
	"redrive/store"
	"redrive/store/storetest"
	"redrive/store/storetest/services"
)

const (
	benchMessages    = 20_000
	benchPayload     = 256
	benchConcurrency = 16
	benchPrefetch    = 256
)

// BenchmarkRabbitMQ and BenchmarkKafka compare the consumer with a loop that only takes, posts and acknowledges: same client
// library, same concurrency and prefetch, same receiver, in turns. Every message succeeds.
//
//	go test -run '^$' -bench . -benchtime 3x ./delivery/broker
func BenchmarkRabbitMQ(b *testing.B) {
	benchRabbit(b, true, func(*delivery.Integration) {})
}

// BenchmarkRabbitMQNoted is for a receiver that keeps duplicates: attempts are noted before they start.
func BenchmarkRabbitMQNoted(b *testing.B) {
	benchRabbit(b, true, func(in *delivery.Integration) { in.Idempotent = false })
}

// BenchmarkRabbitMQNameless has messages without message_id, for such a receiver.
func BenchmarkRabbitMQNameless(b *testing.B) {
	benchRabbit(b, false, func(in *delivery.Integration) { in.Idempotent = false })
}

func benchRabbit(b *testing.B, named bool, change func(*delivery.Integration)) {
	address := services.RabbitMQURL(b)
	conn, err := amqp091.Dial(address)
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { _ = conn.Close() })
	channel, err := conn.Channel()
	if err != nil {
		b.Fatal(err)
	}
	queue := fmt.Sprintf("bench-%d", time.Now().UnixNano())
	if _, err := channel.QueueDeclare(queue, true, false, false, false, nil); err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { _, _ = channel.QueueDelete(queue, false, false, false) })
	round := 0
	fill := func() delivery.BrokerSource {
		round++
		if err := channel.Confirm(false); err != nil {
			b.Fatal(err)
		}
		var last *amqp091.DeferredConfirmation
		for n := range benchMessages {
			id := ""
			if named {
				id = fmt.Sprintf("%d-%d", round, n)
			}
			last, err = channel.PublishWithDeferredConfirm("", queue, false, false, amqp091.Publishing{MessageId: id, DeliveryMode: amqp091.Persistent,
				Body: bench.Payload(n, benchPayload)})
			if err != nil {
				b.Fatal(err)
			}
		}
		last.Wait()
		return delivery.BrokerSource{From: &delivery.RabbitMQSource{RabbitMQServer: delivery.RabbitMQServer{URL: address}, Queue: queue}}
	}
	compare(b, fill, func(ctx context.Context, _ delivery.BrokerSource, post func([]byte) error) {
		bareRabbit(b, ctx, address, queue, post)
	}, change)
}

func bareRabbit(b *testing.B, ctx context.Context, address, queue string, post func([]byte) error) {
	conn, err := amqp091.Dial(address)
	if err != nil {
		b.Fatal(err)
	}
	defer conn.Close()
	channel, err := conn.Channel()
	if err != nil {
		b.Fatal(err)
	}
	if err := channel.Qos(benchPrefetch, 0, false); err != nil {
		b.Fatal(err)
	}
	deliveries, err := channel.Consume(queue, "bare", false, false, false, false, nil)
	if err != nil {
		b.Fatal(err)
	}
	var workers sync.WaitGroup
	for range benchConcurrency {
		workers.Go(func() {
			for {
				select {
				case <-ctx.Done():
					return
				case d := <-deliveries:
					if post(d.Body) == nil {
						_ = d.Ack(false)
					}
				}
			}
		})
	}
	workers.Wait()
}

// BenchmarkKafka runs against the Kafka of the run, in another process.
func BenchmarkKafka(b *testing.B) {
	benchKafka(b, func(*delivery.Integration) {})
}

// BenchmarkKafkaNoted is for a receiver that keeps duplicates.
func BenchmarkKafkaNoted(b *testing.B) {
	benchKafka(b, func(in *delivery.Integration) { in.Idempotent = false })
}

// BenchmarkKafkaOrdered keeps the order per key.
func BenchmarkKafkaOrdered(b *testing.B) {
	benchKafka(b, func(in *delivery.Integration) { in.Ordered = true })
}

// BenchmarkKafkaShare is a share group, against a loop of a share group: the broker writes down what becomes of each record.
func BenchmarkKafkaShare(b *testing.B) { benchKafkaWith(b, bareShare, asShareGroup) }

// BenchmarkKafkaShareOfGroup is a share group, against the loop of a group.
func BenchmarkKafkaShareOfGroup(b *testing.B) { benchKafka(b, asShareGroup) }

func asShareGroup(in *delivery.Integration) {
	source := in.Broker.From.(*delivery.KafkaSource)
	source.Group, source.ShareGroup = "", source.Group+"-share"
}

func benchKafka(b *testing.B, change func(*delivery.Integration)) {
	benchKafkaWith(b, bareKafka, change)
}

func benchKafkaWith(b *testing.B, bare func(*testing.B, context.Context, delivery.KafkaSource, func([]byte) error), change func(*delivery.Integration)) {
	round := 0
	fill := func() delivery.BrokerSource {
		round++
		topic := fmt.Sprintf("bench-%d-%d", time.Now().UnixNano(), round)
		brokers := services.KafkaBrokers(b)
		services.CreateKafkaTopic(b, services.KafkaAdmin(b, brokers), topic, partitions)
		client, err := kgo.NewClient(kgo.SeedBrokers(brokers...))
		if err != nil {
			b.Fatal(err)
		}
		defer client.Close()
		for n := range benchMessages {
			client.Produce(b.Context(), &kgo.Record{Topic: topic, Key: fmt.Append(nil, n), Value: bench.Payload(n, benchPayload)}, nil)
		}
		if err := client.Flush(b.Context()); err != nil {
			b.Fatal(err)
		}
		return delivery.BrokerSource{From: &delivery.KafkaSource{KafkaServer: delivery.KafkaServer{Brokers: brokers}, Topic: topic, Group: topic}}
	}
	compare(b, fill, func(ctx context.Context, source delivery.BrokerSource, post func([]byte) error) {
		bare(b, ctx, *source.From.(*delivery.KafkaSource), post)
	}, change)
}

// BenchmarkRedis publishes faster than anybody delivers: what the workers do not take at once goes through Postgres.
func BenchmarkRedis(b *testing.B) {
	addr := services.RedisAddr(b)
	client := redis.NewClient(&redis.Options{Addr: addr, DisableIdentity: true})
	b.Cleanup(func() { _ = client.Close() })
	receiver, err := bench.NewReceiver()
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(receiver.Close)
	var took time.Duration
	for b.Loop() {
		channel := fmt.Sprintf("bench-%d", time.Now().UnixNano())
		source := delivery.BrokerSource{From: &delivery.RedisSource{RedisServer: delivery.RedisServer{Addr: addr}, Channel: channel}}
		dsn := storetest.New(b)
		took += measure(b, receiver, func(ctx context.Context) {
			var publishing sync.WaitGroup
			publishing.Go(func() { flood(b, ctx, client, channel) })
			consume(b, ctx, dsn, source, receiver.URL(), func(*delivery.Integration) {})
			publishing.Wait()
		})
	}
	b.ReportMetric(float64(benchMessages*b.N)/took.Seconds(), "msg/s")
	b.ReportMetric(0, "ns/op")
}

// flood publishes everything once somebody listens.
func flood(b *testing.B, ctx context.Context, client *redis.Client, channel string) {
	for heard := map[string]int64{}; heard[channel] == 0 && ctx.Err() == nil; {
		heard, _ = client.PubSubNumSub(ctx, channel).Result()
	}
	for n := 0; n < benchMessages; {
		pipe := client.Pipeline()
		for range 100 {
			pipe.Publish(ctx, channel, bench.Payload(n, benchPayload))
			n++
		}
		if _, err := pipe.Exec(ctx); err != nil {
			b.Error(err)
			return
		}
	}
}

// bareKafka polls as much as the consumer may hold, posts with the workers, and commits as often as the consumer does.
func bareKafka(b *testing.B, ctx context.Context, source delivery.KafkaSource, post func([]byte) error) {
	client, err := kgo.NewClient(kgo.SeedBrokers(source.Brokers...), kgo.ConsumerGroup(source.Group), kgo.ConsumeTopics(source.Topic), kgo.DisableAutoCommit(),
		kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()), kgo.FetchMaxWait(kafkaFetchWait), kgo.FetchMaxPartitionBytes(kafkaPerPartition))
	if err != nil {
		b.Fatal(err)
	}
	defer client.Close()
	work := make(chan *kgo.Record, kafkaPrefetch)
	var workers, batch sync.WaitGroup
	for range benchConcurrency {
		workers.Go(func() {
			for r := range work {
				_ = post(r.Value)
				batch.Done()
			}
		})
	}
	committed := time.Now()
	for ctx.Err() == nil {
		records := client.PollRecords(ctx, kafkaPrefetch).Records()
		batch.Add(len(records))
		for _, r := range records {
			work <- r
		}
		batch.Wait()
		if time.Since(committed) >= kafkaCommitEvery {
			_ = client.CommitUncommittedOffsets(context.WithoutCancel(ctx))
			committed = time.Now()
		}
	}
	close(work)
	workers.Wait()
}

// bareShare polls, posts with the workers, and accepts each record: the client sends that with its next fetch.
func bareShare(b *testing.B, ctx context.Context, source delivery.KafkaSource, post func([]byte) error) {
	group := source.Group + "-bare"
	client, err := kgo.NewClient(kgo.SeedBrokers(source.Brokers...))
	if err == nil {
		err = alterShareGroup(ctx, client, group, map[string]string{shareReset: "earliest"})
		client.Close()
	}
	if err != nil {
		b.Error(err)
		return
	}
	client, err = kgo.NewClient(kgo.SeedBrokers(source.Brokers...), kgo.ShareGroup(group), kgo.ConsumeTopics(source.Topic), kgo.FetchMaxWait(shareFetchWait),
		kgo.ShareMaxRecords(kafkaPrefetch/2))
	if err != nil {
		b.Error(err)
		return
	}
	defer client.Close()
	var workers, batch sync.WaitGroup
	work := make(chan *kgo.Record, benchPrefetch)
	for range benchConcurrency {
		workers.Go(func() {
			for r := range work {
				_ = post(r.Value)
				r.Ack(kgo.AckAccept)
				batch.Done()
			}
		})
	}
	for ctx.Err() == nil {
		records := client.PollFetches(ctx).Records()
		batch.Add(len(records))
		for _, r := range records {
			work <- r
		}
		batch.Wait()
	}
	close(work)
	workers.Wait()
}

// compare measures both in turns, from the first arrival at the receiver to the last, and reports messages per second and the
// median of the rounds' ratios.
func compare(b *testing.B, fill func() delivery.BrokerSource, bare func(context.Context, delivery.BrokerSource, func([]byte) error), change func(*delivery.Integration)) {
	receiver, err := bench.NewReceiver()
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(receiver.Close)
	var ours, theirs time.Duration
	var ourTime, theirTime processorTime
	var ratios []float64
	for b.Loop() {
		source := fill()
		before := processorNow()
		bareTook := measure(b, receiver, func(ctx context.Context) {
			transport := &http.Transport{MaxIdleConnsPerHost: benchConcurrency, DisableCompression: true}
			defer transport.CloseIdleConnections()
			client := &http.Client{Transport: transport, Timeout: 5 * time.Second}
			bare(ctx, source, func(body []byte) error { return post(client, receiver.URL(), body) })
		})
		theirTime = theirTime.plus(before, processorNow())
		source = fill()
		dsn := storetest.New(b)
		before = processorNow()
		took := measure(b, receiver, func(ctx context.Context) { consume(b, ctx, dsn, source, receiver.URL(), change) })
		ourTime = ourTime.plus(before, processorNow())
		ours, theirs, ratios = ours+took, theirs+bareTook, append(ratios, bareTook.Seconds()/took.Seconds())
	}
	slices.Sort(ratios)
	perSecond := func(d time.Duration) float64 { return float64(benchMessages*b.N) / d.Seconds() }
	b.ReportMetric(perSecond(ours), "msg/s")
	b.ReportMetric(perSecond(theirs), "bare-msg/s")
	b.ReportMetric(ratios[len(ratios)/2], "of-bare")
	perMessage := func(d time.Duration) float64 { return float64(d.Microseconds()) / float64(benchMessages*b.N) }
	for name, took := range map[string]processorTime{"bare-": theirTime, "": ourTime} {
		b.ReportMetric(perMessage(took.self), name+"self-us")
		b.ReportMetric(perMessage(took.kafka), name+"kafka-us")
		b.ReportMetric(perMessage(took.postgres), name+"pg-us")
	}
	b.ReportMetric(0, "ns/op")
}

// benchHeader is what the consumer sends too, so that the receiver has the same to read.
var benchHeader = http.Header{"User-Agent": {"Redrive/1"}, "Content-Type": {"application/octet-stream"},
	"Idempotency-Key": {"6f2d1c4e-9357-5b0a-9d31-5a8e70c244b6"}, "Redrive-Attempt": {"1"}, "Redrive-Integration": {"bench"},
	"Redrive-Message": {"2b8f3c11-7a20-5f0e-8c4d-91d6a3b0e5f7"}, "Redrive-Type": {"bench-1764000000000000000-1"}, "Redrive-Key": {"12345"},
	"Webhook-Id": {"6f2d1c4e-9357-5b0a-9d31-5a8e70c244b6"}, "Webhook-Timestamp": {"1764000000"}}

func post(client *http.Client, url string, body []byte) error {
	request, err := http.NewRequest(http.MethodPost, url, bytes.NewReader(body))
	if err != nil {
		return err
	}
	request.Header = benchHeader.Clone()
	response, err := client.Do(request)
	if err != nil {
		return err
	}
	_, _ = io.Copy(io.Discard, response.Body)
	return response.Body.Close()
}

func measure(b *testing.B, receiver *bench.Receiver, run func(context.Context)) time.Duration {
	receiver.Expect(benchMessages)
	ctx, cancel := context.WithTimeout(b.Context(), 2*time.Minute)
	defer cancel()
	done := make(chan struct{})
	go func() { defer close(done); run(ctx) }()
	if err := receiver.Wait(ctx); err != nil {
		b.Error(err)
	}
	cancel()
	<-done
	if n := receiver.Duplicates(); n > 0 {
		b.Errorf("%d duplicates", n)
	}
	return receiver.Took()
}

func consume(b *testing.B, ctx context.Context, dsn string, source delivery.BrokerSource, url string, change func(*delivery.Integration)) {
	log := slog.New(slog.DiscardHandler)
	source.Prefetch, source.Format = benchPrefetch, delivery.FormatNative
	if source.Kind() == delivery.BrokerKafka {
		source.Prefetch = kafkaPrefetch
	}
	in := delivery.Integration{Name: "bench", Method: delivery.MethodBroker, Idempotent: true, OnFailure: delivery.StateDead, Concurrency: benchConcurrency,
		Broker: &source, Retry: delivery.DefaultRetry, Destination: delivery.Destination{To: &delivery.HTTPDestination{URL: url, Timeout: 5 * time.Second}}}
	change(&in)
	db, err := store.Open(b.Context(), dsn, log)
	if err != nil {
		b.Error(err)
		return
	}
	defer db.Close()
	sender, err := httpsend.New(*in.Destination.To.(*delivery.HTTPDestination), wire.Dialer{Log: log})
	if err != nil {
		b.Error(err)
		return
	}
	defer sender.Close()
	if err := db.SyncIntegrations(b.Context(), []delivery.Integration{in}); err != nil {
		b.Error(err)
		return
	}
	eng, err := engine.New(engine.Config{Store: db, Integrations: []delivery.Integration{in}, Senders: map[string]delivery.Sender{in.Name: sender}, Log: log})
	if err != nil {
		b.Error(err)
		return
	}
	running, stop := context.WithCancel(context.Background())
	var engines sync.WaitGroup
	engines.Go(func() { _ = eng.Run(running, running) })
	defer engines.Wait()
	defer stop()
	consumer, err := New(Config{Integration: in, Store: db, Attempter: eng, Dialer: wire.Dialer{Log: log}, Log: log})
	if err != nil {
		b.Error(err)
		return
	}
	if err := consumer.Run(ctx, running); err != nil {
		b.Error(err)
	}
}
