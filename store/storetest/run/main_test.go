package main

import (
	"context"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"redrive/store/storetest"
)

func TestDatabaseLivesAsLongAsTheCommand(t *testing.T) {
	t.Setenv(storetest.DatabaseVariable, "") // a server of its own, also inside a run
	t.Setenv(chromiumVariable, os.Getenv(chromiumVariable))
	report := filepath.Join(t.TempDir(), "report")
	code, err := run([]string{"sh", "-c", `printf '%s\n%s' "$` + storetest.DatabaseVariable + `" "$` + chromiumVariable + `" > "$0"; exit 7`, report}, nil)
	if code != 7 || err != nil {
		t.Errorf("code %d, error %v, want 7", code, err)
	}
	raw, err := os.ReadFile(report)
	if err != nil {
		t.Fatal(err)
	}
	dsn, browser, _ := strings.Cut(string(raw), "\n")
	if !strings.HasPrefix(dsn, "postgres://") || browser == "" {
		t.Errorf("the command was told %q and %q", dsn, browser)
	}
	if conn, err := pgx.Connect(context.Background(), dsn); err == nil {
		_ = conn.Close(context.Background())
		t.Error("the server outlives the run")
	}
}

func TestNamedServerIsUsed(t *testing.T) {
	t.Setenv(storetest.DatabaseVariable, "postgres://elsewhere/x")
	stop, err := startDatabase()
	if err != nil {
		t.Fatal(err)
	}
	if got := os.Getenv(storetest.DatabaseVariable); got != "postgres://elsewhere/x" || stop() != nil {
		t.Errorf("the caller's server became %q", got)
	}
}

func TestSignalsReachTheCommand(t *testing.T) {
	ready := filepath.Join(t.TempDir(), "ready")
	if err := syscall.Mkfifo(ready, 0o600); err != nil {
		t.Fatal(err)
	}
	signals := make(chan os.Signal, 1)
	go func() {
		_, _ = os.ReadFile(ready) // returns when the command has set its trap
		signals <- syscall.SIGTERM
	}()
	began := time.Now()
	code, err := execute([]string{"sh", "-c", `trap 'exit 5' TERM; echo > "$0"; n=0; while [ $n -lt 600 ]; do sleep 0.1; n=$((n+1)); done`, ready}, signals)
	if code != 5 || err != nil || time.Since(began) > 30*time.Second {
		t.Errorf("code %d, error %v after %v, want 5", code, err, time.Since(began))
	}
}

func TestUnknownCommand(t *testing.T) {
	if code, err := execute([]string{filepath.Join(t.TempDir(), "nothing")}, nil); code != 1 || err == nil {
		t.Errorf("code %d, error %v", code, err)
	}
}

func TestMissingPackagesAreToldToPlainUsers(t *testing.T) {
	err := advice([]string{"chromium", "gcc"}, 1000, true)
	if err == nil || !strings.Contains(err.Error(), "sudo apt-get install -y --no-install-recommends chromium gcc") {
		t.Errorf("error %v", err)
	}
	if err := advice([]string{"chromium"}, 0, true); err != nil {
		t.Errorf("root installs: %v", err)
	}
	if err := advice([]string{"chromium"}, 0, false); err == nil {
		t.Error("a system without apt-get is not told")
	}
}

func TestRaceDetectorNeedsACompiler(t *testing.T) {
	t.Setenv("PATH", t.TempDir())
	t.Setenv(chromiumVariable, "")
	if got := strings.Join(missing([]string{"go", "test"}), " "); strings.Contains(got, "gcc") || !strings.Contains(got, "chromium") {
		t.Errorf("missing %q", got)
	}
	if got := strings.Join(missing([]string{"go", "test", "-race"}), " "); !strings.Contains(got, "gcc libc6-dev") {
		t.Errorf("missing %q", got)
	}
}
