package mapping

import (
	"slices"
	"strings"

	"github.com/expr-lang/expr/ast"
	"github.com/expr-lang/expr/parser"

	"redrive/delivery"
)

// Uses returns the columns that a rule's expressions name, in the order of the settings. The expressions must compile. A column that
// an expression asks for first ("x" in row) may be missing, and is left out.
func Uses(r delivery.CDCRule) (uses []delivery.ColumnUse) {
	sources := [][2]string{{"when", r.When}, {"key", r.Key}, {"payload", r.Payload}}
	for rest := r.Type; ; {
		_, after, found := strings.Cut(rest, "{{")
		source, end, closed := strings.Cut(after, "}}")
		if !found || !closed {
			break
		}
		sources, rest = append(sources, [2]string{"type", source}), end
	}
	for _, s := range sources {
		tree, err := parser.Parse(s[1])
		if err != nil {
			continue // empty: what is wrong was refused before
		}
		v := visitor{setting: s[0]}
		ast.Walk(&tree.Node, &v)
		for _, use := range v.uses {
			if !slices.Contains(v.asked, use) && !slices.Contains(uses, use) {
				uses = append(uses, use)
			}
		}
	}
	return uses
}

// visitor gathers what one expression names.
type visitor struct {
	setting     string
	uses, asked []delivery.ColumnUse
}

// Visit implements ast.Visitor.
func (v *visitor) Visit(node *ast.Node) {
	switch n := (*node).(type) {
	case *ast.MemberNode:
		v.uses = v.add(v.uses, n.Node, n.Property)
	case *ast.BuiltinNode:
		if n.Name == "get" && len(n.Arguments) > 1 {
			v.uses = v.add(v.uses, n.Arguments[0], n.Arguments[1])
		}
	case *ast.BinaryNode:
		if n.Operator == "in" {
			v.asked = v.add(v.asked, n.Right, n.Left)
		}
	case *ast.IdentifierNode:
		if n.Value == "changed" {
			v.uses = append(v.uses, delivery.ColumnUse{Setting: v.setting, Of: n.Value})
		}
	}
}

func (v *visitor) add(to []delivery.ColumnUse, of, column ast.Node) []delivery.ColumnUse {
	object, named := of.(*ast.IdentifierNode)
	name, constant := column.(*ast.StringNode)
	if !named || !constant || !slices.Contains([]string{"row", "old", "key"}, object.Value) {
		return to
	}
	return append(to, delivery.ColumnUse{Setting: v.setting, Of: object.Value, Column: name.Value})
}
