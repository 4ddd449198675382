package handlers

import (
	"net/http"
	"net/url"
	"strings"
	"testing"

	"redrive/delivery"
	"redrive/handlers/api"
)

// Secrets are set and removed by console and API, by whoever administers the integration, and no answer, entry or log line has a value.
func TestSecretsAreWriteOnly(t *testing.T) {
	const value = "hide-me-9e1f"
	s := newSite(t)
	ctx := t.Context()
	form := func(role, path string, fields url.Values) answer {
		return s.send(role, http.MethodPost, path, fields.Encode(), "Content-Type", "application/x-www-form-urlencoded")
	}
	answers := []answer{
		s.send("admin", http.MethodPut, "/api/v1/integrations/push/secrets/token", `{"value": "`+value+`"}`),
		form("admin", "/integrations/push/secrets", url.Values{"name": {"key"}, "secret": {value + "\r\nsecond\r\n"}}),
		s.send("admin", http.MethodPut, "/api/v1/integrations/to-come/secrets/token", `{"value": "`+value+`"}`),
	}
	for n, status := range []int{http.StatusNoContent, http.StatusSeeOther, http.StatusNoContent} {
		if answers[n].StatusCode != status {
			t.Errorf("%d: %d %s", n, answers[n].StatusCode, answers[n].body)
		}
	}
	for name, want := range map[string]string{"token": value, "key": value + "\nsecond"} {
		if got, err := s.store.Secret(ctx, "push", name); err != nil || got != want {
			t.Errorf("%s is %q, %v", name, got, err)
		}
	}
	for _, tc := range []struct {
		role, method, path, body string
		status                   int
		code                     string
	}{
		{"admin", "PUT", "/push/secrets/to%20ken", `{"value": "` + value + `"}`, 422, "secret"},
		{"admin", "PUT", "/push/secrets/token", `{"value": ""}`, 422, "secret"},
		{"admin", "PUT", "/push/secrets/token", `{"value": "` + value + `", "other": 1}`, 422, "unknown_field"},
		{"admin", "PUT", "/push/secrets/token", `{"value": "` + strings.Repeat("s", delivery.MaxSecret+1) + `"}`, 422, "too_long"},
		{"admin", "PUT", "/Push!/secrets/token", `{"value": "` + value + `"}`, 404, "not_found"},
		{"admin", "DELETE", "/push/secrets/nobody", "", 404, "not_found"},
		{"operator", "GET", "/push/secrets", "", 403, "forbidden"},
		{"operator", "PUT", "/push/secrets/token", `{"value": "` + value + `"}`, 403, "forbidden"},
		{"operator", "DELETE", "/push/secrets/token", "", 403, "forbidden"},
	} {
		a := s.send(tc.role, tc.method, "/api/v1/integrations"+tc.path, tc.body)
		if answers = append(answers, a); a.StatusCode != tc.status || !strings.Contains(string(a.body), `"code":"`+tc.code) {
			t.Errorf("%s %s: %d %s", tc.method, tc.path, a.StatusCode, a.body)
		}
	}
	refused := form("admin", "/integrations/push/secrets", url.Values{"name": {"to ken"}, "secret": {value}})
	if answers = append(answers, refused); refused.StatusCode != http.StatusUnprocessableEntity || !strings.Contains(string(refused.body), `value="to ken"`) {
		t.Errorf("a form that was refused: %d %s", refused.StatusCode, refused.body)
	}
	list := s.send("admin", http.MethodGet, "/api/v1/integrations/push/secrets", "")
	if all := read[api.List[api.StoredSecretJSON]](s, list, http.StatusOK).Items; len(all) != 2 || all[0].Name != "key" || all[1].SetBy != "token:ci-admin" {
		t.Errorf("the list: %+v", all)
	}
	page := s.send("admin", http.MethodGet, "/integrations/push/secrets", "")
	if !strings.Contains(string(page.body), `action="/integrations/push/secrets/token/remove"`) {
		t.Errorf("the page: %d %s", page.StatusCode, page.body)
	}
	answers = append(answers, list, page, s.send("admin", http.MethodGet, "/api/v1/audit", ""), s.send("admin", http.MethodGet, "/audit", ""),
		form("admin", "/integrations/push/secrets/token/remove", nil), s.send("admin", http.MethodDelete, "/api/v1/integrations/push/secrets/key", ""),
		form("", "/integrations/push/secrets", url.Values{"name": {"key"}, "secret": {value}}), // the session had ended
	)
	for _, a := range answers {
		if strings.Contains(string(a.body), value) || strings.Contains(a.Header.Get("Location"), value) || strings.Contains(string(a.body), `name="kept"`) {
			t.Errorf("%s %s shows it: %s", a.Request.Method, a.Request.URL, a.body)
		}
	}
	if left, err := s.store.Secrets(ctx, "push"); err != nil || len(left) != 0 {
		t.Errorf("left: %+v, %v", left, err)
	}
	entries, err := s.store.Audit(ctx, delivery.AuditFilter{Subject: "push"})
	if err != nil || len(entries.Items) != 4 {
		t.Errorf("the audit: %+v, %v", entries.Items, err)
	}
	if log := s.log.String(); strings.Contains(log, value) {
		t.Errorf("the log shows it: %s", log)
	}
}
