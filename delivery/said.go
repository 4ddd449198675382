package delivery

import (
	"bytes"
	"errors"
	"slices"
	"strings"
	"unicode"
	"unicode/utf8"
)

const (
	maxWords = 500     // characters of the other side's words in an error, and of a reason that ShortReason bounds
	maxHeard = 8 << 10 // bytes of the other side's words that are looked at
	cutSign  = "…"
)

// colon stands between our sentence and what the other side said.
const colon = ": "

// Withheld stands for words that may repeat what is masked, where nobody can say which of them do.
const Withheld = "(what it said is not shown: it may repeat masked fields)"

// OneLine makes a text of somebody else legible in one line: no control characters, none that turn the direction of writing or
// cannot be seen, single spaces.
func OneLine(text string) string {
	var b strings.Builder
	space := false
	for _, r := range text {
		switch {
		case unicode.IsSpace(r) || unicode.IsControl(r):
			space = true
		case r == utf8.RuneError || unicode.IsGraphic(r):
			if space && b.Len() > 0 {
				b.WriteByte(' ')
			}
			space = false
			b.WriteRune(r)
		}
	}
	return b.String()
}

// Cause is what the other side said, out of the text of an error or of a group; empty when it said nothing. Sentences of our own have
// no colon before it. Of somebody else's dead letter all is said by others.
func Cause(class, text string) string {
	if class == ClassForeign {
		return text
	}
	_, cause, _ := strings.Cut(text, colon)
	return cause
}

// Conceal makes the error of a failed attempt whole: behind the sentence stands what the other side said, without control characters,
// of bounded length. What is masked of the payload is hidden in it, in the answer and in what is kept of the exchange: answers repeat what they
// refuse. It changes nothing the second time.
func (r Result) Conceal(payload []byte, k Masking) Result {
	heard := r.Words
	r.Words = ""
	hide := k.Hider(payload)
	r.Response, r.Exchange = hide.response(r.Response), hide.Exchange(r.Exchange)
	if r.Outcome == OutcomeOK || r.Error == "" {
		return r
	}
	r.Error = hide.find.hide(HideValues(r.Error, hide.values))
	if words := hide.words(heard); words != "" {
		r.Error += colon + words
	}
	return r
}

// HideCut hides the beginning of one of values at the end of a text that was cut.
func HideCut(text string, values []string) string {
	longest := 0
	for _, v := range values {
		for n := min(len(v)-1, len(text)); n > longest; n-- {
			if strings.HasSuffix(text, v[:n]) {
				longest = n
			}
		}
	}
	if longest == 0 {
		return text
	}
	return text[:len(text)-longest] + Hidden
}

// hideRepeated hides each word that stands in the payload, which nobody can mask: it is no JSON.
func hideRepeated(words string, payload []byte) string {
	return eachWord(words, func(word string) bool {
		return (len(word) >= minHidden || strings.IndexFunc(word, unicode.IsDigit) >= 0) && bytes.Contains(payload, []byte(word))
	})
}

// eachWord hides the words, runs of letters and digits, that hides names.
func eachWord(text string, hides func(string) bool) string {
	var b strings.Builder
	for len(text) > 0 {
		size := strings.IndexFunc(text, func(r rune) bool { return !isWord(r) })
		if size < 0 {
			size = len(text)
		}
		if size > 0 && hides(text[:size]) {
			b.WriteString(Hidden)
		} else {
			b.WriteString(text[:size])
		}
		_, next := utf8.DecodeRuneInString(text[size:])
		b.WriteString(text[size : size+next])
		text = text[size+next:]
	}
	return b.String()
}

// cut shortens a text to that many characters.
func cut(text string, most int) string {
	if len(text) <= most || utf8.RuneCountInString(text) <= most {
		return text
	}
	return strings.TrimSpace(string(slices.Collect(runes(text, most-1)))) + cutSign
}

// runes are the first of a text.
func runes(text string, most int) func(func(rune) bool) {
	return func(yield func(rune) bool) {
		for _, r := range text {
			if most--; most < 0 || !yield(r) {
				return
			}
		}
	}
}

// SaidError is a failure with what the other side said of it. The words may repeat data: Error, which logs show, leaves them out.
type SaidError struct {
	Says  Phrase
	Words string
}

// Phrase is what failed.
func (e *SaidError) Phrase() Phrase { return e.Says }

func (e *SaidError) Error() string { return e.Says.English() }

// Explain is an error as people read it: with what the other side said of it, unless what it is about has masked fields.
func Explain(err error, masked bool) Phrase {
	var said *SaidError
	switch {
	case !errors.As(err, &said) || said.Words == "":
		return Heard(err)
	case masked:
		return Say("error.withheld", "what", err)
	}
	return Say("error.said", "what", err, "words", cut(OneLine(said.Words), maxWords))
}

// QuotesData reports whether the message of an SQL error may repeat data: those about values (class 22) quote them, and what a function
// raises is made of anything. A database says of other errors, such as broken constraints, in their detail which data they are about;
// details are never shown. routine is that of the server in which the error was raised.
func QuotesData(sqlstate, message, routine string) bool {
	switch {
	case routine == "exec_stmt_raise", strings.HasPrefix(sqlstate, "P0"):
		return true
	case strings.HasPrefix(sqlstate, "22"):
		return strings.ContainsAny(message, "\"'`“„«»‘:")
	}
	return false
}
