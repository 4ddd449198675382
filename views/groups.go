package views

import (
	"cmp"
	"fmt"
	"math"
	"slices"
	"strings"

	"redrive/delivery"
)

// mostSaidOfGroup is how many characters of its cause a row says, which has little room for it: the rest stands on the group's page.
const mostSaidOfGroup = 46

// GroupsOnPage is how many groups a page lists.
const GroupsOnPage = 50

// GroupKeyName is the word for what failures are grouped by.
func (l Locale) GroupKeyName(k delivery.GroupKey) string {
	switch k {
	case delivery.ByIntegration:
		return l.T("Integration")
	case delivery.ByMethod:
		return l.T("Method")
	case delivery.ByDestination:
		return l.T("Destination")
	case delivery.ByClass:
		return l.T("Error class")
	default:
		return l.T("Error text")
	}
}

// GroupStatusName is the word for whether people know a group.
func (l Locale) GroupStatusName(s delivery.GroupStatus) string {
	switch s {
	case delivery.GroupNew:
		return l.T("new")
	case delivery.GroupRegressed:
		return l.T("regressed")
	case delivery.GroupSettled:
		return l.T("settled")
	}
	return l.T("known")
}

// statusShape is the kind of mark beside a group's status.
func statusShape(s delivery.GroupStatus) string {
	switch s {
	case delivery.GroupNew:
		return "new"
	case delivery.GroupRegressed:
		return "back"
	case delivery.GroupSettled:
		return "good"
	}
	return "wait"
}

func statusColour(s delivery.GroupStatus) string {
	switch s {
	case delivery.GroupNew, delivery.GroupRegressed:
		return "bad"
	case delivery.GroupSettled:
		return "good"
	}
	return ""
}

func (p GroupsPage) lead() string {
	if len(p.Filter.By) == 0 {
		return p.T("Failures with the same integration, error class and error text: one cause each.")
	}
	names := make([]string, len(p.Filter.By))
	for i, k := range p.Filter.By {
		names[i] = strings.ToLower(p.GroupKeyName(k))
	}
	return p.T("Failures put together by %s.", p.List(names))
}

func (p GroupsPage) by(k delivery.GroupKey) bool { return slices.Contains(p.Filter.By, k) }

func (p GroupsPage) shows(k delivery.GroupKey) bool {
	fingerprint := len(p.Filter.By) == 0 && (k == delivery.ByIntegration || k == delivery.ByClass || k == delivery.ByMessage)
	return fingerprint || p.by(k)
}

func (p GroupsPage) having(s delivery.GroupStatus) bool { return slices.Contains(p.Filter.Statuses, s) }

func (p GroupsPage) state() string {
	if len(p.Filter.States) > 1 {
		return delivery.AnyState
	}
	return string(StatesOf(p.Filter.Filter)[0])
}

func (p GroupsPage) states() (out []choice) {
	for _, states := range TabStates {
		value := string(states[0])
		if len(states) > 1 {
			value = delivery.AnyState
		}
		out = append(out, choice{value, p.StatesName(states)})
	}
	return out
}

type choice struct{ Value, Name string }

func (p GroupsPage) integration() string {
	if len(p.Filter.Integrations) > 0 {
		return p.Filter.Integrations[0]
	}
	return ""
}

// cause is what the column of the groups' names is called.
func (p GroupsPage) cause() string {
	if p.shows(delivery.ByMessage) {
		return p.T("What the receiver said")
	}
	return p.T("What they have in common")
}

// sort is the order that a page is in.
func (p GroupsPage) sort() delivery.GroupSort { return cmp.Or(p.Filter.Sort, delivery.GroupsGrowing) }

// chosenSort is the order as an address carries it: nothing for the usual one.
func (p GroupsPage) chosenSort() string {
	if p.sort() == delivery.GroupsGrowing {
		return ""
	}
	return string(p.sort())
}

// GroupSortName is the word for an order of groups.
func (l Locale) GroupSortName(s delivery.GroupSort) string {
	switch s {
	case delivery.GroupsLargest:
		return l.T("largest first")
	case delivery.GroupsLatest:
		return l.T("last seen first")
	case delivery.GroupsNewest:
		return l.T("newest first")
	}
	return l.T("what grows first")
}

// without is the first page of the groups with another filter.
func (p GroupsPage) without(change func(*delivery.GroupFilter)) string {
	f := p.Filter
	f.After, f.Limit = "", 0
	change(&f)
	return GroupList(f)
}

