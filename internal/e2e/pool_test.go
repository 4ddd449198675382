package e2e

import (
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"

	"redrive/store/embedded"
	"redrive/store/storetest"
	"redrive/store/storetest/patience"
)

// pooled is an integrations file with one integration "push" by pool.
func pooled(url, full string, workers, queue int) string {
	return fmt.Sprintf(`integrations:
  - name: push
    method: pool
    pool: {workers: %d, queue: %d, when_full: %s}
    destination:
      http: {url: %q, timeout: 1m}
    idempotent: true
    concurrency: 4
`, workers, queue, full, url)
}

func dataDir(t *testing.T) (dir, env string) {
	t.Helper()
	dir, err := storetest.TempDir()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	return dir, "REDRIVE_DATA_DIR=" + dir
}

// offer hands n messages over in parallel, numbered from first on, and returns how many were accepted, by state.
func (p *program) offer(first, n int) map[string]int {
	p.t.Helper()
	var mu sync.Mutex
	states := map[string]int{}
	var producers sync.WaitGroup
	for w := range 8 {
		producers.Go(func() {
			for i := first + w; i < first+n; i += 8 {
				status, answer := p.call("POST", "/api/v1/messages", map[string]any{"integration": "push", "type": "t", "payload": i, "idempotency_key": fmt.Sprint("k", i)})
				mu.Lock()
				if status != http.StatusAccepted {
					states[fmt.Sprint(status, answer["code"])]++
				} else {
					states[answer["deliveries"].([]any)[0].(map[string]any)["state"].(string)]++
				}
				mu.Unlock()
			}
		})
	}
	producers.Wait()
	return states
}

// warm sends one message and waits until it arrives: from then on the engine admits attempts. Before, what is handed over is made
// durable at once. It returns how many messages the receiver has then.
func (p *program) warm(receiver *ledger) int {
	p.t.Helper()
	p.send("push", "the first")
	await(p.t, "the first message", func() bool { _, keys := receiver.requests(); return keys == 1 })
	return 1
}

// fact is one figure of the only integration.
func (p *program) fact(name string) int {
	p.t.Helper()
	row := p.must("GET", "/api/v1/integrations", nil)["items"].([]any)[0].(map[string]any)
	for _, f := range row["facts"].([]any) {
		if fact := f.(map[string]any); fact["name"] == name {
			return int(fact["value"].(float64))
		}
	}
	return -1
}

// held makes the receiver keep every request until the answer is closed.
func (l *ledger) keep() (release func()) {
	hold := make(chan struct{})
	l.mu.Lock()
	l.hold = hold
	l.mu.Unlock()
	return func() {
		l.mu.Lock()
		l.hold = nil
		l.mu.Unlock()
		close(hold)
	}
}

// What a crash loses is at most what was in memory: workers and queue. What was answered from the journal is not lost.
func TestAKilledPoolLosesAtMostWhatItHeld(t *testing.T) {
	const total, workers, queue = 400, 5, 40
	receiver := newLedger(t)
	_, data := dataDir(t)
	database := onFreshDatabase(t)
	env := []string{database, data, configFile(t, pooled(receiver.URL, "journal", workers, queue))}
	p := serve(t, env...)
	warm := p.warm(receiver)
	release := receiver.keep()
	if states := p.offer(0, workers); states["pending"] != workers {
		t.Fatalf("accepted %v", states)
	}
	for range workers { // who is at work before the others come takes none of them
		patience.Receive(t, "a request", receiver.arrived)
	}
	if states := p.offer(workers, total-workers); states["pending"] != total-workers {
		t.Fatalf("accepted %v", states)
	}
	if busy, queued, journaled := p.fact("busy"), p.fact("queued"), p.fact("journaled"); busy != workers || queued != queue || journaled != total-workers-queue {
		t.Errorf("%d at work, %d queued, %d journaled", busy, queued, journaled)
	}
	p.kill()
	release()
	p = serve(t, env...)
	dsn := strings.TrimPrefix(database, "DATABASE_URL=")
	await(t, "everything durable is delivered", func() bool {
		return scan[int](t, dsn, `SELECT count(*) FROM redrive.deliveries d JOIN redrive.messages m ON m.id = d.message_id
			WHERE d.state = 'delivered' AND m.idempotency_key LIKE 'k%'`) == total-workers-queue
	})
	_, keys := receiver.requests() // those of the workers had reached the receiver
	keys -= warm
	t.Logf("%d accepted, %d reached the receiver, %d lost; the bound is %d", total, keys, total-keys, workers+queue)
	if lost := total - keys; lost > workers+queue || lost != queue {
		t.Errorf("%d of %d lost", lost, total)
	}
	if code := p.stop(); code != 0 {
		t.Errorf("exit code %d", code)
	}
}

// An orderly stop loses nothing: attempts finish, the queue becomes durable and is delivered by the next process.
func TestAStoppedPoolLosesNothing(t *testing.T) {
	const total, workers, queue = 60, 5, 100
	receiver := newLedger(t)
	release := receiver.keep()
	_, data := dataDir(t)
	database := onFreshDatabase(t)
	env := []string{database, data, configFile(t, pooled(receiver.URL, "block", workers, queue))}
	p := serve(t, env...)
	if states := p.offer(0, total); states["pending"] != total {
		t.Fatalf("accepted %v", states)
	}
	for range workers {
		patience.Receive(t, "a request", receiver.arrived)
	}
	if err := p.cmd.Process.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	dsn := strings.TrimPrefix(database, "DATABASE_URL=")
	await(t, "the queue is durable", func() bool { return left(t, dsn) == total-workers })
	release()
	if p.wait(); p.cmd.ProcessState.ExitCode() != 0 { // a second signal would end it at once
		t.Errorf("exit code %d", p.cmd.ProcessState.ExitCode())
	}
	serve(t, env...)
	await(t, "all are delivered", func() bool { return left(t, dsn) == 0 })
	if requests, keys := receiver.requests(); requests != total || keys != total {
		t.Errorf("%d requests with %d keys for %d messages", requests, keys, total)
	}
	if n := scan[int](t, dsn, "SELECT sum(delivered)::int FROM redrive.hourly"); n != total {
		t.Errorf("%d deliveries are counted", n)
	}
}

