package store_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"testing"
	"time"

	"redrive/delivery"
)

func (d desk) person(name string, role delivery.Role) delivery.Operator {
	d.t.Helper()
	o, err := d.CreateOperator(d.t.Context(), delivery.Operator{Name: name, Role: role, PasswordHash: "h"}, "setup")
	d.must(err)
	return o
}

func (d desk) robot(name string, secret byte) delivery.Token {
	d.t.Helper()
	token, err := d.CreateToken(d.t.Context(), delivery.Token{Name: name, Role: delivery.RoleOperator}, bytes.Repeat([]byte{secret}, 32), "setup")
	d.must(err)
	return token
}

func (d desk) people(c delivery.OperatorChange) delivery.Operator {
	d.t.Helper()
	o, err := d.ChangeOperator(d.t.Context(), c)
	d.must(err)
	return o
}

// session signs a person in and returns the session's id.
func (d desk) session(o delivery.Operator, token string) string {
	d.t.Helper()
	ctx := delivery.WithSession(d.t.Context(), delivery.Session{OperatorID: o.ID, Generation: o.Generation, Device: "Firefox", Address: "127.0.0.1"})
	d.must(d.CommitCtx(ctx, token, []byte("x"), time.Now().Add(time.Hour)))
	_, session, err := d.SignedIn(d.t.Context(), token)
	d.must(err)
	return session.ID
}

// Each change that takes something away ends the sessions, what brings it back revives none, and a name alone ends nothing.
func TestSessionsEndWithWhatTheyWereOpenedWith(t *testing.T) {
	d := open(t)
	d.person("root", delivery.RoleAdmin)
	yes, no, hash, viewer, name := true, false, "other", delivery.RoleViewer, "anna"
	ann := d.person("ann", delivery.RoleOperator)
	token := ""
	for n, c := range []delivery.OperatorChange{{Disabled: &yes}, {Disabled: &no}, {PasswordHash: &hash}, {Role: &viewer}, {}} {
		c.ID, c.Actor = ann.ID, "root"
		if ann.DisabledAt == nil {
			token = fmt.Sprint("token ", n)
			d.session(ann, token)
		}
		ann = d.people(c)
		if _, _, err := d.SignedIn(t.Context(), token); !errors.Is(err, delivery.ErrNotFound) {
			t.Errorf("%s leaves a session: %v", c.What(), err)
		}
		// a request that was under way writes its session once more
		d.must(d.CommitCtx(t.Context(), token, []byte("x"), time.Now().Add(time.Hour)))
		if _, _, err := d.SignedIn(t.Context(), token); !errors.Is(err, delivery.ErrNotFound) {
			t.Errorf("after %s a request brings the session back: %v", c.What(), err)
		}
	}
	one, two := d.session(ann, "one"), d.session(ann, "two")
	d.people(delivery.OperatorChange{ID: ann.ID, Actor: "root", Name: &name})
	if o, session, err := d.SignedIn(t.Context(), "one"); err != nil || o.Name != "anna" || session.ID != one {
		t.Errorf("a new name: %+v %v", o, err)
	}
	list, err := d.Sessions(t.Context(), ann.ID)
	if d.must(err); len(list) != 2 || list[0].ID != two || list[0].Device != "Firefox" || list[0].Address != "127.0.0.1" {
		t.Errorf("%+v", list)
	}
	bob := d.person("bob", delivery.RoleViewer)
	if err := d.EndSession(t.Context(), bob.ID, one, bob.ID); !errors.Is(err, delivery.ErrNotFound) {
		t.Errorf("somebody ends another's session: %v", err)
	}
	d.must(d.EndSession(t.Context(), ann.ID, one, ann.ID))
	robot := d.robot("ci", 1)
	held, err := d.Holding(t.Context(), []string{one, two, robot.Holder})
	if d.must(err); !slices.Equal(held, []string{two, robot.Holder}) {
		t.Errorf("%q hold", held)
	}
}

// Two who take each other's right away do so one after the other: there is one left, and nothing else happens.
func TestTwoAdministratorsWhoDemoteEachOther(t *testing.T) {
	d := open(t)
	viewer := delivery.RoleViewer
	for n := range 4 {
		pair := []delivery.Operator{d.person(fmt.Sprint("a", n), delivery.RoleAdmin), d.person(fmt.Sprint("b", n), delivery.RoleAdmin)}
		var all sync.WaitGroup
		errs := make([]error, 2)
		sessions := []string{d.session(pair[0], pair[0].Name), d.session(pair[1], pair[1].Name)}
		for i, o := range pair {
			all.Go(func() {
				ctx := delivery.WithRight(t.Context(), delivery.Right{Actor: o.ID, Session: sessions[i], Need: []delivery.Permission{delivery.PermitAdminister}})
				_, errs[i] = d.ChangeOperator(ctx, delivery.OperatorChange{ID: pair[1-i].ID, Actor: o.ID, Role: &viewer})
			})
		}
		all.Wait()
		var ended *delivery.RightError
		if (errs[0] == nil) == (errs[1] == nil) || !errors.As(errors.Join(errs...), &ended) {
			t.Errorf("%v", errs)
		}
	}
}

