package views

import (
	"bytes"
	"compress/gzip"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"net/url"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/a-h/templ"
	"github.com/google/uuid"
	"golang.org/x/net/html"

	"redrive/delivery"
	"redrive/views/words"
)

// hostile is in every text that comes from outside.
const hostile = `<script>alert("x")</script><img src=x onerror=alert(1)>' " & ` + "\u202e"

// language is the one in which stories are told.
var language = "en"

var now = time.Date(2026, 3, 5, 12, 0, 0, 0, time.UTC)

func ago(d time.Duration) *time.Time { t := now.Add(-d); return &t }

func layout(role delivery.Role) Layout {
	return Layout{Locale: Locale{Lang: language, Zone: time.FixedZone("KST", 9*3600), Now: now}, Title: "Title " + hostile, Section: Failures, Here: Failures,
		User: hostile, Role: role, Rights: delivery.RightsOf(role, nil), ZoneName: "Asia/Seoul", Theme: "dark", Release: "test", Demo: true,
		Flash: &Flash{Kind: "warn", Text: hostile, Lines: []FlashLine{{Text: hostile, Href: "/failures"}}}}
}

func deliveryIn(state delivery.State) delivery.Delivery {
	d := delivery.Delivery{ID: "0197f000-0000-7000-8000-00000000abcd", MessageID: "0197f000-0000-7000-8000-00000000ef01", Integration: "seller-push",
		State: state, Version: 3, Attempts: 3, ErrorClass: delivery.ClassHTTP5xx, Error: "the receiver answered 503 " + hostile, GroupID: "abc", CreatedAt: *ago(time.Hour),
		FailedAt: ago(50 * time.Minute), Type: "order.placed" + hostile, Key: "order-1" + hostile}
	switch state {
	case delivery.StateDead:
		d.DeadAt = ago(40 * time.Minute)
	case delivery.StatePending:
		d.RetryRequestedAt = ago(time.Minute)
		soon := now.Add(5 * time.Minute)
		d.NextAttemptAt = &soon
	case delivery.StateDelivered, delivery.StateIgnored, delivery.StateResolved:
		d.SettledAt = ago(time.Minute)
	}
	if state == delivery.StateIgnored || state == delivery.StateResolved {
		until := now.Add(48 * time.Hour)
		d.Settlement = delivery.Settlement{Actor: "alice" + hostile, Reason: hostile, Category: "duplicate", End: delivery.End{Until: &until}, Evidence: "https://example.test/" + hostile}
	}
	return d
}

func entry() delivery.AuditEntry {
	return delivery.AuditEntry{Seq: 7, At: *ago(time.Minute), Actor: hostile, Action: "delivery.retry", SubjectType: "delivery", Subject: deliveryIn("").ID,
		Reason: hostile, Details: json.RawMessage(`{"a":"<b>"}`), Hash: []byte("12345678901234567890123456789012")}
}

func operationEntry() delivery.AuditEntry {
	e := entry()
	e.Seq = 8
	e.Action, e.SubjectType, e.Subject = "operation.start", "operation", "0190a0a0-0000-7000-8000-00000000cccc"
	e.Details = json.RawMessage(`{"action": "ignore", "selected": 3, "integrations": {"push": 2, "sms": 1}, "category": "test-data", "until": "2026-12-07T10:00:00Z"}`)
	return e
}

func detail(state delivery.State) delivery.Detail {
	return delivery.Detail{Delivery: deliveryIn(state), Method: delivery.MethodOutbox, GroupCount: 12,
		Message: delivery.Message{ID: deliveryIn("").MessageID, Kind: delivery.KindEvent, ExpiresAt: ago(-time.Hour)},
		Timeline: []delivery.Attempt{
			{Number: 1, StartedAt: *ago(50 * time.Minute), Duration: 120 * time.Millisecond, Outcome: delivery.OutcomeTransient, ErrorClass: "http_5xx", Error: hostile, HTTPStatus: 503},
			{Number: 2, StartedAt: *ago(49 * time.Minute), Duration: 5 * time.Second, Outcome: delivery.OutcomeUnknown, ErrorClass: "timeout", Error: "no answer"},
			{Number: 2, StartedAt: *ago(48 * time.Minute), Duration: 65 * time.Second, Outcome: delivery.OutcomeLate, Late: delivery.OutcomeOK},
		},
		History: []delivery.AuditEntry{entry()}, KeySiblings: []delivery.Delivery{deliveryIn(delivery.StateDelivered), deliveryIn(delivery.StateDead)}}
}

func health() []delivery.IntegrationHealth {
	hours := make([]delivery.HourCount, 24)
	for i := range hours {
		hours[i] = delivery.HourCount{Start: now.Add(time.Duration(i-23) * time.Hour), Delivered: i * 10, Failed: i % 3}
	}
	var out []delivery.IntegrationHealth
	for _, m := range []delivery.Method{delivery.MethodPool, delivery.MethodBroker, delivery.MethodOutbox, delivery.MethodBatch, delivery.MethodCDC} {
		h := delivery.IntegrationHealth{IntegrationFigures: delivery.IntegrationFigures{Description: hostile, Method: m, Destination: "http",
			Address: "http://127.0.0.1/x", Pending: 3, Sending: 1, Dead: 2, OldestPending: ago(2 * time.Minute), NewGroups: 1},
			Delivered24h: 12345, Failed24h: 23, Hours: hours}
		h.Name = "in-" + string(m)
		out = append(out, h)
	}
	out[1].PausedAt, out[1].PausedBy, out[1].PauseReason = ago(time.Hour), hostile, hostile
	out[2].Breaker, out[2].BreakerUntil = delivery.BreakerOpen, ago(-time.Minute)
	out[3].Breaker = delivery.BreakerHalfOpen
	return out
}

