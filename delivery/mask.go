package delivery

import (
	"bytes"
	"encoding/json"
	"strconv"
	"strings"
	"unicode/utf8"
)

// Hidden stands in place of what people may not see.
const Hidden = "•••"

// minHidden is the shortest value that is taken out of free text: shorter ones would blot out harmless words.
const minHidden = 4

// Mask replaces what rules hide in a payload by Hidden. Everything else keeps its bytes: numbers, spaces, the order of keys and
// duplicate keys. Rules are JSON paths ($.a.b, $['a b'], $.a[0], $.a[*].b, $.* and $..b) and those that CheckMask knows. Of JSON the
// value is hidden in which something is found. ok is false when it cannot be told what to hide: paths of a payload that is not JSON, columns
// that are not there, something found in the name of a member, or a rule that cannot be read. Then the caller must hide all of it.
func Mask(payload []byte, rules []string) (masked []byte, ok bool) {
	m, ok := mask(payload, rules)
	if !ok {
		return nil, false
	}
	return append(m.out, payload[m.copied:]...), true
}

// MaskedValues lists the strings and numbers that Mask hides, longest first, as they may turn up in an answer.
func MaskedValues(payload []byte, paths []string) []string {
	m, ok := mask(payload, paths)
	if !ok {
		return nil
	}
	return longestFirst(m.hidden)
}

// HideValues replaces each of values in text by Hidden.
func HideValues(text string, values []string) string {
	for _, v := range values {
		text = strings.ReplaceAll(text, v, Hidden)
	}
	return text
}

func mask(payload []byte, rules []string) (*masker, bool) {
	r, ok := readRules(rules)
	if !ok {
		return nil, false
	}
	m := &masker{in: payload, out: make([]byte, 0, len(payload)+16), find: &r.find}
	if !json.Valid(payload) {
		return m, m.asText(&r)
	}
	m.value(r.steps)
	return m, !m.lost
}

// asText masks what is no JSON.
func (m *masker) asText(r *maskRules) bool {
	list, ok := r.spansOf(m.in)
	if !ok {
		return false
	}
	for _, s := range list {
		m.keep(string(bytes.TrimSpace(m.in[s.from:s.to])))
	}
	m.out, m.copied = hideSpans(m.in, list), len(m.in)
	return true
}

// step is one part of a path.
type step struct {
	name  string
	index int // -1: not an index
	any   bool
	deep  bool // at any depth

	bracket bool // any: written [*]
}

func (s step) matches(name string, index int) bool {
	return s.any || (index >= 0 && s.index == index) || (index < 0 && s.index < 0 && s.name == name)
}

// ValidPath reports whether Mask can read a path.
func ValidPath(path string) bool {
	_, ok := parsePath(path)
	return ok
}

func parsePath(path string) ([]step, bool) {
	rest, ok := strings.CutPrefix(path, "$")
	if !ok || rest == "" {
		return nil, false
	}
	var steps []step
	for rest != "" {
		var s step
		if s, rest, ok = parseStep(rest); !ok {
			return nil, false
		}
		steps = append(steps, s)
	}
	return steps, true
}

func parseStep(rest string) (s step, remaining string, ok bool) {
	s.index = -1
	if after, found := strings.CutPrefix(rest, ".."); found {
		s.deep, rest = true, "."+strings.TrimPrefix(after, ".")
		if strings.HasPrefix(after, "[") {
			rest = after
		}
	}
	if strings.HasPrefix(rest, "[") {
		return parseBracket(s, rest[1:])
	}
	name, found := strings.CutPrefix(rest, ".")
	if !found {
		return s, "", false
	}
	end := strings.IndexAny(name, ".[")
	if end < 0 {
		end = len(name)
	}
	s.name, s.any = name[:end], name[:end] == "*"
	return s, name[end:], s.name != "" && !strings.ContainsAny(s.name, "]'\"")
}

func parseBracket(s step, rest string) (step, string, bool) {
	for _, quote := range []string{"'", `"`} {
		if quoted, found := strings.CutPrefix(rest, quote); found {
			name, after, closed := strings.Cut(quoted, quote+"]")
			s.name = name
			return s, after, closed
		}
	}
	inside, after, closed := strings.Cut(rest, "]")
	if inside == "*" {
		s.any, s.bracket = true, true
		return s, after, closed
	}
	index, err := strconv.Atoi(inside)
	s.index = index
	return s, after, closed && err == nil && index >= 0
}

