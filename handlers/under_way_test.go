package handlers

import (
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"redrive/delivery"
	"redrive/handlers/web"
	"redrive/handlers/web/sso"
	"redrive/handlers/web/sso/ssotest"
	"redrive/views"
)

// Strangers begin sign-ins of each kind without end: that fills nothing, and whoever has to sign in does, in each way.
func TestStrangersWhoBeginWithoutEndKeepNobodyOut(t *testing.T) {
	now := time.Now()
	s, _ := provided(t, func(c *web.Config) {
		c.PublicURL, c.Now = "http://127.0.0.1:8080", func() time.Time { return now }
	})
	ann := s.signedIn("mia", delivery.RoleOperator)
	k := newKeyring(s.operatorNow("mia"))
	ann.goes(ann.makes(k, here, "laptop"), "/account")
	a := ann.submit(views.AccountCode)
	phone := app{t, string(shownSecret.FindSubmatch(a.body)[1]), &now}
	ann.shows(ann.submit(views.AccountConfirm, "code", phone.code(0)), http.StatusOK, "cannot be shown again")

	conn, err := pgx.Connect(t.Context(), s.store.Config.ConnString())
	s.must(err)
	t.Cleanup(func() { _ = conn.Close(t.Context()) })
	count := func() (n int) {
		t.Helper()
		s.must(conn.QueryRow(t.Context(), "SELECT count(*) FROM redrive.challenges WHERE used_at IS NULL AND kind <> 'code'").Scan(&n))
		return n
	}
	// as many as there ever may be: what another version left, or whoever finds another way
	_, err = conn.Exec(t.Context(), `INSERT INTO redrive.challenges (hash, kind, data, expires_at) SELECT sha256(n::text::bytea), 'provider', '',
		clock_timestamp() + interval '9 minutes' FROM generate_series(1, 10000) n`)
	s.must(err)
	before := count()
	mallory := s.stranger()
	for range 20 {
		if a := mallory.open(views.SignInAt("/")); a.StatusCode != http.StatusSeeOther {
			t.Fatalf("a sign-in is not begun any more: %d", a.StatusCode)
		}
		mallory.asks(views.SignInBegin)
		mallory.open(views.ProviderBack + "?state=made-up&code=x")
		mallory.signsBy("made-up", "{}")
	}
	mallory.submit("/sign-in", "name", "nobody", "password", "x")
	for range 10 { // with what they typed, which is kept here
		mallory.submit(views.SignInProvider, "next", "/x", "kept", strings.Repeat("x", 1000))
	}
	if grown := count() - before; grown > 4 {
		t.Errorf("strangers left %d rows", grown)
	}
	byProvider, byKey, byCode := s.stranger(), s.stranger(), s.stranger()
	byProvider.goes(byProvider.open(byProvider.begins("/failures")), "/failures")
	ticket, response := byKey.shown(k, here) // of an authenticator that does not count
	byKey.goes(byKey.signsBy(ticket, response), "/failures?key=a")
	s.stranger().shows(s.stranger().signsBy(ticket, response), http.StatusUnauthorized, "does not fit")
	now = now.Add(time.Minute)
	a = byCode.submit("/sign-in", "name", "mia", "password", ownPassword)
	byCode.shows(a, http.StatusOK, "Code of your app")
	byCode.goes(byCode.enters(field(a.body, "ticket"), phone.code(0)), "/failures?key=a")
}

