package handlers

import (
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"redrive/delivery"
	"redrive/handlers/api"
	"redrive/handlers/web"
	"redrive/views"
)

func TestADeadLetterIsShownRetriedAndDelivered(t *testing.T) {
	s := newSite(t)
	id := s.fail(delivery.Message{Integration: "push", Key: "o-1", Payload: []byte(`{"n":1}`), Headers: map[string]string{"X-A": "b", "X-Api-Key": "hush"}}, "no such order")
	raw := s.get("/api/v1/deliveries/" + id)
	d := read[api.DetailJSON](s, raw, 200)
	if d.ID != id || d.State != delivery.StateDead || d.Method != delivery.MethodOutbox || d.ErrorClass != "http_4xx" || d.AttemptCount != 1 || d.DeadAt == nil ||
		d.GroupCount != 1 || d.Key != "o-1" || d.Settlement != nil {
		t.Errorf("detail %s", raw.body)
	}
	if len(d.Attempts) != 1 || d.Attempts[0].Number != 1 || d.Attempts[0].Outcome != "permanent" || *d.Attempts[0].HTTPStatus != 404 ||
		d.Attempts[0].Response != "no such order" || d.Attempts[0].DurationMS != 12 {
		t.Errorf("attempts %+v", d.Attempts)
	}
	if string(unbase64(t, d.Message.PayloadBase64)) != `{"n":1}` || d.Message.Headers["X-A"] != "b" || d.Message.Headers["X-Api-Key"] != delivery.Hidden {
		t.Errorf("message %+v", d.Message)
	}
	if strings.Contains(string(raw.body), "hush") {
		t.Error("a credential is shown")
	}
	retried := read[api.DeliveryJSON](s, s.post("/api/v1/failures/"+id+"/retry", fmt.Sprintf(`{"version":%d}`, d.Version)), 200)
	if retried.State != delivery.StatePending || retried.RetryRequestedAt == nil || retried.Version != d.Version+1 || s.woken.Load() != 1 {
		t.Errorf("retried %+v, woken %d times", retried, s.woken.Load())
	}
	s.engine(id, "push", delivery.StateDelivered, delivery.Result{Outcome: delivery.OutcomeOK, HTTPStatus: 200})
	after := read[api.DetailJSON](s, s.get("/api/v1/deliveries/"+id), 200)
	if after.State != delivery.StateDelivered || len(after.Attempts) != 2 || after.ID != id || after.SettledAt == nil {
		t.Errorf("after %+v", after)
	}
	if len(after.History) != 1 || after.History[0].Actor != "token:ci-operator" || after.History[0].Action != "delivery.retry" {
		t.Errorf("history %+v", after.History)
	}
}

