package handlers

import (
	"context"
	"slices"
	"strings"
	"testing"

	"redrive/delivery"
	"redrive/handlers/api"
	"redrive/handlers/web"
	"redrive/store"
)

// What is missing of a table is shown to people and programs, also by a process that does not read, and one request reads it again.
func TestWhatIsMissingOfATableIsShownAndReadAgain(t *testing.T) {
	source := delivery.CDCSource{Slot: "catalogue", Rules: []delivery.CDCRule{{Schema: "public", Table: "orders"}, {Schema: "public", Table: "items"}}}
	all := append(testIntegrations(), delivery.Integration{Name: "catalogue", Method: delivery.MethodCDC, CDC: &source})
	s := newSite(t, func(c *web.Config) { c.Integrations = all })
	s.must(s.store.SyncIntegrations(t.Context(), all))
	tables := map[string]delivery.CapturedTable{"public.orders": {OID: 7}, "public.items": {OID: 8}}
	p := delivery.CapturePosition{SystemIdentifier: "1/shop", Slot: "catalogue", LSN: 0x20, Tables: tables, Verified: 0x10}
	s.must(s.store.Lead(t.Context(), "cdc/catalogue", func(ctx context.Context, l *store.Leader) error { return l.ResetCapture(ctx, "catalogue", p) }, nil))
	p.Gaps = []delivery.CaptureGap{{Table: "public.orders", From: 0x10, Stopped: 0x20, Why: delivery.Say(delivery.GapNameTaken)},
		{Table: "public.former", From: 0x10, Stopped: 0x20, Why: delivery.Verbatim("no rule names it any more")}}
	s.must(s.store.SaveTables(t.Context(), "catalogue", p))

	const path = "/api/v1/integrations/catalogue/resnapshot"
	items := read[api.List[api.IntegrationJSON]](s, s.get("/api/v1/integrations"), 200).Items
	n := slices.IndexFunc(items, func(in api.IntegrationJSON) bool { return in.Name == "catalogue" })
	if in := items[n]; in.Status != "degraded" || len(in.TableGaps) != 1 || in.TableGaps[0].Table != "public.orders" || in.TableGaps[0].From != "0/10" || in.TableGaps[0].To != nil || in.TableGaps[0].Requested {
		t.Errorf("%+v", in)
	}
	b := s.signedIn("alice", delivery.RoleOperator)
	b.shows(b.open("/integrations/catalogue"), 200, "public.orders is stopped", "another table has taken its name. Changes from 0/10 to now", "Read public.orders again", "its source needs a person", "!former")
	b.shows(b.submit("/integrations/catalogue/resnapshot", "table", "public.orders", "reason", ""), 422, "Say why", `aria-describedby="table-catalogue-0-error"`)
	b.shows(b.submit("/integrations/catalogue/resnapshot", "table", "public.nothing", "reason", "x"), 422, "it reads public.items, public.orders")
	s.wants("a table that is not read", s.post(path, `{"reason":"x","table":"public.nothing"}`), 422, "unknown_table")
	s.wants("no cdc", s.post("/api/v1/integrations/push/resnapshot", `{"reason":"x","table":"public.orders"}`), 422, "not_captured")
	b.shows(b.goes(b.submit("/integrations/catalogue/resnapshot", "table", "public.orders", "reason", "it was swapped"), "/integrations/catalogue"), 200, "public.orders is read again within seconds", "Asked for: it begins")
	got := read[api.IntegrationJSON](s, s.post(path, `{"reason":"again","table":"public.orders"}`), 200)
	if !got.TableGaps[0].Requested {
		t.Errorf("%+v", got.TableGaps)
	}
	audit := read[api.List[api.AuditJSON]](s, s.get("/api/v1/audit?subject=catalogue"), 200).Items
	if len(audit) != 1 || audit[0].Action != "integration.resnapshot" || audit[0].Reason != "it was swapped" || !strings.Contains(string(audit[0].Details), "public.orders") {
		t.Errorf("audit %+v", audit)
	}
	viewer := s.signedIn("bob", delivery.RoleViewer)
	viewer.shows(viewer.open("/integrations/catalogue"), 200, "public.orders is stopped", "!Read public.orders again")
	viewer.shows(viewer.submit("/integrations/catalogue/resnapshot", "table", "public.items", "reason", "x"), 403)
}
