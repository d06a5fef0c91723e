package corpus

import (
	"fmt"
	"math"
	"time"
)

// Family is a kind of rollout.
type Family struct {
	Name      string
	Regressed bool
	Weight    int // how many of a hundred, roughly; 0: one alone, since it costs as much as eight
	Says      string
	Days      int // how many days before are stored too, around the time of the rollout
	Earlier   int // how many rollouts before are stored too, all sound
	change    func(*sim, *workload)
}

func sound(name string, weight int, says string, change func(*sim, *workload)) Family {
	return Family{Name: name, Weight: weight, Says: says, change: change}
}

func regressed(name string, weight int, says string, change func(*sim, *workload)) Family {
	return Family{Name: name, Regressed: true, Weight: weight, Says: says, change: change}
}

// isNew tells the release's pods.
func (p *pod) isNew() bool { return p.arm == fresh }

// Healthy are the families without fault of the release.
func Healthy() []Family {
	return []Family{
		sound("aa-quiet", 20, "the same version again", func(_ *sim, w *workload) { w.burst = 1 }),
		sound("aa-bursts", 12, "the same version, failures come in bursts", func(s *sim, w *workload) { w.burst = pick(s, 3.0, 8, 20); w.base = pick(s, 0.002, 0.01, 0.03) }),
		sound("diurnal-ramp", 6, "traffic doubles or halves within the hour", ramp),
		sound("cold-start", 8, "each new pod is slow for its first minute", coldStart),
		sound("low-traffic", 8, "a request every few seconds", func(s *sim, w *workload) { w.rate = pick(s, 0.1, 0.3, 0.8) }),
		sound("zero-traffic", 5, "nobody calls", func(_ *sim, w *workload) { w.rate = 0 }),
		sound("incident-before", 6, "an outage that began before the rollout goes on", incidentBefore),
		sound("outage-both-arms", 6, "a dependency fails, for both versions", outage),
		sound("bad-node", 4, "one new pod stands on a bad node", badNode),
		sound("autoscaling", 5, "the replicas double while the rollout is on", autoscaling),
		sound("route-shift", 5, "traffic shifts to the slow route, for both versions", routeShift),
		sound("improvement", 5, "fewer failures, and faster", improvement),
		sound("missing-scrapes", 5, "a third of the scrapes fail", func(s *sim, w *workload) { w.missed = func(time.Time) bool { return s.rand.IntN(3) == 0 } }),
		sound("source-outage", 3, "nothing is stored for some minutes", sourceOutage),
		sound("old-pods-fail-stopping", 4, "old pods fail requests as they stop", oldPodsStop),
		{Name: "cold-cache", Says: "in each rollout new pods fail and are slow until their caches are full", Earlier: 3, change: coldCache},
		{Name: "daily-trouble", Says: "every day at this time something makes requests fail", Days: 7, change: daily},
	}
}

// Regressions are the families in which the release is at fault.
func Regressions() []Family {
	out := []Family{}
	for _, times := range []float64{1.5, 2, 3, 5, 10} {
		out = append(out, regressed(fmt.Sprintf("errors-x%g", times), 9, fmt.Sprintf("%g times as many failures", times),
			func(s *sim, w *workload) { errorsTimes(s, w, times) }))
	}
	return append(out,
		regressed("errors-from-zero", 8, "failures where there were none", errorsFromZero),
		regressed("latency-20", 4, "everything takes 20 % longer", slower("+20%", 1.2)),
		regressed("latency-50", 6, "everything takes half as long again", slower("+50%", 1.5)),
		regressed("latency-x2", 6, "everything takes twice as long", slower("x2", 2)),
		regressed("latency-tail", 4, "one in twenty requests takes five times as long", tail),
		regressed("one-route", 5, "one route fails ten times as often", oneRoute),
		regressed("late-onset", 5, "failures begin 8 minutes after the rollout is complete", lateOnset),
		regressed("crash-loop", 5, "the new containers crash again and again", crashLoop),
		regressed("oom", 4, "the new containers are killed for want of memory", outOfMemory),
		regressed("hang", 5, "new pods are ready, take requests and finish none", hang),
		regressed("never-serve", 4, "new pods hang from the first request on, and nothing shows of it but silence", neverServe),
		regressed("callers-only", 4, "requests to new pods fail before they get there", callersOnly),
		regressed("overlap-pair", 5, "two workloads roll out at once; the one that is called is to blame", nil),
		regressed("slow-leak", 3, "the new version's memory grows until it is killed", slowLeak),
		Family{Name: "cold-cache-bad", Regressed: true, Says: "in each rollout new pods fail until their caches are full; those of this one go on to", Earlier: 3, change: coldCacheBad},
	)
}

