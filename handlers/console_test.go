package handlers

import (
	"io"
	"net/http"
	"net/http/cookiejar"
	"net/url"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"redrive/delivery"
	"redrive/handlers/web"
	"redrive/views"
)

const ownPassword, freshPassword = "correct horse battery", "another long enough one"

// browser is one person at the console.
type browser struct {
	*site
	client *http.Client
}

// person creates an operator with that role and answers a browser that is not signed in.
func (s *site) person(name string, role delivery.Role) *browser {
	s.t.Helper()
	cheap := web.ArgonHash{Memory: 8, Time: 1, Lanes: 1, Salt: make([]byte, web.SaltBytes)} // what a real one costs is not what these tests are about
	cheap.Key = cheap.Derive(ownPassword, web.KeyBytes)
	_, err := s.store.CreateOperator(s.t.Context(), delivery.Operator{Name: name, Role: role, PasswordHash: cheap.String()}, "setup")
	s.must(err)
	return s.stranger()
}

func (s *site) stranger() *browser {
	jar, err := cookiejar.New(nil)
	s.must(err)
	return &browser{site: s, client: &http.Client{Jar: jar, CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}}
}

// signedIn is a person who has signed in.
func (s *site) signedIn(name string, role delivery.Role) *browser {
	s.t.Helper()
	b := s.person(name, role)
	a := b.submit("/sign-in", "name", name, "password", ownPassword)
	if a.StatusCode != http.StatusSeeOther {
		s.t.Fatalf("signing in: %d %s", a.StatusCode, a.body)
	}
	return b
}

func (b *browser) do(method, path, body string, headers ...string) answer {
	b.t.Helper()
	r, err := http.NewRequestWithContext(b.t.Context(), method, b.url+path, strings.NewReader(body))
	b.must(err)
	r.Header.Set("Accept", "text/html")
	if method == http.MethodPost {
		r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
		r.Header.Set("Sec-Fetch-Site", "same-origin")
	}
	for i := 0; i < len(headers); i += 2 {
		r.Header.Set(headers[i], headers[i+1])
	}
	response, err := b.client.Do(r)
	b.must(err)
	defer response.Body.Close()
	raw, err := io.ReadAll(response.Body)
	b.must(err)
	checkTimes(b.t, r, raw)
	return answer{Response: response, body: raw}
}

func (b *browser) open(path string, headers ...string) answer {
	b.t.Helper()
	return b.do(http.MethodGet, path, "", headers...)
}

// submit posts a form; fields are pairs and may repeat.
func (b *browser) submit(path string, fields ...string) answer {
	b.t.Helper()
	form := url.Values{}
	for i := 0; i < len(fields); i += 2 {
		form.Add(fields[i], fields[i+1])
	}
	return b.do(http.MethodPost, path, form.Encode())
}

// shows checks status and contents; a text that begins with "!" must not be there.
func (b *browser) shows(a answer, status int, texts ...string) {
	b.t.Helper()
	if a.StatusCode != status {
		b.t.Errorf("%s %s: status %d, want %d", a.Request.Method, a.Request.URL.Path, a.StatusCode, status)
	}
	for _, text := range texts {
		unwanted, negated := strings.CutPrefix(text, "!")
		if negated && strings.Contains(string(a.body), unwanted) {
			b.t.Errorf("%s %s shows %q", a.Request.Method, a.Request.URL.Path, unwanted)
		} else if !negated && !strings.Contains(string(a.body), text) {
			b.t.Errorf("%s %s does not show %q:\n%s", a.Request.Method, a.Request.URL.Path, text, mainOf(a.body))
		}
	}
}

func mainOf(body []byte) string {
	_, main, _ := strings.Cut(string(body), "<main")
	main, _, _ = strings.Cut(main, "</main>")
	return main
}

// goes checks that an answer leads to that address, and opens it.
func (b *browser) goes(a answer, to string) answer {
	b.t.Helper()
	if a.StatusCode != http.StatusSeeOther || a.Header.Get("Location") != to {
		b.t.Fatalf("%s %s: %d to %q, want 303 to %q: %s", a.Request.Method, a.Request.URL.Path, a.StatusCode, a.Header.Get("Location"), to, mainOf(a.body))
	}
	return b.open(to)
}

