package judge

import (
	"fmt"
	"math"
	"math/rand/v2"
	"time"

	"gonum.org/v1/gonum/stat/distuv"

	"github.com/watchtower-verify/watchtower/internal/release"
)

// arrivals draws what a workload's requests look like in one tick.
type arrivals struct {
	rng *rand.Rand
}

func newArrivals(seed uint64) *arrivals { return &arrivals{rand.New(rand.NewPCG(seed, 77))} }

func (a *arrivals) poisson(mean float64) int64 {
	if mean <= 0 {
		return 0
	}
	return int64(distuv.Poisson{Lambda: mean, Src: a.rng}.Rand())
}

// count draws about mean requests of which the share p is bad, in bursts of
// geometric size with the mean burst (1: independent).
func (a *arrivals) count(mean, p, burst float64) release.Count {
	n := a.poisson(mean)
	if burst <= 1 {
		return release.Count{Total: n, Bad: int64(distuv.Binomial{N: float64(n), P: p, Src: a.rng}.Rand())}
	}
	var bad int64
	for range a.poisson(mean * p / burst) {
		bad += 1 + int64(math.Floor(math.Log(1-a.rng.Float64())/math.Log(1-1/burst)))
	}
	return release.Count{Total: max(n, bad), Bad: bad}
}

// world is a rollout: per tick requests, the share of them the release gets, and
// the proportion of bad ones of both arms.
type world struct {
	seed         uint64
	history      int     // ticks before the rollout
	requests     float64 // per tick, over all
	ticks        int
	share        func(tick int) float64
	bad, badBase func(tick int) float64 // badBase nil: before
	before       float64
	burst        float64
	pods         int
}

func constant(x float64) func(int) float64 { return func(int) float64 { return x } }

var epoch = time.Date(2026, 11, 1, 0, 0, 0, 0, time.UTC)

const tickLength = 5 * time.Second

// run plays the world to a judge with one signal of weight 1 and calls each
// after every tick; it stops when each answers false. The end is the last look.
func (w world) run(cfg Config, each func(tick int, j *Judge) bool) *Judge {
	a := newArrivals(w.seed)
	s := Signal{Name: release.SignalErrorRatio, Weight: 1, Required: true}
	for range w.history {
		s.History = append(s.History, a.count(w.requests, w.before, w.burst))
	}
	j := New(cfg, []Signal{s})
	for k := range w.ticks {
		j.Step(epoch.Add(time.Duration(k+1)*tickLength), map[string]Tick{s.Name: w.tick(a, k)})
		if each != nil && !each(k, j) {
			return j
		}
	}
	j.Last(epoch.Add(time.Duration(w.ticks) * tickLength))
	return j
}

func (w world) tick(a *arrivals, k int) Tick {
	base := w.before
	if w.badBase != nil {
		base = w.badBase(k)
	}
	rho := w.share(k)
	t := Tick{Stable: a.count(w.requests*(1-rho), base, w.burst)}
	if w.pods == 0 {
		t.Release = a.count(w.requests*rho, w.bad(k), w.burst)
		return t
	}
	t.Pods = map[string]release.Count{}
	for i := range w.pods {
		c := a.count(w.requests*rho/float64(w.pods), w.bad(k), w.burst)
		t.Pods[fmt.Sprintf("web-%d", i)] = c
		t.Release = t.Release.Add(c)
	}
	return t
}

func rolling(k int) float64 { return math.Min(1, 0.25*float64(k+1)) }

func standard(alpha float64) Config {
	p := release.DefaultPolicy()
	return Config{Alpha: alpha, Beta: p.Beta, MinEffect: p.MinEffect, HealthyRatio: p.HealthyRatio, HealthyIncrease: p.HealthyIncrease}
}
