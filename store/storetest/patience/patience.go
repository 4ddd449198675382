// Package patience says how long tests wait for what must happen. Nothing depends on who is faster: a machine a third as fast, under
// load, is still in time, and a wait that is in vain ends before go test ends the package, so that the test says what it missed.
package patience

import (
	"errors"
	"runtime"
	"testing"
	"time"
)

// Limit bounds each wait of a test. It is no measure of anything: a test that has to be fast says so itself.
const Limit = 6 * time.Minute

// lastWords is what a test that waited in vain has left to say so and to end what it started.
const lastWords = time.Minute

// Left is how long a wait that begins now may take: Limit, or less where go test ends the package before that.
func Left(t testing.TB) time.Duration {
	end, ok := time.Time{}, false
	if limited, is := t.(interface{ Deadline() (time.Time, bool) }); is {
		end, ok = limited.Deadline()
	}
	if !ok {
		return Limit
	}
	return max(min(Limit, time.Until(end)-lastWords), 0)
}

// Prompt is when that has ended which ends by itself within a second or two, also on a slow machine, and that has not which somebody
// else has to give up.
const Prompt = 40 * time.Second

const (
	every  = 10 * time.Millisecond  // between looks, in the beginning
	seldom = 200 * time.Millisecond // and at most
)

// Until repeats a look until it shows what is wanted. The first look comes at once; the test fails when Limit is over.
func Until(t testing.TB, what string, done func() bool) {
	t.Helper()
	Eventually(t, what, func() error {
		if done() {
			return nil
		}
		return errNotYet
	})
}

var errNotYet = errors.New("not yet")

// Eventually is Until for a look that says what is missing.
func Eventually(t testing.TB, what string, try func() error) {
	t.Helper()
	for began, limit := time.Now(), Left(t); ; {
		looked := time.Now()
		err := try()
		if err == nil {
			return
		}
		if time.Since(began) > limit {
			t.Fatalf("not within %v: %s: %v", limit.Round(time.Second), what, err)
		}
		time.Sleep(pause(time.Since(began), time.Since(looked)))
	}
}

// pause is how long after a look the next one comes. Who looks at a page or into a database takes the processor from what he waits for:
// the longer that has taken, and the longer a look takes, the less often he looks.
func pause(waited, look time.Duration) time.Duration {
	return min(max(every, waited/20, 4*look), seldom)
}

// Receive returns the next value of a channel, and the zero value of one that is closed.
func Receive[T any](t testing.TB, what string, from <-chan T) (v T) {
	t.Helper()
	limit := Left(t)
	timer := time.NewTimer(limit)
	defer timer.Stop()
	select {
	case v = <-from:
	case <-timer.C:
		t.Fatalf("not within %v: %s", limit.Round(time.Second), what)
	}
	return v
}

// usual is how long a usual machine takes for the work of Here.
const usual = 60 * time.Millisecond

// Here is how long here and now may take what takes d on a usual machine at rest.
func Here(d time.Duration) time.Duration {
	began := time.Now()
	work()
	return max(d, time.Duration(float64(d)*float64(time.Since(began))/float64(usual)))
}

func work() {
	x := uint64(88172645463325252)
	for range 20_000_000 { // each step needs the one before: nothing but the clock of the processor counts
		x ^= x << 13
		x ^= x >> 7
		x ^= x << 17
	}
	runtime.KeepAlive(x) // so that nobody leaves the work out
}
