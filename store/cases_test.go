package store_test

import (
	"errors"
	"fmt"
	"strings"
	"testing"

	"redrive/delivery"
)

func (d desk) operator(name string) {
	d.t.Helper()
	_, err := d.CreateOperator(d.t.Context(), delivery.Operator{Name: name, Role: delivery.RoleOperator, PasswordHash: "x"}, "admin")
	d.must(err)
}

func (d desk) change(c delivery.CaseChange) delivery.Delivery {
	d.t.Helper()
	if c.Actor == "" {
		c.Actor = "ann"
	}
	after, err := d.ChangeCase(d.t.Context(), c)
	d.must(err)
	return after
}

func TestACaseIsKept(t *testing.T) {
	d := open(t)
	d.operator("bob")
	dead := d.dead(numbered(1))
	yes, bob, ticket, tags := true, " bob ", "SHOP-7", []string{"Night", "bank", "night"}
	after := d.change(delivery.CaseChange{ID: dead.ID, Version: 0, Acknowledge: &yes, Assignee: &bob, Tags: &tags, Ticket: &ticket, Reason: "mine"})
	if c := after.Case; c.Version != 1 || c.AcknowledgedAt == nil || c.AcknowledgedBy != "ann" || c.Assignee != "bob" || c.Ticket != "SHOP-7" ||
		fmt.Sprint(c.Tags) != "[bank night]" {
		t.Fatalf("case %+v", c)
	}
	if after.Version != dead.Version || after.State != delivery.StateDead {
		t.Errorf("the failure itself changed to %+v", after)
	}
	same := d.change(delivery.CaseChange{ID: dead.ID, Version: 1, Acknowledge: &yes, Tags: &tags})
	nobody := ""
	last := d.change(delivery.CaseChange{ID: dead.ID, Version: -1, Assignee: &nobody, Actor: "bob"})
	if same.Case.Version != 1 || last.Case.Version != 2 || last.Case.Assignee != "" || last.Case.AcknowledgedBy != "ann" || len(last.Case.Tags) != 2 {
		t.Errorf("same %+v, then %+v", same.Case, last.Case)
	}
	history := d.read(dead.ID).History
	if len(history) != 2 || history[0].Action != "case.change" || history[0].Reason != "mine" {
		t.Fatalf("history %+v", history)
	}
	if m := details(t, history[0]); m["assignee"] != "bob" || m["acknowledged"] != true || fmt.Sprint(m["tags"]) != "[bank night]" || m["ticket"] != "SHOP-7" {
		t.Errorf("first entry %v", m)
	}
	if m := details(t, history[1]); m["assignee"] != "" || fmt.Sprint(m["was"]) != "map[assignee:bob]" || m["tags"] != nil {
		t.Errorf("second entry %v", m)
	}
}

func TestALostRaceForACaseNamesTheWinner(t *testing.T) {
	d := open(t)
	dead := d.dead(numbered(1))
	ticket, other := "A-1", "B-2"
	d.change(delivery.CaseChange{ID: dead.ID, Version: 0, Ticket: &ticket})
	_, err := d.ChangeCase(t.Context(), delivery.CaseChange{ID: dead.ID, Version: 0, Ticket: &other, Actor: "bob"})
	var conflict *delivery.CaseConflictError
	if !errors.As(err, &conflict) || conflict.By != "ann" || conflict.Case.Ticket != "A-1" || conflict.Case.Version != 1 {
		t.Errorf("%v: %+v", err, conflict)
	}
}

