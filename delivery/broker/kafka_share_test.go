package broker

import (
	"testing"

	"github.com/twmb/franz-go/pkg/kgo"

	"redrive/delivery"
	"redrive/store/storetest/services"
)

// openShare is a share group on a topic of the run's Kafka.
func openShare(t *testing.T) place {
	brokers := services.KafkaBrokers(t)
	return sharePlace(t, brokers, brokers)
}

// sharePlace is one whose messages come from a broker that is reached in two ways: by the test, and by who takes them.
func sharePlace(t *testing.T, brokers, reached []string) place {
	topic := name(t)
	services.CreateKafkaTopic(t, services.KafkaAdmin(t, brokers), topic, partitions)
	p := kafkaPlace(t, brokers, topic)
	source := &delivery.KafkaSource{KafkaServer: delivery.KafkaServer{Brokers: reached}, Topic: topic, ShareGroup: "redrive-share-" + topic}
	p.source.From = source
	client, err := kgo.NewClient(kgo.SeedBrokers(brokers...))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(client.Close)
	p.left = func(t *testing.T) int {
		t.Helper()
		lag, known, err := shareOffsets(t.Context(), client, *source)
		if err != nil {
			t.Fatal(err)
		}
		if !known {
			return int(sum(ends(t, client, topic)))
		}
		return int(lag)
	}
	return p
}
