package delivery

import (
	"bytes"
	"encoding/json"
	"errors"
	"strconv"
	"strings"
	"unicode/utf8"
)

// Unmask puts back what Mask hid: wherever edited still has Hidden at a masked place, it gets the bytes that base has there. What
// was typed in its place stays, and everything else keeps its bytes. Rows of an array are recognised by what can be seen of them,
// so that they may be moved or removed; where it cannot be known which value belongs there, the error names the place.
func Unmask(edited, base []byte, paths []string) ([]byte, error) {
	if err := CheckJSON(edited); err != nil {
		return nil, err
	}
	now, ok := parseTree(edited, paths)
	if !ok {
		return nil, Mistake("bad_mask", "payload")
	}
	before, _ := parseTree(base, paths) // nil: base is not JSON, nothing of it comes back
	r := restorer{edited: edited, base: base, masks: len(paths) > 0}
	if err := r.restore(now, before, "$"); err != nil {
		return nil, err
	}
	return append(r.out, edited[r.copied:]...), nil
}

// UnmaskText puts back what Mask hid in a text that is no JSON: all of it, in its order, as long as it is hidden where it was put.
func UnmaskText(edited, base []byte, rules []string) ([]byte, error) {
	parts := bytes.Split(edited, []byte(Hidden))
	if len(parts) == 1 || len(rules) == 0 {
		return edited, nil
	}
	r, _ := readRules(rules)
	hidden, ok := r.spansOf(base)
	if !ok || len(hidden) != len(parts)-1 {
		return nil, lost("$")
	}
	restored := bytes.Clone(parts[0])
	for n, s := range hidden {
		restored = append(append(restored, base[s.from:s.to]...), parts[n+1]...)
	}
	if seen, ok := Mask(restored, rules); !ok || !bytes.Equal(seen, edited) {
		return nil, lost("$")
	}
	return restored, nil
}

// CheckJSON says where a text is not JSON, as *InputError with line and column.
func CheckJSON(text []byte) error {
	var all json.RawMessage
	err := json.Unmarshal(text, &all)
	var syntax *json.SyntaxError
	switch {
	case errors.As(err, &syntax):
		before := text[:min(max(int(syntax.Offset)-1, 0), len(text))]
		line, start := 1+bytes.Count(before, []byte("\n")), bytes.LastIndexByte(before, '\n')+1
		return Mistake("invalid_json.place", "payload", "line", line, "column", 1+utf8.RuneCount(before[start:]),
			"problem", syntax.Error())
	case err != nil:
		return Mistake("invalid_json", "payload", "problem", err.Error())
	}
	return nil
}

// node is a value of a JSON text.
type node struct {
	start, end int
	masked     bool
	found      bool // masked wherever it stands
	hides      bool // something in it is masked
	hidden     bool // it is the text Hidden
	kind       byte // its first character
	key        spot
	children   []*node
}

// spot is where a value stands in its object or array. One name may stand in an object several times.
type spot struct {
	name   string
	nth    int // of that name
	index  int
	inside byte // { or [
}

func (p spot) String() string {
	if p.inside == '[' {
		return "[" + strconv.Itoa(p.index) + "]"
	}
	if p.name == "" || strings.ContainsAny(p.name, ".[]'\" ") {
		return "['" + p.name + "']"
	}
	return "." + p.name
}

// parseTree reads valid JSON; ok is false where Mask would say so.
func parseTree(text []byte, paths []string) (root *node, ok bool) {
	if !json.Valid(text) {
		return nil, false
	}
	r, ok := readRules(paths)
	if !ok {
		return nil, false
	}
	t := treeReader{masker{in: text, find: &r.find}}
	root = t.read(r.steps, spot{})
	return root, !t.lost
}

// treeReader walks as Mask does.
type treeReader struct{ masker }

func (t *treeReader) read(active [][]step, at spot) *node {
	t.space()
	n := &node{start: t.pos, kind: t.in[t.pos], key: at, masked: anyDone(active)}
	if n.masked {
		active = nil // everything inside is hidden with it
	}
	switch n.kind {
	case '{':
		t.members(n, active)
	case '[':
		t.elements(n, active)
	default:
		t.scalar()
		n.found = t.finds(n.start)
		n.masked = n.masked || n.found
	}
	n.end = t.pos
	if n.kind == '"' {
		var text string
		n.hidden = json.Unmarshal(t.in[n.start:n.end], &text) == nil && text == Hidden
	}
	return n
}

func (n *node) add(child *node) {
	n.children = append(n.children, child)
	n.hides = n.hides || child.masked || child.hidden || child.hides
}

