package handlers

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"redrive/delivery"
	"redrive/handlers/api"
	"redrive/handlers/web"
)

// claim takes the one delivery that is due.
func (s *site) claim(integration string) delivery.Claimed {
	s.t.Helper()
	claimed, err := s.store.Claim(context.Background(), "test", []delivery.Quota{{Integration: integration, Limit: 10, Lease: time.Minute}})
	s.must(err)
	if len(claimed) != 1 {
		s.t.Fatalf("claimed %+v", claimed)
	}
	return claimed[0]
}

func (s *site) finish(c delivery.Claimed, next delivery.State, result delivery.Result) {
	s.t.Helper()
	_, err := s.store.Complete(context.Background(), []delivery.Completion{c.Completed(result, next, time.Now(), 0)})
	s.must(err)
}

func TestAnEditIsSentAndHiddenValuesComeBack(t *testing.T) {
	s := newSite(t)
	const sent = `{ "code":"447788", "big":12345678901234567890.000, "to":[{"phone":"+49 170 1","name":"A"}],"text":"hi","text":"ho" }`
	id := s.fail(delivery.Message{Integration: "sms", Key: "k", Payload: []byte(sent), Headers: map[string]string{"X-Api-Key": "hush-hush", "X-A": "1"}}, "447788 is bad")
	at := "/api/v1/failures/" + id
	shown := string(unbase64(t, read[api.DetailJSON](s, s.get("/api/v1/deliveries/"+id), 200).Message.ShownBase64))
	if strings.Contains(shown, "447788") || !strings.Contains(shown, delivery.Hidden) {
		t.Fatalf("shown %s", shown)
	}
	edited := strings.Replace(shown, `"hi"`, `"hello"`, 1)
	body := fmt.Sprintf(`{"payload":%s,"headers":{"x-api-key":"%s","X-A":"2"},"reason":" typo ","version":1}`, edited, delivery.Hidden)
	changed := read[api.DeliveryJSON](s, s.post(at+"/edit", body), 200)
	if changed.State != delivery.StatePending || changed.Edit != 2 || s.woken.Load() != 1 {
		t.Errorf("changed %+v", changed)
	}
	c := s.claim("sms")
	if want := strings.Replace(sent, `"hi"`, `"hello"`, 1); string(c.Message.Payload) != want {
		t.Errorf("sends %s\nnot   %s", c.Message.Payload, want)
	}
	if c.Message.Headers["X-A"] != "2" || c.Message.Headers["x-api-key"] != "hush-hush" || c.IdempotencyKey() != id {
		t.Errorf("sends %v, key %s", c.Message.Headers, c.IdempotencyKey())
	}
	s.finish(c, delivery.StateDead, delivery.Result{Outcome: delivery.OutcomePermanent, ErrorClass: delivery.ClassHTTP4xx, Error: "no"})

	// a new value where one was hidden: neither it nor the first may be shown
	fresh := strings.Replace(edited, delivery.Hidden, "product-5566", 1)
	read[api.DeliveryJSON](s, s.post(at+"/edit", fmt.Sprintf(`{"payload":%s,"reason":"new code"}`, fresh)), 200)
	c = s.claim("sms")
	if !bytes.Contains(c.Message.Payload, []byte(`"code":"product-5566"`)) || !bytes.Contains(c.Message.Payload, []byte("+49 170 1")) {
		t.Errorf("sends %s", c.Message.Payload)
	}
	s.finish(c, delivery.StateDead, delivery.Result{Outcome: delivery.OutcomePermanent, ErrorClass: delivery.ClassHTTP4xx, Error: "product-5566 is bad",
		Response: []byte("product-5566, not 447788, for +49 170 1")})
	a := s.get("/api/v1/deliveries/" + id)
	d := read[api.DetailJSON](s, a, 200)
	for _, secret := range []string{"447788", "product-5566", "+49 170 1", "hush-hush"} {
		if bytes.Contains(a.body, []byte(secret)) {
			t.Errorf("%s is shown in %s", secret, a.body)
		}
	}
	if len(d.Edits) != 3 || d.Edits[0].Number != 1 || d.Edits[0].Actor != "" || d.Edits[1].Actor != "token:ci-operator" || d.Edits[1].Reason != "typo" ||
		d.Edits[2].AfterAttempt != 2 || d.Edits[1].SHA256 == "" || !d.Edits[1].Masked || string(unbase64(t, d.Edits[1].ShownBase64)) != edited || d.Edits[1].Size != len(edited) {
		t.Errorf("edits %+v", d.Edits)
	}
	if d.Attempts[0].Edit != 1 || d.Attempts[1].Edit != 2 || d.Attempts[2].Edit != 3 || d.Edit != 3 {
		t.Errorf("attempts %+v of %d", d.Attempts, d.Edit)
	}
}

