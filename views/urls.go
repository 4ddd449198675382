package views

import (
	"maps"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"redrive/delivery"
)

// Addresses of the pages. Every link and form of the console is built here.
const (
	Overview        = "/"
	OverviewBoard   = "/overview" // the part of Overview that renews itself
	Failures        = "/failures"
	FailuresNews    = "/failures/news"
	FailuresLive    = "/failures/live"    // FailuresNews as a stream
	FailuresSuggest = "/failures/suggest" // what the search bar could go on with
	FailuresSeen    = "/failures/seen"    // moves the mark behind which failures are new to somebody
	FailuresCSV     = "/failures/csv"     // a list as a file, see FailureList
	FailuresJSON    = "/failures/json"
	SavedViews      = "/failures/views"
	Groups          = "/groups"
	Ignored         = "/ignored"
	IgnoredCSV      = "/ignored/csv"
	IgnoredJSON     = "/ignored/json"
	Audit           = "/audit"
	AuditCSV        = "/audit/csv" // what it shows as a file, with the entries of operations' items
	AuditJSON       = "/audit/json"
	Operations      = "/operations"
	OperationNew    = "/operations/new" // see OperationFor; lists post action, return, and id (values of Choice) or filter there
	Integrations    = "/integrations"
	Approvals       = "/approvals"
	Operators       = "/operators"
	Tokens          = "/tokens"
	Account         = "/account"
	AccountCode     = "/account/code"         // begins to use codes of an app
	AccountConfirm  = "/account/code/confirm" // proves that the app makes them
	AccountPasskeys = "/account/passkeys"
	AccountTokens   = "/account/tokens"
	PasskeyBegin    = "/account/passkeys/begin"
	AccountNoCode   = "/account/code/remove"
	Help            = "/help"
	Go              = "/go"          // leads anywhere: an integration, a key or id, a page, an action of the page one comes from
	HelpFields      = "/help#fields" // what the search bar understands
	SignIn          = "/sign-in"
	SignInProvider  = "/sign-in/oidc"          // begins single sign-on
	ProviderBack    = "/sign-in/oidc/callback" // where the provider sends people back
	ProviderLogout  = "/sign-in/oidc/logout"   // where it says that sessions have ended
	SignInCode      = "/sign-in/code"          // after the password, where a code is asked for
	SignInPasskey   = "/sign-in/passkey"
	SignInBegin     = "/sign-in/passkey/begin"
	SignOut         = "/sign-out"
	Preferences     = "/preferences"
)

// PasskeyRemove is where the form to remove a passkey goes.
func PasskeyRemove(id string) string { return AccountPasskeys + "/" + url.PathEscape(id) + "/remove" }

// SignInAt begins single sign-on that leads to a page.
func SignInAt(next string) string { return with(SignInProvider, "next", next) }

// Failure is the page of one delivery.
func Failure(id string) string { return Failures + "/" + url.PathEscape(id) }

// FailureFrom is the page of one delivery that knows the list it was opened from.
func FailureFrom(id, back string) string { return with(Failure(id), "return", back) }

// FailureInList is the page of one delivery that leads back to its row of a list, and to the rows beside it.
func FailureInList(list string, at delivery.Place) string {
	list, _, _ = strings.Cut(list, "#")
	return FailureFrom(at.ID, list+"#"+rowID(at))
}

// InList is the same for a place that there may not be.
func InList(list string, at *delivery.Place) string {
	if at == nil {
		return ""
	}
	return FailureInList(list, *at)
}

// rowID names a row: by whose it is, and by its place in the list, so that what is beside it is found when it has moved.
func rowID(at delivery.Place) string {
	return "f-" + Short(at.ID) + "-" + strconv.FormatInt(at.At.UnixMicro(), 36)
}

// PlaceIn is where a failure stood in the list that it was opened from, by the address that FailureInList gave to its page; ok is false
// where that says nothing of it.
func PlaceIn(back, id string) (at delivery.Place, ok bool) {
	_, row, _ := strings.Cut(back, "#f-")
	short, moment, _ := strings.Cut(row, "-")
	micros, err := strconv.ParseInt(moment, 36, 64)
	return delivery.Place{ID: id, At: time.UnixMicro(micros).UTC()}, err == nil && short == Short(id)
}

// FailureAction is where a form about one delivery goes.
func FailureAction(id string, action delivery.Action) string {
	return Failure(id) + "/" + url.PathEscape(string(action))
}

// FailureNews asks whether a delivery changed since the given state was shown.
func FailureNews(d delivery.Delivery) string {
	return Failure(d.ID) + "/news?" + url.Values{
		"state":    {string(d.State)},
		"attempts": {itoa(d.Attempts)},
		"version":  {itoa(d.Version)},
	}.Encode()
}

// FailureCase is where forms about what people keep about a delivery go; what is acknowledge, assign, tags, ticket or note.
func FailureCase(id, what string) string { return Failure(id) + "/case/" + url.PathEscape(what) }

