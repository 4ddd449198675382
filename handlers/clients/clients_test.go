// Package clients generates clients from the API's document, as somebody who meets the API would, and sends with each of them.
package clients

import (
	"context"
	"crypto/sha256"
	"encoding/json"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"reflect"
	"testing"
	"time"

	"redrive/delivery"
	"redrive/handlers"
	"redrive/store"
	"redrive/store/storetest"
	"redrive/store/storetest/tools"
)

// TestMain installs before the clock of the tests runs.
func TestMain(m *testing.M) {
	ctx := context.Background()
	_, _ = tools.InstallPython(ctx) // the tests say what is missing
	_, _ = tools.InstallNode(ctx)
	storetest.Main(m)
}

const operator = "token-of-an-operator"

// desk serves the API on a database of its own that has three dead letters, and writes its document to a file.
func desk(t *testing.T) (url, document string) {
	t.Helper()
	log := slog.New(slog.DiscardHandler)
	db, err := store.Open(t.Context(), storetest.New(t), log)
	must(t, err)
	t.Cleanup(db.Close)
	push := delivery.Integration{Name: "push", Method: delivery.MethodOutbox, Subscribe: []string{"order.placed"},
		Destination: delivery.Destination{To: &delivery.HTTPDestination{URL: "http://127.0.0.1:1/"}}}
	must(t, db.SyncIntegrations(t.Context(), []delivery.Integration{push}))
	sum := sha256.Sum256([]byte(operator))
	_, err = db.CreateToken(t.Context(), delivery.Token{Name: "shop", Role: delivery.RoleOperator}, sum[:], "setup")
	must(t, err)
	for range 3 {
		fail(t, db)
	}
	server, err := handlers.New(db, handlers.Config{Integrations: []delivery.Integration{push}, Log: log, Version: "test"})
	must(t, err)
	web := httptest.NewServer(server.Handler())
	t.Cleanup(web.Close)
	response, err := http.Get(web.URL + "/api/openapi.json")
	must(t, err)
	defer response.Body.Close()
	document = filepath.Join(t.TempDir(), "openapi.json")
	out, err := os.Create(document)
	must(t, err)
	_, err = out.ReadFrom(response.Body)
	must(t, err)
	must(t, out.Close())
	return web.URL, document
}

// fail hands over a message and lets its attempt fail for good.
func fail(t *testing.T, db *store.Store) {
	t.Helper()
	_, err := db.Accept(t.Context(), delivery.Message{Kind: delivery.KindCommand, Integration: "push", Type: "order.placed", Payload: []byte("{}")})
	must(t, err)
	claimed, err := db.Claim(t.Context(), "test", []delivery.Quota{{Integration: "push", Limit: 1, Lease: time.Minute}})
	must(t, err)
	if len(claimed) != 1 {
		t.Fatalf("claimed %d", len(claimed))
	}
	_, err = db.Complete(t.Context(), []delivery.Completion{claimed[0].Completed(delivery.Result{Outcome: delivery.OutcomePermanent, ErrorClass: delivery.ClassHTTP4xx,
		Error: "the receiver answered 404", HTTPStatus: 404}, delivery.StateDead, time.Now(), time.Millisecond)})
	must(t, err)
}

// expected is what every client says.
const expected = `{
 "command": [202, false, "pending", 200, true], "message": ["order.placed", "k", {"X-Shop": "17"}, {"order": 1}],
 "event": 202, "structured": 202, "binary": 202, "unknown": ["unknown_integration", "integration"],
 "failures": [2, 1, true, "dead", "http_4xx", "the receiver answered 404", true], "detail": [true, 404, "permanent", 0],
 "retry": [200, "pending", 1], "conflict": ["conflict", "token:shop", "retry", "pending", true, true], "reason": "reason_required",
 "dry": [200, 2, {"push": 2}], "operation": [202, 2, "acknowledge", true],
 "groups": [1, 2, "http_4xx"], "integrations": ["push outbox"], "audit": ["token:shop", "mended"], "stranger": "invalid_token", "nothing": "not_found"
}`

func TestClientsSend(t *testing.T) {
	for name, prepare := range map[string]func(t *testing.T, dir, document string) *exec.Cmd{"go": goClient, "python": pythonClient, "typescript": typescriptClient} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			url, document := desk(t)
			dir := t.TempDir()
			must(t, os.CopyFS(dir, os.DirFS(filepath.Join("testdata", name))))
			client := prepare(t, dir, document)
			client.Args = append(client.Args, url, operator)
			var said, want map[string]any
			must(t, json.Unmarshal(output(t, dir, client), &said))
			must(t, json.Unmarshal([]byte(expected), &want))
			for what := range want {
				if !reflect.DeepEqual(said[what], want[what]) {
					t.Errorf("%s: %v, want %v", what, said[what], want[what])
				}
			}
		})
	}
}

func TestAValidatorTakesTheDocument(t *testing.T) {
	_, document := desk(t)
	output(t, ".", exec.CommandContext(t.Context(), tools.Python(t), "-m", "openapi_spec_validator", document))
}

func goClient(t *testing.T, dir, document string) *exec.Cmd {
	must(t, os.Mkdir(filepath.Join(dir, "api"), 0o755))
	for _, args := range [][]string{
		{"tool", "oapi-codegen", "-generate", "types,client", "-package", "api", "-o", filepath.Join("api", "api.go"), document},
		{"build", "-trimpath", "-o", "client", "."},
	} {
		output(t, dir, exec.CommandContext(t.Context(), "go", args...))
	}
	return exec.CommandContext(t.Context(), filepath.Join(dir, "client"))
}

func pythonClient(t *testing.T, dir, document string) *exec.Cmd {
	python := tools.Python(t)
	settings := filepath.Join(dir, "settings.yaml")
	must(t, os.WriteFile(settings, []byte("post_hooks: []\n"), 0o600)) // formatting takes another program
	output(t, dir, exec.CommandContext(t.Context(), python, "-m", "openapi_python_client", "generate", "--path", document, "--meta", "none",
		"--output-path", "redrive_client", "--config", settings, "--fail-on-warning"))
	return exec.CommandContext(t.Context(), python, "client.py")
}

func typescriptClient(t *testing.T, dir, document string) *exec.Cmd {
	modules := tools.Node(t)
	must(t, os.Symlink(modules, filepath.Join(dir, "node_modules")))
	for _, args := range [][]string{
		{filepath.Join(modules, "openapi-typescript", "bin", "cli.js"), document, "-o", "schema.d.ts"},
		{filepath.Join(modules, "typescript", "bin", "tsc"), "--strict", "--target", "es2022", "--module", "node16", "--skipLibCheck", "--outDir", "out", "client.ts"},
	} {
		output(t, dir, exec.CommandContext(t.Context(), "node", args...))
	}
	return exec.CommandContext(t.Context(), "node", filepath.Join("out", "client.js"))
}

// output is what a program writes; it must end well.
func output(t *testing.T, dir string, cmd *exec.Cmd) []byte {
	t.Helper()
	cmd.Dir, cmd.WaitDelay = dir, 10*time.Second
	cmd.Env = append(os.Environ(), "GOFLAGS=-mod=readonly -trimpath", "GOWORK=off")
	out, err := cmd.Output()
	if err != nil {
		var said []byte
		if exit, ok := err.(*exec.ExitError); ok {
			said = exit.Stderr
		}
		t.Fatalf("%v: %v\n%s\n%s", cmd.Args, err, out, said)
	}
	return out
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}
