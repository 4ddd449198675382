package house

import (
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// standard gives for private words, which only their author understands, the field's own.
var standard = map[string]string{
	"crew": "worker pool", "holdings": "in-flight set", "vitals": "status", "notebook": "attempt log", "narrowing": "predicate",
	"narrowings": "predicates", "fate": "verdict", "tour": "leader term", "ear": "listener", "shift": "consumer session",
}

var (
	hump    = regexp.MustCompile(`[A-Z]?[a-z]+`)
	spelled = regexp.MustCompile(`\pL+`)
	// riddle begins a comment as none should: a function returns, or reports whether.
	riddle = regexp.MustCompile(`^// [A-Za-z]+ (answers|says|tells) whether `)
)

// Names of the program are the field's: whoever comes from another project knows them.
func TestWordsArePlain(t *testing.T) {
	seen := 0
	err := filepath.WalkDir(root, func(path string, d fs.DirEntry, err error) error {
		switch {
		case err != nil:
			return err
		case d.IsDir():
			if strings.HasPrefix(d.Name(), ".") && path != root || d.Name() == "testdata" || d.Name() == "node_modules" || d.Name() == "data" {
				return filepath.SkipDir
			}
			return nil
		case filepath.Ext(path) != ".go" || strings.HasSuffix(path, "_test.go") || strings.HasSuffix(path, "_templ.go"):
			return nil
		}
		set := token.NewFileSet()
		file, err := parser.ParseFile(set, path, nil, parser.ParseComments)
		if err != nil {
			return err
		}
		seen++
		for _, word := range hump.FindAllString(strings.TrimSuffix(d.Name(), ".go"), -1) {
			if plain, private := standard[word]; private {
				t.Errorf("%s: name the file by %s", path, plain)
			}
		}
		for at, complaint := range unclear(file) {
			t.Errorf("%s: %s", set.Position(at), complaint)
		}
		return nil
	})
	if err != nil || seen < 300 {
		t.Fatalf("%d files: %v", seen, err)
	}
}

// unclear is what is not plain in a file, by place.
func unclear(file *ast.File) map[token.Pos]string {
	found := map[token.Pos]string{}
	ast.Inspect(file, func(n ast.Node) bool {
		id, ok := n.(*ast.Ident)
		if !ok {
			return true
		}
		for _, word := range hump.FindAllString(id.Name, -1) {
			if plain, private := standard[strings.ToLower(word)]; private {
				found[id.Pos()] = id.Name + ": write " + plain
			}
		}
		return true
	})
	for _, group := range file.Comments {
		for _, word := range spelled.FindAllString(group.Text(), -1) {
			if plain, private := standard[strings.ToLower(word)]; private {
				found[group.Pos()] = "a comment speaks of " + word + ": write " + plain
			}
		}
		if riddle.MatchString(group.List[0].Text) {
			found[group.Pos()] = "a comment says reports whether: " + group.List[0].Text
		}
	}
	return found
}

func TestPrivateWordsAreFound(t *testing.T) {
	for source, want := range map[string]int{
		"type crew struct{}": 1, "func newNotebook() {}": 1, "// Ready answers whether it is ready.\nfunc Ready() bool { return true }": 1,
		"// Ready reports whether it is ready.\nfunc Ready() bool { return true }": 0, "// a is of the Crew's vitals.\nvar a int": 1, "var linear, fated, detour, shiftless int": 0,
	} {
		file, err := parser.ParseFile(token.NewFileSet(), "", "package p\n"+source, parser.ParseComments)
		if err != nil {
			t.Fatal(err)
		}
		if got := len(unclear(file)); got != want {
			t.Errorf("%q: %d found", source, got)
		}
	}
}
