package main

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"strings"
	"sync"
	"syscall"
	"testing"

	"github.com/jackc/pgx/v5"

	"redrive/store/embedded"
	"redrive/store/storetest"
)

// ledger is a receiver that writes down every request.
type ledger struct {
	*httptest.Server
	mu      sync.Mutex
	status  int                         // of every answer
	seen    map[string]map[[32]byte]int // by idempotency key: requests by SHA-256 of the payload
	total   int
	marks   map[int]chan struct{} // closed at that many requests
	hold    chan struct{}         // while not nil, requests wait until it is closed
	arrived chan string           // idempotency keys of held requests
	over    chan struct{}         // closed when the test ends, so that one that failed does not wait for held requests
}

func newLedger(t *testing.T) *ledger {
	l := &ledger{status: http.StatusOK, seen: map[string]map[[32]byte]int{}, marks: map[int]chan struct{}{}, arrived: make(chan string, 1000),
		over: make(chan struct{})}
	l.Server = httptest.NewServer(http.HandlerFunc(l.receive))
	t.Cleanup(func() { close(l.over); l.CloseClientConnections(); l.Close() })
	return l
}

func (l *ledger) receive(w http.ResponseWriter, r *http.Request) {
	body, err := io.ReadAll(r.Body)
	if err != nil {
		return // cut off: not received
	}
	key := r.Header.Get("Idempotency-Key")
	l.mu.Lock()
	if l.seen[key] == nil {
		l.seen[key] = map[[32]byte]int{}
	}
	l.seen[key][sha256.Sum256(body)]++
	l.total++
	if mark := l.marks[l.total]; mark != nil {
		close(mark)
	}
	status, hold := l.status, l.hold
	l.mu.Unlock()
	if hold != nil {
		l.arrived <- key
		select {
		case <-hold:
		case <-l.over:
		}
	}
	w.WriteHeader(status)
}

func (l *ledger) answer(status int) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.status = status
}

// at is closed when n requests have come.
func (l *ledger) at(n int) <-chan struct{} {
	l.mu.Lock()
	defer l.mu.Unlock()
	mark := make(chan struct{})
	if l.total >= n {
		close(mark)
	} else {
		l.marks[n] = mark
	}
	return mark
}

func (l *ledger) requests() (total, keys int) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.total, len(l.seen)
}

func connect(t *testing.T, dsn string) *pgx.Conn {
	t.Helper()
	conn, err := pgx.Connect(t.Context(), dsn)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close(context.Background()) })
	return conn
}

func scan[T any](t *testing.T, dsn, query string, args ...any) (v T) {
	t.Helper()
	conn, err := pgx.Connect(t.Context(), dsn)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close(context.Background())
	if err := conn.QueryRow(t.Context(), query, args...).Scan(&v); err != nil {
		t.Fatal(err)
	}
	return v
}

// crash ends a Postgres at once; its supervisor starts it again.
func crash(t *testing.T, dir string) {
	t.Helper()
	raw, err := os.ReadFile(dir + "/postgres/postmaster.pid")
	if err != nil {
		t.Fatal(err)
	}
	var pid int
	if _, err := fmt.Sscan(string(raw), &pid); err != nil || pid < 2 {
		t.Fatal(pid, err)
	}
	if err := syscall.Kill(pid, syscall.SIGQUIT); err != nil {
		t.Fatal(err)
	}
}

