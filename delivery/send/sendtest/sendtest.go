// Package sendtest holds what every destination has to keep to. A room describes a Bed, on which the same cases run.
package sendtest

import (
	"bytes"
	"cmp"
	"context"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"redrive/delivery"
)

// Arrived is a message as its receiver found it. Facts that the Bed does not carry stay empty.
type Arrived struct {
	Payload        []byte
	ID             string
	Type           string
	Key            string
	Attempt        string
	IdempotencyKey string
	Header         func(name string) string // nil: headers do not travel
}

// Place is a destination that works.
type Place struct {
	Sender delivery.Sender
	// Arrived returns the first n messages, or what came when n do not come within a generous time.
	Arrived func(n int) []Arrived
}

// Fault is a way in which a destination fails.
type Fault struct {
	None  string                                               // why this destination cannot fail so; the rest is empty then
	Make  func(t *testing.T, log *slog.Logger) delivery.Sender // a sender that meets the fault
	Alter func(*delivery.Request)                              // makes the message that meets it; nil: any does
	Class string                                               // expected
}

// Bed is what a destination brings for its tests.
type Bed struct {
	Open      func(t *testing.T, log *slog.Logger) Place
	Carries   Facts
	Transient Fault // fails before anything was sent, or is refused for now
	Permanent Fault
	Unknown   Fault // the message was sent, its answer is lost
	Oversized Fault
	BadHeader Fault
	Secrets   []string // of the destination's settings: they must not show anywhere

	// Dress makes a request of a form that the destination takes from one whose payload is what shall arrive; nil: any is.
	Dress func(*delivery.Request)
	// To is what the senders send to, as far as its kind: whether a second attempt finds what the first one left, and adds nothing, is
	// what the kind promises.
	To delivery.Destination
	// KnowsNull: a payload that is null arrives as null, and not as an empty one.
	KnowsNull bool
	// Senders is how many send at once; 0: 32.
	Senders int
}

// Facts says what travels beside the payload.
type Facts struct {
	ID, Type, Key, Attempt, IdempotencyKey, Headers bool
	Else                                            string // why some do not
}

// Run runs every case.
func Run(t *testing.T, bed Bed) {
	t.Helper()
	if bed.To.Kind() == "" {
		t.Fatal("the bed does not say what kind of destination it is")
	}
	w := &watcher{dress: bed.Dress}
	t.Run("ok", func(t *testing.T) { testOK(t, bed, w) })
	t.Run("attempts", func(t *testing.T) { testAttempts(t, bed, w) })
	for name, f := range map[string]struct {
		fault   Fault
		outcome delivery.Outcome
	}{"transient": {bed.Transient, delivery.OutcomeTransient}, "permanent": {bed.Permanent, delivery.OutcomePermanent},
		"unknown": {bed.Unknown, delivery.OutcomeUnknown}, "oversized": {bed.Oversized, delivery.OutcomePermanent},
		"bad header": {bed.BadHeader, delivery.OutcomePermanent}} {
		t.Run(name, func(t *testing.T) { testFault(t, f.fault, f.outcome, w) })
	}
	t.Run("cancelled", func(t *testing.T) { testCancelled(t, bed, w) })
	t.Run("concurrent", func(t *testing.T) { testConcurrent(t, bed, w) })
	t.Run("close", func(t *testing.T) { testClose(t, bed, w) })
	w.search(t, bed.Secrets) // last: in everything that was said above
}

// Request is an ordinary message.
func Request(id, payload string) delivery.Request {
	return delivery.Request{
		DeliveryID:     "01920000-0000-7000-8000-d" + id,
		IdempotencyKey: "idem-" + id,
		Integration:    "seller-push",
		Attempt:        3,
		Message: delivery.Message{
			ID:        "01920000-0000-7000-8000-m" + id,
			Kind:      delivery.KindEvent,
			Type:      "order.placed",
			Key:       "order-" + id,
			Headers:   map[string]string{"tenant": "north", "x-umlaut": "grün"},
			Payload:   []byte(payload),
			CreatedAt: time.Now(),
		},
	}
}

// hostile are payloads that a transport may be tempted to touch.
func hostile() []string {
	all := make([]byte, 256)
	for n := range all {
		all[n] = byte(n)
	}
	return []string{
		"",
		"\x00",
		string(all),
		"\xff\xfe\xc3",
		"{\"a\":1,\"a\":1.00, \"b\":\"\\u0000\"}\n",
		"*1\r\n$4\r\nPING\r\n",
		"\xce\xce",
		strings.Repeat("\x00\xff한글", 200_000),
	}
}

