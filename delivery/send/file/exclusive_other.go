//go:build !linux && !darwin

package filesend

import "syscall"

// renameExclusively does not exist here: a plain rename would replace a file.
func renameExclusively(_, _ string) error { return syscall.ENOSYS }
