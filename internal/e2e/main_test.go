// Package e2e tests the whole program: it is built, started, used, killed and looked at from outside.
package e2e

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"runtime/debug"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"redrive/store/storetest"
	"redrive/store/storetest/child"
	"redrive/store/storetest/patience"
)

// inAHurry makes the program watch its sources and destinations more closely than people need.
const inAHurry = "REDRIVE_TEST_IN_A_HURRY"

const apiToken = "q7Vb2kX0mZ4sT9wLr1NcY6hJ3dPf8GaE5uKiQoRtWxM"

func TestMain(m *testing.M) { storetest.Main(m, closeChromium, built.remove) }

// built is the program, made from the sources once a run: main.go alone knows all rooms and nothing can import it, and what is started
// and killed here is what people start. -race is passed on to it; with GOCOVERDIR set it writes there what was reached.
var built build

type build struct {
	once sync.Once
	dir  string
	err  error
}

func (b *build) path() (string, error) {
	b.once.Do(func() {
		if b.dir, b.err = storetest.TempDir(); b.err != nil {
			return
		}
		args := []string{"build", "-buildvcs=false", "-ldflags=-s -w -X main.hurry=" + inAHurry, "-o", b.dir}
		if raceDetector() {
			args = append(args, "-race")
		}
		if os.Getenv("GOCOVERDIR") != "" {
			args = append(args, "-cover", "-coverpkg=redrive/...")
		}
		if out, err := exec.Command("go", append(args, "redrive")...).CombinedOutput(); err != nil {
			b.err = fmt.Errorf("building the program: %w\n%s", err, out)
		}
	})
	return filepath.Join(b.dir, "redrive"), b.err
}

func (b *build) remove() error { return os.RemoveAll(b.dir) }

// command prepares a start of the program with environment settings.
func command(ctx context.Context, t *testing.T, args []string, env ...string) *exec.Cmd {
	t.Helper()
	path, err := built.path()
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.CommandContext(ctx, path, args...)
	cmd.Env = append(os.Environ(), append([]string{"REDRIVE_ADDR=127.0.0.1:0", "REDRIVE_API_TOKEN=" + apiToken,
		"REDRIVE_ADMIN_PASSWORD=correct horse battery", "REDRIVE_DATA_DIR=/nonexistent", "DATABASE_URL="}, env...)...)
	return cmd
}

// program is one running redrive.
type program struct {
	t       *testing.T
	cmd     *exec.Cmd
	process *child.Process
	url     string
	mu      sync.Mutex
	log     strings.Builder
	done    chan struct{} // closed when it has ended
}

// launch starts redrive with arguments and environment settings, without waiting for anything.
func launch(t *testing.T, args []string, env ...string) *program {
	t.Helper()
	p := &program{t: t, cmd: command(context.Background(), t, args, env...), done: make(chan struct{})}
	out, in, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	p.cmd.Stdout, p.cmd.Stderr = in, in
	p.process, err = child.Start(p.cmd)
	_ = in.Close()
	if err != nil {
		t.Fatal(err)
	}
	urls := make(chan string, 1)
	go p.follow(out, urls)
	t.Cleanup(func() {
		p.kill()
		if t.Failed() {
			t.Logf("log of process %d:\n%s", p.cmd.Process.Pid, storetest.Tail(p.output()))
		}
	})
	select {
	case p.url = <-urls:
	case <-p.done:
	case <-time.After(patience.Left(t)):
		t.Fatal("redrive neither listened nor ended")
	}
	return p
}

var listening = regexp.MustCompile(`msg(?:=|":")listening(?: url=|","url":")([^\s"]+)`)

// follow keeps the output and announces the address.
func (p *program) follow(out io.ReadCloser, urls chan<- string) {
	defer out.Close()
	lines := bufio.NewScanner(out)
	for lines.Scan() {
		p.mu.Lock()
		fmt.Fprintln(&p.log, lines.Text())
		p.mu.Unlock()
		if found := listening.FindStringSubmatch(lines.Text()); found != nil {
			urls <- found[1]
		}
	}
	_ = p.process.Wait()
	close(p.done)
}

func (p *program) output() string {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.log.String()
}

