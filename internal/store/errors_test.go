package store

import (
	"database/sql"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/watchtower-verify/watchtower/internal/release"
)

func TestAFaultOfTheDatabaseIsSaidInWords(t *testing.T) {
	dir := t.TempDir()
	ask := func(extra url.Values, statements ...string) error {
		db, err := sql.Open("sqlite", dataSource(filepath.Join(dir, "w.db"), extra))
		if err != nil {
			return err
		}
		defer db.Close()
		db.SetMaxOpenConns(1)
		for _, s := range statements {
			if _, err := db.ExecContext(t.Context(), s); err != nil {
				return err
			}
		}
		return nil
	}
	if err := ask(nil, `CREATE TABLE t (a TEXT)`); err != nil {
		t.Fatal(err)
	}
	holder, err := sql.Open("sqlite", dataSource(filepath.Join(dir, "w.db"), nil))
	if err != nil {
		t.Fatal(err)
	}
	defer holder.Close()

	for _, test := range []struct {
		name  string
		err   func(t *testing.T) error
		code  release.Code
		words string
	}{
		{"a read-only file", func(*testing.T) error {
			return ask(url.Values{"mode": {"ro"}}, `INSERT INTO t VALUES ('x')`)
		}, release.CodeUnavailable, "read-only"},
		{"a disk that is full", func(*testing.T) error {
			return ask(nil, `PRAGMA max_page_count = 3`, `INSERT INTO t VALUES (zeroblob(1000000))`)
		}, release.CodeUnavailable, "disk is full"},
		{"a file another program writes", func(t *testing.T) error {
			tx, err := holder.BeginTx(t.Context(), nil)
			if err != nil {
				t.Fatal(err)
			}
			defer tx.Rollback() //nolint:errcheck // the lock is all it was for
			return ask(nil, `PRAGMA busy_timeout = 1`, `INSERT INTO t VALUES ('x')`)
		}, release.CodeUnavailable, "another program has it locked"},
		{"a directory without permission", func(*testing.T) error {
			return &os.PathError{Op: "open", Path: "w.db.lock", Err: syscall.EACCES}
		}, release.CodeUnavailable, "cannot be written"},
		{"no room for the lock", func(*testing.T) error {
			return &os.PathError{Op: "open", Path: "w.db.lock", Err: syscall.ENOSPC}
		}, release.CodeUnavailable, "the disk is full"},
		{"a read-only file system", func(*testing.T) error {
			return &os.PathError{Op: "open", Path: "w.db.lock", Err: syscall.EROFS}
		}, release.CodeUnavailable, "cannot be written"},
	} {
		t.Run(test.name, func(t *testing.T) {
			err := test.err(t)
			if err == nil {
				t.Fatal("there was no fault")
			}
			got := openError("w.db", err)
			if release.ErrorCode(got) != test.code || !strings.Contains(got.Error(), test.words) {
				t.Errorf("%q (%s), want %q (%s)", got, release.ErrorCode(got), test.words, test.code)
			}
		})
	}
}
