package engine_test

import (
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"redrive/delivery"
	httpsend "redrive/delivery/send/http"
	"redrive/delivery/wire"
)

// receiver takes only what it is asked to take, and notes bodies and headers of every request.
type receiver struct {
	*httptest.Server
	takes string

	mu     sync.Mutex
	bodies []string
	heads  []http.Header
}

func receiving(t *testing.T, takes string) *receiver {
	r := &receiver{takes: takes}
	r.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, q *http.Request) {
		body, _ := io.ReadAll(q.Body)
		r.mu.Lock()
		r.bodies, r.heads = append(r.bodies, string(body)), append(r.heads, q.Header.Clone())
		r.mu.Unlock()
		if !strings.Contains(string(body), r.takes) {
			w.WriteHeader(http.StatusUnprocessableEntity)
		}
	}))
	t.Cleanup(r.Close)
	return r
}

// deliverTo makes a rig whose integrations send over real HTTP, each to its receiver.
func deliverTo(t *testing.T, receivers map[string]*receiver) *rig {
	t.Helper()
	var list []delivery.Integration
	for name := range receivers {
		list = append(list, quick(name))
	}
	r := newRig(t, always(ok), list...)
	for name, to := range receivers {
		s, err := httpsend.New(delivery.HTTPDestination{URL: to.URL, Method: http.MethodPost, Timeout: 5 * time.Second}, wire.Dialer{Log: slog.New(slog.DiscardHandler)})
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = s.Close() })
		r.cfg.Senders[name] = s
	}
	return r
}

// What is sent after each round of edits is the edited text byte by byte, with what was hidden from the editor, under the same key.
func TestEditedVersionsArriveByteByByte(t *testing.T) {
	const (
		accepted = `{"phone":"\u002b82 10","amount":12345678901234567890,"note":"a","note":"b\/ü","state":"wrong"}`
		first    = `{"phone":"\u002b82 10","amount":12345678901234567890,"note":"a","note":"b\/ü","state":"better"}`
		second   = `{"phone":"\u002b82 10","amount":1.0e400,"note":"a","note":"b\/ü","state":"right"}`
	)
	mask := []string{"$.phone"}
	to := receiving(t, "right")
	r := deliverTo(t, map[string]*receiver{"push": to})
	r.sql(`SELECT redrive.enqueue('push', 'order', $1, headers => '{"X-Tenant": "north", "traceparent": "00-1-2-3"}', idempotency_key => 'order 7')`, []byte(accepted))
	r.start()
	for round, change := range []struct{ from, to string }{{"wrong", "better"}, {"better", "right"}} {
		r.awaitStates(map[string]int{"dead": 1})
		dead := r.only(delivery.StateDead)
		text, shown := delivery.EditText(dead.Sent().Payload, mask)
		if !shown || strings.Contains(text, "82 10") {
			t.Fatalf("shown as %s", text)
		}
		text = strings.ReplaceAll(strings.Replace(text, change.from, change.to, 1), "\n", "\r\n") // as a browser sends it
		request := delivery.EditRequest{ID: dead.ID, Version: dead.Version, Actor: "ann", Reason: "the state was wrong"}
		if round == 1 {
			text = strings.Replace(text, "12345678901234567890", "1.0e400", 1)
			request.Headers = map[string]string{"X-Tenant": "south"}
		}
		var err error
		if request.Payload, err = delivery.FromEditText(text, dead.Sent().Payload, mask); err != nil {
			t.Fatal(err)
		}
		if _, err := r.Edit(t.Context(), request); err != nil {
			t.Fatal(err)
		}
		r.await("the round's request", func() bool { to.mu.Lock(); defer to.mu.Unlock(); return len(to.bodies) == round+2 })
	}
	r.awaitStates(map[string]int{"delivered": 1})
	for i, want := range []string{accepted, first, second} {
		h := to.heads[i]
		if to.bodies[i] != want || h.Get("Idempotency-Key") != "order 7" || h.Get("Traceparent") != "00-1-2-3" {
			t.Errorf("request %d: %s, %v", i+1, to.bodies[i], h)
		}
	}
	if to.heads[1].Get("X-Tenant") != "north" || to.heads[2].Get("X-Tenant") != "south" {
		t.Errorf("tenants %v", to.heads)
	}
	detail := r.only(delivery.StateDelivered)
	for i, a := range detail.Timeline {
		if a.Edit != i+1 {
			t.Errorf("attempt %d is said to have sent version %d", a.Number, a.Edit)
		}
	}
	if len(detail.Timeline) != 3 || len(detail.Edits) != 3 || string(detail.Message.Payload) != accepted {
		t.Errorf("%d attempts, %d versions, message %s", len(detail.Timeline), len(detail.Edits), detail.Message.Payload)
	}
}

func TestARedirectArrivesElsewhereUnderTheSameKey(t *testing.T) {
	down, up := receiving(t, "never"), receiving(t, "")
	r := deliverTo(t, map[string]*receiver{"push": down, "spare": up})
	r.enqueue("push", 1)
	r.start()
	r.awaitStates(map[string]int{"dead": 1})
	dead := r.only(delivery.StateDead)
	if _, err := r.Redirect(t.Context(), delivery.RedirectRequest{ID: dead.ID, Version: dead.Version, Integration: "spare", Actor: "ann", Reason: "it is down"}); err != nil {
		t.Fatal(err)
	}
	r.awaitStates(map[string]int{"delivered": 1})
	if len(down.bodies) != 1 || len(up.bodies) != 1 || up.bodies[0] != down.bodies[0] || up.heads[0].Get("Idempotency-Key") != down.heads[0].Get("Idempotency-Key") {
		t.Errorf("down got %v, up got %v", down.bodies, up.bodies)
	}
	if up.heads[0].Get("Redrive-Integration") != "spare" {
		t.Errorf("headers %v", up.heads[0])
	}
}
