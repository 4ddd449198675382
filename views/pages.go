package views

import (
	"math"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/a-h/templ"

	"redrive/delivery"
	"redrive/delivery/past"
)

// Layout is what every page needs around its content.
type Layout struct {
	Locale
	Title    string
	Section  string // address of the navigation entry that is current
	Here     string // local address of this page, for forms that come back
	User     string // empty: nobody is signed in
	UserID   string
	Role     delivery.Role   // for all integrations
	Rights   delivery.Rights // what the reader may do
	Theme    string          // "", "light" or "dark"
	ZoneName string          // IANA name
	Chosen   string          // language that the reader chose; empty: none
	KeysOff  bool            // single keys do nothing
	Flash    *Flash
	Fragment bool // only the main part, for a swap
	Demo     bool
	Release  string
	FourEyes map[string]delivery.FourEyes // of integrations that have something that a second person approves
	Waiting  int                          // requests that wait for the reader to approve them, up to 100
}

// May reports whether the reader has permissions, each for at least one integration.
func (l Layout) May(need ...delivery.Permission) bool { return l.Rights.May(need...) }

// tabOf is one of the main pages.
type tabOf struct{ address, name string }

// tabs are the main pages that the reader may open.
func (l Layout) tabs() []tabOf {
	tabs := []tabOf{{Overview, l.T("Overview")}, {Failures, l.T("Failures")}, {Groups, l.T("Groups")}, {Ignored, l.T("Ignored")},
		{Operations, l.T("Operations")}, {Integrations, l.T("Integrations")}, {Audit, l.T("Audit")}}
	if len(l.FourEyes) > 0 || l.Waiting > 0 {
		name := l.T("Approvals")
		if l.Waiting > 0 {
			name = l.T("%s (%s)", name, l.Number(l.Waiting))
		}
		tabs = append(tabs, tabOf{Approvals, name})
	}
	if l.May(delivery.PermitAdminister) {
		tabs = append(tabs, tabOf{Operators, l.T("People")}, tabOf{Tokens, l.T("Tokens")})
	}
	return tabs
}

// missing names a permission that the reader does not have.
func (l Layout) missing(p delivery.Permission) string {
	return l.Say(delivery.Say("forbidden.permission", "permission", p.Phrase()))
}

// Lacks is the first of the permissions that the reader does not have for an integration; empty when there is none.
func (l Layout) Lacks(integration string, need ...delivery.Permission) delivery.Permission {
	return l.Rights.MissingFor(integration, need...)
}

// Flash tells once what an action did.
type Flash struct {
	Kind  string // good, bad or warn
	Text  string
	Lines []FlashLine
}

// FlashLine is one item of a flash.
type FlashLine struct{ Text, Href string }

// SignInPage asks for name and password, or leads to single sign-on.
type SignInPage struct {
	Layout
	Name, Next, Problem string
	Kept                string // a form that was sent after the session had ended
	Again               bool   // they signed in before, too long ago for what they want
	Provider            string // of single sign-on; empty: there is none
	Away                bool   // it does not answer
	Passkeys            bool   // can be used
	SignOutThere        string // address at which a person who has signed out here signs out at the provider
}

// ProviderPage leads to single sign-on whoever has a form kept.
type ProviderPage struct {
	Layout
	Provider, To string
}

// CodePage asks for a code after the password.
type CodePage struct {
	Layout
	Ticket, Next, Kept, Problem string
}

// NewCodesPage shows what an app makes codes of, and then, once, the codes for when the app is lost.
type NewCodesPage struct {
	Layout
	Secret, Problem string
	Square          Square
	Recovery        []string
}

// Square is a QR code: a path of its dark modules in a square of so many.
type Square struct {
	Size int
	Path string
}

// GoOnPage gives a form back that was sent after the session had ended.
type GoOnPage struct {
	Layout
	To     string
	Fields map[string][]string
}

