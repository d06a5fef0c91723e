package judge

import (
	"math"

	"github.com/watchtower-verify/watchtower/internal/release"
)

const maxNeed = 1e9

// needs estimates how many more requests of the release a decision takes if it
// goes on as it went: the fewer of what the slowest required signal needs to be
// shown healthy and what the fastest signal needs to be shown regressed.
func (j *Judge) needs() *release.Needs {
	healthy, regressed := 0.0, math.Inf(1)
	n := &release.Needs{}
	required := 0
	for _, s := range j.tests {
		regressed = math.Min(regressed, s.toRegressed(j.cfg.Alpha*j.early()))
		if !s.top().required {
			continue
		}
		required++
		left := math.Log(1/j.cfg.Beta) - s.healthyE()
		if left <= 0 {
			continue
		}
		n.Signals = append(n.Signals, s.top().name)
		healthy = math.Max(healthy, s.toHealthy(j.cfg.Beta, left))
	}
	if required == 0 {
		healthy = math.Inf(1)
	}
	requests := math.Min(healthy, regressed)
	n.Requests = int64(math.Ceil(math.Min(math.Max(requests, 1), maxNeed)))
	return n
}

// toHealthy is left nats over the information of one request in the absolute
// test of health.
func (s *series) toHealthy(beta, left float64) float64 {
	h := s.health
	missing := 0.0
	if !h.known {
		// The baseline comes first; until then the limit is the increase alone.
		missing = minStableRequests - float64(h.stable.Total)
		if s.stable.Total > 0 {
			missing *= float64(s.release.Total) / float64(s.stable.Total)
		}
		h.fix(h.stable.Ratio())
	}
	seen := h.base
	if s.release.Total > 0 {
		seen = (float64(s.release.Bad) + guessWeight*h.base) / (float64(s.release.Total) + guessWeight)
	}
	q := h.guess()
	information := (seen*math.Log(q/h.limit) + (1-seen)*math.Log((1-q)/(1-h.limit))) / s.dispersion().middle()
	if !(information > 0) {
		return math.Inf(1)
	}
	// The rest of the capital is on the other test.
	left = math.Min(left, math.Log(1/(absoluteShare*beta))-h.absolute.logE())
	return missing + math.Max(left, 0)/information
}

// toRegressed is what is left to 1/α over the information of one request of the
// release: the Kullback-Leibler divergence of what is seen from what is
// tolerated, over the dispersion.
func (s *series) toRegressed(alpha float64) float64 {
	base, arm := s.reference()
	if base.Total == 0 || s.release.Bad == 0 || s.weight <= 0 {
		return math.Inf(1)
	}
	p := s.release.Ratio()
	q := (float64(base.Bad) + 0.5) / (float64(base.Total) + 1)
	tolerated := planeFor(s.r0, q).at(q)
	if p <= tolerated {
		return math.Inf(1)
	}
	information := divergence(p, tolerated)
	if arm == release.ArmStable {
		rho := float64(s.present.release.Total) / float64(s.present.release.Total+base.Total)
		share, null := Share(rho, p/q), Share(rho, tolerated/q)
		information = (p + q*(1-rho)/rho) * divergence(share, null)
	}
	left := math.Log(1/(alpha*s.weight)) - s.logE()
	return math.Max(0, left) * s.dispersion().middle() / information
}

// divergence is that of Bernoulli(p) from Bernoulli(q).
func divergence(p, q float64) float64 {
	d := 0.0
	if p > 0 {
		d += p * math.Log(p/q)
	}
	if p < 1 {
		d += (1 - p) * math.Log((1-p)/(1-q))
	}
	return d
}
