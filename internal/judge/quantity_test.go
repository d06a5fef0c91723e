package judge

import (
	"fmt"
	"math"
	"math/rand/v2"
	"testing"
	"time"

	"gonum.org/v1/gonum/stat/distuv"

	"github.com/watchtower-verify/watchtower/internal/release"
)

// amounts is a world of quantities: log-normal noise that is alike from tick to
// tick, pods that differ, a drift of the day.
type amounts struct {
	rnd       *rand.Rand
	noise     float64 // standard deviation of the logarithm, per tick and pod
	alike     float64 // correlation of neighbouring ticks
	pods      float64 // standard deviation between pods
	drift     float64 // amplitude of a wave over the whole
	factor    func(k int) float64
	history   int
	ramp      int // ticks with both arms
	ticks     int
	down      bool
	oneSick   float64 // factor on the first pod of the release alone
	tolerance float64
}

func (w amounts) play(t interface{ Fatal(...any) }) *Judge {
	level := func() func() float64 { // one pod
		offset, state := w.rnd.NormFloat64()*w.pods, w.rnd.NormFloat64()*w.noise
		return func() float64 {
			state = w.alike*state + math.Sqrt(1-w.alike*w.alike)*w.noise*w.rnd.NormFloat64()
			return 100 * math.Exp(offset+state)
		}
	}
	const each = 3
	var old, young []func() float64
	for range each {
		old, young = append(old, level()), append(young, level())
	}
	sum := func(pods []func() float64, factor float64) release.Measure {
		var m release.Measure
		for _, p := range pods {
			m = m.Add(release.Measure{Sum: p() * factor, Weight: 1})
		}
		return m
	}
	wave := func(k int) float64 { return math.Exp(w.drift * math.Sin(float64(k)/40)) }
	s := Signal{Name: "amount", Weight: 1, Value: true, MinEffect: w.tolerance}
	if w.down {
		s.Worse = release.Down
	}
	for k := range w.history {
		s.HistoryValues = append(s.HistoryValues, sum(old, wave(k-w.history)))
	}
	j := New(standard(0.001), []Signal{s})
	for k := range w.ticks {
		v := &ValueTick{Pods: map[string]release.Measure{}}
		for i, p := range young {
			f := wave(k) * w.factor(k)
			if i == 0 && w.oneSick > 0 {
				f *= w.oneSick
			}
			m := release.Measure{Sum: p() * f, Weight: 1}
			v.Pods[fmt.Sprint("pod-", i)] = m
			v.Release = v.Release.Add(m)
		}
		if k < w.ramp {
			v.Stable = sum(old, wave(k))
		}
		j.Step(epoch.Add(time.Duration(k)*tickLength), map[string]Tick{"amount": {Value: v}})
	}
	return j
}

func quiet(seed uint64) amounts {
	return amounts{rnd: rand.New(rand.NewPCG(seed, 5)), noise: 0.1, alike: 0.5, pods: 0.05, factor: constant(1), history: 120, ramp: 180, ticks: 180, tolerance: 0.2}
}

func TestAQuantityThatGotWorseIsRegressed(t *testing.T) {
	for name, change := range map[string]func(*amounts){
		"half as much again":                    func(w *amounts) { w.factor = constant(1.5) },
		"twice as much, against the past alone": func(w *amounts) { w.factor, w.ramp = constant(2), 0 },
		"a third, where less is worse":          func(w *amounts) { w.factor, w.down, w.tolerance = constant(0.33), true, 1 },
		"nothing at all, where less is worse":   func(w *amounts) { w.factor, w.down, w.tolerance = constant(0), true, 1 },
		"twice as much after a while": func(w *amounts) {
			w.ticks, w.ramp, w.factor = 540, 540, func(k int) float64 { return 1 + float64(min(k/180, 1)) }
		},
		"a leak that trebles it in the course of it": func(w *amounts) {
			w.ticks, w.ramp, w.factor = 360, 360, func(k int) float64 { return 1 + float64(k)/180 }
		},
	} {
		t.Run(name, func(t *testing.T) {
			missed := 0
			for seed := range uint64(40) {
				w := quiet(seed)
				change(&w)
				if !w.play(t).regressed {
					missed++
				}
			}
			if missed > 2 {
				t.Errorf("%d of 40 were missed", missed)
			}
		})
	}
}

func TestAQuantityThatDidNotGetWorseIsNot(t *testing.T) {
	for name, change := range map[string]func(*amounts){
		"as it was":                             func(*amounts) {},
		"a little more, as is tolerated":        func(w *amounts) { w.factor = constant(1.15) },
		"less":                                  func(w *amounts) { w.factor = constant(0.5) },
		"more, where less is worse":             func(w *amounts) { w.factor, w.down = constant(2), true },
		"ticks that are very much alike":        func(w *amounts) { w.alike, w.noise = 0.9, 0.15 },
		"pods that differ":                      func(w *amounts) { w.pods = 0.06 },
		"a wave that both arms ride":            func(w *amounts) { w.drift = 0.5 },
		"against the past":                      func(w *amounts) { w.ramp = 0 },
		"one sick pod":                          func(w *amounts) { w.oneSick = 4 },
		"a past too short to be one":            func(w *amounts) { w.history, w.ramp, w.factor = 5, 0, constant(3) },
		"a past that was nothing, and still is": func(w *amounts) { w.factor = constant(0) },
	} {
		t.Run(name, func(t *testing.T) {
			alarms := 0
			for seed := range uint64(300) {
				w := quiet(seed + 1000)
				change(&w)
				if w.play(t).regressed {
					alarms++
				}
			}
			// 0.3 are promised; two or more happen by chance once in 27 runs of a world
			// that is at the border of what is tolerated, and none here is.
			if alarms > 1 {
				t.Errorf("%d of 300 were called regressed", alarms)
			}
		})
	}
}

