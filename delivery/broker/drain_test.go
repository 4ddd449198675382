package broker

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/twmb/franz-go/pkg/kgo"

	"redrive/delivery"
	"redrive/internal/bench"
	"redrive/store/storetest"
	"redrive/store/storetest/services"
)

const (
	drainPartitions = 32
	drainMessages   = 20_000
	drainFailing    = 100 // of so many messages one fails for good
	drainOrder      = "REDRIVE_BENCH_DRAIN"
)

// drainTask is what a process of BenchmarkDrain is told.
type drainTask struct {
	DSN, URL string
	Source   delivery.KafkaSource
}

// BenchmarkDrain drains one topic of 32 partitions, of whose messages 1 % fail, by a share group of 1, 2 and 4 processes over one
// Postgres: how fast, how much of their time the processes wait for Postgres, and how much processor they take.
//
//	make bench-kafka
func BenchmarkDrain(b *testing.B) {
	if text := os.Getenv(drainOrder); text != "" {
		drainAsTold(b, text)
		return
	}
	for _, processes := range []int{1, 2, 4} {
		b.Run(fmt.Sprintf("%d processes", processes), func(b *testing.B) {
			for b.Loop() {
				drainBy(b, processes)
			}
			b.ReportMetric(0, "ns/op")
		})
	}
}

// drainAsTold is one of the processes; it ends when its input does.
func drainAsTold(b *testing.B, text string) {
	var task drainTask
	if err := json.Unmarshal([]byte(text), &task); err != nil {
		b.Fatal(err)
	}
	ctx, cancel := context.WithCancel(b.Context())
	go func() { _, _ = io.Copy(io.Discard, os.Stdin); cancel() }()
	consume(b, ctx, task.DSN, delivery.BrokerSource{From: &task.Source}, task.URL, func(*delivery.Integration) {})
}

// drainReceiver refuses some messages and knows when all have come.
func drainReceiver(b *testing.B) (server *httptest.Server, first *atomic.Int64, complete chan struct{}) {
	seen := make([]atomic.Bool, drainMessages)
	var left atomic.Int64
	left.Store(drainMessages)
	first, complete = new(atomic.Int64), make(chan struct{})
	server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(r.Body)
		n, convErr := strconv.Atoi(strings.TrimRight(string(body), "x"))
		if err != nil || convErr != nil {
			return
		}
		first.CompareAndSwap(0, time.Now().UnixNano())
		if n%drainFailing == 0 {
			w.WriteHeader(http.StatusBadRequest)
		}
		if !seen[n].Swap(true) && left.Add(-1) == 0 {
			close(complete)
		}
	}))
	b.Cleanup(server.Close)
	return server, first, complete
}

func drainBy(b *testing.B, processes int) {
	brokers := services.KafkaBrokers(b)
	topic := fmt.Sprintf("drain-%d", time.Now().UnixNano())
	services.CreateKafkaTopic(b, services.KafkaAdmin(b, brokers), topic, drainPartitions)
	fillDrain(b, brokers, topic)
	server, first, complete := drainReceiver(b)
	dsn := storetest.New(b)
	conn, err := pgx.Connect(b.Context(), dsn)
	if err != nil {
		b.Fatal(err)
	}
	defer conn.Close(context.Background())
	task, err := json.Marshal(drainTask{DSN: dsn, URL: server.URL, Source: delivery.KafkaSource{
		KafkaServer: delivery.KafkaServer{Brokers: brokers}, Topic: topic, ShareGroup: topic}})
	if err != nil {
		b.Fatal(err)
	}
	var members []*exec.Cmd
	var inputs []io.Closer
	for range processes {
		cmd := exec.Command(os.Args[0], "-test.run", "^$", "-test.bench", "^BenchmarkDrain$", "-test.benchtime", "1x")
		cmd.Env = append(os.Environ(), drainOrder+"="+string(task))
		input, err := cmd.StdinPipe()
		if err == nil {
			err = cmd.Start()
		}
		if err != nil {
			b.Fatal(err)
		}
		members, inputs = append(members, cmd), append(inputs, input)
	}
	stop := sync.OnceFunc(func() {
		for n, cmd := range members {
			_ = inputs[n].Close()
			if err := cmd.Wait(); err != nil {
				b.Errorf("process %d: %v", n, err)
			}
		}
	})
	defer stop()
	select {
	case <-complete:
	case <-time.After(5 * time.Minute):
		b.Fatal("not everything came")
	}
	took := time.Since(time.Unix(0, first.Load()))
	stop()
	reportDrain(b, conn, members, took)
}

// reportDrain says what the processes did with their time. A statement of pg_stat_database is of all that has ended.
func reportDrain(b *testing.B, conn *pgx.Conn, members []*exec.Cmd, took time.Duration) {
	var active float64 // ms
	var commits int64
	var dead int
	err := conn.QueryRow(b.Context(), `SELECT active_time, xact_commit, (SELECT count(*) FROM redrive.deliveries WHERE state = 'dead')
FROM pg_stat_database WHERE datname = current_database()`).Scan(&active, &commits, &dead)
	if err != nil {
		b.Fatal(err)
	}
	if dead != drainMessages/drainFailing {
		b.Errorf("%d dead letters", dead)
	}
	var processor time.Duration
	for _, cmd := range members {
		processor += cmd.ProcessState.UserTime() + cmd.ProcessState.SystemTime()
	}
	b.ReportMetric(drainMessages/took.Seconds(), "msg/s")
	b.ReportMetric(active/1000/took.Seconds(), "pg-active")
	b.ReportMetric(float64(commits)/took.Seconds(), "commits/s")
	b.ReportMetric(processor.Seconds()/took.Seconds(), "cores")
}

func fillDrain(b *testing.B, brokers []string, topic string) {
	client, err := kgo.NewClient(kgo.SeedBrokers(brokers...))
	if err != nil {
		b.Fatal(err)
	}
	defer client.Close()
	for n := range drainMessages {
		client.Produce(b.Context(), &kgo.Record{Topic: topic, Key: fmt.Append(nil, n), Value: bench.Payload(n, benchPayload)}, nil)
	}
	if err := client.Flush(b.Context()); err != nil {
		b.Fatal(err)
	}
}