// What a browser keeps of a sign-in under way works for that browser, for that kind, until its time is over, and as it was given.
func TestASignInUnderWayIsTheBrowsersOwn(t *testing.T) {
	now := time.Now()
	s, _ := provided(t, func(c *web.Config) { c.PublicURL, c.Now = "http://127.0.0.1:8080", func() time.Time { return now } })
	b := s.stranger()
	back := b.begins("/failures")
	u, err := url.Parse(back)
	s.must(err)
	state := u.Query().Get("state")
	with := func(state string) string {
		q := u.Query()
		q.Set("state", state)
		return u.Path + "?" + q.Encode()
	}
	passkeyTicket, _ := b.asks(views.SignInBegin)
	middle := len(state) / 2
	for what, other := range map[string]string{"none": "", "cut": state[:len(state)-2], "longer": state + "AAAA", "too long": strings.Repeat("A", 9000), "a passkey's": passkeyTicket,
		"changed": state[:middle] + string('A'+(state[middle]+1)%26) + state[middle+1:]} {
		if a := b.open(with(other)); a.StatusCode != http.StatusUnauthorized || !strings.Contains(string(a.body), "This sign-in is over") {
			t.Errorf("a state that is %s: %d %s", what, a.StatusCode, mainOf(a.body))
		}
	}
	// whoever has the whole answer, but not the browser
	thief := s.stranger()
	thief.begins("/")
	thief.shows(thief.open(back), http.StatusUnauthorized, "This sign-in is over")
	now = now.Add(delivery.ChallengeTime)
	b.shows(b.open(back), http.StatusUnauthorized, "This sign-in is over")
	now = now.Add(-time.Second)
	b.goes(b.open(back), "/failures")
	// a state says nothing of what is in it
	if strings.Contains(state, "ey") && strings.Contains(state, ".") {
		t.Errorf("the state can be read: %s", state)
	}
}

// A form that could not be kept is lost, and its person is told so and signed in.
func TestAFormThatMadeRoomIsToldOf(t *testing.T) {
	s, _ := provided(t)
	b := s.stranger()
	a := b.submit(views.SignInProvider, "next", "/failures/x/ignore", "kept", strings.Repeat("x", 100))
	back := b.atProvider(link(a.body, "primary"))
	mallory := s.stranger()
	for range 4 {
		mallory.submit(views.SignInProvider, "next", "/x", "kept", "y")
	}
	b.shows(b.goes(b.open(back), "/"), http.StatusOK, "What you typed could not be kept")
}

// A provider that does not say when somebody signed in lets people in; that they did so just now is believed where the settings say so.
func TestAProviderThatTellsNoTime(t *testing.T) {
	for _, fresh := range []sso.Fresh{"", sso.FreshLogin, sso.FreshAccount} {
		s, p := providedBy(t, func(c *sso.Config) { c.Fresh = fresh })
		p.Groups = []string{"root"}
		p.Change = func(c ssotest.Claims) { delete(c, "auth_time") }
		b := s.stranger()
		b.goes(b.open(b.begins("/")), "/")
		b.shows(b.open("/failures"), http.StatusOK)
		if to := b.open("/operators").Header.Get("Location"); to != "/sign-in?next=%2Foperators&again=1" { // the first answer proves nothing
			t.Fatalf("%q: to %q", fresh, to)
		}
		a := b.open(views.SignInAt("/operators"))
		to, err := url.Parse(a.Header.Get("Location"))
		s.must(err)
		if want := map[sso.Fresh]string{"": "login"}[fresh] + string(fresh); to.Query().Get("prompt") != want {
			t.Errorf("%q: asked to prompt %q", fresh, to.Query().Get("prompt"))
		}
		a = b.open(b.atProvider(a.Header.Get("Location")))
		if fresh == "" {
			b.shows(a, http.StatusForbidden, "does not say whether it asked you just now", "REDRIVE_OIDC_FRESH")
			b.shows(b.open("/failures"), http.StatusOK)
			b.goes(b.open("/operators"), "/sign-in?next=%2Foperators&again=1")
			if why := s.refusals("session.sign-in-failed"); len(why) != 1 || why[0] != "the provider does not say when they signed in" {
				t.Errorf("audited: %q", why)
			}
			continue
		}
		b.shows(b.goes(a, "/operators"), http.StatusOK)
		// a time that is told is believed before anything else
		p.Change = func(c ssotest.Claims) { c["auth_time"] = time.Now().Add(-time.Hour).Unix() }
		s.ages(time.Hour)
		b.shows(b.open(b.begins("/operators")), http.StatusUnauthorized, "does not fit")
		p.Change = func(c ssotest.Claims) { delete(c, "auth_time"); c["iat"] = time.Now().Add(-time.Hour).Unix() }
		b.shows(b.open(b.begins("/operators")), http.StatusForbidden, "does not say whether it asked you just now")
	}
}

