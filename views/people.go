package views

import (
	"maps"
	"slices"
	"strings"
	"time"

	"redrive/delivery"
)

// keysChoice is what the reader chose about single keys.
func keysChoice(l Layout) string {
	if l.KeysOff {
		return "off"
	}
	return ""
}

func (p HelpPage) keys() []choice {
	return []choice{
		{"j", p.T("next row")},
		{"k", p.T("row before")},
		{"Enter", p.T("open the row")},
		{"x", p.T("select the row")},
		{
			"Shift x",
			p.T("select all rows since the last one"),
		},
		{"r", p.T("to retry the selected, or the row")},
		{"i", p.T("to ignore them")},
		{"e", p.T("to resolve them")},
		{"a", p.T("to acknowledge them")},
		{"/", p.T("to the search")},
		{"?", p.T("these keys")},
		{"g o", p.T("go to the overview")},
		{"g f", p.T("go to the failures")},
		{"g g", p.T("go to the groups")},
		{"g p", p.T("go to the operations")},
		{"g n", p.T("go to the integrations")},
		{"g i", p.T("go to the ignored failures")},
		{"g a", p.T("go to the audit trail")},
	}
}

func (p HelpPage) words() []choice {
	return []choice{
		{p.T("message"), p.T("bytes that an application handed over, with a type; they never change")},
		{p.T("integration"), p.T("a route: how messages are taken in, where they go, and what happens on failure")},
		{p.T("delivery"), p.T("one message on one integration; retries belong to the same delivery")},
		{p.T("waiting"), p.T("will be tried when it is due")},
		{p.T("sending"), p.T("a worker is at it")},
		{p.T("delivered"), p.T("the receiver confirmed")},
		{p.T("dead"), p.T("the machine gave up; a person decides")},
		{p.T("retry requested"), p.T("a person asked for another try; nothing is confirmed yet")},
		{p.T("ignored"), p.T("a person or policy decided not to deliver it; it can be reopened")},
		{p.T("resolved"), p.T("settled by other means; it can be reopened")},
		{p.T("outcome unknown"), p.T("it was sent and no answer came: it may have had its effect")},
		{p.T("late"), p.T("an answer that came after the worker had lost its claim; it changed nothing")},
		{p.T("breaker open"), p.T("so many tries failed that the integration rests; waiting costs no tries")},
		{p.T("group"), p.T("failures with the same integration, class and error text")},
		{
			p.T("operation"),
			p.T("an action on many failures: the set is fixed at the click, each failure gets its outcome, and the " +
				"numbers add up"),
		},
		{p.T("canary"), p.T("the first few retries of an operation; the others wait until the receiver has confirmed these")},
		{
			p.T("version"),
			p.T("what is sent, as accepted or as edited; versions never change, and each try says which one it sent"),
		},
		{p.T("redirect"), p.T("a retry by another integration with the same kind of destination")},
		{p.T("acknowledged"), p.T("somebody looks after it: it leaves the red number, not the list")},
		{p.T("regressed"), p.T("all dead letters of a group had been settled, then another came")},
	}
}

// grant is a role and permissions with the integrations that they are for.
func (l Locale) grant(g delivery.Grant) string {
	var names []string
	if g.Role != "" {
		names = append(names, l.RoleName(g.Role))
	}
	for _, p := range g.Permissions {
		names = append(names, l.Say(p.Phrase()))
	}
	name := strings.Join(names, ", ")
	if g.Everywhere() {
		return name
	}
	scope := slices.Clone(g.Integrations)
	for _, key := range slices.Sorted(maps.Keys(g.Labels)) {
		scope = append(scope, key+"="+g.Labels[key])
	}
	return l.T("%s for %s", name, strings.Join(scope, ", "))
}

func hours(d time.Duration) int { return int(d / time.Hour) }

// typedRole is what was chosen, and something that is no role before.
func (p TokensPage) typedRole() string {
	if !p.Typed.Has("role") {
		return "-"
	}
	return p.Typed.Get("role")
}

func (p TokensPage) ticked(permission delivery.Permission) bool {
	return slices.Contains(p.Typed["permission"], string(permission))
}
