package broker

import (
	"context"
	"sync"
	"time"

	"redrive/delivery"
)

// status is what people may ask about a consumer.
type status struct {
	mu      sync.Mutex
	facts   delivery.SourceFacts
	session *consumerSession
}

func (n *status) start(prefetch int) {
	n.facts = delivery.SourceFacts{Status: delivery.SourceConnecting, Since: time.Now(), Prefetch: prefetch}
}

func (n *status) change(f func(*delivery.SourceFacts)) {
	n.mu.Lock()
	defer n.mu.Unlock()
	f(&n.facts)
}

// Facts looks at the consumer. With a living connection it asks the broker for what it still holds.
func (c *Consumer) Facts(ctx context.Context) delivery.SourceFacts {
	c.facts.mu.Lock()
	facts, at := c.facts.facts, c.facts.session
	c.facts.mu.Unlock()
	gaps := c.gaps.seen()
	facts.Gaps, facts.LastGap = gaps.Count, gaps.Last
	if c.traits.counted {
		facts.GapRecords = &gaps.Records
	}
	if at != nil {
		facts.InFlight = at.inFlight.size()
		at.session.facts(ctx, &facts)
	}
	return joining(facts)
}

// grouped is a session that gets its part of the source from a group.
type grouped interface {
	held() *delivery.SourcePartitions // nil: the group gives out no partitions
}

// joining says of a consumer which is connected and waits for its group that it does.
func joining(f delivery.SourceFacts) delivery.SourceFacts {
	if p := f.Partitions; f.Status == delivery.SourceConnected && p != nil && len(p.Numbers) == 0 && !p.Spare {
		f.Status, f.Since = delivery.SourceJoining, p.Since
	}
	return f
}

// Condition is how the source stands. Where nothing may be sent, it is not tried.
func (c *Consumer) Condition() delivery.Condition {
	c.facts.mu.Lock()
	f, at := c.facts.facts, c.facts.session
	c.facts.mu.Unlock()
	if at != nil {
		if member, ok := at.session.(grouped); ok {
			f.Partitions = member.held()
		}
	}
	f = joining(f)
	condition := delivery.Condition{Integration: c.in.Name, Part: delivery.PartSource}
	switch {
	case f.Status == delivery.SourceConnected && f.Why.IsZero():
		condition.State, condition.LastSuccess = delivery.ConditionWorks, time.Now()
	case f.Status == delivery.SourceWaiting, f.Status == delivery.SourceStopped:
	default:
		condition.State, condition.Since, condition.Reason = delivery.ConditionFails, f.Since, f.Why
		if f.Why.IsZero() && f.Status == delivery.SourceJoining {
			condition.Reason = delivery.Say("source.status.joining")
		} else if f.Why.IsZero() {
			condition.Reason = delivery.Say("source.not_yet")
		}
	}
	return condition
}

// status notes and logs what the consumer does; what did not change is not said again.
func (c *Consumer) status(s delivery.SourceStatus, why delivery.Phrase) {
	moved, changed := false, false
	c.facts.change(func(f *delivery.SourceFacts) {
		moved, changed = f.Status != s, f.Status != s || !f.Why.Equal(why)
		if moved {
			f.Since = time.Now()
		}
		f.Status, f.Why = s, why
	})
	switch {
	case moved && s == delivery.SourceReconnecting:
		c.log.Warn("the source is away", "status", s, "why", why.English())
	case changed:
		c.log.Info("source", "status", s, "why", why.English())
	}
}

// unmatched says once that redeliveries cannot be recognised.
func (c *Consumer) unmatched() {
	first := false
	c.facts.change(func(f *delivery.SourceFacts) { first, f.CannotMatch = !f.CannotMatch, true })
	if first && !c.traits.forgets {
		c.log.Warn("messages come without message_id: one that the broker brings again cannot be recognised and is " +
			"delivered again")
	}
}

// watch names the session whose hands and connection Facts looks at.
func (c *Consumer) watch(s *consumerSession) {
	c.facts.mu.Lock()
	defer c.facts.mu.Unlock()
	c.facts.session = s
}
