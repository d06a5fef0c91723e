package store

import (
	"context"
	"database/sql"
	"embed"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"

	"github.com/pressly/goose/v3"
	"github.com/riverqueue/river/riverdriver/riversqlite"
	"github.com/riverqueue/river/rivermigrate"
)

//go:embed migrations/*.sql
var migrationFiles embed.FS

// errNewerSchema: a newer Watchtower wrote the database.
var errNewerSchema = errors.New("it was written by a newer Watchtower")

// migrate brings the schema up to date, and River's tables with it. It refuses
// a database of a newer version before it changes anything.
func (s *Store) migrate(ctx context.Context, log *slog.Logger) error {
	files, err := fs.Sub(migrationFiles, "migrations")
	if err != nil {
		return err
	}
	provider, err := goose.NewProvider(goose.DialectSQLite3, s.db, files,
		goose.WithDisableGlobalRegistry(true), goose.WithLogger(goose.NopLogger()))
	if err != nil {
		return fmt.Errorf("read the migrations: %w", err)
	}
	quiet := slog.New(slog.DiscardHandler) // River tells each migration as news
	jobs, err := rivermigrate.New(riversqlite.New(s.db), &rivermigrate.Config{Logger: quiet})
	if err != nil {
		return fmt.Errorf("read the job queue's migrations: %w", err)
	}
	if err := s.refuseNewer(ctx, provider, jobs); err != nil {
		return err
	}
	done, err := provider.Up(ctx)
	if err != nil {
		return fmt.Errorf("bring the schema up to date: %w", err)
	}
	if _, err := jobs.Migrate(ctx, rivermigrate.DirectionUp, nil); err != nil {
		return fmt.Errorf("bring the job queue's schema up to date: %w", err)
	}
	if len(done) > 0 {
		log.Info("database schema brought up to date", "migrations", len(done))
	}
	return nil
}

func (s *Store) refuseNewer(ctx context.Context, provider *goose.Provider, jobs *rivermigrate.Migrator[*sql.Tx]) error {
	have, err := version(ctx, s.db, `SELECT max(version_id) FROM goose_db_version WHERE is_applied = 1`, "goose_db_version")
	if err != nil {
		return err
	}
	sources := provider.ListSources()
	if known := sources[len(sources)-1].Version; have > known {
		return fmt.Errorf("%w: its schema has version %d, this one knows %d", errNewerSchema, have, known)
	}
	have, err = version(ctx, s.db, `SELECT max(version) FROM river_migration`, "river_migration")
	if err != nil {
		return err
	}
	all := jobs.AllVersions()
	if known := int64(all[len(all)-1].Version); have > known {
		return fmt.Errorf("%w: its job queue has version %d, this one knows %d", errNewerSchema, have, known)
	}
	return nil
}

// version answers 0 when the table that tells does not exist yet.
func version(ctx context.Context, q querier, query, table string) (int64, error) {
	var exists bool
	err := q.QueryRowContext(ctx, `SELECT EXISTS (SELECT 1 FROM sqlite_master WHERE type = 'table' AND name = ?)`, table).Scan(&exists)
	if err != nil {
		return 0, err
	}
	if !exists {
		return 0, nil
	}
	var v sql.NullInt64
	if err := q.QueryRowContext(ctx, query).Scan(&v); err != nil {
		return 0, fmt.Errorf("read the schema version: %w", err)
	}
	return v.Int64, nil
}
