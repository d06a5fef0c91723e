package judge

import (
	"math"

	"gonum.org/v1/gonum/mathext"

	"github.com/watchtower-verify/watchtower/internal/release"
)

// maxEffect stands for a relative risk without an upper limit: the baseline has
// no bad request to compare with.
const maxEffect = 1e6

// effect is the relative risk against a baseline with Clopper & Pearson's
// interval at 1−alpha for the release's share of the bad requests, given their
// sum, with the counts divided by the dispersion phi. It is an interval for one
// look, meant to tell how large the effect is; whether there is one is the
// e-value's to say. Limits are within [0, 1e6]. nil without bad requests.
func (s *series) effect(arm release.Arm, alpha, phi float64) *release.Effect {
	var fc, fs, ratio float64
	switch arm {
	case release.ArmHistory:
		b, c := s.baseline.count, s.release
		if c.Total == 0 || b.Total == 0 {
			return nil
		}
		fc, fs = float64(c.Bad), float64(b.Bad)
		ratio = shareRatio(fc, fs, float64(c.Total)/float64(b.Total))
	default:
		c, b := s.present.release, s.present.stable
		if c.Total == 0 || b.Total == 0 {
			return nil
		}
		fc, fs = float64(c.Bad), float64(b.Bad)
		ratio = shareRatio(fc, fs, float64(c.Total)/float64(b.Total))
		if s.present.above > 0 && s.present.below > 0 {
			ratio = s.present.above / s.present.below
		}
	}
	if fc+fs == 0 {
		return nil
	}
	// Odds of the shares that stand for relative risk 1, such that the interval
	// stands around the ratio also where the share of traffic changed.
	unit := ((fc + 0.5) / (fs + 0.5)) / ratio
	if fc > 0 && fs > 0 {
		unit = (fc / fs) / ratio
	}
	low, high := shareInterval(fc/phi, fs/phi, alpha)
	return &release.Effect{
		Ratio: math.Min(ratio, maxEffect),
		Low:   math.Min(low/(1-low)/unit, maxEffect),
		High:  math.Min(oddsOf(high)/unit, maxEffect),
	}
}

// shareRatio is the relative risk; where an arm has no bad request half of one
// is added to both.
func shareRatio(fc, fs, traffic float64) float64 {
	if fc == 0 || fs == 0 {
		fc, fs = fc+0.5, fs+0.5
	}
	return fc / fs / traffic
}

// shareInterval is Clopper & Pearson's interval for x of x+y; of many it is worked out
// from the normal law, which differs in the fourth digit.
func shareInterval(x, y, alpha float64) (low, high float64) {
	const many, least = 25, 1e-9 // below least the normal law has no quantile that floats tell from infinity
	quantile := mathext.InvRegIncBeta
	if x >= many && y >= many && alpha > least {
		quantile = betaQuantile
	}
	low, high = 0, 1
	if x > 0 {
		low = quantile(x, y+1, alpha/2)
	}
	if y > 0 {
		high = quantile(x+1, y, 1-alpha/2)
	}
	return low, high
}

// betaQuantile is where the law Beta(a, b) has the probability p below it, nearly:
// Abramowitz & Stegun, Handbook of Mathematical Functions (1964), 26.5.22.
func betaQuantile(a, b, p float64) float64 {
	y := math.Sqrt2 * math.Erfinv(1-2*p) // so much of the normal law is above it
	ra, rb := 1/(2*a-1), 1/(2*b-1)
	lambda, h := (y*y-3)/6, 2/(ra+rb)
	w := y*math.Sqrt(h+lambda)/h - (rb-ra)*(lambda+5.0/6-2/(3*h))
	return a / (a + b*math.Exp(2*w))
}

func oddsOf(p float64) float64 {
	if p >= 1 {
		return math.Inf(1)
	}
	return p / (1 - p)
}
