package views

import (
	"net/url"
	"slices"
	"strings"
	"time"

	"redrive/delivery"
)

// IgnoredPage lists what was hidden, by whom and why.
type IgnoredPage struct {
	Layout
	Asked     url.Values // the filter as its address carries it
	Names     []string   // of integrations
	Counts    []delivery.IgnoredCount
	Whole     bool   // the counts are of all that is ignored
	CSV, JSON string // addresses of the list as files; empty for whoever may not take it away
	Items     []delivery.Delivery
	Next      string
}

// MonthForm is how an address names a month.
const MonthForm = "2006-01"

// months lead to what was ignored in this month or the last one, by the reader's calendar.
func (p IgnoredPage) months() []StateTab {
	now := p.Now.In(p.zone())
	this := time.Date(now.Year(), now.Month(), 1, 0, 0, 0, 0, p.zone())
	tabs := []StateTab{{Name: p.T("whenever")}, {Name: p.T("this month")}, {Name: p.T("last month")}}
	for n, month := range []string{"", this.Format(MonthForm), this.AddDate(0, -1, 0).Format(MonthForm)} {
		tabs[n].Href, tabs[n].Current, tabs[n].Count.Unknown = IgnoredWith(p.Asked, "month", month), month == p.Asked.Get("month"), true
	}
	return tabs
}

// ends lead to what comes back soon, later or never, and to what has come back.
func (p IgnoredPage) ends() (tabs []StateTab) {
	for _, end := range append([]delivery.IgnoreEnd{""}, delivery.IgnoreEnds...) {
		tabs = append(tabs, StateTab{Name: p.endName(end), Href: IgnoredWith(p.Asked, "end", string(end)), Current: p.Asked.Get("end") == string(end),
			Count: p.count("end", string(end))})
	}
	return append(tabs, StateTab{Name: p.T("over: in the audit"), Href: AuditBy(delivery.ActorPolicy, "delivery.reopen"), Count: Count{Unknown: true}})
}

// end is when something that is ignored comes back.
func (l Locale) end(e delivery.End) string {
	if e.Until != nil {
		return l.T("until %s", l.Day(*e.Until))
	}
	return l.Say(e.Phrase())
}

func (l Locale) endName(end delivery.IgnoreEnd) string {
	switch end {
	case delivery.EndsSoon:
		return l.T("ends within a week")
	case delivery.EndsLater:
		return l.T("ends later")
	case delivery.EndsCount:
		return l.T("ends by a count")
	case delivery.EndsNever:
		return l.T("for good")
	}
	return l.T("any end")
}

// of is the value of an ignored failure's count that the filter calls by a name.
func of(c delivery.IgnoredCount, name string) string {
	switch name {
	case "category":
		return c.Category
	case "actor":
		return c.Actor
	}
	return string(c.End)
}

// count is how many rows the page has with one value of its filter changed; empty: with any.
func (p IgnoredPage) count(name, value string) (n Count) {
	for _, c := range p.Counts {
		fits := value == "" || of(c, name) == value
		for _, other := range []string{"category", "actor", "end"} {
			asked := p.Asked.Get(other)
			fits = fits && (other == name || asked == "" || of(c, other) == asked)
		}
		if fits {
			n.N += c.N
		}
	}
	n.Unknown = !p.Whole
	return n
}

// values are what the filter can be set to, with what each is called and how many rows it has.
func (p IgnoredPage) values(name string, called func(delivery.IgnoredCount) string) (list []word) {
	for _, c := range p.Counts {
		value := of(c, name)
		if value == "" || slices.ContainsFunc(list, func(w word) bool { return w.Href == value }) {
			continue
		}
		text := called(c)
		if n := p.count(name, value); !n.Unknown {
			text = p.T("%s (%s)", text, p.Count(n))
		}
		list = append(list, word{Text: text, Href: value})
	}
	if asked := p.Asked.Get(name); asked != "" && !slices.ContainsFunc(list, func(w word) bool { return w.Href == asked }) {
		list = append(list, word{Text: called(delivery.IgnoredCount{Category: asked, Actor: asked, Name: asked}), Href: asked})
	}
	slices.SortFunc(list, func(a, b word) int { return strings.Compare(a.Text, b.Text) })
	return list
}

func (p IgnoredPage) categories() []word {
	return p.values("category", func(c delivery.IgnoredCount) string { return p.Category(c.Category) })
}

func (p IgnoredPage) people() []word {
	return p.values("actor", func(c delivery.IgnoredCount) string { return p.actor(c.Name) })
}