// manyQuiet are integrations of which there is nothing to say, and one that is down.
func manyQuiet(n int) []delivery.IntegrationHealth {
	list := make([]delivery.IntegrationHealth, n)
	for i := range list {
		h := health()[0]
		h.Dead, h.OldestPending, h.Name, h.Labels = 0, nil, fmt.Sprintf("part%d-of-%d", i%40, i), map[string]string{"team": fmt.Sprint("t", i%30)}
		list[i] = h
	}
	list[n/2].Alarm = true
	return list
}

// stories are all pages in the states that matter.
func stories() map[string]templ.Component {
	operator, viewer := layout(delivery.RoleOperator), layout(delivery.RoleViewer)
	conflict := &delivery.ConflictError{State: delivery.StateIgnored, Version: 4, Actor: hostile, Action: "ignore", At: *ago(3 * time.Second)}
	payload := Payload{Kind: "json", Text: `{"a": "` + hostile + `"}`, Size: 1234, SHA256: strings.Repeat("ab", 32), Raw: true, Truncated: true}
	stay := layout(delivery.RoleAdmin)
	stay.Fragment = true
	all := map[string]templ.Component{
		"sign-in": SignInView(SignInPage{Layout: Layout{Locale: viewer.Locale, Title: "Sign in"}, Name: hostile, Next: "/failures?q=" + hostile, Problem: "No."}),
		"sign-in-provider": SignInView(SignInPage{Layout: Layout{Locale: viewer.Locale, Title: "Sign in"}, Next: "/failures?q=" + hostile, Provider: hostile,
			SignOutThere: "https://login.test/end?id_token_hint=" + hostile}),
		"sign-in-kept":    SignInView(SignInPage{Layout: Layout{Locale: viewer.Locale, Title: "Sign in"}, Kept: hostile, Provider: hostile, Passkeys: true}),
		"sign-in-again":   SignInView(SignInPage{Layout: Layout{Locale: viewer.Locale, Title: "Sign in"}, Again: true, Name: hostile, Kept: hostile}),
		"sign-in-away":    SignInView(SignInPage{Layout: Layout{Locale: viewer.Locale, Title: "Sign in"}, Provider: hostile, Away: true}),
		"provider":        ProviderView(ProviderPage{Layout: Layout{Locale: viewer.Locale, Title: "Sign in"}, Provider: hostile, To: "https://login.test/?state=" + hostile}),
		"account-local":   AccountView(AccountPage{Layout: viewer, Local: true}),
		"account-codes":   AccountView(AccountPage{Layout: viewer, Local: true, HasCodes: true, Recovery: 1, Passkeys: []delivery.Passkey{{ID: "1", Name: hostile, UsedAt: ago(0)}, {ID: "2"}}}),
		"code":            CodeView(CodePage{Layout: Layout{Locale: viewer.Locale, Title: "Code"}, Ticket: "t", Next: "/failures?q=" + hostile, Kept: hostile, Problem: hostile}),
		"new-codes":       NewCodesView(NewCodesPage{Layout: viewer, Secret: hostile, Problem: hostile, Square: Square{Size: 21, Path: "M0 0h1v1h-1z"}}),
		"recovery-codes":  NewCodesView(NewCodesPage{Layout: viewer, Recovery: []string{"a", "b"}}),
		"overview":        OverviewView(OverviewPage{Layout: viewer, Integrations: health(), Facts: poolFacts}),
		"overview-first":  OverviewView(OverviewPage{Layout: viewer}),
		"failures":        FailuresView(failuresPage(operator, 50)),
		"failures-folded": FailuresView(FailuresPage{Layout: operator, Look: delivery.Look{Until: *ago(time.Hour)}, Items: twins(), Total: Count{N: 3}}),
		"failures-none": FailuresView(FailuresPage{Layout: operator, Search: hostile, Filter: delivery.Filter{Query: hostile},
			Meant: []StateTab{{Name: layout("").Say(delivery.Say("meant.any_state")), Href: "/failures?state=any", Count: Count{N: 3}}}}),
		"failures-viewer":   FailuresView(failuresPage(viewer, 3)),
		"failures-empty":    FailuresView(FailuresPage{Layout: operator}),
		"failures-key":      FailuresView(FailuresPage{Layout: operator, Filter: delivery.Filter{Key: hostile, States: delivery.States}}),
		"failures-wrong":    FailuresView(FailuresPage{Layout: operator, Search: hostile, Problem: hostile}),
		"failures-unsaved":  FailuresView(FailuresPage{Layout: operator, Views: savedOnes(), Save: SaveForm{Name: hostile, Search: hostile, Field: "search", Problem: hostile}}),
		"group":             GroupView(groupPage(operator, delivery.GroupRegressed)),
		"group-new":         GroupView(groupPage(viewer, delivery.GroupNew)),
		"group-settled":     GroupView(GroupPage{Layout: operator, Group: delivery.Group{ID: "g", Status: delivery.GroupSettled}}),
		"groups-combined":   GroupsView(GroupsPage{Layout: viewer, Filter: delivery.GroupFilter{By: delivery.GroupKeys}, Items: []delivery.Group{aGroup(delivery.GroupKnown)}}),
		"groups-by-method":  GroupsView(GroupsPage{Layout: viewer, Filter: delivery.GroupFilter{By: []delivery.GroupKey{delivery.ByMethod}}, Items: []delivery.Group{aGroup(delivery.GroupKnown)}}),
		"groups-wrong":      GroupsView(GroupsPage{Layout: viewer, Problem: hostile, Filter: delivery.GroupFilter{Filter: delivery.Filter{Query: hostile}}}),
		"groups-none":       GroupsView(GroupsPage{Layout: viewer}),
		"message":           MessageView(MessagePage{Layout: viewer, Message: delivery.Message{Type: hostile, Key: hostile}, Deliveries: []delivery.Delivery{deliveryIn("dead")}, Payload: payload}),
		"groups":            GroupsView(GroupsPage{Layout: viewer, Items: []delivery.Group{aGroup(delivery.GroupNew), aGroup(delivery.GroupSettled)}, Next: "/groups?after=x"}),
		"ignored":           IgnoredView(IgnoredPage{Layout: viewer, Items: []delivery.Delivery{deliveryIn(delivery.StateIgnored)}}),
		"audit":             AuditView(AuditPage{Layout: viewer, Items: []delivery.AuditEntry{entry(), operationEntry()}, Actors: []delivery.AuditActor{{ID: "1", Name: hostile}}, CSV: AuditCSV, JSON: AuditJSON, Head: entry(), Asked: url.Values{"actor": {hostile}, "action": {hostile}, "open": {operationEntry().Subject}}, Open: operationEntry().Subject, Of: []delivery.AuditEntry{entry()}, OfNext: "/audit?items=1"}),
		"integrations":      IntegrationsView(IntegrationsPage{Layout: operator, Integrations: health()}),
		"integrations-many": IntegrationsView(IntegrationsPage{Layout: operator, Integrations: manyQuiet(500)}),
		"overview-many":     OverviewView(OverviewPage{Layout: operator, Integrations: manyQuiet(500)}),
		"overview-found":    OverviewView(OverviewPage{Layout: operator, Integrations: manyQuiet(500), Asked: BoardRequest{Find: hostile}}),
		"overview-moved":    OverviewView(OverviewPage{Layout: operator, Integrations: health(), Asked: BoardRequest{Shown: []string{"in-cdc", hostile}}}),
		"integration":       IntegrationView(IntegrationPage{Layout: layout(delivery.RoleAdmin), H: health()[0], Wrong: "in-pool", Reason: hostile, Until: hostile, Problem: "Say why.", Config: aPool, Facts: poolFacts["in-pool"], Changes: []delivery.AuditEntry{entry()}}),
		"integration-until": IntegrationView(IntegrationPage{Layout: operator, H: health()[0], Wrong: "in-pool", Reason: hostile, Until: hostile, Field: "until", Problem: "Write the time.", Config: aPool}),
		"integration-cdc":   IntegrationView(IntegrationPage{Layout: operator, H: health()[4], Config: delivery.Integration{Name: "in-cdc", Method: delivery.MethodCDC, Mask: []string{"$.a"}, OnFailure: delivery.StateIgnored, CDC: &delivery.CDCSource{URL: "postgres://app@db.test/shop"}}}),
		"integration-told":  IntegrationView(IntegrationPage{Layout: viewer, H: toldHealth(), Facts: toldFacts()}),
		"overview-told":     OverviewView(OverviewPage{Layout: viewer, Integrations: []delivery.IntegrationHealth{toldHealth()}, Facts: map[string][]delivery.Fact{"in-cdc": toldFacts()}}),
		"underway":          TrafficView(TrafficPage{Layout: viewer, Items: failuresPage(viewer, 3).Items, Next: "/x", Held: delivery.IntegrationState{PausedAt: ago(time.Hour), PausedBy: hostile}}),
		"delivered":         TrafficView(TrafficPage{Layout: viewer, Delivered: true, Items: []delivery.Delivery{deliveryIn(delivery.StateDelivered)}}),
		"nothing-underway":  TrafficView(TrafficPage{Layout: viewer}),
		"operators": OperatorsView(OperatorsPage{Layout: stay, Items: []delivery.Operator{{ID: "1", Name: hostile, Role: "admin"}, {ID: "2", Name: "bob", Role: "viewer", DisabledAt: ago(0),
			Grants: delivery.Grants{{ID: "g", Role: delivery.RoleOnCall, Integrations: []string{"push"}, Labels: map[string]string{"team": hostile}}, {ID: "h", Permissions: delivery.Permissions[:2]}}}}, Problem: hostile}),
		"tokens": TokensView(TokensPage{Layout: layout(delivery.RoleAdmin), At: Tokens, Items: []delivery.Token{{ID: "1", Name: hostile}, {ID: "2", RevokedAt: ago(0)}}, Secret: "rdr_x"}),
		"tokens-own": TokensView(TokensPage{Layout: viewer, Own: true, At: AccountTokens, Items: []delivery.Token{{ID: "1", Name: hostile, Grants: delivery.Grants{{Role: delivery.RoleViewer, Integrations: []string{"push"}}},
			Secrets: delivery.TokenSecrets{{UsedAt: ago(0), UsedFrom: hostile, ExpiresAt: ago(-1)}, {Expired: true, ExpiresAt: ago(1)}}}}, Secret: "rdr_x", Overlap: time.Hour, Problem: hostile}),
		"account":      AccountView(AccountPage{Layout: viewer, Problem: hostile}),
		"help":         HelpView(HelpPage{viewer}),
		"error":        ErrorView(ErrorPage{Layout: viewer, Status: 404, Text: hostile, RequestID: hostile}),
		"secrets":      SecretsView(SecretsPage{Layout: layout(delivery.RoleAdmin), Integration: "push", Items: []delivery.StoredSecret{{Name: hostile, SetBy: hostile}}, Name: hostile, Problem: hostile}),
		"secrets-none": SecretsView(SecretsPage{Layout: layout(delivery.RoleAdmin), Integration: "push"}),
		"runs": RunsView(RunsPage{Layout: operator, Integration: delivery.Integration{Name: "points"}, Facts: []delivery.Fact{{Name: "running", Value: 1, Says: delivery.Verbatim("12 rows so far")}},
			Items: batchRuns(), Next: "/x", Date: hostile, Reason: hostile, Problem: hostile}),
		"runs-first":        RunsView(RunsPage{Layout: viewer, Integration: delivery.Integration{Name: "points"}}),
		"failure-of-a-file": DeliveryView(DeliveryPage{Layout: operator, D: detail(delivery.StateDead), Known: true, File: batchRuns()[0].File, Return: "/failures"}),
		"failure-conflict":  DeliveryView(DeliveryPage{Layout: operator, D: detail(delivery.StateIgnored), Conflict: conflict, Shown: Exchange{Payload: payload}, Return: "/failures"}),
		"failure-refused":   DeliveryView(DeliveryPage{Layout: operator, D: detail(delivery.StateDead), Known: true, Shown: Exchange{Payload: Payload{Kind: "binary", Replaced: true, Masked: true}}, Form: ActionForm{Action: delivery.ActionResolve, Reason: hostile, Problem: "Say how."}, Return: "/failures"}),
		"failure-of-rabbitmq": DeliveryView(DeliveryPage{Layout: operator, D: detail(delivery.StateDead), Known: true, Losses: losses(), Return: "/failures",
			Shown: Exchange{Payload: Payload{Kind: "null"}, Properties: []Header{{Name: "priority", Type: "uint8", Value: "5"}}, Headers: []Header{{hostile, hostile, "table"}, {Name: "none", Type: "null"}}}}),
		"message-of-rabbitmq": MessageView(MessagePage{Layout: viewer, Payload: Payload{Kind: "null"}, Properties: []Header{{hostile, hostile, hostile}}}),
		"failure-as-viewer":   DeliveryView(DeliveryPage{Layout: viewer, D: detail(delivery.StateDead), Shown: Exchange{Payload: Payload{Hidden: true}, Headers: []Header{{hostile, hostile, hostile}}}, Return: "/failures"}),
	}
	for name, story := range operationStories(operator, viewer) {
		all[name] = story
	}
	for _, s := range delivery.States {
		all["failure-"+string(s)] = DeliveryView(DeliveryPage{Layout: operator, D: detail(s), Known: true, Shown: Exchange{Payload: payload}, Return: "/failures"})
	}
	return all
}

