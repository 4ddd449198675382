package delivery

import (
	"bytes"
	"encoding/json"
	"fmt"
	"regexp"
	"strings"
)

// jsonNumber is what compares as a number, with its digits before the point; longer ones are looked for as text only.
var jsonNumber = regexp.MustCompile(`^(-?(?:0|[1-9][0-9]{0,39}))(?:\.[0-9]{1,40})?([eE][+-]?[0-9]{1,2})?$`)

// WholeDigits are the digits before the point of a value that is a number, as a payload writes them in front of any number that equals
// it and has no exponent: 42 of 42 and 42.0. Empty for what is no such number.
func (p PathValue) WholeDigits() string {
	found := jsonNumber.FindStringSubmatch(p.Value)
	if found == nil || found[2] != "" || found[1] == "-0" {
		return ""
	}
	return found[1]
}

// JSONPath writes the condition as a predicate in the path language of SQL/JSON, and says whether an index of paths can serve it: one with .* or ..
// names no path. ok is false where the path cannot be read.
func (p PathValue) JSONPath() (text string, indexed, ok bool) {
	steps, ok := parsePath(p.Path)
	if !ok {
		return "", false, false
	}
	var b strings.Builder
	b.WriteString("exists($")
	indexed = true
	for _, s := range steps {
		if s.deep {
			b.WriteString(".**")
		}
		indexed = indexed && !s.deep && (!s.any || s.bracket)
		switch {
		case s.any && s.bracket:
			b.WriteString("[*]")
		case s.any:
			b.WriteString(".*")
		case s.index >= 0:
			fmt.Fprintf(&b, "[%d]", s.index)
		default:
			b.WriteString("." + jsonText(s.name))
		}
	}
	b.WriteString(" ? (@ == " + jsonText(p.Value))
	if jsonNumber.MatchString(p.Value) || p.Value == "true" || p.Value == "false" || p.Value == "null" {
		b.WriteString(" || @ == " + p.Value)
	}
	return b.String() + "))", indexed, true
}

// jsonText writes a text as JSON does, which is how the path language writes it too.
func jsonText(text string) string {
	var b bytes.Buffer
	encoder := json.NewEncoder(&b)
	encoder.SetEscapeHTML(false)
	_ = encoder.Encode(text) // a string: cannot fail
	return strings.TrimSuffix(b.String(), "\n")
}
