package scratch

import (
	"bufio"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
	"time"
)

const holder = "REDRIVE_SCRATCH_HOLD"

func TestMain(m *testing.M) {
	if os.Getenv(holder) == "" {
		os.Exit(m.Run())
	}
	f, err := New("test")
	if err != nil {
		panic(err)
	}
	path := f.Path
	f = nil
	runtime.GC() // nobody remembers it, and it is held all the same
	runtime.GC()
	os.Stdout.WriteString(path + "\n")
	_, _ = os.Stdin.Read(make([]byte, 1)) // until it is killed
}

// hold starts a process that has made a directory.
func hold(t *testing.T) (path string, kill func()) {
	t.Helper()
	cmd := exec.Command(os.Args[0])
	cmd.Env = append(os.Environ(), holder+"=1")
	in, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	kill = func() {
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
		_ = in.Close()
	}
	t.Cleanup(kill)
	line, err := bufio.NewReader(out).ReadString('\n')
	if err != nil {
		t.Fatal(err)
	}
	return strings.TrimSpace(line), kill
}

func exists(path string) bool {
	_, err := os.Stat(path)
	return err == nil
}

func TestWhatAKilledProcessLeftIsRemoved(t *testing.T) {
	t.Setenv("TMPDIR", t.TempDir())
	lives, _ := hold(t)
	killed, kill := hold(t)
	kill()
	if !exists(killed) {
		t.Fatal("the kill took the directory along: nothing is tested")
	}
	own, err := New("bench")
	if err != nil {
		t.Fatal(err)
	}
	Sweep(os.TempDir())
	if exists(killed) || !exists(lives) || !exists(own.Path) {
		t.Errorf("left: of the killed %v, of the living %v, own %v", exists(killed), exists(lives), exists(own.Path))
	}
	if err := own.Remove(); err != nil || exists(own.Path) {
		t.Errorf("removing it: %v", err)
	}
}

func TestWhatIsNotOursStays(t *testing.T) {
	dir := t.TempDir()
	old := time.Now().Add(-2 * unmarked)
	for name, stays := range map[string]bool{
		"redrive-test-123": false, "redrive-bench-9": false, "redrive-0-0123456789abcdef": false, // of a version without the mark
		"redrive-test-new": true, "redrive": true, "redrive-0-xyz": true, "other-test-123": true, "redrive-test-77-young": true,
	} {
		path := filepath.Join(dir, name)
		if err := os.Mkdir(path, 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.Chtimes(path, old, old); err != nil {
			t.Fatal(err)
		}
		Sweep(dir)
		if exists(path) != stays {
			t.Errorf("%s: stays %v", name, !stays)
		}
	}
	young, answering, elsewhere := filepath.Join(dir, "redrive-test-5"), filepath.Join(dir, "redrive-0-fedcba9876543210"), filepath.Join(dir, "redrive-test-6")
	for _, path := range []string{young, answering} {
		if err := os.Mkdir(path, 0o700); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.Symlink(t.TempDir(), elsewhere); err != nil {
		t.Fatal(err)
	}
	server, err := net.Listen("unix", filepath.Join(answering, ".s.PGSQL.5432"))
	if err != nil {
		t.Fatal(err)
	}
	defer server.Close()
	if err := os.Chtimes(answering, old, old); err != nil {
		t.Fatal(err)
	}
	Sweep(dir)
	for _, path := range []string{young, answering, elsewhere} {
		if !exists(path) {
			t.Errorf("%s is gone", path)
		}
	}
}

func TestTwoMakeOneDirectory(t *testing.T) {
	path := filepath.Join(t.TempDir(), "redrive-0-0123456789abcdef")
	first, err := Make(path)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := Hold(path); err == nil {
		t.Error("two hold it")
	}
	if err := first.Remove(); err != nil {
		t.Fatal(err)
	}
	again, err := Make(path)
	if err != nil {
		t.Fatal(err)
	}
	if err := again.Remove(); err != nil {
		t.Fatal(err)
	}
}
