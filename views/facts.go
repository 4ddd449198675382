package views

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"redrive/delivery"
)

// factWords are the phrases for what methods count; %s is the number, or "3 of 50".
var factWords = map[string]string{
	"busy":            "%s at work",
	"queued":          "%s queued",
	"waiting_retries": "%s waiting for a retry",
	"recording":       "%s being written down",
	"blocked":         "%s producers held back",
	"rejected":        "%s rejected",
	"caller_runs":     "%s sent by their producers",
	"journaled":       "%s put into the journal",
	"journal_entries": "%s in this process's journal",
	"journal_bytes":   "journal of %s",
	"in_flight":       "%s in flight",
	"prefetched":      "%s prefetched",
	"acknowledged":    "%s acknowledged",
	"waiting":         "%s wait in the broker",
	"received":        "%s received",
	"delivered":       "%s delivered at once",
	"parked":          "%s kept here",
	"known":           "%s known already",
	"gaps":            "%s gaps",
	"unwanted":        "%s of other types",
	"relay":           "relay: %s",
	"sequence":        "latest file number %s",
	"next_run":        "next run %s",
	"last_run":        "last run %s",
	"lag_rows":        "%s events behind",
	"lag_bytes":       "%s behind",
	"lag_seconds":     "%s s behind",
	"retained_bytes":  "%s of log held back",
	"changes":         "%s changes read",
	"snapshot":        "snapshot: %s rows",
	"position":        "at %s",
	"last_change":     "last change %s",
	"missed":          "%s changes of stopped tables not delivered",
	"findings":        "%s",
}

// inside are figures that nobody acts on who looks at all integrations.
var inside = []string{"changes", "last_change", "sequence", "relay", "position", "retained_bytes", "lag_bytes"}

// facts are the figures of a method in words. What is nothing and has no limit is left out, unless it is a running count or a lag;
// in brief these too, and what only the integration's own page shows.
func (l Locale) facts(list []delivery.Fact, brief bool) string {
	var out []string
	for _, f := range list {
		says := f.Value != 0 || f.Limit > 0 || !f.Says.IsZero() || !brief && (f.Total || strings.HasPrefix(f.Name, "lag_"))
		if says && !f.Alarm && (!brief || !slices.Contains(inside, f.Name)) {
			out = append(out, l.fact(f))
		}
	}
	return l.dots(out...)
}

func (l Locale) fact(f delivery.Fact) string {
	number := l.Number(int(f.Value))
	switch {
	case f.Name == "connected", f.Name == "partitions", f.Name == "running" && !f.Says.IsZero():
		return l.Say(f.Says)
	case f.Name == "position" || f.Name == "relay" || f.Name == "findings":
		number = l.Say(f.Says)
	case f.Name == "last_change" || f.Name == "next_run":
		number = l.Relative(time.Unix(f.Value, 0))
	case f.Name == "gaps" && f.Value > 0:
		return l.N(int(f.Value), "%s gap", "%s gaps")
	case f.Name == "last_run":
		number = l.Say(f.Says) + " " + l.Relative(time.Unix(f.Value, 0))
	case strings.HasSuffix(f.Name, "_bytes"):
		number = l.Size(int(f.Value))
	case f.Limit > 0:
		number = l.T("%s of %s", number, l.Number(int(f.Limit)))
	}
	if words, ok := factWords[f.Name]; ok {
		return l.T(words, number)
	}
	return l.T("%s: %s", strings.ReplaceAll(f.Name, "_", " "), number)
}

// gapText says what is missing of a table, and why.
func (l Locale) gapText(g delivery.CaptureGap) string {
	to := l.T("now")
	if g.To != nil {
		to = g.To.String()
	}
	text := l.T("%s. Changes from %s to %s may be missing; noticed", l.Say(g.Why), g.From.String(), to)
	if !g.Note.IsZero() {
		text = l.T("It could not be read again: %s.", l.Say(g.Note)) + " " + text
	}
	return text
}

// tableField is the id of a field in the form to read a table again.
func tableField(integration string, n int) string { return fmt.Sprintf("table-%s-%d", integration, n) }

// alarms are what figures say that a person should look at.
func alarms(list []delivery.Fact) (out []delivery.Phrase) {
	for _, f := range list {
		if f.Alarm {
			out = append(out, f.Says)
		}
	}
	return out
}

// crash says what a crash of the process can lose; nothing for a method that keeps nothing in memory only.
func (l Locale) crash(i delivery.Integration) string {
	if i.Method != delivery.MethodPool || i.Pool == nil {
		return ""
	}
	return l.T("Handed over in memory: a crash of the process loses at most %s messages, an orderly stop none.",
		l.Number(i.Pool.Workers+i.Pool.Queue))
}
