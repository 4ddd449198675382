package e2e

import (
	"context"
	"crypto/sha256"
	"fmt"
	"net/http"
	"strings"
	"testing"

	"github.com/chromedp/chromedp"

	"redrive/store/storetest/patience"
)

// triageFile has two receivers of one kind and one that hides a field; nothing times out while a test holds requests.
func triageFile(t *testing.T, url string) string {
	t.Helper()
	text := "ticket_url: https://tickets.example/{ticket}\nintegrations:\n"
	for _, name := range []string{"push", "backup", "sms"} {
		text += fmt.Sprintf("  - name: %s\n    method: outbox\n    destination: {http: {url: %q, timeout: 3m}}\n    retry: {attempts: 1}\n", name, url)
	}
	return configFile(t, text+"    mask: [\"$.code\"]\n")
}

// deadOn sends messages that die and returns their deliveries.
func (p *program) deadOn(integration string, payloads ...any) (ids []string) {
	p.t.Helper()
	for _, payload := range payloads {
		ids = append(ids, p.send(integration, payload))
	}
	for _, id := range ids {
		p.awaitState(id, "dead")
	}
	return ids
}

// holding makes the receiver confirm, but only after the answer is called.
func (l *ledger) holding() (release func()) {
	l.mu.Lock()
	defer l.mu.Unlock()
	hold := make(chan struct{})
	l.status, l.hold = http.StatusOK, hold
	return func() {
		l.mu.Lock()
		l.hold = nil
		l.mu.Unlock()
		close(hold)
	}
}

// sums waits until the operation's page says how many became what.
func (b *browser) sums(texts ...string) {
	b.t.Helper()
	await(b.t, strings.Join(texts, ", "), func() bool {
		content := b.text("#progress")
		for _, text := range texts {
			if !strings.Contains(content, text) {
				return false
			}
		}
		return true
	})
}

// unfold opens what is folded. What renews itself may be replaced between a look where it is and the click: then it is opened again.
func (b *browser) unfold(details string) {
	b.t.Helper()
	await(b.t, details+" is open", func() bool {
		return b.value(fmt.Sprintf(`(() => {
			const d = document.querySelector(%q)
			if (d && !d.open) d.querySelector('summary').click()
			return String(d && d.open)
		})()`, details)) == "true"
	})
}

// steer opens a form of a running operation, gives its reason and sends it. While a form is open the page leaves it alone.
func (b *browser) steer(step, reason string) {
	b.t.Helper()
	b.unfold(".steering details:has(form[action$='/" + step + "'])")
	if reason != "" {
		b.enter("#"+step+"-reason", reason)
	}
	b.click("form[action$='/" + step + "'] button")
}

// Everything that matches is retried: first a look at what would happen, then a canary, watched while it moves, paused, resumed and
// cancelled.
func TestAPersonRetriesEverythingThatMatches(t *testing.T) {
	receiver := newLedger(t)
	receiver.answer(http.StatusUnprocessableEntity)
	p := serve(t, onFreshDatabase(t), triageFile(t, receiver.URL))
	p.deadOn("push", 1, 2, 3, 4, 5, 6)
	b := browse(t, p.url, true)
	b.signIn()
	b.click("[data-everything]")
	b.click("[data-selection] button[data-action=retry]")
	b.shows("Retry these?", "6 match", "6 can be retried: 6 on push", "same idempotency key")
	b.enter("#new-canary", "2")
	b.enter("#all-reason", "the seller is back")
	release := receiver.holding()
	b.click("form[action='/operations'] button")
	b.sums("running", "6 selected", "2 are requested and not confirmed yet", "4 wait for their turn", "canary: 0 of 2 confirmed", "0 confirmed by the receiver")
	here := b.value("location.pathname")

	b.steer("pause", "the seller calls")
	b.shows("Paused. Nothing more is started")
	b.sums("paused by admin: the seller calls")
	b.steer("resume", "")
	b.shows("It goes on.") // the answer, not the words of the form
	b.unfold(".steering details:has(form[action$='/pace'])")
	b.enter("#pace-rate", "50")
	b.click("form[action$='/pace'] button")
	b.shows("The pace is changed", "50 per second")
	b.steer("cancel", "the wrong seller")
	b.shows("Cancelled. What had not been started")
	b.sums("cancelled", "4 cancelled", "0 confirmed by the receiver", "2 remaining")
	release()
	b.sums("2 confirmed by the receiver", "0 remaining") // without a reload

	b.open("/operations")
	b.shows("Retry of 6 failures", "the seller is back", "cancelled")
	b.open(here + "?outcome=cancelled")
	b.shows("cancelled")
	if total, _ := receiver.requests(); total != 6+2 {
		t.Errorf("%d requests, want 6 that failed and 2 of the canary", total)
	}
	b.complaints()
}

