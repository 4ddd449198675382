package views

import (
	"net/url"
	"strings"
	"time"

	"redrive/delivery"
)

// Addresses of the pages. Every link and form of the console is built here.
const (
	Overview       = "/"
	Failures       = "/failures"
	FailureActions = "/failures/actions"
	FailuresNews   = "/failures/news"
	Groups         = "/groups"
	Ignored        = "/ignored"
	Audit          = "/audit"
	Operations     = "/operations"
	OperationNew   = "/operations/new" // see OperationFor; lists post action, return, and id (values of Choice) or filter there
	Integrations   = "/integrations"
	Operators      = "/operators"
	Tokens         = "/tokens"
	Account        = "/account"
	Help           = "/help"
	SignIn         = "/sign-in"
	SignOut        = "/sign-out"
	Preferences    = "/preferences"
)

// Failure is the page of one delivery.
func Failure(id string) string { return Failures + "/" + url.PathEscape(id) }

// FailureFrom is the page of one delivery that knows the list it was opened from.
func FailureFrom(id, back string) string { return with(Failure(id), "return", back) }

// FailureAction is where a form about one delivery goes.
func FailureAction(id string, action delivery.Action) string {
	return Failure(id) + "/" + url.PathEscape(string(action))
}

// FailureNews asks whether a delivery changed since the given state was shown.
func FailureNews(d delivery.Delivery) string {
	return Failure(d.ID) + "/news?" + url.Values{"state": {string(d.State)}, "attempts": {itoa(d.Attempts)}, "version": {itoa(d.Version)}}.Encode()
}

// FailureCase is where forms about what people keep about a delivery go; what is acknowledge, assign, tags, ticket or note.
func FailureCase(id, what string) string { return Failure(id) + "/case/" + url.PathEscape(what) }

// FailureEdit is the page that edits what is sent.
func FailureEdit(id string) string { return Failure(id) + "/edit" }

// FailureRedirect is the page that sends a failure by another integration.
func FailureRedirect(id string) string { return Failure(id) + "/redirect" }

// OperationFor asks before an action on everything that a filter matches; filter is the query of the filter's address.
func OperationFor(action delivery.Action, filter, back string) string {
	return OperationNew + "?" + url.Values{"action": {string(action)}, "filter": {filter}, "return": {back}}.Encode()
}

// Operation is the page of one operation.
func Operation(id string) string { return Operations + "/" + url.PathEscape(id) }

// OperationNews is the part of that page that changes by itself.
func OperationNews(id string) string { return Operation(id) + "/news" }

// OperationStep is where a form about a running operation goes; step is pause, resume, cancel or pace.
func OperationStep(id, step string) string { return Operation(id) + "/" + url.PathEscape(step) }

// OperationItems lists the items of an operation with one outcome.
func OperationItems(id, outcome string) string {
	return with(Operation(id), "outcome", outcome) + "#items"
}

// OperationsOf lists operations in a state, of a person.
func OperationsOf(state, actor string) string {
	return strings.TrimSuffix(Operations+"?"+compact(url.Values{"state": {state}, "actor": {actor}}).Encode(), "?")
}

// compact drops what is empty.
func compact(v url.Values) url.Values {
	for name, values := range v {
		if len(values) == 0 || values[0] == "" {
			delete(v, name)
		}
	}
	return v
}

// Blocked is the list of what waits until a delivery is settled.
func Blocked(id string) string { return Failure(id) + "/blocked" }

// Message is the page of a message and its deliveries.
func Message(id string) string { return "/messages/" + url.PathEscape(id) }

// MessagePayload is the raw bytes of a message.
func MessagePayload(id string) string { return Message(id) + "/payload" }

// IntegrationPause is where the form to pause goes.
func IntegrationPause(name string) string {
	return Integrations + "/" + url.PathEscape(name) + "/pause"
}

