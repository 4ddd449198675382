package delivery

import (
	"bytes"
	"regexp"
	"strings"
	"testing"
	"time"
)

var wholeToken = regexp.MustCompile("^" + TokenPattern + "$")

func TestSecretsOfTokensAreWhole(t *testing.T) {
	seen := map[string]bool{}
	for range 200 {
		secret := NewTokenSecret()
		if !IsWholeToken(secret) || !wholeToken.MatchString(secret) || seen[secret] {
			t.Errorf("%q", secret)
		}
		seen[secret] = true
	}
	// what others write to look for secrets stays true
	if got := tokenSecretOf(bytes.Repeat([]byte{7}, tokenBytes)); got != "rdr_a4dqobyha4dqobyha4dqobyha4dqobyha4dqobyha4dqobyha4d2hwbezm" {
		t.Errorf("%q", got)
	}
}

// FuzzTokenText takes no text for a secret but one that was made as one, without a letter missing or changed.
func FuzzTokenText(f *testing.F) {
	whole := tokenSecretOf(bytes.Repeat([]byte{7}, tokenBytes))
	for _, text := range []string{"", TokenPrefix, whole, whole[:len(whole)-1], whole + "a", strings.ToUpper(whole), whole[:20] + "\n" + whole[20:], "rdr_" + strings.Repeat("a", 58),
		"rdr_" + strings.Repeat("7", 58), whole[:len(whole)-1] + "n", "redrive_" + whole} {
		f.Add(text)
	}
	f.Fuzz(func(t *testing.T, text string) {
		if !IsWholeToken(text) {
			return
		}
		if !wholeToken.MatchString(text) {
			t.Fatalf("%q is whole", text)
		}
		for at := len(TokenPrefix); at < len(text); at++ {
			for _, letter := range "az27" {
				if changed := text[:at] + string(letter) + text[at+1:]; changed != text && IsWholeToken(changed) {
					t.Errorf("%q is whole as well as %q", changed, text)
				}
			}
		}
	})
}

func TestLifetimesOfTokens(t *testing.T) {
	l := TokenLifetimes{Standard: 90 * time.Minute, Most: 100 * time.Hour}
	for hours, want := range map[int]time.Duration{0: 90 * time.Minute, 1: time.Hour, 100: 100 * time.Hour, 101: 0, -1: 0, 1 << 40: 0} {
		if got, err := l.Of(hours); got != want || (err == nil) != (want > 0) {
			t.Errorf("%d hours: %s %v", hours, got, err)
		}
	}
	for hours, ok := range map[int]bool{0: true, 720: true, 721: false, -1: false, 1 << 60: false} {
		if got, err := TokenOverlap(hours); (err == nil) != ok || ok && got != time.Duration(hours)*time.Hour {
			t.Errorf("%d hours: %s %v", hours, got, err)
		}
	}
}
