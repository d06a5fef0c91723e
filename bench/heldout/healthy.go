package heldout

import "math"

func aaQuiet(_ *scene, w *workload) { w.burst = 1 }

func aaBursts(s *scene, w *workload) {
	w.burst, w.base = s.between(3, 10), pick(s.dice, 0.0005, 0.002, 0.01, 0.05)
}

func ramp(s *scene, w *workload) {
	end := pick(s.dice, 2.0, 0.5)
	w.load = func(at float64) float64 { return math.Pow(end, (at-s.from)/3600) }
}

func coldStart(s *scene, w *workload) {
	more := s.between(2, 4)
	w.slow = func(p *pod, at float64) float64 {
		return 1 + more*math.Max(0, 1-math.Max(0, at-p.ready)/60)
	}
}

func lowTraffic(s *scene, w *workload) { w.rate = pick(s.dice, 0.01, 0.03, 0.1, 0.3) }

// both makes all pods fail alike for a time, and slower for it in half of the cases.
func (w *workload) both(when span, level float64) {
	w.affectedBy = "unreleased"
	w.fail = func(_ *pod, _ int, at float64) float64 {
		if when.holds(at) {
			return level
		}
		return w.base
	}
	if w.scene.IntN(2) == 0 {
		w.slow = func(_ *pod, at float64) float64 {
			if when.holds(at) {
				return 1.6
			}
			return 1
		}
	}
}

// incidentBefore ends within the observation in half of the cases.
func incidentBefore(s *scene, w *workload) {
	when := span{-s.between(5, 10) * 60, never}
	if s.IntN(2) == 0 {
		when.to = s.between(10, 30) * 60
	}
	w.both(when, math.Max(4*w.base, 0.03)*s.between(1, 2))
}

// outageBothArms comes while the rollout waits half way, so that both serve.
func outageBothArms(s *scene, w *workload) {
	w.hold = hold{0.5, s.between(3, 7) * 60}
	from := s.between(75, 120)
	w.both(span{from, from + s.between(3, 10)*60}, math.Max(4*w.base, 0.05)*s.between(1, 2))
}

func badNode(s *scene, w *workload) {
	w.ambiguous = true
	w.replicas = max(w.replicas, 4)
	sick := s.IntN(w.replicas)
	w.fail = func(p *pod, _ int, _ float64) float64 {
		if p.isNew() && p.index == sick {
			return 0.3
		}
		return w.base
	}
}

func autoscaling(s *scene, w *workload) {
	w.replicas = max(2, w.replicas/2)
	before, half := w.replicas, s.between(30, 80)
	w.desired = func(at float64) int {
		if at >= half {
			return 2 * before
		}
		return before
	}
	w.load = func(at float64) float64 {
		return 1 + 0.9*math.Min(1, math.Max(0, (at-half+240)/360))
	}
}

func routeShift(s *scene, w *workload) {
	from := s.between(0, 180)
	for !w.dialect.routed { // nothing would tell it from harm
		w.dialect = drawDialect(s.dice)
		w.faults, w.routes = pick(s.dice, w.dialect.faults...), nil
		w.drawRoutes()
	}
	w.routes[len(w.routes)-1].slow = 4
	w.mix = func(at float64) float64 {
		if at >= from {
			return 5
		}
		return 1
	}
}

func improvement(_ *scene, w *workload) {
	w.base = math.Max(w.base, 0.01)
	w.failsWith(w.base / 4)
	w.slow = byVersion(1, 0.7)
}

func sourceOutage(s *scene, w *workload) {
	from := s.between(0.5, 8) * 60
	w.silent = span{from, from + s.between(5, 10)*60}
}

func oldPodsStop(s *scene, w *workload) {
	level := s.between(0.3, 0.7)
	w.linger = func(*pod) (serving, existing float64) { return s.between(10, 20), s.between(16, 30) }
	w.fail = func(p *pod, _ int, at float64) float64 {
		if !p.isNew() && at >= p.stop {
			return level
		}
		return w.base
	}
}
