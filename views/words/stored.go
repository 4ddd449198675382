package words

import (
	"regexp"
	"strings"

	"redrive/delivery"
)

// sentence is one that is stored in English, with what stands in its places.
type sentence struct {
	form *regexp.Regexp
	text string
}

// stored are those of languages that have them: such without places by text, the others in turn.
var (
	storedTexts = map[string]map[string]string{Korean: together(koreanErrors)}
	storedForms = map[string][]sentence{Korean: formsOf(koreanErrors)}
)

func formsOf(list []translation) (forms []sentence) {
	for _, t := range list {
		if !placeholder.MatchString(t.english) {
			continue
		}
		form, last := "^", 0
		for _, at := range placeholder.FindAllStringSubmatchIndex(t.english, -1) {
			form += regexp.QuoteMeta(t.english[last:at[0]]) + "(?P<" + t.english[at[2]:at[3]] + ">[^,;:]+)"
			last = at[1]
		}
		forms = append(forms, sentence{regexp.MustCompile(form + regexp.QuoteMeta(t.english[last:]) + "$"), t.korean})
	}
	return forms
}

// Stored is the error of an attempt in a language. Our sentence, up to the first colon, is stored in English; behind it stand the words of
// somebody else, which stay as they are. So does a sentence that the language lacks.
func Stored(lang, text string) string {
	if whole, ok := storedIn(lang, text); ok {
		return whole
	}
	ours, theirs, found := strings.Cut(text, ": ")
	if said, ok := storedIn(lang, ours); ok && found {
		return said + ": " + theirs
	}
	return text
}

func storedIn(lang, text string) (string, bool) {
	if said, ok := storedTexts[lang][text]; ok {
		return said, true
	}
	for _, s := range storedForms[lang] {
		if values := s.form.FindStringSubmatch(text); values != nil {
			p := delivery.Phrase{Args: map[string]string{}}
			for n, name := range s.form.SubexpNames()[1:] {
				p.Args[name] = values[n+1]
			}
			return fill(lang, s.text, p), true
		}
	}
	return "", false
}
