package web

import (
	"encoding/json"
	"mime"
	"net/http"
	"strings"

	"github.com/labstack/echo/v4"
	"golang.org/x/time/rate"

	"redrive/delivery"
)

// PolicyReports is where browsers tell of what the content policy kept from a page.
const PolicyReports = "/csp-reports"

// Bounds of reports: anybody may send them.
const (
	maxReport    = 64 << 10
	maxReports   = 20 // of one request
	reportsLog   = rate.Limit(1)
	reportsBurst = 20
	maxReported  = 200 // bytes of each of its texts
)

// violation is what one report tells, by either of the forms.
type violation struct {
	Directive, Blocked, Page, Source string
}

// reportsTo asks for reports by the Reporting API too. Browsers know it over HTTPS alone, and one that knows it passes over report-uri.
func reportsTo(h http.Header) {
	h.Set("Content-Security-Policy", ContentPolicy+"; report-to csp")
	h.Set("Reporting-Endpoints", `csp="`+PolicyReports+`"`)
}

// policyReport counts and logs what browsers report: with the policy in force, a violation is an attack, a browser's extension or a
// fault of a page.
func (s *Core) policyReport(c echo.Context) error {
	r := c.Request()
	r.Body = http.MaxBytesReader(c.Response(), r.Body, maxReport)
	body, err := ReadBody(r)
	if err != nil {
		return err
	}
	list, err := readReports(r.Header.Get(echo.HeaderContentType), body)
	if err != nil {
		return err
	}
	for _, v := range list {
		s.Config.Metrics.violations.Inc()
		if s.reports.Allow() {
			s.Config.Log.WarnContext(r.Context(), "a browser reports what the content policy kept out", "directive", v.Directive, "blocked", v.Blocked,
				"page", v.Page, "source", v.Source, "request_id", requestID(c), "from", c.RealIP())
		}
	}
	return c.NoContent(http.StatusNoContent)
}

// readReports reads the form of the Reporting API (a list) and the one before it (CSP level 2).
func readReports(contentType string, body []byte) (list []violation, err error) {
	kind, _, _ := mime.ParseMediaType(contentType)
	switch kind {
	case "application/csp-report":
		var report struct {
			Report struct {
				Directive string `json:"effective-directive"`
				Violated  string `json:"violated-directive"`
				Blocked   string `json:"blocked-uri"`
				Page      string `json:"document-uri"`
				Source    string `json:"source-file"`
			} `json:"csp-report"`
		}
		if err := readReport(body, &report); err != nil {
			return nil, err
		}
		b := report.Report
		if b.Directive == "" {
			b.Directive = b.Violated
		}
		return []violation{reported(b.Directive, b.Blocked, b.Page, b.Source)}, nil
	case "application/reports+json":
		var reports []struct {
			Type string `json:"type"`
			Body struct {
				Directive string `json:"effectiveDirective"`
				Blocked   string `json:"blockedURL"`
				Page      string `json:"documentURL"`
				Source    string `json:"sourceFile"`
			} `json:"body"`
		}
		if err := readReport(body, &reports); err != nil {
			return nil, err
		}
		for _, r := range reports {
			if r.Type == "csp-violation" && len(list) < maxReports {
				list = append(list, reported(r.Body.Directive, r.Body.Blocked, r.Body.Page, r.Body.Source))
			}
		}
		return list, nil
	}
	return nil, NewProblem(http.StatusUnsupportedMediaType, "unsupported_media_type.here")
}

func readReport(body []byte, into any) error {
	if err := checkJSON(body); err != nil {
		return err
	}
	if err := json.Unmarshal(body, into); err != nil { // it has another form
		return NewProblem(http.StatusBadRequest, "invalid_json", "problem", err.Error())
	}
	return nil
}

// reported leaves out what the addresses ask for: searches hold people's texts.
func reported(directive, blocked, page, source string) violation {
	short := func(text string) string {
		if strings.Contains(text, "://") {
			text = delivery.RedactURL(text)
		}
		return text[:min(len(text), maxReported)]
	}
	return violation{short(directive), short(blocked), short(page), short(source)}
}
