package engine

import (
	"context"
	"fmt"
	"runtime/debug"
	"time"

	"redrive/delivery"
)

// work sends from the bulkhead's buffer until it is empty.
func (e *Engine) work(l *bulkhead) {
	for {
		it, back := l.next(time.Now())
		e.giveBack(back)
		if l.wantsMore() {
			signal(e.room)
		}
		if it == nil {
			return
		}
		e.attempt(it)
	}
}

// attempt sends one delivery and hands its outcome to the flusher. The whole attempt ends before the lease does: timeout,
// then a margin in which the sender's own verdict is awaited, then a margin for one that does not listen.
func (e *Engine) attempt(it *claimedDelivery) {
	l := it.bulkhead
	ctx, cancel := context.WithTimeout(e.sendCtx, l.timeout+l.margin)
	defer cancel()
	if !e.secure(it, cancel) {
		l.unsent()
		return
	}
	request := delivery.Request{DeliveryID: it.DeliveryID, IdempotencyKey: it.IdempotencyKey(), Integration: it.Integration,
		Attempt: it.Attempt, Message: it.Message}
	tried := e.send(ctx, l, request, time.Now(), it.Attempt > 1 && !it.LostLease)
	verdict := l.integration.Judge(tried.Result, it.Attempt-it.RoundStart)
	e.finish(it, e.completion(it, tried.StartedAt, tried.Duration, tried.Result, verdict.Next, verdict.RetryIn))
}

// Try makes one attempt outside of the queue, for rooms whose first attempts run inline. It is bounded, guarded, counted and
// learnt from like any other. Without ok nothing was sent, because the integration is paused or its breaker is open: ask again
// after wait.
func (e *Engine) Try(ctx context.Context, r delivery.Request) (tried delivery.Tried, wait time.Duration, ok bool) {
	l := e.bulkheads[r.Integration]
	if l == nil {
		return delivery.Tried{StartedAt: time.Now(), Result: delivery.Result{Outcome: delivery.OutcomePermanent,
			ErrorClass: delivery.ClassNoIntegration, Error: delivery.ErrorNoIntegration}}, 0, true
	}
	now := time.Now()
	if wait, ok = l.admits(now, e.cfg.StatePoll); !ok {
		return tried, wait, false
	}
	ctx, cancel := context.WithDeadline(ctx, now.Add(l.timeout+l.margin))
	defer cancel()
	return e.send(ctx, l, r, now, false), 0, true
}

// send makes one attempt and lets metrics, breaker and retry budget know.
func (e *Engine) send(ctx context.Context, l *bulkhead, r delivery.Request, started time.Time, paid bool) delivery.Tried {
	tried := delivery.Tried{StartedAt: started}
	tried.Result = e.cfg.Veil.Result(e.deadlined(ctx, l, r)).Storable()
	ended := time.Now()
	tried.Duration = ended.Sub(started)
	if r.Tells(tried.Result) {
		tried.Exchange = tried.Exchange.To(l.integration.Destination)
	}
	if tried.Outcome != delivery.OutcomeOK || e.masks && (len(tried.Response) > 0 || tried.Exchange != nil) {
		tried.Result = tried.Conceal(r.Message.Payload, e.cfg.Masks.For(r.Message, r.Integration))
	}
	e.cfg.Observer.Attempt(l.integration.Name, l.integration.Method, tried.Outcome, tried.Duration)
	if l.learn(ended, paid, tried.Result) {
		signal(e.refresh)
	}
	return tried
}

// secure makes sure that the lease outlasts an attempt, and registers how to stop it. An item whose lease is lost is
// dropped, one whose lease cannot be prolonged is given back: nothing was sent.
func (e *Engine) secure(it *claimedDelivery, cancel context.CancelFunc) bool {
	need := it.bulkhead.timeout + 3*it.bulkhead.margin
	left, lost := e.held.start(it, cancel)
	if !lost && left < need {
		if err := e.extend(e.sendCtx, it.bulkhead, []*claimedDelivery{it}); err != nil {
			e.log.Warn("prolonging a lease failed", "integration", it.Integration, "delivery", it.DeliveryID, "error", err)
		}
		left, lost = e.held.start(it, cancel)
	}
	switch {
	case lost:
		e.drop(it)
		return false
	case left < need:
		e.giveBack([]releaseSet{{items: []*claimedDelivery{it}}})
		return false
	}
	return true
}

// deadlined calls the sender in another goroutine, so that one that ignores its context does not hold the slot for ever.
func (e *Engine) deadlined(ctx context.Context, l *bulkhead, r delivery.Request) delivery.Result {
	w := l.workers.take(func(w *worker) { e.sends(l, w) })
	w.ctx, w.request = ctx, r
	w.begin <- struct{}{}
	select {
	case result := <-w.answer:
		l.workers.put(w)
		return result
	case <-ctx.Done():
	}
	deaf := time.NewTimer(l.margin)
	defer deaf.Stop()
	select {
	case result := <-w.answer:
		l.workers.put(w)
		return result
	case <-deaf.C:
	}
	l.abandon(1)              // until it answers
	if w.settled.Swap(true) { // just now
		l.abandon(-1)
		result := <-w.answer
		l.workers.put(w)
		return result
	}
	e.log.Error("a sender ignores its deadline", "integration", r.Integration, "delivery", r.DeliveryID)
	return delivery.Result{Outcome: delivery.OutcomeUnknown, ErrorClass: delivery.ClassTimeout,
		Error: delivery.ErrorNoOutcome}
}

// sends makes attempts until it is ended, or nobody waits for one any more.
func (e *Engine) sends(l *bulkhead, w *worker) {
	for range w.begin {
		result := e.guarded(w.ctx, l.sender, w.request)
		if w.settled.Swap(true) {
			l.abandon(-1)
			return
		}
		w.answer <- result
	}
}

// guarded turns a panic into a permanent failure: the same message would panic again.
func (e *Engine) guarded(ctx context.Context, s delivery.Sender, r delivery.Request) (result delivery.Result) {
	defer func() {
		if p := recover(); p != nil {
			e.log.Error("a sender panicked", "integration", r.Integration, "delivery", r.DeliveryID, "panic", fmt.Sprint(p),
				"stack", string(debug.Stack()))
			result = delivery.Result{Outcome: delivery.OutcomePermanent, ErrorClass: delivery.ClassPanic,
				Error: delivery.ErrorSenderPanicked}
		}
	}()
	return s.Send(ctx, r)
}

// completion is what the store is told.
func (e *Engine) completion(it *claimedDelivery, started time.Time, took time.Duration, r delivery.Result, next delivery.State,
	retryIn time.Duration,
) delivery.Completion {
	c := it.Completed(r, next, started, took)
	c.RetryIn = retryIn
	return c
}
