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

// shareInterval is Clopper & Pearson's interval for x of x+y.
func shareInterval(x, y, alpha float64) (low, high float64) {
	low, high = 0, 1
	if x > 0 {
		low = mathext.InvRegIncBeta(x, y+1, alpha/2)
	}
	if y > 0 {
		high = mathext.InvRegIncBeta(x+1, y, 1-alpha/2)
	}
	return low, high
}

func oddsOf(p float64) float64 {
	if p >= 1 {
		return math.Inf(1)
	}
	return p / (1 - p)
}