func TestIgnoreResolveReopen(t *testing.T) {
	s := newSite(t)
	id := s.fail(delivery.Message{Integration: "push"}, "")
	at := "/api/v1/failures/" + id
	until := time.Now().Add(time.Hour).UTC().Truncate(time.Second)
	ignored := read[api.DeliveryJSON](s, s.post(at+"/ignore", `{"reason":" test order ","category":"test-data","until":"`+until.Format(time.RFC3339)+`"}`), 200)
	if ignored.State != delivery.StateIgnored || ignored.Settlement == nil || ignored.Settlement.Reason != "test order" || !ignored.Settlement.Until.Equal(until) ||
		ignored.Settlement.Category != "test-data" || ignored.Settlement.Actor != "token:ci-operator" {
		t.Errorf("ignored %+v, settlement %+v", ignored, ignored.Settlement)
	}
	page := read[api.List[api.DeliveryJSON]](s, s.get("/api/v1/failures?state=ignored"), 200)
	if len(page.Items) != 1 || page.Items[0].ID != id || page.Items[0].Settlement.Reason != "test order" {
		t.Errorf("ignored list %+v", page)
	}
	if reopened := read[api.DeliveryJSON](s, s.post(at+"/reopen", ""), 200); reopened.State != delivery.StateDead || reopened.Settlement != nil {
		t.Errorf("reopened %+v", reopened)
	}
	resolved := read[api.DeliveryJSON](s, s.post(at+"/resolve", `{"reason":"called them","evidence":"https://tickets.test/1"}`), 200)
	if resolved.State != delivery.StateResolved || resolved.Settlement.Evidence != "https://tickets.test/1" {
		t.Errorf("resolved %+v", resolved)
	}
	p := s.wants("retry of a resolved one", s.post(at+"/retry", `{}`), 409, "conflict")
	if p.Actor != "token:ci-operator" || p.Action != "resolve" || p.State != delivery.StateResolved || p.Version == nil || *p.Version != resolved.Version || p.At == nil {
		t.Errorf("conflict %+v", p)
	}
	audit := read[api.List[api.AuditJSON]](s, s.get("/api/v1/audit?subject="+id), 200)
	var done []string
	for _, e := range audit.Items {
		done = append(done, e.Action)
	}
	if want := []string{"delivery.resolve", "delivery.reopen", "delivery.ignore"}; !slices.Equal(done, want) {
		t.Errorf("audit %v, want %v", done, want)
	}
}

func TestBadActionsAreRefusedAndNothingChanges(t *testing.T) {
	s := newSite(t)
	id := s.fail(delivery.Message{Integration: "push"}, "")
	at := "/api/v1/failures/" + id
	for _, tc := range []struct {
		name, path, body string
		status           int
		code             string
	}{
		{"ignore without a reason", "/ignore", `{"category":"other"}`, 422, "reason_required"},
		{"ignore with an empty body", "/ignore", ``, 422, "reason_required"},
		{"ignore with a blank reason", "/ignore", `{"reason":" \n ","category":"other"}`, 422, "reason_required"},
		{"ignore without a category", "/ignore", `{"reason":"x"}`, 422, "category_required"},
		{"category that is no word", "/ignore", `{"reason":"x","category":"<b>"}`, 422, "invalid_category"},
		{"until is over", "/ignore", `{"reason":"x","category":"other","until":"2020-01-01T00:00:00Z"}`, 422, "invalid_until"},
		{"until is no time", "/ignore", `{"reason":"x","category":"other","until":"Friday"}`, 422, "invalid_time"},
		{"resolve without a reason", "/resolve", `{}`, 422, "reason_required"},
		{"long reason", "/resolve", `{"reason":"` + strings.Repeat("x", 2001) + `"}`, 422, "too_long"},
		{"NUL in the reason", "/resolve", `{"reason":"a\u0000"}`, 422, "invalid_text"},
		{"NUL in the evidence", "/resolve", `{"reason":"a","evidence":"\u0000"}`, 422, "invalid_text"},
		{"unknown field", "/retry", `{"rason":"x"}`, 422, "unknown_field"},
		{"version is text", "/retry", `{"version":"1"}`, 422, "invalid_field"},
		{"version is a fraction", "/retry", `{"version":1.5}`, 422, "invalid_field"},
		{"negative version", "/retry", `{"version":-1}`, 422, "invalid_field"},
		{"stale version", "/retry", `{"version":99}`, 409, "conflict"},
		{"version from before the failure", "/retry", `{"version":0}`, 409, "conflict"},
		{"reopen of a dead one", "/reopen", ``, 409, "conflict"},
		{"no JSON", "/retry", `{`, 400, "invalid_json"},
		{"trailing data", "/retry", `{}{}`, 400, "invalid_json"},
		{"a list", "/retry", `[1]`, 400, "invalid_json"},
		{"unknown action", "/explode", `{}`, 404, "not_found"},
	} {
		s.wants(tc.name, s.post(at+tc.path, tc.body), tc.status, tc.code)
	}
	s.wants("a form", s.send("operator", "POST", at+"/retry", "reason=x", "Content-Type", "application/x-www-form-urlencoded"), 415, "unsupported_media_type")
	for _, unknown := range []string{"0190f0e0-0000-7000-8000-000000000000", "nonsense", "%00", strings.Repeat("a", 36)} {
		s.wants("retry of "+unknown, s.post("/api/v1/failures/"+unknown+"/retry", ""), 404, "not_found")
		s.wants("delivery "+unknown, s.get("/api/v1/deliveries/"+unknown), 404, "not_found")
		s.wants("message "+unknown, s.get("/api/v1/messages/"+unknown), 404, "not_found")
	}
	if d := read[api.DetailJSON](s, s.get("/api/v1/deliveries/"+id), 200); d.State != delivery.StateDead || d.Version != 1 || len(d.History) != 0 {
		t.Errorf("something changed: %+v", d)
	}
	if s.woken.Load() != 0 {
		t.Error("the engine was woken")
	}
}