// A form that is sent twice at once starts one operation, and each failure is sent once.
func TestAReplayedFormStartsOneOperation(t *testing.T) {
	receiver := newLedger(t)
	receiver.answer(http.StatusUnprocessableEntity)
	p := serve(t, onFreshDatabase(t), triageFile(t, receiver.URL))
	p.deadOn("push", 1, 2, 3)
	receiver.answer(http.StatusOK)
	b := browse(t, p.url, true)
	b.signIn()
	b.open("/operations/new?action=retry&filter=integration%3Dpush&return=/failures")
	ctx, cancel := context.WithTimeout(b.ctx, patience.Limit)
	defer cancel()
	ends, err := chromedp.Run(ctx, chromedp.Evaluate[[]string](`(async () => {
		const form = document.querySelector("form[action='/operations']"), body = new URLSearchParams(new FormData(form));
		const send = () => fetch("/operations", {method: "POST", body: body}).then(answer => answer.url);
		return [...await Promise.all([send(), send(), send()]), await send()];
	})()`, chromedp.EvalAwaitPromise))
	if err != nil {
		t.Fatal(err)
	}
	for _, end := range ends {
		if end != ends[0] || !strings.Contains(end, "/operations/") {
			t.Errorf("the form led to %v", ends)
		}
	}
	b.open("/operations")
	b.shows("Retry of 3 failures")
	b.click("tbody a[data-open]")
	b.sums("finished", "3 confirmed by the receiver")
	if total, keys := receiver.requests(); total != 6 || keys != 3 {
		t.Errorf("%d requests of %d deliveries, want each to fail once and to arrive once", total, keys)
	}
}

// What was wrong is corrected, looked at, and sent as a version of its own; what is hidden stays as it was.
func TestAPersonEditsAndRetries(t *testing.T) {
	for name, scripts := range map[string]bool{"with JavaScript": true, "without JavaScript": false} {
		t.Run(name, func(t *testing.T) {
			receiver := newLedger(t)
			receiver.answer(http.StatusUnprocessableEntity)
			p := serve(t, onFreshDatabase(t), triageFile(t, receiver.URL))
			answer := p.must("POST", "/api/v1/messages", map[string]any{"integration": "sms", "type": "code", "payload_base64": "eyJjb2RlIjoiNDcxMTk5IiwibiI6MTIzNDU2Nzg5MDEyMzQ1Njc4OTAsInRvIjoiS2ltIn0="})
			id := answer["deliveries"].([]any)[0].(map[string]any)["id"].(string) // {"code":"471199","n":12345678901234567890,"to":"Kim"}
			p.awaitState(id, "dead")
			b := browse(t, p.url, scripts)
			b.signIn()
			b.openFailure(id)
			b.click("a[href*='/edit']")
			b.shows("becomes version 2", "12345678901234567890", "•••")
			b.enter("#payload", " x")
			b.enter("#edit-reason", "the receiver wants a list")
			b.click("form.edit button.primary")
			b.shows("this is not JSON: line 1, column 2") // and what was typed is still there
			b.do(chromedp.SetValue(chromedp.CSS("#payload"), "[{\"code\": \"•••\", \"n\": 12345678901234567890, \"to\": \"Lee\"}]"))
			b.click("form.edit button.primary")
			b.shows("$[0].code: what stands hidden here")
			b.do(chromedp.SetValue(chromedp.CSS("#payload"), "{\"code\": \"•••\", \"n\": 12345678901234567890, \"to\": \"Lee\"}"))
			b.click("form.edit button.primary")
			b.shows("Save version 2 and retry", "removed: ", "Kim", "added: ", "Lee", "the receiver wants a list")
			if scripts {
				b.inspect(t, "the review of an edit", axeAll, "false")
			}
			receiver.answer(http.StatusOK)
			b.click("form button.primary")
			b.shows("Version 2 is saved")
			p.awaitState(id, "delivered")
			b.openFailure(id)
			b.shows("sent version 1", "sent version 2", "edited and retried this", "Delivered to sms after it had failed once.")
			if strings.Contains(b.text("main"), "471199") {
				t.Error("the code shows")
			}
			receiver.mu.Lock()
			defer receiver.mu.Unlock()
			want := sha256.Sum256([]byte(`{"code":"471199","n":12345678901234567890,"to":"Lee"}`)) // without spaces, as it was
			if got := receiver.seen[id]; len(got) != 2 || got[want] != 1 {
				t.Errorf("the receiver did not get what was saved: %d contents", len(got))
			}
		})
	}
}

// A failure is sent elsewhere, and people say who looks after it.
func TestAPersonRedirectsAndKeepsTheCase(t *testing.T) {
	receiver := newLedger(t)
	receiver.answer(http.StatusUnprocessableEntity)
	p := serve(t, onFreshDatabase(t), triageFile(t, receiver.URL))
	id := p.deadOn("push", map[string]any{"n": 1})[0]
	b := browse(t, p.url, true)
	b.signIn()
	b.openFailure(id)
	b.click("form[action$='/case/acknowledge'] button")
	b.shows("it is not counted as red", "Not acknowledged any more")
	b.click("form[action$='/case/assign'] button")
	b.shows("It is yours.")
	b.click("#case details summary")
	b.enter("#case-tags", "vip, seoul")
	b.enter("#case-ticket", "OPS-7")
	b.click("form[action$='/case/fields'] button")
	b.shows("Kept.", "vip", "seoul")
	if href := b.value("document.querySelector('#case dd a[rel]').href"); href != "https://tickets.example/OPS-7" {
		t.Errorf("the ticket leads to %s", href)
	}
	b.enter("#note", "Called the seller.")
	b.click("form[action$='/case/note'] button")
	b.shows("Written down.", "Called the seller.")

	b.click("a[href*='/redirect']")
	b.shows("same idempotency key", "sms", "backup")
	b.do(chromedp.SetValue(chromedp.CSS("#target"), "backup"))
	b.enter("#redirect-reason", "push has moved")
	receiver.answer(http.StatusOK)
	b.click("form[action$='/redirect'] button")
	b.shows("Redirected, and a retry requested")
	p.awaitState(id, "delivered")
	b.openFailure(id)
	b.shows("Delivered to backup", "redirected this", "push has moved", "Called the seller.")
	b.open("/audit")
	b.shows("redirected to another integration", "wrote a note", "changed who looks after it")
	b.complaints()
}
