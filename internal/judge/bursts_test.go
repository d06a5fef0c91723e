package judge

import (
	"fmt"
	"testing"
	"time"

	"github.com/watchtower-verify/watchtower/internal/release"
)

// burstsOf plays a release without stable pods whose failures come in bursts of about
// 8. Each burst hits one pod, or all of them where they share it.
func burstsOf(seed uint64, pods int, shared bool, before, after float64) *Judge {
	const windows = 240
	a := newArrivals(seed)
	tick := func(rate float64) (release.Count, map[string]release.Count, Hits) {
		each := map[string]release.Count{}
		for i := range pods {
			each[fmt.Sprint("web-", i)] = release.Count{Total: a.poisson(100)}
		}
		for range a.poisson(rate) {
			size := 1 + a.poisson(7)
			for name, c := range each {
				if shared {
					c.Bad = min(c.Total, c.Bad+(size+int64(pods)-1)/int64(pods))
				} else if name == fmt.Sprint("web-", a.rng.IntN(pods)) {
					c.Bad = min(c.Total, c.Bad+size)
				}
				each[name] = c
			}
		}
		var all release.Count
		for _, c := range each {
			all = all.Add(c)
		}
		return all, each, hitsOf(all, each, true)
	}
	s := Signal{Name: release.SignalErrorRatio, Weight: 1, Required: true}
	for range windows {
		c, _, hits := tick(before)
		s.History, s.HistoryPods = append(s.History, c), append(s.HistoryPods, hits)
	}
	j := New(standard(0.001), []Signal{s})
	for k := range windows {
		c, each, _ := tick(after)
		j.Step(epoch.Add(time.Duration(k)*tickLength), map[string]Tick{s.Name: {Release: c, Pods: each}})
	}
	return j
}

func TestBurstsAreToldApartByPod(t *testing.T) {
	const runs = 60
	for _, c := range []struct {
		says          string
		shared        bool
		before, after float64 // bursts in a tick
		least, most   int
	}{
		{"four times as many bursts than every other tick had", false, .5, 2, runs * 9 / 10, runs},
		{"as many as before", false, 1, 1, 0, 1},
		{"as many as before, and each hits all pods", true, 1, 1, 0, 1},
		{"seldom any, and each hits all pods", true, .05, .05, 0, 1},
	} {
		t.Run(c.says, func(t *testing.T) {
			t.Parallel()
			found := regressions(runs, func(seed uint64) *Judge { return burstsOf(seed, 6, c.shared, c.before, c.after) })
			if found < c.least || found > c.most {
				t.Errorf("%d of %d regressed, want %d to %d", found, runs, c.least, c.most)
			}
		})
	}
}

func TestAReleaseThatDoesNotTellItsPodsIsJudgedByItsCounts(t *testing.T) {
	s := Signal{Name: release.SignalErrorRatio, Weight: 1, Required: true}
	for range 120 {
		s.History, s.HistoryPods = append(s.History, of(1, 1000)), append(s.HistoryPods, Hits{Pods: 4, Bad: 1})
	}
	j := New(standard(0.001), []Signal{s})
	for k := range 60 {
		j.Step(at(k), map[string]Tick{s.Name: {Release: of(20, 1000)}})
	}
	if a := j.Assess(); !a.Regressed {
		t.Errorf("E %.3g", a.E)
	}
}
