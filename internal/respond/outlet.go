package respond

import (
	"errors"
	"math/rand/v2"
	"sync"
	"time"

	"github.com/watchtower-verify/watchtower/internal/release"
)

// outletSlots are how many actions may be with one outlet at once, so that one
// that hangs holds up nothing else; messageSlots are those of a receiver, which is
// told of many releases at once in a burst.
const (
	outletSlots  = 4
	messageSlots = 16
)

// allSlots are those of all outlets there may be: the receivers' and three more
// kinds of action.
func allSlots(receivers int) int { return 3*outletSlots + receivers*messageSlots }

// slotPause is after about how long an action looks for a free slot again.
const slotPause = 200 * time.Millisecond

// outlets are the places outside that actions go through: one for each receiver
// and for each kind that has none. What is true of one action is true of all that
// go the same way: when it is away or wants to be left alone, all wait.
type outlets struct {
	mu sync.Mutex
	by map[string]*outlet
}

type outlet struct {
	used     int
	failures int       // one after the other
	until    time.Time // left alone until then
}

func newOutlets() *outlets { return &outlets{by: make(map[string]*outlet)} }

// enter takes a slot, which leave gives back with what came of it; or answers how
// long to wait. A rollback waits for nothing.
func (o *outlets) enter(a release.Action, now time.Time) (leave func(err error), wait time.Duration) {
	if a.Kind == release.ActionRollback {
		return func(error) {}, 0
	}
	o.mu.Lock()
	defer o.mu.Unlock()
	name := string(a.Kind) + "/" + a.Sink
	out := o.by[name]
	if out == nil {
		out = &outlet{}
		o.by[name] = out
	}
	if out.until.After(now) && out.until.Sub(now) <= 10*maxBackoff { // else the clock was set back
		return nil, out.until.Sub(now) + spread(time.Second)
	}
	slots, pause := outletSlots, slotPause
	if a.Kind == release.ActionMessage {
		slots = messageSlots
	}
	if out.failures > 0 {
		slots, pause = 1, time.Second // one looks whether it is back
	}
	if out.used >= slots {
		return nil, pause + spread(pause)
	}
	out.used++
	return func(err error) { o.leave(out, err) }, 0
}

func (o *outlets) leave(out *outlet, err error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	out.used--
	if errors.As(err, new(notYet)) {
		return // it was not asked
	}
	switch release.ErrorCode(err) {
	case release.CodeUnavailable, release.CodeRateLimited:
		out.failures++
		out.until = time.Now().Add(max(backoff(out.failures), min(release.RetryAfter(err), 10*maxBackoff)))
	default:
		out.failures, out.until = 0, time.Time{}
	}
}

// spread is a random part of d, so that many do not come at once.
func spread(d time.Duration) time.Duration {
	return time.Duration(rand.Int64N(int64(d))) //nolint:gosec // no secret
}
