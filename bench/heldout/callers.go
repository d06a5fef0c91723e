package heldout

// caller is what a pod counts of its requests to another workload.
type caller struct {
	pod    *pod
	callee *workload
	seen   [outcomes]histogram
	series [outcomes]*histogramSeries
	count  [outcomes]*series
	marked int // restarts of the pod so far
}

// calledBy has the pods of one workload export what they see of another. It comes
// after both are scheduled.
func (w *workload) calledBy(calling *workload) {
	for _, p := range calling.pods {
		c := &caller{pod: p, callee: w}
		w.callers = append(w.callers, c)
		p.calls = append(p.calls, c)
	}
}

// callerAt is one of those that call at a time; nil where there is none.
func (w *workload) callerAt(at float64) *caller {
	first := w.scene.IntN(len(w.callers))
	for i := range w.callers {
		if c := w.callers[(first+i)%len(w.callers)]; c.pod.takes(at) || c.pod.of.start >= never {
			return c
		}
	}
	return w.callers[first]
}

// lose counts requests that never got to a pod: they fail at once.
func (c *caller) lose(n float64) {
	c.seen[failed].buckets[0] += n
	c.seen[failed].count += n
	c.seen[failed].sum += 0.002 * n
}

// exportCalls stores what a pod counted of its requests to others. Those are drawn
// up to now first.
func (p *pod) exportCalls(t *target) {
	for _, c := range p.calls {
		if n, _ := p.restarts(p.at); n != c.marked {
			c.seen, c.marked = [outcomes]histogram{}, n
		}
		for _, callee := range c.callee.pods {
			callee.advance(float64(t.millis-t.scene.start.UnixMilli()) / 1000)
		}
		for outcome := range c.seen {
			c.put(t, outcome)
		}
	}
}

func (c *caller) put(t *target, outcome int) {
	h := &c.seen[outcome]
	if h.count == 0 {
		return
	}
	metric, unit := c.callee.dialect.callerMetric()
	if c.series[outcome] == nil {
		pairs := c.pairs(outcome)
		c.series[outcome] = newHistogramSeries(t, metric, unit, pairs)
		if unit != 1 {
			c.count[outcome] = t.add("istio_requests_total", pairs...)
		}
	}
	c.series[outcome].put(t, h, unit)
	if c.count[outcome] != nil {
		t.put(c.count[outcome], h.count)
	}
}

// callerMetric is the histogram of those who call a workload of a dialect.
func (d dialect) callerMetric() (metric string, unit float64) {
	switch d.name {
	case "istio":
		return "istio_request_duration_milliseconds", 1000
	case "spring":
		return "http_client_requests_seconds", 1
	}
	return "http_client_request_duration_seconds", 1
}

// pairs are the labels of a caller's series.
func (c *caller) pairs(outcome int) []string {
	w := c.callee
	code := []string{"200", "404", "503"}[outcome]
	host := w.name + "." + w.namespace
	pod := scraped(c.pod)
	switch w.dialect.name {
	case "istio":
		return append(
			pod, "reporter", "source", "destination_workload", w.name, "destination_workload_namespace", w.namespace,
			"destination_service", host+".svc.cluster.local", "source_workload", c.pod.of.name,
			"source_workload_namespace", c.pod.of.namespace, "response_code", code, "request_protocol", "http",
		)
	case "spring":
		return append(
			pod, "client_name", host, "method", "GET", "uri", "/api", "status", code,
			"outcome", []string{"SUCCESS", "CLIENT_ERROR", "SERVER_ERROR"}[outcome],
		)
	}
	pod = append(pod, "server_address", host, "server_port", "8080", "http_request_method", "GET", "http_response_status_code", code)
	if outcome != succeeded {
		pod = append(pod, "error_type", code)
	}
	return pod
}