// IntegrationResnapshot is where the form to read an integration's tables again goes.
func IntegrationResnapshot(name string) string {
	return Integrations + "/" + url.PathEscape(name) + "/resnapshot"
}

// IntegrationResume is where the form to resume goes.
func IntegrationResume(name string) string {
	return Integrations + "/" + url.PathEscape(name) + "/resume"
}

// Underway is what an integration still has to send.
func Underway(name string) string { return Integrations + "/" + url.PathEscape(name) + "/underway" }

// Delivered is what an integration delivered lately.
func Delivered(name string) string { return Integrations + "/" + url.PathEscape(name) + "/delivered" }

// OperatorUpdate is where a form about one operator goes; what is role, password, disable or enable.
func OperatorUpdate(name, what string) string {
	return Operators + "/" + url.PathEscape(name) + "/" + url.PathEscape(what)
}

// TokenRevoke is where the form to revoke goes.
func TokenRevoke(id string) string { return Tokens + "/" + url.PathEscape(id) + "/revoke" }

// AuditOf is the history of one subject.
func AuditOf(subject string) string { return with(Audit, "subject", subject) }

// IgnoredOf is the ignored failures of one integration.
func IgnoredOf(integration string) string { return with(Ignored, "integration", integration) }

// GroupsOf is the failure groups of one integration.
func GroupsOf(integration string) string { return with(Groups, "integration", integration) }

func with(path, name, value string) string {
	if value == "" {
		return path
	}
	return path + "?" + url.Values{name: {value}}.Encode()
}

// FilterForm is a failure filter as the address carries it and the form shows it; values are what the person typed.
type FilterForm struct {
	State, Integration, ErrorClass string // several alternatives are separated by commas
	Group, Key, Query, From, To    string
	Sort, Limit, After             string
}

// AnyState selects all states in which a failure can be listed.
const AnyState = "dead,pending,ignored,resolved,delivered"

// Values is the query of the filter; defaults are left out.
func (f FilterForm) Values() url.Values {
	v := url.Values{}
	for _, p := range [][2]string{{"state", f.State}, {"integration", f.Integration}, {"error_class", f.ErrorClass}, {"group", f.Group},
		{"key", f.Key}, {"q", f.Query}, {"from", f.From}, {"to", f.To}, {"sort", f.Sort}, {"limit", f.Limit}, {"after", f.After}} {
		if p[1] != "" {
			v.Set(p[0], p[1])
		}
	}
	return v
}

// URL is the list that the filter selects.
func (f FilterForm) URL() string {
	if query := f.Values().Encode(); query != "" {
		return Failures + "?" + query
	}
	return Failures
}

// Narrowed says whether anything but the defaults is set.
func (f FilterForm) Narrowed() bool {
	f.After, f.Limit, f.Sort = "", "", ""
	return len(f.Values()) > 0 && f != FilterForm{State: string(delivery.StateDead)}
}

// refined says whether a field is set that the form hides at first.
func (f FilterForm) refined() bool { return f.Key != "" || f.From != "" || f.To != "" || f.Sort != "" }

// NewsURL asks for failures since the page was rendered; empty where news cannot be told from the filter.
func (f FilterForm) NewsURL(now time.Time) string {
	if f.After != "" || f.To != "" || f.Sort == string(delivery.SortOldest) {
		return ""
	}
	f.From = now.UTC().Format(time.RFC3339Nano)
	return FailuresNews + "?" + f.Values().Encode()
}

// LocalPath answers path when it stays on this site, else the overview. It is what makes "next" and "return" safe.
func LocalPath(path string) string {
	u, err := url.Parse(path)
	if err != nil || u.IsAbs() || u.Host != "" || u.User != nil || !strings.HasPrefix(path, "/") || strings.HasPrefix(path, "//") ||
		strings.ContainsFunc(path, func(r rune) bool { return r == '\\' || r < ' ' || r == 0x7f }) || len(path) > 2048 {
		return Overview
	}
	return path
}
