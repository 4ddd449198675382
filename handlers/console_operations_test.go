package handlers

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"

	"redrive/delivery"
	"redrive/delivery/operations"
	"redrive/handlers/api"
	"redrive/handlers/console"
	"redrive/handlers/web"
	"redrive/views"
)

// advance gives an operation its steps until it waits for something.
func (s *site) advance(id string) {
	s.t.Helper()
	for {
		acted, err := s.store.AdvanceOperation(s.t.Context(), id, operations.Plan)
		s.must(err)
		if acted == 0 {
			return
		}
	}
}

// failMany makes dead letters on push and returns their ids.
func (s *site) failMany(n int) (ids []string) {
	s.t.Helper()
	for i := range n {
		ids = append(ids, s.fail(delivery.Message{Integration: "push", Key: fmt.Sprint("order-", i), Payload: []byte("{}")}, ""))
	}
	return ids
}

// choices are the values of the rows of the list.
func (s *site) choices(ids ...string) []string {
	s.t.Helper()
	var out []string
	for _, id := range ids {
		d, err := s.store.Delivery(s.t.Context(), id)
		s.must(err)
		out = append(out, "id", views.Choice(d.Delivery))
	}
	return out
}

func filterText(f delivery.Filter) string { return f.Values().Encode() }

func TestRetryEverythingThatMatches(t *testing.T) {
	s := newSite(t)
	b := s.signedIn("alice", delivery.RoleOperator)
	ids := s.failMany(4)
	other := s.fail(delivery.Message{Integration: "sms", Payload: []byte("{}")}, "")
	back := "/failures?integration=push"
	ask := b.submit(views.OperationNew, "action", "retry", "filter", filterText(delivery.Filter{Integrations: []string{"push"}}), "return", back)
	b.shows(ask, http.StatusOK, "Retry these?", "4 match", "4 can be retried", "4 on push", "same idempotency key", "Retry 4", `href="/failures?integration=push`, "!left out")
	form := fieldsOf(t, ask, views.Operations)
	b.shows(b.sends(views.Operations, form, "rate", "many", "reason", "seller is back"), http.StatusUnprocessableEntity, `value="many"`, "must be a number", "seller is back", "Retry 4")
	form.Del("rate")
	b.shows(b.sends(views.Operations, form, "ramp_to", "50"), http.StatusUnprocessableEntity, "at which rate", `value="50"`)
	form.Del("ramp_to")
	started := b.sends(views.Operations, form, "canary", "2", "stop_above", "50")
	id := form.Get("token")
	page := b.goes(started, views.Operation(id))
	b.shows(page, http.StatusOK, "Retry of 4 failures", "running", "alice", "seller is back", "integration:push", "canary: 0 of 2 confirmed", "4</strong> selected", `hx-trigger="every 2s"`, "!"+other)

	s.advance(id)
	b.shows(b.open(views.OperationNews(id)), http.StatusOK, "2 are requested and not confirmed yet", "2 wait for their turn", "Pause …",
		"/pause", "!permission", "!<html", "!<main")
	for _, released := range ids[:2] {
		s.confirm(released)
	}
	s.advance(id)
	b.shows(b.open(views.Operation(id)), http.StatusOK, "2</strong> confirmed by the receiver", "all requested; waiting")
	for _, released := range ids[2:] {
		s.confirm(released)
	}
	s.advance(id)
	b.shows(b.open(views.Operation(id)), http.StatusOK, "finished", "4</strong> confirmed", "!hx-trigger", "!Pause …")
	b.goes(b.sends(views.Operations, form), views.Operation(id)) // the form again
	b.shows(b.open(views.Operations), http.StatusOK, "Retry of 4 failures", "finished", "seller is back", "4 / 4")
	list, err := s.store.Operations(t.Context(), delivery.OperationFilter{})
	s.must(err)
	if len(list.Items) != 1 {
		t.Errorf("%d operations", len(list.Items))
	}
}

// confirm lets a worker claim what is due of push and answers for one delivery that it was delivered.
func (s *site) confirm(id string) {
	s.t.Helper()
	if s.leased == nil {
		s.leased = map[string]delivery.Claimed{}
	}
	list, err := s.store.Claim(s.t.Context(), "test", []delivery.Quota{{Integration: "push", Limit: 10, Lease: time.Minute}})
	s.must(err)
	for _, c := range list {
		s.leased[c.DeliveryID] = c
	}
	c, ok := s.leased[id]
	if !ok {
		s.t.Fatalf("%s is not due", id)
	}
	_, err = s.store.Complete(s.t.Context(), []delivery.Completion{c.Completed(delivery.Result{Outcome: delivery.OutcomeOK}, delivery.StateDelivered, time.Now(), 0)})
	s.must(err)
}

