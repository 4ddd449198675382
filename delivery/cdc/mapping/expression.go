package mapping

import (
	"errors"
	"fmt"
	"reflect"
	"strings"

	"github.com/expr-lang/expr"
	"github.com/expr-lang/expr/ast"
	"github.com/expr-lang/expr/file"
	"github.com/expr-lang/expr/vm"
)

// Bounds of one expression. They hold back a mistake, such as a loop in a loop over a long document.
const (
	maxNodes  = 1000
	maxMemory = 1_000_000 // elements, as expr counts
)

// expression is one compiled setting of a rule.
type expression struct {
	setting string
	program *vm.Program
}

func compile(line int, setting, source string) (*expression, error) {
	if strings.TrimSpace(source) == "" {
		return nil, nil
	}
	options := []expr.Option{expr.Env(fields{}), expr.MaxNodes(maxNodes), expr.Timezone("UTC"), expr.Patch(arithmetic{}),
		expr.Function(numberFunction, func(args ...any) (any, error) { return calculable(args[0]), nil }, new(func(any) any)),
		expr.DisableBuiltin("now")} // the same change becomes the same message whenever it is read
	if setting == "when" {
		options = append(options, expr.AsBool())
	}
	program, err := expr.Compile(source, options...)
	if err != nil {
		return nil, &Error{Line: line, Text: fmt.Sprintf("%s: %s in %q", setting, explain(err), source)}
	}
	return &expression{setting: setting, program: program}, nil
}

// explain is what expr says, without the picture it draws.
func explain(err error) string {
	var positioned *file.Error
	if errors.As(err, &positioned) {
		return fmt.Sprintf("%s at column %d", positioned.Message, positioned.Column+1)
	}
	return err.Error()
}

// run evaluates; whatever goes wrong is an error of this change.
func (e *expression) run(env *environment) (value any, err error) {
	defer func() {
		if thrown := recover(); thrown != nil {
			err = fmt.Errorf("%s: %v", e.setting, thrown)
		}
	}()
	machine := vm.VM{MemoryBudget: maxMemory}
	if value, err = machine.Run(e.program, env.fields()); err != nil {
		return nil, fmt.Errorf("%s: %s", e.setting, explain(err))
	}
	return value, nil
}

// part is a piece of a template: text, or an expression.
type part struct {
	literal string
	value   *expression
}

// compileTemplate splits text with {{ expression }} in it; nil for an empty one.
func compileTemplate(line int, setting, text string) (parts []part, err error) {
	for text != "" {
		literal, rest, found := strings.Cut(text, "{{")
		if literal != "" {
			parts = append(parts, part{literal: literal})
		}
		if !found {
			break
		}
		source, after, closed := strings.Cut(rest, "}}")
		if !closed {
			return nil, &Error{Line: line, Text: fmt.Sprintf("%s: a {{ has no closing }} in %q", setting, text)}
		}
		value, err := compile(line, setting, source)
		if err != nil {
			return nil, err
		}
		if value == nil {
			return nil, &Error{Line: line, Text: fmt.Sprintf("%s: there is nothing between {{ and }}", setting)}
		}
		parts, text = append(parts, part{value: value}), after
	}
	return parts, nil
}

func (p part) text(env *environment) (string, error) {
	if p.value == nil {
		return p.literal, nil
	}
	value, err := p.value.run(env)
	if err != nil {
		return "", err
	}
	text, err := scalar(value)
	if err == nil && text == "" {
		err = errors.New("an expression in it yields nothing")
	}
	if err != nil {
		return "", fmt.Errorf("%s: %w", p.value.setting, err)
	}
	return text, nil
}

// numberFunction is put around what is calculated with.
const numberFunction = "$number"

// arithmetic lets numbers that keep their digits be calculated with and compared: where an operand's type is only known when
// it is there, it is made a float64 first.
type arithmetic struct{}

var (
	operators = map[string]bool{
		"+":  true,
		"-":  true,
		"*":  true,
		"/":  true,
		"%":  true,
		"**": true,
		"^":  true,
		"<":  true,
		"<=": true,
		">":  true,
		">=": true,
		"==": true,
		"!=": true,
		"..": true,
	}
	calculating = map[string]bool{
		"abs":   true,
		"ceil":  true,
		"floor": true,
		"round": true,
		"int":   true,
		"float": true,
		"max":   true,
		"min":   true,
	}
)

// Visit implements ast.Visitor.
func (arithmetic) Visit(node *ast.Node) {
	switch n := (*node).(type) {
	case *ast.BinaryNode:
		if operators[n.Operator] {
			n.Left, n.Right = asNumber(n.Left), asNumber(n.Right)
		}
	case *ast.UnaryNode:
		if n.Operator == "-" || n.Operator == "+" {
			n.Node = asNumber(n.Node)
		}
	case *ast.BuiltinNode:
		if calculating[n.Name] {
			for i := range n.Arguments {
				n.Arguments[i] = asNumber(n.Arguments[i])
			}
		}
	}
}

func asNumber(node ast.Node) ast.Node {
	if t := node.Type(); t != nil && t.Kind() != reflect.Interface {
		return node // its type is known
	}
	return &ast.CallNode{Callee: &ast.IdentifierNode{Value: numberFunction}, Arguments: []ast.Node{node}}
}
