package client

import (
	"fmt"
	"io"
	"strconv"
	"strings"
	"unicode"
	"unicode/utf16"
	"unicode/utf8"
)

// visible makes characters that a terminal would obey, or that turn the reading direction, readable. Texts of failures come from
// outside.
func visible(text string) string { return escaped(text, isInert, quoted) }

// isInert reports whether a terminal shows a character and does nothing else.
func isInert(r rune) bool {
	return r != utf8.RuneError && !unicode.IsControl(r) && !unicode.Is(unicode.Cf, r) && r != '\u2028' && r != '\u2029'
}

// isPlain is isInert for text in which line ends and tabs are meant.
func isPlain(r rune) bool { return r == '\n' || r == '\t' || isInert(r) }

// escaped is a text in which each character that is not left as it is stands as an escape; of no character that is a byte.
func escaped(text string, left func(rune) bool, escape func(r rune) string) string {
	if strings.IndexFunc(text, func(r rune) bool { return !left(r) }) < 0 {
		return text
	}
	var b strings.Builder
	for i, r := range text {
		switch {
		case left(r):
			b.WriteRune(r)
		case r == utf8.RuneError && text[i] != "\uFFFD"[0]:
			fmt.Fprintf(&b, `\x%02x`, text[i])
		default:
			b.WriteString(escape(r))
		}
	}
	return b.String()
}

// quoted is a character as Go writes it.
func quoted(r rune) string { return strings.Trim(strconv.QuoteRuneToASCII(r), "'") }

// unicodeEscape is a character as JSON writes it.
func unicodeEscape(r rune) string {
	if high, low := utf16.EncodeRune(r); high != unicode.ReplacementChar {
		return fmt.Sprintf(`\u%04x\u%04x`, high, low)
	}
	return fmt.Sprintf(`\u%04x`, r)
}

// guard is a writer of whole characters.
type guard struct {
	to     io.Writer
	escape func(rune) string
}

// Guard returns a writer through which nothing gets to a terminal that it would obey, but ends of lines and tabs. Each Write is of whole
// characters.
func Guard(to io.Writer) io.Writer { return guard{to, quoted} }

// GuardJSON is Guard for JSON, which stays the same JSON.
func GuardJSON(to io.Writer) io.Writer { return guard{to, unicodeEscape} }

// Write implements io.Writer.
func (g guard) Write(p []byte) (int, error) {
	if _, err := io.WriteString(g.to, escaped(string(p), isPlain, g.escape)); err != nil {
		return 0, err
	}
	return len(p), nil
}