func TestASelectionSaysWhatIsLeftOut(t *testing.T) {
	s := newSite(t)
	alice, bob := s.signedIn("alice", delivery.RoleOperator), s.signedIn("bob", delivery.RoleOperator)
	ids := s.failMany(3)
	fields := append(s.choices(ids...), "action", "retry", "return", "/failures?key=a")
	bob.submit(views.FailureAction(ids[0], "ignore"), "version", "1", "category", "duplicate", "reason", "known")
	ask := alice.submit(views.OperationNew, fields...)
	alice.shows(ask, http.StatusOK, "3 are selected", "2 can be retried", "1 is left out: 1 changed in the meantime", "Retry 2", `href="/failures?key=a"`)
	page := alice.goes(alice.sends(views.Operations, fieldsOf(t, ask, views.Operations)), views.Operation(fieldsOf(t, ask, views.Operations).Get("token")))
	alice.shows(page, http.StatusOK, "Retry of 2 failures", "chosen by hand", "1 is left out: 1 changed in the meantime", ids[1], "!"+ids[0])
	nothing := alice.goes(alice.submit(views.OperationNew, "action", "retry", "return", "/failures?key=a"), "/failures?key=a")
	alice.shows(nothing, http.StatusOK, "Nothing was selected")
	alice.shows(alice.submit(views.OperationNew, "action", "explode", "id", "x"), http.StatusUnprocessableEntity, "no such action")
	alice.shows(alice.submit(views.OperationNew, "action", "retry", "id", "x"), http.StatusUnprocessableEntity, "could not be read")
	alice.shows(alice.submit(views.OperationNew, "action", "retry", "filter", "color=red"), http.StatusBadRequest, "no parameter")
	none := alice.open(views.OperationFor(delivery.ActionRetry, "integration=sms", "/failures"))
	alice.shows(none, http.StatusOK, "0 match", "Retry 0", "disabled", "nothing that this could be done to")
}

func TestIgnoringManyNeedsItsReasonAndIsNoDefault(t *testing.T) {
	s := newSite(t)
	b := s.signedIn("alice", delivery.RoleOperator)
	ids := s.failMany(2)
	ask := b.submit(views.OperationNew, append(s.choices(ids...), "action", "ignore")...)
	b.shows(ask, http.StatusOK, "Ignore 2", `!class="primary">Ignore`, "!Canary")
	form := fieldsOf(t, ask, views.Operations)
	b.shows(b.sends(views.Operations, form, "reason", "kept", "until", "tomorrow"), http.StatusUnprocessableEntity, "kept", `value="tomorrow"`, "Write the time like")
	b.shows(b.sends(views.Operations, form, "until", "2099-01-01T00:00"), http.StatusUnprocessableEntity, "kept", "Choose a category")
	b.goes(b.sends(views.Operations, form, "category", "test-data"), views.Operation(form.Get("token")))
	s.advance(form.Get("token"))
	b.shows(b.open(views.Operation(form.Get("token"))), http.StatusOK, "finished", "2</strong> done", "test data", "!hx-trigger")
	b.shows(b.open(views.Ignored), http.StatusOK, "kept")
	reopen := b.submit(views.OperationNew, append(s.choices(ids...), "action", "reopen")...)
	b.shows(reopen, http.StatusOK, "2 can be reopened", "Reopen 2")
}

