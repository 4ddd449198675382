//go:build linux || darwin

package client

import (
	"os"
	"syscall"
	"unsafe"
)

// columns is the width of a screen, 0 when it does not say.
func columns(f *os.File) int {
	var size struct{ rows, columns, x, y uint16 }
	// the one way to ask
	_, _, failed := syscall.Syscall(syscall.SYS_IOCTL, f.Fd(), syscall.TIOCGWINSZ, uintptr(unsafe.Pointer(&size)))
	if failed != 0 {
		return 0
	}
	return int(size.columns)
}
