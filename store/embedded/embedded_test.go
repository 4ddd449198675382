package embedded_test

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"redrive/store/embedded"
)

// holderVariable turns the test binary into a program that holds a server until it is killed.
const holderVariable = "REDRIVE_EMBEDDED_HOLD"

// joinVariable lets it join a server that runs.
const joinVariable = "REDRIVE_EMBEDDED_JOIN"

func TestMain(m *testing.M) {
	if dir := os.Getenv(holderVariable); dir != "" {
		os.Exit(hold(dir))
	}
	os.Exit(m.Run())
}

// hold starts a server, prints its DSN and waits for the end of its input.
func hold(dir string) int {
	begin := embedded.Start
	if os.Getenv(joinVariable) != "" {
		begin = embedded.Open
	}
	server, err := begin(context.Background(), embedded.Options{DataDir: dir})
	if err != nil {
		fmt.Println("error:", err)
		return 1
	}
	fmt.Println(server.DSN(""))
	_, _ = bufio.NewReader(os.Stdin).ReadString('\n') // the end of the input is what is waited for
	if err := server.Stop(); err != nil {
		fmt.Println("error:", err)
		return 1
	}
	return 0
}

// openDir is a data directory that any user may enter.
func openDir(t *testing.T) string {
	t.Helper()
	dir, err := os.MkdirTemp("", "embedded-test-")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	if err := os.Chmod(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	return dir
}

func start(t *testing.T, dir string) *embedded.Server {
	t.Helper()
	server, err := embedded.Start(context.Background(), embedded.Options{DataDir: dir, Log: logger(t.Output())})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := server.Stop(); err != nil {
			t.Error(err)
		}
	})
	return server
}

func TestDataSurvivesStopAndStart(t *testing.T) {
	dir := openDir(t)
	server := start(t, dir)
	run(t, server.DSN(""), "CREATE TABLE kept AS SELECT 42 AS answer")
	for range 2 { // stopped twice is stopped
		if err := server.Stop(); err != nil {
			t.Fatal(err)
		}
	}
	select {
	case <-server.Exited():
	default:
		t.Error("Exited is open after Stop")
	}
	began := time.Now()
	server = start(t, dir)
	t.Logf("warm start %v", time.Since(began))
	if got := value(t, server.DSN("redrive"), "SELECT answer::text FROM kept"); got != "42" {
		t.Errorf("answer %q, want 42", got)
	}
}

func TestSettings(t *testing.T) {
	for name, value := range map[string]string{"PGDATABASE": "elsewhere", "PGPORT": "x", "PGHOST": "nowhere", "PGSERVICE": "none",
		"PGOPTIONS": "-c none=1", "PGCONNECT_TIMEOUT": "soon", "PGSSLMODE": "odd", "PGTZ": "nowhere", "PGDATA": "/nonexistent"} {
		t.Setenv(name, value)
	}
	server, err := embedded.Start(context.Background(), embedded.Options{DataDir: openDir(t), Settings: map[string]string{"max_connections": "33"}})
	if err != nil {
		t.Fatal(err)
	}
	defer server.Stop()
	for name, want := range map[string]string{"wal_level": "logical", "listen_addresses": "", "fsync": "on", "data_checksums": "on",
		"server_encoding": "UTF8", "max_connections": "33", "password_encryption": "scram-sha-256"} {
		if got := value(t, server.DSN(""), "SELECT current_setting('"+name+"')"); got != want {
			t.Errorf("%s is %q, want %q", name, got, want)
		}
	}
	wrong := strings.Replace(server.DSN(""), "app:", "app:x", 1)
	if conn, err := pgx.Connect(context.Background(), wrong); err == nil {
		_ = conn.Close(context.Background())
		t.Error("a wrong password is let in")
	}
}

func TestSecondStartIsRefused(t *testing.T) {
	dir := openDir(t)
	first := start(t, dir)
	link := filepath.Join(t.TempDir(), "same")
	if err := os.Symlink(dir, link); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{dir, link} {
		second, err := embedded.Start(context.Background(), embedded.Options{DataDir: name})
		if err == nil {
			_ = second.Stop()
			t.Fatalf("a second start on %s is let in", name)
		}
		if !strings.Contains(err.Error(), "is used by another redrive") || strings.Contains(err.Error(), "\n") {
			t.Errorf("error %q", err)
		}
	}
	if got := value(t, first.DSN(""), "SELECT 'alive'"); got != "alive" {
		t.Error("the first server has been disturbed")
	}
}

