package filesend

import (
	"context"
	"io"
	"os"
	"path/filepath"
	"syscall"
	"testing"

	"redrive/delivery"
)

func TestDirectoriesThatDoNotWork(t *testing.T) {
	content := noise(1000)
	f := describe(name, content)
	send := func(dir string) delivery.Result {
		return newSender(t, delivery.FileDestination{Dir: dir}, keep(f.ID, content)).Send(t.Context(), request(f, 1))
	}
	file := filepath.Join(t.TempDir(), "file")
	write(t, filepath.Dir(file), "file", nil)
	for _, missing := range []string{filepath.Join(t.TempDir(), "missing"), file, filepath.Join(file, "below")} {
		expect(t, send(missing), delivery.OutcomeTransient, delivery.ClassNotFound)
	}
	closed := t.TempDir()
	if err := os.Chmod(closed, 0o555); err != nil {
		t.Fatal(err)
	}
	if os.Geteuid() == 0 { // whom no mode stops; but nobody creates a file here
		closed = "/sys/kernel"
	}
	expect(t, send(closed), delivery.OutcomePermanent, delivery.ClassDenied)
}

// failing is a real directory which is full when half of a file is written.
type failing struct{ folder }

func (f *failing) create(name string, r io.Reader, size int64) error {
	if err := f.folder.create(name, io.LimitReader(r, size/2), size); err != nil {
		return err
	}
	full, err := os.OpenFile("/dev/full", os.O_WRONLY, 0)
	if os.IsNotExist(err) { // not Linux
		return syscall.ENOSPC
	}
	if err != nil {
		return err
	}
	defer full.Close()
	_, err = io.Copy(full, r) // the kernel's own answer
	return err
}

func TestNoSpaceLeft(t *testing.T) {
	dir := t.TempDir()
	content := noise(500_000)
	f := describe(name, content)
	s := newSender(t, delivery.FileDestination{Dir: dir}, keep(f.ID, content)).(*Sender)
	open := s.open
	s.open = func(ctx context.Context) (folder, error) {
		d, err := open(ctx)
		return &failing{d}, err
	}
	expect(t, s.Send(t.Context(), request(f, 1)), delivery.OutcomeTransient, delivery.ClassNoSpace)
	holds(t, dir, nil)
	s.open = open
	expect(t, s.Send(t.Context(), request(f, 2)), delivery.OutcomeOK, "")
	holds(t, dir, map[string][]byte{name: content})
}

// What the system says, in our words.
func TestErrorsOfFileSystems(t *testing.T) {
	for err, want := range map[error]delivery.Result{
		syscall.ENOSPC: transient(delivery.ClassNoSpace, ""), syscall.EDQUOT: transient(delivery.ClassNoSpace, ""), syscall.EROFS: permanent(delivery.ClassDenied, ""),
		syscall.EACCES: permanent(delivery.ClassDenied, ""), syscall.EPERM: permanent(delivery.ClassDenied, ""), syscall.ENOENT: transient(delivery.ClassNotFound, ""),
		syscall.EFBIG: permanent(delivery.ClassTooLarge, ""), syscall.ENAMETOOLONG: permanent(delivery.ClassBadRequest, ""), syscall.EIO: transient(delivery.ClassStorage, ""),
		syscall.ENOSYS: permanent(delivery.ClassStorage, ""),
	} {
		expect(t, judge(t.Context(), &os.PathError{Op: "write", Path: "p", Err: err}), want.Outcome, want.ErrorClass)
	}
}

func TestRenameWithoutLinks(t *testing.T) {
	dir := t.TempDir()
	write(t, dir, "a", []byte("a"))
	write(t, dir, "b", []byte("b"))
	if err := renameExclusively(filepath.Join(dir, "a"), filepath.Join(dir, "b")); !os.IsExist(err) {
		t.Errorf("onto a file: %v", err)
	}
	if err := renameExclusively(filepath.Join(dir, "a"), filepath.Join(dir, "c")); err != nil {
		t.Error(err)
	}
	holds(t, dir, map[string][]byte{"b": []byte("b"), "c": []byte("a")})
}
