// Package house tests the habits of the code: which package may import which, and what lies where.
package house

import (
	"bytes"
	"go/parser"
	"go/token"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
)

// root is where the module begins.
const root = "../.."

// allowed says which of our own packages a package may import: itself and its sub-packages need no mention.
var allowed = map[string][]string{
	"delivery": {}, "delivery/config": {"delivery", "delivery/batch/schedule", "delivery/schema", "delivery/form", "delivery/kinds", "delivery/programs", "delivery/send"}, "delivery/engine": {"delivery"}, "delivery/wire": {"delivery"}, "delivery/send": {"delivery", "delivery/form", "delivery/wire"},
	"delivery/pool": {"delivery"}, "delivery/broker": {"delivery", "delivery/form", "delivery/wire"}, "delivery/outbox": {"delivery"}, "delivery/cdc": {"delivery", "delivery/progress"},
	"delivery/batch":      {"delivery", "delivery/progress"},
	"delivery/ledger":     {"delivery"},
	"delivery/rooms":      {"delivery"},
	"delivery/form":       {"delivery", "delivery/wire"},
	"delivery/kinds":      {"delivery", "delivery/form", "delivery/broker", "delivery/send"},
	"delivery/health":     {"delivery"},
	"delivery/operations": {"delivery"}, "delivery/search": {"delivery"},
	"handlers": {"delivery", "views", "static"}, "views": {"delivery", "static"}, "static": {}, "migrations": {}, "docs": {},
	"handlers/web": {"delivery", "views"}, "handlers/api": {"delivery", "views/words", "handlers/web"},
	"handlers/console": {"delivery", "views", "static", "handlers/web"},
	"internal/bench":   {"delivery", "store"},
	"internal/cli":     {"delivery", "demo", "docs", "handlers", "internal/bench", "internal/supply", "store", "views/words"}, "internal/cli/client": {"delivery", "views/words"},

	"internal/supply": {"store/embedded"},

	"store": {"delivery", "migrations"}, "store/pg": {"delivery", "migrations", "store/session"}, "store/sqltext": {},
	"store/audit": {"delivery", "store/pg"}, "store/ignore": {"delivery", "store/pg", "store/audit", "store/approve", "store/record"}, "store/people": {"delivery", "store/pg", "store/audit", "store/vault"},
	"store/vault": {"delivery", "store/pg", "store/audit"}, "delivery/seal": {},
	"store/notary": {"delivery", "store/pg", "store/audit", "store/vault"},
	"store/index":  {"delivery", "store/pg", "store/record"}, "store/record": {"delivery", "store/pg"},
	"store/queue":        {"delivery", "store/pg", "store/audit", "store/record", "store/ignore"},
	"store/find":         {"delivery", "store/pg", "store/record", "store/ignore"},
	"store/approve":      {"delivery", "store/pg", "store/audit"},
	"store/desk":         {"delivery", "store/pg", "store/audit", "store/approve", "store/record", "store/queue", "store/find", "store/ignore"},
	"store/batch":        {"delivery", "store/pg", "store/audit", "store/approve", "store/record", "store/queue", "store/sqltext", "store/session"},
	"store/capture":      {"delivery", "store/pg", "store/audit", "store/approve", "store/record", "store/queue"},
	"store/integrations": {"delivery", "store/pg", "store/audit", "store/record", "store/index", "store/queue", "store/find", "store/sqltext", "store/ignore"},
	"store/session":      {"delivery"}, "store/embedded": {"delivery/programs", "delivery/scratch", "store/pg"}, "delivery/programs": {}, "delivery/scratch": {}, "delivery/progress": {},
	"delivery/past": {"delivery"}, "store/seed": {"delivery", "store/pg", "store/audit", "store/queue", "store/ignore"},
	"store/source": {"delivery", "store/session"}, "demo": {"delivery"},
}

// onlyIn names the one room of each library that must not spread.
var onlyIn = map[string][]string{
	"github.com/labstack/echo/v4": {"handlers"},
	"gorm.io/":                    {"store"},
	"github.com/a-h/templ":        {"handlers", "views"},

	"github.com/rabbitmq/amqp091-go": {"delivery/wire", "delivery/send/rabbitmq", "delivery/broker", "demo"},
	"github.com/redis/go-redis/v9":   {"delivery/wire", "delivery/send/redis", "delivery/broker", "demo"},
	"github.com/twmb/franz-go":       {"delivery/wire", "delivery/send/kafka", "delivery/broker", "demo"},
	"github.com/jackc/pglogrepl":     {"store/source"},
	"github.com/expr-lang/expr":      {"delivery/cdc"},
	"github.com/pkg/sftp":            {"delivery/send/file"},
	"github.com/coreos/go-oidc":      {"handlers/web/sso"},
	"github.com/go-jose/":            {"handlers/web/sso"},
	"github.com/go-webauthn/":        {"handlers/web/passkey"},
	"github.com/santhosh-tekuri/":    {"delivery/schema"},
	"github.com/robfig/cron":         {"delivery/batch"},
	"github.com/Shopify/toxiproxy":   {},
	"golang.org/x/mod":               {"delivery/ledger", "store/notary"},
}