// OverviewPage shows what needs a person.
type OverviewPage struct {
	Layout
	Integrations []delivery.IntegrationHealth // all that the reader sees
	Asked        BoardRequest
	Facts        map[string][]delivery.Fact // figures of the methods, by integration
	Done         past.Since                 // of the demo's tasks; nothing told: there are none
}

// FailuresPage lists failures.
type FailuresPage struct {
	Layout
	Filter  delivery.Filter // as the address carries it
	Search  string          // the same as text, or what was typed and refused
	Problem string          // what is wrong with it
	Look    delivery.Look   // what the reader has seen
	Tabs    []StateTab
	Total   Count // everything that matches
	Chips   []Chip
	Narrow  []Refinement
	Meant   []StateTab // what to look for instead of a search that finds nothing
	Items   []delivery.Delivery
	Next    string // address of the following page, empty on the last
	Views   []delivery.SavedView
	Save    SaveForm
}

// Chip is one condition of a list, and the list without it.
type Chip struct{ Text, Without string }

// Count is a number of rows. A capped one is at least N; Unknown is not counted.
type Count struct {
	N       int
	Capped  bool
	Unknown bool
}

// StateTab leads to the same list in other states.
type StateTab struct {
	Name    string
	Href    string
	Count   Count
	Current bool
}

// Refinement offers values of one field, with how many rows each would leave.
type Refinement struct {
	Title string
	Items []StateTab
}

// SaveForm is what a person typed to keep a search.
type SaveForm struct {
	Name, Search   string
	Shared         bool
	Field, Problem string
}

// Selected is one chosen delivery as the list showed it.
type Selected struct {
	Value, ID, Integration string
	State                  delivery.State
	Fits                   bool // the state allows the action
	Unsure                 bool // it may have had its effect
}

// ActionForm is what a person typed about an action.
type ActionForm struct {
	Action                            delivery.Action
	Reason, Category, Until, Evidence string
	Ends, ForGood                     bool   // the form asks for an end; it was to have none
	End                               string // which of the four was chosen, by its field; empty: a time
	Count, Grows                      string // of it
	Field, Problem                    string // what is wrong, and where
}

// Fields of a form that asks for an end.
const (
	FieldEnds    = "ends"
	FieldEnd     = "end" // which of the four
	FieldForGood = "for_good"
)

// usualIgnore is how long a form ignores unless somebody says otherwise.
const usualIgnore = 7 * 24 * time.Hour

// until is what the field of the end holds: what was typed, else the usual end.
func (l Locale) until(f ActionForm) string {
	if f.Ends {
		return f.Until
	}
	return l.Now.Add(usualIgnore).In(l.zone()).Format("2006-01-02T15:04")
}

// ends reports whether a form chose one of the four ends, by its field.
func (f ActionForm) ends(field string) bool {
	if f.ForGood {
		return field == delivery.FieldForGood
	}
	return f.End == field || f.End == "" && field == delivery.FieldUntil
}

// invalid are the attributes of the field of an end that is wrong.
func (f ActionForm) invalid(id, field string) templ.OrderedAttributes {
	if wrong, _ := f.wrongEnd(); wrong != field {
		return nil
	}
	return templ.OrderedAttributes{{Key: "aria-invalid", Value: "true"}, {Key: "aria-describedby", Value: id + "-" + field + "-error"}}
}

// wrongEnd is the field of the end that a form has wrong, and what is wrong; empty: none.
func (f ActionForm) wrongEnd() (field, problem string) {
	for _, field := range []string{delivery.FieldUntil, delivery.FieldCount, delivery.FieldGrows, delivery.FieldForGood} {
		if f.Field == field && f.wrong(f.Action, field) != "" {
			return field, f.Problem
		}
	}
	return "", ""
}

// wrong returns the problem of one field.
func (f ActionForm) wrong(action delivery.Action, field string) string {
	if f.Action == action && f.Problem != "" && (f.Field == field || f.Field == "" && field == "reason") {
		return f.Problem
	}
	return ""
}

// typed returns what was typed into the form of action.
func (f ActionForm) typed(action delivery.Action) ActionForm {
	if f.Action == action {
		return f
	}
	return ActionForm{Action: action}
}

