package judge

import (
	"testing"
	"time"

	"github.com/watchtower-verify/watchtower/internal/release"
)

// route is a route of a simulated workload: requests in a tick of each arm, and
// the share of bad ones.
type route struct{ release, stable, bad, badRelease float64 }

// playRoutes plays ticks of several routes, told apart or not.
func playRoutes(seed uint64, signal string, apart bool, routes ...route) *Judge {
	a := newArrivals(seed)
	j := New(standard(0.001), []Signal{{Name: signal, Weight: 1, Required: true}})
	for k := range 180 {
		var t Tick
		for _, r := range routes {
			st := Stratum{Release: a.count(r.release, r.badRelease, 1), Stable: a.count(r.stable, r.bad, 1)}
			t.Release, t.Stable = t.Release.Add(st.Release), t.Stable.Add(st.Stable)
			if apart {
				t.Strata = append(t.Strata, st)
			}
		}
		j.Step(epoch.Add(time.Duration(k)*tickLength), map[string]Tick{signal: t})
	}
	return j
}

func regressions(n int, play func(seed uint64) *Judge) int {
	found := 0
	for seed := range uint64(n) {
		if play(seed).regressed {
			found++
		}
	}
	return found
}

func TestAShiftOfTrafficBetweenRoutesIsNoEvidence(t *testing.T) {
	for name, c := range map[string]struct {
		signal string
		routes []route
	}{
		"to a route that fails more often":           {release.SignalErrorRatio, []route{{40, 100, .002, .002}, {60, 20, .05, .05}}},
		"to a route a third of whose requests fail":  {release.SignalErrorRatio, []route{{40, 100, .01, .01}, {60, 20, .33, .33}}},
		"to a route most of whose requests are slow": {release.SignalLatencyP50, []route{{40, 100, .1, .1}, {60, 20, .7, .7}}},
		"to a slow route that only the release has":  {release.SignalLatencyP50, []route{{40, 100, .1, .1}, {60, 0, .7, .7}}},
	} {
		t.Run(name, func(t *testing.T) {
			if n := regressions(100, func(seed uint64) *Judge { return playRoutes(seed, c.signal, true, c.routes...) }); n > 0 {
				t.Errorf("%d of 100 were called regressed", n)
			}
			if n := regressions(20, func(seed uint64) *Judge { return playRoutes(seed, c.signal, false, c.routes...) }); n < 15 {
				t.Errorf("taken together only %d of 20 are: the test is too tame", n)
			}
		})
	}
}

func TestARegressionOfOneRouteIsFoundAsWellWithItAsWithout(t *testing.T) {
	for name, routes := range map[string][]route{
		"of failures":                  {{30, 100, .002, .002}, {5, 20, .002, .05}},
		"of latencies":                 {{30, 100, .1, .1}, {15, 50, .5, .75}},
		"of all routes alike":          {{30, 100, .004, .02}, {5, 20, .004, .02}},
		"of all routes, with many bad": {{30, 100, .1, .2}, {5, 20, .1, .2}},
	} {
		t.Run(name, func(t *testing.T) {
			with := regressions(40, func(seed uint64) *Judge { return playRoutes(seed, release.SignalErrorRatio, true, routes...) })
			without := regressions(40, func(seed uint64) *Judge { return playRoutes(seed, release.SignalErrorRatio, false, routes...) })
			if with < 38 || with+2 < without {
				t.Errorf("found %d of 40 told apart, %d taken together", with, without)
			}
		})
	}
}

// A request that fails before it is routed, or ends on an error page, has another
// route than its like that succeed.
func TestFailuresThatAreFiledUnderARouteOfTheirOwnAreFound(t *testing.T) {
	for name, routes := range map[string][]route{
		"which the stable pods never had":  {{30, 100, 0, 0}, {2, 0, 1, 1}},
		"which the stable pods had seldom": {{30, 100, 0, 0}, {2, 0.2, 1, 1}},
	} {
		if n := regressions(40, func(seed uint64) *Judge { return playRoutes(seed, release.SignalErrorRatio, true, routes...) }); n < 39 {
			t.Errorf("%s: found %d of 40", name, n)
		}
	}
	even := []route{{30, 100, .001, .001}, {0.3, 1, 1, 1}}
	if n := regressions(100, func(seed uint64) *Judge { return playRoutes(seed, release.SignalErrorRatio, true, even...) }); n > 0 {
		t.Errorf("as many as the traffic has it: %d of 100 were called regressed", n)
	}
}

func TestStrataOfNothingAreHarmless(t *testing.T) {
	j := New(standard(0.001), []Signal{{Name: "errors", Weight: 1}})
	for k := range 10 {
		j.Step(epoch.Add(time.Duration(k)*tickLength), map[string]Tick{"errors": {
			Release: release.Count{Total: 10, Bad: 1}, Stable: release.Count{Total: 10, Bad: 1},
			Strata: []Stratum{{}, {Release: release.Count{Total: 10, Bad: 11}}, {Stable: release.Count{Total: -3, Bad: 1}}},
		}})
	}
	if e := j.Assess().E; !(e <= 1) {
		t.Errorf("E is %v", e)
	}
}

// The routes' pasts weigh requests against one another only: routes that are used
// as before change nothing, whatever is known of how they fail.
func TestRoutesThatAreUsedAsBeforeCountAsTheyAre(t *testing.T) {
	for name, pasts := range map[string][]release.Count{
		"none ever failed":      {{Total: 3000}, {Total: 700}, {Total: 90}},
		"one failed":            {{Total: 3000, Bad: 1}, {Total: 700}, {Total: 90}},
		"one fails more often":  {{Total: 3000, Bad: 30}, {Total: 700, Bad: 140}, {Total: 90}},
		"one was never called":  {{Total: 3000, Bad: 30}, {Total: 700, Bad: 7}, {}},
		"none is known at all":  {{}, {}, {}},
		"one is an error page":  {{Total: 3000, Bad: 30}, {Total: 700, Bad: 700}, {Total: 90}},
		"all of them are alike": {{Total: 1000, Bad: 10}, {Total: 1000, Bad: 10}, {Total: 1000, Bad: 10}},
	} {
		tick := Tick{Release: release.Count{Total: 379, Bad: 2}}
		for _, p := range pasts {
			tick.Mix = append(tick.Mix, Stratum{Release: release.Count{Total: p.Total / 10}, Past: p})
		}
		s := newSeries(standard(0.001), Signal{Name: release.SignalErrorRatio, Weight: 1}, 1)
		if got := s.exposed(tick); got != tick.Release {
			t.Errorf("%s: %+v counts as %+v", name, tick.Release, got)
		}
	}
}

func TestAShiftToARouteThatFailsMoreOftenWeighsByIt(t *testing.T) {
	tick := Tick{Release: release.Count{Total: 1000, Bad: 5}, Mix: []Stratum{
		{Release: release.Count{Total: 500}, Past: release.Count{Total: 90_000, Bad: 90}},
		{Release: release.Count{Total: 500}, Past: release.Count{Total: 10_000, Bad: 190}},
	}}
	s := newSeries(standard(0.001), Signal{Name: release.SignalErrorRatio, Weight: 1}, 1)
	// 0.1 % and 1.9 % by halves are 1 %, where it was 0.28 %.
	if got := s.exposed(tick).Total; got < 3300 || got > 3600 {
		t.Errorf("1000 requests count as %d, want about 3500", got)
	}
}
