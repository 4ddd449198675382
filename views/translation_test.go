package views

import (
	"go/ast"
	"go/parser"
	"go/token"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"

	"golang.org/x/net/html"

	"redrive/delivery"
	"redrive/views/words"
)

// marked is a language for tests: each text of the catalogue in brackets, without what is filled in.
const marked = "marked"

var (
	filledIn = regexp.MustCompile(`%%|%[.0-9]*[a-z]|\{[a-z_]+(?::[a-z]+)?\}`)
	plural   = regexp.MustCompile(`\{([a-z_]+)\|([^{}|]*)\|([^{}|]*)\}`)
	brackets = regexp.MustCompile(`⟦[^⟦⟧]*⟧`)
	cutOff   = regexp.MustCompile(`\pL*…\pL*`)
	spelled  = regexp.MustCompile(`\p{L}{2,}`)
)

// bracketed puts what a text says in brackets.
func bracketed(text string) string {
	text = plural.ReplaceAllString(text, `⟧{$1|⟦$2⟧|⟦$3⟧}⟦`)
	return strings.ReplaceAll("⟦"+filledIn.ReplaceAllString(text, "⟧$0⟦")+"⟧", "⟦⟧", "")
}

func TestTheCatalogueInBrackets(t *testing.T) {
	for text, want := range map[string]string{"%s of %s": "%s⟦ of ⟧%s", "paused by {by}": "⟦paused by ⟧{by}", "{n} {n|row|rows} gone": "{n}⟦ ⟧{n|⟦row⟧|⟦rows⟧}⟦ gone⟧"} {
		if got := bracketed(text); got != want {
			t.Errorf("%s", got)
		}
	}
}

// fixtures are the words of what stories are made of, and the names that are data everywhere.
func fixtures(t *testing.T) (data map[string]bool) {
	t.Helper()
	data = map[string]bool{}
	add := func(texts ...string) {
		for _, text := range texts {
			for _, w := range spelled.FindAllString(text, -1) {
				data[w] = true
			}
		}
	}
	add("UTC", "KST", "SHA-256", "Redrive", "HTTP", "URL", strings.Repeat("ab", 32))
	for _, m := range delivery.Methods {
		add(string(m)) // as the integrations file names it
	}
	for _, field := range delivery.SearchFields {
		add(field.Name, field.Example)
	}
	add(nameOf('\u202e'))
	for _, t := range words.Tongues { // each is called as it calls itself
		add(t.Name)
	}
	for _, l := range losses() {
		add(l.Name)
	}
	names, err := filepath.Glob("*stories_test.go")
	if err != nil || len(names) < 2 {
		t.Fatal(names, err)
	}
	for _, name := range append(names, "facts_test.go") {
		file, err := parser.ParseFile(token.NewFileSet(), name, nil, 0)
		if err != nil {
			t.Fatal(err)
		}
		ast.Inspect(file, func(n ast.Node) bool {
			add(unquoted(n))
			f, ok := n.(*ast.FuncDecl)
			return !ok || !strings.HasPrefix(f.Name.Name, "Test")
		})
	}
	return data
}

// catalogue are the texts that stand in the views: what somebody who translates finds there.
func catalogue(t *testing.T) (texts map[string]bool) {
	t.Helper()
	texts = map[string]bool{}
	names, err := filepath.Glob("*.go")
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range append(names, "words/english.go") {
		if strings.HasSuffix(name, "_test.go") {
			continue
		}
		file, err := parser.ParseFile(token.NewFileSet(), name, nil, 0)
		if err != nil {
			t.Fatal(err)
		}
		ast.Inspect(file, func(n ast.Node) bool {
			if text := unquoted(n); text != "" {
				texts[text] = true
			}
			return true
		})
	}
	return texts
}

// unquoted is a text that stands in the source, in one piece or several.
func unquoted(n ast.Node) string {
	switch n := n.(type) {
	case *ast.BasicLit:
		if n.Kind == token.STRING {
			text, _ := strconv.Unquote(n.Value)
			return text
		}
	case *ast.BinaryExpr:
		if left, right := unquoted(n.X), unquoted(n.Y); n.Op == token.ADD && left != "" && right != "" {
			return left + right
		}
	}
	return ""
}

// Another language is one more map of the catalogue's texts: on every page all that people read comes from there, but for data.
func TestEveryVisibleTextIsOfTheCatalogue(t *testing.T) {
	data := fixtures(t)
	known := catalogue(t)
	words.Translations[marked] = func(english string) (string, bool) {
		if !known[english] {
			t.Errorf("%q is asked of the catalogue and stands nowhere: nobody can translate it", english)
		}
		return bracketed(english), true
	}
	language = marked
	t.Cleanup(func() { delete(words.Translations, marked); language = "en" })
	for name, story := range stories() {
		root, err := html.Parse(strings.NewReader(rendered(t, story)))
		if err != nil {
			t.Fatal(err)
		}
		for n := range root.Descendants() {
			for _, text := range visible(n) {
				text := cutOff.ReplaceAllString(brackets.ReplaceAllString(text, " "), "")
				if strings.Contains(text, "·") {
					t.Errorf("%s: the dot in %q does not come from the catalogue", name, strings.TrimSpace(text))
				}
				for _, w := range spelled.FindAllString(text, -1) {
					if !data[w] {
						t.Errorf("%s: %q of %q does not come from the catalogue", name, w, strings.TrimSpace(text))
					}
				}
			}
		}
	}
}

// visible is what people read or hear of a node itself.
func visible(n *html.Node) (texts []string) {
	if isCut(n) { // halves of one text
		for half := range n.ChildNodes() {
			texts = append(texts, half.FirstChild.Data)
		}
		return []string{strings.Join(texts, "")}
	}
	if n.Type == html.TextNode && isCut(n.Parent.Parent) {
		return nil
	}
	if n.Type == html.TextNode && !slices.Contains([]string{"script", "style", "code", "kbd"}, n.Parent.Data) {
		return []string{n.Data}
	}
	for _, a := range n.Attr {
		if slices.Contains([]string{"title", "aria-label", "placeholder", "alt"}, a.Key) || n.Data == "input" && a.Key == "value" && kindOf(n) == "submit" {
			texts = append(texts, a.Val)
		}
	}
	return texts
}

func isCut(n *html.Node) bool {
	return n != nil && slices.ContainsFunc(n.Attr, func(a html.Attribute) bool { return a.Key == "class" && a.Val == "cut" })
}

func kindOf(n *html.Node) string {
	for _, a := range n.Attr {
		if a.Key == "type" {
			return a.Val
		}
	}
	return ""
}
