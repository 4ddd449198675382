// Package views turns typed page structs into HTML. A view never queries: handlers hand it everything that it shows.
package views

import (
	"cmp"
	"math"
	"strconv"
	"strings"
	"time"

	"redrive/delivery"
	"redrive/views/words"
)

// Locale is how one person reads: language, time zone, and the moment that "ago" counts from.
type Locale struct {
	Lang string // "en"
	Zone *time.Location
	Now  time.Time
}

// T returns a text of a page in the reader's language, with fmt verbs filled in. Every text of a page passes through T or N.
func (l Locale) T(text string, args ...any) string {
	text = words.Translate(l.Lang, text)
	if len(args) == 0 {
		return text
	}
	return words.Format(text, args...)
}

// Say returns a phrase of the catalogue in the reader's language.
func (l Locale) Say(p delivery.Phrase) string { return words.Say(l.Lang, p) }

// List puts items one behind the other.
func (l Locale) List(items []string) string { return words.List(l.Lang, "list", items) }

// clauses puts parts of a sentence one behind the other, dots what stands in a line and is no sentence.
func (l Locale) clauses(parts ...string) string { return words.List(l.Lang, "phrases", parts) }

func (l Locale) dots(parts ...string) string { return words.List(l.Lang, "dots", parts) }

// Reason is what a person gave as a reason, else what the program says of its own act.
func (l Locale) Reason(text string, why delivery.Phrase) string { return cmp.Or(text, l.Say(why)) }

// N is T for a count; the texts contain one %s for the number. A language that counts one as it counts many has the second text only.
func (l Locale) N(n int, one, many string) string {
	if n == 1 && !words.OneForm(l.Lang) {
		return l.T(one, l.Number(n))
	}
	return l.T(many, l.Number(n))
}

// Number writes n with separators.
func (l Locale) Number(n int) string {
	digits := strconv.Itoa(n)
	sign := ""
	if n < 0 {
		sign, digits = "-", digits[1:]
	}
	for i := len(digits) - 3; i > 0; i -= 3 {
		digits = digits[:i] + "," + digits[i:]
	}
	return sign + digits
}

// Size writes a size for people.
func (l Locale) Size(n int) string {
	switch {
	case n < 1<<10:
		return l.N(n, "%s byte", "%s bytes")
	case n < 1<<20:
		return l.T("%.1f KiB", float64(n)/(1<<10))
	default:
		return l.T("%.1f MiB", float64(n)/(1<<20))
	}
}

// Bytes is Size with the exact number where it was rounded.
func (l Locale) Bytes(n int) string {
	if n < 1<<10 {
		return l.Size(n)
	}
	return l.T("%s (%s bytes)", l.Size(n), l.Number(n))
}

// Span writes a length of time with one unit: "3 min".
func (l Locale) Span(d time.Duration) string {
	d = d.Abs()
	switch {
	case d < time.Second:
		return l.T("%d ms", d.Milliseconds())
	case d < 10*time.Second && d%time.Second != 0:
		return l.T("%.1f s", d.Seconds())
	case d < time.Minute:
		return l.T("%d s", int(d.Seconds()))
	case d < time.Hour:
		return l.T("%d min", int(math.Round(d.Minutes())))
	case d < 48*time.Hour:
		return l.T("%d h", int(math.Round(d.Hours())))
	default:
		return l.T("%d days", int(math.Round(d.Hours()/24)))
	}
}

// Relative writes a moment as seen from now: "3 min ago", "in 5 min".
func (l Locale) Relative(at time.Time) string {
	d := l.Now.Sub(at)
	switch {
	case d > -time.Second && d < 5*time.Second:
		return l.T("just now")
	case d < 0:
		return l.T("in %s", l.Span(d.Truncate(time.Second)))
	default:
		return l.T("%s ago", l.Span(d.Truncate(time.Second)))
	}
}

