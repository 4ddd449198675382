package config

import (
	"bytes"
	"fmt"
	"slices"
	"unicode/utf8"

	"github.com/goccy/go-yaml/ast"
	"github.com/goccy/go-yaml/parser"
	"github.com/goccy/go-yaml/token"

	"redrive/delivery/form"
)

// YAML guesses the type of what is written without quotes: 0123 becomes 83, 1.10 becomes 1.1. Here the setting knows its type:
// a text is the characters that stand in the file, and only form.Whole and form.Truth read a number or a truth value out of them.

var byteOrderMark = []byte("\ufeff")

// document reads the one document of a file, with each scalar as written and each merge (<<) carried out. data has no byte order
// mark any more.
func document(name string, data []byte) (ast.Node, error) {
	if !utf8.Valid(data) {
		return nil, &Error{
			File: name,
			Line: 1 + bytes.Count(data[:invalidAt(data)], []byte("\n")),
			Text: "the file is not UTF-8; save it in that encoding",
		}
	}
	file, err := parser.ParseBytes(data, 0)
	if err != nil {
		return nil, syntaxError(name, err)
	}
	docs := slices.DeleteFunc(file.Docs, func(d *ast.DocumentNode) bool {
		return d.Body == nil || d.Body.Type() == ast.CommentType || d.Body.Type() == ast.DirectiveType
	})
	switch {
	case len(docs) == 0 || docs[0].Body.Type() == ast.NullType:
		return nil, &Error{File: name, Text: "the file is empty; write integrations: and below it what goes where"}
	case len(docs) > 1:
		return nil, &Error{File: name, Text: "there is more than one YAML document; keep everything in one"}
	}
	w := writer{anchors: map[string]ast.Node{}}
	body := w.node(docs[0].Body)
	if w.err != nil {
		return nil, syntaxError(name, w.err)
	}
	return body, nil
}

// invalidAt is where data stops being UTF-8.
func invalidAt(data []byte) (at int) {
	for at < len(data) {
		r, size := utf8.DecodeRune(data[at:])
		if r == utf8.RuneError && size <= 1 {
			return at
		}
		at += size
	}
	return at
}

// writer goes over a document and puts texts in the place of what YAML took for numbers and truth values.
type writer struct {
	anchors map[string]ast.Node // as far as they were met
	err     error               // the first mistake
}

func (w *writer) fail(at ast.Node, format string, args ...any) {
	if w.err == nil {
		w.err = &form.ScalarError{At: at.GetToken(), Text: fmt.Sprintf(format, args...)}
	}
}

func (w *writer) node(n ast.Node) ast.Node {
	switch n := n.(type) {
	case *ast.IntegerNode, *ast.FloatNode, *ast.InfinityNode, *ast.NanNode, *ast.BoolNode:
		return ast.String(n.GetToken())
	case *ast.MappingNode:
		n.Values = w.pairs(n.Values)
	case *ast.MappingValueNode: // a mapping of one pair
		return ast.Mapping(n.GetToken(), false, w.pairs([]*ast.MappingValueNode{n})...)
	case *ast.SequenceNode:
		for i, value := range n.Values {
			if text := colonInside(value); text != nil && n.IsFlowStyle {
				value = text
			}
			n.Values[i] = w.node(value)
		}
	case *ast.AnchorNode:
		n.Value = w.node(n.Value)
		w.anchors[n.Name.GetToken().Value] = n.Value
	case *ast.TagNode:
		if n.Start.Value != "!!str" {
			w.fail(n, "the tag %s has no meaning here; write the value alone", n.Start.Value)
		}
		return w.node(n.Value)
	}
	return n
}

// pairs are those of one mapping. What stands there itself wins over what is merged into it, and of that the first.
func (w *writer) pairs(list []*ast.MappingValueNode) []*ast.MappingValueNode {
	var out, merged []*ast.MappingValueNode
	for _, pair := range list {
		if pair.Key.IsMergeKey() {
			merged = append(merged, w.merged(pair.Value)...)
			continue
		}
		if colonInside(pair) != nil {
			w.fail(pair.Key, "put a space after the colon, or quotes around a name that has one in it")
		}
		pair.Value = w.node(pair.Value)
		if key, ok := w.node(pair.Key).(ast.MapKeyNode); ok {
			pair.Key = key
		}
		out = append(out, pair)
	}
	for _, pair := range merged {
		if !slices.ContainsFunc(out, func(own *ast.MappingValueNode) bool { return keyText(own) == keyText(pair) }) {
			out = append(out, pair)
		}
	}
	return out
}

// colonInside returns the text of a:b, which YAML 1.2 takes for one text and the parser, between brackets, for a mapping. Nil: a
// pair as it should be, or none.
func colonInside(n ast.Node) ast.Node {
	if mapping, ok := n.(*ast.MappingNode); ok && len(mapping.Values) == 1 && mapping.Start.Type != token.MappingStartType {
		n = mapping.Values[0]
	}
	pair, ok := n.(*ast.MappingValueNode)
	if !ok || pair.Value == nil {
		return nil
	}
	key, colon, value := pair.Key.GetToken(), pair.Start.Position, pair.Value.GetToken()
	if value.Type == token.NullType || value.Position.Line != colon.Line || value.Position.Column != colon.Column+1 ||
		key.Type == token.DoubleQuoteType || key.Type == token.SingleQuoteType {
		return nil
	}
	whole := *key
	whole.Value = key.Value + ":" + value.Value
	return ast.String(&whole)
}

func keyText(pair *ast.MappingValueNode) string {
	if text, ok := pair.Key.(*ast.StringNode); ok {
		return text.Value
	}
	return pair.Key.String()
}

// merged are the pairs that << brings: of a mapping, of an alias of one, or of a list of these.
func (w *writer) merged(value ast.Node) []*ast.MappingValueNode {
	switch n := value.(type) {
	case *ast.AliasNode:
		if known := w.anchors[n.Value.GetToken().Value]; known != nil {
			return w.merged(known)
		}
		w.fail(n, "no mapping named &%s stands before this line", n.Value.GetToken().Value)
		return nil
	case *ast.AnchorNode:
		w.node(n)
		return w.merged(n.Value)
	case *ast.MappingValueNode:
		return w.merged(w.node(n))
	case *ast.MappingNode:
		return w.pairs(n.Values)
	case *ast.SequenceNode:
		var all []*ast.MappingValueNode
		for _, one := range n.Values {
			all = append(all, w.merged(one)...)
		}
		return all
	}
	w.fail(value, "<< merges mappings; write <<: *name, where &name stands before a mapping above")
	return nil
}