// batchRuns are runs in every state and of every kind.
func batchRuns() (list []delivery.BatchRun) {
	file := &delivery.StoredFile{BatchFile: delivery.BatchFile{ID: "f", Name: hostile, Integration: "points", BusinessDate: "2026-03-04", Sequence: 7, Rows: 1234,
		Bytes: 99, SHA256: strings.Repeat("ab", 32), Control: "12.50", CorrectionOf: 6}, DeliveryID: "d", State: delivery.StateDelivered, Acknowledgement: "partly"}
	list = append(list, delivery.BatchRun{ID: "0", ScheduledAt: now, State: delivery.RunStored, Trigger: delivery.TriggerCorrection, File: file})
	for _, s := range []delivery.RunState{delivery.RunQueued, delivery.RunRunning, delivery.RunEmpty, delivery.RunFailed, delivery.RunSkipped} {
		list = append(list, delivery.BatchRun{ID: string(s), ScheduledAt: now, State: s, Trigger: delivery.TriggerManual, RequestedBy: hostile, Reason: hostile, Error: delivery.Verbatim(hostile)})
	}
	single := *file
	single.DeliveryID, single.State, single.Acknowledgement = "", "", "accepted"
	return append(list, delivery.BatchRun{ID: "1", ScheduledAt: now, State: delivery.RunStored, Trigger: delivery.TriggerSchedule, File: &single})
}

