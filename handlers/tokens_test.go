package handlers

import (
	"context"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"net/http"
	"regexp"
	"strings"
	"testing"
	"time"

	"redrive/delivery"
	"redrive/handlers/api"
	"redrive/internal/cli/client"
)

// exec runs a statement as another program would.
func (s *site) exec(statement string) {
	s.t.Helper()
	_, err := s.digester().conn.Exec(s.t.Context(), statement)
	s.must(err)
}

func (s *site) listed(id string) (found api.TokenJSON) {
	s.t.Helper()
	for _, one := range read[api.List[api.TokenJSON]](s, s.send("admin", "GET", "/api/v1/tokens", ""), 200).Items {
		if one.ID == id {
			found = one
		}
	}
	return found
}

// What a robot's token may do, until when, by which secrets: by the API, from its making to its end.
func TestTokensByTheAPI(t *testing.T) {
	s := newSite(t)
	s.fail(delivery.Message{Integration: "push", Payload: []byte("1")}, "")
	a := s.send("admin", "POST", "/api/v1/tokens", `{"name":"ci","grants":[{"permissions":["view"],"integrations":["push"]},{"role":"operator","labels":{"team":"none"}}],"lifetime_hours":48}`)
	made := read[api.NewTokenJSON](s, a, http.StatusCreated)
	ends := made.Secrets[0].ExpiresAt
	if !delivery.IsWholeToken(made.Secret) || a.Header.Get("Cache-Control") != "no-store" || made.State != "valid" || made.Person != nil || len(made.Grants) != 2 || made.Role != nil ||
		ends == nil || ends.Sub(made.Secrets[0].CreatedAt).Round(time.Minute) != 48*time.Hour {
		t.Errorf("%s", a.body)
	}
	as := func(secret, path string) answer {
		return s.send("", "GET", path, "", "Authorization", "Bearer "+secret)
	}
	if a := as(made.Secret, "/api/v1/failures"); a.StatusCode != 200 || !strings.Contains(string(a.body), `"integration":"push"`) {
		t.Errorf("with its secret: %d %s", a.StatusCode, a.body)
	}
	s.wants("what it may not", as(made.Secret, "/api/v1/audit"), 403, "forbidden")
	second := read[api.NewTokenJSON](s, s.send("admin", "POST", "/api/v1/tokens/"+made.ID+"/rotate", `{"overlap_hours":2}`), 200)
	if second.ID != made.ID || second.Secret == made.Secret || len(second.Secrets) != 2 || second.Secrets[1].ExpiresAt.Sub(second.Secrets[0].CreatedAt).Round(time.Minute) != 2*time.Hour ||
		second.Secrets[0].ExpiresAt.Sub(second.Secrets[0].CreatedAt).Round(time.Hour) != delivery.StandardTokenLifetimes.Standard {
		t.Errorf("%+v", second)
	}
	for _, secret := range []string{made.Secret, second.Secret} {
		if a := as(secret, "/api/v1/failures"); a.StatusCode != 200 {
			t.Errorf("while both are valid: %d", a.StatusCode)
		}
	}
	s.wants("a third one", s.send("admin", "POST", "/api/v1/tokens/"+made.ID+"/rotate", ""), 422, "too_many")
	s.exec("UPDATE redrive.token_secrets SET expires_at = clock_timestamp() WHERE id = '" + second.Secrets[1].ID + "'")
	s.wants("expired", as(made.Secret, "/api/v1/failures"), 401, "token_expired")
	if a := as(made.Secret, "/api/v1/failures"); !strings.Contains(a.Header.Get("WWW-Authenticate"), `error="invalid_token"`) {
		t.Errorf("%v", a.Header)
	}
	for _, part := range []string{made.Secret[:len(made.Secret)-1], made.Secret + "a", strings.ToUpper(made.Secret), made.Secret[len(delivery.TokenPrefix):]} {
		s.wants("not the whole secret", as(part, "/api/v1/failures"), 401, "invalid_token")
	}
	if state := read[api.TokenJSON](s, s.send("admin", "POST", "/api/v1/tokens/"+made.ID+"/revoke", ""), 200).State; state != "revoked" {
		t.Error(state)
	}
	for _, secret := range []string{made.Secret, second.Secret} {
		s.wants("revoked", as(secret, "/api/v1/failures"), 401, "invalid_token")
	}
	for body, code := range map[string]string{`{"name":"x"}`: "invalid_role", `{"name":"x","role":"viewer","lifetime_hours":100000}`: "invalid_lifetime", `{"name":"x","role":"viewer","lifetime_hours":-1}`: "invalid_lifetime",
		`{"name":"<","role":"viewer"}`: "invalid_name", `{"name":"x","grants":[{"role":"chief"}]}`: "invalid_role", `{"name":"x","grants":[{"permissions":["fly"]}]}`: "invalid_permission",
		`{"name":"x","grants":[{"permissions":["administer"],"integrations":["push"]}]}`: "invalid_grant", `{"name":"x","role":"viewer","secret":"mine"}`: "unknown_field"} {
		s.wants(body, s.send("admin", "POST", "/api/v1/tokens", body), 422, code)
	}
	s.wants("an overlap", s.send("admin", "POST", "/api/v1/tokens/"+made.ID+"/rotate", `{"overlap_hours":721}`), 422, "invalid_overlap")
	s.wants("a revoked one", s.send("admin", "POST", "/api/v1/tokens/"+made.ID+"/rotate", ""), 404, "not_found")
	entries, err := s.store.Audit(t.Context(), delivery.AuditFilter{Subject: made.ID})
	s.must(err)
	if raw, _ := json.Marshal(entries.Items); len(entries.Items) != 4 || strings.Contains(string(raw)+s.log.String(), made.Secret) || entries.Items[1].Action != "token.refused" {
		t.Errorf("%d entries: %s", len(entries.Items), raw)
	}
}