var versionField1 = regexp.MustCompile(`name="version" value="(\d+)"`)

// version returns the version that the forms of a page carry.
func (b *browser) version(id string) string {
	b.t.Helper()
	found := versionField1.FindSubmatch(b.open(views.Failure(id)).body)
	if found == nil {
		b.t.Fatal("the page has no form")
	}
	return string(found[1])
}

func (b *browser) actions(subject string) []string {
	b.t.Helper()
	page, err := b.store.Audit(b.t.Context(), delivery.AuditFilter{Subject: subject})
	b.must(err)
	var out []string
	for _, e := range page.Items {
		out = append(out, e.Actor+" "+e.Action)
	}
	return out
}

func TestSignInAndOut(t *testing.T) {
	b := newSite(t).person("alice", delivery.RoleOperator)
	b.goes(b.open("/failures?key=a"), "/sign-in?next=%2Ffailures%3Fkey%3Da")
	b.shows(b.submit("/sign-in", "name", "alice", "password", "wrong password", "next", "/failures"), http.StatusUnauthorized,
		"do not fit", `value="alice"`, `value="/failures"`, "!wrong password")
	b.shows(b.submit("/sign-in", "name", "nobody", "password", ownPassword), http.StatusUnauthorized, "do not fit")
	b.shows(b.submit("/sign-in", "name", "", "password", ""), http.StatusUnprocessableEntity, "Enter your name")
	before := b.cookie()
	in := b.submit("/sign-in", "name", "alice", "password", ownPassword, "next", "/failures?key=a")
	b.shows(b.goes(in, "/failures?key=a"), http.StatusOK, "Nothing with the key a", "alice")
	if set := in.Header.Get("Set-Cookie"); !strings.Contains(set, "HttpOnly") || !strings.Contains(set, "SameSite=Lax") || b.cookie() == before {
		t.Error(set)
	}
	before = b.cookie()
	b.submit("/sign-in", "name", "alice", "password", ownPassword)
	if b.cookie() == before {
		t.Error("signing in keeps the session's token: whoever planted it would be signed in, too")
	}
	stolen := b.cookie()
	b.goes(b.submit("/sign-out"), "/sign-in")
	if a := b.stranger().open("/", "Cookie", "redrive_session="+stolen); a.StatusCode != http.StatusSeeOther {
		t.Errorf("the session lives on after signing out: %d", a.StatusCode)
	}
	if got, want := b.actions("alice"), []string{"alice session.sign-out", "alice session.sign-in", "alice session.sign-in", "anonymous session.sign-in-failed", "setup operator.create"}; !slices.Equal(got, want) {
		t.Errorf("audit %v, want %v", got, want)
	}
	if all, err := b.store.Audit(t.Context(), delivery.AuditFilter{Action: "session.sign-in-failed"}); err != nil || len(all.Items) != 2 || all.Items[0].Subject != "unknown" {
		t.Errorf("a name that does not exist is missing in the audit trail, or written down: %+v %v", all.Items, err)
	}
	if log := b.log.String(); !strings.Contains(log, "unknown name") || strings.Contains(log, "nobody") {
		t.Error("the log lacks the refusal, or repeats what was typed")
	}
}

func (b *browser) cookie() string {
	at, _ := url.Parse(b.url)
	for _, c := range b.client.Jar.Cookies(at) {
		if c.Name == "redrive_session" {
			return c.Value
		}
	}
	return ""
}

func TestSignInLeadsOnlyHome(t *testing.T) {
	b := newSite(t).person("alice", delivery.RoleViewer)
	b.goes(b.submit("/sign-in", "name", "alice", "password", ownPassword, "next", "//evil.test/"), "/")
	b.goes(b.open("/sign-in?next=https://evil.test"), "/")
}

