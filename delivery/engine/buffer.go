package engine

import "time"

// buffer holds claimed deliveries that wait for a slot. Its limit follows the receiver: a fast one gets batches of
// hundreds, a slow one does not hoard what other processes could send.
type buffer struct {
	items          []*claimedDelivery
	floor, ceiling int
	limit          int
	filledAt       time.Time // last claim that brought all that was asked for
	more           bool      // the last claim did: there is probably more
}

const (
	bufferCeiling = 1000
	bufferGrowth  = 16                     // ceiling as a multiple of the concurrency
	drainsFast    = 250 * time.Millisecond // asked again sooner: grow
	drainsSlowly  = time.Second            // later: shrink
)

// newBuffer makes a buffer for a number of slots. What a killed process held cannot be told from what it sent, so a
// receiver that does not drop duplicates gets none: nothing is claimed before it can be sent.
func newBuffer(slots int, repeatable bool) buffer {
	if !repeatable {
		return buffer{}
	}
	return buffer{floor: slots, ceiling: max(slots, min(slots*bufferGrowth, bufferCeiling)), limit: slots}
}

// room is how many to ask for; nothing before half of the buffer is free, so that claims come in batches.
func (b *buffer) room(idle int) int {
	if len(b.items) > b.limit/2 {
		return 0
	}
	return b.limit - len(b.items) + idle
}

// filled learns from a claim.
func (b *buffer) filled(now time.Time, asked, got int) {
	b.more = got >= asked
	if !b.more {
		return
	}
	switch gap := now.Sub(b.filledAt); {
	case b.filledAt.IsZero():
	case gap < drainsFast:
		b.limit = min(b.limit*2, b.ceiling)
	case gap > drainsSlowly:
		b.limit = max(b.limit/4, b.floor)
	}
	b.filledAt = now
}

func (b *buffer) push(it *claimedDelivery) { b.items = append(b.items, it) }

func (b *buffer) pop() *claimedDelivery {
	it := b.items[0]
	b.items[0] = nil
	b.items = b.items[1:]
	return it
}

// drain empties the buffer.
func (b *buffer) drain() []*claimedDelivery {
	items := b.items
	b.items = nil
	return items
}

// trim takes out what is beyond the floor and makes the buffer small: its content has waited too long.
func (b *buffer) trim() []*claimedDelivery {
	b.limit = b.floor
	if len(b.items) <= b.floor {
		return nil
	}
	excess := append([]*claimedDelivery(nil), b.items[b.floor:]...)
	b.items = append([]*claimedDelivery(nil), b.items[:b.floor]...)
	return excess
}