// onlyTests are packages for tests: the program must not carry them.
var onlyTests = []string{"store/storetest", "delivery/send/sendtest", "delivery/wire/amqptest", "handlers/web/sso/ssotest"}

// The top level is what a newcomer sees first: packages of the product, and what is ours alone in internal.
func TestTheTopLevelStaysSmall(t *testing.T) {
	wanted := []string{"delivery", "demo", "docs", "handlers", "internal", "main.go", "migrations", "static", "store", "views"}
	entries, err := os.ReadDir(root)
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range entries {
		ignored := strings.HasPrefix(e.Name(), ".") || slices.Contains([]string{"bin", "data", "node_modules"}, e.Name()) // by git
		if (e.IsDir() || filepath.Ext(e.Name()) == ".go") && !ignored && !slices.Contains(wanted, e.Name()) {
			t.Errorf("%s lies at the top level: it has a place in %v", e.Name(), wanted)
		}
	}
}

// main.go makes the rooms and connects them; what grows there is work that a package could do.
func TestMainOnlyWires(t *testing.T) {
	raw, err := os.ReadFile(filepath.Join(root, "main.go"))
	if lines := bytes.Count(raw, []byte("\n")); err != nil || lines >= 350 {
		t.Errorf("main.go has %d lines: %v", lines, err)
	}
}

// What the linters are to pass over stands in .golangci.yaml, with its reason.
func TestNoExceptionFromTheLintersHidesInTheCode(t *testing.T) {
	eachFile(t, nil, func(path string) error {
		raw, err := os.ReadFile(filepath.Join(root, path))
		if bytes.Contains(raw, []byte("//"+"nolint")) {
			t.Errorf("%s asks the linters to look away", path)
		}
		return err
	})
}

func TestImportsPointOneWay(t *testing.T) {
	checked := 0
	eachFile(t, []string{"internal/bench/river", "store/storetest"}, func(path string) error {
		if path == "main.go" {
			return nil
		}
		file, err := parser.ParseFile(token.NewFileSet(), filepath.Join(root, path), nil, parser.ImportsOnly)
		if err != nil {
			return err
		}
		for _, spec := range file.Imports {
			imported, _ := strconv.Unquote(spec.Path.Value)
			checkImport(t, path, imported)
			if imported == "unsafe" || imported == "C" {
				t.Errorf("%s imports %s: memory is Go's to look after", path, imported)
			}
			checked++
		}
		return nil
	})
	if checked < 50 {
		t.Fatalf("%d imports checked", checked)
	}
}

// eachFile visits the sources that are no tests, by their path from the root, but for those in some folders.
func eachFile(t *testing.T, except []string, visit func(path string) error) {
	t.Helper()
	files := 0
	err := filepath.WalkDir(root, func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		path, err = filepath.Rel(root, path)
		path = filepath.ToSlash(path)
		switch {
		case err != nil:
			return err
		case d.IsDir() && path != "." && (strings.HasPrefix(d.Name(), ".") || d.Name() == "data" || d.Name() == "node_modules" || slices.Contains(except, path)):
			return filepath.SkipDir
		case d.IsDir() || !strings.HasSuffix(path, ".go") || strings.HasSuffix(path, "_test.go"):
			return nil
		}
		files++
		return visit(path)
	})
	if err != nil || files < 100 {
		t.Fatalf("%d files read: %v", files, err)
	}
}

func checkImport(t *testing.T, path, imported string) {
	t.Helper()
	room := path[:max(strings.LastIndex(path, "/"), 0)]
	if own, ok := strings.CutPrefix(imported, "redrive/"); ok && (!reaches(room, own) || within(own, onlyTests)) {
		t.Errorf("%s must not import %s", path, imported)
	}
	if room == "delivery" && strings.Contains(strings.SplitN(imported, "/", 2)[0], ".") {
		t.Errorf("%s imports %s: the domain uses the standard library only", path, imported)
	}
	for library, rooms := range onlyIn {
		if strings.HasPrefix(imported, library) && !within(room, rooms) {
			t.Errorf("%s imports %s, which belongs to %v", path, imported, rooms)
		}
	}
}

// reaches reports whether room may import own: by the longest entry of the table that room lies in.
func reaches(room, own string) bool {
	for at := room; at != ""; at = at[:max(strings.LastIndex(at, "/"), 0)] {
		if list, ok := allowed[at]; ok {
			return within(own, append([]string{at}, list...))
		}
	}
	return false
}

func within(room string, rooms []string) bool {
	for _, r := range rooms {
		if room == r || strings.HasPrefix(room, r+"/") {
			return true
		}
	}
	return false
}