func TestAnEditKeepsBytes(t *testing.T) {
	s := newSite(t)
	const odd = "{\"n\" :1e400,\r\n\t\"big\":9007199254740993,\"a\":1,\"a\":2,\"u\":\"\\u0000\\ud83d\"}"
	id := s.fail(delivery.Message{Integration: "push", Payload: []byte("{}")}, "")
	read[api.DeliveryJSON](s, s.post("/api/v1/failures/"+id+"/edit", `{"reason":"x","payload":`+odd+`}`), 200)
	if c := s.claim("push"); string(c.Message.Payload) != odd {
		t.Errorf("sends %q", c.Message.Payload)
	}
	raw := s.fail(delivery.Message{Integration: "push", Payload: []byte{0xff}}, "")
	read[api.DeliveryJSON](s, s.post("/api/v1/failures/"+raw+"/edit", `{"reason":"x","payload_base64":"/wA="}`), 200)
	if c := s.claim("push"); string(c.Message.Payload) != "\xff\x00" {
		t.Errorf("sends %q", c.Message.Payload)
	}
}

func TestEditsThatAreRefused(t *testing.T) {
	s := newSite(t)
	id := s.fail(delivery.Message{Integration: "sms", Payload: []byte(`{"code":"447788","to":[]}`), Headers: map[string]string{"traceparent": "00-a"}}, "")
	at := "/api/v1/failures/" + id
	for body, want := range map[string]string{
		``: "payload_required", `{"payload":1}`: "reason_required", `{"reason":"x"}`: "payload_required", `{"payload":1,"payload_base64":"MQ==","reason":"x"}`: "payload_ambiguous",
		`{"payload_base64":"?","reason":"x"}`: "invalid_base64", `{"payload":1,"reason":"x","colour":1}`: "unknown_field", `{"payload":1,"reason":"x","version":"1"}`: "invalid_field",
		`{"headers":{"a b":"1"},"reason":"x"}`: "invalid_header", `{"headers":{"X":"•••"},"reason":"x"}`: "masked_value",
		`{"headers":{"traceparent":"00-b"},"reason":"x"}`: "protected_header",
	} {
		s.wants(body, s.post(at+"/edit", body), http.StatusUnprocessableEntity, want)
	}
	s.wants("half JSON", s.post(at+"/edit", `{"payload":{"a":1,"reason":"x"}`), http.StatusBadRequest, "invalid_json")
	s.wants("not JSON any more", s.post(at+"/edit", `{"payload_base64":"ew==","reason":"x"}`), http.StatusBadRequest, "invalid_json")
	s.wants("a moved secret", s.post(at+"/edit", `{"payload":{"to":[{"phone":"•••"}]},"reason":"x"}`), http.StatusUnprocessableEntity, "masked_value")
	s.wants("old version", s.post(at+"/edit", `{"payload":{},"reason":"x","version":7}`), http.StatusConflict, "conflict")
	s.wants("viewer", s.send("viewer", "POST", at+"/edit", `{"payload":{},"reason":"x"}`), http.StatusForbidden, "forbidden")
	s.wants("nothing", s.post("/api/v1/failures/0192f0c1-0000-7000-8000-000000000000/edit", `{"payload":{},"reason":"x"}`), http.StatusNotFound, "not_found")
	if d := read[api.DetailJSON](s, s.get("/api/v1/deliveries/"+id), 200); d.State != delivery.StateDead || len(d.Edits) != 0 || len(d.History) != 0 {
		t.Errorf("changed by refused edits: %+v", d)
	}
}