func TestGuessingPasswordsIsSlowedDown(t *testing.T) {
	b := newSite(t).person("alice", delivery.RoleViewer)
	for range web.PairBurst {
		b.shows(b.submit("/sign-in", "name", "alice", "password", "guess guess"), http.StatusUnauthorized)
	}
	a := b.submit("/sign-in", "name", "alice", "password", ownPassword)
	b.shows(a, http.StatusTooManyRequests, "Too many tries", `value="alice"`)
	if a.Header.Get("Retry-After") == "" {
		t.Error("no Retry-After")
	}
}

func TestRetryIsRequestedUntilItIsDelivered(t *testing.T) {
	s := newSite(t)
	b := s.signedIn("alice", delivery.RoleOperator)
	id := s.fail(delivery.Message{Integration: "push", Type: "order.placed", Key: "order-7", Payload: []byte(`{"n":1.10,"n":123456789012345678901}`)}, "no such seller")
	b.shows(b.open("/"), http.StatusOK, "push", `href="/failures?integration=push"`)
	b.shows(b.open("/failures"), http.StatusOK, id, "order-7", "ered 404</span>")
	b.shows(b.open(views.Failure(id)), http.StatusOK, "Delivery to push failed: the receiver answered 404.", "<b>n</b><span class=\"n\">1.10<", "123456789012345678901",
		"same idempotency key", "Nobody has touched it", "!Conflict")
	b.shows(b.open(views.Failure(id)+"?tab=answer"), http.StatusOK, "no such seller", "HTTP 404", "!123456789012345678901")
	page := b.goes(b.submit(views.FailureAction(id, "retry"), "version", b.version(id), "return", "/failures?key=order-7"), "/failures/"+id+"?return=%2Ffailures%3Fkey%3Dorder-7")
	b.shows(page, http.StatusOK, "Retry requested", "retry requested", `href="/failures?key=order-7"`, "!</span> delivered")
	b.shows(b.open(views.Failure(id)), http.StatusOK, "!It counts as delivered only")
	if s.woken.Load() != 1 {
		t.Errorf("the engine was woken %d times", s.woken.Load())
	}
	b.shows(b.open("/failures?state=pending"), http.StatusOK, "retry requested", id)
	news := b.open(views.FailureNews(delivery.Delivery{ID: id, State: delivery.StatePending, Version: 2, Attempts: 1}))
	b.shows(news, http.StatusOK, `{"text":""}`)
	if set := news.Header.Get("Set-Cookie"); set != "" {
		t.Errorf("asking for news keeps a person signed in: %s", set)
	}
	s.engine(id, "push", delivery.StateDelivered, delivery.Result{Outcome: delivery.OutcomeOK, HTTPStatus: 200})
	b.shows(b.open(news.Request.URL.RequestURI()), http.StatusOK, "Now: delivered")
	b.shows(b.open(views.Failure(id)), http.StatusOK, "Delivered to push after it had failed once.", "Only a dead letter can be settled; this is delivered.", "alice")
}

func TestIgnoreResolveAndReopen(t *testing.T) {
	s := newSite(t)
	b := s.signedIn("alice", delivery.RoleOperator)
	ignored := s.fail(delivery.Message{Integration: "push", Payload: []byte("{}")}, "")
	until := time.Now().Add(72 * time.Hour).UTC().Format("2006-01-02T15:04")
	b.goes(b.submit(views.FailureAction(ignored, "ignore"), "version", "1", "category", "duplicate", "reason", "sent twice by the shop", "until", until), views.FailureFrom(ignored, "/failures"))
	b.shows(b.open("/ignored"), http.StatusOK, "sent twice by the shop", "alice", "duplicate", "in 3 days")
	b.shows(b.open("/failures"), http.StatusOK, "Nothing is waiting for you.", "!"+ignored)
	resolved := s.fail(delivery.Message{Integration: "push", Payload: []byte("{}")}, "")
	b.goes(b.submit(views.FailureAction(resolved, "resolve"), "version", "1", "reason", "called the seller", "evidence", "ticket 12"), views.FailureFrom(resolved, "/failures"))
	b.shows(b.open(views.Failure(resolved)), http.StatusOK, "alice settled this by other means: called the seller.", "ticket 12", "Reopen")
	b.goes(b.submit(views.FailureAction(resolved, "reopen"), "version", b.version(resolved)), views.FailureFrom(resolved, "/failures"))
	b.shows(b.open("/failures"), http.StatusOK, resolved)
	b.shows(b.open("/audit?actor=alice"), http.StatusOK, "delivery.ignore", "delivery.resolve", "delivery.reopen", "sent twice by the shop")
	b.shows(b.open(views.FailureAction(resolved, "retry")), http.StatusSeeOther)
}