// testNull sends no payload. A destination that cannot be told gets an empty one.
func testNull(t *testing.T, bed Bed, w *watcher) {
	place := bed.Open(t, w.log())
	null, empty := Request("10", ""), Request("11", "")
	null.Message.Payload = nil
	for _, r := range []delivery.Request{null, empty} {
		expect(t, w.send(t.Context(), place.Sender, r), delivery.OutcomeOK, "")
	}
	arrived := place.Arrived(2)
	if len(arrived) != 2 || len(arrived[0].Payload)+len(arrived[1].Payload) != 0 {
		t.Fatalf("%d arrived: %#v", len(arrived), arrived)
	}
	if bed.KnowsNull && (arrived[0].Payload != nil || arrived[1].Payload == nil) {
		t.Errorf("null arrived as %#v, empty as %#v", arrived[0].Payload, arrived[1].Payload)
	}
}

func testOK(t *testing.T, bed Bed, w *watcher) {
	place := bed.Open(t, w.log())
	payloads := hostile()
	for n, payload := range payloads {
		expect(t, w.send(t.Context(), place.Sender, request(n, payload)), delivery.OutcomeOK, "")
	}
	arrived := place.Arrived(len(payloads))
	if len(arrived) != len(payloads) {
		t.Fatalf("%d of %d messages arrived", len(arrived), len(payloads))
	}
	for n, payload := range payloads {
		if !bytes.Equal(arrived[n].Payload, []byte(payload)) {
			t.Errorf("payload %d of %d bytes arrived as %d other bytes", n, len(payload), len(arrived[n].Payload))
		}
		compareFacts(t, bed.Carries, request(n, payload), arrived[n])
	}
	if bed.Dress == nil {
		testNull(t, bed, w)
	}
	if bed.Carries.Else != "" {
		t.Logf("not everything travels: %s", bed.Carries.Else)
	}
}

func compareFacts(t *testing.T, carries Facts, sent delivery.Request, got Arrived) {
	t.Helper()
	for _, f := range []struct {
		name      string
		travels   bool
		got, want string
	}{{"id", carries.ID, got.ID, sent.Message.ID}, {"type", carries.Type, got.Type, sent.Message.Type}, {"key", carries.Key, got.Key, sent.Message.Key},
		{"attempt", carries.Attempt, got.Attempt, "3"}, {"idempotency key", carries.IdempotencyKey, got.IdempotencyKey, sent.IdempotencyKey}} {
		if f.travels && f.got != f.want {
			t.Errorf("the %s arrived as %q, want %q", f.name, f.got, f.want)
		}
		if !f.travels && carries.Else == "" {
			t.Errorf("the bed does not say why no %s travels", f.name)
		}
	}
	if carries.Headers && (got.Header == nil || got.Header("tenant") != "north") {
		t.Error("the header tenant did not arrive")
	}
}

// testAttempts: a second attempt is the same message with another number.
func testAttempts(t *testing.T, bed Bed, w *watcher) {
	place := bed.Open(t, w.log())
	for attempt := 1; attempt <= 2; attempt++ {
		r := request(1, "again")
		r.Attempt = attempt
		got := w.send(t.Context(), place.Sender, r)
		expect(t, got, delivery.OutcomeOK, "")
		if e := got.Exchange; (e != nil) != (r.Attempt > 1) || e != nil && e.Method == "" && len(e.Facts) < 2 {
			t.Errorf("attempt %d tells %+v", r.Attempt, e)
		}
	}
	arrived := place.Arrived(2)
	if bed.To.Settles() {
		if len(arrived) != 1 {
			t.Fatalf("%d messages arrived", len(arrived))
		}
		return
	}
	if len(arrived) != 2 {
		t.Fatalf("%d messages arrived", len(arrived))
	}
	first, second := arrived[0], arrived[1]
	if first.IdempotencyKey != second.IdempotencyKey || first.ID != second.ID || !bytes.Equal(first.Payload, second.Payload) {
		t.Errorf("the attempts differ: %+v and %+v", first, second)
	}
	if bed.Carries.Attempt && (first.Attempt != "1" || second.Attempt != "2") {
		t.Errorf("attempts %q and %q", first.Attempt, second.Attempt)
	}
}

func testFault(t *testing.T, fault Fault, outcome delivery.Outcome, w *watcher) {
	if fault.None != "" {
		t.Logf("no such case: %s", fault.None)
		return
	}
	sender := fault.Make(t, w.log())
	r := request(1, "x")
	if fault.Alter != nil {
		fault.Alter(&r)
	}
	expect(t, w.send(t.Context(), sender, r), outcome, fault.Class)
}

// testCancelled: what is cancelled before it is sent is transient and never arrives.
func testCancelled(t *testing.T, bed Bed, w *watcher) {
	place := bed.Open(t, w.log())
	cancelled, cancel := context.WithCancel(t.Context())
	cancel()
	expired, cancel := context.WithDeadline(t.Context(), time.Now().Add(-time.Second))
	defer cancel()
	expect(t, w.send(cancelled, place.Sender, request(1, "cancelled")), delivery.OutcomeTransient, delivery.ClassConnect)
	expect(t, w.send(expired, place.Sender, request(2, "expired")), delivery.OutcomeTransient, delivery.ClassConnect)
	expect(t, w.send(t.Context(), place.Sender, request(3, "marker")), delivery.OutcomeOK, "")
	if arrived := place.Arrived(1); len(arrived) != 1 || string(arrived[0].Payload) != "marker" {
		t.Errorf("%d messages arrived, the first is not the marker", len(arrived))
	}
}