// Whoever signed in some time ago makes none, and is not kept from ending one.
func TestTokensAskForASignInOfJustNow(t *testing.T) {
	s := newSite(t)
	root := s.signedIn("root", delivery.RoleAdmin)
	made := root.submit("/account/tokens", "name", "laptop", "role", "viewer")
	s.exec("UPDATE redrive.sessions SET authenticated_at = authenticated_at - interval '1 day'")
	for _, path := range []string{"/tokens", "/account/tokens", revokePath(t, made, "rotate")} {
		root.shows(root.submit(path, "name", "x", "role", "viewer"), http.StatusUnauthorized, "Sign in again")
	}
	root.goes(root.submit(revokePath(t, made, "revoke")), "/account/tokens")
}

// revokePath is where a form of a page of tokens goes.
func revokePath(t *testing.T, page answer, step string) string {
	t.Helper()
	path := regexp.MustCompile(`(/account)?/tokens/[0-9a-f-]{36}/` + step).FindString(string(page.body))
	if path == "" {
		t.Fatalf("no form to %s: %s", step, mainOf(page.body))
	}
	return path
}

func secretOf(t *testing.T, page answer) string {
	t.Helper()
	secret := regexp.MustCompile(delivery.TokenPattern).FindString(string(page.body))
	if secret == "" || page.Header.Get("Cache-Control") != "no-store" {
		t.Fatalf("%d, no secret, or kept by caches: %s", page.StatusCode, mainOf(page.body))
	}
	return secret
}