// Postgres goes away, then the program is stopped: the journal takes what failed and what was not attempted, and the next start
// imports it once.
func TestNothingIsLostWhenPostgresIsAwayAtTheStop(t *testing.T) {
	const total, workers = 60, 5
	receiver := newLedger(t)
	release := receiver.keep()
	receiver.answer(http.StatusUnprocessableEntity)
	dir, data := dataDir(t)
	cluster, _ := dataDir(t)
	server, err := embedded.Start(t.Context(), embedded.Options{DataDir: cluster})
	if err != nil {
		t.Fatal(err)
	}
	file := configFile(t, pooled(receiver.URL, "block", workers, 100))
	p := serve(t, "DATABASE_URL="+server.DSN("redrive"), data, file)
	if states := p.offer(0, total); states["pending"] != total {
		t.Fatalf("accepted %v", states)
	}
	for range workers {
		patience.Receive(t, "a request", receiver.arrived)
	}
	if err := server.Stop(); err != nil {
		t.Fatal(err)
	}
	if err := p.cmd.Process.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	await(t, "the journal has the queue", func() bool { return strings.Contains(p.output(), "the journal takes it") })
	release()
	if p.wait(); p.cmd.ProcessState.ExitCode() != 0 {
		t.Errorf("exit code %d", p.cmd.ProcessState.ExitCode())
	}
	if names, err := filepath.Glob(dir + "/journal/*.journal"); err != nil || len(names) != 1 {
		t.Errorf("%v %v", names, err)
	}
	if server, err = embedded.Start(t.Context(), embedded.Options{DataDir: cluster}); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = server.Stop() })
	dsn := server.DSN("redrive")
	p = serve(t, "DATABASE_URL="+dsn, data, file)
	await(t, "all are dead letters", func() bool {
		return scan[int](t, dsn, "SELECT count(*) FROM redrive.deliveries WHERE state = 'dead'") == total
	})
	if requests, keys := receiver.requests(); requests != total || keys != total {
		t.Errorf("%d requests with %d keys for %d messages", requests, keys, total)
	}
	if n := scan[int](t, dsn, "SELECT count(*) FROM redrive.messages"); n != total {
		t.Errorf("%d messages", n)
	}
	p.stop()
	if names, _ := filepath.Glob(dir + "/journal/*"); len(names) != 0 {
		t.Errorf("left: %v", names)
	}
}

func TestADeadLetterOfAPoolIsRetriedLikeAnyOther(t *testing.T) {
	receiver := newLedger(t)
	_, data := dataDir(t)
	database := onFreshDatabase(t)
	p := serve(t, database, data, configFile(t, pooled(receiver.URL, "caller-runs", 2, 2)))
	warm := p.warm(receiver)
	receiver.answer(http.StatusServiceUnavailable)
	id := p.send("push", map[string]any{"a": 1})
	await(t, "a dead letter", func() bool {
		status, d := p.call("GET", "/api/v1/deliveries/"+id, nil)
		return status == 200 && d["state"] == "dead"
	})
	d := p.must("GET", "/api/v1/deliveries/"+id, nil)
	if d["method"] != "pool" || len(d["attempts"].([]any)) != 2 || d["error_class"] != "http_5xx" {
		t.Errorf("%v", d)
	}
	receiver.answer(http.StatusOK)
	p.must("POST", "/api/v1/failures/"+id+"/retry", map[string]any{"reason": "it is back"})
	if d := p.awaitState(id, "delivered"); d["attempt_count"] != 3.0 {
		t.Errorf("%v", d)
	}
	if _, keys := receiver.requests(); keys != warm+1 {
		t.Errorf("%d idempotency keys", keys)
	}
	dsn := strings.TrimPrefix(database, "DATABASE_URL=")
	message := scan[string](t, dsn, "SELECT redrive.enqueue('push', 'test', '2')::text") // durable, through the queue
	await(t, "SQL works as well", func() bool {
		return p.must("GET", "/api/v1/messages/"+message, nil)["deliveries"].([]any)[0].(map[string]any)["state"] == "delivered"
	})
	if !strings.Contains(p.output(), `msg="a delivery failed for good"`) || strings.Contains(p.output(), `"a":1`) {
		t.Errorf("the failure log:\n%s", p.output())
	}
}

func TestAJournalThatCannotBeWrittenStopsTheStart(t *testing.T) {
	file := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	p := launch(t, []string{"serve"}, onFreshDatabase(t), "REDRIVE_DATA_DIR="+file, configFile(t, pooled("http://127.0.0.1:1", "block", 1, 1)))
	p.wait()
	if code := p.cmd.ProcessState.ExitCode(); code != 2 || !strings.Contains(p.output(), "REDRIVE_DATA_DIR: the pool's journal") {
		t.Errorf("exit code %d: %s", code, p.output())
	}
}
