package e2e

import (
	"context"
	"fmt"
	"net/http"
	"os"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/chromedp/cdproto/emulation"
	"github.com/chromedp/cdproto/input"
	cdplog "github.com/chromedp/cdproto/log"
	"github.com/chromedp/cdproto/page"
	"github.com/chromedp/cdproto/runtime"
	"github.com/chromedp/chromedp"

	"redrive/store/storetest/patience"
)

// browser is one tab of a headless Chromium.
type browser struct {
	t        *testing.T
	ctx      context.Context
	url      string
	mu       sync.Mutex
	problems []string // console errors: script exceptions, refused by the content security policy
	alone    bool     // the server is stopped on purpose: that it answers 503, then nobody does, is no problem
}

// chromium is the one browser of the package, started by the first test that asks.
var chromium struct {
	sync.Mutex
	ctx  context.Context
	stop []func()
}

// aBrowser returns a context of the browser; one that has crashed is replaced.
func aBrowser(t *testing.T) context.Context {
	t.Helper()
	chromium.Lock()
	defer chromium.Unlock()
	if chromium.ctx != nil && chromium.ctx.Err() == nil {
		return chromium.ctx
	}
	options := append([]chromedp.ExecAllocatorOption{chromedp.Headless, chromedp.NoFirstRun, chromedp.Flag("disable-background-networking", true),
		chromedp.Flag("disable-component-update", true), chromedp.Flag("disable-sync", true),
		// no processes that nobody asked for
		chromedp.Flag("disable-gpu", true), chromedp.Flag("disable-extensions", true), chromedp.Flag("disable-breakpad", true),
		chromedp.Flag("disable-features", "SpareRendererForSitePerProcess,Translate,MediaRouter,OptimizationHints"),
		// certificates of tests are signed by nobody; reports are sent at once, not within a minute
		chromedp.Flag("ignore-certificate-errors", true), chromedp.Flag("short-reporting-delay", true), chromedp.WSURLReadTimeout(patience.Limit)}, chromedp.NoDefaultBrowserCheck)
	if path := os.Getenv("REDRIVE_TEST_CHROMIUM"); path != "" {
		options = append(options, chromedp.ExecPath(path))
	}
	if os.Geteuid() == 0 {
		options = append(options, chromedp.NoSandbox)
	}
	allocator, stop := chromedp.NewExecAllocator(context.Background(), options...)
	ctx, leave := chromedp.NewContext(allocator)
	chromium.stop = append(chromium.stop, stop, leave)
	if err := chromedp.Do(ctx, chromedp.Navigate("about:blank")); err != nil { // the first call's context is the browser's
		t.Fatal(err)
	}
	chromium.ctx = ctx
	return ctx
}

func closeChromium() error {
	chromium.Lock()
	defer chromium.Unlock()
	for _, stop := range slices.Backward(chromium.stop) {
		stop()
	}
	return nil
}

// browse opens a tab that shares nothing with those of other tests but the browser.
func browse(t *testing.T, url string, scripts bool) *browser {
	t.Helper()
	ctx, leave := chromedp.NewContext(aBrowser(t), chromedp.WithNewBrowserContext())
	t.Cleanup(leave)
	b := &browser{t: t, ctx: ctx, url: url}
	if err := chromedp.Do(ctx, chromedp.Navigate("about:blank")); err != nil { // which makes the tab
		t.Fatal(err)
	}
	if err := chromedp.Listen(ctx, b.note); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if t.Failed() {
			content, err := chromedp.Run(ctx, chromedp.TextContent(chromedp.CSS("body")))
			t.Logf("the page: %s %v", strings.Join(strings.Fields(content), " "), err)
		}
	})
	if _, err := chromedp.Call(ctx, emulation.SetScriptExecutionDisabled, emulation.SetScriptExecutionDisabledParams{Value: !scripts}); err != nil {
		t.Fatal(err)
	}
	return b
}

func (b *browser) note(event any) {
	b.mu.Lock()
	defer b.mu.Unlock()
	switch e := event.(type) {
	case *cdplog.EventEntryAdded:
		expected := strings.Contains(e.Entry.Text, "409") || b.alone && strings.HasPrefix(e.Entry.Text, "Failed to load resource")
		if e.Entry.Level == cdplog.EntryLevelError && !expected {
			b.problems = append(b.problems, e.Entry.Text)
		}
	case *runtime.EventExceptionThrown:
		b.problems = append(b.problems, e.ExceptionDetails.Text)
	case *page.EventJavascriptDialogOpening:
		leaves := e.Type == page.DialogTypeBeforeunload // which a test may
		if !leaves {
			b.t.Errorf("the page asks: %s", e.Message)
		}
		go func() { // the page waits for the answer
			_, _ = chromedp.Call(b.ctx, page.HandleJavaScriptDialog, page.HandleJavaScriptDialogParams{Accept: leaves})
		}()
	}
}

