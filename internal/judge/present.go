package judge

import (
	"math"

	"github.com/watchtower-verify/watchtower/internal/release"
)

// From this share of bad requests on, the law of both proportions tells more
// than that of their sum alone.
const commonBad = 0.05

const (
	// maxStrata bounds the state; with more, routes are not told apart.
	maxStrata = 32
	// A stratum of which so large a share failed is no route but where failures are
	// filed (an error page, requests that failed before they were routed): whether a
	// request is in it says how it ended.
	failureBucket = 0.5
)

// present is the test of the release against the stable arm, tick by tick while
// both have requests.
type present struct {
	bet, count wealth
	// Sums over those ticks, for the effect's size: Mantel & Haenszel's, so that a
	// share of traffic that changes does not bend it.
	release, stable release.Count
	above, below    float64
	past            []pastStratum
	failures        bool // bad requests are failures, which may be filed apart
}

// pastStratum is what was seen of a stratum before: of the stable arm, and of both.
type pastStratum struct{ stable, both release.Count }

// apart reports whether the stratum's own shares tell nothing: it holds failures
// by what they are, or the stable arm has no requests there. Its bad ones are then
// expected as if its requests were divided like all others. It depends on the past
// only, never on how this tick's requests ended.
func (p *present) apart(i int) bool {
	seen := p.past[i]
	return p.failures && seen.both.Total > 0 && (seen.stable.Total == 0 || seen.both.Ratio() >= failureBucket)
}

func newPresent(failures bool) present {
	return present{bet: newWealth(len(betShares), firstShareHarm), count: newWealth(len(effectSteps), firstShareHarm), failures: failures}
}

// step plays one tick. guess is the stable arm's proportion as expected from
// the past, 0 when unknown. Strata split both arms by route, nil where they are
// not told apart: each is compared with itself, so that a shift of traffic between
// them is no evidence.
func (p *present) step(c, s release.Count, strata []Stratum, r0, guess, phi float64) {
	p.release, p.stable = p.release.Add(c), p.stable.Add(s)
	if len(strata) < 2 || len(strata) > maxStrata {
		strata = []Stratum{{Release: c, Stable: s}}
	}
	for len(p.past) < len(strata) {
		p.past = append(p.past, pastStratum{})
	}
	all := float64(c.Total) / float64(c.Total+s.Total)
	var inc, sum [maxExperts]float64
	var seen, null, bad float64
	for i, k := range strata {
		c, s := sane(k.Release), sane(k.Stable)
		nc, fc, ns, fs := float64(c.Total), float64(c.Bad), float64(s.Total), float64(s.Bad)
		rho, apart := nc/(nc+ns), len(strata) > 1 && p.apart(i)
		if apart {
			rho = all
		}
		guess := p.guess(i, len(strata), guess)
		p.past[i] = pastStratum{p.past[i].stable.Add(s), p.past[i].both.Add(c).Add(s)}
		if nc+ns == 0 || (nc == 0 || ns == 0) && !apart {
			continue // one arm alone tells nothing
		}
		p.above += fc * (1 - rho)
		p.below += fs * rho
		// Given the sums of bad ones of each stratum the expectation of the release's
		// part of all of them is the sum of the strata's, however these depend on one
		// another.
		seen += fc
		null += (fc + fs) * Share(rho, r0)
		bad += fc + fs
		inc = [maxExperts]float64{}
		if guess >= commonBad && !apart {
			proportionIncrements(&inc, planeFor(r0, guess), effectSteps[:], nc, fc, ns, fs, guess, 1/phi)
		} else if fc+fs > 0 {
			conditionalIncrements(&inc, fc, fs, rho, r0, 1/phi)
		}
		for j := range sum {
			sum[j] += inc[j]
		}
	}
	if bad > 0 {
		betIncrements(&inc, seen/bad, null/bad)
		p.bet.step(&inc)
	}
	if sum != [maxExperts]float64{} {
		p.count.step(&sum)
	}
}

// guess is what a stratum's proportion is expected to be in the stable arm, from
// its own past, held by that of all together.
func (p *present) guess(i, strata int, all float64) float64 {
	if strata == 1 || all == 0 {
		return all
	}
	const hold = 50
	own := p.past[i].stable
	g := (float64(own.Bad) + hold*all) / (float64(own.Total) + hold)
	return math.Min(g, 1-1e-3)
}

func (p *present) logE() float64 {
	return logAdd(p.bet.logE(), p.count.logE()) - math.Ln2
}

// holdPast is how many requests at the workload's rate a route's own past is held
// by at least; they have one bad among them.
const holdPast = 50

// exposed is a tick of the release as it would be with the routes' shares of the
// past: each request counts as many as its route's bad requests were more than the
// workload's. A shift to a route that always failed more, or took longer, is then
// no evidence against the past, and routes that are used as before change nothing.
// Routes that hold failures by what they are count as all others.
func (s *series) exposed(t Tick) release.Count {
	c, mix := sane(t.Release), t.Mix
	if mix == nil {
		mix = t.Strata
	}
	if len(mix) < 2 || len(mix) > maxStrata {
		return c
	}
	var past release.Count
	for _, k := range mix {
		past = past.Add(sane(k.Past))
	}
	mean := (float64(past.Bad) + 0.5) / (float64(past.Total) + 1)
	hold := math.Max(holdPast, 1/mean)
	var now, before, nowBad, beforeBad float64
	for _, k := range mix {
		past, rate := sane(k.Past), mean
		if past.Total > 0 && !(s.present.failures && past.Ratio() >= failureBucket) {
			rate = (float64(past.Bad) + hold*mean) / (float64(past.Total) + hold)
		}
		requests := float64(sane(k.Release).Total)
		now, nowBad = now+requests, nowBad+requests*rate
		before, beforeBad = before+float64(past.Total), beforeBad+float64(past.Total)*rate
	}
	if now == 0 || before == 0 {
		return c
	}
	n := float64(c.Total) * (nowBad / now) / (beforeBad / before)
	return release.Count{Total: max(c.Bad, int64(math.Round(n)), 1), Bad: c.Bad}
}
