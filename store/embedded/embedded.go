// Package embedded runs a private Postgres as a child process: no network port, one data directory, one owner.
package embedded

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"

	"redrive/delivery/programs"
	"redrive/delivery/scratch"
)

// DefaultDatabase exists in every cluster that Start has answered for.
const DefaultDatabase = "redrive"

const (
	superuser    = "app"
	startTimeout = 60 * time.Second
	port         = "5432" // names the socket file only: nothing listens on the network
)

// Options says where the cluster lives.
type Options struct {
	// DataDir holds the cluster in its folder postgres.
	DataDir string
	// Log may be nil.
	Log *slog.Logger
	// Settings are further server settings; they win over ours. Tests and benchmarks use them.
	Settings map[string]string
}

// Server is a running Postgres that is started again when it dies.
type Server struct {
	log      *slog.Logger
	settings map[string]string
	bin      string
	data     string          // the cluster
	socket   *scratch.Folder // directory of the socket
	owner    owner
	password string
	lock     *os.File
	joined   bool // another process runs it: nothing here ends it

	stop    chan struct{} // closed by Stop
	exited  chan struct{} // closed when no Postgres runs and none will be started
	once    sync.Once
	stopErr error
}

// Start brings the cluster of the data directory up, creating it first when it is missing. ctx bounds the start only: the
// server runs until Stop.
func Start(ctx context.Context, opts Options) (*Server, error) {
	ctx, cancel := context.WithTimeout(ctx, startTimeout+5*time.Minute) // an installation may have to come first
	defer cancel()
	if err := forgetCallersSettings(); err != nil {
		return nil, err
	}
	s := &Server{log: opts.Log, settings: opts.Settings, stop: make(chan struct{}), exited: make(chan struct{})}
	if s.log == nil {
		s.log = slog.New(slog.DiscardHandler)
	}
	dir, err := prepareDataDir(opts.DataDir)
	if err != nil {
		return nil, err
	}
	if s.lock, err = lockDir(dir); err != nil {
		return nil, err
	}
	if err := s.open(ctx, dir); err != nil {
		_ = s.lock.Close()
		return nil, err
	}
	return s, nil
}

var errInUse = errors.New("used by another redrive")

// ErrDataDir is what an error wraps when the data directory cannot serve as one.
var ErrDataDir = errors.New("REDRIVE_DATA_DIR")

// forgetCallersSettings takes libpq's variables (PGSERVICE, PGOPTIONS and so on) out of this process: pgx would read them
// beside the DSN, and they speak of another server.
func forgetCallersSettings() error {
	for _, entry := range os.Environ() {
		name, _, _ := strings.Cut(entry, "=")
		if !strings.HasPrefix(name, "PG") || strings.HasPrefix(name, "PG_") {
			continue
		}
		if err := os.Unsetenv(name); err != nil {
			return fmt.Errorf("forgetting %s: %w", name, err)
		}
	}
	return nil
}

func prepareDataDir(dir string) (string, error) {
	if dir == "" {
		return "", fmt.Errorf("%w: the embedded Postgres needs a data directory", ErrDataDir)
	}
	abs, err := filepath.Abs(dir)
	if err == nil {
		err = scratch.Data(abs)
	}
	if err == nil {
		abs, err = filepath.EvalSymlinks(abs) // one directory has one lock, one hash, whatever it is called
	}
	if err != nil {
		return "", fmt.Errorf("%w: the directory %s cannot be used: %w", ErrDataDir, dir, err)
	}
	return abs, nil
}

// lockDir keeps a second program out for as long as this one lives; the kernel releases it after kill -9 too.
func lockDir(dir string) (*os.File, error) {
	file, err := os.OpenFile(filepath.Join(dir, "postgres.lock"), os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return nil, fmt.Errorf("%w: the directory %s cannot be used: %w", ErrDataDir, dir, err)
	}
	if err := syscall.Flock(int(file.Fd()), syscall.LOCK_EX|syscall.LOCK_NB); err != nil {
		_ = file.Close()
		if errors.Is(err, syscall.EWOULDBLOCK) {
			return nil, fmt.Errorf("data directory %s is %w: stop that one or set REDRIVE_DATA_DIR to another directory",
				dir, errInUse)
		}
		return nil, fmt.Errorf("data directory %s cannot be locked: %w", dir, err)
	}
	return file, nil
}