// A right is held until what it is for is done: who takes it away meanwhile waits, and what comes after that is refused.
func TestARightIsHeldWhileItIsUsed(t *testing.T) {
	d := open(t)
	d.person("root", delivery.RoleAdmin)
	yes, ann := true, d.person("ann", delivery.RoleOperator)
	ctx := delivery.WithRight(t.Context(), delivery.Right{Actor: ann.ID, Session: d.session(ann, "ann"), Need: []delivery.Permission{delivery.PermitResolve}})
	id := d.dead(numbered(1)).ID
	held := d.connect()
	_, err := held.Exec(t.Context(), "BEGIN; SELECT FROM redrive.deliveries WHERE id = '"+id+"' FOR UPDATE")
	d.must(err)
	var acted, disabled error
	var all sync.WaitGroup
	all.Go(func() {
		_, acted = d.Act(ctx, delivery.ActionRequest{Action: delivery.ActionResolve, ID: id, Actor: ann.ID, Reason: "r"})
	})
	d.waitForBlocked(1)
	all.Go(func() {
		_, disabled = d.ChangeOperator(context.WithoutCancel(t.Context()), delivery.OperatorChange{ID: ann.ID, Actor: "root", Disabled: &yes})
	})
	d.waitForBlocked(2)
	_, err = held.Exec(t.Context(), "COMMIT")
	d.must(err)
	if all.Wait(); acted != nil || disabled != nil {
		t.Fatal(acted, disabled)
	}
	if got := value[[]string](d, "SELECT array_agg(action ORDER BY seq) FROM redrive.audit WHERE action IN ('delivery.resolve', 'operator.disable')"); !slices.Equal(got, []string{"delivery.resolve", "operator.disable"}) {
		t.Errorf("%q", got)
	}
	var ended *delivery.RightError
	if _, err := d.Act(ctx, delivery.ActionRequest{Action: delivery.ActionReopen, ID: id, Actor: ann.ID}); !errors.As(err, &ended) {
		t.Errorf("after the end: %v", err)
	}
}

// Two tokens of one name are two actors, a person keeps what is theirs under a new name, and who gets an old name gets nothing else.
func TestNamesAreShownAndIdsCount(t *testing.T) {
	d := open(t)
	ctx := t.Context()
	d.person("root", delivery.RoleAdmin)
	ann, one, two := d.person("ann", delivery.RoleOperator), d.robot("ci", 1), d.robot("ci", 2)
	id := d.dead(numbered(1)).ID
	mine := func(actor string) (names []string) {
		list, err := d.SavedViews(ctx, actor)
		d.must(err)
		for _, v := range list {
			names = append(names, v.Owner+" "+v.Name)
		}
		return names
	}
	for n, actor := range []string{ann.ID, one.ID, two.ID} {
		_, err := d.SaveView(ctx, delivery.SavedView{Owner: actor, Name: fmt.Sprint("view ", n), Search: "state:dead"})
		d.must(err)
		_, err = d.AddNote(ctx, id, actor, fmt.Sprint("note ", n), "")
		d.must(err)
	}
	if got := append(mine(one.ID), mine(two.ID)...); !slices.Equal(got, []string{"token:ci view 1", "token:ci view 2"}) {
		t.Errorf("the views of two tokens: %q", got)
	}
	for n, actor := range []string{one.ID, two.ID} {
		page, err := d.Audit(ctx, delivery.AuditFilter{Actor: actor, Action: "view.save"})
		if d.must(err); len(page.Items) != 1 || page.Items[0].Actor != "token:ci" || page.Items[0].ActorID != actor {
			t.Errorf("token %d did %+v", n+1, page.Items)
		}
	}
	if page, err := d.Audit(ctx, delivery.AuditFilter{Actor: "token:ci", Action: "view.save"}); err != nil || len(page.Items) != 2 {
		t.Errorf("by name: %+v %v", page.Items, err)
	}
	first, err := d.ChangeCase(ctx, delivery.CaseChange{ID: id, Version: -1, Actor: ann.ID, Assignee: &ann.Name})
	if d.must(err); first.Case.Assignee != "ann" || first.Case.AssigneeID != ann.ID {
		t.Errorf("%+v", first.Case)
	}
	renamed, taken := "anna", "ann"
	d.people(delivery.OperatorChange{ID: ann.ID, Actor: "root", Name: &renamed})
	other := d.person("ann", delivery.RoleOperator)
	if _, err := d.ChangeOperator(ctx, delivery.OperatorChange{ID: ann.ID, Actor: "root", Name: &taken}); inputCode(t, err) != "name_taken" {
		t.Error(err)
	}
	if got := slices.Concat(mine(ann.ID), mine(other.ID)); !slices.Equal(got, []string{"anna view 0"}) {
		t.Errorf("after renaming: %q", got)
	}
	found := func(f delivery.Filter) int {
		list, err := d.Failures(ctx, f)
		d.must(err)
		return len(list.Items)
	}
	for actor, want := range map[string]int{ann.ID: 1, other.ID: 0, "anna": 1, "ann": 0} {
		if n := found(delivery.Filter{Assignees: []string{actor}}); n != want {
			t.Errorf("%s looks after %d", actor, n)
		}
	}
	suggested, err := d.Suggest(ctx, "assignee", "an")
	if d.must(err); !slices.Equal(suggested, []string{"ann", "anna"}) {
		t.Errorf("suggested: %q", suggested)
	}
	detail, err := d.Delivery(ctx, id)
	d.must(err)
	if detail.Case.Assignee != "anna" || detail.Notes[0].Author != "anna" || detail.Notes[0].AuthorID != ann.ID || detail.History[0].Actor != "ann" || detail.History[0].ActorID != ann.ID {
		t.Errorf("%+v %+v %+v", detail.Case, detail.Notes[0], detail.History[0])
	}
	d.must(d.sql("DELETE FROM redrive.operators WHERE name = 'anna'"))
	again := d.person("anna", delivery.RoleOperator)
	if n := found(delivery.Filter{Assignees: []string{again.ID}}); n+len(mine(again.ID)) != 0 {
		t.Error("somebody who got the name of a person who is gone got more")
	}
	if got := value[string](d, "SELECT name FROM redrive.actors WHERE id = $1", ann.ID); got != "anna" {
		t.Errorf("who is gone is called %q", got)
	}
}

