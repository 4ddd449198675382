package handlers

import (
	"context"
	"net/http"
	"strings"
	"testing"

	"redrive/delivery"
	"redrive/handlers/api"
)

// Who sent a message is shown where it is: on its pages and in the API, as they are called now.
func TestTheSenderOfAMessageIsShown(t *testing.T) {
	s := newSite(t)
	failed := s.fail(delivery.Message{Integration: "push", Sender: delivery.SenderRole + "shop"}, "")
	id := read[api.AcceptedJSON](s, s.send("operator", "POST", "/api/v1/messages", `{"integration":"push","type":"t","payload":1}`), http.StatusAccepted)
	tokens, err := s.store.Tokens(t.Context())
	s.must(err)
	var own string
	for _, k := range tokens {
		if k.Name == "ci-operator" {
			own = k.ID
		}
	}
	m := read[struct {
		Sender   string
		SenderID string `json:"sender_id"`
	}](s, s.get("/api/v1/messages/"+id.ID), 200)
	if m.Sender != "token:ci-operator" || m.SenderID != own {
		t.Errorf("%+v, not %s", m, own)
	}
	for page, want := range map[string]string{"/messages/" + id.ID: "token:ci-operator", "/failures/" + failed: "role shop of the database"} {
		if body := string(s.send("viewer", "GET", page, "", "Accept", "text/html").body); !strings.Contains(body, "Handed over by") || !strings.Contains(body, want) {
			t.Errorf("%s does not say %s", page, want)
		}
	}
	if d := read[api.DetailJSON](s, s.get("/api/v1/deliveries/"+failed), 200); d.Message.Sender != "role:shop" {
		t.Errorf("sent by %q", d.Message.Sender)
	}
}

// A message that is no repetition of the first one of its key says so in the answer; the page and the metric count it.
func TestAKeyThatWasUsedForSomethingElseIsTold(t *testing.T) {
	s := newSite(t)
	message := func(to, payload string) string {
		return `{"integration":"` + to + `","type":"t","payload":` + payload + `,"idempotency_key":"k"}`
	}
	for _, step := range []struct {
		role, payload string
		status        int
		differs       delivery.KeyReuse
	}{{"operator", "1", 202, ""}, {"operator", "1", 200, ""}, {"operator", "2", 200, "content"}, {"admin", "1", 200, "sender"}, {"admin", "2", 200, "sender"}} {
		a := s.send(step.role, "POST", "/api/v1/messages", message("push", step.payload))
		if got := read[api.AcceptedJSON](s, a, step.status); got.Differs != step.differs || got.Duplicate != (step.status == 200) {
			t.Errorf("%+v: %+v", step, got)
		}
	}
	if got := s.sample(`redrive_reused_keys{integration="push"}`); got != 3 {
		t.Errorf("%v are counted", got)
	}
	for _, i := range read[struct{ Items []api.IntegrationJSON }](s, s.get("/api/v1/integrations"), 200).Items {
		if i.Name == "push" && (i.ReusedKeys == nil || i.ReusedKeys.Count != 3 || i.ReusedKeys.Sender != "token:ci-admin") {
			t.Errorf("%+v", i.ReusedKeys)
		}
	}
	page := string(s.send("viewer", "GET", "/integrations/push", "", "Accept", "text/html").body)
	if !strings.Contains(page, "3 messages were not taken in") || !strings.Contains(page, "another sender had the key") {
		t.Error("the page does not say it")
	}
}

// A pool answers out of its memory; what it says is passed on and noted.
func TestWhatAPoolSaysOfAKeyIsToldAndNoted(t *testing.T) {
	const id = "0192f0c1-0000-7000-8000-000000000001"
	var sender string
	s := newSite(t, withPool(func(_ context.Context, m delivery.Message) (delivery.Accepted, error) {
		sender = m.Sender
		return delivery.Accepted{ID: id, Duplicate: true, Differs: delivery.ReusedByContent}, nil
	}))
	s.must(s.store.SyncIntegrations(t.Context(), s.Config.Integrations))
	a := read[api.AcceptedJSON](s, s.post("/api/v1/messages", `{"integration":"mail","type":"t","payload":1,"idempotency_key":"k"}`), http.StatusOK)
	if got := s.sample(`redrive_reused_keys{integration="mail"}`); a.Differs != delivery.ReusedByContent || got != 1 || sender == "" {
		t.Errorf("%+v by %q, %v noted", a, sender, got)
	}
}
