package store

import (
	"context"
	"database/sql/driver"
	"errors"
	"io"
	"net"
	"time"

	"github.com/jackc/pgx/v5/pgconn"
)

// A server that restarts or fails over is waited for this long. Who asks
// through the API is answered sooner, because his own time ends.
const (
	lostPatience = 10 * time.Second
	lostPause    = 100 * time.Millisecond
)

// again calls f until it succeeds, fails for another reason than that the
// database was lost, or asks not to be called again.
func (s *Store) again(ctx context.Context, f func() (retry bool, err error)) error {
	for end := time.Now().Add(lostPatience); ; {
		retry, err := f()
		if err == nil || !retry || !lost(err) || time.Now().After(end) {
			return err
		}
		select {
		case <-ctx.Done():
			return err
		case <-time.After(lostPause):
		}
	}
}

// lost reports whether the connection to the database, or the database itself,
// went away, so that what was asked was not done or is undone.
func lost(err error) bool {
	var server *pgconn.PgError
	if errors.As(err, &server) {
		switch server.Code {
		case "57P01", "57P02", "57P03", // shut down, crashed, starting up
			"53300",          // too many connections
			"40001", "40P01": // another transaction was preferred
			return true
		}
		return len(server.Code) == 5 && server.Code[:2] == "08"
	}
	if errors.Is(err, context.Canceled) || errors.Is(err, context.DeadlineExceeded) {
		return false
	}
	var dial *pgconn.ConnectError
	var network net.Error
	return errors.As(err, &dial) || errors.As(err, &network) ||
		errors.Is(err, driver.ErrBadConn) || errors.Is(err, io.ErrUnexpectedEOF) || errors.Is(err, net.ErrClosed) ||
		pgconn.SafeToRetry(err)
}