// What groups give for some integrations comes and goes with them, is written down, and leaves alone what an administrator gave.
func TestGroupsGiveRolesForSomeIntegrations(t *testing.T) {
	roles, err := sso.ParseRoles("viewer=everybody; operator[push]=push-ops; on-call[sms, team=shop]=shop; operator[push]=also-push")
	if err != nil {
		t.Fatal(err)
	}
	s, p := providedBy(t, func(c *sso.Config) { c.Roles = roles })
	p.Groups = []string{"push-ops", "also-push"}
	b := s.stranger()
	b.goes(b.open(b.begins("/")), "/")
	o := s.operatorNow("ann")
	rights := func(want ...string) {
		t.Helper()
		r := s.operatorNow("ann").Rights()
		got := []string{}
		for _, p := range []delivery.Permission{delivery.PermitView, delivery.PermitRetry, delivery.PermitEdit, delivery.PermitReveal} {
			for _, name := range []string{"push", "sms"} {
				if r.MayFor(name, p) {
					got = append(got, string(p)+" "+name)
				}
			}
		}
		if strings.Join(got, ", ") != strings.Join(want, ", ") {
			t.Errorf("they may %q, not %q", got, want)
		}
	}
	if o.Role != "" || len(o.Grants) != 1 || !o.Grants[0].Provided {
		t.Errorf("%+v", o)
	}
	rights("view push", "retry push", "edit push")
	root := s.signedIn("root", delivery.RoleAdmin)
	root.shows(root.open("/operators"), http.StatusOK, "operator for push", "by a group where they sign in")
	root.shows(root.submit(views.OperatorUpdate(o.ID, "withdraw"), "grant", o.Grants[0].ID), http.StatusUnprocessableEntity, "follows from a group")
	root.goes(root.submit(views.OperatorUpdate(o.ID, "grant"), "role", "operator", "integrations", "push"), "/operators") // by hand, the same
	root.goes(root.submit(views.OperatorUpdate(o.ID, "grant"), "role", "auditor", "integrations", "sms"), "/operators")
	second := s.stranger()
	second.goes(second.open(second.begins("/")), "/") // nothing changed: the session of before stays
	third := s.stranger()
	p.Groups = []string{"shop", "everybody"}
	third.goes(third.open(third.begins("/")), "/")
	second.goes(second.open("/failures"), "/sign-in?next=%2Ffailures")
	rights("view push", "view sms", "retry push", "retry sms", "edit push") // by hand: operator of push, auditor of sms
	p.Groups = []string{"everybody"}
	third.goes(third.open(third.begins("/")), "/")
	rights("view push", "view sms", "retry push", "edit push")
	if got := s.operatorNow("ann").Grants; len(got) != 2 || len(got.Provided()) != 0 {
		t.Errorf("%+v", got)
	}
	p.Groups = []string{"others"}
	third.shows(third.open(third.begins("/")), http.StatusForbidden, "None of your groups has a role")
	audit := strings.Join(root.actions("ann"), "\n")
	for entry, want := range map[string]int{"redrive operator.create": 1, "redrive operator.withdraw": 2, "redrive operator.grant": 1, "root operator.grant": 2, "redrive operator.role": 1} {
		if n := strings.Count(audit+"\n", entry+"\n"); n != want {
			t.Errorf("%s stands %d times in the audit, not %d:\n%s", entry, n, want, audit)
		}
	}
}
