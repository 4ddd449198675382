package handlers

import (
	"html"
	"net/http"
	"net/url"
	"strings"
	"testing"

	"redrive/delivery"
	"redrive/handlers/web"
	"redrive/views"
)

// exchanged is a failed attempt whose exchange repeats what is hidden, and what nobody would see.
func exchanged(answer string) delivery.Result {
	return delivery.Result{Outcome: delivery.OutcomePermanent, ErrorClass: delivery.ClassHTTP4xx, Error: "the receiver answered 422: no \u202estock", HTTPStatus: 422,
		Response: []byte(answer), Exchange: &delivery.Exchange{Method: "PUT", Address: "http://shop.test/orders", Withheld: []string{"Authorization"},
			Sent:     []delivery.HeaderLine{{"X-Shop", "seoul"}, delivery.ShownHeader("X-Api-Key", "top-secret"), {"Redrive-Attempt", "1"}},
			Answered: []delivery.HeaderLine{delivery.ShownHeader("Set-Cookie", "session=top-secret"), {"X-Echo", "code 471199"}, {"X-Odd", "a\u200bb"}},
			Steps:    []delivery.ExchangeStep{{Name: delivery.StepConnect, Micros: 1200}, {Name: delivery.StepTLS, Micros: 30_000}, {Name: delivery.StepFirstByte, Micros: 250_000}}}}
}

// The page of a failure: its key first, what was sent and what came back in each try as it was then, nothing hidden in it, and nothing of it
// hidden from the eye.
func TestRequestAndAnswerOfEachTry(t *testing.T) {
	s := newSite(t, func(c *web.Config) { c.Integrations[1].Runbook = "https://wiki.test/sms" })
	b := s.signedIn("alice", delivery.RoleOperator)
	a, err := s.store.Accept(t.Context(), delivery.Message{Kind: delivery.KindCommand, Integration: "sms", Type: "code.requested", Key: "order-\u202e80055",
		Payload: []byte(`{"code":"471199","total":1200.50,"note":"first"}`), Headers: map[string]string{"X-Tenant": "north", "Authorization": "Bearer top-secret"}})
	s.must(err)
	id := a.Deliveries[0].ID
	s.engine(id, "sms", delivery.StateDead, exchanged(`{"code":"NO_STOCK","left":1.50,"echo":"471199","at":"`+"\u202e"+`"}`))
	page := b.open(views.Failure(id))
	b.shows(page, http.StatusOK, "order-<span class=\"unseen\" title=\"RIGHT-TO-LEFT OVERRIDE\">⟨U+202E⟩</span>80055", "1 open dead letter with this cause", `href="/failures?group=`,
		`href="https://wiki.test/sms"`, "PUT ", "http://shop.test/orders", "connecting 1.2 ms", "TLS 30 ms", "first byte after 250 ms", "X-Shop", "seoul", "1200.50", "north",
		"these were not sent", "!471199", "!top-secret", "!\u202e")
	b.shows(b.open(views.Failure(id)+"?tab=answer"), http.StatusOK, "HTTP 422", "NO_STOCK", "1.50", "X-Echo", "code •••", "Set-Cookie", "⟨U+200B⟩", "!471199", "!top-secret", "!\u200b")

	_, err = s.store.Edit(t.Context(), delivery.EditRequest{ID: id, Actor: "alice", Reason: "wrong note", Payload: []byte(`{"code":"471199","total":1200.50,"note":"second"}`)})
	s.must(err)
	b.shows(b.open(views.Failure(id)), http.StatusOK, "What is sent next", "second")
	b.shows(b.open(views.Failure(id)+"?try=1"), http.StatusOK, "Try 1: what was sent, version 1", `"s">&#34;first&#34;`, `!"s">&#34;second&#34;`)
	s.engine(id, "sms", delivery.StateDead, exchanged("later"))
	b.shows(b.open(views.Failure(id)), http.StatusOK, "Try 2: what was sent, version 2", `"s">&#34;second&#34;`)
	b.shows(b.open(views.Failure(id)+"?try=1&tab=answer"), http.StatusOK, "NO_STOCK")
	b.shows(b.open(views.Failure(id)+"?try=2&tab=answer"), http.StatusOK, "later", "!NO_STOCK")
	b.shows(b.open(views.Failure(id)+"?find=NOTE"), http.StatusOK, `<mark id="match">note</mark>`, "1 match")
	b.shows(b.open(views.Failure(id)+"?try=99&tab=nonsense&open=/9/9@x&find=%ff"), http.StatusOK, "Try 2")
	b.shows(b.open("/failures"), http.StatusOK, "⟨U+202E⟩", "!\u202e")
}

