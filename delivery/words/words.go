// Package words finds the telling part of what a receiver answers: the reason, in the receiver's own words.
package words

import (
	"net/http"
	"net/url"
	"regexp"
	"strings"

	"redrive/delivery"
)

// Answer is what came back, as far as it was read.
type Answer struct {
	Status int    // 0: not HTTP
	Reason string // behind the status, such as "422 Customer blocked"
	Header http.Header
	Body   []byte
}

// Read returns the telling part, empty where nothing of the answer tells more than its status, and the body in UTF-8. The words may
// repeat whatever was sent, and are as long as the answer makes them.
func Read(a Answer) (said string, body []byte) {
	if encoding := a.Header.Get("Content-Encoding"); encoding != "" && !strings.EqualFold(encoding, "identity") {
		return a.elsewhere(), a.Body // nothing is inflated
	}
	contentType := a.Header.Get("Content-Type")
	body = decode(contentType, a.Body)
	said = a.find(strings.ToLower(contentType), strings.TrimSpace(strings.TrimPrefix(string(body), "\ufeff")))
	if said == "" {
		said = a.elsewhere()
	}
	return said, body
}

// find reads a body by what it looks like; what its type says decides where that leaves a choice.
func (a Answer) find(contentType, text string) string {
	text = strings.TrimPrefix(text, ")]}',") // against scripts that would run it
	switch {
	case text == "" || unreadable(text):
		return ""
	case strings.IndexByte(`{["`, text[0]) >= 0:
		if root := readJSON(text); root != nil {
			return a.tell(root)
		}
	case text[0] == '<':
		return a.markup(contentType, text)
	case strings.Contains(contentType, "x-www-form-urlencoded"):
		if form, err := url.ParseQuery(text); err == nil {
			return a.tell(readForm(form))
		}
	case strings.Contains(contentType, "html"):
		return a.html(text)
	}
	return a.firstLine(text)
}

func (a Answer) markup(contentType, text string) string {
	start := strings.ToLower(text[:min(len(text), 1024)])
	if strings.Contains(contentType, "html") || strings.Contains(start, "<html") || strings.Contains(start, "<!doctype html") {
		return a.html(text)
	}
	if said := a.tell(readXML(text)); said != "" {
		return said
	}
	return a.html(text)
}

// unreadable reports whether a text is none: bytes of another kind, or of an encoding that nobody declared.
func unreadable(text string) bool {
	strange, all := 0, 0
	for _, r := range text[:min(len(text), 1024)] {
		if all++; r == '\uFFFD' || r < ' ' && !strings.ContainsRune("\t\r\n\f\x1b", r) {
			strange++
		}
	}
	return strange*5 > all
}

// firstLine is the first line that tells something; of a Python traceback the last.
func (a Answer) firstLine(text string) string {
	lines := strings.FieldsFunc(text, func(r rune) bool { return r == '\n' || r == '\r' })
	if strings.HasPrefix(text, "Traceback (most recent call last)") {
		for i := len(lines) - 1; i > 0; i-- {
			if line := delivery.OneLine(lines[i]); line != "" {
				return line
			}
		}
	}
	for _, line := range lines {
		if line = delivery.OneLine(colours.ReplaceAllString(line, "")); a.tells(line) {
			return line
		}
	}
	return ""
}

// colours of a terminal.
var colours = regexp.MustCompile("\x1b\\[[0-9;]*[A-Za-z]")

// authenticate is the reason in an OAuth challenge (RFC 6750).
var authenticate = regexp.MustCompile(`\berror(_description)?="([^"]*)"`)

// elsewhere looks for the reason where it stands when the body has none.
func (a Answer) elsewhere() string {
	reason := ""
	for _, found := range authenticate.FindAllStringSubmatch(a.Header.Get("WWW-Authenticate"), -1) {
		if reason == "" || found[1] != "" {
			reason = found[2]
		}
	}
	if reason != "" {
		return delivery.OneLine(reason)
	}
	_, phrase, _ := strings.Cut(a.Reason, " ")
	if phrase = delivery.OneLine(phrase); a.tells(phrase) {
		return phrase
	}
	return ""
}

// tells reports whether a text says more than the status does.
func (a Answer) tells(text string) bool {
	if len(text) > 200 {
		return true
	}
	bare := bareWords(text)
	return bare != "" && bare != bareWords(http.StatusText(a.Status)) && !empties[bare]
}

var notWords = regexp.MustCompile(`[\s\p{P}\p{S}\d]+`)

// bareWords are the words of a text, without what only says that it is about a status.
func bareWords(text string) string {
	list := strings.Fields(notWords.ReplaceAllString(strings.ToLower(text), " "))
	for len(list) > 1 && (list[0] == "http" || list[0] == "status" || list[0] == "error" || list[0] == "code" || list[0] == "https") {
		list = list[1:]
	}
	return strings.Join(list, " ")
}

// empties say nothing, whatever the status.
var empties = map[string]bool{
	"error":         true,
	"errors":        true,
	"failed":        true,
	"failure":       true,
	"fail":          true,
	"false":         true,
	"null":          true,
	"none":          true,
	"nil":           true,
	"undefined":     true,
	"object object": true,
	"ko":            true,
	"not ok":        true,
	"nok":           true,
	"err":           true,
	"unknown":       true,
	"n a":           true,
}
