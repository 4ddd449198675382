package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"redrive/delivery/scratch"
	"redrive/store/storetest/child"
)

// insideVariable tells the starter that another one watches over it. Its value is a control group to enter, or "none".
const insideVariable = "REDRIVE_TEST_INSIDE"

// goodbye is how long what a test has left behind may take to end by itself.
const goodbye = 30 * time.Second

// guard runs the starter a second time, as a child in a folder of its own, and ends what is left when it is over: processes that lost
// their parent and files. So nothing outlives a run, whatever was killed in it.
func guard(args []string, slow bool) (code int, err error) {
	folder, err := runFolder()
	if err != nil {
		return 1, err
	}
	defer func() { err = errors.Join(err, folder.Remove()) }()
	group, release, err := throttle(slow)
	if err != nil {
		return 1, err
	}
	defer func() { err = errors.Join(err, release()) }()
	if err := adopt(); err != nil {
		return 1, fmt.Errorf("taking in orphans: %w", err)
	}
	self, err := os.Executable()
	if err != nil {
		return 1, err
	}
	cmd := exec.Command(self, append([]string{"--"}, args...)...)
	cmd.Stdin, cmd.Stdout, cmd.Stderr = os.Stdin, os.Stdout, os.Stderr
	cmd.Env = append(os.Environ(), insideVariable+"="+group, "GOTMPDIR="+builds(), "TMPDIR="+folder.Path)
	cmd.SysProcAttr = stopsWithParent()
	began := time.Now()
	code, err = watch(cmd)
	if left := sweep(goodbye); len(left) > 0 {
		fmt.Fprintln(os.Stderr, "tests: left running, now ended:\n\t"+strings.Join(left, "\n\t"))
		code = max(code, 1)
	}
	report(began)
	return code, err
}

// watch waits for the inner starter and takes the others in: whoever loses his parent becomes this process's child.
func watch(cmd *exec.Cmd) (int, error) {
	signals := make(chan os.Signal, 16)
	signal.Notify(signals, os.Interrupt, syscall.SIGTERM, syscall.SIGHUP, syscall.SIGCHLD)
	defer signal.Stop(signals)
	inner, err := child.Start(cmd)
	if err != nil {
		return 1, fmt.Errorf("starting %s: %w", cmd.Path, err)
	}
	for {
		select {
		case s := <-signals:
			switch s {
			case syscall.SIGCHLD:
				reap(inner.PID())
			case os.Interrupt:
				inner.Signal(syscall.SIGINT) // to all, as a terminal does
			default:
				_ = syscall.Kill(inner.PID(), s.(syscall.Signal)) // an error means that it has ended
			}
		case <-inner.Ended():
			var exit *exec.ExitError
			if err := inner.Wait(); errors.As(err, &exit) {
				return max(exit.ExitCode(), 1), nil // -1 after a signal
			} else if err != nil {
				return 1, err
			}
			return 0, nil
		}
	}
}

// report says what the run cost, services and all.
func report(began time.Time) {
	var used syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_CHILDREN, &used); err != nil {
		return
	}
	user, system := time.Duration(used.Utime.Nano()).Round(time.Second), time.Duration(used.Stime.Nano()).Round(time.Second)
	fmt.Fprintf(os.Stderr, "tests: %v, of the processors %v for programs and %v for the system\n",
		time.Since(began).Round(time.Second), user, system)
}

// runFolder makes the folder of the run's databases and files: in memory where there is plenty, which spares most of the system's time.
func runFolder() (*scratch.Folder, error) {
	under := os.TempDir()
	if os.Getenv("TMPDIR") == "" && roomy(memoryDir) {
		under = memoryDir
	}
	folder, err := scratch.NewIn(under, "test")
	if err == nil {
		err = os.Chmod(folder.Path, 0o777|os.ModeSticky) // as the system's own: Postgres and some programs run as other users
	}
	if err != nil {
		return nil, fmt.Errorf("creating the folder of the run: %w", err)
	}
	return folder, nil
}

// builds is where go puts the programs that it builds: they are large, and stay where they would be without us.
func builds() string {
	if dir := os.Getenv("GOTMPDIR"); dir != "" {
		return dir
	}
	return filepath.Clean(os.TempDir())
}

// spin keeps so many processors busy until the context ends.
func spin(ctx context.Context, processors int) {
	for range processors {
		go func() {
			for ctx.Err() == nil { // this is the work
			}
		}()
	}
}
