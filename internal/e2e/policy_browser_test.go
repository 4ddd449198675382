package e2e

import (
	"io"
	"net/http"
	"regexp"
	"strings"
	"testing"

	"github.com/chromedp/chromedp"
)

// What the content policy keeps from a page, the browser tells the program, which counts and logs it.
func TestBrowsersReportViolations(t *testing.T) {
	p := serve(t, onFreshDatabase(t))
	b := browse(t, p.url, true)
	b.open("/sign-in?next=%2Ffailures%3Fq%3Dprivate-search")
	const inline = `(() => { const s = document.createElement('script'); s.textContent = 'window.hurt = true'; document.body.append(s); return !window.hurt })()`
	kept, err := chromedp.Run(b.ctx, chromedp.Evaluate[bool](inline))
	if err != nil || !kept {
		t.Fatalf("an inline script runs: %v %v", kept, err)
	}
	await(t, "the report", func() bool {
		r, err := http.Get(p.url + "/metrics")
		if err != nil {
			t.Fatal(err)
		}
		defer r.Body.Close()
		text, err := io.ReadAll(r.Body)
		if err != nil {
			t.Fatal(err)
		}
		return regexp.MustCompile(`(?m)^redrive_csp_reports_total [1-9]`).Match(text)
	})
	log := p.output()
	if !strings.Contains(log, "script-src-elem") || !strings.Contains(log, "page="+p.url+"/sign-in ") || strings.Contains(log, "private-search") {
		t.Errorf("the log: %s", log)
	}
}
