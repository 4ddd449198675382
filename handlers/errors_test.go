package handlers

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/labstack/echo/v4"

	"redrive/delivery"
	"redrive/handlers/web"
)

func TestProblemOf(t *testing.T) {
	at := time.Date(2031, 1, 2, 3, 4, 5, 0, time.FixedZone("KST", 9*3600))
	for _, tc := range []struct {
		err    error
		status int
		code   string
	}{
		{delivery.ErrNotFound, 404, "not_found"},
		{fmt.Errorf("reading: %w", delivery.ErrNotFound), 404, "not_found"},
		{&delivery.InputError{Code: "reason_required", Field: "reason"}, 422, "reason_required"},
		{&delivery.InputError{Code: "payload_too_large"}, 413, "payload_too_large"},
		{&delivery.InputError{Code: "unknown_integration"}, 422, "unknown_integration"},
		{&delivery.InputError{Code: "bad_cursor"}, 400, "bad_cursor"},
		{&delivery.InputError{Code: "invalid_json"}, 400, "invalid_json"},
		{&delivery.InputError{Code: "unsupported_media_type"}, 415, "unsupported_media_type"},
		{fmt.Errorf("x: %w", &delivery.ConflictError{State: delivery.StatePending, Version: 3, Actor: "ann", Action: "retry", At: at}), 409, "conflict"},
		{&http.MaxBytesError{Limit: 5}, 413, "payload_too_large"},
		{echo.ErrNotFound, 404, "not_found"},
		{echo.ErrMethodNotAllowed, 405, "method_not_allowed"},
		{echo.NewHTTPError(418, "secret"), 418, "bad_request"},
		{echo.NewHTTPError(502, "secret"), 500, "internal"},
		{context.Canceled, 503, "timeout"},
		{fmt.Errorf("secret: %w", context.DeadlineExceeded), 503, "timeout"},
		{errors.New("password=secret"), 500, "internal"},
	} {
		p := web.ProblemOf(tc.err)
		if p.Status != tc.status || p.Code != tc.code || p.Title == "" || p.Type != "about:blank" || p.Detail == "" {
			t.Errorf("%v is %+v, want %d %s", tc.err, p, tc.status, tc.code)
		}
		if strings.Contains(p.Detail, "secret") {
			t.Errorf("%v is shown: %s", tc.err, p.Detail)
		}
	}
	p := web.ProblemOf(&delivery.ConflictError{State: delivery.StatePending, Version: 0, Actor: "ann", Action: "retry", At: at})
	raw, _ := json.Marshal(p)
	for _, member := range []string{`"actor":"ann"`, `"action":"retry"`, `"at":"2031-01-01T18:04:05Z"`, `"state":"pending"`, `"version":0`} {
		if !strings.Contains(string(raw), member) {
			t.Errorf("%s is not in %s", member, raw)
		}
	}
	if raw, _ := json.Marshal(web.ProblemOf(delivery.ErrNotFound)); strings.Contains(string(raw), "version") || strings.Contains(string(raw), `"at"`) {
		t.Errorf("conflict members in %s", raw)
	}
}

func TestInternalErrorsAreLoggedAndNotShown(t *testing.T) {
	s := newSite(t)
	s.Echo.GET("/api/tests-error", func(echo.Context) error { return errors.New("dsn postgres://app:hunter2@db") })
	s.Echo.GET("/api/tests-panic", func(echo.Context) error { panic("hunter2") })
	s.Echo.GET("/api/tests-late", func(c echo.Context) error {
		if err := c.String(200, "done"); err != nil {
			return err
		}
		return errors.New("after the answer")
	})
	for _, path := range []string{"/api/tests-error", "/api/tests-panic"} {
		p := s.wants(path, s.get(path), 500, "internal")
		if strings.Contains(p.Detail, "hunter2") || !strings.Contains(s.log.String(), p.RequestID) || !strings.Contains(s.log.String(), "hunter2") {
			t.Errorf("%s: detail %q", path, p.Detail)
		}
	}
	if a := s.get("/api/tests-late"); a.StatusCode != 200 || string(a.body) != "done" {
		t.Errorf("an answer that left was changed: %d %s", a.StatusCode, a.body)
	}
}

func TestUnknownAddressesAndMethods(t *testing.T) {
	s := newSite(t)
	s.wants("unknown", s.send("", "GET", "/api/v1/nothing", ""), 404, "not_found")
	s.wants("unknown with a token", s.get("/api/v1/nothing/at/all"), 404, "not_found")
	a := s.send("viewer", "DELETE", "/api/v1/failures", "")
	s.wants("method", a, 405, "method_not_allowed")
	if !strings.Contains(a.Header.Get("Allow"), "GET") {
		t.Errorf("Allow: %q", a.Header.Get("Allow"))
	}
	s.wants("a method that no route has", s.send("admin", "TRACE", "/api/v1/failures", ""), 405, "method_not_allowed")
	a = s.send("", "GET", "/nowhere", "", "Accept", "application/json")
	s.wants("a program outside the API", a, 404, "not_found")
	if a := s.send("", "GET", "/nowhere", "", "Accept", "text/html"); a.StatusCode != 404 || !strings.HasPrefix(a.Header.Get("Content-Type"), "text/html") {
		t.Errorf("a browser gets %d %s", a.StatusCode, a.Header.Get("Content-Type"))
	}
}

func TestAMissingDatabaseIsAnInternalError(t *testing.T) {
	s := newSite(t)
	s.store.Close()
	s.wants("list", s.get("/api/v1/failures"), 500, "internal")
	p := s.wants("readyz", s.send("", "GET", "/readyz", ""), 503, "not_ready")
	if p.Detail != "Not ready: the database does not answer." {
		t.Errorf("detail %q", p.Detail)
	}
	if a := s.send("", "GET", "/healthz", ""); a.StatusCode != 200 {
		t.Errorf("healthz %d", a.StatusCode)
	}
	a := s.send("", "GET", "/metrics", "")
	if a.StatusCode != 200 || !strings.Contains(string(a.body), "go_goroutines") || strings.Contains(string(a.body), "redrive_backlog{") {
		t.Errorf("metrics without a database: %d", a.StatusCode)
	}
}

func TestABodyThatEndsEarlyIsTheCallersMistake(t *testing.T) {
	r := httptest.NewRequest(http.MethodPost, "/", brokenBody{})
	if _, err := web.ReadBody(r); web.ProblemOf(err).Code != "incomplete_body" {
		t.Errorf("%v", err)
	}
}

type brokenBody struct{}

func (brokenBody) Read([]byte) (int, error) { return 0, errors.New("connection reset") }

// An answer that fails while it is encoded has named its type already.
func TestAProblemNamesItsTypeAfterAnotherAnswerFailed(t *testing.T) {
	s := newSite(t)
	s.Echo.GET("/api/test/half", func(c echo.Context) error { return c.JSON(http.StatusOK, time.Date(10000, 1, 1, 0, 0, 0, 0, time.UTC)) })
	if a := s.get("/api/test/half"); a.StatusCode != http.StatusInternalServerError || a.Header.Get("Content-Type") != web.ProblemType {
		t.Errorf("%d %s", a.StatusCode, a.Header.Get("Content-Type"))
	}
}
