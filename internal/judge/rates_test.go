package judge

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"gonum.org/v1/gonum/stat/distuv"

	"github.com/watchtower-verify/watchtower/internal/release"
)

// The promises, measured on simulated rollouts with fixed seeds.

// atMost fails when hits of runs would be rarer than 1 % at the probability p.
func atMost(t *testing.T, hits, runs int, p float64) {
	t.Helper()
	d := distuv.Binomial{N: float64(runs), P: p}
	if tail := 1 - d.CDF(float64(hits-1)); hits > 0 && tail < 0.01 {
		t.Errorf("%d of %d: more than a probability of %v explains", hits, runs, p)
	}
}

func TestFalseAlarmsStayBelowAlpha(t *testing.T) {
	const alpha, runs = 0.05, 400
	for _, c := range []struct {
		name string
		w    world
	}{
		{"independent failures in a rolling update", world{history: 24, share: rolling, before: .01, burst: 1}},
		{"bursts of 5 in a rolling update", world{history: 24, share: rolling, before: .01, burst: 5}},
		{"bursts of 20 in a rolling update", world{history: 24, share: rolling, before: .01, burst: 20}},
		{"bursts of 20 that the history hardly saw", world{history: 24, share: rolling, before: .001, burst: 20}},
		{"bursts of 5 on a fifth of the traffic", world{history: 24, share: constant(.2), before: .01, burst: 5}},
		{"bursts of 20 on a fifth of the traffic", world{history: 24, share: constant(.2), before: .01, burst: 20}},
		{"bursts of 20 without history", world{share: constant(.5), before: .01, burst: 20}},
		{"bursts of 20 with the strategy Recreate", world{history: 120, share: constant(1), before: .01, burst: 20}},
		{"common slow requests", world{history: 24, share: rolling, before: .1, burst: 1}},
		{"half of the requests slow", world{history: 24, share: rolling, before: .5, burst: 1}},
		{"one request in two seconds", world{history: 120, share: rolling, before: .02, burst: 1, requests: 2.5}},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			alarms := 0
			for seed := range runs {
				w := c.w
				w.seed, w.ticks, w.bad = uint64(seed), 240, constant(w.before)
				if w.requests == 0 {
					w.requests = 100
				}
				if w.run(standard(alpha), nil).regressed {
					alarms++
				}
			}
			atMost(t, alarms, runs, alpha)
		})
	}
}

func TestFalseAlarmsAtTheDefaultAlphaAreRare(t *testing.T) {
	if testing.Short() {
		t.Skip("3000 rollouts")
	}
	const alpha, runs = 0.001, 3000
	for _, c := range []struct {
		name string
		w    world
	}{
		{"bursts of 20 in a rolling update", world{history: 24, share: rolling, before: .01, burst: 20}},
		{"bursts of 20, few in a long history", world{history: 120, share: rolling, before: .003, burst: 20}},
		{"bursts of 5 without history", world{share: constant(.2), before: .01, burst: 5}},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			alarms := 0
			for seed := range runs {
				w := c.w
				w.seed, w.requests, w.ticks, w.bad = uint64(seed), 100, 120, constant(w.before)
				if w.run(standard(alpha), nil).regressed {
					alarms++
				}
			}
			atMost(t, alarms, runs, alpha)
		})
	}
}

// ticksTo counts the runs in which reached is true within the given ticks.
func (w world) ticksTo(runs, within int, cfg Config, reached func(j *Judge) bool) int {
	hits := 0
	for seed := range runs {
		w.seed = uint64(seed) + 50000
		w.ticks = within
		w.run(cfg, func(_ int, j *Judge) bool {
			if reached(j) {
				hits++
				return false
			}
			return true
		})
	}
	return hits
}