func TestSteeringAnOperation(t *testing.T) {
	s := newSite(t)
	alice, bob := s.signedIn("alice", delivery.RoleOperator), s.signedIn("bob", delivery.RoleOperator)
	s.failMany(3)
	ask := alice.open(views.OperationFor(delivery.ActionRetry, "", "/failures"))
	form := fieldsOf(t, ask, views.Operations)
	id := form.Get("token")
	here := views.Operation(id)
	page := alice.goes(alice.sends(views.Operations, form, "canary", "1"), here)
	pause, resume, cancel, pace := views.OperationStep(id, "pause"), views.OperationStep(id, "resume"), views.OperationStep(id, "cancel"), views.OperationStep(id, "pace")
	stalePause, stalePace := fieldsOf(t, page, pause), fieldsOf(t, page, pace)

	alice.shows(alice.goes(alice.sends(pause, stalePause, "reason", "the seller calls"), here), http.StatusOK, "Paused. Nothing more", "paused by alice", "Resume …", "!Pause …")
	late := bob.sends(pace, stalePace, "rate", "7")
	bob.shows(late, http.StatusConflict, "Nothing was changed", "Somebody else changed the operation in the meantime: look at it again.", `value="7"`, "paused")
	bob.shows(bob.sends(pace, fieldsOf(t, late, pace), "rate", "none"), http.StatusUnprocessableEntity, `value="none"`, "must be a number")
	bob.shows(bob.goes(bob.sends(pace, fieldsOf(t, late, pace)), here), http.StatusOK, "The pace is changed", "7 per second")
	page = bob.open(here)
	bob.shows(bob.goes(bob.sends(resume, fieldsOf(t, page, resume)), here), http.StatusOK, "It goes on", "running")
	page = bob.open(here)
	bob.shows(bob.sends(cancel, fieldsOf(t, page, cancel)), http.StatusUnprocessableEntity, "cannot be taken back")
	bob.shows(bob.goes(bob.sends(cancel, fieldsOf(t, page, cancel), "reason", "wrong seller"), here), http.StatusOK, "cancelled", "3</strong> cancelled", "!Cancel …")
	alice.shows(alice.sends(resume, url.Values{"version": {"9"}}), http.StatusConflict, "The operation is already cancelled.")
	want := []string{"bob operation.cancel", "bob operation.resume", "bob operation.pace", "alice operation.pause", "alice operation.start"}
	if got := alice.actions(id); !slices.Equal(got, want) {
		t.Errorf("%v", got)
	}
	alice.shows(alice.open("/audit"), http.StatusOK, "cancelled an operation", "changed the pace", "started an operation", `href="`+here+`"`)
	alice.shows(alice.open(views.Operations+"?state=cancelled&actor=alice"), http.StatusOK, "Retry of 3 failures")
	alice.shows(alice.open(views.Operations+"?state=running"), http.StatusOK, "No operation matches")
}

func TestItemsOfAnOperation(t *testing.T) {
	s := newSite(t)
	b := s.signedIn("alice", delivery.RoleOperator)
	ids := s.failMany(console.ItemsOnPage + 2)
	ask := b.open(views.OperationFor(delivery.ActionResolve, "", "/failures"))
	form := fieldsOf(t, ask, views.Operations)
	id := form.Get("token")
	b.goes(b.sends(views.Operations, form, "reason", "by hand"), views.Operation(id))
	page := b.open(views.Operation(id))
	b.shows(page, http.StatusOK, ids[0], "waiting", "Next page", "!"+ids[console.ItemsOnPage+1])
	next, found := nextLink(page)
	if !found {
		t.Fatal("no next page")
	}
	b.shows(b.open(next), http.StatusOK, ids[console.ItemsOnPage+1], "!"+ids[0], "!Next page")
	s.advance(id)
	b.shows(b.open(views.OperationItems(id, "waiting", "")), http.StatusOK, "None.", "!"+ids[0])
	b.shows(b.open(views.OperationItems(id, "succeeded", "")), http.StatusOK, ids[0], "done")
	b.shows(b.open(strings.TrimSuffix(views.OperationItems(id, "rubbish", ""), "#items")), http.StatusUnprocessableEntity)
	b.shows(b.open(views.Operation(id)), http.StatusOK, `!name="integration"`)
	b.shows(b.open(views.Operation("0197f000-0000-7000-8000-00000000abcd")), http.StatusNotFound)
	b.shows(b.open(views.Operation("x")), http.StatusNotFound)
}

func TestItemsOfOneIntegration(t *testing.T) {
	s := newSite(t)
	b := s.signedIn("alice", delivery.RoleOperator)
	pushed := s.failMany(console.ItemsOnPage + 1)
	text := s.fail(delivery.Message{Integration: "sms", Payload: []byte("{}")}, "")
	o := read[api.OperationJSON](s, s.post("/api/v1/operations", `{"action":"retry","filter":{}}`), 202)
	items := read[api.List[api.OperationItemJSON]](s, s.get("/api/v1/operations/"+o.ID+"/items?integration=sms&outcome=waiting"), 200).Items
	if len(items) != 1 || items[0].DeliveryID != text || items[0].Integration != "sms" {
		t.Errorf("items %+v", items)
	}
	page := b.open(views.Operation(o.ID))
	b.shows(page, http.StatusOK, `<option value="sms"`, strings.ReplaceAll(views.OperationItems(o.ID, "waiting", "sms"), "&", "&amp;"))
	b.shows(b.open(views.OperationItems(o.ID, "waiting", "sms")), http.StatusOK, text, `<option value="sms" selected`, "!"+pushed[0])
	b.shows(b.open(views.OperationItems(o.ID, "failed", "sms")), http.StatusOK, "None.")
	page = b.open(views.OperationItems(o.ID, "", "push"))
	b.shows(page, http.StatusOK, pushed[0], "!"+text)
	next, found := nextLink(page)
	if !found {
		t.Fatal("no next page")
	}
	b.shows(b.open(next), http.StatusOK, pushed[console.ItemsOnPage], "!"+text, "!Next page")
}

