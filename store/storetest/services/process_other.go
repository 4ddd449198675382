//go:build !linux

package services

import "syscall"

// attributes keep Ctrl-C from the program.
func attributes() *syscall.SysProcAttr { return &syscall.SysProcAttr{Setpgid: true} }
