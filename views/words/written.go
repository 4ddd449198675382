package words

import (
	"cmp"
	"regexp"
	"slices"
	"strings"
)

// written are texts that are made with fmt where no language is known: of the integrations file and of wrong usage.
var written = map[string][]sentence{Korean: writtenForms(slices.Concat(koreanConfig, koreanUsage))}

var (
	filled = regexp.MustCompile(`%(\[[0-9]\])?[+#]?[a-z]`)
	joint  = regexp.MustCompile(`,? (?:or|and|nor) |, `) // of words in a row: a, b or c
)

// shapes are what a verb can have become; what is not here can be anything.
var shapes = map[string]string{"%q": `"(?:[^"\\]|\\.)*"`, "%d": `-?[0-9]+`}

// writtenForms are those with more words first: of two that fit, the one that says more is meant.
func writtenForms(list []translation) (forms []sentence) {
	list = slices.SortedStableFunc(slices.Values(list), func(a, b translation) int {
		return cmp.Compare(len(filled.ReplaceAllString(b.english, "")), len(filled.ReplaceAllString(a.english, "")))
	})
	for _, t := range list {
		form, last := "(?s)^", 0
		for _, at := range filled.FindAllStringIndex(t.english, -1) {
			form += regexp.QuoteMeta(t.english[last:at[0]]) + "(" + cmp.Or(shapes[t.english[at[0]:at[1]]], ".+?") + ")"
			last = at[1]
		}
		form += regexp.QuoteMeta(t.english[last:]) + "$"
		forms = append(forms, sentence{regexp.MustCompile(form), filled.ReplaceAllString(t.korean, "%${1}s")})
	}
	return forms
}

// Written is a text in a language that was made with fmt in English, such as a mistake in the integrations file, and within it what
// likewise was. What the language lacks stays as it is, also behind a colon.
func Written(lang, text string) string {
	if written[lang] == nil {
		return text
	}
	for _, s := range written[lang] {
		if values := s.form.FindStringSubmatch(text); values != nil {
			args := make([]any, len(values)-1)
			for n, value := range values[1:] {
				args[n] = Written(lang, value)
			}
			return Format(s.text, args...)
		}
	}
	if list, is := listed(lang, text); is {
		return list
	}
	if before, after, found := strings.Cut(text, ": "); found {
		return before + ": " + Written(lang, after)
	}
	return text
}

// listed is text as a list, where it is one of single words and of what has a translation.
func listed(lang, text string) (list string, is bool) {
	items := joint.Split(text, -1)
	if len(items) == 1 {
		return "", false
	}
	for n, item := range items {
		items[n] = Written(lang, item)
		if items[n] == item && strings.ContainsAny(item, " \"") {
			return "", false
		}
	}
	return strings.Join(items, ", "), true
}
