package e2e

import (
	"net/http"
	"testing"

	"github.com/chromedp/chromedp"
)

// Where scripts are off, a morning's work is the same: look, choose, decide, watch.
func TestTriageWithoutJavaScript(t *testing.T) {
	receiver := newLedger(t)
	receiver.answer(http.StatusUnprocessableEntity)
	p := serve(t, onFreshDatabase(t), triageFile(t, receiver.URL))
	ids := p.deadOn("push", 1, 2, 3, 4, 5)
	b := browse(t, p.url, false)
	b.signIn()
	b.searchesAndSaves()
	b.keepsACase(ids[0])
	receiver.answer(http.StatusOK)
	b.redirects(ids[0], p)
	release := receiver.holding()
	b.retriesTwo()
	b.steersTheRest()
	release()
}

func (b *browser) searchesAndSaves() {
	b.t.Helper()
	b.enter("#f-search", "integraton:push")
	b.click("form.search button")
	b.shows("Did you mean integration?")
	b.do(chromedp.SetValue(chromedp.CSS("#f-search"), "integration:push class:http_4xx"))
	b.click("form.search button")
	b.address("/failures?error_class=http_4xx&integration=push")
	b.shows("5 failures")
	b.click(".views summary")
	b.enter("#v-name", "Refused")
	b.click("form[action='/failures/views'] button")
	b.shows("Saved as Refused.")
	b.address("/failures?error_class=http_4xx&integration=push")
	b.open("/groups")
	b.open("/failures")
	b.click(".views summary")
	b.click(".views nav a")
	b.address("/failures?error_class=http_4xx&integration=push")
}

func (b *browser) keepsACase(id string) {
	b.t.Helper()
	b.openFailure(id)
	b.click("form[action$='/case/acknowledge'] button")
	b.shows("it is not counted as red")
	b.click("#case details summary")
	b.enter("#case-tags", "vip, seoul")
	b.do(chromedp.SetValue(chromedp.CSS("#case-assignee"), "nobody-here"))
	b.click("form[action$='/case/fields'] button")
	b.shows("no operator is named")
	b.do(chromedp.SetValue(chromedp.CSS("#case-assignee"), "admin"))
	b.click("form[action$='/case/fields'] button")
	b.shows("Kept.", "vip", "seoul")
	b.enter("#note", "Called the seller.")
	b.click("form[action$='/case/note'] button")
	b.shows("Written down.", "Called the seller.")
}

// retriesTwo retries the two newest, and leaves the others.
func (b *browser) retriesTwo() {
	b.t.Helper()
	b.open("/failures?integration=push")
	b.click("[data-selection] button[data-action=retry]")
	b.shows("Nothing was selected: tick the rows first.")
	b.address("/failures?integration=push")
	b.click("tbody.fold summary") // they look the same
	b.click("tbody.fold tr:nth-of-type(2) input[type=checkbox]")
	b.click("tbody.fold tr:nth-of-type(3) input[type=checkbox]")
	b.click("[data-selection] button[data-action=retry]")
	b.shows("2 are selected", "2 can be retried: 2 on push")
	b.enter("#all-reason", "the seller is back")
	b.click("form[action='/operations'] button")
	b.shows("Retry of 2 failures", "the seller is back", "2 selected")
}

// steersTheRest retries what is left, too slowly to end by itself: it is paused, resumed, changed and cancelled.
func (b *browser) steersTheRest() {
	b.t.Helper()
	b.open("/failures?integration=push")
	b.click("[data-everything]")
	b.click("[data-selection] button[data-action=retry]")
	b.shows("2 can be retried")
	b.enter("#new-rate", "many")
	b.enter("#all-reason", "one by one")
	b.click("form[action='/operations'] button")
	b.shows("The rate must be a number")
	b.is("document.querySelector('#all-reason').value", "one by one")
	b.do(chromedp.SetValue(chromedp.CSS("#new-rate"), "0.001"))
	b.click("form[action='/operations'] button")
	b.sums("running", "2 selected")
	b.steer("pause", "the seller calls")
	b.shows("Paused. Nothing more is started", "paused by admin: the seller calls")
	b.steer("resume", "")
	b.shows("It goes on.")
	b.click(".steering details:has(form[action$='/pace']) summary")
	b.do(chromedp.SetValue(chromedp.CSS("#pace-rate"), "0.002"))
	b.enter("#pace-canary", "1")
	b.click("form[action$='/pace'] button")
	b.shows("The pace is changed", "0.002 per second")
	b.steer("cancel", "the wrong seller")
	b.shows("Cancelled. What had not been started", "cancelled by admin: the wrong seller")
	b.open("/operations")
	b.shows("the seller is back", "running", "one by one", "cancelled")
}

func (b *browser) redirects(id string, p *program) {
	b.t.Helper()
	b.openFailure(id)
	b.click("a[href*='/redirect']")
	b.do(chromedp.SetValue(chromedp.CSS("#target"), "backup"))
	b.enter("#redirect-reason", "push has moved")
	b.click("form[action$='/redirect'] button")
	b.shows("Redirected, and a retry requested")
	p.awaitState(id, "delivered")
}
