package handlers

import (
	"encoding/json"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"

	"redrive/delivery"
	"redrive/handlers/web"
	"redrive/handlers/web/sso"
	"redrive/handlers/web/sso/ssotest"
	"redrive/views"
)

// provided is a site with a provider of single sign-on.
func provided(t *testing.T, change ...func(*web.Config)) (*site, *ssotest.Provider) {
	t.Helper()
	return providedBy(t, func(*sso.Config) {}, change...)
}

// providedBy is the same with other settings of the provider.
func providedBy(t *testing.T, by func(*sso.Config), change ...func(*web.Config)) (*site, *ssotest.Provider) {
	t.Helper()
	p := ssotest.New(t)
	roles, err := sso.ParseRoles("admin=root; operator=ops; viewer=cn=guests,dc=example")
	if err != nil {
		t.Fatal(err)
	}
	s := newSite(t, append(change, func(c *web.Config) {
		cfg := sso.Config{Issuer: p.URL, Name: "the shop's login", ClientID: ssotest.ClientID, ClientSecret: ssotest.Secret, Roles: roles, Client: p.Client()}
		by(&cfg)
		c.SSO = sso.New(cfg)
	})...)
	s.Config.PublicURL = s.url
	return s, p
}

// atProvider follows a way to the provider and answers the address with which it sends back.
func (b *browser) atProvider(to string) (back string) {
	b.t.Helper()
	r, err := http.NewRequestWithContext(b.t.Context(), http.MethodGet, to, nil)
	b.must(err)
	response, err := b.client.Do(r)
	b.must(err)
	response.Body.Close()
	back, found := strings.CutPrefix(response.Header.Get("Location"), b.url)
	if !found {
		b.t.Fatalf("the provider answers %d and sends to %q", response.StatusCode, response.Header.Get("Location"))
	}
	return back
}

// begins single sign-on and answers where the provider sends back.
func (b *browser) begins(next string) (back string) {
	b.t.Helper()
	a := b.open(views.SignInAt(next))
	if a.StatusCode != http.StatusSeeOther {
		b.t.Fatalf("%d %s\n%s", a.StatusCode, mainOf(a.body), b.log.String())
	}
	return b.atProvider(a.Header.Get("Location"))
}

// refusals are the reasons in the audit of what was refused, newest first.
func (s *site) refusals(action string) (why []string) {
	s.t.Helper()
	page, err := s.store.Audit(s.t.Context(), delivery.AuditFilter{Action: action})
	s.must(err)
	for _, e := range page.Items {
		var d struct{ Why string }
		if s.must(json.Unmarshal(e.Details, &d)); d.Why != "" {
			why = append(why, d.Why)
		}
	}
	return why
}

