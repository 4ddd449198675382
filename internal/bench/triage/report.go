package triage

import (
	"fmt"
	"io"
	"slices"
	"text/tabwriter"
	"time"
)

// Report is what was measured, in the order of asking.
type Report struct {
	Lines []Line
	sizes map[string]page
}

// Line is one question.
type Line struct {
	Where, Name string
	Err         error
	Raw, Zipped int // largest page in bytes; 0: no page
	plain       bool
	target      target
	took        []time.Duration // sorted when it is in the report
	found       int
}

func (r *Report) add(l Line) {
	slices.Sort(l.took)
	if p, ok := r.sizes[l.Name]; ok && l.Where == "as a page" {
		l.Raw, l.Zipped = p.raw, p.zipped
		l.plain = !p.compressed
	}
	r.Lines = append(r.Lines, l)
}

// At is a percentile.
func (l Line) At(p int) time.Duration {
	if len(l.took) == 0 {
		return 0
	}
	return l.took[max((len(l.took)*p+99)/100, 1)-1]
}

// Runs is how often it was asked.
func (l Line) Runs() int { return len(l.took) }

// Missed says that it took longer than it may.
func (l Line) Missed() bool { return l.target.limit > 0 && l.At(l.target.percentile) > l.target.limit }

func (l Line) verdict() string {
	switch {
	case l.Err != nil:
		return l.Err.Error()
	case l.target.limit == 0:
		return ""
	case l.Missed():
		return "MISSED"
	case l.Raw > maxRaw || l.Zipped > maxZipped:
		return "TOO LARGE"
	case l.plain:
		return "NOT COMPRESSED"
	}
	return "ok"
}

func (l Line) wanted() string {
	if l.target.limit == 0 {
		return ""
	}
	return fmt.Sprintf("p%d < %s", l.target.percentile, l.target.limit)
}

func (r *Report) print(out io.Writer, where string) error {
	table := tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)
	fmt.Fprintf(table, "%s\ttarget\tp50\tp95\tp99\tmax\truns\tfound\tHTML\tgzip\t\n", where)
	for _, l := range r.Lines {
		if l.Where != where {
			continue
		}
		fmt.Fprintf(table, "%s\t%s\t%s\t%s\t%s\t%s\t%d\t%d\t%s\t%s\t%s\n", l.Name, l.wanted(), ms(l.At(50)), ms(l.At(95)),
			ms(l.At(99)), ms(l.At(100)), l.Runs(), l.found/max(l.Runs(), 1), kb(l.Raw), kb(l.Zipped), l.verdict())
	}
	fmt.Fprintln(table)
	return table.Flush()
}

func ms(d time.Duration) string { return fmt.Sprintf("%.2f", float64(d)/float64(time.Millisecond)) }

func kb(bytes int) string {
	if bytes == 0 {
		return ""
	}
	return fmt.Sprintf("%.1f KB", float64(bytes)/1000)
}

// size notes the largest page of a question.
func (r *Report) size(name string, p page) {
	if r.sizes == nil {
		r.sizes = map[string]page{}
	}
	most := r.sizes[name]
	r.sizes[name] = page{raw: max(most.raw, p.raw), zipped: max(most.zipped, p.zipped), compressed: p.compressed}
}