// stop ends the program under the open page.
func (b *browser) stop(p *program) {
	b.t.Helper()
	b.mu.Lock()
	b.alone = true
	b.mu.Unlock()
	if code := p.stop(); code != 0 {
		b.t.Errorf("exit code %d", code)
	}
}

// complaints fails the test over what the browser's console had to say.
func (b *browser) complaints() {
	b.t.Helper()
	b.mu.Lock()
	defer b.mu.Unlock()
	if len(b.problems) > 0 {
		b.t.Errorf("the browser complains: %q", b.problems)
	}
}

func (b *browser) do(steps ...chromedp.Action[chromedp.Void]) {
	b.t.Helper()
	ctx, cancel := context.WithTimeout(b.ctx, patience.Limit)
	defer cancel()
	if err := chromedp.Do(ctx, steps...); err != nil {
		b.t.Fatal(err)
	}
}

func (b *browser) open(path string) { b.t.Helper(); b.do(chromedp.Navigate(b.url + path)) }

func (b *browser) click(css string) { b.t.Helper(); b.do(chromedp.Click(chromedp.CSS(css), unhurried)) }

// enter puts text into a field as a paste does: the page is drawn once, not for each key. What is about keys uses press.
func (b *browser) enter(css, text string) {
	b.t.Helper()
	b.do(chromedp.Focus(chromedp.CSS(css), unhurried))
	if _, err := chromedp.Call(b.ctx, input.InsertText, input.InsertTextParams{Text: text}); err != nil {
		b.t.Fatal(err)
	}
}

// unhurried lets a page that is not there yet come: looked for every 5 ms, it comes later.
var unhurried = chromedp.RetryInterval(50 * time.Millisecond)

// whole is what an expression answers in a page that has come as a whole: before that its text is there, but nobody hears its keys.
func whole(js string) string {
	return "(() => { if (document.readyState !== 'complete') throw new Error('the page is still coming'); return " + js + " })()"
}

// text is an element's text, on one line. While a page is being replaced there is none to read; then it looks again.
func (b *browser) text(css string) (text string) {
	b.t.Helper()
	js := whole(fmt.Sprintf("document.querySelector(%q).textContent", css))
	await(b.t, css, func() (found bool) {
		ctx, cancel := context.WithTimeout(b.ctx, 3*time.Second)
		defer cancel()
		content, err := chromedp.Run(ctx, chromedp.Evaluate[string](js))
		text = strings.Join(strings.Fields(content), " ")
		return err == nil
	})
	return text
}

// shows waits for texts on the page, which htmx or a form's answer brings.
func (b *browser) shows(texts ...string) {
	b.t.Helper()
	await(b.t, strings.Join(texts, ", "), func() bool {
		content := b.text("body")
		for _, text := range texts {
			if !strings.Contains(content, text) {
				return false
			}
		}
		return true
	})
}

// becomes waits until the failure's page says the state.
func (b *browser) becomes(state string) {
	b.t.Helper()
	await(b.t, "state "+state, func() bool { return strings.Contains(b.text(".head"), state) })
}

func (b *browser) signIn() {
	b.t.Helper()
	b.open("/failures")
	b.enter("#name", "admin")
	b.enter("#password", "correct horse battery")
	b.click("form[action='/sign-in'] button")
	b.shows("answered 422") // the list that was asked for
}

func (b *browser) openFailure(id string) { b.t.Helper(); b.open("/failures/" + id) }

// The three ways out of the failures list, by hand: retry, ignore, resolve.
func TestAPersonSettlesFailures(t *testing.T) {
	for name, scripts := range map[string]bool{"with JavaScript": true, "without JavaScript": false} {
		t.Run(name, func(t *testing.T) {
			receiver := newLedger(t)
			receiver.answer(http.StatusUnprocessableEntity)
			p := serve(t, onFreshDatabase(t), configFile(t, failing(receiver.URL, 1)))
			var ids []string
			for _, payload := range []string{"one", "two", "three"} {
				ids = append(ids, p.send("push", payload))
			}
			for _, id := range ids {
				p.awaitState(id, "dead")
			}
			b := browse(t, p.url, scripts)
			b.signIn()
			b.retry(p, receiver, ids[0])
			b.ignore(ids[1])
			b.resolve(ids[2])
			b.open("/failures")
			if content := b.text("main"); strings.Contains(content, "answered 422") {
				t.Errorf("the list still shows: %s", content)
			}
			b.open("/audit")
			b.shows("delivery.retry", "delivery.ignore", "delivery.resolve", "session.sign-in")
			b.complaints()
		})
	}
}

