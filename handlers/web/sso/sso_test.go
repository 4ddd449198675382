package sso_test

import (
	"errors"
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"redrive/delivery"
	"redrive/handlers/web/sso"
	"redrive/handlers/web/sso/ssotest"
)

func TestRolesOfGroups(t *testing.T) {
	for text, complaint := range map[string]string{"": "no group", " ; ": "no group", "admin": "neither ROLE=GROUP", "admin=": "neither ROLE=GROUP", "king=a": "neither ROLE=GROUP",
		"admin=a;viewer=a": "two roles", "admin=a; operator=cn=x,dc=y": "", "operator[]=a": "names no integration", "operator[push=a": "neither ROLE=GROUP",
		"operator[Push!]=a": "integration", "operator[team=]=a": "label", "king[push]=a": "neither ROLE=GROUP", "operator[push]=": "neither ROLE=GROUP",
		"operator[push]=a; on-call[ sms , team=shop ] = a; viewer=a": ""} {
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

// No ID token signs in but one that the provider has signed and that answers this sign-in; any other is refused as a token.
func FuzzIDToken(f *testing.F) {
	p := ssotest.New(f)
	roles, err := sso.ParseRoles("operator=ops; viewer[push]=guests")
	if err != nil {
		f.Fatal(err)
	}
	provider := sso.New(sso.Config{Issuer: p.URL, ClientID: ssotest.ClientID, ClientSecret: ssotest.Secret, Roles: roles, Client: p.Client()})
	var attempt sso.Attempt
	address, err := provider.Begin(f.Context(), sso.Attempt{Back: "http://localhost/back", MaxAge: time.Hour}, func(a sso.Attempt) (string, error) {
		attempt = a
		return "state", nil
	})
	if err != nil {
		f.Fatal(err)
	}
	p.Keep = true
	code := codeOf(f, p, address)
	if _, err := provider.Finish(f.Context(), attempt, code); err != nil {
		f.Fatalf("the right token: %v", err)
	}
	now := time.Now().Unix()
	good := fmt.Sprintf(`{"iss":%q,"sub":"s","aud":"redrive","exp":%d,"iat":%d,"nonce":"n","groups":["ops"]}`, p.URL, now+9e6, now)
	for _, claims := range []string{"", "null", "[]", "{}", good, strings.Replace(good, `"redrive"`, `["redrive",5]`, 1), strings.Replace(good, `"s"`, `{"a":1}`, 1),
		strings.Replace(good, `"n"`, `null`, 1), strings.Replace(good, `"exp":`, `"exp":1e400,"x":`, 1), strings.Repeat("[", 20_000), `{"iss":"\ud800"}`} {
		f.Add(claims, true)
		f.Add(claims, false)
		f.Add(p.Signed([]byte(claims)), false)
		f.Add(ssotest.WithoutKey([]byte(claims)), false)
	}
	f.Fuzz(func(t *testing.T, text string, signed bool) {
		p.Sign = func([]byte) string { return text }
		if signed {
			p.Sign = func([]byte) string { return p.Signed([]byte(text)) }
		}
		s, err := provider.Finish(t.Context(), attempt, code)
		var refused *sso.TokenError
		if !errors.As(err, &refused) {
			t.Errorf("%q (signed: %v): %+v, %v", text, signed, s, err)
		}
	})
}

// codeOf is what the provider hands out for an address.
func codeOf(t testing.TB, p *ssotest.Provider, address string) string {
	t.Helper()
	client := *p.Client()
	client.CheckRedirect = func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }
	r, err := client.Get(address)
	if err != nil {
		t.Fatal(err)
	}
	_ = r.Body.Close()
	to, err := r.Location()
	if err != nil {
		t.Fatal(err)
	}
	return to.Query().Get("code")
}