// DeliveryPage is everything about one delivery.
type DeliveryPage struct {
	Layout
	D          delivery.Detail
	Known      bool                      // the integration is in the file
	Held       delivery.IntegrationState // whether it is paused or its breaker open
	Address    string
	Idempotent bool            // the receiver drops duplicates
	Repeatable bool            // another attempt is safe, see delivery.Integration
	Runbook    string          // what to do when it fails; empty: none
	Shown      Exchange        // of the try that is looked at
	Losses     []delivery.Loss // what the destination does not get as it is
	Form       ActionForm
	Conflict   *delivery.ConflictError
	File       *delivery.StoredFile // of a batch: what is sent, or where the row came from
	Newer      string               // address of the failure before this one in the list that the reader came from; empty at its beginning
	Older      string               // the same of the one after it
	Return     string
	Token      func() string // makes a form's token
	Case       CaseForm
	People     []string // who can be an assignee
	TicketURL  string   // of its ticket; empty without one
	Versions   []Version
}

// Payload is a message's bytes prepared for reading.
type Payload struct {
	Kind      string // tree, text, binary, empty, or null: there is none
	Text      string // of a tree and a text all that may be shown
	Tree      *Outline
	Ask       OutlineAsk // what of it is to be shown
	At        Place      // the page that shows it
	Size      int
	SHA256    string
	Truncated bool
	Masked    bool   // fields are hidden
	Hidden    bool   // all of it is hidden, because its fields cannot be told apart
	Replaced  bool   // bytes that are not UTF-8 are shown as a replacement character
	Raw       bool   // the reader may download the bytes
	Reveal    string // where single masked values are asked for; empty: the reader may not
	Dropped   bool   // retention has dropped the message
	Address   string // of the exact bytes, when they are not the message's own
}

// Header is one header of a message. Type is the broker's, empty for text.
type Header struct{ Name, Value, Type string }

// MessagePage is a message and where it went.
type MessagePage struct {
	Layout
	Message    delivery.Message
	Deliveries []delivery.Delivery
	Payload    Payload
	Headers    []Header
	Properties []Header
}

// GroupsPage lists failure groups.
type GroupsPage struct {
	Layout
	Filter  delivery.GroupFilter
	Problem string
	Names   []string
	Items   []delivery.Group
	Next    string
}

// GroupPage is everything about one failure group.
type GroupPage struct {
	Layout
	Group  delivery.Group
	States []StateTab // how many of it are in each state
	Newest []delivery.Delivery
	First  *delivery.Delivery // the oldest that is still known
}

// IntegrationsPage lists the integrations.
type IntegrationsPage struct {
	Layout
	Integrations []delivery.IntegrationHealth
	Asked        BoardRequest
}

// IntegrationPage shows one integration with its facts, and pauses it.
type IntegrationPage struct {
	Layout
	H                    delivery.IntegrationHealth
	Config               delivery.Integration  // without a method: it left the file
	Facts                []delivery.Fact       // figures of its method
	Changes              []delivery.AuditEntry // the latest ones about it
	Wrong, Reason, Until string                // its name where the form to pause was refused, or ResnapshotForm of it, and what was typed
	Field, Problem       string                // what is wrong with it, and in which field
}

// ResnapshotForm names the form to read an integration's tables again, or one of them.
func ResnapshotForm(name, table string) string { return name + "/resnapshot/" + table }

// TrafficPage lists what one integration still has to send, or what it delivered lately.
type TrafficPage struct {
	Layout
	Integration string
	Delivered   bool
	State       delivery.State            // of the rows, which are still to be sent; empty: of any
	Behind      string                    // the delivery that the rows wait for; empty: the rows of an integration
	Held        delivery.IntegrationState // whether it is paused or its breaker open
	Items       []delivery.Delivery
	Next        string
}

