package views

import (
	"maps"
	"slices"

	"redrive/delivery"
)

// ApprovalsPage lists requests for approval.
type ApprovalsPage struct {
	Layout
	Show  string // todo, mine or a state; empty: all
	ToDo  int    // how many wait for the reader
	Items []delivery.Approval
	Next  string
}

// Ways to show requests, beside their states.
const (
	ApprovalsToDo = "todo" // open ones of others, which the reader may approve
	ApprovalsMine = "mine"
)

// shows are the lists that there are.
func (p ApprovalsPage) shows() []StateTab {
	tabs := []StateTab{}
	add := func(show, name string, count Count) {
		tabs = append(tabs, StateTab{Name: name, Href: ApprovalsOf(show), Current: p.Show == show, Count: count})
	}
	if p.May(delivery.PermitApprove) {
		add(ApprovalsToDo, p.T("to approve"), Count{N: p.ToDo})
	}
	add(ApprovalsMine, p.T("mine"), Count{Unknown: true})
	for _, state := range delivery.ApprovalStates {
		add(string(state), p.approvalState(state), Count{Unknown: true})
	}
	return tabs
}

func (l Locale) approvalState(s delivery.ApprovalState) string {
	switch s {
	case delivery.ApprovalOpen:
		return l.T("waits for approval")
	case delivery.ApprovalApproved:
		return l.T("approved")
	case delivery.ApprovalRejected:
		return l.T("rejected")
	case delivery.ApprovalWithdrawn:
		return l.T("withdrawn")
	case delivery.ApprovalVoid:
		return l.T("void")
	}
	return l.T("expired")
}

// approvalShape is the shape and colour of a state.
func approvalShape(s delivery.ApprovalState) string {
	switch s {
	case delivery.ApprovalOpen:
		return "warn"
	case delivery.ApprovalApproved:
		return "good"
	}
	return "off"
}

// Wants says what somebody wants to do.
func (l Locale) Wants(a delivery.Approval) string {
	switch a.Kind {
	case delivery.ApprovalOperation:
		return l.T("%s: %s", l.bareName(delivery.Action(a.Action)), l.N(a.Count, "%s failure", "%s failures"))
	case delivery.ApprovalSteer:
		return l.T("Let an operation go faster, or stop later")
	case delivery.ApprovalRun:
		return l.T("Run a batch")
	case delivery.ApprovalSnapshot:
		return l.T("Read tables again")
	case delivery.ApprovalRule:
		return l.T("Ignore by a rule, without an end")
	case delivery.ApprovalEdit:
		return l.T("Edit and retry")
	}
	return l.bareName(delivery.Action(a.Action))
}

// asks says why somebody else is asked.
func (l Locale) asks(a delivery.Approval) string {
	var all []delivery.Phrase
	for _, rule := range a.Rules {
		all = append(all, rule.Phrase())
	}
	return l.Say(delivery.Listed(all))
}

// about leads to what a request is about.
func (l Locale) about(a delivery.Approval) word {
	switch a.Kind {
	case delivery.ApprovalOperation:
		if a.State == delivery.ApprovalApproved {
			return word{Text: l.T("the operation"), Href: Operation(a.Target)}
		}
		return word{Text: l.T("what it is about"), Href: Approval(a.ID) + "#items"}
	case delivery.ApprovalSteer:
		return word{Text: l.T("the operation"), Href: Operation(a.Target)}
	case delivery.ApprovalRun:
		return word{Text: a.Target, Href: Runs(a.Target)}
	case delivery.ApprovalSnapshot, delivery.ApprovalRule:
		return word{Text: a.Integrations[0], Href: Integration(a.Integrations[0])}
	}
	return word{Text: Short(a.Target), Href: Failure(a.Target)}
}

// ApprovalPage is one request, in full.
type ApprovalPage struct {
	Layout
	A          delivery.Approval
	Parameters *delivery.Parameters // nil: not kept any more
	Edit       *Version             // what an edit changes, by the reader's rights
	Edits      bool                 // it is an edit whose difference cannot be shown
	Items      []delivery.ApprovalItem
	Next       string
	Mine       bool   // the reader asked for it
	Person     bool   // the reader is one, or has a token of one
	Comment    string // as it was typed
	Field      string
	Problem    string
}

