//go:build !linux

package child

import "syscall"

func endsWithParent(*syscall.SysProcAttr) {} // only Linux can; Kill does it in order
