package store

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"net/url"
	"os"
	"path/filepath"
)

// Writable reports whether the database takes writes, without writing anything:
// CodeUnavailable or CodeInvalid in words when not.
func (s *Store) Writable(ctx context.Context) error {
	if err := s.writable(ctx); err != nil {
		return askError(s.where, err)
	}
	return nil
}

func (s *Store) writable(ctx context.Context) error {
	if s.Postgres() {
		var only string
		if err := s.db.QueryRowContext(ctx, `SHOW transaction_read_only`).Scan(&only); err != nil {
			return err
		}
		if only != "off" {
			return errReadOnly
		}
		return nil
	}
	tx, err := s.db.BeginTx(ctx, nil) // a writer's from the start: see dataSource
	if err != nil {
		return err
	}
	return tx.Rollback()
}

// errReadOnly: PostgreSQL takes no writes.
var errReadOnly = errors.New("transaction_read_only is on")

// Probe reports whether a database could be used that another process may have
// open, and that need not be there yet. It makes nothing and changes no schema.
// The errors are those of Open.
func Probe(ctx context.Context, target string, log *slog.Logger, opts ...Option) error {
	s := &Store{log: log, where: target, options: options{maxConnections: 1}}
	for _, o := range opts {
		o(&s.options)
	}
	s.options.maxConnections = 1
	err := s.look(ctx, target)
	if s.db != nil {
		err = errors.Join(err, s.db.Close())
	}
	if err != nil {
		return openError(s.where, err)
	}
	return nil
}

func (s *Store) look(ctx context.Context, target string) error {
	if IsPostgres(target) {
		if err := s.openPostgres(ctx, target); err != nil {
			return err
		}
		return s.writable(ctx)
	}
	if _, err := os.Stat(target); errors.Is(err, fs.ErrNotExist) {
		return writableFolder(filepath.Dir(target))
	}
	if err := writableFolder(filepath.Dir(target)); err != nil { // SQLite keeps files beside its own
		return err
	}
	db, err := sql.Open("sqlite", "file:"+(&url.URL{Path: target}).EscapedPath()+"?mode=rw&_txlock=immediate&_pragma=busy_timeout(5000)")
	if err != nil {
		return err
	}
	db.SetMaxOpenConns(1)
	s.db, s.on = db, session{on: db, dialect: onSQLite}
	return s.writable(ctx)
}

// writableFolder reports whether files can be made in a folder.
func writableFolder(folder string) error {
	f, err := os.CreateTemp(folder, ".watchtower-probe-*")
	if err != nil {
		return err
	}
	if err := errors.Join(f.Close(), os.Remove(f.Name())); err != nil {
		return fmt.Errorf("take away what was tried: %w", err)
	}
	return nil
}