// kill ends it as a power cut would.
func (p *program) kill() {
	p.process.Kill()
	p.wait()
}

// wait waits for its end.
func (p *program) wait() { p.t.Helper(); patience.Receive(p.t, "the end of the program", p.done) }

// stop asks it to end and returns its exit code.
func (p *program) stop() int {
	p.t.Helper()
	if err := p.cmd.Process.Signal(syscall.SIGTERM); err != nil {
		p.t.Fatal(err)
	}
	p.wait()
	return p.cmd.ProcessState.ExitCode()
}

// serve starts redrive serve on a fresh database, or on the one that env names, and waits until it is ready.
func serve(t *testing.T, env ...string) *program {
	t.Helper()
	p := launch(t, []string{"serve"}, env...)
	if p.url == "" {
		t.Fatalf("redrive ended with %d:\n%s", p.cmd.ProcessState.ExitCode(), p.output())
	}
	await(t, "ready", func() bool {
		r, err := http.Get(p.url + "/readyz")
		if err != nil {
			return false
		}
		_ = r.Body.Close()
		return r.StatusCode == http.StatusOK
	})
	return p
}

// await repeats a look until it shows what is wanted.
func await(t *testing.T, what string, done func() bool) {
	t.Helper()
	patience.Until(t, what, done)
}

// call asks the API and answers status and body, decoded when it is a JSON object.
func (p *program) call(method, path string, body any) (int, map[string]any) {
	p.t.Helper()
	status, object, err := p.try(method, path, body)
	if err != nil {
		p.t.Fatalf("%s %s: %v", method, path, err)
	}
	return status, object
}

// try is call for a program that may be killed meanwhile.
func (p *program) try(method, path string, body any) (int, map[string]any, error) {
	var content io.Reader
	if body != nil {
		raw, err := json.Marshal(body)
		if err != nil {
			return 0, nil, err
		}
		content = bytes.NewReader(raw)
	}
	ctx, cancel := context.WithTimeout(context.Background(), patience.Limit)
	defer cancel()
	request, err := http.NewRequestWithContext(ctx, method, p.url+path, content)
	if err != nil {
		return 0, nil, err
	}
	request.Header.Set("Authorization", "Bearer "+apiToken)
	request.Header.Set("Content-Type", "application/json")
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		return 0, nil, err
	}
	defer response.Body.Close()
	raw, err := io.ReadAll(response.Body)
	if err != nil {
		return 0, nil, err
	}
	var object map[string]any
	if strings.Contains(response.Header.Get("Content-Type"), "json") {
		err = json.Unmarshal(raw, &object)
	}
	return response.StatusCode, object, err
}

// must is call for what has to succeed.
func (p *program) must(method, path string, body any) map[string]any {
	p.t.Helper()
	status, object := p.call(method, path, body)
	if status >= 300 {
		p.t.Fatalf("%s %s answered %d %v", method, path, status, object)
	}
	return object
}

// send hands a message over and returns the id of its only delivery.
func (p *program) send(integration string, payload any) string {
	p.t.Helper()
	answer := p.must("POST", "/api/v1/messages", map[string]any{"integration": integration, "type": "test", "kind": "command", "payload": payload})
	return answer["deliveries"].([]any)[0].(map[string]any)["id"].(string)
}

func (p *program) awaitState(id, state string) map[string]any {
	p.t.Helper()
	var last map[string]any
	await(p.t, id+" "+state, func() bool {
		last = p.must("GET", "/api/v1/deliveries/"+id, nil)
		return last["state"] == state
	})
	return last
}

// configFile writes an integrations file.
func configFile(t *testing.T, text string) (env string) {
	t.Helper()
	path := t.TempDir() + "/integrations.yaml"
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return "REDRIVE_CONFIG=" + path
}

func onFreshDatabase(t *testing.T) (env string) {
	t.Helper()
	return "DATABASE_URL=" + storetest.New(t)
}