func TestARefusedFormKeepsWhatWasTyped(t *testing.T) {
	s := newSite(t)
	b := s.signedIn("alice", delivery.RoleOperator)
	id := s.fail(delivery.Message{Integration: "push", Payload: []byte("{}")}, "")
	for field, form := range map[string][]string{
		"category": {"version", "1", "reason", "typed <b>text</b>"},
		"reason":   {"version", "1", "category", "obsolete", "reason", "  "},
		"until":    {"version", "1", "category", "obsolete", "reason", "typed <b>text</b>", "until", "tomorrow"},
	} {
		a := b.submit(views.FailureAction(id, "ignore"), form...)
		b.shows(a, http.StatusUnprocessableEntity, `aria-invalid="true" aria-describedby="ignore-`+field+`-error"`, "open")
		if slices.Contains(form, "typed <b>text</b>") {
			b.shows(a, http.StatusUnprocessableEntity, "typed &lt;b&gt;text&lt;/b&gt;")
		}
		if slices.Contains(form, "obsolete") {
			b.shows(a, http.StatusUnprocessableEntity, `<option value="obsolete" selected>`)
		}
	}
	if got := b.actions(id); len(got) != 0 {
		t.Errorf("refused forms changed something: %v", got)
	}
	b.shows(b.submit(views.FailureAction(id, "retry")), http.StatusUnprocessableEntity, "lost its version")
}

func TestTheSlowerOfTwoIsToldWhoWasFaster(t *testing.T) {
	s := newSite(t)
	alice, bob := s.signedIn("alice", delivery.RoleOperator), s.signedIn("bob", delivery.RoleOperator)
	id := s.fail(delivery.Message{Integration: "push", Payload: []byte("{}")}, "")
	version := bob.version(id)
	alice.submit(views.FailureAction(id, "ignore"), "version", version, "category", "duplicate", "reason", "known")
	a := bob.submit(views.FailureAction(id, "resolve"), "version", version, "reason", "my reason")
	bob.shows(a, http.StatusConflict, "Nothing was changed: somebody was faster.", "alice ignored this", "just now", "ignored", "Reopen", `name="version" value="2"`)
	if got := alice.actions(id); !slices.Equal(got, []string{"alice delivery.ignore"}) {
		t.Error(got)
	}
}

func TestFiltersLiveInTheAddress(t *testing.T) {
	s := newSite(t)
	b := s.signedIn("alice", delivery.RoleOperator)
	first := s.fail(delivery.Message{Integration: "push", Key: "a", Payload: []byte("{}")}, "")
	second := s.fail(delivery.Message{Integration: "sms", Key: "b", Payload: []byte("{}")}, "")
	b.shows(b.open("/failures?key=a&state=dead,ignored"), http.StatusOK, first, "!"+second, `value="state:dead,ignored key:a"`)
	b.shows(b.open("/failures?q=ANSWERED+404&integration=sms"), http.StatusOK, second, "!"+first)
	page := b.open("/failures?limit=1&state=dead")
	b.shows(page, http.StatusOK, second, "!"+first, "Next page")
	next := regexp.MustCompile(`rel="next" href="([^"]+)"`).FindSubmatch(page.body)
	b.shows(b.open(strings.ReplaceAll(string(next[1]), "&amp;", "&")), http.StatusOK, first, "!"+second, "!Next page")
	for _, wrong := range []string{"state=x", "after=%2A", "from=yesterday", "limit=0", "color=red", "integration=%2F"} {
		b.shows(b.open("/failures?"+wrong), http.StatusBadRequest, `id="f-search-error"`, "!"+first)
	}
	tomorrow := time.Now().Add(24 * time.Hour).UTC().Format("2006-01-02T15:04")
	b.shows(b.open("/failures?from="+tomorrow), http.StatusOK, "Nothing matches", "since:"+tomorrow)
	swap := b.open("/failures", "HX-Request", "true")
	b.shows(swap, http.StatusOK, first, "!<html", "<main")
	if !slices.Contains(swap.Header.Values("Vary"), "HX-Request") {
		t.Error("a cache may confuse page and fragment")
	}
	b.shows(b.open("/failures", "HX-Request", "true", "HX-History-Restore-Request", "true"), http.StatusOK, "<html")
	b.shows(b.open("/failures/news?from="+url.QueryEscape(time.Now().Add(-time.Hour).UTC().Format(time.RFC3339Nano))), http.StatusOK, "2 new")
}

