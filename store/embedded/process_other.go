//go:build !linux

package embedded

import (
	"context"
	"strconv"
	"strings"
	"syscall"

	"redrive/delivery/programs"
)

// attributes run a program as the owner, out of reach of Ctrl-C. A killed redrive's Postgres is ended by the next start.
func (o owner) attributes() *syscall.SysProcAttr {
	attr := &syscall.SysProcAttr{Setpgid: true}
	if o.drop {
		attr.Credential = &syscall.Credential{Uid: uint32(o.uid), Gid: uint32(o.gid)}
	}
	return attr
}

// isPostmaster reports whether the process was started on the cluster's directory.
func isPostmaster(pid int, data string) bool {
	args, err := programs.Command(context.Background(), "ps", "-o", "args=", "-p", strconv.Itoa(pid)).Output()
	return err == nil && strings.Contains(string(args), "-D "+data+" ")
}
