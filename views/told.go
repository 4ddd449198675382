package views

import (
	"strings"

	"redrive/delivery"
	"redrive/views/words"
)

// What the other side said comes first: it explains what a status does not.

// headline is what a row of failures is called: the other side's words, else the class.
func (l Locale) headline(class, text string) string {
	if cause := delivery.Cause(class, text); cause != "" {
		return Excerpt(cause, 120)
	}
	return orDash(l.Class(class))
}

// beneath says the rest of it.
func (l Locale) beneath(class, text string) string {
	cause := delivery.Cause(class, text)
	ours := ours(text, cause)
	switch {
	case cause == "":
		return Excerpt(l.attempted(class, text), 120)
	case ours == "":
		return l.Class(class)
	}
	return l.dots(l.Class(class), words.Stored(l.Lang, ours))
}

// attempted is the error of an attempt as somebody reads it: our sentence in their language. Of somebody else's dead letter all is theirs.
func (l Locale) attempted(class, text string) string {
	if class == delivery.ClassForeign {
		return text
	}
	return words.Stored(l.Lang, text)
}

// told is an error for the first sentence of a page.
func (l Locale) told(class, text string) string {
	text = strings.TrimSuffix(text, ".")
	cause := delivery.Cause(class, text)
	if ours := ours(text, cause); cause != "" && ours != "" {
		return l.T("%s (%s)", cause, words.Stored(l.Lang, ours))
	}
	return l.attempted(class, text)
}

// ours is our sentence before the other side's words.
func ours(text, cause string) string {
	return strings.TrimSuffix(strings.TrimSuffix(text, cause), ": ")
}
