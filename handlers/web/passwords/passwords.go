// Package passwords says which secrets people may choose: long enough, not known to everybody, not what anybody would try first. It asks
// for no kinds of characters (NIST SP 800-63B-4, 3.1.1.2).
package passwords

import (
	"bytes"
	"compress/gzip"
	_ "embed"
	"io"
	"slices"
	"strings"
	"sync"
	"unicode"
	"unicode/utf8"

	"golang.org/x/text/unicode/norm"

	"redrive/delivery"
)

// minSurprises are those of a password, see Surprises.
const minSurprises = 8

// service is what everybody knows who sees the sign-in page.
const service = "redrive"

// packed are common passwords of delivery.MinPassword characters and more, folded, one a line in order; common.LICENSE says where they are from.
//
//go:embed common.txt.gz
var packed []byte

var common = sync.OnceValue(func() map[string]bool {
	known := map[string]bool{"correcthorsebatterystaple": true}
	unpacked, err := gzip.NewReader(bytes.NewReader(packed))
	if err != nil {
		return known
	}
	text, _ := io.ReadAll(unpacked) // a test reads it to its end
	for line := range strings.Lines(string(text)) {
		known[strings.TrimSuffix(line, "\n")] = true
	}
	return known
})

// Normal is the one form of a password that is hashed and compared, however a keyboard puts its letters together.
func Normal(password string) string { return norm.NFC.String(password) }

// Check refuses a password that a person must not choose; name is what they are called. The error is an *delivery.InputError.
func Check(password, name string) error {
	password = Normal(password)
	folded := fold(password)
	switch {
	case utf8.RuneCountInString(password) < delivery.MinPassword:
		return delivery.Mistake("password_too_short", "password", "min", delivery.MinPassword)
	case len(password) > delivery.MaxPassword:
		return delivery.Mistake("password_too_long", "password", "max", delivery.MaxPassword)
	case common()[folded]:
		return delivery.Mistake("password_common", "password")
	case Surprises(password) < minSurprises || repeats([]rune(folded)):
		return delivery.Mistake("password_pattern", "password")
	case utf8.RuneCountInString(without(folded, service, fold(name))) < min(delivery.MinPassword, utf8.RuneCountInString(folded)):
		return delivery.Mistake("password_context", "password", "min", delivery.MinPassword)
	}
	return nil
}

// repeats reports whether a text is a shorter one over and over, which would be too short by itself.
func repeats(text []rune) bool {
	for n := 1; n < delivery.MinPassword && 2*n <= len(text); n++ {
		if slices.Equal(text[n:], text[:len(text)-n]) {
			return true
		}
	}
	return false
}

// without takes words out of a text, of three letters and more.
func without(text string, words ...string) string {
	for _, word := range words {
		if utf8.RuneCountInString(word) > 2 {
			text = strings.ReplaceAll(text, word, "")
		}
	}
	return text
}

// fold is a text in small letters and digits only: what is told apart by nothing but spaces, signs and capital letters is the same.
func fold(text string) string {
	return strings.Map(func(r rune) rune {
		if !unicode.IsLetter(r) && !unicode.IsDigit(r) {
			return -1
		}
		return unicode.ToLower(r)
	}, norm.NFKC.String(text))
}

// keys are neighbours on keyboards.
const keys = "1234567890/qwertyuiop/qwertzuiop/asdfghjkl/zxcvbnm/azertyuiop"

// Surprises counts the characters of a text that do not follow from those before: neither the same again, nor the next of the alphabet
// or of the keyboard, nor the third of three that came in this order before.
func Surprises(text string) (count int) {
	runes, seen := []rune(strings.ToLower(text)), map[string]bool{}
	for i, r := range runes {
		repeated := false
		if i > 1 {
			three := string(runes[i-2 : i+1])
			repeated, seen[three] = seen[three], true
		}
		if i == 0 || !repeated && !follows(runes[i-1], r) {
			count++
		}
	}
	return count
}

func follows(before, r rune) bool {
	step := r - before
	return step >= -1 && step <= 1 || strings.Contains(keys, string([]rune{before, r})) || strings.Contains(keys, string([]rune{r, before}))
}
