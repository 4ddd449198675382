package config

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

const desk = `ticket_url: "https://tracker.example/browse/{ticket}"
integrations:
  - name: plain
    method: outbox
    destination: {http: {url: "https://example.test/x"}}
    schema: order.json
`

// beside writes files into one directory and returns the path of the integrations file there.
func beside(t *testing.T, files map[string]string) string {
	t.Helper()
	dir := t.TempDir()
	for name, content := range files {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return filepath.Join(dir, "f.yaml")
}

func TestASchemaIsReadBesideTheFile(t *testing.T) {
	f, err := Load(beside(t, map[string]string{"f.yaml": desk, "order.json": `{"required": ["id"]}`}), &References{Env: lookup})
	if err != nil {
		t.Fatal(err)
	}
	check := f.Checks()["plain"]
	if check == nil || len(check([]byte(`{"id":1}`))) != 0 || strings.Join(check([]byte(`{}`)), "") != `$: lacks "id"` {
		t.Errorf("checks %v", f.Checks())
	}
	if f.TicketURL != "https://tracker.example/browse/{ticket}" {
		t.Errorf("tickets at %q", f.TicketURL)
	}
}

func TestMistakesOfSchemasAndTickets(t *testing.T) {
	for _, tc := range []struct{ change, to, schema, want string }{
		{"order.json", "none.json", "{}", "line 6: schema: none.json cannot be read: no such file"},
		{"order.json", ".", "{}", "line 6: schema: . cannot be read: it is no file"},
		{"", "", `{"type": "intger"}`, "line 6: schema: order.json: it is no schema: $.type:"},
		{"", "", `{"$ref": "http://127.0.0.1:1/x"}`, "line 6: schema: order.json: it refers to http://127.0.0.1:1/x"},
		{"", "", strings.Repeat(" ", maxSchema+1), "line 6: schema: order.json cannot be read: it has more than 1 MiB"},
		{"/{ticket}", "", "{}", "line 1: ticket_url: \"https://tracker.example/browse\" has no {ticket}"},
		{"https:", "ftp:", "{}", "line 1: ticket_url: \"ftp:"},
		{"tracker.example", "{ticket}.example", "{}", "line 1: ticket_url:"},
		{"https://tracker.example", "", "{}", "line 1: ticket_url:"},
		{"https://", "javascript:", "{}", "line 1: ticket_url:"},
	} {
		text := desk
		if tc.change != "" {
			text = strings.Replace(desk, tc.change, tc.to, 1)
		}
		_, err := Load(beside(t, map[string]string{"f.yaml": text, "order.json": tc.schema}), &References{Env: lookup})
		if err == nil || !strings.Contains(err.Error(), tc.want) {
			t.Errorf("%s -> %s: %v, want %s", tc.change, tc.to, err, tc.want)
		}
	}
}
