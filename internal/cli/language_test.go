package cli

import (
	"slices"
	"testing"

	"github.com/alecthomas/kong"

	"redrive/views/words"
)

// Whoever adds a command or a flag adds its help in Korean, to views/words/korean_commands.go.
func TestHelpIsThereInKorean(t *testing.T) {
	var c commands
	_, err := kong.New(&c, helpVars(""), kong.PostBuild(func(k *kong.Kong) error {
		all := append(append(helpTexts(k.Model), headings...), about)
		for _, english := range words.KoreanTexts("commands") {
			if !slices.Contains(all, english) {
				t.Errorf("nobody says %q: take its translation away", english)
			}
		}
		for _, text := range all {
			if text != "" && words.Translate(words.Korean, text) == text {
				t.Errorf("missing in Korean:\n\t{%q, %q},", text, "")
			}
		}
		return nil
	}))
	if err != nil {
		t.Fatal(err)
	}
}
