// Package store keeps what cannot be measured again: releases, verdicts, the
// summaries of their evidence, actions, firing alerts and the audit. It is one
// SQLite file with one connection, which River's jobs share, so that a verdict
// and the jobs it causes are one transaction.
//
// Never hold a transaction over network I/O: everything else waits for it.
package store

import (
	"context"
	"database/sql"
	"fmt"
	"log/slog"
	"net/url"
	"time"

	_ "modernc.org/sqlite" // the driver, by the name "sqlite"
)

// Store is an open database. It is safe for concurrent use; everything runs
// one after the other on its single connection.
type Store struct {
	db   *sql.DB
	lock *fileLock
	log  *slog.Logger
}

// Open opens the database at path, makes it if it does not exist and brings
// its schema up to date. Errors are *release.Error: CodeUnavailable when
// another Watchtower holds the file or it cannot be written, CodeInvalid when
// it is no database or was written by a newer Watchtower.
func Open(ctx context.Context, path string, log *slog.Logger) (*Store, error) {
	lock, err := acquireLock(path + ".lock")
	if err != nil {
		return nil, openError(path, err)
	}
	db, err := sql.Open("sqlite", dataSource(path, nil))
	if err != nil {
		lock.release()
		return nil, openError(path, err)
	}
	// One connection: SQLite has one writer, and with a pool a read could
	// otherwise fail as busy while River writes.
	db.SetMaxOpenConns(1)
	db.SetMaxIdleConns(1)
	s := &Store{db: db, lock: lock, log: log}
	if err := s.migrate(ctx, log); err != nil {
		s.Close()
		return nil, openError(path, err)
	}
	return s, nil
}

// dataSource is the driver's name of the file with the pragmas every
// connection needs.
func dataSource(path string, extra url.Values) string {
	q := url.Values{
		"_txlock": {"immediate"},
		"_pragma": {
			"busy_timeout(5000)",
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

// Close closes the database. Jobs that use it must have stopped.
func (s *Store) Close() error {
	err := s.db.Close()
	s.lock.release()
	if err != nil {
		return fmt.Errorf("close the database: %w", err)
	}
	return nil
}

// DB is the connection, for River. Its transactions are those of Write.
func (s *Store) DB() *sql.DB { return s.db }

// Ping reports whether the database answers.
func (s *Store) Ping(ctx context.Context) error {
	var one int
	if err := s.db.QueryRowContext(ctx, `SELECT 1`).Scan(&one); err != nil {
		return fmt.Errorf("ask the database: %w", err)
	}
	return nil
}

// querier is what a transaction and the database have in common.
type querier interface {
	ExecContext(ctx context.Context, query string, args ...any) (sql.Result, error)
	QueryContext(ctx context.Context, query string, args ...any) (*sql.Rows, error)
	QueryRowContext(ctx context.Context, query string, args ...any) *sql.Row
}

// Tx is one transaction of Write.
type Tx struct {
	ctx context.Context //nolint:containedctx // a Tx lives no longer than the call that made it
	tx  *sql.Tx
}

// SQL is the transaction itself, to insert River jobs with.
func (t *Tx) SQL() *sql.Tx { return t.tx }

// Write runs f in one transaction, which is committed when f returns nil and
// leaves nothing behind otherwise. Inside f use only the Tx: the Store's own
// methods would wait for the connection that f holds.
func (s *Store) Write(ctx context.Context, f func(tx *Tx) error) error {
	tx, err := s.db.BeginTx(ctx, nil)
	if err != nil {
		return fmt.Errorf("begin a transaction: %w", err)
	}
	defer func() { _ = tx.Rollback() }() // no effect after Commit
	if err := f(&Tx{ctx: ctx, tx: tx}); err != nil {
		return err
	}
	if err := tx.Commit(); err != nil {
		return fmt.Errorf("commit a transaction: %w", err)
	}
	return nil
}

func millis(t time.Time) int64 { return t.UnixMilli() }

func fromMillis(ms int64) time.Time { return time.UnixMilli(ms).UTC() }
