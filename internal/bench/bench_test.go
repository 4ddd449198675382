package bench

import (
	"bytes"
	"context"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"redrive/store/storetest"
)

func TestMain(m *testing.M) { storetest.Main(m) }

func connect(t *testing.T, dsn string) *pgx.Conn {
	t.Helper()
	conn, err := pgx.Connect(t.Context(), dsn)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close(context.WithoutCancel(t.Context())) })
	return conn
}

func TestRunDeliversEverythingOnceAndReports(t *testing.T) {
	dsn := storetest.New(t)
	var out bytes.Buffer
	report, err := Run(t.Context(), Options{DSN: dsn, Messages: 200, Concurrency: 8, Rate: 400, PayloadBytes: 64, Out: &out})
	if err != nil {
		t.Fatal(err)
	}
	var delivered, waiting, shortest, longest int
	err = connect(t, dsn).QueryRow(t.Context(), `SELECT (SELECT count(*) FROM redrive.deliveries WHERE state = 'delivered'),
		(SELECT count(*) FROM redrive.queue), min(octet_length(payload)), max(octet_length(payload)) FROM redrive.messages`).
		Scan(&delivered, &waiting, &shortest, &longest)
	if err != nil || delivered != 600 || waiting != 0 || shortest != 64 || longest != 64 {
		t.Errorf("%d delivered, %d waiting, payloads of %d to %d bytes: %v", delivered, waiting, shortest, longest, err)
	}
	if report.Throughput.Messages != 200 || report.Throughput.Duplicates != 0 || report.Throughput.PerSecond() <= 0 {
		t.Errorf("throughput %+v", report.Throughput)
	}
	for _, l := range []Latency{report.Woken, report.Polling} {
		if l.Messages != 200 || l.P50 <= 0 || l.P99 < l.P50 || l.Max < l.P99 || l.PerSecond > 450 {
			t.Errorf("latency %+v", l)
		}
	}
	if rows := strings.Count(out.String(), "\n"); rows != 3 {
		t.Errorf("%d rows:\n%s", rows, &out)
	}
}

func TestRunLeavesADatabaseInUseAlone(t *testing.T) {
	dsn := storetest.New(t)
	conn := connect(t, dsn)
	if _, err := conn.Exec(t.Context(), `INSERT INTO redrive.integrations (name, method, destination) VALUES ('push', 'outbox', 'http')`); err != nil {
		t.Fatal(err)
	}
	_, err := Run(t.Context(), Options{DSN: dsn, Messages: 1, Concurrency: 1, Rate: 1, Out: &bytes.Buffer{}})
	if err == nil || !strings.Contains(err.Error(), "serves integrations") {
		t.Errorf("got %v", err)
	}
	var active bool
	if err := conn.QueryRow(t.Context(), `SELECT bool_and(active) FROM redrive.integrations`).Scan(&active); err != nil || !active {
		t.Errorf("the integration was retired: %v", err)
	}
}

func TestReceiverCountsEachMessageOnce(t *testing.T) {
	receiver, err := NewReceiver()
	if err != nil {
		t.Fatal(err)
	}
	defer receiver.Close()
	receiver.Expect(2)
	post := func(payload []byte) int {
		answer, err := http.Post(receiver.URL(), "text/plain", bytes.NewReader(payload))
		if err != nil {
			t.Fatal(err)
		}
		_ = answer.Body.Close()
		return answer.StatusCode
	}
	for _, payload := range [][]byte{Payload(0, 20), Payload(0, 20)} {
		if status := post(payload); status != http.StatusNoContent {
			t.Errorf("answered %d", status)
		}
	}
	short, cancel := context.WithTimeout(t.Context(), time.Millisecond)
	defer cancel()
	if err := receiver.Wait(short); err == nil || receiver.Duplicates() != 1 {
		t.Errorf("one message twice: %v, %d duplicates", err, receiver.Duplicates())
	}
	for _, wrong := range [][]byte{Payload(2, 20), []byte("short"), []byte("sixteen letters!")} {
		if status := post(wrong); status != http.StatusBadRequest {
			t.Errorf("%q answered %d", wrong, status)
		}
	}
	post(Payload(1, 20))
	if err := receiver.Wait(t.Context()); err != nil {
		t.Error(err)
	}
}

func TestPercentile(t *testing.T) {
	hundred := make([]time.Duration, 100)
	for i := range hundred {
		hundred[i] = time.Duration(i + 1)
	}
	for p, want := range map[int]time.Duration{50: 50, 99: 99, 100: 100} {
		if got := percentile(hundred, p); got != want {
			t.Errorf("p%d = %d", p, got)
		}
	}
	if got := percentile(hundred[:1], 50); got != 1 {
		t.Errorf("p50 of one value = %d", got)
	}
}
