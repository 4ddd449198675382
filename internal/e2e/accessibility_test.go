package e2e

import (
	"context"
	_ "embed"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/chromedp/cdproto/emulation"
	"github.com/chromedp/chromedp"

	"redrive/store/storetest/patience"
)

// axe is axe-core 4.14.1, unchanged; its licence (MPL-2.0) stands at its head.
//
//go:embed axe.min.js
var axe string

// findings asks axe for violations, and measures what axe does not: whether the page scrolls sideways, what is too small for a pointer or
// a finger, which typed text would be left without a word, and which choice nobody can send.
const findings = `(async (options, phone) => {
	const result = await axe.run(document, options);
	const out = result.violations.map(v => v.id + ': ' + v.nodes.map(n => n.target.join(' ')).join(', '));
	if (document.documentElement.scrollWidth > innerWidth) out.push('the page scrolls sideways');
	const least = phone ? 43.9 : 23.9;
	for (const e of document.querySelectorAll('a, button, select, textarea, summary, input:not([type=hidden], [type=checkbox], [type=radio]), label:has([type=checkbox], [type=radio])')) {
		const box = e.getBoundingClientRect(), inText = !phone && getComputedStyle(e).display === 'inline';
		if (box.width && !inText && !e.matches('.skip, .visually-hidden *') && (box.height < least || box.width < least))
			out.push('too small: ' + e.outerHTML.slice(0, 80) + ' ' + Math.round(box.width) + 'x' + Math.round(box.height));
	}
	for (const form of document.forms) {
		if (form.querySelector('select') && !form.querySelector('button:not([type=button]), input[type=submit]')) out.push('a choice without a button: ' + form.getAttribute('action'));
		const field = form.method === 'post' && !form.closest('.sign') && !form.getAttribute('action').includes('/demo/') && form.querySelector('textarea, input:not([type]), input[type=datetime-local]');
		if (!field || !window.htmx) continue;
		const before = field.value, leaving = new Event('beforeunload', { cancelable: true });
		field.value = field.type === 'datetime-local' ? '2030-01-01T00:00' : 'typed';
		if (dispatchEvent(leaving)) out.push('typed text is left without a word: ' + form.getAttribute('action'));
		field.value = before;
	}
	return out;
})`

// Every page, in light and dark, on a desk and on a phone, there in both languages.
func TestPagesAreAccessible(t *testing.T) {
	t.Parallel()
	p, pages := furnished(t)
	b := browse(t, p.url, true)
	b.examine(t, "/sign-in")
	b.signIn()
	for _, path := range pages {
		b.examine(t, path)
	}
}

// furnished is a program with the demo and a delivery in every state, and the paths of its pages.
func furnished(t *testing.T) (*program, []string) {
	t.Helper()
	receiver, dir := newLedger(t), t.TempDir()
	receiver.answer(http.StatusUnprocessableEntity)
	p := serve(t, onFreshDatabase(t), "REDRIVE_DEMO=1", configFile(t, failing(receiver.URL, 1)+fmt.Sprintf(`  - name: levels
    method: outbox
    ordered: true
    destination: {http: {url: %q}}
    retry: {attempts: 1}
  - name: points
    method: batch
    batch: {schedule: "0 0 1 1 *", query: "SELECT n AS id FROM generate_series(1, 3) n", acknowledgement: {every: 1s}}
    destination: {file: {format: csv, to: {dir: %q}}}
  - name: catalogue
    method: cdc
    cdc: {tables: [{table: public.none, to: [push]}]}
`, receiver.URL, dir)))
	pages := []string{"/", "/failures", "/failures?state=ignored,resolved&sort=oldest", "/failures?from=rubbish", "/failures?q=nothing", "/groups", "/ignored",
		"/integrations", "/integrations/push", "/integrations/push/underway", "/integrations/push/delivered", "/integrations/push/secrets", "/audit", "/operators", "/operators/admin/sessions", "/tokens", "/account", "/account/tokens", "/help", "/nothing",
		"/demo", "/demo/shop", "/demo/school", "/demo/content", "/demo/login", "/demo/receivers"}
	pages = append(pages, p.blockedPages()...)
	pages = append(pages, p.listPages()...)
	for _, action := range []string{"ignore", "resolve", "", "", "deliver"} {
		if action == "deliver" {
			receiver.answer(http.StatusOK)
		}
		id := p.send("push", map[string]any{"order": 1, "for": action})
		pages = append(pages, "/failures/"+id)
		switch action {
		case "deliver":
			p.awaitState(id, "delivered")
		case "":
			p.awaitState(id, "dead")
		default:
			p.awaitState(id, "dead")
			p.must("POST", "/api/v1/failures/"+id+"/"+action, map[string]any{"reason": "for the test", "category": "test-data"})
		}
	}
	pages = append(append(pages, p.filePages(dir)...), p.triagePages()...)
	p.must("POST", "/api/v1/integrations/push/pause", map[string]any{"reason": "so that something waits"})
	return p, append(pages, "/failures/"+p.send("push", "waits"))
}

