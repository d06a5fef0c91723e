package judge

import "math"

// effectSteps are the alternatives over the tolerated relative risk r0:
// r_j = r0 × step. Neighbours are near enough that an effect between them loses
// less than what a finer grid would cost every effect.
var effectSteps = [...]float64{1.4, 2, 4, 10, 30}

// betShares are the shares of its capital a betting expert puts on the release
// arm's share of failures. Small shares win on small effects in big ticks,
// large ones on failures that fall on the release alone.
var betShares = [...]float64{0.1, 0.3, 0.6, 0.95}

// Share is θ(r): the probability that a failure is the release's when its
// relative risk is r and it gets the share rho of the requests.
func Share(rho, r float64) float64 { return rho * r / (rho*r + 1 - rho) }

// LogConditional is the log-likelihood ratio of relative risk r against r0 for
// fc failures of the release and fs of the stable arm, given their sum:
// fc ln(θ(r)/θ(r0)) + fs ln((1−θ(r))/(1−θ(r0))). Conditioning on the sum removes
// the common failure rate.
func LogConditional(fc, fs, rho, r, r0 float64) float64 {
	odds := math.Log((rho*r0 + 1 - rho) / (rho*r + 1 - rho))
	return fc*math.Log(r/r0) + (fc+fs)*odds
}

// LogGridMixture is ln E1 of one block with constant rho: the mean of
// LogConditional's exponentials over the relative risks rs.
func LogGridMixture(fc, fs, rho, r0 float64, rs []float64) float64 {
	total := math.Inf(-1)
	for _, r := range rs {
		total = logAdd(total, LogConditional(fc, fs, rho, r, r0))
	}
	return total - math.Log(float64(len(rs)))
}

// conditionalIncrements fills one tempered increment per effect step.
func conditionalIncrements(out *[maxExperts]float64, fc, fs, rho, r0, exponent float64) {
	null := rho*r0 + 1 - rho
	for j, step := range effectSteps {
		odds := math.Log(null / (rho*r0*step + 1 - rho))
		out[j] = exponent * (fc*logEffectSteps[j] + (fc+fs)*odds)
	}
}

var logEffectSteps = logs(effectSteps[:])

// logPastWeights are the weights of the alternatives against the past: large effects
// have evidence to spare.
var logPastWeights = logs([]float64{0.3, 0.25, 0.25, 0.15, 0.05})

func logs(xs []float64) []float64 {
	out := make([]float64, len(xs))
	for i, x := range xs {
		out[i] = math.Log(x)
	}
	return out
}

// betIncrements fills one increment per bet share: ln(1 + c(x/mean − 1)), which
// is the logarithm of a variable with expectation at most 1 whenever x ≥ 0 has
// expectation at most mean. No law of x is needed, so bursts cannot hurt.
func betIncrements(out *[maxExperts]float64, x, mean float64) {
	gain := x/mean - 1
	for j, c := range betShares {
		out[j] = math.Log1p(c * gain)
	}
}
