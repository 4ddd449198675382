package views

import (
	"strings"
	"testing"
	"time"

	"github.com/a-h/templ"

	"redrive/delivery"
)

// operationStories are the pages of operations, edits and redirects in the states that matter.
func operationStories(operator, viewer Layout) map[string]templ.Component {
	ask := OperationNewPage{Layout: operator, Return: "/failures", Filter: &delivery.Filter{Query: hostile, Integrations: []string{"seller-push"}},
		Dry: delivery.DryRun{Eligible: 4180, Unsure: 7, Integrations: map[string]int{"seller-push": 3900, "sms": 280},
			Excluded: map[string]int{delivery.ExcludedPaused: 20, delivery.ExcludedExpired: 11}}}
	ask.Form = OperationForm{ActionForm: ActionForm{Action: delivery.ActionRetry, Reason: hostile, Field: "rate", Problem: hostile}, Token: "t",
		Pace: PaceForm{Canary: hostile, Rate: hostile, RampTo: hostile, RampOver: hostile, StopAbove: hostile}}
	ignore := ask
	ignore.Filter, ignore.Form.Action, ignore.Form.Field = nil, delivery.ActionIgnore, "token"
	ignore.Chosen = []Selected{{Value: hostile, ID: "x", State: "dead", Integration: hostile, Fits: true}, {Value: "y", ID: "y", State: "ignored"}}
	ignore.Dry = delivery.DryRun{Excluded: map[string]int{delivery.ExcludedSettled: 2}}
	edit := EditPage{DeliveryPage: edited(operator), Number: 3, Kept: true, Protected: []ProtectedHeader{{hostile, hostile, hostile}}, Typed: EditForm{Payload: hostile,
		Headers: []Header{{hostile, hostile, hostile}}, Reason: hostile, Token: "t", Version: 3, Null: true, Field: "payload", Problem: hostile}}
	review := edit
	review.Review = &EditReview{Payload: []DiffLine{{Kind: "gap"}, {Kind: "old", Text: hostile}, {Kind: "new", Text: hostile, Marks: [][]int{{0, 8}}}, {Kind: "same", Text: hostile}}}
	all := map[string]templ.Component{
		"operation-ask":        OperationNewView(ask.Titled()),
		"operation-ask-ignore": OperationNewView(ignore.Titled()),
		"operations":           OperationsView(OperationsPage{Layout: viewer, Items: []delivery.Operation{operation(delivery.OperationRunning), operation(delivery.OperationFinished)}, Actor: hostile, Next: "/x"}),
		"operations-first":     OperationsView(OperationsPage{Layout: viewer}),
		"operations-none":      OperationsView(OperationsPage{Layout: viewer, State: hostile}),
		"operation-conflict":   OperationView(OperationPage{Layout: operator, O: operation(delivery.OperationPaused), Steer: SteerForm{Step: "pace", Conflict: true, Problem: hostile, Pace: PaceForm{Rate: hostile}}}.Titled()),
		"operation-viewer":     OperationView(OperationPage{Layout: viewer, O: operation(delivery.OperationRunning)}.Titled()),
		"edit":                 EditView(edit),
		"edit-review":          EditView(review),
		"redirect":             RedirectView(RedirectPage{DeliveryPage: edited(operator), Lost: []TargetLosses{{"sms", losses()}}, Targets: []string{"sms"}, Integration: "sms", Reason: hostile, Field: "reason", Problem: hostile}),
		"redirect-nowhere":     RedirectView(RedirectPage{DeliveryPage: edited(operator)}),
		"failure-edited":       DeliveryView(edited(operator)),
		"go-on":                GoOnView(GoOnPage{Layout: operator, To: "/failures/x/edit", Fields: map[string][]string{hostile: {hostile, "2"}}}),
		"sign-in-again":        SignInView(SignInPage{Layout: Layout{Locale: viewer.Locale, Title: "Sign in"}, Next: "/failures/x/edit", Kept: hostile}),
	}
	for _, state := range []delivery.OperationState{delivery.OperationRunning, delivery.OperationPaused, delivery.OperationCancelled, delivery.OperationFinished} {
		page := OperationPage{Layout: operator, O: operation(state), Items: items(), Next: "/x", Steer: SteerForm{Step: "cancel", Field: "reason", Problem: hostile, Reason: hostile}}
		all["operation-"+string(state)] = OperationView(page.Titled())
	}
	return all
}

