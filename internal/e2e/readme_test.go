package e2e

import (
	"os"
	"os/exec"
	"regexp"
	"strings"
	"testing"
)

// block returns the README's code block of a language that contains a text.
func block(t *testing.T, language, containing string) string {
	t.Helper()
	raw, err := os.ReadFile("../../README.md")
	if err != nil {
		t.Fatal(err)
	}
	for _, found := range regexp.MustCompile("(?s)```"+language+"\n(.*?)```").FindAllStringSubmatch(string(raw), -1) {
		if strings.Contains(found[1], containing) {
			return found[1]
		}
	}
	t.Fatalf("the README has no %s block with %q", language, containing)
	return ""
}

// The README's file, SQL and curl lines, run as they stand.
func TestTheExamplesOfTheREADME(t *testing.T) {
	receiver := newLedger(t)
	database := onFreshDatabase(t)
	p := serve(t, database, configFile(t, strings.Replace(block(t, "yaml", "integrations:"), "http://127.0.0.1:9000", receiver.URL, 1)))
	conn := connect(t, strings.TrimPrefix(database, "DATABASE_URL="))
	for range 2 { // the idempotency key makes the command one
		if _, err := conn.Exec(t.Context(), block(t, "sql", "redrive.enqueue")); err != nil {
			t.Fatal(err)
		}
	}
	const written = `{"order": 4711, "note": "said \"yes\"", "path": "C:\\temp"}`
	var kept string
	if err := conn.QueryRow(t.Context(), "SELECT convert_from(payload, 'UTF8') FROM redrive.messages WHERE key = 'order-4711' LIMIT 1").Scan(&kept); err != nil || kept != written {
		t.Errorf("%q was kept: %v", kept, err)
	}
	script := strings.NewReplacer("http://127.0.0.1:8080", p.url, "$TOKEN", apiToken).Replace(block(t, "sh", "curl"))
	out, err := exec.Command("sh", "-ec", script).CombinedOutput()
	if err != nil || !strings.Contains(string(out), `"duplicate":false`) || !strings.Contains(string(out), `"items":[]`) {
		t.Errorf("curl said %s: %v", out, err)
	}
	await(t, "two events, one command by SQL, one by HTTP", func() bool { _, keys := receiver.requests(); return keys == 4 })
}
