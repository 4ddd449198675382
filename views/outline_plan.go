package views

import (
	"encoding/json"
	"fmt"
	"regexp"
	"strconv"
	"strings"
	"unicode/utf8"
)

// OutlineAsk is what of a payload somebody wants to see.
type OutlineAsk struct {
	Open string // path of the part to begin with; empty: all
	From int    // of what is right within it, the first to show; of a text its first byte
	Find string
}

// Bounds of what one page shows of a tree. A page has room for it and all the rest in its 60 KB.
const (
	outlineRoom   = 21_000 // bytes of HTML, about
	outlineMost   = 200    // of the parts within another
	outlineLeast  = 10     // of these, also where they take more than a third of what room is left
	outlineDeep   = 80     // browsers flatten what is nested more than some hundreds deep
	outlineValue  = 600    // bytes of a value among others
	outlineFinds  = 40     // matches that are opened
	outlineBefore = 12     // parts that are shown before those with matches
	lineCost      = 62     // bytes of HTML of a line beside what it says
)

// plan is what a page shows of a tree.
type plan struct {
	o       *Outline
	ask     OutlineAsk
	find    *regexp.Regexp // nil: nothing is looked for
	root    int32
	path    string           // of root
	found   int              // matches in all of it
	wanted  map[int32]bool   // parts that have matches within
	shown   map[int32][]line // what is shown of the parts that are open
	room    int
	isFound bool // the first match has been drawn
}

// line is a part within another, or a gap of so many from its place.
type line struct {
	at, place int32
	gap       int32
}

// Plan decides what of a tree a page shows.
func (o *Outline) Plan(ask OutlineAsk) *plan {
	p := &plan{o: o, ask: ask, room: outlineRoom, wanted: map[int32]bool{}, shown: map[int32][]line{}}
	if p.find = finder(ask.Find); p.find != nil {
		p.look()
	} else {
		p.root = o.at(ask.Open)
		p.path = o.path(p.root)
	}
	for _, finds := range []bool{true, false} { // what is looked for comes first
		p.unfold(finds)
	}
	return p
}

// finder matches a text in any letter case; nil for none.
func finder(text string) *regexp.Regexp {
	if text = strings.TrimSpace(text); text == "" {
		return nil
	}
	return regexp.MustCompile("(?i)" + regexp.QuoteMeta(strings.ToValidUTF8(text, "\uFFFD")))
}

// look counts matches, and notes what they are within.
func (p *plan) look() {
	opened := 0
	for at, t := range p.o.parts {
		n := p.matches(t)
		if p.found += n; n == 0 || opened == outlineFinds {
			continue
		}
		opened++
		for up := int32(at); up > 0; {
			up = p.o.parts[up].parent
			p.wanted[up] = true
		}
		p.wanted[int32(at)] = true
	}
}

func (p *plan) matches(t twig) int {
	n := len(p.find.FindAllStringIndex(p.o.key(t), -1))
	return n + len(p.marks(t, p.o.value(t)))
}