// The program is killed five times and Postgres crashes twice during 20,000 deliveries. Then the receiver's ledger is
// compared with the database.
func TestNothingIsLostWhenEverythingCrashes(t *testing.T) {
	const total = 20_000
	dir, err := storetest.TempDir()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	server, err := embedded.Start(t.Context(), embedded.Options{DataDir: dir}) // durable: fsync as in production
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := server.Stop(); err != nil {
			t.Error(err)
		}
	})
	dsn := server.DSN("redrive")
	receiver := newLedger(t)
	env := []string{"DATABASE_URL=" + dsn, configFile(t, failing(receiver.URL, 20))}
	p := serve(t, env...)
	enqueue(t, dsn, total)
	for n := 1; n <= 5; n++ {
		<-receiver.at(n * total / 8)
		if n == 2 { // Postgres alone, under a running program
			before, _ := receiver.requests()
			crash(t, dir)
			await(t, "deliveries after the crash", func() bool { sent, _ := receiver.requests(); return sent > before+500 })
		}
		p.kill()
		if n == 4 { // both
			crash(t, dir)
		}
		p = serve(t, env...)
	}
	await(t, "an empty queue", func() bool { return left(dsn) == 0 })
	compare(t, p, dsn, receiver, total)
}

func enqueue(t *testing.T, dsn string, total int) {
	t.Helper()
	conn := connect(t, dsn)
	for n := 0; n < total; n += 1000 {
		if _, err := conn.Exec(t.Context(), `SELECT redrive.enqueue('push', 'test', convert_to(n::text, 'UTF8'), idempotency_key => 'key-' || n)
			FROM generate_series($1::int, $1::int + 999) n`, n); err != nil {
			t.Fatal(err)
		}
	}
}

// left counts what is not settled; -1 while the database is away.
func left(dsn string) (n int) {
	conn, err := pgx.Connect(context.Background(), dsn)
	if err != nil {
		return -1
	}
	defer conn.Close(context.Background())
	if conn.QueryRow(context.Background(), "SELECT count(*) FROM redrive.queue").Scan(&n) != nil {
		return -1
	}
	return n
}

// compare checks invariants A to D.
func compare(t *testing.T, p *program, dsn string, receiver *ledger, total int) {
	t.Helper()
	settled := scan[int](t, dsn, "SELECT count(*) FROM redrive.deliveries WHERE state IN ('delivered', 'dead', 'ignored', 'resolved')")
	delivered := scan[int](t, dsn, "SELECT count(*) FROM redrive.deliveries WHERE state = 'delivered'")
	if settled != total {
		t.Errorf("A: %d of %d messages are settled", settled, total)
	}
	sent, keys := receiver.requests()
	if keys < delivered {
		t.Errorf("A: %d delivered, but the receiver knows %d", delivered, keys)
	}
	receiver.mu.Lock()
	for key, payloads := range receiver.seen {
		want := sha256.Sum256([]byte(strings.TrimPrefix(key, "key-")))
		if len(payloads) != 1 || payloads[want] == 0 {
			t.Errorf("B: key %s came with another payload", key)
		}
	}
	receiver.mu.Unlock()
	if twice := scan[int](t, dsn, `SELECT count(*) FROM (SELECT message_id FROM redrive.deliveries GROUP BY message_id HAVING count(*) > 1) x`); twice != 0 {
		t.Errorf("B: %d messages have two deliveries", twice)
	}
	if wrong := scan[int](t, dsn, `SELECT count(*) FROM redrive.attempts a JOIN redrive.deliveries r ON r.id = a.delivery_id
		WHERE a.outcome = 'late' AND a.token = r.last_token`); wrong != 0 {
		t.Errorf("C: %d late outcomes were written as current", wrong)
	}
	if n := scan[int](t, dsn, "SELECT count(*) FROM redrive.audit WHERE subject_type = 'delivery'"); n != 0 {
		t.Errorf("D: %d audit entries although nobody did anything", n)
	}
	t.Logf("%d messages: %d delivered, %d dead; %d requests, %d of them repeated", total, delivered, settled-delivered, sent, sent-keys)
	if delivered < total*99/100 {
		t.Errorf("only %d delivered", delivered)
	}
	if code := p.stop(); code != 0 {
		t.Errorf("exit code %d", code)
	}
}

