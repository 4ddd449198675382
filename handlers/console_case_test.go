package handlers

import (
	"net/http"
	"slices"
	"strings"
	"testing"

	"redrive/delivery"
	"redrive/handlers/web"
	"redrive/views"
)

func TestCaseFields(t *testing.T) {
	s := newSite(t, func(c *web.Config) { c.TicketURL = "https://tickets.example/{ticket}" })
	alice, bob := s.signedIn("alice", delivery.RoleOperator), s.signedIn("bob", delivery.RoleOperator)
	id := s.fail(delivery.Message{Integration: "push", Payload: []byte("{}")}, "")
	here, fields := views.Failure(id), views.FailureCase(id, "fields")
	page := alice.open(here)
	alice.shows(page, http.StatusOK, `<option value="bob">`, "No note yet", "Assign to me", "Acknowledge")
	stale := fieldsOf(t, bob.open(here), fields)

	acknowledge := views.FailureCase(id, "acknowledge")
	alice.shows(alice.goes(alice.sends(acknowledge, fieldsOf(t, page, acknowledge)), views.FailureFrom(id, "/failures")), http.StatusOK, "not counted as red", "Not acknowledged any more")
	assign := views.FailureCase(id, "assign")
	alice.shows(alice.goes(alice.sends(assign, fieldsOf(t, alice.open(here), assign)), views.FailureFrom(id, "/failures")), http.StatusOK, "It is yours", "!Assign to me")

	late := bob.sends(fields, stale, "assignee", "bob", "tags", "vip, seoul", "ticket", "OPS-7/1")
	bob.shows(late, http.StatusConflict, "somebody was faster", "alice changed it", `value="vip, seoul"`, `value="OPS-7/1"`)
	kept := bob.goes(bob.sends(fields, fieldsOf(t, late, fields)), views.FailureFrom(id, "/failures"))
	bob.shows(kept, http.StatusOK, "Kept.", `href="https://tickets.example/OPS-7%2F1"`, `href="/failures?tag=vip"`, ">seoul<")
	bob.shows(bob.sends(fields, fieldsOf(t, kept, fields), "tags", "so many words in one tag that it is far too long, <b>"), http.StatusUnprocessableEntity, "is no tag", "&lt;b&gt;")
	bob.shows(bob.sends(fields, fieldsOf(t, kept, fields), "assignee", "nobody-here", "tags", ""), http.StatusUnprocessableEntity, `value="nobody-here"`)
	if got := alice.actions(id); !slices.Equal(got, []string{"bob case.change", "alice case.change", "alice case.change"}) {
		t.Error(got)
	}
}

func TestNotes(t *testing.T) {
	s := newSite(t)
	b := s.signedIn("alice", delivery.RoleOperator)
	id := s.fail(delivery.Message{Integration: "push", Payload: []byte("{}")}, "")
	note := views.FailureCase(id, "note")
	form := fieldsOf(t, b.open(views.Failure(id)), note)
	b.shows(b.sends(note, form, "note", " "), http.StatusUnprocessableEntity, "Write something", `aria-invalid`)
	b.shows(b.sends(note, form, "note", strings.Repeat("ü", 4001)), http.StatusUnprocessableEntity, "may have 4000 characters", "üüü")
	for _, answer := range []string{"Written down", "Already done"} { // the second is a double click
		b.shows(b.goes(b.sends(note, form, "note", "called the seller:\r\n<b>nobody</b> there"), views.FailureFrom(id, "/failures")), http.StatusOK, answer)
	}
	page := b.open(views.Failure(id))
	b.shows(page, http.StatusOK, "called the seller:\n&lt;b&gt;nobody", "!No note yet")
	d, err := s.store.Delivery(t.Context(), id)
	s.must(err)
	if len(d.Notes) != 1 {
		t.Errorf("%d notes", len(d.Notes))
	}
}

func TestAViewerChangesNoCase(t *testing.T) {
	s := newSite(t)
	b := s.signedIn("vera", delivery.RoleViewer)
	id := s.fail(delivery.Message{Integration: "push", Payload: []byte("{}")}, "")
	b.shows(b.open(views.Failure(id)), http.StatusOK, "!/case/", "!/edit\"")
	for _, path := range []string{views.FailureCase(id, "note"), views.FailureCase(id, "assign"), views.FailureEdit(id), views.FailureRedirect(id), views.Operations, views.OperationNew} {
		b.shows(b.submit(path, "version", "0", "note", "x"), http.StatusForbidden)
	}
	for _, path := range []string{views.FailureEdit(id), views.FailureRedirect(id), views.VersionPayload(id, 1)} {
		b.shows(b.open(path), http.StatusForbidden)
	}
}
