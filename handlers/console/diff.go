package console

import (
	"strings"
	"unicode"

	"github.com/aymanbagabas/go-udiff"

	"redrive/views"
)

// differ compares two texts line by line.
func differ(before, after string) (out []views.DiffLine) {
	before, after = before+"\n", after+"\n"
	compared, err := udiff.ToUnifiedDiff("", "", before, udiff.Strings(before, after), 3)
	if err != nil {
		return []views.DiffLine{{Kind: "gap"}}
	}
	kinds := map[udiff.OpKind]string{udiff.Delete: "old", udiff.Insert: "new", udiff.Equal: "same"}
	for _, hunk := range compared.Hunks {
		if hunk.FromLine > 1 {
			out = append(out, views.DiffLine{Kind: "gap"})
		}
		for _, line := range hunk.Lines {
			if len(out) == maxDiffLines {
				markWords(out)
				return append(out, views.DiffLine{Kind: "gap"})
			}
			out = append(out, views.DiffLine{Kind: kinds[line.Kind], Text: strings.TrimSuffix(line.Content, "\n")})
		}
	}
	markWords(out)
	return out
}

// markWords marks in lines that took the place of others which words are other ones.
func markWords(lines []views.DiffLine) {
	for at := 0; at < len(lines); {
		old := run(lines, at, "old")
		fresh := run(lines, old, "new")
		for n := range min(old-at, fresh-old) {
			markPair(&lines[at+n], &lines[old+n])
		}
		at = max(fresh, at+1)
	}
}

// run is where lines of a kind end.
func run(lines []views.DiffLine, at int, kind string) int {
	for at < len(lines) && lines[at].Kind == kind {
		at++
	}
	return at
}

// maxWords bounds what is compared word by word.
const maxWords = 2000

// markPair compares two lines word by word: each word is a rune for the library, which compares runes.
func markPair(before, after *views.DiffLine) {
	known := map[string]rune{}
	a, b := wordsOf(before.Text), wordsOf(after.Text)
	if len(a) > maxWords || len(b) > maxWords {
		return
	}
	old, fresh := asRunes(a, known), asRunes(b, known)
	at, changed := 0, 0
	var oldMarks, newMarks [][]int
	moved := 0 // of places in fresh against those in old
	for _, e := range udiff.Strings(old, fresh) {
		at = len([]rune(old[:e.Start]))
		gone, came := len([]rune(old[e.Start:e.End])), len([]rune(e.New))
		oldMarks, newMarks = marked(oldMarks, a, at, gone), marked(newMarks, b, at+moved, came)
		moved, changed = moved+came-gone, changed+gone
	}
	if changed*4 <= len(a)*3 { // else it is another line, and all of it changed
		before.Marks, after.Marks = oldMarks, newMarks
	}
}

// marked adds the bytes of n words.
func marked(marks [][]int, words []string, at, n int) [][]int {
	if n == 0 {
		return marks
	}
	from := len(strings.Join(words[:at], ""))
	return append(marks, []int{from, from + len(strings.Join(words[at:at+n], ""))})
}

// wordsOf cuts a line: letters and digits belong together, everything else stands alone.
func wordsOf(line string) (list []string) {
	begin, inWord := 0, false
	for at, r := range line {
		isWord := unicode.IsLetter(r) || unicode.IsDigit(r) || unicode.IsMark(r) || r == '_'
		if at > begin && !(inWord && isWord) {
			list, begin = append(list, line[begin:at]), at
		}
		inWord = isWord
	}
	if begin < len(line) {
		list = append(list, line[begin:])
	}
	return list
}

// firstRune is for the first word: above it are enough that are valid.
const firstRune = 0x10000

func asRunes(words []string, known map[string]rune) string {
	var b strings.Builder
	for _, w := range words {
		r, ok := known[w]
		if !ok {
			r = rune(firstRune + len(known))
			known[w] = r
		}
		b.WriteRune(r)
	}
	return b.String()
}
