package handlers

import (
	"crypto/sha256"
	"encoding/csv"
	"fmt"
	"net/http"
	"net/url"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"redrive/delivery"
	"redrive/delivery/search"
	"redrive/views"
)

func searching(text string) string { return "/failures?search=" + url.QueryEscape(text) }

// A name that is pasted opens what it names; what names nothing is looked for, and what was probably meant is offered.
func TestASearchKnowsNames(t *testing.T) {
	s := newSite(t)
	b := s.signedIn("alice", delivery.RoleOperator)
	one := s.fail(delivery.Message{Integration: "push", Key: "order:80055", Payload: []byte(`{"customer":{"id":5003}}`)}, "")
	s.fail(delivery.Message{Integration: "sms", Key: "twice", Payload: []byte("{}")}, "")
	s.fail(delivery.Message{Integration: "push", Key: "twice", Payload: []byte("{}")}, "")
	_, _, err := s.store.Index(t.Context(), 100, search.Entry)
	s.must(err)
	message := messageOf(s, one)
	for text, want := range map[string]string{
		"order:80055":             "/failures/" + one + "?",
		" order:80055 ":           "/failures/" + one + "?",
		one:                       "/failures/" + one + "?",
		strings.ToUpper(one[28:]): "/failures/" + one + "?",
		message:                   "/failures/" + one + "?",
		"twice":                   "/failures?key=twice&state=any",
		"answered 404":            "/failures?q=answered+404",
		"key:twice":               "/failures?key=twice",
		"integration:pu":          "/failures?integration=pu",
	} {
		a := b.open(searching(text))
		if at := a.Header.Get("Location"); a.StatusCode != http.StatusSeeOther || at != want && !(strings.HasSuffix(want, "?") && strings.HasPrefix(at, want)) {
			t.Errorf("%q: %d %s, want %s", text, a.StatusCode, at, want)
		}
	}
	empty := []string{"!M4 15l7 7L24 6", "Perhaps you mean:"} // no tick
	b.shows(b.open("/failures?integration=pu"), http.StatusOK, append(empty, `href="/failures?integration=push"`)...)
	b.shows(b.open("/failures?q=customer.id%3A5003"), http.StatusOK, append(empty, "Payloads in which customer.id is 5003", "/failures?path=%24.customer.id%3D5003")...)
	b.shows(b.open(searching("integraton:push")), http.StatusUnprocessableEntity, append(empty, "The field integration", `href="/failures?integration=push"`)...)
	b.shows(b.open("/failures?state=ignored&integration=push"), http.StatusOK, append(empty, "The same in every state", "/failures?integration=push&amp;state=any")...)
}

// The mark moves by a person's word alone, and only over what the page could show.
func TestWhatIsNewIsMarkedAsSeen(t *testing.T) {
	s := newSite(t)
	b := s.signedIn("alice", delivery.RoleOperator)
	other := s.signedIn("bob", delivery.RoleOperator)
	first := s.fail(delivery.Message{Integration: "push", Key: "a", Payload: []byte("{}")}, "")
	news := func(b *browser) string {
		found := regexp.MustCompile(`href="(/failures\?from=[^"]+)"[^>]*>New since I last looked`).FindSubmatch(b.open("/failures").body)
		if found == nil {
			t.Fatal("there is no tab of what is new")
		}
		return strings.ReplaceAll(string(found[1]), "&amp;", "&")
	}
	page := b.open(news(b))
	b.shows(page, http.StatusOK, "1 failure", first, "Mark as seen", "!>new</span>")
	until := regexp.MustCompile(`name="until" value="([^"]+)"`).FindSubmatch(page.body)
	second := s.fail(delivery.Message{Integration: "push", Key: "b", Payload: []byte("{}")}, "")
	list := page.Request.URL.RequestURI()
	stays := b.goes(b.submit(views.FailuresSeen, "until", string(until[1]), "return", list), list)
	b.shows(stays, http.StatusOK, "Noted", first, second) // the list is what it was
	b.shows(b.open(news(b)), http.StatusOK, second, "!"+first)
	b.shows(b.open("/failures"), http.StatusOK, first, ">new</span>")
	b.shows(b.submit(views.FailuresSeen, "until", "2001-01-01T00:00:00Z", "return", "/failures"), http.StatusSeeOther)
	b.shows(b.open(news(b)), http.StatusOK, "!"+first) // not moved back
	other.shows(other.open(news(other)), http.StatusOK, first, second)
	if a := b.submit(views.FailuresSeen, "until", "soon"); a.StatusCode != http.StatusUnprocessableEntity {
		t.Error(a.StatusCode)
	}
}

