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
	"text/tabwriter"
	"time"
	"unicode/utf8"

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
			if n := columns(f); n > 0 {
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
	widths := make([]int, len(x.head))
	for _, row := range append([][]string{x.head}, x.rows...) {
		for i, cell := range row {
			widths[i] = max(widths[i], utf8.RuneCountInString(cell))
		}
	}
	x.fit(widths, t.Width)
	w := tabwriter.NewWriter(t.Out, 0, 0, gap, ' ', 0)
	for _, row := range append([][]string{x.head}, x.rows...) {
		cells := make([]string, len(row))
		for i, cell := range row {
			cells[i] = shortened(cell, widths[i])
		}
		fmt.Fprintln(w, strings.TrimRight(strings.Join(cells, "\t"), "\t"))
	}
	_ = w.Flush() // a reader who left is no failure of ours
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
	if utf8.RuneCountInString(text) <= width {
		return text
	}
	return string([]rune(text)[:width-1]) + "…"
}

// ago is a time relative and exact.
func ago(at *time.Time, now time.Time) string {
	if at == nil {
		return ""
	}
	return relative(now.Sub(*at)) + ", " + at.UTC().Format("2006-01-02 15:04:05Z")
}

func relative(d time.Duration) string {
	text := "%s ago"
	if d < 0 {
		d, text = -d, "in %s"
	}
	switch {
	case d < 2*time.Second:
		return "now"
	case d < 2*time.Minute:
		return fmt.Sprintf(text, fmt.Sprintf("%ds", int(d.Seconds())))
	case d < 2*time.Hour:
		return fmt.Sprintf(text, fmt.Sprintf("%dm", int(d.Minutes())))
	case d < 48*time.Hour:
		return fmt.Sprintf(text, fmt.Sprintf("%dh", int(d.Hours())))
	}
	return fmt.Sprintf(text, fmt.Sprintf("%dd", int(d.Hours()/24)))
}

// plural is a number with its noun.
func plural(n int, one, many string) string {
	if n == 1 && !words.OneForm(Language()) {
		return "1 " + one
	}
	return Text("%d "+many, n)
}
