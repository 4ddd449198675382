package handlers

import (
	"fmt"
	"maps"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"

	"redrive/delivery"
	"redrive/handlers/api"
	"redrive/handlers/web"
)

func (s *site) many(integration string, n int) (ids []string) {
	s.t.Helper()
	for i := range n {
		ids = append(ids, s.fail(delivery.Message{Integration: integration, Key: fmt.Sprint(i), Payload: []byte(`{"n":1}`)}, ""))
	}
	return ids
}

func (s *site) operation(id string) api.OperationJSON {
	s.t.Helper()
	o := read[api.OperationJSON](s, s.get("/api/v1/operations/"+id), 200)
	if o.Succeeded+o.Failed+o.Skipped+o.Cancelled+o.Remaining != o.Selected {
		s.t.Errorf("the numbers do not add up: %+v", o)
	}
	return o
}

func TestAnOperationIsTriedStartedAndFollowed(t *testing.T) {
	s := newSite(t)
	ids := s.many("push", 5)
	s.many("sms", 2)
	s.post("/api/v1/failures/"+ids[0]+"/ignore", `{"reason":"x","category":"obsolete"}`)
	ask := `{"action":"retry","filter":{"integration":"push","state":["dead","ignored"],"search":"class:http_4xx"},"rate_per_second":5,"canary":1,"stop_above_failure_ratio":0.5,"dry_run":true}`
	dry := read[api.DryRunJSON](s, s.post("/api/v1/operations", ask), 200)
	if dry.Eligible != 4 || !maps.Equal(dry.Excluded, map[string]int{"already_settled": 1}) || !maps.Equal(dry.Integrations, map[string]int{"push": 4}) {
		t.Errorf("dry run %+v", dry)
	}
	looked := read[api.DryRunJSON](s, s.send("viewer", "POST", "/api/v1/operations", ask), 200)
	if looked.Eligible != 0 || !maps.Equal(looked.Excluded, map[string]int{"already_settled": 1, "no_permission": 4}) {
		t.Errorf("a viewer's dry run %+v", looked)
	}
	start := strings.Replace(ask, `"dry_run":true`, `"reason":"it is back"`, 1)
	s.wants("a viewer", s.send("viewer", "POST", "/api/v1/operations", start), http.StatusForbidden, "forbidden")
	key := uuid.NewString()
	a := s.send("operator", "POST", "/api/v1/operations", start, "Idempotency-Key", strings.ToUpper(key))
	o := read[api.OperationJSON](s, a, http.StatusAccepted)
	if o.ID != key || a.Header.Get("Location") != "/api/v1/operations/"+key || o.Selected != 4 || o.Remaining != 4 || o.State != "running" || o.Version != 1 ||
		o.Actor != "token:ci-operator" || o.Reason != "it is back" || o.Pace != (api.PaceJSON{Rate: 5, Canary: 1, StopAbove: 0.5}) || o.CreatedAt == nil || s.woken.Load() != 1 {
		t.Errorf("started %s", a.body)
	}
	if fmt.Sprint(o.Filter) != "map[error_class:[http_4xx] integration:[push] state:[dead ignored]]" || !maps.Equal(o.Excluded, map[string]int{"already_settled": 1}) {
		t.Errorf("filter %v, excluded %v", o.Filter, o.Excluded)
	}
	if again := read[api.OperationJSON](s, s.send("operator", "POST", "/api/v1/operations", start, "Idempotency-Key", key), 202); again.ID != key || again.Selected != 4 {
		t.Errorf("again %+v", again)
	}
	s.advance(key)
	if o := s.operation(key); len(o.Parts) != 1 || o.Parts[0].Phase != "canary" || o.Released != 1 || o.Parts[0].Waiting != 3 {
		t.Errorf("after the canary %+v", o)
	}
	items := read[api.List[api.OperationItemJSON]](s, s.get("/api/v1/operations/"+key+"/items?outcome=released"), 200).Items
	if len(items) != 1 || items[0].DeliveryID == "" {
		t.Errorf("released %+v", items)
	}
	if d := read[api.DetailJSON](s, s.get("/api/v1/deliveries/"+items[0].DeliveryID), 200); d.OperationID == nil || *d.OperationID != key {
		t.Errorf("the delivery does not name its operation: %+v", d.OperationID)
	}
	s.finish(s.claim("push"), delivery.StateDelivered, delivery.Result{Outcome: delivery.OutcomeOK})
	s.advance(key)
	if o := s.operation(key); o.Succeeded != 1 {
		t.Errorf("after its outcome %+v", o)
	}
	page := read[api.List[api.OperationItemJSON]](s, s.get("/api/v1/operations/"+key+"/items?limit=3"), 200)
	rest := read[api.List[api.OperationItemJSON]](s, s.get("/api/v1/operations/"+key+"/items?limit=3&after="+*page.Next), 200)
	if len(page.Items) != 3 || len(rest.Items) != 1 || rest.Next != nil {
		t.Errorf("items %+v, %+v", page, rest)
	}
}

