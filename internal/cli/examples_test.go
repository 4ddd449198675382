package cli

import (
	"os"
	"path/filepath"
	"regexp"
	"testing"

	"redrive/delivery"
)

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
		path := filepath.Join(t.TempDir(), "integrations.yaml")
		for name, text := range map[string]string{path: string(found[1]) + more, filepath.Join(filepath.Dir(path), "order.schema.json"): `{"type": "object"}`} {
			if err := os.WriteFile(name, []byte(text), 0o600); err != nil {
				t.Fatal(err)
			}
		}
		file, err := loadFile(path, references())
		if err != nil {
			t.Fatal(path, err)
		}
		list = append(list, file.Integrations...)
	}
	return list
}

func TestTheExamplesOfTheIntegrationsFile(t *testing.T) {
	examples(t, "../../docs/cdc.md", "  - {name: billing, method: outbox, destination: {http: {url: \"http://127.0.0.1/\"}}}\n"+
		"  - {name: warehouse, method: outbox, destination: {http: {url: \"http://127.0.0.1/\"}}}\n")
	kinds := map[string]bool{}
	for _, in := range examples(t, "../../docs/integrations.md", "") {
		kinds[string(in.Method)], kinds[in.Destination.Kind()] = true, true
		if in.Ordered {
			kinds["on_dead "+string(in.OnDead)] = true
		}
	}
	for _, kind := range append(delivery.DestinationKinds(), "outbox", "pool", "broker", "batch", "cdc", "on_dead block", "on_dead skip") {
		if !kinds[kind] {
			t.Errorf("it shows no %s", kind)
		}
	}
}
