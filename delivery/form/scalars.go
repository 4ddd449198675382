package form

import (
	"fmt"
	"regexp"
	"strconv"
	"strings"

	"github.com/goccy/go-yaml/ast"
	"github.com/goccy/go-yaml/token"

	"redrive/delivery"
)

// ScalarError is a value that its setting cannot take.
type ScalarError struct {
	At   *token.Token
	Text string
}

func (e *ScalarError) Error() string { return e.Text }

// Whole is a setting that is a whole number, written in decimal.
type Whole int

var decimal = regexp.MustCompile(`^-?(0|[1-9][0-9]*)$`)

// UnmarshalYAML implements yaml.NodeUnmarshaler.
func (n *Whole) UnmarshalYAML(node ast.Node) error {
	text, ok := scalarText(node)
	if !ok {
		return nil // null: not given
	}
	value, err := strconv.Atoi(text)
	switch {
	case !decimal.MatchString(text) && err == nil:
		return &ScalarError{
			node.GetToken(),
			fmt.Sprintf("%s: write the number without a sign or zeros before it: %d", text, value),
		}
	case !decimal.MatchString(text):
		return &ScalarError{node.GetToken(), fmt.Sprintf("%q is no whole number in decimal such as 8", text)}
	case err != nil:
		return &ScalarError{node.GetToken(), text + " is too large"}
	}
	*n = Whole(value)
	return nil
}

// Truth is a setting that is true or false.
type Truth bool

// UnmarshalYAML implements yaml.NodeUnmarshaler.
func (t *Truth) UnmarshalYAML(node ast.Node) error {
	text, ok := scalarText(node)
	if !ok {
		return nil
	}
	on := strings.EqualFold(text, "true")
	if !on && !strings.EqualFold(text, "false") {
		return &ScalarError{node.GetToken(), fmt.Sprintf("%q is neither true nor false", text)}
	}
	*t = Truth(on)
	return nil
}

// Original is a setting that is fetch or as-is.
type Original delivery.Original

// UnmarshalYAML implements yaml.NodeUnmarshaler.
func (o *Original) UnmarshalYAML(node ast.Node) error {
	text, ok := scalarText(node)
	if !ok {
		return nil
	}
	if *o = Original(text); text != string(delivery.OriginalFetch) && text != string(delivery.OriginalAsIs) {
		return &ScalarError{node.GetToken(), fmt.Sprintf("%q is neither fetch nor as-is", text)}
	}
	return nil
}

// scalarText is what stands for a scalar; a list or a mapping shows as its YAML. Null is not ok.
func scalarText(node ast.Node) (text string, ok bool) {
	if anchor, is := node.(*ast.AnchorNode); is {
		node = anchor.Value
	}
	switch n := node.(type) {
	case *ast.NullNode:
		return "", false
	case *ast.StringNode:
		return n.Value, true
	}
	return node.String(), true
}

// Column is a name, for a column that is called the same in query and file, or one pair: name in the file: name in the query's
// result. What is neither stays empty.
type Column delivery.FileColumn

// UnmarshalYAML implements yaml.InterfaceUnmarshaler.
func (c *Column) UnmarshalYAML(unmarshal func(any) error) error {
	var name string
	if unmarshal(&name) == nil {
		*c = Column{Name: name, From: name}
		return nil
	}
	var pair map[string]string
	if unmarshal(&pair) == nil && len(pair) == 1 {
		for name, from := range pair {
			*c = Column{Name: name, From: from}
		}
	}
	return nil
}

// Addresses is a list of host:port. The YAML library takes an unquoted one inside [ ] for a mapping of host to port; people write
// it that way.
type Addresses []string

// UnmarshalYAML implements yaml.InterfaceUnmarshaler.
func (a *Addresses) UnmarshalYAML(unmarshal func(any) error) error {
	var items []any
	if err := unmarshal(&items); err != nil {
		var one string
		if unmarshal(&one) != nil {
			return err
		}
		items = []any{one}
	}
	for _, item := range items {
		switch item := item.(type) {
		case string:
			*a = append(*a, item)
		case map[string]any:
			for host, port := range item {
				*a = append(*a, fmt.Sprintf("%s:%v", host, port))
			}
		default:
			*a = append(*a, "")
		}
	}
	return nil
}
