package house

import (
	"go/ast"
	"go/parser"
	"go/token"
	"maps"
	"path/filepath"
	"strconv"
	"testing"
)

// Other programs are prepared by delivery/programs alone, which keeps our secrets from them. What stands here is all that starts one, with
// the environment that it gets.
var starting = map[string]string{
	"delivery/config/references.go: programs.Command":    "the allow-list: what ${command:…} of the integrations file names",
	"delivery/programs/programs.go: exec.CommandContext": "the allow-list",
	"delivery/programs/programs.go: exec.Command":        "a person's own, without our settings: an editor",
	"store/embedded/binaries.go: programs.Command":       "the allow-list: postgres --version, apt-get",
	"store/embedded/npm.go: programs.Command":            "the allow-list: npm, node",
	"store/embedded/embedded.go: programs.Command":       "the allow-list: initdb, postgres",
	"store/embedded/owner.go: programs.Command":          "the allow-list: sh, postgres --version",
	"store/embedded/process_other.go: programs.Command":  "the allow-list: ps",
	"internal/cli/client/edit.go: programs.Chosen":       "the person's, without our settings",
	"internal/bench/triage/program.go: programs.Command": "the allow-list: ps; this program, with the settings of the measurement",
}

var starts = map[string][]string{
	"os/exec":                   {"Command", "CommandContext", "Cmd"},
	"os":                        {"StartProcess"},
	"syscall":                   {"Exec", "ForkExec", "StartProcess"},
	"redrive/delivery/programs": {"Command", "Chosen"},
}

func TestEveryProgramIsStartedWithoutOurSecrets(t *testing.T) {
	left := maps.Clone(starting)
	eachFile(t, []string{"store/storetest", "internal/bench/river"}, func(path string) error {
		file, err := parser.ParseFile(token.NewFileSet(), filepath.Join(root, path), nil, parser.SkipObjectResolution)
		if err != nil {
			return err
		}
		for _, use := range startsIn(file) {
			if _, ok := starting[path+": "+use]; !ok {
				t.Errorf("%s uses %s: start it by delivery/programs, and list it with its environment", path, use)
			}
			delete(left, path+": "+use)
		}
		return nil
	})
	for entry := range left {
		t.Errorf("%s is not there: take it off the list", entry)
	}
}

// startsIn are the uses in a file of what starts a program. The type exec.Cmd may be named in a signature; a literal of it starts one.
func startsIn(file *ast.File) (uses []string) {
	names := map[string][]string{}
	for _, spec := range file.Imports {
		path, _ := strconv.Unquote(spec.Path.Value)
		name := filepath.Base(path)
		if spec.Name != nil {
			name = spec.Name.Name
		}
		names[name] = starts[path]
	}
	note := func(e ast.Expr, literal bool) {
		s, ok := e.(*ast.SelectorExpr)
		if !ok {
			return
		}
		x, ok := s.X.(*ast.Ident)
		if !ok {
			return
		}
		for _, name := range names[x.Name] {
			if s.Sel.Name == name && (name == "Cmd") == literal {
				uses = append(uses, x.Name+"."+name)
			}
		}
	}
	ast.Inspect(file, func(n ast.Node) bool {
		switch n := n.(type) {
		case *ast.CompositeLit:
			note(n.Type, true)
		case *ast.SelectorExpr:
			if _, ok := n.X.(*ast.Ident); ok {
				note(n, false)
			}
		}
		return true
	})
	return uses
}