func ramp(s *sim, w *workload) {
	end := pick(s, 2.0, 0.5)
	w.load = func(at time.Time) float64 {
		return math.Pow(end, at.Sub(s.begin).Hours())
	}
}

func coldStart(_ *sim, w *workload) {
	w.slower = func(p *pod, _ int, at time.Time) float64 {
		if p.isNew() && at.Sub(p.ready) < time.Minute {
			return 3
		}
		return 1
	}
}

// coldCache is what starting costs this workload, every time: for some minutes new pods
// fail more and take longer, less so as their caches fill.
func coldCache(s *sim, w *workload) {
	full := time.Duration(4+s.rand.IntN(7)) * time.Minute
	level, slow := math.Max(0.04, 5*w.base)*(1+s.rand.Float64()), 1+2*s.rand.Float64()
	cold := func(p *pod, at time.Time) float64 {
		if !p.isNew() {
			return 0
		}
		return math.Max(0, 1-float64(at.Sub(p.ready))/float64(full))
	}
	w.failing = func(p *pod, _ int, at time.Time) float64 { return w.base + level*cold(p, at) }
	w.slower = func(p *pod, _ int, at time.Time) float64 { return 1 + slow*cold(p, at) }
}

// coldCacheBad is the same where the release keeps failing as if its caches never filled.
func coldCacheBad(s *sim, w *workload) {
	coldCache(s, w)
	inRollouts, level := w.failing, math.Max(0.04, 5*w.base)*(1+s.rand.Float64())
	w.failing = func(p *pod, r int, at time.Time) float64 {
		if p.isNew() && !at.Before(w.start) {
			return math.Max(inRollouts(p, r, at), level)
		}
		return inRollouts(p, r, at)
	}
	w.regressed, w.kind, w.effect, w.onset = true, "errors", "as of cold caches", w.start
}

func incidentBefore(s *sim, w *workload) {
	from := w.start.Add(-time.Duration(5+s.rand.IntN(6)) * time.Minute)
	level := math.Max(0.03, 4*w.base) * (1 + s.rand.Float64())
	w.affectedBy = "unreleased"
	w.failing = func(_ *pod, _ int, at time.Time) float64 {
		if at.After(from) {
			return level
		}
		return w.base
	}
	s.shared(w, from, s.end.Add(time.Hour))
}

// outage begins while both versions serve, and for a minute at least both do.
func outage(s *sim, w *workload) {
	w.pods = nil
	s.scheduleAt(w, time.Duration(40+s.rand.IntN(30))*time.Second)
	first, last := w.completed(), w.start
	for _, p := range w.pods {
		if p.isNew() && p.ready.Before(first) {
			first = p.ready
		}
		if !p.isNew() && p.gone.After(last) {
			last = p.gone
		}
	}
	from := first.Add(time.Duration(s.rand.Float64() * float64(max(0, last.Sub(first)-time.Minute))))
	to := from.Add(time.Duration(2+s.rand.IntN(6)) * time.Minute)
	level := math.Max(0.05, 4*w.base) * (1 + s.rand.Float64())
	w.affectedBy = "unreleased"
	w.failing = func(_ *pod, _ int, at time.Time) float64 {
		if at.After(from) && at.Before(to) {
			return level
		}
		return w.base
	}
	s.shared(w, from, to)
}

