package verify

import (
	"fmt"
	"math"
	"slices"
	"time"

	"github.com/watchtower-verify/watchtower/internal/judge"
	"github.com/watchtower-verify/watchtower/internal/release"
	"github.com/watchtower-verify/watchtower/internal/signal"
)

const (
	// latencyDelta is the slow-down that is worth finding.
	latencyDelta = 0.2
	// latencyMinimum is how many requests of a baseline fix its quantiles.
	latencyMinimum = 200
	// latencyPatienceTicks is how long a baseline without history is waited for.
	latencyPatienceTicks = 12
)

// latency turns histograms into "slower than" counts. Its thresholds are
// frozen from the baseline before the first tick that counts.
type latency struct {
	seenBy    string
	of        func(signal.Reading) *signal.LatencyPair // whose count it is
	bounds    []float64
	quantiles []quantile
	warming   warming
	// routes are what each route did before the rollout, by quantile.
	routes []*routes
}

type quantile struct {
	signal   string
	p        float64
	boundary float64 // slower is slow, seconds
	ratio    float64 // how many times as many slow requests are tolerated
	value    float64 // the baseline's quantile, seconds
}

var latencyQuantiles = []quantile{
	{signal: release.SignalLatencyP50, p: 0.5},
	{signal: release.SignalLatencyP90, p: 0.9},
	{signal: release.SignalLatencyP99, p: 0.99},
}

// newLatency freezes thresholds from baseline readings, of what the pods count or,
// where they have no histograms, of what callers do; nil where they hold too few
// requests.
func newLatency(readings []signal.Reading) *latency {
	l := &latency{seenBy: release.SeenByServer, of: podLatency, warming: warming{}}
	if !slices.ContainsFunc(readings, func(rd signal.Reading) bool { return rd.Latency != nil || rd.Errors != nil }) {
		l.seenBy, l.of = release.SeenByCallers, callerLatency
	}
	var bounds, counts []float64
	for _, rd := range readings {
		pair := l.of(rd)
		if pair == nil {
			continue
		}
		h := pair.Stable
		if bounds == nil && len(h.Bounds) > 0 {
			bounds, counts = h.Bounds, make([]float64, len(h.Counts))
		}
		if !slices.Equal(bounds, h.Bounds) {
			continue
		}
		for i, c := range h.Counts {
			counts[i] += c
		}
	}
	if sum(counts) < latencyMinimum {
		return nil
	}
	l.bounds = bounds
	for _, q := range latencyQuantiles {
		var ok bool
		if q.boundary, q.ratio, ok = judge.Tail(bounds, counts, q.p, latencyDelta); ok && l.has(q.boundary) {
			// Coarse buckets have one boundary for both: the next tells of the tail.
			q.boundary, q.ratio, ok = judge.TailAbove(bounds, counts, q.boundary, latencyDelta)
		}
		if far, ratio, there := judge.FarTail(bounds, counts, latencyDelta); ok && q.p == 0.99 && there && far > q.boundary {
			q.boundary, q.ratio = far, ratio
		}
		if ok && !l.has(q.boundary) {
			q.value = quantileOrZero(bounds, counts, q.p)
			l.quantiles = append(l.quantiles, q)
		}
	}
	if len(l.quantiles) == 0 {
		return nil
	}
	return l
}

// has reports that a quantile has the boundary already: it would be the same
// test twice.
func (l *latency) has(boundary float64) bool {
	return slices.ContainsFunc(l.quantiles, func(q quantile) bool { return q.boundary == boundary })
}

func podLatency(rd signal.Reading) *signal.LatencyPair    { return rd.Latency }
func callerLatency(rd signal.Reading) *signal.LatencyPair { return rd.CallerLatency }

// measured declares the tests of the quantiles. What is tolerated of a uniform
// slow-down cannot keep a release from being healthy.
func (l *latency) measured(t *verification) []measured {
	var out []measured
	var now latencyTick
	for i, q := range l.quantiles {
		name := q.signal
		if l.seenBy == release.SeenByCallers {
			name += callersSuffix
		}
		out = append(out, measured{
			declared: judge.Signal{
				Name: name, Weight: t.policy.Weights["latency"] / float64(len(l.quantiles)), Required: true,
				History:   l.history(t.history, q),
				MinEffect: max(q.ratio-1, t.policy.MinEffect), HealthyRatio: max(q.ratio, t.policy.HealthyRatio),
			},
			signal: q.signal, seenBy: l.seenBy, unit: release.UnitSeconds,
			tick: func(rd signal.Reading) (judge.Tick, bool) {
				pair := l.of(rd)
				if pair == nil {
					return judge.Tick{}, false
				}
				if i == 0 { // one look serves all quantiles
					now = l.tick(*pair, t.policy.Warmup, rd.To)
				}
				return now.ticks[q.signal], true
			},
			values: func() (float64, float64) { v := now.values[q.signal]; return v[0], v[1] },
		})
	}
	return out
}

