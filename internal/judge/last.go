package judge

import (
	"math"
	"time"

	"gonum.org/v1/gonum/mathext"
)

const (
	// lastShare of the error probability is kept for one look at the end of the
	// observation: evidence that may be looked at at any time costs more data than
	// evidence that is looked at once.
	lastShare = 0.5
	// Of that, so much is for bursts, for the sum of bad requests and for single routes.
	lastBursts, lastCounts, lastRoutes = 0.6, 0.2, 0.2
)

// Last is the last look, at the end of the observation, after the last Step, and again
// after a Doubt that came then: what is so rare under the null that the share of the error
// probability that was kept for this look covers it is regressed.
func (j *Judge) Last(at time.Time) {
	for _, t := range j.tests {
		if s, ok := t.(*series); ok {
			s.lookLast(j.cfg.Alpha * lastShare / j.lookers)
		}
	}
	before := j.regressed
	j.decide(at)
	j.atLast = j.regressed && !before
}

// early is the share of the error probability that is not kept for the last look.
func (j *Judge) early() float64 {
	if j.lookers == 0 {
		return 1
	}
	return 1 - lastShare
}

// withLast adds the capital of the last look to the signals' weighted mean: it is kept
// until then, and then bet, all or nothing, on a signal's p-value being below its part of
// the level.
func (j *Judge) withLast(mean float64, found bool) float64 {
	out := j.early()*mean + 1 - j.early()
	if found {
		out += 1 / j.cfg.Alpha
	}
	return out
}

// won reports whether the last look found harm in a signal.
func won(t test) bool {
	s, ok := t.(*series)
	return ok && s.won
}

// looks reports whether a signal takes part in the last look.
func (s *series) looks() bool { return s.baseline.known }

// lookLast tells whether so much is as rare as the signal's part of the level, which is
// per unit of weight. What is kept back for an outage stays so.
func (s *series) lookLast(level float64) {
	s.won = s.looks() && s.then >= s.unheld && s.past.pValue(&s.baseline, s.dispersion().likely()) <= level*s.weight
}

// pValue is how likely the release alone had had so many bursts, bad requests, or bad
// requests of one route, were it no worse than tolerated, each as far as it is told: from
// the negative binomial law that the history's gamma predicts.
func (h *past) pValue(b *baseline, phi float64) float64 {
	x, n := float64(h.release.Bad), float64(h.release.Total)
	if n == 0 {
		return 1
	}
	least, shares := b.pCounts(b.tempered(x, n, phi), n, phi)/lastCounts, lastCounts
	if k, ok := b.compareBursts(&h.hits); ok {
		p := math.Max(math.Exp(-hitGain*float64(h.hits.ticks)), b.pValue(k.prior, k.events, k.requests))
		p = math.Max(p, b.pCounts(x, n, k.size(b, x)))
		least, shares = math.Min(least, p/lastBursts), shares+lastBursts
	}
	if p, routes := h.routes.pValue(b, phi); routes > 0 {
		least, shares = math.Min(least, p*float64(routes)/lastRoutes), shares+lastRoutes
	}
	return math.Min(1, least*shares)
}

// pCounts is that of x bad ones among n when phi of them come together.
func (b *baseline) pCounts(x, n, phi float64) float64 {
	weight := 1 / (phi * (1 - b.rate))
	return b.pValue(b.priorOver(phi, n), weight*x, weight*n)
}

// pValue is how likely x or more events of n are at the largest rate that is tolerated.
func (b *baseline) pValue(g gamma, x, n float64) float64 {
	if x <= 0 {
		return 1
	}
	return mathext.RegIncBeta(x, g.a, n/(g.b/b.nullRatio+n))
}

// tempered is x bad ones among n as far as they count when about phi of them come
// together.
func (b *baseline) tempered(x, n, phi float64) float64 {
	return asBursts(x, b.priorOver(phi, n).mean()*b.nullRatio*n, phi)
}

// asBursts takes more bad requests than are to be expected for fewer: for so many as
// are as rare by the law of Poisson with a dispersion of phi as x is by that of bursts
// of geometric size, whose tail is heavier. Both rarities are Chernoff's bounds.
func asBursts(x, expected, phi float64) float64 {
	size := (phi + 1) / 2 // of a burst: the law has the dispersion 2·size − 1
	if x <= expected || size <= 1 || expected <= 0 {
		return x
	}
	// The generating function of a burst's size is G(z) = z/(size − q·z); the bound is
	// x ln z − bursts·(G(z) − 1) where that has its maximum.
	q, bursts := size-1, expected/size
	half := x*size*q + bursts*size/2
	z := x * size * size / (half + math.Sqrt(math.Max(0, half*half-x*x*q*q*size*size)))
	rarity := x*math.Log(z) - bursts*(z/(size-q*z)-1)

	mean := expected / phi
	y := x / phi
	for range 8 { // Newton's method, from above a convex function's root
		y -= (y*math.Log(y/mean) - y + mean - rarity) / math.Log(y/mean)
		if y <= mean {
			return expected
		}
	}
	return math.Min(y*phi, x)
}
