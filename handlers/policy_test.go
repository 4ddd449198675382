package handlers

import (
	"net/http"
	"strings"
	"testing"
)

// Both forms in which browsers report, and what anybody else may send.
func TestReportsOfViolations(t *testing.T) {
	const (
		before = "application/csp-report"
		list   = "application/reports+json"
	)
	s := newSite(t)
	for name, c := range map[string]struct {
		kind, body string
		status     int
		counted    float64
	}{
		"CSP level 2": {before, `{"csp-report":{"document-uri":"https://h/failures?q=secret","effective-directive":"script-src-elem","blocked-uri":"inline"}}`, 204, 1},
		"older":       {before, `{"csp-report":{"document-uri":"https://h/","violated-directive":"img-src","blocked-uri":"https://evil.test/x?secret"}}`, 204, 1},
		"Reporting API": {list + "; charset=utf-8", `[{"type":"csp-violation","body":{"documentURL":"https://h/?secret","effectiveDirective":"style-src-elem","blockedURL":"inline"}},` +
			`{"type":"deprecation","body":{"id":"x"}}]`, 204, 1},
		"many at once":   {list, "[" + strings.Repeat(`{"type":"csp-violation","body":{}},`, 500) + `{"type":"csp-violation","body":{}}]`, 204, 20},
		"no JSON":        {list, `[`, 400, 0},
		"another form":   {list, `{"csp-report":{}}`, 400, 0},
		"something else": {"text/plain", `x`, 415, 0},
		"too much":       {before, `"` + strings.Repeat("x", 65<<10) + `"`, http.StatusRequestEntityTooLarge, 0},
	} {
		t.Run(name, func(t *testing.T) {
			already := s.sample("redrive_csp_reports_total")
			if a := s.send("", "POST", "/csp-reports", c.body, "Content-Type", c.kind); a.StatusCode != c.status {
				t.Errorf("%d %s", a.StatusCode, a.body)
			}
			if got := s.sample("redrive_csp_reports_total") - already; got != c.counted {
				t.Errorf("counted %v, want %v", got, c.counted)
			}
			if strings.Contains(s.log.String(), "secret") {
				t.Error("the log shows what the address asked for")
			}
		})
	}
}
