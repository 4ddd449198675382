package passwords

import (
	"errors"
	"maps"
	"slices"
	"strings"
	"testing"

	"redrive/delivery"
)

func TestPasswords(t *testing.T) {
	for password, want := range map[string]string{
		"":                          "password_too_short",
		"fourteen chars":            "password_too_short",
		"a\u0301 fourteen cha":      "password_too_short", // one character of two runes
		"correct horse battery":     "",
		"ein paar zufällige Wörter": "",
		"Это длинная фраза-пароль": "",
		"k7f2mzq4x9wb3t6":                           "",
		"                correct horse   ":          "",
		strings.Repeat("correct horse battery ", 3): "", // more than 64
		strings.Repeat("ä1 ", 400):                  "password_too_long",
		"passwordpassword":                          "password_common",
		"PasswordPassword":                          "password_common",
		"ｐａｓｓｗｏｒｄｐａｓｓｗｏｒｄ":                          "password_common",
		"Correct Horse Battery-Staple":              "password_common",
		"12345678901234567890":                      "password_common",
		"aaaaaaaaaaaaaaaaaaaaaaaaaaa":               "password_pattern",
		"abcdefghijklmnopqrstuvwx":                  "password_pattern",
		"98765432109876543":                         "password_pattern",
		"poiuytrewqlkjhgfdsa":                       "password_pattern",
		"summer26summer26summer26":                  "password_pattern",
		"annabelle annabelle x9":                    "password_context",
		"Redrive-Annabelle-2026":                    "password_context",
		"redrive redrive re-drive7":                 "password_context",
		"Annabelle drives a redrive van to Oslo":    "",
	} {
		err := Check(password, "annabelle")
		var mistake *delivery.InputError
		if errors.As(err, &mistake); (mistake == nil) != (want == "") || mistake != nil && (mistake.Code != want || mistake.Field != "password") {
			t.Errorf("%q: %v, want %q", password, err, want)
		}
	}
	if err := Check("al is always on alert", "al"); err != nil {
		t.Errorf("a name of two letters is everywhere: %v", err)
	}
}

// Nothing of the list may be missing, and nothing in it be longer than needed.
func TestTheListIsWhole(t *testing.T) {
	known := slices.Sorted(maps.Keys(common()))
	if len(known) < 9_700 {
		t.Fatalf("%d passwords", len(known))
	}
	for _, password := range known {
		if fold(password) != password || len(password) < 12 {
			t.Fatalf("%q is not folded, or short", password)
		}
	}
}

func TestOnePasswordHoweverItIsTyped(t *testing.T) {
	if one, other := Normal("Zu\u0308rich"), Normal("Zürich"); one != other {
		t.Errorf("%q and %q", one, other)
	}
}
