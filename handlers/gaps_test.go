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

// What a source of Kafka lost is on the page, in the API and in the metrics, with partition and offsets, and in the audit.
func TestWhatASourceLostIsShownAndCounted(t *testing.T) {
	from := &delivery.KafkaSource{KafkaServer: delivery.KafkaServer{Brokers: []string{"127.0.0.1:9"}}, Topic: "orders", Group: "g"}
	all := append(testIntegrations(), delivery.Integration{Name: "from-kafka", Method: delivery.MethodBroker, Broker: &delivery.BrokerSource{From: from}})
	s := newSite(t, func(c *web.Config) { c.Integrations = all })
	s.must(s.store.SyncIntegrations(t.Context(), all))
	partition, began, goes, records := int32(2), int64(10), int64(50), int64(40)
	lost := delivery.SourceGap{Partition: &partition, FromOffset: &began, ToOffset: &goes, Records: &records,
		What: delivery.Say("gap.deleted_unread", "partition", partition, "from", began, "to", goes, "records", records)}
	for _, g := range []delivery.SourceGap{lost, {Notice: true, What: delivery.Say("gap.topic_made_again", "topic", "orders")}} {
		noted, err := s.store.NoteGap(t.Context(), delivery.NotedGap{SourceGap: g, Integration: "from-kafka", Place: "orders"})
		if s.must(err); !noted {
			t.Error("known already")
		}
	}
	const says = "partition 2: reading had come to offset 10, the log begins at 50: at most 40 records were deleted unread"
	items := read[api.List[api.IntegrationJSON]](s, s.get("/api/v1/integrations"), 200).Items
	n := slices.IndexFunc(items, func(in api.IntegrationJSON) bool { return in.Name == "from-kafka" })
	g := items[n].Gaps
	if g == nil || g.Count != 1 || g.Records != 40 || g.Reason != says || len(g.Latest) != 2 || !g.Latest[0].Notice {
		t.Fatalf("%+v", g)
	}
	if l := g.Latest[1]; *l.Partition != 2 || *l.FromOffset != 10 || *l.ToOffset != 50 || *l.Records != 40 || l.Reason != says {
		t.Errorf("%+v", l)
	}
	b := s.signedIn("bob", delivery.RoleViewer)
	b.shows(b.open("/integrations/from-kafka"), 200, says)
	if got := s.sample(`redrive_source_gap_records_total{integration="from-kafka"}`); got != 40 {
		t.Errorf("%v records are counted", got)
	}
	audit := read[api.List[api.AuditJSON]](s, s.get("/api/v1/audit?subject=from-kafka"), 200).Items
	if len(audit) != 2 || audit[0].Action != "integration.source-change" || audit[1].Action != "integration.gap" {
		t.Errorf("audit %+v", audit)
	}
}
