package embedded_test

import (
	"context"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"

	"redrive/store/embedded"
)

func open(t *testing.T, dir string) (*embedded.Server, error) {
	t.Helper()
	return embedded.Open(context.Background(), embedded.Options{DataDir: dir, Log: logger(t.Output())})
}

func TestOpenJoinsARunningServer(t *testing.T) {
	dir := openDir(t)
	first := start(t, dir)
	run(t, first.DSN(""), "CREATE TABLE kept AS SELECT 1 AS n")
	t.Setenv("TMPDIR", t.TempDir()) // the socket lies in the other's
	link := filepath.Join(t.TempDir(), "same")
	if err := os.Symlink(dir, link); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{dir, link} {
		joined, err := open(t, name)
		if err != nil {
			t.Fatal(err)
		}
		if got := value(t, joined.DSN(""), "SELECT n::text FROM kept"); got != "1" {
			t.Errorf("n is %q", got)
		}
		if err := joined.Stop(); err != nil {
			t.Error(err)
		}
	}
	if got := value(t, first.DSN(""), "SELECT 'alive'"); got != "alive" {
		t.Error("a command has ended the server")
	}
	if err := first.Stop(); err != nil {
		t.Fatal(err)
	}
	alone, err := open(t, dir)
	if err != nil {
		t.Fatal(err)
	}
	if got := value(t, alone.DSN(""), "SELECT n::text FROM kept"); got != "1" {
		t.Errorf("after the server's end n is %q", got)
	}
	pid := postmaster(t, dir)
	if err := alone.Stop(); err != nil {
		t.Fatal(err)
	}
	if syscall.Kill(pid, 0) == nil {
		t.Error("what the command started still runs")
	}
}

// Several commands come while the server is being started: one starts it, the others join that one.
func TestOpenWaitsForAServerThatStarts(t *testing.T) {
	dir := openDir(t)
	if err := start(t, dir).Stop(); err != nil {
		t.Fatal(err)
	}
	var all, asked sync.WaitGroup
	asked.Add(4)
	for range 4 {
		all.Go(func() {
			server, err := open(t, dir)
			asked.Done()
			if err != nil {
				t.Error(err)
				return
			}
			asked.Wait() // whoever started it ends it last
			if err := server.Stop(); err != nil {
				t.Error(err)
			}
		})
	}
	all.Wait()
}

func TestOpenRefusesWhereNoDatabaseIs(t *testing.T) {
	for _, dir := range []string{openDir(t), filepath.Join(t.TempDir(), "nowhere")} {
		server, err := open(t, dir)
		if err == nil {
			_ = server.Stop()
			t.Fatal("an empty database was made")
		}
		if !strings.Contains(err.Error(), "there is no database in "+dir) || !strings.Contains(err.Error(), "DATABASE_URL") {
			t.Errorf("error %q", err)
		}
		if entries, _ := os.ReadDir(dir); len(entries) > 0 {
			t.Errorf("it left %v", entries)
		}
	}
}

func TestOpenSaysWhoseTheServerIs(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Log("only root can be two users")
		return
	}
	dir := openDir(t)
	start(t, dir)
	other := holderCommand(t, dir, account(t, "nobody"))
	other.Env = append(other.Env, joinVariable+"=1")
	out, err := other.Output()
	if err == nil || !strings.Contains(string(out), "belongs to another user: run this command as that user or as root") {
		t.Errorf("%v, %s", err, out)
	}
}
