package handlers

import (
	"encoding/json"
	"net/http"
	"slices"
	"strings"
	"testing"

	"github.com/descope/virtualwebauthn"
	"github.com/google/uuid"

	"redrive/delivery"
	"redrive/handlers/web"
	"redrive/handlers/web/passkey"
	"redrive/views"
)

// here is the site of the tests as authenticators know it.
var here = virtualwebauthn.RelyingParty{ID: "localhost", Name: "Redrive", Origin: "http://localhost:8080"}

// keyring is somebody's authenticator.
type keyring struct {
	virtualwebauthn.Authenticator
	key virtualwebauthn.Credential
}

func newKeyring(o delivery.Operator) keyring {
	id := uuid.MustParse(o.ID)
	return keyring{virtualwebauthn.NewAuthenticatorWithOptions(virtualwebauthn.AuthenticatorOptions{UserHandle: id[:]}), virtualwebauthn.NewCredential(virtualwebauthn.KeyTypeEC2)}
}

// asks begins to make or to show a passkey, as the script does.
func (b *browser) asks(path string) (ticket, options string) {
	b.t.Helper()
	a := b.do(http.MethodPost, path, "", "Accept", "application/json")
	var asked struct {
		Ticket  string          `json:"ticket"`
		Options json.RawMessage `json:"options"`
	}
	if err := json.Unmarshal(a.body, &asked); err != nil || a.StatusCode != http.StatusOK || a.Header.Get("Cache-Control") != "no-store" {
		b.t.Fatalf("%d %s: %v", a.StatusCode, a.body, err)
	}
	return asked.Ticket, `{"publicKey":` + string(asked.Options) + `}`
}

// makes a passkey at a place that calls itself so.
func (b *browser) makes(k keyring, rp virtualwebauthn.RelyingParty, name string) answer {
	b.t.Helper()
	ticket, options := b.asks(views.PasskeyBegin)
	parsed, err := virtualwebauthn.ParseAttestationOptions(options)
	b.must(err)
	return b.submit(views.AccountPasskeys, "name", name, "ticket", ticket, "response", virtualwebauthn.CreateAttestationResponse(rp, k.Authenticator, k.key, *parsed))
}

// shown is what an authenticator answers, and the ticket that it is for.
func (b *browser) shown(k keyring, rp virtualwebauthn.RelyingParty) (ticket, response string) {
	b.t.Helper()
	ticket, options := b.asks(views.SignInBegin)
	parsed, err := virtualwebauthn.ParseAssertionOptions(options)
	b.must(err)
	return ticket, virtualwebauthn.CreateAssertionResponse(rp, k.Authenticator, k.key, *parsed)
}

func (b *browser) signsBy(ticket, response string) answer {
	return b.submit(views.SignInPasskey, "ticket", ticket, "response", response, "next", "/failures?key=a")
}

