package judge

import (
	"math"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/watchtower-verify/watchtower/internal/release"
)

func repeat(c release.Count, n int) []release.Count {
	out := make([]release.Count, n)
	for i := range out {
		out[i] = c
	}
	return out
}

func TestNothingRequiredIsNeverHealthy(t *testing.T) {
	j := New(standard(.001), []Signal{{Name: "x", Weight: 1, History: repeat(release.Count{Total: 100}, 50)}})
	for k := range 200 {
		j.Step(at(k), map[string]Tick{"x": {Release: release.Count{Total: 100}, Stable: release.Count{Total: 100}}})
	}
	if a := j.Assess(); a.Healthy || a.Regressed || a.Needs == nil {
		t.Errorf("%+v", a)
	}
}

func TestHealthyWaitsForEveryRequiredSignal(t *testing.T) {
	history := repeat(release.Count{Total: 100}, 50)
	j := New(standard(.001), []Signal{{Name: "a", Weight: 1, Required: true, History: history}, {Name: "b", Weight: 1, Required: true, History: history}, {Name: "c", Weight: 1}})
	for k := range 100 {
		j.Step(at(k), map[string]Tick{"a": {Release: release.Count{Total: 100}, Stable: release.Count{Total: 100}}})
	}
	a := j.Assess()
	if a.Healthy || !cmp.Equal(a.Needs.Signals, []string{"b"}) {
		t.Fatalf("healthy %v, needs %+v", a.Healthy, a.Needs)
	}
	for k := range 100 {
		j.Step(at(100+k), map[string]Tick{"b": {Release: release.Count{Total: 100}, Stable: release.Count{Total: 100}}})
	}
	if a := j.Assess(); !a.Healthy || a.Needs != nil {
		t.Fatalf("%+v", a)
	}
}

func TestWithoutAnyBaselineNothingIsDecided(t *testing.T) {
	j := New(standard(.001), []Signal{{Name: "x", Weight: 1, Required: true}})
	for k := range 300 {
		j.Step(at(k), map[string]Tick{"x": {Release: release.Count{Total: 100, Bad: 50}}})
	}
	a := j.Assess()
	if a.Healthy || a.Regressed || a.Signals[0].Effect != nil {
		t.Errorf("decided against nothing: %+v", a)
	}
	near(t, "E", a.E, 1, 1e-12)
}

func TestNeedsIsAboutWhatItThenTakes(t *testing.T) {
	history := repeat(release.Count{Total: 100}, 30)
	history[3].Bad, history[20].Bad = 1, 1
	for _, c := range []struct {
		name    string
		release release.Count
		done    func(a Assessment) bool
	}{
		{"for a good release", release.Count{Total: 20}, func(a Assessment) bool { return a.Healthy }},
		{"for a bad one", release.Count{Total: 20, Bad: 1}, func(a Assessment) bool { return a.Regressed }},
	} {
		t.Run(c.name, func(t *testing.T) {
			j := New(standard(.001), []Signal{{Name: "x", Weight: 1, Required: true, History: history}})
			var said, took int64
			for k := range 500 {
				x := c.release
				if x.Bad == 1 && k%2 == 0 {
					x.Bad = 0
				}
				j.Step(at(k), map[string]Tick{"x": {Release: x, Stable: release.Count{Total: 80}}})
				a := j.Assess()
				if c.done(a) {
					break
				}
				if k == 3 {
					said = a.Needs.Requests
				}
				if k > 3 {
					took += 20
				}
			}
			if said == 0 || took == 0 || float64(said) > 3*float64(took) || float64(took) > 3*float64(said) {
				t.Errorf("said %d more requests, took %d", said, took)
			}
		})
	}
}

func TestTheEffectIsTheRatioWithItsInterval(t *testing.T) {
	j := New(standard(.05), []Signal{{Name: "x", Weight: 1}})
	// The share of traffic and the failure rate change together: pooled, the arms
	// would seem to differ by far more than 3.
	for k := range 40 {
		j.Step(at(k), map[string]Tick{"x": {Release: release.Count{Total: 100, Bad: 3}, Stable: release.Count{Total: 1000, Bad: 10}}})
		j.Step(at(k), map[string]Tick{"x": {Release: release.Count{Total: 1000, Bad: 300}, Stable: release.Count{Total: 100, Bad: 10}}})
	}
	a := j.Assess()
	e := a.Signals[0].Effect
	near(t, "ratio", e.Ratio, 3, 0.01)
	if !(e.Low > 2 && e.Low < 3 && e.High > 3 && e.High < 5) {
		t.Errorf("interval [%v, %v]", e.Low, e.High)
	}
	if a.Signals[0].Baseline != release.ArmStable {
		t.Errorf("baseline %s", a.Signals[0].Baseline)
	}
}

func TestTheIntervalCoversTheEffect(t *testing.T) {
	const runs, alpha = 400, 0.1
	missed := 0
	for seed := range runs {
		w := world{seed: uint64(seed), history: 24, requests: 200, ticks: 30, share: constant(.3), before: .02, bad: constant(.05), burst: 1}
		e := w.run(standard(alpha), nil).Assess().Signals[0].Effect
		if e.Low > 2.5 || e.High < 2.5 {
			missed++
		}
	}
	atMost(t, missed, runs, alpha)
}

