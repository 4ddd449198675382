package views

import (
	"go/ast"
	"go/parser"
	"go/token"
	"maps"
	"net/http"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"redrive/delivery"
	"redrive/views/words"
)

var letters = regexp.MustCompile(`\pL{2}`)

// texts are those that pages, phrases and the command line say, each as the catalogue is asked for it; said are all texts that stand in
// their sources.
func texts(t *testing.T) (asked, said map[string]bool) {
	t.Helper()
	withheld := "{what}: " + delivery.Withheld
	asked, said = map[string]bool{withheld: true}, map[string]bool{withheld: true}
	for _, dir := range []string{".", "words", "../handlers/web", "../handlers/console", "../internal/cli", "../internal/cli/client", "../delivery"} {
		names, err := filepath.Glob(filepath.Join(dir, "*.go"))
		if err != nil || len(names) == 0 {
			t.Fatal(dir, err)
		}
		for _, name := range names {
			if strings.HasSuffix(name, "_test.go") || strings.HasPrefix(filepath.Base(name), "korean") {
				continue
			}
			file, err := parser.ParseFile(token.NewFileSet(), name, nil, 0)
			if err != nil {
				t.Fatal(err)
			}
			ast.Inspect(file, func(n ast.Node) bool {
				said[unquoted(n)] = true
				for _, text := range askedBy(n, filepath.Base(name) == "english.go") {
					asked[text] = true
				}
				return true
			})
		}
	}
	return asked, said
}

// askedBy are the texts that a call of T or N names, and in the catalogue of phrases its phrases.
func askedBy(n ast.Node, phrases bool) (texts []string) {
	switch n := n.(type) {
	case *ast.CallExpr:
		if called, ok := n.Fun.(*ast.SelectorExpr); ok && len(n.Args) > 0 && (called.Sel.Name == "T" || called.Sel.Name == "N" && len(n.Args) == 3) {
			texts = append(texts, unquoted(n.Args[len(n.Args)-1]))
			if called.Sel.Name == "T" {
				texts = []string{unquoted(n.Args[0])}
			}
		}
	case *ast.KeyValueExpr:
		if phrases {
			texts = append(texts, unquoted(n.Value))
		}
	}
	return texts
}

// isSaid reports whether a text has words of its own, which a translation has to have as well.
func isSaid(text string) bool {
	return letters.MatchString(filledIn.ReplaceAllString(plural.ReplaceAllString(text, ""), " "))
}

// alike are texts that are the same in Korean.
var alike = []string{"JSON", "Redrive", "TLS %s", "%.1f KiB", "%.1f MiB", "CSV"}

// Who adds a text in English adds it in Korean: one line in the file that fits, in the order of the English texts.
func TestNothingIsMissingInKorean(t *testing.T) {
	wanted, _ := texts(t)
	for _, texts := range []map[string]string{factWords, classes, categories} {
		for _, text := range texts {
			wanted[text] = true
		}
	}
	for _, d := range deeds {
		wanted[d.name], wanted[d.told] = true, true
	}
	record := func(lang string) words.Language {
		known := words.Translations[lang]
		return func(english string) (string, bool) {
			wanted[english] = true
			return known(english)
		}
	}
	known := words.Translations[words.Korean]
	words.Translations[words.Korean] = record(words.Korean)
	language = words.Korean
	t.Cleanup(func() { words.Translations[words.Korean] = known; language = "en" })
	for _, story := range stories() {
		rendered(t, story)
	}
	for _, english := range slices.Sorted(maps.Keys(wanted)) {
		if _, ok := known(english); !ok && isSaid(english) && !slices.Contains(alike, english) {
			t.Errorf("missing in Korean:\n\t{%q, %q},", english, "")
		}
	}
}

func TestNothingOfKoreanIsUnused(t *testing.T) {
	_, said := texts(t)
	for status := http.StatusBadRequest; status <= http.StatusServiceUnavailable; status++ {
		said[http.StatusText(status)] = true
	}
	for _, english := range slices.Concat(words.KoreanTexts("pages"), words.KoreanTexts("sources"), words.KoreanTexts("mistakes")) {
		action := strings.TrimPrefix(english, "delivery.")
		if !said[english] && !said[action] && !slices.Contains(unnamed, english) {
			t.Errorf("nobody says %q: take its translation away", english)
		}
	}
}

// unnamed are words of package time that pages show, and what errors of attempts call the other side.
var unnamed = []string{"Sun", "Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "receiver", "broker", "server", "token endpoint"}

// storedErrors are the sentences that senders and workers write with attempts, as far as they stand in one piece.
func storedErrors(t *testing.T) (texts []string) {
	t.Helper()
	var names []string
	for _, pattern := range []string{"../delivery/errors.go", "../delivery/send/*/*.go", "../delivery/wire/*.go", "../store/table/*.go"} {
		found, err := filepath.Glob(pattern)
		if err != nil || len(found) == 0 {
			t.Fatal(pattern, err)
		}
		names = append(names, found...)
	}
	for _, name := range names {
		file, err := parser.ParseFile(token.NewFileSet(), name, nil, 0)
		if err != nil {
			t.Fatal(err)
		}
		ast.Inspect(file, func(n ast.Node) bool {
			switch n := n.(type) {
			case *ast.ValueSpec:
				if strings.HasSuffix(name, "delivery/errors.go") && len(n.Values) == 1 {
					texts = append(texts, unquoted(n.Values[0]))
				}
			case *ast.KeyValueExpr:
				if key, ok := n.Key.(*ast.Ident); ok && key.Name == "Error" {
					texts = append(texts, unquoted(n.Value))
				}
			case *ast.AssignStmt:
				for i, to := range n.Lhs {
					if to, ok := to.(*ast.SelectorExpr); ok && to.Sel.Name == "Error" && len(n.Lhs) == len(n.Rhs) && n.Tok == token.ASSIGN {
						texts = append(texts, unquoted(n.Rhs[i]))
					}
				}
			}
			return !strings.HasSuffix(name, "_test.go")
		})
	}
	return texts
}

func TestErrorsOfAttemptsAreThereInKorean(t *testing.T) {
	checked := 0
	for _, text := range storedErrors(t) {
		if text = strings.TrimSuffix(text, ": "); text == "" {
			continue
		}
		if checked++; words.Stored(words.Korean, text) == text {
			t.Errorf("missing in Korean, in korean_errors.go:\n\t{%q, %q},", text, "")
		}
	}
	if checked < 30 {
		t.Errorf("only %d sentences were found", checked)
	}
	for english, want := range map[string]string{
		"the receiver answered 503: upstream: down":             "수신 시스템이 503으로 응답함: upstream: down",
		"the receiver answered 301, redirects are not followed": "수신 시스템이 301로 응답함, 리디렉션은 따르지 않음",
		"the broker refused the connection":                     "브로커가 연결을 거부함",
		"not sent: its expiry time had passed":                  "보내지 않음: 만료 시각이 지남",
		"their own words: 503":                                  "their own words: 503",
	} {
		if got := words.Stored(words.Korean, english); got != want {
			t.Errorf("%q reads %q", english, got)
		}
		if got := words.Stored(words.English, english); got != english {
			t.Errorf("%q reads %q in English", english, got)
		}
	}
}
