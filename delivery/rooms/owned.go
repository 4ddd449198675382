package rooms

import (
	"context"
	"log/slog"
	"time"

	"redrive/delivery"
)

// factsTimeout is how long a room may take, asking its broker for instance; a page does not wait longer for it.
const factsTimeout = time.Second

// Own is the room of a single integration.
type Own struct {
	Room
	Facts func(context.Context) []delivery.Fact // what the room says of itself, within a second
	// Condition is how its source or schedule stands, within a second; nil: nothing is said.
	Condition func(context.Context) delivery.Condition
	Close     func() error // after the room has ended; may be nil
}

// Owned are those of this process, by integration.
type Owned map[string]Own

// Rooms are all of them, in no order.
func (o Owned) Rooms() []Room {
	rooms := make([]Room, 0, len(o))
	for _, own := range o {
		rooms = append(rooms, own.Room)
	}
	return rooms
}

// Facts are the figures of an integration's own room, else of the first of others that knows the integration.
func (o Owned) Facts(others ...func(string) []delivery.Fact) func(string) []delivery.Fact {
	return func(integration string) []delivery.Fact {
		if own, ok := o[integration]; ok {
			ctx, cancel := context.WithTimeout(context.Background(), factsTimeout)
			defer cancel()
			return own.Facts(ctx)
		}
		for _, facts := range others {
			if list := facts(integration); list != nil {
				return list
			}
		}
		return nil
	}
}

// Conditions are those of the rooms that tell theirs.
func (o Owned) Conditions(ctx context.Context) (list []delivery.Condition) {
	for _, own := range o {
		if own.Condition == nil {
			continue
		}
		limited, cancel := context.WithTimeout(ctx, factsTimeout)
		list = append(list, own.Condition(limited))
		cancel()
	}
	return list
}

// Close lets go of what the rooms used; what fails goes to log.
func (o Owned) Close(log *slog.Logger) {
	for name, own := range o {
		if own.Close == nil {
			continue
		}
		if err := own.Close(); err != nil {
			log.Warn("closing a source", "integration", name, "error", err)
		}
	}
}

// VeiledFacts tell what rooms tell, without the values of the file's references.
func VeiledFacts(v *delivery.Veil, facts func(string) []delivery.Fact) func(string) []delivery.Fact {
	return func(integration string) []delivery.Fact { return v.Facts(facts(integration)) }
}

// VeiledConditions are conditions without the values of the file's references.
func VeiledConditions(
	v *delivery.Veil,
	ask func(context.Context) []delivery.Condition,
) func(context.Context) []delivery.Condition {
	return func(ctx context.Context) []delivery.Condition { return v.Conditions(ask(ctx)) }
}
