package console

import (
	"strings"
	"testing"

	"redrive/views"
)

// said writes a difference as text: marked words in brackets.
func said(lines []views.DiffLine) string {
	var b strings.Builder
	for _, line := range lines {
		at := 0
		b.WriteString(line.Kind + ": ")
		for _, m := range line.Marks {
			b.WriteString(line.Text[at:m[0]] + "[" + line.Text[m[0]:m[1]] + "]")
			at = m[1]
		}
		b.WriteString(line.Text[at:] + "\n")
	}
	return b.String()
}

func TestADifferenceMarksItsWords(t *testing.T) {
	for _, c := range [][3]string{
		{"a: 1", "a: 1", ""},
		{`  "total": 1200,`, `  "total": 1250,`, "old:   \"total\": [1200],\nnew:   \"total\": [1250],\n"},
		{"주문 4711을 취소", "주문 4712을 취소", "old: 주문 [4711을] 취소\nnew: 주문 [4712을] 취소\n"},
		{"one two three", "one three", "old: one[ two] three\nnew: one three\n"},
		{"nothing alike", "42", "old: nothing alike\nnew: 42\n"},
		{"a\nb c d e\nz", "a\nb X d e\ny y\nz", "same: a\nold: b [c] d e\nnew: b [X] d e\nnew: y y\nsame: z\n"},
	} {
		if got := said(differ(c[0], c[1])); got != c[2] {
			t.Errorf("%q, %q:\n%swant\n%s", c[0], c[1], got, c[2])
		}
	}
}