func savedOnes() []delivery.SavedView {
	return []delivery.SavedView{{ID: "a", Owner: hostile, Name: hostile, Search: hostile}, {ID: "b", Owner: "bob", Name: "late", Search: "class:timeout", Shared: true}}
}

func aGroup(status delivery.GroupStatus) delivery.Group {
	return delivery.Group{ID: "g/1", Integration: "x", Method: delivery.MethodPool, Destination: "http", ErrorClass: "timeout", Message: hostile, Count: 4211, Dead: 4211,
		Acknowledged: 5, Groups: 3, FirstSeen: *ago(time.Hour), LastSeen: now, Hours: []int{0, 1, 200, 3}, Status: status,
		Trend:     delivery.Trend{Hour: delivery.TrendCount{Count: 3}, Day: delivery.TrendCount{Count: 48, Before: 13}, Week: delivery.TrendCount{Count: 100, Before: 5120}},
		Assignees: []delivery.Assignee{{Name: "maria.lindqvist", ID: "7", Count: 22}, {Name: hostile, Count: 2}},
		Retried: &delivery.GroupRetry{OperationID: "0197f000-0000-7000-8000-000000000001", At: *ago(time.Hour), Actor: "maria.lindqvist",
			State: delivery.OperationPaused, Selected: 185, Succeeded: 120, Failed: 65, Counted: true}}
}

