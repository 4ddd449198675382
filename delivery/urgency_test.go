package delivery

import (
	"slices"
	"testing"
	"time"
)

func TestTheWorstIntegrationComesFirst(t *testing.T) {
	now := time.Date(2026, 3, 5, 12, 0, 0, 0, time.UTC)
	ago := func(d time.Duration) *time.Time { at := now.Add(-d); return &at }
	named := func(name string, change func(*IntegrationHealth)) IntegrationHealth {
		h := IntegrationHealth{}
		h.Name, h.Breaker = name, BreakerClosed
		change(&h)
		return h
	}
	want := []IntegrationHealth{
		named("part", func(h *IntegrationHealth) { h.Parts = []PartHealth{{Part: PartSource, Status: PartDegraded}} }),
		named("source", func(h *IntegrationHealth) { h.Alarm = true; h.PausedAt = ago(time.Hour) }),
		named("stopped", func(h *IntegrationHealth) { h.Breaker = BreakerOpen }),
		named("many", func(h *IntegrationHealth) { h.Dead = 9 }),
		named("few", func(h *IntegrationHealth) { h.Dead, h.Acknowledged = 12, 9 }),
		named("fails", func(h *IntegrationHealth) { h.Hours = []HourCount{{Delivered: 9}, {Delivered: 1, Failed: 2}} }),
		named("late", func(h *IntegrationHealth) { h.OldestPending = ago(61 * time.Second) }),
		named("probes", func(h *IntegrationHealth) { h.Breaker = BreakerHalfOpen }),
		named("held", func(h *IntegrationHealth) { h.PausedAt, h.OldestPending = ago(time.Hour), ago(time.Hour) }),
		named("in-hand", func(h *IntegrationHealth) { h.Dead, h.Acknowledged = 4, 4 }),
		named("a-quiet", func(h *IntegrationHealth) {
			h.OldestPending, h.Hours = ago(time.Second), []HourCount{{Failed: 3}, {Delivered: 1}}
		}),
		named("b-quiet", func(*IntegrationHealth) {}),
	}
	got := slices.Clone(want)
	slices.Reverse(got)
	WorstFirst(got, now)
	for i := range want {
		if got[i].Name != want[i].Name {
			t.Errorf("place %d: %s (%d), want %s (%d)", i, got[i].Name, got[i].Urgency(now), want[i].Name, want[i].Urgency(now))
		}
	}
}
