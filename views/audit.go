package views

import (
	"cmp"
	"encoding/hex"
	"encoding/json"
	"net/url"
	"slices"
	"strings"
	"time"

	"redrive/delivery"
)

// AuditPage lists the audit trail: what people decided, with each operation as one row.
type AuditPage struct {
	Layout
	Asked     url.Values // the filter as its address carries it
	From, To  string     // as typed
	Actors    []delivery.AuditActor
	Names     []string // of integrations
	Items     []delivery.AuditEntry
	Open      string // the operation whose row is open
	Of        []delivery.AuditEntry
	OfNext    string // address of the next items of that operation
	Head      delivery.AuditEntry
	CSV, JSON string // addresses of what is filtered as files; empty for whoever may not take it away
	Next      string
	Problem   string
	Field     string // with the problem
}

// deed is an action of the audit in words: name as it stands in the filter, and told as a sentence of who did it and, mostly, to what.
type deed struct{ name, told string }

// deeds are all actions that the audit knows; a test finds those that are missing.
var deeds = map[string]deed{
	"delivery.retry":            {"requested a retry", "%s requested a retry of %s"},
	"delivery.ignore":           {"ignored", "%s ignored %s"},
	"delivery.resolve":          {"resolved", "%s resolved %s by other means"},
	"delivery.reopen":           {"reopened", "%s reopened %s"},
	"delivery.withdraw":         {"withdrew a retry", "%s withdrew the retry of %s"},
	"delivery.edit":             {"edited and retried", "%s edited %s and requested a retry"},
	"delivery.redirect":         {"redirected to another integration", "%s redirected %s to another integration"},
	"delivery.acknowledge":      {"acknowledged", "%s acknowledged %s"},
	"delivery.unacknowledge":    {"took an acknowledgement back", "%s took back that somebody looks after %s"},
	"ignore-rule.make":          {"made an ignore rule", "%s made ignore rule %s"},
	"ignore-rule.end":           {"ended an ignore rule", "%s ended ignore rule %s"},
	"operation.start":           {"started an operation", "%s started operation %s"},
	"operation.pause":           {"paused an operation", "%s paused operation %s"},
	"operation.resume":          {"resumed an operation", "%s resumed operation %s"},
	"operation.cancel":          {"cancelled an operation", "%s cancelled operation %s"},
	"operation.pace":            {"changed the pace of an operation", "%s changed the pace of operation %s"},
	"operation.stop":            {"stopped by its failure ratio", "%s stopped operation %s by its failure ratio"},
	"case.change":               {"changed who looks after it", "%s changed who looks after %s"},
	"case.note":                 {"wrote a note", "%s wrote a note about %s"},
	"view.save":                 {"saved a view", "%s saved view %s"},
	"view.delete":               {"deleted a view", "%s deleted view %s"},
	"integration.pause":         {"paused an integration", "%s paused integration %s"},
	"integration.resume":        {"resumed an integration", "%s resumed integration %s"},
	"integration.resnapshot":    {"asked for a new snapshot", "%s asked for a new snapshot of %s"},
	"integration.gap":           {"found messages missing in a source", "%s found that messages are missing in the source of %s"},
	"integration.source-change": {"saw a source change", "%s saw the source of %s change"},
	"outbox.adopt":              {"adopted another database", "%s adopted another database for %s"},
	"batch.run":                 {"asked for a run", "%s asked for a run of %s"},
	"batch.file-read":           {"downloaded a file", "%s downloaded file %s"},
	"message.payload-read":      {"read the exact bytes", "%s read the exact bytes of %s"},
	"delivery.reveal":           {"looked at a masked field", "%s looked at a masked field of %s"},
	"secret.set":                {"set a secret", "%s set a secret of %s"},
	"secret.remove":             {"removed a secret", "%s removed a secret of %s"},
	"secret.rotate":             {"changed the key of secrets", "%s changed the key of the secrets of %s"},
	"token.create":              {"made an API token", "%s made API token %s"},
	"token.rotate":              {"changed the secret of an API token", "%s changed the secret of API token %s"},
	"token.revoke":              {"revoked an API token", "%s revoked API token %s"},
	"token.environment":         {"took the API token of the environment", "%s took the API token of the environment, %s"},
	"token.refused":             {"API token refused", "%s was refused with API token %s"},
	"operator.create":           {"added a person", "%s added %s"},
	"operator.rename":           {"renamed a person", "%s renamed %s"},
	"operator.role":             {"changed a role", "%s changed the role of %s"},
	"operator.grant":            {"granted rights", "%s granted rights to %s"},
	"operator.withdraw":         {"withdrew rights", "%s withdrew rights from %s"},
	"operator.password":         {"changed a password", "%s changed the password of %s"},
	"operator.disable":          {"disabled a person", "%s disabled %s"},
	"operator.enable":           {"enabled a person", "%s enabled %s"},
	"operator.sign-out":         {"signed a person out", "%s signed %s out everywhere"},
	"operator.add-code":         {"added codes of an app", "%s added codes of an app for %s"},
	"operator.remove-code":      {"removed codes of an app", "%s removed the codes of %s"},
	"operator.add-passkey":      {"added a passkey", "%s added a passkey for %s"},
	"operator.remove-passkey":   {"removed a passkey", "%s removed a passkey of %s"},
	"session.sign-in":           {"signed in", "%s signed in"},
	"session.sign-out":          {"signed out", "%s signed out"},
	"session.end":               {"ended a session", "%s ended a session of %s"},
	"session.end-by-provider":   {"session ended by the provider", "%s ended a session of %s, as the provider asked"},
	"session.end-refused":       {"refused to end sessions", "%s was refused to end sessions by %s"},
	"session.recovery-code":     {"used a recovery code", "%s used a recovery code"},
	"session.sign-in-failed":    {"sign-in refused", "%s was refused at the sign-in of %s"},
	"session.password-failed":   {"wrong present password", "%s typed a wrong present password for %s"},
	"audit.key":                 {"made a key of the audit", "%s made a key that signs the audit of %s"},
	"access.refused":            {"refused for want of a right", "%s was refused %s for want of a right"},
	"approval.ask":              {"asked for approval", "%s asked for approval of %s"},
	"approval.approve":          {"approved", "%s approved %s"},
	"approval.reject":           {"rejected a request", "%s rejected %s"},
	"approval.withdraw":         {"withdrew a request", "%s withdrew %s"},
	"approval.void":             {"voided a request", "%s voided %s"},
	"approval.expire":           {"let a request expire", "%s let %s expire"},
	"audit.export":              {"took the audit away as a file", "%s took away %s as a file"},
	"failures.export":           {"took failures away as a file", "%s took away %s as a file"},
}