// daily is trouble that comes at the same time of each day, soon after the rollout is
// complete, and that no other workload has: a backup, a batch job.
func daily(s *sim, w *workload) {
	from := w.completed().Add(time.Duration(30+s.rand.IntN(300)) * time.Second)
	to := from.Add(time.Duration(8+s.rand.IntN(15)) * time.Minute)
	level := math.Max(0.03, 4*w.base) * (1 + s.rand.Float64())
	w.affectedBy = "unreleased"
	w.failing = func(_ *pod, _ int, at time.Time) float64 {
		for at.Before(s.begin) {
			at = at.Add(24 * time.Hour)
		}
		if at.After(from) && at.Before(to) {
			return level
		}
		return w.base
	}
}

func badNode(s *sim, w *workload) {
	w.ambiguous = true
	w.replicas = max(w.replicas, 4)
	w.pods = nil
	s.schedule(w)
	sick := s.rand.IntN(w.replicas)
	w.failing = func(p *pod, _ int, _ time.Time) float64 {
		if p.isNew() && p.index == sick {
			return 0.3
		}
		return w.base
	}
}

func autoscaling(s *sim, w *workload) {
	half := w.start.Add(w.completed().Sub(w.start) / 2)
	n := w.replicas
	for i := range n {
		born := half.Add(time.Duration(5+s.rand.IntN(20)) * time.Second)
		w.pods = append(w.pods, s.newPod(w, fresh, n+i, born, born.Add(15*time.Second), s.end.Add(time.Hour)))
	}
}

func routeShift(s *sim, w *workload) {
	from := w.start.Add(time.Duration(s.rand.IntN(120)) * time.Second)
	w.routes[len(w.routes)-1].slow = 4
	for w.dialect.name == "istio" { // which knows no routes: nobody could tell
		w.dialect = pick(s, dialects...)
	}
	w.mix = func(at time.Time) float64 {
		if at.After(from) {
			return 5
		}
		return 1
	}
}

func improvement(_ *sim, w *workload) {
	w.base = math.Max(w.base, 0.01)
	w.failing = func(p *pod, _ int, _ time.Time) float64 {
		if p.isNew() {
			return w.base / 4
		}
		return w.base
	}
	w.slower = func(p *pod, _ int, _ time.Time) float64 {
		if p.isNew() {
			return 0.7
		}
		return 1
	}
}

func sourceOutage(s *sim, w *workload) {
	from := w.start.Add(time.Duration(30+s.rand.IntN(300)) * time.Second)
	to := from.Add(time.Duration(5+s.rand.IntN(6)) * time.Minute)
	w.silent = func(at time.Time) bool { return at.After(from) && at.Before(to) }
}

func oldPodsStop(_ *sim, w *workload) {
	w.failing = func(p *pod, _ int, at time.Time) float64 {
		if !p.isNew() && p.gone.Sub(at) < 20*time.Second {
			return 0.5
		}
		return w.base
	}
}

// traffic is how much there is in the families of failures.
func (s *sim) traffic() float64 { return pick(s, 0.5, 2, 10, 50, 200, 500) }

func errorsTimes(s *sim, w *workload, times float64) {
	w.rate, w.base = s.traffic(), pick(s, 0.001, 0.005, 0.02)
	w.regressed, w.kind, w.effect, w.onset = true, "errors", fmt.Sprintf("x%g", times), w.start
	w.failing = func(p *pod, _ int, _ time.Time) float64 {
		if p.isNew() {
			return times * w.base
		}
		return w.base
	}
	s.called(w)
}

func errorsFromZero(s *sim, w *workload) {
	w.rate, w.base = s.traffic(), 0
	level := pick(s, 0.01, 0.02, 0.05)
	w.regressed, w.kind, w.effect, w.onset = true, "errors", fmt.Sprintf("0 to %g%%", 100*level), w.start
	w.failing = func(p *pod, _ int, _ time.Time) float64 {
		if p.isNew() {
			return level
		}
		return 0
	}
	s.called(w)
}

func slower(effect string, factor float64) func(*sim, *workload) {
	return func(s *sim, w *workload) {
		w.rate = pick(s, 2.0, 10, 50, 200)
		w.regressed, w.kind, w.effect, w.onset = true, "latency", effect, w.start
		w.slower = func(p *pod, _ int, _ time.Time) float64 {
			if p.isNew() {
				return factor
			}
			return 1
		}
	}
}