// OperatorsPage manages people.
type OperatorsPage struct {
	Layout
	Items                []delivery.Operator
	Name                 string
	Integrations, Labels string // as typed
	NewRole              delivery.Role
	Problem, Last        string // Last is the id of whose form was refused, empty for the form to add
}

// SessionsPage is where somebody else is signed in.
type SessionsPage struct {
	Layout
	Of    delivery.Operator
	Items []delivery.Session
}

// TokensPage manages API tokens: everybody's, or the reader's.
type TokensPage struct {
	Layout
	At                         string // its address
	Own, ReadOnly              bool
	Lifetimes                  delivery.TokenLifetimes
	Items                      []delivery.Token
	Name, Integrations, Labels string // as typed
	Typed                      url.Values
	Secret                     string        // shown once
	Overlap                    time.Duration // of a secret that takes another one's place
	Problem                    string
}

// AccountPage changes the own password, and shows where the reader is signed in.
type AccountPage struct {
	Layout
	Problem  string
	Sessions []delivery.Session
	Session  string // the one of this browser
	Local    bool   // they sign in here: password and second factor are theirs to change
	HasCodes bool
	Recovery int // codes that are left
	Passkeys []delivery.Passkey
	NoKeys   bool // there can be no passkeys at this address
}

// HelpPage explains keys and words.
type HelpPage struct{ Layout }

// ErrorPage says what went wrong in one sentence.
type ErrorPage struct {
	Layout
	Status    int
	Text      string
	RequestID string
}

// health is an integration's state as word, shape and weight.
func (l Locale) health(h delivery.IntegrationHealth) (word, kind string) {
	switch {
	case h.PausedAt != nil:
		return l.T("paused"), "paused"
	case h.Breaker == delivery.BreakerOpen:
		return l.T("breaker open"), "bad"
	case h.Breaker == delivery.BreakerHalfOpen:
		return l.T("probing"), "warn"
	case l.whyDegraded(h) != "":
		return l.T("degraded"), "warn"
	}
	return l.T("ok"), "good"
}

// destination is the kind of an integration's destination; one that only makes messages for others has none.
func (l Locale) destination(h delivery.IntegrationHealth) string {
	if h.Destination == "" {
		return l.T("other integrations")
	}
	return h.Destination
}

// whyDegraded says why an integration that runs does not run well; empty when it does, or does not run.
func (l Locale) whyDegraded(h delivery.IntegrationHealth) string {
	switch {
	case h.PausedAt != nil || h.Breaker == delivery.BreakerOpen || h.Breaker == delivery.BreakerHalfOpen:
		return ""
	case len(delivery.Degraded(h.Parts)) > 0:
		return l.T("its %s does not work", l.part(delivery.Degraded(h.Parts)[0].Part))
	case h.Alarm:
		return l.T("its source needs a person")
	case h.MostlyFails():
		return l.T("more failed than delivered this hour")
	case h.IsLate(l.Now):
		return l.T("due work waits for over a minute")
	}
	return ""
}

// shape is the kind of mark beside a delivery's state.
func shape(d delivery.Delivery) string {
	switch d.State {
	case delivery.StateDead:
		return "bad"
	case delivery.StateDelivered, delivery.StateResolved:
		return "good"
	case delivery.StateIgnored:
		return "ignored"
	case delivery.StatePending, delivery.StateSending:
		return "wait"
	}
	return ""
}

// sentence says what happened to a delivery.
func (p DeliveryPage) sentence() string {
	d := p.D.Delivery
	failed := p.failures()
	switch d.State {
	case delivery.StateDelivered:
		if failed == 0 {
			return p.T("Delivered to %s at the first try.", d.Integration)
		}
		return p.T("Delivered to %s after it had failed %s.", d.Integration, p.Times(failed))
	case delivery.StateIgnored:
		return p.T("%s decided not to deliver this to %s: %s.", p.by(), d.Integration, p.because())
	case delivery.StateResolved:
		return p.T("%s settled this by other means: %s.", p.by(), p.because())
	case delivery.StateSending:
		return p.T("A worker is sending this to %s right now.", d.Integration)
	}
	if failed == 0 && d.Error == "" {
		return p.T("Waits to be sent to %s.", d.Integration) + p.nextTry()
	}
	return p.failure(failed) + p.redirected() + p.nextTry()
}

