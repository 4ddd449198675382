package house

import (
	"go/ast"
	"go/parser"
	"go/token"
	"os"
	"path"
	"path/filepath"
	"strings"
	"testing"
)

// Rows are scanned by the names of their columns (pg.Scan). Why a file reads some by position (pg.Read): docs/decisions/no-orm-models.md.
const (
	hot   = "acceptance, claims, outcomes, the relay, lists, the search index, decisions on sets: with each message or many rows at a time"
	noun  = "a noun of delivery with maps, lists or nouns in it, which gorm scans by tags only; its columns stand once, beside its pointers"
	chain = "an entry of the audit chain as its hash is calculated: also read without gorm, one after the other"
)

// byPosition are those files; a query of one column needs no name (pg.Single).
var byPosition = map[string]string{
	"store/audit/audit.go":       chain,
	"store/audit/read.go":        chain,
	"store/audit/bulk.go":        hot,
	"store/batch/answers.go":     noun,
	"store/batch/batch.go":       noun,
	"store/batch/runs.go":        noun,
	"store/capture/capture.go":   noun,
	"store/approve/ask.go":       noun,
	"store/approve/read.go":      noun,
	"store/desk/cases.go":        noun,
	"store/desk/decide.go":       hot,
	"store/desk/detail.go":       chain,
	"store/desk/edits.go":        noun,
	"store/find/groups.go":       noun,
	"store/find/lists_drive.go":  hot,
	"store/find/lists_walk.go":   hot,
	"store/ignore/ends.go":       chain,
	"store/ignore/match.go":      hot,
	"store/ignore/preview.go":    hot,
	"store/ignore/rules.go":      noun,
	"store/ignore/swallow.go":    hot,
	"store/index/index.go":       hot,
	"store/people/operators.go":  noun,
	"store/people/provided.go":   noun,
	"store/people/sessions.go":   hot, // asked with each request
	"store/people/tokens.go":     hot, // the same
	"store/queue/accept.go":      hot,
	"store/queue/claim.go":       hot,
	"store/queue/complete.go":    hot,
	"store/queue/give_up.go":     hot,
	"store/queue/group_bound.go": hot,
	"store/queue/keys.go":        hot,
	"store/queue/park.go":        hot,
	"store/queue/relay.go":       hot,
	"store/queue/remask.go":      noun,
	"store/record/failures.go":   hot,
	"store/record/masks.go":      noun,
	"store/subjects/reveal.go":   noun,
}

func TestRowsAreReadByNames(t *testing.T) {
	found := map[string]int{}
	eachFile(t, []string{"store/storetest", "internal/bench"}, func(name string) error {
		if !strings.HasPrefix(name, "store/") || path.Dir(name) == "store/pg" {
			return nil
		}
		source, err := os.ReadFile(filepath.Join(root, name))
		if err != nil {
			return err
		}
		found[name], err = positional(name, source)
		if found[name] > 0 && byPosition[name] == "" {
			t.Errorf("%s reads rows by position: use pg.Scan, or say why not", name)
		}
		return err
	})
	for name := range byPosition {
		if found[name] == 0 {
			t.Errorf("%s reads nothing by position: take it off the list", name)
		}
	}
}

// positional counts the reads by position of more than one column.
func positional(name string, source any) (n int, err error) {
	file, err := parser.ParseFile(token.NewFileSet(), name, source, 0)
	if err != nil {
		return 0, err
	}
	ast.Inspect(file, func(node ast.Node) bool {
		if call, ok := node.(*ast.CallExpr); ok && len(call.Args) > 1 {
			read := callee(call.Fun) == "pg.Read" || callee(call.Fun) == "pg.ReadOne"
			if one, is := call.Args[1].(*ast.IndexExpr); read && !(is && callee(one.X) == "pg.Single") {
				n++
			}
		}
		return true
	})
	return n, nil
}

func TestTheRuleOfReads(t *testing.T) {
	for code, want := range map[string]int{
		`pg.Read(tx, func(r *row) []any { return []any{&r.a, &r.b} }, sql)`: 1,
		`pg.ReadOne(tx, columns, sql)`:                                      1,
		`pg.Read(tx, pg.Single[string], sql)`:                               0,
		`pg.Scan[row](tx, sql)`:                                             0,
	} {
		if n, err := positional("sample.go", "package p\nfunc f() {\n"+code+"\n}"); n != want || err != nil {
			t.Errorf("%s: %d, %v", code, n, err)
		}
	}
}