func TestAnOperationOfAListWithVersions(t *testing.T) {
	s := newSite(t)
	ids := s.many("push", 3)
	body := fmt.Sprintf(`{"action":"ignore","ids":["%s",{"id":"%s","version":1},{"id":"%s","version":9},"%s"],"reason":"test orders","category":"test-data"}`,
		strings.ToUpper(ids[0]), ids[1], ids[2], "0192f0c1-0000-7000-8000-000000000000")
	o := read[api.OperationJSON](s, s.send("operator", "POST", "/api/v1/operations", body, "Idempotency-Key", "any text"), 202)
	if o.Selected != 2 || !maps.Equal(o.Excluded, map[string]int{"changed": 1, "not_found": 1}) || o.Filter != nil || !delivery.IsUUID(o.ID) {
		t.Errorf("started %+v", o)
	}
	if again := read[api.OperationJSON](s, s.send("operator", "POST", "/api/v1/operations", body, "Idempotency-Key", "any text"), 202); again.ID != o.ID {
		t.Errorf("started twice: %s", again.ID)
	}
	s.advance(o.ID)
	if o := s.operation(o.ID); o.Succeeded != 2 || o.State != "finished" || o.FinishedAt == nil {
		t.Errorf("finished %+v", o)
	}
	if page := read[api.List[api.DeliveryJSON]](s, s.get("/api/v1/failures?state=ignored"), 200); len(page.Items) != 2 || page.Items[0].Settlement.Category != "test-data" {
		t.Errorf("ignored %+v", page)
	}
}

// faster checks that a conflict says who was faster, what they did, when, and what is now.
func (s *site) faster(p web.Problem, actor, action, state string, version int) {
	s.t.Helper()
	if p.Actor != actor || p.Action != action || p.At == nil || time.Since(*p.At).Abs() > time.Hour || string(p.State) != state || p.Version == nil || *p.Version != version ||
		!strings.Contains(p.Detail, actor+" was faster ("+action+" at ") {
		s.t.Errorf("conflict %+v, want %s %s: %s %d", p, actor, action, state, version)
	}
}

func TestAFinishedOperationSaysSo(t *testing.T) {
	s := newSite(t)
	s.fail(delivery.Message{Integration: "push", Payload: []byte("1")}, "")
	o := read[api.OperationJSON](s, s.post("/api/v1/operations", `{"action":"resolve","filter":{},"reason":"r"}`), 202)
	at := "/api/v1/operations/" + o.ID
	s.faster(s.wants("running", s.post(at+"/resume", ``), http.StatusConflict, "conflict"), "token:ci-operator", "start", "running", 1)
	s.advance(o.ID)
	s.faster(s.wants("finished", s.post(at+"/pause", ``), http.StatusConflict, "conflict"), "engine", "finish", "finished", 1)
}

func TestToSkipTheCanaryTakesAPermission(t *testing.T) {
	s := newSite(t)
	s.many("push", 30)
	o := read[api.OperationJSON](s, s.post("/api/v1/operations", `{"action":"retry","filter":{},"canary":2}`), 202)
	if o.Wave == nil || *o.Wave != (api.WaveJSON{Number: 1, Size: 2}) || *o.Parts[0].Wave != *o.Wave {
		t.Errorf("wave %+v", o.Wave)
	}
	at := "/api/v1/operations/" + o.ID
	read[api.OperationJSON](s, s.post(at+"/pause", ``), 200)
	for _, c := range []struct{ method, path, body string }{{http.MethodPost, at + "/resume", `{"canary":0}`}, {http.MethodPatch, at, `{"canary":0}`}} {
		if p := s.wants(c.path, s.send("on-call", c.method, c.path, c.body), 403, "forbidden"); p.Permission != delivery.PermitSkipCanary {
			t.Errorf("%s %s: %+v", c.method, c.path, p)
		}
	}
	for body, code := range map[string]string{`{"canary":1.5}`: "invalid_field", `{"canary":-1}`: "invalid_pace"} {
		s.wants(body, s.post(at+"/resume", body), 422, code)
	}
	raised := read[api.OperationJSON](s, s.send("on-call", http.MethodPost, at+"/resume", `{"canary":5}`), 200)
	if raised.Pace.Canary != 5 || *raised.Wave != (api.WaveJSON{Number: 2, Size: 5}) {
		t.Errorf("raised %+v", raised)
	}
	read[api.OperationJSON](s, s.post(at+"/pause", ``), 200)
	none := read[api.OperationJSON](s, s.post(at+"/resume", `{"canary":0}`), 200)
	if none.Pace.Canary != 0 || *none.Wave != (api.WaveJSON{Number: 3, Size: 30}) {
		t.Errorf("none %+v", none)
	}
	other := read[api.OperationJSON](s, s.post("/api/v1/operations", `{"action":"acknowledge","filter":{}}`), 202)
	if other.Wave != nil {
		t.Errorf("a wave of what sends nothing: %+v", other.Wave)
	}
}

