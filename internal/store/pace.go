package store

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"time"
)

// What was taken later than now was taken before the clock was set back: it counts
// no more.
const (
	setBack       = `paces.taken_at > excluded.taken_at + 30000`
	setBackMillis = 30_000
)

// TakeTurn keeps every process that shares the database to one pace at a place:
// one turn in each interval, and as many as burst at once after a while of
// nothing. It takes the next turn and answers in how long it is due, if that is
// within patience; otherwise it takes none, taken is false, and due says after how
// long there will be one. With PostgreSQL the time is the database's, so that
// clocks of processes that differ do not matter.
func (s *Store) TakeTurn(ctx context.Context, place string, interval time.Duration, burst int, patience time.Duration) (due time.Duration, taken bool, err error) {
	// next_at is when the next turn were due without bursts. A burst is that it
	// may be ahead of the time.
	every, ahead := interval.Milliseconds(), int64(burst-1)*interval.Milliseconds()
	now, args := s.now()
	args = append(append([]any{place}, args...), append([]any{every}, args...)...)
	var next, at, held int64
	err = s.on.QueryRowContext(ctx, `
		INSERT INTO paces (place, next_at, taken_at, held_until) VALUES (?, `+now+` + ?, `+now+`, 0)
		ON CONFLICT (place) DO UPDATE SET taken_at = excluded.taken_at, held_until = 0,
			next_at = CASE WHEN paces.next_at + ? > excluded.next_at AND NOT `+setBack+` THEN paces.next_at + ? ELSE excluded.next_at END
			WHERE (paces.next_at <= excluded.taken_at + ? AND paces.held_until <= excluded.taken_at) OR `+setBack+`
		RETURNING next_at - ?, taken_at, held_until`, append(args, every, every, ahead+patience.Milliseconds(), every)...).Scan(&next, &at, &held)
	taken = err == nil
	if errors.Is(err, sql.ErrNoRows) {
		now, args := s.now()
		err = s.on.QueryRowContext(ctx, `SELECT next_at, `+now+`, held_until FROM paces WHERE place = ?`, append(args, place)...).Scan(&next, &at, &held)
	}
	if err != nil {
		return 0, false, askError(s.where, fmt.Errorf("take a turn at %s: %w", place, err))
	}
	return max(fromMilli(next-ahead-at), fromMilli(held-at), 0), taken, nil
}

// HoldTurns lets nobody take a turn at a place for a while.
func (s *Store) HoldTurns(ctx context.Context, place string, d time.Duration) error {
	now, args := s.now()
	all := append([]any{place}, append(append(append(args, args...), args...), d.Milliseconds())...)
	_, err := s.on.ExecContext(ctx, `
		INSERT INTO paces (place, next_at, taken_at, held_until) VALUES (?, `+now+`, `+now+`, `+now+` + ?)
		ON CONFLICT (place) DO UPDATE SET taken_at = excluded.taken_at,
			held_until = CASE WHEN paces.held_until > excluded.held_until AND NOT `+setBack+` THEN paces.held_until ELSE excluded.held_until END`, all...)
	if err != nil {
		return askError(s.where, fmt.Errorf("hold the turns at %s: %w", place, err))
	}
	return nil
}

// TurnsHeld is for how long nobody may take a turn at a place.
func (s *Store) TurnsHeld(ctx context.Context, place string) (time.Duration, error) {
	now, args := s.now()
	var held, ahead int64
	err := s.on.QueryRowContext(ctx, `SELECT held_until - `+now+`, taken_at - `+now+` FROM paces WHERE place = ?`, append(append(args, args...), place)...).
		Scan(&held, &ahead)
	if errors.Is(err, sql.ErrNoRows) {
		return 0, nil
	}
	if err != nil {
		return 0, askError(s.where, fmt.Errorf("look at the turns at %s: %w", place, err))
	}
	if ahead > setBackMillis {
		return 0, nil
	}
	return max(fromMilli(held), 0), nil
}

// now is the present in milliseconds as an expression of SQL, with its argument
// where it has one: SQLite is one process's, and so is its time.
func (s *Store) now() (expression string, args []any) {
	if s.Postgres() {
		return `(extract(epoch FROM statement_timestamp()) * 1000)::bigint`, nil
	}
	return `CAST(? AS BIGINT)`, []any{millis(time.Now())}
}

func fromMilli(ms int64) time.Duration { return time.Duration(ms) * time.Millisecond }
