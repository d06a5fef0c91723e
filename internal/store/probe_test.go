package store_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/watchtower-verify/watchtower/internal/release"
	"github.com/watchtower-verify/watchtower/internal/store"
	"github.com/watchtower-verify/watchtower/internal/store/storetest/postgres"
)

func TestAFileIsTriedWithoutMakingIt(t *testing.T) {
	dir := t.TempDir()
	file := filepath.Join(dir, "w.db")
	if err := store.Probe(t.Context(), file, quiet); err != nil {
		t.Error(err)
	}
	if left, err := os.ReadDir(dir); err != nil || len(left) > 0 {
		t.Errorf("it left %v, %v", left, err)
	}
	err := store.Probe(t.Context(), filepath.Join(dir, "none", "w.db"), quiet)
	if release.ErrorCode(err) != release.CodeInvalid || !strings.Contains(err.Error(), "its directory does not exist") {
		t.Errorf("a folder that is not there: %v", err)
	}
}

func TestAFileIsTriedWhileAServerHasItOpen(t *testing.T) {
	file := filepath.Join(t.TempDir(), "w.db")
	s, err := store.Open(t.Context(), file, quiet)
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	if err := store.Probe(t.Context(), file, quiet); err != nil {
		t.Errorf("the file of a server: %v", err)
	}
	if err := s.Writable(t.Context()); err != nil {
		t.Error(err)
	}
	if _, err := s.Schema(t.Context()); err != nil {
		t.Errorf("the server is disturbed: %v", err)
	}
}

func TestAFileThatIsNoDatabaseIsTold(t *testing.T) {
	file := filepath.Join(t.TempDir(), "w.db")
	if err := os.WriteFile(file, []byte(strings.Repeat("no database. ", 100)), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := store.Probe(t.Context(), file, quiet); err == nil || !strings.Contains(err.Error(), "not a SQLite database") {
		t.Errorf("got %v", err)
	}
}

func TestADatabaseThatTakesNoWritesIsTold(t *testing.T) {
	url := postgres.Fresh(t)
	if err := store.Probe(t.Context(), url, quiet); err != nil {
		t.Fatal(err)
	}
	between := "?"
	if strings.Contains(url, "?") {
		between = "&"
	}
	err := store.Probe(t.Context(), url+between+"default_transaction_read_only=on", quiet)
	if release.ErrorCode(err) != release.CodeUnavailable || !strings.Contains(err.Error(), "it is read-only") {
		t.Errorf("got %v", err)
	}
}
