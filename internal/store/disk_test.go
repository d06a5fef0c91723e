package store_test

import (
	"errors"
	"os"
	"path/filepath"
	"testing"

	"github.com/watchtower-verify/watchtower/internal/release"
	"github.com/watchtower-verify/watchtower/internal/store"
	"github.com/watchtower-verify/watchtower/internal/store/storetest"
	"github.com/watchtower-verify/watchtower/internal/store/storetest/postgres"
	"github.com/watchtower-verify/watchtower/internal/store/storetest/smalldisk"
)

// fillUp saves releases until the database has no room, and answers with how many
// it took and what it said of the next.
func fillUp(t *testing.T, s *store.Store, saved int) (int, error) {
	t.Helper()
	for range 2000 {
		if err := save(t.Context(), s, saved+1); err != nil {
			return saved, err
		}
		saved++
	}
	t.Fatal("the disk does not become full")
	return saved, nil
}

// readsGoOn fails unless what is there can be read.
func readsGoOn(t *testing.T, s *store.Store, saved int) {
	t.Helper()
	if list, err := s.Releases(t.Context(), store.Filter{Limit: 1}); err != nil || len(list) != 1 {
		t.Errorf("the list holds %d releases, %v", len(list), err)
	}
	if rec, err := s.Release(t.Context(), storetest.Release("webapp", saved).ID); err != nil || len(rec.Verdict.Evidence) != 2 {
		t.Errorf("the last release that was saved is %+v, %v", rec, err)
	}
	if err := s.Ping(t.Context()); err != nil {
		t.Errorf("it does not answer: %v", err)
	}
}

func TestADiskThatIsReallyFullLosesNothing(t *testing.T) {
	smalldisk.On(t, "3m", func(t *testing.T, dir string) {
		path := filepath.Join(dir, "w.db")
		s := database{path}.Open(t)
		defer func() { s.Close() }()
		if err := save(t.Context(), s, 1); err != nil {
			t.Fatal(err)
		}
		free := smalldisk.Fill(t, dir)
		saved, err := fillUp(t, s, 1) // the log beside the file has some room left
		wantFault(t, err, release.CodeUnavailable, "the disk is full")
		wantFault(t, s.Ready(t.Context()), release.CodeUnavailable, "the disk is full")
		if n := s.WritesFailed(); n != 1 {
			t.Errorf("%d writes failed, want 1", n)
		}
		readsGoOn(t, s, saved)
		wantWhole(t, s, saved)

		// A start has no room for what SQLite keeps beside the file.
		if err := s.Close(); err != nil {
			t.Errorf("closed on a full disk: %v", err)
		}
		refused, err := store.Open(t.Context(), path, quiet)
		if err == nil {
			refused.Close()
			t.Error("it was opened without any room")
		}
		wantFault(t, err, release.CodeUnavailable, path+": the disk is full; make room on it")

		free()
		s = database{path}.Open(t)
		wantWhole(t, s, saved)
		if err := save(t.Context(), s, saved+1); err != nil {
			t.Fatalf("once there is room again: %v", err)
		}
		if err := s.Ready(t.Context()); err != nil {
			t.Errorf("once there is room again: %v", err)
		}
		wantWhole(t, s, saved+1)
	})
}

func TestAFileIsNotMadeOnAFullDisk(t *testing.T) {
	smalldisk.On(t, "1m", func(t *testing.T, dir string) {
		path := filepath.Join(dir, "w.db")
		free := smalldisk.Fill(t, dir)
		s, err := store.Open(t.Context(), path, quiet)
		if err == nil {
			s.Close()
			t.Fatal("it was made without any room")
		}
		wantFault(t, err, release.CodeUnavailable, "full")
		free()
		s = database{path}.Open(t) // what was begun is no hindrance
		defer s.Close()
		if err := save(t.Context(), s, 1); err != nil {
			t.Error(err)
		}
		wantWhole(t, s, 1)
	})
}

