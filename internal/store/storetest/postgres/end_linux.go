package postgres

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"syscall"
)

// endWithParent has the server end with the tests, however they end.
func endWithParent(a *syscall.SysProcAttr) { a.Pdeathsig = syscall.SIGQUIT }

// removeSharedMemory removes a segment once nobody has it any more.
func removeSharedMemory(segment int) error {
	if segment < 0 {
		return nil
	}
	const remove = 0 // IPC_RMID
	_, _, errno := syscall.Syscall(syscall.SYS_SHMCTL, uintptr(segment), remove, 0)
	if errno != 0 && errno != syscall.EINVAL { // it is gone
		return errno
	}
	return nil
}

// Freeze has the server say nothing any more while its connections stay, as when its
// machine is cut off; Thaw has it go on.
func (s *Server) Freeze() error { return s.signalAll(syscall.SIGSTOP) }

// Thaw undoes Freeze.
func (s *Server) Thaw() error { return s.signalAll(syscall.SIGCONT) }

// signalAll sends a signal to the server and to the processes of its sessions.
func (s *Server) signalAll(sig syscall.Signal) error {
	all := s.cmd.Process.Signal(sig)
	stats, err := filepath.Glob("/proc/[0-9]*/stat")
	if err != nil {
		return err
	}
	for _, path := range stats {
		text, err := os.ReadFile(path)
		if err != nil {
			continue // it has ended
		}
		_, after, _ := strings.Cut(string(text), ") ")
		var state string
		var pid, parent int
		if _, err := fmt.Sscan(after, &state, &parent); err != nil || parent != s.cmd.Process.Pid {
			continue
		}
		if _, err := fmt.Sscan(string(text), &pid); err == nil {
			all = errors.Join(all, syscall.Kill(pid, sig))
		}
	}
	return all
}