// Deed says in words what an entry of the audit trail is about: "started an operation".
func (l Locale) Deed(action string) string {
	if d, ok := deeds[action]; ok {
		return l.T(d.name)
	}
	return action
}

// subjectKinds are the kinds of what entries are about, in the order of the filter.
var subjectKinds = []string{"delivery", "operation", "integration", "message", "operator", "token", "provider", "view", "data-key", "export", "audit", "route",
	"approval"}

var subjectNames = map[string]string{"delivery": "failure", "operation": "operation", "integration": "integration", "message": "message", "operator": "person",
	"token": "API token", "provider": "sign-in provider", "view": "saved view", "data-key": "key of secrets", "export": "file of a list", "audit": "log of the audit", "route": "part of the program",
	"approval": "request for approval"}

func (l Locale) subjectKind(kind string) string {
	if name, ok := subjectNames[kind]; ok {
		return l.T(name)
	}
	return kind
}

// deedChoices are the actions of the filter, by the words on screen.
func (p AuditPage) deedChoices() []string {
	actions := []string{}
	for action := range deeds {
		actions = append(actions, action)
	}
	slices.SortFunc(actions, func(a, b string) int { return strings.Compare(p.Deed(a), p.Deed(b)) })
	return including(actions, p.Asked.Get("action"))
}

// chosen reports whether anything is filtered.
func (p AuditPage) chosen() bool { return len(without(p.Asked, placesOfAudit...)) > 0 }

