package embedded

import (
	"bytes"
	"context"
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"

	"redrive/delivery/scratch"
)

// passwordFile lies inside the cluster, so that the two are created, moved and deleted together.
const passwordFile = "redrive.password"

// clusterVersion is the major version that wrote the cluster, empty when there is none.
func clusterVersion(data string) (string, error) {
	raw, err := os.ReadFile(filepath.Join(data, "PG_VERSION"))
	if errors.Is(err, fs.ErrNotExist) {
		return "", nil
	}
	if err != nil {
		return "", fmt.Errorf("reading the cluster in %s: %w", data, err)
	}
	return strings.TrimSpace(string(raw)), nil
}

// initCluster creates the cluster beside its place and renames it: a start that is killed leaves no half cluster.
func (s *Server) initCluster(ctx context.Context, dir string) error {
	if entries, err := os.ReadDir(s.data); err == nil && len(entries) > 0 {
		return fmt.Errorf("directory %s is not a Postgres cluster: move it away or set REDRIVE_DATA_DIR to another "+
			"directory", s.data)
	}
	fresh := filepath.Join(dir, "postgres.new")
	secret := filepath.Join(dir, "postgres.new.password")
	defer func() { _ = os.Remove(secret) }()
	if err := errors.Join(os.RemoveAll(fresh), os.RemoveAll(secret)); err != nil {
		return fmt.Errorf("removing an unfinished cluster: %w", err)
	}
	raw := make([]byte, 24)
	_, _ = rand.Read(raw) // never fails, see crypto/rand
	err := errors.Join(os.WriteFile(secret, []byte(hex.EncodeToString(raw)), 0o600), os.Mkdir(fresh, 0o700))
	if err != nil {
		return fmt.Errorf("creating the cluster: %w", err)
	}
	if err := errors.Join(s.owner.take(fresh), s.owner.take(secret)); err != nil {
		return err
	}
	began := time.Now()
	if err := s.initdb(ctx, fresh, secret); err != nil {
		return err
	}
	if err := os.Rename(secret, filepath.Join(fresh, passwordFile)); err != nil {
		return fmt.Errorf("keeping the cluster's password: %w", err)
	}
	if err := os.Remove(s.data); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("creating the cluster: %w", err)
	}
	if err := os.Rename(fresh, s.data); err != nil {
		return fmt.Errorf("creating the cluster: %w", err)
	}
	s.log.Info("created the embedded Postgres", "directory", s.data, "took", time.Since(began).Round(time.Millisecond))
	return nil
}

func (s *Server) initdb(ctx context.Context, fresh, secret string) error {
	cmd := s.command(filepath.Join(s.bin, "initdb"), "-D", fresh, "-U", superuser, "-A", "scram-sha-256", "--pwfile", secret,
		"-E", "UTF8", "--no-locale", "-k", "-N")
	cmd.Dir = fresh
	var out bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &out
	if err := cmd.Start(); err != nil {
		return fmt.Errorf("running initdb: %w", err)
	}
	done := context.AfterFunc(ctx, func() { _ = cmd.Process.Kill() })
	defer done()
	if err := cmd.Wait(); err != nil {
		return fmt.Errorf("initdb could not create the cluster in %s: %w: %s", s.data, err, lastLine(out.String()))
	}
	return nil
}

func lastLine(text string) string {
	lines := strings.Split(strings.TrimSpace(text), "\n")
	for _, line := range slices.Backward(lines) {
		if strings.Contains(line, "error:") || strings.Contains(line, "FATAL:") {
			return line
		}
	}
	return lines[len(lines)-1]
}

func (s *Server) readPassword() error {
	raw, err := os.ReadFile(filepath.Join(s.data, passwordFile))
	if err != nil {
		return fmt.Errorf("the cluster in %s is not one of redrive's, or its password cannot be read: %w", s.data, err)
	}
	s.password = strings.TrimSpace(string(raw))
	return nil
}

