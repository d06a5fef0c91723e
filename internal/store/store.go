// Package store keeps what cannot be measured again: releases, verdicts, the
// summaries of their evidence, actions, firing alerts and the audit. It is one
// SQLite file, for one Watchtower, or a PostgreSQL database, for any number of
// replicas and clusters. River's jobs are in the same database, so that a
// verdict and the jobs it causes are one transaction.
//
// Never hold a transaction over network I/O: everything else waits for it.
package store

import (
	"context"
	"database/sql"
	"fmt"
	"hash/fnv"
	"log/slog"
	"strings"
	"sync/atomic"
	"time"

	"github.com/watchtower-verify/watchtower/internal/release"
)

// Store is an open database. It is safe for concurrent use. With SQLite
// everything runs one after the other on a single connection.
type Store struct {
	db      *sql.DB
	on      session // the database, asked in its dialect
	lock    *fileLock
	log     *slog.Logger
	where   string // what errors call the database; without its password
	options options
	// contested: the right to act was taken from a process that may still live.
	contested atomic.Bool
	trouble   atomic.Pointer[trouble] // nil: the last write was taken
	failed    atomic.Int64            // writes
}

type options struct {
	cluster        string
	passwordFile   string
	maxConnections int
	manual         bool
}

// Option is a choice of Open.
type Option func(*options)

// ForCluster has the store keep to one cluster of those that share a database:
// what is listed, which alerts fire, which jobs run, whose audit is written.
// Without it there is no distinction.
func ForCluster(name string) Option { return func(o *options) { o.cluster = name } }

// PasswordFile names the file that holds PostgreSQL's password. It is read
// anew for each connection.
func PasswordFile(path string) Option { return func(o *options) { o.passwordFile = path } }

// MaxConnections bounds the connections to PostgreSQL. Migrations take three.
func MaxConnections(n int) Option { return func(o *options) { o.maxConnections = max(n, 3) } }

// Automatic undoes Manual.
func Automatic() Option { return func(o *options) { o.manual = false } }

// Manual has Open refuse a database whose schema is older, instead of bringing
// it up to date. One that has no schema at all is older, too.
func Manual() Option { return func(o *options) { o.manual = true } }

// Open opens a database and brings its schema up to date. The target is the
// path of a SQLite file, which is made when missing, or the URL of a
// PostgreSQL database (postgres://…). Errors are *release.Error:
// CodeUnavailable when another Watchtower holds the file, the disk or the
// server cannot be used; CodeInvalid when it is no database, or its schema is
// of a newer version, or of an older one and Manual was given.
func Open(ctx context.Context, target string, log *slog.Logger, opts ...Option) (*Store, error) {
	s := &Store{log: log, where: target, options: options{maxConnections: defaultMaxConnections}}
	for _, o := range opts {
		o(&s.options)
	}
	open := s.openSQLite
	if IsPostgres(target) {
		open = s.openPostgres
	}
	if err := open(ctx, target); err != nil {
		return nil, openError(s.where, err)
	}
	if err := s.migrate(ctx); err != nil {
		s.Close()
		return nil, openError(s.where, err)
	}
	return s, nil
}

// IsPostgres reports whether a target of Open is the URL of a PostgreSQL
// database.
func IsPostgres(target string) bool {
	return strings.HasPrefix(target, "postgres://") || strings.HasPrefix(target, "postgresql://")
}

// Postgres reports whether the database is PostgreSQL.
func (s *Store) Postgres() bool { return s.on.dialect == onPostgres }

// Close closes the database. Jobs that use it must have stopped.
func (s *Store) Close() error {
	err := s.db.Close()
	if s.lock != nil {
		s.lock.release()
	}
	if err != nil {
		return fmt.Errorf("close the database: %w", err)
	}
	return nil
}

// DB is the connection, for River. Its transactions are those of Write.
func (s *Store) DB() *sql.DB { return s.db }

// Ping reports whether the database answers: CodeUnavailable in words when not.
func (s *Store) Ping(ctx context.Context) error {
	var one int
	if err := s.db.QueryRowContext(ctx, `SELECT 1`).Scan(&one); err != nil {
		return askError(s.where, err)
	}
	return nil
}

// Tx is one transaction of Write.
type Tx struct {
	ctx   context.Context //nolint:containedctx // a Tx lives no longer than the call that made it
	tx    *sql.Tx
	on    session
	store *Store
	// evidence are the digests of the verdicts saved in it, for its audit rows.
	evidence map[release.ID]string
}

// SQL is the transaction itself, to insert River jobs with.
func (t *Tx) SQL() *sql.Tx { return t.tx }

// Write runs f in one transaction, which is committed when f returns nil and
// leaves nothing behind otherwise. Inside f use only the Tx: the Store's own
// methods would wait for the connection that f holds. Transactions of one
// cluster run one after the other, whichever replica they are of. When the
// database is lost before the commit, f may run again.
func (s *Store) Write(ctx context.Context, f func(tx *Tx) error) error {
	err := s.again(ctx, func() (retry bool, err error) { return s.write(ctx, f) })
	s.wrote(err)
	return err
}

func (s *Store) write(ctx context.Context, f func(tx *Tx) error) (retry bool, err error) {
	tx, err := s.db.BeginTx(ctx, nil)
	if err != nil {
		return true, askError(s.where, fmt.Errorf("begin a transaction: %w", err))
	}
	defer func() { _ = tx.Rollback() }() // no effect after Commit
	t := &Tx{ctx: ctx, tx: tx, on: session{on: tx, dialect: s.on.dialect}, store: s, evidence: make(map[release.ID]string)}
	if err := t.oneAtATime(); err != nil {
		return true, askError(s.where, fmt.Errorf("wait for other writers: %w", err))
	}
	if err := f(t); err != nil {
		return true, worded(s.where, err)
	}
	if err := tx.Commit(); err != nil {
		// It may have been committed nevertheless: the caller must look.
		return false, askError(s.where, fmt.Errorf("commit a transaction: %w", err))
	}
	return false, nil
}

// oneAtATime waits for other writers of the cluster, as SQLite would: what a
// transaction read stays true until its commit.
func (t *Tx) oneAtATime() error {
	if t.on.dialect != onPostgres {
		return nil // its transactions take the file's one write lock as they begin
	}
	_, err := t.on.ExecContext(t.ctx, `SELECT pg_advisory_xact_lock(?)`, lockID("write", t.store.options.cluster))
	return err
}

// lockID is the key of an advisory lock of PostgreSQL.
func lockID(what, cluster string) int64 {
	h := fnv.New64a()
	_, _ = h.Write([]byte("watchtower\x00" + what + "\x00" + cluster)) // never fails
	return int64(h.Sum64())                                            //nolint:gosec // any 64 bits will do
}

func millis(t time.Time) int64 { return t.UnixMilli() }

func fromMillis(ms int64) time.Time { return time.UnixMilli(ms).UTC() }