// People make tokens for themselves, which are nobody else's to use, and administrators end them.
func TestPeopleHaveTokens(t *testing.T) {
	s := newSite(t)
	root, ann, bob := s.signedIn("root", delivery.RoleAdmin), s.signedIn("ann", delivery.RoleOperator), s.signedIn("bob", delivery.RoleViewer)
	page := ann.submit("/account/tokens", "name", "laptop", "role", "", "permission", "view", "permission", "resolve", "permission", "administer", "integrations", "push", "days", "7")
	secret, token := secretOf(t, page), strings.TrimPrefix(strings.TrimSuffix(revokePath(t, page, "revoke"), "/revoke"), "/account")
	ann.shows(page, http.StatusOK, "cannot be shown again", "for push")
	as := func(secret, method, path string) answer {
		return s.send("", method, path, "{}", "Authorization", "Bearer "+secret)
	}
	id := s.fail(delivery.Message{Integration: "push", Payload: []byte("1")}, "")
	if a := s.send("", "POST", "/api/v1/failures/"+id+"/resolve", `{"reason":"r"}`, "Authorization", "Bearer "+secret); a.StatusCode != 200 {
		t.Errorf("%d %s", a.StatusCode, a.body)
	}
	ann.shows(ann.open("/audit?action=delivery.resolve"), http.StatusOK, "token:ann/laptop")
	s.wants("more than was given", as(secret, "POST", "/api/v1/failures/"+id+"/retry"), 403, "forbidden")
	s.wants("administers", as(secret, "GET", "/api/v1/tokens"), 403, "forbidden")
	for _, b := range []*browser{root, bob} {
		for _, step := range []string{"rotate", "revoke"} {
			b.shows(b.submit("/account"+token+"/"+step), http.StatusNotFound)
		}
		b.shows(b.open("/account/tokens"), http.StatusOK, "!laptop")
	}
	for _, path := range []string{"/account/tokens", "/account" + token + "/rotate", "/account" + token + "/revoke"} {
		if a := s.send("", "POST", path, "name=x&role=viewer", "Authorization", "Bearer "+secret, "Content-Type", "application/x-www-form-urlencoded"); a.StatusCode != http.StatusForbidden {
			t.Errorf("a token does %s: %d", path, a.StatusCode)
		}
	}
	root.shows(root.open("/tokens"), http.StatusOK, "laptop", "of ann")
	root.shows(root.submit(token+"/rotate", "overlap", "1"), http.StatusUnprocessableEntity, "This is a token of ann", "!rdr_")
	s.wants("with a new secret somebody else acts as ann", s.send("admin", "POST", "/api/v1"+token+"/rotate", ""), 422, "token_of_person")
	next := secretOf(t, ann.submit("/account"+token+"/rotate", "overlap", "0", "days", "1"))
	s.wants("the one before", as(secret, "GET", "/api/v1/failures"), 401, "token_expired")
	if a := as(next, "GET", "/api/v1/failures"); a.StatusCode != 200 {
		t.Errorf("the new one: %d", a.StatusCode)
	}
	for _, wrong := range [][]string{{"overlap", "x"}, {"overlap", "-1"}, {"days", "1000"}, {"overlap", "99999"}} {
		ann.shows(ann.submit("/account"+token+"/rotate", wrong...), http.StatusUnprocessableEntity, `role="alert"`, "!rdr_")
	}
	ann.shows(ann.submit("/account/tokens", "name", "<x>", "role", "", "permission", "retry", "integrations", "push"), http.StatusUnprocessableEntity, "&lt;x&gt;", `value="retry" checked`, `value="push"`, "!rdr_")
	root.goes(root.submit(token+"/revoke"), "/tokens")
	s.wants("revoked by an administrator", as(next, "GET", "/api/v1/failures"), 401, "invalid_token")
}

// Nobody changes what they may do by a token of theirs either.
func TestATokenDoesNotChangeItsOwnPerson(t *testing.T) {
	s := newSite(t)
	root := s.signedIn("root", delivery.RoleAdmin)
	s.signedIn("other", delivery.RoleAdmin)
	secret := secretOf(t, root.submit("/account/tokens", "name", "own", "role", "admin"))
	o, err := s.store.OperatorByName(t.Context(), "root")
	s.must(err)
	s.wants("by the API", s.send("", "POST", "/api/v1/people/"+o.ID+"/disable", "", "Authorization", "Bearer "+secret), 422, "own_account")
	a := s.send("", "POST", "/operators/"+o.ID+"/disable", "", "Authorization", "Bearer "+secret, "Content-Type", "application/x-www-form-urlencoded")
	if a.StatusCode != http.StatusUnprocessableEntity {
		t.Errorf("by the console: %d", a.StatusCode)
	}
}

