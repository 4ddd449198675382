package filesend

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net"
	"os"
	"sync"
	"syscall"

	"github.com/pkg/sftp"
	"golang.org/x/crypto/ssh"
)

// Extensions of OpenSSH that other servers have too.
const (
	extensionLink  = "hardlink@openssh.com"
	extensionSync  = "fsync@openssh.com"
	extensionSpace = "statvfs@openssh.com"
	supported      = "1"
)

// remoteDirectory is a folder of an SFTP server.
type remoteDirectory struct {
	path   string
	files  *sftp.Client
	client *ssh.Client
	stop   func() bool
	ended  chan struct{}
	watch  sync.WaitGroup
}

func (d *remoteDirectory) has(extension string) bool {
	version, ok := d.files.HasExtension(extension)
	return ok && (version == supported || extension == extensionSpace)
}

// statusError is a status of the server that the library turns into an error of Go's own: what the server said is lost. It names the
// directory, not the file: failures are grouped by their words.
type statusError struct {
	path, status string
	cause        error
}

func (e *statusError) Error() string { return e.status + " at " + e.path }

// Unwrap returns the cause.
func (e *statusError) Unwrap() error { return e.cause }

// told puts into words what the library leaves of a status.
func (d *remoteDirectory) told(err error) error {
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return &statusError{d.path, "no such file, SSH_FX_NO_SUCH_FILE,", err}
	case errors.Is(err, fs.ErrPermission):
		return &statusError{d.path, "permission denied, SSH_FX_PERMISSION_DENIED,", err}
	}
	return err
}

func (d *remoteDirectory) list() ([]string, error) {
	entries, err := d.files.ReadDir(d.path)
	names := make([]string, len(entries))
	for n, e := range entries {
		names[n] = e.Name()
	}
	return names, d.told(err)
}

func (d *remoteDirectory) stat(name string) (fs.FileInfo, error) {
	info, err := d.files.Lstat(d.at(name))
	return info, d.told(err)
}

func (d *remoteDirectory) read(name string) (io.ReadCloser, error) {
	f, err := d.files.Open(d.at(name))
	if err != nil {
		return nil, d.told(err)
	}
	return f, nil
}

func (d *remoteDirectory) create(name string, r io.Reader, size int64) error {
	f, err := d.files.OpenFile(d.at(name), os.O_WRONLY|os.O_CREATE|os.O_EXCL)
	if err != nil {
		return d.explain(err)
	}
	err = d.fill(f, r, size)
	if closeErr := f.Close(); err == nil {
		err = closeErr
	}
	return d.explain(err)
}

func (d *remoteDirectory) fill(f *sftp.File, r io.Reader, size int64) error {
	if _, err := f.ReadFromWithConcurrency(r, 0); err != nil {
		return err
	}
	if d.has(extensionSync) {
		if err := f.Sync(); err != nil {
			return err
		}
	}
	info, err := f.Stat()
	if err == nil && info.Size() != size {
		err = fmt.Errorf("the server keeps %d of %d bytes", info.Size(), size)
	}
	return err
}

// explain asks what a failure without a reason may mean: SFTP has no word for a full or a read-only file system.
func (d *remoteDirectory) explain(err error) error {
	var status *sftp.StatusError
	if !errors.As(err, &status) || status.FxCode() != sftp.ErrSSHFxFailure || !d.has(extensionSpace) {
		return d.told(err)
	}
	space, askErr := d.files.StatVFS(d.path)
	const readOnly = 1
	switch {
	case askErr != nil:
		return err
	case space.Flag&readOnly != 0:
		return syscall.EROFS
	case space.Bavail == 0 || space.Files > 0 && space.Favail == 0:
		return syscall.ENOSPC
	}
	return err
}

// publish makes a second link where the server can: no server replaces a file by it. A plain rename, which some servers let
// replace a file, is used only elsewhere, and only when the name was free a moment ago. posix-rename always replaces.
func (d *remoteDirectory) publish(temporary, name string) error {
	if d.has(extensionLink) {
		if err := d.files.Link(d.at(temporary), d.at(name)); err == nil || isLost(err) {
			return err
		}
	}
	if _, err := d.stat(name); err == nil {
		return fs.ErrExist
	} else if !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	err := d.files.Rename(d.at(temporary), d.at(name))
	if err == nil || isLost(err) {
		return err
	}
	if _, statErr := d.stat(name); statErr == nil { // the server's reason is "failure"
		return fs.ErrExist
	}
	return d.explain(err)
}

func (d *remoteDirectory) remove(name string) error { return d.told(d.files.Remove(d.at(name))) }

// sync has no word in SFTP: OpenSSH syncs files, not directories.
func (d *remoteDirectory) sync() error { return nil }

func (d *remoteDirectory) close() {
	close(d.ended)
	_ = d.client.Close() // first: an orderly end would wait for a server that may be silent. Everything was acknowledged
	_ = d.files.Close()
	d.watch.Wait()
	d.stop()
}

// isLost says that the connection broke, so that nobody answered.
func isLost(err error) bool {
	var network *net.OpError
	return errors.Is(err, sftp.ErrSSHFxConnectionLost) || errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) ||
		errors.As(err, &network)
}
