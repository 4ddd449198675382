package delivery

import "time"

// Fact is one figure of an integration's method, such as busy 3 of 50: shown to people, in the API and as a metric.
type Fact struct {
	Name  string // snake_case and stable: dashboards use it
	Value int64
	Limit int64 // 0: none
	Total bool  // counted since the start, only ever grows
}

// UnavailableError says why a message was not taken, although nothing is wrong with it, and when to offer it again.
type UnavailableError struct {
	Code       string // pool_full, pool_stopping or pool_unrecorded
	Message    string
	RetryAfter time.Duration
}

func (e *UnavailableError) Error() string { return e.Message }
