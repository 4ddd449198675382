package handlers

import (
	"compress/gzip"
	"encoding/json"
	"net/http"
	"net/url"
	"regexp"
	"slices"
	"strings"
	"testing"

	"redrive/delivery"
	"redrive/handlers/console"
	"redrive/views"
)

func TestASearchBecomesAnAddress(t *testing.T) {
	s := newSite(t)
	b := s.signedIn("alice", delivery.RoleOperator)
	other := s.fail(delivery.Message{Integration: "push", Key: "a", Payload: []byte("{}")}, "")
	id := s.fail(delivery.Message{Integration: "sms", Key: "b", Payload: []byte("{}")}, "")
	for text, address := range map[string]string{
		"":                                      "/failures",
		"answered 404 integration:sms key:b":    "/failures?integration=sms&key=b&q=answered+404",
		`"answered 404" state:any sort:oldest`:  "/failures?q=answered+404&sort=oldest&state=any",
		"state:ignored,resolved class:http_4xx": "/failures?error_class=http_4xx&state=ignored&state=resolved",
	} {
		a := b.open("/failures?search=" + url.QueryEscape(text) + "&state=ignored")
		if a.StatusCode != http.StatusSeeOther || a.Header.Get("Location") != address {
			t.Errorf("%q: %d to %q, want %q", text, a.StatusCode, a.Header.Get("Location"), address)
		}
	}
	page := b.open("/failures?integration=sms&key=b&q=answered+404")
	b.shows(page, http.StatusOK, `value="answered 404 integration:sms key:b"`, id, "!"+other, ">1 failure</strong>", "Key b")
	b.shows(b.open("/failures?q=answered+404&state=any&sort=oldest"), http.StatusOK, `value="answered 404 state:any sort:oldest"`, id, other, "2 failures")
	wrong := b.open("/failures?search=" + url.QueryEscape(`integraton:sms <b>typed</b>`))
	b.shows(wrong, http.StatusUnprocessableEntity, `value="integraton:sms &lt;b&gt;typed&lt;/b&gt;"`, `aria-invalid="true" aria-describedby="f-search-error"`,
		"Did you mean integration", "!"+id, "Nothing is listed")
}

// A link by business key is made for mails and tickets: it says what it found, and that it found nothing.
func TestALinkByKeySaysWhatItFound(t *testing.T) {
	s := newSite(t)
	b := s.signedIn("alice", delivery.RoleViewer)
	id := s.fail(delivery.Message{Integration: "push", Key: "order-7", Payload: []byte("{}")}, "")
	b.shows(b.open("/failures?key=order-7&state=any"), http.StatusOK, "<h1 tabindex=\"-1\">Key order-7</h1>", "1 failure", id)
	b.shows(b.open("/failures?key=order-7&state=ignored"), http.StatusOK, "0 failures", "Nothing with the key order-7 is here.", "!"+id)
	b.shows(b.open("/failures?key=order-7&state=dead,pending,ignored,resolved,delivered"), http.StatusOK, id)
}

func TestTabsAndNarrowingsCount(t *testing.T) {
	s := newSite(t)
	b := s.signedIn("alice", delivery.RoleOperator)
	for range 3 {
		s.fail(delivery.Message{Integration: "push", Payload: []byte("{}")}, "")
	}
	ignored := s.fail(delivery.Message{Integration: "sms", Payload: []byte("{}")}, "")
	s.fail(delivery.Message{Integration: "sms", Payload: []byte("{}")}, "")
	b.submit(views.FailureAction(ignored, "ignore"), "version", "1", "category", "duplicate", "reason", "known")
	page := b.open("/failures?limit=2")
	b.shows(page, http.StatusOK, ">4 failures</strong>")
	flat := strings.Join(strings.Fields(string(page.body)), " ")
	for _, want := range []string{
		`<a href="/failures?limit=2" aria-current="true">all dead <span class="count">4</span>`,
		`<a href="/failures?limit=2&amp;state=ignored">ignored <span class="count">1</span>`,
		`<a href="/failures?limit=2&amp;state=any">any state <span class="count">5</span>`,
		`<a href="/failures?integration=push&amp;limit=2">push <span class="count">3</span>`,
		`<a href="/failures?integration=sms&amp;limit=2">sms <span class="count">1</span>`,
		`name="filter" value="state=dead" data-everything> Select all 4`,
	} {
		if !strings.Contains(flat, want) {
			t.Errorf("the page does not show %s:\n%s", want, mainOf(page.body))
		}
	}
	second := b.open(nextOf(t, page))
	b.shows(second, http.StatusOK, `href="/failures?limit=2">First page`, "!Next page")
	b.shows(b.open("/failures?limit=2&sort=oldest"), http.StatusOK, "<strong>oldest first</strong>", `href="/failures?limit=2">newest first`)
}

