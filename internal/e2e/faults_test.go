package e2e

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
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"redrive/delivery"
	"redrive/store/embedded"
	"redrive/store/storetest"
	"redrive/store/storetest/patience"
)

// ledger is a receiver that writes down every request.
type ledger struct {
	*httptest.Server
	mu      sync.Mutex
	status  int                         // of every answer
	refuse  string                      // keys that end like this are answered 422
	pace    <-chan time.Time            // while not nil, each request waits for its turn
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
	status, hold, pace := l.status, l.hold, l.pace
	if l.refuse != "" && strings.HasSuffix(key, l.refuse) {
		status = http.StatusUnprocessableEntity
	}
	l.mu.Unlock()
	if pace != nil {
		select {
		case <-pace:
		case <-l.over:
		}
	}
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

// of returns how many requests came with a key.
func (l *ledger) of(key string) (n int) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, times := range l.seen[key] {
		n += times
	}
	return n
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
	if err := storetest.Session(t, dsn).QueryRow(t.Context(), query, args...).Scan(&v); err != nil {
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

// The program is killed five times and Postgres crashes twice during 8,000 deliveries. Then the receiver's ledger is
// compared with the database.
func TestNothingIsLostWhenEverythingCrashes(t *testing.T) {
	t.Parallel() // it waits most of the time
	const total = 8_000
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
	receiver.refuse = "00"                         // one in a hundred becomes a dead letter
	turns := time.NewTicker(50 * time.Millisecond) // so that everything happens in the middle of it, however busy the machine
	defer turns.Stop()
	receiver.pace = turns.C
	env := []string{"DATABASE_URL=" + dsn, configFile(t, brief(failing(receiver.URL, 20)))}
	p := serve(t, env...)
	enqueue(t, dsn, total)
	turns.Reset(time.Millisecond)
	ann := hire(p)
	t.Cleanup(ann.leave)
	for n := 1; n <= 5; n++ {
		patience.Receive(t, fmt.Sprintf("%d requests", n*total/8), receiver.at(n*total/8))
		if n == 2 { // Postgres alone, under a running program
			before, _ := receiver.requests()
			crash(t, dir)
			await(t, "deliveries after the crash", func() bool { sent, _ := receiver.requests(); return sent > before+100 })
		}
		p.kill()
		if n == 4 { // both
			crash(t, dir)
		}
		p = serve(t, env...)
		ann.desk.Store(p)
	}
	await(t, "an empty queue", func() bool { return left(t, dsn) == 0 })
	await(t, "a hundred actions of the person", func() bool { return ann.done.Load() >= 100 })
	ann.leave()
	await(t, "an empty queue", func() bool { return left(t, dsn) == 0 })
	compare(t, p, dsn, receiver, total)
	ann.compare(t, dsn)
}

// person settles dead letters all the time, whether the program lives or not: each is retried twice, then ignored.
type person struct {
	desk       atomic.Pointer[program]
	stop, gone chan struct{}
	leave      func()
	done       atomic.Int64 // actions that were confirmed
	unsure     int64        // actions whose answer got lost
	conflicts  int64
}

func hire(p *program) *person {
	ann := &person{stop: make(chan struct{}), gone: make(chan struct{})}
	ann.leave = sync.OnceFunc(func() { close(ann.stop); <-ann.gone })
	ann.desk.Store(p)
	go ann.work()
	return ann
}

func (a *person) work() {
	defer close(a.gone)
	for pause := time.NewTicker(20 * time.Millisecond); ; {
		select {
		case <-a.stop:
			return
		case <-pause.C:
		}
		p := a.desk.Load()
		_, page, err := p.try("GET", "/api/v1/failures?limit=20", nil)
		items, _ := page["items"].([]any)
		if err != nil {
			continue // it has just been killed
		}
		for _, item := range items {
			a.settle(p, item.(map[string]any))
		}
	}
}

func (a *person) settle(p *program, item map[string]any) {
	action, body := "retry", map[string]any{"version": item["version"], "reason": "again", "category": "other"}
	if item["attempt_count"].(float64) > 2 {
		action = "ignore"
	}
	switch status, _, err := p.try("POST", fmt.Sprintf("/api/v1/failures/%s/%s", item["id"], action), body); {
	case err != nil || status >= 500:
		a.unsure++
	case status == http.StatusOK:
		a.done.Add(1)
	default:
		a.conflicts++
	}
}

// compare checks invariant D: a record's version counts its changes, so each is an outcome or an audit entry.
func (a *person) compare(t *testing.T, dsn string) {
	t.Helper()
	entries := scan[int64](t, dsn, "SELECT count(*) FROM redrive.audit WHERE subject_type = 'delivery'")
	done := a.done.Load()
	t.Logf("%d actions confirmed, %d without an answer, %d too late; %d audit entries", done, a.unsure, a.conflicts, entries)
	if entries < done || entries > done+a.unsure {
		t.Errorf("D: %d audit entries for %d confirmed actions and %d without an answer", entries, done, a.unsure)
	}
	if wrong := scan[int](t, dsn, `SELECT count(*) FROM redrive.deliveries r WHERE version <> (state = 'delivered')::int
		+ (SELECT count(*) FROM redrive.attempts a WHERE a.delivery_id = r.id AND a.outcome <> 'late')
		+ (SELECT count(*) FROM redrive.audit e WHERE e.subject = r.id::text)`); wrong != 0 {
		t.Errorf("D: %d deliveries changed without an outcome or an audit entry", wrong)
	}
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
func left(t *testing.T, dsn string) (n int) {
	if storetest.Session(t, dsn).QueryRow(t.Context(), "SELECT count(*) FROM redrive.queue").Scan(&n) != nil {
		return -1
	}
	return n
}

// compare checks invariants A to C.
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
		WHERE a.outcome = 'late' AND a.late IS DISTINCT FROM '`+delivery.LateConfirming+`' AND a.token = r.last_token`); wrong != 0 {
		t.Errorf("C: %d late outcomes were written as current", wrong)
	}
	t.Logf("%d messages: %d delivered, %d dead; %d requests, %d of them repeated", total, delivered, settled-delivered, sent, sent-keys)
	if delivered < total*98/100 {
		t.Errorf("only %d delivered", delivered)
	}
	if code := p.stop(); code != 0 {
		t.Errorf("exit code %d", code)
	}
}

// A process is stopped in the middle of an attempt for longer than its lease, so another one takes over. It wakes up while
// the second attempt is under way.
func TestAStoppedProcessChangesNothingWhenItWakesUp(t *testing.T) {
	t.Parallel() // it waits most of the time
	receiver := newLedger(t)
	first, second := make(chan struct{}), make(chan struct{})
	receiver.hold = first
	database := onFreshDatabase(t)
	stopped := serve(t, database, configFile(t, brief(failing(receiver.URL, 3))))
	id := stopped.send("push", 1)
	patience.Receive(t, "a request", receiver.arrived)
	if err := stopped.cmd.Process.Signal(syscall.SIGSTOP); err != nil {
		t.Fatal(err)
	}
	receiver.mu.Lock()
	receiver.hold, receiver.status = second, http.StatusUnprocessableEntity
	receiver.mu.Unlock()
	other := serve(t, database, configFile(t, failing(receiver.URL, 3)))
	patience.Receive(t, "a request", receiver.arrived)
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

// deadLetters makes n of them on a receiver that refuses, and returns their ids.
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

// Many rounds of retry against ignore against resolve over the API.
func TestOneWinnerARound(t *testing.T) {
	t.Parallel()
	const rounds = 250
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

// Two processes on one database both deliver, nothing twice; when one is killed, the other takes over what it held.
func TestTwoProcessesShareTheWork(t *testing.T) {
	t.Parallel() // it waits most of the time
	receiver := newLedger(t)
	database := onFreshDatabase(t)
	dsn := strings.TrimPrefix(database, "DATABASE_URL=")
	env := []string{database, configFile(t, brief(failing(receiver.URL, 3)))}
	processes := []*program{serve(t, env...), serve(t, env...)}
	const total = 5000
	enqueue(t, dsn, total)
	await(t, "an empty queue", func() bool { return left(t, dsn) == 0 })
	if sent, keys := receiver.requests(); sent != total || keys != total {
		t.Errorf("%d requests with %d keys, want %d", sent, keys, total)
	}
	for _, p := range processes {
		if n := p.confirmed(); n < total/50 {
			t.Errorf("process %d delivered %d of %d", p.cmd.Process.Pid, n, total)
		}
	}
	hold := make(chan struct{})
	receiver.mu.Lock()
	receiver.hold = hold
	receiver.mu.Unlock()
	id := processes[0].send("push", "held") // wakes that one first
	patience.Receive(t, "a request", receiver.arrived)
	worker := scan[string](t, dsn, "SELECT worker FROM redrive.queue")
	dying, living := processes[0], processes[1]
	if strings.Contains(worker, fmt.Sprintf("-%d-", living.cmd.Process.Pid)) {
		dying, living = living, dying
	}
	began := time.Now()
	dying.kill()
	receiver.mu.Lock()
	receiver.hold = nil
	receiver.mu.Unlock()
	close(hold)
	living.awaitState(id, "delivered")
	if took := time.Since(began); took > 2*patience.Prompt { // a lease of 15 s, and a busy machine
		t.Errorf("taken over after %s", took)
	}
}

// confirmed is how many deliveries this process counted.
func (p *program) confirmed() (n int) {
	p.t.Helper()
	response, err := http.Get(p.url + "/metrics")
	if err != nil {
		p.t.Fatal(err)
	}
	defer response.Body.Close()
	raw, err := io.ReadAll(response.Body)
	if err != nil {
		p.t.Fatal(err)
	}
	for line := range strings.Lines(string(raw)) {
		if strings.HasPrefix(line, "redrive_deliveries_total{") && strings.Contains(line, `outcome="ok"`) {
			if _, err := fmt.Sscan(line[strings.LastIndex(line, " "):], &n); err != nil {
				p.t.Fatal(err)
			}
		}
	}
	return n
}

// The first signal lets an attempt finish, a second one does not wait for it.
func TestSignals(t *testing.T) {
	receiver := newLedger(t)
	hold := make(chan struct{})
	receiver.hold = hold
	database := onFreshDatabase(t)
	config := configFile(t, failing(receiver.URL, 3))
	p := serve(t, database, config)
	p.send("push", 1)
	patience.Receive(t, "a request", receiver.arrived)
	p.signal(syscall.SIGTERM)
	close(hold)
	if p.wait(); p.cmd.ProcessState.ExitCode() != 0 || !strings.Contains(p.output(), "msg=stopped") {
		t.Errorf("one signal: exit code %d", p.cmd.ProcessState.ExitCode())
	}
	dsn := strings.TrimPrefix(database, "DATABASE_URL=")
	if n := scan[int](t, dsn, "SELECT count(*) FROM redrive.deliveries WHERE state = 'delivered'"); n != 1 {
		t.Error("the attempt under way was not finished")
	}
	hold = make(chan struct{})
	defer close(hold)
	receiver.mu.Lock()
	receiver.hold = hold
	receiver.mu.Unlock()
	p = serve(t, database, config)
	p.send("push", 2)
	patience.Receive(t, "a request", receiver.arrived)
	p.signal(syscall.SIGTERM)
	await(t, "the end", func() bool { // it may still be busy with taking note of the first one
		_ = p.cmd.Process.Signal(syscall.SIGTERM) // an error means that it has ended
		select {
		case <-p.done:
			return true
		default:
			return false
		}
	})
	if status := p.cmd.ProcessState.Sys().(syscall.WaitStatus); status.Signal() != syscall.SIGTERM {
		t.Errorf("two signals: %v", p.cmd.ProcessState)
	}
}

// signal sends one and waits until the program has said that it is stopping.
func (p *program) signal(s syscall.Signal) {
	p.t.Helper()
	if err := p.cmd.Process.Signal(s); err != nil {
		p.t.Fatal(err)
	}
	await(p.t, "stopping", func() bool { return strings.Contains(p.output(), "msg=stopping") })
}
