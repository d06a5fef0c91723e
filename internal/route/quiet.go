package route

import (
	"time"

	"github.com/prometheus/alertmanager/timeinterval"
)

// quietAtMost is how far ahead the end of the quiet hours is looked for. Where it
// is farther off, that is when it is looked for again.
const quietAtMost = 8 * 24 * time.Hour

// open is the first moment from now on at which the route may tell somebody.
func (n *node) open(now time.Time) time.Time {
	if !n.quiet(now) {
		return now
	}
	// Intervals begin and end with a minute.
	for at := now.Truncate(time.Minute).Add(time.Minute); at.Sub(now) < quietAtMost; at = at.Add(time.Minute) {
		if !n.quiet(at) {
			return at
		}
	}
	return now.Add(quietAtMost)
}

func (n *node) quiet(at time.Time) bool {
	return within(n.mute, at) || (n.hasActive && !within(n.active, at))
}

func within(intervals []timeinterval.TimeInterval, at time.Time) bool {
	for _, ti := range intervals {
		if ti.ContainsTime(at.UTC()) {
			return true
		}
	}
	return false
}