func (s *Server) open(ctx context.Context, dir string) error {
	s.data = filepath.Join(dir, "postgres")
	version, err := clusterVersion(s.data)
	if err != nil {
		return err
	}
	if s.bin, err = ensureBinaries(ctx, version, s.log); err != nil {
		return err
	}
	if s.owner, err = chooseOwner(dir, s.bin); err != nil {
		return err
	}
	if version == "" {
		if err := s.initCluster(ctx, dir); err != nil {
			return err
		}
	}
	if err := s.readPassword(); err != nil {
		return err
	}
	if err := s.owner.take(s.data); err != nil {
		return err
	}
	if s.socket, err = socketDir(s.data, s.owner); err != nil {
		return err
	}
	return s.launch(ctx)
}

// launch starts the supervisor and waits until the server answers.
func (s *Server) launch(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, startTimeout)
	defer cancel()
	ready := make(chan error, 1)
	go s.supervise(ready)
	var err error
	select {
	case err = <-ready:
	case <-ctx.Done():
		err = fmt.Errorf("the embedded Postgres did not answer in time: %w", ctx.Err())
	}
	if err == nil {
		err = s.createDatabase(ctx)
	}
	if err == nil {
		err = s.divide(ctx)
	}
	if err != nil {
		s.end()
	}
	return err
}

// supervise keeps a Postgres running until Stop. The first start's result goes to ready; later failures are retried.
// It owns its thread: the kernel sends the parent-death signal when the *thread* that forked ends.
func (s *Server) supervise(ready chan<- error) {
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	defer close(s.exited)
	for attempt := 0; ; attempt++ {
		err := s.runOnce(func() {
			attempt = 0
			if ready != nil {
				ready <- nil
				ready = nil
				return
			}
			s.log.Info("the embedded Postgres runs again")
		})
		if s.stopping() {
			if ready != nil {
				ready <- errors.New("the embedded Postgres was stopped while it was starting")
			}
			return
		}
		if ready != nil && !errors.Is(err, errSharedMemory) {
			ready <- err
			return
		}
		if ready == nil {
			s.log.Error("the embedded Postgres ended, starting it again", "error", err)
		}
		if attempt == maxRestarts {
			s.log.Error("the embedded Postgres cannot be kept running, giving up", "restarts", attempt)
			if ready != nil {
				ready <- err
			}
			return
		}
		s.pause(attempt)
	}
}

// maxRestarts in a row without one that answered: about a minute.
const maxRestarts = 30

func (s *Server) pause(attempt int) {
	select {
	case <-s.stop:
	case <-time.After(min(time.Duration(attempt+1)*100*time.Millisecond, 2*time.Second)):
	}
}

func (s *Server) stopping() bool {
	select {
	case <-s.stop:
		return true
	default:
		return false
	}
}

// runOnce starts Postgres and waits for its end; answered is called when it takes connections.
func (s *Server) runOnce(answered func()) error {
	if err := s.clearLeftovers(); err != nil {
		return err
	}
	cmd := s.command(filepath.Join(s.bin, "postgres"), s.arguments()...)
	output, err := captureOutput(cmd, s.log)
	if err != nil {
		return err
	}
	err = cmd.Start()
	output.started()
	if err != nil {
		return fmt.Errorf("starting Postgres: %w", err)
	}
	died := make(chan error, 1)
	go func() { died <- cmd.Wait() }()
	if err := s.untilAnswers(died); err != nil {
		return output.explain(err)
	}
	if s.stopping() {
		return terminate(cmd.Process, died)
	}
	answered()
	select {
	case err := <-died:
		return output.explain(exitError(err))
	case <-s.stop:
		return terminate(cmd.Process, died)
	}
}

