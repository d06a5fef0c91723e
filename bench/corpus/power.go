package corpus

import (
	"math"
	"time"

	"gonum.org/v1/gonum/mathext"
	"gonum.org/v1/gonum/stat/distuv"
)

// power is the probability with which the best of all tests at level α finds the
// regression within the observation: that of Neyman & Pearson, which looks once, at
// the end, at every burst, and knows the harm, its beginning and its route, against
// the nearest rates that are tolerated. What is found by looking at any time, without
// knowing what for, is less. 1 where the bound does not count failures.
func (w *workload) power(s *sim) float64 {
	if w.bound(s) == 0 || w.kind != "errors" {
		return 1
	}
	best := bestTest(w.expected(s, -1))
	for r := range w.routes {
		best = math.Max(best, bestTest(w.expected(s, r)))
	}
	return best
}

// expected are the requests of the release since the harm began, and the bursts of
// failures in them; and those of all else that is known: the past, the stable pods,
// the release before. route is the one that is looked at, -1 for all together.
func (w *workload) expected(s *sim, route int) (release, rest arrivals) {
	const step = 5 * time.Second
	before := w.start.Add(-time.Minute)
	part := func(a arm, at time.Time) (share, failing float64) {
		for _, p := range w.pods {
			if p.arm != a || a == fresh && !p.takes(at) {
				continue
			}
			for r, of := range w.shares(at) {
				if route < 0 || r == route {
					share, failing = share+of, failing+of*w.failure(p, r, at)
				}
			}
			break
		}
		return share, failing
	}
	share, failing := part(stable, before)
	rest.add(w.demand(before)*historyLength.Seconds(), share, failing, w.burst)
	for at := w.start; at.Before(w.start.Add(s.opt.Observe)); at = at.Add(step) {
		new, old := w.taking(fresh, at), w.taking(stable, at)
		if new+old == 0 {
			continue
		}
		n := w.demand(at) * step.Seconds()
		share, failing := part(fresh, at)
		to := &release
		if at.Before(w.onset) {
			to = &rest
		}
		to.add(n*new/(new+old), share, failing, w.burst)
		share, failing = part(stable, at)
		rest.add(n*old/(new+old), share, failing, w.burst)
	}
	return release, rest
}

// arrivals are expected numbers.
type arrivals struct{ requests, bursts float64 }

func (a *arrivals) add(n, share, failing, burst float64) {
	a.requests += n * share
	a.bursts += n * failing / math.Max(burst, 1)
}

// bestTest is the power of the likelihood ratio of the bursts' rates against the
// likeliest of which the release's is at most so many times the rest's, by the law of
// Poisson, randomized to have the level exactly.
func bestTest(release, rest arrivals) float64 {
	if release.requests == 0 || rest.requests == 0 || release.bursts/release.requests <= tolerated*rest.bursts/rest.requests {
		return 0
	}
	p := (release.bursts + rest.bursts) / (tolerated*release.requests + rest.requests)
	t := ratioTest{
		harm: [2]float64{release.bursts, rest.bursts}, null: [2]float64{tolerated * p * release.requests, p * rest.requests},
	}
	for i := range t.weights {
		t.weights[i] = math.Log(t.harm[i] / t.null[i]) // -Inf: such a burst excludes the harm
	}
	if t.plain() {
		return 1
	}
	low, high := -1e4, 1e4
	for range 60 {
		if mid := (low + high) / 2; t.above(t.null, mid) > alpha {
			low = mid
		} else {
			high = mid
		}
	}
	// Between both lies the level.
	part := (alpha - t.above(t.null, high)) / math.Max(t.above(t.null, low)-t.above(t.null, high), 1e-300)
	return t.above(t.harm, high) + math.Min(part, 1)*(t.above(t.harm, low)-t.above(t.harm, high))
}

// ratioTest is that of two Poisson numbers: expected if there is harm, and if there is
// none; weights are what one of each adds to the logarithm of the likelihood ratio.
type ratioTest struct{ harm, null, weights [2]float64 }

// plain reports that harm is found for certain, as good as.
func (t ratioTest) plain() bool {
	const far = 6 // standard deviations
	mean := -(t.harm[0] + t.harm[1] - t.null[0] - t.null[1])
	variance := 0.0
	for i, rate := range t.harm {
		if rate > 0 {
			mean += rate * t.weights[i]
			variance += rate * t.weights[i] * t.weights[i]
		}
	}
	return mean-math.Log(1/alpha) > far*math.Sqrt(variance)
}

// above is how likely the weights of all that come at these rates reach c.
func (t ratioTest) above(rates [2]float64, c float64) float64 {
	if rates[1] == 0 || math.IsInf(t.weights[1], -1) { // none of the rest
		return math.Exp(-rates[1]) * atLeast(math.Ceil(c/t.weights[0]), rates[0])
	}
	rest, sum := distuv.Poisson{Lambda: rates[1]}, 0.0
	spread := 8*math.Sqrt(rates[1]) + 20
	for k := math.Max(0, math.Floor(rates[1]-spread)); k <= rates[1]+spread; k++ {
		sum += rest.Prob(k) * atLeast(math.Ceil((c-k*t.weights[1])/t.weights[0]), rates[0])
	}
	return sum
}

// atLeast is the probability of n or more events of an expected number.
func atLeast(n, expected float64) float64 {
	if n <= 0 {
		return 1
	}
	return mathext.GammaIncReg(n, expected)
}
