package delivery

import (
	"bytes"
	"regexp"
	"slices"
	"strings"
	"sync"
	"unicode/utf8"
)

// Forms of a rule of `mask` beside a JSON path.
const (
	maskHeader  = "header:"  // a header of the message, and of what is sent and answered, by its name
	maskColumn  = "column:"  // a column of CSV, a key of key=value lines, and the member of that name of a row that is JSON
	maskPattern = "pattern:" // what an expression of RE2 finds, in payload, headers, answers and errors
	maskDetect  = "detect:"  // what a detector finds, there as well
)

// maxPattern bounds an expression of a mask, in bytes.
const maxPattern = 1000

// MaskProblem is what is wrong with a rule of `mask`.
type MaskProblem string

// Problems of rules.
const (
	NoMaskPath     MaskProblem = "path"     // no JSON path, and of no other form
	NoMaskHeader   MaskProblem = "header"   // no name of a header
	NoMaskColumn   MaskProblem = "column"   // no name
	NoMaskPattern  MaskProblem = "pattern"  // no expression of RE2, or too long
	FindsNothing   MaskProblem = "nothing"  // an expression that fits the empty text
	NoMaskDetector MaskProblem = "detector" // see Detectors
)

// CheckMask says what is wrong with a rule of `mask`; nothing is empty.
func CheckMask(rule string) MaskProblem {
	kind, what := maskKind(rule)
	_, readable := readRules([]string{rule})
	switch {
	case kind == maskHeader && !IsHeaderName(what):
		return NoMaskHeader
	case kind == maskColumn && strings.TrimSpace(what) == "":
		return NoMaskColumn
	case kind == maskPattern && (!readable || len(what) > maxPattern):
		return NoMaskPattern
	case kind == maskPattern && regexp.MustCompile(what).MatchString(""):
		return FindsNothing
	case kind == maskDetect && !readable:
		return NoMaskDetector
	case !readable:
		return NoMaskPath
	}
	return ""
}

// maskKind splits a rule; of a path the kind is empty.
func maskKind(rule string) (kind, what string) {
	for _, kind := range []string{maskHeader, maskColumn, maskPattern, maskDetect} {
		if what, found := strings.CutPrefix(rule, kind); found {
			return kind, what
		}
	}
	return "", rule
}

// maskRules are the rules of `mask` as they are applied.
type maskRules struct {
	steps   [][]step
	paths   bool     // some are of JSON alone
	columns []string // names
	headers []string // names in lower case
	find    finder
}

// finder finds in texts.
type finder struct {
	patterns []*regexp.Regexp
	detect   detection
}

// patterns are those of the integrations file, compiled once.
var patterns sync.Map // expression: *regexp.Regexp

// readRules reads rules; ok is false when one cannot be read.
func readRules(rules []string) (r maskRules, ok bool) {
	for _, rule := range rules {
		if kind, what := maskKind(rule); !r.add(kind, what) {
			return r, false
		}
	}
	return r, true
}

func (r *maskRules) add(kind, what string) bool {
	switch kind {
	case maskHeader:
		r.headers = append(r.headers, strings.ToLower(what))
	case maskColumn:
		r.columns = append(r.columns, what)
		member := step{name: what, index: -1}
		r.steps = append(r.steps, []step{member}, []step{{any: true, index: -1}, member})
	case maskPattern:
		re, ok := patternOf(what)
		r.find.patterns = append(r.find.patterns, re)
		return ok
	case maskDetect:
		return r.find.detect.add(what)
	default:
		steps, ok := parsePath(what)
		r.steps, r.paths = append(r.steps, steps), true
		return ok
	}
	return true
}

func patternOf(expression string) (*regexp.Regexp, bool) {
	if re, known := patterns.Load(expression); known {
		return re.(*regexp.Regexp), true
	}
	re, err := regexp.Compile(expression)
	if err != nil {
		return nil, false
	}
	patterns.Store(expression, re)
	return re, true
}

// span is where something stands in a text, by bytes.
type span struct{ from, to int }

// empty reports whether f looks for nothing.
func (f *finder) empty() bool { return len(f.patterns) == 0 && !f.detect.any() }

// and finds what f or other finds.
func (f finder) and(other finder) finder {
	d, o := f.detect, other.detect
	return finder{patterns: append(slices.Clone(f.patterns), other.patterns...),
		detect: detection{d.resident || o.resident, d.card || o.card, d.phone || o.phone, d.email || o.email}}
}

// in are the places in a text, in their order, without one in another.
func (f *finder) in(text []byte) []span {
	if f.empty() {
		return nil
	}
	list := f.detect.in(text)
	for _, re := range f.patterns {
		for _, at := range re.FindAllIndex(text, -1) {
			if at[1] > at[0] {
				list = append(list, span{at[0], at[1]})
			}
		}
	}
	return joined(list)
}

// hide is a text without what f finds in it.
func (f *finder) hide(text string) string {
	list := f.in([]byte(text))
	if len(list) == 0 {
		return text
	}
	return string(hideSpans([]byte(text), list))
}

// joined sorts places, and makes one of those that overlap.
func joined(list []span) (out []span) {
	slices.SortFunc(list, func(a, b span) int { return a.from - b.from })
	for _, s := range list {
		if last := len(out) - 1; last >= 0 && s.from < out[last].to {
			out[last].to = max(out[last].to, s.to)
			continue
		}
		out = append(out, s)
	}
	return out
}

// hideSpans is a text with Hidden in each of the places.
func hideSpans(text []byte, list []span) []byte {
	out, copied := make([]byte, 0, len(text)+16), 0
	for _, s := range list {
		out = append(append(out, text[copied:s.from]...), Hidden...)
		copied = s.to
	}
	return append(out, text[copied:]...)
}

// spansOf are the places to hide in a payload that is no JSON: fields of its columns, and what is found. ok is false where they cannot
// be told: paths of JSON are masked, no column is there, or the payload is no text.
func (r *maskRules) spansOf(payload []byte) (list []span, ok bool) {
	if r.paths || !utf8.Valid(payload) || bytes.IndexByte(payload, 0) >= 0 {
		return nil, false
	}
	if len(r.columns) > 0 {
		if list, ok = columnSpans(payload, r.columns); !ok {
			return nil, false
		}
	}
	return joined(append(list, r.find.in(payload)...)), true
}