func nextLink(page answer) (string, bool) {
	_, rest, found := strings.Cut(string(page.body), `rel="next" href="`)
	link, _, _ := strings.Cut(rest, `"`)
	link, _, _ = strings.Cut(strings.ReplaceAll(link, "&amp;", "&"), "#")
	return link, found
}

func TestParsePace(t *testing.T) {
	good := views.PaceForm{Canary: "10", Rate: "0.5", RampTo: "50", RampOver: "10", StopAbove: "20 %"}
	p, err := console.ParsePace(good)
	if want := (delivery.Pace{Rate: .5, RampTo: 50, RampOver: 10 * time.Minute, Canary: 10, StopAbove: .2}); err != nil || p != want {
		t.Errorf("%+v %v", p, err)
	}
	if p, err := console.ParsePace(views.PaceForm{}); err != nil || p != (delivery.Pace{}) {
		t.Errorf("%+v %v", p, err)
	}
	for field, wrong := range map[string]views.PaceForm{"canary": {Canary: "1.5"}, "rate": {Rate: "NaN"}, "ramp_to": {RampOver: "3"}, "ramp_over": {Rate: "1", RampTo: "5"}, "stop_above": {StopAbove: "100"}} {
		if _, err := console.ParsePace(wrong); err == nil || web.ProblemOf(err).Field != field {
			t.Errorf("%s: %v", field, err)
		}
	}
}

// The page and the API say why nothing more is sent, each in its own words.
func TestWhatHoldsAnOperationIsSaid(t *testing.T) {
	s := newSite(t)
	b := s.signedIn("alice", delivery.RoleOperator)
	s.failMany(2)
	o, err := s.store.StartOperation(t.Context(), delivery.OperationRequest{Action: delivery.ActionRetry, Filter: &delivery.Filter{}, Actor: "alice"})
	s.must(err)
	held := func(inWords, toPrograms string) {
		t.Helper()
		s.advance(o.ID)
		b.shows(b.open(views.Operation(o.ID)), http.StatusOK, "held: "+inWords+"<")
		if a := s.get("/api/v1/operations/" + o.ID); !strings.Contains(string(a.body), `"held":"`+toPrograms+`"`) {
			t.Errorf("%s: %s", toPrograms, a.body)
		}
	}
	s.must(s.store.SetPaused(t.Context(), "push", true, "bob", "repairs"))
	held("the integration is paused by bob", "paused by bob")
	s.must(s.store.SetPaused(t.Context(), "push", false, "bob", ""))
	s.must(s.store.SaveBreaker(t.Context(), "push", delivery.BreakerOpen, time.Hour))
	held("the integration&#39;s breaker is open", "its circuit breaker is open")
	s.must(s.store.SyncIntegrations(t.Context(), nil))
	held("the integration left the configuration file", "it is not in the integrations file any more")
	b.submit(views.Operation(o.ID)+"/pause", "version", "1", "reason", "lunch")
	b.shows(b.open(views.Operation(o.ID)), http.StatusOK, ">paused by alice: lunch<")
	conflict := b.submit(views.Operation(o.ID)+"/pause", "version", "2", "reason", "again")
	b.shows(conflict, http.StatusConflict, "The operation is already paused. alice did pause at ")
}

// What an operation stopped itself for stands in the audit, in the words of the operation's note.
func TestAnOperationThatStoppedItselfSaysWhy(t *testing.T) {
	s := newSite(t)
	b := s.signedIn("alice", delivery.RoleOperator)
	s.failMany(2)
	o, err := s.store.StartOperation(t.Context(), delivery.OperationRequest{Action: delivery.ActionRetry, Filter: &delivery.Filter{}, Actor: "alice", Pace: delivery.Pace{Canary: 1, StopAbove: 0.2}})
	s.must(err)
	s.advance(o.ID)
	list, err := s.store.Claim(t.Context(), "test", []delivery.Quota{{Integration: "push", Limit: 10, Lease: time.Minute}})
	s.must(err)
	_, err = s.store.Complete(t.Context(), []delivery.Completion{list[0].Completed(delivery.Result{Outcome: delivery.OutcomePermanent, ErrorClass: delivery.ClassHTTP4xx, Error: "no"}, delivery.StateDead, time.Now(), 0)})
	s.must(err)
	s.advance(o.ID)
	const why = "push: 100% of 1 outcome failed, more than 20%"
	b.shows(b.open(views.Operation(o.ID)), http.StatusOK, ">"+why+"<")
	b.shows(b.open(views.Audit+"?subject="+o.ID), http.StatusOK, why, "!note.failing")
	var audit struct{ Items []api.AuditJSON }
	s.must(json.Unmarshal(s.get("/api/v1/audit?action=operation.pause").body, &audit))
	if len(audit.Items) != 1 || audit.Items[0].Reason != why || audit.Items[0].Actor != "policy" {
		t.Errorf("%+v", audit)
	}
}

