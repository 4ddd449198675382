package store_test

import (
	"errors"
	"fmt"
	"slices"
	"testing"
	"time"

	"redrive/delivery"
)

// rule makes an ignore rule of "push".
func (d desk) rule(search string, end delivery.End) delivery.IgnoreRule {
	d.t.Helper()
	f, err := delivery.ParseSearch(search, time.Now(), nil)
	d.must(err)
	r, err := d.AddIgnoreRule(d.t.Context(), delivery.IgnoreRuleRequest{Integration: "push", Filter: f, Reason: "known", Category: "receiver-bug", End: end, Actor: "ann"})
	d.must(err)
	return r
}

// shaped are failures of all kinds: of each the error and the message.
var shaped = []struct {
	error   string
	class   string
	message delivery.Message
}{
	{"the receiver answered 410 gone", delivery.ClassHTTP4xx, delivery.Message{Type: "order.paid", Key: "k1", Payload: []byte(`{"customer":{"id":4711},"code":"s3cret","note":"grey elephant"}`)}},
	{"the receiver answered 422 no such person", delivery.ClassHTTP4xx, delivery.Message{Type: "order.sent", Key: "k2", Payload: []byte(`{"customer":{"id":"4712"},"code":"other"}`)}},
	{"connection refused", delivery.ClassConnect, delivery.Message{Type: "order.paid", Payload: []byte("grey words, not JSON")}},
	{"s3cret is refused", delivery.ClassHTTP4xx, delivery.Message{Type: "order.paid", Payload: []byte(`{"code":"s3cret"}`)}},
	{"answered 500", delivery.ClassHTTP5xx, delivery.Message{Type: "order.paid", Payload: []byte{0xff, 0}}},
}

func (d desk) failShaped() (ids []string) {
	d.t.Helper()
	for _, x := range shaped {
		c := d.claimOne(d.accept(x.message).Deliveries[0].Integration)
		d.complete(completion(c, delivery.Result{Outcome: delivery.OutcomePermanent, ErrorClass: x.class, Error: x.error}, delivery.StateDead))
		ids = append(ids, c.DeliveryID)
	}
	return ids
}

// On the same failures a rule swallows what its preview says, whatever its condition; what is masked is found by none.
func TestARuleSwallowsWhatItsPreviewSays(t *testing.T) {
	d := open(t)
	push := integration("push")
	push.Mask = []string{"$.code"}
	d.must(d.SyncIntegrations(t.Context(), []delivery.Integration{push, integration("sms")}))
	first := d.failShaped()
	group := d.read(first[0]).GroupID
	// of what was delivered in the end only what somebody had asked for counts
	d.act(delivery.ActionRequest{Action: delivery.ActionRetry, ID: first[0]})
	d.complete(completion(d.claimOne("push"), confirmed, delivery.StateDelivered))
	recovers := d.accept(shaped[0].message)
	c := d.claimOne("push")
	d.complete(completion(c, answered, delivery.StatePending))
	d.must(d.sql("UPDATE redrive.queue SET due_at = now()"))
	d.complete(completion(d.claimOne("push"), confirmed, delivery.StateDelivered))
	for search, want := range map[string][]int{"": {0, 1, 2, 3, 4}, "class:http_4xx": {0, 1, 3}, "class:http_4xx,connect type:order.paid": {0, 2, 3},
		"group:" + group: {0}, "key:k2": {1}, "answered": {0, 1, 4}, `"NO SUCH"`: {1}, "payload:grey": {0}, "payload:eleph": {0},
		"payload.customer.id:4711": {0}, "payload.customer.id:4712": {1}, "payload..id:4711": {0}, "s3cret": {}, "payload:s3cret": {}, "payload.code:s3cret": {},
		`groupmessage:"connection refused"`: {2}, "type:order.sent payload:no": {}, "integration:push state:dead type:order.sent": {1}} {
		f, err := delivery.ParseSearch(search, time.Now(), nil)
		d.must(err)
		p, err := d.PreviewIgnoreRule(t.Context(), delivery.IgnoreRuleRequest{Integration: "push", Filter: f})
		d.must(err)
		retried := 0
		if slices.Contains(want, 0) {
			retried = 1
		}
		if p.Swallows != len(want) || p.Retried != retried || p.Looked != len(shaped) || !p.Whole || p.LastDay != len(want) {
			t.Errorf("%q: the preview says %+v, want %v", search, p, want)
		}
		for _, e := range p.Examples {
			if !slices.ContainsFunc(want, func(n int) bool { return first[n] == e.ID }) || e.ID == recovers.Deliveries[0].ID {
				t.Errorf("%q: %s is no example", search, e.ID)
			}
		}
		d.swallows(search, want)
	}
}

