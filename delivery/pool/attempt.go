package pool

import (
	"context"
	"fmt"
	"runtime/debug"
	"time"

	"redrive/delivery"
)

// verdict is what follows for a task.
type verdict struct {
	next delivery.State
	wait time.Duration // pending only
	hold bool          // pending only: the wait may be spent in memory
}

// attempt tries a task once and decides what follows.
func (l *bulkhead) attempt(t *task) verdict {
	number := len(t.attempts) + 1
	if t.message.ExpiresAt != nil && !time.Now().Before(*t.message.ExpiresAt) {
		return l.failed(t, delivery.Tried{StartedAt: time.Now(), Result: delivery.Result{Outcome: delivery.OutcomePermanent,
			ErrorClass: delivery.ClassExpired, Error: delivery.ErrorExpired}})
	}
	request := delivery.Request{
		DeliveryID:     t.id,
		IdempotencyKey: t.message.IdempotencyKey,
		Integration:    l.in.Name,
		Attempt:        number,
		Message:        t.message,
	}
	if request.IdempotencyKey == "" {
		request.IdempotencyKey = t.id
	}
	tried, wait, ok := l.pool.try(request)
	switch {
	case !ok: // paused, or the breaker is open: no attempt is spent
		return verdict{next: delivery.StatePending, wait: max(wait, 0)}
	case tried.Outcome == delivery.OutcomeOK:
		return verdict{next: delivery.StateDelivered}
	}
	return l.failed(t, tried)
}

func (l *bulkhead) failed(t *task, tried delivery.Tried) verdict {
	tried.Result = tried.Conceal(t.message.Payload, l.pool.cfg.Masks.For(t.message, l.in.Name)) // an AttemptFunc hides nothing
	t.attempts = append(t.attempts, tried.Attempt(len(t.attempts)+1))
	judged := l.in.Judge(tried.Result, len(t.attempts))
	if judged.Next != delivery.StatePending {
		// the class only: the sentence may repeat what the receiver answered
		l.pool.log.Warn("a delivery failed for good", "integration", l.in.Name, "delivery", t.id, "message", t.message.ID,
			"attempts", len(t.attempts), "outcome", tried.Outcome, "error_class", tried.ErrorClass,
			"http_status", tried.HTTPStatus, "now", judged.Next)
	}
	return verdict{next: judged.Next, wait: judged.RetryIn, hold: judged.RetryIn <= l.pool.cfg.MaxHold}
}

// try asks the attempter, which may be anybody's: a panic or nonsense becomes an outcome that can be stored.
func (p *Pool) try(r delivery.Request) (tried delivery.Tried, wait time.Duration, ok bool) {
	started := time.Now()
	defer func() {
		if v := recover(); v != nil {
			p.log.Error("an attempt panicked", "integration", r.Integration, "delivery", r.DeliveryID,
				"panic", fmt.Sprint(v), "stack", string(debug.Stack()))
			tried = delivery.Tried{
				StartedAt: started,
				Duration:  time.Since(started),
				Result: delivery.Result{Outcome: delivery.OutcomePermanent,
					ErrorClass: delivery.ClassPanic, Error: delivery.ErrorAttemptPanicked},
			}
			wait, ok = 0, true
		}
	}()
	tried, wait, ok = p.cfg.Attempts.Try(p.attempts, r)
	tried.Result = tried.Storable()
	if tried.StartedAt.IsZero() {
		tried.StartedAt, tried.Duration = started, time.Since(started)
	}
	return tried, wait, ok
}

// AttemptFunc makes an Attempter of a function that sends and says what happened.
type AttemptFunc func(ctx context.Context, r delivery.Request) delivery.Result

// Try calls f.
func (f AttemptFunc) Try(ctx context.Context, r delivery.Request) (tried delivery.Tried, wait time.Duration, ok bool) {
	tried.StartedAt = time.Now()
	tried.Result = f(ctx, r)
	tried.Duration = time.Since(tried.StartedAt)
	return tried, 0, true
}

var _ Attempter = AttemptFunc(nil)