func TestAViewerLooksOnly(t *testing.T) {
	s := newSite(t)
	b := s.signedIn("vera", delivery.RoleViewer)
	id := s.fail(delivery.Message{Integration: "push", Payload: []byte("{}")}, "")
	b.shows(b.open(views.Failure(id)), http.StatusOK, "This needs the permission retry", "!/retry")
	for _, path := range []string{views.FailureAction(id, "retry"), "/operations/new", "/integrations/push/pause", "/operators", "/tokens"} {
		b.shows(b.submit(path, "version", "1", "reason", "x"), http.StatusForbidden, "This needs the permission", "vera")
	}
	for _, path := range []string{"/operators", "/tokens", views.MessagePayload(messageOf(s, id))} {
		b.shows(b.open(path), http.StatusForbidden)
	}
	if got := b.actions(id); len(got) != 0 {
		t.Error(got)
	}
}

func messageOf(s *site, id string) string {
	d, err := s.store.Delivery(s.t.Context(), id)
	s.must(err)
	return d.MessageID
}

func TestAFormFromAnotherSiteIsRefused(t *testing.T) {
	s := newSite(t)
	b := s.signedIn("alice", delivery.RoleOperator)
	id := s.fail(delivery.Message{Integration: "push", Payload: []byte("{}")}, "")
	a := b.do(http.MethodPost, views.FailureAction(id, "retry"), "version=1", "Sec-Fetch-Site", "cross-site", "Origin", "https://evil.test")
	b.shows(a, http.StatusForbidden, "another site", "request <code>")
	if got := b.actions(id); len(got) != 0 {
		t.Error(got)
	}
}

func TestRawBytesAreAuditedAndKeptFromMost(t *testing.T) {
	s := newSite(t)
	operator, admin := s.signedIn("alice", delivery.RoleOperator), s.signedIn("root", delivery.RoleAdmin)
	body := "\x00\xff{\"a\":1.0,\"a\":2}"
	open := messageOf(s, s.fail(delivery.Message{Integration: "push", Payload: []byte(body)}, ""))
	a := operator.open(views.MessagePayload(open))
	if string(a.body) != body || a.Header.Get("Content-Type") != "application/octet-stream" || !strings.HasPrefix(a.Header.Get("Content-Disposition"), "attachment") {
		t.Errorf("%q %v", a.body, a.Header)
	}
	if got := operator.actions(open); !slices.Equal(got, []string{"alice message.payload-read"}) {
		t.Error(got)
	}
	failed := s.fail(delivery.Message{Integration: "sms", Payload: []byte(`{"code":"471199","n":1}`)}, "bad code 471199")
	masked := messageOf(s, failed)
	operator.shows(operator.open(views.MessagePayload(masked)), http.StatusForbidden, "masked")
	operator.shows(operator.open(views.Failure(failed)), http.StatusOK, "•••", "!471199", "admins only")
	operator.shows(operator.open(views.Message(masked)), http.StatusOK, "•••", "!471199", "sms")
	if a := admin.open(views.MessagePayload(masked)); string(a.body) != `{"code":"471199","n":1}` {
		t.Errorf("%s", a.body)
	}
	operator.shows(operator.open("/messages/nothing"), http.StatusNotFound, "nothing here")
}

