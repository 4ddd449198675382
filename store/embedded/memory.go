package embedded

import (
	"fmt"
	"os"
	"strconv"
	"strings"
)

// Bounds of shared_buffers in MiB. What a server needs of it is taken as it comes to be used.
const (
	leastBuffers = 128
	mostBuffers  = 1024
)

// sharedBuffers is a quarter of the memory that there is, as Postgres recommends, within bounds: lists of millions of failures read
// each page of a table from here, or many times as slowly from the system's cache.
func sharedBuffers() string {
	memory := uint64(0)
	for _, limit := range []uint64{meminfo("/proc/meminfo"), limitOf("/sys/fs/cgroup/memory.max"), limitOf("/sys/fs/cgroup/memory/memory.limit_in_bytes")} {
		if limit > 0 && (memory == 0 || limit < memory) {
			memory = limit
		}
	}
	return fmt.Sprintf("%dMB", min(max(memory>>20/4, leastBuffers), mostBuffers))
}

// meminfo is the machine's memory in bytes, 0 where it is not told.
func meminfo(path string) uint64 {
	text, _ := os.ReadFile(path)
	for line := range strings.Lines(string(text)) {
		var kilobytes uint64
		if n, _ := fmt.Sscanf(line, "MemTotal: %d kB", &kilobytes); n == 1 {
			return kilobytes << 10
		}
	}
	return 0
}

// limitOf is what a file of a control group limits to, 0 for nothing.
func limitOf(path string) uint64 {
	text, _ := os.ReadFile(path)
	n, _ := strconv.ParseUint(strings.TrimSpace(string(text)), 10, 64)
	return n
}
