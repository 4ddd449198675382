package handlers

import (
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
	"testing"

	"redrive/delivery"
	"redrive/handlers/api"
	"redrive/views"
)

// What each way to hand over makes of null, of nothing and of an empty text. Whether fields are masked changes nothing of it.
func TestNullAndEmptyAreNotTheSame(t *testing.T) {
	s := newSite(t)
	const event = `"specversion":"1.0","id":"%d","source":"/s","type":"t"`
	for n, c := range []struct {
		kind, body string
		null       bool
		payload    string
	}{
		{"application/json", `{"integration":"%s","type":"t","payload_null":true}`, true, ""},
		{"application/json", `{"integration":"%s","type":"t","payload_null":false,"payload_base64":""}`, false, ""},
		{"application/json", `{"integration":"%s","type":"t","payload":null}`, false, "null"},
		{"application/json", `{"integration":"%s","type":"t","payload":""}`, false, `""`},
		{"application/cloudevents+json", `{` + event + `,"redriveintegration":"%s"}`, true, ""},
		{"application/cloudevents+json", `{` + event + `,"redriveintegration":"%s","data":null}`, false, "null"},
		{"application/cloudevents+json", `{` + event + `,"redriveintegration":"%s","data_base64":""}`, false, ""},
	} {
		for at, integration := range []string{"push", "sms"} {
			body := strings.Replace(c.body, "%d", fmt.Sprint(10*n+at), 1)
			sent := s.send("operator", http.MethodPost, "/api/v1/messages", fmt.Sprintf(body, integration), "Content-Type", c.kind)
			id := read[api.AcceptedJSON](s, sent, http.StatusAccepted).ID
			m := read[api.MessageWithDeliveries](s, s.get("/api/v1/messages/"+id), http.StatusOK)
			if m.PayloadNull != c.null || m.Size != len(c.payload) || c.null && (m.Masked || m.Payload != nil || m.PayloadBase64 != nil || m.ShownBase64 != nil || m.SHA256 != "") {
				t.Errorf("%s: %+v", body, m)
			}
			if kept, _, err := s.store.Message(t.Context(), id); err != nil || (kept.Payload == nil) != c.null || string(kept.Payload) != c.payload {
				t.Errorf("%s: kept %q %v", body, kept.Payload, err)
			}
		}
	}
	for _, body := range []string{`"payload_null":true,"payload":1`, `"payload_null":true,"payload_base64":""`} {
		s.wants(body, s.post("/api/v1/messages", `{"integration":"push","type":"t",`+body+`}`), http.StatusUnprocessableEntity, "payload_ambiguous")
	}
	s.wants("none", s.post("/api/v1/messages", `{"integration":"push","type":"t","payload_null":false}`), http.StatusUnprocessableEntity, "payload_required")
	s.wants("text", s.post("/api/v1/messages", `{"integration":"push","type":"t","payload_null":"yes"}`), http.StatusUnprocessableEntity, "invalid_field")
}

// An edit can take the payload away, leave it away, and give one: an object, an empty one.
func TestAnEditAndNull(t *testing.T) {
	s := newSite(t)
	id := s.fail(delivery.Message{Integration: "sms", Payload: []byte(`{"code": 471199}`)}, "")
	failed := func(c delivery.Claimed) {
		s.finish(c, delivery.StateDead, delivery.Result{Outcome: delivery.OutcomePermanent, ErrorClass: delivery.ClassHTTP4xx, Error: "no"})
	}
	for n, c := range []struct{ body, want string }{
		{`"payload_null":true`, "null"}, {`"headers":{"a":"b"}`, "null"}, {`"payload_base64":""`, ""}, {`"payload_null":true`, "null"}, {`"payload":{"code":1}`, `{"code":1}`},
	} {
		changed := read[api.DeliveryJSON](s, s.post("/api/v1/failures/"+id+"/edit", `{`+c.body+`,"reason":"again"}`), http.StatusOK)
		claimed := s.claim("sms")
		if got := claimed.Message.Payload; changed.Edit != n+2 || (got == nil) != (c.want == "null") || got != nil && string(got) != c.want {
			t.Errorf("%s sends %q", c.body, got)
		}
		failed(claimed)
		shown := read[api.DetailJSON](s, s.get("/api/v1/deliveries/"+id), http.StatusOK).Edits[n+1]
		if shown.PayloadNull != (c.want == "null") || shown.Dropped || shown.Omitted {
			t.Errorf("%s is shown as %+v", c.body, shown)
		}
	}
	s.wants("both", s.post("/api/v1/failures/"+id+"/edit", `{"payload":{},"payload_null":true,"reason":"x"}`), http.StatusUnprocessableEntity, "payload_ambiguous")
	details := ""
	for _, e := range read[api.DetailJSON](s, s.get("/api/v1/deliveries/"+id), http.StatusOK).History {
		details += string(e.Details)
	}
	if !strings.Contains(details, `"new_null"`) || !strings.Contains(details, `"old_null"`) {
		t.Errorf("the audit does not tell: %s", details)
	}
}