// A process is stopped in the middle of an attempt for longer than its lease, so another one takes over. It wakes up while
// the second attempt is under way.
func TestAStoppedProcessChangesNothingWhenItWakesUp(t *testing.T) {
	receiver := newLedger(t)
	first, second := make(chan struct{}), make(chan struct{})
	receiver.hold = first
	env := []string{onFreshDatabase(t), configFile(t, strings.Replace(failing(receiver.URL, 3), "timeout: 1s", "timeout: 5s", 1))}
	stopped := serve(t, env...)
	id := stopped.send("push", 1)
	<-receiver.arrived
	if err := stopped.cmd.Process.Signal(syscall.SIGSTOP); err != nil {
		t.Fatal(err)
	}
	receiver.mu.Lock()
	receiver.hold, receiver.status = second, http.StatusUnprocessableEntity
	receiver.mu.Unlock()
	other := serve(t, env...)
	<-receiver.arrived
	close(first)
	if err := stopped.cmd.Process.Signal(syscall.SIGCONT); err != nil {
		t.Fatal(err)
	}
	var detail map[string]any
	await(t, "the late attempt", func() bool {
		detail = other.must("GET", "/api/v1/deliveries/"+id, nil)
		return strings.Contains(fmt.Sprint(detail["attempts"]), "outcome:late")
	})
	if detail["state"] != "sending" {
		t.Errorf("the late outcome made it %v", detail["state"])
	}
	close(second)
	if after := other.awaitState(id, "dead"); after["error_class"] != "http_4xx" {
		t.Errorf("dead because of %v", after["error_class"])
	}
}

// deadLetters makes n of them on a receiver that refuses, and answers their ids.
func deadLetters(t *testing.T, p *program, dsn string, n int) (ids []string) {
	t.Helper()
	conn := connect(t, dsn)
	if _, err := conn.Exec(t.Context(), "SELECT redrive.enqueue('push', 'test', 'x') FROM generate_series(1, $1)", n); err != nil {
		t.Fatal(err)
	}
	await(t, "dead letters", func() bool {
		return scan[int](t, dsn, "SELECT count(*) FROM redrive.deliveries WHERE state = 'dead'") == n
	})
	after := ""
	for {
		page := p.must("GET", "/api/v1/failures?limit=500&after="+after, nil)
		for _, item := range page["items"].([]any) {
			ids = append(ids, item.(map[string]any)["id"].(string))
		}
		next, more := page["next"].(string)
		if !more {
			return ids
		}
		after = next
	}
}

func TestFiftyRetriesSendOnce(t *testing.T) {
	receiver := newLedger(t)
	receiver.answer(http.StatusUnprocessableEntity)
	database := onFreshDatabase(t)
	p := serve(t, database, configFile(t, failing(receiver.URL, 1)))
	id := deadLetters(t, p, strings.TrimPrefix(database, "DATABASE_URL="), 1)[0]
	receiver.answer(http.StatusOK)
	statuses := make([]int, 50)
	var people sync.WaitGroup
	for n := range statuses {
		people.Go(func() {
			statuses[n], _ = p.call("POST", "/api/v1/failures/"+id+"/retry", map[string]any{"version": 1})
		})
	}
	people.Wait()
	won := 0
	for _, status := range statuses {
		switch status {
		case http.StatusOK:
			won++
		case http.StatusConflict:
		default:
			t.Errorf("answered %d", status)
		}
	}
	p.awaitState(id, "delivered")
	if sent, _ := receiver.requests(); won != 1 || sent != 2 {
		t.Errorf("%d retries accepted, %d requests; want 1, and 2 with the first failure", won, sent)
	}
}

