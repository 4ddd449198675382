package house

import (
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
)

// What people read is said in the views: below them there are keys of the catalogue (views/words) and arguments. These packages are not
// asked: what they say is read at the terminal of whoever starts or checks the program, and never on a page.
var terminal = map[string]string{
	"store/doctor":    "prints the findings of redrive doctor",
	"store/embedded":  "errors of starting the private Postgres",
	"store/session":   "errors of connecting, with what to change in the address",
	"store/source":    "errors and findings of setting up a source; while it runs they are errors of the source, which are text (docs/decisions/errors-are-text.md)",
	"store/storetest": "tests",
	"store/table":     "errors of attempts, which are text (docs/decisions/errors-are-text.md)",
	"store/sqltext":   "errors of a batch's query, which are text, and stop the start",
}

// terminalFiles are single files of the kind.
var terminalFiles = []string{
	"store/audit/verify.go", // what redrive audit verify prints
}

// speechless are calls whose texts are for the log or for programs.
var speechless = regexp.MustCompile(`^(errors\.New|fmt\.Errorf|panic|progress\.Begin|prometheus\.NewDesc|(.*\.)?(Debug|Info|Warn|Error|Log)(Context)?)$`)

var (
	plainWord = regexp.MustCompile(`^["(]?(A|[A-Z]?[a-z]+('[a-z]+)?)["):;.?!]*,?$`)
	keyword   = regexp.MustCompile(`\b(SELECT|INSERT|UPDATE|DELETE|FROM|WHERE|WITH|JOIN|SET|LOCK TABLE|CREATE|DROP|ALTER|CASE|ORDER BY|NULL|AND)\b`)
	lockName  = regexp.MustCompile(`hashtextextended\('[^']*'`)
	quoted    = regexp.MustCompile(`'(?:[^']|'')*'`)
	closed    = regexp.MustCompile(`^[A-Z][a-z ].*[a-z)"…][.?!]$`)
)

// saidIn is the part of a text that says something to a person: three words that follow each other and are no list, or a single word
// like "Kept." Of SQL it looks at the texts in quotes, where two words are enough, or one that waits for another one beside it.
func saidIn(text string) string {
	if !keyword.MatchString(text) {
		if isSentence(text) {
			return text
		}
		return ""
	}
	for _, q := range quoted.FindAllString(lockName.ReplaceAllString(text, ""), -1) {
		q = q[1 : len(q)-1]
		words := strings.Fields(q)
		if strings.Contains(q, " ") && len(words) > 0 && !slices.ContainsFunc(words, func(w string) bool { return !plainWord.MatchString(w) }) {
			return q
		}
	}
	return ""
}

func isSentence(text string) bool {
	if closed.MatchString(text) && !strings.ContainsAny(text, "/<=") {
		return true
	}
	run, gaps := 0, 0
	for _, w := range strings.Fields(text) {
		if strings.ContainsAny(w, "%…") { // something stands here
			continue
		}
		if !plainWord.MatchString(w) {
			run, gaps = 0, 0
			continue
		}
		if run++; run >= 3 && gaps >= 2 {
			return true
		}
		if !strings.HasSuffix(w, ",") {
			gaps++
		}
	}
	return false
}

// sentencesOf are the sentences in a file, each with its line.
func sentencesOf(name string, source any) (found []string, err error) {
	files := token.NewFileSet()
	file, err := parser.ParseFile(files, name, source, 0)
	if err != nil {
		return nil, err
	}
	note := func(n ast.Node, text string) {
		if said := saidIn(text); said != "" {
			found = append(found, files.Position(n.Pos()).String()+": "+strconv.Quote(said))
		}
	}
	ast.Inspect(file, func(n ast.Node) bool {
		switch n := n.(type) {
		case *ast.ImportSpec:
			return false
		case *ast.Field:
			n.Tag = nil
		case *ast.CompositeLit: // an error with the other side's words
			return callee(n.Type) != "delivery.SaidError"
		case *ast.KeyValueExpr: // of metrics
			if key, ok := n.Key.(*ast.Ident); ok && key.Name == "Help" {
				return false
			}
		case *ast.CallExpr:
			return !speechless.MatchString(callee(n.Fun))
		case *ast.BinaryExpr:
			text, ok := joined(n)
			note(n, text)
			return !ok
		case *ast.BasicLit:
			if text, err := strconv.Unquote(n.Value); err == nil && n.Kind == token.STRING {
				note(n, text)
			}
		}
		return true
	})
	return found, nil
}

