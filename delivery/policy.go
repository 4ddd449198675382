package delivery

import (
	"math/rand/v2"
	"time"
)

// RetryPolicy says how often and when a failed attempt is tried again.
type RetryPolicy struct {
	Attempts int             // in one round, the first included; at least 1
	Backoff  []time.Duration // the wait after the n-th failure; the last entry repeats
	Jitter   Jitter
}

// Jitter spreads retries so that receivers that recover are not met by a herd.
type Jitter string

// Kinds of jitter.
const (
	JitterFull Jitter = "full" // uniform between nothing and the back-off
	JitterNone Jitter = "none"
)

// Bounds of a receiver's Retry-After wish.
const (
	MinRetryAfter = time.Second
	MaxRetryAfter = 24 * time.Hour
)

// MaxCrashes is how many workers may vanish with a delivery before it is quarantined.
const MaxCrashes = 3

// DefaultRetry is used where an integration names no policy.
var DefaultRetry = RetryPolicy{Attempts: 8, Jitter: JitterFull, Backoff: []time.Duration{5 * time.Second, 5 * time.Minute,
	30 * time.Minute, 2 * time.Hour, 5 * time.Hour, 10 * time.Hour, 10 * time.Hour}}

// Wait is the pause after the given number of failed tries (from 1). A receiver's Retry-After wins, clamped.
func (p RetryPolicy) Wait(failed int, retryAfter time.Duration) time.Duration {
	if retryAfter > 0 {
		return min(max(retryAfter, MinRetryAfter), MaxRetryAfter)
	}
	if len(p.Backoff) == 0 || failed < 1 {
		return 0
	}
	wait := p.Backoff[min(failed, len(p.Backoff))-1]
	if p.Jitter == JitterNone || wait <= 0 {
		return wait
	}
	return rand.N(wait + 1) // spreading load needs no secrecy
}

// Verdict is what follows from an attempt.
type Verdict struct {
	Next    State         // delivered, pending, dead or ignored
	RetryIn time.Duration // pending only
}

// Judge decides what follows from result, the tries-th attempt (from 1) of the current round on integration i.
func (i Integration) Judge(result Result, tries int) Verdict {
	switch result.Outcome {
	case OutcomeOK:
		return Verdict{Next: StateDelivered}
	case OutcomePermanent:
		return Verdict{Next: i.failed()}
	case OutcomeUnknown:
		if !i.Repeatable() {
			return Verdict{Next: StateDead} // a person must look: never an automatic second effect, never a silent ignore
		}
	}
	if tries >= i.Retry.Attempts {
		return Verdict{Next: i.failed()}
	}
	return Verdict{Next: StatePending, RetryIn: i.Retry.Wait(tries, result.RetryAfter)}
}

func (i Integration) failed() State {
	if i.OnFailure == StateIgnored {
		return StateIgnored
	}
	return StateDead
}