func (p GroupsPage) sortedBy(order delivery.GroupSort) string {
	return p.without(func(f *delivery.GroupFilter) { f.Sort = order })
}

// chips are what is chosen beside the text, each with the address of the list without it.
func (p GroupsPage) chips() (chips []Chip) {
	add := func(text string, change func(*delivery.GroupFilter)) {
		chips = append(chips, Chip{Text: text, Without: p.without(change)})
	}
	if p.integration() != "" {
		add(p.List(p.Filter.Integrations), func(f *delivery.GroupFilter) { f.Integrations = nil })
	}
	if len(p.Filter.Statuses) > 0 {
		names := make([]string, len(p.Filter.Statuses))
		for i, s := range p.Filter.Statuses {
			names[i] = p.GroupStatusName(s)
		}
		add(p.List(names), func(f *delivery.GroupFilter) { f.Statuses = nil })
	}
	if len(p.Filter.States) > 0 {
		add(p.StatesName(p.Filter.States), func(f *delivery.GroupFilter) { f.States = nil })
	}
	return chips
}

// narrowed reports whether anything but keys and order is chosen.
func (p GroupsPage) narrowed() bool {
	f := p.Filter
	f.After, f.Limit = "", 0
	return len(f.Statuses) > 0 || len(f.Filter.Values()) > 0
}

// rows is the list of what a group has.
func (p GroupsPage) rows(g delivery.Group) string {
	return FailureList(g.FilterFor(p.Filter.By, p.Filter.Filter))
}

// open is where a group's name leads: its own page, or its rows where it is made of several.
func (p GroupsPage) open(g delivery.Group) string {
	if g.ID != "" && len(p.Filter.By) == 0 {
		return Group(g.ID)
	}
	return p.rows(g)
}

// name is what tells a group from the others in a list.
func (p GroupsPage) name(g delivery.Group) string {
	if p.shows(delivery.ByMessage) && p.shows(delivery.ByClass) {
		return p.saidIn(g.ErrorClass, g.Message)
	}
	for _, part := range []struct {
		key  delivery.GroupKey
		text string
	}{{delivery.ByClass, p.Class(g.ErrorClass)}, {delivery.ByMessage, g.Message}, {delivery.ByIntegration, g.Integration},
		{delivery.ByMethod, string(g.Method)}, {delivery.ByDestination, g.Destination}} {
		if p.shows(part.key) {
			return orDash(Excerpt(part.text, 120))
		}
	}
	return orDash("")
}

// aside is what else is to be said of a group that is made by other keys.
func (p GroupsPage) aside(g delivery.Group) string {
	if len(p.Filter.By) == 0 {
		return ""
	}
	rest := ""
	if p.shows(delivery.ByMessage) && p.shows(delivery.ByClass) {
		rest = p.beneath(g.ErrorClass, g.Message)
	}
	return p.dots(slices.DeleteFunc([]string{p.causes(g), rest}, func(text string) bool { return text == "" })...)
}

// causes counts the fingerprints of a combined group.
func (p GroupsPage) causes(g delivery.Group) string {
	if len(p.Filter.By) == 0 || g.Groups == 0 {
		return ""
	}
	return p.N(g.Groups, "%s cause", "%s causes")
}

// Measures of the sparkline, as the style sheet has them.
const (
	wideSpark   = 96
	narrowSpark = 60
	sparkHeight = 18
)

// sparkPath draws bars as one outline.
func sparkPath(bars []int, width int) string {
	most := max(1, slices.Max(append([]int{0}, bars...)))
	step := width / max(1, len(bars))
	var b strings.Builder
	b.WriteString("M0 18")
	wide, at := 0, sparkHeight
	for _, n := range append(slices.Clone(bars), -1) {
		y := sparkHeight - int(math.Round(part(max(n, 0), most, sparkHeight)))
		if y != at || n < 0 {
			fmt.Fprintf(&b, "h%dV%d", wide, y)
			wide, at = 0, y
		}
		wide += step
	}
	return b.String() + "z"
}

// pairs adds up two hours each, which is as much as a narrow column shows.
func pairs(hours []int) (out []int) {
	for two := range slices.Chunk(hours, 2) {
		out = append(out, two[0]+two[len(two)-1]*(len(two)-1))
	}
	return out
}

