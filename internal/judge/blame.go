package judge

import (
	"cmp"
	"slices"
)

// BlameList says which of many releases, given their e-values, may be blamed such
// that no more than a share alpha of those blamed are expected to be no worse than
// tolerated: e-BH (Wang & Ramdas, "False discovery rate control with e-values"),
// which blames the k largest for the largest k with e_(k) ≥ K/(α k). It holds however
// they depend on one another. The answer is the indices of those blamed, the
// strongest first.
func BlameList(es []float64, alpha float64) []int {
	order := make([]int, len(es))
	for i := range order {
		order[i] = i
	}
	slices.SortStableFunc(order, func(a, b int) int { return cmp.Compare(es[b], es[a]) })
	most := 0
	for k := 1; k <= len(order); k++ {
		if es[order[k-1]] >= float64(len(es))/(alpha*float64(k)) {
			most = k
		}
	}
	return order[:most]
}
