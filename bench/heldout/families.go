package heldout

import (
	"fmt"
	"math"
)

// Family is a kind of rollout.
type Family struct {
	Name      string
	Regressed bool
	// Weight is how many of the releases of its sort are of it, against others.
	Weight int
	// Says what happens, in a sentence.
	Says   string
	change func(*scene, *workload)
	// cast makes the workloads where there is more than one.
	cast func(*scene)
}

// Families are all there are.
func Families() []Family { return append(healthy(), regressions()...) }

func healthy() []Family {
	return []Family{
		{"aa-quiet", false, 20, "The new version is as the old one, and failures come one by one.", aaQuiet, nil},
		{"aa-bursts", false, 12, "The new version is as the old one, and failures come in bursts.", aaBursts, nil},
		{"diurnal-ramp", false, 7, "Traffic doubles or halves within the hour.", ramp, nil},
		{"cold-start", false, 8, "Each new pod is slow for its first minute.", coldStart, nil},
		{"low-traffic", false, 8, "There is a request every few seconds, or minutes.", lowTraffic, nil},
		{"zero-traffic", false, 5, "Nobody calls.", func(_ *scene, w *workload) { w.rate = 0 }, nil},
		{"incident-before", false, 6, "An outage that began minutes before the rollout goes on.", incidentBefore, nil},
		{"outage-both-arms", false, 6, "A dependency fails during the rollout, for both versions.", outageBothArms, nil},
		{"bad-node", false, 4, "One new pod fails three requests in ten, the others are sound.", badNode, nil},
		{"autoscaling", false, 5, "Traffic grows and the replicas double in the middle of the rollout.", autoscaling, nil},
		{"route-shift", false, 5, "More requests than before go to the slow route, for both versions.", routeShift, nil},
		{"improvement", false, 5, "The new version fails less and is faster.", improvement, nil},
		{"missing-scrapes", false, 5, "Three scrapes in ten fail.", func(_ *scene, w *workload) { w.missed = 0.3 }, nil},
		{"source-outage", false, 4, "Nothing is stored of the workload for five to ten minutes.", sourceOutage, nil},
		{"old-pods-fail-stopping", false, 5, "Old pods fail requests while they stop.", oldPodsStop, nil},
	}
}

func regressions() []Family {
	var out []Family
	for _, times := range []float64{1.5, 2, 3, 5, 10} {
		out = append(out, Family{
			fmt.Sprintf("errors-x%g", times), true, 8, fmt.Sprintf("The new version fails %g times as often.", times),
			func(s *scene, w *workload) { errorsTimes(s, w, times) }, nil,
		})
	}
	return append(
		out,
		Family{"errors-from-zero", true, 8, "The new version fails where the old one never did.", errorsFromZero, nil},
		Family{"latency-+20%", true, 4, "Everything takes 20 % longer.", slowerBy("+20%", 1.2), nil},
		Family{"latency-+50%", true, 6, "Everything takes half as long again.", slowerBy("+50%", 1.5), nil},
		Family{"latency-x2", true, 6, "Everything takes twice as long.", slowerBy("x2", 2), nil},
		Family{"latency-tail", true, 4, "One request in twenty takes five times as long.", latencyTail, nil},
		Family{"one-route", true, 5, "A route that few ask for fails ten times as often.", oneRoute, nil},
		Family{"late-onset", true, 5, "Failures begin eight minutes after the rollout is complete.", lateOnset, nil},
		Family{"crash-loop", true, 5, "The new containers crash again and again and the rollout stalls.", crashLoop, nil},
		Family{"oom", true, 5, "The new containers serve for minutes and are killed for want of memory.", outOfMemory, nil},
		Family{"hang", true, 5, "New pods are ready and finish nothing, while the old ones serve.", hang, nil},
		Family{"never-serve", true, 4, "New pods become ready and never count a request.", neverServe, nil},
		Family{"callers-only", true, 4, "Requests to new pods fail where only the callers see it.", callersOnly, nil},
		Family{"overlap-pair", true, 5, "Two workloads roll out at once, and the one that is called is to blame.", nil, overlapPair},
		Family{"slow-leak", true, 5, "Memory grows until the container is killed, or everything gets slower bit by bit.", slowLeak, nil},
	)
}

