package judge

import (
	"fmt"
	"math"
	"slices"
	"time"

	"github.com/watchtower-verify/watchtower/internal/release"
)

const (
	// steepness of the comparison: a quarter above what is tolerated is worth 0.42.
	steepness = 2
	// Against the past what is tolerated is wider by so much: no past is quite like
	// the present.
	pastTolerance = 1.25
	// So many windows make a past, and so many of its quantiles stand for it.
	pastWindows   = 12
	pastQuantiles = 16
	// What is believed of the correlation of neighbouring ticks before any were seen,
	// as so many differences with that correlation; and the most that one is tempered
	// by.
	priorCorrelation = 0.3
	priorDifferences = 8
	maxTemper        = 8
)

// quantity is the state of one signal of quantities: seconds per request, bytes
// per pod. It does not grow with time.
//
// In each comparison z = tanh(2·ln(c/(r0·s))), c and s being the arms' values
// (the other way round where less is worse). Under the null, that the release's
// value over r0 is stochastically no larger than the stable arm's, z has an
// expectation of at most 0 since it is an odd, growing function of the logarithm
// of their ratio; so 1+λz is an e-variable for 0 < λ < 1. Neighbouring ticks are
// alike: it is taken to the power 1/φ, which by Jensen's inequality keeps it one,
// with φ = (1+a)/(1−a) for the correlation a of neighbours.
type quantity struct {
	head
	r0                 float64
	down               bool
	minWeight, minSum  float64
	minTicks           int
	open               ValueTick // since the last comparison
	opened             int       // its ticks
	present, past      wealth
	quantiles          []float64 // of the past
	likeness           likeness
	release, stable    release.Measure
	history            release.Measure
	pods               map[string]release.Measure
	comparedWithStable bool
}

// stakes are the experts: how much of the capital each puts on a comparison.
var stakes = [...]float64{0.15, 0.4, 0.9}

func newQuantity(cfg Config, s Signal, weight float64) *quantity {
	effect := cfg.MinEffect
	if s.MinEffect > 0 {
		effect = s.MinEffect
	}
	q := &quantity{
		head: head{name: s.Name, weight: weight}, r0: 1 + effect, down: s.Worse == release.Down,
		minWeight: s.MinWeight, minSum: s.MinSum, minTicks: s.MinTicks,
		present: newWealth(len(stakes), firstShareHarm), past: newWealth(len(stakes), firstShareHarm),
		pods: map[string]release.Measure{},
	}
	q.remember(s.HistoryValues)
	return q
}

// remember keeps what the past looked like, in windows as large as a comparison.
func (q *quantity) remember(windows []release.Measure) {
	var values []float64
	var window release.Measure
	ticks := 0
	for _, m := range windows {
		if !usable(m) {
			continue
		}
		q.history = q.history.Add(m)
		ticks++
		if window = window.Add(m); window.Weight >= q.minWeight && window.Sum >= q.minSum && ticks >= q.minTicks {
			values = append(values, window.Value())
			window, ticks = release.Measure{}, 0
		}
	}
	if len(values) < pastWindows {
		return
	}
	slices.Sort(values)
	for i := range pastQuantiles {
		q.quantiles = append(q.quantiles, values[(2*i+1)*len(values)/(2*pastQuantiles)])
	}
}

// usable reports whether a measure is one: nothing negative, nothing endless.
func usable(m release.Measure) bool {
	return m.Weight > 0 && m.Sum >= 0 && m.Sum < 1e300 && m.Weight < 1e300
}

func (q *quantity) step(_ time.Time, t Tick) {
	if t.Value == nil {
		return
	}
	v := t.Value
	if usable(v.Release) {
		q.release = q.release.Add(v.Release)
		q.open.Release = q.open.Release.Add(v.Release)
	}
	if usable(v.Stable) {
		q.stable = q.stable.Add(v.Stable)
		q.open.Stable = q.open.Stable.Add(v.Stable)
	}
	for name, m := range v.Pods {
		if _, known := q.pods[name]; usable(m) && (known || len(q.pods) < maxPods) {
			q.pods[name] = q.pods[name].Add(m)
		}
	}
	c, s := q.open.Release, q.open.Stable
	if c.Weight > 0 || s.Weight > 0 {
		q.opened++
	}
	switch {
	case c.Weight == 0 || c.Weight < q.minWeight || q.opened < q.minTicks:
		return
	case s.Weight > 0 && (s.Weight < q.minWeight || s.Value()*c.Weight < q.minSum):
		return
	case s.Weight > 0:
		if z, ok := q.compare(c.Value(), s.Value(), q.r0); ok {
			q.play(&q.present, z)
		}
		q.comparedWithStable = true
	case q.quantiles != nil && q.history.Value()*c.Weight >= q.minSum:
		q.playPast(c.Value())
	}
	q.open, q.opened = ValueTick{}, 0
}