// Whatever is done to many at once keeps the id in what is hashed, too.
func TestAnOperationIsOfWhoStartedIt(t *testing.T) {
	d := open(t)
	ctx := t.Context()
	d.person("root", delivery.RoleAdmin)
	ann := d.person("ann", delivery.RoleOperator)
	ids := []delivery.Chosen{{ID: d.dead(numbered(1)).ID}, {ID: d.dead(numbered(2)).ID}}
	o, err := d.StartOperation(ctx, delivery.OperationRequest{Action: delivery.ActionResolve, Chosen: ids, Actor: ann.ID, Reason: "r"})
	d.must(err)
	paused, err := d.SteerOperation(ctx, delivery.Steer{ID: o.ID, Actor: ann.ID, Pause: true})
	if d.must(err); o.Actor != "ann" || o.ActorID != ann.ID || english(paused.Note) != "paused by ann" {
		t.Errorf("%+v %s", o, paused.Note)
	}
	_, err = d.SteerOperation(ctx, delivery.Steer{ID: o.ID, Actor: ann.ID, Resume: true})
	d.must(err)
	_, err = d.AdvanceOperation(ctx, o.ID, func(s *delivery.OperationStep) {
		for i := range s.Parts {
			s.Parts[i].Release = 10
		}
	})
	d.must(err)
	page, err := d.Audit(ctx, delivery.AuditFilter{Action: "delivery.resolve", Actor: ann.ID})
	if d.must(err); len(page.Items) != 2 || page.Items[0].Actor != "ann" {
		t.Errorf("%+v", page.Items)
	}
	for _, actor := range []string{"ann", ann.ID} {
		if list, err := d.Operations(ctx, delivery.OperationFilter{Actor: actor}); err != nil || len(list.Items) != 1 {
			t.Errorf("operations of %s: %d %v", actor, len(list.Items), err)
		}
		if list, err := d.Failures(ctx, delivery.Filter{States: []delivery.State{delivery.StateResolved}, Actors: []string{actor}}); err != nil || len(list.Items) != 2 || list.Items[0].Settlement.Actor != "ann" || list.Items[0].Settlement.ActorID != ann.ID {
			t.Errorf("failures of %s: %+v %v", actor, list.Items, err)
		}
	}
	if report, err := d.VerifyAudit(ctx); err != nil || !report.OK() {
		t.Errorf("%s %v", report, err)
	}
}

// The setting's token is one actor whatever its secret is, and is not a token that somebody calls the same.
func TestTheTokenOfTheSettingIsOneActor(t *testing.T) {
	d := open(t)
	ctx := t.Context()
	namesake := d.robot("environment", 1)
	first, second := bytes.Repeat([]byte{2}, 32), bytes.Repeat([]byte{3}, 32)
	d.must(d.EnsureEnvToken(ctx, first))
	one, err := d.TokenByHash(ctx, first)
	d.must(err)
	d.must(d.EnsureEnvToken(ctx, second))
	two, err := d.TokenByHash(ctx, second)
	if d.must(err); one.ID != two.ID {
		t.Error("a new secret makes another actor")
	}
	if found, err := d.TokenByHash(ctx, bytes.Repeat([]byte{1}, 32)); err != nil || found.ID != namesake.ID {
		t.Errorf("a token of the same name ended: %v", err)
	}
	d.must(d.EnsureEnvToken(ctx, bytes.Repeat([]byte{1}, 32))) // whose secret the setting has now
	if found, err := d.TokenByHash(ctx, bytes.Repeat([]byte{1}, 32)); err != nil || found.ID != one.ID || found.Role != delivery.RoleAdmin {
		t.Errorf("%+v %v", found, err)
	}
}
