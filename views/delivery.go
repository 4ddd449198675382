package views

import (
	"encoding/json"
	"slices"
	"strings"
	"time"

	"redrive/delivery"
)

func (p DeliveryPage) actionVerb(a delivery.Action) string {
	switch a {
	case delivery.ActionRetry:
		return p.T("Send again")
	case delivery.ActionIgnore:
		return p.T("Ignore this failure")
	case delivery.ActionResolve:
		return p.T("Mark as resolved")
	case delivery.ActionWithdraw:
		return p.T("Withdraw the retry")
	default:
		return p.T("Reopen")
	}
}

// offered are the actions with a form on this page: to withdraw there has to be a retry.
func (p DeliveryPage) offered() []delivery.Action {
	return slices.DeleteFunc(possible(p.D.State), func(a delivery.Action) bool { return a.Row().Withdraws && p.D.RetryRequestedAt == nil })
}

// possible are the actions with a form on this page in a state; those that ask for the least come first.
func possible(s delivery.State) []delivery.Action {
	table := delivery.Decisions.Alone().In(s)
	slices.SortStableFunc(table, func(a, b delivery.Transition) int { return a.Required() - b.Required() })
	return table.Actions()
}

// actionName is an action's heading; one that asks for something leads to it.
func (l Locale) actionName(a delivery.Action) string {
	if a.Row().Required() > 0 {
		return l.asking(a)
	}
	return l.bareName(a)
}

func (l Locale) bareName(a delivery.Action) string {
	switch a {
	case delivery.ActionEdit:
		return l.T("Edit and retry")
	case delivery.ActionRedirect:
		return l.T("Redirect")
	}
	return strings.TrimSuffix(l.asking(a), " …")
}

// twice reports whether a retry may have its effect a second time; then it is not the button that stands out.
func (p DeliveryPage) twice() bool { return p.D.MayHaveHadEffect() && !p.Repeatable }

func (p DeliveryPage) nextTryName() string {
	if p.D.NextAttemptAt.After(p.Now) {
		return p.T("Next try")
	}
	return p.T("Due since")
}

// moves are the redirects of a delivery, the first first.
func (p DeliveryPage) moves() (list []move) {
	for _, e := range p.D.History {
		if e.Action == "delivery."+string(delivery.ActionRedirect) {
			m := move{At: e.At}
			_ = json.Unmarshal(e.Details, &m)
			list = append(list, m)
		}
	}
	return list
}

// move is a redirect: From and To are integrations.
type move struct {
	At       time.Time `json:"-"`
	From, To string
}

// triedBy is the integration of an attempt, where not all were of the same one.
func (p DeliveryPage) triedBy(a delivery.Attempt) string {
	moves := p.moves()
	if len(moves) == 0 {
		return ""
	}
	for _, m := range moves {
		if a.StartedAt.Before(m.At) {
			return m.From
		}
	}
	return p.D.Integration
}

// lastTriedBy is the integration of the last attempt; there was one.
func (p DeliveryPage) lastTriedBy() string {
	if n := len(p.D.Timeline); n > 0 && p.triedBy(p.D.Timeline[n-1]) != "" {
		return p.triedBy(p.D.Timeline[n-1])
	}
	return p.D.Integration
}

// redirected says that a delivery has not been tried where it goes now; empty when it has.
func (p DeliveryPage) redirected() string {
	if p.lastTriedBy() == p.D.Integration {
		return ""
	}
	return " " + p.T("It goes to %s now, which has not tried it yet.", p.D.Integration)
}

// deed is what an entry of the history says that its actor did.
func (p DeliveryPage) deed(e delivery.AuditEntry) string {
	var m move
	if _ = json.Unmarshal(e.Details, &m); e.Action == "delivery."+string(delivery.ActionRedirect) && m.To != "" {
		return p.T("redirected this from %s to %s", m.From, m.To)
	}
	if done := p.DoneAction(e.Action); strings.HasPrefix(e.Action, "delivery.") && done != e.Action {
		return p.T("%s this", done)
	}
	return p.Deed(e.Action)
}

func (p DeliveryPage) idempotencyKey() string {
	if key := p.D.Message.IdempotencyKey; key != "" {
		return key
	}
	return p.D.ID
}

func attemptShape(a delivery.Attempt) string {
	switch a.Outcome {
	case delivery.OutcomeOK:
		return "good"
	case delivery.OutcomeUnknown, delivery.OutcomeLate:
		return "warn"
	default:
		return "bad"
	}
}

func (p MessagePage) sentence() string {
	if len(p.Deliveries) == 0 {
		return p.T("Accepted %s; no integration subscribes to %s, so it goes nowhere.",
			p.Relative(p.Message.CreatedAt), p.Message.Type)
	}
	return p.T("Accepted %s, ", p.Relative(p.Message.CreatedAt)) + p.N(len(p.Deliveries), "%s delivery.", "%s deliveries.")
}

// bytesURL is where the exact bytes can be had.
func (p Payload) bytesURL(messageID string) string {
	if p.Address != "" {
		return p.Address
	}
	return MessagePayload(messageID)
}
