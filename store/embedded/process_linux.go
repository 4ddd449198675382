package embedded

import (
	"os"
	"path/filepath"
	"strconv"
	"syscall"
)

// attributes run a program as the owner, out of reach of Ctrl-C, and stop it when the forking thread ends.
func (o owner) attributes() *syscall.SysProcAttr {
	attr := &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGINT}
	switch {
	case o.drop:
		attr.Credential = &syscall.Credential{Uid: uint32(o.uid), Gid: uint32(o.gid)}
	case o.namespace:
		attr.Cloneflags = syscall.CLONE_NEWUSER
		attr.UidMappings = []syscall.SysProcIDMap{{ContainerID: o.insideUID, HostID: o.uid, Size: 1}}
		attr.GidMappings = []syscall.SysProcIDMap{{ContainerID: o.insideGID, HostID: o.gid, Size: 1}}
		attr.Credential = &syscall.Credential{Uid: uint32(o.insideUID), Gid: uint32(o.insideGID), NoSetGroups: true}
	}
	return attr
}

// isPostmaster reports whether the process works in the cluster's directory, as only its server does.
func isPostmaster(pid int, data string) bool {
	cwd, err := os.Readlink(filepath.Join("/proc", strconv.Itoa(pid), "cwd"))
	return err == nil && cwd == data
}
