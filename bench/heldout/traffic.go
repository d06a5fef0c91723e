package heldout

import "math"

// step is how many seconds of requests are drawn at once, at the most.
const step = 5.0

// spreadLoad lays down how many requests each second brings, and to which pods.
func (w *workload) spreadLoad() {
	s := w.scene
	n := int(s.to-s.from) + 1
	w.demand = make([]float64, n)
	w.weights = [2][]float64{make([]float64, n), make([]float64, n)}
	w.waves()
	for _, p := range w.pods {
		for i := range n {
			if p.takes(s.from + float64(i)) {
				w.weights[p.version][i] += p.weight
			}
		}
	}
	for _, p := range w.pods {
		p.due = make([]float64, n+1)
		for i := range n {
			p.due[i+1] = p.due[i]
			if p.takes(s.from + float64(i)) {
				p.due[i+1] += p.weight * w.demand[i] / (w.weights[stable][i] + w.weights[fresh][i])
			}
		}
	}
}

// waves draws the demand: the rate, which goes up and down by a fifth within
// minutes; and the noise of latencies.
func (w *workload) waves() {
	s := w.scene
	slow, fast := s.between(500, 1500), s.between(90, 300)
	shift, other := s.between(0, 2*math.Pi), s.between(0, 2*math.Pi)
	level := 0.0
	for i := range w.demand {
		at := s.from + float64(i)
		level = 0.98*level + 0.01*s.NormFloat64()
		wave := 1 + 0.08*math.Sin(at*2*math.Pi/slow+shift) + 0.05*math.Sin(at*2*math.Pi/fast+other) + level
		w.demand[i] = w.rate * math.Min(math.Max(wave, 0.8), 1.2)
		if w.load != nil {
			w.demand[i] *= w.load(at)
		}
	}
	w.noise = make([]float64, len(w.demand)/int(step)+2)
	x := 0.08 * s.NormFloat64()
	for i := range w.noise {
		x = 0.97*x + 0.08*math.Sqrt(1-0.97*0.97)*s.NormFloat64()
		w.noise[i] = x
	}
}

// expects is how many requests a pod may expect in a time.
func (p *pod) expects(from, to float64) float64 { return p.dueAt(to) - p.dueAt(from) }

func (p *pod) dueAt(at float64) float64 {
	x := math.Min(math.Max(at-p.of.scene.from, 0), float64(len(p.due)-1))
	i := int(x)
	if i+1 >= len(p.due) {
		return p.due[i]
	}
	return p.due[i] + (x-float64(i))*(p.due[i+1]-p.due[i])
}

// advance draws what a pod does up to a time.
func (p *pod) advance(to float64) {
	to = math.Min(to, p.gone)
	for p.at < to {
		next := math.Min(to, p.at+step)
		for i := range p.downs {
			if from := p.downs[i].from; from > p.at && from < next {
				next = from
			}
		}
		p.serve(p.at, next)
		p.at = next
		for i := range p.downs {
			if p.downs[i].from == next {
				p.reset()
				p.pending = 0
			}
		}
	}
}

// serve draws the requests of a few seconds.
func (p *pod) serve(from, to float64) {
	w := p.of
	if p.down(from) == nil {
		p.cpu += 0.01 * (to - from) * p.of.scene.between(0.8, 1.2)
	}
	n := p.expects(from, to)
	if n <= 0 {
		return
	}
	at := (from + to) / 2
	for r, share := range w.shares(at) {
		p.serveRoute(r, w.scene.poisson(n*share), at)
	}
}

// serveRoute draws what becomes of the requests to a route.
func (p *pod) serveRoute(r int, n, at float64) {
	w, s := p.of, p.of.scene
	if n <= 0 {
		return
	}
	var c *caller
	if w.callers != nil {
		c = w.callerAt(at)
	}
	if w.refuses != nil {
		lost := s.binomial(n, w.refuses(p, at))
		n -= lost
		c.lose(lost)
	}
	if w.hangs != nil && w.hangs(p, at) {
		return
	}
	bad := p.failures(n, w.failure(p, r, at))
	wrong := s.binomial(n-bad, w.refusal)
	p.finish(r, [outcomes]float64{n - bad - wrong, wrong, bad}, at, c)
	p.cpu += n * w.median * w.routes[r].slow * 0.1
}

// failures draws how many of n requests fail. A burst goes on with the requests that
// come next.
func (p *pod) failures(n, share float64) float64 {
	s, burst := p.of.scene, p.of.burst
	if burst <= 1 || share > 0.3 {
		return s.binomial(n, share)
	}
	p.pending += s.bursts(s.poisson(n*share/burst), burst)
	bad := math.Min(n, p.pending)
	p.pending -= bad
	return bad
}

// history counts what a pod did before the scene begins.
func (p *pod) history() {
	w, s := p.of, p.of.scene
	seconds := math.Min(s.from-p.ready, 2e5)
	if seconds <= 0 || w.rate == 0 {
		return
	}
	for r, share := range w.shares(s.from) {
		n := s.poisson(w.rate / float64(w.replicas) * share * p.weight * seconds)
		bad := math.Min(n, s.bursts(s.poisson(n*w.failure(p, r, s.from)/w.burst), w.burst))
		wrong := s.binomial(n-bad, w.refusal)
		p.finish(r, [outcomes]float64{n - bad - wrong, wrong, bad}, s.from, nil)
	}
	p.cpu += seconds * 0.05
}
