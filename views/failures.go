package views

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"redrive/delivery"
)

type choice struct{ Value, Name string }

// filterStates are the states that the filter offers; chosen is added when the address carries another one.
func filterStates(l Locale, chosen string) []choice {
	out := []choice{{"dead", l.T("dead: needs a person")}, {"pending", l.T("retry requested or waiting")}, {"ignored", l.T("ignored")},
		{"resolved", l.T("resolved")}, {"delivered", l.T("delivered after failing")}, {AnyState, l.T("any state")}}
	if !slices.ContainsFunc(out, func(c choice) bool { return c.Value == chosen }) {
		out = append(out, choice{chosen, strings.ReplaceAll(chosen, ",", ", ")})
	}
	return out
}

// lead says what the chosen state lists.
func (p FailuresPage) lead() string {
	switch delivery.State(p.Filter.State) {
	case delivery.StateDead, "":
		return p.T("What the machine gave up on, waiting for a person.")
	case delivery.StatePending:
		return p.T("What failed and will be tried again.")
	case delivery.StateIgnored:
		return p.T("What was decided not to be delivered.")
	case delivery.StateResolved:
		return p.T("What was settled by other means.")
	case delivery.StateDelivered:
		return p.T("What arrived after it had failed.")
	}
	return p.T("What failed at least once, whatever became of it.")
}

// including adds a chosen value that is not among the known ones, so that the form never drops it.
func including(known []string, chosen string) []string {
	if chosen == "" || slices.Contains(known, chosen) {
		return known
	}
	return append(slices.Clone(known), chosen)
}

// Unsure marks a choice whose outcome is unknown.
const Unsure = "unknown"

// Choice is the value of a row's checkbox: what the person saw when choosing it.
func Choice(d delivery.Delivery) string {
	outcome := ""
	if unknownOutcome(d) {
		outcome = Unsure
	}
	return fmt.Sprintf("%s.%d.%s.%s.%s", d.ID, d.Version, d.State, outcome, d.Integration)
}

// selects says whether there is anything to choose rows for.
func (p FailuresPage) selects() bool {
	return p.May(delivery.RoleOperator) && (p.offers(delivery.ActionRetry) || p.offers(delivery.ActionReopen))
}

// offers says whether any row of the page allows an action.
func (p FailuresPage) offers(a delivery.Action) bool {
	return slices.ContainsFunc(p.Items, func(d delivery.Delivery) bool { return slices.Contains(a.From(), d.State) })
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

func (p SelectionPage) leftOut() string {
	if n := len(p.Items) - p.Eligible; n > 0 {
		return p.N(n, "; %s is left out, because its state does not allow it.", "; %s are left out, because their state does not allow it.")
	}
	return "."
}

func (p SelectionPage) consequence() string { return p.Consequence(p.Form.Action) }

func (p SelectionPage) verb() string {
	switch p.Form.Action {
	case delivery.ActionRetry:
		return p.T("Retry %s", p.Number(p.Eligible))
	case delivery.ActionIgnore:
		return p.T("Ignore %s", p.Number(p.Eligible))
	case delivery.ActionResolve:
		return p.T("Resolve %s", p.Number(p.Eligible))
	default:
		return p.T("Reopen %s", p.Number(p.Eligible))
	}
}

// Consequence says what an action will do.
func (l Locale) Consequence(a delivery.Action) string {
	switch a {
	case delivery.ActionRetry:
		return l.T("Retry sends the same request again with the same idempotency key. It counts as done only when the receiver confirms.")
	case delivery.ActionIgnore:
		return l.T("Ignore sends nothing. It leaves this list and stays on the page of ignored failures, with your name and reason.")
	case delivery.ActionResolve:
		return l.T("Resolve sends nothing. It says that the matter was settled by other means, and how.")
	case delivery.ActionAcknowledge:
		return l.T("Acknowledge sends nothing. It says that somebody looks after it, so that it is not counted as red any more.")
	default:
		return l.T("Reopen makes it a dead letter again. Nothing is sent.")
	}
}
