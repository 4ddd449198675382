package e2e

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"redrive/internal/cli"
	"redrive/store/embedded"
	"redrive/store/storetest"
)

// A command whose answer is lost has not succeeded, whichever it is.
func TestALostAnswerIsAFailure(t *testing.T) {
	database, data := "--database-url="+storetest.New(t), t.TempDir()
	server := serve(t, strings.Replace(database, "--database-url", "DATABASE_URL", 1), "REDRIVE_DEMO=1", "REDRIVE_DATA_DIR="+data)
	api := []string{"--url=" + server.url, "--token=" + apiToken}
	for _, args := range [][]string{
		{"--help"}, {"--version"}, {"sbom"}, {"failures", "--help"}, {"serve", "--help"}, {"migrate", database}, {"doctor", database, "--data-dir=" + data}, {"audit", "verify", database},
		append([]string{"failures", "list", "--output=json"}, api...), append([]string{"operations", "list", "--output=json"}, api...),
		{"bench", "outbox", "--rows=50", "--rate=100", "--long=200ms", "--database-url=" + storetest.New(t)},
	} {
		var stderr bytes.Buffer
		if code := (cli.Program{}).Run(t.Context(), args, fullDisk{}, &stderr); code != cli.ExitFailed || !strings.Contains(stderr.String(), "no space left on device") {
			t.Errorf("%v: exit code %d, said %q", args, code, &stderr)
		}
	}
}

type fullDisk struct{}

func (fullDisk) Write([]byte) (int, error) { return 0, syscall.ENOSPC }

// createBeside makes a table in the database of a running server, as a producer would who uses it.
func createBeside(t *testing.T, dir, statement string) {
	t.Helper()
	own, err := embedded.Open(t.Context(), embedded.Options{DataDir: dir})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := storetest.Session(t, own.ProgramDSN()).Exec(t.Context(), statement); err != nil {
		t.Fatal(err)
	}
}

// Every command that works on the database does it beside a running server as well, and leaves that one alone.
func TestCommandsBesideARunningServer(t *testing.T) {
	dir, err := storetest.TempDir()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	file := filepath.Join(t.TempDir(), "integrations.yaml")
	if err := os.WriteFile(file, []byte(`integrations:
  - name: nightly
    method: batch
    batch: {schedule: "0 3 * * *", query: SELECT 1 AS n}
    destination: {file: {format: csv, to: {dir: "`+t.TempDir()+`"}}}
  - name: rows
    method: cdc
    cdc: {tables: [{table: public.notes}]}
    destination: {http: {url: "http://127.0.0.1:1"}}
`), 0o600); err != nil {
		t.Fatal(err)
	}
	data, integrations := "REDRIVE_DATA_DIR="+dir, "REDRIVE_CONFIG="+file
	commands := []struct {
		args  []string
		says  string
		audit string // the action that the server shows afterwards
	}{
		{[]string{"migrate"}, "schema version", ""},
		{[]string{"doctor"}, "ok    audit chain", ""},
		{[]string{"audit", "verify"}, "entries fit", ""},
		{[]string{"batch", "run", "nightly", "--reason", "asked for by the partner"}, "of nightly is queued", "batch.run"},
		{[]string{"cdc", "setup", "rows"}, "rows", ""},
		{[]string{"cdc", "resnapshot", "rows", "--reason", "the receiver lost its data"}, "asked for", "integration.resnapshot"},
		{[]string{"outbox", "adopt", "--start", "now"}, "nothing to adopt", ""}, // it has looked
	}
	for _, c := range commands[1:] {
		p := launch(t, c.args, data, integrations)
		if p.wait(); p.cmd.ProcessState.ExitCode() == 0 || !strings.Contains(p.output(), "no database in "+dir) {
			t.Errorf("%v, before there is a database: exit code %d, said %q", c.args, p.cmd.ProcessState.ExitCode(), p.output())
		}
	}
	server := serve(t, data, integrations)
	createBeside(t, dir, "CREATE TABLE public.notes (id bigint PRIMARY KEY)")
	await(t, "the source is set up", func() bool { // by the server itself, which doctor would tell from one that is not yet
		return strings.Contains(fmt.Sprint(server.must("GET", "/api/v1/integrations", nil)), "streaming")
	})
	for _, c := range commands {
		p := launch(t, c.args, data, integrations)
		if p.wait(); (p.cmd.ProcessState.ExitCode() != 0) != (c.args[0] == "outbox") || !strings.Contains(p.output(), c.says) {
			t.Errorf("%v: exit code %d, said %q", c.args, p.cmd.ProcessState.ExitCode(), p.output())
		}
		if c.audit == "" {
			continue
		}
		if items := server.must("GET", "/api/v1/audit?action="+c.audit, nil)["items"].([]any); len(items) == 0 {
			t.Errorf("%v: the server knows nothing of it: %s", c.args, fmt.Sprint(server.must("GET", "/api/v1/audit", nil)))
		}
	}
	if code := server.stop(); code != 0 {
		t.Errorf("exit code %d:\n%s", code, server.output())
	}
}