// joined is a text that is put together, with a gap where it is no literal.
func joined(e ast.Expr) (text string, ok bool) {
	switch e := e.(type) {
	case *ast.BasicLit:
		text, err := strconv.Unquote(e.Value)
		return text, err == nil && e.Kind == token.STRING
	case *ast.BinaryExpr:
		left, isLeft := joined(e.X)
		right, isRight := joined(e.Y)
		return left + right, e.Op == token.ADD && (isLeft || isRight)
	}
	return "…", false
}

func callee(e ast.Expr) string {
	switch e := e.(type) {
	case *ast.Ident:
		return e.Name
	case *ast.SelectorExpr:
		return callee(e.X) + "." + e.Sel.Name
	case *ast.CallExpr:
		return callee(e.Fun)
	}
	return ""
}

func TestNoSentenceBelowTheViews(t *testing.T) {
	checked := 0
	for _, top := range []string{"store", "handlers"} {
		err := filepath.WalkDir(filepath.Join(root, top), func(path string, d fs.DirEntry, err error) error {
			if err != nil {
				return err
			}
			name, _ := filepath.Rel(root, path)
			name = filepath.ToSlash(name)
			if d.IsDir() && terminal[name] != "" {
				return filepath.SkipDir
			}
			if filepath.Ext(name) != ".go" || strings.HasSuffix(name, "_test.go") || slices.Contains(terminalFiles, name) {
				return nil
			}
			source, err := os.ReadFile(path)
			if err != nil {
				return err
			}
			checked++
			found, err := sentencesOf(name, source)
			for _, f := range found {
				t.Errorf("%s is said to a person: give it a key in views/words", f)
			}
			return err
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	if checked < 80 {
		t.Errorf("only %d files were looked at", checked)
	}
}

// The rule finds what it is for, and leaves alone what only looks like it.
func TestTheRuleOfSentences(t *testing.T) {
	for code, want := range map[string]bool{
		`x := "nothing matches: change the filter"`:                                        true,
		`x := "the payload has " + n + " bytes"`:                                           true,
		`x := fmt.Sprintf("%s is already %s now", a, b)`:                                   true,
		`return problem{Detail: "Say why: it cannot be taken back."}`:                      true,
		`page.Flash = Flash{Text: "Kept."}`:                                                true,
		`x := l.T("A run of %s is queued.", name)`:                                         true,
		`const x = "too many lists are open"`:                                              true,
		`var x = map[string]string{"pause": "It goes on."}`:                                true,
		"x := `SELECT CASE WHEN p THEN 'paused by ' || who END`":                           true,
		"x := `SELECT CASE WHEN r.id IS NULL THEN 'it is not in the file any more' END`":   true,
		"x := `SELECT o.actor || ' did ' || o.action FROM o`":                              true,
		`return errors.Join(err, delivery.Text("the receiver rejected it"))`:               true,
		`return fmt.Errorf("looking for a duplicate: %w", err)`:                            false,
		`return errors.New("the run was changed by somebody else")`:                        false,
		`log.Warn("sign-in refused: unknown name", "from", ip)`:                            false,
		`s.cfg.Log.With("a", b).ErrorContext(ctx, "the request has failed", "error", err)`: false,
		`const x = "id::text, name, role, created_at, revoked_at"`:                         false,
		`const x = "owner, name, search, shared"`:                                          false,
		"x := `UPDATE redrive.queue SET due_at = now() + interval '1 millisecond'`":        false,
		"x := `SELECT CASE WHEN a THEN 'not_found' ELSE 'in_flight' END, '{}' FROM x`":     false,
		`x := "state = 'pending', dead_at = NULL, retry_requested_at = now()"`:             false,
		`x := "default-src 'none'; style-src 'self'; script-src 'self'"`:                   false,
		`return delivery.Mistake("bad_pace.ramp", "ramp_to", "max", days)`:                 false,
		`x := struct{ A int "json name of it" }{}`:                                         false,
		`m := prometheus.Opts{Help: "How long one attempt took."}`:                         false,
		`h.Set("Cache-Control", "private, no-cache")`:                                      false,
		"x := `SELECT pg_advisory_xact_lock(hashtextextended('redrive run ' || ?, 0))`":    false,
		`return &delivery.SaidError{Text: "the query failed (SQLSTATE 22012)", Words: w}`:  false,
	} {
		found, err := sentencesOf("sample.go", "package p\nfunc f() {\n"+code+"\n}")
		if err != nil {
			t.Errorf("%s: %v", code, err)
		} else if (len(found) > 0) != want {
			t.Errorf("%s: found %q", code, found)
		}
	}
}
