package services

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"strconv"
	"syscall"
	"testing"
	"time"

	"github.com/jackc/pgx/v5/pgconn"
)

// PgBouncerVariable names the program; the test starter sets it.
const PgBouncerVariable = "REDRIVE_TEST_PGBOUNCER"

const pgBouncerPatience = 30 * time.Second

// FindPgBouncer returns the program's path.
func FindPgBouncer() (string, error) {
	return find("pgbouncer", "/usr/sbin/pgbouncer", "/usr/local/sbin/pgbouncer", "/opt/homebrew/bin/pgbouncer")
}

// StartPgBouncer puts a PgBouncer before the Postgres that dsn names, for one test, and returns the DSN that leads through it. Settings
// are lines of its configuration, such as "pool_mode = session".
func StartPgBouncer(t testing.TB, dsn string, settings ...string) string {
	t.Helper()
	path, err := FindPgBouncer()
	check(t, err)
	behind, err := pgconn.ParseConfig(dsn)
	check(t, err)
	dir, err := tempDir()
	check(t, err)
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	var run *process
	t.Cleanup(func() { run.kill() })
	var address string
	check(t, again(func() error {
		ports, err := freePorts(1)
		if err != nil {
			return err
		}
		address = net.JoinHostPort("127.0.0.1", strconv.Itoa(ports[0]))
		run, err = startPgBouncer(path, dir, behind, ports[0], settings)
		return err
	}))
	return fmt.Sprintf("postgres://%s@%s/%s?sslmode=disable", behind.User, address, behind.Database)
}

func startPgBouncer(path, dir string, behind *pgconn.Config, port int, settings []string) (*process, error) {
	text := fmt.Sprintf("[databases]\n* = host=%s port=%d user=%s password='%s'\n[pgbouncer]\nlisten_addr = "+
		"127.0.0.1\nlisten_port = %d\nunix_socket_dir =\nauth_type = any\n",
		behind.Host, behind.Port, behind.User, behind.Password, port)
	for _, line := range settings {
		text += line + "\n"
	}
	file := filepath.Join(dir, "pgbouncer.ini")
	if err := errors.Join(os.Chmod(dir, 0o755), os.WriteFile(file, []byte(text), 0o644)); err != nil { // another user reads it
		return nil, err
	}
	cmd := exec.Command(path, file)
	if os.Geteuid() == 0 { // it refuses to be root, and needs the way to the server's socket; changing its user itself, it would outlive us
		who, err := serversUser()
		if err != nil {
			return nil, err
		}
		cmd.SysProcAttr = &syscall.SysProcAttr{Credential: who}
	}
	run, err := launch(cmd, filepath.Join(dir, "log"))
	if err != nil {
		return nil, err
	}
	ctx, cancel := context.WithTimeout(context.Background(), pgBouncerPatience)
	defer cancel()
	err = run.ready(ctx, func(ctx context.Context) error {
		conn, err := (&net.Dialer{}).DialContext(ctx, "tcp", net.JoinHostPort("127.0.0.1", strconv.Itoa(port)))
		if err == nil {
			_ = conn.Close()
		}
		return err
	})
	if err != nil {
		run.kill()
	}
	return run, err
}

// serversUser is whom root runs the private Postgres as.
func serversUser() (*syscall.Credential, error) {
	who, err := user.Lookup("postgres")
	if err != nil {
		who, err = user.Lookup("nobody")
	}
	if err != nil {
		return nil, fmt.Errorf("looking for a user to run PgBouncer as: %w", err)
	}
	uid, errUID := strconv.ParseUint(who.Uid, 10, 32)
	gid, errGID := strconv.ParseUint(who.Gid, 10, 32)
	return &syscall.Credential{Uid: uint32(uid), Gid: uint32(gid)}, errors.Join(errUID, errGID)
}
