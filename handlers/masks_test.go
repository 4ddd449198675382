package handlers

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"log/slog"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"redrive/delivery"
	"redrive/delivery/engine"
	"redrive/delivery/pool"
	"redrive/delivery/search"
	"redrive/handlers/api"
	"redrive/handlers/web"
	"redrive/store/storetest/patience"
)

// repeats is a receiver that says back all that it was sent.
type repeats struct{}

func (repeats) Send(_ context.Context, r delivery.Request) delivery.Result {
	return delivery.Result{Outcome: delivery.OutcomePermanent, ErrorClass: delivery.ClassHTTP4xx, Error: "the receiver answered 422", Words: "refused: " + string(r.Message.Payload),
		HTTPStatus: 422, Response: append([]byte("refused: "), r.Message.Payload...), Exchange: &delivery.Exchange{Sent: []delivery.HeaderLine{{"X-Sent", secretCode}}, Facts: []delivery.HeaderLine{{delivery.FactRoutingKey, "to " + secretCode}},
			Answered: []delivery.HeaderLine{{"X-Echo", "no " + secretCode}, {"X-Cut", strings.Repeat("a", 508) + secretCode}, {"X-Made-Of-It", "seven-digits"}}}}
}
func (repeats) Close() error { return nil }

// secretCode is masked in everything that this test sends.
const secretCode = "471199"

// hiddenPayloads have something masked, in each shape that a payload has.
var hiddenPayloads = map[string]string{
	"fields":  `{"code":"` + secretCode + `","to":[{"phone":"` + secretCode + `"}],"name":"anna"}`,
	"escaped": `{"code":"\u0034\u00371199","to":[{"phone":"` + secretCode + `"}]}`,
	"no JSON": "code=" + secretCode,
}

