package handlers

import (
	"bytes"
	"maps"
	"net/http"
	"regexp"
	"slices"
	"strings"
	"testing"

	"golang.org/x/net/html"

	"redrive/delivery"
	"redrive/handlers/web"
)

const inKorean, inEnglish = `lang="ko"`, `<html lang="en"`

func (b *browser) reads(lang, path string, headers ...string) {
	b.t.Helper()
	a := b.open(path, headers...)
	b.shows(a, http.StatusOK, `<html lang="`+lang+`"`)
	if got := a.Header.Get("Content-Language"); got != lang {
		b.t.Errorf("%s is said to be in %q", path, got)
	}
	if vary := strings.Join(a.Header.Values("Vary"), ","); !strings.Contains(vary, "Accept-Language") {
		b.t.Errorf("%s varies by %s only", path, vary)
	}
}

// What a person chose counts before what the browser asks for, and that before the setting.
func TestWhoReadsWhichLanguage(t *testing.T) {
	s := newSite(t)
	b := s.signedIn("alice", delivery.RoleViewer)
	b.reads("en", "/audit")
	b.reads("ko", "/audit", "Accept-Language", "ko-KR,ko;q=0.9,en;q=0.8")
	b.reads("en", "/audit", "Accept-Language", "fr")
	b.goes(b.submit("/preferences", "language", "ko", "return", "/audit"), "/audit")
	b.reads("ko", "/audit", "Accept-Language", "en")

	elsewhere := s.stranger()
	elsewhere.goes(elsewhere.submit("/sign-in", "name", "alice", "password", ownPassword, "next", "/audit"), "/audit")
	elsewhere.reads("ko", "/audit", "Accept-Language", "en")
	elsewhere.shows(elsewhere.submit("/preferences", "language", "xx", "return", "/"), http.StatusUnprocessableEntity, "목록")
	elsewhere.goes(elsewhere.submit("/preferences", "language", "", "return", "/audit"), "/audit")
	elsewhere.reads("en", "/audit", "Accept-Language", "en")

	stranger := s.stranger()
	stranger.reads("en", "/sign-in")
	stranger.goes(stranger.submit("/preferences", "language", "ko", "return", "/sign-in"), "/sign-in")
	stranger.reads("ko", "/sign-in", "Accept-Language", "en")

	b.shows(b.goes(b.submit("/preferences", "theme", "dark", "return", "/audit"), "/audit"), http.StatusOK, `data-theme="dark"`, inKorean)
	b.shows(b.goes(b.submit("/preferences", "language", "en", "return", "/audit"), "/audit"), http.StatusOK, `data-theme="dark"`, inEnglish)
}

func TestTheSettingSaysWhatNobodyChose(t *testing.T) {
	s := newSite(t, func(c *web.Config) { c.Lang = "ko" })
	b := s.stranger()
	b.reads("ko", "/sign-in")
	b.reads("ko", "/sign-in", "Accept-Language", "fr")
	b.reads("en", "/sign-in", "Accept-Language", "fr,en;q=0.5")

	// Of an answer to a program only the detail is translated, and only when the program asks for it.
	for lang, header := range map[string]string{"ko": "ko", "en": ""} {
		a := s.send("viewer", http.MethodGet, "/api/v1/failures?limit=9999", "", "Accept-Language", header)
		b.shows(a, http.StatusBadRequest, `"code":"invalid_parameter"`, `"title":"Bad Request"`)
		if strings.Contains(string(a.body), "limit must be") == (lang == "ko") || a.Header.Get("Content-Language") != lang {
			t.Errorf("%s: %s", lang, a.body)
		}
	}
}

// english is a run of words in which no name of a field, an integration or a type stands alone.
var english = regexp.MustCompile(`[A-Za-z]{2,}(?:,? [a-z]{2,})+`)

// dataInEnglish are words of the test's own data, of what is typed, of the version, and of what the audit is about.
var dataInEnglish = []string{"Tell the seller", "for the test", "class:timeout since", "an answer in their words", "Redrive test", "policy, engine, anonymous, redrive, system, unknown, me, nobody"}

