package e2e

import (
	"context"
	"fmt"
	"net/http"
	"testing"

	"github.com/chromedp/cdproto/input"
	"github.com/chromedp/chromedp"
	"github.com/chromedp/chromedp/kb"

	"redrive/store/storetest/patience"
)

// failed is a program with dead letters of the keys k-0 and so on, and a signed-in browser.
func failed(t *testing.T, dead int) (*program, *browser) {
	t.Helper()
	receiver := newLedger(t)
	receiver.answer(http.StatusUnprocessableEntity)
	p := serve(t, onFreshDatabase(t), configFile(t, failing(receiver.URL, 1)))
	for n := range dead {
		p.dead(fmt.Sprint("k-", n))
	}
	b := browse(t, p.url, true)
	b.signIn()
	t.Cleanup(b.complaints)
	return p, b
}

func (p *program) dead(key string) string {
	p.t.Helper()
	answer := p.must("POST", "/api/v1/messages", map[string]any{"integration": "push", "type": "order.placed", "key": key, "payload": map[string]any{"n": 1}})
	id := answer["deliveries"].([]any)[0].(map[string]any)["id"].(string)
	p.awaitState(id, "dead")
	return id
}

// press sends keys to whatever has the focus, as a keyboard does: a script that takes the key down takes its character with it.
// (chromedp's own KeyEvent sends the character all the same, so that Enter sends a form that had been told not to.)
func (b *browser) press(keys ...string) {
	b.t.Helper()
	for _, key := range keys {
		for _, event := range kb.Encode([]rune(key)[0]) {
			if event.Type == "keyDown" {
				event.Type = "rawKeyDown"
			}
			if _, err := chromedp.Call(b.ctx, input.DispatchKeyEvent, *event); err != nil {
				b.t.Fatal(err)
			}
		}
	}
}

// is waits until an expression answers what is wanted.
func (b *browser) is(js, want string) {
	b.t.Helper()
	last := ""
	defer func() {
		if b.t.Failed() {
			b.t.Logf("%s is %q, want %q", js, last, want)
		}
	}()
	await(b.t, js, func() bool {
		ctx, cancel := context.WithTimeout(b.ctx, patience.Limit)
		defer cancel()
		text, err := chromedp.Run(ctx, chromedp.Evaluate[string](whole(js)))
		if err != nil { // between two pages there is no document
			text = err.Error()
		}
		last = text
		return err == nil && text == want
	})
}

// promised is what an expression answers later.
func (b *browser) promised(js string) string {
	b.t.Helper()
	ctx, cancel := context.WithTimeout(b.ctx, patience.Limit)
	defer cancel()
	text, err := chromedp.Run(ctx, chromedp.Evaluate[string](js, chromedp.EvalAwaitPromise))
	if err != nil {
		b.t.Fatal(err)
	}
	return text
}

// sound asks axe about the page as it is now.
func (b *browser) sound(what string) {
	b.t.Helper()
	b.value(axe + ";''")
	if found := b.promised(findings + "(" + axeAll + ", false).then(found => found.join('\\n'))"); found != "" {
		b.t.Errorf("%s: %s", what, found)
	}
}

func TestTheSearchBarSuggests(t *testing.T) {
	_, b := failed(t, 1)
	options := "Array.from(document.querySelectorAll('#suggestions:not([hidden]) li')).map(li => li.firstChild.data).join()"
	b.press("/")
	b.is("document.activeElement.id", "f-search")
	b.press("i", "n", "t", "e")
	b.is(options, "integration:")
	b.is("document.querySelector('#f-search').getAttribute('aria-expanded')", "true")
	b.press(kb.ArrowDown)
	b.is("document.querySelector('#' + document.activeElement.getAttribute('aria-activedescendant')).getAttribute('aria-selected')", "true")
	b.value("document.addEventListener('submit', () => document.body.dataset.sent = 'the form'), ''")
	b.press(kb.Enter) // takes what is pointed at, and sends nothing
	b.is("document.querySelector('#f-search').value", "integration:")
	b.is(options, "push")
	b.press(kb.ArrowDown, kb.Tab) // as Tab does
	b.is("document.querySelector('#f-search').value", "integration:push ")
	b.is("document.activeElement.id", "f-search")
	b.is("String(document.body.dataset.sent)", "undefined")
	b.press("c", "l", "a", "s", "s", ":", "h", "t")
	b.is(options, "http_4xx,http_5xx")
	b.press(kb.Escape) // the list first, the field only then
	b.is(options, "")
	b.is("document.activeElement.id", "f-search")
	b.press("t", "p", "_", "4", "x", "x", kb.Enter)
	b.address("/failures?error_class=http_4xx&integration=push")
	b.shows("1 failure")
	b.is("document.querySelector('#f-search').value", "integration:push class:http_4xx")
	b.value("history.back(), ''")
	b.address("/failures")
}

func TestASearchIsSavedAndFoundAgain(t *testing.T) {
	_, b := failed(t, 1)
	b.open("/failures?q=answered")
	b.click(".views summary")
	b.enter("#v-name", "Refused")
	b.do(chromedp.SetValue(chromedp.CSS("#v-search"), "answered since:2h"))
	b.click("form[action='/failures/views'] button")
	b.shows("Saved as Refused.")
	b.open("/groups")
	b.open("/failures")
	b.click(".views summary")
	b.click(".views nav a")
	b.is("String(/^.failures.from=20.*&q=answered$/.test(location.pathname + location.search))", "true")
	b.shows("1 failure")
}

