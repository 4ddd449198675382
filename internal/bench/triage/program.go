package triage

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"regexp"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"redrive/delivery/programs"
	"redrive/delivery/scratch"
)

const (
	startTime  = 30 * time.Second
	stopTime   = 30 * time.Second
	lookEvery  = 100 * time.Millisecond // at the memory
	benchToken = "v3Nq8ZkT1wYd6RsL0xGm5JbH9cPf2VaE7uKiQoXtWrM"
)

// program is a redrive that serves the data.
type program struct {
	url, token string
	client     *http.Client
	receiver   *receiver
	memory     memory
	stop       func()
}

// serve starts the program on a free port, with a receiver in this process.
func (b *bench) serve(ctx context.Context) (*program, error) {
	path := b.Program
	if path == "" {
		var err error
		if path, err = os.Executable(); err != nil {
			return nil, err
		}
	}
	folder, err := scratch.New("triage")
	if err != nil {
		return nil, err
	}
	dir := folder.Path
	p := &program{token: benchToken, client: newClient()}
	if p.receiver, err = newReceiver(); err != nil {
		return nil, errors.Join(err, folder.Remove())
	}
	file, err := configFile(dir, p.receiver.url)
	if err == nil {
		err = p.start(ctx, programs.Command(context.WithoutCancel(ctx), path, "serve", "--addr=127.0.0.1:0", "--config="+file, "--data-dir="+dir,
			"--log-format=text"), b.DSN)
	}
	if err != nil {
		p.receiver.close()
		return nil, errors.Join(fmt.Errorf("starting the program: %w", err), folder.Remove())
	}
	end := p.stop
	p.stop = sync.OnceFunc(func() { end(); p.receiver.close(); _ = folder.Remove() })
	return p, nil
}

var listening = regexp.MustCompile(`listening.* url="?(http://[^\s"]+)`)

// start waits until the program listens.
func (p *program) start(ctx context.Context, cmd *exec.Cmd, dsn string) error {
	cmd.Env = append(cmd.Env, "DATABASE_URL="+dsn, "REDRIVE_API_TOKEN="+p.token,
		"REDRIVE_ADMIN_PASSWORD=only-for-measuring", "REDRIVE_RETENTION=0")
	output, err := cmd.StderrPipe()
	if err != nil {
		return err
	}
	if err := cmd.Start(); err != nil {
		return err
	}
	found, ended, watching := make(chan string, 1), make(chan error, 1), make(chan struct{})
	var last atomic.Pointer[string]
	go func() {
		lines := bufio.NewScanner(output)
		for lines.Scan() {
			text := lines.Text()
			if m := listening.FindStringSubmatch(text); m != nil {
				found <- m[1]
			}
			last.Store(&text)
		}
		ended <- cmd.Wait()
	}()
	p.stop = func() {
		close(watching)
		_ = cmd.Process.Signal(syscall.SIGTERM) // an error means that it has ended
		select {
		case <-ended:
		case <-time.After(stopTime):
			_ = cmd.Process.Kill()
			<-ended
		}
	}
	select {
	case p.url = <-found:
		go p.memory.watch(cmd.Process.Pid, watching)
		return nil
	case err := <-ended:
		if text := last.Load(); text != nil {
			return fmt.Errorf("it ended: %s", *text)
		}
		return fmt.Errorf("it ended: %w", err)
	case <-time.After(startTime):
		err = errors.New("it does not listen")
	case <-ctx.Done():
		err = ctx.Err()
	}
	p.stop()
	return err
}

// memory is the most that a process had in memory, in bytes.
type memory struct{ most atomic.Int64 }

func (m *memory) watch(pid int, done <-chan struct{}) {
	tick := time.NewTicker(lookEvery)
	defer tick.Stop()
	for {
		select {
		case <-done:
			return
		case <-tick.C:
			if now := resident(pid); now > m.most.Load() {
				m.most.Store(now)
			}
		}
	}
}

// resident asks the kernel where that is a file, else ps.
func resident(pid int) int64 {
	if raw, err := os.ReadFile(fmt.Sprintf("/proc/%d/statm", pid)); err == nil {
		if fields := strings.Fields(string(raw)); len(fields) > 1 {
			pages, _ := strconv.ParseInt(fields[1], 10, 64) // of a file that the kernel writes
			return pages * int64(os.Getpagesize())
		}
	}
	out, err := programs.Command(context.Background(), "ps", "-o", "rss=", "-p", strconv.Itoa(pid)).Output()
	if err != nil {
		return 0
	}
	kib, _ := strconv.ParseInt(strings.TrimSpace(string(out)), 10, 64) // 0 for what is no number
	return kib * 1024
}
