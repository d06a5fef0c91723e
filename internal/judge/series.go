package judge

import (
	"math"
	"strings"
	"time"

	"github.com/watchtower-verify/watchtower/internal/release"
)

// series is the state of one signal of proportions. It does not grow with time.
type series struct {
	head
	r0 float64

	baseline baseline
	present  present
	past     past
	health   health
	pods     pods
	then     float64 // ln of the evidence against history
	unheld   float64 // the same were nothing kept back
	won      bool    // the last look found harm
	outside  bool    // the stable arm suffered too
	sound    bool    // the release once was as the history

	release, stable         release.Count // over all ticks
	releaseSpan, stableSpan scatter
}

func newSeries(cfg Config, s Signal, weight float64) *series {
	if s.MinEffect > 0 {
		cfg.MinEffect = s.MinEffect
	}
	if s.HealthyRatio > 0 {
		cfg.HealthyRatio = s.HealthyRatio
	}
	r0 := 1 + cfg.MinEffect
	out := &series{
		head: head{s.Name, weight, s.Required}, r0: r0,
		baseline: newBaseline(s.History, s.HistoryPods, r0),
		present:  newPresent(strings.HasPrefix(s.Name, release.SignalErrorRatio)),
		past:     newPast(cfg.Tick),
		pods:     newPods(),
		// The release's ticks are the ones that may change for good.
		releaseSpan: scatter{successive: true},
	}
	out.outside = out.baseline.count != out.baseline.whole
	out.baseline.failures = out.present.failures
	out.health = newHealth(cfg, &out.baseline)
	return out
}

// dispersion is φ from history, the stable arm and the release, all of the past.
func (s *series) dispersion() dispersion {
	return measure(&s.baseline.scatter, &s.stableSpan, &s.releaseSpan)
}

func (s *series) step(at time.Time, t Tick) {
	c, st := sane(t.Release), sane(t.Stable)
	if c.Total == 0 && st.Total == 0 {
		return
	}
	d := s.dispersion()
	// Without the stable arm: the onset of an outage there would pass for a burst.
	bursts := measure(&s.baseline.scatter, &s.releaseSpan)
	s.past.bursts, s.past.doubt = bursts.middle(), bursts.upper()
	switch {
	case c.Total > 0 && st.Total > 0:
		s.present.step(c, st, t.Strata, s.r0, s.guess(), d.upper())
	case c.Total > 0 && s.baseline.known:
		s.past.step(&s.baseline, at, s.exposed(t), hitsOf(c, t.Pods, s.baseline.apart), t.Strata, d.upper())
	}
	s.health.step(c, s.exposed(t), st, s.guess(), d.middle())
	s.pods.step(t.Pods, c, st, s.r0, d.upper())

	s.release, s.stable = s.release.Add(c), s.stable.Add(st)
	s.releaseSpan.add(c)
	s.stableSpan.add(st)
	s.past.remember(st)
	s.past.overlap.add(c, st)
	s.past.fresh.add(c, recentDecay)
	if s.baseline.known && !s.sound {
		all := fading{float64(s.release.Bad), float64(s.release.Total)}
		s.sound = all.n >= minHistoryRequests && likelier(all, 3*s.baseline.rate+leastOutage, s.baseline.rate, s.past.bursts) < -math.Log(soundOdds)
	}
	if s.baseline.known && st.Total > 0 {
		_, softened := s.past.prior(&s.baseline, d.upper())
		s.outside = s.outside || softened
	}
	if s.baseline.known {
		s.unheld = s.past.logE(&s.baseline, s.dispersion().likely())
		s.then = s.past.hold(&s.baseline, at, s.unheld)
	}
}

// guess is what the stable arm's proportion is expected to be in the next tick:
// that of its latest ticks, held by the history's; 0 when nothing is known.
func (s *series) guess() float64 {
	const hold = 50
	mean := 0.0
	switch {
	case s.baseline.known:
		mean = s.baseline.rate
	case s.stable.Total >= hold:
		mean = s.stable.Ratio()
	default:
		return 0
	}
	p := (s.past.recent.x + hold*mean) / (s.past.recent.n + hold)
	return math.Min(p, 1-1e-3)
}

// logE combines both arms: a third each, and a third their product. The product
// is fair because, whatever the true rate, the arms speak of different ticks; it
// carries evidence on when the old pods go away half-way. Were it alone, an
// untrue history could undo what the stable arm has shown.
func (s *series) logE() float64 { return s.with(s.then) }

// with combines both, given the evidence against history.
func (s *series) with(then float64) float64 {
	now := s.present.logE()
	if !s.baseline.known {
		return now
	}
	return logAdd(logAdd(now, then), now+then) - math.Log(3)
}

// sane makes any count usable: nothing negative, nothing that sums could
// overflow on, no more bad ones than all.
func sane(c release.Count) release.Count {
	c.Total = min(max(c.Total, 0), 1<<40)
	c.Bad = min(max(c.Bad, 0), c.Total)
	return c
}