func TestSingleSignOn(t *testing.T) {
	s, p := provided(t)
	b := s.person("ann", delivery.RoleViewer) // a local one of the same name
	b.shows(b.open("/sign-in?next=/failures"), http.StatusOK, "Sign in with the shop", `href="/sign-in/oidc?next=%2Ffailures"`, `name="password"`)
	back := b.begins("/failures?key=a")
	b.shows(b.goes(b.open(back), "/failures?key=a"), http.StatusOK, "ann-2")
	b.shows(b.open("/account"), http.StatusOK, "Signed in as ann-2", "operator")
	o := s.operatorNow("ann-2")
	if o.Issuer != p.URL || o.Subject != "subject-1" || o.Role != delivery.RoleOperator || o.PasswordHash != "" {
		t.Errorf("%+v", o)
	}
	// The same answer again is refused, by this browser and by another one.
	b.shows(b.open(back), http.StatusUnauthorized, "This sign-in is over")
	stranger := s.stranger()
	stranger.shows(stranger.open(b.begins("/")), http.StatusUnauthorized, "begun in another browser")
	if why := s.refusals("session.sign-in-failed"); !slices.Equal(why, []string{"its state was used before"}) {
		t.Errorf("audited: %q", why)
	}
	// No password signs them in, and nobody here changes what the provider keeps.
	b.shows(s.stranger().submit("/sign-in", "name", "ann-2", "password", "x"), http.StatusUnauthorized, "do not fit")
	root := s.signedIn("root", delivery.RoleAdmin)
	for _, what := range []string{"role", "password", "rename"} {
		a := root.submit(views.OperatorUpdate(o.ID, what), "role", "admin", "password", "a long password", "name", "xx")
		root.shows(a, http.StatusUnprocessableEntity, "where they sign in")
	}
	b.shows(b.submit("/account", "current", "", "new", "a long password", "again", "a long password"), http.StatusUnprocessableEntity, "where they sign in")
	if got := b.actions("ann-2"); !slices.Equal(got, []string{"anonymous session.sign-in-failed", "ann-2 session.sign-in", "redrive operator.create"}) {
		t.Errorf("audit %v", got)
	}

	// Groups decide at each sign-in: another role ends the sessions of before, another name does not, and none lets nobody in.
	second := s.stranger()
	p.Name = "anna"
	second.goes(second.open(second.begins("/")), "/")
	b.shows(b.open("/account"), http.StatusOK, "Signed in as anna")
	p.Groups = []string{"root", "ops"}
	second.goes(second.open(second.begins("/")), "/")
	second.shows(second.open("/operators"), http.StatusOK)
	b.goes(b.open("/account"), "/sign-in?next=%2Faccount")
	p.Groups = "cn=guests,dc=example"
	second.goes(second.open(second.begins("/")), "/")
	second.shows(second.open("/account"), http.StatusOK, "viewer: looks")
	for _, none := range []any{[]string{"others"}, []string{}, nil, "ops2"} {
		p.Groups = none
		second.shows(second.open(second.begins("/")), http.StatusForbidden, "None of your groups has a role")
	}
	if n := len(s.refusals("session.sign-in-failed")); n != 5 {
		t.Errorf("%d refusals are audited", n)
	}

	// Whoever is disabled here stays out, and is told.
	p.Groups = []string{"ops"}
	root.goes(root.submit(views.OperatorUpdate(o.ID, "disable")), "/operators")
	second.shows(second.open(second.begins("/")), http.StatusForbidden, "You are disabled here")
	if got := s.operatorNow("anna"); got.DisabledAt == nil || got.ID != o.ID {
		t.Errorf("%+v", got)
	}
}

// Each kind of bad answer is refused and written down, and nobody is made of it.
func TestBadTokensOfAProvider(t *testing.T) {
	s, p := provided(t)
	hour := time.Hour
	set := func(name string, value any) func() { return func() { p.Change = ssotest.With(name, value) } }
	for name, spoil := range map[string]func(){
		"another issuer":           set("iss", "https://evil.test"),
		"no issuer":                set("iss", nil),
		"another audience":         set("aud", "another"),
		"no audience":              set("aud", nil),
		"expired":                  set("exp", time.Now().Add(-time.Minute).Unix()),
		"no expiry":                set("exp", nil),
		"not yet valid":            set("nbf", time.Now().Add(hour).Unix()),
		"issued in the future":     set("iat", time.Now().Add(hour).Unix()),
		"not issued":               set("iat", nil),
		"another nonce":            set("nonce", "another"),
		"no nonce":                 set("nonce", nil),
		"no subject":               set("sub", nil),
		"a subject with a zero":    set("sub", "a\x00b"),
		"another authorized party": set("azp", "another"),
		"several audiences":        set("aud", []string{ssotest.ClientID, "another"}),
		"another access token":     set("at_hash", "AAAAAAAAAAAAAAAAAAAAAA"),
		"signed in at no time":     set("auth_time", 0),
		"signed in to come":        set("auth_time", time.Now().Add(hour).Unix()),
		"signed in too long ago":   set("auth_time", time.Now().Add(-25*hour).Unix()),
		"groups that are none":     set("groups", 5),
		"no algorithm":             func() { p.Sign = ssotest.WithoutKey },
		"the public key as secret": func() { p.Sign = p.ByPublicKey },
		"somebody else's key":      func() { p.Sign = ssotest.ByStranger },
		"changed after signing": func() {
			p.Sign = func(body []byte) string {
				parts := strings.Split(p.Signed(body), ".")
				other := strings.Split(p.Signed([]byte(strings.Replace(string(body), "subject-1", "subject-2", 1))), ".")
				return parts[0] + "." + other[1] + "." + parts[2]
			}
		},
		"no signature": func() { p.Sign = func(b []byte) string { t := p.Signed(b); return t[:strings.LastIndex(t, ".")+1] } },
		"no token":     func() { p.Sign = func([]byte) string { return "" } },
	} {
		p.Change, p.Sign = nil, nil
		s.Server.Core.Config.Log.Info("a bad token", "kind", name)
		spoil()
		b := s.stranger()
		before := len(s.refusals("session.sign-in-failed"))
		a := b.open(b.begins("/"))
		if a.StatusCode != http.StatusUnauthorized || !strings.Contains(string(a.body), "does not fit") {
			t.Errorf("%s: %d %s", name, a.StatusCode, mainOf(a.body))
		}
		if b.open("/account").StatusCode == http.StatusOK {
			t.Errorf("%s: signed in", name)
		}
		if why := s.refusals("session.sign-in-failed"); before < 20 && len(why) != before+1 {
			t.Errorf("%s: not audited, %q", name, why)
		}
	}
	if strings.Count(s.log.String(), "single sign-on refused") == 0 {
		t.Error("what is not audited any more is not in the log")
	}
	if n, err := s.store.Operators(t.Context()); err != nil || len(n) != 0 {
		t.Errorf("%d people were made: %v", len(n), err)
	}
}

