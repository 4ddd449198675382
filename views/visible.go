package views

import (
	"fmt"
	"strings"
	"unicode"

	"golang.org/x/text/unicode/runenames"
)

// run is a part of a text: as it is, or a character that nobody would see, with its name.
type run struct{ text, name string }

// runsOf cuts a text at the characters that a page would not show, or that would change the order of others.
func runsOf(text string) (list []run) {
	begin, before := 0, rune(0)
	for at, r := range text {
		if at >= begin && unseen(r, before, text[at:]) {
			if at > begin {
				list = append(list, run{text: text[begin:at]})
			}
			list = append(list, run{fmt.Sprintf("⟨U+%04X⟩", r), nameOf(r)})
			begin = at + len(string(r))
		}
		before = r
	}
	if begin < len(text) || text == "" {
		list = append(list, run{text: text[begin:]})
	}
	return list
}

// Visible writes down the characters of a text that a page would not show: direction overrides, what has no width, control characters.
// Every text that somebody else wrote passes through it, or through shown, on its way to a page.
func Visible(text string) string {
	if strings.IndexFunc(text, func(r rune) bool { return unseen(r, 0, "") }) < 0 { // as nearly always
		return text
	}
	var b strings.Builder
	for _, p := range runsOf(text) {
		b.WriteString(p.text)
	}
	return b.String()
}

// fillers look like nothing and are letters or symbols all the same.
const fillers = "\u115f\u1160\u3164\uffa0\u2800\u034f\u17b4\u17b5"

// unseen reports whether a page would not show a character of a text that goes on with rest. Line ends and tabs are layout; what joins
// emoji belongs to them.
func unseen(r, before rune, rest string) bool {
	switch {
	case r < ' ' || r >= 0x7f && r < 0xa0:
		return r != '\n' && r != '\t' && !(r == '\r' && strings.HasPrefix(rest, "\r\n"))
	case r < 0x300:
		return r == 0xad
	case r >= 0xfe00 && r < 0xfe0f || r >= 0xe0100 && r <= 0xe01ef: // they choose a form of the character before
		return !unicode.In(before, unicode.Han, unicode.So, unicode.Sm)
	case r == 0x200d || r == 0x200c: // between emoji, and in scripts whose letters they join or part
		return !joins(before)
	}
	return unicode.In(r, unicode.Cf, unicode.Zl, unicode.Zp, unicode.Co) || strings.ContainsRune(fillers, r)
}

// joins reports whether a joiner behind a character can be seen by what it does.
func joins(r rune) bool {
	return unicode.In(r, unicode.So, unicode.Sk, unicode.Mn, unicode.Mc) || r == 0xfe0f ||
		unicode.In(r, unicode.Arabic, unicode.Devanagari, unicode.Bengali, unicode.Tamil, unicode.Telugu, unicode.Malayalam, unicode.Kannada, unicode.Sinhala)
}

func nameOf(r rune) string {
	if name := runenames.Name(r); name != "" && name != "<control>" {
		return name
	}
	return "CONTROL CHARACTER"
}
