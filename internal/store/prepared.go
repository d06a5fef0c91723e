package store

import (
	"context"
	"database/sql/driver"
	"errors"
	"fmt"
)

// mostKept bounds the statements that a connection keeps. Watchtower and its job queue
// have some two hundred.
const mostKept = 500

// preparing connects to SQLite such that a statement is parsed once in a connection and
// not each time it is asked, which is a quarter of all the processor time of a burst.
type preparing struct{ driver.Connector }

func (c preparing) Connect(ctx context.Context) (driver.Conn, error) {
	conn, err := c.Connector.Connect(ctx)
	if err != nil {
		return nil, err
	}
	under, ok := conn.(sqliteConn)
	if !ok {
		return nil, errors.Join(fmt.Errorf("%T cannot be wrapped", conn), conn.Close())
	}
	return &preparedConn{under, map[string]*keptStatement{}}, nil
}

// sqliteConn is what the driver's connections can.
type sqliteConn interface {
	driver.Conn
	driver.ConnBeginTx
	driver.ConnPrepareContext
	driver.ExecerContext
	driver.Pinger
	driver.QueryerContext
	driver.SessionResetter
	driver.Validator
}

// preparedConn is used by one goroutine at a time, as database/sql promises.
type preparedConn struct {
	sqliteConn
	kept map[string]*keptStatement
}

type sqliteStatement interface {
	driver.Stmt
	driver.StmtExecContext
	driver.StmtQueryContext
}

type keptStatement struct {
	sqliteStatement
	open bool // its rows are being read
}

// statement is one that can be asked now; nil where its rows are still being read.
func (c *preparedConn) statement(ctx context.Context, query string) (*keptStatement, error) {
	if s := c.kept[query]; s != nil {
		if s.open {
			return nil, nil
		}
		return s, nil
	}
	if len(c.kept) >= mostKept {
		if err := c.forget(); err != nil {
			return nil, err
		}
	}
	under, err := c.PrepareContext(ctx, query)
	if err != nil {
		return nil, err
	}
	s := &keptStatement{sqliteStatement: under.(sqliteStatement)} //nolint:forcetypeassert // the driver's own
	c.kept[query] = s
	return s, nil
}

// forget closes all whose rows are not being read.
func (c *preparedConn) forget() error {
	var failed error
	for query, s := range c.kept {
		if !s.open {
			failed = errors.Join(failed, s.Close())
			delete(c.kept, query)
		}
	}
	return failed
}

func (c *preparedConn) ExecContext(ctx context.Context, query string, args []driver.NamedValue) (driver.Result, error) {
	s, err := c.statement(ctx, query)
	if err != nil {
		return nil, err
	}
	if s == nil {
		return c.sqliteConn.ExecContext(ctx, query, args)
	}
	return s.ExecContext(ctx, args)
}

func (c *preparedConn) QueryContext(ctx context.Context, query string, args []driver.NamedValue) (driver.Rows, error) {
	s, err := c.statement(ctx, query)
	if err != nil {
		return nil, err
	}
	if s == nil {
		return c.sqliteConn.QueryContext(ctx, query, args)
	}
	rows, err := s.QueryContext(ctx, args)
	if err != nil {
		return nil, err
	}
	s.open = true
	return &keptRows{rows, s}, nil
}

// Close closes the statements first: open ones would keep the connection's file open.
func (c *preparedConn) Close() error {
	var failed error
	for _, s := range c.kept {
		failed = errors.Join(failed, s.Close())
	}
	c.kept = nil
	return errors.Join(failed, c.sqliteConn.Close())
}

// keptRows give their statement back when they are closed.
type keptRows struct {
	driver.Rows
	of *keptStatement
}

func (r *keptRows) Close() error {
	r.of.open = false
	return r.Rows.Close()
}
