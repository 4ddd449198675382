package views

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"redrive/delivery"
)

// CountLimit is how far a list counts what matches; beyond it says "more".
const CountLimit = 10_000

// Count writes a number of rows: "1,234", or "10,000+" where it is capped.
func (l Locale) Count(c Count) string {
	switch {
	case c.Unknown:
		return ""
	case c.Capped:
		return l.T("%s+", l.Number(c.N))
	}
	return l.Number(c.N)
}

// TabStates are the states of each tab, in their order.
var TabStates = [][]delivery.State{
	{delivery.StateDead},
	{delivery.StatePending},
	{delivery.StateIgnored},
	{delivery.StateResolved},
	{delivery.StateDelivered},
	delivery.States,
}

// StatesName is the word for the states of a tab.
func (l Locale) StatesName(states []delivery.State) string {
	switch {
	case len(states) > 1:
		return l.T("any state")
	case states[0] == delivery.StatePending:
		return l.T("waiting to retry")
	case states[0] == delivery.StateDelivered:
		return l.T("delivered after failing")
	}
	return l.StateName(states[0])
}

// StatesOf are the states that a filter lists.
func StatesOf(f delivery.Filter) []delivery.State {
	if len(f.States) == 0 {
		return TabStates[0]
	}
	return f.States
}

// Tab is one way to look at failures: its name, and the list behind it.
type Tab struct {
	Name    string
	Filter  delivery.Filter
	Current bool
}

// Untabbed is what the reader asks for beside the tab: all but the state, what is new, and whose it is.
func (p FailuresPage) Untabbed() delivery.Filter {
	f := p.first()
	f.States = nil
	if p.isNews() {
		f.From = nil
	}
	if p.owners() != "" {
		f.Assignees = nil
	}
	return f
}

// isNews reports whether the list is of what came since the reader looked.
func (p FailuresPage) isNews() bool {
	return p.Filter.From != nil && p.Filter.From.Equal(p.Look.Until) && slices.Equal(StatesOf(p.Filter), TabStates[0])
}

// owners is whose failures a tab lists: me, nobody, or empty for anybody's.
func (p FailuresPage) owners() string {
	if len(p.Filter.Assignees) == 1 && slices.Equal(StatesOf(p.Filter), TabStates[0]) &&
		(p.Filter.Assignees[0] == delivery.AssigneeMe || p.Filter.Assignees[0] == delivery.NoAssignee) {
		return p.Filter.Assignees[0]
	}
	return ""
}

// ListTabs are the tabs of the list: what waits for the reader first, then all failures state by state.
func (p FailuresPage) ListTabs() (tabs []Tab) {
	bare := p.Untabbed()
	if !p.Look.Until.IsZero() {
		f := bare
		f.From = &p.Look.Until
		tabs = append(tabs, Tab{Name: p.T("New since I last looked"), Filter: f, Current: p.isNews()})
	}
	for _, owner := range []string{delivery.AssigneeMe, delivery.NoAssignee} {
		f, name := bare, p.T("Mine")
		if f.Assignees = []string{owner}; owner == delivery.NoAssignee {
			name = p.T("Unassigned")
		}
		tabs = append(tabs, Tab{Name: name, Filter: f, Current: !p.isNews() && p.owners() == owner})
	}
	for n, states := range TabStates {
		f, name := bare, p.StatesName(states)
		if f.States = states; n == 0 {
			f.States, name = nil, p.T("all dead")
		}
		tabs = append(tabs, Tab{Name: name, Filter: f, Current: sameStates(states, StatesOf(p.Filter)) &&
			(n > 0 || !p.isNews() && p.owners() == "")})
	}
	return tabs
}

func sameStates(a, b []delivery.State) bool {
	return len(a) == len(b) && !slices.ContainsFunc(a, func(s delivery.State) bool { return !slices.Contains(b, s) })
}