func TestEachActionEndsAnAcknowledgement(t *testing.T) {
	d := open(t)
	yes := true
	for _, a := range []delivery.ActionRequest{{Action: delivery.ActionRetry}, {Action: delivery.ActionResolve, Reason: "r"},
		{Action: delivery.ActionIgnore, Reason: "r", Category: "other"}} {
		dead := d.dead(numbered(1))
		d.change(delivery.CaseChange{ID: dead.ID, Acknowledge: &yes})
		a.ID = dead.ID
		if after := d.act(a); after.Case.AcknowledgedAt != nil || after.Case.AcknowledgedBy != "" {
			t.Errorf("after %s %+v", a.Action, after.Case)
		}
		var conflict *delivery.ConflictError
		_, err := d.ChangeCase(t.Context(), delivery.CaseChange{ID: dead.ID, Version: -1, Acknowledge: &yes, Actor: "bob"})
		if !errors.As(err, &conflict) || conflict.Actor != "ann" {
			t.Errorf("acknowledging after %s: %v", a.Action, err)
		}
		if a.Action == delivery.ActionRetry {
			d.complete(completion(d.claimOne("push"), answered, delivery.StateDead))
			if again := d.read(dead.ID); again.Case.AcknowledgedAt != nil {
				t.Errorf("after failing again %+v", again.Case)
			}
		}
	}
	dead := d.dead(numbered(2))
	d.change(delivery.CaseChange{ID: dead.ID, Acknowledge: &yes})
	d.edit(delivery.EditRequest{ID: dead.ID, Payload: []byte("3")})
	if after := d.read(dead.ID); after.Case.AcknowledgedAt != nil {
		t.Errorf("after an edit %+v", after.Case)
	}
}

func TestCasesThatAreRefused(t *testing.T) {
	d := open(t)
	dead := d.dead(numbered(1))
	nobody, long := "nobody", strings.Repeat("x", 201)
	many := []string{}
	for n := range 21 {
		many = append(many, fmt.Sprint("t", n))
	}
	for want, c := range map[string]delivery.CaseChange{
		"unknown_operator": {Assignee: &nobody}, "bad_ticket": {Ticket: &long}, "bad_tag": {Tags: &[]string{"ok", "-x"}}, "too_many_tags": {Tags: &many},
	} {
		c.ID, c.Version, c.Actor = dead.ID, -1, "ann"
		_, err := d.ChangeCase(t.Context(), c)
		if code := inputCode(t, err); code != want {
			t.Errorf("code %s, want %s", code, want)
		}
	}
	if after := d.read(dead.ID); after.Case.Version != 0 || len(after.History) > 0 {
		t.Errorf("changed to %+v", after.Case)
	}
}

func TestNotesAreKeptInOrder(t *testing.T) {
	d := open(t)
	dead := d.dead(numbered(1))
	for n, text := range []string{"called the bank", "called the bank", " they answer\nnever "} {
		again, err := d.AddNote(t.Context(), dead.ID, "ann", text, fmt.Sprintf(editToken, n/2)) // the second is the first form again
		if d.must(err); again.Repeated != (n == 1) {
			t.Errorf("note %d: repeated %v", n, again.Repeated)
		}
	}
	after := d.read(dead.ID)
	if len(after.Notes) != 2 || after.Notes[0].Text != "called the bank" || after.Notes[1].Text != "they answer\nnever" || after.Notes[1].Author != "ann" {
		t.Errorf("notes %+v", after.Notes)
	}
	if len(after.History) != 2 || after.History[0].Action != "case.note" || strings.Contains(string(after.History[0].Details), "bank") {
		t.Errorf("history %+v", after.History)
	}
	for _, text := range []string{" ", strings.Repeat("ü", 4001)} {
		_, err := d.AddNote(t.Context(), dead.ID, "ann", text, "")
		if code := inputCode(t, err); code != "bad_note" {
			t.Errorf("code %s", code)
		}
	}
	if _, err := d.AddNote(t.Context(), dead.ID, "ann", strings.Repeat("ü", 4000), ""); err != nil {
		t.Error(err)
	}
	if _, err := d.AddNote(t.Context(), "00000000-0000-0000-0000-000000000000", "ann", "x", ""); !errors.Is(err, delivery.ErrNotFound) {
		t.Errorf("a note about nothing: %v", err)
	}
	_, err := d.AddNote(t.Context(), d.accept(numbered(3)).Deliveries[0].ID, "ann", "x", "")
	if code := inputCode(t, err); code != "no_failure" {
		t.Errorf("code %s", code)
	}
}

