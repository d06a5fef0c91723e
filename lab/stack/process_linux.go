package stack

import "syscall"

// childAttr puts a child in a process group of its own and has the kernel kill
// it when the lab is gone.
func childAttr() *syscall.SysProcAttr {
	return &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGKILL}
}
