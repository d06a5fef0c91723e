package store

import (
	"context"
	"errors"
	"time"

	"github.com/watchtower-verify/watchtower/internal/release"
)

// troubleLasts is how long a write that failed tells against the database when
// nobody has tried again. What could not be written is tried more often.
const troubleLasts = time.Minute

// trouble is the last write, when the database did not take it.
type trouble struct {
	at  time.Time
	err error
}

// wrote keeps whether the database takes what is written.
func (s *Store) wrote(err error) {
	if err == nil {
		s.trouble.Store(nil)
		return
	}
	code, _ := explain(err)
	if code == release.CodeInternal || errors.Is(err, context.Canceled) {
		return // the database did not refuse it
	}
	s.failed.Add(1)
	s.trouble.Store(&trouble{time.Now(), err})
}

// Ready reports whether the database answers and takes what is written, as far as
// that was tried: CodeUnavailable or CodeInvalid in words when not.
func (s *Store) Ready(ctx context.Context) error {
	if err := s.Ping(ctx); err != nil {
		return err
	}
	if t := s.trouble.Load(); t != nil && time.Since(t.at) < troubleLasts {
		return worded(s.where, t.err)
	}
	return nil
}

// WritesFailed is how many writes the database did not take.
func (s *Store) WritesFailed() int64 { return s.failed.Load() }
