package views

import (
	"cmp"
	"maps"
	"net/url"
	"slices"
	"strings"
	"time"

	"redrive/delivery"
)

// Board is a list of integrations by trouble: what needs a person is shown, what is quiet is folded.
type Board struct {
	Find  string // what was looked for, see found
	From  int
	All   int                          // integrations that the reader sees
	Found int                          // those that Find finds
	Rows  []delivery.IntegrationHealth // the worst first
	Folds []Fold
	Next  string             // address of what comes after Rows; empty: nothing
	Scale delivery.HourCount // the most of an hour among all strips
	Moved bool               // others are the worst by now than those that are shown
}

// Fold is one line for integrations of which there is nothing to say.
type Fold struct {
	Name, Find         string // what they have in common, and what finds them; without Find they have nothing in common
	Names              []string
	Underway           int
	delivery.HourCount // of 24 hours
}

const (
	rowsOfBoard  = 20 // a page stays under 60 KB
	foldsOfBoard = 20
)

// BoardRequest is what a reader asks of a board.
type BoardRequest struct {
	Find  string
	From  int      // rows that stood on the pages before
	Shown []string // names on an open page, whose order stays
}

// NewBoard makes a board of all integrations that a reader sees.
func NewBoard(list []delivery.IntegrationHealth, address string, asked BoardRequest, now time.Time) Board {
	list = slices.Clone(list)
	delivery.WorstFirst(list, now)
	b := Board{Find: asked.Find, From: asked.From, All: len(list), Scale: scaleOf(list)}
	list, quiet := split(list, asked.Find, now)
	b.Found = len(list) + len(quiet)
	from := min(max(asked.From, 0), len(list))
	b.Rows = list[from:min(from+rowsOfBoard, len(list))]
	if rest := from + len(b.Rows); rest < len(list) {
		b.Next = boardURL(address, BoardRequest{Find: asked.Find, From: rest})
	}
	if len(asked.Shown) > 0 {
		b.keep(asked.Shown, append(slices.Clone(list), quiet...))
	}
	b.Folds = foldsOf(quiet)
	return b
}

// split is what a board shows, and what it folds: of few integrations nothing, of what was looked for nothing.
func split(list []delivery.IntegrationHealth, find string, now time.Time) (rows, quiet []delivery.IntegrationHealth) {
	if find != "" {
		return slices.DeleteFunc(list, func(h delivery.IntegrationHealth) bool { return !found(h, find) }), nil
	}
	well := slices.IndexFunc(list, func(h delivery.IntegrationHealth) bool { return h.Urgency(now) == delivery.UrgencyNone })
	if well < 0 || len(list) <= rowsOfBoard {
		return list, nil
	}
	return list[:well], list[well:]
}

func boardURL(address string, asked BoardRequest) string {
	query := url.Values{}
	if asked.Find != "" {
		query.Set("find", asked.Find)
	}
	if asked.From > 0 {
		query.Set("from", itoa(asked.From))
	}
	if len(asked.Shown) > 0 {
		query.Set("shown", strings.Join(asked.Shown, ","))
	}
	return withQuery(address, query)
}

// keep shows the rows that an open page has in its order, and notes whether others would be there by now.
func (b *Board) keep(shown []string, list []delivery.IntegrationHealth) {
	kept := make([]delivery.IntegrationHealth, 0, len(shown))
	for _, name := range shown[:min(len(shown), rowsOfBoard)] {
		if i := slices.IndexFunc(list, func(h delivery.IntegrationHealth) bool { return h.Name == name }); i >= 0 {
			kept = append(kept, list[i])
		}
	}
	sameName := func(a, b delivery.IntegrationHealth) bool { return a.Name == b.Name }
	b.Moved = !slices.EqualFunc(kept, b.Rows, sameName)
	b.Rows = kept
}

// renewal is the address of the same board later on.
func (b Board) renewal() string {
	shown := make([]string, len(b.Rows))
	for i, h := range b.Rows {
		shown[i] = h.Name
	}
	return boardURL(OverviewBoard, BoardRequest{b.Find, b.From, shown})
}

// quiet counts the integrations that are folded.
func (b Board) quiet() (n int) {
	for _, f := range b.Folds {
		n += len(f.Names)
	}
	return n
}

// found reports whether every word of a text finds an integration: key=value its label, text* the beginning of its name, everything else
// a part of what is said of it.
func found(h delivery.IntegrationHealth, find string) bool {
	said := strings.ToLower(strings.Join(append([]string{h.Name, h.Description, string(h.Method), h.Destination, h.Address},
		slices.Collect(maps.Values(h.Labels))...), "\n"))
	for _, word := range strings.Fields(strings.ToLower(find)) {
		key, value, labelled := strings.Cut(word, "=")
		prefix, begins := strings.CutSuffix(word, "*")
		label, has := h.Labels[key]
		if labelled && has && strings.EqualFold(label, value) || begins && strings.HasPrefix(h.Name, prefix) || strings.Contains(said, word) {
			continue
		}
		return false
	}
	return true
}

// foldsOf folds by the label that most of the integrations have, else by the beginning of the name.
func foldsOf(list []delivery.IntegrationHealth) []Fold {
	key := commonLabel(list)
	folds := map[string]*Fold{}
	for _, h := range list {
		name, find := group(h, key)
		if folds[name] == nil {
			folds[name] = &Fold{Name: name, Find: find}
		}
		folds[name].add(h)
	}
	out := make([]Fold, 0, len(folds))
	rest := Fold{}
	for _, name := range slices.SortedFunc(maps.Keys(folds), func(a, b string) int {
		return cmp.Or(cmp.Compare(len(folds[b].Names), len(folds[a].Names)), cmp.Compare(a, b))
	}) {
		if len(out) < foldsOfBoard {
			out = append(out, *folds[name])
			continue
		}
		rest.join(*folds[name])
	}
	if len(rest.Names) > 0 {
		out = append(out, rest)
	}
	return out
}

// group is what an integration is folded by: its label of the key, else the first word of its name.
func group(h delivery.IntegrationHealth, key string) (name, find string) {
	if value := h.Labels[key]; value != "" {
		return key + ": " + value, key + "=" + value
	}
	first, _, more := strings.Cut(h.Name, "-")
	if !more {
		return h.Name, h.Name
	}
	return first + "-…", first + "-*"
}

// commonLabel is the key that most integrations have; empty without any.
func commonLabel(list []delivery.IntegrationHealth) (key string) {
	count := map[string]int{}
	for _, h := range list {
		for label := range h.Labels {
			count[label]++
		}
	}
	for _, label := range slices.Sorted(maps.Keys(count)) {
		if count[label] > count[key] {
			key = label
		}
	}
	return key
}

func (f *Fold) add(h delivery.IntegrationHealth) {
	f.join(Fold{Names: []string{h.Name}, Underway: h.Pending + h.Sending,
		HourCount: delivery.HourCount{Delivered: h.Delivered24h, Failed: h.Failed24h}})
}

func (f *Fold) join(other Fold) {
	f.Names = append(f.Names, other.Names...)
	f.Underway += other.Underway
	f.Delivered += other.Delivered
	f.Failed += other.Failed
}

// scaleOf is the most that an hour of any integration holds.
func scaleOf(list []delivery.IntegrationHealth) (most delivery.HourCount) {
	for _, h := range list {
		for _, hour := range h.Hours {
			most.Delivered, most.Failed = max(most.Delivered, hour.Delivered), max(most.Failed, hour.Failed)
		}
	}
	return most
}
