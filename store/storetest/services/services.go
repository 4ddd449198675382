package services

import (
	"context"
	"errors"
	"fmt"
	"os"
	"sync"
	"testing"

	"go.uber.org/goleak"
)

// The run's brokers; the test starter sets these unless the caller has. Without them a test process starts its own.
const (
	RedisVariable    = "REDRIVE_TEST_REDIS_ADDR"
	RabbitMQVariable = "REDRIVE_TEST_RABBITMQ_URL"
)

// own are the brokers of this process, started by the first test that asks.
var own struct {
	sync.Mutex
	redis  *Redis
	rabbit *RabbitMQ
}

// RedisAddr answers the address of a Redis that other tests use too.
func RedisAddr(t testing.TB) string {
	t.Helper()
	if addr := os.Getenv(RedisVariable); addr != "" {
		return addr
	}
	own.Lock()
	defer own.Unlock()
	if own.redis == nil {
		r, err := LaunchRedis(context.Background())
		check(t, err)
		own.redis = r
	}
	return own.redis.Addr
}

// RabbitMQURL answers the address of a RabbitMQ that other tests use too: name queues and exchanges so that they differ.
func RabbitMQURL(t testing.TB) string {
	t.Helper()
	if url := os.Getenv(RabbitMQVariable); url != "" {
		return url
	}
	own.Lock()
	defer own.Unlock()
	if own.rabbit == nil {
		r, err := LaunchRabbitMQ(context.Background())
		check(t, err)
		own.rabbit = r
	}
	return own.rabbit.URL
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
	code := m.Run()
	for _, cleanUp := range cleanUps {
		if err := cleanUp(); err != nil {
			fmt.Fprintln(os.Stderr, "services:", err)
			code = max(code, 1)
		}
	}
	if err := closeOwn(); err != nil {
		fmt.Fprintln(os.Stderr, "services:", err)
		code = max(code, 1)
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

func closeOwn() error {
	own.Lock()
	defer own.Unlock()
	var errs []error
	if own.redis != nil {
		errs = append(errs, own.redis.Close())
	}
	if own.rabbit != nil {
		errs = append(errs, own.rabbit.Close())
	}
	own.redis, own.rabbit = nil, nil
	return errors.Join(errs...)
}
