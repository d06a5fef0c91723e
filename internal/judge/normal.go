package judge

import "math"

// NormalMixture is the mixture supermartingale of a sub-Gaussian sum s with
// variance process v over N(0, 1/rho), half-normal when one-sided (Howard,
// Ramdas, McAuliffe & Sekhon, "Time-uniform, nonparametric, nonasymptotic
// confidence sequences", propositions 5 and 6). It tests a mean where only sums
// and counts exist.
type NormalMixture struct {
	Rho      float64
	OneSided bool
}

// BestNormalMixture is the mixture whose bound is tightest near variance v at
// level alpha.
func BestNormalMixture(v, alpha float64, oneSided bool) NormalMixture {
	if oneSided {
		alpha *= 2
	}
	l := 2 * math.Log(1/alpha)
	return NormalMixture{Rho: v / (l + math.Log(1+l)), OneSided: oneSided}
}

// LogM is the logarithm of the supermartingale at (s, v).
func (m NormalMixture) LogM(s, v float64) float64 {
	body := 0.5*math.Log(m.Rho/(v+m.Rho)) + s*s/(2*(v+m.Rho))
	if !m.OneSided {
		return body
	}
	return body + math.Log(math.Erfc(-s/math.Sqrt(2*(v+m.Rho))))
}

// Bound is the s at which the supermartingale reaches 1/alpha at variance v.
func (m NormalMixture) Bound(v, alpha float64) float64 {
	level := math.Log(1 / alpha)
	two := math.Sqrt((v + m.Rho) * (math.Log((v+m.Rho)/m.Rho) + 2*level))
	if !m.OneSided {
		return two
	}
	return bisect(0, two, func(s float64) bool { return m.LogM(s, v) < level })
}

// bisect returns the border in [lo, hi] between where below holds and where it
// does not.
func bisect(lo, hi float64, below func(float64) bool) float64 {
	for range 100 {
		mid := (lo + hi) / 2
		if mid <= lo || mid >= hi {
			break
		}
		if below(mid) {
			lo = mid
		} else {
			hi = mid
		}
	}
	return (lo + hi) / 2
}