// swallows fails everything once more under a rule, and takes it away again.
func (d desk) swallows(search string, want []int) {
	d.t.Helper()
	r := d.rule(search, delivery.End{ForGood: true})
	ids := d.failShaped()
	for n, id := range ids {
		one := d.read(id)
		swallowed := one.State == delivery.StateIgnored && one.Settlement.RuleID == r.ID && one.Settlement.Reason == "known" && one.Settlement.ForGood
		if swallowed != slices.Contains(want, n) || !swallowed && one.State != delivery.StateDead {
			d.t.Errorf("%q: number %d is %s: %+v", search, n, one.State, one.Settlement)
		}
	}
	r, err := d.EndIgnoreRule(d.t.Context(), r.ID, "ann", "over")
	d.must(err)
	if r.Swallowed != len(want) || r.Holds() || (r.LastAt == nil) != (len(want) == 0) {
		d.t.Errorf("%q: %+v", search, r)
	}
	reopened := 0
	for n := -1; n != 0; reopened += max(n, 0) {
		n, err = d.ReopenDue(d.t.Context())
		d.must(err)
	}
	if reopened != len(want) || value[int](d, "SELECT count(*) FROM redrive.deliveries WHERE state = 'ignored'") != 0 {
		d.t.Errorf("%q: %d reopened", search, reopened)
	}
	d.must(d.sql("DELETE FROM redrive.failure_details f USING redrive.deliveries r WHERE r.id = f.delivery_id AND r.id = ANY($1)", ids))
	d.must(d.sql("DELETE FROM redrive.deliveries WHERE id = ANY($1)", ids))
}

// Rules end by date, by what they have swallowed and by their rate; what they swallowed comes back and says why.
func TestEndsOfRules(t *testing.T) {
	d := open(t)
	soon := time.Now().Add(time.Hour)
	for name, c := range map[string]struct {
		end  delivery.End
		more int // that it swallows after the first
		ends func()
	}{
		"reopened.rule.count": {delivery.End{Count: 3}, 2, func() {}},
		"reopened.rule.grows": {delivery.End{Grows: 2.5}, 2, func() {}},
		"audit.ignored_until": {delivery.End{Until: &soon}, 2, func() { d.jump(2 * time.Hour) }},
	} {
		r := d.rule("", c.end)
		one := d.dead(numbered(1))
		if got := one.Settlement.End; one.State != delivery.StateIgnored || got.Count != c.end.Count || got.Grows != c.end.Grows || (got.Until == nil) != (c.end.Until == nil) {
			t.Errorf("%s: %s %+v", name, one.State, got)
		}
		if n := d.due(); n != 0 {
			t.Errorf("%s: %d reopened too early", name, n)
		}
		for n := range c.more {
			d.dead(numbered(n + 2))
		}
		c.ends()
		after := d.dead(numbered(9))
		if after.State != delivery.StateDead {
			t.Errorf("%s: it swallows behind its end: %+v", name, after.Settlement)
		}
		d.due()
		r, err := d.IgnoreRule(t.Context(), r.ID)
		d.must(err)
		if dead := d.read(one.ID); r.Holds() || r.Because.Key != name || r.EndedBy != delivery.ActorPolicy || r.Swallowed != 3 || r.Hidden != 0 ||
			dead.State != delivery.StateDead || dead.ReopenedBecause.IsZero() {
			t.Errorf("%s: %+v, %s %s", name, r, dead.State, english(dead.ReopenedBecause))
		}
		d.must(d.sql("DELETE FROM redrive.deliveries"))
	}
	if n := value[int](d, "SELECT count(*) FROM redrive.audit WHERE action LIKE 'ignore-rule.%'"); n != 6 {
		t.Errorf("%d entries", n)
	}
	d.verified()
}