func TestPauseAndResumeByForm(t *testing.T) {
	s := newSite(t)
	b := s.signedIn("alice", delivery.RoleOperator)
	b.shows(b.submit("/integrations/push/pause", "reason", " "), http.StatusUnprocessableEntity, "Say why", `aria-invalid`)
	b.shows(b.goes(b.submit("/integrations/push/pause", "reason", "seller moves house"), "/integrations/push"), http.StatusOK, "push is paused", "seller moves house", "alice")
	b.shows(b.open("/"), http.StatusOK, "paused")
	b.shows(b.goes(b.submit("/integrations/push/resume"), "/integrations/push"), http.StatusOK, "push goes on", "!alice, ")
	b.shows(b.submit("/integrations/push/pause", "reason", "tonight", "until", "2020-01-01T00:00"), http.StatusUnprocessableEntity, "tonight", "2020-01-01T00:00", `aria-describedby="until-push-error"`, "!why-push-error", "must be in the future")
	b.shows(b.submit("/integrations/push/pause", "reason", "tonight", "until", "soon"), http.StatusUnprocessableEntity, "tonight", "Write the time like")
	b.shows(b.submit("/integrations/nothing/pause", "reason", "x"), http.StatusNotFound)
	if got := b.actions("push"); !slices.Equal(got, []string{"alice integration.resume", "alice integration.pause"}) {
		t.Error(got)
	}
}

func TestPeople(t *testing.T) {
	s := newSite(t)
	admin := s.signedIn("root", delivery.RoleAdmin)
	admin.shows(admin.submit("/operators", "name", "bob", "role", "operator", "password", "short"), http.StatusUnprocessableEntity, "at least 15", `value="bob"`, "!short\"")
	admin.shows(admin.submit("/operators", "name", "policy", "role", "operator", "password", ownPassword), http.StatusUnprocessableEntity, "is not one of")
	admin.shows(admin.submit("/operators", "name", "bob", "role", "king", "password", ownPassword), http.StatusUnprocessableEntity, "Choose a role")
	admin.shows(admin.goes(admin.submit("/operators", "name", "bob", "role", "operator", "password", ownPassword), "/operators"), http.StatusOK, "bob can sign in now")
	admin.shows(admin.submit("/operators", "name", "bob", "role", "viewer", "password", ownPassword), http.StatusUnprocessableEntity)
	bob := s.stranger()
	bob.submit("/sign-in", "name", "bob", "password", ownPassword)
	bob.shows(bob.open("/account"), http.StatusOK, "Signed in as bob")
	admin.goes(admin.submit("/operators/bob/role", "role", "viewer"), "/operators")
	bob.shows(bob.open("/account"), http.StatusSeeOther)
	bob.submit("/sign-in", "name", "bob", "password", ownPassword)
	bob.shows(bob.open("/account"), http.StatusOK, "viewer: looks")
	admin.goes(admin.submit("/operators/bob/password", "password", freshPassword), "/operators")
	bob.shows(bob.open("/account"), http.StatusSeeOther)
	bob.submit("/sign-in", "name", "bob", "password", freshPassword)
	bob.shows(bob.open("/account"), http.StatusOK)
	admin.goes(admin.submit("/operators/bob/disable"), "/operators")
	bob.shows(bob.open("/account"), http.StatusSeeOther)
	bob.shows(bob.submit("/sign-in", "name", "bob", "password", freshPassword), http.StatusUnauthorized)
	admin.shows(admin.submit("/operators/root/disable"), http.StatusUnprocessableEntity, "Another admin")
	admin.shows(admin.submit("/operators/bob/explode"), http.StatusNotFound)
}