// actorChoices are who can be chosen: people and tokens, and those who are nobody's id.
func (p AuditPage) actorChoices() []delivery.AuditActor {
	list := slices.Clone(p.Actors)
	for _, word := range []string{delivery.ActorPolicy, delivery.ActorEngine, delivery.ActorProgram, delivery.ActorAnonymous} {
		list = append(list, delivery.AuditActor{ID: word, Name: p.actor(word)})
	}
	asked := p.Asked.Get("actor")
	if asked != "" && !slices.ContainsFunc(list, func(a delivery.AuditActor) bool { return a.ID == asked }) {
		list = append(list, delivery.AuditActor{ID: asked, Name: asked})
	}
	return list
}

// actor is who did something; those who are nobody have words.
func (l Locale) actor(name string) string {
	switch name {
	case delivery.ActorPolicy:
		return l.T("The policy")
	case delivery.ActorEngine:
		return l.T("The engine")
	case delivery.ActorProgram:
		return l.T("Redrive")
	case delivery.ActorAnonymous:
		return l.T("Somebody unknown")
	}
	return name
}

// auditDetails are what a sentence needs of an entry's details.
type auditDetails struct {
	Action       string
	Selected     int
	Integrations map[string]int
	Category     string
	Evidence     string
	Until        *time.Time
	Count        int
	Grows        float64
	ForGood      bool
	From, To     string
	Integration  string
	Name         string
	Format       string
}

func detailsOf(e delivery.AuditEntry) (d auditDetails) {
	var loose map[string]json.RawMessage
	_ = json.Unmarshal(e.Details, &loose) // others have members of the same names and other kinds
	for name, to := range map[string]any{"action": &d.Action, "selected": &d.Selected, "integrations": &d.Integrations, "category": &d.Category,
		"evidence": &d.Evidence, "until": &d.Until, "count": &d.Count, "grows": &d.Grows, "for_good": &d.ForGood,
		"from": &d.From, "to": &d.To, "integration": &d.Integration, "name": &d.Name, "format": &d.Format} {
		_ = json.Unmarshal(loose[name], to)
	}
	return d
}

// auditTold is an entry as a sentence around the link to what it is about.
type auditTold struct {
	before, link, href, after string
	says                      bool // it names what it is about
}

// linkMark stands in a sentence for the link; no text has it.
const linkMark = "\x00"

// tellEntry says an entry as a sentence: who did what to what, and until when.
func (l Locale) tellEntry(e delivery.AuditEntry) auditTold {
	d, link := detailsOf(e), linkMark+l.beside(e)
	text := ""
	switch known, ok := deeds[e.Action]; {
	case e.Action == "operation.start":
		text = l.tellOperation(e, d)
	case e.Action == "delivery.redirect" && d.To != "":
		text = l.T("%s redirected %s from %s to %s", l.actor(e.Actor), link, d.From, d.To)
	case !ok:
		text = l.T("%s: %s, %s", l.actor(e.Actor), e.Action, link)
	case strings.Count(known.told, "%") == 1:
		text = l.T(known.told, l.actor(e.Actor))
	default:
		text = l.T(known.told, l.actor(e.Actor), link)
	}
	if d.Until != nil {
		text = l.T("%s until %s", text, l.Day(*d.Until))
	}
	if end := (delivery.End{Count: d.Count, Grows: d.Grows, ForGood: d.ForGood}); strings.HasSuffix(e.Action, "ignore") && !end.IsZero() {
		text = l.T("%s %s", text, l.Say(end.Phrase()))
	}
	told := auditTold{link: l.subject(e), href: subjectURL(e)}
	told.before, told.after, told.says = strings.Cut(text, linkMark)
	return told
}

// tellOperation says what an operation was asked to do to how many.
func (l Locale) tellOperation(e delivery.AuditEntry, d auditDetails) string {
	failures := l.N(d.Selected, "%s failure", "%s failures")
	if known, ok := deeds["delivery."+d.Action]; ok {
		return l.T("%s, by operation %s", l.T(known.told, l.actor(e.Actor), failures), linkMark)
	}
	return l.T("%s started operation %s on %s", l.actor(e.Actor), linkMark, failures)
}