// Exact writes a moment in the reader's zone and in UTC.
func (l Locale) Exact(at time.Time) string {
	utc := l.written(at.UTC(), "2006-01-02 15:04:05 UTC")
	if l.Zone == nil || l.Zone == time.UTC {
		return utc
	}
	return l.dots(l.written(at.In(l.Zone), "2006-01-02 15:04:05 MST"), utc)
}

// Clock writes a moment in the reader's zone only.
func (l Locale) Clock(at time.Time) string { return l.written(at.In(l.zone()), "2006-01-02 15:04:05") }

// written is a time in one of the layouts of package time; a language has its own for each, with the weekday as Mon where it wants one.
func (l Locale) written(at time.Time, layout string) string {
	layout = words.Translate(l.Lang, layout)
	if strings.Contains(layout, "Mon") {
		layout = strings.Replace(layout, "Mon", l.T(at.Format("Mon")), 1)
	}
	return at.Format(layout)
}

// Day writes the day of a moment near now by name, else by date.
func (l Locale) Day(at time.Time) string {
	at, now := at.In(l.zone()), l.Now.In(l.zone())
	switch {
	case at.After(now) && at.Sub(now) < 6*24*time.Hour && at.YearDay() == now.YearDay():
		return at.Format("15:04")
	case at.After(now) && at.Sub(now) < 6*24*time.Hour:
		return l.T(weekdays[at.Weekday()])
	default:
		return l.written(at, "2006-01-02")
	}
}

var weekdays = [...]string{"Sunday", "Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday"}

func (l Locale) zone() *time.Location {
	if l.Zone == nil {
		return time.UTC
	}
	return l.Zone
}

// State is the word for where a delivery stands.
func (l Locale) State(d delivery.Delivery) string {
	switch {
	case d.State == delivery.StatePending && d.RetryRequestedAt != nil:
		return l.T("retry requested")
	case d.State == delivery.StatePending && d.FailedAt != nil:
		return l.T("waiting to retry")
	case d.State == delivery.StateIgnored && d.Settlement.Until != nil:
		return l.T("ignored until %s", l.Day(*d.Settlement.Until))
	}
	return l.StateName(d.State)
}

// StateName is the word for a state as such, e.g. in a filter.
func (l Locale) StateName(s delivery.State) string {
	switch s {
	case delivery.StatePending:
		return l.T("waiting")
	case delivery.StateSending:
		return l.T("sending")
	case delivery.StateDelivered:
		return l.T("delivered")
	case delivery.StateDead:
		return l.T("dead")
	case delivery.StateIgnored:
		return l.T("ignored")
	case delivery.StateResolved:
		return l.T("resolved")
	}
	return string(s)
}

// Outcome is the word for how an attempt ended.
func (l Locale) Outcome(a delivery.Attempt) string {
	switch a.Outcome {
	case delivery.OutcomeOK:
		return l.T("confirmed")
	case delivery.OutcomeTransient:
		return l.T("failed, may pass later")
	case delivery.OutcomePermanent:
		return l.T("failed for good")
	case delivery.OutcomeUnknown:
		return l.T("outcome unknown")
	case delivery.OutcomeLate:
		return l.T("late, changed nothing")
	}
	return string(a.Outcome)
}

// Class is the phrase for an error class.
func (l Locale) Class(class string) string {
	if phrase, ok := classes[class]; ok {
		return l.T(phrase)
	}
	return strings.ReplaceAll(class, "_", " ")
}

var classes = map[string]string{
	delivery.ClassDNS: "name not found", delivery.ClassConnect: "no connection", delivery.ClassTLS: "TLS failure",
	delivery.ClassBlockedAddress: "address not allowed", delivery.ClassTimeout: "no answer in time",
	delivery.ClassConnectionLost: "connection lost", delivery.ClassHTTP4xx: "refused (HTTP 4xx)",
	delivery.ClassHTTP5xx: "receiver error (HTTP 5xx)", delivery.ClassRateLimited: "rate limited",
	delivery.ClassGone: "gone (HTTP 410)", delivery.ClassRedirect: "redirect not followed",
	delivery.ClassProtocol: "not HTTP", delivery.ClassBadRequest: "cannot be sent", delivery.ClassExpired: "expired",
	delivery.ClassLeaseLost: "worker vanished", delivery.ClassPoison: "stops its worker",
	delivery.ClassNoIntegration: "integration removed", delivery.ClassPanic: "sender crashed",
	delivery.ClassNoSubscribers: "nobody listens", delivery.ClassUnroutable: "no queue or topic takes it",
	delivery.ClassRefused: "refused by the broker", delivery.ClassTooLarge: "too large for the broker",
	delivery.ClassBrokerBlocked: "broker holds back", delivery.ClassForeign: "died elsewhere",
}

