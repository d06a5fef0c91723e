package judge

import (
	"fmt"
	"math"
	"time"

	"github.com/watchtower-verify/watchtower/internal/release"
)

// guard is the test of the release's bad requests against a fixed limit, such as the
// rate at which an error budget is spent too fast. It knows no baseline, so no
// history, however bad, excuses a release. Ticks in which the stable arm was above the
// limit lately do not count: going back would not help.
type guard struct {
	head
	limit      float64
	bet, count wealth
	span       scatter
	beside     fading // the stable arm's latest ticks
	outside    bool   // it was above the limit too
	release    release.Count
	stable     release.Count
	pods       map[string]release.Count
}

func newGuard(s Signal, weight float64) *guard {
	return &guard{
		head: head{name: s.Name, weight: weight}, limit: s.Limit,
		bet: newWealth(len(betShares), firstShareHarm), count: newWealth(len(effectSteps), firstShareHarm),
		span: scatter{successive: true}, pods: map[string]release.Count{},
	}
}

func (g *guard) step(_ time.Time, t Tick) {
	c, st := sane(t.Release), sane(t.Stable)
	g.release, g.stable = g.release.Add(c), g.stable.Add(st)
	if st.Total > 0 {
		g.beside.add(st, recentDecay)
	}
	for name, n := range t.Pods {
		if _, known := g.pods[name]; known || len(g.pods) < maxPods {
			g.pods[name] = g.pods[name].Add(sane(n))
		}
	}
	if c.Total == 0 {
		return
	}
	phi := measure(&g.span).upper()
	g.span.add(c)
	if st.Total > 0 && g.beside.x > g.limit*g.beside.n {
		g.outside = true
		return
	}
	x, n := float64(c.Bad), float64(c.Total)
	var inc [maxExperts]float64
	betIncrements(&inc, math.Min(x/n, betLimit*g.limit), g.limit)
	g.bet.step(&inc)
	odds := g.limit / (1 - g.limit)
	for j, step := range effectSteps {
		inc[j] = logRatio(x, n, odds*step/(1+odds*step), g.limit) / phi
	}
	g.count.step(&inc)
}

func (g *guard) logE() float64 { return logAdd(g.bet.logE(), g.count.logE()) - math.Ln2 }

// suspect looks whether the excess is one pod's: the others together must be above
// the limit too.
func (g *guard) suspect(logE, level float64) suspicion {
	if logE < level || len(g.pods) < 3 {
		return suspicion{}
	}
	var all release.Count
	worst, most := "", math.Inf(-1)
	for _, pod := range sortedKeys(g.pods) {
		c := g.pods[pod]
		all = all.Add(c)
		if surplus := float64(c.Bad) - g.limit*float64(c.Total); surplus > most {
			worst, most = pod, surplus
		}
	}
	own := g.pods[worst]
	rest := release.Count{Total: all.Total - own.Total, Bad: all.Bad - own.Bad}
	if float64(rest.Bad) > g.limit*float64(rest.Total) {
		return suspicion{}
	}
	return suspicion{
		alone: true, pod: worst, logE: 0,
		text: fmt.Sprintf("pod %s is above the limit; the other %d together are not", worst, len(g.pods)-1),
	}
}

func (g *guard) result(alpha float64) SignalResult {
	r := SignalResult{
		Name: g.name, E: expCapped(g.logE()), EStable: 1, EHistory: expCapped(g.logE()), Outside: g.outside,
		Release: g.release, Stable: g.stable, Baseline: release.BaselineAbsolute, Limit: g.limit,
		Dispersion: measure(&g.span).upper(),
	}
	if g.release.Total > 0 {
		low, high := BernoulliInterval(float64(g.release.Bad)/r.Dispersion, float64(g.release.Total)/r.Dispersion, alpha, 1000)
		r.Effect = &release.Effect{Ratio: g.release.Ratio() / g.limit, Low: low / g.limit, High: high / g.limit}
	}
	return r
}

func (g *guard) healthyE() float64                  { return 0 }
func (g *guard) toHealthy(float64, float64) float64 { return math.Inf(1) }
func (g *guard) toRegressed(float64) float64        { return math.Inf(1) }