func TestBadDirectories(t *testing.T) {
	dir := openDir(t)
	if err := os.MkdirAll(filepath.Join(dir, "postgres", "holiday pictures"), 0o755); err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(dir, "file")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	for name, want := range map[string]string{"": "REDRIVE_DATA_DIR", file: "cannot be used", dir: "is not a Postgres cluster"} {
		server, err := embedded.Start(context.Background(), embedded.Options{DataDir: name})
		if err == nil {
			_ = server.Stop()
			t.Fatalf("%q is accepted", name)
		}
		if !strings.Contains(err.Error(), want) || strings.Contains(err.Error(), "\n") {
			t.Errorf("%q: error %q, want %q in it", name, err, want)
		}
	}
	if _, err := os.Stat(filepath.Join(dir, "postgres", "holiday pictures")); err != nil {
		t.Error("someone's files are gone:", err)
	}
}

func TestUnfinishedClusterIsReplaced(t *testing.T) {
	dir := openDir(t)
	if err := os.MkdirAll(filepath.Join(dir, "postgres.new", "base"), 0o700); err != nil {
		t.Fatal(err)
	}
	value(t, start(t, dir).DSN(""), "SELECT 'x'")
	if _, err := os.Stat(filepath.Join(dir, "postgres.new")); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("the unfinished cluster is still there: %v", err)
	}
}

func TestUnknownVersionIsNamed(t *testing.T) {
	dir := openDir(t)
	if err := os.Mkdir(filepath.Join(dir, "postgres"), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, "postgres", "PG_VERSION"), []byte("9.1\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	t.Setenv("PATH", t.TempDir()) // neither apt-get nor npm: nothing is downloaded here
	_, err := embedded.Start(context.Background(), embedded.Options{DataDir: dir})
	if err == nil || !strings.Contains(err.Error(), "install postgresql-9.1") {
		t.Errorf("error %v", err)
	}
	t.Setenv("PG_BIN", t.TempDir())
	if _, err := embedded.FindBinaries(""); err == nil || !strings.Contains(err.Error(), "PG_BIN") {
		t.Errorf("error %v", err)
	}
}

func TestKilledPostgresIsStartedAgain(t *testing.T) {
	dir := openDir(t)
	var said bytes.Buffer
	server, err := embedded.Start(context.Background(), embedded.Options{DataDir: dir, Log: logger(&said)})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = server.Stop() }) // also when a round fails; the result of the stop below counts
	run(t, server.DSN(""), "CREATE TABLE kept AS SELECT 0 AS round")
	for round := 1; round <= 3; round++ {
		busy := connect(t, server.DSN("")) // its backend outlives the postmaster for a moment
		before := postmaster(t, dir)
		kill(t, before)
		eventually(t, "another Postgres answers", func() error {
			ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
			defer cancel()
			conn, err := pgx.Connect(ctx, server.DSN(""))
			if err != nil {
				return err
			}
			defer conn.Close(ctx)
			_, err = conn.Exec(ctx, "UPDATE kept SET round = round + 1")
			return err
		})
		_ = busy.Close(context.Background())
		if after := postmaster(t, dir); after == before {
			t.Errorf("process %d again", after)
		}
	}
	if got := value(t, server.DSN(""), "SELECT round::text FROM kept"); got != "3" {
		t.Errorf("%s updates, want 3", got)
	}
	if err := server.Stop(); err != nil {
		t.Fatal(err)
	}
	if strings.Count(said.String(), "starting it again") < 3 {
		t.Errorf("the restarts are not logged: %s", &said)
	}
}

func TestRecoversFromKillOfEverything(t *testing.T) {
	dir := openDir(t)
	for round := range 3 {
		holder := startHolder(t, dir, nil)
		run(t, holder.dsn, "CREATE TABLE IF NOT EXISTS rounds (n int); INSERT INTO rounds VALUES ("+strconv.Itoa(round)+")")
		server := postmaster(t, dir)
		kill(t, holder.cmd.Process.Pid)
		kill(t, server)
		_ = holder.cmd.Wait() // it was killed
	}
	began := time.Now()
	server := start(t, dir)
	t.Logf("recovered in %v", time.Since(began))
	if got := value(t, server.DSN(""), "SELECT count(*)::text FROM rounds"); got != "3" {
		t.Errorf("%s rows, want 3", got)
	}
}

