package words

import (
	"slices"
	"strings"

	"golang.org/x/text/language"
)

// English is the language of logs, of the API where no other is asked for, and of whoever chose none. Korean is 한국어.
const (
	English = "en"
	Korean  = "ko"
)

// Tongue is a language that people can choose: its tag, and what it calls itself.
type Tongue struct{ Tag, Name string }

// Tongues are all of them, the one that is there for everybody first.
var Tongues = []Tongue{{English, "English"}, {Korean, "한국어"}}

// Spoken reports whether a language can be chosen.
func Spoken(tag string) bool {
	return slices.ContainsFunc(Tongues, func(t Tongue) bool { return t.Tag == tag })
}

var matcher = language.NewMatcher([]language.Tag{language.English, language.Korean})

// Accepted is the language that fits a header Accept-Language best; empty where the header names none of ours.
func Accepted(header string) string {
	asked, weights, err := language.ParseAcceptLanguage(header)
	if err != nil || len(asked) == 0 {
		return ""
	}
	wanted := asked[:0]
	for n, tag := range asked {
		if weights[n] > 0 {
			wanted = append(wanted, tag)
		}
	}
	_, n, sure := matcher.Match(wanted...)
	if sure == language.No {
		return ""
	}
	return Tongues[n].Tag
}

// OfTerminal is the language of whoever runs a command: REDRIVE_LANG, else the locale, unless its text is not UTF-8; else English.
func OfTerminal(variable func(string) string) string {
	if lang := variable("REDRIVE_LANG"); Spoken(lang) {
		return lang
	}
	for _, name := range []string{"LC_ALL", "LC_MESSAGES", "LANG"} {
		locale := variable(name)
		if locale == "" {
			continue
		}
		locale, charset, named := strings.Cut(locale, ".")
		charset, _, _ = strings.Cut(strings.ToLower(charset), "@")
		lang, _, _ := strings.Cut(locale, "_")
		if Spoken(lang) && (!named || charset == "utf-8" || charset == "utf8") {
			return lang
		}
		return English
	}
	return English
}

// OneForm reports whether a language counts one thing as it counts many.
func OneForm(lang string) bool { return lang == Korean }
