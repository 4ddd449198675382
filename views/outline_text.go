package views

import (
	"strings"
	"unicode/utf8"
)

// Place is a page that shows a payload: its address, and what it has to be told beside what of the payload to show.
type Place struct {
	Path   string
	Fields []Header
}

// textRoom is how many bytes of a text a page shows.
const textRoom = 16 << 10

// mostCopied is the longest text that the button to copy carries.
const mostCopied = 4 << 10

// copies reports whether the button to copy can carry what is shown, byte by byte: an attribute keeps no carriage return.
func (p Payload) copies() bool {
	return p.Text != "" && len(p.Text) <= mostCopied && !strings.ContainsAny(p.Text, "\r\x00") && utf8.ValidString(p.Text) && p.Kind != "binary"
}

// window is the stretch of a text that a page shows: bytes from to to.
type window struct {
	list          []stretch
	found         int
	from, to      int
	before, after int // where to begin to see what stands before and after it; -1: nothing does
}

// window is the stretch of the text that was asked for: around the first match, or from a byte on.
func (p Payload) window() (w window) {
	w.before, w.after = -1, -1
	find := finder(p.Ask.Find)
	var marks [][]int
	if find != nil {
		marks = find.FindAllStringIndex(p.Text, -1)
		w.found = len(marks)
	}
	if w.from = min(max(p.Ask.From, 0), len(p.Text)); len(marks) > 0 && p.Ask.From == 0 && marks[0][1] > textRoom {
		w.from = marks[0][0] - textRoom/4
	}
	for w.from > 0 && w.from < len(p.Text) && !utf8.RuneStart(p.Text[w.from]) {
		w.from--
	}
	shown := light(p.Text[w.from:], textRoom)
	w.to = w.from + len(shown)
	var within [][]int
	for _, m := range marks {
		if m[0] >= w.from && m[1] <= w.to {
			within = append(within, []int{m[0] - w.from, m[1] - w.from})
		}
	}
	w.list = (&plan{}).stretches(shown, within)
	if w.from > 0 {
		w.before = max(w.from-textRoom, 0)
	}
	if w.to < len(p.Text) {
		w.after = w.to
	}
	return w
}
