package views

import (
	"strings"
	"unicode"

	"redrive/delivery"
)

// listed is a failure as a row of a list.
type listed struct {
	delivery.Delivery
	href    string
	selects bool // has a box
	states  bool // says its state: the list is of several
	isNew   bool
	within  bool // a fold
	room    int  // characters of one value, so that the page stays small
}

// mostOfValues is how many characters the values of a page take together, of each kind.
const mostOfValues = 16_000

// maxBack is the longest address of a list that each of its rows carries. Of a longer one the browser tells the page of the failure.
const maxBack = 400

// rowsOf are failures as rows of a list.
func rowsOf(items []delivery.Delivery, list string, states bool) []listed {
	rows := make([]listed, len(items))
	room := mostOfValues / max(len(items), delivery.DefaultPage/3)
	for n, d := range items {
		rows[n] = listed{Delivery: d, href: FailureInList(list, d.Place()), states: states, room: room}
		if len(list) > maxBack {
			rows[n].href = Failure(d.ID)
		}
	}
	return rows
}

// folds are the rows of the page; neighbours that look the same are one fold.
func (p FailuresPage) folds() (folds [][]listed) {
	for _, r := range rowsOf(p.Items, p.Here, p.saysStates()) {
		r.selects, r.isNew = p.selects(), !p.isNews() && p.Look.IsNew(r.Delivery)
		if last := len(folds) - 1; last >= 0 && p.alike(folds[last][0], r) {
			folds[last] = append(folds[last], r)
		} else {
			folds = append(folds, []listed{r})
		}
	}
	return folds
}

// bodies are the parts of the table: each fold is one, and what stands between folds.
func (p FailuresPage) bodies() (bodies [][]listed) {
	for _, fold := range p.folds() {
		for n := range fold {
			fold[n].within = len(fold) > 1
		}
		if last := len(bodies) - 1; last >= 0 && !bodies[last][0].within && !fold[0].within {
			bodies[last] = append(bodies[last], fold...)
		} else {
			bodies = append(bodies, fold)
		}
	}
	return bodies
}

// alike reports whether rows say the same, but for when.
func (p FailuresPage) alike(a, b listed) bool {
	return a.Key == b.Key && a.Type == b.Type && a.Integration == b.Integration && a.Error == b.Error && a.ErrorClass == b.ErrorClass &&
		a.Attempts == b.Attempts && a.isNew == b.isNew && p.State(a.Delivery) == p.State(b.Delivery) &&
		a.MayHaveHadEffect() == b.MayHaveHadEffect() && p.caseText(a.Case) == p.caseText(b.Case)
}

// choices is the value of a fold's box: those of all of its rows.
func choices(fold []listed) string {
	values := make([]string, len(fold))
	for n, r := range fold {
		values[n] = Choice(r.Delivery)
	}
	return strings.Join(values, Chosen)
}

// Chosen stands between the values of a box that chooses several rows.
const Chosen = " "

// name is what people call a failure: its business key, else the end of its id.
func (r listed) name() string { return called(r.Key, r.ID) }

func called(key, id string) string {
	if key != "" {
		return key
	}
	return Short(id)
}

// said is what the receiver said; where it said nothing, what happened.
func (l Locale) said(d delivery.Delivery) string { return l.saidIn(d.ErrorClass, d.Error) }

// saidIn is the same of an error's class and text.
func (l Locale) saidIn(class, text string) string {
	if cause := delivery.Cause(class, text); cause != "" {
		return cause
	}
	if text != "" {
		return l.attempted(class, text)
	}
	return orDash(l.Class(class))
}

const (
	tail     = 8   // characters of a value that stay when its middle is cut
	mostSaid = 100 // characters of what the receiver said: the rest stands on the page of the failure
	longFrom = 18  // characters of a value that some column may not have room for
)

// middle cuts a text in its middle, to a number of characters.
func middle(text string, most int) string {
	text = Visible(text)
	runes := []rune(text)
	if len(runes) <= most {
		return text
	}
	return string(runes[:most-2*tail]) + "…" + string(runes[len(runes)-2*tail+1:])
}

// halves are a text's beginning, of which the page cuts what it has no room for, and its end. Marks stay with their letter.
func halves(text string) (begin, end string) {
	runes := []rune(text)
	at := max(len(runes)-tail, 0)
	for at > 0 && at < len(runes) && (unicode.IsMark(runes[at]) || unicode.Is(unicode.Cf, runes[at]) || unicode.Is(unicode.Cf, runes[at-1])) {
		at--
	}
	return string(runes[:at]), string(runes[at:])
}

func isLong(text string) bool { return len([]rune(text)) > longFrom }
