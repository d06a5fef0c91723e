package postgres

import "syscall"

// endWithParent has the server end with the tests, however they end.
func endWithParent(a *syscall.SysProcAttr) { a.Pdeathsig = syscall.SIGQUIT }