func TestARequestWithAKeyIsCarriedOutOnce(t *testing.T) {
	s := newSite(t)
	one, two := s.fail(delivery.Message{Integration: "push", Payload: []byte("1")}, ""), s.fail(delivery.Message{Integration: "push", Payload: []byte("2")}, "")
	for range 3 {
		for _, id := range []string{one, two} { // one key serves for both
			a := s.send("operator", "POST", "/api/v1/failures/"+id+"/edit", `{"payload":3,"reason":"x"}`, "Idempotency-Key", "my key")
			if d := read[api.DeliveryJSON](s, a, 200); d.State != delivery.StatePending || d.Edit != 2 || d.Version != 2 {
				t.Errorf("%+v", d)
			}
		}
	}
	a := s.send("operator", "POST", "/api/v1/failures/"+one+"/retry", `{}`, "Idempotency-Key", strings.Repeat("x", 256))
	s.wants("a long key", a, http.StatusUnprocessableEntity, "too_long")
	s.wants("without a key", s.post("/api/v1/failures/"+one+"/retry", `{}`), http.StatusConflict, "conflict")
	d := read[api.DetailJSON](s, s.get("/api/v1/deliveries/"+one), 200)
	if len(d.Edits) != 2 || len(d.History) != 1 {
		t.Errorf("%d edits, history %+v", len(d.Edits), d.History)
	}
}

func TestRedirect(t *testing.T) {
	s := newSite(t)
	id := s.fail(delivery.Message{Integration: "push", Payload: []byte("1")}, "")
	at := "/api/v1/failures/" + id + "/redirect"
	s.wants("no reason", s.post(at, `{"integration":"sms"}`), 422, "reason_required")
	s.wants("nowhere", s.post(at, `{"integration":"nowhere","reason":"x"}`), 422, "unknown_integration")
	s.wants("no name", s.post(at, `{"reason":"x"}`), 422, "unknown_integration")
	s.wants("to itself", s.post(at, `{"integration":"push","reason":"x"}`), 422, "same_integration")
	s.wants("old version", s.post(at, `{"integration":"sms","reason":"x","version":9}`), 409, "conflict")
	d := read[api.DeliveryJSON](s, s.post(at, `{"integration":"sms","reason":"push is gone","version":1}`), 200)
	if d.Integration != "sms" || d.State != delivery.StatePending || d.ID != id {
		t.Errorf("redirected %+v", d)
	}
	if c := s.claim("sms"); c.DeliveryID != id {
		t.Errorf("claimed %+v", c)
	}
}

func TestCasesAndNotes(t *testing.T) {
	s := newSite(t)
	id := s.fail(delivery.Message{Integration: "push", Payload: []byte("1")}, "")
	_, err := s.store.CreateOperator(t.Context(), delivery.Operator{Name: "anna", Role: delivery.RoleOperator, PasswordHash: "x"}, "setup")
	s.must(err)
	at := "/api/v1/failures/" + id
	patch := func(body string, headers ...string) answer {
		return s.send("operator", http.MethodPatch, at+"/case", body, headers...)
	}
	if none := read[api.DetailJSON](s, s.get("/api/v1/deliveries/"+id), 200); none.Case.Version != 0 || none.Case.Tags == nil || len(none.Notes) != 0 {
		t.Errorf("case %+v", none.Case)
	}
	k := read[api.DeliveryJSON](s, patch(`{"acknowledged":true,"assignee":"anna","tags":["B","a","b"],"ticket":" OPS-1 ","version":0}`), 200).Case
	if k.Version != 1 || k.AcknowledgedAt == nil || k.AcknowledgedBy != "token:ci-operator" || k.Assignee != "anna" || strings.Join(k.Tags, ",") != "a,b" || k.Ticket != "OPS-1" {
		t.Errorf("case %+v", k)
	}
	p := s.wants("faster", patch(`{"tags":[],"version":0}`), http.StatusConflict, "conflict")
	if p.Actor != "token:ci-operator" || *p.Version != 1 || p.Case == nil || p.Case.Assignee != "anna" {
		t.Errorf("conflict %+v", p)
	}
	k = read[api.DeliveryJSON](s, patch(`{"assignee":null,"tags":null,"version":1}`), 200).Case
	if k.Assignee != "" || len(k.Tags) != 0 || k.Ticket != "OPS-1" || k.AcknowledgedAt == nil {
		t.Errorf("case %+v", k)
	}
	for body, code := range map[string]string{`{}`: "nothing_to_change", `{"acknowledged":null}`: "invalid_field", `{"assignee":"nobody-we-know"}`: "unknown_operator",
		`{"tags":["a b"]}`: "bad_tag", `{"tags":"a"}`: "invalid_field", `{"ticket":"a\nb"}`: "bad_ticket", `{"version":-1,"ticket":""}`: "invalid_field"} {
		s.wants(body, patch(body), 422, code)
	}
	s.wants("viewer", s.send("viewer", "PATCH", at+"/case", `{"ticket":""}`), http.StatusForbidden, "forbidden")
	if page := read[api.List[api.DeliveryJSON]](s, s.get("/api/v1/failures?acknowledged=true&ticket=OPS-1"), 200); len(page.Items) != 1 || page.Items[0].Case.Ticket != "OPS-1" {
		t.Errorf("list %+v", page)
	}
	for range 2 {
		a := s.send("operator", "POST", at+"/notes", `{"text":"called them\nback at 15:00"}`, "Idempotency-Key", "note")
		if notes := read[api.List[api.NoteJSON]](s, a, http.StatusCreated); len(notes.Items) != 1 || notes.Items[0].Author != "token:ci-operator" || notes.Items[0].At == nil {
			t.Errorf("notes %+v", notes)
		}
	}
	s.wants("no text", s.post(at+"/notes", `{}`), 422, "bad_note")
	var d map[string]json.RawMessage
	s.must(json.Unmarshal(s.get("/api/v1/deliveries/"+id).body, &d))
	if !strings.Contains(string(d["notes"]), `back at 15:00`) {
		t.Errorf("notes %s", d["notes"])
	}
}

