package engine

import (
	"context"
	"time"

	"redrive/delivery"
)

const (
	claimTimeout = 15 * time.Second
	shortPause   = 4 * time.Millisecond // after a claim that brought something; doubled up to Poll by each that brings nothing
	longestPause = 5 * time.Second      // while the database is away
)

// claimLoop takes work until ctx ends. One query serves all integrations.
func (e *Engine) claimLoop(ctx context.Context) {
	failures, pause := 0, e.cfg.Poll
	for ctx.Err() == nil {
		found, err := e.claim(ctx)
		switch {
		case err != nil:
			failures++
			pause = min(e.cfg.Poll<<min(failures, 10), longestPause)
			e.log.ErrorContext(ctx, "claiming failed", "error", err, "retry_in", pause)
		case found > 0:
			failures, pause = 0, shortPause
		default:
			failures, pause = 0, min(pause*2, e.cfg.Poll)
		}
		if err == nil && found > 0 && e.wantsMore() {
			continue
		}
		e.rest(ctx, pause, err == nil)
	}
}

func (e *Engine) wantsMore() bool {
	for _, l := range e.order {
		if l.wantsMore() {
			return true
		}
	}
	return false
}

// rest waits for the pause, a wake-up or room in a buffer. While the database is away only time counts.
func (e *Engine) rest(ctx context.Context, pause time.Duration, wakeable bool) {
	timer := time.NewTimer(pause)
	defer timer.Stop()
	wake, room := e.wake, e.room
	if !wakeable {
		wake, room = nil, nil
	}
	select {
	case <-ctx.Done():
	case <-timer.C:
	case <-wake:
	case <-room:
	}
}

// claim asks the store once and hands out what it got. The query outlives ctx: an interrupted one may have committed
// leases that nobody would know of.
func (e *Engine) claim(ctx context.Context) (int, error) {
	quotas := e.quotas()
	if len(quotas) == 0 {
		return 0, nil
	}
	query, cancel := context.WithTimeout(context.WithoutCancel(ctx), claimTimeout)
	defer cancel()
	before := time.Now()
	claimed, err := e.cfg.Store.Claim(query, e.cfg.Worker, quotas)
	if err != nil {
		return 0, err
	}
	byLane := map[*bulkhead][]*claimedDelivery{}
	expired := 0
	var suspects []*claimedDelivery
	for _, c := range claimed {
		if c.LostLease {
			expired++
		}
		switch it := e.take(c, before); {
		case it == nil:
		case e.apart(it):
			it.size = int64(len(c.Message.Payload))
			byLane[it.bulkhead] = append(byLane[it.bulkhead], it)
		default:
			suspects = append(suspects, it)
		}
	}
	e.giveBack([]releaseSet{{items: suspects, wait: jittered(e.untilNextSuspect())}})
	if expired > 0 {
		e.cfg.Observer.LeaseExpired(expired)
		e.log.WarnContext(ctx, "leases had run out, their deliveries were taken over", "count", expired)
	}
	for _, q := range quotas {
		e.admit(e.bulkheads[q.Integration], q, byLane[e.bulkheads[q.Integration]])
	}
	return len(claimed), nil
}

func (e *Engine) quotas() []delivery.Quota {
	if e.out.full() {
		return nil
	}
	now := time.Now()
	quotas := make([]delivery.Quota, 0, len(e.order))
	for _, l := range e.order {
		if q := l.quota(now); q.Limit > 0 {
			quotas = append(quotas, q)
		}
	}
	return quotas
}

// take registers a claimed delivery. One that is not to be sent is settled or given back here, before any buffer: given
// back later, it would have lost the mark that says why.
func (e *Engine) take(c delivery.Claimed, before time.Time) *claimedDelivery {
	l := e.bulkheads[c.Integration]
	if l == nil {
		return nil // the store answered what was not asked for; the lease runs out
	}
	it := &claimedDelivery{Claimed: c, bulkhead: l, leaseEnd: before.Add(l.lease), beatAt: before}
	e.held.add(it)
	if result, next, unsendable := l.unsendable(c); unsendable {
		done := it.Completed(result, next, time.Now(), 0)
		if done.NotAttempted = true; c.LostLease && result.ErrorClass != delivery.ClassExpired {
			done.Vanished, done.Attempt = true, c.Attempt-1
		}
		e.finish(it, done)
		return nil
	}
	return it
}

// apart reports whether a delivery may be sent now. One whose next crash quarantines it may not share the process with other suspects:
// one of them is to blame.
func (e *Engine) apart(it *claimedDelivery) bool {
	if it.Crashes < delivery.MaxCrashes-1 {
		return true
	}
	if it.solo = !e.solo.Swap(true); it.solo {
		e.suspected = time.Now()
	}
	return it.solo
}

// untilNextSuspect is how long the other suspects wait: hundreds of them pass soon when each is quick, and the claims are few while one
// is slow.
func (e *Engine) untilNextSuspect() time.Duration {
	return min(max(time.Since(e.suspected), shortPause), e.cfg.Poll)
}

// unsendable says what becomes of a delivery that must not be sent.
func (l *bulkhead) unsendable(c delivery.Claimed) (delivery.Result, delivery.State, bool) {
	switch {
	case c.Crashes >= delivery.MaxCrashes:
		return delivery.Result{Outcome: delivery.OutcomePermanent, ErrorClass: delivery.ClassPoison,
			Error: delivery.ErrorPoison}, delivery.StateDead, true
	case c.LostLease && !l.integration.Repeatable():
		return delivery.Result{Outcome: delivery.OutcomeUnknown, ErrorClass: delivery.ClassLeaseLost,
			Error: delivery.ErrorVanished}, delivery.StateDead, true
	case c.Expired:
		result := delivery.Result{Outcome: delivery.OutcomePermanent, ErrorClass: delivery.ClassExpired,
			Error: delivery.ErrorExpired}
		return result, l.integration.Judge(result, c.Attempt-c.RoundStart).Next, true
	}
	return delivery.Result{}, "", false
}

// admit fills the bulkhead's buffer and starts workers.
func (e *Engine) admit(l *bulkhead, q delivery.Quota, items []*claimedDelivery) {
	back, start := l.admit(time.Now(), q, items)
	if len(back) > 0 {
		e.giveBack([]releaseSet{{items: back}})
	}
	for range start {
		e.workers.Go(func() { e.work(l) })
	}
}