// What comes back with another code, from another issuer, or with an error signs nobody in.
func TestBadAnswersOfAProvider(t *testing.T) {
	s, p := provided(t)
	change := func(back string, pairs ...string) string {
		u, err := url.Parse(back)
		s.must(err)
		q := u.Query()
		for i := 0; i < len(pairs); i += 2 {
			q.Set(pairs[i], pairs[i+1])
		}
		u.RawQuery = q.Encode()
		return u.String()
	}
	b := s.stranger()
	b.shows(b.open(change(b.begins("/"), "code", "guessed")), http.StatusUnauthorized, "does not fit")
	b.shows(b.open(change(b.begins("/"), "state", "guessed")), http.StatusUnauthorized, "begun in another browser")
	b.shows(b.open(change(b.begins("/"), "iss", "https://evil.test")), http.StatusUnauthorized, "does not fit")
	b.shows(b.open(change(b.begins("/"), "error", "access_denied")), http.StatusUnauthorized, "The provider refused: access_denied")
	b.shows(b.open(change(b.begins("/"), "error", "<b>")), http.StatusUnauthorized, "The provider refused: ?")
	b.shows(b.open(views.ProviderBack), http.StatusUnauthorized, "This sign-in is over")
	// A code of one attempt does not answer another: the proof key and the nonce differ.
	p.Keep = true
	first, second := b.begins("/"), b.begins("/")
	u, err := url.Parse(first)
	s.must(err)
	b.shows(b.open(change(second, "code", u.Query().Get("code"))), http.StatusUnauthorized, "does not fit")
	b.goes(b.open(first), "/")
	// An outsider's address is no way on.
	b.goes(b.open(b.begins("//evil.test/")), "/")
}

func TestAProviderThatIsAway(t *testing.T) {
	p := ssotest.New(t)
	now := time.Now()
	roles, err := sso.ParseRoles("operator=ops")
	if err != nil {
		t.Fatal(err)
	}
	s := newSite(t, func(c *web.Config) {
		c.SSO = sso.New(sso.Config{Issuer: p.URL, ClientID: ssotest.ClientID, ClientSecret: ssotest.Secret, Roles: roles, Client: p.Client(), Now: func() time.Time { return now }})
	})
	s.Config.PublicURL = s.url
	b := s.stranger()
	b.goes(b.open(b.begins("/")), "/")
	back := s.stranger()
	answer := back.begins("/")
	p.Away(true)
	back.shows(back.open(answer), http.StatusServiceUnavailable, "does not answer") // it went away between two requests
	now = now.Add(31 * time.Second)
	other := s.person("root", delivery.RoleAdmin)
	other.shows(other.open("/sign-in"), http.StatusOK, "does not answer: sign in with a name and password", `name="password"`, "!/sign-in/oidc")
	other.shows(other.open(views.SignInAt("/")), http.StatusServiceUnavailable, "does not answer")
	other.goes(other.submit("/sign-in", "name", "root", "password", ownPassword), "/")
	b.shows(b.open("/account"), http.StatusOK, "Signed in as ann") // whoever is signed in stays so
	p.Away(false)
	now = now.Add(6 * time.Second)
	back.goes(back.open(back.begins("/")), "/")
}