// TestNothingShowsWhatIsMasked goes over each way on which an error is written, and each place where people and programs read.
func TestNothingShowsWhatIsMasked(t *testing.T) {
	list := append(testIntegrations(), delivery.Integration{Name: "ring", Method: delivery.MethodPool, Mask: []string{"$.code", "$.to[*].phone"},
		Destination: testIntegrations()[0].Destination, Pool: &delivery.PoolSettings{Workers: 1, Queue: 10, WhenFull: delivery.WhenFullCallerRuns}})
	for n := range list {
		list[n].Retry, list[n].OnFailure, list[n].Concurrency = delivery.RetryPolicy{Attempts: 1}, delivery.StateDead, 1
	}
	s := newSite(t, func(c *web.Config) { c.Integrations = list })
	s.must(s.store.SyncIntegrations(t.Context(), list))
	log := slog.New(slog.NewJSONHandler(s.log, &slog.HandlerOptions{Level: slog.LevelDebug}))
	eng, err := engine.New(engine.Config{Store: s.store, Integrations: list, Log: log, Observer: s.Config.Metrics,
		Senders: map[string]delivery.Sender{"push": repeats{}, "sms": repeats{}, "ring": repeats{}}})
	s.must(err)
	pools, err := pool.New(pool.Config{Integrations: list, Attempts: eng, Store: s.store, Dir: t.TempDir(), Log: log})
	s.must(err)
	ctx, stop := context.WithCancel(t.Context())
	ended := make(chan error, 2)
	go func() { ended <- eng.Run(ctx, ctx) }()
	go func() { ended <- pools.Run(ctx, ctx) }()
	t.Cleanup(func() { stop(); <-ended; <-ended })

	ids := map[string]string{}
	for shape, payload := range hiddenPayloads {
		m := delivery.Message{Kind: delivery.KindCommand, Type: "code.sent", Integration: "sms", Payload: []byte(payload), Headers: map[string]string{"X-Code": secretCode}}
		accepted, err := s.store.Accept(t.Context(), m)
		s.must(err)
		ids["sms, "+shape] = accepted.Deliveries[0].ID
		m.Integration = "ring"
		accepted, err = pools.Offer(t.Context(), m)
		s.must(err)
		ids["ring, "+shape] = accepted.Deliveries[0].ID
	}
	eng.Wake()
	s.until(func() bool {
		page, err := s.store.Failures(t.Context(), delivery.Filter{States: []delivery.State{delivery.StateDead}, Limit: 50})
		return err == nil && len(page.Items) == len(ids)
	})
	for _, id := range ids { // a version of its own, and an audit entry with its hash
		if a := s.post("/api/v1/failures/"+id+"/edit", `{"payload":{"code":"`+secretCode+`"},"reason":"again"}`); a.StatusCode != http.StatusOK {
			t.Fatalf("%s", a.body)
		}
	}
	eng.Wake()
	s.until(func() bool {
		page, err := s.store.Failures(t.Context(), delivery.Filter{States: []delivery.State{delivery.StateDead}, Limit: 50})
		return err == nil && len(page.Items) == len(ids) && !slices.ContainsFunc(page.Items, func(d delivery.Delivery) bool { return d.Attempts < 2 })
	})
	for more := true; more; {
		_, more, err = s.store.Index(t.Context(), 100, search.Entry)
		s.must(err)
	}
	encoded := base64.StdEncoding.EncodeToString([]byte(secretCode))
	look := func(place, text string) {
		t.Helper()
		for _, secret := range []string{secretCode, encoded, `\u0034\u0037`, "aa" + secretCode[:4]} {
			if at := strings.Index(text, secret); at >= 0 {
				t.Errorf("%s shows it: %s", place, text[max(at-200, 0):min(at+100, len(text))])
			}
		}
	}
	member, withoutPayloads := s.signedIn("ann", delivery.RoleViewer), s.signedIn("eve", delivery.RoleAuditor)
	for what, id := range ids {
		detail := read[api.DetailJSON](s, s.get("/api/v1/deliveries/"+id), http.StatusOK)
		if len(detail.Attempts) < 1 || detail.Error == "" {
			t.Errorf("%s: %+v", what, detail)
		}
		for _, path := range []string{"/api/v1/deliveries/" + id, "/api/v1/messages/" + detail.MessageID} {
			look(what+", "+path, string(s.get(path).body))
		}
		answer := "/failures/" + id + "?tab=answer"
		for _, path := range []string{"/failures/" + id, "/failures/" + id + "?try=1", answer, answer + "&try=1", "/messages/" + detail.MessageID, "/failures/" + id + "/edit"} {
			look(what+", page "+path, string(member.open(path).body))
		}
		a := withoutPayloads.open(answer)
		withoutPayloads.shows(a, http.StatusOK, "X-Made-Of-It", "!seven-digits")
		look(what+", the answer to an auditor", string(a.body))
		for number := 1; number <= 2; number++ {
			if a := s.send("operator", http.MethodGet, fmt.Sprintf("/failures/%s/versions/%d/payload", id, number), ""); a.StatusCode == http.StatusOK {
				t.Errorf("%s: an operator reads the exact bytes of version %d", what, number)
			}
		}
	}
	for _, path := range []string{"/api/v1/failures", "/api/v1/groups", "/api/v1/audit", "/api/v1/integrations", "/metrics"} {
		look(path, string(s.send("admin", http.MethodGet, path, "").body))
	}
	_, err = s.store.Act(t.Context(), delivery.ActionRequest{Action: delivery.ActionIgnore, ID: ids["sms, no JSON"], Actor: "setup", Reason: "r", Category: "other"})
	s.must(err)
	for _, path := range []string{"/failures", "/groups", "/audit", "/", "/ignored", "/go?q=" + ids["sms, fields"], "/go?from=/failures/" + ids["sms, fields"]} {
		look("page "+path, string(member.open(path).body))
	}
	for list, has := range map[string]string{"/failures": "sms, fields", "/ignored": "sms, no JSON", "/audit": "sms, no JSON"} {
		for _, form := range []string{"/csv", "/json"} {
			a := withoutPayloads.open(list + form)
			withoutPayloads.shows(a, http.StatusOK, ids[has])
			look("file "+list+form, string(a.body))
		}
	}
	for _, query := range []string{secretCode, "payload:" + secretCode} {
		if found := read[struct{ Items []json.RawMessage }](s, s.get("/api/v1/failures?search="+query), http.StatusOK); len(found.Items) > 0 {
			t.Errorf("%s finds %d", query, len(found.Items))
		}
	}
	look("the log", s.log.String())
}

// until waits for a condition.
func (s *site) until(done func() bool) {
	s.t.Helper()
	for deadline := time.Now().Add(patience.Limit); !done(); time.Sleep(20 * time.Millisecond) {
		if time.Now().After(deadline) {
			s.t.Fatal("it did not happen")
		}
	}
}