func nextOf(t *testing.T, page answer) string {
	t.Helper()
	found := regexp.MustCompile(`rel="next" href="([^"]+)"`).FindSubmatch(page.body)
	if found == nil {
		t.Fatal("there is no next page")
	}
	return strings.ReplaceAll(string(found[1]), "&amp;", "&")
}

func TestMineIsOfWhoeverAsks(t *testing.T) {
	s := newSite(t)
	alice, bob := s.signedIn("alice", delivery.RoleOperator), s.signedIn("bob", delivery.RoleOperator)
	id, assignee, acknowledged := s.fail(delivery.Message{Integration: "push", Payload: []byte("{}")}, ""), "alice", true
	tags := []string{"refund"}
	_, err := s.store.ChangeCase(t.Context(), delivery.CaseChange{ID: id, Version: -1, Actor: "alice", Assignee: &assignee, Acknowledge: &acknowledged, Tags: &tags})
	s.must(err)
	alice.shows(alice.open("/failures?assignee=me"), http.StatusOK, id, `value="assignee:me"`, "acknowledged · yours · #refund", `value="assignee=me&amp;state=dead"`)
	bob.shows(bob.open("/failures?assignee=me"), http.StatusOK, "!"+id)
	bob.shows(bob.open("/failures?assignee=alice"), http.StatusOK, id, "with alice")
	bob.shows(bob.open("/"), http.StatusOK, "1 acknowledged", "!dead letter waits for a person")
}

func TestSavedSearches(t *testing.T) {
	s := newSite(t)
	alice, bob := s.signedIn("alice", delivery.RoleOperator), s.signedIn("bob", delivery.RoleViewer)
	bob.shows(bob.submit("/failures/views", "name", "x", "search", "q", "shared", "1"), http.StatusForbidden, "permission triage")
	save := func(fields ...string) answer {
		return alice.submit("/failures/views", append([]string{"return", "/failures?q=x&state=ignored"}, fields...)...)
	}
	alice.shows(save("name", " ", "search", "since:2h"), http.StatusUnprocessableEntity, "Give it a name", `value="since:2h"`, `value="x state:ignored"`)
	alice.shows(save("name", "typed", "search", "since:tomorrowish"), http.StatusUnprocessableEntity, `value="typed"`, `aria-describedby="v-search-error"`, "since:tomorrowish")
	alice.shows(alice.goes(save("name", "Night shift", "search", "since:2h integration:push"), "/failures?q=x&state=ignored"), http.StatusOK, "Saved as Night shift.",
		`href="/failures?search=since%3A2h+integration%3Apush"`, "Night shift")
	alice.goes(save("name", "For all", "search", "class:timeout", "shared", "1"), "/failures?q=x&state=ignored")
	page := bob.open("/failures")
	bob.shows(page, http.StatusOK, "For all (alice)", "!Night shift", "!/delete")
	ids := regexp.MustCompile(`/failures/views/[0-9a-f-]{36}/delete`).FindAllString(string(alice.open("/failures").body), -1)
	if len(ids) != 2 {
		t.Fatal(ids)
	}
	if a := bob.submit(ids[0]); a.StatusCode == http.StatusSeeOther {
		t.Error("bob deleted alice's search")
	}
	for _, id := range ids {
		alice.goes(alice.submit(id, "return", "/failures"), "/failures")
	}
	alice.shows(alice.open("/failures"), http.StatusOK, "!Night shift", "!For all")
}

