package static

import (
	"bytes"
	"net/http"
	"net/http/httptest"
	"regexp"
	"testing"
)

func TestAFileIsServedUnderItsAddressOnly(t *testing.T) {
	address := URL("redrive.css")
	if !regexp.MustCompile(`^/static/redrive\.[0-9a-f]{12}\.css$`).MatchString(address) {
		t.Fatal(address)
	}
	for path, want := range map[string]int{address: http.StatusOK, "/static/redrive.css": http.StatusNotFound, "/static/../embed.go": http.StatusNotFound, "/": http.StatusNotFound} {
		answer := httptest.NewRecorder()
		request := httptest.NewRequest(http.MethodGet, "/", nil)
		request.URL.Path = path
		Handler().ServeHTTP(answer, request)
		if answer.Code != want {
			t.Errorf("%s: %d", path, answer.Code)
		}
		if cached := answer.Header().Get("Cache-Control") != ""; cached != (want == http.StatusOK) {
			t.Errorf("%s: Cache-Control %q", path, answer.Header().Get("Cache-Control"))
		}
	}
}

func TestAnUnknownNameIsFoundAtOnce(t *testing.T) {
	defer func() {
		if recover() == nil {
			t.Error("a template may name a file that does not exist")
		}
	}()
	URL("nothing.css")
}

func TestOwnFilesStaySmall(t *testing.T) {
	style, _ := files.ReadFile("redrive.css")
	script, _ := files.ReadFile("redrive.js")
	keys, _ := files.ReadFile("passkey.js")
	if len(style) == 0 || len(style) >= 32<<10 {
		t.Errorf("the style sheet has %d bytes", len(style))
	}
	for _, kept := range []string{"localStorage", "indexedDB", "caches."} {
		if bytes.Contains(script, []byte(kept)) || bytes.Contains(keys, []byte(kept)) {
			t.Errorf("the browser keeps something by %s", kept)
		}
	}
	if lines := bytes.Count(script, []byte("\n")) + bytes.Count(keys, []byte("\n")); lines < 100 || lines >= 400 {
		t.Errorf("the scripts have %d lines", lines)
	}
}