func TestOfTwoPeopleOneWinsAndTheOtherIsTold(t *testing.T) {
	s := newSite(t)
	id := s.fail(delivery.Message{Integration: "push"}, "")
	answers := make([]answer, 20)
	var people sync.WaitGroup
	for i := range answers {
		people.Go(func() { answers[i] = s.post("/api/v1/failures/"+id+"/retry", `{"version":1}`) })
	}
	people.Wait()
	won := 0
	for _, a := range answers {
		if a.StatusCode == http.StatusOK {
			won++
			continue
		}
		if p := s.wants("the slower", a, 409, "conflict"); p.Actor != "token:ci-operator" || p.Action != "retry" || p.State != delivery.StatePending || p.At == nil {
			t.Errorf("conflict %+v", p)
		}
	}
	audit := read[api.List[api.AuditJSON]](s, s.get("/api/v1/audit?subject="+id), 200)
	if won != 1 || len(audit.Items) != 1 {
		t.Errorf("%d winners, %d audit entries", won, len(audit.Items))
	}
}

func TestFailuresAreFilteredAndPaged(t *testing.T) {
	s := newSite(t)
	var pushed []string
	for i := range 5 {
		pushed = append(pushed, s.fail(delivery.Message{Integration: "push", Key: fmt.Sprint("k", i)}, ""))
	}
	sms := s.fail(delivery.Message{Integration: "sms", Payload: []byte(`{"code":"4711"}`)}, "")
	slices.Reverse(pushed)
	var seen []string
	for next := ""; ; {
		page := read[api.List[api.DeliveryJSON]](s, s.get("/api/v1/failures?limit=2&integration=push&after="+url.QueryEscape(next)), 200)
		for _, d := range page.Items {
			seen = append(seen, d.ID)
		}
		if page.Next == nil {
			break
		}
		next = *page.Next
	}
	if !slices.Equal(seen, pushed) {
		t.Errorf("pages give %v, want %v", seen, pushed)
	}
	group := read[deliveryDetail](s, s.get("/api/v1/deliveries/"+sms), 200).Group
	for query, want := range map[string][]string{
		"":                               {"sms", "push", "push", "push", "push", "push"},
		"integration=sms&integration=":   {"sms"},
		"integration=sms&method=batch":   {},
		"method=outbox&integration=sms":  {"sms"},
		"key=k3":                         {"push"},
		"group=" + group:                 {"sms"},
		"error_class=http_5xx":           {},
		"error_class=http_4xx&key=k1":    {"push"},
		"q=ANSWERED&integration=sms":     {"sms"},
		"q=100%25":                       {},
		"state=dead&state=ignored&key=k": {},
		"state=ignored":                  {},
		"from=2100-01-01T00:00:00Z":      {},
		"to=2100-01-01T00:00:00Z&key=k0": {"push"},
		"sort=oldest&limit=1":            {"push"},
	} {
		raw := s.get("/api/v1/failures?" + query)
		got := []string{}
		for _, d := range read[api.List[api.DeliveryJSON]](s, raw, 200).Items {
			got = append(got, d.Integration)
		}
		if !slices.Equal(got, want) {
			t.Errorf("?%s gives %v, want %v", query, got, want)
		}
		if len(want) == 0 && string(raw.body) != "{\"items\":[],\"next\":null}\n" {
			t.Errorf("an empty list is %s", raw.body)
		}
	}
}