func groupPage(l Layout, status delivery.GroupStatus) GroupPage {
	d := deliveryIn(delivery.StateDead)
	return GroupPage{Layout: l, Group: aGroup(status), Newest: []delivery.Delivery{d}, First: &d, States: failuresPage(l, 0).Tabs}
}

func failuresPage(l Layout, rows int) FailuresPage {
	f := delivery.Filter{States: delivery.States, Query: "x"}
	p := FailuresPage{Layout: l, Filter: f, Search: f.SearchText(), Next: "/failures?after=abc", Total: Count{N: CountLimit, Capped: true}, Views: savedOnes()}
	for _, states := range TabStates {
		p.Tabs = append(p.Tabs, StateTab{Name: l.StatesName(states), Href: "/failures?state=dead&q=x", Count: Count{N: 1234}, Current: len(states) > 1})
	}
	for _, title := range []string{"Integration", "Error"} {
		p.Narrow = append(p.Narrow, Refinement{Title: title, Items: slices.Repeat([]StateTab{{Name: hostile, Href: "/failures?integration=seller-push&state=any&q=x", Count: Count{N: 7}}}, 8)})
	}
	p.Chips = []Chip{{Text: hostile + hostile, Without: "/failures"}, {Text: p.ChipText(delivery.Filter{From: ago(time.Hour)}), Without: "/failures"}}
	p.Look = delivery.Look{Until: *ago(time.Hour), Complete: now}
	for i := range rows {
		d := deliveryIn(delivery.States[i%len(delivery.States)])
		d.ID = fmt.Sprintf("0197f000-0000-7000-8000-%012d", i)
		d.Case = delivery.Case{AcknowledgedAt: ago(time.Minute), Assignee: hostile, Tags: []string{hostile}}
		p.Items = append(p.Items, d)
	}
	return p
}

// twins are failures that look the same.
func twins() (list []delivery.Delivery) {
	for n := range 3 {
		d := deliveryIn(delivery.StateDead)
		d.ID, d.ChangedAt = fmt.Sprintf("0197f000-0000-7000-8000-%012d", n), ago(time.Duration(n)*time.Minute)
		list = append(list, d)
	}
	return list
}

func rendered(t *testing.T, c templ.Component) string {
	t.Helper()
	var out bytes.Buffer
	if err := c.Render(t.Context(), &out); err != nil {
		t.Fatal(err)
	}
	return out.String()
}

func TestEveryPageIsSoundHTML(t *testing.T) {
	for name, story := range stories() {
		t.Run(name, func(t *testing.T) {
			page := rendered(t, story)
			tree, err := html.Parse(strings.NewReader(page))
			if err != nil {
				t.Fatal(err)
			}
			checkPage(t, tree)
			if bad := regexp.MustCompile(`%!\w?\(`).FindString(page); bad != "" {
				t.Errorf("a text lacks its values: %s", bad)
			}
		})
	}
}

// checkPage walks the tree: nothing inline, every field labelled, every reference answered, one heading, one main.
func checkPage(t *testing.T, tree *html.Node) {
	t.Helper()
	ids, wanted, count := map[string]bool{}, map[string]string{}, map[string]int{}
	for n := range tree.Descendants() {
		if n.Type != html.ElementNode {
			continue
		}
		count[n.Data]++
		attributes := map[string]string{}
		for _, a := range n.Attr {
			attributes[a.Key] = a.Val
			checkAttribute(t, n.Data, a)
		}
		if id := attributes["id"]; id != "" {
			if ids[id] {
				t.Errorf("id %s stands twice", id)
			}
			ids[id] = true
		}
		for _, reference := range []string{"for", "aria-describedby", "aria-labelledby", "list"} {
			if id := attributes[reference]; id != "" {
				wanted[id] = n.Data + " " + reference
			}
		}
		checkElement(t, n, attributes)
	}
	for id, by := range wanted {
		if !ids[id] {
			t.Errorf("%s names %q, which is not on the page", by, id)
		}
	}
	if count["h1"] != 1 || count["main"] != 1 {
		t.Errorf("%d h1, %d main", count["h1"], count["main"])
	}
}

func checkAttribute(t *testing.T, element string, a html.Attribute) {
	t.Helper()
	switch {
	case a.Key == "style", strings.HasPrefix(a.Key, "on"), strings.HasPrefix(a.Key, "hx-on"):
		t.Errorf("<%s %s=%q>: inline style or script", element, a.Key, a.Val)
	case (a.Key == "href" || a.Key == "action" || a.Key == "src") && !strings.HasPrefix(a.Val, "/") && !strings.HasPrefix(a.Val, "#") &&
		!strings.HasPrefix(a.Val, "https://login.test/"): // the provider of single sign-on
		t.Errorf("<%s %s=%q> leaves the site", element, a.Key, a.Val)
	}
}

func checkElement(t *testing.T, n *html.Node, attributes map[string]string) {
	t.Helper()
	switch n.Data {
	case "script":
		if attributes["src"] == "" || n.FirstChild != nil {
			t.Error("inline script")
		}
	case "style", "img":
		if n.Data == "style" || attributes["src"] == "x" {
			t.Errorf("<%s> from data or inline", n.Data)
		}
	case "input", "select", "textarea":
		if attributes["type"] != "hidden" && attributes["id"] == "" && !within(n, "label") {
			t.Errorf("<%s name=%q> has no label", n.Data, attributes["name"])
		}
	case "button", "a":
		if strings.TrimSpace(text(n)) == "" && attributes["class"] != "" {
			t.Errorf("<%s class=%q> has no text", n.Data, attributes["class"])
		}
	}
}