// kindName is the word for what a message is.
func (l Locale) kindName(k delivery.Kind) string {
	switch k {
	case delivery.KindEvent:
		return l.T("event")
	case delivery.KindCommand:
		return l.T("command")
	}
	return string(k)
}

// RoleName is the word for a role.
func (l Locale) RoleName(r delivery.Role) string {
	switch r {
	case delivery.RoleViewer:
		return l.T("viewer")
	case delivery.RoleOperator:
		return l.T("operator")
	case delivery.RoleOnCall:
		return l.T("on-call")
	case delivery.RoleReviewer:
		return l.T("reviewer")
	case delivery.RoleAuditor:
		return l.T("auditor")
	case delivery.RoleAdmin:
		return l.T("admin")
	}
	return string(r)
}

// Role says in words what a role may do.
func (l Locale) Role(r delivery.Role) string {
	switch r {
	case delivery.RoleViewer:
		return l.T("viewer: looks")
	case delivery.RoleOnCall:
		return l.T("on-call: looks, retries, ignores, resolves, pauses")
	case delivery.RoleOperator:
		return l.T("operator: the same, and edits, redirects, takes files away, hands over messages")
	case delivery.RoleReviewer:
		return l.T("reviewer: looks, and judges what others ignored")
	case delivery.RoleAuditor:
		return l.T("auditor: looks and takes the audit trail away, without payloads")
	case delivery.RoleAdmin:
		return l.T("admin: everything, and manages people and tokens")
	case "":
		return l.T("none for all integrations, only what is granted for some")
	}
	return string(r)
}

// Category is the phrase for a reason to ignore.
func (l Locale) Category(c string) string {
	if phrase, ok := categories[c]; ok {
		return l.T(phrase)
	}
	return strings.ReplaceAll(c, "-", " ")
}

// categories are the words for delivery.IgnoreCategories; whoever ignores by the API may have others.
var categories = map[string]string{"duplicate": "duplicate", "test-data": "test data", "obsolete": "obsolete", "receiver-bug": "receiver bug",
	"producer-bug": "producer bug", "accepted-loss": "accepted loss", "other": "other"}

// DoneAction is the past tense of an action, for "alice … it".
func (l Locale) DoneAction(action string) string {
	switch strings.TrimPrefix(action, "delivery.") {
	case string(delivery.ActionRetry):
		return l.T("requested a retry of")
	case string(delivery.ActionIgnore):
		return l.T("ignored")
	case string(delivery.ActionResolve):
		return l.T("resolved")
	case string(delivery.ActionReopen):
		return l.T("reopened")
	case string(delivery.ActionWithdraw):
		return l.T("withdrew the retry of")
	case "edit":
		return l.T("edited and retried")
	case "redirect":
		return l.T("redirected")
	case "attempt":
		return l.T("tried")
	}
	return action
}

// Times is a count in words: "once", "twice", "3 times".
func (l Locale) Times(n int) string {
	switch n {
	case 1:
		return l.T("once")
	case 2:
		return l.T("twice")
	}
	return l.T("%s times", l.Number(n))
}

// Short is the part of an id that people compare.
func Short(id string) string {
	if len(id) < 12 {
		return id
	}
	return id[len(id)-delivery.ShortID:]
}

// Excerpt cuts text to at most n runes.
func Excerpt(text string, n int) string {
	text = Visible(text)
	count := 0
	for i := range text {
		if count == n {
			return text[:i] + "…"
		}
		count++
	}
	return text
}
