package handlers

import (
	"fmt"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"redrive/delivery"
	"redrive/handlers/web"
	"redrive/handlers/web/sso/ssotest"
)

// ages lets all sign-ins have happened so long ago.
func (s *site) ages(by time.Duration) {
	s.t.Helper()
	conn, err := pgx.Connect(s.t.Context(), s.store.Config.ConnString())
	s.must(err)
	defer conn.Close(s.t.Context())
	_, err = conn.Exec(s.t.Context(), fmt.Sprintf("UPDATE redrive.sessions SET authenticated_at = clock_timestamp() - interval '%d seconds'", int(by.Seconds())))
	s.must(err)
}

// Each route that reveals, edits, changes many or administers asks whoever signed in some time ago, and no token; no other route does.
func TestASignInOfSomeTimeAgoIsAskedAgain(t *testing.T) {
	s := newSite(t, func(c *web.Config) { c.PublicURL = "http://localhost:1" })
	cookie := s.cookie(s.known("root"))
	s.ages(time.Hour)
	asked, ids := 0, strings.NewReplacer(":id", "0190a0a0-0000-7000-8000-000000000001", ":name", "push", ":number", "1", ":step", "x", ":what", "sign-out", ":action", "x", "*", "")
	sensitive := []delivery.Permission{delivery.PermitReveal, delivery.PermitEdit, delivery.PermitBulk, delivery.PermitApprove, delivery.PermitAdminister}
	for name, access := range s.Access() {
		method, path, _ := strings.Cut(name, " ")
		needs := slices.ContainsFunc(access.Needs, func(p delivery.Permission) bool { return slices.Contains(sensitive, p) })
		stops := strings.HasSuffix(path, "/operations/:id/pause") || strings.HasSuffix(path, "/operations/:id/cancel")
		own := strings.HasPrefix(path, "/account/code") || strings.HasPrefix(path, "/account/passkeys") ||
			method == http.MethodPost && strings.HasPrefix(path, "/account/tokens") && !strings.HasSuffix(path, "/revoke")
		if want := needs && !stops || own || strings.HasSuffix(path, "/payload") || strings.HasSuffix(path, "/content"); want != access.AsksFresh() {
			t.Errorf("%s asks for a sign-in of just now: %v", name, !want)
		}
		if !access.AsksFresh() || method != http.MethodGet && method != http.MethodPost && method != http.MethodPatch {
			continue
		}
		asked++
		a := s.does(method, deed{path: ids.Replace(path), form: fields("reason", "typed")}, "Cookie", cookie.String())
		switch to := a.Header.Get("Location"); {
		case strings.HasPrefix(path, "/api/"):
			s.wants(name, a, http.StatusForbidden, "fresh_sign_in")
		case method == http.MethodGet:
			if a.StatusCode != http.StatusSeeOther || !strings.HasPrefix(to, "/sign-in?next=") || !strings.HasSuffix(to, "&again=1") {
				t.Errorf("%s: %d to %q", name, a.StatusCode, to)
			}
		case a.StatusCode != http.StatusUnauthorized || !strings.Contains(string(a.body), "asks for a sign-in of just now") || field(a.body, "kept") == "":
			t.Errorf("%s: %d %s", name, a.StatusCode, mainOf(a.body))
		}
		if a := s.send("admin", method, ids.Replace(path), "{}"); a.StatusCode == http.StatusForbidden && strings.Contains(string(a.body), "fresh_sign_in") {
			t.Errorf("%s asks a token", name)
		}
	}
	if asked < 20 {
		t.Errorf("only %d routes ask", asked)
	}
}

// What was typed survives signing in again, and is done by the same person as before.
func TestAFormSurvivesSigningInAgain(t *testing.T) {
	s := newSite(t)
	b := s.signedIn("root", delivery.RoleAdmin)
	s.ages(web.StandardFresh - time.Minute)
	b.shows(b.open("/operators"), http.StatusOK)
	s.ages(web.StandardFresh + time.Minute)
	b.shows(b.open("/account"), http.StatusOK)
	to := b.open("/operators").Header.Get("Location")
	b.shows(b.open(to), http.StatusOK, "asks for a sign-in of just now", `value="root"`, `value="/operators"`)
	a := b.submit("/operators", "name", "bob", "role", "viewer", "password", "a long password of bob")
	b.shows(a, http.StatusUnauthorized, "asks for a sign-in of just now", `value="root"`)
	a = b.submit("/sign-in", "name", "root", "password", ownPassword, "next", "/operators", "kept", field(a.body, "kept"))
	b.shows(a, http.StatusOK, "You are signed in as root", `value="bob"`)
	b.goes(b.submit("/operators", "name", "bob", "role", "viewer", "password", "a long password of bob"), "/operators")
	b.goes(b.open("/sign-in?again=1"), "/") // who is fresh is not asked
}

// A sign-in at the provider of long ago is none of just now; the provider is told to ask again, and what it says then has to be new.
func TestAProviderIsAskedAgain(t *testing.T) {
	s, p := provided(t)
	p.Groups, p.SignedIn = []string{"root"}, time.Now().Add(-time.Hour)
	b := s.stranger()
	b.goes(b.open(b.begins("/")), "/")
	if to := b.open("/operators").Header.Get("Location"); to != "/sign-in?next=%2Foperators&again=1" {
		t.Fatalf("to %q", to)
	}
	p.Change = ssotest.With("auth_time", time.Now().Add(-time.Hour).Unix()) // it does not ask
	b.shows(b.open(b.begins("/operators")), http.StatusUnauthorized, "does not fit")
	p.Change = nil
	b.shows(b.goes(b.open(b.begins("/operators")), "/operators"), http.StatusOK)
}
