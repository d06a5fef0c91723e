package store

import (
	"errors"
	"fmt"
	"io/fs"
	"syscall"

	"modernc.org/sqlite"
	lib "modernc.org/sqlite/lib"

	"github.com/watchtower-verify/watchtower/internal/release"
)

// openError says in words why a database cannot be used.
func openError(where string, err error) error {
	code, why := explain(err)
	return release.E(code, fmt.Sprintf("open the database %s: %s", where, why), err)
}

// askError says in words why a database does not do what it is asked to.
func askError(where string, err error) error {
	code, why := explain(err)
	if code == release.CodeInternal {
		return err // its own words are all there is
	}
	return release.E(code, fmt.Sprintf("the database %s: %s", where, why), err)
}

// worded is askError for what comes of a caller's function, whose own errors
// stay as they are.
func worded(where string, err error) error {
	var known *release.Error
	if errors.As(err, &known) {
		return err
	}
	return askError(where, err)
}

// InWords says in words when the database is why something else that uses it
// failed, such as River: CodeUnavailable then, the error as it is otherwise.
func (s *Store) InWords(err error) error {
	s.inWords(&err)
	return err
}

// inWords is worded for what is read. Whatever keeps the database from answering,
// whoever asked is not at fault: the code is CodeUnavailable.
func (s *Store) inWords(err *error) {
	if *err == nil {
		return
	}
	// A caller's own words stay.
	var known *release.Error
	if errors.As(*err, &known) {
		return
	}
	if code, why := explain(*err); code != release.CodeInternal {
		*err = release.E(release.CodeUnavailable, fmt.Sprintf("the database %s: %s", s.where, why), *err)
	}
}

func explain(err error) (release.Code, string) {
	switch {
	case errors.Is(err, errLocked):
		return release.CodeUnavailable, "another Watchtower has it open; stop that one first, or give each a file of its own"
	case errors.Is(err, errNewerSchema):
		return release.CodeInvalid, "this Watchtower is too old for it; run the newer version again, or restore a backup made before the upgrade"
	case errors.Is(err, errOlderSchema):
		return release.CodeInvalid, "its schema must be brought up to date first: run `watchtower store migrate`, or let Watchtower do it (store.migrate: auto)"
	case errors.Is(err, errBadURL):
		return release.CodeInvalid, "write its URL as postgres://user@host:5432/database"
	case errors.Is(err, errPasswordFile):
		return release.CodeInvalid, "check store.password_file"
	case errors.Is(err, errReadOnly):
		return release.CodeUnavailable, "it is read-only; is this a standby? Add target_session_attrs=read-write to the URL"
	case isPostgres(err):
		return explainPostgres(err)
	case errors.Is(err, fs.ErrNotExist):
		return release.CodeInvalid, "its directory does not exist"
	case errors.Is(err, syscall.ENOSPC), errors.Is(err, syscall.EDQUOT):
		return release.CodeUnavailable, "the disk is full; make room on it, and what waits is done"
	case errors.Is(err, fs.ErrPermission), errors.Is(err, syscall.EROFS):
		return release.CodeUnavailable, "it cannot be written; check the owner and mode of the file and its directory"
	}
	var e *sqlite.Error
	if !errors.As(err, &e) {
		if lost(err) {
			return release.CodeUnavailable, "the connection to it was lost"
		}
		return release.CodeInternal, "something unforeseen"
	}
	switch e.Code() & 0xff { // the primary code without its extension
	case lib.SQLITE_NOTADB:
		return release.CodeInvalid, "the file is not a SQLite database"
	case lib.SQLITE_CORRUPT:
		return release.CodeInvalid, "the file is damaged; restore a backup"
	case lib.SQLITE_BUSY, lib.SQLITE_LOCKED:
		return release.CodeUnavailable, "another program has it locked"
	case lib.SQLITE_READONLY, lib.SQLITE_PERM:
		return release.CodeUnavailable, "it is read-only; check the owner and mode of the file and its directory"
	case lib.SQLITE_CANTOPEN:
		return release.CodeInvalid, "it cannot be opened; is it a directory? If not, check the owner and mode of the file and its directory"
	case lib.SQLITE_FULL:
		return release.CodeUnavailable, "the disk is full; make room on it, and what waits is done"
	case lib.SQLITE_IOERR:
		return release.CodeUnavailable, "the disk does not answer as it should"
	}
	return release.CodeInternal, "something unforeseen"
}
