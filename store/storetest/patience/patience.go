// Package patience says how long tests wait for what must happen. Nothing depends on who is faster: a machine a third as fast, under
// load, is still in time, and a wait that is in vain ends before go test ends the package, so that the test says what it missed.
package patience

import (
	"testing"
	"time"
)

// Limit bounds each wait of a test. It is no measure of anything: a test that has to be fast says so itself.
const Limit = 4 * time.Minute

const every = 10 * time.Millisecond

// Until repeats a look until it shows what is wanted. The first look comes at once; the test fails when Limit is over.
func Until(t testing.TB, what string, done func() bool) {
	t.Helper()
	ticker := time.NewTicker(every)
	defer ticker.Stop()
	for deadline := time.Now().Add(Limit); !done(); <-ticker.C {
		if time.Now().After(deadline) {
			t.Fatalf("not within %v: %s", Limit, what)
		}
	}
}

// Receive answers the next value of a channel, and the zero value of one that is closed.
func Receive[T any](t testing.TB, what string, from <-chan T) (v T) {
	t.Helper()
	timer := time.NewTimer(Limit)
	defer timer.Stop()
	select {
	case v = <-from:
	case <-timer.C:
		t.Fatalf("not within %v: %s", Limit, what)
	}
	return v
}