func TestWrongSettingsAreNamed(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		args []string
		env  string
		code int
		says string
	}{
		"address":         {[]string{"serve"}, "REDRIVE_ADDR=nowhere:port", 2, "REDRIVE_ADDR"},
		"file":            {[]string{"serve"}, "REDRIVE_CONFIG=/nonexistent.yaml", 2, "REDRIVE_CONFIG: "},
		"line":            {[]string{"serve"}, configFile(t, "integrations:\n  - name: a\n    colour: red\n"), 2, "integrations.yaml line 3"},
		"flag":            {[]string{"serve", "--colour"}, "", 2, "--colour"},
		"command":         {[]string{"fly"}, "", 2, "fly"},
		"database":        {[]string{"migrate"}, "DATABASE_URL=postgres://u:hunter2@127.0.0.1:1/x?connect_timeout=2", 2, "DATABASE_URL: connecting"},
		"database's form": {[]string{"migrate"}, "DATABASE_URL=postgres://u:hunter2@[", 2, "DATABASE_URL: not a Postgres URL"},
		"no address":      {[]string{"serve", "--addr="}, "", 2, "REDRIVE_ADDR"},
		"data directory":  {[]string{"serve"}, "REDRIVE_DATA_DIR=/proc/nothing", 2, "REDRIVE_DATA_DIR"},
		"demo":            {[]string{"serve"}, "REDRIVE_DEMO=garbage", 2, `REDRIVE_DEMO (--demo): write on or off, not "garbage"`},
		"log format":      {[]string{"migrate"}, "REDRIVE_LOG_FORMAT=xml", 2, "REDRIVE_LOG_FORMAT"},
		"token":           {[]string{"serve"}, "REDRIVE_API_TOKEN=hunter2\n", 2, "REDRIVE_API_TOKEN"},
		"weak token":      {[]string{"serve"}, "REDRIVE_API_TOKEN=choose-one", 2, "redrive token new prints a good one"},
		"metrics":         {[]string{"serve"}, "REDRIVE_METRICS=nobody", 2, "REDRIVE_METRICS"},
		"proxies":         {[]string{"serve"}, "REDRIVE_TRUSTED_PROXIES=proxy", 2, "REDRIVE_TRUSTED_PROXIES"},
		"type":            {[]string{"serve"}, configFile(t, "integrations:\n  - name: a\n    idempotent: maybe\n"), 2, "integrations.yaml line 3: idempotent: \"maybe\" is neither true nor false"},
	} {
		t.Run(name, func(t *testing.T) {
			p := launch(t, c.args, c.env)
			p.wait()
			if code := p.cmd.ProcessState.ExitCode(); code != c.code || !strings.Contains(p.output(), c.says) || strings.Contains(p.output(), "hunter2") || strings.Count(p.output(), "\n") != 1 {
				t.Errorf("exit code %d, want %d; it said %q", code, c.code, p.output())
			}
		})
	}
}

// What compose files and unit files leave empty is not set; nothing may listen to the world because of it.
func TestEmptySettingsAreNone(t *testing.T) {
	p := launch(t, []string{"doctor"}, "DATABASE_URL=", "REDRIVE_DATA_DIR="+t.TempDir()+"/file/x", "REDRIVE_LOG_FORMAT=", "REDRIVE_CONFIG=", "REDRIVE_ADDR=")
	if p.wait(); strings.Contains(p.output(), "--") {
		t.Errorf("said %q", p.output())
	}
}

func TestCommands(t *testing.T) {
	t.Parallel()
	database := onFreshDatabase(t)
	for _, c := range []struct {
		args []string
		says string
	}{
		{[]string{"--help"}, "serve"}, {[]string{"serve", "--help"}, "REDRIVE_DATA_DIR"}, {[]string{"--version"}, "dev"},
		{[]string{"migrate"}, "schema version"}, {[]string{"doctor"}, "ok    audit chain"},
		{[]string{"doctor"}, "ok    prepared transactions"}, {[]string{"bench", "--messages", "20", "--rate", "20"}, "throughput"},
		{[]string{"bench", "2pc", "--transactions", "10", "--concurrency", "2", "--kills", "3"}, "publish after commit"},
		{[]string{"bench", "outbox", "--rows", "50", "--rate", "100", "--long", "200ms"}, "two snapshots"}, {[]string{"bench", "batch", "--rows", "1000", "--rounds", "1"}, "median:"},
		{[]string{"audit", "verify"}, "1 entries fit"},
	} {
		p := launch(t, c.args, database)
		p.wait()
		if code := p.cmd.ProcessState.ExitCode(); code != 0 || !strings.Contains(p.output(), c.says) {
			t.Errorf("%v: exit code %d, said %q", c.args, code, p.output())
		}
	}
}

