package child_test

import (
	"bufio"
	"os/exec"
	"strconv"
	"strings"
	"syscall"
	"testing"

	"redrive/store/storetest/child"
	"redrive/store/storetest/patience"
)

// A program and its own child end with the test that started them, however it ends.
func TestNothingOutlivesItsTest(t *testing.T) {
	var pids []int
	t.Run("a test that forgets", func(t *testing.T) {
		p, out := child.Talk(t, exec.Command("sh", "-c", "sleep 600 & echo $!; wait"))
		line, err := bufio.NewReader(out).ReadString('\n')
		if err != nil {
			t.Fatal(err)
		}
		grandchild, err := strconv.Atoi(strings.TrimSpace(line))
		if err != nil {
			t.Fatal(err)
		}
		pids = append(pids, p.PID(), grandchild)
	})
	for _, pid := range pids {
		patience.Until(t, "the end of "+strconv.Itoa(pid), func() bool { return syscall.Kill(pid, 0) != nil })
	}
}

func TestTheEndIsTold(t *testing.T) {
	p := child.Run(t, exec.Command("sh", "-c", "exit 7"))
	patience.Receive(t, "the end", p.Ended())
	if err := p.Wait(); err == nil || err.Error() != "exit status 7" {
		t.Errorf("it ended with %v", err)
	}
	p.Kill()
	if _, err := child.Start(exec.Command("/nonexistent")); err == nil {
		t.Error("a program that is not there was started")
	}
}
