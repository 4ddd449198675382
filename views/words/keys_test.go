package words

import (
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"maps"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
)

// speakers are the functions that take the key of a phrase: which argument it is, and which is the first name of a placeholder.
var speakers = map[string][2]int{"Say": {0, 1}, "Fault": {0, 1}, "Mistake": {0, 2}, "Unprocessable": {0, 2}, "BadParameter": {0, 2}, "NewProblem": {1, 2},
	"BadField": {1, 3}, "finding": {3, 4}, "good": {1, 2}, "warn": {1, 2}}

// sources are the files that may name a phrase, with the constants of package delivery.
func sources(t *testing.T) (files []*ast.File, set *token.FileSet, constants map[string]string) {
	t.Helper()
	set, constants = token.NewFileSet(), map[string]string{}
	for _, top := range []string{"delivery", "store", "handlers", "views", "internal/cli"} {
		err := filepath.WalkDir(filepath.Join("../..", top), func(path string, d fs.DirEntry, err error) error {
			if err != nil || d.IsDir() || filepath.Ext(path) != ".go" || strings.HasSuffix(path, "_test.go") || strings.HasSuffix(path, "english.go") {
				return err
			}
			file, err := parser.ParseFile(set, path, nil, 0)
			if err != nil {
				return err
			}
			files = append(files, file)
			for _, decl := range file.Decls {
				if group, ok := decl.(*ast.GenDecl); ok && group.Tok == token.CONST && file.Name.Name == "delivery" {
					readConstants(group, constants)
				}
			}
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	return files, set, constants
}

func readConstants(group *ast.GenDecl, into map[string]string) {
	for _, spec := range group.Specs {
		spec := spec.(*ast.ValueSpec)
		for n, name := range spec.Names {
			if n < len(spec.Values) {
				into[name.Name] = literal(spec.Values[n], nil)
			}
		}
	}
}

// literal is a text that stands in the source; empty for every other expression.
func literal(e ast.Expr, constants map[string]string) string {
	switch e := e.(type) {
	case *ast.BasicLit:
		if text, err := strconv.Unquote(e.Value); err == nil && e.Kind == token.STRING {
			return text
		}
	case *ast.Ident:
		return constants[e.Name]
	case *ast.SelectorExpr:
		return constants[e.Sel.Name]
	}
	return ""
}

// Whoever names a phrase gives what it has places for, and every phrase is named by somebody.
func TestEveryPhraseIsSaidAsItIsWritten(t *testing.T) {
	files, set, constants := sources(t)
	named, prefixes, suffixes, checked := map[string]bool{}, []string{"verbatim"}, []string{}, 0
	for _, file := range files {
		ast.Inspect(file, func(n ast.Node) bool {
			switch n := n.(type) {
			case *ast.BasicLit:
				named[literal(n, nil)] = true
			case *ast.BinaryExpr:
				if start := literal(n.X, nil); n.Op == token.ADD && strings.HasSuffix(start, ".") {
					prefixes = append(prefixes, start)
				}
				if end := literal(n.Y, nil); n.Op == token.ADD && strings.HasPrefix(end, "_") {
					suffixes = append(suffixes, end)
				}
			case *ast.CallExpr:
				if at, ok := speakers[nameOf(n.Fun)]; ok && len(n.Args) > at[0] && n.Ellipsis == token.NoPos {
					if key := literal(n.Args[at[0]], constants); key != "" {
						checked++
						checkCall(t, set.Position(n.Pos()).String(), key, n.Args[min(at[1], len(n.Args)):])
					}
				}
			}
			return true
		})
	}
	for key := range phrases {
		if !named[key] && !slices.ContainsFunc(prefixes, func(p string) bool { return strings.HasPrefix(key, p) }) &&
			!slices.ContainsFunc(suffixes, func(s string) bool { return strings.HasSuffix(key, s) }) {
			t.Errorf("nobody says %s: %s", key, phrases[key])
		}
	}
	if checked < 200 {
		t.Errorf("only %d calls were checked", checked)
	}
}

func nameOf(fun ast.Expr) string {
	switch fun := fun.(type) {
	case *ast.Ident:
		return fun.Name
	case *ast.SelectorExpr:
		return fun.Sel.Name
	}
	return ""
}

func checkCall(t *testing.T, at, key string, args []ast.Expr) {
	t.Helper()
	text, known := phrases[key]
	if !known {
		t.Errorf("%s: the catalogue has no phrase %q", at, key)
		return
	}
	given := map[string]bool{}
	for n := 0; n < len(args); n += 2 {
		given[literal(args[n], nil)] = true
	}
	wanted := map[string]bool{}
	for _, place := range placeholder.FindAllStringSubmatch(text, -1) {
		wanted[place[1]] = true
	}
	if !maps.Equal(given, wanted) || len(args)%2 != 0 {
		t.Errorf("%s: %s has places for %v and is given %v", at, key, slices.Sorted(maps.Keys(wanted)), slices.Sorted(maps.Keys(given)))
	}
}

// No phrase is written twice, and a text in English holds no verb of fmt, which nobody would fill in.
func TestPhrasesAreWrittenOnce(t *testing.T) {
	keys := map[string]string{}
	for _, key := range slices.Sorted(maps.Keys(phrases)) {
		text := phrases[key]
		if other := keys[text]; other != "" {
			t.Errorf("%s and %s both say %q", other, key, text)
		}
		keys[text] = key
		if strings.Contains(text, "%s") || strings.Contains(text, "%d") || strings.Contains(text, "%q") {
			t.Errorf("%s has a verb: %s", key, text)
		}
	}
}