// Whoever sends again what may act twice says so, alone and in bulk, and nobody else is asked; the audit notes it, whoever it was.
func TestWhatMayActTwiceIsConfirmed(t *testing.T) {
	const question, refusal = "it may have its effect twice", "Tick that it may have its effect twice"
	s := newSite(t)
	b := s.signedIn("alice", delivery.RoleOperator)
	unknown := func() string {
		a, err := s.store.Accept(t.Context(), delivery.Message{Kind: delivery.KindCommand, Integration: "push", Type: "test", Payload: []byte("1")})
		s.must(err)
		s.engine(a.Deliveries[0].ID, "push", delivery.StateDead, delivery.Result{Outcome: delivery.OutcomeUnknown, ErrorClass: delivery.ClassTimeout, Error: "no answer"})
		return a.Deliveries[0].ID
	}
	clear := s.failMany(1)[0]
	one, two, three := unknown(), unknown(), unknown()
	b.shows(b.open(views.Failure(clear)), http.StatusOK, "Send again", "!"+question)
	page := b.open(views.Failure(one))
	b.shows(page, http.StatusOK, question, "does not drop duplicates")
	form := fieldsOf(t, page, views.FailureAction(one, delivery.ActionRetry))
	b.shows(b.sends(views.FailureAction(one, delivery.ActionRetry), form), http.StatusUnprocessableEntity, refusal, `aria-invalid="true"`)
	b.goes(b.sends(views.FailureAction(one, delivery.ActionRetry), form, "twice", "yes"), views.FailureFrom(one, "/failures"))
	b.shows(b.open(views.Failure(one)), http.StatusOK, "retry requested", "Withdraw the retry")
	b.goes(b.submit(views.FailureAction(one, delivery.ActionWithdraw), "version", "2", "token", newToken()), views.FailureFrom(one, "/failures"))
	b.shows(b.open(views.Failure(one)), http.StatusOK, "alice", "withdrew the retry of this")

	ask := b.submit(views.OperationNew, append(s.choices(clear, two), "action", "retry")...)
	b.shows(ask, http.StatusOK, "Of 1 nobody knows", question)
	bulk := fieldsOf(t, ask, views.Operations)
	b.shows(b.sends(views.Operations, bulk), http.StatusUnprocessableEntity, refusal)
	b.goes(b.sends(views.Operations, bulk, "twice", "yes"), views.Operation(bulk.Get("token")))
	b.shows(b.submit(views.OperationNew, append(s.choices(three), "action", "ignore")...), http.StatusOK, "!"+question)
	s.advance(bulk.Get("token"))
	read[api.DeliveryJSON](s, s.post("/api/v1/failures/"+three+"/retry", ""), http.StatusOK) // programs are not asked
	for id, want := range map[string]bool{one: true, two: true, three: true, clear: false} {
		if a := s.get("/api/v1/audit?action=delivery.retry&subject=" + id); strings.Contains(string(a.body), `"outcome_unknown":"timeout"`) != want {
			t.Errorf("%s: %s", id, a.body)
		}
	}
}

// Tries are told of the integration that made them, and the history has from and to.
func TestARedirectKeepsWhoFailed(t *testing.T) {
	s := newSite(t)
	b := s.signedIn("alice", delivery.RoleOperator)
	id := s.fail(delivery.Message{Integration: "push", Type: "order.placed", Payload: []byte("1")}, "")
	to := b.open(views.FailureRedirect(id))
	b.shows(to, http.StatusOK, "sms → http://127.0.0.1:1/x", "(takes other messages than order.placed)")
	b.goes(b.submit(views.FailureRedirect(id), "version", "1", "token", newToken(), "reason", "it is down", "integration", "sms"), views.FailureFrom(id, "/failures"))
	b.shows(b.open(views.Failure(id)), http.StatusOK, "Delivery to push failed", "It goes to sms now, which has not tried it yet.", "redirected this from push to sms", "by push")
}
