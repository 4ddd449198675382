package handlers

import (
	"net/http"
	"strings"
	"testing"
	"time"

	"redrive/delivery"
	"redrive/handlers/api"
	"redrive/handlers/web"
)

func TestAMaskedValueIsShownWithAnEntryAndNotWithout(t *testing.T) {
	list := testIntegrations()
	for n := range list {
		if list[n].Name == "sms" {
			list[n].Mask, list[n].Subject = append(list[n].Mask, "header:X-Customer", "detect:card"), "$.customer"
		}
	}
	s := newSite(t, func(c *web.Config) { c.Integrations, c.RevealFor = list, time.Hour })
	s.must(s.store.SyncIntegrations(t.Context(), list))
	payload := `{"code":"471199","customer":5003,"to":[{"phone":"+82 10 5555","name":"Ann"}],"c":"4111 1111 1111 1111"}`
	id := s.fail(delivery.Message{Integration: "sms", Payload: []byte(payload), Headers: map[string]string{"X-Customer": "ann-lee", "Cookie": "c=1"}}, "no")
	other := s.fail(delivery.Message{Integration: "sms", Payload: []byte(`{"code":"471188","customer":"5004"}`)}, "no")
	path := "/api/v1/deliveries/" + id + "/reveal"

	for body, code := range map[string]string{`{"path":"$.code"}`: "reason_required", `{"path":"$..code","reason":"r"}`: "no_such_value", `{"path":"$.nothing","reason":"r"}`: "no_such_value",
		`{"path":"$","reason":"r"}`: "no_such_value", `{"path":"header:cookie","reason":"r"}`: "no_such_value", `{"path":"header:none","reason":"r"}`: "no_such_value"} {
		if a := s.send("admin", http.MethodPost, path, body); a.StatusCode != http.StatusUnprocessableEntity || !strings.Contains(string(a.body), `"`+code+`"`) {
			t.Errorf("%s: %d %s", body, a.StatusCode, a.body)
		}
	}
	if a := s.send("operator", http.MethodPost, path, `{"path":"$.code","reason":"r"}`); a.StatusCode != http.StatusForbidden || strings.Contains(string(a.body), "471199") {
		t.Errorf("an operator: %d %s", a.StatusCode, a.body)
	}
	if entries := s.entries("action=delivery.reveal"); len(entries) != 0 {
		t.Errorf("entries of what was refused: %v", entries)
	}
	for field, want := range map[string]string{"$.code": `"471199"`, "$.to[0]": `{"phone":"+82 10 5555","name":"Ann"}`, "$.c": `"4111 1111 1111 1111"`, "header:x-customer": `"ann-lee"`, "$.customer": "5003"} {
		a := s.send("admin", http.MethodPost, path, `{"path":"`+field+`","reason":"they called"}`)
		shown := read[api.RevealedJSON](s, a, http.StatusOK)
		if compact(string(shown.Value)) != compact(want) || a.Header.Get("Cache-Control") != "no-store" || shown.Until == nil {
			t.Errorf("%s: %s %v", field, a.body, a.Header)
		}
		again := read[api.RevealedJSON](s, s.send("admin", http.MethodPost, path, `{"path":"`+field+`"}`), http.StatusOK)
		if again.AuditID != shown.AuditID || string(again.Value) != string(shown.Value) {
			t.Errorf("%s again: %+v", field, again)
		}
	}
	read[api.RevealedJSON](s, s.send("admin", http.MethodPost, "/api/v1/deliveries/"+other+"/reveal", `{"path":"$.code","reason":"they called too"}`), http.StatusOK)
	entries := s.entries("data_subject=5003")
	if len(entries) != 5 {
		t.Fatalf("%d entries of 5003, of all reveals %d", len(entries), len(s.entries("action=delivery.reveal")))
	}
	for _, e := range entries {
		if e.Subject != id || e.Reason != "they called" || strings.Contains(string(e.Details), "5003") || !strings.Contains(string(e.Details), `"data_subject"`) {
			t.Errorf("%+v %s", e, e.Details)
		}
	}
	admin := s.signedIn("ada", delivery.RoleAdmin)
	d, err := s.store.Delivery(t.Context(), other)
	s.must(err)
	admin.shows(admin.open("/messages/"+d.MessageID+"/payload"), http.StatusOK, "471188")
	if read := s.entries("data_subject=5004&action=message.payload-read"); len(read) != 1 || read[0].Subject != d.MessageID {
		t.Errorf("who read the exact bytes of 5004: %+v", read)
	}
	admin.shows(admin.open("/audit/csv?data_subject=5003"), http.StatusOK, "they called", "!they called too")
	if taken := s.entries("action=audit.export"); len(taken) != 1 || strings.Contains(string(taken[0].Details), "5003") {
		t.Errorf("the file is written down as %s", taken[0].Details)
	}
	admin.shows(admin.open("/audit?data_subject=5003"), http.StatusOK, "they called", "!they called too")
	admin.shows(admin.open("/failures/"+id), http.StatusOK, "/failures/"+id+"/reveal", "!471199")
	admin.shows(admin.open("/failures/"+id+"/reveal"), http.StatusOK, "$.code", "$.to[0].phone", "$.c", "header:X-Customer", "!471199", "!5555", "!ann-lee")
	admin.shows(admin.submit("/failures/"+id+"/reveal", "path", "$.code", "reason", ""), http.StatusUnprocessableEntity, "!471199")
	a := admin.submit("/failures/"+id+"/reveal", "path", "$.code", "reason", "on the page")
	admin.shows(a, http.StatusOK, "471199")
	if a.Header.Get("Cache-Control") != "no-store" {
		t.Errorf("%v", a.Header)
	}
	s.must(s.store.Gorm.Exec(`CREATE FUNCTION redrive.refuse() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RAISE 'no entry'; END $$;
		CREATE TRIGGER refuse BEFORE INSERT ON redrive.audit FOR EACH ROW WHEN (NEW.action = 'delivery.reveal') EXECUTE FUNCTION redrive.refuse()`).Error)
	if a := s.send("admin", http.MethodPost, "/api/v1/deliveries/"+other+"/reveal", `{"path":"$.customer","reason":"r"}`); a.StatusCode != http.StatusInternalServerError || strings.Contains(string(a.body), "5004") {
		t.Errorf("without an entry: %d %s", a.StatusCode, a.body)
	}
	a = admin.submit("/failures/"+other+"/reveal", "path", "$.customer", "reason", "r")
	admin.shows(a, http.StatusInternalServerError, "!5004")
}

func (s *site) entries(query string) []api.AuditJSON {
	s.t.Helper()
	return read[api.List[api.AuditJSON]](s, s.send("admin", http.MethodGet, "/api/v1/audit?limit=100&"+query, ""), http.StatusOK).Items
}

func compact(text string) string { return strings.Join(strings.Fields(text), "") }
