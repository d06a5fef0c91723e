package judge

import (
	"fmt"
	"math/rand/v2"
	"testing"
	"time"

	"gonum.org/v1/gonum/stat/distuv"

	"github.com/watchtower-verify/watchtower/internal/release"
)

// guarded judges a release by its objective alone.
func guarded(limit float64) *Judge {
	return New(Config{Alpha: 0.001}, []Signal{{Name: "budget_burn", Weight: 1, Limit: limit}})
}

// inBursts draws how many of n requests fail at a rate, so many together.
func inBursts(r *rand.Rand, n int64, rate, burst float64) int64 {
	bad := 0.0
	for range int(distuv.Poisson{Lambda: float64(n) * rate / burst, Src: r}.Rand()) {
		bad += burst
	}
	return min(int64(bad), n)
}

func TestAReleaseAtItsObjectivesLimitIsHardlyEverCondemned(t *testing.T) {
	for _, burst := range []float64{1, 5, 20} {
		wrong := 0
		const n = 2000
		for i := range n {
			r := rand.New(rand.NewPCG(uint64(i), 11))
			j := guarded(0.0144)
			for tick := range 120 {
				c := release.Count{Total: 200}
				c.Bad = inBursts(r, c.Total, 0.0144, burst)
				j.Step(time.Unix(int64(15*tick), 0), map[string]Tick{"budget_burn": {Release: c}})
			}
			if j.Assess().Regressed {
				wrong++
			}
		}
		if wrong > 6 { // the probability of more than 6 of 2,000 at 0.001 is 0.5 %
			t.Errorf("bursts of %v: %d of %d condemned at α = 0.001", burst, wrong, n)
		}
	}
}

func TestNoBaselineExcusesABurntBudget(t *testing.T) {
	pods := func(c ...release.Count) (all Tick) {
		all.Pods = map[string]release.Count{}
		for i, k := range c {
			all.Pods[fmt.Sprint("p", i)] = k
			all.Release = all.Release.Add(k)
		}
		return all
	}
	for _, c := range []struct {
		says    string
		tick    Tick
		want    bool
		outside bool
		finding bool
	}{
		{"twice the limit, alone", Tick{Release: of(60, 1000)}, true, false, false},
		{"half the limit", Tick{Release: of(7, 1000)}, false, false, false},
		{"twice the limit, and the stable pods do well", Tick{Release: of(60, 1000), Stable: of(1, 1000)}, true, false, false},
		{"twice the limit, and the stable pods are above it too", Tick{Release: of(60, 1000), Stable: of(30, 1000)}, false, true, false},
		{"nothing served", Tick{}, false, false, false},
		{"one pod of three is above it", pods(of(90, 1000), of(2, 1000), of(3, 1000)), false, false, true},
		{"all of three are above it", pods(of(40, 1000), of(40, 1000), of(40, 1000)), true, false, false},
	} {
		t.Run(c.says, func(t *testing.T) {
			j := guarded(0.0144)
			for tick := range 60 {
				j.Step(time.Unix(int64(15*tick), 0), map[string]Tick{"budget_burn": c.tick})
			}
			a := j.Assess()
			if a.Regressed != c.want {
				t.Errorf("regressed: %v, e-value %.3g, want %v", a.Regressed, a.E, c.want)
			}
			if s := a.Signals[0]; s.Outside != c.outside || s.Baseline != release.BaselineAbsolute || s.EStable > 1 {
				t.Errorf("%+v: outside should be %v, and the stable arm accuses nobody", s, c.outside)
			}
			if got := len(a.Findings) > 0; got != c.finding {
				t.Errorf("findings %v, want some: %v", a.Findings, c.finding)
			}
			if a.Healthy {
				t.Error("a limit alone makes nothing healthy")
			}
		})
	}
}
