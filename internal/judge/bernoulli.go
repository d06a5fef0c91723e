package judge

import "math"

// BernoulliInterval is a confidence sequence for a proportion: successes may be
// looked at after every trial, and all intervals together hold with probability
// 1−alpha. It inverts the beta-binomial mixture whose bound is tightest near
// tOpt trials (Howard, Ramdas, McAuliffe & Sekhon, section 3.2).
func BernoulliInterval(successes, trials, alpha, tOpt float64) (low, high float64) {
	if trials <= 0 {
		return 0, 1
	}
	inside := func(p float64) bool {
		return betaBinomialLogM(successes, trials, p, tOpt) < math.Log(1/alpha)
	}
	mean := successes / trials
	low, high = 0, 1
	const edge = 1e-12
	if !inside(edge) && mean > edge {
		low = bisect(edge, mean, func(p float64) bool { return !inside(p) })
	}
	if !inside(1-edge) && mean < 1-edge {
		high = bisect(mean, 1-edge, inside)
	}
	return low, high
}

// betaBinomialLogM is the logarithm of the mixture martingale for the null p: a
// Beta prior with mean p whose strength is the best at variance tOpt p(1−p).
func betaBinomialLogM(successes, trials, p, tOpt float64) float64 {
	q := 1 - p
	const alphaOpt = 0.05
	rho := BestNormalMixture(tOpt*p*q, alphaOpt, false).Rho - p*q
	rho = math.Max(rho, 1e-3*p*q)
	a, b := rho/q, rho/p
	return logBeta(a+successes, b+trials-successes) - logBeta(a, b) -
		successes*math.Log(p) - (trials-successes)*math.Log(q)
}

func logBeta(a, b float64) float64 { return logGamma(a) + logGamma(b) - logGamma(a+b) }