// lead says what the chosen states list.
func (p FailuresPage) lead() string {
	states := StatesOf(p.Filter)
	switch {
	case p.Filter.Key != "":
		return p.T("What failed with the key %s.", Excerpt(p.Filter.Key, 80))
	case len(states) > 1:
		return p.T("What failed at least once, whatever became of it.")
	case p.isNews():
		return p.T("What the machine gave up on since %s.", p.Clock(p.Look.Until))
	}
	switch states[0] {
	case delivery.StatePending, delivery.StateSending:
		return p.T("What failed and will be tried again.")
	case delivery.StateIgnored:
		return p.T("What was decided not to be delivered.")
	case delivery.StateResolved:
		return p.T("What was settled by other means.")
	case delivery.StateDelivered:
		return p.T("What arrived after it had failed.")
	default:
		return p.T("What the machine gave up on, waiting for a person.")
	}
}

// total says how many rows the filter selects.
func (p FailuresPage) total() string {
	switch {
	case p.Total.Unknown:
		return ""
	case p.Total.Capped:
		return p.T("More than %s failures", p.Number(p.Total.N))
	}
	return p.N(p.Total.N, "%s failure", "%s failures")
}

// narrowed reports whether anything but the order is chosen.
func (p FailuresPage) narrowed() bool {
	f := p.Filter
	f.After, f.Limit, f.Sort = "", 0, ""
	return len(f.Values()) > 0
}

// here is the first page of this list.
func (p FailuresPage) here() string { return FailureList(p.first()) }

func (p FailuresPage) first() delivery.Filter {
	f := p.Filter
	f.After = ""
	return f
}

// everything is the filter of an operation on all that matches.
func (p FailuresPage) everything() string {
	f := p.Filter
	f.After, f.Limit, f.Sort = "", 0, ""
	f.States = StatesOf(f)
	return f.Values().Encode()
}

// Mine reads "me" among the assignees as the reader.
func (l Layout) Mine(f delivery.Filter) delivery.Filter {
	for i, name := range f.Assignees {
		if name == delivery.AssigneeMe {
			f.Assignees = slices.Clone(f.Assignees)
			f.Assignees[i] = l.UserID
		}
	}
	return f
}

func (p FailuresPage) sortedBy(order delivery.Sort) string {
	f := p.first()
	f.Sort = order
	return FailureList(f)
}

func (p FailuresPage) oldestFirst() bool { return p.Filter.Sort == delivery.SortOldest }

// including adds a chosen value that is not among the known ones, so that the form never drops it.
func including(known []string, chosen string) []string {
	if chosen == "" || slices.Contains(known, chosen) {
		return known
	}
	return append(slices.Clone(known), chosen)
}

// FieldTwice is the tick of whoever sends again what may have its effect a second time.
const FieldTwice = "twice"

// Unsure marks a choice whose outcome is unknown.
const Unsure = "unknown"

// Choice is the value of a row's checkbox: what the person saw when choosing it.
func Choice(d delivery.Delivery) string {
	outcome := ""
	if d.MayHaveHadEffect() {
		outcome = Unsure
	}
	return fmt.Sprintf("%s.%d.%s.%s.%s", d.ID, d.Version, d.State, outcome, d.Integration)
}

// selects reports whether there is anything to choose rows for.
func (p FailuresPage) selects() bool {
	return p.May(delivery.PermitBulk) && len(p.actions()) > 0
}

// actions are what a list's rows allow, state by state.
func (p FailuresPage) actions() []delivery.Action {
	var out []delivery.Action
	for _, state := range delivery.States {
		if !slices.ContainsFunc(p.Items, func(d delivery.Delivery) bool { return d.State == state }) {
			continue
		}
		for _, a := range delivery.Decisions.Many().In(state).Actions() {
			if !slices.Contains(out, a) {
				out = append(out, a)
			}
		}
	}
	return out
}

// asking is an action's button that leads to a question.
func (l Locale) asking(a delivery.Action) string {
	switch a {
	case delivery.ActionRetry:
		return l.T("Retry …")
	case delivery.ActionIgnore:
		return l.T("Ignore …")
	case delivery.ActionResolve:
		return l.T("Resolve …")
	case delivery.ActionAcknowledge:
		return l.T("Acknowledge …")
	case delivery.ActionWithdraw:
		return l.T("Withdraw …")
	default:
		return l.T("Reopen …")
	}
}

// ChipText is one condition as the search bar writes it, or as a person would where it writes a time.
func (l Locale) ChipText(one delivery.Filter) string {
	switch {
	case one.From != nil:
		return l.T("since %s", l.Clock(*one.From))
	case one.To != nil:
		return l.T("until %s", l.Clock(*one.To))
	}
	return one.SearchText()
}

