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
