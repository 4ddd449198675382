package e2e

import (
	"net/http"
	"strings"
	"testing"

	"github.com/chromedp/chromedp"
)

// A page that stays open says one thing about a state, and what did not arrive is said where it was sent, with what was typed kept.
func TestAnOpenPageTellsTheTruth(t *testing.T) {
	receiver := newLedger(t)
	receiver.answer(http.StatusUnprocessableEntity)
	p := serve(t, onFreshDatabase(t), triageFile(t, receiver.URL))
	ids := p.deadOn("push", 1, 2)
	b := browse(t, p.url, true)
	b.signIn()
	b.openFailure(ids[0])
	release := receiver.holding()
	b.click("button[data-action=retry]")
	b.shows("Retry requested")
	b.becomes("sending")
	release()
	b.becomes("delivered")
	await(t, "the sentence, the tries and the buttons", func() bool {
		return strings.Contains(b.text("#sentence"), "Delivered to push after it had failed once") && strings.Contains(b.text("#standing"), "this is delivered")
	})

	b.openFailure(ids[1])
	b.stop(p)
	b.click("button[data-action=retry]")
	unsent := func(form string) {
		t.Helper()
		await(t, "the refusal at "+form, func() bool {
			return b.value(`(() => { const n = document.querySelector("`+form+` .unsent"); return n ? n.getAttribute("role") + ": " + n.textContent : "" })()`) ==
				"alert: Not sent: no connection. Try again."
		})
	}
	unsent("form[action$='/retry']")
	if b.value("String(document.querySelector('button[data-action=retry]').disabled)") != "false" {
		t.Error("the button cannot be used again")
	}
	b.enter("#note", "they repair it")
	b.do(chromedp.Click(chromedp.CSS("form:has(#note) button")))
	unsent("form:has(#note)")
	if text := b.value("document.querySelector('#note').value"); text != "they repair it" {
		t.Errorf("what was typed is now %q", text)
	}
	b.complaints()
}