// A form that was sent after the session had ended survives the way to the provider.
func TestAFormSurvivesSingleSignOn(t *testing.T) {
	s, _ := provided(t)
	s.known("root")
	b := s.stranger()
	b.goes(b.open(b.begins("/")), "/")
	id := s.fail(delivery.Message{Integration: "push", Payload: []byte("{}")}, "")
	version := b.version(id)
	_, err := s.store.ChangeOperator(t.Context(), delivery.OperatorChange{ID: s.operatorNow("ann").ID, Actor: "setup"})
	s.must(err)
	a := b.submit(views.FailureAction(id, "ignore"), "version", version, "category", "duplicate", "reason", "typed at length")
	b.shows(a, http.StatusUnauthorized, "what you typed is kept", `action="/sign-in/oidc"`)
	a = b.submit(views.SignInProvider, "next", views.FailureAction(id, "ignore"), "kept", field(a.body, "kept"))
	b.shows(a, http.StatusOK, "Go on to the shop")
	a = b.open(b.atProvider(link(a.body, "primary")))
	b.shows(a, http.StatusOK, "You are signed in as ann", `value="typed at length"`, `action="`+views.FailureAction(id, "ignore")+`"`)
	b.goes(b.submit(views.FailureAction(id, "ignore"), "version", version, "category", "duplicate", "reason", "typed at length"), views.FailureFrom(id, "/failures"))
}

// link is where the first link of a class leads.
func link(body []byte, class string) string {
	_, rest, _ := strings.Cut(mainOf(body), class)
	_, rest, _ = strings.Cut(rest, `href="`)
	address, _, _ := strings.Cut(rest, `"`)
	return strings.ReplaceAll(address, "&amp;", "&")
}

// field is the value of a field of a page.
func field(body []byte, name string) string {
	_, rest, _ := strings.Cut(string(body), `name="`+name+`" value="`)
	value, _, _ := strings.Cut(rest, `"`)
	return value
}

// Groups that are told only when the provider is asked count as well, if they are told of the same person.
func TestGroupsThatAreAskedFor(t *testing.T) {
	s, p := provided(t)
	p.Groups, p.UserInfo = nil, ssotest.Claims{"sub": "subject-1", "groups": []string{"ops"}}
	b := s.stranger()
	b.goes(b.open(b.begins("/")), "/")
	p.UserInfo["sub"] = "subject-2"
	b.shows(b.open(b.begins("/")), http.StatusUnauthorized, "does not fit")
}