// marks are the places of a part's value that match: all of it where only what its escapes stand for does.
func (p *plan) marks(t twig, value string) [][]int {
	if p.find == nil || t.holds() {
		return nil
	}
	found := p.find.FindAllStringIndex(value, -1)
	if len(found) == 0 && t.kind == partString && strings.Contains(value, `\`) {
		var plain string
		if json.Unmarshal([]byte(value), &plain) == nil && p.find.MatchString(plain) {
			return [][]int{{0, len(value)}}
		}
	}
	return found
}

// unfold opens parts as long as there is room, those nearest to the root first; with finds only those that have matches within.
func (p *plan) unfold(finds bool) {
	type depth struct {
		at int32
		n  int
	}
	for queue := []depth{{p.root, 0}}; len(queue) > 0; queue = queue[1:] {
		d := queue[0]
		t := p.o.parts[d.at]
		if !t.holds() || d.n > outlineDeep || p.room <= 0 || finds && !p.wanted[d.at] {
			continue
		}
		if _, done := p.shown[d.at]; !done {
			p.shown[d.at] = p.lines(d.at)
		}
		for _, l := range p.shown[d.at] {
			if l.gap == 0 {
				queue = append(queue, depth{l.at, d.n + 1})
			}
		}
	}
}

// lines are what is shown right within a part. A long list leaves room for what is within its first parts.
func (p *plan) lines(at int32) (list []line) {
	t, from, n, until := p.o.parts[at], int32(0), 0, p.room*2/3
	if at == p.root && p.ask.From > 0 && p.ask.From < int(t.count) {
		from = int32(p.ask.From)
	}
	for c, place := at+1, int32(0); c < t.next; c, place = p.o.parts[c].next, place+1 {
		most := outlineMost
		if p.wanted[at] {
			most = outlineBefore
		}
		if cost := p.cost(c); place >= from && (n < most || p.wanted[c]) && (p.room > until || n < outlineLeast || p.wanted[c]) &&
			(p.room > 0 || n == 0) {
			list, n, p.room = append(list, line{at: c, place: place}), n+1, p.room-cost
		} else if last := len(list) - 1; last >= 0 && list[last].gap > 0 {
			list[last].gap++
		} else {
			list, p.room = append(list, line{place: place, gap: 1}), p.room-3*lineCost
		}
	}
	return list
}

func (p *plan) cost(at int32) int {
	t := p.o.parts[at]
	cost := lineCost + min(weight(p.o.in(t.key), outlineValue), outlineValue) + min(weight(p.o.in(t.value), outlineValue), outlineValue)
	if t.holds() {
		cost += 2 * lineCost
	}
	return cost
}

// open reports whether a part that is shown begins open: what is near the root, and what has matches within.
func (p *plan) open(at int32, depth int) bool {
	return p.wanted[at] || depth < 3 || len(p.o.parts) <= 80
}

// What is taken of an answer to a button: the part that was asked for, or what is right within it.
const (
	rootItem  = "#outline > li"
	listItems = "#outline > li > details > ul > li"
)

// weight is how many bytes of HTML a text takes, about; no more than most is counted.
func weight(text string, most int) (n int) {
	for at, r := range text {
		if n += heaviness(r, text[at:]); n > most {
			return n
		}
	}
	return n
}

// light is the beginning of a text that weighs no more than most.
func light(text string, most int) string {
	n := 0
	for at, r := range text {
		if n += heaviness(r, text[at:]); n > most {
			return text[:at]
		}
	}
	return text
}

func heaviness(r rune, rest string) int {
	switch {
	case strings.ContainsRune(`<>&"'`, r):
		return len("&#34;")
	case unseen(r, 0, rest):
		return len(`<span class="unseen" title="RIGHT-TO-LEFT OVERRIDE">⟨U+202E⟩</span>`)
	}
	return utf8.RuneLen(r)
}

// brackets are around what a part holds.
func (t twig) brackets() (open, shut string) {
	switch t.kind {
	case partObject:
		return "{", "}"
	case partList:
		return "[", "]"
	}
	return "", ""
}

// class is how a value is coloured.
func (t twig) class() string {
	switch t.kind {
	case partString:
		return "s"
	case partNumber, partWord:
		return "n"
	}
	return ""
}

// stretch is a part of a text: as it is, or a match.
type stretch struct {
	text    string
	isMatch bool
	isFirst bool
}

// stretches cuts a text at its matches.
func (p *plan) stretches(text string, marks [][]int) (list []stretch) {
	at := 0
	for _, m := range marks {
		if m[0] > at {
			list = append(list, stretch{text: text[at:m[0]]})
		}
		list = append(list, stretch{text: text[m[0]:m[1]], isMatch: true, isFirst: !p.isFound})
		at, p.isFound = m[1], true
	}
	if at < len(text) {
		list = append(list, stretch{text: text[at:]})
	}
	return list
}

// named is a part's name, cut at matches.
func (p *plan) named(t twig) []stretch {
	name := p.o.key(t)
	if short := light(name, outlineValue); len(short) < len(name) {
		return []stretch{{text: short + "…"}}
	}
	if p.find == nil {
		return []stretch{{text: name}}
	}
	return p.stretches(name, p.find.FindAllStringIndex(name, -1))
}

// valued is a part's value, cut at matches; whole says that nothing is left out of it.
func (p *plan) valued(at int32) (list []stretch, whole bool) {
	t := p.o.parts[at]
	value := p.o.value(t)
	marks, most := p.marks(t, value), outlineValue
	if at == p.root {
		most = outlineRoom
	} else if len(marks) > 0 { // as far as the first match goes
		most = min(max(most, weight(value[:marks[0][1]], outlineRoom)), outlineRoom/4)
	}
	shown := light(value, most)
	for n, m := range marks {
		if m[1] > len(shown) {
			marks = marks[:n]
			break
		}
	}
	return p.stretches(shown, marks), len(shown) == len(value)
}

// child is the path of a part within another.
func (p *plan) child(path string, l line) string { return fmt.Sprintf("%s/%d", path, l.place) }

// more is the address of what a gap leaves out: the part's path, and the place to begin with.
func more(path string, l line) string { return path + "@" + strconv.Itoa(int(l.place)) }

// crumbs lead from the root to the part that a page begins with.
func (p *plan) crumbs() (list []crumbTo) {
	for at := p.root; at > 0; at = p.o.parts[at].parent {
		t := p.o.parts[at]
		name := p.o.key(t)
		path := p.o.path(at)
		if name == "" {
			name = "[" + path[strings.LastIndex(path, "/")+1:] + "]"
		}
		list = append([]crumbTo{{name, path}}, list...)
	}
	return list
}

type crumbTo struct{ name, path string }
