package judge

import "math"

// LogMultinomial is ln E of counts against the null cell probabilities null,
// with a Dirichlet mixture of mass centred on the null: lnB(a+S) − lnB(a) −
// Σ S_i ln null_i, a = mass × null (Lindon & Malek, arXiv 2011.03567). With two
// cells it is the closed form of the conditional test for a constant share of
// traffic; with more it tests a split of traffic over routes or pods.
func LogMultinomial(null, counts []float64, mass float64) float64 {
	sum, total, totalMass := 0.0, 0.0, 0.0
	for i, p := range null {
		a := mass * p
		sum += logGamma(a+counts[i]) - logGamma(a) - counts[i]*math.Log(p)
		total += counts[i]
		totalMass += a
	}
	return sum - logGamma(totalMass+total) + logGamma(totalMass)
}

func logGamma(x float64) float64 {
	v, _ := math.Lgamma(x)
	return v
}