func TestPeopleAreGivenRightsForSomeIntegrations(t *testing.T) {
	s := newSite(t)
	admin := s.signedIn("root", delivery.RoleAdmin)
	s.signIn("bob", delivery.RoleViewer)
	admin.shows(admin.submit("/operators/bob/grant", "role", "on-call", "labels", "team"), http.StatusUnprocessableEntity, "team is no label")
	admin.shows(admin.submit("/operators/bob/grant", "role", "admin", "integrations", "No"), http.StatusUnprocessableEntity, "No is no name")
	admin.shows(admin.goes(admin.submit("/operators/bob/grant", "role", "on-call", "integrations", "push, sms", "labels", "team=shop"), "/operators"), http.StatusOK, "on-call for push, sms, team=shop")
	admin.goes(admin.submit("/operators/bob/role", "role", ""), "/operators")
	bob, err := s.store.OperatorByName(t.Context(), "bob")
	if s.must(err); bob.Role != "" || len(bob.Grants) != 1 || bob.Rights().May(delivery.PermitEdit) || !bob.Rights().May(delivery.PermitRetry) || bob.Rights().Scope(delivery.PermitView).All {
		t.Errorf("%+v", bob)
	}
	admin.shows(admin.goes(admin.submit("/operators/bob/withdraw", "grant", bob.Grants[0].ID), "/operators"), http.StatusOK, "!on-call for push")
	admin.goes(admin.submit("/operators/bob/role", "role", "viewer"), "/operators")
	admin.goes(admin.submit("/operators", "name", "scoped", "role", "operator", "integrations", "push", "password", ownPassword), "/operators")
	if scoped, err := s.store.OperatorByName(t.Context(), "scoped"); err != nil || scoped.Role != "" || scoped.Rights().MissingFor("push", delivery.PermitEdit) != "" || scoped.Rights().MissingFor("sms", delivery.PermitView) == "" {
		t.Errorf("%+v %v", scoped, err)
	}
}

func TestChangingThePasswordEndsOtherSessions(t *testing.T) {
	s := newSite(t)
	s.person("root", delivery.RoleAdmin) // the store wants one
	here := s.signedIn("alice", delivery.RoleViewer)
	there := s.stranger()
	there.submit("/sign-in", "name", "alice", "password", ownPassword)
	for _, wrong := range [][]string{{"current", "wrong wrong", "new", freshPassword, "again", freshPassword}, {"current", ownPassword, "new", freshPassword, "again", "another one"}, {"current", ownPassword, "new", "short", "again", "short"}} {
		here.shows(here.submit("/account", wrong...), http.StatusUnprocessableEntity, `role="alert"`, "!"+freshPassword)
	}
	here.shows(here.goes(here.submit("/account", "current", ownPassword, "new", freshPassword, "again", freshPassword), "/account"), http.StatusOK, "is changed")
	there.shows(there.open("/account"), http.StatusSeeOther)
}

func TestTokensAreShownOnce(t *testing.T) {
	s := newSite(t)
	admin := s.signedIn("root", delivery.RoleAdmin)
	a := admin.submit("/tokens", "name", "ci", "role", "viewer")
	secret := regexp.MustCompile(delivery.TokenPattern).FindString(string(a.body))
	admin.shows(a, http.StatusOK, "cannot be shown again")
	admin.shows(admin.open("/tokens"), http.StatusOK, "ci", "!"+secret)
	if got := s.send("", http.MethodGet, "/api/v1/failures", "", "Authorization", "Bearer "+secret); got.StatusCode != http.StatusOK {
		t.Errorf("the token does not work: %d", got.StatusCode)
	}
	revoke := regexp.MustCompile(`/tokens/[0-9a-f-]{36}/revoke`).FindAllString(string(admin.open("/tokens").body), -1)
	for _, path := range revoke {
		admin.goes(admin.submit(path), "/tokens")
	}
	if got := s.send("", http.MethodGet, "/api/v1/failures", "", "Authorization", "Bearer "+secret); got.StatusCode != http.StatusUnauthorized {
		t.Errorf("the revoked token works: %d", got.StatusCode)
	}
	admin.shows(admin.submit("/tokens", "name", "<x>", "role", "viewer"), http.StatusUnprocessableEntity, "&lt;x&gt;")
}

