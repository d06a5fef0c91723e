package store

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"io/fs"
	"net/url"
	"os"

	"modernc.org/sqlite"
)

func (s *Store) openSQLite(_ context.Context, path string) error {
	if s.options.manual {
		if _, err := os.Stat(path); errors.Is(err, fs.ErrNotExist) {
			return fmt.Errorf("%w: there is no such file yet", errOlderSchema)
		}
	}
	lock, err := acquireLock(path + ".lock")
	if err != nil {
		return err
	}
	connector, err := sqlite.NewConnector(dataSource(path, nil))
	if err != nil {
		lock.release()
		return err
	}
	db := sql.OpenDB(preparing{connector})
	// One connection: SQLite has one writer, and with a pool a read could
	// otherwise fail as busy while River writes.
	db.SetMaxOpenConns(1)
	db.SetMaxIdleConns(1)
	s.db, s.lock, s.on = db, lock, session{on: db, dialect: onSQLite}
	return nil
}

// dataSource is the driver's name of the file with the pragmas every
// connection needs.
func dataSource(path string, extra url.Values) string {
	q := url.Values{
		"_txlock": {"immediate"},
		"_pragma": {
			"busy_timeout(5000)",
			"auto_vacuum(2)", // of a new file: room is given back a little at a time
			"journal_mode(WAL)",
			"foreign_keys(1)",
			// A commit survives a power cut: an action must not be forgotten after
			// its effect.
			"synchronous(FULL)",
			"cache_size(-1024)", // KiB
			"journal_size_limit(8388608)",
		},
	}
	for k, v := range extra {
		q[k] = v
	}
	return "file:" + (&url.URL{Path: path}).EscapedPath() + "?" + q.Encode()
}