// parameters are what a request is to be carried out with, each with its name.
func (p ApprovalPage) parameters() (list []choice) {
	q := p.Parameters
	if q == nil {
		return nil
	}
	add := func(name, value string) {
		if value != "" {
			list = append(list, choice{name, value})
		}
	}
	add(p.T("Reason"), q.Reason)
	if q.Category != "" {
		add(p.T("Category"), p.Category(q.Category))
	}
	if end := (delivery.End{Until: q.Until, Count: q.Count, Grows: q.Grows, ForGood: q.ForGood}); !end.IsZero() {
		add(p.T("Until"), p.Say(end.Phrase()))
	}
	add(p.T("Condition"), q.Search)
	add(p.T("Evidence"), q.Evidence)
	add(p.T("Send by"), q.Integration)
	add(p.T("Business date"), q.Date)
	add(p.T("Table"), q.Table)
	for _, n := range []struct {
		name  string
		value float64
	}{{p.T("Rate, a second"), q.Rate}, {p.T("Rate that it grows to"), q.RampTo}, {p.T("Within seconds"), q.RampSeconds}, {p.T("Stops above this ratio of failures"), q.StopAbove}} {
		if n.value != 0 {
			add(n.name, p.T("%v", n.value))
		}
	}
	if q.Canary != nil {
		add(p.T("Canary: so many first"), p.Number(*q.Canary))
	}
	return list
}

// mayDecide reports whether the reader may approve a request.
func (p ApprovalPage) mayDecide() bool { return !p.Mine && p.Person && p.lacks() == "" }

// lacks is what the reader lacks to approve it.
func (p ApprovalPage) lacks() delivery.Permission {
	for _, name := range p.A.Integrations {
		if missing := p.Lacks(name, delivery.PermitApprove); missing != "" {
			return missing
		}
	}
	return ""
}

// changedItem says how a failure has changed since it was asked for; empty where it has not.
func (p ApprovalPage) changedItem(i delivery.ApprovalItem) string {
	switch {
	case i.Now == 0:
		return p.T("gone")
	case i.Now != i.Version:
		return p.T("changed since")
	}
	return ""
}

func (p ApprovalPage) problemOf(field string) string {
	if p.Field == field {
		return p.Problem
	}
	return ""
}

// askVerb is what the button says that asks another person, where one has to approve; else what it says itself.
func (l Locale) askVerb(rules []delivery.Rule, verb string) string {
	if len(rules) > 0 {
		return l.T("Ask for approval")
	}
	return verb
}

// rules that an action on a failure falls under, whatever is typed.
func (p DeliveryPage) rules(a delivery.Action) []delivery.Rule {
	d := delivery.Deed{Edits: a == delivery.ActionEdit, Resends: a.Row().Queues && p.D.MayHaveHadEffect()}
	return p.FourEyes[p.D.Integration].Needs(d)
}

// forGood says that ignoring without an end asks another person; empty where it does not, for other actions as well.
func (l Layout) forGood(a delivery.Action, integrations ...string) string {
	asks := func(name string) bool { return l.FourEyes[name].IgnoreForGood }
	if a != delivery.ActionIgnore || !slices.ContainsFunc(integrations, asks) {
		return ""
	}
	return l.T("For good: another person has to approve it first.")
}

// integrations of which something would be selected.
func (p OperationNewPage) integrations() []string {
	return slices.Sorted(maps.Keys(p.Dry.Integrations))
}

// rules that an operation falls under.
func (p OperationNewPage) rules() []delivery.Rule {
	var deeds []delivery.Deed
	for name, n := range p.Dry.Integrations {
		deeds = append(deeds, delivery.Deed{Integration: name, Count: n, Resends: p.Dry.UnsureOf[name] > 0})
	}
	return delivery.RulesOf(p.FourEyes, deeds)
}

// resendRules are those that a run by hand falls under, and reading again.
func (l Layout) resendRules(integration string) []delivery.Rule {
	return l.FourEyes[integration].Needs(delivery.Deed{Resends: true})
}