func (p DeliveryPage) failure(failed int) string {
	text := p.told(p.D.ErrorClass, p.D.Error)
	if origin := p.D.Message.Origin; p.D.ErrorClass == delivery.ClassForeign && origin != nil && origin.Dead != nil {
		return p.T("It died in %s: %s.", origin.Dead.Where(), text)
	}
	if expires := p.D.Message.ExpiresAt; p.D.ErrorClass == delivery.ClassExpired && expires != nil {
		return p.T("Not delivered to %s before it expired %s.", p.D.Integration, p.Relative(*expires))
	}
	if failed < 2 {
		return p.T("Delivery to %s failed: %s.", p.lastTriedBy(), text)
	}
	took := p.D.Timeline[len(p.D.Timeline)-1].StartedAt.Sub(p.D.Timeline[0].StartedAt).Truncate(time.Second)
	if took < time.Second {
		return p.T("Delivery to %s failed %s: %s.", p.lastTriedBy(), p.Times(failed), text)
	}
	return p.T("Delivery to %s failed %s in %s: %s.", p.lastTriedBy(), p.Times(failed), p.Span(took), text)
}

// nextTry says what the engine does next, if anything.
func (p DeliveryPage) nextTry() string {
	switch {
	case p.D.MayHaveHadEffect():
		return " " + p.T("No answer arrived, so it may have had its effect; it is not tried again by itself.")
	case p.D.State == delivery.StateDead:
		return " " + p.T("It is not tried again by itself.")
	case p.D.State == delivery.StatePending && p.D.Lane.BehindID != "":
		return " " + p.T("It waits until an earlier delivery of its key is settled.")
	case p.D.State == delivery.StatePending && p.held() != "":
		return " " + p.held()
	case p.D.State == delivery.StatePending && p.D.NextAttemptAt != nil && p.D.NextAttemptAt.After(p.Now):
		return " " + p.T("The next automatic try is %s.", p.Relative(*p.D.NextAttemptAt))
	case p.D.State == delivery.StatePending:
		return " " + p.T("It is tried again as soon as a worker is free.")
	}
	return ""
}

// held says why the integration sends nothing now; empty when it does.
func (p DeliveryPage) held() string { return p.Locale.held(p.Held) }

func (l Locale) held(s delivery.IntegrationState) string {
	switch {
	case s.PausedAt != nil && s.PausedUntil != nil:
		return l.T("The integration was paused %s by %s (%s); it is sent when the pause ends, %s, or somebody resumes it.",
			l.Relative(*s.PausedAt), l.actor(s.PausedBy), orDash(l.Reason(s.PauseReason, s.PauseSays)), l.Relative(*s.PausedUntil))
	case s.PausedAt != nil:
		return l.T("The integration was paused %s by %s (%s); it is sent when somebody resumes it.",
			l.Relative(*s.PausedAt), l.actor(s.PausedBy), orDash(l.Reason(s.PauseReason, s.PauseSays)))
	case s.Breaker == delivery.BreakerOpen && s.BreakerUntil != nil:
		return l.T("The integration rests because too many tries failed; the next probe is %s.", l.Relative(*s.BreakerUntil))
	}
	return ""
}

func (p DeliveryPage) failures() int {
	n := 0
	for _, a := range p.D.Timeline {
		if a.Outcome != delivery.OutcomeOK && a.Outcome != delivery.OutcomeLate {
			n++
		}
	}
	return n
}

func (p DeliveryPage) by() string {
	if p.D.Settlement.Actor == "" {
		return p.T("Somebody")
	}
	return p.actor(p.D.Settlement.Actor)
}

