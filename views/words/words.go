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

// English is the language of the API, of the command line, and of whoever chose none.
const English = "en"

// Translations is what other languages say: by language, the English text (with its placeholders or verbs) to the translated one. The
// texts of pages and the phrases of the catalogue share it. What it lacks is said in English.
var Translations = map[string]map[string]string{}

// Translate returns an English text in a language.
func Translate(lang, text string) string {
	if translated, ok := Translations[lang][text]; ok {
		return translated
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
	return fill(lang, Translate(lang, text), p)
}

// Of returns what an error says to a person. ok is false for an error that has nothing to say: it is for the log.
func Of(lang string, err error) (text string, ok bool) {
	var spoken delivery.Spoken
	if !errors.As(err, &spoken) {
		return "", false
	}
	return Say(lang, spoken.Phrase()), true
}

// placeholder is an argument in a phrase: {name} as it is; {name:q} quoted; {name:or} and {name:and} a list whose last comma becomes
// that word;
// {name|one|many} the first text where it is 1, else the second.
var placeholder = regexp.MustCompile(`\{([a-z_]+)(?::(q|or|and)|\|([^{}|]*)\|([^{}|]*))?\}`)

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
		case part[2] == "q":
			return strconv.Quote(value)
		case part[2] != "":
			if last := strings.LastIndex(value, ", "); last >= 0 {
				return value[:last] + " " + part[2] + " " + value[last+2:]
			}
			return value
		case !strings.Contains(found, "|"):
			return value
		case value == "1":
			return part[3]
		}
		return part[4]
	})
}
