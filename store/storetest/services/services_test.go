package services

import (
	"context"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/rabbitmq/amqp091-go"
	"github.com/redis/go-redis/v9"
)

func TestMain(m *testing.M) { Main(m) }

func TestRedisKeepsItsAddress(t *testing.T) {
	r := StartRedis(t, "--requirepass", "pw")
	ping := func() error {
		client := redis.NewClient(&redis.Options{Addr: r.Addr, Password: "pw", MaxRetries: -1, DialerRetries: 1})
		defer client.Close()
		return client.Ping(t.Context()).Err()
	}
	for _, end := range []func(){r.Stop, r.Kill} {
		if err := ping(); err != nil {
			t.Fatal(err)
		}
		end()
		if err := ping(); err == nil {
			t.Error("it answers although it was ended")
		}
		if err := r.Start(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	if err := ping(); err != nil {
		t.Fatal(err)
	}
}

func TestRabbitMQKeepsWhatItStored(t *testing.T) {
	began := time.Now()
	r := StartRabbitMQ(t)
	t.Logf("started in %v", time.Since(began))
	channel := func() *amqp091.Channel {
		conn, err := amqp091.Dial(r.URL)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = conn.Close() })
		ch, err := conn.Channel()
		if err != nil {
			t.Fatal(err)
		}
		return ch
	}
	persistAndKill := func() {
		if err := r.Persist(t.Context()); err != nil {
			t.Fatal(err)
		}
		r.Kill()
	}
	for queue, end := range map[string]func(){"stopped": r.Stop, "killed": persistAndKill} {
		if _, err := channel().QueueDeclare(queue, true, false, false, false, nil); err != nil {
			t.Fatal(err)
		}
		end()
		if err := r.Start(t.Context()); err != nil {
			t.Fatal(err)
		}
		if _, err := channel().QueueDeclarePassive(queue, true, false, false, false, nil); err != nil {
			t.Error(err)
		}
	}
	for _, args := range [][]string{{"nonsense"}, {"eval", "ok = nonsense."}} {
		if err := r.Control(t.Context(), args...); err == nil {
			t.Errorf("%q is no error", args)
		}
	}
}

func TestNothingIsLeftBehind(t *testing.T) {
	r, err := LaunchRedis(context.Background())
	if err != nil {
		t.Fatal(err)
	}
	if err := r.Close(); err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(r.dir); !os.IsNotExist(err) {
		t.Errorf("its directory: %v", err)
	}
	if err := r.answers(t.Context()); err == nil {
		t.Error("it still answers")
	}
}

func TestABadStartSaysWhy(t *testing.T) {
	if _, err := LaunchRedis(t.Context(), "--no-such-option", "x"); err == nil || !strings.Contains(err.Error(), "no-such-option") {
		t.Errorf("error %v", err)
	}
}

func TestSSHDAnswersUntilItIsKilled(t *testing.T) {
	s := StartSSHD(t)
	if err := s.answers(t.Context()); err != nil {
		t.Fatal(err)
	}
	for _, file := range []string{s.Key, s.KnownHosts, s.Dir} {
		if _, err := os.Stat(file); err != nil {
			t.Error(err)
		}
	}
	s.Kill()
	if err := s.answers(t.Context()); err == nil {
		t.Error("it still answers")
	}
}