func tail(s *sim, w *workload) {
	w.rate = pick(s, 10.0, 50, 200)
	w.regressed, w.kind, w.effect, w.onset = true, "latency", "tail", w.start
	w.tail = func(p *pod, _ time.Time) float64 {
		if p.isNew() {
			return 0.05
		}
		return 0
	}
}

func oneRoute(s *sim, w *workload) {
	w.rate, w.base = pick(s, 10.0, 50, 200), pick(s, 0.002, 0.01)
	w.regressed, w.kind, w.effect, w.onset = true, "errors", "x10 on one route", w.start
	last := len(w.routes) - 1
	w.failing = func(p *pod, r int, _ time.Time) float64 {
		if p.isNew() && r == last {
			return 10 * w.base
		}
		return w.base
	}
	s.called(w)
}

func lateOnset(s *sim, w *workload) {
	w.rate, w.base = pick(s, 2.0, 10, 50, 200), pick(s, 0.001, 0.005)
	w.onset = w.completed().Add(8 * time.Minute)
	w.regressed, w.kind, w.effect = true, "errors", "x10, late"
	w.failing = func(p *pod, _ int, at time.Time) float64 {
		if p.isNew() && at.After(w.onset) {
			return 10 * w.base
		}
		return w.base
	}
	s.called(w)
}

// stalled keeps the old pods that the rollout would have taken away: it waits for
// the first new pod, which never becomes ready.
func (s *sim) stalled(w *workload) {
	kept := w.pods[:0]
	for _, p := range w.pods {
		switch {
		case p.arm == stable:
			p.gone = s.end.Add(time.Hour)
			kept = append(kept, p)
		case p.index < max(1, w.replicas/4):
			p.ready = s.end.Add(time.Hour)
			kept = append(kept, p)
		}
	}
	w.pods = kept
}

func crashLoop(s *sim, w *workload) {
	s.stalled(w)
	w.regressed, w.kind, w.effect, w.onset = true, "state", "crash loop", w.start
	w.waiting = func(p *pod, at time.Time) string {
		if p.isNew() && at.Sub(p.born) > 30*time.Second {
			return "CrashLoopBackOff"
		}
		return ""
	}
}

func outOfMemory(s *sim, w *workload) {
	every := time.Duration(3+s.rand.IntN(4)) * time.Minute
	w.regressed, w.kind, w.effect, w.onset = true, "state", "OOM", w.start.Add(every)
	w.killed = func(p *pod, at time.Time) int {
		if !p.isNew() {
			return 0
		}
		return int(at.Sub(p.born) / every)
	}
}

func hang(s *sim, w *workload) {
	w.rate = pick(s, 2.0, 10, 50)
	w.onset = w.start.Add(time.Duration(1+s.rand.IntN(4)) * time.Minute)
	w.regressed, w.kind, w.effect = true, "silence", "hang"
	w.serves = func(p *pod, at time.Time) bool { return !p.isNew() || at.Before(w.onset) }
}

// neverServe keeps half of the old pods: the rollout waits, as for an approval.
func neverServe(s *sim, w *workload) {
	w.rate = pick(s, 2.0, 10, 50)
	w.regressed, w.kind, w.effect, w.onset = true, "silence", "never serves", w.start
	w.serves = func(p *pod, _ time.Time) bool { return !p.isNew() }
	kept := w.pods[:0]
	for _, p := range w.pods {
		if p.index < w.replicas/2 {
			kept = append(kept, p)
		} else if p.arm == stable {
			p.gone = s.end.Add(time.Hour)
			kept = append(kept, p)
		}
	}
	w.pods = kept
}

func slowLeak(s *sim, w *workload) {
	every := time.Duration(10+s.rand.IntN(6)) * time.Minute
	w.regressed, w.kind, w.effect, w.onset = true, "resources", "leak", w.start
	w.leak = func(p *pod, at time.Time) float64 {
		if !p.isNew() {
			return 1
		}
		age := at.Sub(p.born) % every
		return 1 + 2*age.Minutes()/every.Minutes()
	}
	w.killed = func(p *pod, at time.Time) int {
		if !p.isNew() {
			return 0
		}
		return int(at.Sub(p.born) / every)
	}
}
