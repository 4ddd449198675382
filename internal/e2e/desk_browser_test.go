package e2e

import (
	"testing"

	"github.com/chromedp/chromedp/kb"
)

// hangul presses a key of a Korean layout, which says what stands on the key as Hangul.
func (b *browser) hangul(code, key string, with string) {
	b.t.Helper()
	b.value("document.activeElement.dispatchEvent(new KeyboardEvent('keydown', {code: '" + code + "', key: '" + key + "', bubbles: true, cancelable: true" + with + "})), ''")
}

// The palette is reached by a key of any layout or by its link, says what is pointed at, and does what the page below offers.
func TestThePaletteLeadsAnywhere(t *testing.T) {
	p, b := failed(t, 1)
	id := p.must("GET", "/api/v1/failures?integration=push", nil)["items"].([]any)[0].(map[string]any)["id"].(string)
	const (
		field   = "document.activeElement.id"
		options = "Array.from(document.querySelectorAll('#answers:not([hidden]) li')).map(li => li.firstChild.data).join()"
		pointed = "document.querySelector('#' + document.activeElement.getAttribute('aria-activedescendant')).firstChild.data"
	)
	b.press("/") // somewhere to come back to
	b.hangul("KeyK", "ㅏ", ", ctrlKey: true")
	b.is(field, "go-q")
	b.is("String("+options+".split(',').length > 8)", "true")
	b.press("g", "r", "o")
	b.is(options, "Groups,gro")
	b.is(pointed, "Groups")
	b.press(kb.ArrowDown)
	b.is(pointed, "gro")
	b.is("document.activeElement.getAttribute('role') + document.activeElement.getAttribute('aria-expanded')", "comboboxtrue")
	b.sound("the palette")
	b.press(kb.Escape)
	b.is("String(document.querySelector('dialog'))", "null")
	b.is(field, "f-search")
	b.press(kb.Escape)
	b.click("[data-palette]")
	b.is(field, "go-q")
	b.press("p", "u", "s", "h")
	b.is(pointed, "push")
	b.press(kb.Enter)
	b.address("/integrations/push")
	b.openFailure(id)
	b.hangul("KeyK", "ㅏ", ", metaKey: true")
	b.is(field, "go-q")
	b.press("i", "g", "n", "o")
	b.is(pointed, "Ignore …")
	b.press(kb.Enter)
	b.is("String(document.querySelector('dialog'))", "null")
	b.is("document.activeElement.dataset.action + document.activeElement.closest('details').open", "ignoretrue")
	b.hangul("KeyG", "ㅎ", "")
	b.hangul("KeyF", "ㄹ", "")
	b.address("/failures")
	b.hangul("Slash", "/", "")
	b.is(field, "f-search")
	b.complaints()
}

// A page that lies idle says when its session has ended, shows the person no more, and keeps what was typed.
func TestAnIdlePageSaysThatItsSessionEnded(t *testing.T) {
	p, b := failed(t, 1)
	id := p.must("GET", "/api/v1/failures?integration=push", nil)["items"].([]any)[0].(map[string]any)["id"].(string)
	b.openFailure(id)
	b.enter("#note", "half a sentence")
	b.mu.Lock()
	b.alone = true // the 401 is meant
	b.mu.Unlock()
	b.promised("fetch('/sign-out', {method: 'POST'}).then(() => '')")
	b.is("String(document.querySelector('#signed-out').hidden)", "false")
	b.is("String(document.querySelector('.who'))", "null")
	b.is("document.querySelector('#note').value", "half a sentence")
	b.is("document.querySelector('#signed-out a').getAttribute('href')", "/sign-in")
}
