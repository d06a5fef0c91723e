package heldout

import "math"

const (
	alpha = 0.001
	// worse is the relative risk of a failure that is tolerated, slower the factor
	// on all latencies.
	worse  = 1.1
	slower = 1.2
	// boundStep is how finely time is summed, in seconds.
	boundStep = 5.0
)

// bound is when the data are expected to hold ln(1/α) nats against "the release is
// no worse than is tolerated", in seconds after the start; 0 where that is not
// within the observation.
func (w *workload) bound() float64 {
	if !w.regressed {
		return 0
	}
	switch w.kind {
	case "errors":
		information := w.errorInformation
		if w.refuses != nil {
			information = w.callerInformation
		}
		return w.reaches(math.Log(1/alpha)*w.burst, information)
	case "latency":
		best := 0.0
		for _, b := range w.boundaries() {
			t := w.reaches(math.Log(1/alpha), func(at float64) float64 { return w.latencyInformation(at, b) })
			if t > 0 && (best == 0 || t < best) {
				best = t
			}
		}
		return best
	}
	return 0
}

// reaches is after how many seconds information has come to what is needed.
func (w *workload) reaches(need float64, information func(at float64) float64) float64 {
	sum := 0.0
	for t := 0.0; t < w.scene.opt.Observe.Seconds(); t += boundStep {
		if sum += information(w.start + t); sum >= need {
			return t + boundStep
		}
	}
	return 0
}

// sent are the requests that a version is expected to be sent within a step.
func (w *workload) sent(version int, at float64) float64 {
	sum := 0.0
	for _, p := range w.pods {
		if p.version == version {
			sum += p.expects(at, at+boundStep)
		}
	}
	return sum
}

// mean of what is true of a version's pods, by the requests that each is sent.
func (w *workload) mean(version int, at float64, of func(*pod) float64) float64 {
	sum, all := 0.0, 0.0
	for _, p := range w.pods {
		if p.version != version {
			continue
		}
		if n := p.expects(at, at+boundStep); n > 0 {
			sum, all = sum+n*of(p), all+n
		}
	}
	if all == 0 {
		return 0
	}
	return sum / all
}

// errorInformation adds up what each route tells, or all of them together where
// the dialect does not tell routes.
func (w *workload) errorInformation(at float64) float64 {
	nc, ns := w.sent(fresh, at), w.sent(stable, at)
	shares := w.shares(at)
	if w.dialect.routed {
		sum := 0.0
		for r, share := range shares {
			before := w.failure(w.pods[0], r, w.start-60)
			pc := w.mean(fresh, at, func(p *pod) float64 { return w.failure(p, r, at) })
			ps := w.mean(stable, at, func(p *pod) float64 { return w.failure(p, r, at) })
			sum += twoArms(nc*share, ns*share, pc, ps, worse*ps, worse*w.known(before, share))
		}
		return sum
	}
	pooled := func(p *pod, at float64) (sum float64) {
		for r, share := range shares {
			sum += share * w.failure(p, r, at)
		}
		return sum
	}
	pc := w.mean(fresh, at, func(p *pod) float64 { return pooled(p, at) })
	ps := w.mean(stable, at, func(p *pod) float64 { return pooled(p, at) })
	return twoArms(nc, ns, pc, ps, worse*ps, worse*w.known(pooled(w.pods[0], w.start-60), 1))
}

// known is how well history knows a proportion: of none no better than by how many
// requests it saw.
func (w *workload) known(p, share float64) float64 {
	return math.Max(p, 1/(2*math.Max(1, w.rate*share*past.Seconds())))
}

// callerInformation is that of callers, who do not see which version they got.
func (w *workload) callerInformation(at float64) float64 {
	nc, ns := w.sent(fresh, at), w.sent(stable, at)
	if nc == 0 {
		return 0
	}
	lost := w.mean(fresh, at, func(p *pod) float64 { return w.refuses(p, at) }) * nc / (nc + ns)
	return twoArms(nc+ns, 0, lost+(1-lost)*w.base, 0, 0, worse*w.known(w.base, 1))
}

// boundaries are the buckets' next to the quantiles of the stable version.
func (w *workload) boundaries() (out []float64) {
	for _, q := range []float64{0.5, 0.9, 0.99} {
		for i, b := range bounds {
			share := 1 - w.beyond(w.pods[0], w.start-60, b, 1)
			if share >= q || i+1 < len(bounds) && 1-w.beyond(w.pods[0], w.start-60, bounds[i+1], 1) >= q {
				out = append(out, b)
			}
			if share >= q {
				break
			}
		}
	}
	return out
}

// beyond is the share of a pod's requests that take longer than a boundary, were all
// times as long.
func (w *workload) beyond(p *pod, at, boundary, times float64) float64 {
	sum, long := 0.0, w.long(p)
	for r, share := range w.shares(at) {
		median := times * w.medianAt(p, r, at)
		sum += share * ((1-long)*above(boundary, median, w.sigma) + long*above(boundary, 5*median, w.sigma))
	}
	return sum
}

// latencyInformation is what the requests beyond a boundary tell against a release
// that is slower by no more than is tolerated.
func (w *workload) latencyInformation(at, boundary float64) float64 {
	nc, ns := w.sent(fresh, at), w.sent(stable, at)
	before, limit := w.beyond(w.pods[0], w.start-60, boundary, 1), w.beyond(w.pods[0], w.start-60, boundary, slower)
	pc := w.mean(fresh, at, func(p *pod) float64 { return w.beyond(p, at, boundary, 1) })
	return twoArms(nc, ns, pc, before, limit, limit)
}

// twoArms is the information, in nats, of nc and ns requests of which pc and ps are
// bad, against a release of which no more than limit is. Where no stable request is
// bad or there is none, it is that against the past, of which no more than
// remembered was.
func twoArms(nc, ns, pc, ps, limit, remembered float64) float64 {
	if nc <= 0 {
		return 0
	}
	if ns <= 0 || ps <= 0 {
		if pc <= remembered {
			return 0
		}
		return nc * divergence(pc, remembered)
	}
	if pc <= limit {
		return 0
	}
	rho := nc / (nc + ns)
	theta := func(r float64) float64 { return rho * r / (rho*r + 1 - rho) }
	return (nc*pc + ns*ps) * divergence(theta(pc/ps), theta(limit/ps))
}

// divergence is the Kullback-Leibler divergence of Bernoulli(q) from Bernoulli(p).
func divergence(p, q float64) float64 {
	p, q = math.Min(math.Max(p, 1e-12), 1-1e-12), math.Min(math.Max(q, 1e-12), 1-1e-12)
	return p*math.Log(p/q) + (1-p)*math.Log((1-p)/(1-q))
}