func TestThemeAndZoneAreRemembered(t *testing.T) {
	s := newSite(t)
	b := s.signedIn("alice", delivery.RoleViewer)
	b.shows(b.goes(b.submit("/preferences", "theme", "dark", "zone", "Asia/Seoul", "return", "/audit"), "/audit"), http.StatusOK, `data-theme="dark"`, "KST · ")
	b.shows(b.goes(b.submit("/preferences", "theme", "", "zone", "../../etc/passwd", "return", "//evil.test"), "/"), http.StatusOK, "not known", "!data-theme", `value="Asia/Seoul"`)
}

func TestStaticFilesAreKeptForEver(t *testing.T) {
	b := newSite(t).stranger()
	page := b.open("/sign-in")
	files := regexp.MustCompile(`/static/[a-z.]+\.[0-9a-f]{12}\.[a-z]+`).FindAllString(string(page.body), -1)
	if len(files) < 4 {
		t.Fatal(files)
	}
	for _, file := range files {
		if a := b.open(file); a.StatusCode != http.StatusOK || !strings.Contains(a.Header.Get("Cache-Control"), "immutable") || a.Header.Get("Set-Cookie") != "" {
			t.Errorf("%s: %d %v", file, a.StatusCode, a.Header)
		}
	}
	for _, path := range []string{"/static/", "/static/redrive.css", "/static/embed.go", "/nothing"} {
		b.shows(b.open(path), http.StatusNotFound)
	}
}

func TestPagesNeedNothingInline(t *testing.T) {
	s := newSite(t)
	b := s.signedIn("root", delivery.RoleAdmin)
	s.fail(delivery.Message{Integration: "push", Payload: []byte("{}")}, "")
	for _, path := range []string{"/", "/failures", "/groups", "/ignored", "/audit", "/integrations", "/operators", "/tokens", "/account", "/help"} {
		a := b.open(path)
		b.shows(a, http.StatusOK, "<h1", "! style=", "!<style", "! onclick=")
		if policy := a.Header.Get("Content-Security-Policy"); !strings.Contains(policy, "default-src 'none'") || strings.Contains(policy, "unsafe") {
			t.Errorf("%s: %s", path, policy)
		}
	}
}

// The numbers of the overview can be followed to their rows, before anything has failed.
func TestRowsBehindTheOverview(t *testing.T) {
	s := newSite(t)
	b := s.signedIn("vera", delivery.RoleViewer)
	b.shows(b.open("/integrations/push/underway"), http.StatusOK, "Nothing waits")
	accepted, err := s.store.Accept(t.Context(), delivery.Message{Kind: delivery.KindCommand, Integration: "push", Type: "order.placed", Key: "order-9", Payload: []byte("1")})
	s.must(err)
	id := accepted.Deliveries[0].ID
	b.shows(b.open("/"), http.StatusOK, `href="/integrations/push/underway"`)
	b.shows(b.open("/integrations/push/underway"), http.StatusOK, id, "order-9", "waiting")
	b.shows(b.open("/integrations/sms/underway"), http.StatusOK, "!"+id)
	s.must(s.store.SetPaused(t.Context(), "push", true, "alice", "seller moves house"))
	b.shows(b.open("/integrations/push/underway"), http.StatusOK, "by alice (seller moves house)")
	s.must(s.store.SetPaused(t.Context(), "push", false, "alice", ""))
	s.engine(id, "push", delivery.StateDelivered, delivery.Result{Outcome: delivery.OutcomeOK, HTTPStatus: http.StatusOK})
	b.shows(b.open("/integrations/push/underway"), http.StatusOK, "!"+id)
	b.shows(b.open("/integrations/push/delivered"), http.StatusOK, id, "delivered")
	b.shows(b.open("/integrations/nothing/underway"), http.StatusNotFound)
	b.shows(b.open("/integrations/push/underway?after=nonsense"), http.StatusBadRequest, "!"+id)
}
