package filesend

import (
	"os"
	"path/filepath"
	"syscall"
	"testing"

	"redrive/delivery"
	"redrive/store/storetest/services"
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
	probe, err := os.StartProcess("/bin/true", []string{"true"}, &os.ProcAttr{Sys: namespace()})
	if err != nil {
		t.Skipf("this machine gives no mount namespace: %v", err)
	}
	_, _ = probe.Wait()
	fill := func(j job) {
		j.File, j.Size, j.Attempt, j.Stop, j.To.Manifest = describe(name, noise(400_000)), 400_000, 1, -1, true
		for disk, want := range map[string]string{"128k": "transient no_space 0", "8m": "ok  2"} {
			j.Disk = disk
			if got, _ := kill(t, j, namespace()); got != want {
				t.Errorf("on a disk of %s: %s, want %s", disk, got, want)
			}
		}
	}
	fill(job{To: delivery.FileDestination{Dir: t.TempDir()}})
	if os.Geteuid() != 0 {
		t.Log("sshd does not start in a plain user's namespace: only root sees a full disk of a server")
		return
	}
	s := services.StartSSHD(t)
	s.Kill()
	path, err := services.FindSSHD()
	if err != nil {
		t.Fatal(err)
	}
	fill(job{To: delivery.FileDestination{SFTP: at(s)}, Serve: []string{path, "-D", "-e", "-f", filepath.Join(filepath.Dir(s.Key), "sshd_config")}})
}
