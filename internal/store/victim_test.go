package store

import (
	"context"
	"database/sql"
	"database/sql/driver"
	"encoding/json"
	"fmt"
	"log/slog"
	"os"
	"sync/atomic"
	"syscall"

	"github.com/jackc/pgx/v5"
)

// victimEnv makes the test's binary a process that brings a schema up to date and
// dies meanwhile. It holds an order.
const victimEnv = "WATCHTOWER_TEST_MIGRATION"

type order struct {
	Target string
	// DieAt is the moment at which it dies, from 1: before and after each
	// statement and each commit there is one. 0: it does not.
	DieAt int64
}

// RunVictim does not return in such a process. One that lives prints how many
// moments there were.
func RunVictim() {
	text := os.Getenv(victimEnv)
	if text == "" {
		return
	}
	var o order
	if err := json.Unmarshal([]byte(text), &o); err != nil {
		panic(err)
	}
	dieAt = o.DieAt
	s := &Store{log: slog.New(slog.DiscardHandler), options: options{maxConnections: 3}}
	if err := s.openMortal(context.Background(), o.Target); err != nil {
		panic(err)
	}
	if err := s.migrate(context.Background()); err != nil {
		panic(err)
	}
	fmt.Println(moments.Load())
	os.Exit(0)
}

// openMortal opens a database such that moments pass.
func (s *Store) openMortal(ctx context.Context, target string) error {
	if IsPostgres(target) {
		cfg, err := s.postgresConfig(target)
		if err != nil {
			return err
		}
		cfg.Tracer = mortalTracer{}
		return s.usePostgres(ctx, cfg)
	}
	if err := s.openSQLite(ctx, target); err != nil {
		return err
	}
	under := s.db.Driver()
	if err := s.db.Close(); err != nil {
		return err
	}
	s.db = sql.OpenDB(mortalConnector{under, dataSource(target, nil)})
	s.db.SetMaxOpenConns(1)
	s.on = session{on: s.db, dialect: onSQLite}
	return nil
}

var (
	dieAt   int64
	moments atomic.Int64
)

// moment is one at which the process may die, as by kill -9.
func moment() {
	if moments.Add(1) == dieAt {
		_ = syscall.Kill(os.Getpid(), syscall.SIGKILL)
		select {}
	}
}

// mortalTracer has moments pass around whatever PostgreSQL is asked.
type mortalTracer struct{}

func (mortalTracer) TraceQueryStart(ctx context.Context, _ *pgx.Conn, _ pgx.TraceQueryStartData) context.Context {
	moment()
	return ctx
}

func (mortalTracer) TraceQueryEnd(context.Context, *pgx.Conn, pgx.TraceQueryEndData) { moment() }

// mortalConnector has moments pass around whatever SQLite is asked.
type mortalConnector struct {
	under driver.Driver
	name  string
}

func (c mortalConnector) Driver() driver.Driver { return c.under }

func (c mortalConnector) Connect(context.Context) (driver.Conn, error) {
	conn, err := c.under.Open(c.name)
	if err != nil {
		return nil, err
	}
	return mortalConn{conn.(wholeConn)}, nil //nolint:forcetypeassert // the driver's own can all of it
}

type wholeConn interface {
	driver.Conn
	driver.ExecerContext
	driver.QueryerContext
	driver.ConnPrepareContext
	driver.ConnBeginTx
}

type mortalConn struct{ wholeConn }

func (c mortalConn) ExecContext(ctx context.Context, query string, args []driver.NamedValue) (driver.Result, error) {
	moment()
	defer moment()
	return c.wholeConn.ExecContext(ctx, query, args)
}

func (c mortalConn) QueryContext(ctx context.Context, query string, args []driver.NamedValue) (driver.Rows, error) {
	moment()
	defer moment()
	return c.wholeConn.QueryContext(ctx, query, args)
}

func (c mortalConn) BeginTx(ctx context.Context, opts driver.TxOptions) (driver.Tx, error) {
	tx, err := c.wholeConn.BeginTx(ctx, opts)
	return mortalTx{tx}, err
}

type mortalTx struct{ driver.Tx }

func (t mortalTx) Commit() error {
	moment()
	defer moment()
	return t.Tx.Commit()
}
