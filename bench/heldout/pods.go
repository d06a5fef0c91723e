package heldout

import "math"

// export is what a pod shows of its requests.
type export struct {
	p          *pod
	up         *series
	counters   []*series
	histograms []*histogramSeries
}

// exporter scrapes the pod itself.
func (p *pod) exporter() func(*target, float64) {
	w := p.of
	e := &export{p: p}
	return func(t *target, at float64) {
		switch {
		case at < p.born+1:
			return
		case at >= p.gone:
			p.advance(p.gone)
			if !w.silent.holds(at) {
				t.settle()
			}
			return
		}
		p.advance(at)
		if w.silent.holds(at) {
			return
		}
		if e.up == nil {
			e.up = t.add("up", scraped(p)...)
			e.counters = make([]*series, len(p.counts))
			e.histograms = make([]*histogramSeries, len(p.histograms))
		}
		if p.down(at) != nil || at < p.born+2 || w.scene.Float64() < math.Max(w.missed, scrapeMisses) {
			t.put(e.up, 0)
		} else {
			t.put(e.up, 1)
			e.put(t)
			p.exportCalls(t)
		}
		t.settle()
	}
}

// put stores what has been counted. A client library shows what has happened at
// least once, or what it was told to expect.
func (e *export) put(t *target) {
	w, d := e.p.of, e.p.of.dialect
	if d.counter != "" {
		for i, n := range e.p.counts {
			if n == 0 && !w.preset {
				continue
			}
			if e.counters[i] == nil {
				e.counters[i] = t.add(d.counter, w.pairs(e.p, i/outcomes, i%outcomes, true)...)
			}
			t.put(e.counters[i], n)
		}
	}
	for i := range e.p.histograms {
		h := &e.p.histograms[i]
		route, outcome := i/outcomes, i%outcomes
		if len(e.p.histograms) == len(w.routes) && !d.coded {
			route, outcome = i, succeeded
		}
		if h.count == 0 && (!w.preset || outcome != succeeded) {
			continue
		}
		if e.histograms[i] == nil {
			e.histograms[i] = newHistogramSeries(t, d.histogram, d.unit, w.pairs(e.p, route, outcome, d.coded))
		}
		e.histograms[i].put(t, h, d.unit)
	}
}

// kubelet scrapes what cAdvisor knows of the pod's container.
func (p *pod) kubelet() func(*target, float64) {
	w := p.of
	var cpu, memory *series
	noise := 0.0
	return func(t *target, at float64) {
		switch {
		case at < p.born+2 || w.silent.holds(at):
			return
		case at < p.gone && p.down(at) == nil && w.scene.Float64() >= math.Max(w.missed, scrapeMisses):
			p.advance(at)
			if cpu == nil {
				pairs := []string{"namespace", w.namespace, "pod", p.name, "container", "app", "image", w.images[p.version], "instance", p.ip + ":10250", "job", "kubelet"}
				cpu, memory = t.add("container_cpu_usage_seconds_total", pairs...), t.add("container_memory_working_set_bytes", pairs...)
			}
			noise = 0.9*noise + 0.01*w.scene.NormFloat64()
			t.put(cpu, p.cpu)
			t.put(memory, p.memory(at, noise))
		}
		t.settle()
	}
}

// memory in bytes, in whole pages: it fills within minutes and then stays.
func (p *pod) memory(at, noise float64) float64 {
	w := p.of
	m := w.memory * (1 - 0.3*math.Exp(-(at-p.since(at))/200)) * (1 + noise)
	if w.bloat != nil {
		m *= w.bloat(p, at)
	}
	return math.Floor(m/4096) * 4096
}

// since is when its container began.
func (p *pod) since(at float64) float64 {
	from := p.born
	for i := range p.downs {
		if at >= p.downs[i].to {
			from = p.downs[i].to
		}
	}
	return from
}