// arguments are the server's settings: on the command line, so that a cluster follows the program's version.
func (s *Server) arguments() []string {
	settings := map[string]string{
		"listen_addresses":          "",
		"port":                      port,
		"unix_socket_directories":   s.socket.Path,
		"unix_socket_permissions":   "0700",
		"wal_level":                 "logical",
		"max_slot_wal_keep_size":    "1GB",
		"max_prepared_transactions": "20",
		"max_connections":           "100",
		"shared_buffers":            sharedBuffers(),
		"log_destination":           "stderr",
		"logging_collector":         "off",
		// statements carry payloads, which belong in no log
		"log_min_messages":        "fatal",
		"log_min_error_statement": "panic",
		"log_error_verbosity":     "terse",
		"log_line_prefix":         "",
	}
	for name, value := range s.settings {
		settings[name] = value
	}
	args := []string{"-D", s.data}
	for name, value := range settings {
		args = append(args, "-c", name+"="+value)
	}
	return args
}

// socketDir makes the private directory of the socket. Its name comes from the cluster's, so that a restart finds the same
// one, and it lies in the system's temp because a socket's path may have 107 bytes at most.
func socketDir(data string, o owner) (*scratch.Folder, error) {
	sum := sha256.Sum256([]byte(data))
	name := "redrive-" + strconv.Itoa(o.uid) + "-" + hex.EncodeToString(sum[:8])
	dir := filepath.Join(os.TempDir(), name)
	if len(dir) > 80 || !o.enters(os.TempDir()) {
		dir = filepath.Join("/tmp", name)
	}
	if info, err := os.Lstat(dir); err == nil {
		stat, ok := info.Sys().(*syscall.Stat_t)
		if !ok || !info.IsDir() || (int(stat.Uid) != o.uid && int(stat.Uid) != os.Geteuid()) {
			return nil, fmt.Errorf("directory %s belongs to someone else: remove it", dir)
		}
	}
	folder, err := scratch.Make(dir)
	if err != nil {
		return nil, fmt.Errorf("the socket's directory: %w", err)
	}
	if err = os.Chmod(dir, 0o700); err == nil {
		err = o.take(dir)
	}
	if err != nil {
		return nil, errors.Join(fmt.Errorf("closing %s to others: %w", dir, err), folder.Remove())
	}
	return folder, nil
}

// errSharedMemory means that processes of a killed Postgres still hold its memory: they end by themselves.
var errSharedMemory = errors.New("processes of the last Postgres are still ending")

// clearLeftovers puts away what a killed Postgres left behind. The lock on the data directory is held, so nobody else
// can be the owner.
func (s *Server) clearLeftovers() error {
	for _, name := range []string{".s.PGSQL." + port, ".s.PGSQL." + port + ".lock"} {
		if err := os.Remove(filepath.Join(s.socket.Path, name)); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return fmt.Errorf("removing the last Postgres' socket: %w", err)
		}
	}
	path := filepath.Join(s.data, "postmaster.pid")
	raw, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("reading the last Postgres' pid: %w", err)
	}
	first, rest, _ := strings.Cut(string(raw), "\n")
	if pid, err := strconv.Atoi(strings.TrimSpace(first)); err == nil && pid > 1 && pid != os.Getpid() &&
		isPostmaster(pid, s.data) {
		if err := endLeftover(pid, s.data); err != nil {
			return err
		}
	}
	// Not deleted: Postgres reads the shared memory's id from it, and takes a file that carries its parent's pid as its own.
	err = overwrite(path, strconv.Itoa(os.Getpid())+"\n"+rest)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("taking over the last Postgres' pid file: %w", err)
	}
	return nil
}

// overwrite keeps the file's owner and creates nothing: a Postgres that is ending may remove its pid file meanwhile, and a
// new file of root's would shut the next one out.
func overwrite(path, text string) error {
	file, err := os.OpenFile(path, os.O_WRONLY|os.O_TRUNC, 0)
	if err != nil {
		return err
	}
	_, err = file.WriteString(text)
	return errors.Join(err, file.Close())
}

// endLeftover stops a Postgres whose redrive was killed; it has been told already where the system can do that.
func endLeftover(pid int, data string) error {
	for _, signal := range []syscall.Signal{syscall.SIGINT, syscall.SIGQUIT, syscall.SIGKILL} {
		_ = syscall.Kill(pid, signal) // an error means that it has gone
		for deadline := time.Now().Add(10 * time.Second); time.Now().Before(deadline); time.Sleep(10 * time.Millisecond) {
			if !isPostmaster(pid, data) {
				return nil
			}
		}
	}
	return fmt.Errorf("the last Postgres, process %d, cannot be stopped: end it by hand", pid)
}
