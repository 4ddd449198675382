package patience

import (
	"testing"
	"time"
)

func TestASlowMachineMayTakeLonger(t *testing.T) {
	if got := Here(time.Second); got < time.Second {
		t.Errorf("less than elsewhere: %v", got)
	}
	began := time.Now()
	work()
	t.Logf("the work took %v", time.Since(began))
}

func TestUntilLooksAgain(t *testing.T) {
	looks := 0
	Until(t, "the third look", func() bool { looks++; return looks == 3 })
	if looks != 3 {
		t.Errorf("%d looks", looks)
	}
	ended := make(chan int)
	close(ended)
	if Receive(t, "the end", ended) != 0 {
		t.Error("a closed channel answers something")
	}
}

// Looking is a small part of what goes on, and comes late by a small part of the wait.
func TestLooksAreSeldomWhereTheyCost(t *testing.T) {
	for _, c := range []struct{ waited, look, want time.Duration }{
		{0, 0, every},
		{time.Second, time.Millisecond, 50 * time.Millisecond},
		{100 * time.Millisecond, 20 * time.Millisecond, 80 * time.Millisecond},
		{time.Minute, 0, seldom},
		{time.Second, time.Minute, seldom},
	} {
		if got := pause(c.waited, c.look); got != c.want {
			t.Errorf("%v after %v of waiting and a look of %v, want %v", got, c.waited, c.look, c.want)
		}
	}
}
