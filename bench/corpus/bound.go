package corpus

import (
	"math"
	"time"
)

const (
	alpha     = 0.001
	tolerated = 1.1 // relative risk
	// slowerTolerated is the slow-down of all requests that is tolerated.
	slowerTolerated = 1.2
	// historyLength is how much of the past a judge may know.
	historyLength = 30 * time.Minute
)

// bound is when the data hold ln(1/α) nats against "the release is no worse than is
// tolerated", in seconds after the start; 0 where they do not within the
// observation, or for families to which it does not apply. What the data hold is
// the expected log-likelihood ratio of the release's requests and of all that may
// be known of the stable version, its past of half an hour included, against the
// nearest rates that are tolerated. Requests that fail together count once.
func (w *workload) bound(s *sim) float64 {
	if !w.regressed || w.kind != "errors" && w.kind != "latency" || w.refused != nil {
		return 0
	}
	need := math.Log(1 / alpha)
	if w.kind == "errors" {
		need *= w.burst
	}
	best := 0.0
	for _, threshold := range w.thresholds() {
		if t := w.reaches(s, threshold, need); t > 0 && (best == 0 || t < best) {
			best = t
		}
	}
	return best
}

// reaches is when the data of one threshold hold so many nats.
func (w *workload) reaches(s *sim, threshold, need float64) float64 {
	const step = 5 * time.Second
	before := w.start.Add(-time.Minute)
	ps := w.share(stable, before, threshold)
	ratio := tolerated
	if threshold > 0 {
		ratio = math.Max(tolerated, w.slowAs(w.pods[0], before, threshold, slowerTolerated)/ps)
	}
	var nc, fc float64
	ns := w.demand(before) * historyLength.Seconds()
	for at := w.start; at.Before(w.start.Add(s.opt.Observe)); at = at.Add(step) {
		new, old := w.taking(fresh, at), w.taking(stable, at)
		if new+old == 0 {
			continue
		}
		n := w.demand(at) * step.Seconds()
		pc := w.share(fresh, at, threshold)
		nc += n * new / (new + old)
		fc += n * new / (new + old) * pc
		ns += n * old / (new + old)
		if likelihoodRatio(nc, fc, ns, ns*ps, ratio) >= need {
			return at.Sub(w.start).Seconds() + step.Seconds()
		}
	}
	return 0
}

// likelihoodRatio is the logarithm of that of fc bad ones of nc and fs of ns at
// their own rates, against the likeliest rates of which the first is at most ratio
// times the second, by the law of Poisson.
func likelihoodRatio(nc, fc, ns, fs, ratio float64) float64 {
	if nc == 0 || ns == 0 || fc == 0 || fc/nc <= ratio*fs/ns {
		return 0
	}
	p := (fc + fs) / (ratio*nc + ns)
	out := fc * math.Log(fc/(nc*ratio*p))
	if fs > 0 {
		out += fs * math.Log(fs/(ns*p))
	}
	return out
}

// thresholds are what "slow" may mean: the buckets around the stable version's
// quantiles. A workload of failures has one, which stands for them.
func (w *workload) thresholds() []float64 {
	if w.kind == "errors" {
		return []float64{0}
	}
	var out []float64
	for _, b := range bounds[:len(bounds)-1] {
		if p := w.slow(w.pods[0], w.start.Add(-time.Minute), b); p > 0.002 && p < 0.7 {
			out = append(out, b)
		}
	}
	return out
}

// slow is the share of requests of a pod that take longer than a bound.
func (w *workload) slow(p *pod, at time.Time, bound float64) float64 {
	return w.slowAs(p, at, bound, 1)
}

// slowAs is the same if all took so many times as long.
func (w *workload) slowAs(p *pod, at time.Time, bound, factor float64) float64 {
	sum := 0.0
	for r, share := range w.shares(at) {
		median := factor * w.median * w.factor(p, r, at)
		t := w.tailShare(p, at)
		sum += share * ((1-t)*(1-slowerCDF(bound, median, w.sigma)) + t*(1-slowerCDF(bound, 5*median, w.sigma)))
	}
	return sum
}

// share is the proportion of bad requests of an arm.
func (w *workload) share(a arm, at time.Time, threshold float64) float64 {
	for _, p := range w.pods {
		if p.arm != a || a == fresh && !p.takes(at) {
			continue
		}
		if threshold > 0 {
			return w.slow(p, at, threshold)
		}
		sum := 0.0
		for r, share := range w.shares(at) {
			sum += share * w.failure(p, r, at)
		}
		return sum
	}
	return 0
}