// The pages tell null from empty, and the form keeps it, takes it away and sets it.
func TestThePagesSayThatThereIsNoPayload(t *testing.T) {
	s := newSite(t)
	b := s.signedIn("alice", delivery.RoleOperator)
	id := s.fail(delivery.Message{Integration: "sms", Type: "code.requested"}, "no")
	empty := s.fail(delivery.Message{Integration: "push", Payload: []byte{}}, "no")
	b.shows(b.open(views.Failure(empty)), http.StatusOK, "The payload is empty", "!(null)")
	page := b.open(views.Failure(id))
	b.shows(page, http.StatusOK, "There is no payload (null)", "an empty one is sent", "!The payload is empty", "!download the exact bytes", "!Hidden")
	m := read[api.DetailJSON](s, s.get("/api/v1/deliveries/"+id), http.StatusOK)
	if len(m.NotCarried) != 1 || m.NotCarried[0].What != delivery.LossNull {
		t.Errorf("losses %v", m.NotCarried)
	}
	b.shows(b.open(views.Message(m.MessageID)), http.StatusOK, "There is no payload (null)")
	b.shows(b.open(views.MessagePayload(m.MessageID)), http.StatusNotFound, "no payload (null)")

	id = s.fail(delivery.Message{Integration: "push"}, "no") // where nothing is masked: of an empty payload there all is hidden
	edit := views.FailureEdit(id)
	form := fieldsOf(t, b.open(edit), edit)
	if form.Get("payload_null") == "" || form.Get("payload") != "" {
		t.Fatalf("form %v", form)
	}
	b.shows(b.sends(edit, form, "reason", "typed"), http.StatusUnprocessableEntity, "Nothing was changed")
	b.shows(b.sends(edit, form, "payload", `{"code": 1}`), http.StatusUnprocessableEntity, "Untick it")
	form.Del("payload_null")
	review := b.sends(edit, form, "payload", "")
	b.shows(review, http.StatusOK, "no payload (null)", "Save version 2 and retry")
	b.shows(b.goes(b.sends(edit, fieldsOf(t, review, edit)), views.FailureFrom(id, "/failures")), http.StatusOK, "Version 2 is saved", "The payload is empty", "no payload (null)")
	claimed := s.claim("push")
	if claimed.Message.Payload == nil || len(claimed.Message.Payload) != 0 {
		t.Errorf("sends %q", claimed.Message.Payload)
	}
	s.finish(claimed, delivery.StateDead, delivery.Result{Outcome: delivery.OutcomePermanent, ErrorClass: delivery.ClassHTTP4xx, Error: "no"})
	form = fieldsOf(t, b.open(edit), edit)
	review = b.sends(edit, form, "payload_null", "1", "reason", "away with it")
	b.shows(review, http.StatusOK, "added: ", "no payload (null)")
	b.goes(b.sends(edit, fieldsOf(t, review, edit)), views.FailureFrom(id, "/failures"))
	if claimed := s.claim("push"); claimed.Message.Payload != nil {
		t.Errorf("sends %q", claimed.Message.Payload)
	}
}

// Types, properties and what does not travel are shown by page and API; what is hidden of the payload is hidden in them.
func TestTypedHeadersAreShownAndMasked(t *testing.T) {
	s := newSite(t)
	text := func(name, value string) delivery.Field { return delivery.Field{Name: name, Value: []byte(value)} }
	m := delivery.Message{ID: "01970000-0000-7000-8000-000000000001", Kind: delivery.KindCommand, Integration: "sms", Type: "t", Payload: []byte(`{"code": "471199"}`),
		Headers: map[string]string{"n": "7", "x-note": "code 471199"}, Origin: &delivery.Origin{Broker: "rabbitmq", Place: "q", Dead: &delivery.DeadOrigin{Place: "orders"},
			Properties: []delivery.Field{text("app_id", "shop 471199"), {Name: "priority", Type: delivery.FieldUint8, Value: []byte("5")}},
			Headers: []delivery.Field{{Name: "n", Type: delivery.FieldInt32, Value: []byte("7"), Shown: "n"}, {Name: "x-note", Value: []byte("code 471199"), Shown: "x-note"},
				text("lines", "471199\nsecond"), {Name: "nothing"}, {Name: "my-token", Type: delivery.FieldBytes, Value: []byte("hush-hush")},
				{Name: "deep", Type: delivery.FieldTable, Fields: []delivery.Field{text("password", "hush-hush"), {Name: "list", Type: delivery.FieldArray, Fields: []delivery.Field{text("", "471199")}}}}}}}
	failed := delivery.Attempt{Outcome: delivery.OutcomePermanent, ErrorClass: delivery.ClassForeign, Error: "it died"}
	const id = "01970000-0000-7000-8000-000000000002"
	_, err := s.store.Park(t.Context(), []delivery.Parked{{DeliveryID: id, Integration: "sms", Message: m, Attempts: []delivery.Attempt{failed}, Next: delivery.StateDead}})
	s.must(err)
	a := s.get("/api/v1/deliveries/" + id)
	d := read[api.DetailJSON](s, a, http.StatusOK)
	list, err := json.Marshal(d.Message.HeaderList)
	s.must(err)
	const want = `[{"name":"n","type":"int32","value":"7"},{"name":"x-note","value":"code •••"},{"name":"lines","value":"•••\nsecond"},{"name":"nothing","value":null},` +
		`{"name":"my-token","value":"•••"},{"name":"deep","type":"table","fields":[{"name":"password","value":"•••"},{"name":"list","type":"array","fields":[{"value":"•••"}]}]}]`
	if string(list) != want {
		t.Errorf("got  %s\nwant %s", list, want)
	}
	if p := d.Message.Origin.Properties; len(p) != 2 || string(p[0].Value) != "shop •••" || string(p[1].Value) != "5" || len(d.NotCarried) != 7 {
		t.Errorf("properties %+v, not carried %v", p, d.NotCarried)
	}
	b := s.signedIn("alice", delivery.RoleOperator)
	page := b.open(views.Failure(id))
	b.shows(page, http.StatusOK, "Properties", "app_id", "int32", "uint8", "Not everything arrives by sms as it came", "no such properties: app_id, priority",
		"no such headers: lines, nothing, my-token, deep", "Sent as text", "!hush-hush")
	for _, shown := range []string{string(a.body), string(page.body)} {
		if strings.Contains(shown, "471199") || strings.Contains(shown, "hush-hush") {
			t.Error("a hidden value is shown")
		}
	}
}
