package engine

import (
	"fmt"
	"sync"
	"time"

	"redrive/delivery"
)

// bulkhead is what one integration has for itself: slots, buffer, share of memory, breaker, retry budget. Nothing of it is
// shared, so that one bad destination cannot slow another.
type bulkhead struct {
	integration delivery.Integration
	sender      delivery.Sender
	workers     workerPool
	lease       time.Duration
	timeout     time.Duration
	margin      time.Duration // a deadline ends this long after the timeout; see attempt
	share       int64         // payload bytes

	mu        sync.Mutex
	buf       buffer
	breaker   breaker
	status    destinationStatus
	budget    retryBudget
	busy      int
	abandoned int
	bytes     int64
	paused    bool
	stopped   bool
}

// claimedDelivery is one claimed delivery until its outcome is written or it is given back.
type claimedDelivery struct {
	delivery.Claimed
	bulkhead *bulkhead
	size     int64
	// guarded by inFlightSet.mu
	leaseEnd time.Time // by the local clock, counted from before the claim: earlier than the database's
	beatAt   time.Time
	lost     bool
	written  bool   // handed to the flusher
	solo     bool   // a suspect; set once
	cancel   func() // while in flight
}

// releaseSet is a set of deliveries to be released.
type releaseSet struct {
	items []*claimedDelivery
	wait  time.Duration
}

const (
	maxAbandoned   = 4 // per slot: more deaf senders than this and the integration takes no more
	budgetPostpone = time.Second
)

func newBulkhead(cfg Config, i delivery.Integration) (*bulkhead, error) {
	sender := cfg.Senders[i.Name]
	if sender == nil {
		return nil, fmt.Errorf("engine: integration %q has no sender", i.Name)
	}
	i.Concurrency = max(i.Concurrency, 1)
	l := &bulkhead{integration: i, sender: sender, lease: cfg.Lease(i), timeout: cfg.Timeout(i),
		paused: true, // until the first look-up: what a person paused is not sent to by a start
		share:  cfg.MaxInFlightBytes / int64(len(cfg.Integrations)), buf: newBuffer(i.Concurrency, i.Repeatable()),
		breaker: newBreaker(cfg.Breaker), budget: newRetryBudget(cfg.Budget)}
	if l.timeout <= 0 || l.lease <= l.timeout {
		return nil, fmt.Errorf("engine: integration %q: the lease %s is not longer than an attempt %s",
			i.Name, l.lease, l.timeout)
	}
	l.margin = min(time.Second, (l.lease-l.timeout)/4)
	return l, nil
}

// quota is what the bulkhead can take now; Limit 0 is nothing.
func (l *bulkhead) quota(now time.Time) delivery.Quota {
	l.mu.Lock()
	defer l.mu.Unlock()
	// a payload that is larger than the share goes alone
	return delivery.Quota{
		Integration: l.integration.Name,
		Lease:       l.lease,
		Limit:       l.room(now),
		Bytes:       l.share - l.bytes,
		AnyFirst:    l.bytes == 0,
	}
}

func (l *bulkhead) room(now time.Time) int {
	if l.paused || l.stopped || l.abandoned >= maxAbandoned*l.slots() || l.bytes >= l.share {
		return 0
	}
	switch l.breaker.position(now) {
	case delivery.BreakerOpen:
		return 0
	case delivery.BreakerHalfOpen:
		if l.breaker.probing || len(l.buf.items) > 0 {
			return 0
		}
		return 1
	}
	return l.buf.room(l.integration.Concurrency - l.busy)
}

// admit takes claimed deliveries into the buffer and answers those that came too late, and how many workers to start.
func (l *bulkhead) admit(now time.Time, q delivery.Quota, items []*claimedDelivery) (back []*claimedDelivery, start int) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.buf.filled(now, q.Limit, len(items))
	if l.stopped {
		return items, 0
	}
	for _, it := range items {
		l.bytes += it.size
		l.buf.push(it)
	}
	if l.bytes > l.share/2 { // it may be that the next did not fit
		l.buf.more = true
	}
	start = max(0, min(l.integration.Concurrency-l.busy, len(l.buf.items)))
	l.busy += start
	return nil, start
}

// next returns the delivery that a worker sends now, nil when the worker is to end. What may not be sent now comes back.
func (l *bulkhead) next(now time.Time) (it *claimedDelivery, back []releaseSet) {
	l.mu.Lock()
	defer l.mu.Unlock()
	dear := releaseSet{wait: jittered(budgetPostpone)} // together: each by itself would be a transaction
	defer func() { back = append(back, dear) }()
	for len(l.buf.items) > 0 {
		if l.paused || l.stopped {
			back = append(back, l.drain(0))
			break
		}
		wait, ok := l.breaker.allow(now)
		if !ok {
			back = append(back, l.drain(wait))
			break
		}
		it = l.buf.pop()
		if l.affordable(now, it) {
			return it, back
		}
		dear.items = append(dear.items, it)
	}
	l.busy--
	return nil, back
}

// slots is how many attempts may run at once: the queue's, and those of a pool.
func (l *bulkhead) slots() int {
	if pool := l.integration.Pool; pool != nil {
		return l.integration.Concurrency + pool.Workers
	}
	return l.integration.Concurrency
}

// admits reports whether an attempt outside of the queue may start, and else after how long to ask again. Every attempt that it
// admits must be learnt from.
func (l *bulkhead) admits(now time.Time, poll time.Duration) (wait time.Duration, ok bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.paused || l.stopped || l.abandoned >= maxAbandoned*l.slots() {
		return poll, false
	}
	return l.breaker.allow(now)
}

// affordable asks the retry budget. A lost lease is no retry: whether anything was sent is not known, and the receiver
// is not to blame. A probe goes whatever the budget says.
func (l *bulkhead) affordable(now time.Time, it *claimedDelivery) bool {
	return it.Attempt <= 1 || it.LostLease || l.breaker.probing || l.budget.take(now)
}

func (l *bulkhead) drain(wait time.Duration) releaseSet {
	return releaseSet{items: l.buf.drain(), wait: wait}
}

// wantsMore reports whether the claim loop should look again because of this bulkhead.
func (l *bulkhead) wantsMore() bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.buf.more && len(l.buf.items) <= l.buf.limit/2
}

// learn takes the outcome of an attempt into account; paid says that the retry budget was asked for it.
func (l *bulkhead) learn(now time.Time, paid bool, r delivery.Result) (breakerChanged bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if r.Outcome == delivery.OutcomeOK {
		l.budget.confirmed(paid)
	}
	l.breaker.record(now, r)
	l.status.learn(now, r)
	return l.breaker.changed
}

// unsent takes back what allow gave for an attempt that did not happen.
func (l *bulkhead) unsent() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.breaker.probing = false
}

// forget gives the memory of an item back.
func (l *bulkhead) forget(it *claimedDelivery) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.bytes -= it.size
}

func (l *bulkhead) abandon(n int) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.abandoned += n
}

// trim gives up what a slow receiver hoards.
func (l *bulkhead) trim() []*claimedDelivery {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.buf.trim()
}

func (l *bulkhead) setPaused(paused bool) (back []releaseSet) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.paused = paused
	if paused && len(l.buf.items) > 0 {
		back = append(back, l.drain(0))
	}
	return back
}

func (l *bulkhead) stop() []releaseSet {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.stopped = true
	return []releaseSet{l.drain(0)}
}