// compare is how much worse c is than r0 times s, in [−1, 1]; false where both are
// nothing.
func (q *quantity) compare(c, s, r0 float64) (float64, bool) {
	if c == 0 && s == 0 {
		return 0, false
	}
	if q.down {
		c, s = s, c
	}
	if s == 0 {
		return 1, true
	}
	return math.Tanh(steepness * math.Log(c/(r0*s))), true
}

func (q *quantity) playPast(c float64) {
	sum, n := 0.0, 0.0
	for _, h := range q.quantiles {
		if z, ok := q.compare(c, h, q.r0*pastTolerance); ok {
			sum, n = sum+z, n+1
		}
	}
	if n > 0 {
		q.play(&q.past, sum/n)
	}
}

func (q *quantity) play(w *wealth, z float64) {
	temper := q.likeness.temper()
	q.likeness.add(z)
	var inc [maxExperts]float64
	for j, stake := range stakes {
		inc[j] = math.Log1p(stake*z) / temper
	}
	w.step(&inc)
}

// likeness measures how much neighbouring comparisons are alike, by differences
// over one and over two steps: for a first-order autoregression with correlation a
// the second are 1+a times the first. A lasting change counts once in either, so
// harm that begins does not pass for likeness.
type likeness struct {
	n              int
	last, before   float64
	single, double float64
}

func (l *likeness) add(z float64) {
	if l.n >= 1 {
		l.single += (z - l.last) * (z - l.last)
	}
	if l.n >= 2 {
		l.double += (z - l.before) * (z - l.before)
	}
	l.last, l.before = z, l.last
	l.n++
}

// temper is φ.
func (l *likeness) temper() float64 {
	n := float64(max(l.n-2, 0))
	scale := 0.1 // of a squared difference, while there is none
	if l.n > 2 {
		scale = l.single / float64(l.n-1)
	}
	single := l.single + priorDifferences*scale
	double := l.double + priorDifferences*scale*(1+priorCorrelation)
	a := priorCorrelation
	if single > 0 {
		a = double/(n+priorDifferences)/(single/(math.Max(float64(l.n-1), 0)+priorDifferences)) - 1
	}
	a = math.Min(math.Max(a, 0), 0.95)
	return math.Min((1+a)/(1-a), maxTemper)
}

func (q *quantity) logE() float64 {
	if q.quantiles == nil {
		return q.present.logE()
	}
	return logAdd(q.present.logE(), q.past.logE()) - math.Ln2
}

// baseline is the arm that carries more of the evidence, and its value.
func (q *quantity) baseline() (release.Arm, release.Measure) {
	if q.quantiles != nil && (!q.comparedWithStable || q.past.logE() > q.present.logE()) {
		return release.ArmHistory, q.history
	}
	return release.ArmStable, q.stable
}

// suspect looks whether the excess is one pod's: without the worst one the others
// together must be worse than tolerated too.
func (q *quantity) suspect(logE, level float64) suspicion {
	_, base := q.baseline()
	if logE < level || base.Weight == 0 || len(q.pods) < 3 {
		return suspicion{}
	}
	var all release.Measure
	worst, most := "", math.Inf(-1)
	for _, pod := range sortedKeys(q.pods) {
		all = all.Add(q.pods[pod])
		if z, ok := q.compare(q.pods[pod].Value(), base.Value(), q.r0); ok && z > most {
			worst, most = pod, z
		}
	}
	own := q.pods[worst]
	rest := release.Measure{Sum: all.Sum - own.Sum, Weight: all.Weight - own.Weight}
	if z, ok := q.compare(rest.Value(), base.Value(), q.r0); !ok || z > 0 {
		return suspicion{}
	}
	return suspicion{
		alone: true, pod: worst, logE: 0,
		text: fmt.Sprintf("pod %s is worse than tolerated; the other %d together are not", worst, len(q.pods)-1),
	}
}

func sortedKeys[V any](m map[string]V) []string {
	out := make([]string, 0, len(m))
	for k := range m {
		out = append(out, k)
	}
	slices.Sort(out)
	return out
}

func (q *quantity) result(float64) SignalResult {
	r := SignalResult{
		Name: q.name, E: expCapped(q.logE()), EStable: expCapped(q.present.logE()), EHistory: expCapped(q.past.logE()),
		ReleaseValue: q.release, StableValue: q.stable, HistoryValue: q.history, Dispersion: q.likeness.temper(),
	}
	r.Baseline, _ = q.baseline()
	return r
}

func (q *quantity) healthyE() float64                  { return 0 }
func (q *quantity) toHealthy(float64, float64) float64 { return math.Inf(1) }
func (q *quantity) toRegressed(float64) float64        { return math.Inf(1) }
