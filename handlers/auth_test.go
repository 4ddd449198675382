package handlers

import (
	"crypto/sha256"
	"net/http"
	"slices"
	"strings"
	"testing"

	"github.com/labstack/echo/v4"

	"redrive/delivery"
	"redrive/handlers/api"
	"redrive/handlers/web"
)

func TestTokensAreAskedForAndRolesCount(t *testing.T) {
	s := newSite(t)
	for _, header := range []string{"Bearer nobody", "Bearer ", "Basic dmlld2VyOng=", "viewer", "Bearer"} {
		a := s.send("", "GET", "/api/v1/failures", "", "Authorization", header)
		s.wants(header, a, 401, "invalid_token")
		if a.Header.Get("WWW-Authenticate") != `Bearer realm="redrive", error="invalid_token"` {
			t.Errorf("%q is challenged by %q", header, a.Header.Get("WWW-Authenticate"))
		}
	}
	a := s.send("", "GET", "/api/v1/failures", "")
	s.wants("no token", a, 401, "unauthorized")
	if a.Header.Get("WWW-Authenticate") != `Bearer realm="redrive"` {
		t.Errorf("challenge %q", a.Header.Get("WWW-Authenticate"))
	}
	if a := s.send("", "GET", "/api/v1/failures", "", "Authorization", "bearer viewer"); a.StatusCode != 200 {
		t.Errorf("the scheme in small letters: %d", a.StatusCode)
	}
	id := s.fail(delivery.Message{Integration: "push"}, "")
	for _, path := range []string{"messages", "failures/" + id + "/retry", "failures/" + id + "/ignore", "integrations/push/pause", "integrations/push/resume"} {
		s.wants("viewer "+path, s.send("viewer", "POST", "/api/v1/"+path, `{"reason":"x","category":"other"}`), 403, "forbidden")
	}
	if a := s.send("admin", "POST", "/api/v1/failures/"+id+"/retry", ""); a.StatusCode != 200 {
		t.Errorf("admin may not retry: %s", a.body)
	}
}

func TestARevokedTokenIsRefusedAtOnce(t *testing.T) {
	s := newSite(t)
	sum := sha256.Sum256([]byte("short-lived"))
	token, err := s.store.CreateToken(t.Context(), delivery.Token{Name: "x", Role: delivery.RoleViewer}, sum[:], "setup")
	s.must(err)
	if a := s.send("short-lived", "GET", "/api/v1/failures", ""); a.StatusCode != 200 {
		t.Fatalf("before: %d", a.StatusCode)
	}
	s.must(s.store.RevokeToken(t.Context(), token.ID, "setup"))
	s.wants("after", s.send("short-lived", "GET", "/api/v1/failures", ""), 401, "invalid_token")
}

// signIn opens a session for the operator and returns its cookie.
func (s *site) signIn(name string, role delivery.Role) *http.Cookie {
	s.t.Helper()
	o, err := s.store.CreateOperator(s.t.Context(), delivery.Operator{Name: name, Role: role, PasswordHash: "-"}, "setup")
	s.must(err)
	return s.cookie(o)
}

// cookie is that of a new session of a person.
func (s *site) cookie(o delivery.Operator) *http.Cookie {
	s.t.Helper()
	ctx, err := s.Sessions.Load(delivery.WithSession(s.t.Context(), delivery.Session{OperatorID: o.ID, Generation: o.Generation}), "")
	s.must(err)
	token, _, err := s.Sessions.Commit(ctx)
	s.must(err)
	return &http.Cookie{Name: s.Sessions.Cookie.Name, Value: token}
}

