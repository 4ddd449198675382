package broker

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"
)

// processorTime is what the processes of a benchmark have taken of the processors since they began. It is read from /proc; without
// that, all of it is zero.
type processorTime struct{ self, postgres, kafka time.Duration }

const processorTick = 10 * time.Millisecond // of /proc/*/stat

// processorNow asks about this process, and about the servers that were started with it.
func processorNow() (now processorTime) {
	parents, took, names := map[int]int{}, map[int]time.Duration{}, map[int]string{}
	files, _ := filepath.Glob("/proc/[0-9]*/stat")
	for _, file := range files {
		raw, _ := os.ReadFile(file)
		before, after, found := strings.Cut(string(raw), ") ")
		if !found {
			continue
		}
		var pid, parent, ticks int
		var skip string
		_, _ = fmt.Sscan(before, &pid)
		_, names[pid], _ = strings.Cut(before, "(")
		fields := strings.Fields(after)
		_, _ = fmt.Sscan(fields[1], &parent)
		for _, at := range []int{11, 12, 13, 14} { // utime, stime, and those of its children that have ended
			if _, err := fmt.Sscan(fields[at], &ticks); err != nil {
				skip = err.Error()
			}
			took[pid] += time.Duration(ticks) * processorTick
		}
		_ = skip
		parents[pid] = parent
	}
	top := os.Getpid()
	for parents[top] > 1 && names[top] != "test-starter" {
		top = parents[top]
	}
	for pid := range parents {
		under := pid
		for under > 1 && under != top && under != os.Getpid() {
			under = parents[under]
		}
		switch {
		case under == os.Getpid() && pid == under:
			now.self += took[pid]
		case under != top:
		case names[pid] == "postgres":
			now.postgres += took[pid]
		case names[pid] == "java":
			now.kafka += took[pid]
		}
	}
	return now
}

func (p processorTime) plus(from, to processorTime) processorTime {
	return processorTime{p.self + to.self - from.self, p.postgres + to.postgres - from.postgres, p.kafka + to.kafka - from.kafka}
}
