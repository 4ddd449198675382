package filesend

import (
	"context"
	"errors"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"syscall"
)

// directory is a folder that this machine reaches.
type directory struct {
	ctx  context.Context // of the one attempt that uses it
	path string
}

func openDirectory(path string) func(context.Context) (folder, error) {
	return func(ctx context.Context) (folder, error) {
		// the directory is not created: an empty mount point must not take the files of the share that is missing
		info, err := os.Stat(path)
		if err == nil && !info.IsDir() {
			err = fs.ErrNotExist
		}
		return directory{ctx, path}, err
	}
}

func (d directory) at(name string) string { return filepath.Join(d.path, name) }

func (d directory) list() ([]string, error) {
	opened, err := os.Open(d.path)
	if err != nil {
		return nil, err
	}
	defer opened.Close()
	return opened.Readdirnames(-1)
}

func (d directory) stat(name string) (fs.FileInfo, error) { return os.Lstat(d.at(name)) }

func (d directory) read(name string) (io.ReadCloser, error) {
	f, err := os.Open(d.at(name))
	if err != nil {
		return nil, err
	}
	return &within{d.ctx, f}, nil
}

func (d directory) create(name string, r io.Reader, _ int64) error {
	f, err := os.OpenFile(d.at(name), os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o666) // the umask decides, as for any program
	if err != nil {
		return err
	}
	_, err = io.Copy(f, r)
	if err == nil {
		err = f.Sync()
	}
	return errors.Join(err, f.Close())
}

// publish makes a second link: no file system replaces a file by it. Where there are no links, a rename that is told not to.
func (d directory) publish(temporary, name string) error {
	err := os.Link(d.at(temporary), d.at(name))
	if errors.Is(err, syscall.EPERM) || errors.Is(err, syscall.ENOTSUP) || errors.Is(err, syscall.EOPNOTSUPP) ||
		errors.Is(err, syscall.ENOSYS) {
		return renameExclusively(d.at(temporary), d.at(name))
	}
	return err
}

func (d directory) remove(name string) error { return os.Remove(d.at(name)) }

func (d directory) sync() error {
	opened, err := os.Open(d.path)
	if err != nil {
		return err
	}
	err = opened.Sync()
	if errors.Is(err, syscall.EINVAL) || errors.Is(err, syscall.ENOTSUP) { // this file system cannot, or need not
		err = nil
	}
	return errors.Join(err, opened.Close())
}

func (d directory) close() {}

// within ends reading with the context.
type within struct {
	ctx context.Context
	io.ReadCloser
}

// Read is io.Reader's.
func (w *within) Read(p []byte) (int, error) {
	if err := w.ctx.Err(); err != nil {
		return 0, err
	}
	return w.ReadCloser.Read(p)
}