type deliveryDetail struct{ Group string }

func TestBadParametersAreRefused(t *testing.T) {
	s := newSite(t)
	for path, code := range map[string]string{
		"failures?stat=dead": "unknown_parameter", "failures?state=gone": "invalid_parameter", "failures?limit=0": "invalid_parameter",
		"failures?limit=501": "invalid_parameter", "failures?limit=ten": "invalid_parameter", "failures?limit=1&limit=2": "invalid_parameter",
		"failures?after=nonsense": "bad_cursor", "failures?after=MQ": "bad_cursor", "failures?sort=size": "invalid_parameter",
		"failures?from=yesterday": "invalid_parameter", "failures?to=2031-01-01": "invalid_parameter", "failures?key=%00": "invalid_parameter",
		"failures?q=%FF": "invalid_parameter", "failures?message=1": "invalid_parameter", "failures?method=pigeon": "invalid_parameter",
		"failures?error_class=sad": "invalid_parameter", "failures?integration=A%20B": "invalid_parameter", "failures?group=%00": "invalid_parameter",
		"failures?from=2031-01-02T00:00:00Z&to=2031-01-01T00:00:00Z": "invalid_parameter",
		"groups?limit=9&tag=x": "unknown_parameter", "groups?by=colour": "invalid_parameter", "groups?state=lost": "invalid_parameter", "groups?by=fingerprint,message": "invalid_parameter",
		"groups?status=old": "invalid_parameter", "groups?sort=oldest": "invalid_parameter", "failures?attempts=5..3": "invalid_parameter",
		"failures?path=$.a": "invalid_parameter", "failures?acknowledged=yes": "invalid_parameter", "failures?id=4711": "invalid_parameter",
		"integrations?name=push": "unknown_parameter", "audit?who=x": "unknown_parameter", "audit?actor=%00": "invalid_parameter",
		"audit?after=x": "bad_cursor", "audit?limit=-1": "invalid_parameter", "audit/head?x=1": "unknown_parameter",
	} {
		s.wants(path, s.get("/api/v1/"+path), http.StatusBadRequest, code)
	}
}

func TestGroupsCountOpenDeadLetters(t *testing.T) {
	s := newSite(t)
	for range 3 {
		s.fail(delivery.Message{Integration: "push"}, "")
	}
	s.fail(delivery.Message{Integration: "sms", Payload: []byte(`{}`)}, "")
	groups := read[api.List[api.GroupJSON]](s, s.get("/api/v1/groups?state=dead&by=fingerprint"), 200).Items
	if len(groups) != 2 || groups[0].Integration != "push" || groups[0].Count != 3 || groups[0].ErrorClass != "http_4xx" || groups[0].Status != "new" ||
		groups[0].Message != "the receiver answered 404" || groups[0].FirstSeen == nil || len(groups[0].ID) != 32 {
		t.Errorf("groups %+v", groups)
	}
	rows := read[api.List[api.DeliveryJSON]](s, s.get("/api/v1/failures?group="+groups[0].ID), 200)
	if len(rows.Items) != groups[0].Count {
		t.Errorf("the group's count %d leads to %d rows", groups[0].Count, len(rows.Items))
	}
}

