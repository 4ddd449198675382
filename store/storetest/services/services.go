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
		own.redis = must(t)(LaunchRedis(context.Background()))
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
		own.rabbit = mustRabbit(t)
	}
	return own.rabbit.URL
}

// StartRedis starts a Redis for one test.
func StartRedis(t testing.TB, args ...string) *Redis {
	t.Helper()
	r := must(t)(LaunchRedis(context.Background(), args...))
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
	r := mustRabbit(t)
	t.Cleanup(func() {
		if err := r.Close(); err != nil {
			t.Errorf("services: %v", err)
		}
	})
	return r
}

func must(t testing.TB) func(*Redis, error) *Redis {
	t.Helper()
	return func(r *Redis, err error) *Redis {
		t.Helper()
		if err != nil {
			t.Fatalf("services: %v (make test installs what is missing)", err)
		}
		return r
	}
}

func mustRabbit(t testing.TB) *RabbitMQ {
	t.Helper()
	r, err := LaunchRabbitMQ(context.Background())
	if err != nil {
		t.Fatalf("services: %v (make test installs what is missing)", err)
	}
	return r
}

// Main runs a package's tests, stops what they started and looks for goroutines that they left behind.
func Main(m *testing.M) {
	code := m.Run()
	if err := closeOwn(); err != nil {
		fmt.Fprintln(os.Stderr, "services:", err)
		code = max(code, 1)
	}
	if code == 0 {
		if err := goleak.Find(); err != nil {
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
