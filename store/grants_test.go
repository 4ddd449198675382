package store_test

import (
	"bytes"
	"errors"
	"reflect"
	"slices"
	"testing"

	"redrive/delivery"
)

// labelled are integrations of two teams.
func labelled(t *testing.T) desk {
	t.Helper()
	d := open(t)
	list := []delivery.Integration{}
	for name, labels := range map[string]map[string]string{"push": {"team": "shop", "country": "kr"}, "sms": {"team": "shop"}, "points": {"team": "loyalty"}, "plain": nil} {
		list = append(list, delivery.Integration{Name: name, Method: delivery.MethodOutbox, Labels: labels,
			Destination: delivery.Destination{To: &delivery.HTTPDestination{URL: "http://127.0.0.1:1/"}}})
	}
	d.must(d.SyncIntegrations(t.Context(), list))
	return d
}

func TestGrantsAreForNamesAndLabels(t *testing.T) {
	d := labelled(t)
	viewer, of := delivery.RoleViewer, func(labels map[string]string, names ...string) delivery.Grant {
		return delivery.Grant{Role: delivery.RoleOperator, Integrations: names, Labels: labels}
	}
	for n, tc := range []struct {
		grant delivery.Grant
		want  []string
	}{
		{of(map[string]string{"team": "shop"}), []string{"push", "sms"}},
		{of(map[string]string{"team": "shop", "country": "kr"}), []string{"push"}},
		{of(map[string]string{"team": "loyalty"}, "plain", "gone"), []string{"plain", "points"}},
		{of(nil, "sms"), []string{"sms"}},
		{of(map[string]string{"team": "nobody"}), nil},
	} {
		token, err := d.CreateToken(t.Context(), delivery.Token{Name: "ci", Grants: delivery.Grants{tc.grant}}, bytes.Repeat([]byte{byte(n + 1)}, 32), "setup")
		d.must(err)
		found, err := d.TokenByHash(t.Context(), bytes.Repeat([]byte{byte(n + 1)}, 32))
		if d.must(err); !reflect.DeepEqual(found, token) || !slices.Equal(found.Rights().Scope(delivery.PermitRetry).Names, tc.want) || found.Rights().May(delivery.PermitReveal) {
			t.Errorf("%+v: %+v, want %v", tc.grant, found.Rights(), tc.want)
		}
	}

	d.person("root", delivery.RoleAdmin)
	ann := d.person("ann", viewer)
	d.session(ann, "ann")
	grant := of(map[string]string{"team": "shop"})
	changed, err := d.ChangeOperator(t.Context(), delivery.OperatorChange{ID: ann.ID, Actor: "root", Grant: &grant})
	if d.must(err); len(changed.Grants) != 1 || changed.Role != viewer || changed.Generation != ann.Generation+1 {
		t.Errorf("%+v", changed)
	}
	if _, _, err := d.SignedIn(t.Context(), "ann"); !errors.Is(err, delivery.ErrNotFound) {
		t.Errorf("the session goes on: %v", err)
	}
	d.session(changed, "ann")
	in, _, err := d.SignedIn(t.Context(), "ann")
	if d.must(err); !in.Rights().Scope(delivery.PermitView).All || !slices.Equal(in.Rights().Scope(delivery.PermitEdit).Names, []string{"push", "sms"}) {
		t.Errorf("%+v", in.Rights())
	}
	entry := d.audited("operator.grant")
	if !bytes.Contains(entry.Details, []byte(`"team": "shop"`)) && !bytes.Contains(entry.Details, []byte(`"team":"shop"`)) {
		t.Errorf("%s", entry.Details)
	}
	other := "0190a0a0-0000-7000-8000-000000000001"
	for _, id := range []string{other, "x"} {
		if _, err := d.ChangeOperator(t.Context(), delivery.OperatorChange{ID: ann.ID, Actor: "root", Withdraw: &id}); !errors.Is(err, delivery.ErrNotFound) {
			t.Errorf("%s: %v", id, err)
		}
	}
	id := changed.Grants[0].ID
	changed, err = d.ChangeOperator(t.Context(), delivery.OperatorChange{ID: ann.ID, Actor: "root", Withdraw: &id})
	if d.must(err); len(changed.Grants) != 0 || changed.Rights().May(delivery.PermitEdit) {
		t.Errorf("%+v", changed)
	}
	// whoever administers by a grant alone is an administrator who may be left
	all := delivery.Grant{Role: delivery.RoleAdmin}
	bob, err := d.CreateOperator(t.Context(), delivery.Operator{Name: "bob", PasswordHash: "h", Grants: delivery.Grants{all}}, "setup")
	d.must(err)
	root, err := d.OperatorByName(t.Context(), "root")
	d.must(err)
	_, err = d.ChangeOperator(t.Context(), delivery.OperatorChange{ID: root.ID, Actor: "setup", Role: &viewer})
	d.must(err)
	if _, err := d.ChangeOperator(t.Context(), delivery.OperatorChange{ID: bob.ID, Actor: "setup", Withdraw: &bob.Grants[0].ID}); inputCode(t, err) != "last_admin" {
		t.Errorf("%v", err)
	}
}

// audited is the latest entry of an action.
func (d desk) audited(action string) delivery.AuditEntry {
	d.t.Helper()
	page, err := d.Audit(d.t.Context(), delivery.AuditFilter{Action: action})
	if d.must(err); len(page.Items) == 0 {
		d.t.Fatal("nothing was written down of " + action)
	}
	return page.Items[0]
}