func TestAnOperationIsSteered(t *testing.T) {
	s := newSite(t)
	s.many("push", 3)
	o := read[api.OperationJSON](s, s.post("/api/v1/operations", `{"action":"retry","filter":{},"rate_per_second":1,"ramp_to":10,"ramp_seconds":60}`), 202)
	at := "/api/v1/operations/" + o.ID
	patch := func(body string) answer { return s.send("operator", http.MethodPatch, at, body) }
	p := read[api.OperationJSON](s, s.post(at+"/pause", `{"reason":"wait","version":1}`), 200)
	if p.State != "paused" || p.Version != 2 || !strings.Contains(p.Note, "token:ci-operator") {
		t.Errorf("paused %+v", p)
	}
	c := s.wants("an old version", s.post(at+"/resume", `{"version":1}`), http.StatusConflict, "conflict")
	s.faster(c, "token:ci-operator", "pause", "paused", 2)
	s.faster(s.wants("paused already", s.post(at+"/pause", ``), http.StatusConflict, "conflict"), "token:ci-operator", "pause", "paused", 2)
	paced := read[api.OperationJSON](s, patch(`{"ramp_to":50}`), 200)
	if paced.Pace != (api.PaceJSON{Rate: 1, RampTo: 50, RampOver: 60}) {
		t.Errorf("pace %+v", paced.Pace)
	}
	if paced = read[api.OperationJSON](s, patch(`{"ramp_to":0,"rate_per_second":100,"version":3}`), 200); paced.Pace != (api.PaceJSON{Rate: 100}) {
		t.Errorf("pace %+v", paced.Pace)
	}
	for body, code := range map[string]string{`{}`: "nothing_to_change", `{"canary":1.5}`: "invalid_field", `{"rate_per_second":-1}`: "invalid_pace",
		`{"ramp_to":5}`: "invalid_pace", `{"ramp_seconds":5}`: "invalid_pace", `{"stop_above_failure_ratio":1}`: "invalid_pace", `{"rate":1}`: "unknown_field"} {
		s.wants(body, patch(body), 422, code)
	}
	read[api.OperationJSON](s, s.post(at+"/resume", ``), 200)
	s.faster(s.wants("running already", s.post(at+"/resume", ``), http.StatusConflict, "conflict"), "token:ci-operator", "resume", "running", 5)
	done := read[api.OperationJSON](s, s.post(at+"/cancel", `{"reason":"enough"}`), 200)
	if done.State != "cancelled" || done.Cancelled != 3 {
		t.Errorf("cancelled %+v", done)
	}
	s.faster(s.wants("cancelled", s.post(at+"/resume", ``), http.StatusConflict, "conflict"), "token:ci-operator", "cancel", "cancelled", done.Version)
	for _, method := range []string{"POST /pause", "POST /resume", "POST /cancel", "PATCH "} {
		verb, path, _ := strings.Cut(method, " ")
		s.wants(method, s.send("viewer", verb, at+path, `{"canary":1}`), http.StatusForbidden, "forbidden")
	}
	if all := read[api.List[api.OperationJSON]](s, s.get("/api/v1/operations?state=cancelled&actor=token:ci-operator"), 200).Items; len(all) != 1 || len(all[0].Parts) != 0 {
		t.Errorf("listed %+v", all)
	}
	s.wants("nothing there", s.get("/api/v1/operations/0192f0c1-0000-7000-8000-000000000000"), 404, "not_found")
	s.wants("no outcome", s.get(at+"/items?outcome=lost"), 400, "invalid_parameter")
	s.wants("no state", s.get("/api/v1/operations?state=lost"), 400, "invalid_parameter")
}