// A program that is killed alone takes its Postgres along, and the next start does not wait for anyone.
func TestRecoversFromKillOfTheProgram(t *testing.T) {
	dir := openDir(t)
	holder := startHolder(t, dir, nil)
	old := postmaster(t, dir)
	kill(t, holder.cmd.Process.Pid)
	_ = holder.cmd.Wait() // it was killed
	server := start(t, dir)
	if now := postmaster(t, dir); now == old {
		t.Errorf("process %d still serves", now)
	}
	value(t, server.DSN(""), "SELECT 'x'")
}

// Lock files of a killed Postgres may name a process that has nothing to do with it by now: it must live.
func TestForeignPidIsLeftAlone(t *testing.T) {
	dir := openDir(t)
	last := start(t, dir)
	if err := last.Stop(); err != nil {
		t.Fatal(err)
	}
	other := exec.Command("sleep", "600")
	if os.Geteuid() == 0 { // Postgres ignores processes of other users
		other.SysProcAttr = &syscall.SysProcAttr{Credential: account(t, "postgres", "nobody")}
	}
	if err := other.Start(); err != nil {
		t.Fatal(err)
	}
	defer func() { _ = other.Process.Kill(); _ = other.Wait() }()
	dsn, err := url.Parse(last.DSN(""))
	if err != nil {
		t.Fatal(err)
	}
	socket := dsn.Query().Get("host")
	if err := os.Mkdir(socket, 0o700); err != nil {
		t.Fatal(err)
	}
	lock := strconv.Itoa(other.Process.Pid) + "\n" + dir + "/postgres\n1\n5432\n/tmp\n\n  1 1\nready\n"
	for _, path := range []string{filepath.Join(dir, "postgres", "postmaster.pid"), filepath.Join(socket, ".s.PGSQL.5432.lock"), socket} {
		if path != socket {
			if err := os.WriteFile(path, []byte(lock), 0o600); err != nil {
				t.Fatal(err)
			}
		}
		if os.Geteuid() == 0 {
			give(t, path, account(t, "postgres", "nobody"))
		}
	}
	value(t, start(t, dir).DSN(""), "SELECT 'x'")
	if pid, err := syscall.Wait4(other.Process.Pid, nil, syscall.WNOHANG, nil); pid != 0 || err != nil {
		t.Errorf("the other process has been ended (%d, %v)", pid, err)
	}
}

// Root's own closed directories: Postgres, which is not root, must work there or the start must say so.
func TestClosedHomeOfRoot(t *testing.T) {
	dir := openDir(t)
	if err := os.Chmod(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	server, err := embedded.Start(context.Background(), embedded.Options{DataDir: filepath.Join(dir, "data"), Log: logger(t.Output())})
	if err != nil {
		if !strings.Contains(err.Error(), "set REDRIVE_DATA_DIR") {
			t.Fatal(err)
		}
		return // a system without user namespaces
	}
	if got := value(t, server.DSN(""), "SELECT 'alive'"); got != "alive" {
		t.Error("no answer")
	}
	if err := server.Stop(); err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(dir, 0o755); err != nil { // opened: now another user can do it, and the files change hands
		t.Fatal(err)
	}
	value(t, start(t, filepath.Join(dir, "data")).DSN(""), "SELECT 'x'")
}

// The whole life as a plain user, whoever runs the tests.
func TestPlainUser(t *testing.T) {
	dir := openDir(t)
	var who *syscall.Credential
	if os.Geteuid() == 0 {
		who = account(t, "nobody")
		give(t, dir, who)
	}
	holder := startHolder(t, dir, who)
	run(t, holder.dsn, "CREATE TABLE kept AS SELECT 1 AS n")
	holder.end(t)
	holder = startHolder(t, dir, who)
	if got := value(t, holder.dsn, "SELECT n::text FROM kept"); got != "1" {
		t.Errorf("n is %q", got)
	}
	second := holderCommand(t, dir, who)
	out, err := second.Output()
	if err == nil || !strings.Contains(string(out), "is used by another redrive") {
		t.Errorf("second start: %v, %s", err, out)
	}
	server := postmaster(t, dir)
	kill(t, holder.cmd.Process.Pid)
	kill(t, server)
	_ = holder.cmd.Wait() // it was killed
	startHolder(t, dir, who).end(t)
}

func TestCancelledStartLeavesNothing(t *testing.T) {
	dir := openDir(t)
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	if server, err := embedded.Start(ctx, embedded.Options{DataDir: dir}); err == nil {
		_ = server.Stop()
		t.Fatal("a cancelled start succeeds")
	}
	value(t, start(t, dir).DSN(""), "SELECT 'x'")
}