// triagePages are of bulk actions in several states, and of what is sent anew.
func (p *program) triagePages() []string {
	id := p.send("push", map[string]any{"order": 7})
	p.awaitState(id, "delivered")
	dead := p.must("GET", "/api/v1/failures?integration=push", nil)["items"].([]any)[0].(map[string]any)["id"].(string)
	start := func(body map[string]any) string { return p.must("POST", "/api/v1/operations", body)["id"].(string) }
	done := start(map[string]any{"action": "acknowledge", "filter": map[string]any{"integration": []string{"push"}}, "reason": "seen"})
	held := start(map[string]any{"action": "retry", "filter": map[string]any{"integration": []string{"levels"}}, "reason": "again", "rate_per_second": 0.001, "canary": 1})
	p.must("POST", "/api/v1/operations/"+held+"/pause", map[string]any{"reason": "so that it can be looked at"})
	return []string{"/operations", "/operations?state=cancelled", "/operations/" + done, "/operations/" + held, "/failures/" + dead, "/failures/" + dead + "/edit",
		"/failures/" + dead + "/redirect", "/operations/new?action=retry&filter=&return=/failures", "/operations/new?action=ignore&filter=integration%3Dpush"}
}

// blockedPages are of a dead letter that holds up its key, and of one that waits behind it.
func (p *program) blockedPages() []string {
	var ids []string
	for range 3 {
		answer := p.must("POST", "/api/v1/messages", map[string]any{"integration": "levels", "type": "level", "key": "a7", "payload": map[string]any{"n": 1}})
		ids = append(ids, answer["deliveries"].([]any)[0].(map[string]any)["id"].(string))
	}
	p.awaitState(ids[0], "dead")
	return []string{"/failures/" + ids[0], "/failures/" + ids[1], "/failures/" + ids[0] + "/blocked"}
}

// filePages are of a batch, a file of it, and a row that its receiver rejected.
func (p *program) filePages(dir string) []string {
	p.must("POST", "/api/v1/integrations/points/runs", map[string]any{"reason": "for the test"})
	file := p.lastFile("points")
	name := filepath.Join(dir, file["name"].(string)) + ".rej"
	if err := os.WriteFile(name, []byte("row,reason\r\n2,no such member\r\n"), 0o600); err != nil {
		p.t.Fatal(err)
	}
	var row string
	await(p.t, "the rejected row", func() bool {
		items := p.must("GET", "/api/v1/failures?integration=points", nil)["items"].([]any)
		if len(items) > 0 {
			row = items[0].(map[string]any)["id"].(string)
		}
		return row != ""
	})
	return []string{"/integrations/points/runs", "/failures/" + file["delivery_id"].(string), "/failures/" + row}
}

// examine loads a page once and looks at it in three ways: nothing but its style depends on them. Of the dark page only the colours
// differ, and only they are looked at.
func (b *browser) examine(t *testing.T, path string) {
	t.Helper()
	b.appears("light", 1280, 800)
	b.do(chromedp.Navigate(b.url + path))
	b.inspect(t, path+", light", axeAll, "false")
	b.appears("dark", 1280, 800)
	b.inspect(t, path+", dark", axeColours, "false")
	b.appears("light", 390, 844)
	b.inspect(t, path+", on a phone", axeAll, "true")
	if strings.HasPrefix(path, "/demo") { // shows what somebody else's program is
		return
	}
	b.reads("ko")
	b.do(chromedp.Navigate(b.url + path))
	b.is("document.documentElement.lang", "ko")
	b.inspect(t, path+", in Korean on a phone", axeAll, "true")
	b.reads("")
}

// reads chooses a language, as a form of the page does for who is not signed in. What is read back is there for the next request.
func (b *browser) reads(lang string) {
	b.t.Helper()
	b.is(fmt.Sprintf("(document.cookie = 'redrive_lang=%[1]s; path=/', String(document.cookie.split('; ').includes('redrive_lang=%[1]s')))", lang), "true")
}

func (b *browser) appears(scheme string, width, height int64) {
	b.t.Helper()
	media := emulation.SetEmulatedMediaParams{Features: []*emulation.MediaFeature{{Name: "prefers-color-scheme", Value: scheme}}}
	if _, err := chromedp.Call(b.ctx, emulation.SetEmulatedMedia, media); err != nil {
		b.t.Fatal(err)
	}
	b.do(chromedp.EmulateViewport(width, height))
}

// Options of axe: all of its rules, or those that depend on colours.
const (
	axeAll     = "{resultTypes: ['violations']}"
	axeColours = "{resultTypes: ['violations'], runOnly: ['color-contrast', 'link-in-text-block']}"
)

// inspect asks axe about the page that is open.
func (b *browser) inspect(t *testing.T, what, options, phone string) {
	t.Helper()
	ctx, cancel := context.WithTimeout(b.ctx, patience.Limit)
	defer cancel()
	loaded, err := chromedp.Run(ctx, chromedp.Evaluate[bool]("typeof axe === 'object'"))
	if err == nil && !loaded {
		_, err = chromedp.Run(ctx, chromedp.Evaluate[any](axe+";0"))
	}
	if err != nil {
		t.Fatal(err)
	}
	found, err := chromedp.Run(ctx, chromedp.Evaluate[[]string](findings+"("+options+", "+phone+")", chromedp.EvalAwaitPromise))
	if err != nil {
		t.Fatal(err)
	}
	for _, problem := range slices.Compact(found) {
		t.Errorf("%s: %s", what, problem)
	}
}