func TestHarmIsFoundInTime(t *testing.T) {
	const runs = 400
	for _, c := range []struct {
		name   string
		w      world
		within time.Duration
		share  float64
	}{
		{
			"0.1 to 5 % errors in a rolling update at 20 requests a second",
			world{history: 24, share: rolling, before: .001, bad: constant(.05), pods: 4},
			45 * time.Second, .88, // a failure of the last old pods may be that of an outage
		},
		{
			"the same with half an hour of history",
			world{history: 360, share: rolling, before: .001, bad: constant(.05), pods: 4},
			35 * time.Second, .95,
		},
		{
			"0.1 to 5 % errors with the strategy Recreate",
			world{history: 24, share: constant(1), before: .001, bad: constant(.05), pods: 4},
			60 * time.Second, .95,
		},
		{
			"0.1 to 5 % errors on a quarter of the traffic",
			world{history: 24, share: constant(.25), before: .001, bad: constant(.05), pods: 2},
			100 * time.Second, .95,
		},
		{
			"0.1 to 5 % errors on half of the traffic without history",
			world{share: constant(.5), before: .001, bad: constant(.05)},
			110 * time.Second, .95,
		},
		{
			"an onset eight minutes after the rollout",
			world{history: 60, share: rolling, before: .001, bad: func(k int) float64 {
				if k < 100 {
					return .001
				}
				return .05
			}},
			540 * time.Second, .95,
		},
		{
			"the median latency doubled: from 10 to 47 % beyond the 90th percentile",
			world{history: 60, share: constant(.5), before: .1, bad: constant(.47)},
			30 * time.Second, .99,
		},
		{
			"the median latency half as long again: from 50 to 79 % beyond the median",
			world{history: 60, share: rolling, before: .5, bad: constant(.79)},
			45 * time.Second, .95,
		},
		{
			"twice the errors at 100 requests a second",
			world{history: 120, share: constant(.5), before: .01, bad: constant(.02), requests: 500},
			360 * time.Second, .95,
		},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			w := c.w
			w.burst = 1
			if w.requests == 0 {
				w.requests = 100
			}
			hits := w.ticksTo(runs, int(c.within/tickLength), standard(.001), func(j *Judge) bool { return j.regressed })
			atMost(t, runs-hits, runs, 1-c.share)
		})
	}
}

func TestHealthIsShownInTime(t *testing.T) {
	const runs = 400
	for _, c := range []struct {
		name   string
		w      world
		within time.Duration
	}{
		{"a rolling update", world{history: 24, share: rolling, before: .001}, 60 * time.Second},
		{"half of the traffic", world{history: 24, share: constant(.5), before: .001}, 110 * time.Second},
		{"half of the traffic without history", world{share: constant(.5), before: .001}, 110 * time.Second},
		{"a tenth of the requests slow", world{history: 60, share: rolling, before: .1}, 60 * time.Second},
		{"an outage of both arms that goes on", world{history: 60, share: constant(.5), before: .001, bad: constant(.2), badBase: constant(.2)}, 120 * time.Second},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			w := c.w
			w.requests, w.burst = 100, 1
			if w.bad == nil {
				w.bad = constant(w.before)
			}
			hits := w.ticksTo(runs, int(c.within/tickLength), standard(.001), func(j *Judge) bool { return j.Assess().Healthy })
			if hits < runs*9/10 {
				t.Errorf("healthy within %v in %d of %d", c.within, hits, runs)
			}
		})
	}
}

func TestHarmIsNotCalledHealthy(t *testing.T) {
	// Exactly at the limit, 0.1 % + 1 %: called healthy at any of 240 ticks in at
	// most β of the rollouts.
	const runs = 400
	for _, history := range []int{24, 360} {
		w := world{history: history, requests: 100, share: rolling, before: .001, bad: constant(.0115), burst: 1}
		hits := w.ticksTo(runs, 240, standard(1e-9), func(j *Judge) bool { return j.Assess().Healthy })
		atMost(t, hits, runs, .05)
	}
}

func TestHealthIsTakenBackAfterAnHourOfIt(t *testing.T) {
	cfg := standard(1e-12) // so that nothing is regressed first
	lost := 0
	w := world{
		seed: 3, history: 60, requests: 100, ticks: 760, share: rolling, before: .001, burst: 1,
		bad: func(k int) float64 {
			if k < 720 {
				return .001
			}
			return .03
		},
	}
	w.run(cfg, func(k int, j *Judge) bool {
		healthy := j.Assess().Healthy
		if k == 719 && !healthy {
			t.Fatal("not healthy after an hour without harm")
		}
		if k >= 720 && !healthy && lost == 0 {
			lost = k - 719
		}
		return true
	})
	if lost == 0 || lost > 12 {
		t.Errorf("healthy until %d ticks after the onset, want at most 12", lost)
	}
}

func TestHealthDoesNotFlickerOnUsualFailures(t *testing.T) {
	changes := 0
	for seed := range 20 {
		was := false
		world{seed: uint64(seed), history: 360, requests: 100, ticks: 720, share: rolling, before: .001, bad: constant(.001), burst: 1}.run(
			standard(.001), func(_ int, j *Judge) bool {
				healthy := j.Assess().Healthy
				if was && !healthy {
					changes++
				}
				was = healthy
				return true
			})
	}
	if changes > 4 {
		t.Errorf("healthy was taken back %d times in 20 good hours", changes)
	}
}

