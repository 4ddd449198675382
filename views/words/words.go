// Package words is the one catalogue of what Redrive says to people. Below the views nothing is said: there are keys of phrases and
// their arguments (delivery.Phrase), in errors and in stored rows; here they become sentences, at the moment and in the language in
// which somebody reads them.
package words

import (
	"errors"
	"regexp"
	"strconv"
	"strings"

	"redrive/delivery"
)

// Language is what a language says for an English text, with its placeholders or verbs. ok is false where it lacks the text.
type Language func(english string) (text string, ok bool)

// Texts is a language as one file has it: by English text.
func Texts(translated map[string]string) Language {
	return func(english string) (text string, ok bool) {
		text, ok = translated[english]
		return text, ok
	}
}

// Translations are the other languages, by name. The texts of pages and the phrases of the catalogue share them. What one lacks is said
// in English.
var Translations = map[string]Language{Korean: Texts(korean)}

// Translate returns an English text in a language.
func Translate(lang, text string) string {
	if language, ok := Translations[lang]; ok {
		if translated, ok := language(text); ok {
			return translated
		}
	}
	return text
}

func init() { delivery.InEnglish = func(p delivery.Phrase) string { return Say(English, p) } }

// Say returns a phrase in a language; the zero phrase says nothing. A key that this program does not know, such as one that a newer
// program has stored, is shown as it is, with its arguments.
func Say(lang string, p delivery.Phrase) string {
	text, known := phrases[p.Key]
	if !known {
		return p.String()
	}
	if p.Key == "verbatim" {
		return Stored(lang, p.Args["text"])
	}
	return fill(lang, Translate(lang, text), p)
}

// Known reports whether this program has the phrase.
func Known(p delivery.Phrase) bool {
	_, known := phrases[p.Key]
	return known
}

// Of returns what an error says to a person. ok is false for an error that has nothing to say: it is for the log.
func Of(lang string, err error) (text string, ok bool) {
	var spoken delivery.Spoken
	if !errors.As(err, &spoken) {
		return "", false
	}
	return Say(lang, spoken.Phrase()), true
}

// placeholder is an argument in a phrase: {name} as it is; {name:q} quoted; {name:written} as Written says it; {name:list}, {name:or}
// and {name:and} a list, see List; {name|one|many} the first text where it is 1, else the second. In another language also
// {name:word}, a machine's word as people say it, and in Korean {name:은는}, with the particle that fits, likewise behind a form:
// {name:word:은는}.
var placeholder = regexp.MustCompile(`\{([a-z_]+)(?::(q|list|or|and|word|written))?(?::(\p{Hangul}+))?(?:\|([^{}|]*)\|([^{}|]*))?\}`)

// List puts items one behind the other as a language does it. by is how they are joined, a phrase list.… of the catalogue; by or and and
// only the last one is, and the others as in a list.
func List(lang, by string, items []string) (all string) {
	for n, item := range items {
		joint := by
		if n < len(items)-1 && (by == "or" || by == "and") {
			joint = "list"
		}
		if n == 0 {
			all = item
		} else {
			all = Say(lang, delivery.Say("list."+joint, "list", all, "next", item))
		}
	}
	return all
}

func fill(lang, text string, p delivery.Phrase) string {
	return placeholder.ReplaceAllStringFunc(text, func(found string) string {
		part := placeholder.FindStringSubmatch(found)
		value, given := p.Args[part[1]]
		if within, is := p.Of[part[1]]; is {
			value, given = Say(lang, within), true
		}
		switch {
		case !given:
			return found
		case strings.Contains(found, "|") && value == "1":
			return part[4]
		case strings.Contains(found, "|"):
			return part[5]
		}
		value = formed(lang, part[2], value)
		if part[3] != "" {
			value += Particle(value, part[3])
		}
		return value
	})
}

// formed is a value in the form that its place asks for.
func formed(lang, form, value string) string {
	switch form {
	case "":
		return value
	case "q":
		return strconv.Quote(value)
	case "word":
		return Translate(lang, value)
	case "written":
		return Written(lang, value)
	}
	return List(lang, form, strings.Split(value, delivery.Comma))
}
