package views

import (
	"net/url"
	"strconv"

	"redrive/delivery"
)

// IgnoreRulesPage lists the rules by which new dead letters are ignored.
type IgnoreRulesPage struct {
	Layout
	Items []delivery.IgnoreRule
	Next  string
}

// IgnoreRulePage is one rule with what it swallowed.
type IgnoreRulePage struct {
	Layout
	R       delivery.IgnoreRule
	History []delivery.AuditEntry
	Problem string
}

// IgnoreRuleNewPage makes a rule: what it would have swallowed stands above the form.
type IgnoreRuleNewPage struct {
	Layout
	Names       []string // of integrations
	Integration string
	Search      string // the condition as it is typed
	Form        ActionForm
	Preview     *delivery.IgnorePreview
}

// IgnoreRuleNew is where a rule is made, of an integration and a search.
const IgnoreRuleNew = IgnoreRules + "/new"

// IgnoreLikeThese leads to a rule about what a filter of failures selects of an integration.
func IgnoreLikeThese(integration string, f delivery.Filter) string {
	return IgnoreRuleNew + "?" + url.Values{"integration": {integration}, "q": {f.Condition(integration).SearchText()}}.Encode()
}

// likeThese leads to a rule about what the list selects, where that is of one integration and known as something fails; empty elsewhere.
func (p FailuresPage) likeThese() string {
	in := p.Filter.Integrations
	if len(in) == 0 && len(p.Filter.Groups) == 1 && len(p.Items) > 0 {
		in = []string{p.Items[0].Integration} // a group is of one
	}
	if len(in) != 1 || !p.May(delivery.PermitIgnoreRules) || p.Filter.Condition(in[0]).CheckCondition() != nil {
		return ""
	}
	return IgnoreLikeThese(in[0], p.Filter)
}

// IgnoredByRule lists what is ignored by a rule now.
func IgnoredByRule(id string) string { return Ignored + "?" + url.Values{"rule": {id}}.Encode() }

// condition is what a rule swallows, in the words of the search bar.
func (l Locale) condition(r delivery.IgnoreRule) string {
	if text := r.Filter.SearchText(); text != "" {
		return text
	}
	return l.T("everything that finally fails")
}

// ruleState is until when a rule holds, or why it does not.
func (l Locale) ruleState(r delivery.IgnoreRule) string {
	switch {
	case r.Holds() && r.OfFile:
		return l.T("holds, from the integrations file")
	case r.Holds():
		return l.T("holds %s", l.ruleEnd(r))
	}
	return l.T("ended: %s", l.Say(r.Because))
}

// ruleEnd is when a rule ends.
func (l Locale) ruleEnd(r delivery.IgnoreRule) string {
	switch {
	case r.Count > 0:
		return l.N(r.Count, "until it has swallowed %s failure", "until it has swallowed %s failures")
	case r.Grows > 0:
		return l.T("until it swallows %s times its rate in a day", trimmed(r.Grows))
	}
	return l.end(r.End)
}

// trimmed is a factor without needless digits.
func trimmed(f float64) string { return strconv.FormatFloat(f, 'f', -1, 64) }

// ruleEntry says an entry of a rule's history.
func (l Locale) ruleEntry(e delivery.AuditEntry) string {
	told := l.tellEntry(e)
	text := told.before + told.link + told.after
	if e.Reason != "" {
		text += ": " + Visible(e.Reason)
	}
	return text
}
