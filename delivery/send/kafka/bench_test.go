package kafkasend

import (
	"fmt"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"

	"redrive/delivery"
	"redrive/store/storetest/services"
)

const (
	benchRecords = 50_000
	benchAtOnce  = 256
)

// BenchmarkKafka compares the sender with a loop that only produces and waits for each record: same client library, same number of
// records under way, same topic of the Kafka of the run, in turns.
//
//	make bench-kafka
func BenchmarkKafka(b *testing.B) {
	brokers := services.KafkaBrokers(b)
	topic := "bench-send-" + random()
	services.CreateKafkaTopic(b, services.KafkaAdmin(b, brokers), topic, 8)
	client, err := kgo.NewClient(kgo.SeedBrokers(brokers...), kgo.DefaultProduceTopic(topic))
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(client.Close)
	s := open(b, delivery.KafkaDestination{KafkaServer: delivery.KafkaServer{Brokers: brokers}, Topic: topic, Format: delivery.FormatNative, Timeout: time.Minute})
	bare := func(n int) {
		r := request(n, fmt.Sprint("key-", n%1000))
		record, failed := s.record(r) // what is sent is the same
		if failed != nil {
			b.Error(failed)
			return
		}
		if err := client.ProduceSync(b.Context(), record).FirstErr(); err != nil {
			b.Error(err)
		}
	}
	ours := func(n int) {
		if got := s.Send(b.Context(), request(n, fmt.Sprint("key-", n%1000))); got.Outcome != delivery.OutcomeOK {
			b.Error(got)
		}
	}
	var took, bareTook time.Duration
	var ratios []float64
	for b.Loop() {
		theirs, own := race(bare), race(ours)
		took, bareTook, ratios = took+own, bareTook+theirs, append(ratios, theirs.Seconds()/own.Seconds())
	}
	slices.Sort(ratios)
	perSecond := func(d time.Duration) float64 { return float64(benchRecords*b.N) / d.Seconds() }
	b.ReportMetric(perSecond(took), "msg/s")
	b.ReportMetric(perSecond(bareTook), "bare-msg/s")
	b.ReportMetric(ratios[len(ratios)/2], "of-bare")
	b.ReportMetric(0, "ns/op")
}

// race sends everything, so many at once.
func race(send func(n int)) time.Duration {
	began := time.Now()
	var next atomic.Int64
	var workers sync.WaitGroup
	for range benchAtOnce {
		workers.Go(func() {
			for n := next.Add(1); n <= benchRecords; n = next.Add(1) {
				send(int(n))
			}
		})
	}
	workers.Wait()
	return time.Since(began)
}
