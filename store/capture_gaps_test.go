package store_test

import (
	"errors"
	"testing"

	"redrive/delivery"
	"redrive/store"
)

// A gap is noted once, whoever finds it, stays until its table is read again, and follows it to another name.
func TestAGapIsKeptUntilItsTableIsReadAgain(t *testing.T) {
	d := openCapture(t)
	ctx := t.Context()
	p := start
	p.Tables = map[string]delivery.CapturedTable{"public.orders": {OID: 7, Key: []int{1}}, "public.items": {OID: 8}}
	p.Verified = 0x10
	gap := delivery.CaptureGap{Table: "public.orders", From: 0x10, Stopped: 0x1_0000_0020, Why: delivery.Verbatim("it was\x00 dropped")}
	d.must(d.capture(func(l *store.Leader) error { return l.ResetCapture(ctx, "catalogue", p) }))
	p.Gaps = []delivery.CaptureGap{gap}
	d.must(d.SaveTables(ctx, "catalogue", p))
	other := p
	other.Slot = "another"
	if err := d.SaveTables(ctx, "catalogue", other); err == nil {
		t.Error("what was begun anew meanwhile was overwritten")
	}
	p.LSN++
	p.Gaps = []delivery.CaptureGap{{Table: "public.orders", From: 0x99, Stopped: 0x99, Why: delivery.Say("gap.dropped")}, {Table: "public.items", From: 0x11, Stopped: 0x12, Why: delivery.Say("gap.dropped")}}
	d.must(d.capture(func(l *store.Leader) error {
		return l.Capture(ctx, "catalogue", func(func([]delivery.Captured) error) (delivery.CapturePosition, error) { return p, nil })
	}))
	gaps := func() []delivery.CaptureGap {
		all, err := d.CaptureGaps(ctx)
		d.must(err)
		return all["catalogue"]
	}
	if got := gaps(); len(got) != 2 || got[1].From != 0x10 || got[1].Stopped != gap.Stopped || got[1].To != nil || got[1].Asked ||
		!got[1].Why.Equal(delivery.Verbatim("it was\uFFFD dropped")) {
		t.Fatalf("%+v", got)
	}
	for range 2 {
		d.must(d.RequestTable(ctx, "catalogue", "public.orders", "kim", "it was swapped"))
	}
	if n := value[int](d, "SELECT count(*)::int FROM redrive.audit WHERE details->>'table' = 'public.orders' AND actor = 'kim'"); n != 1 || !gaps()[1].Asked {
		t.Errorf("%d audit entries, %+v", n, gaps())
	}
	var input *delivery.InputError
	if err := d.RequestTable(ctx, "catalogue", "public.none", "kim", "x"); !errors.As(err, &input) || input.Code != "unknown_table" {
		t.Error(err)
	}
	d.must(d.capture(func(l *store.Leader) error {
		return l.RefuseTable(ctx, "catalogue", "public.orders", delivery.Say("table.no_key"))
	}))
	if got := gaps()[1]; got.Asked || !got.Note.Equal(delivery.Say("table.no_key")) {
		t.Errorf("%+v", got)
	}
	d.must(d.capture(func(l *store.Leader) error {
		return l.RenameTable(ctx, "catalogue", "public.orders", "public.sales", p)
	}))
	d.must(d.RequestTable(ctx, "catalogue", "public.items", "kim", "x"))
	p.Snapshot = map[string]delivery.SnapshotProgress{"public.items": {}}
	d.must(d.capture(func(l *store.Leader) error { return l.BeginTable(ctx, "catalogue", "public.items", 0x77, p) }))
	position, err := d.CapturePosition(ctx, "catalogue")
	d.must(err)
	if _, begun := position.Snapshot["public.items"]; !begun || len(position.Resnapshot) != 0 || position.Tables["public.orders"].Key[0] != 1 || position.Verified != 0x10 {
		t.Errorf("%+v", position)
	}
	if got := gaps(); len(got) != 1 || got[0].Table != "public.sales" {
		t.Errorf("%+v", got)
	}
	d.must(d.capture(func(l *store.Leader) error { return l.ChangeSlot(ctx, "catalogue", "another") }))
	if len(gaps()) != 1 {
		t.Error("another slot closed a gap")
	}
	d.must(d.capture(func(l *store.Leader) error { return l.ResetCapture(ctx, "catalogue", start) }))
	if n := value[int](d, "SELECT count(*)::int FROM redrive.capture_gaps WHERE closed_at IS NOT NULL AND to_lsn IS NOT NULL"); n != 2 || len(gaps()) != 0 {
		t.Errorf("%d gaps are closed, open %+v", n, gaps())
	}
}