func TestOperationsThatAreRefused(t *testing.T) {
	s := newSite(t)
	id := s.many("push", 1)[0]
	for body, code := range map[string]string{
		``: "unknown_action", `{"action":"delete","filter":{}}`: "unknown_action", `{"action":"retry"}`: "selection_required", `{"action":"retry","ids":[]}`: "selection_required",
		`{"action":"retry","filter":{},"ids":["` + id + `"]}`: "selection_ambiguous", `{"action":"retry","filter":{"integraton":"push"}}`: "unknown_field",
		`{"action":"retry","filter":{"search":"state:gone"}}`: "bad_search", `{"action":"retry","filter":{"search":"state:dead","state":"dead"}}`: "invalid_field",
		`{"action":"retry","ids":["1"]}`: "invalid_field", `{"action":"retry","ids":[1]}`: "invalid_field", `{"action":"retry","ids":[{"id":"` + id + `","v":1}]}`: "unknown_field",
		`{"action":"ignore","filter":{},"category":"obsolete"}`: "reason_required", `{"action":"ignore","filter":{},"reason":"x"}`: "category_required",
		`{"action":"resolve","filter":{},"reason":"x","canary":1}`: "pace_not_allowed", `{"action":"retry","filter":{},"rate_per_second":"5"}`: "invalid_field",
		`{"action":"retry","filter":{},"stop_above_failure_ratio":2}`: "invalid_pace", `{"action":"retry","filter":{},"dry_run":"yes"}`: "invalid_field",
	} {
		s.wants(body, s.post("/api/v1/operations", body), http.StatusUnprocessableEntity, code)
	}
	if all := read[api.List[api.OperationJSON]](s, s.get("/api/v1/operations"), 200).Items; len(all) != 0 {
		t.Errorf("started all the same: %+v", all)
	}
	ask := `{"action":"ignore","filter":{},"dry_run":true}`
	if dry := read[api.DryRunJSON](s, s.post("/api/v1/operations", ask), 200); dry.Eligible != 1 {
		t.Errorf("a dry run needs no reason: %+v", dry)
	}
	if acknowledged := read[api.OperationJSON](s, s.post("/api/v1/operations", `{"action":"acknowledge","filter":{}}`), 202); acknowledged.Selected != 1 {
		t.Errorf("acknowledged %+v", acknowledged)
	}
}

func TestGroupsLeadToTheirFailures(t *testing.T) {
	s := newSite(t)
	s.many("push", 3)
	s.many("sms", 2)
	for by, want := range map[string][]string{"": {"push/http_4xx/3", "sms/http_4xx/2"}, "by=integration": {"push//3", "sms//2"}, "by=error_class,method": {"/http_4xx/5"},
		"by=message&integration=sms": {"//2"}, "by=integration&by=destination&limit=1": {"push//3"}} {
		var got []string
		for _, g := range read[api.List[api.GroupJSON]](s, s.get("/api/v1/groups?"+by), 200).Items {
			got = append(got, fmt.Sprintf("%s/%s/%d", g.Integration, g.ErrorClass, g.Count))
			n := read[api.CountJSON](s, s.get("/api/v1/failures/count?"+g.Filter), 200)
			if n.Count != g.Count || n.Capped || len(g.Hours) != 24 || g.Dead != g.Count || g.LastSeen == nil || g.Status != "new" {
				t.Errorf("%s: %+v has %d failures by %s", by, g, n.Count, g.Filter)
			}
		}
		if !slices.Equal(got, want) {
			t.Errorf("%s: %v, want %v", by, got, want)
		}
	}
	g := read[api.List[api.GroupJSON]](s, s.get("/api/v1/groups"), 200).Items[0]
	if one := read[api.GroupJSON](s, s.get("/api/v1/groups/"+g.ID), 200); one.ID != g.ID || one.Count != 3 || one.Filter != g.Filter {
		t.Errorf("group %+v, listed as %+v", one, g)
	}
	for _, id := range []string{"x", strings.Repeat("0", 32)} {
		s.wants(id, s.get("/api/v1/groups/"+id), 404, "not_found")
	}
	s.wants("cursor", s.get("/api/v1/groups?after=x"), 400, "bad_cursor")
}