func TestSavedViews(t *testing.T) {
	s := newSite(t)
	mine := read[api.SavedViewJSON](s, s.send("viewer", "POST", "/api/v1/views", `{"name":"Mine","search":"assignee:me class:timeout"}`), http.StatusCreated)
	shared := read[api.SavedViewJSON](s, s.post("/api/v1/views", `{"name":"All","search":"","shared":true}`), http.StatusCreated)
	s.wants("shared by a viewer", s.send("viewer", "POST", "/api/v1/views", `{"name":"x","search":"","shared":true}`), 403, "forbidden")
	s.wants("no search", s.post("/api/v1/views", `{"name":"x","search":"state:gone"}`), 422, "bad_search")
	s.wants("no name", s.post("/api/v1/views", `{"search":""}`), 422, "bad_name")
	views := read[api.List[api.SavedViewJSON]](s, s.get("/api/v1/views"), 200).Items
	if len(views) != 2 || views[0].Name != "All" || !views[0].Shared || views[1].Owner != "token:ci-viewer" || views[1].Search != "assignee:me class:timeout" {
		t.Errorf("views %+v", views)
	}
	if others := read[api.List[api.SavedViewJSON]](s, s.send("admin", "GET", "/api/v1/views", ""), 200).Items; len(others) != 1 {
		t.Errorf("an admin sees %+v", others)
	}
	s.wants("not mine", s.send("viewer", "DELETE", "/api/v1/views/"+shared.ID, ""), 403, "not_yours")
	if a := s.send("viewer", "DELETE", "/api/v1/views/"+mine.ID, ""); a.StatusCode != http.StatusNoContent {
		t.Errorf("deleting: %d %s", a.StatusCode, a.body)
	}
	s.wants("twice", s.send("viewer", "DELETE", "/api/v1/views/"+mine.ID, ""), 404, "not_found")
}

func TestAnEditMustFitTheSchema(t *testing.T) {
	s := newSite(t, func(cfg *web.Config) {
		cfg.Schemas = map[string]func([]byte) []string{"push": func(payload []byte) []string {
			if bytes.Contains(payload, []byte("quantity")) {
				return nil
			}
			return []string{"$.quantity: is missing", "$.order: must be a number"}
		}}
	})
	other := s.fail(delivery.Message{Integration: "push", Payload: []byte("{}")}, "")
	at := "/api/v1/failures/" + s.fail(delivery.Message{Integration: "push", Payload: []byte("{}")}, "") + "/edit"
	p := s.wants("without", s.post(at, `{"payload":{"order":"x"},"reason":"x"}`), 422, "schema_violation")
	if len(p.Violations) != 2 || p.Violations[0] != "$.quantity: is missing" || p.Field != "payload" {
		t.Errorf("violations %q of %s", p.Violations, p.Field)
	}
	read[api.DeliveryJSON](s, s.post(at, `{"payload":{"quantity":2},"reason":"x"}`), 200)
	read[api.DeliveryJSON](s, s.post("/api/v1/failures/"+other+"/edit", `{"headers":{"X-A":"1"},"reason":"the payload stays"}`), 200)
}
