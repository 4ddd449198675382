package hostile

import (
	"slices"
	"strings"
	"testing"
	"unicode/utf8"
)

func TestEachTextIsThereOnce(t *testing.T) {
	all := Texts()
	for i, text := range all {
		if slices.Index(all, text) != i || !utf8.ValidString(text) || strings.ContainsRune(text, 0) {
			t.Errorf("%q is there twice, or no text", text)
		}
	}
	if len(all) < 200 || len(Lines()) < 200 {
		t.Errorf("%d texts, %d lines", len(all), len(Lines()))
	}
	for _, most := range []int{60, 200, 4000} {
		pieces := Packed(all, most)
		joined := strings.Join(pieces, " ")
		for _, text := range all {
			if len(text) <= most && !strings.Contains(joined, text) {
				t.Errorf("%d: %q got lost", most, text)
			}
		}
		if slices.ContainsFunc(pieces, func(p string) bool { return p == "" || len(p) > most }) {
			t.Errorf("%d: a piece is too long, or empty", most)
		}
	}
	if parts := Legible("a\u202eb \t c\x00\x1b[d\n"); !slices.Equal(parts, []string{"a", "b c", "[d"}) {
		t.Errorf("%q", parts)
	}
}