// traffics are the rates that the families of regressions take turns in, in
// requests per second.
var traffics = []float64{0.5, 2, 10, 50, 200, 500}

// traffic gives each rate the same number of a family's releases.
func (s *scene) traffic(least float64) float64 {
	of := traffics
	for of[0] < least {
		of = of[1:]
	}
	return of[s.ordinal%len(of)]
}

// regress says what is true of a release at fault.
func (w *workload) regress(kind, effect string) { w.regressed, w.kind, w.effect = true, kind, effect }

// byVersion is a share or a factor that the new version has and the old has not.
func byVersion(old, young float64) func(*pod, float64) float64 {
	return func(p *pod, _ float64) float64 {
		if p.isNew() {
			return young
		}
		return old
	}
}

// failsWith makes the new version fail so often.
func (w *workload) failsWith(share float64) {
	w.fail = func(p *pod, _ int, _ float64) float64 {
		if p.isNew() {
			return share
		}
		return w.base
	}
}

func errorsTimes(s *scene, w *workload, times float64) {
	w.rate, w.base = s.traffic(0), pick(s.dice, 0.0005, 0.002, 0.01, 0.05)
	w.regress("errors", fmt.Sprintf("x%g", times))
	w.failsWith(times * w.base)
}

func errorsFromZero(s *scene, w *workload) {
	w.rate, w.base = s.traffic(0), 0
	level := pick(s.dice, 0.01, 0.02, 0.05)
	w.regress("errors", fmt.Sprintf("0 to %g%%", 100*level))
	w.failsWith(level)
}

func slowerBy(effect string, factor float64) func(*scene, *workload) {
	return func(s *scene, w *workload) {
		w.rate = s.traffic(0)
		w.regress("latency", effect)
		w.slow = byVersion(1, factor)
	}
}

func latencyTail(s *scene, w *workload) {
	w.rate = s.traffic(0)
	w.regress("latency", "5% x5")
	w.tail = func(p *pod) float64 {
		if p.isNew() {
			return 0.05
		}
		return 0
	}
}

func oneRoute(s *scene, w *workload) {
	w.rate, w.base = s.traffic(2), pick(s.dice, 0.0005, 0.002, 0.01)
	last := len(w.routes) - 1
	w.routes[last].weight *= 0.5
	w.regress("errors", "x10 on one route")
	w.fail = func(p *pod, r int, _ float64) float64 {
		if p.isNew() && r == last {
			return 10 * w.base
		}
		return w.base
	}
}

func lateOnset(s *scene, w *workload) {
	w.rate = s.traffic(0)
	level := math.Max(0.02, 10*w.base)
	w.regress("errors", fmt.Sprintf("%g%% to %g%%, late", 100*w.base, 100*math.Min(level, 0.95)))
	w.onset = func() float64 { return w.completed + 8*60 }
	w.fail = func(p *pod, _ int, at float64) float64 {
		if p.isNew() && at >= w.onset() {
			return level
		}
		return w.base
	}
}

func slowLeak(s *scene, w *workload) {
	w.rate = s.traffic(2)
	if s.ordinal%2 == 0 {
		within := s.between(15, 25) * 60
		w.regress("latency", "up to x3, bit by bit")
		w.slow = func(p *pod, at float64) float64 {
			if !p.isNew() {
				return 1
			}
			return 1 + 2*math.Min(math.Max(at-p.ready, 0)/within, 1)
		}
		return
	}
	w.regress("resources", "memory until killed")
	w.killedAfter(s.between(9, 18)*60, 3)
}