func operation(state delivery.OperationState) delivery.Operation {
	o := delivery.Operation{OperationTerms: delivery.OperationTerms{ID: "0197f000-0000-7000-8000-00000000aaaa", Action: delivery.ActionRetry, State: state, Version: 4,
		Actor: hostile, Reason: hostile, Category: hostile, Evidence: hostile, End: delivery.End{Until: ago(-time.Hour)}}, Filter: &delivery.Filter{Query: hostile},
		Pace:     delivery.Pace{Canary: 10, Rate: 5, RampTo: 50, RampOver: 10 * time.Minute, StopAbove: .2},
		Excluded: map[string]int{delivery.ExcludedBreaker: 3, hostile: 1},
		Parts: []delivery.OperationPart{{Integration: hostile, Phase: "canary", Wave: delivery.Wave{Number: 1, Size: 10, Good: 7, Bad: 1}, Selected: 100, Waiting: 90, Released: 3, Failing: 1, Succeeded: 7, Held: delivery.Say(delivery.HeldPaused, "by", hostile)},
			{Integration: "sms", Phase: "ramp", Wave: delivery.Wave{Number: 2, Size: 20, Good: 5, Bad: 5}, Selected: 50, Waiting: 30, Succeeded: 15, Failed: 5, Rate: 12}, {Integration: "push", Phase: "done", Selected: 50, Released: 50}}}
	o.Steps = []delivery.AuditEntry{{Actor: hostile, Action: "operation.start", Reason: hostile}, {Actor: "policy", Action: "operation.pause"},
		{Actor: "bob", Action: "operation.resume", Details: []byte(`{"canary": 20, "from": {"canary": 10}}`)}, {Actor: "bob", Action: "operation.resume", Details: []byte(`{"canary": 0}`)}}
	o.Note, o.CreatedAt = delivery.Verbatim(hostile), *ago(time.Minute)
	o.Selected, o.Succeeded, o.Failed, o.Skipped, o.Cancelled, o.Remaining, o.Released, o.Failing = 200, 22, 5, 1, 2, 170, 53, 1
	if state == delivery.OperationFinished {
		o.Succeeded, o.Remaining, o.Released, o.Failing = 192, 0, 0, 0
	}
	return o
}

func items() (list []delivery.OperationItem) {
	for n, outcome := range itemOutcomes {
		list = append(list, delivery.OperationItem{N: n + 1, DeliveryID: deliveryIn("").ID, Outcome: outcome, Reason: hostile})
	}
	return list
}

// edited is the page of a dead letter that was edited, with a case and a note.
func edited(l Layout) DeliveryPage {
	d := detail(delivery.StateDead)
	d.ErrorClass, d.Edit = delivery.ClassTimeout, 2
	d.Edits = []delivery.Edit{{Number: 1}, {Number: 2, Actor: hostile, Reason: hostile, AfterAttempt: 1}}
	d.Timeline[1].Edit = 2
	d.Notes = []delivery.Note{{Author: hostile, Text: hostile, At: now}}
	d.Case = delivery.Case{Version: 2, AcknowledgedAt: ago(time.Hour), AcknowledgedBy: hostile, Assignee: hostile, Tags: []string{hostile}, Ticket: hostile}
	return DeliveryPage{Layout: l, D: d, Known: true, Idempotent: true, Return: "/failures", TicketURL: "/tickets/1", People: []string{hostile},
		Token: func() string { return "token" }, Shown: Exchange{Try: 2, Attempt: &d.Timeline[1], Tab: TabAnswer, Payload: Payload{Kind: "json", Masked: true, Address: "/x"}},
		Case: CaseForm{What: "fields", Tags: hostile, Conflict: true, Problem: hostile},
		Versions: []Version{{Number: 1, At: now}, {Number: 2, Actor: hostile, Reason: hostile, At: now, SHA256: strings.Repeat("ab", 32),
			Payload: []DiffLine{{Kind: "old", Text: hostile}, {Kind: "new", Text: hostile}}}}}
}

// The numbers of an operation are shown as they add up, and what is only requested is never drawn as success.
func TestProgressAddsUp(t *testing.T) {
	o := operation(delivery.OperationRunning)
	total := 0
	for _, s := range (Locale{}).sums(o) {
		total += s.N
	}
	if total != o.Selected {
		t.Errorf("the sums make %d, selected are %d", total, o.Selected)
	}
	good := 0.0
	for _, part := range pieces(o) {
		if part.Kind == "good" {
			good = 110
			if part.Width != "110.0" {
				t.Errorf("22 of 200 are drawn %s wide of 1000", part.Width)
			}
		}
	}
	if good == 0 {
		t.Error("success is not drawn")
	}
	if text := (Locale{}).sumText(o); text != "Of 200 selected: 22 confirmed by the receiver, 5 failed again, 1 skipped, 2 cancelled, 170 remaining" {
		t.Error(text)
	}
}

func TestPaceInWords(t *testing.T) {
	l := Locale{}
	for want, pace := range map[string]delivery.Pace{
		"as fast as it goes": {},
		"5 per second, growing to 50 within 10 min; pauses by itself when more than 20 % fail":                                                             {Rate: 5, RampTo: 50, RampOver: 10 * time.Minute, StopAbove: .2},
		"first 10 of each integration, then, when these are confirmed, the others in waves; as fast as it goes; pauses by itself when more than 50 % fail": {Canary: 10},
	} {
		if got := l.pace(pace); got != want {
			t.Errorf("%q, want %q", got, want)
		}
	}
	if got := Typed(delivery.Pace{Canary: 10, Rate: .5, RampTo: 50, RampOver: 90 * time.Second, StopAbove: .2}); got != (PaceForm{"10", "0.5", "50", "1.5", "20"}) {
		t.Errorf("%+v", got)
	}
}

// Whatever the configuration says, a ticket's link runs no script.
func TestATicketLinkRunsNothing(t *testing.T) {
	page := edited(layout(delivery.RoleViewer))
	page.TicketURL = "javascript:alert(1)"
	if body := rendered(t, DeliveryView(page)); strings.Contains(body, `href="javascript:`) {
		t.Error("it would")
	}
}
