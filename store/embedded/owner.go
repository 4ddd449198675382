package embedded

import (
	"context"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"runtime"
	"strconv"
	"syscall"

	"redrive/delivery/programs"
)

// owner is the user that Postgres runs as: it refuses root.
type owner struct {
	uid, gid  int  // who owns the files, as this process sees it
	drop      bool // run as uid and gid
	namespace bool // root's own files, under another user's number inside a user namespace
	insideUID int
	insideGID int
}

// chooseOwner returns the caller itself, or for root a user that can enter both the data directory and the binaries.
func chooseOwner(dir, bin string) (owner, error) {
	self := owner{uid: os.Geteuid(), gid: os.Getegid()}
	if self.uid != 0 {
		return self, nil
	}
	for _, name := range []string{"postgres", "nobody"} {
		account, err := user.Lookup(name)
		if err != nil {
			continue
		}
		uid, _ := strconv.Atoi(account.Uid)
		gid, _ := strconv.Atoi(account.Gid)
		for _, candidate := range []owner{
			{uid: uid, gid: gid, drop: true},
			{namespace: true, insideUID: uid, insideGID: gid},
		} {
			if candidate.namespace && runtime.GOOS != "linux" {
				continue
			}
			if candidate.runs(filepath.Join(bin, "postgres")) && candidate.enters(dir) {
				return candidate, nil
			}
		}
	}
	return owner{}, fmt.Errorf("%w: Postgres does not run as root and no other user can enter %s: choose a directory "+
		"like /var/lib/redrive, or start redrive as a plain user", ErrDataDir, dir)
}

// runs reports whether the owner can execute the binary.
func (o owner) runs(binary string) bool { return o.try(binary, "/", "--version") }

// enters reports whether the owner can work in the directory.
func (o owner) enters(dir string) bool {
	shell, err := exec.LookPath("sh")
	return err == nil && o.try(shell, dir, "-c", "true")
}

// try runs a command as the owner: the directory is entered after the change of user.
func (o owner) try(path, dir string, args ...string) bool {
	cmd := programs.Command(context.Background(), path, args...)
	cmd.Dir = dir
	cmd.SysProcAttr = o.attributes()
	return cmd.Run() == nil
}

// take gives a file or tree to the owner, when root runs for someone else or has changed its mind.
func (o owner) take(path string) error {
	if os.Geteuid() != 0 {
		return nil
	}
	info, err := os.Lstat(path)
	if err != nil {
		return fmt.Errorf("giving %s to Postgres: %w", path, err)
	}
	if stat, ok := info.Sys().(*syscall.Stat_t); ok && int(stat.Uid) == o.uid && int(stat.Gid) == o.gid {
		return nil
	}
	err = filepath.WalkDir(path, func(entry string, _ fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if entry == path && info.IsDir() {
			return nil // last, so that an interrupted change is taken up again
		}
		return os.Lchown(entry, o.uid, o.gid)
	})
	if err == nil {
		err = os.Lchown(path, o.uid, o.gid)
	}
	if err != nil {
		return fmt.Errorf("giving %s to Postgres: %w", path, err)
	}
	return nil
}
