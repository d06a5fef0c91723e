//go:build unix

package postgres

import (
	"context"
	"errors"
	"os"
	"sync"
	"testing"
)

// shared is the server of all tests of a process.
var shared struct {
	sync.Mutex
	server *Server
	err    error
}

// Main is a testing.M that stops the server its tests have shared. Give it to
// goleak.VerifyTestMain, or call Run.
type Main struct{ M *testing.M }

// Run runs the tests.
func (m Main) Run() int {
	status := m.M.Run()
	shared.Lock()
	defer shared.Unlock()
	if shared.server != nil {
		if err := shared.server.Stop(); err != nil {
			_, _ = os.Stderr.WriteString("stop PostgreSQL: " + err.Error() + "\n")
			status = max(status, 1)
		}
	}
	return status
}

// Shared is the server that all tests of a process share, which Main stops.
// Without PostgreSQL the test is skipped, and fails where CI=true.
func Shared(t testing.TB) *Server {
	t.Helper()
	shared.Lock()
	defer shared.Unlock()
	if shared.server == nil && shared.err == nil {
		shared.server, shared.err = Start(context.WithoutCancel(t.Context()))
	}
	if shared.err != nil {
		Missing(t, shared.err)
	}
	return shared.server
}

// Missing ends a test that has no PostgreSQL because of err.
func Missing(t testing.TB, err error) {
	t.Helper()
	if errors.Is(err, ErrMissing) && os.Getenv("CI") != "true" {
		t.Skipf("not tested on PostgreSQL: %v", err)
	}
	t.Fatalf("start PostgreSQL: %v", err)
}

// Fresh is the URL of an empty database of the shared server, which is dropped
// after the test.
func Fresh(t testing.TB) string {
	t.Helper()
	s := Shared(t)
	address, err := s.Create(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Drop(context.WithoutCancel(t.Context()), address); err != nil {
			t.Error(err)
		}
	})
	return address
}
