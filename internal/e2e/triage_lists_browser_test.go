package e2e

import (
	"fmt"
	"net/http"
	"strings"
	"testing"

	"github.com/chromedp/chromedp"
	"github.com/chromedp/chromedp/kb"
)

// shape is what of the list's layout people feel: the heights of its rows, where the first one ends, and whether the page is wider than
// the window.
const shape = `(() => {
	const rows = Array.from(document.querySelectorAll('.failures tbody tr')).filter(r => r.checkVisibility()).map(r => r.getBoundingClientRect());
	return [new Set(rows.map(r => Math.round(r.height))).size === 1 ? Math.round(rows[0].height) : 'uneven', rows[0].bottom <= innerHeight, document.documentElement.scrollWidth <= innerWidth].join(' ');
})()`

// Of what people do each day with the list, each is a click or two; and whatever is in them, rows are rows.
func TestTheListIsWorkedWith(t *testing.T) {
	receiver := newLedger(t)
	receiver.answer(http.StatusUnprocessableEntity)
	p := serve(t, onFreshDatabase(t), configFile(t, failing(receiver.URL, 1)))
	id := p.dead("order-80055")
	for range 3 {
		p.dead("twin")
	}
	long := strings.Repeat("a-long-business-key-", 20)
	answer := p.must("POST", "/api/v1/messages", map[string]any{"integration": "push", "type": "com." + strings.Repeat("long.", 21) + "Type", "key": long, "payload": map[string]any{"n": 1}})
	longID := answer["deliveries"].([]any)[0].(map[string]any)["id"].(string)
	p.awaitState(longID, "dead")
	b := browse(t, p.url, true)
	b.do(chromedp.EmulateViewport(1280, 800))
	b.signIn()
	b.is(shape, "32 true true")
	b.shows("3 alike")
	before := "String(document.querySelector('.failures').getBoundingClientRect().top)"
	top := b.value(before)
	b.click(".fold [data-fold]")
	b.is(selected, "3 selected:")
	b.is(before, top) // nothing shifts
	b.click("[data-everything]")
	b.is(selected, "All 5 selected:")

	b.enter("#f-search", "order-80055")
	b.press(kb.Enter)
	b.is("location.pathname", "/failures/"+id)
	b.click("form[action$='/case/assign'] button")
	b.shows("It is yours.")
	b.open("/failures")
	b.click(".tabs a[href*='assignee=me']") // what is mine
	b.address("/failures?assignee=me")
	b.shows("1 failure", "order-80055")

	b.open("/failures")
	b.click("a[href^='/failures/" + id + "']")
	b.click(".crumb a[rel=prev]")
	b.shows("Back to the list")
	b.click(".crumb a[rel=next]")
	b.is("location.pathname", "/failures/"+id)
	b.click(".crumb a")
	b.is("String(document.querySelector(':target').matches('tr:has(a[href^=\"/failures/"+id+"\"])'))", "true")

	for _, window := range [][2]int64{{640, 400}, {390, 844}} { // 1280 by 800 at 200 %, and a phone
		b.do(chromedp.EmulateViewport(window[0], window[1]))
		b.open("/failures")
		b.is(shape+".replace(/^\\S+ /, '')", "true true")
	}
	for _, path := range []string{"/failures/" + longID, "/failures?key=" + long, "/groups", "/audit", "/integrations/push/underway", "/operations/new?action=retry&filter=integration%3Dpush"} {
		for _, width := range []int64{1280, 390} {
			b.do(chromedp.EmulateViewport(width, 800))
			b.open(path)
			b.is("String(document.documentElement.scrollWidth <= innerWidth)", "true")
		}
	}
	b.do(chromedp.EmulateViewport(1280, 800))
	b.auditorTakesAMonth()
	b.complaints()
}

// auditorTakesAMonth counts the clicks from any page to the file.
func (b *browser) auditorTakesAMonth() {
	b.t.Helper()
	b.open("/failures?key=order-80055")
	b.click("[data-everything]")
	b.click("[data-selection] button[data-action=ignore]")
	b.do(chromedp.SetValue(chromedp.CSS("#all-category"), "duplicate"))
	b.enter("#all-reason", "known")
	b.click("form[action='/operations'] button")
	b.sums("finished")
	b.open("/")
	b.click(".bar a[href='/ignored']")
	b.click(".tabs a[href*='month=']")
	b.is("String(document.querySelectorAll('[data-row]').length)", "1")
	file := b.promised(`fetch(document.querySelector('a[href^="/ignored/csv"]').href).then(a => a.text())`)
	if lines := strings.Count(file, "\r\n"); lines != 2 || !strings.Contains(file, "order-80055") {
		b.t.Error(fmt.Sprintf("%d lines: %s", lines, file))
	}
}
