package judge

import (
	"testing"
	"time"

	"github.com/watchtower-verify/watchtower/internal/release"
)

// past120 are 120 windows of 30 requests, the last ones with a failure now and then.
func past120(failing, every int) []release.Count {
	var out []release.Count
	for i := range 120 {
		c := of(0, 30)
		if i%40 == 20 {
			c.Bad = 1
		}
		if k := 120 - i; k <= failing && k%every == 0 {
			c.Bad = 1
		}
		out = append(out, c)
	}
	return out
}

func TestTroubleThatMayHaveBegunBeforeTheRolloutIsNotBlamedOnTheRelease(t *testing.T) {
	for _, c := range []struct {
		name    string
		history []release.Count
		every   int64 // tick with a failure of the release
		blamed  bool
	}{
		{"a past without trouble", past120(0, 1), 3, true},
		{"trouble of the last four minutes goes on", past120(48, 4), 2, false},
		{"trouble of the last four minutes is as nothing to the release's", past120(48, 16), 1, true},
	} {
		t.Run(c.name, func(t *testing.T) {
			j := New(standard(.001), []Signal{{Name: release.SignalErrorRatio, Weight: 1, History: c.history}})
			for k := range int64(240) {
				bad := int64(0)
				if k%c.every == 0 {
					bad = 1
				}
				j.Step(epoch.Add(time.Duration(k+1)*tickLength), map[string]Tick{release.SignalErrorRatio: {Release: of(bad, 30)}})
			}
			j.Last(epoch.Add(time.Hour))
			a := j.Assess()
			if a.Regressed != c.blamed {
				t.Errorf("regressed %v, e-value %.3g, without what is kept back %.3g", a.Regressed, a.E, a.Suspected)
			}
			if !c.blamed && a.Suspected < a.Threshold {
				t.Errorf("there was nothing to be kept back: %.3g", a.Suspected)
			}
		})
	}
}

func TestOnlyTheLaterHalfOfThePastIsRemembered(t *testing.T) {
	for _, n := range []int{0, 1, 2, 3, 23, 24, 25, 120, 240} {
		var windows []release.Count
		for i := range n {
			windows = append(windows, of(int64(i%2), 10))
		}
		l := newLately(windows)
		var all release.Count
		hits := uint32(0)
		for _, b := range l.blocks[:l.n] {
			all = all.Add(b.count())
			hits += b.hits
		}
		if all.Total != int64(n/2)*10 || l.n > latelyBlocks || l.windows*l.n < n/2 || int64(hits) != all.Bad {
			t.Errorf("%d windows: %+v of %+v, %d hits", n, all, l, hits)
		}
	}
}