func TestStopIsGraceful(t *testing.T) {
	p := serve(t, onFreshDatabase(t))
	if code := p.stop(); code != 0 || !strings.Contains(p.output(), "msg=stopped") {
		t.Errorf("exit code %d:\n%s", code, p.output())
	}
}

// A second start on an existing database is ready in under two seconds, and an idle program stays small.
func TestStartAndMemory(t *testing.T) {
	database := onFreshDatabase(t)
	p := serve(t, database, "REDRIVE_DEMO=1")
	var took time.Duration
	for n := 0; n == 0 || took > patience.Here(2*time.Second); n++ { // others may be at work beside one start, not beside five
		if n == 5 {
			t.Fatalf("ready after %s", took)
		}
		p.stop()
		began := time.Now()
		p = serve(t, database)
		took = time.Since(began)
	}
	raw, err := exec.Command("ps", "-o", "rss=", "-p", fmt.Sprint(p.cmd.Process.Pid)).Output()
	if err != nil {
		t.Fatal(err)
	}
	var kib int
	if _, err := fmt.Sscan(string(raw), &kib); err != nil || (kib > 60<<10 && !raceDetector()) {
		t.Errorf("%d KiB resident: %v", kib, err)
	}
	t.Logf("ready after %s, %d MiB resident", took.Round(time.Millisecond), kib>>10)
}

// raceDetector reports whether this binary carries it: then it needs several times the memory.
func raceDetector() bool {
	info, ok := debug.ReadBuildInfo()
	return ok && slices.ContainsFunc(info.Settings, func(s debug.BuildSetting) bool { return s.Key == "-race" && s.Value == "true" })
}

// Everything embedded, as a newcomer starts it; then both the program and its Postgres die and it starts again.
func TestEmbeddedDatabaseSurvivesTheProgram(t *testing.T) {
	dir, err := storetest.TempDir()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	data := "REDRIVE_DATA_DIR=" + dir
	first := serve(t, data, configFile(t, failing("http://127.0.0.1:1", 1)))
	id := first.send("push", map[string]any{"a": 1})
	first.awaitState(id, "dead")
	ownersAlone(t, dir)
	second := launch(t, []string{"serve"}, data)
	if second.wait(); second.cmd.ProcessState.ExitCode() != 1 || !strings.Contains(second.output(), "data directory") {
		t.Errorf("a second program on the same directory: %s", second.output())
	}
	first.kill()
	third := serve(t, data)
	if state := third.must("GET", "/api/v1/deliveries/"+id, nil)["state"]; state != "dead" {
		t.Errorf("after kill -9 the dead letter is %v", state)
	}
	if code := third.stop(); code != 0 {
		t.Errorf("exit code %d", code)
	}
}

// ownersAlone checks that what lies in a data directory is open to its owner alone.
func ownersAlone(t *testing.T, dir string) {
	t.Helper()
	entries, err := os.ReadDir(dir)
	if err != nil || len(entries) < 3 {
		t.Fatalf("%v, %v", entries, err)
	}
	for _, entry := range entries {
		info, err := entry.Info()
		if err != nil || info.Mode().Perm()&0o077 != 0 {
			t.Errorf("%s is %v: %v", entry.Name(), info.Mode(), err)
		}
	}
}

// failing is an integrations file with one integration "push". Its receivers may take their time: who waits for a lease asks for brief.
func failing(url string, attempts int) string {
	return fmt.Sprintf(`integrations:
  - name: push
    method: outbox
    subscribe: [order.placed]
    destination:
      http: {url: %q, timeout: 1m}
    idempotent: true
    retry: {attempts: %d, backoff: [100ms], jitter: none}
    concurrency: 16
`, url, attempts)
}

// brief is the file with a lease that ends soon.
func brief(integrations string) string {
	return strings.Replace(integrations, "timeout: 1m", "timeout: 5s", 1)
}
