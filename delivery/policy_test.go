package delivery

import (
	"testing"
	"time"
)

func TestWaitFollowsScheduleAndClampsRetryAfter(t *testing.T) {
	p := RetryPolicy{Attempts: 5, Jitter: JitterNone, Backoff: []time.Duration{time.Second, time.Minute}}
	for _, tc := range []struct {
		failed     int
		retryAfter time.Duration
		want       time.Duration
	}{
		{1, 0, time.Second}, {2, 0, time.Minute}, {9, 0, time.Minute}, {0, 0, 0},
		{1, time.Millisecond, MinRetryAfter}, {1, 10 * time.Second, 10 * time.Second}, {1, 48 * time.Hour, MaxRetryAfter},
	} {
		if got := p.Wait(tc.failed, tc.retryAfter); got != tc.want {
			t.Errorf("Wait(%d, %s) = %s, want %s", tc.failed, tc.retryAfter, got, tc.want)
		}
	}
}

func TestFullJitterCoversTheWholeRange(t *testing.T) {
	p := RetryPolicy{Jitter: JitterFull, Backoff: []time.Duration{time.Second}}
	low, high := time.Hour, time.Duration(0)
	for range 2000 {
		wait := p.Wait(1, 0)
		low, high = min(low, wait), max(high, wait)
	}
	if low < 0 || high > time.Second || low > 50*time.Millisecond || high < 950*time.Millisecond {
		t.Errorf("waits between %s and %s, want nearly 0 to 1s", low, high)
	}
}

func TestJudge(t *testing.T) {
	retry := RetryPolicy{Attempts: 3, Jitter: JitterNone, Backoff: []time.Duration{time.Second}}
	dead := Integration{Retry: retry, OnFailure: StateDead}
	ignore := Integration{Retry: retry, OnFailure: StateIgnored}
	safe := Integration{Retry: retry, OnFailure: StateDead, Idempotent: true}
	for _, tc := range []struct {
		name    string
		in      Integration
		outcome Outcome
		tries   int
		want    State
	}{
		{"confirmed", dead, OutcomeOK, 1, StateDelivered},
		{"first transient", dead, OutcomeTransient, 1, StatePending},
		{"last transient", dead, OutcomeTransient, 3, StateDead},
		{"last transient, policy ignores", ignore, OutcomeTransient, 3, StateIgnored},
		{"permanent", dead, OutcomePermanent, 1, StateDead},
		{"permanent, policy ignores", ignore, OutcomePermanent, 1, StateIgnored},
		{"unknown needs a person", dead, OutcomeUnknown, 1, StateDead},
		{"unknown is never ignored silently", ignore, OutcomeUnknown, 1, StateDead},
		{"unknown at an idempotent receiver", safe, OutcomeUnknown, 1, StatePending},
		{"unknown, attempts spent", safe, OutcomeUnknown, 3, StateDead},
	} {
		if got := tc.in.Judge(Result{Outcome: tc.outcome}, tc.tries); got.Next != tc.want {
			t.Errorf("%s: %s, want %s", tc.name, got.Next, tc.want)
		}
	}
}
