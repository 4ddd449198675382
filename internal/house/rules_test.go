package house

import (
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"
)

// A rule stands once, in delivery. copies are the shapes in which a second one would come back, as the text of a string literal.
var copies = []struct {
	what, instead string
	shape         *regexp.Regexp
}{
	{"the shape of a UUID", "delivery.IsUUID", regexp.MustCompile(`\[0-9a-f(A-F)?\]\{8\}.*\{(4|12)\}|x{8}-x{4}-`)},
	{"the shape of an integration's name", "delivery.IsName", regexp.MustCompile(`\[a-z0-9-\]\{1,63\}`)},
	{"the shape of a slot's name", "delivery.IsSlotName", regexp.MustCompile(`\[a-z0-9_\]\{1,63\}`)},
	{"the shape of a header's name", "delivery.IsHeaderName", regexp.MustCompile(`!#\$%&'\*\+`)},
	{"the shape of an attribute's name", "delivery.IsAttributeName", regexp.MustCompile(`\^\[a-z0-9\]\+\$`)},
	{"the names of credentials", "delivery.IsCredential", regexp.MustCompile(`(?s)cookie.*token|token.*cookie`)},
	{"the shape of a person's or a token's name", "Check of delivery.Operator and delivery.Token", regexp.MustCompile(`\^\[\\p\{L\}\\p\{N\}\]\[\\p`)},
	{"the shape of a number of JSON", "delivery.PathValue", regexp.MustCompile(`\[1-9\]\[0-9\].*\\\.`)},
	{"which content types are JSON", "delivery.IsJSON", regexp.MustCompile(`text/json`)},
	{"the prefix of a CloudEvent's headers", "delivery.EventPrefix", regexp.MustCompile(`^ce-$`)},
	{"the categories of an ignore", "delivery.IgnoreCategories", regexp.MustCompile(`test-data.*accepted-loss`)},
	{"the largest payload", "delivery.PayloadLimit", regexp.MustCompile(`10 MiB`)},
}

// lists are words of which many side by side are a list that delivery has.
var lists = map[string][]string{
	"delivery.Methods":       {"MethodPool", "MethodBroker", "MethodOutbox", "MethodBatch", "MethodCDC", "pool", "broker", "outbox", "batch", "cdc"},
	"delivery.UnsureClasses": {"ClassTimeout", "ClassConnectionLost", "ClassLeaseLost", "ClassPoison"},
	"delivery.Roles": {"RoleViewer", "RoleOnCall", "RoleOperator", "RoleReviewer", "RoleAuditor", "RoleAdmin",
		"viewer", "on-call", "operator", "reviewer", "auditor", "admin"},
	"delivery.States": {"StatePending", "StateSending", "StateDelivered", "StateDead", "StateIgnored", "StateResolved",
		"pending", "sending", "delivered", "dead", "ignored", "resolved"},
	"delivery.MissingAttribute": {"specversion", "id", "source", "type", "time"},
	"delivery.SearchValues":     {"acknowledged", "unacknowledged"},
	"delivery.IgnoreCategories": {"duplicate", "test-data", "obsolete", "receiver-bug", "producer-bug", "accepted-loss"},
}

// maskers may read what an integration masks, or mask by paths; everybody else asks delivery.Masks.
var maskers = []string{"delivery/config/", "store/integrations/integrations.go", "views/integration.go"}

func TestRulesStandOnce(t *testing.T) {
	files := 0
	err := filepath.WalkDir(root, func(path string, d fs.DirEntry, err error) error {
		path, _ = filepath.Rel(root, path)
		switch {
		case err != nil:
			return err
		case d.IsDir() && path != "." && (strings.HasPrefix(d.Name(), ".") || d.Name() == "data" || d.Name() == "node_modules" || d.Name() == "bench" || d.Name() == "house" || d.Name() == "testdata"):
			return filepath.SkipDir
		case strings.HasSuffix(path, ".templ"):
			return checkForm(t, path)
		case !strings.HasSuffix(path, ".go") || strings.HasSuffix(path, "_test.go") || strings.HasSuffix(path, "_templ.go") || filepath.Dir(path) == "delivery":
			return nil
		}
		files++
		return checkRules(t, filepath.ToSlash(path))
	})
	if err != nil || files < 200 {
		t.Fatalf("%d files: %v", files, err)
	}
}

func checkRules(t *testing.T, path string) error {
	positions := token.NewFileSet()
	file, err := parser.ParseFile(positions, filepath.Join(root, path), nil, 0)
	if err != nil {
		return err
	}
	ast.Inspect(file, func(n ast.Node) bool {
		switch n := n.(type) {
		case *ast.BasicLit:
			if text, err := strconv.Unquote(n.Value); n.Kind == token.STRING && err == nil {
				for _, c := range copies {
					if c.shape.MatchString(text) {
						t.Errorf("%s: %s stands here once more: use %s", positions.Position(n.Pos()), c.what, c.instead)
					}
				}
			}
		case *ast.CompositeLit:
			for list, words := range lists {
				if named(n.Elts, words) >= min(4, len(words)/2+1) {
					t.Errorf("%s: %s stands here once more", positions.Position(n.Pos()), list)
				}
			}
		case *ast.BinaryExpr:
			if isNumber(n.X, "10") && n.Op == token.SHL && isNumber(n.Y, "20") {
				t.Errorf("%s: the largest payload stands here once more: use delivery.MaxPayload", positions.Position(n.Pos()))
			}
		case *ast.SelectorExpr:
			of, _ := n.X.(*ast.Ident)
			masks := n.Sel.Name == "Mask" || of != nil && of.Name == "delivery" && n.Sel.Name == "MaskedValues"
			if masks && !strings.HasPrefix(path, maskers[0]) && path != maskers[1] && path != maskers[2] {
				t.Errorf("%s: what is masked is decided by delivery.Masks", positions.Position(n.Pos()))
			}
		}
		return true
	})
	return nil
}

// named counts the elements of a list that are one of words.
func named(elements []ast.Expr, words []string) (n int) {
	seen := map[string]bool{}
	for _, e := range elements {
		word := ""
		switch e := e.(type) {
		case *ast.SelectorExpr:
			word = e.Sel.Name
		case *ast.BasicLit:
			word, _ = strconv.Unquote(e.Value)
		}
		for _, known := range words {
			if word == known {
				seen[word] = true
			}
		}
	}
	return len(seen)
}

func isNumber(e ast.Expr, text string) bool {
	literal, ok := e.(*ast.BasicLit)
	return ok && literal.Value == text
}

// limitWritten is the length of a field of a form, as a number.
var limitWritten = regexp.MustCompile(`maxlength="([0-9]+)"|longField\(.*, ([0-9]+)\)`)

func checkForm(t *testing.T, path string) error {
	text, err := os.ReadFile(filepath.Join(root, path))
	for _, found := range limitWritten.FindAllStringSubmatch(string(text), -1) {
		t.Errorf("%s: %s: use the constant of delivery", path, found[0])
	}
	return err
}
