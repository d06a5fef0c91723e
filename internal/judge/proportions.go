package judge

import "math"

// LogTwoProportions is ln e_k of the test of two proportions with the null
// θ_0 = θ_1 (Turner, Ly & Grünwald): theta is a guess made before the block was
// seen, n and f the block's trials and outcomes of both groups.
func LogTwoProportions(theta, n, f [2]float64) float64 {
	mean := (n[0]*theta[0] + n[1]*theta[1]) / (n[0] + n[1])
	return logRatio(f[0], n[0], theta[0], mean) + logRatio(f[1], n[1], theta[1], mean)
}

// logRatio is the log-likelihood ratio of p against q for f of n.
func logRatio(f, n, p, q float64) float64 {
	sum := 0.0
	if f > 0 {
		sum += f * math.Log(p/q)
	}
	if n > f {
		sum += (n - f) * math.Log((1-p)/(1-q))
	}
	return sum
}

// halfPlane is a null hypothesis on two proportions: the release's is at most
// (or at least) intercept + slope × the stable arm's.
type halfPlane struct {
	intercept, slope float64
}

func (h halfPlane) at(stable float64) float64 { return h.intercept + h.slope*stable }

// ratioPlane bounds the release's proportion by r × the stable arm's.
func ratioPlane(r float64) halfPlane { return halfPlane{0, r} }

// complementPlane bounds the good share from below by 1/r of the stable arm's.
// Above the proportion 1/(1+r) it is the tighter of the two, and it never leaves
// [0,1].
func complementPlane(r float64) halfPlane { return halfPlane{1 - 1/r, 1 / r} }

// planeFor is the tighter bound near the proportion p.
func planeFor(r, p float64) halfPlane {
	if complementPlane(r).at(p) < ratioPlane(r).at(p) {
		return complementPlane(r)
	}
	return ratioPlane(r)
}

// project returns the point (release, stable) on the border nearest in
// Kullback-Leibler divergence to (pc, ps), which lies off the null, for nc and ns
// trials. The likelihood ratio of (pc, ps) against it is an e-value for the whole
// half-plane: the log-expectation is concave in the null's proportions, zero at
// the projection, and falls into the null by the projection's optimality.
func (h halfPlane) project(nc, ns, pc, ps float64) (float64, float64) {
	lo, hi := ps, (pc-h.intercept)/h.slope
	if lo > hi {
		lo, hi = hi, lo
	}
	lo, hi = math.Max(lo, 0), math.Min(hi, 1)
	s := (ns*ps + nc*h.slope*(pc-h.intercept)) / (ns + nc*h.slope*h.slope)
	for range 40 {
		if !(s > lo && s < hi) {
			s = (lo + hi) / 2
		}
		c := h.at(s)
		vc, vs := c*(1-c), s*(1-s)
		slope := nc*h.slope*(c-pc)/vc + ns*(s-ps)/vs
		if slope > 0 {
			hi = s
		} else {
			lo = s
		}
		curve := nc*h.slope*h.slope*(1/vc-(c-pc)*(1-2*c)/(vc*vc)) + ns*(1/vs-(s-ps)*(1-2*s)/(vs*vs))
		step := slope / curve
		s -= step
		if math.Abs(step) <= 1e-13*s {
			break
		}
	}
	s = math.Min(math.Max(s, lo), hi)
	return h.at(s), s
}

// proportionIncrements fills one tempered increment per odds factor: the
// alternative is the stable arm at ps and the release at that factor times the
// odds of the border. It knows the law of both arms, not only of their sum, and
// so loses nothing where bad requests are common.
func proportionIncrements(out *[maxExperts]float64, h halfPlane, factors []float64, nc, fc, ns, fs, ps, exponent float64) {
	border := h.at(ps)
	odds := border / (1 - border)
	for j, factor := range factors {
		out[j] = 0
		if !(border > 0 && border < 1) {
			continue
		}
		pc := odds * factor / (1 + odds*factor)
		c, s := h.project(nc, ns, pc, ps)
		if !(c > 0 && c < 1 && s > 0 && s < 1) {
			continue
		}
		out[j] = exponent * (logRatio(fc, nc, pc, c) + logRatio(fs, ns, ps, s))
	}
}