func TestResnapshot(t *testing.T) {
	list := append(testIntegrations(), delivery.Integration{Name: "catalogue", Method: delivery.MethodCDC,
		CDC: &delivery.CDCSource{URL: "postgres://reader:s3cret@db.example/shop", Slot: "catalogue"}})
	s := newSite(t, func(c *web.Config) {
		c.Integrations = list
		c.Facts = func(name string) []delivery.Fact {
			return map[string][]delivery.Fact{"catalogue": {{Name: "connected", Says: delivery.Verbatim("stopped: the slot is lost"), Alarm: true}, {Name: "lag_bytes", Value: 77}}}[name]
		}
	})
	s.must(s.store.SyncIntegrations(t.Context(), list))
	const path = "/api/v1/integrations/catalogue/resnapshot"
	s.wants("no reason", s.post(path, `{"reason":" "}`), 422, "reason_required")
	s.wants("no cdc", s.post("/api/v1/integrations/push/resnapshot", `{"reason":"x"}`), 422, "not_captured")
	s.wants("nobody", s.post("/api/v1/integrations/nobody/resnapshot", `{"reason":"x"}`), 404, "not_found")
	got := read[api.IntegrationJSON](s, s.post(path, `{"reason":"the slot was lost"}`), 200)
	if got.Status != "degraded" || !got.Facts[0].Alarm {
		t.Errorf("%+v", got)
	}
	p, err := s.store.CapturePosition(t.Context(), "catalogue")
	if err != nil || p.ResnapshotAt == nil {
		t.Errorf("%+v %v", p, err)
	}
	if metrics := string(s.send("", "GET", "/metrics", "").body); !strings.Contains(metrics, `redrive_cdc_lag_bytes{integration="catalogue"} 77`) {
		t.Error(metrics)
	}
	b := s.signedIn("alice", delivery.RoleOperator)
	b.shows(b.submit("/integrations/catalogue/resnapshot", "reason", " "), 422, "Say why", "aria-invalid")
	b.shows(b.goes(b.submit("/integrations/catalogue/resnapshot", "reason", "again"), "/integrations/catalogue"), 200, "catalogue begins anew", "alarm: stopped: the slot is lost",
		"its source needs a person", "db.example/shop slot catalogue", "!s3cret", "77 bytes behind")
	b.shows(b.submit("/integrations/push/resnapshot", "reason", "again"), 422, "!begins anew")
}

func TestPauseAndResume(t *testing.T) {
	s := newSite(t)
	paused := read[api.IntegrationJSON](s, s.post("/api/v1/integrations/push/pause", `{"reason":"their upgrade"}`), 200)
	if paused.Status != "paused" || paused.Paused == nil || paused.Paused.By != "token:ci-operator" || paused.Paused.Reason != "their upgrade" {
		t.Errorf("paused %+v", paused)
	}
	read[api.IntegrationJSON](s, s.post("/api/v1/integrations/push/pause", ``), 200)
	resumed := read[api.IntegrationJSON](s, s.post("/api/v1/integrations/push/resume", ``), 200)
	if resumed.Status != "ok" || resumed.Paused != nil || s.woken.Load() != 1 {
		t.Errorf("resumed %+v, woken %d times", resumed, s.woken.Load())
	}
	for _, name := range []string{"nobody", "A%20B", "%00"} {
		s.wants("pause of "+name, s.post("/api/v1/integrations/"+name+"/pause", ``), 404, "not_found")
	}
	s.wants("long reason", s.post("/api/v1/integrations/push/pause", `{"reason":"`+strings.Repeat("x", 2001)+`"}`), 422, "too_long")
	s.wants("unknown field", s.post("/api/v1/integrations/push/pause", `{"colour":"x"}`), 422, "unknown_field")
	s.wants("an end of what goes on", s.post("/api/v1/integrations/push/resume", `{"until":"2090-01-01T00:00:00Z"}`), 422, "unknown_field")
	s.wants("an end that is over", s.post("/api/v1/integrations/push/pause", `{"until":"2020-01-01T00:00:00Z"}`), 422, "invalid_until")
	s.wants("no time", s.post("/api/v1/integrations/push/pause", `{"until":"tomorrow"}`), 422, "invalid_time")
	audit := read[api.List[api.AuditJSON]](s, s.get("/api/v1/audit?subject=push"), 200)
	if len(audit.Items) != 2 || audit.Items[0].Action != "integration.resume" || audit.Items[1].Reason != "their upgrade" {
		t.Errorf("audit %+v", audit.Items)
	}
}

