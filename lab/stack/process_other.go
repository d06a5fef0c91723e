//go:build !linux

package stack

import "syscall"

// childAttr puts a child in a process group of its own. Outside Linux nothing
// ends it when the lab is killed with a signal it cannot catch.
func childAttr() *syscall.SysProcAttr {
	return &syscall.SysProcAttr{Setpgid: true}
}
