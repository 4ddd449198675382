package outbox

import (
	"context"
	"fmt"
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

// status says who relays: 1 unless nobody does.
func (r *Relay) status(l delivery.OutboxLag) delivery.Fact {
	f := delivery.Fact{Name: "relay", Value: 1, Text: "leads here"}
	switch {
	case l.Refused != "":
		f.Value, f.Text = 0, "refused: "+l.Refused
	case r.state.leading():
	case l.Led:
		f.Text = "another process leads"
	default:
		f.Value, f.Text = 0, "nobody leads"
	}
	return f
}

func rows(l delivery.OutboxLag) delivery.Fact {
	f := delivery.Fact{Name: "lag_rows", Value: int64(l.Rows)}
	if l.Capped {
		f.Text = fmt.Sprintf("more than %d", l.Rows)
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
