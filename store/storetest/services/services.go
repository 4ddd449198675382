package services

import (
	"context"
	"fmt"
	"os"
	"testing"

	"go.uber.org/goleak"

	"redrive/store/storetest/starter"
)

// The run's brokers; the test starter sets these unless the caller has.
const (
	RedisVariable    = "REDRIVE_TEST_REDIS_ADDR"
	RabbitMQVariable = "REDRIVE_TEST_RABBITMQ_URL"
	KafkaVariable    = "KAFKA_BROKERS"      // host:port, comma separated
	KafkaDescription = "REDRIVE_TEST_KAFKA" // what String says of the starter's own; a caller's cluster has none
)

// RedisAddr returns the address of a Redis that other tests use too.
func RedisAddr(t testing.TB) string { t.Helper(); return ofTheRun(t, RedisVariable) }

// RabbitMQURL returns the address of a RabbitMQ that other tests use too: name queues and exchanges so that they differ.
func RabbitMQURL(t testing.TB) string { t.Helper(); return ofTheRun(t, RabbitMQVariable) }

func ofTheRun(t testing.TB, variable string) string {
	t.Helper()
	address := os.Getenv(variable)
	if address == "" {
		t.Fatalf("services: %s names none: %s", variable, starter.Advice)
	}
	return address
}

// StartRedis starts a Redis for one test.
func StartRedis(t testing.TB, args ...string) *Redis {
	t.Helper()
	r, err := LaunchRedis(context.Background(), args...)
	check(t, err)
	t.Cleanup(func() {
		if err := r.Close(); err != nil {
			t.Errorf("services: %v", err)
		}
	})
	return r
}

// StartRabbitMQ starts a RabbitMQ for one test.
func StartRabbitMQ(t testing.TB) *RabbitMQ {
	t.Helper()
	r, err := LaunchRabbitMQ(context.Background())
	check(t, err)
	t.Cleanup(func() {
		if err := r.Close(); err != nil {
			t.Errorf("services: %v", err)
		}
	})
	return r
}

func check(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatalf("services: %v (make test installs what is missing)", err)
	}
}

// Main runs a package's tests, stops what they started and looks for goroutines that they left behind.
// More that was started ends with cleanUps.
func Main(m *testing.M, cleanUps ...func() error) {
	starter.Require()
	code := m.Run()
	for _, cleanUp := range cleanUps {
		if err := cleanUp(); err != nil {
			fmt.Fprintln(os.Stderr, "services:", err)
			code = max(code, 1)
		}
	}
	if code == 0 {
		// a proxy that is healed while data passes leaves a goroutine of its own behind
		if err := goleak.Find(goleak.IgnoreAnyFunction("github.com/Shopify/toxiproxy/v2/toxics.(*ToxicStub).Run")); err != nil {
			fmt.Fprintln(os.Stderr, "services:", err)
			code = 1
		}
	}
	os.Exit(code)
}
