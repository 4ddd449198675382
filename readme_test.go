package main

import (
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"redrive/delivery"
)

// block answers the README's code block of a language that contains a text.
func block(t *testing.T, language, containing string) string {
	t.Helper()
	raw, err := os.ReadFile("README.md")
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
	script := strings.NewReplacer("http://127.0.0.1:8080", p.url, "choose-one", apiToken).Replace(block(t, "sh", "curl"))
	out, err := exec.Command("sh", "-ec", script).CombinedOutput()
	if err != nil || !strings.Contains(string(out), `"duplicate":false`) || !strings.Contains(string(out), `"items":[]`) {
		t.Errorf("curl said %s: %v", out, err)
	}
	await(t, "two events, one command by SQL, one by HTTP", func() bool { _, keys := receiver.requests(); return keys == 4 })
}

// examples reads the files in a document as they stand, with more integrations that they name.
func examples(t *testing.T, path, more string) (list []delivery.Integration) {
	t.Helper()
	raw, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"SELLER_SECRET", "RABBITMQ_PASSWORD", "KAFKA_PASSWORD", "SHOP_PASSWORD", "LEDGER_PASSWORD"} {
		t.Setenv(name, "a")
	}
	for _, found := range regexp.MustCompile("(?s)```yaml\n(.*?)```").FindAllSubmatch(raw, -1) {
		path := strings.TrimPrefix(configFile(t, string(found[1])+more), "REDRIVE_CONFIG=")
		if err := os.WriteFile(filepath.Join(filepath.Dir(path), "order.schema.json"), []byte(`{"type": "object"}`), 0o600); err != nil {
			t.Fatal(err)
		}
		file, err := loadFile(path)
		if err != nil {
			t.Fatal(path, err)
		}
		list = append(list, file.Integrations...)
	}
	return list
}

func TestTheExamplesOfTheIntegrationsFile(t *testing.T) {
	examples(t, "docs/cdc.md", "  - {name: billing, method: outbox, destination: {http: {url: \"http://127.0.0.1/\"}}}\n"+
		"  - {name: warehouse, method: outbox, destination: {http: {url: \"http://127.0.0.1/\"}}}\n")
	kinds := map[string]bool{}
	for _, in := range examples(t, "docs/integrations.md", "") {
		kinds[string(in.Method)], kinds[in.Destination.Kind()] = true, true
		if in.Ordered {
			kinds["on_dead "+string(in.OnDead)] = true
		}
	}
	for _, kind := range []string{"outbox", "pool", "broker", "batch", "cdc", "http", "redis", "rabbitmq", "kafka", "file", "table", "on_dead block", "on_dead skip"} {
		if !kinds[kind] {
			t.Errorf("it shows no %s", kind)
		}
	}
}