func TestOneSickPodIsAFinding(t *testing.T) {
	w := quiet(3)
	w.oneSick = 6
	a := w.play(t).Assess()
	if len(a.Findings) != 1 || a.Findings[0].Pod != "pod-0" {
		t.Errorf("findings %+v", a.Findings)
	}
}

// With little traffic the smaller arm often has nothing in a tick; that is no
// lack of throughput.
func TestFewEventsAreGatheredUntilTheyCanBeCompared(t *testing.T) {
	for name, c := range map[string]struct {
		rate, harm  float64 // events of the release in a tick
		least, most int
	}{
		"few, and no fewer than before": {0.5, 1, 0, 0},
		"many, and no fewer":            {5, 1, 0, 0},
		"many, and a quarter of them":   {5, 0.25, 95, 100},
	} {
		t.Run(name, func(t *testing.T) {
			regressed := 0
			for seed := range uint64(100) {
				rnd := rand.New(rand.NewPCG(seed, 9))
				j := New(standard(0.001), []Signal{{Name: "throughput", Weight: 1, Value: true, Worse: release.Down, MinEffect: 1, MinSum: 20}})
				for k := range 360 {
					served := func(mean float64) float64 { return distuv.Poisson{Lambda: mean, Src: rnd}.Rand() }
					j.Step(epoch.Add(time.Duration(k)*tickLength), map[string]Tick{"throughput": {Value: &ValueTick{
						Release: release.Measure{Sum: served(c.rate * c.harm), Weight: 5}, Stable: release.Measure{Sum: served(4 * c.rate), Weight: 20},
					}}})
				}
				if j.regressed {
					regressed++
				}
			}
			if regressed < c.least || regressed > c.most {
				t.Errorf("%d of 100 were regressed, want %d to %d", regressed, c.least, c.most)
			}
		})
	}
}

func TestTheStateOfAQuantityDoesNotGrow(t *testing.T) {
	w := quiet(1)
	w.ticks, w.ramp = 20_000, 20_000
	j := w.play(t)
	if q := j.tests[0].(*quantity); len(q.pods) != 3 || len(q.quantiles) != pastQuantiles {
		t.Errorf("%d pods, %d quantiles", len(q.pods), len(q.quantiles))
	}
}

func TestNonsenseIsNoQuantity(t *testing.T) {
	j := New(standard(0.001), []Signal{{Name: "x", Weight: 1, Value: true, HistoryValues: []release.Measure{{Sum: math.NaN(), Weight: 1}, {Sum: -1, Weight: 1}}}})
	for k, m := range []release.Measure{{Sum: math.NaN(), Weight: 1}, {Sum: math.Inf(1), Weight: 1}, {Sum: 1, Weight: 0}, {Sum: -5, Weight: 2}, {Sum: 1, Weight: math.Inf(1)}} {
		j.Step(epoch.Add(time.Duration(k)*tickLength), map[string]Tick{"x": {Value: &ValueTick{Release: m, Stable: m, Pods: map[string]release.Measure{"a": m}}}})
	}
	checkFiniteValues(t, j)
}

func checkFiniteValues(t *testing.T, j *Judge) {
	t.Helper()
	for _, s := range j.Assess().Signals {
		for _, x := range []float64{s.E, s.ReleaseValue.Value(), s.StableValue.Value(), s.HistoryValue.Value()} {
			if math.IsNaN(x) || math.IsInf(x, 0) {
				t.Errorf("%+v", s)
			}
		}
	}
}

func BenchmarkQuantity(b *testing.B) {
	j := New(standard(0.001), []Signal{{Name: "x", Weight: 1, Value: true}})
	v := &ValueTick{Release: release.Measure{Sum: 11, Weight: 1}, Stable: release.Measure{Sum: 10, Weight: 1}, Pods: map[string]release.Measure{"a": {Sum: 5, Weight: 1}, "b": {Sum: 6, Weight: 1}}}
	tick := map[string]Tick{"x": {Value: v}}
	b.ReportAllocs()
	for b.Loop() {
		j.Step(epoch, tick)
	}
}

// Requests are counted in the ticks in which pods are scraped: pods that are all
// scraped in one tick of four serve no less than those that are scraped in turn.
func TestRequestsThatAreCountedInFewTicksAreNoLessThroughput(t *testing.T) {
	play := func(minTicks int, perMinute float64) float64 {
		signal := Signal{Name: release.SignalThroughput, Weight: 1, Value: true, Worse: release.Down, MinEffect: 1, MinSum: 20, MinTicks: minTicks}
		for range 120 { // in turn
			signal.HistoryValues = append(signal.HistoryValues, release.Measure{Sum: 30, Weight: 60})
		}
		j := New(standard(0.001), []Signal{signal})
		for k := range 120 {
			v := ValueTick{Release: release.Measure{Weight: 60}}
			if k%4 == 1 {
				v.Release.Sum = perMinute
			}
			j.Step(epoch.Add(time.Duration(k)*tickLength), map[string]Tick{signal.Name: {Value: &v}})
		}
		return j.Assess().E
	}
	if e := play(4, 120); e > 1 {
		t.Errorf("as many as before: the e-value is %g", e)
	}
	if e := play(4, 30); e < 100 {
		t.Errorf("a quarter of them: the e-value is %g", e)
	}
	if e := play(0, 120); e < 1000 {
		t.Errorf("tick by tick it would not have mattered: the e-value is %g", e)
	}
}
