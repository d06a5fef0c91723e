package respond

import (
	"context"
	"time"
)

const (
	// sitAtMost is how long an action waits with its worker rather than in the
	// database, sitsAtMost how often.
	sitAtMost  = 1100 * time.Millisecond
	sitsAtMost = 4
)

// seats are for actions that wait shortly, for others of their kind or for a slot.
// In a burst, putting each off and fetching it again is most of what the database
// has to do. There are fewer of them than workers, so that others find one.
type seats chan struct{}

func newSeats(n int) seats { return make(seats, max(n, 1)) }

// sit waits for d and reports true, or false at once where that is too long or no
// seat is free.
func (s seats) sit(ctx context.Context, d time.Duration) bool {
	if d > sitAtMost {
		return false
	}
	select {
	case s <- struct{}{}:
		defer func() { <-s }()
	default:
		return false
	}
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return true
	case <-ctx.Done():
		return false
	}
}
