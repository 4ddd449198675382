package handlers

import (
	"net/http"
	"strings"
	"testing"

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