// A thousand rounds of retry against ignore against resolve over the API.
func TestOneWinnerARound(t *testing.T) {
	const rounds = 1000
	receiver := newLedger(t)
	receiver.answer(http.StatusUnprocessableEntity)
	database := onFreshDatabase(t)
	dsn := strings.TrimPrefix(database, "DATABASE_URL=")
	p := serve(t, database, configFile(t, failing(receiver.URL, 1)))
	ids := deadLetters(t, p, dsn, rounds)
	p.must("POST", "/api/v1/integrations/push/pause", map[string]any{"reason": "the rounds"})
	for _, id := range ids {
		if err := race(p, id); err != nil {
			t.Fatal(err)
		}
	}
	if n := scan[int](t, dsn, "SELECT count(*) FROM redrive.audit WHERE subject_type = 'delivery'"); n != rounds {
		t.Errorf("%d audit entries for %d rounds", n, rounds)
	}
	if n := scan[int](t, dsn, "SELECT count(DISTINCT subject) FROM redrive.audit WHERE subject_type = 'delivery' AND actor <> ''"); n != rounds {
		t.Errorf("%d deliveries audited", n)
	}
}

// race does three things to one dead letter at once: one wins, the others are told who.
func race(p *program, id string) error {
	type answer struct {
		action string
		status int
		body   map[string]any
	}
	answers := make(chan answer, 3)
	for action, body := range map[string]map[string]any{
		"retry":   {"version": 1},
		"ignore":  {"version": 1, "reason": "r", "category": "other"},
		"resolve": {"version": 1, "reason": "r"},
	} {
		go func() {
			status, got := p.call("POST", "/api/v1/failures/"+id+"/"+action, body)
			answers <- answer{action, status, got}
		}()
	}
	winner := ""
	var losers []answer
	for range 3 {
		switch a := <-answers; a.status {
		case http.StatusOK:
			if winner != "" {
				return fmt.Errorf("%s: %s and %s both won", id, winner, a.action)
			}
			winner = a.action
		case http.StatusConflict:
			losers = append(losers, a)
		default:
			return fmt.Errorf("%s: %s answered %d %v", id, a.action, a.status, a.body)
		}
	}
	if winner == "" {
		return errors.New(id + ": nobody won")
	}
	for _, l := range losers {
		if l.body["code"] != "conflict" || l.body["action"] != winner || l.body["actor"] == "" {
			return fmt.Errorf("%s: %s won, a loser was told %v", id, winner, l.body)
		}
	}
	return nil
}

// A receiver that is down for a while costs nothing but time.
func TestRepairThenRetry(t *testing.T) {
	receiver := newLedger(t)
	receiver.answer(http.StatusServiceUnavailable)
	p := serve(t, onFreshDatabase(t), configFile(t, failing(receiver.URL, 2)))
	id := p.send("push", map[string]any{"n": 1})
	dead := p.awaitState(id, "dead")
	if attempts := dead["attempts"].([]any); len(attempts) != 2 {
		t.Fatalf("attempts %v", attempts)
	}
	receiver.answer(http.StatusOK)
	if status, body := p.call("POST", "/api/v1/failures/"+id+"/retry", map[string]any{"version": dead["version"], "reason": "repaired"}); status != http.StatusOK {
		t.Fatal(status, body)
	}
	after := p.awaitState(id, "delivered")
	if attempts := after["attempts"].([]any); len(attempts) != 3 {
		t.Errorf("attempts %v", attempts)
	}
	if _, keys := receiver.requests(); keys != 1 {
		t.Errorf("%d idempotency keys", keys)
	}
}

// The database goes away under a running program and comes back.
func TestTheProgramOutlivesItsDatabase(t *testing.T) {
	dir, err := storetest.TempDir()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	receiver := newLedger(t)
	p := serve(t, "REDRIVE_DATA_DIR="+dir, configFile(t, failing(receiver.URL, 5)))
	p.awaitState(p.send("push", 1), "delivered")
	crash(t, dir)
	await(t, "accepting again", func() bool {
		status, _ := p.call("POST", "/api/v1/messages", map[string]any{"integration": "push", "type": "t", "kind": "command", "payload": 2, "idempotency_key": "after"})
		return status < 300
	})
	await(t, "both delivered", func() bool { _, keys := receiver.requests(); return keys == 2 })
	if code := p.stop(); code != 0 {
		t.Errorf("exit code %d", code)
	}
}
