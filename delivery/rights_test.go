package delivery

import (
	"errors"
	"reflect"
	"slices"
	"testing"
)

func TestRolesAreOneTable(t *testing.T) {
	if len(rolePermissions) != len(Roles) {
		t.Errorf("%d rows, %d roles", len(rolePermissions), len(Roles))
	}
	for _, r := range Roles {
		if !r.Permits(PermitView) || r.Permits(PermitAdminister) != (r == RoleAdmin) || r.Permits(PermitReveal) != (r == RoleAdmin) {
			t.Errorf("%s: %v", r, rolePermissions[r])
		}
		for n, p := range rolePermissions[r] {
			if !slices.Contains(Permissions, p) || slices.Contains(rolePermissions[r][:n], p) {
				t.Errorf("%s: %s is no permission, or is there twice", r, p)
			}
		}
	}
	for _, p := range Permissions {
		least := map[bool]Role{true: RoleOperator, false: RoleViewer}[!RoleViewer.Permits(p)]
		if least.Permits(p) != RoleOperator.Permits(p) || !RoleAdmin.Permits(p) || Role("king").Permits(p) {
			t.Errorf("%s: an operator does what a viewer does, an admin everything, a role that there is not nothing", p)
		}
	}
	if RoleAuditor.Permits(PermitViewPayload) || !RoleAuditor.Permits(PermitExport) || RoleOnCall.Permits(PermitEdit) || RoleReviewer.Permits(PermitIgnore) {
		t.Error("auditors see no payload, who is on call edits none, reviewers ignore nothing themselves")
	}
}

func TestRightsAddUp(t *testing.T) {
	shop := Grant{Role: RoleOperator, Labels: map[string]string{"team": "shop"}, Within: []string{"sms", "push"}}
	rights := RightsOf(RoleViewer, Grants{shop, {Permissions: []Permission{PermitPause, PermitRetry}, Integrations: []string{"bulk"}, Within: []string{"bulk"}},
		{Role: RoleAdmin, Integrations: []string{"push"}, Within: []string{"push"}}, {Role: RoleReviewer, Integrations: []string{"gone"}}})
	for p, want := range map[Permission]Scope{PermitView: Everywhere, PermitRetry: {Names: []string{"bulk", "push", "sms"}}, PermitEdit: {Names: []string{"push", "sms"}},
		PermitReveal: {Names: []string{"push"}}, PermitAdminister: {}} {
		if got := rights.Scope(p); !reflect.DeepEqual(got, want) {
			t.Errorf("%s: %+v, want %+v", p, got, want)
		}
	}
	if got := rights.Scope(PermitEdit, PermitPause); !reflect.DeepEqual(got.Names, []string{"push", "sms"}) || !rights.Scope(PermitView, PermitAudit).All {
		t.Errorf("both: %+v", got)
	}
	if !rights.May(PermitView, PermitEdit) || rights.May(PermitEdit, PermitAdminister) || rights.MissingFor("bulk", PermitRetry, PermitEdit) != PermitEdit {
		t.Error("what is missing is not told")
	}
	both := rights.And(RightsOf("", Grants{{Role: RoleAdmin, Integrations: []string{"push"}, Within: []string{"push"}}}))
	if got := both.Scope(PermitView); got.All || !slices.Equal(got.Names, []string{"push"}) || both.May(PermitAdminister) {
		t.Errorf("in common: %+v", both)
	}
	if none := RightsOf("", Grants{{Role: RoleViewer, Integrations: []string{"gone"}}}); none.May(PermitView) || !none.Scope(PermitView).IsEmpty() {
		t.Errorf("of what is not there: %+v", none)
	}
}

func TestGrantsAreChecked(t *testing.T) {
	for _, bad := range []Grant{{}, {Role: "king"}, {Permissions: []Permission{"fly"}}, {Role: RoleViewer, Integrations: []string{"No Name"}},
		{Role: RoleViewer, Labels: map[string]string{"team": ""}}, {Role: RoleViewer, Labels: map[string]string{"Team": "x"}},
		{Permissions: []Permission{PermitAdminister}, Integrations: []string{"push"}}, {Role: RoleViewer, Integrations: slices.Repeat([]string{"a"}, 101)}} {
		if err := bad.Check(); !errors.As(err, new(*InputError)) {
			t.Errorf("%+v: %v", bad, err)
		}
	}
	for _, good := range []Grant{{Role: RoleViewer}, {Permissions: []Permission{PermitRetry}, Labels: map[string]string{"team": "shop", "country": "kr"}}} {
		if err := good.Check(); err != nil {
			t.Errorf("%+v: %v", good, err)
		}
	}
	if (Operator{Name: "ann"}).Check() == nil || (Operator{Name: "ann", Grants: Grants{{Role: RoleViewer, Integrations: []string{"push"}}}}).Check() != nil {
		t.Error("somebody has a role or a grant")
	}
}
