package cli

import (
	"bytes"
	"go/ast"
	"go/parser"
	"go/token"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/alecthomas/kong"

	"redrive/views/words"
)

// Whoever adds a command or a flag adds its help in Korean, to views/words/korean_commands.go.
func TestHelpIsThereInKorean(t *testing.T) {
	var c commands
	_, err := kong.New(&c, helpVars(""), kong.PostBuild(func(k *kong.Kong) error {
		all := append(append(helpTexts(k.Model), headings...), append(saidTexts(t), about, restart)...)
		for _, english := range append(words.KoreanTexts("commands"), words.KoreanTexts("terminal")...) {
			if !slices.Contains(all, english) {
				t.Errorf("nobody says %q: take its translation away", english)
			}
		}
		for _, text := range all {
			if text != "" && !slices.Contains([]string{"--file: %s", "ID"}, text) && words.Translate(words.Korean, text) == text {
				t.Errorf("missing in Korean:\n\t{%q, %q},", text, "")
			}
		}
		return nil
	}))
	if err != nil {
		t.Fatal(err)
	}
}

// saidTexts are those that commands say of their own.
func saidTexts(t *testing.T) (texts []string) {
	t.Helper()
	for _, pattern := range []string{"*.go", "client/*.go"} {
		names, err := filepath.Glob(pattern)
		if err != nil || len(names) == 0 {
			t.Fatal(pattern, err)
		}
		for _, name := range names {
			file, err := parser.ParseFile(token.NewFileSet(), name, nil, 0)
			if err != nil {
				t.Fatal(err)
			}
			ast.Inspect(file, func(n ast.Node) bool {
				texts = append(texts, headsOf(n)...)
				call, ok := n.(*ast.CallExpr)
				switch {
				case !ok || len(call.Args) == 0 || strings.HasSuffix(name, "_test.go"):
				case nameOf(call.Fun) == "plural":
					texts = append(texts, "%d "+joined(call.Args[2]))
				case slices.Contains([]string{"said", "Said", "Text", "misused", "part", "instead", "row"}, nameOf(call.Fun)):
					texts = append(texts, joined(call.Args[0]))
				}
				return true
			})
		}
	}
	return texts
}

// headsOf are the headings of a table, and what is said where it is empty.
func headsOf(n ast.Node) (texts []string) {
	field, ok := n.(*ast.KeyValueExpr)
	if !ok {
		return nil
	}
	switch list, _ := field.Value.(*ast.CompositeLit); {
	case nameOf(field.Key) == "none":
		return []string{joined(field.Value)}
	case list != nil && nameOf(field.Key) == "head":
		for _, e := range list.Elts {
			text, _ := strconv.Unquote(e.(*ast.BasicLit).Value)
			texts = append(texts, text)
		}
	}
	return texts
}

func nameOf(f ast.Expr) string {
	switch f := f.(type) {
	case *ast.Ident:
		return f.Name
	case *ast.SelectorExpr:
		return f.Sel.Name
	}
	return ""
}

// joined is a text that stands in the source, in one piece or several; empty for another expression, and for one without words.
func joined(e ast.Expr) string {
	switch e := e.(type) {
	case *ast.BasicLit:
		text, _ := strconv.Unquote(e.Value)
		if regexp.MustCompile(`[a-z]{2}`).MatchString(text) {
			return text
		}
	case *ast.BinaryExpr:
		left, _ := e.X.(*ast.BasicLit)
		right, _ := e.Y.(*ast.BasicLit)
		if left != nil && right != nil {
			a, _ := strconv.Unquote(left.Value)
			b, _ := strconv.Unquote(right.Value)
			return a + b
		}
	}
	return ""
}

// What is typed or set wrongly is said in the language of whoever reads, with the names of flags and commands as they are typed.
func TestWrongUsageIsSaidInKorean(t *testing.T) {
	t.Setenv("REDRIVE_LANG", words.Korean)
	file := filepath.Join(t.TempDir(), "integrations.yaml")
	if err := os.WriteFile(file, []byte("integrations:\n  - name: a\n    method: outbox\n    retry: {jitter: half}\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	for command, want := range map[string]string{
		"serv":                           "redrive: 알 수 없는 인수 serv. \"serve\"를 쓰려던 것인가요?; redrive --help를 보세요\n",
		"serve --no-such":                "redrive: 알 수 없는 플래그 --no-such; redrive --help를 보세요\n",
		"secret set a":                   "redrive: \"<name>\"이 필요합니다; redrive --help를 보세요\n",
		"batch run a":                    "redrive: 플래그가 빠졌습니다: --reason=STRING; redrive --help를 보세요\n",
		"doctor --log-format=x":          "redrive: REDRIVE_LOG_FORMAT (--log-format): \"text\",\"json\" 중 하나여야 합니다. 받은 값 \"x\"; redrive --help를 보세요\n",
		"serve --demo=perhaps":           "redrive: REDRIVE_DEMO (--demo): on 또는 off를 쓰세요. 받은 값 \"perhaps\"; redrive --help를 보세요\n",
		"failures list --limit=x":        "redrive: --limit: 64비트 정수여야 합니다. 받은 값 \"x\"; redrive --help를 보세요\n",
		"cdc setup --config=" + file:     "redrive: REDRIVE_CONFIG: " + file + " 파일 4행: retry.jitter: \"half\"는 full도 none도 아닙니다\n",
		"cdc setup --config=/none/there": "redrive: REDRIVE_CONFIG: 연동 파일을 읽는 중: open /none/there: no such file or directory\n",
	} {
		var out, wrong bytes.Buffer
		if code := (Program{}).Run(t.Context(), strings.Fields(command), &out, &wrong); code != ExitUsage || wrong.String() != want {
			t.Errorf("redrive %s ends with %d and says %q, want %q", command, code, &wrong, want)
		}
	}
}
