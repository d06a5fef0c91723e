package judge

import (
	"cmp"
	"slices"
)

// BlameList ranks releases by their e-values, the largest first, as indexes, and tells
// how many of the first are to blame: k = max{k : e_(k) ≥ K/(αk)} of K releases. Of
// those, whatever they have in common, a share of at most alpha is expected to be sound
// (e-BH: Wang & Ramdas, "False discovery rate control with e-values").
func BlameList(e []float64, alpha float64) (order []int, blamed int) {
	order = make([]int, len(e))
	for i := range order {
		order[i] = i
	}
	slices.SortStableFunc(order, func(i, j int) int { return cmp.Compare(e[j], e[i]) })
	for k := 1; k <= len(order); k++ {
		if alpha > 0 && e[order[k-1]] >= float64(len(e))/(alpha*float64(k)) {
			blamed = k
		}
	}
	return order, blamed
}
