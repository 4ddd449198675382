package handlers

import (
	"io"
	"net/http"
	"strings"
	"testing"

	"github.com/labstack/echo/v4"

	"redrive/handlers/web"
	"redrive/views"
)

func TestEveryAnswerHasSecurityHeaders(t *testing.T) {
	s := newSite(t, func(c *web.Config) { c.SecureCookies = true })
	for _, path := range []string{"/healthz", "/api/v1/failures", "/nowhere", "/api/openapi.json"} {
		h := s.send("", "GET", path, "").Header
		for name, want := range map[string]string{"Content-Security-Policy": web.ContentPolicy + "; report-to csp", "X-Content-Type-Options": "nosniff",
			"Referrer-Policy": "same-origin", "Strict-Transport-Security": "max-age=31536000", "Reporting-Endpoints": `csp="/csp-reports"`,
			"Cross-Origin-Opener-Policy": "same-origin", "Cross-Origin-Resource-Policy": "same-origin"} {
			if h.Get(name) != want {
				t.Errorf("%s: %s is %q", path, name, h.Get(name))
			}
		}
	}
	for _, part := range []string{"default-src 'none'", "frame-ancestors 'none'", "base-uri 'none'", "script-src 'self'"} {
		if !strings.Contains(web.ContentPolicy, part) || strings.Contains(web.ContentPolicy, "unsafe") {
			t.Errorf("policy %s", web.ContentPolicy)
		}
	}
	plain := newSite(t)
	if h := plain.send("", "GET", "/healthz", "").Header; h.Get("Content-Security-Policy") != web.ContentPolicy || h.Get("Reporting-Endpoints") != "" {
		t.Errorf("reports over plain HTTP: %v", h)
	}
	if h := plain.send("", "GET", "/healthz", "").Header.Get("Strict-Transport-Security"); h != "" {
		t.Errorf("HSTS over plain HTTP: %q", h)
	}
}

func TestCachesKeepNothingOfTheAPI(t *testing.T) {
	s := newSite(t)
	for path, want := range map[string]string{"/api/v1/failures": "no-store", "/nowhere": "private, no-cache"} {
		if got := s.get(path).Header.Get("Cache-Control"); got != want {
			t.Errorf("%s: %q, want %q", path, got, want)
		}
	}
}

func TestHeadIsAnsweredAsGet(t *testing.T) {
	s := newSite(t)
	for path, want := range map[string]int{"/readyz": 200, "/api/v1/failures": 200, "/api/v1/nothing": 404} {
		if a := s.send("viewer", "HEAD", path, ""); a.StatusCode != want || len(a.body) != 0 || a.Header.Get("Content-Type") == "" {
			t.Errorf("%s: %d, %d bytes", path, a.StatusCode, len(a.body))
		}
	}
}

func TestRequestIDs(t *testing.T) {
	s := newSite(t)
	if got := s.send("", "GET", "/healthz", "", "X-Request-Id", "trace-1.a_B").Header.Get("X-Request-Id"); got != "trace-1.a_B" {
		t.Errorf("a caller's id became %q", got)
	}
	seen := map[string]bool{}
	for _, bad := range []string{"", "a b", `x"y`, strings.Repeat("a", 65), "<script>"} {
		got := s.send("", "GET", "/healthz", "", "X-Request-Id", bad).Header.Get("X-Request-Id")
		if !web.GoodRequestID.MatchString(got) || got == bad || seen[got] {
			t.Errorf("id %q became %q", bad, got)
		}
		seen[got] = true
	}
}

func TestTheLogHoldsNoSecrets(t *testing.T) {
	s := newSite(t)
	s.get("/api/v1/failures?q=needle-in-query")
	s.post("/api/v1/messages", `{"integration":"push","type":"t","payload":"needle-in-payload","headers":{"A":"needle-in-header"}}`)
	s.send("needle-in-token", "GET", "/api/v1/failures", "")
	log := s.log.String()
	if strings.Contains(log, "needle") {
		t.Errorf("the log shows it: %s", log)
	}
	for _, part := range []string{`"path":"/api/v1/messages"`, `"status":202`, `"actor":"token:ci-operator"`, `"method":"POST"`} {
		if !strings.Contains(log, part) {
			t.Errorf("%s is not in the log", part)
		}
	}
}

// endless is a body of unknown length.
type endless struct{ read int }

func (e *endless) Read(p []byte) (int, error) {
	if e.read > 64<<20 {
		return 0, io.EOF
	}
	e.read += len(p)
	clear(p)
	return len(p), nil
}

func TestABodyWithoutLengthIsCutOff(t *testing.T) {
	s := newSite(t)
	body := &endless{}
	r, err := http.NewRequestWithContext(t.Context(), "POST", s.url+"/api/v1/messages", body)
	s.must(err)
	for name, value := range map[string]string{"Authorization": "Bearer operator", "ce-specversion": "1.0", "ce-id": "1", "ce-source": "/s", "ce-type": "t"} {
		r.Header.Set(name, value)
	}
	response, err := http.DefaultClient.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	if response.StatusCode != http.StatusRequestEntityTooLarge || body.read > 32<<20 {
		t.Errorf("status %d after %d bytes", response.StatusCode, body.read)
	}
}

func TestALargeFormIsRefusedAndNotReadAsEmpty(t *testing.T) {
	s := newSite(t)
	for path, bytes := range map[string]int{"/preferences": web.FormBodyLimit, "/sign-in": web.KeptBodyLimit, views.FailureEdit("x"): web.EditBodyLimit} {
		a := s.send("", "POST", path, "name="+strings.Repeat("x", bytes), "Content-Type", "application/x-www-form-urlencoded", "Accept", "application/json")
		s.wants(path, a, http.StatusRequestEntityTooLarge, "payload_too_large")
	}
}

func TestTheDemoIsServedToTheEngineAndToPeople(t *testing.T) {
	shop := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		n, err := io.Copy(io.Discard, r.Body)
		if err != nil || n == 0 && r.Method == http.MethodPost {
			w.WriteHeader(http.StatusTeapot)
		}
		_, _ = io.WriteString(w, "shop "+r.URL.Path)
	})
	s := newSite(t, func(c *web.Config) { c.DemoHandler = shop })
	for _, path := range []string{"/demo", "/demo/", "/demo/receivers"} {
		if a := s.send("", "GET", path, ""); a.StatusCode != 200 || string(a.body) != "shop "+path {
			t.Errorf("%s: %d %s", path, a.StatusCode, a.body)
		}
	}
	big := strings.Repeat("x", 10<<20)
	if a := s.send("", "POST", "/demo/receivers/sms/deliver", big, "Origin", "https://else.test"); a.StatusCode != 200 {
		t.Errorf("a delivery: %d", a.StatusCode)
	}
	if a := s.send("", "POST", "/demo/orders", "x=1", "Sec-Fetch-Site", "cross-site"); a.StatusCode != 403 {
		t.Errorf("another site's form: %d", a.StatusCode)
	}
	if a := newSite(t).send("", "GET", "/demo", ""); a.StatusCode != 404 {
		t.Errorf("without a demo: %d", a.StatusCode)
	}
}

func TestTheCallersAddressCannotBeChosen(t *testing.T) {
	s := newSite(t)
	s.Echo.GET("/api/tests-address", func(c echo.Context) error { return c.String(200, c.RealIP()) })
	if a := s.send("", "GET", "/api/tests-address", "", "X-Forwarded-For", "9.9.9.9", "X-Real-Ip", "9.9.9.9"); string(a.body) != "127.0.0.1" {
		t.Errorf("address %s", a.body)
	}
}
