package store

import (
	"context"
	"database/sql"
	"embed"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"time"

	"github.com/pressly/goose/v3"
	"github.com/riverqueue/river/riverdriver"
	"github.com/riverqueue/river/riverdriver/riverdatabasesql"
	"github.com/riverqueue/river/riverdriver/riversqlite"
	"github.com/riverqueue/river/rivermigrate"
)

// What differs between the databases is in a directory of its own; a version
// is one of both.
//
//go:embed migrations
var migrationFiles embed.FS

var (
	// errNewerSchema: a newer Watchtower wrote the database.
	errNewerSchema = errors.New("it was written by a newer Watchtower")
	// errOlderSchema: its schema is older, and may not be changed.
	errOlderSchema = errors.New("its schema is older than this Watchtower")
)

// Schema is how far the schema of a database is, and how far this Watchtower
// knows it.
type Schema struct {
	Version   int64 `json:"version"`
	Known     int64 `json:"known"`
	Jobs      int64 `json:"jobs"`
	JobsKnown int64 `json:"jobs_known"`
}

// Current reports whether nothing is to be migrated.
func (v Schema) Current() bool { return v.Version == v.Known && v.Jobs == v.JobsKnown }

// RiverDriver is River's driver for this database. Its transactions are those
// of Write.
func (s *Store) RiverDriver() riverdriver.Driver[*sql.Tx] {
	if s.Postgres() {
		return riverdatabasesql.New(s.db)
	}
	return riversqlite.New(s.db)
}

// Schema tells how far the schema is.
func (s *Store) Schema(ctx context.Context) (Schema, error) {
	provider, jobs, err := s.migrations()
	if err != nil {
		return Schema{}, err
	}
	v, err := s.schema(ctx, provider, jobs)
	if err != nil {
		return Schema{}, openError(s.where, err)
	}
	return v, nil
}

func (s *Store) migrations() (*goose.Provider, *rivermigrate.Migrator[*sql.Tx], error) {
	dialect, own := goose.DialectSQLite3, "migrations/sqlite"
	if s.Postgres() {
		dialect, own = goose.DialectPostgres, "migrations/postgres"
	}
	files, err := directories(migrationFiles, "migrations", own)
	if err != nil {
		return nil, nil, err
	}
	provider, err := goose.NewProvider(dialect, s.db, files, goose.WithGoMigrations(chainAudit(s.on.dialect), compactEvidence(s.on.dialect)),
		goose.WithDisableGlobalRegistry(true), goose.WithLogger(goose.NopLogger()))
	if err != nil {
		return nil, nil, fmt.Errorf("read the migrations: %w", err)
	}
	quiet := slog.New(slog.DiscardHandler) // River tells each migration as news
	jobs, err := rivermigrate.New(s.RiverDriver(), &rivermigrate.Config{Logger: quiet})
	if err != nil {
		return nil, nil, fmt.Errorf("read the job queue's migrations: %w", err)
	}
	return provider, jobs, nil
}

// migrate brings the schema up to date, and River's tables with it. It refuses
// a database of a newer version before it changes anything. Each step is one
// transaction, so that a migration that was interrupted goes on where it was.
func (s *Store) migrate(ctx context.Context) error {
	provider, jobs, err := s.migrations()
	if err != nil {
		return err
	}
	unlock, err := s.lockSchema(ctx)
	if err != nil {
		return err
	}
	defer unlock()
	v, err := s.schema(ctx, provider, jobs)
	if err != nil || v.Current() {
		return err
	}
	if s.options.manual {
		return fmt.Errorf("%w: its version is %d and %d, this one needs %d and %d", errOlderSchema, v.Version, v.Jobs, v.Known, v.JobsKnown)
	}
	done, err := provider.Up(ctx)
	if err != nil {
		return fmt.Errorf("bring the schema up to date: %w", err)
	}
	if _, err := jobs.Migrate(ctx, rivermigrate.DirectionUp, nil); err != nil {
		return fmt.Errorf("bring the job queue's schema up to date: %w", err)
	}
	if len(done) > 0 {
		s.log.Info("database schema brought up to date", "migrations", len(done), "version", v.Known)
	}
	return nil
}

