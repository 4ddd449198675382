package doctor

import (
	"bytes"
	"context"
	"log/slog"
	"strings"
	"testing"

	"redrive/delivery"
	"redrive/delivery/wire"
	"redrive/store"
	"redrive/store/storetest"
)

// What a table has lost is said before the next start notes it, and after.
func TestTablesThatHaveLostChanges(t *testing.T) {
	dsn := storetest.New(t)
	db, err := store.Open(t.Context(), dsn, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	rules := []delivery.CDCRule{{Schema: "public", Table: "swapped"}, {Schema: "public", Table: "stopped"}, {Schema: "redrive", Table: "operators"}}
	in := delivery.Integration{Name: "in", Method: delivery.MethodCDC, CDC: &delivery.CDCSource{Rules: rules}}
	p := delivery.CapturePosition{SystemIdentifier: "1/x", Slot: "s", LSN: 0x20, Verified: 0x10,
		Tables: map[string]delivery.CapturedTable{"public.swapped": {OID: 1}, "public.stopped": {OID: 2}}}
	if err := db.Lead(t.Context(), "cdc/in", func(ctx context.Context, l *store.Leader) error { return l.ResetCapture(ctx, "in", p) }, nil); err != nil {
		t.Fatal(err)
	}
	p.Gaps = []delivery.CaptureGap{{Table: "public.stopped", From: 0x11, Stopped: 0x12, Why: delivery.Verbatim("it was filtered")}}
	if err := db.SaveTables(t.Context(), "in", p); err != nil {
		t.Fatal(err)
	}
	var out bytes.Buffer
	r := Report{Out: &out, Dial: wire.Dialer{}.DialContext}
	r.Tables(t.Context(), db, in, dsn)
	for _, want := range []string{"bad   in: changes of public.swapped: it was dropped; changes after 0/10 may be missing: redrive cdc resnapshot in --table public.swapped",
		"bad   in: changes of public.stopped: public.stopped is stopped: it was filtered. Changes from 0/11 to now may be missing", "ok    in: changes of redrive.operators\n"} {
		if !r.Failed || !strings.Contains(out.String(), want) {
			t.Errorf("said %q, want %s", &out, want)
		}
	}
}
