package embedded_test

import (
	"bufio"
	"context"
	"errors"
	"io"
	"log/slog"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"

	"github.com/jackc/pgx/v5"

	"redrive/store/storetest/patience"
)

// holder is another process that runs a server.
type holder struct {
	cmd   *exec.Cmd
	stdin io.Closer
	dsn   string
}

// holderCommand is this test binary as a program of its own, copied to where any user can run it.
func holderCommand(t *testing.T, dir string, who *syscall.Credential) *exec.Cmd {
	t.Helper()
	binary, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	if who != nil {
		raw, err := os.ReadFile(binary)
		if err != nil {
			t.Fatal(err)
		}
		binary = filepath.Join(openDir(t), "holder")
		if err := os.WriteFile(binary, raw, 0o755); err != nil {
			t.Fatal(err)
		}
	}
	cmd := exec.Command(binary)
	cmd.Dir = dir
	cmd.Env = append(os.Environ(), holderVariable+"="+dir, "HOME="+dir)
	if who != nil {
		cmd.SysProcAttr = &syscall.SysProcAttr{Credential: who}
	}
	return cmd
}

func startHolder(t *testing.T, dir string, who *syscall.Credential) *holder {
	t.Helper()
	cmd := holderCommand(t, dir, who)
	stdin, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	stdout, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = cmd.Process.Kill(); _ = cmd.Wait() })
	line, err := bufio.NewReader(stdout).ReadString('\n')
	if err != nil || !strings.HasPrefix(line, "postgres://") {
		t.Fatalf("the program that holds the server: %v, %s", err, line)
	}
	return &holder{cmd: cmd, stdin: stdin, dsn: strings.TrimSpace(line)}
}

func (h *holder) end(t *testing.T) {
	t.Helper()
	if err := errors.Join(h.stdin.Close(), h.cmd.Wait()); err != nil {
		t.Fatal(err)
	}
}

// account finds the first of the names on this machine.
func account(t *testing.T, names ...string) *syscall.Credential {
	t.Helper()
	for _, name := range names {
		if found, err := user.Lookup(name); err == nil {
			uid, _ := strconv.Atoi(found.Uid)
			gid, _ := strconv.Atoi(found.Gid)
			return &syscall.Credential{Uid: uint32(uid), Gid: uint32(gid)}
		}
	}
	t.Fatalf("this machine has none of the users %v", names)
	return nil
}

func give(t *testing.T, path string, who *syscall.Credential) {
	t.Helper()
	if err := os.Chown(path, int(who.Uid), int(who.Gid)); err != nil {
		t.Fatal(err)
	}
}

// postmaster is the process that serves the data directory.
func postmaster(t *testing.T, dir string) int {
	t.Helper()
	raw, err := os.ReadFile(filepath.Join(dir, "postgres", "postmaster.pid"))
	if err != nil {
		t.Fatal(err)
	}
	first, _, _ := strings.Cut(string(raw), "\n")
	pid, err := strconv.Atoi(first)
	if err != nil {
		t.Fatal(err)
	}
	return pid
}

func kill(t *testing.T, pid int) {
	t.Helper()
	if pid <= 1 || pid == os.Getpid() {
		t.Fatalf("refusing to kill process %d", pid)
	}
	if err := syscall.Kill(pid, syscall.SIGKILL); err != nil && !errors.Is(err, syscall.ESRCH) {
		t.Fatal(err)
	}
}

func eventually(t *testing.T, what string, try func() error) {
	t.Helper()
	patience.Eventually(t, what, try)
}

func connect(t *testing.T, dsn string) *pgx.Conn {
	t.Helper()
	conn, err := pgx.Connect(context.Background(), dsn)
	if err != nil {
		t.Fatal(err)
	}
	return conn
}

func run(t *testing.T, dsn, statements string) {
	t.Helper()
	conn := connect(t, dsn)
	defer conn.Close(context.Background())
	if _, err := conn.PgConn().Exec(context.Background(), statements).ReadAll(); err != nil {
		t.Fatal(err)
	}
}

func value(t *testing.T, dsn, query string) (text string) {
	t.Helper()
	conn := connect(t, dsn)
	defer conn.Close(context.Background())
	if err := conn.QueryRow(context.Background(), query).Scan(&text); err != nil {
		t.Fatal(err)
	}
	return text
}

func logger(w io.Writer) *slog.Logger {
	return slog.New(slog.NewTextHandler(w, &slog.HandlerOptions{Level: slog.LevelDebug}))
}