func TestTroubleOfBothArmsIsNotTheReleases(t *testing.T) {
	const runs = 200
	during := func(from, to int, p float64) func(int) float64 {
		return func(k int) float64 {
			if k >= from && k < to {
				return p
			}
			return .001
		}
	}
	slowly := func(k int) float64 { return min(1, .1*float64(k+1)) }
	for _, c := range []struct {
		name  string
		share func(int) float64
		bad   func(int) float64
	}{
		{"an outage that comes and goes", constant(.5), during(10, 30, .4)},
		{"an outage that begins in the rollout and outlives the old pods", slowly, during(2, 200, .4)},
		{"a slight outage all along", constant(.3), during(5, 100, .05)},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			w := world{history: 60, requests: 100, share: c.share, before: .001, bad: c.bad, badBase: c.bad, burst: 1}
			atMost(t, w.ticksTo(runs, 120, standard(.001), func(j *Judge) bool { return j.regressed }), runs, .001)
		})
	}
}

func TestAnIncidentBeforeTheRolloutIsNotTheReleases(t *testing.T) {
	const runs = 200
	for _, ends := range []int{90, 120} { // windows; 120: it goes on in both arms
		regressed := 0
		for seed := range runs {
			a := newArrivals(uint64(seed))
			s := Signal{Name: "x", Weight: 1, Required: true}
			for k := range 120 {
				p := .001
				if k >= 60 && k < ends {
					p = .3
				}
				s.History = append(s.History, a.count(100, p, 1))
			}
			p := .001
			if ends == 120 {
				p = .3
			}
			j := New(standard(.001), []Signal{s})
			w := world{requests: 100, share: rolling, before: p, burst: 1, bad: constant(p)}
			for k := range 120 {
				j.Step(at(k), map[string]Tick{"x": w.tick(a, k)})
			}
			if j.regressed {
				regressed++
			}
		}
		atMost(t, regressed, runs, .001)
	}
}

func TestAReleaseThatImprovesIsNeverRegressed(t *testing.T) {
	w := world{history: 60, requests: 100, share: rolling, before: .05, bad: constant(.01), burst: 1}
	atMost(t, w.ticksTo(200, 120, standard(.001), func(j *Judge) bool { return j.regressed }), 200, .001)
}

// oneBad plays a release of n pods of which the first sick ones fail the share
// p of their requests.
func oneBad(seed uint64, n, sick int, p float64, share func(int) float64) Assessment {
	a := newArrivals(seed)
	s := Signal{Name: release.SignalErrorRatio, Weight: 1, Required: true}
	for range 60 {
		s.History = append(s.History, a.count(100, .001, 1))
	}
	j := New(standard(.001), []Signal{s})
	for k := range 60 {
		x := Tick{Stable: a.count(100*(1-share(k)), .001, 1), Pods: map[string]release.Count{}}
		for i := range n {
			bad := .001
			if i < sick {
				bad = p
			}
			c := a.count(100*share(k)/float64(n), bad, 1)
			x.Pods[fmt.Sprintf("web-%d", i)] = c
			x.Release = x.Release.Add(c)
		}
		j.Step(at(k), map[string]Tick{s.Name: x})
	}
	return j.Assess()
}

func TestOneBadPodAmongSoundOnesIsAFinding(t *testing.T) {
	const runs = 100
	for _, c := range []struct {
		name  string
		pods  int
		p     float64
		share func(int) float64
	}{
		{"one of four beside the stable arm", 4, .5, constant(.5)},
		{"one of four in a rolling update", 4, .5, rolling},
		{"one of three that fails always", 3, 1, rolling},
		{"one of ten", 10, 1, constant(.5)},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			regressed, found := 0, 0
			for seed := range runs {
				a := oneBad(uint64(seed), c.pods, 1, c.p, c.share)
				if a.Regressed {
					regressed++
				}
				if len(a.Findings) == 1 && a.Findings[0].Kind == "bad_pod" && a.Findings[0].Pod == "web-0" &&
					strings.Contains(a.Findings[0].Message, "pod web-0 are bad") {
					found++
				}
				if a.E < a.Threshold {
					t.Fatalf("E %v: the counts do not tempt", a.E)
				}
			}
			atMost(t, regressed, runs, .01)
			if found < runs*98/100 {
				t.Errorf("found in %d of %d", found, runs)
			}
		})
	}
}

func TestABadImageShowsInSeveralPods(t *testing.T) {
	for _, c := range []struct{ pods, sick int }{{1, 1}, {2, 1}, {2, 2}, {3, 3}, {4, 2}, {4, 4}, {10, 10}} {
		t.Run(fmt.Sprintf("%d of %d", c.sick, c.pods), func(t *testing.T) {
			for seed := range 50 {
				if a := oneBad(uint64(seed), c.pods, c.sick, .2, constant(.5)); !a.Regressed {
					t.Fatalf("seed %d: not regressed at E %v, findings %v", seed, a.E, a.Findings)
				}
			}
		})
	}
}