// sparkText says what the sparkline shows.
func (l Locale) sparkText(hours []int) string {
	sum, most, last := 0, 0, 0
	for _, n := range hours {
		sum, most, last = sum+n, max(most, n), n
	}
	return l.T("24 hours: %s failed attempts, at most %s an hour, %s in this one", l.Number(sum), l.Number(most), l.Number(last))
}

// sentence says what a group is.
func (p GroupPage) sentence() string {
	g := p.Group
	text := p.T("%s: %s.", g.Integration, p.told(g.ErrorClass, Excerpt(orDash(g.Message), 300)))
	switch g.Status {
	case delivery.GroupNew:
		return text + " " + p.T("It is new: it first happened %s.", p.Relative(g.FirstSeen))
	case delivery.GroupRegressed:
		return text + " " + p.T("It came back: all of it had been settled, then it failed again.")
	case delivery.GroupSettled:
		return text + " " + p.T("Nothing of it is open.")
	}
	return text + " " + p.T("It has been known since %s.", p.Day(g.FirstSeen))
}

// dead is how many dead letters a group has.
func (p GroupPage) dead() Count { return Count{N: p.Group.Dead} }

// everything is the filter of an operation on the group's rows in one state.
func (p GroupPage) everything(state delivery.State) string {
	return delivery.Filter{Groups: []string{p.Group.ID}, States: []delivery.State{state}}.Values().Encode()
}

// openActions are what can be done with the dead letters of a group.
var openActions = delivery.Decisions.Many().In(delivery.StateDead).Actions()

// grows reports whether more failures come into a group than before, or it is there for the first time, or again.
func grows(g delivery.Group) bool {
	return g.Trend.Day.Diff() > 0 || g.Status == delivery.GroupNew || g.Status == delivery.GroupRegressed
}

// groupHot is red only where somebody is needed now: neither acknowledged work nor what does not grow is.
func groupHot(g delivery.Group) string {
	if g.Dead > g.Acknowledged && grows(g) {
		return "hot"
	}
	return ""
}

// sinceYesterday says by how many more failures came in the last 24 hours than in those before.
func (l Locale) sinceYesterday(c delivery.TrendCount) string {
	switch diff := c.Diff(); {
	case diff > 0:
		return l.T("+%s since yesterday", l.Number(diff))
	case diff < 0:
		return l.T("−%s since yesterday", l.Number(-diff))
	case c.Count == 0:
		return l.T("none since yesterday")
	}
	return l.T("as many as yesterday")
}

// sinceLastWeek says the same of 7 days.
func (l Locale) sinceLastWeek(c delivery.TrendCount) string {
	switch diff := c.Diff(); {
	case diff > 0:
		return l.T("+%s since last week", l.Number(diff))
	case diff < 0:
		return l.T("−%s since last week", l.Number(-diff))
	case c.Count == 0:
		return l.T("none since last week")
	}
	return l.T("as many as last week")
}

// trendSentence says how many failures came.
func (l Locale) trendSentence(t delivery.Trend) string {
	return l.T("%s in 24 hours, %s in the 24 before; %s in 7 days, %s in the 7 before",
		l.Number(t.Day.Count), l.Number(t.Day.Before), l.Number(t.Week.Count), l.Number(t.Week.Before))
}

// retryWent says how far the latest retry of a group is.
func (l Locale) retryWent(r delivery.GroupRetry) string {
	good, all := l.Number(r.Succeeded), l.Number(r.Selected)
	switch {
	case !r.Counted:
		return l.T("%s under way", all)
	case r.State == delivery.OperationRunning:
		return l.T("%s of %s delivered so far", good, all)
	case r.State == delivery.OperationPaused:
		return l.T("paused: %s of %s delivered", good, all)
	}
	return l.T("%s of %s delivered", good, all)
}

const assigneesShown = 1

// assigneeText says who looks after how many of a group.
func (l Locale) assigneeText(g delivery.Group, a delivery.Assignee) string {
	if a.Count == g.Dead {
		return a.Name
	}
	return l.T("%s: %s of %s", a.Name, l.Number(a.Count), l.Number(g.Dead))
}

// assigned is the dead letters of a group that somebody looks after.
func assigned(g delivery.Group, a delivery.Assignee) string {
	return FailureList(delivery.Filter{Groups: []string{g.ID}, Assignees: []string{a.Name}})
}