// From row to row within the list that one came from, also after a decision has taken the failure out of it.
func TestAFailureLeadsOnInItsList(t *testing.T) {
	s := newSite(t)
	b := s.signedIn("alice", delivery.RoleOperator)
	var ids []string
	for n := range 3 {
		ids = append(ids, s.fail(delivery.Message{Integration: "push", Key: fmt.Sprint("k-", n), Payload: []byte("{}")}, ""))
		s.fail(delivery.Message{Integration: "sms", Key: fmt.Sprint("other-", n), Payload: []byte("{}")}, "")
	}
	list := b.open("/failures?integration=push")
	href := regexp.MustCompile(`href="(/failures/` + ids[1] + `\?[^"]+)"`).FindSubmatch(list.body)
	if href == nil {
		t.Fatal("the row has no link")
	}
	at := string(href[1])
	check := func() {
		t.Helper()
		page := string(b.open(at).body)
		prev, next := regexp.MustCompile(`rel="prev" href="/failures/([0-9a-f-]{36})`).FindStringSubmatch(page), regexp.MustCompile(`rel="next" href="/failures/([0-9a-f-]{36})`).FindStringSubmatch(page)
		if prev == nil || next == nil || prev[1] != ids[2] || next[1] != ids[0] {
			t.Errorf("beside it are %v and %v, want %s and %s", prev, next, ids[2], ids[0])
		}
		back := regexp.MustCompile(`href="(/failures\?integration=push#f-[^"]+)">← `).FindStringSubmatch(page)
		if back == nil || !strings.Contains(string(list.body), `id="`+strings.Split(back[1], "#")[1]+`"`) {
			t.Errorf("the way back does not lead to the row: %v", back)
		}
	}
	check()
	_, err := s.store.Act(t.Context(), delivery.ActionRequest{Action: delivery.ActionResolve, ID: ids[1], Actor: "bob", Reason: "done"})
	s.must(err)
	check()
}

// Neighbours that look the same are one row, whose box chooses all of them.
func TestNeighboursThatLookTheSameAreFolded(t *testing.T) {
	s := newSite(t)
	b := s.signedIn("alice", delivery.RoleOperator)
	for range 3 {
		s.fail(delivery.Message{Integration: "push", Key: "same", Payload: []byte("{}")}, "")
	}
	s.fail(delivery.Message{Integration: "push", Key: "another", Payload: []byte("{}")}, "")
	page := b.open("/failures")
	b.shows(page, http.StatusOK, "3 alike", "4 failures")
	box := regexp.MustCompile(`data-fold value="([^"]+)"`).FindSubmatch(page.body)
	if box == nil || len(strings.Fields(string(box[1]))) != 3 {
		t.Fatalf("%s", box)
	}
	own := strings.Fields(string(box[1]))[0]
	b.shows(b.submit(views.OperationNew, "action", "resolve", "id", string(box[1]), "id", own, "return", "/failures"), http.StatusOK, "3 can be resolved")
}

// A list as a file: of one's own scope, harmless to spreadsheets, without what is masked.
func TestAListIsTakenAwayAsAFile(t *testing.T) {
	s := newSite(t)
	auditor := s.signedIn("eve", delivery.RoleAuditor)
	id := s.fail(delivery.Message{Integration: "sms", Key: "=HYPERLINK(1)", Payload: []byte(`{"code":"471199"}`)}, "471199 is no code")
	s.fail(delivery.Message{Integration: "push", Key: "open", Payload: []byte("{}")}, "")
	_, err := s.store.Act(t.Context(), delivery.ActionRequest{Action: delivery.ActionIgnore, ID: id, Actor: "bob", Reason: "@known, \"old\"", Category: "duplicate"})
	s.must(err)
	month := "/ignored?month=" + time.Now().UTC().Format("2006-01")
	page := auditor.open("/ignored")
	auditor.shows(page, http.StatusOK, `href="`+month+`"`)
	file := regexp.MustCompile(`href="(/ignored/csv[^"]+)"`).FindSubmatch(auditor.open(month).body)
	if file == nil {
		t.Fatal("there is no file")
	}
	a := auditor.open(strings.ReplaceAll(string(file[1]), "&amp;", "&"))
	rows, err := csv.NewReader(strings.NewReader(strings.TrimPrefix(string(a.body), "\ufeff"))).ReadAll()
	s.must(err)
	if len(rows) != 2 || !slices.Contains(rows[1], id) || !slices.Contains(rows[1], "'=HYPERLINK(1)") || !slices.Contains(rows[1], `'@known, "old"`) ||
		strings.Contains(string(a.body), "471199") || !strings.Contains(a.Header.Get("Content-Disposition"), "attachment") {
		t.Errorf("%v %q", a.Header, rows)
	}
	if a := s.signedIn("vic", delivery.RoleViewer).open("/failures/csv"); a.StatusCode != http.StatusForbidden {
		t.Errorf("a viewer takes the list away: %d", a.StatusCode)
	}
	scoped := delivery.Grants{{Role: delivery.RoleAuditor, Integrations: []string{"push"}}}
	secret := sha256.Sum256([]byte("narrow"))
	token, err := s.store.CreateToken(t.Context(), delivery.Token{Name: "narrow", Grants: scoped}, secret[:], "setup")
	s.must(err)
	if a := s.send("narrow", http.MethodGet, "/failures/csv?state=any", ""); token.ID == "" || !strings.Contains(string(a.body), "open") || strings.Contains(string(a.body), "HYPERLINK") {
		t.Errorf("%d %s", a.StatusCode, a.body)
	}
}
