// Package child starts the programs of tests so that none outlives its test: a test that fails, panics, or is killed when its time is
// over, leaves nothing running.
package child

import (
	"io"
	"os"
	"os/exec"
	"runtime"
	"sync"
	"syscall"
	"testing"
)

// Process is a running program with a process group of its own.
type Process struct {
	cmd   *exec.Cmd
	ended chan struct{}
	err   error // why it ended; read after ended
	kill  sync.Once
}

// Start starts a program. On Linux the kernel ends it with this process. The caller has set its output, which is no pipe of cmd's.
func Start(cmd *exec.Cmd) (*Process, error) {
	if cmd.SysProcAttr == nil {
		cmd.SysProcAttr = &syscall.SysProcAttr{}
	}
	cmd.SysProcAttr.Setpgid = true // Ctrl-C is for the tests, which end it in order
	endsWithParent(cmd.SysProcAttr)
	p := &Process{cmd: cmd, ended: make(chan struct{})}
	started := make(chan error)
	go func() {
		runtime.LockOSThread() // the kernel ends the program with the thread that forked it
		defer runtime.UnlockOSThread()
		err := cmd.Start()
		started <- err
		if err == nil {
			p.err = cmd.Wait()
			close(p.ended)
		}
	}()
	return p, <-started
}

// Run starts a program for one test; what is left of it at the end of the test is killed.
func Run(t testing.TB, cmd *exec.Cmd) *Process {
	t.Helper()
	p, err := Start(cmd)
	if err != nil {
		t.Fatalf("starting %s: %v", cmd.Path, err)
	}
	t.Cleanup(p.Kill)
	return p
}

// Talk is Run for a program whose output the test reads.
func Talk(t testing.TB, cmd *exec.Cmd) (*Process, io.Reader) {
	t.Helper()
	out, in, err := os.Pipe() // cmd's own would be closed at the end of the program, whatever is still in it
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = out.Close() })
	cmd.Stdout = in
	p, err := Start(cmd)
	_ = in.Close()
	if err != nil {
		t.Fatalf("starting %s: %v", cmd.Path, err)
	}
	t.Cleanup(p.Kill)
	return p, out
}

// PID is the number of the process, and of its group.
func (p *Process) PID() int { return p.cmd.Process.Pid }

// Ended is closed when the program has ended.
func (p *Process) Ended() <-chan struct{} { return p.ended }

// Wait waits for the end and returns what exec.Cmd.Wait does.
func (p *Process) Wait() error {
	<-p.ended
	return p.err
}

// Signal reaches the whole group; when nobody is left it does nothing.
func (p *Process) Signal(s syscall.Signal) { _ = syscall.Kill(-p.PID(), s) }

// Kill ends the program and its group at once and waits for its end. It may be called again.
func (p *Process) Kill() {
	p.kill.Do(func() { p.Signal(syscall.SIGKILL) })
	<-p.ended
}
