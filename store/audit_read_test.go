package store_test

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"redrive/delivery"
)

// reads are the entries that a filter finds, as action and subject, newest first, read in pages of two.
func (d desk) reads(ctx context.Context, f delivery.AuditFilter) (list []delivery.AuditEntry) {
	d.t.Helper()
	f.Limit = 2
	for {
		page, err := d.Audit(ctx, f)
		d.must(err)
		list = append(list, page.Items...)
		if f.After = page.Next; f.After == "" {
			return list
		}
	}
}

func actionsOf(list []delivery.AuditEntry) string {
	var names []string
	for _, e := range list {
		names = append(names, e.Action)
	}
	return strings.Join(names, " ")
}

// An operation stands once among decisions, by what it does; its items are read by its id; each entry says which key and type it was about.
func TestTheAuditReadsOperationsAsOneDecision(t *testing.T) {
	d := open(t)
	d.must(d.SyncIntegrations(t.Context(), []delivery.Integration{integration("push", "order.placed"), integration("sms", "order.sent")}))
	d.operator("ann")
	d.operator("bob")
	ann := struct{ ID string }{d.operatorID("ann")}
	alone := d.fails(delivery.Message{Integration: "push", Type: "order.placed", Key: "order-1", Payload: []byte(`1`)}, "no")
	for n := range 3 {
		d.fails(delivery.Message{Integration: "sms", Type: "order.sent", Key: fmt.Sprint("sms-", n), Payload: []byte(`1`)}, "no")
	}
	d.must(d.Record(t.Context(), delivery.AuditEntry{Actor: d.operatorID("bob"), Action: "session.sign-out", SubjectType: "operator", Subject: "bob"}))
	_, err := d.Act(t.Context(), delivery.ActionRequest{Action: delivery.ActionIgnore, ID: alone, Actor: ann.ID, Reason: "test", Category: "test-data"})
	d.must(err)
	o := d.start(delivery.OperationRequest{Action: delivery.ActionIgnore, Actor: ann.ID, Reason: "all of them", Category: "duplicate",
		Filter: &delivery.Filter{Integrations: []string{"sms"}}})
	d.actAll(o.ID)
	from, to := time.Now().Add(-time.Hour), time.Now().Add(time.Hour)
	ctx := t.Context()
	for name, c := range map[string]struct {
		f    delivery.AuditFilter
		want string
	}{
		"decisions":           {delivery.AuditFilter{Actor: ann.ID, Decisions: true}, "operation.start delivery.ignore"},
		"each":                {delivery.AuditFilter{Actor: ann.ID}, "delivery.ignore delivery.ignore delivery.ignore operation.start delivery.ignore"},
		"by deed":             {delivery.AuditFilter{Deed: "delivery.ignore", Decisions: true}, "operation.start delivery.ignore"},
		"by another deed":     {delivery.AuditFilter{Deed: "delivery.retry", Decisions: true}, ""},
		"by integration":      {delivery.AuditFilter{Integration: "sms", Decisions: true}, "operation.start"},
		"each of integration": {delivery.AuditFilter{Integration: "sms"}, "delivery.ignore delivery.ignore delivery.ignore operation.start"},
		"by category":         {delivery.AuditFilter{Category: "duplicate", Decisions: true}, "operation.start"},
		"by kind":             {delivery.AuditFilter{SubjectType: "delivery", Integration: "push", Decisions: true}, "delivery.ignore"},
		"failures of many":    {delivery.AuditFilter{SubjectType: "delivery", Decisions: true}, "operation.start delivery.ignore"},
		"in time":             {delivery.AuditFilter{Actor: ann.ID, Decisions: true, From: &from, To: &to}, "operation.start delivery.ignore"},
		"before":              {delivery.AuditFilter{Decisions: true, To: &from}, ""},
		"later":               {delivery.AuditFilter{Decisions: true, From: &to}, ""},
		"items":               {delivery.AuditFilter{Operation: o.ID}, "delivery.ignore delivery.ignore delivery.ignore"},
	} {
		if got := actionsOf(d.reads(ctx, c.f)); got != c.want {
			t.Errorf("%s: %q, want %q", name, got, c.want)
		}
	}
	start := d.reads(ctx, delivery.AuditFilter{Integration: "sms", Decisions: true})[0]
	item := d.reads(ctx, delivery.AuditFilter{Operation: o.ID})[0].About
	if start.About.Done != 3 || item != (delivery.AuditSubject{Key: "sms-2", Type: "order.sent", Integration: "sms"}) {
		t.Errorf("%+v, %+v", start.About, item)
	}
	actors, err := d.AuditActors(ctx)
	d.must(err)
	if !slices.Contains(actors, delivery.AuditActor{ID: ann.ID, Name: "ann"}) {
		t.Errorf("%v", actors)
	}
	pushOnly := sees(ctx, delivery.RoleAuditor, "push")
	if got := d.reads(pushOnly, delivery.AuditFilter{Decisions: true}); actionsOf(got) != "delivery.ignore" || got[0].About.Key != "order-1" {
		t.Errorf("of one integration: %+v", got)
	}
	if actors, err = d.AuditActors(pushOnly); err != nil || len(actors) > 0 {
		t.Errorf("who acted elsewhere: %v %v", actors, err)
	}
}

// The page's questions walk indexes, however many entries there are: what a filter leaves out is never read.
func TestTheAuditWalksIndexes(t *testing.T) {
	d := open(t)
	d.must(d.sql(`ALTER TABLE redrive.audit DISABLE TRIGGER USER`))
	d.must(d.sql(`INSERT INTO redrive.audit (seq, at, actor, action, subject_type, subject, details, prev_hash, hash)
		SELECT n, now() - interval '1 year' + n * interval '1 minute', 'ann', 'delivery.ignore', 'delivery', gen_random_uuid()::text,
			jsonb_build_object('actor_id', 'a', 'integration', 'push', 'category', 'test-data', 'operation', 'o'), '', '' FROM generate_series(1, 20000) n`))
	d.must(d.sql(`INSERT INTO redrive.audit (seq, at, actor, action, subject_type, subject, details, prev_hash, hash)
		SELECT 20000 + n, now() - interval '1 month' + n * interval '1 minute', 'bob', 'session.sign-in', 'operator', 'bob', '{"actor_id": "b"}', '', '' FROM generate_series(1, 20000) n`))
	d.must(d.sql(`ANALYZE redrive.audit`))
	d.endOthers()
	before := d.rowsRead()["audit"]
	year := time.Now().Add(-360 * 24 * time.Hour)
	for _, f := range []delivery.AuditFilter{{}, {Actor: "0190a0a0-0000-7000-8000-00000000aaaa"}, {Deed: "delivery.ignore"}, {Integration: "push"},
		{Category: "test-data"}, {SubjectType: "integration"}, {To: &year}, {Operation: "none"}} {
		f.Decisions = true
		_, err := d.Audit(t.Context(), f)
		d.must(err)
	}
	d.endOthers()
	if read := d.rowsRead()["audit"] - before; read < 50 || read > 1000 {
		t.Errorf("of 40,000 entries %d are read for 50", read)
	}
}