// When and from where a secret was used is kept, and not by the request itself.
func TestTheLastUseOfATokenIsKept(t *testing.T) {
	s := newSite(t, behindProxy)
	sum := sha256.Sum256([]byte("used"))
	token, err := s.store.CreateToken(t.Context(), delivery.Token{Name: "used", Role: delivery.RoleViewer}, sum[:], "setup")
	s.must(err)
	digest := s.digester()
	before := digest.of(t)
	for range 3 {
		s.send("used", "GET", "/api/v1/failures", "", "X-Forwarded-For", "192.0.2.7")
	}
	if tables := changed(before, digest.of(t)); len(tables) > 0 {
		t.Errorf("a request writes %v", tables)
	}
	ctx, stop := context.WithCancel(t.Context())
	stop() // what was counted is written at the end
	s.must(s.Run(ctx, t.Context()))
	one := s.listed(token.ID).Secrets[0]
	if one.UsedAt == nil || one.UsedFrom != "192.0.2.7" || one.Expired || one.ExpiresAt != nil {
		t.Errorf("%+v", one)
	}
}

// People, roles and grants by the API, by the same rules as in the console.
func TestPeopleByTheAPI(t *testing.T) {
	s := newSite(t)
	root := s.known("root")
	ann, err := s.store.CreateOperator(t.Context(), delivery.Operator{Name: "ann", Role: delivery.RoleViewer, PasswordHash: "-"}, "setup")
	s.must(err)
	roles := read[api.List[api.RoleJSON]](s, s.send("admin", "GET", "/api/v1/roles", ""), 200).Items
	if len(roles) != len(delivery.Roles) || len(roles[5].Permissions) != len(delivery.Permissions) {
		t.Errorf("%+v", roles)
	}
	if all := read[api.List[api.PersonJSON]](s, s.send("admin", "GET", "/api/v1/people", ""), 200).Items; len(all) != 2 || all[0].Name != "ann" || *all[0].Role != delivery.RoleViewer {
		t.Errorf("%+v", all)
	}
	path := "/api/v1/people/" + ann.ID
	does := func(method, step, body string) api.PersonJSON {
		t.Helper()
		return read[api.PersonJSON](s, s.send("admin", method, path+step, body), 200)
	}
	p := does("POST", "/grants", `{"role":"operator","permissions":["reveal"],"integrations":["push"],"labels":{"team":"none"},"version":1}`)
	if g := p.Grants[0]; p.Version != 2 || *g.Role != delivery.RoleOperator || g.Permissions[0] != delivery.PermitReveal || g.Labels["team"] != "none" || len(g.Within) != 1 {
		t.Errorf("%+v", p)
	}
	for step, body := range map[string]string{"/grants": `{"role":"viewer","version":1}`, "/disable": `{"version":1}`, "/enable": `{"version":3}`} {
		s.wants("decided on what is not so any more", s.send("admin", "POST", path+step, body), 409, "conflict")
	}
	s.wants("as it was", s.send("admin", "PUT", path+"/role", `{"role":"admin","version":1}`), 409, "conflict")
	s.wants("as it was", s.send("admin", "DELETE", path+"/grants/"+p.Grants[0].ID+"?version=1", ""), 409, "conflict")
	s.wants("none", s.send("admin", "DELETE", path+"/grants/x", ""), 404, "not_found")
	s.wants("bad version", s.send("admin", "DELETE", path+"/grants/x?version=x", ""), 422, "invalid_field")
	if p = does("DELETE", "/grants/"+p.Grants[0].ID+"?version=2", ""); len(p.Grants) != 0 {
		t.Errorf("%+v", p)
	}
	if p = does("PUT", "/role", `{"role":null}`); p.Role != nil {
		t.Errorf("%+v", p)
	}
	if p = does("PUT", "/role", `{"role":"auditor","version":4}`); *p.Role != delivery.RoleAuditor {
		t.Errorf("%+v", p)
	}
	if p = does("POST", "/disable", ""); p.DisabledAt == nil {
		t.Errorf("%+v", p)
	}
	if p = does("POST", "/enable", `{}`); p.DisabledAt != nil || p.Version != does("GET", "", "").Version {
		t.Errorf("%+v", p)
	}
	for body, code := range map[string]string{`{"role":"chief"}`: "invalid_role", `{}`: "invalid_role", `{"role":"viewer","integrations":["No!"]}`: "invalid_grant", `{"role":"viewer","labels":{"A":"b"}}`: "invalid_label",
		`{"role":"viewer","labels":[]}`: "invalid_field", `{"role":"viewer","scope":1}`: "unknown_field"} {
		s.wants(body, s.send("admin", "POST", path+"/grants", body), 422, code)
	}
	s.wants("the last one", s.send("admin", "POST", "/api/v1/people/"+root.ID+"/disable", ""), 422, "last_admin")
	s.wants("the last one", s.send("admin", "PUT", "/api/v1/people/"+root.ID+"/role", `{"role":"viewer"}`), 422, "last_admin")
	own := s.send("", "POST", "/api/v1/people/"+root.ID+"/disable", "", "Cookie", s.cookie(root).String(), "Sec-Fetch-Site", "same-origin")
	s.wants("oneself", own, 422, "own_account")
	s.wants("nobody", s.send("admin", "GET", "/api/v1/people/ann", ""), 404, "not_found")
	entries, err := s.store.Audit(t.Context(), delivery.AuditFilter{Subject: "ann"})
	if s.must(err); len(entries.Items) != 7 || entries.Items[0].Actor != "token:ci-admin" {
		t.Errorf("%+v", entries.Items)
	}
}