func TestViewsArePersonalUnlessShared(t *testing.T) {
	d := open(t)
	save := func(owner, name, search string, shared bool) delivery.SavedView {
		v, err := d.SaveView(t.Context(), delivery.SavedView{Owner: owner, Name: name, Search: search, Shared: shared})
		d.must(err)
		return v
	}
	mine := save("ann", "mine", "state:dead", false)
	shared := save("ann", "all", "class:dns", true)
	save("bob", "mine", "key:7", false)
	if again := save("ann", "mine", "state:ignored", false); again.ID != mine.ID || again.Search != "state:ignored" {
		t.Errorf("replaced by %+v", again)
	}
	save("ann", "mine", "state:ignored", false) // nothing new
	list := func(owner string) (names []string) {
		views, err := d.SavedViews(t.Context(), owner)
		d.must(err)
		for _, v := range views {
			names = append(names, v.Owner+"/"+v.Name+"="+v.Search)
		}
		return names
	}
	if got := fmt.Sprint(list("ann"), list("bob"), list("eve")); got != "[ann/all=class:dns ann/mine=state:ignored] [ann/all=class:dns bob/mine=key:7] [ann/all=class:dns]" {
		t.Errorf("views %s", got)
	}
	if code := inputCode(t, d.DeleteView(t.Context(), shared.ID, "bob")); code != "not_yours" {
		t.Errorf("code %s", code)
	}
	if err := d.DeleteView(t.Context(), mine.ID, "bob"); !errors.Is(err, delivery.ErrNotFound) {
		t.Errorf("somebody's own view: %v", err)
	}
	renamed, err := d.SaveView(t.Context(), delivery.SavedView{ID: mine.ID, Owner: "ann", Name: "night", Search: "state:dead"})
	if err != nil || renamed.ID != mine.ID || renamed.Name != "night" {
		t.Errorf("renamed %+v: %v", renamed, err)
	}
	_, err = d.SaveView(t.Context(), delivery.SavedView{ID: mine.ID, Owner: "ann", Name: "all"})
	if code := inputCode(t, err); code != "name_taken" {
		t.Errorf("code %s", code)
	}
	if _, err = d.SaveView(t.Context(), delivery.SavedView{ID: mine.ID, Owner: "bob", Name: "x"}); !errors.Is(err, delivery.ErrNotFound) {
		t.Errorf("another's view changed: %v", err)
	}
	d.must(d.DeleteView(d.scopedToken(delivery.Grants{{Role: delivery.RoleAdmin}}), shared.ID, "root"))
	d.must(d.DeleteView(t.Context(), mine.ID, "ann"))
	if n := value[int](d, "SELECT count(*) FROM redrive.audit WHERE action IN ('view.save', 'view.delete') AND subject_type = 'view'"); n != 7 {
		t.Errorf("%d audit entries, want 7", n)
	}
}

func TestViewsAreBounded(t *testing.T) {
	d := open(t)
	for _, v := range []delivery.SavedView{{Name: " "}, {Name: strings.Repeat("x", delivery.MaxViewName+1)}, {Name: "x", Search: strings.Repeat("x", delivery.MaxSearch+1)}} {
		v.Owner = "ann"
		_, err := d.SaveView(t.Context(), v)
		inputCode(t, err)
	}
	d.must(d.sql("INSERT INTO redrive.saved_views (owner, name, search) SELECT 'ann', n::text, '' FROM generate_series(1, 100) n"))
	_, err := d.SaveView(t.Context(), delivery.SavedView{Owner: "ann", Name: "one more"})
	if code := inputCode(t, err); code != "too_many" {
		t.Errorf("code %s", code)
	}
	if _, err := d.SaveView(t.Context(), delivery.SavedView{Owner: "ann", Name: "7", Search: "x"}); err != nil {
		t.Error(err)
	}
}
