package judge

import (
	"math"
	"math/rand/v2"
	"testing"
	"time"

	"gonum.org/v1/gonum/stat/distuv"
	"pgregory.net/rapid"

	"github.com/watchtower-verify/watchtower/internal/release"
)

// arms are what the release and the stable arm did in a tick.
type arms struct{ release, stable release.Count }

func bothServe(ticks int, c, s release.Count) []arms {
	out := make([]arms, ticks)
	for i := range out {
		out[i] = arms{c, s}
	}
	return out
}

func of(bad, total int64) release.Count { return release.Count{Total: total, Bad: bad} }

func TestTroubleOfBothIsToldFromHarmOfTheRelease(t *testing.T) {
	const rate = 0.001
	for _, c := range []struct {
		says         string
		overlap      []arms
		alone        []release.Count
		least, most  float64
		likelyShared bool
	}{
		{"the release fails from the start, the stable arm serves much and fails nothing", bothServe(8, of(5, 100), of(0, 300)), nil, -1000, -20, false},
		{"both begin to fail in the last minute", append(bothServe(8, of(0, 100), of(0, 300)), bothServe(4, of(5, 100), of(15, 300))...), nil, 1, 1000, true},
		{"the release begins to fail in the last tick, in which the stable arm hardly serves", append(bothServe(8, of(0, 100), of(0, 300)), bothServe(1, of(10, 100), of(0, 3))...), nil, -3, -2, false},
		{"the release fails from the start, and both served for one tick only", bothServe(1, of(10, 100), of(0, 3)), nil, -3, -2, false},
		{"no tick has both", nil, []release.Count{of(10, 100)}, math.Inf(-1), -1000, false},
		{"nothing fails", bothServe(8, of(0, 100), of(0, 300)), nil, -0.01, 0.1, true},
	} {
		t.Run(c.says, func(t *testing.T) {
			o := overlap{tick: 15}
			for _, tick := range c.overlap {
				o.add(tick.release, tick.stable)
			}
			for _, tick := range c.alone {
				o.add(tick, release.Count{})
			}
			got := o.shared(&baseline{rate: rate}, 1)
			if got < c.least || got > c.most {
				t.Errorf("shared is %.2f nats, want %v to %v", got, c.least, c.most)
			}
			if held := got > -math.Log(outageDoubt); held != c.likelyShared {
				t.Errorf("thought to be shared: %v, want %v", held, c.likelyShared)
			}
		})
	}
}

func TestALongOverlapIsRememberedWholeInBoundedSpace(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		var o overlap
		var all arms
		n := rapid.IntRange(1, 1000).Draw(t, "ticks")
		for range n {
			c := of(rapid.Int64Range(0, 3).Draw(t, "bad"), 10)
			s := of(rapid.Int64Range(0, 3).Draw(t, "stable bad"), rapid.Int64Range(4, 10).Draw(t, "stable"))
			o.add(c, s)
			all.release, all.stable = all.release.Add(c), all.stable.Add(s)
		}
		var kept arms
		for _, tick := range o.ticks[:o.n] {
			kept.release, kept.stable = kept.release.Add(tick.release.count()), kept.stable.Add(tick.stable.count())
		}
		if kept != all {
			t.Fatalf("%d ticks: kept %v, want %v", n, kept, all)
		}
	})
}

func TestAnIncidentThatGoesOnIsTheBaseline(t *testing.T) {
	quiet, ill := of(0, 100), of(5, 100)
	windows := func(parts ...[]release.Count) (out []release.Count) {
		for _, p := range parts {
			out = append(out, p...)
		}
		return out
	}
	times := func(n int, c release.Count) (out []release.Count) {
		for range n {
			out = append(out, c)
		}
		return out
	}
	for _, c := range []struct {
		says    string
		windows []release.Count
		want    int
	}{
		{"nothing before", nil, 0},
		{"nothing failed", times(100, quiet), 0},
		{"as ever", times(100, ill), 0},
		{"trouble for the last twenty windows", windows(times(80, quiet), times(20, ill)), 80},
		{"trouble that was over", windows(times(40, quiet), times(20, ill), times(40, quiet)), 0},
		{"one burst in the last window", windows(times(99, quiet), times(1, ill)), 0},
		{"better of late", windows(times(80, ill), times(20, quiet)), 0},
	} {
		t.Run(c.says, func(t *testing.T) {
			if got := incident(c.windows); got != c.want {
				t.Errorf("it began in window %d, want %d", got, c.want)
			}
		})
	}
}

func TestBurstsAreCountedAsOneEventEach(t *testing.T) {
	r := rand.New(rand.NewPCG(7, 7))
	law := distuv.Poisson{Lambda: 0.4, Src: r}
	var h hits
	bursts := 0
	for range 4000 {
		bad := int64(0)
		for range int(law.Rand()) {
			bursts++
			bad += 1 + int64(r.IntN(40))
		}
		h.add(of(bad, 1000), hitsOf(of(bad, 1000), nil, false))
	}
	n, weight := h.events()
	if math.Abs(n/float64(bursts)-1) > 0.05 {
		t.Errorf("%.0f bursts told from ticks, there were %d", n, bursts)
	}
	if weight >= 1 || weight < 0.7 {
		t.Errorf("a burst weighs %.2f, want a little less than 1", weight)
	}
}

