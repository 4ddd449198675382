package delivery

import (
	"crypto/sha256"
	"encoding/hex"
	"regexp"
	"strings"
)

// The order matters: the more particular shape first.
var normalisers = []struct {
	shape *regexp.Regexp
	with  string
}{
	{regexp.MustCompile(`\b[0-9a-fA-F]{8}-[0-9a-fA-F]{4}-[0-9a-fA-F]{4}-[0-9a-fA-F]{4}-[0-9a-fA-F]{12}\b`), "<uuid>"},
	{regexp.MustCompile(`\b\d{4}-\d{2}-\d{2}[T ]\d{2}:\d{2}:\d{2}(\.\d+)?(Z|[+-]\d{2}:?\d{2})?`), "<time>"},
	{regexp.MustCompile(`\b\d{1,3}(\.\d{1,3}){3}(:\d+)?\b`), "<address>"},
	{regexp.MustCompile(`\[[0-9a-fA-F:]*:[0-9a-fA-F:]*\](:\d+)?`), "<address>"},
	{regexp.MustCompile(`\b[\w.+-]+@[\w-]+(\.[\w-]+)+\b`), "<email>"},
	{regexp.MustCompile(`\b(0x)?[0-9a-fA-F]*\d[0-9a-fA-F]{7,}\b`), "<id>"},
	{regexp.MustCompile(`\b\d+(\.\d+)?(ns|µs|ms|s|m|h)?\b`), "<n>"},
}

var spaces = regexp.MustCompile(`\s+`)

// Normalise takes out of an error text what differs between two occurrences of the same error: ids, numbers, addresses,
// times. An HTTP status stays, because the error class and the text name it in words the senders choose ("answered 503").
func Normalise(text string) string {
	text = httpStatus.ReplaceAllStringFunc(text, func(s string) string { return strings.Replace(s, " ", "_", 1) })
	for _, n := range normalisers {
		text = n.shape.ReplaceAllString(text, n.with)
	}
	text = strings.ReplaceAll(text, "answered_", "answered ")
	text = strings.TrimSpace(spaces.ReplaceAllString(text, " "))
	if runes := []rune(text); len(runes) > 300 {
		text = string(runes[:300])
	}
	return text
}

var httpStatus = regexp.MustCompile(`\banswered \d{3}\b`)

// Fingerprint is the group of a failure: the same integration, error class and normalised text. It returns the group's id
// (32 hex digits) and the normalised text.
func Fingerprint(integration, class, text string) (id, normalised string) {
	normalised = Normalise(text)
	sum := sha256.Sum256([]byte(integration + "\x00" + class + "\x00" + normalised))
	return hex.EncodeToString(sum[:16]), normalised
}
