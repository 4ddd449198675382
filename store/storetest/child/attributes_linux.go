package child

import "syscall"

func endsWithParent(attributes *syscall.SysProcAttr) {
	if attributes.Pdeathsig == 0 {
		attributes.Pdeathsig = syscall.SIGKILL
	}
}
