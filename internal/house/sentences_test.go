package house

import (
	"go/ast"
	"go/parser"
	"go/token"
	"os"
	"path"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
)

// What people read is said in the views: below them there are keys of the catalogue (views/words) and arguments. Four kinds of texts are
// none of the catalogue's (docs/architecture.md, "Who says what"). A room or file that makes such texts is listed with its kind;
// everything else says nothing.
const (
	attempts = "errors of attempts are text: they say what somebody else said, and failures are grouped by them"
	settings = "the integrations file is read at a terminal: its errors stop the start, with file and line"
	terminal = "the terminal of whoever starts or checks the program"
	data     = "words that are looked for or handed on, and that nobody says here"
)

var uncatalogued = map[string]string{
	"delivery/batch/answers.go": attempts, // of a file whose answer cannot be read
	"delivery/batch/schedule":   settings,
	"delivery/broker/death.go":  attempts, // of what died elsewhere
	"delivery/broker/event.go":  attempts, // of what is no message
	"delivery/broker/family.go": data,     // names of programs
	"delivery/broker/kind.go":   settings,
	"delivery/cdc/mapping":      attempts, // of a change that makes no message, and settings
	"delivery/config":           settings,
	"delivery/dial.go":          attempts,
	"delivery/errors.go":        attempts, // that no sender makes
	"delivery/file.go":          settings,
	"delivery/fingerprint.go":   data,
	"delivery/form":             settings,
	"delivery/said.go":          attempts,
	"delivery/schema":           data,     // the settings' own documentation
	"delivery/seal":             terminal, // keys of settings that stop the start
	"delivery/send":             attempts,
	"delivery/wire":             attempts,
	"delivery/words":            data,
	"demo":                      data, // a shop, its receivers and its integrations file
	"internal/cli":              terminal,
	"store/audit/verify.go":     terminal,
	"store/embedded":            terminal,
	"store/session":             terminal,
	"store/source/source.go":    settings,
	"store/table":               attempts,
}

// kindOf is the kind of texts that a file may make: its own or that of a room around it.
func kindOf(name string) (kind, entry string) {
	for entry = name; entry != "."; entry = path.Dir(entry) {
		if kind = uncatalogued[entry]; kind != "" {
			return kind, entry
		}
	}
	return "", ""
}

// shown are rooms whose errors people see, as the state of a part or of a run. What they hear of a driver or a server they pass on; what
// they say themselves is a delivery.Fault. Those that ask others, and not our own database, say in it too what they asked for.
var (
	shown  = regexp.MustCompile(`^(delivery/(batch|broker|cdc|outbox)|store/(batch|capture|source))/`)
	asking = regexp.MustCompile(`^(delivery/(broker|cdc)|store/source)/`)
)

// speechless are calls whose texts are for the log or for programs.
var speechless = regexp.MustCompile(`^(errors\.New|fmt\.Errorf|panic|progress\.Begin|prometheus\.NewDesc|(.*\.)?(insist|failed|Debug|Info|Warn|Error|Log)(Context)?)$`)

var (
	plainWord = regexp.MustCompile(`^["(]?(A|[A-Z]?[a-z]+('[a-z]+)?)["):;.?!]*,?$`)
	keyword   = regexp.MustCompile(`\b(SELECT|INSERT|UPDATE|DELETE|FROM|WHERE|WITH|JOIN|SET|LOCK TABLE|CREATE|DROP|ALTER|CASE|ORDER BY|NULL|AND)\b`)
	command   = regexp.MustCompile(`^redrive( [a-z-]+| %s)+$`)
	lockName  = regexp.MustCompile(`hashtextextended\('[^']*'`)
	quoted    = regexp.MustCompile(`'(?:[^']|'')*'`)
	closed    = regexp.MustCompile(`^[A-Z][a-z ].*[a-z)"…][.?!]$`)
)

