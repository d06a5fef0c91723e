package judge

import "math"

const maxExperts = 8

// Share of the capital that is at stake from the first tick with evidence, and
// how slowly the rest follows (in ticks with evidence). What is kept back costs
// ln(4/3) when harm begins with the rollout, and finds harm that begins later,
// when the capital that was at stake from the start is spent. Health is expected
// from the start.
const (
	firstShareHarm   = 0.75
	firstShareHealth = 0.9
	reserveTicks     = 20.0
	// No single tick may gain more than this many nats: whatever happens in one
	// tick may be one event, larger than any seen before.
	maxTickGain = 5.0
)

// wealth is an e-process: a mixture over experts and over the tick at which
// each begins to play. Each expert's increment must be the logarithm of a
// variable with expectation at most 1 under the null, given the past; then
// reserve + Σ wealth is a non-negative supermartingale that starts at 1.
// All in logarithms, so that no length of run overflows.
type wealth struct {
	experts int
	first   float64 // share of the capital at stake from the start
	played  int     // ticks with evidence
	reserve float64
	log     [maxExperts]float64
	cap     float64 // upper limit of the logarithm; +Inf for none
	now     float64 // ln(reserve + Σ wealth)
}

func newWealth(experts int, first float64) wealth {
	w := wealth{experts: experts, first: first, reserve: 1, cap: math.Inf(1)}
	for j := range experts {
		w.log[j] = math.Inf(-1)
	}
	return w
}

// step plays one tick with evidence: increments[j] is ln of expert j's factor.
func (w *wealth) step(increments *[maxExperts]float64) {
	left := (1 - w.first) * reserveTicks / (reserveTicks + float64(w.played))
	stake := math.Log((w.reserve - left) / float64(w.experts))
	w.reserve = left
	w.played++
	for j := range w.experts {
		w.log[j] = logAdd(w.log[j], stake) + math.Min(increments[j], maxTickGain)
	}
	w.now = w.sum()
	if over := w.now - w.cap; over > 0 {
		// Giving capital away keeps a supermartingale one.
		for j := range w.experts {
			w.log[j] -= over
		}
		w.now = w.sum()
	}
}

// giveAway forgets what was gained. What was lost stays lost.
func (w *wealth) giveAway() {
	for j := range w.experts {
		w.log[j] -= math.Max(0, w.now)
	}
	w.now = w.sum()
}

// logE is the logarithm of the e-value now.
func (w *wealth) logE() float64 { return w.now }

func (w *wealth) sum() float64 {
	first := math.Log(w.reserve)
	top := first
	for j := range w.experts {
		top = math.Max(top, w.log[j])
	}
	sum := math.Exp(first - top)
	for j := range w.experts {
		if d := w.log[j] - top; d > -40 {
			sum += math.Exp(d)
		}
	}
	return top + math.Log(sum)
}

// logAdd is ln(e^a + e^b).
func logAdd(a, b float64) float64 {
	if a < b {
		a, b = b, a
	}
	if d := b - a; d > -40 {
		return a + math.Log1p(math.Exp(d))
	}
	return a
}

// expCapped is e^x, at most 1e300 so that sums of it stay finite.
func expCapped(x float64) float64 {
	const top = 690.7755278982137 // ln 1e300
	return math.Exp(math.Min(x, top))
}
