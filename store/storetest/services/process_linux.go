package services

import "syscall"

// attributes keep Ctrl-C from the program, and end it when whoever started it is killed.
func attributes() *syscall.SysProcAttr {
	return &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGKILL}
}
