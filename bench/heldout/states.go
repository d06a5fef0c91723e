package heldout

import "math"

// crashLoop lets each new container die within seconds, and the kubelet wait longer
// each time before it starts it again.
func crashLoop(s *scene, w *workload) {
	w.regress("state", "crash loop")
	w.crashes = func(p *pod) (out []outage) {
		if !p.isNew() {
			return nil
		}
		p.ready = never
		at, wait := p.born+s.between(4, 12), 10.0
		for at < s.to {
			out = append(out, outage{span: span{at, at + wait}, reason: "Error", backoff: true, ready: never})
			at += wait + s.between(3, 10)
			wait = math.Min(2*wait, 300)
		}
		return out
	}
	w.onset = w.firstDown
}

// firstDown is when the first container ends.
func (w *workload) firstDown() float64 {
	first := never
	for _, p := range w.pods {
		if len(p.downs) > 0 {
			first = math.Min(first, p.downs[0].from)
		}
	}
	return first
}

// killedAfter lets the memory of each new container grow by a factor until it is
// killed, again and again.
func (w *workload) killedAfter(seconds, factor float64) {
	s := w.scene
	w.crashes = func(p *pod) (out []outage) {
		if !p.isNew() {
			return nil
		}
		from, wait := p.ready, 2.0
		for from < s.to {
			at := from + seconds*s.between(0.85, 1.15)
			ready := at + wait + w.startup
			out = append(out, outage{span: span{at, at + wait}, reason: "OOMKilled", backoff: wait > 5, ready: ready})
			from, wait = ready, math.Min(math.Max(2*wait, 10), 300)
		}
		return out
	}
	w.bloat = func(p *pod, at float64) float64 {
		if !p.isNew() {
			return 1
		}
		return 1 + (factor-1)*math.Min(1, (at-p.since(at))/seconds)
	}
}

func outOfMemory(s *scene, w *workload) {
	w.regress("state", "killed for memory")
	w.killedAfter(s.between(2, 6)*60, 1.8)
	w.onset = w.firstDown
}

// hang begins at once or after some minutes, in a rollout that waits: the old pods
// that are left go on serving.
func hang(s *scene, w *workload) {
	w.rate = s.traffic(0)
	w.regress("throughput", "finishes nothing")
	w.hold = hold{pick(s.dice, 0.25, 0.5), never}
	from := pick(s.dice, 0, s.between(60, 300))
	w.hangs = func(p *pod, at float64) bool { return p.isNew() && at >= p.ready+from }
	w.onset = func() float64 { return w.firstReady() + from }
}

// neverServe goes through to the last pod, or waits half way.
func neverServe(s *scene, w *workload) {
	w.rate = s.traffic(0)
	w.regress("throughput", "never serves")
	if s.IntN(2) == 0 {
		w.hold = hold{0.5, never}
	}
	w.hangs = func(p *pod, _ float64) bool { return p.isNew() }
}

// callersOnly has a workload that calls, which alone sees that requests are lost on
// their way to new pods.
func callersOnly(s *scene, w *workload) {
	w.rate = s.traffic(0)
	level := pick(s.dice, 0.05, 0.1, 0.3)
	w.regress("errors", "callers only")
	w.refuses = byVersion(0, level)
	s.calls(s.bystander(), w)
}

// overlapPair has one workload call another. Both roll out within two minutes.
func overlapPair(s *scene) {
	callee := s.draw(0)
	callee.rate, callee.base = s.traffic(2), pick(s.dice, 0.0005, 0.002, 0.01)
	level := s.between(0.03, 0.15)
	callee.family = s.family.Name
	callee.regress("errors", "overlap")
	callee.failsWith(level)
	s.workloads = []*workload{callee}
	calling := s.draw(math.Floor(s.between(-120, 120)))
	calling.rate, calling.base = math.Min(callee.rate, s.traffic(2)), pick(s.dice, 0.0005, 0.002)
	calling.affectedBy = callee.namespace + "/" + callee.sets[fresh]
	calling.fail = func(_ *pod, _ int, at float64) float64 {
		return calling.base + level*callee.freshShare(at)
	}
	s.calls(calling, callee)
}

// calls puts one workload beside another that it calls.
func (s *scene) calls(calling, callee *workload) {
	s.workloads = []*workload{callee, calling}
	s.afterwards = append(s.afterwards, func() { callee.calledBy(calling) })
}
