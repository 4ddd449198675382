package delivery

import (
	"cmp"
	"slices"
	"time"
)

// Urgency says how much an integration needs a person, the greatest first.
type Urgency int

// How much an integration needs a person.
const (
	UrgencyNone    Urgency = iota // all is well: nothing is open, and what is due goes out
	UrgencyWatched                // somebody has it in hand: it is paused, or all its dead letters are acknowledged
	UrgencySlow                   // due work waits, more fails than gets through, or the breaker probes
	UrgencyOpen                   // dead letters that nobody looks after
	UrgencyDown                   // a part does not work, its source needs a person, or the breaker is open
)

// Urgency is how much the integration needs a person now.
func (h IntegrationHealth) Urgency(now time.Time) Urgency {
	switch {
	case len(Degraded(h.Parts)) > 0 || h.Alarm || h.Breaker == BreakerOpen && h.PausedAt == nil:
		return UrgencyDown
	case h.Dead > h.Acknowledged:
		return UrgencyOpen
	case h.PausedAt == nil && (h.Breaker == BreakerHalfOpen || h.MostlyFails() || h.IsLate(now)):
		return UrgencySlow
	case h.PausedAt != nil || h.Acknowledged > 0:
		return UrgencyWatched
	}
	return UrgencyNone
}

// lateAfter is how long due work waits before somebody is told.
const lateAfter = time.Minute

// IsLate reports whether due work has waited for more than a minute.
func (h IntegrationHealth) IsLate(now time.Time) bool {
	return h.OldestPending != nil && now.Sub(*h.OldestPending) > lateAfter
}

// MostlyFails reports whether more failed than got through in the current hour.
func (h IntegrationHealth) MostlyFails() bool {
	if len(h.Hours) == 0 {
		return false
	}
	hour := h.Hours[len(h.Hours)-1]
	return hour.Failed > hour.Delivered
}

// WorstFirst sorts integrations by their urgency, then by their dead letters that nobody looks after, then by name.
func WorstFirst(list []IntegrationHealth, now time.Time) {
	slices.SortStableFunc(list, func(a, b IntegrationHealth) int {
		return cmp.Or(cmp.Compare(b.Urgency(now), a.Urgency(now)),
			cmp.Compare(b.Dead-b.Acknowledged, a.Dead-a.Acknowledged), cmp.Compare(a.Name, b.Name))
	})
}