func within(n *html.Node, element string) bool {
	for p := n.Parent; p != nil; p = p.Parent {
		if p.Data == element {
			return true
		}
	}
	return false
}

func text(n *html.Node) string {
	var out strings.Builder
	for d := range n.Descendants() {
		if d.Type == html.TextNode {
			out.WriteString(d.Data)
		}
	}
	return out.String()
}

func TestAFullPageIsSmall(t *testing.T) {
	p := failuresPage(layout(delivery.RoleOperator), 50)
	for i := range p.Items {
		p.Items[i].Error, p.Items[i].Type, p.Items[i].Key = strings.Repeat("long error ", 30), "shop.order.placed", "order-2026-03-0000123"
		p.Items[i].ID = uuid.NewString()
		p.Items[i].Case = delivery.Case{}
		if i%2 == 0 {
			p.Items[i].Case = delivery.Case{AcknowledgedAt: ago(time.Hour), Assignee: "maria.lindqvist", AssigneeID: "7", Tags: []string{"refund", "black-friday"}}
		}
	}
	p.Title, p.User, p.UserID, p.Flash = "Failures", "maria.lindqvist", "7", nil
	for i := range p.Narrow {
		for n := range p.Narrow[i].Items {
			p.Narrow[i].Items[n].Name = "warehouse-webhook"
		}
	}
	checkSize(t, "failures", FailuresView(p))
	for name, message := range map[string]string{"groups": strings.Repeat("long error ", 30), "groups in Korean": strings.Repeat("주문의 재고가 부족합니다 ", 20)} {
		checkSize(t, name, GroupsView(GroupsPage{Layout: layout(delivery.RoleViewer), Items: manyCauses(message)}))
		korean := GroupsPage{Layout: layout(delivery.RoleViewer), Items: manyCauses(message)}
		korean.Lang = "ko"
		checkSize(t, name+", to a Korean", GroupsView(korean))
	}
}

// manyCauses are the groups of a page, none like another; of three groups two were retried and have acknowledged failures.
func manyCauses(message string) (list []delivery.Group) {
	for i := range GroupsOnPage {
		g := aGroup(delivery.GroupRegressed)
		id := uuid.New()
		g.ID, g.Message, g.Hours = hex.EncodeToString(id[:]), fmt.Sprintf("%d %x %s", i, id[:4], message), make([]int, 24)
		g.Integration = fmt.Sprintf("warehouse-webhook-%d", i)
		retried := *g.Retried
		retried.OperationID, g.Retried = uuid.NewString(), &retried
		if i%3 == 0 {
			g.Retried, g.Acknowledged = nil, 0
		}
		for n := range g.Hours {
			g.Hours[n] = rand.IntN(10_000)
		}
		list = append(list, g)
	}
	return list
}

// checkSize bounds a page as it is and as it goes over the wire.
func checkSize(t *testing.T, name string, page templ.Component) {
	t.Helper()
	text, packed := rendered(t, page), bytes.Buffer{}
	w := gzip.NewWriter(&packed)
	if _, err := w.Write([]byte(text)); err != nil || w.Close() != nil {
		t.Fatal(err)
	}
	t.Logf("%s: %d bytes, %d compressed", name, len(text), packed.Len())
	if len(text) > 60_000 || packed.Len() > 15_000 {
		t.Errorf("%s: %d bytes, %d compressed", name, len(text), packed.Len())
	}
}

func TestAFragmentIsOnlyTheMainPart(t *testing.T) {
	l := layout(delivery.RoleViewer)
	l.Fragment = true
	page := rendered(t, HelpView(HelpPage{l}))
	if strings.Contains(page, "<html") || strings.Contains(page, "<nav") || !strings.Contains(page, `<main id="main"`) {
		t.Error(page[:200])
	}
}

func TestAViewerSeesNoForms(t *testing.T) {
	page := rendered(t, DeliveryView(DeliveryPage{Layout: layout(delivery.RoleViewer), D: detail(delivery.StateDead), Known: true}))
	if strings.Contains(page, "/retry") || !strings.Contains(page, "This needs the permission") {
		t.Error("a viewer is offered actions, or is not told why not")
	}
	list := rendered(t, FailuresView(failuresPage(layout(delivery.RoleViewer), 2)))
	if strings.Contains(list, `name="id"`) || !strings.Contains(list, "This needs the permission") {
		t.Error("a viewer can select rows, or is not told why not")
	}
}

func TestStateIsAWordAndAShape(t *testing.T) {
	l := layout(delivery.RoleViewer).Locale
	for state, word := range map[delivery.State]string{delivery.StatePending: "retry requested", delivery.StateDead: "dead", delivery.StateDelivered: "delivered",
		delivery.StateIgnored: "ignored until Saturday", delivery.StateResolved: "resolved", delivery.StateSending: "sending"} {
		page := rendered(t, stateView(l, deliveryIn(state)))
		if !strings.Contains(page, word) || !strings.Contains(page, "<svg") {
			t.Errorf("%s is shown as %s", state, page)
		}
	}
}