func TestHistoryIsNamedWhereItCarriesTheEvidence(t *testing.T) {
	j := New(standard(.001), []Signal{{Name: "x", Weight: 1, History: repeat(release.Count{Total: 1000, Bad: 10}, 20)}})
	for k := range 10 {
		j.Step(at(k), map[string]Tick{"x": {Release: release.Count{Total: 1000, Bad: 80}}})
	}
	s := j.Assess().Signals[0]
	if s.Baseline != release.ArmHistory || s.EHistory < 1e3 || s.EStable != 1 {
		t.Errorf("%+v", s)
	}
	near(t, "ratio", s.Effect.Ratio, 8, 1e-9)
	if want := (release.Count{Total: 20000, Bad: 200}); s.History != want {
		t.Errorf("history %v, want %v", s.History, want)
	}
}

func TestTheDispersionOfBurstsIsMeasured(t *testing.T) {
	for _, c := range []struct{ burst, low, high float64 }{{1, 1, 1.6}, {5, 6, 14}, {20, 25, 60}} {
		w := world{seed: 4, history: 360, requests: 1000, ticks: 1, share: constant(.5), before: .02, bad: constant(.02), burst: c.burst}
		phi := w.run(standard(.001), nil).Assess().Signals[0].Dispersion
		if phi < c.low || phi > c.high {
			t.Errorf("mean burst %v: φ ≤ %v, want within [%v, %v]", c.burst, phi, c.low, c.high)
		}
	}
}

func TestQuantileFollowsTheHistogram(t *testing.T) {
	inf := math.Inf(1)
	bounds := []float64{0.1, 0.2, 0.4, inf}
	for _, c := range []struct {
		name   string
		counts []float64
		q      float64
		want   float64
	}{
		{"interpolates inside a bucket", []float64{10, 20, 10, 0}, 0.5, 0.15},
		{"starts the first bucket at zero", []float64{10, 0, 0, 0}, 0.5, 0.05},
		{"ends at the last finite bound", []float64{1, 1, 1, 97}, 0.9, 0.4},
		{"skips empty buckets", []float64{10, 0, 10, 0}, 0.75, 0.3},
		{"knows nothing without observations", []float64{0, 0, 0, 0}, 0.5, math.NaN()},
		{"is minus infinity below 0", []float64{1, 1, 1, 1}, -0.1, math.Inf(-1)},
		{"is infinity above 1", []float64{1, 1, 1, 1}, 1.1, inf},
	} {
		t.Run(c.name, func(t *testing.T) {
			got := Quantile(bounds, c.counts, c.q)
			if math.IsNaN(c.want) != math.IsNaN(got) || !math.IsNaN(got) && got != c.want && math.Abs(got-c.want) > 1e-12 {
				t.Errorf("%v, want %v", got, c.want)
			}
		})
	}
	if got := Quantile([]float64{inf}, []float64{5}, 0.5); !math.IsNaN(got) {
		t.Errorf("one bucket: %v", got)
	}
}

func TestTail(t *testing.T) {
	inf := math.Inf(1)
	bounds := []float64{0.005, 0.01, 0.025, 0.05, 0.1, inf}
	for _, c := range []struct {
		name     string
		counts   []float64
		p        float64
		boundary float64
		ok       bool
	}{
		{"takes the boundary nearest to the quantile", []float64{0, 10, 50, 30, 9, 1}, 0.5, 0.025, true},
		{"goes out with the quantile", []float64{0, 10, 50, 30, 9, 1}, 0.9, 0.05, true},
		{"takes the next boundary where all is fast", []float64{100, 0, 0, 0, 0, 0}, 0.9, 0.01, true},
		{"fails where all is slow", []float64{0, 0, 0, 0, 0, 100}, 0.5, 0, false},
		{"fails without observations", []float64{0, 0, 0, 0, 0, 0}, 0.5, 0, false},
	} {
		t.Run(c.name, func(t *testing.T) {
			boundary, ratio, ok := Tail(bounds, c.counts, c.p, 0.2)
			if boundary != c.boundary || ok != c.ok || ok && ratio < 1 {
				t.Errorf("(%v, %v, %v), want boundary %v, %v", boundary, ratio, ok, c.boundary, c.ok)
			}
		})
	}
	t.Run("tolerates what a uniform slow-down would do", func(t *testing.T) {
		// A Pareto tail, on which the interpolation is exact: P(>x) = 0.005/x.
		counts := make([]float64, len(bounds))
		above := 1.0
		for i, b := range bounds {
			next := 0.0
			if !math.IsInf(b, 1) {
				next = 0.005 / b
			}
			counts[i] = 1e6 * (above - next)
			above = next
		}
		if _, ratio, ok := Tail(bounds, counts, 0.9, 0.2); !ok || math.Abs(ratio-1.2) > 1e-9 {
			t.Errorf("ratio %v, want 1.2", ratio)
		}
	})
	rapid.Check(t, func(t *rapid.T) {
		counts := rapid.SliceOfN(rapid.Float64Range(0, 1e6), 6, 6).Draw(t, "counts")
		p, delta := rapid.Float64Range(0, 1).Draw(t, "p"), rapid.Float64Range(0, 1).Draw(t, "delta")
		boundary, ratio, ok := Tail(bounds, counts, p, delta)
		if ok && (!(ratio >= 1) || math.IsInf(ratio, 0) || !slices.Contains(bounds, boundary)) {
			t.Fatalf("boundary %v, ratio %v", boundary, ratio)
		}
	})
}
