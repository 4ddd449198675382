// Package services starts the brokers and servers that tests need, privately: on loopback, on ports of their own, in a directory that
// goes away with them. The test starter shares one of each with the whole run; a test that breaks a broker starts its own.
package services

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"syscall"
	"time"

	"redrive/delivery/scratch"
)

const (
	stopPatience = 20 * time.Second
	pollEvery    = 50 * time.Millisecond
)

// process is a running program. Everything in its process group ends with it.
type process struct {
	name   string
	pid    int
	log    string // file with its output
	ended  chan struct{}
	reason error // why it ended; read after ended
}

// launch starts a program whose output goes to a file. The kernel ends the program with the thread that forked it, so that
// one goroutine keeps its thread until the program has ended.
func launch(cmd *exec.Cmd, log string) (*process, error) {
	out, err := os.OpenFile(log, os.O_CREATE|os.O_WRONLY|os.O_APPEND, 0o600)
	if err != nil {
		return nil, err
	}
	cmd.Stdout, cmd.Stderr, cmd.SysProcAttr = out, out, attributes()
	p := &process{name: filepath.Base(cmd.Path), log: log, ended: make(chan struct{})}
	started := make(chan error)
	go func() {
		runtime.LockOSThread()
		defer runtime.UnlockOSThread()
		defer out.Close()
		err := cmd.Start()
		if err == nil {
			p.pid = cmd.Process.Pid
		}
		started <- err
		if err == nil {
			p.reason = cmd.Wait()
			close(p.ended)
		}
	}()
	if err := <-started; err != nil {
		return nil, fmt.Errorf("starting %s: %w", cmd.Path, err)
	}
	return p, nil
}

// signal reaches the whole group; an error means that it has ended.
func (p *process) signal(s syscall.Signal) { _ = syscall.Kill(-p.pid, s) }

// stop asks the program to end and insists after a while.
func (p *process) stop() {
	if p == nil {
		return
	}
	p.signal(syscall.SIGTERM)
	patience := time.NewTimer(stopPatience)
	defer patience.Stop()
	select {
	case <-p.ended:
	case <-patience.C:
	}
	p.kill()
}

// kill ends the program and its children at once.
func (p *process) kill() {
	if p == nil {
		return
	}
	p.signal(syscall.SIGKILL)
	<-p.ended
}

// ready waits until the check succeeds; a program that ends meanwhile is an error with the end of its output.
func (p *process) ready(ctx context.Context, check func(context.Context) error) error {
	tick := time.NewTicker(pollEvery)
	defer tick.Stop()
	for {
		err := check(ctx)
		if err == nil {
			return nil
		}
		select {
		case <-p.ended:
			return fmt.Errorf("%s ended while it started: %w: %s", p.name, p.reason, p.lastWords())
		case <-ctx.Done():
			return fmt.Errorf("%s is not ready: %w: %s", p.name, err, p.lastWords())
		case <-tick.C:
		}
	}
}

func (p *process) lastWords() string {
	raw, _ := os.ReadFile(p.log) // without it there is nothing to add
	text := strings.TrimSpace(string(raw))
	return text[max(len(text)-600, 0):]
}

// tempDir is a new directory for one service.
func tempDir() (string, error) {
	dir, err := scratch.New("test")
	if err != nil {
		return "", fmt.Errorf("creating a service's directory: %w", err)
	}
	return dir.Path, nil
}

// freePorts answers ports that nobody listens on at the moment.
func freePorts(n int) ([]int, error) {
	ports := make([]int, 0, n)
	for range n {
		listener, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			return nil, fmt.Errorf("looking for a free port: %w", err)
		}
		defer listener.Close() // kept until all are found, so that they differ
		ports = append(ports, listener.Addr().(*net.TCPAddr).Port)
	}
	return ports, nil
}

// find answers a program's path, also where PATH of a plain user does not lead.
func find(names ...string) (string, error) {
	for _, name := range names {
		if path, err := exec.LookPath(name); err == nil {
			return path, nil
		}
	}
	return "", errors.New(filepath.Base(names[0]) + " is not installed")
}

// clean is the environment without what would configure another instance.
func clean(prefixes ...string) []string {
	var kept []string
	for _, entry := range os.Environ() {
		drop := strings.HasPrefix(entry, "NOTIFY_SOCKET=")
		for _, prefix := range prefixes {
			drop = drop || strings.HasPrefix(entry, prefix)
		}
		if !drop {
			kept = append(kept, entry)
		}
	}
	return kept
}
