package judge

import "math"

// LogGammaHistory is ln E of x bad ones among n requests after a rollout when
// the rate before it is known to be Gamma(a, b), against relative risk 1: the
// mean over rs of r^{−a} ((b+n)/(b/r+n))^{a+x}.
func LogGammaHistory(a, b, x, n float64, rs []float64) float64 {
	total := math.Inf(-1)
	for _, r := range rs {
		total = logAdd(total, -a*math.Log(r)+(a+x)*math.Log((b+n)/(b/r+n)))
	}
	return total - math.Log(float64(len(rs)))
}