// TaggedWith lists the open failures with a tag.
func TaggedWith(tag string) string { return with(Failures, "tag", tag) }

// FailureEdit is the page that edits what is sent.
func FailureEdit(id string) string { return Failure(id) + "/edit" }

// VersionPayload is the exact bytes of one version of what is sent.
func VersionPayload(id string, number int) string {
	return Failure(id) + "/versions/" + itoa(number) + "/payload"
}

// FailureRedirect is the page that sends a failure by another integration.
func FailureRedirect(id string) string { return Failure(id) + "/redirect" }

// OperationFor asks before an action on everything that a filter matches; filter is the query of the filter's address.
func OperationFor(action delivery.Action, filter, back string) string {
	return OperationNew + "?" + url.Values{"action": {string(action)}, "filter": {filter}, "return": {back}}.Encode()
}

// Approval is the page of one request for approval.
func Approval(id string) string { return Approvals + "/" + url.PathEscape(id) }

// ApprovalStep is where a form about a request goes; step is approve, reject or withdraw.
func ApprovalStep(id, step string) string { return Approval(id) + "/" + url.PathEscape(step) }

// ApprovalsOf lists requests of one kind: mine, todo or a state.
func ApprovalsOf(which string) string { return with(Approvals, "show", which) }

// Operation is the page of one operation.
func Operation(id string) string { return Operations + "/" + url.PathEscape(id) }

// OperationNews is the part of that page that changes by itself.
func OperationNews(id string) string { return Operation(id) + "/news" }

// OperationStep is where a form about a running operation goes; step is pause, resume, cancel or pace.
func OperationStep(id, step string) string { return Operation(id) + "/" + url.PathEscape(step) }

// OperationItems lists the items of an operation with one outcome, of one integration; empty: of all.
func OperationItems(id, outcome, integration string) string {
	query := url.Values{}
	for name, value := range map[string]string{"outcome": outcome, "integration": integration} {
		if value != "" {
			query.Set(name, value)
		}
	}
	at := Operation(id)
	if len(query) > 0 {
		at += "?" + query.Encode()
	}
	return at + "#items"
}

// Blocked is the list of what waits until a delivery is settled.
func Blocked(id string) string { return Failure(id) + "/blocked" }

// Message is the page of a message and its deliveries.
func Message(id string) string { return "/messages/" + url.PathEscape(id) }

// MessagePayload is the raw bytes of a message.
func MessagePayload(id string) string { return Message(id) + "/payload" }

// Integration is the page of one integration.
func Integration(name string) string { return Integrations + "/" + url.PathEscape(name) }

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

// UnderwayIn is what of it waits, or is being sent.
func UnderwayIn(name string, state delivery.State) string {
	return with(Underway(name), "state", string(state))
}

// Delivered is what an integration delivered lately.
func Delivered(name string) string { return Integrations + "/" + url.PathEscape(name) + "/delivered" }

// OperatorUpdate is where a form about one operator goes; what is rename, role, password, disable, enable or sign-out.
func OperatorUpdate(id, what string) string {
	return Operators + "/" + url.PathEscape(id) + "/" + url.PathEscape(what)
}

// SessionsOf is where an operator is signed in.
func SessionsOf(id string) string { return Operators + "/" + url.PathEscape(id) + "/sessions" }

// SessionEnd is where the form to end a session goes; of is the page with the session, Account or SessionsOf.
func SessionEnd(of, session string) string {
	if of == Account {
		of += "/sessions"
	}
	return of + "/" + url.PathEscape(session) + "/end"
}

// TokenStep is where the form about one token goes; at is Tokens or AccountTokens, step is rotate or revoke.
func TokenStep(at, id, step string) string { return at + "/" + url.PathEscape(id) + "/" + step }

// AuditOf is the history of one subject.
func AuditOf(subject string) string { return with(Audit, "subject", subject) }

// AuditFiles are what a filter of the audit selects as files.
func AuditFiles(asked url.Values) (csv, json string) {
	filter := without(asked, placesOfAudit...)
	return withQuery(AuditCSV, filter), withQuery(AuditJSON, filter)
}

// IgnoredFiles are what a filter of ignored failures selects as files.
func IgnoredFiles(asked url.Values) (csv, json string) {
	filter := without(asked, "after")
	return withQuery(IgnoredCSV, filter), withQuery(IgnoredJSON, filter)
}

// without is a query without some of its names.
func without(query url.Values, names ...string) url.Values {
	rest := url.Values{}
	maps.Copy(rest, query)
	for _, name := range names {
		delete(rest, name)
	}
	return rest
}

// placesOfAudit say what of the audit is open, and select nothing.
var placesOfAudit = []string{"after", "open", "items"}

// AuditItems is the audit with an operation open at its items behind a place.
func AuditItems(asked url.Values, operation, after string) string {
	if after == "" {
		return ""
	}
	query := without(asked, "open", "items")
	query["open"], query["items"] = []string{operation}, []string{after}
	return withQuery(Audit, query)
}