func TestAPauseHasAnEnd(t *testing.T) {
	s := newSite(t)
	for _, until := range []string{"2090-01-01T00:00:00Z", "2091-01-01T09:00:00+09:00"} {
		paused := read[api.IntegrationJSON](s, s.post("/api/v1/integrations/push/pause", `{"reason":"night","until":"`+until+`"}`), 200)
		if want, _ := time.Parse(time.RFC3339, until); paused.Paused == nil || paused.Paused.Until == nil || !paused.Paused.Until.Equal(want) {
			t.Errorf("until %s: %+v", until, paused.Paused)
		}
	}
	b := s.signedIn("vic", delivery.RoleViewer)
	b.shows(b.open("/integrations/push"), 200, "paused", "night", "2091-01-01 00:00:00 UTC")
	waits, err := s.store.Accept(t.Context(), delivery.Message{Kind: delivery.KindCommand, Integration: "push", Type: "t"})
	s.must(err)
	b.shows(b.open(views.Failure(waits.Deliveries[0].ID)), 200, "when the pause ends, in ")
	read[api.IntegrationJSON](s, s.post("/api/v1/integrations/push/resume", ``), 200)
	if again := read[api.IntegrationJSON](s, s.post("/api/v1/integrations/push/pause", `{"reason":"day"}`), 200); again.Paused.Until != nil {
		t.Errorf("the end of an earlier pause: %+v", again.Paused)
	}
}

func TestIntegrationsShowTheirHealth(t *testing.T) {
	s := newSite(t)
	s.fail(delivery.Message{Integration: "push"}, "")
	_, err := s.store.Accept(t.Context(), delivery.Message{Kind: delivery.KindCommand, Integration: "push", Type: "t"})
	s.must(err)
	raw := s.get("/api/v1/integrations")
	items := read[api.List[api.IntegrationJSON]](s, raw, 200).Items
	if len(items) != 2 || items[0].Name != "push" || items[0].Dead != 1 || items[0].Backlog != 1 || items[0].Pending != 1 || items[0].Status != "degraded" ||
		items[0].Address != "http://127.0.0.1:1/x" || items[0].Destination != "http" || len(items[0].Hours) != 24 || items[0].OldestPendingAt == nil ||
		items[0].Subscribe[0] != "order.placed" || items[1].Status != "ok" || items[1].OldestPendingSeconds != 0 || items[0].Failed24h != 1 {
		t.Errorf("integrations %s", raw.body)
	}
	if strings.Contains(string(raw.body), "secret") || strings.Contains(string(raw.body), "token=1") {
		t.Error("the address shows credentials")
	}
}

func TestAuditHeadIsTheNewestEntry(t *testing.T) {
	s := newSite(t)
	page := read[api.List[api.AuditJSON]](s, s.get("/api/v1/audit?limit=1"), 200)
	head := read[api.AuditJSON](s, s.get("/api/v1/audit/head"), 200)
	if page.Next == nil || head.ID != page.Items[0].ID || head.Hash != page.Items[0].Hash || len(head.Hash) != 64 || int(head.Seq) != len(delivery.Roles) {
		t.Errorf("head %+v, newest %+v", head, page.Items[0])
	}
	older := read[api.List[api.AuditJSON]](s, s.get("/api/v1/audit?limit=1&after="+*page.Next), 200)
	if older.Items[0].Hash != head.PrevHash {
		t.Error("the chain is not linked")
	}
}