func TestMoreBurstsOfFewerFailuresAreNoHarm(t *testing.T) {
	var before []release.Count
	for i := range 120 {
		c := of(0, 500)
		if i%10 == 0 {
			c.Bad = 40
		}
		before = append(before, c)
	}
	b := newBaseline(before, nil, 1.1)
	var now hits
	var all release.Count
	for i := range 120 {
		c := of(0, 500)
		if i%2 == 0 {
			c.Bad = 8 // as many failures as before, five times as many bursts
		}
		now.add(c, hitsOf(c, nil, false))
		all = all.Add(c)
	}
	if logE := b.logBursts(&now, float64(all.Bad), float64(all.Total)); logE > 0.5 {
		t.Errorf("evidence of %.1f nats against a release that fails no more than before", logE)
	}
}

func TestDoubtHasThePastOutlastAnOutage(t *testing.T) {
	windows := make([]release.Count, 120)
	for i := range windows {
		windows[i] = of(int64(i%3/2), 100)
	}
	for _, c := range []struct {
		says string
		bad  func(tick int) int64
		want bool
	}{
		{"what goes on is the release's", func(int) int64 { return 5 }, true},
		{"so it is where it is less than an outage would be", func(int) int64 { return 1 }, true},
		{"what ends is an outage", func(k int) int64 {
			if k < 20 {
				return 5
			}
			return 0
		}, false},
		{"what comes again when the outage is over is the release's", func(k int) int64 {
			if k < 20 || k > 80 {
				return 5
			}
			return 0
		}, true},
	} {
		t.Run(c.says, func(t *testing.T) {
			j := New(Config{Tick: 15 * time.Second}, []Signal{{Name: release.SignalErrorRatio, Weight: 1, History: windows}})
			start := time.Unix(0, 0)
			doubted := false
			for k := range 100 {
				at := start.Add(time.Duration(k+1) * 15 * time.Second)
				j.Step(at, map[string]Tick{release.SignalErrorRatio: {Release: of(c.bad(k), 100)}})
				if j.Assess().Regressed && !doubted {
					doubted = true
					j.Doubt(at, at)
					if a := j.Assess(); a.Regressed || a.E > 1 || a.Suspected < a.Threshold {
						t.Fatalf("after the doubt: regressed %v, E %.3g, suspected %.3g", a.Regressed, a.E, a.Suspected)
					}
				}
				if a := j.Assess(); doubted && a.Regressed && at.Sub(start) < outagePatience {
					t.Fatalf("regressed again after %s", at.Sub(start))
				}
			}
			if got := j.Assess().Regressed; !doubted || got != c.want {
				t.Errorf("doubted %v, regressed %v, want %v", doubted, got, c.want)
			}
		})
	}
}

func TestHarmThatWanedIsNotBackByChance(t *testing.T) {
	for _, c := range []struct {
		says   string
		ended  bool
		lately fading
		want   bool
	}{
		{"half as much as there was in all goes on", false, fading{7.9, 293}, false},
		{"after it has waned that is as likely chance", true, fading{7.9, 293}, true},
		{"after it has waned as much as before is harm", true, fading{15, 293}, false},
		{"a third of what there was in all has waned", false, fading{5, 293}, true},
	} {
		h := past{bursts: 1, release: of(54, 1145), alone: c.lately, ended: c.ended}
		if got := h.ending(&baseline{rate: 0.011}); got != c.want {
			t.Errorf("%s: ending is %v", c.says, got)
		}
	}
}

func TestAnExcessThatAllPodsHaveIsNotOnePods(t *testing.T) {
	windows := make([]release.Count, 120)
	for i := range windows {
		windows[i] = of(1, 700)
	}
	j := New(Config{Tick: 15 * time.Second}, []Signal{{Name: release.SignalErrorRatio, Weight: 1, History: windows}})
	for k := range 120 {
		// Each of seven pods fails thrice as often as before, a burst every other minute.
		x := Tick{Pods: map[string]release.Count{}}
		for i := range 7 {
			c := of(0, 100)
			if (k+i)%8 == 0 {
				c.Bad = 4
			}
			x.Pods[string(rune('a'+i))] = c
			x.Release = x.Release.Add(c)
		}
		j.Step(time.Unix(int64(15*k), 0), map[string]Tick{release.SignalErrorRatio: x})
	}
	if a := j.Assess(); !a.Regressed || len(a.Findings) > 0 {
		t.Errorf("regressed %v at E %.3g, findings %v", a.Regressed, a.E, a.Findings)
	}
}