func (p DeliveryPage) because() string {
	parts := []string{}
	if p.D.Settlement.Category != "" {
		parts = append(parts, p.Category(p.D.Settlement.Category))
	}
	if p.D.Settlement.Reason != "" {
		parts = append(parts, strings.TrimSuffix(p.D.Settlement.Reason, "."))
	}
	if len(parts) == 0 {
		return p.T("no reason was given")
	}
	return p.List(parts)
}

// refusal says why an action is not possible now; empty when it is.
func (p DeliveryPage) refusal(action delivery.Action) string {
	for _, from := range action.From() {
		if p.D.State == from {
			if expires := p.D.Message.ExpiresAt; action.Row().Unexpired && expires != nil && !expires.After(p.Now) {
				return p.T("The message expired %s and must not be sent any more.", p.Relative(*expires))
			}
			if action.Row().Active && !p.Known {
				return p.T("The integration left the configuration file, so there is nowhere to send it.")
			}
			if action.Row().Queues && p.D.Message.Dropped {
				return p.T("Its message was older than what is kept and is not there any more, so it cannot be sent.")
			}
			if action.Row().Queues && action != delivery.ActionEdit && p.lacksRecord() {
				return p.T("Its record is not here, so an empty one would be sent. Edit it to give it a payload, or ignore or resolve it.")
			}
			return ""
		}
	}
	if !slices.Contains(action.From(), delivery.StateDead) {
		return p.T("Only what was ignored or resolved can be reopened; this is %s.", p.State(p.D.Delivery))
	}
	return p.T("Only a dead letter can be settled; this is %s.", p.State(p.D.Delivery))
}

// lacksRecord reports whether what would be sent is a dead letter without its record.
func (p DeliveryPage) lacksRecord() bool {
	return p.D.Message.Origin.LacksRecord() && p.D.Message.Payload == nil && p.D.Edit <= 1
}

// faster is who was faster, in words.
func (p DeliveryPage) faster() string {
	if p.Conflict.Actor == delivery.ActorEngine {
		return p.T("The engine")
	}
	return p.Conflict.Actor
}

// triedAgain says who had asked for what the engine did, and what came of it.
func (p DeliveryPage) triedAgain() string {
	asked := p.Conflict.Asked
	who, when, tried := p.actor(asked.Actor), p.Clock(asked.At), p.Clock(p.Conflict.At)
	switch p.Conflict.State {
	case delivery.StateDead:
		return p.T("%s %s this at %s; it failed again at %s.", who, p.DoneAction(asked.Action), when, tried)
	case delivery.StateDelivered:
		return p.T("%s %s this at %s; it was delivered at %s.", who, p.DoneAction(asked.Action), when, tried)
	}
	return p.T("%s %s this at %s; it has been tried since, at %s.", who, p.DoneAction(asked.Action), when, tried)
}

// strips are the two halves of 24 hours as paths: an element for each hour would be most of the overview's bytes.
type strips struct{ delivered, failed string }

// Measures of the strip: delivered grows up from the axis, failed grows down.
const (
	barStep   = 6
	barMiddle = 2.5 // a bar is a stroke 5 wide, see the style
	upHeight  = 18.0
	lowHeight = 10.0
)

// bars draws hours to a scale that other strips have as well.
func bars(hours []delivery.HourCount, scale delivery.HourCount) (s strips) {
	for i, h := range hours {
		x := ftoa(float64(i*barStep) + barMiddle)
		if up := part(h.Delivered, scale.Delivered, upHeight); up > 0 {
			s.delivered += "M" + x + " 18v-" + ftoa(up)
		}
		if low := part(h.Failed, scale.Failed, lowHeight); low > 0 {
			s.failed += "M" + x + " 20v" + ftoa(low)
		}
	}
	return s
}

// part is a bar's height. It grows by the square root, so that little traffic beside much can still be seen; something never looks like
// nothing.
func part(n, of int, height float64) float64 {
	if n == 0 {
		return 0
	}
	return max(1.5, math.Sqrt(float64(n)/float64(max(n, of)))*height)
}

func itoa(n int) string { return strconv.Itoa(n) }

func ftoa(f float64) string { return strconv.FormatFloat(f, 'f', 1, 64) }
