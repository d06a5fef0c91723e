package app

import (
	"cmp"
	"math"
	"slices"

	"github.com/watchtower-verify/watchtower/internal/judge"
	"github.com/watchtower-verify/watchtower/internal/pattern"
)

// Change is what became of a pattern between two logs.
type Change string

// What may become of a pattern.
const (
	ChangeNew  Change = "new"  // there was none before
	ChangeMore Change = "more" // more often than before
	ChangeLess Change = "less" // less often than before
	ChangeGone Change = "gone" // there is none any more
	ChangeSame Change = "same" // no more different than chance would have it
)

// PatternChange is one pattern in two logs.
type PatternChange struct {
	Pattern  pattern.Pattern
	Change   Change
	Old, New uint64
	// Ratio is how many times as frequent the pattern is now, per event of its
	// log, with an interval that covers it with probability 1−alpha; +Inf without
	// an upper limit.
	Ratio, Low, High float64
	// E is the e-value against the pattern being as frequent as before. An e-value
	// of 100 is seen of an unchanged pattern at most once in a hundred times.
	E float64
	// LogE is the natural logarithm of E, which stays finite.
	LogE float64
	// Significant tells that the change is among those of which, in expectation,
	// at most the share alpha is chance (e-BH).
	Significant bool
}

// changeMass is the mass of the mixture over shares of a pattern's events: two
// is the uniform one when the logs are of one length.
const changeMass = 2

// ComparePatterns says what became of every pattern of a miner that counted the
// old log as arm 0 and the new one as arm 1. The exposure is the events of each
// log, so logs of different lengths can be compared. What changed comes first,
// the surest of each kind before the others. alpha is the share of false
// discoveries, such as 0.01.
func ComparePatterns(patterns []pattern.Pattern, alpha float64) []PatternChange {
	var total [2]float64
	for _, p := range patterns {
		total[0] += float64(p.Arms[0])
		total[1] += float64(p.Arms[1])
	}
	changes := make([]PatternChange, 0, len(patterns))
	for _, p := range patterns {
		changes = append(changes, compare(p, total, alpha))
	}
	discover(changes, alpha)
	for i := range changes {
		if c := &changes[i]; !c.Significant && c.Old > 0 && c.New > 0 {
			c.Change = ChangeSame
		}
	}
	rank := map[Change]int{ChangeNew: 0, ChangeMore: 1, ChangeGone: 2, ChangeLess: 3, ChangeSame: 4}
	slices.SortStableFunc(changes, func(a, b PatternChange) int {
		return cmp.Or(cmp.Compare(rank[a.Change], rank[b.Change]), cmp.Compare(b.LogE, a.LogE),
			cmp.Compare(b.Old+b.New, a.Old+a.New), cmp.Compare(a.Pattern.Template, b.Pattern.Template))
	})
	return changes
}

// compare tests the new log's share of a pattern's events against its share of
// all events.
func compare(p pattern.Pattern, total [2]float64, alpha float64) PatternChange {
	c := PatternChange{Pattern: p, Old: p.Arms[0], New: p.Arms[1], E: 1, High: math.Inf(1)}
	was, is := float64(c.Old), float64(c.New)
	switch {
	case c.Old == 0:
		c.Change = ChangeNew
	case c.New == 0:
		c.Change = ChangeGone
	case is*total[0] >= was*total[1]:
		c.Change = ChangeMore
	default:
		c.Change = ChangeLess
	}
	if total[0] == 0 || total[1] == 0 {
		return c
	}
	rho := total[1] / (total[0] + total[1])
	c.LogE = judge.LogMultinomial([]float64{rho, 1 - rho}, []float64{is, was}, changeMass)
	c.E = math.Exp(c.LogE)
	unit := rho / (1 - rho)
	c.Ratio = is / was / unit
	low, high := judge.BernoulliInterval(is, is+was, alpha, math.Max(is+was, 1))
	c.Low = low / (1 - low) / unit
	if high < 1 {
		c.High = high / (1 - high) / unit
	}
	return c
}

// discover marks the changes that are discoveries: with K patterns and e-values
// in falling order, the first k for the largest k with e_k ≥ K/(k·alpha) (e-BH;
// Wang & Ramdas, "False discovery rate control with e-values").
func discover(changes []PatternChange, alpha float64) {
	order := make([]int, len(changes))
	for i := range order {
		order[i] = i
	}
	slices.SortStableFunc(order, func(a, b int) int { return cmp.Compare(changes[b].LogE, changes[a].LogE) })
	k := 0
	for i, at := range order {
		if changes[at].E >= float64(len(changes))/(float64(i+1)*alpha) {
			k = i + 1
		}
	}
	for _, at := range order[:k] {
		changes[at].Significant = true
	}
}
