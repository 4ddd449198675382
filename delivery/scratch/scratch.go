// Package scratch makes directories in the system's temp that do not outlive their owner: a lock says that it lives, the kernel
// lets go of it after kill -9 too, and whoever starts next removes what nobody holds.
package scratch

import (
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"regexp"
	"sync"
	"syscall"
	"time"
)

const (
	ownerFile = ".owner"
	// A directory without the lock is being made, or was left by a version that had none.
	unmarked = time.Hour
)

// ours are the directories that Sweep looks at.
var ours = regexp.MustCompile(`^redrive-((test|bench|triage)-[0-9]+|[0-9]+-[0-9a-f]{16})$`)

// Folder is a directory that is removed by its owner, or by the next start.
type Folder struct {
	Path string
	lock *os.File
}

// Data makes the directory for what the program keeps. Others may pass, as Postgres must that runs as another user, and see nothing: each
// directory in it is its owner's alone.
func Data(dir string) error { return os.MkdirAll(dir, 0o711) }

var swept sync.Once

// SweepOnce removes what others have left in the system's temp, once in a process.
func SweepOnce() { swept.Do(func() { Sweep(os.TempDir()) }) }

// New makes a directory that only this user can enter; kind is test, bench or triage.
func New(kind string) (*Folder, error) {
	SweepOnce()
	return in("", kind)
}

// NewIn is New in another directory than the system's temp, where it sweeps as well.
func NewIn(dir, kind string) (*Folder, error) {
	Sweep(dir)
	return in(dir, kind)
}

func in(dir, kind string) (*Folder, error) {
	for {
		path, err := os.MkdirTemp(dir, "redrive-"+kind+"-")
		if err != nil {
			return nil, fmt.Errorf("creating a directory for temporary files: %w", err)
		}
		f, err := Hold(path)
		if !errors.Is(err, errGone) {
			return f, err
		}
	}
}

var errGone = errors.New("the directory was taken for one that was left")

// Hold marks an existing directory as this process's until Remove, or until the process ends.
func Hold(path string) (*Folder, error) {
	file, err := os.OpenFile(filepath.Join(path, ownerFile), os.O_CREATE|os.O_RDWR, 0o600)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, errGone
	}
	if err != nil {
		return nil, fmt.Errorf("marking %s as used: %w", path, err)
	}
	if err := syscall.Flock(int(file.Fd()), syscall.LOCK_EX|syscall.LOCK_NB); err != nil {
		_ = file.Close()
		return nil, errGone // a sweep has it, or had it in this moment
	}
	mine, err := file.Stat()
	now, gone := os.Stat(file.Name())
	if err != nil || gone != nil || !os.SameFile(mine, now) {
		_ = file.Close()
		return nil, errGone
	}
	f := &Folder{Path: path, lock: file}
	held.Store(f, path)
	return f, nil
}

// held keeps the locks of those that nobody remembers: a file that is collected is closed, and its lock is gone.
var held sync.Map

// Make creates the directory that it is told, or takes the one that is there, and holds it.
func Make(path string) (*Folder, error) {
	for range 100 { // each time a sweep was faster
		if err := os.Mkdir(path, 0o700); err != nil && !errors.Is(err, fs.ErrExist) {
			return nil, fmt.Errorf("creating %s: %w", path, err)
		}
		f, err := Hold(path)
		if !errors.Is(err, errGone) {
			return f, err
		}
		time.Sleep(10 * time.Millisecond) // until the sweep is through
	}
	return nil, fmt.Errorf("directory %s is used by another process", path)
}

// Remove takes the directory away with all that is in it.
func (f *Folder) Remove() error {
	held.Delete(f)
	return errors.Join(os.RemoveAll(f.Path), f.lock.Close())
}

// Sweep removes from dir what nobody holds any more. What it cannot look into or remove stays.
func Sweep(dir string) {
	entries, _ := os.ReadDir(dir) // a directory that cannot be read belongs to another user
	for _, entry := range entries {
		if entry.IsDir() && ours.MatchString(entry.Name()) {
			sweepOne(filepath.Join(dir, entry.Name()))
		}
	}
}

func sweepOne(path string) {
	info, err := os.Lstat(path)
	if err != nil || !owned(info) {
		return
	}
	file, err := os.OpenFile(filepath.Join(path, ownerFile), os.O_RDWR|syscall.O_NOFOLLOW, 0)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		if time.Since(info.ModTime()) > unmarked && !inUse(path) {
			_ = os.RemoveAll(path)
		}
		return
	case err != nil:
		return
	}
	defer file.Close()
	if syscall.Flock(int(file.Fd()), syscall.LOCK_EX|syscall.LOCK_NB) == nil {
		_ = os.RemoveAll(path)
	}
}

// owned reports whether this user may take the directory away: it is his, or he is root.
func owned(info fs.FileInfo) bool {
	stat, ok := info.Sys().(*syscall.Stat_t)
	return ok && (os.Geteuid() == 0 || int(stat.Uid) == os.Geteuid())
}

// inUse looks for the signs of life that an older version leaves: a locked data directory, a socket that answers.
func inUse(path string) bool {
	if file, err := os.OpenFile(filepath.Join(path, "postgres.lock"), os.O_RDWR, 0); err == nil {
		defer file.Close()
		if syscall.Flock(int(file.Fd()), syscall.LOCK_EX|syscall.LOCK_NB) != nil {
			return true
		}
	}
	sockets, _ := filepath.Glob(filepath.Join(path, ".s.PGSQL.*[0-9]")) // the pattern is fine
	for _, socket := range sockets {
		if conn, err := net.DialTimeout("unix", socket, time.Second); err == nil {
			_ = conn.Close()
			return true
		}
	}
	return false
}
