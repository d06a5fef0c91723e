//go:build unix && !linux

package postgres

import "syscall"

// endWithParent: only Linux ends a process with its parent.
func endWithParent(*syscall.SysProcAttr) {}
