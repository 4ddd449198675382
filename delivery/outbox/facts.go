package outbox

import (
	"context"
	"sync"
	"time"

	"redrive/delivery"
)

// Facts are an outbox integration's figures; for any other integration, and while the database is away, there are none.
func (r *Relay) Facts(integration string) []delivery.Fact {
	for _, l := range r.lag.get() {
		if l.Integration == integration {
			return []delivery.Fact{r.status(l), rows(l), {Name: "lag_seconds", Value: int64(l.Age / time.Second)}}
		}
	}
	return nil
}

// stall is for how long events may wait without a move of the relay.
const stall = 10 * time.Second

// Conditions are how the relay stands for each outbox integration; nothing while the database is away.
func (r *Relay) Conditions() (list []delivery.Condition) {
	for _, l := range r.lag.get() {
		list = append(list, r.condition(l, time.Now()))
	}
	return list
}

func (r *Relay) condition(l delivery.OutboxLag, now time.Time) delivery.Condition {
	c := delivery.Condition{Integration: l.Integration, Part: delivery.PartRelay, State: delivery.ConditionFails}
	still, trouble := r.state.still(l, now)
	switch {
	case !l.Refused.IsZero():
		c.Certain, c.Reason = true, l.Refused
	case !trouble.IsZero():
		c.Reason = delivery.Say("relay.fails", "why", trouble)
	case !l.Led:
		c.Reason = delivery.Say("relay.not_led")
	case still > stall && l.Age > stall:
		c.Certain, c.Since, c.Reason = true, now.Add(-still), delivery.Say("relay.stalls")
	default:
		c.State, c.LastSuccess = delivery.ConditionWorks, now
	}
	return c
}

// status says who relays: 1 unless nobody does.
func (r *Relay) status(l delivery.OutboxLag) delivery.Fact {
	f := delivery.Fact{Name: "relay", Value: 1, Says: delivery.Say("relay.here")}
	switch {
	case !l.Refused.IsZero():
		f.Value, f.Says, f.Alarm = 0, delivery.Say("relay.refused", "why", l.Refused), true
	case r.state.leading():
	case l.Led:
		f.Says = delivery.Say("relay.elsewhere")
	default:
		f.Value, f.Says = 0, delivery.Say("relay.nobody")
	}
	return f
}

func rows(l delivery.OutboxLag) delivery.Fact {
	f := delivery.Fact{Name: "lag_rows", Value: int64(l.Rows)}
	if l.Capped {
		f.Says = delivery.Say("more_than", "count", l.Rows)
	}
	return f
}

// lagCacher asks the database once for all integrations, and not for each page that is shown.
type lagCacher struct {
	read   func(ctx context.Context) ([]delivery.OutboxLag, error)
	mu     sync.Mutex
	readAt time.Time
	list   []delivery.OutboxLag
}

func (c *lagCacher) get() []delivery.OutboxLag {
	c.mu.Lock()
	defer c.mu.Unlock()
	if time.Since(c.readAt) < lagCache {
		return c.list
	}
	ctx, cancel := context.WithTimeout(context.Background(), lagTimeout)
	defer cancel()
	list, err := c.read(ctx)
	if err != nil {
		list = nil // a missing figure is honest, an old one is not
	}
	c.list, c.readAt = list, time.Now()
	return list
}
