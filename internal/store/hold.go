package store

import (
	"context"
	"database/sql"
	"database/sql/driver"
	"errors"
	"fmt"
	"sync"
	"time"
)

// Hold is the right to act for the store's cluster: to run its jobs and keep
// its alerts. One process has it at a time. With SQLite whoever has the file
// open has it; with PostgreSQL it is bound to a connection, so that it ends
// with the process, however that ends.
type Hold struct {
	lost chan struct{}
	end  func()
}

// Lost is closed when the right was lost because the connection was.
func (h *Hold) Lost() <-chan struct{} { return h.lost }

// Release gives the right back.
func (h *Hold) Release() { h.end() }

const (
	holdRetry = 250 * time.Millisecond
	holdProbe = 2 * time.Second // how often the connection is looked at, and how long that may take
)

// Hold waits until this process has the right to act, or ctx ends. A process
// that still has it after patience loses it, as one that hangs must in the end;
// with 0 it is waited for without end. Give patience only to one who knows by
// other means, such as a Lease, that the other is not to act any more.
func (s *Store) Hold(ctx context.Context, patience time.Duration) (*Hold, error) {
	if !s.Postgres() {
		return &Hold{lost: make(chan struct{}), end: func() {}}, nil
	}
	conn, err := s.takeHold(ctx, patience)
	if err != nil {
		return nil, fmt.Errorf("wait for the right to act: %w", err)
	}
	watch, cancel := context.WithCancel(context.WithoutCancel(ctx))
	h := &Hold{lost: make(chan struct{})}
	var watching sync.WaitGroup
	watching.Go(func() {
		if s.watchHold(watch, conn) {
			close(h.lost)
		}
	})
	h.end = sync.OnceFunc(func() {
		cancel()
		watching.Wait()
		drop(conn)
	})
	return h, nil
}

func (s *Store) takeHold(ctx context.Context, patience time.Duration) (*sql.Conn, error) {
	id, began := lockID("hold", s.options.cluster), time.Now()
	for {
		conn, err := s.tryHold(ctx, id)
		if err == nil && conn == nil && patience > 0 && time.Since(began) > patience {
			err = s.breakHold(ctx, id)
		}
		switch {
		case conn != nil:
			return conn, nil
		case ctx.Err() != nil:
			return nil, ctx.Err()
		case err != nil && !lost(err):
			return nil, askError(s.where, err)
		}
		select {
		case <-ctx.Done():
			return nil, ctx.Err()
		case <-time.After(holdRetry):
		}
	}
}

// tryHold answers with the connection that has the right, nil when another has
// it.
func (s *Store) tryHold(ctx context.Context, id int64) (*sql.Conn, error) {
	conn, err := s.db.Conn(ctx)
	if err != nil {
		return nil, err
	}
	var got bool
	if err := conn.QueryRowContext(ctx, `SELECT pg_try_advisory_lock($1)`, id).Scan(&got); err != nil {
		drop(conn) // the lock may have been taken nevertheless
		return nil, err
	}
	if !got {
		return nil, conn.Close()
	}
	return conn, nil
}

// breakHold ends the connection that has the right. Jobs its process had begun
// are left to it: River gives them to another one only once their time is over.
func (s *Store) breakHold(ctx context.Context, id int64) error {
	s.contested.Store(true)
	s.log.Warn("the process that acted for this cluster hangs and loses the right to")
	_, err := s.db.ExecContext(ctx, `
		SELECT pg_terminate_backend(l.pid) FROM pg_locks l JOIN pg_database d ON d.oid = l.database
		WHERE l.locktype = 'advisory' AND l.granted AND d.datname = current_database()
			AND l.objsubid = 1 AND ((l.classid::bigint << 32) | l.objid::bigint) = $1`, id)
	return err
}

// watchHold reports whether the connection was lost before ctx ended.
func (s *Store) watchHold(ctx context.Context, conn *sql.Conn) bool {
	for {
		select {
		case <-ctx.Done():
			return false
		case <-time.After(holdProbe):
		}
		probe, cancel := context.WithTimeout(ctx, holdProbe)
		err := conn.PingContext(probe)
		cancel()
		if err != nil {
			return ctx.Err() == nil
		}
	}
}

// drop closes a connection for good, and with it the session and its locks.
func drop(conn *sql.Conn) {
	err := conn.Raw(func(any) error { return driver.ErrBadConn })
	if err != nil && !errors.Is(err, driver.ErrBadConn) {
		_ = conn.Close()
	}
}