// subject names what an entry is about: a failure by its business key.
func (l Locale) subject(e delivery.AuditEntry) string {
	switch {
	case e.About.Key != "":
		return Excerpt(e.About.Key, 60)
	case e.SubjectType == "view" && detailsOf(e).Name != "":
		return detailsOf(e).Name
	}
	return shortSubject(e)
}

// beside is what stands behind a subject's name: type and integration of a failure.
func (l Locale) beside(e delivery.AuditEntry) string {
	integration, kind := "", Excerpt(e.About.Type, 60)
	if e.SubjectType == "delivery" {
		integration = IntegrationOf(e)
	}
	switch {
	case kind != "" && integration != "":
		return " (" + kind + " → " + integration + ")"
	case kind+integration != "":
		return " (" + kind + integration + ")"
	}
	return ""
}

// IntegrationOf is the integration that an entry is about; empty where it is about none, or several.
func IntegrationOf(e delivery.AuditEntry) string {
	if e.SubjectType == "integration" {
		return e.Subject
	}
	return cmp.Or(e.About.Integration, detailsOf(e).Integration)
}

// because is what somebody gave as the reason, the category and the evidence.
func (l Locale) because(e delivery.AuditEntry) string {
	d, parts := detailsOf(e), []string{}
	for _, part := range []string{l.Reason(e.Reason, e.Why()), d.Evidence} {
		if part != "" {
			parts = append(parts, part)
		}
	}
	if d.Category != "" {
		parts = append(parts, l.Category(d.Category))
	}
	return l.clauses(parts...)
}

// isOperation reports whether an entry stands for an operation, whose items can be opened.
func isOperation(e delivery.AuditEntry) bool { return e.Action == "operation.start" }

// opens is the address of the page with an operation's row open, or closed again.
func (p AuditPage) opens(e delivery.AuditEntry) string {
	asked := without(p.Asked, "open", "items")
	if p.Open != e.Subject {
		asked.Set("open", e.Subject)
	}
	return withQuery(Audit, asked) + "#" + entryID(e)
}

func entryID(e delivery.AuditEntry) string { return "e" + itoa(int(e.Seq)) }

// did is how far an operation has come, and where.
func (l Locale) did(e delivery.AuditEntry) string {
	integrations, parts := detailsOf(e).Integrations, []string{}
	for name, n := range integrations {
		parts = append(parts, l.T("%s of %s", l.Number(n), name))
	}
	slices.Sort(parts)
	if len(parts) > 4 {
		parts = append(parts[:4], "…")
	}
	return l.dots(l.N(e.About.Done, "acted on %s", "acted on %s"), l.List(parts))
}

// Hash is the hash of an entry as people and programs read it.
func Hash(e delivery.AuditEntry) string { return hex.EncodeToString(e.Hash) }

// subjectURL is the page of what an entry is about; empty where it has none.
func subjectURL(e delivery.AuditEntry) string {
	switch e.SubjectType {
	case "delivery":
		return Failure(e.Subject)
	case "operation":
		return Operation(e.Subject)
	case "message":
		return Message(e.Subject)
	case "integration":
		return Integration(e.Subject)
	case "approval":
		return Approval(e.Subject)
	case "ignore-rule":
		return IgnoreRule(e.Subject)
	}
	return ""
}

func shortSubject(e delivery.AuditEntry) string {
	switch e.SubjectType {
	case "delivery", "operation", "message", "view", "approval":
		return Short(e.Subject)
	}
	return e.Subject
}

func details(e delivery.AuditEntry) string {
	var members map[string]json.RawMessage
	if !e.Why().IsZero() && json.Unmarshal(e.Details, &members) == nil { // why is said as the reason
		delete(members, "why")
		e.Details, _ = json.Marshal(members)
	}
	if text := string(e.Details); text != "{}" && text != "null" {
		return Excerpt(text, 300)
	}
	return ""
}

// Sentence is an entry as one line of text, for files.
func (l Locale) Sentence(e delivery.AuditEntry) string {
	told := l.tellEntry(e)
	text := told.before
	if told.says {
		text += told.link + told.after
	}
	if why := l.because(e); why != "" {
		return l.T("%s: %s", text, why)
	}
	return text
}
