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

// Thresholds freezes from the baseline's histogram what "slow" means for the
// p-quantile: below is the largest boundary ≤ q̂, above the smallest ≥ (1+delta)q̂.
// The release's requests slower than above are held against the stable arm's
// slower than below, so that a rejection means a shift of delta or more. Where
// q̂ lies in the first bucket there is no such boundary below it and both are
// the one above: then a rejection means that more requests take longer than
// that. ok is false where no finite boundary lies above.
func Thresholds(bounds []float64, counts []float64, p, delta float64) (below, above float64, ok bool) {
	q := Quantile(bounds, counts, p)
	if math.IsNaN(q) || math.IsInf(q, 0) {
		return 0, 0, false
	}
	found := false
	for _, b := range bounds {
		if math.IsInf(b, 1) {
			break
		}
		if b <= q {
			below, found = b, true
		}
		if b >= (1+delta)*q {
			if !found {
				below = b
			}
			return below, b, true
		}
	}
	return 0, 0, false
}

func sum(xs []float64) float64 {
	total := 0.0
	for _, x := range xs {
		total += x
	}
	return total
}
