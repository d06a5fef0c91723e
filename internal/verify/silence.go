package verify

import (
	"fmt"
	"time"

	"github.com/watchtower-verify/watchtower/internal/release"
	"github.com/watchtower-verify/watchtower/internal/signal"
)

// How many requests must have been due, and for how long none was finished, until
// silence is evidence. Were a fifth of them due in truth, that none came has a
// probability below 1e-4 beside the stable pods. Against the past alone more is
// asked for: callers may have stopped.
const (
	dueBeside   = 50
	quietBeside = 2 * time.Minute
	dueSince    = 200
	quietSince  = 5 * time.Minute
)

// silence follows how long the release's pods, ready and scraped, have finished no
// request while there was reason to expect some.
type silence struct {
	quiet         time.Duration // with such pods
	beside, since float64       // requests that were due, by the stable pods and by the past
}

// step takes one tick. perSecond is how many requests the workload had in a second
// before the rollout.
func (s *silence) step(rd signal.Reading, perSecond float64) {
	q, known := rd.Quantities[release.SignalThroughput]
	switch {
	case !known || !rd.Scraped[0] || q.Release.Weight == 0:
		return
	case q.Release.Sum > 0 || rd.Errors != nil && rd.Errors.Release.Total > 0:
		*s = silence{}
		return
	}
	seconds := rd.To.Sub(rd.From).Seconds()
	s.quiet += rd.To.Sub(rd.From)
	if q.Stable.Weight > 0 {
		s.beside += q.Stable.Value() * q.Release.Weight
	} else {
		s.since += perSecond * seconds
	}
}

// evidence is nil while the silence proves nothing.
func (s *silence) evidence(quietest time.Duration) *release.Evidence {
	due, where := 0.0, ""
	switch {
	case s.beside >= dueBeside && s.quiet >= quietBeside:
		due, where = s.beside, "by what the stable pods served at the same time"
	case s.since >= dueSince && s.quiet >= max(quietSince, 3*quietest):
		due, where = s.since, "by what the workload served before"
	default:
		return nil
	}
	return &release.Evidence{
		Signal: release.SignalThroughput, SeenBy: release.SeenByServer, Baseline: release.BaselineNone, Unit: release.UnitPerSecond,
		Reason: fmt.Sprintf("the release's pods are ready and have finished no request for %s; %s were due %s",
			s.quiet.Round(time.Second), release.Integer(int64(due)), where),
	}
}

// paceOf is how many requests a second there were before, and the longest time
// without any.
func paceOf(history []signal.Reading) (perSecond float64, quietest time.Duration) {
	var requests int64
	var all, quiet time.Duration
	for _, rd := range history {
		if rd.Errors == nil {
			continue
		}
		span := rd.To.Sub(rd.From)
		all += span
		requests += rd.Errors.Stable.Total
		if quiet += span; rd.Errors.Stable.Total > 0 {
			quiet = 0
		}
		quietest = max(quietest, quiet)
	}
	if all <= 0 {
		return 0, 0
	}
	return float64(requests) / all.Seconds(), quietest
}
