package handlers

import (
	"context"
	"errors"
	"net/http"
	"strings"
	"testing"
	"time"

	"redrive/delivery"
	"redrive/handlers/api"
	"redrive/handlers/web"
)

// withPool adds a pool integration named "mail" that is offered to offer.
func withPool(offer func(context.Context, delivery.Message) (delivery.Accepted, error)) func(*web.Config) {
	return func(c *web.Config) {
		mail := c.Integrations[0]
		mail.Name, mail.Method, mail.Subscribe, mail.Pool = "mail", delivery.MethodPool, nil, &delivery.PoolSettings{Workers: 2, Queue: 5}
		c.Integrations = append(c.Integrations, mail)
		c.Offer = offer
		c.Facts = func(name string) []delivery.Fact {
			if name != "mail" {
				return nil
			}
			return []delivery.Fact{{Name: "busy", Value: 1, Limit: 2}, {Name: "rejected", Value: 7, Total: true}}
		}
	}
}

func TestACommandForAPoolIsHandedOverInMemory(t *testing.T) {
	var got []delivery.Message
	const id = "0192f0c1-0000-7000-8000-000000000001"
	s := newSite(t, withPool(func(ctx context.Context, m delivery.Message) (delivery.Accepted, error) {
		if deadline, ok := ctx.Deadline(); !ok || time.Until(deadline) > api.PoolWait {
			t.Error("it may wait for ever")
		}
		got = append(got, m)
		return delivery.Accepted{ID: id, Duplicate: len(got) > 1, Deliveries: []delivery.DeliveryRef{{ID: id, Integration: "mail", State: delivery.StatePending}}}, nil
	}))
	body := `{"integration":"mail","type":"t","payload":{"a":1},"idempotency_key":"k"}`
	a := read[api.AcceptedJSON](s, s.post("/api/v1/messages", body), http.StatusAccepted)
	if a.ID != id || a.Deliveries[0].State != delivery.StatePending || string(got[0].Payload) != `{"a":1}` || got[0].IdempotencyKey != "k" {
		t.Errorf("%+v of %+v", a, got)
	}
	if again := read[api.AcceptedJSON](s, s.post("/api/v1/messages", body), http.StatusOK); !again.Duplicate {
		t.Errorf("again %+v", again)
	}
	for _, durable := range []string{`{"integration":"push","type":"t","payload":1}`, `{"type":"order.placed","payload":1}`} {
		read[api.AcceptedJSON](s, s.post("/api/v1/messages", durable), http.StatusAccepted)
	}
	if len(got) != 2 {
		t.Errorf("%d messages were offered", len(got))
	}
}

func TestAFullPoolAnswersWhenToTryAgain(t *testing.T) {
	s := newSite(t, withPool(func(context.Context, delivery.Message) (delivery.Accepted, error) {
		return delivery.Accepted{}, errors.Join(&delivery.UnavailableError{Code: "pool_full", Says: delivery.Verbatim("It is full."), RetryAfter: 1500 * time.Millisecond})
	}))
	a := s.post("/api/v1/messages", `{"integration":"mail","type":"t","payload":1}`)
	s.wants("full", a, http.StatusServiceUnavailable, "pool_full")
	if a.Header.Get("Retry-After") != "2" || strings.Contains(s.log.String(), "request failed") {
		t.Errorf("Retry-After %q; %s", a.Header.Get("Retry-After"), s.log.String())
	}
}

func TestFactsAreShownEverywhere(t *testing.T) {
	s := newSite(t, withPool(nil))
	s.must(s.store.SyncIntegrations(t.Context(), s.Config.Integrations))
	raw := s.get("/api/v1/integrations")
	if read[api.List[api.IntegrationJSON]](s, raw, http.StatusOK); !strings.Contains(string(raw.body), `"facts":[{"name":"busy","value":1,"limit":2},{"name":"rejected","value":7,"limit":null}]`) ||
		!strings.Contains(string(raw.body), `"facts":[]`) {
		t.Errorf("%s", raw.body)
	}
	person := s.signedIn("vic", delivery.RoleViewer)
	for path, want := range map[string]string{"/": "1 of 2 at work · 7 rejected", "/integrations/mail": "a crash of the process loses at most 7 messages"} {
		if page := person.do("GET", path, ""); !strings.Contains(string(page.body), want) {
			t.Errorf("%s does not say %q", path, want)
		}
	}
	for line, want := range map[string]float64{`redrive_pool_busy{integration="mail"}`: 1, `redrive_pool_busy_limit{integration="mail"}`: 2, `redrive_pool_rejected_total{integration="mail"}`: 7} {
		if got := s.sample(line); got != want {
			t.Errorf("%s is %v", line, got)
		}
	}
}
