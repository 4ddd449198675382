package storetest

import (
	"bytes"
	"fmt"
	"log/slog"
	"strings"
	"sync"
	"testing"
)

// tail is how many lines of a program's log a test that failed shows: what it missed must not be lost among them.
const tail = 30

// Tail returns the last lines of a log.
func Tail(log string) string {
	lines := strings.SplitAfter(strings.TrimSpace(log), "\n")
	return strings.Join(lines[max(len(lines)-tail, 0):], "")
}

// Log is for what a test runs in its own process: the last lines are shown where the test fails.
func Log(t testing.TB) *slog.Logger {
	var kept kept
	t.Cleanup(func() {
		if t.Failed() {
			fmt.Fprintln(t.Output(), kept.String())
		}
	})
	return slog.New(slog.NewTextHandler(&kept, nil))
}

// kept are the last lines of a log.
type kept struct {
	sync.Mutex
	lines [][]byte
}

// Write takes a line.
func (k *kept) Write(line []byte) (int, error) {
	k.Lock()
	defer k.Unlock()
	k.lines = append(k.lines[max(len(k.lines)+1-tail, 0):], bytes.Clone(line))
	return len(line), nil
}

func (k *kept) String() string {
	k.Lock()
	defer k.Unlock()
	return strings.TrimSpace(string(bytes.Join(k.lines, nil)))
}
