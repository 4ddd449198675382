package handlers

import (
	"encoding/csv"
	"encoding/json"
	"net/http"
	"strings"
	"testing"
	"time"

	"redrive/delivery"
	"redrive/views"
)

// The auditor reads sentences, opens an operation's row, filters by the words on screen, and takes away exactly what is filtered.
func TestTheAuditIsReadAndTakenAway(t *testing.T) {
	s := newSite(t)
	ann := s.signedIn("ann", delivery.RoleOperator)
	id := s.fail(delivery.Message{Integration: "push", Type: "order.placed", Key: "=order-80055", Payload: []byte(`{"a":1}`)}, "no")
	until := time.Now().UTC().Add(100 * 24 * time.Hour)
	ann.goes(ann.submit(views.Failure(id)+"/ignore", "version", "1", "reason", "customer cancelled, TICKET-7", "category", "obsolete", "ends", "yes",
		"until", until.Format("2006-01-02T15:04")), views.FailureFrom(id, "/failures"))
	ids := s.failMany(3)
	form := fieldsOf(t, ann.submit(views.OperationNew, append(s.choices(ids...), "action", "resolve")...), views.Operations)
	ann.goes(ann.sends(views.Operations, form, "reason", "by phone"), views.Operation(form.Get("token")))
	s.advance(form.Get("token"))

	eve := s.signedIn("eve", delivery.RoleAuditor)
	page := eve.open("/audit?category=obsolete")
	eve.shows(page, http.StatusOK, "ann ignored", `href="`+views.Failure(id)+`"`, "=order-80055", "(order.placed → push)", "until "+until.Format("2006-01-02"),
		"customer cancelled, TICKET-7", "!by phone", `>ignored</option>`, `selected>obsolete</option>`)
	folded := eve.open("/audit?action=delivery.resolve")
	eve.shows(folded, http.StatusOK, "ann resolved 3 failures by other means, by operation", "acted on 3", `aria-expanded="false"`)
	if n := strings.Count(string(folded.body), "data-row"); n != 1 {
		t.Errorf("an operation has %d rows", n)
	}
	open := eve.open("/audit?action=delivery.resolve&open=" + form.Get("token"))
	eve.shows(open, http.StatusOK, `aria-expanded="true"`, `href="`+views.Failure(ids[0])+`"`, `href="`+views.Failure(ids[2])+`"`)
	wrong := eve.open("/audit?from=rubbish")
	eve.shows(wrong, http.StatusBadRequest, `aria-describedby="a-from-error"`, `id="a-from-error"`)
	if a := eve.open("/audit?colour=red"); a.StatusCode != http.StatusBadRequest {
		t.Errorf("an unknown filter: %d", a.StatusCode)
	}

	rows, err := csv.NewReader(strings.NewReader(strings.TrimPrefix(string(eve.open("/audit/csv?action=delivery.ignore").body), "\uFEFF"))).ReadAll()
	s.must(err)
	if len(rows) != 2 || rows[1][8] != "'=order-80055" || !strings.HasPrefix(rows[1][5], "ann ignored =order-80055 (order.placed → push) until ") {
		t.Errorf("%q", rows)
	}
	var file struct{ Items []map[string]string }
	s.must(json.Unmarshal(eve.open("/audit/json?action=delivery.resolve").body, &file))
	if len(file.Items) != 4 || file.Items[3]["action"] != "operation.start" || file.Items[0]["sentence"] == "" {
		t.Errorf("an operation and its items: %v", file.Items)
	}
	eve.shows(eve.open("/audit?action=audit.export"), http.StatusOK, "eve took away", "action=delivery.ignore", "action=delivery.resolve")
	s.must(json.Unmarshal(eve.open("/audit/json?actor=nobody").body, &file))
	if len(file.Items) != 0 {
		t.Errorf("nothing: %v", file.Items)
	}
	if a := s.signedIn("vic", delivery.RoleViewer).open("/audit/csv"); a.StatusCode != http.StatusForbidden {
		t.Errorf("a viewer takes the audit away: %d", a.StatusCode)
	}
}

// What forms ignore comes back after a week, unless somebody says another end, or that there is none.
func TestFormsIgnoreForAWeek(t *testing.T) {
	s := newSite(t)
	ann := s.signedIn("ann", delivery.RoleOperator)
	id := s.fail(delivery.Message{Integration: "push", Payload: []byte(`1`)}, "no")
	week := time.Now().UTC().Add(7 * 24 * time.Hour)
	page := ann.open(views.Failure(id))
	ann.shows(page, http.StatusOK, `value="`+week.Format("2006-01-02T"), `value="for_good"`)
	ann.shows(s.signedIn("odo", delivery.RoleOnCall).open(views.Failure(id)), http.StatusOK, `value="`+week.Format("2006-01-02T"), `!value="for_good"`)
	asked := []string{"version", "1", "reason", "r", "category", "other", "ends", "yes"}
	ann.shows(ann.submit(views.Failure(id)+"/ignore", append(asked, "until", "")...), http.StatusUnprocessableEntity, `id="ignore-until-error"`, "choose for good")
	ann.goes(ann.submit(views.Failure(id)+"/ignore", append(asked, "until", week.Format("2006-01-02T15:04"), "for_good", "yes")...), views.FailureFrom(id, "/failures"))
	d, err := s.store.Delivery(t.Context(), id)
	s.must(err)
	if d.State != delivery.StateIgnored || d.Settlement.Until != nil {
		t.Errorf("%+v", d.Settlement)
	}
	ann.shows(ann.open("/ignored?end=never&category=other"), http.StatusOK, "for good", "ann (1)", `href="/ignored?category=other&amp;end=soon"`)
	ann.shows(ann.open("/ignored?end=soon"), http.StatusOK, "Nothing is ignored.")
}

// The palette answers without a script, and offers what the page before offers whoever may do it.
func TestThePaletteIsAPage(t *testing.T) {
	s := newSite(t)
	id := s.fail(delivery.Message{Integration: "push", Key: "order-80055", Payload: []byte(`1`)}, "no")
	ann, vic := s.signedIn("ann", delivery.RoleOperator), s.signedIn("vic", delivery.RoleViewer)
	ann.shows(ann.open("/go?q=order-80055"), http.StatusOK, ">order-80055<", views.Failure(id), "search the failures")
	ann.shows(ann.open("/go?q=integ"), http.StatusOK, `href="/integrations"`, "!<span>Audit</span>")
	ann.shows(ann.open("/go?from="+views.Failure(id)), http.StatusOK, "Ignore …", `href="`+views.FailureEdit(id)+`"`)
	vic.shows(vic.open("/go?from="+views.Failure(id)), http.StatusOK, "!Ignore …", `!href="`+views.FailureEdit(id)+`"`, `href="/integrations/push"`)
	ann.shows(ann.open("/go?from=/failures?integration=push"), http.StatusOK, "filter=integration%3Dpush", "Retry … everything in this list")
	ann.shows(ann.open("/go?from=//evil.test"), http.StatusOK, `!value="//evil.test"`, `!href="//evil.test"`)
}