func TestTheSentenceSaysWhatHappened(t *testing.T) {
	l := layout(delivery.RoleViewer)
	for state, want := range map[delivery.State]string{
		delivery.StateDead:      "Delivery to seller-push failed twice in 2 min: refused. It is not tried again by itself.",
		delivery.StatePending:   "Delivery to seller-push failed twice in 2 min: refused. The next automatic try is in 5 min.",
		delivery.StateDelivered: "Delivered to seller-push after it had failed twice.",
		delivery.StateResolved:  "alice settled this by other means: duplicate, paid by hand.",
	} {
		p := DeliveryPage{Layout: l, D: detail(state)}
		p.D.Error, p.D.Settlement.Actor, p.D.Settlement.Reason = "refused.", "alice", "paid by hand."
		if got := p.sentence(); got != want {
			t.Errorf("%s: %q, want %q", state, got, want)
		}
	}
	lost := DeliveryPage{Layout: l, D: detail(delivery.StateDead)}
	lost.D.ErrorClass = delivery.ClassTimeout
	if !strings.Contains(lost.sentence(), "may have had its effect") {
		t.Error(lost.sentence())
	}
}

// What the receiver said is the first sentence of the page and the text of the row; a status explains nothing.
func TestTheReceiversWordsComeFirst(t *testing.T) {
	p := DeliveryPage{Layout: layout(delivery.RoleViewer), D: detail(delivery.StateDead)}
	p.D.ErrorClass, p.D.Error = delivery.ClassHTTP4xx, "the receiver answered 422: customer 4711 has no billing address."
	if got := p.sentence(); got != "Delivery to seller-push failed twice in 2 min: customer 4711 has no billing address (the receiver answered 422). It is not tried again by itself." {
		t.Error(got)
	}
	for _, c := range []struct{ class, text, headline, beneath string }{
		{delivery.ClassHTTP4xx, "the receiver answered 422: <script> 4711", "<script> 4711", p.Class(delivery.ClassHTTP4xx) + " · the receiver answered 422"},
		{delivery.ClassHTTP4xx, "the receiver answered 422", p.Class(delivery.ClassHTTP4xx), "the receiver answered 422"},
		{delivery.ClassForeign, "java.lang.Error: x", "java.lang.Error: x", p.Class(delivery.ClassForeign)},
	} {
		if headline, beneath := p.headline(c.class, c.text), p.beneath(c.class, c.text); headline != c.headline || beneath != c.beneath {
			t.Errorf("%s: %q, %q", c.text, headline, beneath)
		}
	}
}

func TestTimesAndNumbersForPeople(t *testing.T) {
	l := layout(delivery.RoleViewer).Locale
	for want, got := range map[string]string{
		"just now": l.Relative(now), "3 min ago": l.Relative(*ago(3 * time.Minute)), "in 5 min": l.Relative(*ago(-5 * time.Minute)), "3 days ago": l.Relative(*ago(72 * time.Hour)),
		"2026-03-05 21:00:00 KST · 2026-03-05 12:00:00 UTC": l.Exact(now), "1,234,567": l.Number(1234567), "-1,000": l.Number(-1000), "999": l.Number(999),
		"1 byte": l.Bytes(1), "2.0 KiB (2,048 bytes)": l.Bytes(2048), "120 ms": l.Span(120 * time.Millisecond), "1.5 s": l.Span(1500 * time.Millisecond),
	} {
		if want != got {
			t.Errorf("%q, want %q", got, want)
		}
	}
}

func TestATranslationReplacesTheText(t *testing.T) {
	words.Translations["xx"] = words.Texts(map[string]string{"%d s": "%d Sekunden"})
	defer delete(words.Translations, "xx")
	if got := (Locale{Lang: "xx"}).Span(30 * time.Second); got != "30 Sekunden" {
		t.Error(got)
	}
}

func TestOnlyLocalPathsAreFollowed(t *testing.T) {
	for _, path := range []string{"/failures?state=dead&q=a%2Fb", "/", "/failures/x#y"} {
		if got := LocalPath(path); got != path {
			t.Errorf("%q became %q", path, got)
		}
	}
	for _, path := range []string{"", "failures", "//evil.test", "/\\evil.test", "\\/evil.test", "https://evil.test/", "/\t/evil.test", "javascript:alert(1)", "/%zz", "http:/x",
		"/\n", "///evil.test", "/" + strings.Repeat("a", 3000)} {
		if got := LocalPath(path); got != Overview {
			t.Errorf("%q is followed to %q", path, got)
		}
	}
}

func TestAddressesEscapeTheirParts(t *testing.T) {
	if got := Failure("a/../b?c"); got != "/failures/a%2F..%2Fb%3Fc" {
		t.Error(got)
	}
	if got := FailureList(delivery.Filter{Key: "a&b=c", States: []delivery.State{"dead"}}); got != "/failures?key=a%26b%3Dc&state=dead" {
		t.Error(got)
	}
	if got := GroupList(delivery.GroupFilter{Filter: delivery.Filter{Sort: "oldest", Integrations: []string{"a b"}}, By: delivery.GroupKeys[:2], Sort: delivery.GroupsLatest}); got != "/groups?by=integration&by=method&integration=a+b&sort=latest" {
		t.Error(got)
	}
	if got := Group("a/../b"); got != "/groups/a%2F..%2Fb" {
		t.Error(got)
	}
}

