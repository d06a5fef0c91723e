//go:build unix && !linux

package postgres

import (
	"errors"
	"syscall"
)

// endWithParent: only Linux ends a process with its parent.
func endWithParent(*syscall.SysProcAttr) {}

// removeSharedMemory leaves it to the system's own tools.
func removeSharedMemory(int) error { return nil }

// Freeze is for Linux.
func (s *Server) Freeze() error { return errors.ErrUnsupported }

// Thaw is for Linux.
func (s *Server) Thaw() error { return errors.ErrUnsupported }