// saidIn is the part of a text that says something to a person: three words that follow each other and are no list, or a single word
// like "Kept." Of SQL it looks at the texts in quotes, where two words are enough, or one that waits for another one beside it.
func saidIn(text string) string {
	if !keyword.MatchString(text) {
		if isSentence(text) && !command.MatchString(text) {
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
		case *ast.CompositeLit: // a setting that stops the start
			return callee(n.Type) != "delivery.SettingError"
		case *ast.ValueSpec: // it is compared, and not shown
			return !sentinel.MatchString(n.Names[0].Name)
		case *ast.KeyValueExpr: // of metrics
			if key, ok := n.Key.(*ast.Ident); ok && key.Name == "Help" {
				return false
			}
		case *ast.CallExpr:
			return spokenError(n, asking.MatchString(name)) && shown.MatchString(name) || !speechless.MatchString(callee(n.Fun))
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

// spokenError reports whether a call makes an error of nothing but words, or wraps says that it counts too when it puts words around
// another error. That of a programmer begins with the name of the package.
func spokenError(call *ast.CallExpr, wraps bool) bool {
	if fun := callee(call.Fun); fun != "errors.New" && fun != "fmt.Errorf" || len(call.Args) == 0 {
		return false
	}
	text, _ := joined(call.Args[0])
	return (wraps || !strings.Contains(text, "%w")) && !programmers.MatchString(text)
}

var (
	programmers = regexp.MustCompile(`^(batch|broker|cdc)(\.[a-z]+)?: `) // or of the setting of that name
	sentinel    = regexp.MustCompile(`^err[A-Z]`)
)

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
	checked, used := 0, map[string]bool{}
	for _, top := range []string{"delivery", "demo", "store", "handlers", "internal/cli"} {
		eachFile(t, []string{"store/storetest", "delivery/broker/testdata"}, func(name string) error {
			if !strings.HasPrefix(name, top+"/") {
				return nil
			}
			checked++
			source, err := os.ReadFile(filepath.Join(root, name))
			if err != nil {
				return err
			}
			found, err := sentencesOf(name, source)
			kind, entry := kindOf(name)
			if kind != "" {
				used[entry] = used[entry] || len(found) > 0
				return err
			}
			for _, f := range found {
				t.Errorf("%s is said to a person: give it a key in views/words", f)
			}
			return err
		})
	}
	for entry := range uncatalogued {
		if !used[entry] {
			t.Errorf("%s says nothing: take it off the list", entry)
		}
	}
	if checked < 250 {
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
		`return &delivery.SettingError{Err: errors.New("it names no window at all")}`:      false,
		`return fmt.Sprintf("redrive cdc resnapshot %s --table %s", a, b)`:                 false,
		`return &delivery.SaidError{Text: "the query failed (SQLSTATE 22012)", Words: w}`:  true,
	} {
		found, err := sentencesOf("sample.go", "package p\nfunc f() {\n"+code+"\n}")
		if err != nil {
			t.Errorf("%s: %v", code, err)
		} else if (len(found) > 0) != want {
			t.Errorf("%s: found %q", code, found)
		}
	}
}

// In rooms whose errors people see, an error of nothing but words is said to them. What wraps another one passes on what it heard; where
// others are asked, it says for what.
func TestTheRuleOfErrors(t *testing.T) {
	const shown, asking = "delivery/cdc store/batch store/source", "delivery/cdc store/source"
	for code, want := range map[string]string{
		`return errors.New("the source has closed the connection")`:      shown,
		`return fmt.Errorf("the topic %s is not there any more", topic)`: shown,
		`return fmt.Errorf("reading the slot of it: %w", err)`:           asking,
		`return errors.New("cdc: the room has been run already")`:        "",
		`return delivery.Fault("stream.closed_by_source")`:               "",
		`var errAnew = errors.New("somebody asked for it again")`:        "",
	} {
		for _, room := range []string{"delivery/cdc", "store/batch", "store/source", "store/queue"} {
			found, err := sentencesOf(room+"/sample.go", "package p\nfunc f() {\n"+code+"\n}")
			if err != nil || (len(found) > 0) != slices.Contains(strings.Fields(want), room) {
				t.Errorf("%s: %s: found %q, %v", room, code, found, err)
			}
		}
	}
}

// Programs read English, whatever people read: the API asks no request for its language.
func TestTheAPISpeaksEnglish(t *testing.T) {
	local := regexp.MustCompile(`\b(web\.(Say|Lang)|words\.|views\.Locale)`)
	files := 0
	eachFile(t, nil, func(name string) error {
		if path.Dir(name) != "handlers/api" {
			return nil
		}
		files++
		source, err := os.ReadFile(filepath.Join(root, name))
		if found := local.Find(source); found != nil {
			t.Errorf("%s: %s: say it by web.English", name, found)
		}
		return err
	})
	if files < 10 {
		t.Errorf("only %d files were looked at", files)
	}
}
