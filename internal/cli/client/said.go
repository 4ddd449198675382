package client

import (
	"os"

	"redrive/delivery"
	"redrive/views/words"
)

// Language is that of whoever runs the command.
func Language() string { return words.OfTerminal(os.Getenv) }

// Text is a text of the command line in that language, with fmt's verbs filled in.
func Text(text string, args ...any) string {
	return words.Format(words.Translate(Language(), text), heard(args)...)
}

// saidError says what went wrong to whoever runs the command.
type saidError struct {
	text  string
	cause error
}

func (e *saidError) Error() string { return e.text }

// Phrase is the text: what it tells of another error is in it.
func (e *saidError) Phrase() delivery.Phrase { return delivery.Verbatim(e.text) }

func (e *saidError) Unwrap() error { return e.cause }

// Said is an error that says a text, see Text. It wraps the error among its arguments.
func Said(text string, args ...any) error {
	said := &saidError{text: Text(text, args...)}
	for _, arg := range args {
		if err, ok := arg.(error); ok {
			said.cause = err
		}
	}
	return said
}

func said(text string, args ...any) error { return Said(text, args...) }

// spoken is a word of the API, such as a state or an action, in that language.
func spoken(word string) string { return visible(words.Translate(Language(), word)) }

// heard are arguments of which errors say what they say to people.
func heard(args []any) []any {
	out := make([]any, len(args))
	for n, arg := range args {
		out[n] = arg
		if err, ok := arg.(error); ok {
			out[n] = words.Written(Language(), err.Error())
			if text, says := words.Of(Language(), err); says {
				out[n] = text
			}
		}
	}
	return out
}