func (b *browser) retry(p *program, receiver *ledger, id string) {
	b.t.Helper()
	b.openFailure(id)
	b.shows("answered 422", `"one"`)
	receiver.mu.Lock()
	receiver.status, receiver.hold = http.StatusOK, make(chan struct{})
	hold := receiver.hold
	receiver.mu.Unlock()
	b.click("button[data-action=retry]")
	patience.Receive(b.t, "a request", receiver.arrived)
	b.shows("Retry requested") // the form's own answer comes first: a page opened before it is given up
	b.openFailure(id)
	b.becomes("sending") // not delivered before the receiver has confirmed
	receiver.mu.Lock()
	receiver.hold = nil
	receiver.mu.Unlock()
	close(hold)
	p.awaitState(id, "delivered")
	b.openFailure(id)
	b.becomes("delivered")
}

func (b *browser) ignore(id string) {
	b.t.Helper()
	b.openFailure(id)
	b.click("summary[data-action=ignore]")
	b.do(chromedp.SetValue(chromedp.CSS("#ignore-category"), "test-data"))
	b.enter("#ignore-reason", "made by a test")
	b.click("form[action$='/ignore'] button")
	b.becomes("ignored")
	b.open("/ignored")
	b.shows("made by a test", "admin", "test")
}

func (b *browser) resolve(id string) {
	b.t.Helper()
	b.openFailure(id)
	b.click("summary[data-action=resolve]")
	b.enter("#resolve-reason", "sent by hand")
	b.enter("#resolve-evidence", "ticket 4711")
	b.click("form[action$='/resolve'] button")
	b.becomes("resolved")
	b.openFailure(id)
	b.shows("ticket 4711", "sent by hand")
}

// Two people look at the same dead letter; the second one is told who was faster, and keeps what was typed.
func TestTheSecondPersonIsTold(t *testing.T) {
	receiver := newLedger(t)
	receiver.answer(http.StatusUnprocessableEntity)
	p := serve(t, onFreshDatabase(t), configFile(t, failing(receiver.URL, 1)))
	id := p.send("push", "x")
	p.awaitState(id, "dead")
	b := browse(t, p.url, true)
	b.signIn()
	b.openFailure(id)
	p.must("POST", "/api/v1/failures/"+id+"/resolve", map[string]any{"reason": "already done"})
	b.click("summary[data-action=ignore]")
	b.do(chromedp.SetValue(chromedp.CSS("#ignore-category"), "other"))
	b.enter("#ignore-reason", "typed with care")
	b.click("form[action$='/ignore'] button")
	b.shows("somebody was faster", "token:environment")
	b.becomes("resolved")
}

// The exact time is there for a keyboard and for a finger, not only for a mouse.
func TestAFocusedTimeIsExact(t *testing.T) {
	receiver := newLedger(t)
	receiver.answer(http.StatusUnprocessableEntity)
	p := serve(t, onFreshDatabase(t), configFile(t, failing(receiver.URL, 1)))
	p.awaitState(p.send("push", "x"), "dead")
	b := browse(t, p.url, true)
	b.signIn()
	visible := "String(document.querySelector('tbody .exact').checkVisibility())"
	if b.value(visible) != "false" {
		t.Error("the exact time shows unasked")
	}
	if _, err := chromedp.Call(b.ctx, emulation.SetFocusEmulationEnabled, emulation.SetFocusEmulationEnabledParams{Enabled: true}); err != nil {
		t.Fatal(err)
	}
	b.do(chromedp.Focus(chromedp.CSS("tbody time")))
	if b.value(visible) != "true" || !strings.Contains(b.text("tbody .exact"), "UTC") {
		t.Error("a focused time does not show exactly when")
	}
}

// address waits until the browser's address is path, and the page has come.
func (b *browser) address(path string) {
	b.t.Helper()
	b.is("location.pathname + location.search", path)
}

// value is what an expression answers in the page.
func (b *browser) value(js string) string {
	b.t.Helper()
	ctx, cancel := context.WithTimeout(b.ctx, patience.Limit)
	defer cancel()
	text, err := chromedp.Run(ctx, chromedp.Evaluate[string](js))
	if err != nil {
		b.t.Fatal(err)
	}
	return text
}
