package e2e

import (
	"strings"
	"testing"
	"time"

	"github.com/chromedp/chromedp"
	"github.com/chromedp/chromedp/kb"
)

// errand is what somebody wants of the console, and how many clicks, taps or keys it may take from where they are.
type errand struct {
	from  string
	steps int
	do    func(step func(css string)) // each step is one click
}

// What people come for every day is a click or two away, in a desk with a week of history.
func TestDailyErrandsTakeFewClicks(t *testing.T) {
	p := serve(t, onFreshDatabase(t), "REDRIVE_DEMO=1")
	for _, name := range []string{"seller-push", "welcome-mail"} {
		p.knobs(name, `{}`) // what is sent again is judged by its content alone
	}
	b := browse(t, p.url, true)
	b.do(chromedp.EmulateViewport(1280, 800))
	b.open("/")
	b.enter("#name", "admin")
	b.enter("#password", "correct horse battery")
	b.click("form[action='/sign-in'] button")
	b.shows("Made-up data to try things with")
	mine := p.failure("integration=seller-push&q=house+number")
	gateway := p.failure("integration=seller-push&q=Bad+Gateway")
	key := mine["key"].(string)
	groups, _ := p.must("GET", "/api/v1/groups?status=regressed", nil)["items"].([]any)
	if len(groups) == 0 {
		t.Fatal("nothing came back")
	}
	back := "/groups/" + groups[0].(map[string]any)["id"].(string)

	b.errand("what grew", errand{"/", 1, func(step func(string)) {
		step(".head a[href='/groups']")
		b.is("String(document.querySelector('.grouped tbody tr .said').textContent.includes('gift_note'))", "true")
	}})
	b.open("/failures/" + mine["id"].(string))
	b.click("form[action$='/case/assign'] button")
	b.shows("It is yours.")
	b.errand("what is mine", errand{"/", 1, func(step func(string)) {
		step(".head a[href*='assignee=me']")
		b.shows(key)
		b.is("String(document.querySelectorAll('[data-row]').length)", "1")
	}})
	b.errand("a business key", errand{"/failures", 0, func(func(string)) {
		b.enter("#f-search", key)
		b.press(kb.Enter)
		b.is("location.pathname", "/failures/"+mine["id"].(string))
	}})
	b.errand("what came back, as a canary", errand{back, 2, func(step func(string)) {
		step("a[data-all=retry]")
		b.shows("Retry these?")
		step("form[action='/operations'] button.primary")
		b.sums("canary:")
	}})
	b.errand("a month of what was ignored", errand{"/", 3, func(step func(string)) {
		step(".bar a[href='/ignored']")
		step(".tabs a[href*='month=" + time.Now().UTC().Add(-28*time.Hour).Format("2006-01") + "']") // when the week ignored them
		b.is("String(document.querySelectorAll('a[href^=\"/ignored/csv\"][href*=month]').length)", "1")
		file := b.promised(`fetch(document.querySelector('a[href^="/ignored/csv"]').href).then(a => a.text())`) // the third
		if !strings.Contains(file, "obsolete") {
			t.Errorf("the file: %s", file)
		}
	}})
	b.do(chromedp.EmulateViewport(390, 844))
	b.errand("from an alert to delivered", errand{"/failures/" + gateway["id"].(string), 2, func(step func(string)) {
		step("button[data-action=retry]")
		b.becomes("delivered")
	}})
	b.do(chromedp.EmulateViewport(320, 256)) // 1280 by 1024 at 400 %
	for _, path := range []string{"/", "/failures", "/groups", back, "/failures/" + gateway["id"].(string), "/integrations/seller-push", "/operations", "/audit"} {
		b.open(path)
		b.is("String(document.documentElement.scrollWidth <= innerWidth)", "true")
	}
	b.open("/")
	b.is("String(document.querySelectorAll('.note .state.good').length)", "2") // the canary and the file; nothing was edited
	b.click("button[name=tasks]")
	b.is("String(document.body.textContent.includes('Made-up data'))", "false")
	b.complaints()
}

// errand does it and counts.
func (b *browser) errand(what string, e errand) {
	b.t.Helper()
	b.open(e.from)
	steps := 0
	e.do(func(css string) { b.t.Helper(); steps++; b.click(css) })
	if steps > e.steps {
		b.t.Errorf("%s takes %d steps, not %d", what, steps, e.steps)
	}
}

// failure is the newest dead letter that a query of the API finds.
func (p *program) failure(query string) map[string]any {
	p.t.Helper()
	items, _ := p.must("GET", "/api/v1/failures?limit=1&"+query, nil)["items"].([]any)
	if len(items) == 0 {
		p.t.Fatalf("nothing is found by %s", query)
	}
	return items[0].(map[string]any)
}
