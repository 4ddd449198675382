package house

import (
	"go/ast"
	"go/parser"
	"go/token"
	"maps"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// writers says which room of the store may write which table of schema redrive: its rows or the table itself.
var writers = map[string][]string{
	"store/approve":      {"approval_items", "approvals"},
	"store/audit":        {"audit"},
	"store/batch":        {"batch_acknowledgements", "batch_feeds", "batch_files", "batch_parts", "batch_rows", "batch_runs", "deliveries"},
	"store/capture":      {"capture_gaps", "captures"},
	"store/desk":         {"cases", "deliveries", "edits", "failure_details", "form_tokens", "group_retries", "notes", "operation_deltas", "operation_items", "operation_parts", "operations", "settlements"},
	"store/find":         {"counting", "group_counts", "group_deltas", "group_hours", "group_sum_hours"},
	"store/index":        {"search", "unindexed"},
	"store/integrations": {"gaps", "health", "integrations", "listeners", "source_members", "source_positions", "source_topics"},
	"store/notary":       {"audit_checkpoints", "audit_cosignatures", "audit_gone", "audit_keys", "audit_places", "audit_tiles"},
	"store/people":       {"api_tokens", "challenges", "grants", "looks", "operators", "passkeys", "places", "recovery_codes", "saved_views", "sessions", "token_secrets", "token_uses", "totp"},
	"store/queue": {"attempts", "deliveries", "edits", "failure_details", "groups", "hourly", "idempotency_keys", "inbox", "lanes", "messages",
		"positions", "queue", "remasking", "reused_keys"},
	"store/ignore":   {"ignore_ends", "ignore_rule_hours", "ignore_rules"},
	"store/subjects": {"reveals", "subject_keys"},
	"store/vault":    {"data_keys", "secrets"},
}

// shared says why a table has more than one writer.
var shared = map[string]string{
	"deliveries":      "queue records outcomes, desk what people decide, batch that the correction file of a dead row arrived after all",
	"edits":           "desk makes them, and retention drops their content with the messages of the same day",
	"failure_details": "queue writes the error, desk what was decided about it",
}

// byTheDatabase are tables that no room writes.
var byTheDatabase = map[string]string{
	"actors":            "triggers of operators and api_tokens keep what each id is called",
	"audit_head":        "the trigger of audit chains the entries",
	"earlier_producers": "whether producers may be there who pass bytea is noted by the migration that added text",
	"sign_in_key":       "made by the migration, and the same for all processes",
	"group_sums":        "triggers of group_counts add its groups up",
	"schema_version":    "the library that runs the migrations counts them",
}

// forPeople are files whose SQL is advice in a sentence.
var forPeople = []string{"views/words/english.go", "views/words/korean_sources.go", "store/doctor/doctor.go"}

var (
	// written finds what a statement changes. A name that is put in later is "…".
	written = regexp.MustCompile(`(?i)\b(?:INSERT\s+INTO|UPDATE|DELETE\s+FROM|MERGE\s+INTO|TRUNCATE(?:\s+TABLE)?|COPY|(?:ALTER|DROP|CREATE)\s+TABLE(?:\s+IF(?:\s+NOT)?\s+EXISTS)?)\s+(?:ONLY\s+)?redrive\.("?[a-z_]+"?|…|%s)`)
	created = regexp.MustCompile(`(?m)^CREATE (?:UNLOGGED )?TABLE redrive\.([a-z_]+) `)
)

func TestEachTableHasItsRooms(t *testing.T) {
	found := writes(t)
	rooms := map[string][]string{}
	for _, room := range slices.Sorted(maps.Keys(writers)) {
		for _, table := range writers[room] {
			rooms[table] = append(rooms[table], room)
			if len(found[table][room]) == 0 {
				t.Errorf("%s may write %s and does not: take it off the list", room, table)
			}
		}
	}
	for table, places := range found {
		for room, at := range places {
			if !slices.Contains(writers[room], table) {
				t.Errorf("%s must not write %s, which %v may: %v", room, table, rooms[table], at)
			}
		}
		if several := len(rooms[table]) > 1; several != (shared[table] != "") {
			t.Errorf("%s is written by %v: why stands in shared %v", table, rooms[table], !several)
		}
	}
	for _, table := range tables(t) {
		if len(rooms[table]) == 0 == (byTheDatabase[table] == "") {
			t.Errorf("%s belongs to %v, and to the database alone: %q", table, rooms[table], byTheDatabase[table])
		}
	}
}

// The rules see what they are to see: a statement in pieces, in any case and layout, and a name that comes later.
func TestWritesAreSeen(t *testing.T) {
	const source = "package p\nvar a = \"WITH x AS (insert\\n into \" + `redrive.one (id)) UPDATE redrive.two SET a = 1` + f()\n" +
		"var b = g(`DELETE FROM ONLY redrive.three`, \"DROP TABLE redrive.\" + day, `ON CONFLICT DO UPDATE SET x = 1 FROM redrive.four FOR UPDATE OF d`)\n"
	file, err := parser.ParseFile(token.NewFileSet(), "p.go", source, 0)
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, text := range texts(file) {
		for _, match := range written.FindAllStringSubmatch(text, -1) {
			got = append(got, match[1])
		}
	}
	if slices.Sort(got); strings.Join(got, " ") != "one three two …" {
		t.Errorf("found %q", got)
	}
}

// past is the room that fills all tables at once with what had happened: times of the past are none that the rooms of the tables give. It
// writes into a database in which nothing has happened only, and a test checks that what it wrote fits together.
const past = "store/seed"

// writes returns where which room writes which table: table, room, places. Measurements make data of their own, and tests do too.
func writes(t *testing.T) map[string]map[string][]string {
	t.Helper()
	found := map[string]map[string][]string{}
	eachFile(t, []string{"internal/bench", "store/storetest", past}, func(path string) error {
		if slices.Contains(forPeople, path) {
			return nil
		}
		set := token.NewFileSet()
		file, err := parser.ParseFile(set, filepath.Join(root, path), nil, parser.SkipObjectResolution)
		if err != nil {
			return err
		}
		for at, text := range texts(file) {
			for _, match := range written.FindAllStringSubmatch(text, -1) {
				table := strings.TrimSuffix(strings.Trim(match[1], `"`), "_default")
				if found[table] == nil {
					found[table] = map[string][]string{}
				}
				room := filepath.ToSlash(filepath.Dir(path))
				found[table][room] = append(found[table][room], set.Position(at).String())
			}
		}
		return nil
	})
	return found
}

// tables returns those of the schema.
func tables(t *testing.T) (names []string) {
	t.Helper()
	raw, err := os.ReadFile(filepath.Join(root, "migrations", "schema.sql"))
	for _, match := range created.FindAllStringSubmatch(string(raw), -1) {
		names = append(names, match[1])
	}
	if err != nil || len(names) < 30 {
		t.Fatalf("%d tables: %v", len(names), err)
	}
	return names
}

// texts returns the string literals of a file; what is joined by + is one text.
func texts(file *ast.File) map[token.Pos]string {
	found := map[token.Pos]string{}
	ast.Inspect(file, func(n ast.Node) bool {
		expression, ok := n.(ast.Expr)
		if !ok {
			return true
		}
		text, literal := joined(expression)
		if literal {
			found[expression.Pos()] = text
		}
		return !literal
	})
	return found
}