func TestAnActionThatIsNotPossibleSaysWhy(t *testing.T) {
	for want, change := range map[string]func(*DeliveryPage){
		"expired 2 min ago":      func(p *DeliveryPage) { p.D.Message.ExpiresAt = ago(2 * time.Minute) },
		"left the configuration": func(p *DeliveryPage) { p.Known = false },
		"this is delivered":      func(p *DeliveryPage) { p.D.Delivery = deliveryIn(delivery.StateDelivered) },
	} {
		p := DeliveryPage{Layout: layout(delivery.RoleOperator), D: detail(delivery.StateDead), Known: true, Return: "/failures"}
		change(&p)
		page := rendered(t, DeliveryView(p))
		if !strings.Contains(page, want) || !strings.Contains(page, "<button disabled") || strings.Contains(page, `class="primary" data-action`) {
			t.Errorf("the page does not say why: %s", want)
		}
	}
}

func TestAConflictNamesTheEngine(t *testing.T) {
	p := DeliveryPage{Layout: layout(delivery.RoleOperator), D: detail(delivery.StateDelivered), Conflict: &delivery.ConflictError{Actor: "engine", Action: "attempt", At: *ago(time.Minute)}}
	if page := rendered(t, DeliveryView(p)); !strings.Contains(page, "The engine tried this") {
		t.Error("the page does not say that the engine was faster")
	}
}

// A number that no row stands behind cannot be checked by anybody.
func TestEveryNumberOfTheOverviewLeadsToItsRows(t *testing.T) {
	h := health()[:1]
	h[0].Name, h[0].Pending, h[0].Sending, h[0].Dead, h[0].NewGroups, h[0].Ignored, h[0].Delivered24h, h[0].Failed24h = "push", 40, 1, 57, 53, 54, 55, 56
	h[0].Acknowledged = 5
	overview := rendered(t, OverviewView(OverviewPage{Layout: layout(delivery.RoleViewer), Integrations: h}))
	list := rendered(t, IntegrationsView(IntegrationsPage{Layout: layout(delivery.RoleViewer), Integrations: h}))
	for number, page := range map[string]string{"41<": overview, "52<": overview, "53<": overview, "55 delivered<": overview, "(what failed)<": overview, // attempts are more than failures
		"52 dead letters wait for a person<": overview, "5 acknowledged<": overview, "40<": list, "1<": list, "54<": list} {
		if !regexp.MustCompile(`<a href="/[^"]*"[^>]*>` + regexp.QuoteMeta(number)).MatchString(page) {
			t.Errorf("%q is no link", number)
		}
	}
	if !strings.Contains(overview, `href="/integrations/push/underway"`) || !strings.Contains(overview, `href="/integrations/push/delivered"`) {
		t.Error("backlog or deliveries lead elsewhere")
	}
}

func TestATimeShowsItsExactMomentOnFocus(t *testing.T) {
	page := rendered(t, moment(layout(delivery.RoleViewer).Locale, *ago(3 * time.Minute)))
	for _, want := range []string{`tabindex="0"`, "3 min ago", "2026-03-05 20:57:00 KST · 2026-03-05 11:57:00 UTC"} {
		if !strings.Contains(page, want) {
			t.Errorf("%s does not show %q", page, want)
		}
	}
}

func TestASelectionIsOfferedWhatItsRowsAllow(t *testing.T) {
	for state, want := range map[delivery.State][]string{delivery.StateDead: {"retry", "ignore", "resolve", "acknowledge"}, delivery.StateIgnored: {"reopen"},
		delivery.StateResolved: {"reopen"}, delivery.StateDelivered: {}, delivery.StatePending: {}} {
		page := rendered(t, FailuresView(FailuresPage{Layout: layout(delivery.RoleOperator), Filter: delivery.Filter{States: []delivery.State{state}}, Items: []delivery.Delivery{deliveryIn(state)}}))
		offered := []string{}
		for _, found := range regexp.MustCompile(`name="action" value="(\w+)"`).FindAllStringSubmatch(page, -1) {
			offered = append(offered, found[1])
		}
		if !slices.Equal(offered, want) || strings.Contains(page, `name="id"`) != (len(want) > 0) {
			t.Errorf("%s: %q is offered, want %q", state, offered, want)
		}
	}
}

// The button that stands out never makes a second effect.
func TestARetryThatMayActTwiceDoesNotStandOut(t *testing.T) {
	for idempotent, class := range map[bool]string{true: "primary", false: ""} {
		p := DeliveryPage{Layout: layout(delivery.RoleOperator), D: detail(delivery.StateDead), Known: true, Idempotent: idempotent, Repeatable: idempotent, Return: "/failures"}
		p.D.ErrorClass = delivery.ClassTimeout
		if page := rendered(t, DeliveryView(p)); !strings.Contains(page, `<button class="`+class+`" data-action="retry">`) || strings.Contains(page, "a second one") == idempotent {
			t.Errorf("idempotent %v: the button is not %q, or its consequence is not said", idempotent, class)
		}
	}
}

func TestWhatExpiredSaysSo(t *testing.T) {
	p := DeliveryPage{Layout: layout(delivery.RoleViewer), D: detail(delivery.StateDead)}
	p.D.ErrorClass, p.D.Message.ExpiresAt = delivery.ClassExpired, ago(2*time.Minute)
	if got := p.sentence(); got != "Not delivered to seller-push before it expired 2 min ago. It is not tried again by itself." {
		t.Error(got)
	}
}

// losses are one of each kind.
func losses() (list []delivery.Loss) {
	for _, what := range []delivery.LossKind{delivery.LossProperty, delivery.LossHeader, delivery.LossType, delivery.LossNull, delivery.LossUser, delivery.LossRouting} {
		for n := range 14 {
			list = append(list, delivery.Loss{What: what, Name: hostile[:n]})
		}
	}
	return list
}