func (t *treeReader) members(n *node, active [][]step) {
	seen := map[string]int{}
	t.pos++ // {
	for t.space(); t.in[t.pos] != '}'; t.space() {
		name := t.name()
		n.add(t.read(below(active, name, -1), spot{name: name, nth: seen[name], inside: '{'}))
		seen[name]++
	}
	t.pos++
}

func (t *treeReader) elements(n *node, active [][]step) {
	t.pos++ // [
	for t.space(); t.in[t.pos] != ']'; t.space() {
		if t.in[t.pos] == ',' {
			t.pos++
		}
		i := len(n.children)
		n.add(t.read(below(active, "", i), spot{index: i, inside: '['}))
	}
	t.pos++
}

// restorer copies edited and puts the values of base in.
type restorer struct {
	edited, base []byte
	masks        bool
	out          []byte
	copied       int // edited[:copied] is dealt with
}

func (r *restorer) restore(now, before *node, path string) error {
	switch {
	case now.hidden && r.masks && before != nil && before.masked && (now.masked || before.found):
		r.out = append(append(r.out, r.edited[r.copied:now.start]...), r.base[before.start:before.end]...)
		r.copied = now.end
		return nil
	case now.hidden && r.masks && (before == nil || !before.hidden || now.masked):
		return lost(path)
	case now.masked || !r.masks:
		return nil // typed
	case now.kind == '{':
		return r.restoreMembers(now, before, path)
	case now.kind == '[':
		return r.restoreElements(now, before, path)
	}
	return nil
}

func lost(path string) error {
	return Mistake("masked_value", "payload", "path", path, "mark", Hidden)
}

func (r *restorer) restoreMembers(now, before *node, path string) error {
	known := map[spot]*node{}
	if before != nil && before.kind == '{' {
		for _, b := range before.children {
			known[b.key] = b
		}
	}
	for _, n := range now.children {
		if err := r.restore(n, known[n.key], path+n.key.String()); err != nil {
			return err
		}
	}
	return nil
}

func (r *restorer) restoreElements(now, before *node, path string) error {
	var rows []*node
	if before != nil && before.kind == '[' && !before.masked {
		rows = before.children
	}
	was := rows
	if now.hides {
		was = r.sameRows(now.children, rows)
	}
	for i, n := range now.children {
		var b *node
		if i < len(was) {
			b = was[i]
		}
		if err := r.restore(n, b, path+n.key.String()); err != nil {
			return err
		}
	}
	return nil
}

// sameRows finds for each row the one of base that it was; nil where that is not known. Rows are told apart by what can be seen of
// them. Among those that look alike the order tells, as long as none was added or removed, whether or not they hide the same: that is for
// nobody to learn. A row that looks like none is one that was edited in its place, under the same condition.
func (r *restorer) sameRows(now, rows []*node) []*node {
	was, claimed := make([]*node, len(now)), map[*node]bool{}
	claim := func(i int, b *node) { was[i], claimed[b] = b, true }
	looks, before := alike(r.base, rows)
	_, after := alike(r.edited, now)
	for look, places := range after {
		known := before[look]
		inOrder := len(places) == len(known)
		inPlace := len(places) > len(known) || len(now) == len(rows)
		for nth, i := range places {
			switch {
			case inOrder:
				claim(i, rows[known[nth]])
			case inPlace && i < len(rows) && looks[i] == look:
				claim(i, rows[i])
			}
		}
	}
	for i := range now {
		if was[i] == nil && len(now) == len(rows) && !claimed[rows[i]] {
			was[i] = rows[i]
		}
	}
	return was
}

// alike returns how each row looks, and where rows of each look stand.
func alike(text []byte, rows []*node) (looks []string, places map[string][]int) {
	places = map[string][]int{}
	for i, n := range rows {
		look := shown(text, n)
		looks, places[look] = append(looks, look), append(places[look], i)
	}
	return looks, places
}

// shown is what can be seen of a value, without spaces between its parts.
func shown(text []byte, n *node) string {
	var out []byte
	copied := n.start
	var walk func(*node)
	walk = func(n *node) {
		if n.masked {
			out = append(append(out, text[copied:n.start]...), `"`+Hidden+`"`...)
			copied = n.end
			return
		}
		for _, child := range n.children {
			walk(child)
		}
	}
	walk(n)
	return compacted(append(out, text[copied:n.end]...))
}

func compacted(raw []byte) string {
	var out bytes.Buffer
	_ = json.Compact(&out, raw) // valid JSON: cannot fail
	return out.String()
}