// A try that was confirmed after others had failed says what was sent where, on the page and in the API, with what is masked hidden.
func TestAConfirmingTrySaysWhatWasSentWhere(t *testing.T) {
	s := newSite(t)
	b := s.signedIn("alice", delivery.RoleOperator)
	id := s.fail(delivery.Message{Integration: "sms", Payload: []byte(`{"code":"471199"}`)}, "no")
	_, err := s.store.Act(t.Context(), delivery.ActionRequest{ID: id, Action: delivery.ActionRetry, Actor: "alice", Reason: "again"})
	s.must(err)
	s.engine(id, "sms", delivery.StateDelivered, delivery.Result{Outcome: delivery.OutcomeOK, Exchange: &delivery.Exchange{Address: "kafka.test:9092",
		Facts: []delivery.HeaderLine{{delivery.FactTopic, "codes"}, {delivery.FactPartition, "3"}, {delivery.FactOffset, "12345"}, {delivery.FactRoutingKey, "to.471199"}},
		Steps: []delivery.ExchangeStep{{Name: delivery.StepConfirm, Micros: 1200}}}})
	b.shows(b.open(views.Failure(id)), http.StatusOK, "kafka.test:9092", "topic codes", "partition 3", "offset 12345", "routing key to.•••", "answer after 1.2 ms", "!471199")
	got := s.get("/api/v1/deliveries/" + id)
	attempts := read[struct {
		Attempts []struct{ Exchange *delivery.Exchange }
	}](s, got, http.StatusOK).Attempts
	if e := attempts[len(attempts)-1].Exchange; len(attempts) != 2 || e == nil || e.Facts[2] != (delivery.HeaderLine{delivery.FactOffset, "12345"}) || strings.Contains(string(got.body), "471199") {
		t.Errorf("%s", got.body)
	}
}

// The list that a failure was opened from, with the rows beside it, is still known after an action and through an edit and a redirect.
func TestTheListIsKnownThroughActionsAndEdits(t *testing.T) {
	s := newSite(t)
	b := s.signedIn("alice", delivery.RoleOperator)
	var ids []string
	for range 3 {
		ids = append(ids, s.fail(delivery.Message{Integration: "push", Type: "order.placed", Payload: []byte(`{"n":1}`)}, "no"))
	}
	list := "/failures?integration=push"
	d, err := s.store.Delivery(t.Context(), ids[1])
	s.must(err)
	at := views.FailureInList(list, d.Place())
	list = list + "#" + strings.Split(at, "%23")[1]
	page := b.open(at)
	b.shows(page, http.StatusOK, `rel="prev"`, `rel="next"`)
	for _, step := range []string{"edit", "redirect"} {
		address := views.Failure(ids[1]) + "/" + step + "?" + url.Values{"return": {list}}.Encode()
		b.shows(page, http.StatusOK, `href="`+html.EscapeString(address)+`"`)
		b.shows(b.open(address), http.StatusOK, `name="return" value="`+list+`"`, `href="`+html.EscapeString(at)+`"`)
	}
	b.goes(b.submit(views.FailureAction(ids[1], "ignore"), "version", b.version(ids[1]), "return", list, "reason", "test", "category", "test-data"), at)
	b.shows(b.open(at), http.StatusOK, `rel="prev"`, `rel="next"`)
}

// What helped before is done again as a canary: the question is filled in but for the reason. Whoever may not is told what is missing.
func TestTheSameIsDoneAgainAsACanary(t *testing.T) {
	s := newSite(t)
	b := s.signedIn("alice", delivery.RoleOperator)
	first := s.fail(delivery.Message{Integration: "push", Type: "order.placed", Payload: []byte(`{}`)}, "no")
	_, err := s.store.Act(t.Context(), delivery.ActionRequest{ID: first, Action: delivery.ActionRetry, Actor: "alice", Reason: "stock is filled"})
	s.must(err)
	s.engine(first, "push", delivery.StateDelivered, delivery.Result{Outcome: delivery.OutcomeOK, HTTPStatus: 200})
	id := s.fail(delivery.Message{Integration: "push", Type: "order.placed", Payload: []byte(`{}`)}, "no")
	page := b.open(views.Failure(id))
	b.shows(page, http.StatusOK, "How this was settled before", "alice sent 1 failure again; 1 confirmed since", "stock is filled", "Do the same, 10 first …", `name="canary" value="10"`)
	group := read[struct {
		GroupID string `json:"group_id"`
	}](s, s.get("/api/v1/deliveries/"+id), http.StatusOK).GroupID
	question := b.open(views.OperationNew + "?" + url.Values{"action": {"retry"}, "filter": {"group=" + group + "&state=dead"}, "canary": {"10"},
		"return": {"/failures/" + id}}.Encode())
	b.shows(question, http.StatusOK, `name="canary" value="10"`, "1 can be retried", "!stock is filled")
	b = s.signedIn("vera", delivery.RoleViewer)
	b.shows(b.open(views.Failure(id)), http.StatusOK, "How this was settled before", `aria-describedby="again-0-missing"`, "!Do the same, 10 first …")
}

// A payload of 200 KB and one of 60 levels: the page stays small, and all of it can be asked for.
func TestLargePayloadsMakeSmallPages(t *testing.T) {
	s := newSite(t)
	b := s.signedIn("alice", delivery.RoleOperator)
	large := `[` + strings.Repeat(`{"name":"<Customer> & \"é\"","lines":[1.50,2,3]},`, 4500) + `{"name":"the last one"}]`
	for _, payload := range []string{large, strings.Repeat(`{"level":[`, 60) + "1.0" + strings.Repeat("]}", 60)} {
		id := s.fail(delivery.Message{Integration: "push", Type: "order.placed", Payload: []byte(payload)}, strings.Repeat("<no> ", 700))
		for _, query := range []string{"", "?find=last", "?open=/40", "?open=@4000", "?tab=answer"} {
			page := b.open(views.Failure(id) + query)
			if len(page.body) > 60<<10 || page.StatusCode != http.StatusOK {
				t.Errorf("%s: %d, %d bytes", query, page.StatusCode, len(page.body))
			}
		}
		if payload == large {
			b.shows(b.open(views.Failure(id)+"?find=the+last"), http.StatusOK, `<mark id="match">the last</mark> one`, "1 match")
			b.shows(b.open(views.Failure(id)+"?open=@4490"), http.StatusOK, "the last one")
		}
	}
}
