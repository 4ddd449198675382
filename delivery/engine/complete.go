package engine

import (
	"context"
	"sync"
	"time"

	"redrive/delivery"
)

const (
	maxBatch       = 1000
	maxBacklog     = 2 * maxBatch // unwritten outcomes at which claims stop
	firstWriteWait = 50 * time.Millisecond
	lastWriteWait  = 5 * time.Second
	writeTimeout   = 30 * time.Second
)

type finished struct {
	item       *claimedDelivery
	completion delivery.Completion
}

// flusher collects outcomes and hand-backs while one batch is being written.
type flusher struct {
	mu     sync.Mutex
	done   []finished
	back   []releaseSet
	closed bool
	notify chan struct{}
}

func (f *flusher) full() bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	return len(f.done) >= maxBacklog
}

func (f *flusher) close() {
	f.mu.Lock()
	f.closed = true
	f.mu.Unlock()
	signal(f.notify)
}

// take returns the next batches; done says that nothing is left and nothing will come.
func (f *flusher) take(limit int) (outcomes []finished, back []releaseSet, done bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	n := min(limit, len(f.done))
	outcomes, f.done = f.done[:n:n], f.done[n:]
	if len(f.done) == 0 {
		f.done = nil
	}
	back, f.back = f.back, nil
	return outcomes, back, f.closed && n == 0 && len(back) == 0
}

// again puts back what could not be written; behind the others, so that one bad outcome does not block them.
func (f *flusher) again(outcomes []finished, back []releaseSet) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.done = append(f.done, outcomes...)
	f.back = append(f.back, back...)
}

// finish hands an outcome to the flusher.
func (e *Engine) finish(it *claimedDelivery, c delivery.Completion) {
	it.Message = delivery.Message{} // the payload is not needed any more
	e.held.handedOver(it)
	e.out.mu.Lock()
	e.out.done = append(e.out.done, finished{item: it, completion: c})
	e.out.mu.Unlock()
	signal(e.out.notify)
}

// giveBack hands deliveries that were not attempted to the flusher.
func (e *Engine) giveBack(back []releaseSet) {
	some := false
	for _, b := range back {
		if len(b.items) == 0 {
			continue
		}
		some = true
		e.held.handedOver(b.items...)
		e.out.mu.Lock()
		e.out.back = append(e.out.back, b)
		e.out.mu.Unlock()
	}
	if some {
		signal(e.out.notify)
	}
}

// drop forgets an item: it was written, given back or lost.
func (e *Engine) drop(it *claimedDelivery) {
	if !e.held.remove(it) {
		return
	}
	it.bulkhead.forget(it)
	if it.solo {
		e.solo.Store(false)
	}
}

// flushLoop writes until everything is written after close, or ctx ends. It returns how much is left unwritten.
func (e *Engine) flushLoop(ctx context.Context) (left int) {
	limit, wait := maxBatch, firstWriteWait
	for {
		outcomes, back, done := e.out.take(limit)
		if done {
			return 0
		}
		if len(outcomes) == 0 && len(back) == 0 {
			select {
			case <-e.out.notify:
			case <-ctx.Done():
				return 0
			}
			continue
		}
		if e.write(ctx, outcomes, back) {
			limit, wait = min(limit*2, maxBatch), firstWriteWait
			continue
		}
		if !delivery.Pause(ctx, wait) {
			return e.out.size()
		}
		limit, wait = max(limit/2, 1), min(wait*2, lastWriteWait)
	}
}

func (f *flusher) size() (n int) {
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, b := range f.back {
		n += len(b.items)
	}
	return n + len(f.done)
}

// write writes one batch and puts back what failed. After an error nobody knows what was committed; writing the same
// again is safe, because the store matches the token.
func (e *Engine) write(ctx context.Context, outcomes []finished, back []releaseSet) bool {
	if err := e.complete(ctx, outcomes); err != nil {
		e.log.ErrorContext(ctx, "writing outcomes failed, will be tried again", "outcomes", len(outcomes), "error", err)
		e.out.again(outcomes, back)
		return false
	}
	for i, b := range back {
		if err := e.release(ctx, b); err != nil {
			e.log.ErrorContext(ctx, "giving back failed, will be tried again", "deliveries", len(b.items), "error", err)
			e.out.again(nil, back[i:])
			return false
		}
	}
	return true
}

func (e *Engine) complete(ctx context.Context, outcomes []finished) error {
	if len(outcomes) == 0 {
		return nil
	}
	completions := make([]delivery.Completion, len(outcomes))
	for i, o := range outcomes {
		completions[i] = o.completion
	}
	query, cancel := context.WithTimeout(ctx, writeTimeout)
	defer cancel()
	late, err := e.cfg.Store.Complete(query, completions)
	if err != nil {
		return err
	}
	for _, o := range outcomes {
		e.drop(o.item)
	}
	if late > 0 {
		e.cfg.Observer.Late(late)
		e.log.WarnContext(ctx, "outcomes arrived after their lease was lost and changed nothing", "count", late)
	}
	return nil
}

func (e *Engine) release(ctx context.Context, b releaseSet) error {
	leases := make([]delivery.Lease, len(b.items))
	for i, it := range b.items {
		leases[i] = it.Lease
	}
	query, cancel := context.WithTimeout(ctx, writeTimeout)
	defer cancel()
	if err := e.cfg.Store.Release(query, leases, b.wait); err != nil {
		return err
	}
	for _, it := range b.items {
		e.drop(it)
	}
	return nil
}