// testConcurrent: a ledger of what was confirmed and what arrived.
func testConcurrent(t *testing.T, bed Bed, w *watcher) {
	const each = 25
	senders := cmp.Or(bed.Senders, 32)
	place := bed.Open(t, w.log())
	var group sync.WaitGroup
	for n := range senders {
		group.Go(func() {
			for m := range each {
				expect(t, w.send(t.Context(), place.Sender, request(n*each+m, number(n*each+m))), delivery.OutcomeOK, "")
			}
		})
	}
	group.Wait()
	seen := map[string]int{}
	for _, a := range place.Arrived(senders * each) {
		seen[string(a.Payload)]++
	}
	for n := range senders * each {
		if seen[number(n)] != 1 {
			t.Errorf("message %d was confirmed once and arrived %d times", n, seen[number(n)])
		}
	}
}

// testClose: closing twice is fine, senders under way all return, and nothing is sent any more or it says so.
func testClose(t *testing.T, bed Bed, w *watcher) {
	place := bed.Open(t, w.log())
	expect(t, w.send(t.Context(), place.Sender, request(0, "before")), delivery.OutcomeOK, "")
	var group sync.WaitGroup
	for n := range 8 {
		group.Go(func() {
			for m := range 10 {
				w.send(t.Context(), place.Sender, request(n*10+m+1, "during"))
			}
		})
	}
	for range 2 {
		if err := place.Sender.Close(); err != nil {
			t.Errorf("closing: %v", err)
		}
	}
	group.Wait()
	w.send(t.Context(), place.Sender, request(99, "after")) // checks the result's form
	if err := place.Sender.Close(); err != nil {
		t.Errorf("closing: %v", err)
	}
}

func expect(t *testing.T, got delivery.Result, outcome delivery.Outcome, class string) {
	t.Helper()
	if got.Outcome != outcome || got.ErrorClass != class {
		t.Errorf("got %s %q %q, want %s %q", got.Outcome, got.ErrorClass, got.Error, outcome, class)
	}
}

// watcher keeps what was said, in results and in the log.
type watcher struct {
	dress func(*delivery.Request)
	mu    sync.Mutex
	said  bytes.Buffer
}

// Write keeps a line of the log.
func (w *watcher) Write(line []byte) (int, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.said.Write(line)
}

func (w *watcher) log() *slog.Logger {
	return slog.New(slog.NewJSONHandler(w, &slog.HandlerOptions{Level: slog.LevelDebug}))
}

// send checks the form that every result has.
func (w *watcher) send(ctx context.Context, s delivery.Sender, r delivery.Request) delivery.Result {
	if w.dress != nil {
		w.dress(&r)
	}
	result := s.Send(ctx, r)
	wrong := ""
	switch {
	case result.Outcome == delivery.OutcomeOK && (result.Error != "" || result.ErrorClass != ""):
		wrong = "ok with an error"
	case result.Outcome != delivery.OutcomeOK && (result.Error == "" || !slices.Contains(delivery.ErrorClasses, result.ErrorClass)):
		wrong = "a failure without class or sentence"
	case !slices.Contains([]delivery.Outcome{delivery.OutcomeOK, delivery.OutcomeTransient, delivery.OutcomePermanent, delivery.OutcomeUnknown}, result.Outcome):
		wrong = "an outcome that no sender has"
	case strings.ContainsAny(result.Error, "\r\n\x00"), delivery.Storable(result.Error) != result.Error:
		wrong = "a sentence that is not one line of text"
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	w.said.WriteString(result.Error + "\n" + string(result.Response) + "\n")
	if wrong != "" {
		return delivery.Result{
			Outcome:    delivery.OutcomeLate,
			ErrorClass: wrong,
			Error:      string(result.Outcome) + " " + result.ErrorClass + " " + result.Error,
		}
	}
	return result
}

// search looks for secrets.
func (w *watcher) search(t *testing.T, secrets []string) {
	t.Helper()
	w.mu.Lock()
	defer w.mu.Unlock()
	if len(secrets) == 0 {
		t.Error("the bed names no secrets to look for")
	}
	for n, secret := range secrets {
		if secret == "" || strings.Contains(w.said.String(), secret) {
			t.Errorf("secret %d of the settings is empty, or shows in a result or in the log", n)
		}
	}
}

func request(n int, payload string) delivery.Request { return Request(number(n), payload) }

func number(n int) string { return fmt.Sprintf("%04d", n) }
