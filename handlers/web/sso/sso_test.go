package sso_test

import (
	"errors"
	"strings"
	"testing"

	"redrive/delivery"
	"redrive/handlers/web/sso"
	"redrive/handlers/web/sso/ssotest"
)

func TestRolesOfGroups(t *testing.T) {
	for text, complaint := range map[string]string{"": "no group", " ; ": "no group", "admin": "not ROLE=GROUP", "admin=": "not ROLE=GROUP", "king=a": "not ROLE=GROUP",
		"admin=a;viewer=a": "two roles", "admin=a; operator=cn=x,dc=y": ""} {
		roles, err := sso.ParseRoles(text)
		if (err == nil) != (complaint == "") || err != nil && !strings.Contains(err.Error(), complaint) {
			t.Errorf("%q: %v, %v", text, roles, err)
		}
	}
	roles, err := sso.ParseRoles("admin=a; operator=cn=x,dc=y")
	if err != nil || len(roles) != 2 || roles[1] != (sso.GroupRole{Role: delivery.RoleOperator, Group: "cn=x,dc=y"}) {
		t.Errorf("%v, %v", roles, err)
	}
}

// No text ends sessions but one that the provider has signed, and each that does not is refused as a token.
func FuzzLogoutToken(f *testing.F) {
	p := ssotest.New(f)
	provider := sso.New(sso.Config{Issuer: p.URL, ClientID: ssotest.ClientID, Client: p.Client()})
	good := p.Signed(p.LogoutToken(nil))
	for _, raw := range []string{"", "a.b.c", "...", good[:len(good)-3], good + "x", ssotest.WithoutKey(p.LogoutToken(nil)), p.ByPublicKey(p.LogoutToken(nil)),
		p.Signed([]byte(`null`)), p.Signed([]byte(`{"aud":5}`)), p.Signed([]byte(`[]`)), strings.Repeat("a.", 20_000), `{"payload":"e30"}`} {
		f.Add(raw)
	}
	f.Fuzz(func(t *testing.T, raw string) {
		l, err := provider.Logout(t.Context(), raw)
		var refused *sso.TokenError
		if !errors.As(err, &refused) {
			t.Errorf("%q: %+v, %v", raw, l, err)
		}
	})
}
