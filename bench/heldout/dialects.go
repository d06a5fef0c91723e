package heldout

import (
	"slices"
	"strconv"
)

// Outcomes of a request.
const (
	succeeded = iota
	refused   // the client's fault
	failed
	outcomes
)

// dialect is how an exporter names what it counts.
type dialect struct {
	name string
	// weight is how many of a hundred workloads speak it, about.
	weight int
	// counter of requests; empty: the histogram counts them.
	counter, histogram string
	unit               float64 // how many make a second
	routed             bool    // route is told
	coded              bool    // the histogram tells the outcome
	methods            bool    // routes are methods of an interface
	route, code        string  // names of labels
	codes              [outcomes]string
	faults             []string            // codes that a workload's failures may have
	extra              [outcomes][]string  // labels that go with the outcome
	fixed              []string            // labels of all series
	pod                func(*pod) []string // labels that name the pod
}

// drawDialect draws one by weight.
func drawDialect(d dice) dialect {
	all := dialects()
	total := 0
	for _, x := range all {
		total += x.weight
	}
	n := d.IntN(total)
	for _, x := range all {
		if n -= x.weight; n < 0 {
			return x
		}
	}
	return all[0]
}

func dialects() []dialect {
	otel := dialect{
		name: "opentelemetry", weight: 20, histogram: "http_server_request_duration_seconds", unit: 1, routed: true, coded: true,
		route: "http_route", code: "http_response_status_code", codes: [outcomes]string{"200", "404", ""}, faults: []string{"500", "502", "503"},
		fixed: []string{"http_request_method", "GET", "url_scheme", "http"}, pod: scraped,
	}
	collected := otel
	collected.name, collected.weight, collected.pod = "opentelemetry-collector", 8, collectedFrom
	return []dialect{
		{
			name: "prometheus", weight: 34, counter: "http_requests_total", histogram: "http_request_duration_seconds", unit: 1, routed: true,
			route: "handler", code: "code", codes: [outcomes]string{"200", "404", ""}, faults: []string{"500", "502", "503"},
			fixed: []string{"method", "get"}, pod: scraped,
		},
		otel, collected,
		{
			name: "grpc", weight: 13, counter: "grpc_server_handled_total", histogram: "grpc_server_handling_seconds", unit: 1, routed: true, methods: true,
			route: "grpc_method", code: "grpc_code", codes: [outcomes]string{"OK", "NotFound", ""}, faults: []string{"Internal", "Unavailable", "Unknown"},
			fixed: []string{"grpc_service", "shop.v1.Shop", "grpc_type", "unary"}, pod: scraped,
		},
		{
			name: "spring", weight: 13, histogram: "http_server_requests_seconds", unit: 1, routed: true, coded: true,
			route: "uri", code: "status", codes: [outcomes]string{"200", "404", ""}, faults: []string{"500", "503"},
			extra: [outcomes][]string{{"outcome", "SUCCESS", "exception", "none"}, {"outcome", "CLIENT_ERROR", "exception", "none"}, {"outcome", "SERVER_ERROR", "exception", "IllegalStateException"}},
			fixed: []string{"method", "GET"}, pod: scraped,
		},
		{
			name: "istio", weight: 12, counter: "istio_requests_total", histogram: "istio_request_duration_milliseconds", unit: 1000, coded: true,
			code: "response_code", codes: [outcomes]string{"200", "404", ""}, faults: []string{"500", "503"},
			fixed: []string{"request_protocol", "http"}, pod: proxied,
		},
	}
}

// scraped are the labels of a pod that Prometheus itself scrapes.
func scraped(p *pod) []string {
	return []string{"namespace", p.of.namespace, "pod", p.name, "container", "app", "instance", p.instance, "job", p.of.name}
}

// collectedFrom are those of one whose attributes a collector made labels.
func collectedFrom(p *pod) []string {
	return []string{"k8s_namespace_name", p.of.namespace, "k8s_pod_name", p.name, "instance", p.uid, "job", p.of.namespace + "/" + p.of.name}
}

// proxied are those of the proxy beside a pod, of what comes in.
func proxied(p *pod) []string {
	w := p.of
	return []string{
		"namespace", w.namespace, "pod", p.name, "instance", p.ip + ":15020", "job", "istio-proxies",
		"reporter", "destination", "destination_workload", w.name, "destination_workload_namespace", w.namespace,
		"destination_service", w.name + "." + w.namespace + ".svc.cluster.local", "source_workload", "unknown",
	}
}

// cells are what is counted apart, by route and outcome or by outcome alone.
func (d dialect) cells(routes int) int {
	if d.routed {
		return routes * outcomes
	}
	return outcomes
}

func (d dialect) cell(route, outcome int) int {
	if d.routed {
		return route*outcomes + outcome
	}
	return outcome
}

// histogramCells are those of which latencies are told apart.
func (d dialect) histogramCells(routes int) int {
	if d.routed && !d.coded {
		return routes
	}
	return d.cells(routes)
}

func (d dialect) histogramCell(route, outcome int) int {
	if d.routed && !d.coded {
		return route
	}
	return d.cell(route, outcome)
}

// pairs are the labels of a cell.
func (w *workload) pairs(p *pod, route, outcome int, coded bool) []string {
	d := w.dialect
	out := slices.Concat(d.pod(p), d.fixed)
	if d.routed {
		out = append(out, d.route, w.routes[route].name)
	}
	if coded {
		code := d.codes[outcome]
		if outcome == failed {
			code = w.faults
		}
		out = append(out, d.code, code)
		out = append(out, d.extra[outcome]...)
	}
	return out
}

// histogramSeries are the series of a histogram, made when it first has something to
// show.
type histogramSeries struct {
	buckets    []*series
	sum, count *series
}

func newHistogramSeries(t *target, metric string, unit float64, pairs []string) *histogramSeries {
	h := &histogramSeries{sum: t.add(metric+"_sum", pairs...), count: t.add(metric+"_count", pairs...)}
	for i := range len(bounds) + 1 {
		le := "+Inf"
		if i < len(bounds) {
			le = strconv.FormatFloat(bounds[i]*unit, 'f', -1, 64)
		}
		h.buckets = append(h.buckets, t.add(metric+"_bucket", append([]string{"le", le}, pairs...)...))
	}
	return h
}

func (h *histogramSeries) put(t *target, of *histogram, unit float64) {
	upTo := 0.0
	for i, s := range h.buckets {
		upTo += of.buckets[i]
		t.put(s, upTo)
	}
	t.put(h.sum, of.sum*unit)
	t.put(h.count, upTo)
}
