package e2e

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"redrive/internal/cli"
)

// threeBatches is a configuration with one batch to a directory, one to a table and one to an HTTP endpoint in one piece.
func threeBatches(dir, database, url string) string {
	return fmt.Sprintf(`integrations:
  - name: points
    method: batch
    batch: {schedule: "0 0 1 1 *", query: "SELECT n AS id, 'kim ' || n AS name FROM generate_series(1, 3) n", acknowledgement: {every: 1s}}
    destination: {file: {format: csv, manifest: true, to: {dir: %q}}}
  - name: ledger
    method: batch
    batch: {schedule: "0 0 1 1 *", query: "SELECT n AS id, 'kim ' || n AS name FROM generate_series(1, 3) n"}
    destination: {table: {url: %q, table: public.members, key: [id]}}
  - name: partner
    method: batch
    batch: {schedule: "0 0 1 1 *", query: "SELECT 1 AS id"}
    destination: {http: {url: %q}}
    idempotent: true
`, dir, database, url)
}

// lastFile waits until the newest run of a batch has a file that is delivered.
func (p *program) lastFile(integration string) (file map[string]any) {
	p.t.Helper()
	await(p.t, "a delivered file of "+integration, func() bool {
		runs := p.must("GET", "/api/v1/integrations/"+integration+"/runs?limit=1", nil)["items"].([]any)
		if len(runs) == 0 {
			return false
		}
		run := runs[0].(map[string]any)
		if run["state"] == "failed" {
			p.t.Fatalf("the run failed: %v", run["error"])
		}
		file, _ = run["file"].(map[string]any)
		return file != nil && file["state"] == "delivered"
	})
	return file
}

func TestBatchesFromEndToEnd(t *testing.T) {
	t.Parallel()
	dir, receiver, database := t.TempDir(), newLedger(t), onFreshDatabase(t)
	dsn := strings.TrimPrefix(database, "DATABASE_URL=")
	conn := connect(t, dsn)
	if _, err := conn.Exec(t.Context(), "CREATE TABLE members (id bigint PRIMARY KEY, name text)"); err != nil {
		t.Fatal(err)
	}
	p := serve(t, database, configFile(t, threeBatches(dir, dsn, receiver.URL)))
	for _, name := range []string{"points", "ledger", "partner"} {
		command := launch(t, []string{"batch", "run", name, "--reason", "a test"}, database)
		command.wait()
		if code := command.cmd.ProcessState.ExitCode(); code != 0 || !strings.Contains(command.output(), "is queued") {
			t.Fatalf("batch run %s: %d, %s", name, code, command.output())
		}
	}
	file := p.lastFile("points")
	raw, err := os.ReadFile(filepath.Join(dir, file["name"].(string)))
	if err != nil || string(raw) != "id,name\r\n1,kim 1\r\n2,kim 2\r\n3,kim 3\r\n" {
		t.Errorf("the file holds %q: %v", raw, err)
	}
	if _, err := os.Stat(filepath.Join(dir, file["name"].(string)+".manifest.json")); err != nil {
		t.Error(err)
	}
	p.lastFile("ledger")
	var rows int
	if err := conn.QueryRow(t.Context(), "SELECT count(*) FROM members WHERE name = 'kim ' || id").Scan(&rows); err != nil || rows != 3 {
		t.Errorf("%d rows in the table: %v", rows, err)
	}
	p.lastFile("partner")
	if bodies, _ := receiver.requests(); bodies != 1 {
		t.Errorf("%d calls for one batch", bodies)
	}
	if err := os.WriteFile(filepath.Join(dir, file["name"].(string)+".rej"), []byte("row,reason\n2,no such member\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	var id string
	await(t, "a rejected row", func() bool {
		items := p.must("GET", "/api/v1/failures?error_class=rejected", nil)["items"].([]any)
		if len(items) == 1 {
			id = items[0].(map[string]any)["id"].(string)
		}
		return id != ""
	})
	p.must("POST", "/api/v1/failures/"+id+"/retry", map[string]any{"reason": "corrected"})
	p.awaitState(id, "delivered")
	correction := p.lastFile("points")
	if raw, err := os.ReadFile(filepath.Join(dir, correction["name"].(string))); err != nil || string(raw) != "id,name\r\n2,kim 2\r\n" || correction["correction_of"] != 1.0 {
		t.Errorf("the correction %v holds %q: %v", correction, raw, err)
	}
	for _, wrong := range [][]string{{"batch", "run", "nobody"}, {"batch", "run", "points", "--date", "tomorrow"}} {
		p := launch(t, wrong, database)
		p.wait()
		if code := p.cmd.ProcessState.ExitCode(); code != cli.ExitUsage {
			t.Errorf("%v: exit code %d", wrong, code)
		}
	}
}