// history is the windows before the rollout, counted for one quantile.
func (l *latency) history(readings []signal.Reading, q quantile) []release.Count {
	var out []release.Count
	before := &routes{}
	for _, rd := range readings {
		if pair := l.of(rd); pair != nil {
			out = append(out, slower(pair.Stable.Bounds, pair.Stable.Counts, q.boundary))
			for _, s := range pair.Strata {
				before.add(s.Route, slower(pair.Stable.Bounds, s.Stable, q.boundary))
			}
		}
	}
	l.routes = append(l.routes, before)
	return out
}

// latencyTick is one tick of every quantile, with the values for the curves.
type latencyTick struct {
	ticks  map[string]judge.Tick
	values map[string][2]float64 // release and stable quantile, seconds
}

func (l *latency) tick(pair signal.LatencyPair, warmup time.Duration, at time.Time) latencyTick {
	out := latencyTick{ticks: map[string]judge.Tick{}, values: map[string][2]float64{}}
	warm := make([]float64, len(pair.Release.Counts))
	pods := map[string][]float64{}
	for name, counts := range pair.Release.Pods {
		if sum(counts) == 0 {
			continue
		}
		if !l.warming.over(name, at, warmup) {
			continue
		}
		pods[name] = counts
		for i, c := range counts {
			warm[i] += c
		}
	}
	if len(pair.Release.Pods) == 0 { // callers that do not tell which pod answered
		copy(warm, pair.Release.Counts)
	}
	names := make([]string, len(pair.Strata))
	for i, s := range pair.Strata {
		names[i] = s.Route
	}
	for i, q := range l.quantiles {
		past := l.routes[i].past(names)
		k := judge.Tick{
			Release: slower(pair.Release.Bounds, warm, q.boundary),
			Stable:  slower(pair.Stable.Bounds, pair.Stable.Counts, q.boundary),
			Pods:    make(map[string]release.Count, len(pods)),
		}
		for name, counts := range pods {
			k.Pods[name] = slower(pair.Release.Bounds, counts, q.boundary)
		}
		strata := make([]judge.Stratum, 0, len(pair.Strata))
		for j, s := range pair.Strata {
			strata = append(strata, judge.Stratum{
				Release: slower(pair.Release.Bounds, s.Release, q.boundary),
				Stable:  slower(pair.Stable.Bounds, s.Stable, q.boundary),
				Past:    past[j],
			})
		}
		if len(pods) == len(pair.Release.Pods) {
			k.Strata = strata
		} else { // those that warm up are not told apart by route
			k.Mix = strata
		}
		out.ticks[q.signal] = k
		out.values[q.signal] = [2]float64{
			quantileOrZero(pair.Release.Bounds, warm, q.p),
			quantileOrZero(pair.Stable.Bounds, pair.Stable.Counts, q.p),
		}
	}
	return out
}

// slower counts the requests above a bucket boundary.
func slower(bounds, counts []float64, threshold float64) release.Count {
	var c release.Count
	for i, n := range counts {
		c.Total += int64(math.Round(n))
		if bounds[i] > threshold*(1+1e-9) {
			c.Bad += int64(math.Round(n))
		}
	}
	return c
}

func quantileOrZero(bounds, counts []float64, p float64) float64 {
	if sum(counts) == 0 {
		return 0
	}
	if v := judge.Quantile(bounds, counts, p); !math.IsNaN(v) && !math.IsInf(v, 0) {
		return v
	}
	return 0
}

func sum(xs []float64) float64 {
	s := 0.0
	for _, x := range xs {
		s += x
	}
	return s
}

// describe turns an evidence of shares slower than a threshold into seconds:
// the quantiles of both arms over the whole observation, with the thresholds
// in words.
func (l *latency) describe(e *release.Evidence, c *curve) {
	for _, q := range l.quantiles {
		if q.signal != e.Signal {
			continue
		}
		e.Unit = release.UnitSeconds
		e.Reason = fmt.Sprintf("%s of the release's requests took longer than %s, %s of the baseline's",
			release.Percent(e.Release.Ratio()), release.Seconds(q.boundary), release.Percent(e.Stable.Ratio()))
		e.ReleaseValue, e.BaselineValue = 0, q.value
		if c == nil {
			return
		}
		rel, stable := c.means()
		e.ReleaseValue = rel
		if e.Baseline == release.ArmStable && stable > 0 {
			e.BaselineValue = stable
		}
	}
}
