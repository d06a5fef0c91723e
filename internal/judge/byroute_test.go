package judge

import (
	"testing"
	"time"

	"github.com/watchtower-verify/watchtower/internal/release"
)

// playAlone plays a release without stable pods against the past of its routes, told
// apart or not.
func playAlone(seed uint64, apart bool, routes ...route) *Judge {
	const windows = 360
	a := newArrivals(seed)
	s := Signal{Name: release.SignalErrorRatio, Weight: 1, Required: true}
	past := make([]release.Count, len(routes))
	for range windows {
		var all release.Count
		for i, r := range routes {
			c := a.count(r.stable, r.bad, 1)
			past[i], all = past[i].Add(c), all.Add(c)
		}
		s.History = append(s.History, all)
	}
	j := New(standard(0.001), []Signal{s})
	for k := range windows {
		var t Tick
		for i, r := range routes {
			st := Stratum{Release: a.count(r.release, r.badRelease, 1), Past: past[i]}
			t.Release = t.Release.Add(st.Release)
			if apart {
				t.Strata = append(t.Strata, st)
			}
		}
		j.Step(epoch.Add(time.Duration(k)*tickLength), map[string]Tick{s.Name: t})
	}
	return j
}

func TestARouteIsHeldAgainstItsOwnPast(t *testing.T) {
	const runs = 60
	hidden := []route{{90, 90, .02, .02}, {3, 3, .002, .08}} // a route of few requests
	for _, c := range []struct {
		says   string
		apart  bool
		routes []route
		least  int
		most   int
	}{
		{"harm of a route with little traffic is found where routes are told apart", true, hidden, runs * 9 / 10, runs},
		{"and drowns where they are not", false, hidden, 0, runs / 10},
		{"all routes as before", true, []route{{90, 90, .02, .02}, {10, 10, .002, .002}}, 0, 1},
		{"a fifth more of all failures on one route, which its drift may be", true, []route{{50, 50, .01, .01}, {50, 50, .01, .012}}, 0, 2},
		{"a route where failures are filed", true, []route{{90, 90, .001, .001}, {10, 10, .9, .9}}, 0, 1},
	} {
		t.Run(c.says, func(t *testing.T) {
			t.Parallel()
			found := regressions(runs, func(seed uint64) *Judge { return playAlone(seed, c.apart, c.routes...) })
			if found < c.least || found > c.most {
				t.Errorf("%d of %d regressed, want %d to %d", found, runs, c.least, c.most)
			}
		})
	}
}
