// Package schema checks payloads against a JSON Schema, and says what does not fit in words for people. What it says never quotes
// a value: the field may be one that is hidden. Where a payload has delivery.Hidden in place of a value, nothing is said of that value or of
// what follows from it: it is the producer's, and whether it fits is for nobody to learn.
package schema

import (
	"bytes"
	"errors"
	"fmt"
	"math/big"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"github.com/santhosh-tekuri/jsonschema/v6"
	"github.com/santhosh-tekuri/jsonschema/v6/kind"
	"golang.org/x/text/language"
	"golang.org/x/text/message"

	"redrive/delivery"
)

// maxViolations is how many are told at once.
const maxViolations = 20

// Checker is a compiled schema. It is safe for concurrent use.
type Checker struct{ schema *jsonschema.Schema }

// Violation is one thing that does not fit.
type Violation struct {
	Path    string // such as $.items[2].name
	Message string
}

func (v Violation) String() string { return v.Path + ": " + v.Message }

// alone refuses to read anything but the schema itself.
type alone struct{}

// Load implements jsonschema.URLLoader.
func (alone) Load(string) (any, error) {
	return nil, errors.New("other files and addresses are not read: put it under $defs of this file")
}

// place names the schema among the addresses that its references may have; it is never read from there.
const place = "redrive:///schema.json"

// Compile reads a schema of draft 4 to 2020-12 (without $schema the latter). Formats are checked.
func Compile(raw []byte) (Checker, error) {
	doc, err := jsonschema.UnmarshalJSON(bytes.NewReader(raw))
	if err != nil {
		return Checker{}, fmt.Errorf("it is not JSON: %w", err)
	}
	c := jsonschema.NewCompiler()
	c.UseLoader(alone{})
	c.AssertFormat()
	if err := c.AddResource(place, doc); err != nil {
		return Checker{}, fmt.Errorf("it is no schema: %w", err)
	}
	compiled, err := c.Compile(place)
	if err != nil {
		return Checker{}, sentence(err)
	}
	return Checker{compiled}, nil
}

// sentence says in one line why a schema is none.
func sentence(err error) error {
	var outside *jsonschema.LoadURLError
	var invalid *jsonschema.SchemaValidationError
	var violated *jsonschema.ValidationError
	switch {
	case errors.As(err, &outside):
		return fmt.Errorf("it refers to %s: %w", outside.URL, outside.Err)
	case errors.As(err, &invalid) && errors.As(invalid.Err, &violated):
		if list := violations(violated, nil); len(list) > 0 {
			return fmt.Errorf("it is no schema: %s", list[0])
		}
	}
	return fmt.Errorf("it is no schema: %s", strings.ReplaceAll(strings.ReplaceAll(err.Error(), place, ""), "\n", " "))
}

// Check returns what does not fit, in the order of the payload's places; nothing when all does.
func (c Checker) Check(payload []byte) []Violation {
	doc, err := jsonschema.UnmarshalJSON(bytes.NewReader(payload))
	if err != nil {
		return []Violation{{Path: "$", Message: "this is not JSON"}}
	}
	var violated *jsonschema.ValidationError
	if errors.As(c.schema.Validate(doc), &violated) {
		return violations(violated, doc)
	}
	return nil
}

// Sentences is Check as texts.
func (c Checker) Sentences(payload []byte) []string {
	var out []string
	for _, v := range c.Check(payload) {
		out = append(out, v.String())
	}
	return out
}

func violations(e *jsonschema.ValidationError, doc any) []Violation {
	var list []Violation
	collect(e, doc, holdsHidden(doc), &list)
	slices.SortFunc(list, func(a, b Violation) int {
		return strings.Compare(a.Path+"\x00"+a.Message, b.Path+"\x00"+b.Message)
	})
	list = slices.Compact(list)
	return list[:min(len(list), maxViolations)]
}

// collect goes down to what people can mend. Of several allowed shapes it is not known which one was meant.
func collect(e *jsonschema.ValidationError, doc any, hides bool, list *[]Violation) {
	if hides && followsFromHidden(e, doc) {
		return
	}
	switch e.ErrorKind.(type) {
	case *kind.AnyOf, *kind.OneOf, *kind.Not, *kind.Contains:
	default:
		if len(e.Causes) > 0 {
			for _, cause := range e.Causes {
				collect(cause, doc, hides, list)
			}
			return
		}
	}
	*list = append(*list, Violation{Path: path(e.InstanceLocation, doc), Message: words(e.ErrorKind)})
}

