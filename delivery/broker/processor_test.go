package broker

import (
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"
)

// processorTime is what the processes of a benchmark have taken of the processors since they began. It is read from /proc; without
// that, all of it is zero.
type processorTime struct{ self, postgres, kafka time.Duration }

const processorTick = 10 * time.Millisecond // of /proc/*/stat

// processorNow asks about this process, and about the servers that were started with it.
func processorNow() (now processorTime) {
	parents, names, took := map[int]int{}, map[int]string{}, map[int]time.Duration{}
	files, _ := filepath.Glob("/proc/[0-9]*/stat")
	for _, file := range files {
		raw, _ := os.ReadFile(file) // one that has ended meanwhile is none of ours
		before, after, found := strings.Cut(string(raw), ") ")
		number, name, _ := strings.Cut(before, " (")
		if pid, err := strconv.Atoi(number); found && err == nil {
			names[pid] = name
			fields := strings.Fields(after)
			parents[pid], _ = strconv.Atoi(fields[1])
			for _, field := range fields[11:15] { // utime, stime, and those of its children that have ended
				ticks, _ := strconv.Atoi(field)
				took[pid] += time.Duration(ticks) * processorTick
			}
		}
	}
	starter := os.Getpid()
	for starter > 1 && names[starter] != "test-starter" {
		starter = parents[starter]
	}
	started := func(pid int) bool {
		for pid > 1 && pid != starter {
			pid = parents[pid]
		}
		return starter > 1 && pid == starter
	}
	now.self = took[os.Getpid()]
	for pid, name := range names {
		switch {
		case name == "postgres" && started(pid):
			now.postgres += took[pid]
		case name == "java" && started(pid):
			now.kafka += took[pid]
		}
	}
	return now
}

// plus adds what was taken between two moments.
func (p processorTime) plus(from, to processorTime) processorTime {
	return processorTime{p.self + to.self - from.self, p.postgres + to.postgres - from.postgres, p.kafka + to.kafka - from.kafka}
}