func TestGroupsByAnyKeys(t *testing.T) {
	s := newSite(t)
	b := s.signedIn("alice", delivery.RoleOperator)
	for range 2 {
		s.fail(delivery.Message{Integration: "push", Payload: []byte("{}")}, "")
	}
	id := s.fail(delivery.Message{Integration: "sms", Payload: []byte("{}")}, "")
	group, err := s.store.Delivery(t.Context(), id)
	s.must(err)
	page := b.open("/groups")
	b.shows(page, http.StatusOK, `href="/groups/`+group.GroupID+`"`, `href="/failures?group=`+group.GroupID+`" class="hot">1</a>`, "the receiver answ<", "new", `class="spark hot"`, "+2 since yesterday")
	b.shows(b.open("/groups?by=error_class"), http.StatusOK, `href="/failures?error_class=http_4xx" class="hot">3</a>`, "2 causes")
	b.shows(b.open("/groups?by=method&by=integration"), http.StatusOK, `href="/failures?integration=push&amp;method=outbox" class="hot">2</a>`, "put together by integration, method")
	b.shows(b.open("/groups?q=nothing+of+it"), http.StatusOK, "No group matches.")
	b.shows(b.open("/groups?status=regressed"), http.StatusOK, "No group matches.")
	b.shows(b.open("/groups?by=colour"), http.StatusBadRequest, `role="alert"`)
	tidy := b.open("/groups?integration=&state=dead&sort=growth&q=&by=message")
	if got := tidy.Header.Get("Location"); tidy.StatusCode != http.StatusSeeOther || got != "/groups?by=message" {
		t.Errorf("%d %s", tidy.StatusCode, got)
	}
	first := b.open("/groups?limit=1")
	b.shows(b.open(nextOf(t, first)), http.StatusOK, group.GroupID, "!Next page")
	own := b.open("/groups/" + group.GroupID)
	b.shows(own, http.StatusOK, "sms: the receiver answered", "It is new", "Retry all 1 …", "filter=group%3D"+group.GroupID+"%26state%3Ddead", "First example", id)
	b.submit(views.FailureAction(id, "ignore"), "version", "1", "category", "duplicate", "reason", "known")
	b.shows(b.open("/groups/"+group.GroupID), http.StatusOK, "Nothing of it is open.", "Nothing of it waits for a decision", `state=ignored">`, id)
	b.shows(b.open("/groups/nothing"), http.StatusNotFound)
}

func TestTheSearchBarIsHelpedOn(t *testing.T) {
	b := newSite(t).signedIn("alice", delivery.RoleViewer)
	texts := func(query string) (out []string) {
		a := b.open("/failures/suggest?" + query)
		if a.StatusCode != http.StatusOK || a.Header.Get("Set-Cookie") != "" {
			t.Errorf("%s: %d %v", query, a.StatusCode, a.Header)
		}
		var found struct{ Items []console.Suggestion }
		if err := json.Unmarshal(a.body, &found); err != nil {
			t.Fatal(err)
		}
		for _, i := range found.Items {
			out = append(out, i.Insert)
		}
		return out
	}
	if got := texts("typed=In"); !slices.Equal(got, []string{"integration:"}) {
		t.Error(got)
	}
	if got := texts("typed="); len(got) != len(delivery.SearchFields) {
		t.Error(got)
	}
	if got := texts("field=integration&typed=push,s"); !slices.Equal(got, []string{"integration:push,sms "}) {
		t.Error(got)
	}
	b.shows(b.open("/failures/suggest?field=class&typed=http_5"), http.StatusOK, `{"text":"http_5xx","help":"receiver error (HTTP 5xx)","insert":"class:http_5xx "}`)
	if got := texts("field=nothing&typed=x"); len(got) != 0 {
		t.Error(got)
	}
	b.shows(b.open("/failures/suggest?typed="+strings.Repeat("x", 2000)), http.StatusBadRequest)
}

func TestPagesTravelCompressed(t *testing.T) {
	s := newSite(t)
	b := s.signedIn("alice", delivery.RoleOperator)
	id := messageOf(s, s.fail(delivery.Message{Integration: "push", Payload: []byte(strings.Repeat("x", 5000))}, ""))
	a := b.open("/failures", "Accept-Encoding", "gzip")
	if a.Header.Get("Content-Encoding") != "gzip" || !slices.Contains(a.Header.Values("Vary"), "Accept-Encoding") {
		t.Fatalf("%v", a.Header)
	}
	if r, err := gzip.NewReader(strings.NewReader(string(a.body))); err != nil || r.Header.Comment != "" {
		t.Error(err)
	}
	for _, path := range []string{views.MessagePayload(id), "/failures/suggest?typed=zzz"} { // exact bytes, and what is short
		if a := b.open(path, "Accept-Encoding", "gzip"); a.StatusCode != http.StatusOK || a.Header.Get("Content-Encoding") != "" {
			t.Errorf("%s: %d %v", path, a.StatusCode, a.Header)
		}
	}
	if a := b.open("/failures", "Accept-Encoding", "identity"); a.Header.Get("Content-Encoding") != "" {
		t.Error("a browser that cannot unpack gets a packed page")
	}
}

func TestSingleKeysCanBeSwitchedOff(t *testing.T) {
	b := newSite(t).signedIn("alice", delivery.RoleViewer)
	b.shows(b.open("/"), http.StatusOK, "!data-keys")
	b.shows(b.goes(b.submit("/preferences", "zone", "UTC", "keys", "off", "return", "/"), "/"), http.StatusOK, `data-keys="off"`)
	b.shows(b.goes(b.submit("/preferences", "zone", "UTC", "keys", "", "return", "/"), "/"), http.StatusOK, "!data-keys")
}