// What the integrations file ignores is a rule of the file: it counts, and ends when the file does not say so any more.
func TestTheFileIsARule(t *testing.T) {
	d := open(t)
	push := integration("push")
	push.OnFailure = delivery.StateIgnored
	for range 2 {
		d.must(d.SyncIntegrations(t.Context(), []delivery.Integration{push}))
	}
	page, err := d.IgnoreRules(t.Context(), delivery.IgnoreRuleFilter{})
	d.must(err)
	if len(page.Items) != 1 || !page.Items[0].OfFile || !page.Items[0].ForGood {
		t.Fatalf("%+v", page.Items)
	}
	c := d.claimOne(d.accept(numbered(1)).Deliveries[0].Integration)
	d.complete(completion(c, answered, delivery.StateIgnored))
	one := d.read(c.DeliveryID)
	r, err := d.IgnoreRule(t.Context(), page.Items[0].ID)
	d.must(err)
	if one.Settlement.RuleID != r.ID || one.Settlement.Actor != delivery.ActorPolicy || r.Swallowed != 1 {
		t.Errorf("%+v %+v", one.Settlement, r)
	}
	var mistake *delivery.InputError
	if _, err := d.EndIgnoreRule(t.Context(), r.ID, "ann", "r"); !errors.As(err, &mistake) {
		t.Error(err)
	}
	push.OnFailure = delivery.StateDead
	d.must(d.SyncIntegrations(t.Context(), []delivery.Integration{push}))
	if n := d.due(); n != 1 || d.read(one.ID).State != delivery.StateDead {
		t.Errorf("%d reopened", n)
	}
}

// Whatever way a delivery becomes a dead letter, a rule swallows it: an integration that left the file, and what a batch's receiver rejects.
func TestEveryWayInAsksTheRules(t *testing.T) {
	d := open(t)
	d.rule("class:"+delivery.ClassNoIntegration, delivery.End{ForGood: true})
	id := d.accept(numbered(1)).Deliveries[0].ID
	d.must(d.SyncIntegrations(t.Context(), []delivery.Integration{integration("sms")}))
	if one := d.read(id); one.State != delivery.StateIgnored || one.Settlement.RuleID == "" {
		t.Errorf("an orphan is %s", one.State)
	}
	for n, search := range []string{"state:pending", "since:2h", "id:0192f0c1-0000-7000-8000-000000000000", "attempts:>3", "by:ann", "tag:x", "is:acknowledged", "integration:sms"} {
		f, err := delivery.ParseSearch(search, time.Now(), nil)
		d.must(err)
		_, err = d.AddIgnoreRule(t.Context(), delivery.IgnoreRuleRequest{Integration: "push", Filter: f, Reason: "r", Category: "other", Actor: "ann"})
		var mistake *delivery.InputError
		if !errors.As(err, &mistake) || mistake.Code != "invalid_condition" {
			t.Error(fmt.Sprint(n, search), err)
		}
	}
}

// A rule is there for whoever sees its integration, and made and ended by whoever may.
func TestRulesAreSeenWhereTheirIntegrationIs(t *testing.T) {
	d := open(t)
	r := d.rule("", delivery.End{ForGood: true})
	other := d.scopedToken(delivery.Grants{{Role: delivery.RoleOperator, Integrations: []string{"sms"}}})
	viewer := d.scopedToken(delivery.Grants{{Role: delivery.RoleViewer, Integrations: []string{"push"}}})
	onCall := d.scopedToken(delivery.Grants{{Role: delivery.RoleOnCall, Permissions: []delivery.Permission{delivery.PermitIgnoreRules}, Integrations: []string{"push"}}})
	page, err := d.IgnoreRules(other, delivery.IgnoreRuleFilter{})
	d.must(err)
	_, one := d.IgnoreRule(other, r.ID)
	_, days := d.IgnoreRuleDays(other, r.ID)
	request := delivery.IgnoreRuleRequest{Integration: "push", Reason: "r", Category: "other", Actor: "ann", End: delivery.End{Count: 1}}
	_, seen := d.PreviewIgnoreRule(other, request)
	_, made := d.AddIgnoreRule(other, request)
	_, ended := d.EndIgnoreRule(other, r.ID, "ann", "")
	for what, err := range map[string]error{"shown": one, "its days": days, "previewed": seen, "made": made, "ended": ended} {
		if err == nil {
			t.Errorf("a rule of another integration is %s", what)
		}
	}
	if len(page.Items) != 0 {
		t.Errorf("%d are listed", len(page.Items))
	}
	if _, err := d.PreviewIgnoreRule(viewer, request); err != nil {
		t.Error(err)
	}
	var right *delivery.RightError
	if _, err := d.AddIgnoreRule(viewer, request); !errors.As(err, &right) {
		t.Error(err)
	}
	if _, err := d.AddIgnoreRule(onCall, request); err != nil {
		t.Error(err)
	}
	request.End = delivery.End{ForGood: true}
	if _, err := d.AddIgnoreRule(onCall, request); !errors.As(err, &right) {
		t.Error(err)
	}
}