func TestTheProviderEndsSessions(t *testing.T) {
	s, p := provided(t)
	b, other := s.stranger(), s.stranger()
	b.goes(b.open(b.begins("/")), "/")
	p.Session = "session-2"
	other.goes(other.open(other.begins("/")), "/")
	p.Session = "session-1"
	local := s.signedIn("root", delivery.RoleAdmin)
	tell := func(token string) answer {
		return s.stranger().do(http.MethodPost, views.ProviderLogout, url.Values{"logout_token": {token}}.Encode(), "Sec-Fetch-Site", "")
	}
	hour := time.Hour
	past, event := time.Now().Add(-time.Minute).Unix(), "http://schemas.openid.net/event/backchannel-logout"
	for name, token := range map[string]string{
		"none":                 "",
		"another issuer":       p.Signed(p.LogoutToken(ssotest.With("iss", "https://evil.test"))),
		"another audience":     p.Signed(p.LogoutToken(ssotest.With("aud", "another"))),
		"expired":              p.Signed(p.LogoutToken(ssotest.With("exp", past))),
		"without end":          p.Signed(p.LogoutToken(ssotest.With("exp", nil))),
		"for ever":             p.Signed(p.LogoutToken(ssotest.With("exp", time.Now().Add(1000*hour).Unix()))),
		"not issued":           p.Signed(p.LogoutToken(ssotest.With("iat", nil))),
		"issued in the future": p.Signed(p.LogoutToken(ssotest.With("iat", time.Now().Add(hour).Unix()))),
		"with a nonce":         p.Signed(p.LogoutToken(ssotest.With("nonce", "x"))),
		"without an id":        p.Signed(p.LogoutToken(ssotest.With("jti", nil))),
		"without an event":     p.Signed(p.LogoutToken(ssotest.With("events", nil))),
		"another event":        p.Signed(p.LogoutToken(ssotest.With("events", map[string]any{"other": map[string]any{}}))),
		"no event at all":      p.Signed(p.LogoutToken(ssotest.With("events", map[string]any{event: nil}))),
		"of nobody":            p.Signed(p.LogoutToken(func(c ssotest.Claims) { delete(c, "sub"); delete(c, "sid") })),
		"no algorithm":         ssotest.WithoutKey(p.LogoutToken(nil)),
		"the public key":       p.ByPublicKey(p.LogoutToken(nil)),
		"somebody else's key":  ssotest.ByStranger(p.LogoutToken(nil)),
		"an ID token":          p.Signed(p.LogoutToken(func(c ssotest.Claims) { delete(c, "events"); c["nonce"] = "x" })),
	} {
		if a := tell(token); a.StatusCode != http.StatusBadRequest {
			t.Errorf("%s: %d %s", name, a.StatusCode, a.body)
		}
	}
	if why := s.refusals("session.end-refused"); len(why) < 18 {
		t.Errorf("%d refusals audited: %q", len(why), why)
	}
	for _, who := range []*browser{b, other, local} {
		who.shows(who.open("/account"), http.StatusOK)
	}
	good := p.Signed(p.LogoutToken(nil))
	if a := tell(good); a.StatusCode != http.StatusOK || a.Header.Get("Cache-Control") != "no-store" {
		t.Fatalf("%d %s", a.StatusCode, s.log.String())
	}
	b.goes(b.open("/account"), "/sign-in?next=%2Faccount")
	other.shows(other.open("/account"), http.StatusOK)
	if a := tell(good); a.StatusCode != http.StatusBadRequest {
		t.Errorf("the same message again: %d", a.StatusCode)
	}
	if a := tell(p.Signed(p.LogoutToken(ssotest.With("sid", nil)))); a.StatusCode != http.StatusOK {
		t.Errorf("%d %s", a.StatusCode, a.body)
	}
	other.goes(other.open("/account"), "/sign-in?next=%2Faccount")
	local.shows(local.open("/account"), http.StatusOK)
	if got := local.actions("ann"); !slices.Equal(got[:2], []string{"redrive session.end-by-provider", "redrive session.end-by-provider"}) {
		t.Errorf("audit %v", got)
	}
}

func TestSigningOutAtTheProvider(t *testing.T) {
	s, p := provided(t)
	b := s.stranger()
	b.goes(b.open(b.begins("/")), "/")
	a := b.submit("/sign-out")
	b.shows(a, http.StatusOK, "You are signed out here.", "Sign out at the shop")
	to, err := url.Parse(link(a.body, "note good"))
	s.must(err)
	q := to.Query()
	if !strings.HasPrefix(to.String(), p.URL+"/end?") || q.Get("client_id") != ssotest.ClientID || strings.Count(q.Get("id_token_hint"), ".") != 2 || q.Get("post_logout_redirect_uri") != s.url+"/sign-in" {
		t.Errorf("%s", to)
	}
	b.goes(b.open("/account"), "/sign-in?next=%2Faccount")
	local := s.signedIn("root", delivery.RoleAdmin)
	local.goes(local.submit("/sign-out"), "/sign-in")
}