func TestASessionWorksUntilTheOperatorIsDisabled(t *testing.T) {
	s := newSite(t)
	cookie := s.signIn("ann", delivery.RoleOperator)
	if a := s.send("", "GET", "/api/v1/failures", "", "Cookie", cookie.String()); a.StatusCode != 200 || !slices.Contains(a.Header.Values("Vary"), "Cookie") {
		t.Fatalf("with a session: %d, Vary %q", a.StatusCode, a.Header.Values("Vary"))
	}
	id := s.fail(delivery.Message{Integration: "push"}, "")
	if a := s.send("", "POST", "/api/v1/failures/"+id+"/retry", "{}", "Cookie", cookie.String(), "Sec-Fetch-Site", "same-origin"); a.StatusCode != 200 {
		t.Errorf("retry: %s", a.body)
	}
	if history := read[api.DetailJSON](s, s.get("/api/v1/deliveries/"+id), 200).History; len(history) != 1 || history[0].Actor != "ann" {
		t.Errorf("history %+v", history)
	}
	s.wants("unknown token beside a session", s.send("nobody", "GET", "/api/v1/failures", "", "Cookie", cookie.String()), 401, "invalid_token")
	ann, err := s.store.OperatorByName(t.Context(), "ann")
	s.must(err)
	_, err = s.store.CreateOperator(t.Context(), delivery.Operator{Name: "root", Role: delivery.RoleAdmin, PasswordHash: "-"}, "setup")
	s.must(err)
	off := true
	_, err = s.store.ChangeOperator(t.Context(), delivery.OperatorChange{ID: ann.ID, Actor: "root", Disabled: &off})
	s.must(err)
	a := s.send("", "GET", "/api/v1/failures", "", "Cookie", cookie.String())
	s.wants("disabled", a, 401, "unauthorized")
	if set := a.Header.Get("Set-Cookie"); !strings.Contains(set, s.Sessions.Cookie.Name+"=;") {
		t.Errorf("the session is not ended: %q", set)
	}
}

func TestAnotherSiteCannotUseASession(t *testing.T) {
	s := newSite(t)
	cookie := s.signIn("ann", delivery.RoleOperator)
	id := s.fail(delivery.Message{Integration: "push"}, "")
	for _, header := range [][2]string{{"Sec-Fetch-Site", "cross-site"}, {"Sec-Fetch-Site", "same-site"}, {"Origin", "https://evil.test"}, {"Origin", "null"}} {
		a := s.send("", "POST", "/api/v1/failures/"+id+"/retry", "{}", "Cookie", cookie.String(), header[0], header[1])
		s.wants(header[0]+" "+header[1], a, 403, "cross_origin")
	}
	if d := read[api.DetailJSON](s, s.get("/api/v1/deliveries/"+id), 200); d.State != delivery.StateDead {
		t.Errorf("state %s", d.State)
	}
	// a token is nothing that a browser adds by itself
	if a := s.send("operator", "POST", "/api/v1/failures/"+id+"/retry", "{}", "Origin", "https://tools.test"); a.StatusCode != 200 {
		t.Errorf("with a token: %s", a.body)
	}
}

func TestPagesLeadToTheSignInAndBack(t *testing.T) {
	s := newSite(t)
	page := func(c echo.Context) error { return c.String(200, web.Who(c).Name) }
	s.Route("GET", "/tests-page", web.Permit(delivery.PermitView), page)
	s.Route("POST", "/tests-page", web.Permit(delivery.PermitAdminister), page)
	a := s.send("", "GET", "/tests-page?state=dead&q=a%20b", "")
	if a.StatusCode != 303 || a.Header.Get("Location") != "/sign-in?next=%2Ftests-page%3Fstate%3Ddead%26q%3Da%2520b" {
		t.Errorf("%d to %q", a.StatusCode, a.Header.Get("Location"))
	}
	if a := s.send("", "POST", "/tests-page", ""); a.StatusCode != 303 || a.Header.Get("Location") != "/sign-in" {
		t.Errorf("%d to %q", a.StatusCode, a.Header.Get("Location"))
	}
	cookie := s.signIn("ann", delivery.RoleOperator)
	if a := s.send("", "GET", "/tests-page", "", "Cookie", cookie.String()); a.StatusCode != 200 || string(a.body) != "ann" {
		t.Errorf("signed in: %d %s", a.StatusCode, a.body)
	}
	if a := s.send("", "POST", "/tests-page", "", "Cookie", cookie.String()); a.StatusCode != 403 || a.Header.Get("Content-Type") == web.ProblemType {
		t.Errorf("too small a role: %d %s", a.StatusCode, a.Header.Get("Content-Type"))
	}
}