// lockSchema keeps other replicas from migrating at the same time.
func (s *Store) lockSchema(ctx context.Context) (unlock func(), err error) {
	if !s.Postgres() {
		return func() {}, nil
	}
	conn, err := s.db.Conn(ctx)
	if err != nil {
		return nil, err
	}
	// Asked for again and again: who waited inside the server would hold up
	// statements that wait for every transaction to end.
	for {
		var got bool
		if err := conn.QueryRowContext(ctx, `SELECT pg_try_advisory_lock($1)`, lockID("schema", "")).Scan(&got); err != nil {
			conn.Close()
			return nil, err
		}
		if got {
			break
		}
		select {
		case <-ctx.Done():
			conn.Close()
			return nil, ctx.Err()
		case <-time.After(100 * time.Millisecond):
		}
	}
	return func() {
		_, _ = conn.ExecContext(context.WithoutCancel(ctx), `SELECT pg_advisory_unlock($1)`, lockID("schema", ""))
		conn.Close()
	}, nil
}

func (s *Store) schema(ctx context.Context, provider *goose.Provider, jobs *rivermigrate.Migrator[*sql.Tx]) (v Schema, err error) {
	sources, all := provider.ListSources(), jobs.AllVersions()
	v.Known, v.JobsKnown = sources[len(sources)-1].Version, int64(all[len(all)-1].Version)
	v.Version, err = s.version(ctx, `SELECT max(version_id) FROM goose_db_version WHERE is_applied`, "goose_db_version")
	if err != nil {
		return v, err
	}
	if v.Version > v.Known {
		return v, fmt.Errorf("%w: its schema has version %d, this one knows %d", errNewerSchema, v.Version, v.Known)
	}
	v.Jobs, err = s.version(ctx, `SELECT max(version) FROM river_migration`, "river_migration")
	if err != nil {
		return v, err
	}
	if v.Jobs > v.JobsKnown {
		return v, fmt.Errorf("%w: its job queue has version %d, this one knows %d", errNewerSchema, v.Jobs, v.JobsKnown)
	}
	return v, nil
}

// version answers 0 when the table that tells does not exist yet.
func (s *Store) version(ctx context.Context, query, table string) (int64, error) {
	exists := `SELECT EXISTS (SELECT 1 FROM sqlite_master WHERE type = 'table' AND name = ?)`
	if s.Postgres() {
		exists = `SELECT to_regclass(?) IS NOT NULL`
	}
	var there bool
	if err := s.on.QueryRowContext(ctx, exists, table).Scan(&there); err != nil || !there {
		return 0, err
	}
	var v sql.NullInt64
	if err := s.on.QueryRowContext(ctx, query).Scan(&v); err != nil {
		return 0, fmt.Errorf("read the schema version: %w", err)
	}
	return v.Int64, nil
}

// union is several directories as one.
type union []fs.FS

func directories(files fs.FS, names ...string) (union, error) {
	var u union
	for _, name := range names {
		sub, err := fs.Sub(files, name)
		if err != nil {
			return nil, err
		}
		u = append(u, sub)
	}
	return u, nil
}

// Open answers with the first file of a name.
func (u union) Open(name string) (f fs.File, err error) {
	for _, dir := range u {
		if f, err = dir.Open(name); err == nil {
			return f, nil
		}
	}
	return nil, err
}

// ReadDir lists what is in any of them.
func (u union) ReadDir(name string) (all []fs.DirEntry, err error) {
	for _, dir := range u {
		entries, err := fs.ReadDir(dir, name)
		if err != nil {
			return nil, err
		}
		all = append(all, entries...)
	}
	return all, nil
}
