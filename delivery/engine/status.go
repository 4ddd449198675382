package engine

import (
	"cmp"
	"time"

	"redrive/delivery"
)

// inARow is how many attempts must end as with a destination that refuses everything before it is taken for one.
const inARow = 3

// destinationStatus are what attempts tell of a destination. Its bulkhead's lock guards them.
type destinationStatus struct {
	seen, worked time.Time // the latest attempt, the latest that was confirmed
	since        time.Time // of the first of those that went badly in a row
	bad          int       // in a row
	sure         bool      // one of them tells of the destination, not of its message
	why          string    // the latest of them
}

func (v *destinationStatus) learn(now time.Time, r delivery.Result) {
	v.seen = now
	if r.Outcome == delivery.OutcomeOK {
		v.worked = now
	}
	trouble := r.Trouble()
	if trouble == delivery.TroubleNone {
		v.bad, v.sure = 0, false
		return
	}
	if v.bad++; v.bad == 1 {
		v.since = now
	}
	v.sure = v.sure || trouble == delivery.TroubleSure
	v.why = cmp.Or(r.Error, r.ErrorClass)
}

// Conditions are how the destinations stand, by the attempts of this process.
func (e *Engine) Conditions() (list []delivery.Condition) {
	now := time.Now()
	for _, l := range e.order {
		if l.integration.Destination.Kind() != "" {
			list = append(list, l.condition(now))
		}
	}
	return list
}

func (l *bulkhead) condition(now time.Time) delivery.Condition {
	l.mu.Lock()
	defer l.mu.Unlock()
	v := l.status
	c := delivery.Condition{
		Integration: l.integration.Name,
		Part:        delivery.PartDestination,
		SeenAt:      v.seen,
		LastSuccess: v.worked,
	}
	switch state := l.breaker.position(now); {
	case v.seen.IsZero():
	case state != delivery.BreakerClosed:
		c.State, c.Certain, c.Since, c.SeenAt = delivery.ConditionFails, true, v.since, now
		c.Reason = delivery.Say("destination.breaker", "state", delivery.Say("breaker."+string(state)), "why", delivery.Verbatim(v.why))
	case v.sure || v.bad >= inARow:
		c.State, c.Certain, c.Since, c.Reason = delivery.ConditionFails, v.bad >= inARow, v.since, delivery.Verbatim(v.why)
	default:
		c.State = delivery.ConditionWorks
	}
	return c
}