// order is how the list is sorted.
func (p FailuresPage) order() string {
	if p.oldestFirst() {
		return p.T("oldest first")
	}
	return p.T("newest first")
}

// saysStates reports whether the rows say their states: the list is not of one that has one word.
func (p FailuresPage) saysStates() bool {
	states := StatesOf(p.Filter)
	return len(states) > 1 || states[0] == delivery.StatePending || states[0] == delivery.StateSending || states[0] == delivery.StateIgnored
}

// everySelected says that everything that matches is chosen.
func (p FailuresPage) everySelected() string {
	if p.Total.Unknown {
		return p.T("Everything that matches:")
	}
	return p.T("All %s selected:", p.Count(p.Total))
}

// selectAll is the box that chooses everything that matches.
func (p FailuresPage) selectAll() string {
	if p.Total.Unknown {
		return p.T("Select all that match")
	}
	return p.T("Select all %s", p.Count(p.Total))
}

// askingAll is the same for everything that matches.
func (l Locale) askingAll(a delivery.Action, n Count) string {
	return strings.TrimSuffix(l.asking(a), "…") + l.T("all %s …", l.Count(n))
}

// since is the time that a row is about.
func since(d delivery.Delivery) *time.Time {
	switch d.State {
	case delivery.StateDead:
		return d.DeadAt
	case delivery.StatePending, delivery.StateSending:
		if d.RetryRequestedAt != nil {
			return d.RetryRequestedAt
		}
		return d.FailedAt
	default:
		return d.SettledAt
	}
}

func orDash(text string) string {
	if text == "" {
		return "—"
	}
	return text
}

// caseText says in words what people keep about a failure.
func (l Layout) caseText(c delivery.Case) string {
	var parts []string
	if c.AcknowledgedAt != nil {
		parts = append(parts, l.T("acknowledged"))
	}
	if c.AssigneeID == l.UserID && c.AssigneeID != "" {
		parts = append(parts, l.T("yours"))
	} else if c.Assignee != "" {
		parts = append(parts, l.T("with %s", Excerpt(c.Assignee, 30)))
	}
	for i, name := range c.Tags {
		if i == 3 {
			parts = append(parts, l.T("%d more tags", len(c.Tags)-i))
			break
		}
		parts = append(parts, "#"+Excerpt(name, 30))
	}
	return l.dots(parts...)
}

// viewName is a saved view's name, with its owner when it is somebody else's.
func (l Layout) viewName(v delivery.SavedView) string {
	if v.OwnerID != l.UserID {
		return l.T("%s (%s)", v.Name, v.Owner)
	}
	return v.Name
}

// wrong returns the problem of one field.
func (f SaveForm) wrong(field string) string {
	if f.Problem != "" && f.Field == field {
		return f.Problem
	}
	return ""
}

// owns reports whether the reader may delete a view.
func (l Layout) owns(v delivery.SavedView) bool {
	return v.OwnerID == l.UserID || l.May(delivery.PermitAdminister)
}

// reasonLabel is what an action calls its reason.
func (l Locale) reasonLabel(a delivery.Action, required bool) string {
	switch {
	case a == delivery.ActionResolve:
		return l.T("How it was settled (required)")
	case required:
		return l.T("Reason (required)")
	}
	return l.T("Reason")
}

// Consequence says what an action will do.
func (l Locale) Consequence(a delivery.Action) string {
	switch a {
	case delivery.ActionRetry:
		return l.T("Retry sends the same request again with the same idempotency key. It counts as done only when " +
			"the receiver confirms.")
	case delivery.ActionIgnore:
		return l.T("Ignore sends nothing. It leaves this list and stays on the page of ignored failures, with your " +
			"name and reason.")
	case delivery.ActionResolve:
		return l.T("Resolve sends nothing. It says that the matter was settled by other means, and how.")
	case delivery.ActionAcknowledge:
		return l.T("Acknowledge sends nothing. It says that somebody looks after it, so that it is not counted as red any more.")
	case delivery.ActionWithdraw:
		return l.T("Withdraw takes the retry back as long as no worker has begun it. It is a dead letter again, and nothing is sent.")
	default:
		return l.T("Reopen makes it a dead letter again. Nothing is sent.")
	}
}
