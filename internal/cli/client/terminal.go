package client

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"strconv"
	"strings"
	"time"

	"golang.org/x/term"
	"golang.org/x/text/width"

	"redrive/views/words"
)

// Terminal is where a command reads and writes.
type Terminal struct {
	In       io.Reader
	Out, Err io.Writer
	Asks     bool // somebody can answer
	Moves    bool // Out is a screen: a line can be written over
	Width    int  // of the screen; 0: no bound
}

// NewTerminal looks at where the process reads and writes.
func NewTerminal(in io.Reader, out, err io.Writer) *Terminal {
	t := &Terminal{In: in, Out: out, Err: err, Asks: isScreen(in) && isScreen(err), Moves: isScreen(out)}
	if t.Moves {
		t.Width = 80
		if f, ok := out.(*os.File); ok {
			if n, _, err := term.GetSize(int(f.Fd())); err == nil && n > 0 {
				t.Width = n
			}
		}
		if n, err := strconv.Atoi(os.Getenv("COLUMNS")); err == nil && n > 20 {
			t.Width = n
		}
	}
	return t
}

// Draws reports whether Err is a screen, on which a line can be drawn anew.
func (t *Terminal) Draws() bool { return isScreen(t.Err) }

func isScreen(stream any) bool {
	f, ok := stream.(*os.File)
	if !ok {
		return false
	}
	info, err := f.Stat()
	return err == nil && info.Mode()&os.ModeCharDevice != 0 && f.Name() != os.DevNull
}

// ask reads one line. It does not outlast ctx.
func (t *Terminal) ask(ctx context.Context, question string) (string, error) {
	fmt.Fprint(t.Err, question)
	answer := make(chan string, 1)
	go func() {
		line, _ := bufio.NewReader(t.In).ReadString('\n') // what cannot be read is no answer
		answer <- strings.TrimSpace(line)
	}()
	select {
	case line := <-answer:
		return line, nil
	case <-ctx.Done():
		fmt.Fprintln(t.Err)
		return "", errInterrupted
	}
}

// lines is visible for text in which line breaks and tabs are meant.
func lines(text, indent string) string {
	var out []string
	for _, line := range strings.Split(strings.ReplaceAll(text, "\r\n", "\n"), "\n") {
		parts := strings.Split(line, "\t")
		for i := range parts {
			parts[i] = visible(parts[i])
		}
		out = append(out, indent+strings.Join(parts, "\t"))
	}
	return strings.Join(out, "\n")
}

// json writes what the API answered: the same JSON, in which what a terminal would obey is escaped.
func (t *Terminal) json(raw []byte) {
	fmt.Fprintln(t.Out, escaped(strings.TrimSuffix(string(raw), "\n"), isPlain, unicodeEscape))
}

// array writes the items of all pages as one array, an item a line.
func (t *Terminal) array(items []json.RawMessage) {
	parts := make([]string, len(items))
	for i, item := range items {
		parts[i] = "\n" + string(item)
	}
	end := "]"
	if len(items) > 0 {
		end = "\n]"
	}
	t.json([]byte("[" + strings.Join(parts, ",") + end))
}

// table is rows under a head. What does not fit the screen is shortened: columns that may be, the last one first.
type table struct {
	head  []string
	least []int // how far a column may be shortened; 0: not at all
	rows  [][]string
}

func (t *table) add(cells ...string) {
	for i := range cells {
		cells[i] = visible(cells[i])
	}
	t.rows = append(t.rows, cells)
}

const gap = 2

func (t *Terminal) table(x *table) {
	widths, head := make([]int, len(x.head)), make([]string, len(x.head))
	for i, text := range x.head {
		head[i] = Text(text)
	}
	rows := append([][]string{head}, x.rows...)
	for _, row := range rows {
		for i, cell := range row {
			widths[i] = max(widths[i], columns(cell))
		}
	}
	x.fit(widths, t.Width)
	for _, row := range rows {
		var line string
		for i, cell := range row {
			line += padded(shortened(cell, widths[i]), widths[i]+gap)
		}
		fmt.Fprintln(t.Out, strings.TrimRight(line, " "))
	}
}

// columns is how many a text takes on a screen: a Hangul syllable or another wide sign takes two.
func columns(text string) (n int) {
	for _, r := range text {
		n += columnsOf(r)
	}
	return n
}

func columnsOf(r rune) int {
	if kind := width.LookupRune(r).Kind(); kind == width.EastAsianWide || kind == width.EastAsianFullwidth {
		return 2
	}
	return 1
}

// padded is a text with blanks behind it up to a width.
func padded(text string, width int) string {
	return text + strings.Repeat(" ", max(width-columns(text), 0))
}

func (x *table) fit(widths []int, screen int) {
	if screen <= 0 {
		return
	}
	over := gap*(len(widths)-1) - screen
	for _, n := range widths {
		over += n
	}
	for i := len(widths) - 1; i >= 0 && over > 0; i-- {
		if cut := min(over, widths[i]-x.least[i]); x.least[i] > 0 && cut > 0 {
			widths[i] -= cut
			over -= cut
		}
	}
}

func shortened(text string, width int) string {
	if columns(text) <= width {
		return text
	}
	left := width - 1
	for at, r := range text {
		if left -= columnsOf(r); left < 0 {
			return text[:at] + "…"
		}
	}
	return text
}

// ago is a time relative and exact.
func ago(at *time.Time, now time.Time) string {
	if at == nil {
		return ""
	}
	return relative(now.Sub(*at)) + ", " + at.UTC().Format("2006-01-02 15:04:05Z")
}

func relative(d time.Duration) string {
	behind := d >= 0
	if d = d.Abs(); d < 2*time.Second {
		return Text("now")
	}
	if behind {
		return Text("%s ago", span(d))
	}
	return Text("in %s", span(d))
}

// span is about how long something takes.
func span(d time.Duration) string {
	switch {
	case d < 2*time.Minute:
		return fmt.Sprintf("%ds", int(d.Seconds()))
	case d < 2*time.Hour:
		return fmt.Sprintf("%dm", int(d.Minutes()))
	case d < 48*time.Hour:
		return fmt.Sprintf("%dh", int(d.Hours()))
	}
	return fmt.Sprintf("%dd", int(d.Hours()/24))
}

// plural is a number with its noun.
func plural(n int, one, many string) string {
	if n == 1 && !words.OneForm(Language()) {
		return "1 " + one
	}
	return Text("%d "+many, n)
}
