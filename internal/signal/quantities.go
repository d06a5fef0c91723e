package signal

import (
	"math"

	"github.com/watchtower-verify/watchtower/internal/release"
	"github.com/watchtower-verify/watchtower/internal/signal/samples"
)

// quantities are the signals that are a quantity over an exposure.
func (t *tracked) quantities(pods []*pod, rd *Reading, k int) {
	seconds := float64(t.tick) / 1000
	add := func(name string, measured bool, of func(*pod) release.Measure) {
		if !measured {
			return
		}
		var q Quantity
		for _, p := range pods {
			if p.name == "" {
				continue
			}
			if m := of(p); m.Weight > 0 {
				q.add(p, m)
			}
		}
		if rd.Quantities == nil {
			rd.Quantities = map[string]Quantity{}
		}
		rd.Quantities[name] = q
	}
	requests := t.dialectKnown()
	add(release.SignalLatencyMean, t.feeding(feedSum) && t.feeding(feedCount), func(p *pod) release.Measure {
		return release.Measure{Sum: p.at(t, columnSum, k) / t.perSecond(), Weight: p.at(t, columnCount, k)}
	})
	ready := t.readiness()
	add(release.SignalThroughput, requests && ready != nil, func(p *pod) release.Measure {
		return release.Measure{Sum: t.served(p, k), Weight: seconds * ready(p, k)}
	})
	add(release.SignalCPU, t.feeding(feedCPU), func(p *pod) release.Measure { return p.cpu(t, requests, seconds, k) })
	add(release.SignalMemory, t.feeding(feedMemory), func(p *pod) release.Measure {
		if v := p.gauge(gaugeMemory, k); v >= 0 {
			return release.Measure{Sum: v, Weight: 1}
		}
		return release.Measure{}
	})
	for i := range t.custom {
		c := &t.custom[i]
		ok := c.seen && t.customReadable(i)
		add(c.Name, ok && c.Counter != "", func(p *pod) release.Measure {
			if !p.own.in(k) {
				return release.Measure{}
			}
			return release.Measure{Sum: p.at(t, columnCustom+2*int32(i), k), Weight: seconds}
		})
		add(c.Name, ok && c.Gauge != "", func(p *pod) release.Measure {
			if v := p.gauge(gaugeCustom+i, k); !math.IsNaN(v) {
				return release.Measure{Sum: v, Weight: 1}
			}
			return release.Measure{}
		})
	}
}

func (q *Quantity) add(p *pod, m release.Measure) {
	a := &q.Stable
	if p.arm == armRelease {
		a = &q.Release
	}
	a.Measure = a.Add(m)
	if a.Pods == nil {
		a.Pods = map[string]release.Measure{}
	}
	a.Pods[p.name] = m
}

// served is how many requests a pod finished in a tick, of all routes.
func (t *tracked) served(p *pod, k int) float64 {
	n := 0.0
	for s := range len(t.strata) + 1 {
		n += p.at(t, columnOf(viewServer, int32(s)), k)
	}
	return n
}

// readiness is what an exporter told last of whether a pod is ready.
type readiness struct {
	value float64 // NaN while unknown
	heard int64   // when, in Unix milliseconds
	gap   int64   // the longest time between two samples
}

// hear notes the samples of a round.
func (r *readiness) hear(t *tracked, list []samples.Float) {
	for _, s := range list {
		if s.Millis <= t.pos || s.Millis > t.round.to {
			continue
		}
		if r.heard != 0 {
			r.gap = max(r.gap, s.Millis-r.heard)
		}
		r.heard = s.Millis
		t.readyHeard = max(t.readyHeard, s.Millis)
	}
}

// gone reports whether a pod was due again in a tick, and by now others were told
// of and it was not. Half a gap more is for exporters that share the pods among
// them.
func (r *readiness) gone(t *tracked, k int) bool {
	if r.gap == 0 {
		return false
	}
	return t.readyHeard > r.heard+r.gap+r.gap/2 && t.pos+int64(k+1)*t.tick > r.heard+r.gap
}

// readiness returns what tells for how much of a tick a pod was ready: an exporter
// or, without one, what Kubernetes says of the pods that are there now; nil where
// nobody does.
func (t *tracked) readiness() func(*pod, int) float64 {
	if t.feeding(feedReady) {
		return func(p *pod, k int) float64 { return p.readiness(t, k) }
	}
	if len(t.known) == 0 {
		return nil
	}
	return func(p *pod, k int) float64 {
		known := t.known[p.name]
		if known.ReadyAt.IsZero() {
			return 0
		}
		end := t.pos + int64(k+1)*t.tick
		return math.Min(math.Max(float64(end-millis(known.ReadyAt))/float64(t.tick), 0), 1)
	}
}

// readiness is for how much of a tick a pod was ready. Between two samples it is
// as it was last, until it is known to be gone.
func (p *pod) readiness(t *tracked, k int) float64 {
	r := &p.ready
	if v := p.gauge(gaugeReady, k); !math.IsNaN(v) {
		r.value = math.Min(math.Max(v, 0), 1)
	} else if !p.present(k) || r.gone(t, k) {
		r.value = math.NaN()
	}
	if math.IsNaN(r.value) {
		return 0
	}
	return r.value
}

// cpu is core-seconds over what they were spent on since they last moved: the
// exporter that tells of them is scraped at other times than the pod.
func (p *pod) cpu(t *tracked, requests bool, seconds float64, k int) release.Measure {
	switch {
	case requests:
		p.cpuWeight += t.served(p, k)
	case p.present(k):
		p.cpuWeight += seconds
	}
	used := p.at(t, columnCPU, k)
	if used == 0 || p.cpuWeight == 0 {
		return release.Measure{}
	}
	m := release.Measure{Sum: used, Weight: p.cpuWeight}
	p.cpuWeight = 0
	return m
}

// perSecond is how many of the latencies' unit make a second.
func (t *tracked) perSecond() float64 {
	for _, f := range t.feeds {
		if f.what == feedSum {
			return f.dialect.Latency.Unit.PerSecond()
		}
	}
	return 1
}