const selected = "document.querySelector('[data-selected]').textContent"

func TestTheKeyboardSelectsAndAsks(t *testing.T) {
	_, b := failed(t, 5)
	b.open("/failures?integration=push")
	b.press("j", "x")
	b.is(selected, "1 selected:")
	b.press("j", "j", "X") // the range from the last one
	b.is(selected, "3 selected:")
	b.press("r")
	b.is("location.pathname", "/operations/new")
	b.shows("3 can be retried")
	b.value("history.back(), ''")
	b.address("/failures?integration=push")
	b.is(selected, "3 selected:")
	b.value(`(box => { box[4].dispatchEvent(new MouseEvent("click", {bubbles: true, shiftKey: true})); return "" })(document.querySelectorAll("[data-row] input"))`)
	b.open("/failures?integration=push&sort=oldest") // another list, another selection
	b.is(selected, "0 selected:")
	b.press("k", "i")
	b.is("location.pathname", "/operations/new")
	b.shows("1 can be ignored")
}

func TestKeysAreShownAndCanBeSwitchedOff(t *testing.T) {
	_, b := failed(t, 1)
	b.press("?")
	b.is("String(!!document.querySelector('dialog[open]'))", "true")
	b.is("String(document.querySelector('dialog').contains(document.activeElement))", "true")
	b.press("g", "g") // is not for the page below
	b.sound("the dialog")
	b.press(kb.Escape)
	b.is("String(document.querySelector('dialog'))", "null")
	b.address("/failures")
	b.press("/", "g", "g", "?")
	b.is("document.querySelector('#f-search').value", "gg?")
	b.press(kb.Escape, kb.Escape)
	b.press("g", "g")
	b.address("/groups")
	b.click(".who summary")
	b.do(chromedp.SetValue(chromedp.CSS("select[name=keys]"), "off"))
	b.click(".who form[action='/preferences'] button")
	b.is("document.documentElement.dataset.keys", "off")
	b.press("g", "f", "?")
	b.address("/groups")
}

func TestNewsWaitsWhileRowsAreSelected(t *testing.T) {
	p, b := failed(t, 2)
	news := "document.querySelector('#news').hidden ? '' : document.querySelector('#news').textContent"
	b.press("j", "x")
	b.is(selected, "1 selected:")
	b.value(`(stream => { window.told = 0; stream.onmessage = () => told++; return "" })(new EventSource(document.querySelector("#news").dataset.stream))`)
	p.dead("later")
	b.is("String(document.querySelector('#news-paused').hidden)", "false")
	b.is("String(told)", "1") // another stream, told at the same moment
	if b.value(news) != "" {
		t.Error("it is announced over a selection")
	}
	b.press("x")
	b.is(news, "1 new – show")
	b.is("String(document.querySelectorAll('[data-row]').length)", "2")
	p.dead("later still")
	b.is(news, "2 new – show")
	b.is("document.querySelector('#news').parentNode.getAttribute('role')", "status")
	b.sound("the announcement")
	b.click("#news a")
	b.is("String(document.querySelectorAll('[data-row]').length)", "4")
	b.stop(p) // with the stream open
}

func TestGroupsAreMadeByChosenKeys(t *testing.T) {
	_, b := failed(t, 3)
	b.open("/groups")
	b.click("form.search .menu:has(input[value=error_class]) summary")
	b.click("input[value=error_class]")
	b.click("form.search .menu[open] button")
	b.address("/groups?by=error_class")
	b.click("td.num a")
	b.address("/failures?error_class=http_4xx")
	b.shows("3 failures")
	b.open("/groups")
	b.click("td a.open")
	b.shows("It is new", "First example", "Retry all 3 …")
	b.click("a[data-all=ignore]")
	b.is("location.pathname", "/operations/new")
	b.shows("3 can be ignored")
}

// After an action the list is where it was: its search, its place and its selection.
func TestAListIsFoundAgainAfterAnAction(t *testing.T) {
	_, b := failed(t, 4)
	b.do(chromedp.EmulateViewport(1280, 300))
	b.open("/failures?integration=push")
	b.press("j", "x", "j", "j", "j")
	b.value("(scrollTo(0, 200), '')")
	b.press("a")
	b.is("location.pathname", "/operations/new")
	b.value("history.back(), ''")
	b.address("/failures?integration=push")
	b.is(selected, "1 selected:")
	b.is("String(scrollY > 100)", "true")
}

// listPages are pages of lists and groups in their states.
func (p *program) listPages() []string {
	id := p.dead("for the lists")
	detail := p.must("GET", "/api/v1/deliveries/"+id, nil)
	group := detail["group"].(string)
	p.must("PATCH", "/api/v1/failures/"+id+"/case", map[string]any{"acknowledged": true, "tags": []string{"refund"}})
	return []string{"/groups/" + group, "/groups?by=integration&by=error_class", "/groups?status=settled", "/failures?key=nothing&state=any",
		"/failures?search=integraton:push", "/failures?state=any&limit=2", "/failures?assignee=me"}
}