// conditional are parts of a schema that hold or do not because of other values.
var conditional = regexp.MustCompile(`/(then|else|unevaluatedProperties|unevaluatedItems)(/|$)`)

// followsFromHidden reports whether a violation may be one because of a hidden value.
func followsFromHidden(e *jsonschema.ValidationError, doc any) bool {
	at := valueAt(doc, e.InstanceLocation)
	switch e.ErrorKind.(type) {
	case *kind.AnyOf, *kind.OneOf, *kind.Not, *kind.Contains, *kind.MinContains, *kind.MaxContains, *kind.UniqueItems, *kind.Enum, *kind.Const:
		return holdsHidden(at)
	}
	return at == delivery.Hidden || conditional.MatchString(e.SchemaURL)
}

// holdsHidden reports whether a value is hidden, or has one in it.
func holdsHidden(value any) bool {
	switch value := value.(type) {
	case string:
		return value == delivery.Hidden
	case []any:
		return slices.ContainsFunc(value, holdsHidden)
	case map[string]any:
		for _, inner := range value {
			if holdsHidden(inner) {
				return true
			}
		}
	}
	return false
}

// valueAt is the value at a place; nil where there is none.
func valueAt(doc any, tokens []string) any {
	for _, token := range tokens {
		switch at := doc.(type) {
		case []any:
			i, err := strconv.Atoi(token)
			if err != nil || i >= len(at) {
				return nil
			}
			doc = at[i]
		case map[string]any:
			doc = at[token]
		default:
			return nil
		}
	}
	return doc
}

// path writes a place as the masks of the integrations file are written.
func path(tokens []string, doc any) string {
	out := "$"
	for _, token := range tokens {
		switch at := doc.(type) {
		case []any:
			out += "[" + token + "]"
			if i, err := strconv.Atoi(token); err == nil && i < len(at) {
				doc = at[i]
			}
			continue
		case map[string]any:
			doc = at[token]
		}
		if token == "" || strings.ContainsAny(token, ".[]'\" ") {
			out += "['" + token + "']"
		} else {
			out += "." + token
		}
	}
	return out
}

var english = message.NewPrinter(language.English)

// words never quote the value that was found. What is not listed quotes none by itself.
func words(k jsonschema.ErrorKind) string {
	switch k := k.(type) {
	case *kind.Type:
		return "must be " + strings.Join(k.Want, " or ") + ", not " + k.Got
	case *kind.Required:
		return "lacks " + quoted(k.Missing)
	case *kind.AdditionalProperties:
		return "has " + quoted(k.Properties) + ", which is not foreseen"
	case *kind.Format:
		return "is no valid " + k.Want
	case *kind.Pattern:
		return "does not fit the pattern " + k.Want
	case *kind.MinLength:
		return fmt.Sprintf("must have at least %d characters", k.Want)
	case *kind.MaxLength:
		return fmt.Sprintf("may have at most %d characters", k.Want)
	case *kind.Minimum:
		return "must be at least " + number(k.Want)
	case *kind.Maximum:
		return "must be at most " + number(k.Want)
	case *kind.ExclusiveMinimum:
		return "must be more than " + number(k.Want)
	case *kind.ExclusiveMaximum:
		return "must be less than " + number(k.Want)
	case *kind.MultipleOf:
		return "must be a multiple of " + number(k.Want)
	}
	return shape(k)
}

// shape tells of values that are made of others.
func shape(k jsonschema.ErrorKind) string {
	switch k := k.(type) {
	case *kind.MinItems:
		return fmt.Sprintf("must have at least %d elements", k.Want)
	case *kind.MaxItems:
		return fmt.Sprintf("may have at most %d elements", k.Want)
	case *kind.UniqueItems:
		return fmt.Sprintf("has the same element at [%d] and [%d]", k.Duplicates[0], k.Duplicates[1])
	case *kind.AnyOf, *kind.OneOf:
		return "has none of the allowed shapes, or more than one of them"
	case *kind.Not:
		return "has a shape that is not allowed"
	case *kind.Contains:
		return "has none of the elements that it must have"
	case *kind.FalseSchema:
		return "is not allowed here"
	case *kind.ContentEncoding:
		return "is not written in " + k.Want
	case *kind.ContentMediaType:
		return "is no " + k.Want
	}
	return k.LocalizedString(english)
}

func quoted(names []string) string {
	out := make([]string, len(names))
	for i, name := range names {
		out[i] = strconv.Quote(name)
	}
	return strings.Join(out, ", ")
}

func number(n *big.Rat) string {
	if n.IsInt() {
		return n.Num().String()
	}
	text, _ := n.FloatPrec()
	return n.FloatString(max(text, 1))
}
