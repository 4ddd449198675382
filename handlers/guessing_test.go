package handlers

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/netip"
	"net/url"
	"strings"
	"testing"

	"redrive/delivery"
	"redrive/handlers/web"
)

// behindProxy trusts whoever is connected to say where requests come from.
func behindProxy(c *web.Config) {
	c.TrustedProxies = []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8")}
}

// guess tries a password for a name from an address.
func (b *browser) guess(address, name, password string) answer {
	b.t.Helper()
	form := url.Values{"name": {name}, "password": {password}}
	return b.do(http.MethodPost, "/sign-in", form.Encode(), "X-Forwarded-For", address)
}

// One name is guessed at from many addresses; its owner comes in with the browser of before, and from the address of before.
func TestNobodyLocksOutAnother(t *testing.T) {
	s := newSite(t, behindProxy)
	owner := s.person("alice", delivery.RoleViewer)
	const home = "192.0.2.1"
	owner.goes(owner.guess(home, "alice", ownPassword), "/")
	for i := range web.AccountBurst { // the attacker has the address of before, too
		s.stranger().guess(fmt.Sprintf("198.51.100.%d", i), "alice", "guess guess guess")
	}
	for range web.PairBurst + 1 {
		s.stranger().guess(home, "alice", "guess guess guess")
	}
	if a := s.stranger().guess(home, "alice", ownPassword); a.StatusCode != http.StatusTooManyRequests {
		t.Errorf("whoever guesses goes on: %d", a.StatusCode)
	}
	owner.goes(owner.guess(home, "alice", ownPassword), "/")
	owner.goes(owner.guess("203.0.113.9", "alice", ownPassword), "/")
	browser, address, err := s.store.KnownPlace(t.Context(), "alice", "another", "203.0.113.9")
	if browser || !address || err != nil {
		t.Errorf("the address is known %v, a browser with another secret %v: %v", address, browser, err)
	}
	if browser, address, err := s.store.KnownPlace(t.Context(), "bob", "", ""); browser || address || err != nil {
		t.Errorf("a name that nobody has is known: %v %v %v", browser, address, err)
	}
}

func TestThePresentPasswordIsNotGuessedOnThePageOfTheAccount(t *testing.T) {
	s := newSite(t)
	s.person("root", delivery.RoleAdmin) // the store wants one
	thief, owner := s.signedIn("alice", delivery.RoleViewer), s.stranger()
	owner.submit("/sign-in", "name", "alice", "password", ownPassword)
	for range web.PairBurst {
		thief.shows(thief.submit("/account", "current", "guess guess", "new", freshPassword, "again", freshPassword), http.StatusUnprocessableEntity, "does not fit")
	}
	thief.shows(thief.submit("/account", "current", ownPassword, "new", freshPassword, "again", freshPassword), http.StatusTooManyRequests, "Too many tries")
	owner.goes(owner.submit("/account", "current", ownPassword, "new", freshPassword, "again", freshPassword), "/account")
	all, err := s.store.Audit(t.Context(), delivery.AuditFilter{Action: "session.password-failed"})
	if err != nil || len(all.Items) != 1 || all.Items[0].Subject != "alice" {
		t.Errorf("in the audit: %+v %v", all.Items, err)
	}
}

func TestWrongTokensCostTheirAddress(t *testing.T) {
	s := newSite(t, behindProxy)
	with := func(token, address string) answer {
		return s.send("", "GET", "/api/v1/failures", "", "Authorization", "Bearer "+token, "X-Forwarded-For", address)
	}
	for range web.TokenBurst {
		s.wants("a wrong token", with("wrong", "192.0.2.1"), http.StatusUnauthorized, "invalid_token")
	}
	a := with("wrong", "192.0.2.1")
	s.wants("one more", a, http.StatusTooManyRequests, "too_many_tries")
	if a.Header.Get("Retry-After") == "" {
		t.Error("no Retry-After")
	}
	s.wants("from elsewhere", with("wrong", "192.0.2.2"), http.StatusUnauthorized, "invalid_token")
	if a := with("viewer", "192.0.2.1"); a.StatusCode != http.StatusOK {
		t.Errorf("a right token is refused for the wrong ones before it: %d", a.StatusCode)
	}
	all, err := s.store.Audit(t.Context(), delivery.AuditFilter{Action: "token.refused"})
	if err != nil || len(all.Items) != 1 || all.Items[0].Subject != "unknown" {
		t.Fatalf("in the audit: %+v %v", all.Items, err)
	}
	if raw, _ := json.Marshal(all.Items); strings.Contains(string(raw), "wrong") {
		t.Errorf("the token is in the audit: %s", raw)
	}
}

func TestNewPasswordsAreChecked(t *testing.T) {
	s := newSite(t)
	admin := s.signedIn("root", delivery.RoleAdmin)
	s.person("annabelle", delivery.RoleViewer)
	for password, says := range map[string]string{"fourteen chars": "at least 15", "passwordpassword": "Many people", "redrive-annabelle-redrive": "Without your name",
		"abcabcabcabcabcabcabc": "repeats itself"} {
		admin.shows(admin.submit("/operators/annabelle/password", "password", password), http.StatusUnprocessableEntity, says)
		admin.shows(admin.submit("/account", "current", ownPassword, "new", strings.ReplaceAll(password, "annabelle", "root"),
			"again", strings.ReplaceAll(password, "annabelle", "root")), http.StatusUnprocessableEntity, says)
	}
	admin.shows(admin.submit("/operators", "name", "bertram", "role", "viewer", "password", "redrive-bertram-1"), http.StatusUnprocessableEntity, "Without your name")
}

// Whoever edits types guesses in place of what is masked, or into a header: right and wrong ones are answered alike.
func TestNobodyLearnsAMaskedValueByEditing(t *testing.T) {
	s := newSite(t)
	b := s.signedIn("alice", delivery.RoleOperator)
	attacks := map[string]func(form url.Values, guess string){
		"in its place": func(form url.Values, guess string) {
			form.Set("payload", strings.Replace(form.Get("payload"), `"code": "•••"`, `"code": "`+guess+`"`, 1))
		},
		"a header": func(form url.Values, guess string) {
			form["header"], form["value"] = append(form["header"], "X-Guess"), append(form["value"], guess)
		},
	}
	guesses, steps := []string{"471199", "471198"}, []string{"review", "save"}
	var ids []string
	for range len(attacks) * len(guesses) * len(steps) { // all before the first is sent again
		ids = append(ids, s.fail(delivery.Message{Integration: "sms", Type: "code.requested", Payload: []byte(`{"code":"471199","n":1}`),
			Headers: map[string]string{"X-Region": "eu"}}, ""))
	}
	for name, attack := range attacks {
		for _, step := range steps {
			var answers []string
			for _, guess := range guesses {
				id := ids[0]
				ids = ids[1:]
				form := fieldsOf(t, b.open("/failures/"+id+"/edit"), "/failures/"+id+"/edit")
				attack(form, guess)
				form.Set("reason", "a guess")
				form.Set("step", step)
				a := b.do(http.MethodPost, "/failures/"+id+"/edit", form.Encode())
				text := string(a.body) + string(b.open("/failures/"+id).body) + string(s.get("/api/v1/deliveries/"+id).body)
				answers = append(answers, fmt.Sprint(a.StatusCode, strings.Count(text, delivery.Hidden), strings.Count(text, guess)))
			}
			if answers[0] != answers[1] {
				t.Errorf("%s, %s: a right guess is answered %s, a wrong one %s (status, hidden, the guess)", name, step, answers[0], answers[1])
			}
		}
	}
}
