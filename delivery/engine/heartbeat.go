package engine

import (
	"context"
	"sync"
	"time"

	"redrive/delivery"
)

// inFlightSet is everything that this process holds a lease on, by token: buffered, in flight, or waiting to be written.
type inFlightSet struct {
	mu    sync.Mutex
	items map[int64]*claimedDelivery
}

func (h *inFlightSet) add(it *claimedDelivery) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.items[it.Token] = it
}

// start registers how to stop an attempt and answers how long its lease lasts by the local clock.
func (h *inFlightSet) start(it *claimedDelivery, cancel func()) (left time.Duration, lost bool) {
	h.mu.Lock()
	defer h.mu.Unlock()
	it.cancel = cancel
	return time.Until(it.leaseEnd), it.lost
}

// handedOver notes that the flusher has the item.
func (h *inFlightSet) handedOver(items ...*claimedDelivery) {
	h.mu.Lock()
	defer h.mu.Unlock()
	for _, it := range items {
		it.written, it.cancel = true, nil
	}
}

func (h *inFlightSet) remove(it *claimedDelivery) bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	_, known := h.items[it.Token]
	delete(h.items, it.Token)
	return known
}

// stale answers, by bulkhead, what was not prolonged for a third of its lease.
func (h *inFlightSet) stale(now time.Time) map[*bulkhead][]*claimedDelivery {
	h.mu.Lock()
	defer h.mu.Unlock()
	var found map[*bulkhead][]*claimedDelivery
	for _, it := range h.items {
		if !it.lost && now.Sub(it.beatAt) >= it.bulkhead.lease/3 {
			if found == nil {
				found = map[*bulkhead][]*claimedDelivery{}
			}
			found[it.bulkhead] = append(found[it.bulkhead], it)
		}
	}
	return found
}

// prolonged notes the answer of the store: until applies to all but the lost. It returns the lost that were not being
// written; those just settled are no loss.
func (h *inFlightSet) prolonged(items []*claimedDelivery, lost []delivery.Lease, before time.Time) (gone []*claimedDelivery) {
	h.mu.Lock()
	defer h.mu.Unlock()
	for _, it := range items {
		it.beatAt, it.leaseEnd = before, before.Add(it.bulkhead.lease)
	}
	for _, l := range lost {
		it := h.items[l.Token]
		if it == nil || it.written {
			continue
		}
		it.lost = true
		if it.cancel != nil {
			it.cancel()
		}
		gone = append(gone, it)
	}
	return gone
}

// heartbeats prolongs leases until ctx ends.
func (e *Engine) heartbeats(ctx context.Context) {
	ticker := time.NewTicker(e.beat())
	defer ticker.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-ticker.C:
		}
		for l, items := range e.held.stale(time.Now()) {
			e.giveBack([]releaseSet{{items: l.trim()}})
			e.beatLane(ctx, l, items)
		}
	}
}

// beat looks twice as often as leases are prolonged, so that none is older than half of its length.
func (e *Engine) beat() time.Duration {
	shortest := time.Minute
	for _, l := range e.order {
		shortest = min(shortest, l.lease)
	}
	return max(shortest/6, time.Millisecond)
}

func (e *Engine) beatLane(ctx context.Context, l *bulkhead, items []*claimedDelivery) {
	for len(items) > 0 {
		n := min(len(items), maxBatch)
		if err := e.extend(ctx, l, items[:n]); err != nil && ctx.Err() == nil {
			e.log.WarnContext(ctx, "heartbeat failed", "integration", l.integration.Name, "leases", n, "error", err)
			return
		}
		items = items[n:]
	}
}

// extend prolongs leases of one bulkhead. Attempts whose lease is lost are stopped; their outcome will be late.
func (e *Engine) extend(ctx context.Context, l *bulkhead, items []*claimedDelivery) error {
	leases := make([]delivery.Lease, len(items))
	for i, it := range items {
		leases[i] = it.Lease
	}
	query, cancel := context.WithTimeout(ctx, max(l.lease/6, 50*time.Millisecond))
	defer cancel()
	before := time.Now()
	lost, err := e.cfg.Store.Extend(query, leases, l.lease)
	if err != nil {
		return err
	}
	if gone := e.held.prolonged(items, lost, before); len(gone) > 0 {
		e.log.WarnContext(ctx, "leases were lost to another worker", "integration", l.integration.Name, "count", len(gone))
	}
	return nil
}