// The command line makes, lists, rotates and ends tokens by the API; the secret alone goes to where programs read.
func TestTokensByTheCommandLine(t *testing.T) {
	d := newDesk(t)
	d.role = "admin"
	d.must(d.runs(&client.CreateToken{Server: d.server(), Output: "secret", Name: "ci", Role: "operator", Permission: []string{"reveal"}, Integration: []string{"push"}, Label: map[string]string{"team": "shop"}, Lifetime: 5 * time.Hour}))
	secret := strings.TrimSuffix(d.out, "\n")
	if !delivery.IsWholeToken(secret) || !strings.Contains(d.err, "Token ci (") {
		t.Errorf("%q %q", d.out, d.err)
	}
	d.must(d.runs(&client.ListTokens{Server: d.server(), Output: table("table")}))
	if !strings.Contains(d.out, "operator, reveal for push, team=shop") || strings.Contains(d.out, secret) || !strings.Contains(d.out, "valid") {
		t.Errorf("%s", d.out)
	}
	d.must(d.runs(&client.ListTokens{Server: d.server(), Output: table("ids")}))
	id, _, _ := strings.Cut(d.out, "\n")
	one := client.OneToken{Server: d.server(), ID: id}
	d.must(d.runs(&client.RotateToken{OneToken: one, Output: "json", Overlap: time.Hour}))
	var made api.NewTokenJSON
	if err := json.Unmarshal([]byte(d.out), &made); err != nil || !delivery.IsWholeToken(made.Secret) || made.ID != id {
		t.Errorf("%s %v", d.out, err)
	}
	d.must(d.runs(&client.RevokeToken{OneToken: one}))
	if !strings.Contains(d.out, "Token ci ("+id+") is revoked.") {
		t.Errorf("%s", d.out)
	}
	d.wantsUsage("no id", d.runs(&client.RevokeToken{OneToken: client.OneToken{Server: d.server(), ID: "ci"}}), "UUID")
	d.wantsUsage("half an hour", d.runs(&client.RotateToken{OneToken: one, Overlap: time.Minute}), "whole hours")
	d.role = secret[:len(secret)-1]
	d.wantsUsage("cut off", d.runs(&client.ListTokens{Server: d.server(), Output: table("table")}), "not whole")
	d.role = "operator"
	if err := d.runs(&client.ListTokens{Server: d.server(), Output: table("table")}); err == nil || errors.As(err, new(client.UsageError)) || !strings.Contains(err.Error(), "administer") {
		t.Errorf("%v", err)
	}
	sum := sha256.Sum256([]byte("over"))
	over, err := d.store.CreateToken(t.Context(), delivery.Token{Name: "over", Role: delivery.RoleAdmin, Lifetime: time.Hour}, sum[:], "setup")
	d.must(err)
	d.exec("UPDATE redrive.token_secrets SET expires_at = clock_timestamp() WHERE id = '" + over.Secret + "'")
	d.role = "over"
	d.wantsUsage("expired", d.runs(&client.ListTokens{Server: d.server(), Output: table("table")}), "has expired")
}