func exitError(err error) error {
	if err == nil {
		return errors.New("Postgres ended by itself")
	}
	return fmt.Errorf("Postgres ended: %w", err)
}

// untilAnswers waits until the server takes connections; Stop ends the wait without an error.
func (s *Server) untilAnswers(died chan error) error {
	tick := time.NewTicker(15 * time.Millisecond)
	defer tick.Stop()
	for {
		select {
		case err := <-died:
			return exitError(err)
		case <-s.stop:
			return nil
		case <-tick.C:
			if s.ping(context.Background()) {
				return nil
			}
		}
	}
}

// ping reports whether the server answers; an answer that refuses the password counts, createDatabase reports it.
func (s *Server) ping(ctx context.Context) bool {
	ctx, cancel := context.WithTimeout(ctx, 2*time.Second)
	defer cancel()
	conn, err := pgx.Connect(ctx, s.DSN("postgres"))
	if err == nil {
		_ = conn.Close(ctx)
		return true
	}
	var refused *pgconn.PgError
	return errors.As(err, &refused) && refused.Code == "28P01"
}

// terminate asks for a fast shutdown, then insists.
func terminate(process *os.Process, died <-chan error) error {
	for _, step := range []struct {
		signal syscall.Signal
		wait   time.Duration
	}{{syscall.SIGINT, 20 * time.Second}, {syscall.SIGQUIT, 5 * time.Second}, {syscall.SIGKILL, 5 * time.Second}} {
		_ = process.Signal(step.signal) // an error means it has gone, which died reports
		select {
		case <-died:
			return nil
		case <-time.After(step.wait):
		}
	}
	return fmt.Errorf("Postgres process %d cannot be stopped", process.Pid)
}

func (s *Server) createDatabase(ctx context.Context) error {
	conn, err := pgx.Connect(ctx, s.DSN("postgres"))
	if err != nil {
		return fmt.Errorf("connecting to the embedded Postgres in %s: %w", s.data, err)
	}
	defer func() { _ = conn.Close(context.WithoutCancel(ctx)) }()
	var exists bool
	if err := conn.QueryRow(ctx, "SELECT EXISTS (SELECT FROM pg_database WHERE datname = $1)", DefaultDatabase).
		Scan(&exists); err != nil {
		return fmt.Errorf("looking for database %s: %w", DefaultDatabase, err)
	}
	if exists {
		return nil
	}
	if _, err := conn.Exec(ctx, "CREATE DATABASE "+pgx.Identifier{DefaultDatabase}.Sanitize()); err != nil {
		return fmt.Errorf("creating database %s: %w", DefaultDatabase, err)
	}
	return nil
}

// DSN is the URL of a database on this server as its superuser, for pgx; an empty name means DefaultDatabase. The program does not work as
// that: see ProgramDSN.
func (s *Server) DSN(database string) string { return s.dsn(superuser, s.password, database) }

func (s *Server) dsn(role, password, database string) string {
	if database == "" {
		database = DefaultDatabase
	}
	query := url.Values{"host": {s.socket.Path}, "port": {port}, "sslmode": {"disable"}}
	dsn := url.URL{
		Scheme:   "postgres",
		User:     url.UserPassword(role, password),
		Path:     "/" + database,
		RawQuery: query.Encode(),
	}
	return dsn.String()
}

// Stop shuts Postgres down and frees the data directory. It may be called again.
func (s *Server) Stop() error {
	if s.joined {
		return nil
	}
	s.end()
	return s.stopErr
}

func (s *Server) end() {
	s.once.Do(func() {
		close(s.stop)
		<-s.exited
		_ = s.socket.Remove()
		s.stopErr = s.lock.Close()
	})
}

// Exited is closed when Postgres has ended for good: after Stop, or when it could not be kept running.
func (s *Server) Exited() <-chan struct{} { return s.exited }

// command prepares a Postgres program: as the owner, in the cluster's directory.
func (s *Server) command(path string, args ...string) *exec.Cmd {
	cmd := programs.Command(context.Background(), path, args...)
	cmd.Dir = s.data
	cmd.SysProcAttr = s.owner.attributes()
	return cmd
}