func TestADiskOfPostgreSQLThatIsReallyFullLosesNothing(t *testing.T) {
	smalldisk.On(t, "96m", func(t *testing.T, dir string) {
		t.Setenv("TMPDIR", dir)
		server, err := postgres.Start(t.Context(), "max_wal_size=32MB", "min_wal_size=32MB", "autovacuum=off")
		if err != nil {
			postgres.Missing(t, err)
		}
		defer server.Stop() //nolint:errcheck // it is gone either way
		s := database{server.URL("postgres")}.OpenFor(t, "lab")
		defer s.Close()
		if err := save(t.Context(), s, 1); err != nil {
			t.Fatal(err)
		}
		free := smalldisk.Fill(t, dir)
		saved, err := fillUp(t, s, 1)
		wantFault(t, err, release.CodeUnavailable, "its disk is full")
		wantFault(t, s.Ready(t.Context()), release.CodeUnavailable, "its disk is full")
		readsGoOn(t, s, saved)
		wantWhole(t, s, saved)
		free()
		if err := save(t.Context(), s, saved+1); err != nil {
			t.Fatalf("once there is room again: %v", err)
		}
		wantWhole(t, s, saved+1)
	})
}

func TestADiskThatIsReadOnlyIsSaidInWords(t *testing.T) {
	smalldisk.On(t, "8m", func(t *testing.T, dir string) {
		path := filepath.Join(dir, "w.db")
		s := database{path}.Open(t)
		if err := save(t.Context(), s, 1); err != nil {
			t.Fatal(err)
		}
		if err := s.Close(); err != nil {
			t.Fatal(err)
		}
		smalldisk.ReadOnly(t, dir)
		s, err := store.Open(t.Context(), path, quiet)
		if err == nil {
			s.Close()
			t.Fatal("it was opened")
		}
		wantFault(t, err, release.CodeUnavailable, path+": it cannot be written; check the owner and mode of the file and its directory")
	})
}

func TestAFileOrDirectoryOfSomebodyElseIsSaidInWords(t *testing.T) {
	for _, test := range []struct {
		name      string
		dir, file os.FileMode
		code      release.Code
		words     string
	}{
		{"a directory that may not be written", 0o555, 0o666, release.CodeUnavailable, "cannot be written; check the owner and mode of the file and its directory"},
		{"a file that may not be written", 0o777, 0o444, release.CodeUnavailable, "it is read-only; check the owner and mode of the file and its directory"},
		{"a file that may not be read", 0o777, 0o000, release.CodeInvalid, "it cannot be opened; is it a directory? If not, check the owner and mode of the file and its directory"},
	} {
		t.Run(test.name, func(t *testing.T) {
			dir := t.TempDir()
			path := filepath.Join(dir, "w.db")
			s := database{path}.Open(t)
			if err := errors.Join(save(t.Context(), s, 1), s.Close(), os.Chmod(path, test.file)); err != nil {
				t.Fatal(err)
			}
			if err := os.Remove(path + ".lock"); err != nil {
				t.Fatal(err)
			}
			if err := os.Chmod(dir, test.dir); err != nil {
				t.Fatal(err)
			}
			err := openAsNobody(t, path)
			wantFault(t, err, test.code, test.words)
			if err := os.Chmod(dir, 0o755); err != nil {
				t.Fatal(err)
			}
			if err := os.Chmod(path, 0o644); err != nil {
				t.Fatal(err)
			}
			s = database{path}.Open(t)
			defer s.Close()
			wantWhole(t, s, 1)
		})
	}
}

func TestAFileThatAnotherProgramHasLockedIsWaitedForAndSaidInWords(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "w.db")
	s := database{path}.Open(t)
	defer s.Close()
	other := locker(t, path)
	err := save(t.Context(), s, 1)
	wantFault(t, err, release.CodeUnavailable, path+": another program has it locked")
	wantFault(t, s.Ready(t.Context()), release.CodeUnavailable, "another program has it locked")
	if _, err := s.Releases(t.Context(), store.Filter{}); err != nil {
		t.Errorf("reads wait for it too: %v", err)
	}
	other()
	if err := save(t.Context(), s, 1); err != nil {
		t.Fatalf("once it is free again: %v", err)
	}
	wantWhole(t, s, 1)
}