// masker walks over valid JSON and copies what is not masked.
type masker struct {
	in     []byte
	pos    int
	copied int // in[:copied] is dealt with
	out    []byte
	hidden []string
	short  map[string]bool // masked values too short to be hidden inside other words
	hiding bool            // inside a masked value
	find   *finder         // hides values in which something is found
	lost   bool            // something is found in the name of a member
}

func (m *masker) value(active [][]step) {
	m.space()
	whole := !m.hiding && anyDone(active)
	if whole {
		m.out = append(m.out, m.in[m.copied:m.pos]...)
		m.hiding = true
	}
	switch m.in[m.pos] {
	case '{':
		m.object(active)
	case '[':
		m.array(active)
	default:
		start := m.pos
		if m.scalar(); !m.hiding && m.finds(start) {
			m.remember(m.in[start:m.pos])
			m.out, whole = append(m.out, m.in[m.copied:start]...), true
		}
	}
	if whole {
		m.out = append(m.out, `"`+Hidden+`"`...)
		m.copied, m.hiding = m.pos, false
	}
}

// finds reports whether something is found in the scalar or name that begins at start and ends here.
func (m *masker) finds(start int) bool {
	if m.find == nil || m.find.empty() {
		return false
	}
	raw := m.in[start:m.pos]
	if raw[0] != '"' {
		return len(m.find.in(raw)) > 0
	}
	if bytes.IndexByte(raw, '\\') >= 0 {
		var text string
		_ = json.Unmarshal(raw, &text) // valid JSON: cannot fail
		return len(m.find.in([]byte(text))) > 0
	}
	return len(m.find.in(raw[1:len(raw)-1])) > 0
}

func anyDone(active [][]step) bool {
	for _, path := range active {
		if len(path) == 0 {
			return true
		}
	}
	return false
}

// below returns what is left of the paths inside the child of that name or index.
func below(active [][]step, name string, index int) [][]step {
	var next [][]step
	for _, path := range active {
		if len(path) == 0 {
			continue
		}
		if path[0].matches(name, index) {
			next = append(next, path[1:])
		}
		if path[0].deep {
			next = append(next, path)
		}
	}
	return next
}

func (m *masker) object(active [][]step) {
	m.pos++ // {
	for m.space(); m.in[m.pos] != '}'; m.space() {
		name := m.name()
		m.value(below(active, name, -1))
	}
	m.pos++
}

// name returns the name of an object's next member and goes on to its value.
func (m *masker) name() (name string) {
	if m.in[m.pos] == ',' {
		m.pos++
		m.space()
	}
	start := m.pos
	m.text()
	_ = json.Unmarshal(m.in[start:m.pos], &name) // valid JSON: cannot fail
	m.lost = m.lost || !m.hiding && m.finds(start)
	m.space()
	m.pos++ // :
	return name
}

func (m *masker) array(active [][]step) {
	m.pos++ // [
	n := 0
	for m.space(); m.in[m.pos] != ']'; m.space() {
		if m.in[m.pos] == ',' {
			m.pos++
		}
		m.value(below(active, "", n))
		n++
	}
	m.pos++
}

func (m *masker) scalar() {
	start := m.pos
	if m.in[m.pos] == '"' {
		m.text()
	} else {
		for m.pos < len(m.in) && !strings.ContainsRune(",]} \t\r\n", rune(m.in[m.pos])) {
			m.pos++
		}
	}
	if m.hiding {
		m.remember(m.in[start:m.pos])
	}
}

// remember keeps a masked scalar in the forms in which an answer may repeat it.
func (m *masker) remember(raw []byte) {
	forms := []string{string(raw)}
	if raw[0] == '"' {
		forms[0] = string(raw[1 : len(raw)-1])
	}
	var text string
	if json.Unmarshal(raw, &text) == nil && text != forms[0] {
		forms = append(forms, text)
	}
	for _, form := range forms {
		if form != "true" && form != "false" && form != "null" {
			m.keep(form)
		}
	}
}

// keep notes a text that is hidden.
func (m *masker) keep(form string) {
	switch {
	case form == "":
	case utf8.RuneCountInString(form) >= minHidden:
		m.hidden = append(m.hidden, form)
	case m.short == nil:
		m.short = map[string]bool{form: true}
	default:
		m.short[form] = true
	}
}

func (m *masker) text() {
	for m.pos++; m.in[m.pos] != '"'; m.pos++ {
		if m.in[m.pos] == '\\' {
			m.pos++
		}
	}
	m.pos++
}

func (m *masker) space() {
	for m.pos < len(m.in) && strings.IndexByte(" \t\r\n", m.in[m.pos]) >= 0 {
		m.pos++
	}
}
