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
	"regexp"
	"slices"
	"strings"
	"syscall"
	"time"

	"redrive/delivery/scratch"
	"redrive/store/storetest/child"
)

const (
	stopPatience = 20 * time.Second
	pollEvery    = 50 * time.Millisecond
)

// process is a running program. Everything in its process group ends with it.
type process struct {
	*child.Process
	name string
	log  string // file with its output
}

// launch starts a program whose output goes to a file.
func launch(cmd *exec.Cmd, log string) (*process, error) {
	out, err := os.OpenFile(log, os.O_CREATE|os.O_WRONLY|os.O_APPEND, 0o600)
	if err != nil {
		return nil, err
	}
	defer out.Close() // the program has its own
	cmd.Stdout, cmd.Stderr = out, out
	running, err := child.Start(cmd)
	if err != nil {
		return nil, fmt.Errorf("starting %s: %w", cmd.Path, err)
	}
	return &process{running, filepath.Base(cmd.Path), log}, nil
}

// stop asks the program to end and insists after a while.
func (p *process) stop() {
	if p == nil {
		return
	}
	p.Signal(syscall.SIGTERM)
	patience := time.NewTimer(stopPatience)
	defer patience.Stop()
	select {
	case <-p.Ended():
	case <-patience.C:
	}
	p.kill()
}

// kill ends the program and its children at once.
func (p *process) kill() {
	if p != nil {
		p.Kill()
	}
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
		case <-p.Ended():
			return fmt.Errorf("%s ended while it started: %w: %s", p.name, p.Wait(), p.lastWords())
		case <-ctx.Done():
			return fmt.Errorf("%s is not ready: %w: %s", p.name, err, p.lastWords())
		case <-tick.C:
		}
	}
}

// stackLines are where in a Java program something happened.
var stackLines = regexp.MustCompile(`(?m)^\tat .*\n?`)

func (p *process) lastWords() string {
	raw, _ := os.ReadFile(p.log)                                            // without it there is nothing to add
	text := strings.TrimSpace(stackLines.ReplaceAllString(string(raw), "")) // they would hide what happened
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

// freePorts returns ports that nobody listens on at the moment.
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

// quietPorts returns ports that nobody listens on, nor will but by intent.
func quietPorts(n int) (ports []int, err error) {
	for range 10 * n {
		port := quietPort()
		if slices.Contains(ports, port) {
			continue
		}
		listener, err := net.Listen("tcp", fmt.Sprint("127.0.0.1:", port))
		if err != nil {
			continue
		}
		_ = listener.Close()
		if ports = append(ports, port); len(ports) == n {
			return ports, nil
		}
	}
	return nil, errors.New("looking for free ports: too few of them")
}

// find returns a program's path, also where PATH of a plain user does not lead.
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
