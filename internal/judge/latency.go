package judge

import "math"

// Quantile estimates the q-quantile from a classic histogram as PromQL's
// histogram_quantile does: bounds are ascending upper bounds, the last +Inf;
// counts are per bucket, not cumulative. Inside a bucket it interpolates
// linearly, from 0 in the first when its bound is positive; in the last it
// answers the last finite bound. NaN without observations or with fewer than
// two buckets.
func Quantile(bounds []float64, counts []float64, q float64) float64 {
	total := sum(counts)
	if len(bounds) < 2 || len(bounds) != len(counts) || !(total > 0) || math.IsNaN(q) {
		return math.NaN()
	}
	if q < 0 {
		return math.Inf(-1)
	}
	if q > 1 {
		return math.Inf(1)
	}
	rank, below := q*total, 0.0
	i := 0
	for ; i < len(counts)-1 && below+counts[i] < rank; i++ {
		below += counts[i]
	}
	if i == len(counts)-1 {
		return bounds[i-1]
	}
	low := 0.0
	switch {
	case i > 0:
		low = bounds[i-1]
	case bounds[0] <= 0:
		return bounds[0]
	}
	if counts[i] <= 0 {
		return low
	}
	return low + (bounds[i]-low)*(rank-below)/counts[i]
}

// Tail freezes from the baseline's histogram what "slow" means for the
// p-quantile: slower than boundary, in both arms alike, the finite boundary
// whose share of slower requests is nearest to 1−p (in log-odds). ratio is how
// many times as many slow requests the baseline would have, were it slower by
// the factor 1+delta throughout: what is to be tolerated. It is read off the
// baseline's own distribution, between boundaries along a power law, so that a
// rejection means a shift of about delta or more, however coarse the buckets.
// Where nothing in the baseline is slow at any boundary above its quantile, the
// smallest such boundary serves, with ratio 1. ok is false where no finite
// boundary lies above the quantile.
func Tail(bounds []float64, counts []float64, p, delta float64) (boundary, ratio float64, ok bool) {
	q := Quantile(bounds, counts, p)
	if math.IsNaN(q) || math.IsInf(q, 0) {
		return 0, 0, false
	}
	slower := survival(counts)
	best, distance := -1, math.Inf(1)
	for i, b := range bounds[:len(bounds)-1] {
		if slower[i] > 0 && slower[i] < 1 && b > 0 {
			if d := math.Abs(logit(slower[i]) - logit(1-p)); d < distance {
				best, distance = i, d
			}
		}
	}
	if best >= 0 {
		x := bounds[best] / (1 + delta)
		return bounds[best], math.Max(1, slowerThan(bounds, slower, best, x)/slower[best]), true
	}
	for _, b := range bounds[:len(bounds)-1] {
		if b >= (1+delta)*q {
			return b, 1, true
		}
	}
	return 0, 0, false
}

// TailAbove is Tail for the finite boundary that follows another; ok is false where
// none does, or fewer than leastTail of the baseline's requests took longer.
func TailAbove(bounds []float64, counts []float64, after, delta float64) (boundary, ratio float64, ok bool) {
	slower := survival(counts)
	for i, b := range bounds[:max(len(bounds)-1, 0)] {
		if b <= after {
			continue
		}
		if slower[i]*sum(counts) < leastTail {
			return 0, 0, false
		}
		return b, math.Max(1, slowerThan(bounds, slower, i, b/(1+delta))/slower[i]), true
	}
	return 0, 0, false
}

// FarTail is Tail for the farthest finite boundary that a share of farShare or more
// of the baseline's requests exceed, farTail of them at least: a slow few stand out
// most where hardly any were slow. ok is false where there is none.
func FarTail(bounds []float64, counts []float64, delta float64) (boundary, ratio float64, ok bool) {
	slower := survival(counts)
	for i := len(bounds) - 2; i >= 0; i-- {
		if slower[i] >= farShare && slower[i]*sum(counts) >= farTail {
			return bounds[i], math.Max(1, slowerThan(bounds, slower, i, bounds[i]/(1+delta))/slower[i]), true
		}
	}
	return 0, 0, false
}

const (
	// leastTail is how many slow requests of the baseline make a tail, farTail how
	// many make one that is far out.
	leastTail, farTail = 5, 20
	farShare           = 0.0003
)

// survival is the share of observations above each bound.
func survival(counts []float64) []float64 {
	out := make([]float64, len(counts))
	total, above := sum(counts), 0.0
	for i := len(counts) - 1; i >= 0; i-- {
		out[i] = above / total
		above += counts[i]
	}
	return out
}

// slowerThan is the share of observations above x ≤ bounds[i].
func slowerThan(bounds, slower []float64, i int, x float64) float64 {
	for i > 0 && x < bounds[i-1] {
		i--
	}
	if i == 0 || bounds[i-1] <= 0 || slower[i] == 0 {
		low, above := 0.0, 1.0
		if i > 0 {
			low, above = bounds[i-1], slower[i-1]
		}
		return above + (slower[i]-above)*(x-low)/(bounds[i]-low)
	}
	along := math.Log(bounds[i]/x) / math.Log(bounds[i]/bounds[i-1])
	return slower[i] * math.Pow(slower[i-1]/slower[i], along)
}

func logit(p float64) float64 { return math.Log(p / (1 - p)) }

func sum(xs []float64) float64 {
	total := 0.0
	for _, x := range xs {
		total += x
	}
	return total
}
