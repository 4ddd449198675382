package filesend

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"net"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"testing"
	"time"

	"redrive/delivery"
	"redrive/delivery/wire"
	"redrive/store/storetest/child"
	"redrive/store/storetest/patience"
)

// helperVariable makes the test binary a sender that stops at a step, to be killed there.
const helperVariable = "REDRIVE_TEST_FILE_HELPER"

type job struct {
	To      delivery.FileDestination
	File    delivery.BatchFile
	Size    int // of the content, which is noise
	Attempt int
	Disk    string   // size of a file system of its own that is mounted on the directory; empty: none
	Serve   []string // command of an SFTP server that runs beside it, on that file system
	Stop    int      // before which step; a step is a call of the folder or a read of the stored bytes
}

// help does a job and ends the process.
func help(text string) {
	var j job
	if err := json.Unmarshal([]byte(text), &j); err != nil {
		panic(err)
	}
	dir := j.To.Dir
	if j.To.SFTP != nil {
		dir = j.To.SFTP.Path
	}
	if j.Disk != "" {
		mountDisk(dir, j.Disk)
	}
	steps := &steps{stop: j.Stop}
	files := keep(j.File.ID, noise(j.Size))
	files.reads = func() { steps.next("read") }
	made, err := New(j.To, files, wire.Dialer{Log: slog.New(slog.DiscardHandler)})
	if err != nil {
		panic(err)
	}
	s := made.(*Sender)
	open := s.open
	s.open = func(ctx context.Context) (folder, error) {
		steps.next("open")
		f, err := open(ctx)
		return &watched{f, steps}, err
	}
	send := func() delivery.Result {
		if len(j.Serve) > 0 {
			defer serveBeside(j)()
		}
		return s.Send(context.Background(), request(j.File, j.Attempt))
	}
	result := send()
	left, err := os.ReadDir(dir)
	if err != nil {
		panic(err)
	}
	fmt.Println("done", result.Outcome, result.ErrorClass, len(left))
}

// serveBeside starts a server and waits until it listens.
func serveBeside(j job) (stop func()) {
	cmd := exec.Command(j.Serve[0], j.Serve[1:]...)
	if err := cmd.Start(); err != nil {
		panic(err)
	}
	for end := time.Now().Add(patience.Limit); ; time.Sleep(20 * time.Millisecond) {
		if conn, err := net.Dial("tcp", j.To.SFTP.Addr); err == nil {
			_ = conn.Close()
			return func() { _ = cmd.Process.Kill(); _ = cmd.Wait() }
		} else if time.Now().After(end) {
			panic(err)
		}
	}
}

// steps counts and stops.
type steps struct{ n, stop int }

func (s *steps) next(what string) {
	if s.n == s.stop {
		fmt.Println("stopped before", what)
		time.Sleep(patience.Limit) // until it is killed
	}
	s.n++
}

// watched stops before a step.
type watched struct {
	folder
	steps *steps
}

func (w *watched) list() ([]string, error) { w.steps.next("list"); return w.folder.list() }
func (w *watched) stat(name string) (fs.FileInfo, error) {
	w.steps.next("stat")
	return w.folder.stat(name)
}

func (w *watched) create(name string, r io.Reader, size int64) error {
	w.steps.next("create")
	return w.folder.create(name, r, size)
}

func (w *watched) publish(temporary, name string) error {
	w.steps.next("publish")
	return w.folder.publish(temporary, name)
}
func (w *watched) remove(name string) error { w.steps.next("remove"); return w.folder.remove(name) }
func (w *watched) sync() error              { w.steps.next("sync"); return w.folder.sync() }
func (w *watched) close()                   { w.steps.next("close"); w.folder.close() }

// kill starts a helper and kills it where it stops; false: it came to its end, with this outcome, class and number of files.
func kill(t *testing.T, j job, attributes ...*syscall.SysProcAttr) (step string, stopped bool) {
	t.Helper()
	text, err := json.Marshal(j)
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(os.Args[0])
	cmd.Env = append(os.Environ(), helperVariable+"="+string(text))
	cmd.Stderr = os.Stderr
	for _, a := range attributes {
		cmd.SysProcAttr = a
	}
	helper, out := child.Talk(t, cmd)
	said := make(chan string, 1)
	go func() {
		line, _ := bufio.NewReader(out).ReadString('\n') // an end shows in what is missing
		said <- strings.TrimSpace(line)
	}()
	line := patience.Receive(t, "a word of the helper", said)
	helper.Kill()
	if line == "" {
		t.Fatal("the helper ended without a word")
	}
	if done, ok := strings.CutPrefix(line, "done "); ok {
		return done, false
	}
	return line, true
}

// Killed at every step, then killed once more at every third step of the next attempt, then left alone: there is exactly one
// complete file, one manifest, and nothing else.
func TestKilledAtEveryStep(t *testing.T) {
	everywhere(t, func(t *testing.T, d delivery.FileDestination, dir string) {
		d.Manifest, d.Timeout = true, 30*time.Second
		content := noise(120_000)
		f := describe(name, content)
		want := map[string][]byte{name: content, name + manifestSuffix: manifestOf(f)}
		s := newSender(t, d, keep(f.ID, content))
		for n := 0; ; n++ {
			step, stopped := kill(t, job{To: d, File: f, Size: len(content), Attempt: 1, Stop: n})
			nothingTorn(t, dir, want, step)
			if stopped && n%3 == 2 {
				kill(t, job{To: d, File: f, Size: len(content), Attempt: 2, Stop: n / 2})
				nothingTorn(t, dir, want, step)
			}
			expect(t, s.Send(t.Context(), request(f, 3)), delivery.OutcomeOK, "")
			holds(t, dir, want)
			for found := range want {
				if err := os.Remove(dir + "/" + found); err != nil {
					t.Fatalf("after %s: %v", step, err)
				}
			}
			if !stopped {
				if n < 14 || !strings.HasPrefix(step, string(delivery.OutcomeOK)) {
					t.Errorf("%d steps, %s", n, step)
				}
				return
			}
		}
	})
}

// nothingTorn: what has a final name is complete, and the manifest is not there before the file.
func nothingTorn(t *testing.T, dir string, want map[string][]byte, step string) {
	t.Helper()
	seen := map[string]bool{}
	for _, found := range names(t, dir) {
		seen[found] = true
		content, final := want[found]
		switch {
		case final && string(read(t, dir, found)) != string(content):
			t.Errorf("%s: %s is torn", step, found)
		case !final && !strings.HasPrefix(found, "."):
			t.Errorf("%s: %s should be hidden", step, found)
		}
	}
	if seen[name+manifestSuffix] && !seen[name] {
		t.Errorf("%s: the manifest is there before the file", step)
	}
}