// inQuotes is what stands elsewhere as it is.
var inQuotes = regexp.MustCompile(`“[^”]*”`)

// Each page of the console, and what each form answers when it is sent empty, in Korean: no sentence in English bypasses the catalogue.
func TestNoPageSaysEnglishInKorean(t *testing.T) {
	s := newSite(t)
	b := s.signedIn("alice", delivery.RoleAdmin)
	b.goes(b.submit("/preferences", "language", "ko", "return", "/audit"), "/audit")
	var ids []string
	for _, action := range []string{"ignore", "resolve", "", "retry"} {
		id := s.fail(delivery.Message{Integration: "push", Key: "k-" + action, Payload: []byte(`{"n": 1}`)}, "an answer in their words")
		ids = append(ids, id)
		if action != "" {
			body := `{"reason": "for the test", "category": "test-data"}`
			if a := s.post("/api/v1/failures/"+id+"/"+action, body); a.StatusCode != http.StatusOK {
				t.Fatal(action, string(a.body))
			}
		}
	}
	operation := read[struct{ ID string }](s, s.post("/api/v1/operations", `{"action": "acknowledge", "filter": {}, "reason": "for the test"}`), http.StatusAccepted)
	paths := map[string]bool{}
	s.routesOf(func(method, path string, access web.Access) {
		if path == "/sign-out" || path == "/failures/live" || strings.HasPrefix(path, "/api") || strings.HasPrefix(path, "/static") ||
			strings.HasPrefix(path, "/metrics") || strings.HasSuffix(path, "z") {
			return
		}
		of := ids[:1]
		switch {
		case strings.HasPrefix(path, "/operations"):
			of = []string{operation.ID}
		case method+" "+path == "GET /failures/:id":
			of = ids
		}
		for _, id := range of {
			at := strings.ReplaceAll(strings.ReplaceAll(path, ":id", id), ":number", "1")
			paths[method+" "+nowhere(strings.ReplaceAll(strings.ReplaceAll(at, ":name", "push"), ":action", "ignore"))] = true
		}
	})
	for _, path := range []string{"/failures?state=any", "/failures?search=sate:x", "/failures?q=nothing", "/failures?from=x", "/groups?by=integration",
		"/operations/new?action=retry&filter=", "/operations/new?action=ignore&filter=", "/audit?actor=nobody", "/nothing", "/operators/alice/sessions"} {
		paths["GET "+path] = true
	}
	for _, path := range slices.Sorted(maps.Keys(paths)) {
		method, at, _ := strings.Cut(path, " ")
		if a := b.do(method, at, "", "Sec-Fetch-Site", "same-origin"); strings.HasPrefix(a.Header.Get("Content-Type"), "text/html") {
			b.speaksKorean(path, a.body)
		}
	}
}

// speaksKorean looks at all that people read or hear on a page, but for what is written as code.
func (b *browser) speaksKorean(what string, page []byte) {
	b.t.Helper()
	root, err := html.Parse(bytes.NewReader(page))
	b.must(err)
	for n := range root.Descendants() {
		var texts []string
		if n.Type == html.TextNode && !slices.Contains([]string{"script", "style", "code", "kbd", "pre", "option"}, n.Parent.Data) {
			texts = append(texts, n.Data)
		}
		for _, a := range n.Attr {
			if slices.Contains([]string{"title", "aria-label", "placeholder", "alt"}, a.Key) || strings.HasPrefix(a.Key, "data-") && strings.Contains(a.Val, " ") {
				texts = append(texts, a.Val)
			}
		}
		for _, text := range texts {
			for _, data := range dataInEnglish {
				text = strings.ReplaceAll(text, data, "")
			}
			text = inQuotes.ReplaceAllString(text, "")
			if found := english.FindString(text); found != "" {
				b.t.Errorf("%s says %q in %q", what, found, strings.TrimSpace(text))
			}
		}
	}
}