// IgnoredWith is the ignored failures of a query with one of its values changed; empty: with any.
func IgnoredWith(asked url.Values, name, value string) string {
	query := without(asked, "after", name)
	if value != "" {
		query[name] = []string{value}
	}
	return withQuery(Ignored, query)
}

// AuditBy is what somebody did of one kind.
func AuditBy(actor, action string) string {
	return withQuery(Audit, url.Values{"actor": {actor}, "action": {action}})
}

// IgnoredOf is the ignored failures of one integration.
func IgnoredOf(integration string) string { return with(Ignored, "integration", integration) }

// GroupsOf is the failure groups of one integration.
func GroupsOf(integration string) string {
	return GroupList(delivery.GroupFilter{Filter: delivery.Filter{Integrations: []string{integration}}})
}

// NewGroupsOf is those that nobody knows yet.
func NewGroupsOf(integration string) string {
	return GroupList(delivery.GroupFilter{Filter: delivery.Filter{Integrations: []string{integration}},
		Statuses: []delivery.GroupStatus{delivery.GroupNew}})
}

func with(path, name, value string) string {
	if value == "" {
		return path
	}
	return path + "?" + url.Values{name: {value}}.Encode()
}

// FailureList is the list of what a filter selects.
func FailureList(f delivery.Filter) string { return withQuery(Failures, brief(f)) }

// brief is the query of a filter, with all states as one word.
func brief(f delivery.Filter) url.Values {
	v := f.Values()
	if slices.Equal(f.States, delivery.States) {
		v.Set("state", delivery.AnyState)
	}
	return v
}

// FailureFile is the same list as a file.
func FailureFile(f delivery.Filter) string { return withQuery(FailuresCSV, brief(f)) }

// FailureFileJSON is the same for programs.
func FailureFileJSON(f delivery.Filter) string { return withQuery(FailuresJSON, brief(f)) }

// FailuresOf is the open dead letters of one integration.
func FailuresOf(integration string) string {
	return FailureList(delivery.Filter{Integrations: []string{integration}})
}

// AcknowledgedOf is the dead letters that somebody looks after, of one integration or of all.
func AcknowledgedOf(integration string) string { return acknowledged(integration, true) }

// UnacknowledgedOf is the dead letters that nobody looks after, of one integration or of all.
func UnacknowledgedOf(integration string) string { return acknowledged(integration, false) }

func acknowledged(integration string, yes bool) string {
	f := delivery.Filter{Acknowledged: &yes}
	if integration != "" {
		f.Integrations = []string{integration}
	}
	return FailureList(f)
}

// SearchFor is the list that a text of the search bar selects.
func SearchFor(text string) string { return with(Failures, "search", text) }

// Group is the page of one failure group.
func Group(id string) string { return Groups + "/" + url.PathEscape(id) }

// GroupList is the groups that a filter selects.
func GroupList(f delivery.GroupFilter) string {
	f.Filter.Sort = ""
	v := brief(f.Filter)
	for _, key := range f.By {
		v.Add("by", string(key))
	}
	for _, status := range f.Statuses {
		v.Add("status", string(status))
	}
	if f.Sort != "" && f.Sort != delivery.GroupsGrowing {
		v.Set("sort", string(f.Sort))
	}
	return withQuery(Groups, v)
}

// ViewDelete is where the form to forget a saved view goes.
func ViewDelete(id string) string { return SavedViews + "/" + url.PathEscape(id) + "/delete" }

func withQuery(path string, query url.Values) string {
	if len(query) == 0 {
		return path
	}
	return path + "?" + query.Encode()
}

// FailuresSince asks for failures since the page was rendered, at FailuresNews or FailuresLive; empty where news cannot be told from
// the filter.
func FailuresSince(address string, f delivery.Filter, now time.Time) string {
	if f.After != "" || f.To != nil || f.Sort == delivery.SortOldest {
		return ""
	}
	now = now.UTC()
	f.From, f.Limit = &now, 0
	return withQuery(address, brief(f))
}

// LocalPath returns path when it stays on this site, else the overview. It is what makes "next" and "return" safe.
func LocalPath(path string) string {
	u, err := url.Parse(path)
	if err != nil || u.IsAbs() || u.Host != "" || u.User != nil || !strings.HasPrefix(path, "/") || strings.HasPrefix(path, "//") ||
		strings.ContainsFunc(path, func(r rune) bool { return r == '\\' || r < ' ' || r == 0x7f }) ||
		len(path) > 2048 {
		return Overview
	}
	return path
}

// IgnoreRules is the list of ignore rules, IgnoreRule the page of one.
const IgnoreRules = "/ignore-rules"

// IgnoreRule is the page of one ignore rule.
func IgnoreRule(id string) string { return IgnoreRules + "/" + url.PathEscape(id) }
