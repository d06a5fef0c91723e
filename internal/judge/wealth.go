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
// reserve + Σ capital is a non-negative supermartingale that starts at 1.
// Capitals are kept in units of e^scale, so that no length of run overflows.
type wealth struct {
	experts int
	first   float64 // share of the capital at stake from the start
	played  int     // ticks with evidence
	reserve float64
	capital [maxExperts]float64 // of each expert, in units of e^scale
	scale   float64             // at least 0
	cap     float64             // upper limit of the logarithm; +Inf for none
	now     float64             // ln(reserve + Σ capital), NaN while not worked out
}

func newWealth(experts int, first float64) wealth {
	return wealth{experts: experts, first: first, reserve: 1, cap: math.Inf(1), now: 0}
}

// step plays one tick with evidence: increments[j] is ln of expert j's factor.
func (w *wealth) step(increments *[maxExperts]float64) {
	left := (1 - w.first) * reserveTicks / (reserveTicks + float64(w.played))
	stake := w.inUnits(w.reserve-left) / float64(w.experts)
	w.reserve = left
	w.played++
	sum := 0.0
	for j := range w.experts {
		w.capital[j] = (w.capital[j] + stake) * math.Exp(math.Min(increments[j], maxTickGain))
		sum += w.capital[j]
	}
	w.now = math.NaN()
	w.rescale(sum)
	if math.IsInf(w.cap, 1) {
		return
	}
	if over := w.logE() - w.cap; over > 0 {
		w.lose(over) // giving capital away keeps a supermartingale one
	}
}

// inUnits is an amount of capital in units of e^scale.
func (w *wealth) inUnits(x float64) float64 {
	if w.scale == 0 {
		return x
	}
	return x * math.Exp(-w.scale)
}

// rescale takes another unit where capitals, whose sum is given, would leave the range
// of floats.
func (w *wealth) rescale(sum float64) {
	const most = 1e200
	if sum < most && (w.scale == 0 || sum > 1/most) {
		return
	}
	if sum == 0 {
		w.scale = 0
		return
	}
	shift := math.Max(-w.scale, math.Log(sum))
	for j := range w.experts {
		w.capital[j] *= math.Exp(-shift)
	}
	w.scale += shift
}

// lose takes so many nats of the capital at stake away, by the unit as far as that goes:
// what is left is not to vanish in it.
func (w *wealth) lose(nats float64) {
	unit := math.Min(nats, w.scale)
	w.scale -= unit
	nats -= unit
	for j := range w.experts {
		w.capital[j] *= math.Exp(-nats)
	}
	w.now = math.NaN()
}

// giveAway forgets what was gained. What was lost stays lost.
func (w *wealth) giveAway() { w.lose(math.Max(0, w.logE())) }

// logE is the logarithm of the e-value now.
func (w *wealth) logE() float64 {
	if math.IsNaN(w.now) {
		sum := w.inUnits(w.reserve)
		for j := range w.experts {
			sum += w.capital[j]
		}
		w.now = w.scale + math.Log(sum)
	}
	return w.now
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
