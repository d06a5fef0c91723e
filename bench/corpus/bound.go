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
)

// bound is when the data hold ln(1/α) nats against "the release is no worse than is
// tolerated", seconds after the start: the expected Kullback-Leibler divergence of
// what is simulated, summed over time. 0 where it is not reached, or for families
// to which it does not apply.
func (w *workload) bound(s *sim) float64 {
	if !w.regressed || w.kind != "errors" && w.kind != "latency" || w.refused != nil {
		return 0
	}
	const step = 5 * time.Second
	need := math.Log(1/alpha) * w.burst
	if w.kind == "latency" {
		need = math.Log(1 / alpha)
	}
	best := 0.0
	for _, threshold := range w.thresholds() {
		sum := 0.0
		for at := w.start; at.Before(w.start.Add(s.opt.Observe)); at = at.Add(step) {
			sum += w.information(at, step.Seconds(), threshold)
			if sum >= need {
				if t := at.Sub(w.start).Seconds() + step.Seconds(); best == 0 || t < best {
					best = t
				}
				break
			}
		}
	}
	return best
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

// information is that of some seconds, in nats.
func (w *workload) information(at time.Time, seconds, threshold float64) float64 {
	nc, ns := w.taking(fresh, at), w.taking(stable, at)
	if nc == 0 {
		return 0
	}
	rate := w.demand(at) * seconds
	rho := nc / (nc + ns)
	pc, ps := w.share(fresh, at, threshold), w.share(stable, w.start.Add(-time.Minute), threshold)
	if ps == 0 {
		// History knows the proportion of none no better than by how many it saw.
		ps = 1 / (2 * w.rate * 30 * 60)
	}
	limit := tolerated * ps
	if threshold > 0 {
		limit = w.slowAs(w.pods[0], w.start.Add(-time.Minute), threshold, slowerTolerated)
	}
	if pc <= limit {
		return 0
	}
	// Against the past, which is known.
	against := rate * rho * divergence(pc, limit)
	if ns > 0 {
		theta := func(r float64) float64 { return rho * r / (rho*r + 1 - rho) }
		arms := rate * (rho*pc + (1-rho)*ps) * divergence(theta(pc/ps), theta(limit/ps))
		return math.Max(arms, 0)
	}
	return math.Max(against, 0)
}

// divergence is that of Bernoulli(p) from Bernoulli(q).
func divergence(p, q float64) float64 {
	p, q = math.Min(math.Max(p, 1e-12), 1-1e-12), math.Min(math.Max(q, 1e-12), 1-1e-12)
	return p*math.Log(p/q) + (1-p)*math.Log((1-p)/(1-q))
}
