package judge

import (
	"math"

	"github.com/watchtower-verify/watchtower/internal/release"
)

// From this share of bad requests on, the law of both proportions tells more
// than that of their sum alone.
const commonBad = 0.05

// maxStrata bounds the state; more are taken together.
const maxStrata = 32

// present is the test of the release against the stable arm, tick by tick while
// both have requests.
type present struct {
	bet, count wealth
	// Sums over those ticks, for the effect's size: Mantel & Haenszel's, so that a
	// share of traffic that changes does not bend it.
	release, stable release.Count
	above, below    float64
	past            []release.Count // of the stable arm, by stratum
}

func newPresent() present {
	return present{bet: newWealth(len(betShares), firstShareHarm), count: newWealth(len(effectSteps), firstShareHarm)}
}

// step plays one tick. guess is the stable arm's proportion as expected from
// the past, 0 when unknown. Strata split both arms by route, nil where they are
// not told apart: each is compared with itself, so that a shift of traffic between
// them is no evidence.
func (p *present) step(c, s release.Count, strata []Stratum, r0, guess, phi float64) {
	p.release, p.stable = p.release.Add(c), p.stable.Add(s)
	if len(strata) < 2 || len(strata) > maxStrata {
		strata = []Stratum{{c, s}}
	}
	for len(p.past) < len(strata) {
		p.past = append(p.past, release.Count{})
	}
	var inc, sum [maxExperts]float64
	var seen, null, bad float64
	for i, k := range strata {
		c, s := sane(k.Release), sane(k.Stable)
		nc, fc, ns, fs := float64(c.Total), float64(c.Bad), float64(s.Total), float64(s.Bad)
		if nc == 0 || ns == 0 {
			p.past[i] = p.past[i].Add(s)
			continue // one arm alone tells nothing
		}
		rho := nc / (nc + ns)
		p.above += fc * ns / (nc + ns)
		p.below += fs * nc / (nc + ns)
		// Given the sums of bad ones of each stratum the expectation of the release's
		// part of all of them is the sum of the strata's, however these depend on one
		// another.
		seen += fc
		null += (fc + fs) * Share(rho, r0)
		bad += fc + fs
		inc = [maxExperts]float64{}
		if g := p.guess(i, len(strata), guess); g >= commonBad {
			proportionIncrements(&inc, planeFor(r0, g), effectSteps[:], nc, fc, ns, fs, g, 1/phi)
		} else if fc+fs > 0 {
			conditionalIncrements(&inc, fc, fs, rho, r0, 1/phi)
		}
		for j := range sum {
			sum[j] += inc[j]
		}
		p.past[i] = p.past[i].Add(s)
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
	own := p.past[i]
	g := (float64(own.Bad) + hold*all) / (float64(own.Total) + hold)
	return math.Min(g, 1-1e-3)
}

func (p *present) logE() float64 {
	return logAdd(p.bet.logE(), p.count.logE()) - math.Ln2
}
