package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

const (
	memoryDir  = "/dev/shm"
	memoryRoom = 4 << 30 // a run takes up to a third of it
)

// roomy reports whether a folder is in memory, has room for a run and lets programs run.
func roomy(dir string) bool {
	var fs unix.Statfs_t
	if unix.Statfs(dir, &fs) != nil || fs.Type != unix.TMPFS_MAGIC || fs.Flags&unix.ST_NOEXEC != 0 ||
		unix.Access(dir, unix.W_OK) != nil {
		return false
	}
	return fs.Bavail*uint64(fs.Bsize) >= memoryRoom && available() >= memoryRoom
}

// available is how much memory programs can still have.
func available() uint64 {
	raw, _ := os.ReadFile("/proc/meminfo") // without it there is none
	_, rest, _ := bytes.Cut(raw, []byte("MemAvailable:"))
	fields := bytes.Fields(rest)
	if len(fields) == 0 {
		return 0
	}
	kib, _ := strconv.ParseUint(string(fields[0]), 10, 64)
	return kib << 10
}

// adopt makes this process the parent of those below it that lose theirs.
func adopt() error { return unix.Prctl(unix.PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0) }

// stopsWithParent lets the inner starter end in order when this process is killed.
func stopsWithParent() *syscall.SysProcAttr { return &syscall.SysProcAttr{Pdeathsig: syscall.SIGTERM} }

// children are the processes whose parent is pid.
func children(pid int) (found []int) {
	tasks, _ := filepath.Glob(fmt.Sprintf("/proc/%d/task/*/children", pid)) // the pattern is valid
	for _, task := range tasks {
		raw, _ := os.ReadFile(task) // it may have ended
		for _, field := range strings.Fields(string(raw)) {
			if n, err := strconv.Atoi(field); err == nil {
				found = append(found, n)
			}
		}
	}
	return found
}

// reap takes note of adopted children that have ended, so that they are gone for those who look for them.
func reap(except int) {
	for _, pid := range children(os.Getpid()) {
		if pid != except {
			_, _ = syscall.Wait4(pid, nil, syscall.WNOHANG, nil)
		}
	}
}

// sweep waits until no child is left, and kills those that take longer than patience; it answers what they were.
func sweep(patience time.Duration) (killed []string) {
	for deadline := time.Now().Add(patience); ; time.Sleep(20 * time.Millisecond) {
		reap(0)
		left := children(os.Getpid())
		if len(left) == 0 {
			return killed
		}
		if time.Now().Before(deadline) {
			continue
		}
		for _, pid := range left { // their children come to us next
			command, _ := os.ReadFile(fmt.Sprintf("/proc/%d/cmdline", pid))
			killed = append(killed, fmt.Sprint(pid, " ", strings.TrimSpace(strings.ReplaceAll(string(command), "\x00", " "))))
			_ = syscall.Kill(pid, syscall.SIGKILL)
			_, _ = syscall.Wait4(pid, nil, 0, nil)
		}
	}
}

// throttle makes a slow machine of this one for what enters the control group: two thirds of one processor, with two busy loops beside
// it. A plain user cannot have the group: then the loops alone take the time, and all of the run is nicer than they are.
func throttle(slow bool) (group string, release func() error, err error) {
	if !slow {
		return "none", func() error { return nil }, nil
	}
	const loops = 2
	runtime.GOMAXPROCS(runtime.GOMAXPROCS(0) + loops)
	ctx, stop := context.WithCancel(context.Background())
	spin(ctx, loops)
	group, err = quota()
	if err != nil {
		fmt.Fprintf(os.Stderr, "tests: no quota of the processors (%v): they are shared with busy loops instead\n", err)
		spin(ctx, max(runtime.NumCPU()-loops, 0))
		return "nice", func() error { stop(); return nil }, nil
	}
	return group, func() error { stop(); return os.Remove(group) }, nil
}

// quota makes a control group of either version.
func quota() (group string, err error) {
	name := fmt.Sprintf("redrive-tests-%d", os.Getpid())
	const v1, v2 = "/sys/fs/cgroup/cpu", "/sys/fs/cgroup"
	if _, err := os.Stat(v1 + "/cpu.cfs_quota_us"); err == nil {
		group = filepath.Join(v1, name)
		err = os.Mkdir(group, 0o755)
		return group, errors.Join(err, write(group, "cpu.cfs_period_us", "30000"), write(group, "cpu.cfs_quota_us", "20000"))
	}
	group = filepath.Join(v2, name)
	_ = write(v2, "cgroup.subtree_control", "+cpu") // it may be on already; the limit tells
	if err := os.Mkdir(group, 0o755); err != nil {
		return "", err
	}
	if err := write(group, "cpu.max", "20000 30000"); err != nil {
		return "", errors.Join(err, os.Remove(group))
	}
	return group, nil
}

func write(group, file, text string) error {
	return os.WriteFile(filepath.Join(group, file), []byte(text), 0o644)
}

// enter puts this process, and all that it starts, where throttle has made room.
func enter(group string) error {
	switch group {
	case "none":
		return nil
	case "nice":
		return syscall.Setpriority(syscall.PRIO_PROCESS, 0, 3)
	}
	return write(group, "cgroup.procs", "0")
}
