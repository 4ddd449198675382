package filesend

import (
	"os"
	"syscall"
	"testing"

	"redrive/delivery"
)

// mountDisk mounts a small file system that only this process sees.
func mountDisk(dir, size string) {
	if err := syscall.Mount("", "/", "", syscall.MS_REC|syscall.MS_PRIVATE, ""); err != nil {
		panic(err)
	}
	if err := syscall.Mount("none", dir, "tmpfs", 0, "size="+size); err != nil {
		panic(err)
	}
}

// namespace gives a process mounts of its own; a plain user becomes root in it to be allowed to mount.
func namespace() *syscall.SysProcAttr {
	a := &syscall.SysProcAttr{Cloneflags: syscall.CLONE_NEWNS}
	if os.Geteuid() != 0 {
		a.Cloneflags |= syscall.CLONE_NEWUSER
		a.UidMappings = []syscall.SysProcIDMap{{ContainerID: 0, HostID: os.Getuid(), Size: 1}}
		a.GidMappings = []syscall.SysProcIDMap{{ContainerID: 0, HostID: os.Getgid(), Size: 1}}
	}
	return a
}

// A real disk that is full: whoever may not have a namespace sees TestNoSpaceLeft do the same with /dev/full.
func TestAFullDisk(t *testing.T) {
	if probe, err := os.StartProcess("/bin/true", []string{"true"}, &os.ProcAttr{Sys: namespace()}); err != nil {
		t.Skipf("this machine gives no mount namespace: %v", err)
	} else {
		_, _ = probe.Wait()
	}
	dir := t.TempDir()
	f := describe(name, noise(400_000))
	d := delivery.FileDestination{Dir: dir, Manifest: true}
	for disk, want := range map[string]string{"128k": "transient no_space 0", "8m": "ok  2"} {
		if got, _ := kill(t, job{To: d, File: f, Size: 400_000, Attempt: 1, Disk: disk, Stop: -1}, namespace()); got != want {
			t.Errorf("on a disk of %s: %s, want %s", disk, got, want)
		}
	}
}
