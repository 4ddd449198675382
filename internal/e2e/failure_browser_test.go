package e2e

import (
	"net/http"
	"strings"
	"testing"
)

// The page of one failure by hand: its tabs, a fold that is opened by the keyboard and one whose content is asked for, what is looked for,
// and what is copied; with scripts in place, without them by the page's own links and forms.
func TestLookingIntoAPayload(t *testing.T) {
	receiver := newLedger(t)
	receiver.answer(http.StatusUnprocessableEntity)
	p := serve(t, onFreshDatabase(t), triageFile(t, receiver.URL))
	rows := make([]any, 3000)
	for n := range rows {
		rows[n] = map[string]any{"no": n, "inner": map[string]any{"sku": "S-" + strings.Repeat("x", 20), "word": "straw"}}
	}
	rows[2900] = map[string]any{"no": 2900, "inner": map[string]any{"word": "Needle"}}
	id := p.deadOn("push", rows)[0]
	small := p.deadOn("push", map[string]any{"a": 1.5, "b": "two"})[0]
	for name, scripts := range map[string]bool{"with JavaScript": true, "without JavaScript": false} {
		t.Run(name, func(t *testing.T) {
			b := browse(t, p.url, scripts)
			b.signIn()
			b.openFailure(id)
			from := b.value("document.querySelector('#outline > li > details > ul > li:last-child > button').value.split('@')[1]")
			b.click("#outline button[value='@" + from + "']")
			b.is("String(document.querySelector('#outline').textContent.includes('no"+from+"'))", "true") // it goes on there
			if scripts {
				b.is("String(document.querySelectorAll('#outline').length)", "1")
				b.is("location.search", "") // put in its place
			} else {
				b.is("String(location.search.includes('open='))", "true")
			}
			b.enter("input[name=find]", "needle")
			b.click("form[role=search] button")
			b.is("location.hash", "#match")
			b.is("document.querySelector('#match').textContent + document.querySelectorAll('mark').length", "Needle1")
			b.is("String(document.querySelector('#match').checkVisibility())", "true")
			b.shows("1 match")
			b.click("#tab-answer")
			b.shows("The receiver's answer", "HTTP 422")
			b.is("String(document.querySelector('#tab-answer').ariaCurrent)", "page")
			b.is("new URLSearchParams(location.search).get('tab')", "answer")
			b.openFailure(small)
			b.click("#outline summary")
			b.is("String(document.querySelector('#outline details').open)", "false")
			if scripts {
				b.is("String(JSON.parse(document.querySelector('.payload [data-copy]').dataset.copy).a)", "1.5")
				b.is("String(document.querySelector('.payload [data-copy]').hidden)", "false")
			}
			b.complaints()
		})
	}
}
