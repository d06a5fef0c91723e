package judge

import (
	"math"

	"github.com/watchtower-verify/watchtower/internal/release"
)

// From this share of bad requests on, the law of both proportions tells more
// than that of their sum alone.
const commonBad = 0.05

// present is the test of the release against the stable arm, tick by tick while
// both have requests.
type present struct {
	bet, count wealth
	// Sums over those ticks, for the effect's size: Mantel & Haenszel's, so that a
	// share of traffic that changes does not bend it.
	release, stable release.Count
	above, below    float64
}

func newPresent() present {
	return present{bet: newWealth(len(betShares), firstShareHarm), count: newWealth(len(effectSteps), firstShareHarm)}
}

// step plays one tick. guess is the stable arm's proportion as expected from
// the past, 0 when unknown.
func (p *present) step(c, s release.Count, r0, guess, phi float64) {
	nc, fc, ns, fs := float64(c.Total), float64(c.Bad), float64(s.Total), float64(s.Bad)
	rho := nc / (nc + ns)
	p.release, p.stable = p.release.Add(c), p.stable.Add(s)
	p.above += fc * ns / (nc + ns)
	p.below += fs * nc / (nc + ns)

	var inc [maxExperts]float64
	if fc+fs > 0 {
		betIncrements(&inc, fc/(fc+fs), Share(rho, r0))
		p.bet.step(&inc)
	}
	if guess >= commonBad {
		proportionIncrements(&inc, planeFor(r0, guess), effectSteps[:], nc, fc, ns, fs, guess, 1/phi)
		p.count.step(&inc)
	} else if fc+fs > 0 {
		conditionalIncrements(&inc, fc, fs, rho, r0, 1/phi)
		p.count.step(&inc)
	}
}

func (p *present) logE() float64 {
	return logAdd(p.bet.logE(), p.count.logE()) - math.Ln2
}
