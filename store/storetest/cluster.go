package storetest

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"

	"redrive/store/embedded"
)

// PrivateServer is a Postgres of one test's own, for what would disturb others: being killed, losing replication slots.
type PrivateServer struct {
	t        testing.TB
	dir      string
	settings map[string]string
	server   *embedded.Server // nil while it is stopped
}

// Cluster starts a Postgres for this test alone, with wal_level logical, and ends it after the test. Settings are such as
// "max_slot_wal_keep_size=1MB". A commit that it has answered survives Kill.
func Cluster(t testing.TB, settings ...string) *PrivateServer {
	t.Helper()
	dir, err := TempDir()
	if err != nil {
		t.Fatalf("storetest: %v", err)
	}
	c := &PrivateServer{t: t, dir: dir, settings: Settings()}
	if c.settings["hba_file"], err = trusting(dir); err != nil {
		t.Fatalf("storetest: %v", err)
	}
	maps.Copy(c.settings, map[string]string{"synchronous_commit": "on", "max_connections": "50", "shared_buffers": "32MB"})
	for _, setting := range settings {
		name, value, found := strings.Cut(setting, "=")
		if !found {
			t.Fatalf("storetest: setting %q has no =", setting)
		}
		c.settings[name] = value
	}
	t.Cleanup(func() {
		if err := errors.Join(c.end(), os.RemoveAll(dir)); err != nil {
			t.Errorf("storetest: %v", err)
		}
	})
	c.Restart()
	return c
}

// DSN is the address of a database on this server, the same after each restart. postgres and redrive are there from the
// beginning.
func (c *PrivateServer) DSN(database string) string {
	c.t.Helper()
	if c.server == nil {
		c.t.Fatal("storetest: the server is stopped")
	}
	return c.server.DSN(database)
}

// Stop ends the server in order; it stays down until Restart.
func (c *PrivateServer) Stop() {
	c.t.Helper()
	if err := c.end(); err != nil {
		c.t.Fatalf("storetest: %v", err)
	}
}

// Restart stops the server if it runs, starts it again and returns when it answers.
func (c *PrivateServer) Restart() {
	c.t.Helper()
	c.Stop()
	ctx, cancel := context.WithTimeout(context.Background(), timeout)
	defer cancel()
	server, err := embedded.Start(ctx, embedded.Options{DataDir: c.dir, Settings: c.settings})
	if err != nil {
		c.t.Fatalf("storetest: %v", err)
	}
	c.server = server
}

// Kill ends the server as kill -9 does. It comes back by itself after its recovery, within a second or so.
func (c *PrivateServer) Kill() {
	c.t.Helper()
	pid, err := c.postmaster()
	if err == nil {
		err = syscall.Kill(pid, syscall.SIGKILL)
	}
	if err != nil && !errors.Is(err, syscall.ESRCH) {
		c.t.Fatalf("storetest: killing the server: %v", err)
	}
}

func (c *PrivateServer) postmaster() (int, error) {
	raw, err := os.ReadFile(filepath.Join(c.dir, "postgres", "postmaster.pid"))
	if err != nil {
		return 0, err
	}
	first, _, _ := strings.Cut(string(raw), "\n")
	pid, err := strconv.Atoi(first)
	if err == nil && (pid <= 1 || pid == os.Getpid()) {
		err = fmt.Errorf("process %d is not a server", pid)
	}
	return pid, err
}

func (c *PrivateServer) end() error {
	if c.server == nil {
		return nil
	}
	server := c.server
	c.server = nil
	return server.Stop()
}