func TestPasskeys(t *testing.T) {
	s := newSite(t, func(c *web.Config) { c.PublicURL = "http://127.0.0.1:8080" })
	b := s.signedIn("ann", delivery.RoleOperator)
	o := s.operatorNow("ann")
	k := newKeyring(o)
	b.shows(b.makes(k, here, " "), http.StatusUnprocessableEntity, "Name the device")
	elsewhere := here
	elsewhere.Origin = "http://evil.test:8080"
	b.shows(b.makes(k, elsewhere, "laptop"), http.StatusUnprocessableEntity, "was not added")
	lazy := k
	lazy.Options.UserNotVerified = true
	b.shows(b.makes(lazy, here, "laptop"), http.StatusUnprocessableEntity, "was not added")
	b.shows(b.goes(b.makes(k, here, "laptop"), "/account"), http.StatusOK, "laptop signs you in", "<strong>laptop</strong>")
	b.shows(b.makes(k, here, "again"), http.StatusUnprocessableEntity, "known already")
	// A challenge that was made for somebody else makes nothing here.
	mallory := s.signedIn("mallory", delivery.RoleViewer)
	ticket, options := b.asks(views.PasskeyBegin)
	parsed, err := virtualwebauthn.ParseAttestationOptions(options)
	s.must(err)
	response := virtualwebauthn.CreateAttestationResponse(here, k.Authenticator, virtualwebauthn.NewCredential(virtualwebauthn.KeyTypeEC2), *parsed)
	mallory.shows(mallory.submit(views.AccountPasskeys, "name", "x", "ticket", ticket, "response", response), http.StatusUnprocessableEntity, "was not added")

	signs := func(k keyring, rp virtualwebauthn.RelyingParty) answer {
		who := s.stranger()
		return who.signsBy(who.shown(k, rp))
	}
	k.key.Counter = 5
	who := s.stranger()
	ticket, response = who.shown(k, here)
	who.shows(who.goes(who.signsBy(ticket, response), "/failures?key=a"), http.StatusOK, "ann")
	for name, a := range map[string]answer{
		"the same again":          s.stranger().signsBy(ticket, response),
		"another origin":          signs(k, elsewhere),
		"the count of before":     signs(k, here),
		"a copy that counts less": func() answer { c := k; c.key.Counter = 3; return signs(c, here) }(),
		"without user":            func() answer { c := lazy; c.key.Counter = 9; return signs(c, here) }(),
		"another key":             signs(newKeyring(o), here),
		"somebody else's handle": func() answer {
			c := newKeyring(s.operatorNow("mallory"))
			c.key = k.key
			c.key.Counter = 9
			return signs(c, here)
		}(),
		"nobody's handle": func() answer {
			c := newKeyring(delivery.Operator{ID: uuid.NewString()})
			c.key = k.key
			c.key.Counter = 9
			return signs(c, here)
		}(),
		"another challenge":        func() answer { w := s.stranger(); t, _ := w.shown(k, here); return w.signsBy(t, response) }(),
		"no response":              func() answer { w := s.stranger(); t, _ := w.shown(k, here); return w.signsBy(t, "") }(),
		"a response that is none":  func() answer { w := s.stranger(); t, _ := w.shown(k, here); return w.signsBy(t, `{"id":5}`) }(),
		"another site's challenge": func() answer { r := here; r.ID = "evil.test"; c := k; c.key.Counter = 9; return signs(c, r) }(),
	} {
		if a.StatusCode != http.StatusUnauthorized || !strings.Contains(string(a.body), "The passkey does not fit") {
			t.Errorf("%s: %d %s", name, a.StatusCode, mainOf(a.body))
		}
	}
	if why := s.refusals("session.sign-in-failed"); !slices.ContainsFunc(why, func(w string) bool { return strings.Contains(w, "copy") }) || len(why) < 5 {
		t.Errorf("audited: %q", why)
	}
	k.key.Counter = 6
	if a := signs(k, here); a.StatusCode != http.StatusSeeOther {
		t.Errorf("the right one after all that: %d", a.StatusCode)
	}
	// Codes of an app are not asked for beside it, and whoever is disabled has no use of it.
	root := s.signedIn("root", delivery.RoleAdmin)
	root.goes(root.submit(views.OperatorUpdate(o.ID, "disable")), "/operators")
	k.key.Counter = 7
	if a := signs(k, here); a.StatusCode != http.StatusUnauthorized {
		t.Errorf("a disabled person: %d", a.StatusCode)
	}
	root.goes(root.submit(views.OperatorUpdate(o.ID, "enable")), "/operators")
	b.submit("/sign-in", "name", "ann", "password", ownPassword)
	keys, err := s.store.Passkeys(t.Context(), o.ID)
	s.must(err)
	b.shows(b.goes(b.submit(views.PasskeyRemove(keys[0].ID)), "/account"), http.StatusOK, "The passkey is removed", "!<strong>laptop</strong>")
	k.key.Counter = 8
	if a := signs(k, here); a.StatusCode != http.StatusUnauthorized {
		t.Errorf("a removed passkey: %d", a.StatusCode)
	}
	if got := b.actions("ann"); !slices.Contains(got, "ann operator.add-passkey") || !slices.Contains(got, "ann operator.remove-passkey") {
		t.Error(got)
	}
}

func TestWherePasskeysAre(t *testing.T) {
	for site, origin := range map[string]string{"https://redrive.example.com": "https://redrive.example.com", "http://127.0.0.1:8080": "http://localhost:8080",
		"http://[::1]:80": "http://localhost:80", "http://127.0.0.1": "http://localhost", "http://192.168.1.1:8080": "", "": "", "x": ""} {
		if got := passkey.Origin(site); got != origin {
			t.Errorf("%q: %q", site, got)
		}
	}
}
