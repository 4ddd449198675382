package table

import (
	"encoding/hex"
	"encoding/json"
	"regexp"
	"strconv"
	"strings"
	"unicode/utf8"
)

// reading makes of a file's value the text that a column takes, nil for NULL, or says why it cannot.
type reading func(given string) (text *string, problem string)

func asIs(given string) (*string, string) { return &given, "" }

// shapes are notations that lose nothing: the types would also read others, and let go of a zone, a time of day or further digits.
var shapes = map[string]*shape{
	"date":        {`D`, "a date such as 2026-01-31"},
	"timestamp":   {`D[T ]C`, "a time without a zone such as 2026-01-31T12:00:00"},
	"timestamptz": {`D[T ]CZ`, "a time with its zone such as 2026-01-31T12:00:00Z"},
	"time":        {`C`, "a time of day without a zone such as 12:00:00"},
	"timetz":      {`CZ`, "a time of day with its zone such as 12:00:00+09"},
	"bytea":       {`\\x(?:[0-9a-fA-F]{2})*`, `bytes, which are written as \x and hexadecimal digits`},
}

type shape struct{ form, words string }

var shapeForms = func() map[string]*regexp.Regexp {
	parts := strings.NewReplacer("D", `\d{4,}-\d\d-\d\d`, "C", `\d\d:\d\d(?::\d\d(?:\.\d{1,6})?)?`, "Z",
		` ?(?:Z|[+-]\d\d(?::?\d\d(?::\d\d)?)?)`)
	forms := map[string]*regexp.Regexp{}
	for name, s := range shapes {
		text := s.form
		if name != "bytea" {
			text = parts.Replace(text)
		}
		if strings.HasPrefix(s.form, "D") {
			text = "(?:" + text + "(?: BC)?|-?infinity)"
		}
		forms[name] = regexp.MustCompile("^" + text + "$")
	}
	return forms
}()

// fitting is r for a column of a type that reads more than it keeps.
func (r reading) fitting(base string) reading {
	name := strings.TrimPrefix(base, catalog)
	return func(given string) (*string, string) {
		text, problem := r(given)
		switch {
		case problem != "" || text == nil:
		case strings.Contains(*text, "\x00"):
			problem = "it holds a zero byte, which no text of Postgres can"
		case shapes[name] != nil && !shapeForms[name].MatchString(*text):
			problem = "this is no " + strings.TrimPrefix(shapes[name].words, "a ")
		case name == "jsonb" && repeats(*text):
			problem = "an object names a member twice, of which jsonb would keep one"
		}
		return text, problem
	}
}

// repeats reports whether an object of a JSON text has two members of one name. What is no JSON is for Postgres to refuse.
func repeats(text string) bool {
	type level struct {
		object, value bool // value: the next token of an object is one
		names         map[string]bool
	}
	var open []*level
	in := json.NewDecoder(strings.NewReader(text))
	in.UseNumber()
	for {
		token, err := in.Token()
		if err != nil {
			return false
		}
		if len(open) > 0 {
			l := open[len(open)-1]
			if name, ok := token.(string); ok && l.object && !l.value {
				if l.names[name] {
					return true
				}
				l.names[name], l.value = true, true
				continue
			}
			l.value = false
		}
		switch token {
		case json.Delim('{'):
			open = append(open, &level{object: true, names: map[string]bool{}})
		case json.Delim('['):
			open = append(open, &level{})
		case json.Delim('}'), json.Delim(']'):
			open = open[:len(open)-1]
		}
	}
}

// payload reads a message's bytes as text.
func payload(given string) (*string, string) {
	raw, err := hex.DecodeString(strings.TrimPrefix(given, `\x`))
	switch text := string(raw); {
	case err != nil:
		return nil, "these are no bytes in the form of bytea"
	case !utf8.Valid(raw):
		return nil, "the payload is no text in UTF-8; a column of type bytea takes it"
	case strings.Contains(text, "\x00"):
		return nil, "the payload holds a zero byte, which no text of Postgres can; a column of type bytea takes it"
	default:
		return &text, ""
	}
}

// messageValue reads a JSON value for a column of that type: json and jsonb get it as it is; for the others a string is its
// characters, null is NULL, and all else is as it is written.
type messageValue struct{ base string }

func (m messageValue) read(given string) (*string, string) {
	switch {
	case m.base == catalog+"json" || m.base == catalog+"jsonb":
		return &given, ""
	case given == "null":
		return nil, ""
	case !strings.HasPrefix(given, `"`):
		return &given, ""
	case !utf8.ValidString(given) || halved(given):
		return nil, "this string has characters that are none: bytes that are no UTF-8, or halves of surrogates"
	}
	var text string
	if json.Unmarshal([]byte(given), &text) != nil {
		return nil, "this is no JSON value"
	}
	if strings.Contains(text, "\x00") {
		return nil, "it holds a zero byte, which no text of Postgres can"
	}
	return &text, ""
}

// legacy reads a value of a file that earlier versions made, which does not say of what type it is.
type legacy struct{ base string }

func (l legacy) read(given string) (*string, string) {
	isJSON := l.base == catalog+"json" || l.base == catalog+"jsonb"
	switch {
	case given == "null":
		return nil, ""
	case isJSON && strings.HasPrefix(given, `"`), l.base == catalog+"bytea":
		return nil, "an earlier version made this file, which does not say whether this is text: run the batch again for the file's date"
	}
	return messageValue(l).read(given)
}

// halved reports whether a JSON string has one half of a surrogate pair without the other: readers put U+FFFD there.
func halved(text string) bool {
	unit := func(at int) uint64 { // of \uXXXX at that place; 0: none is there
		if at+6 > len(text) || text[at] != '\\' || text[at+1] != 'u' {
			return 0
		}
		n, _ := strconv.ParseUint(text[at+2:at+6], 16, 16)
		return n
	}
	for i := 0; i < len(text); i++ {
		if text[i] != '\\' {
			continue
		}
		switch n := unit(i); {
		case n>>10 == 0xd800>>10 && unit(i+6)>>10 == 0xdc00>>10:
			i += 11
		case n>>11 == 0xd800>>11:
			return true
		default:
			i++ // the character that is escaped
		}
	}
	return false
}
