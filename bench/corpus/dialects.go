package corpus

import (
	"strconv"
	"time"

	"github.com/watchtower-verify/watchtower/internal/signal/samples"
)

// dialect is a way to name what a pod exports.
type dialect struct {
	name string
	// requests adds the counters of a route.
	requests func(s *sim, p *pod, r int, base []string) []*Series
	// metric, unit and labels of the histogram; unit is how many make a second.
	metric string
	unit   float64
	labels func(p *pod, r int) []string
	podKey string
}

var dialects = []dialect{
	{
		name: "prometheus", metric: "http_request_duration_seconds", unit: 1, podKey: "pod",
		requests: byCode("http_requests_total", "code", "handler", "200", "500"),
		labels:   func(p *pod, r int) []string { return []string{"handler", p.of.routes[r].name} },
	},
	{
		name: "otel", metric: "http_server_request_duration_seconds", unit: 1, podKey: "k8s_pod_name",
		requests: byCode("http_server_request_duration_seconds_count", "http_response_status_code", "http_route", "200", "503"),
		labels: func(p *pod, r int) []string {
			return []string{"http_route", p.of.routes[r].name, "http_response_status_code", "200"}
		},
	},
	{
		name: "grpc", metric: "grpc_server_handling_seconds", unit: 1, podKey: "pod",
		requests: byCode("grpc_server_handled_total", "grpc_code", "grpc_method", "OK", "Internal"),
		labels:   func(p *pod, r int) []string { return []string{"grpc_method", p.of.routes[r].name} },
	},
	{
		name: "spring", metric: "http_server_requests_seconds", unit: 1, podKey: "pod",
		requests: byCode("http_server_requests_seconds_count", "status", "uri", "200", "500"),
		labels:   func(p *pod, r int) []string { return []string{"uri", p.of.routes[r].name, "status", "200"} },
	},
	{
		name: "istio", metric: "istio_request_duration_milliseconds", unit: 1000, podKey: "pod",
		requests: func(s *sim, p *pod, r int, base []string) []*Series {
			if r > 0 {
				return nil // the proxy knows no routes
			}
			var out []*Series
			for i, code := range []string{"200", "503"} {
				out = append(out, s.add(func() float64 { return p.all(i) }, "istio_requests_total",
					append([]string{"reporter", "destination", "destination_workload", p.of.name, "response_code", code}, base...)...))
			}
			return out
		},
		labels: func(p *pod, _ int) []string {
			return []string{"reporter", "destination", "destination_workload", p.of.name}
		},
	},
}

// byCode makes a counter for success and one for failure.
func byCode(metric, code, route, good, bad string) func(*sim, *pod, int, []string) []*Series {
	return func(s *sim, p *pod, r int, base []string) []*Series {
		var out []*Series
		for i, value := range []string{good, bad} {
			out = append(out, s.add(func() float64 { return p.count(r, i) }, metric, append([]string{code, value, route, p.of.routes[r].name}, base...)...))
		}
		return out
	}
}

func (p *pod) count(r, i int) float64 {
	if p.total == nil {
		return 0
	}
	return p.total[r][i]
}

func (p *pod) all(i int) float64 {
	n := 0.0
	for r := range p.total {
		n += p.total[r][i]
	}
	return n
}

// exports makes the series of a pod.
func (s *sim) exports(p *pod) []*Series {
	d := p.of.dialect
	base := []string{d.namespaceKey(), s.namespace, d.podKey, p.name, "instance", p.name + ":8080", "job", "pods"}
	out := []*Series{s.add(func() float64 { return 1 }, "up", "namespace", s.namespace, "pod", p.name, "instance", p.name+":8080", "job", "pods")}
	for r := range p.of.routes {
		out = append(out, d.requests(s, p, r, base)...)
		if d.name == "istio" && r > 0 {
			continue
		}
		out = append(out, s.histogram(p, r, base)...)
	}
	cadvisor := []string{"namespace", s.namespace, "pod", p.name, "container", "app", "job", "kubelet"}
	return append(out,
		s.add(func() float64 { return p.cpu }, "container_cpu_usage_seconds_total", cadvisor...),
		s.add(func() float64 { return p.memory(s) }, "container_memory_working_set_bytes", cadvisor...))
}

func (p *pod) memory(s *sim) float64 {
	m := p.of.memory * (1 + 0.02*s.rand.NormFloat64())
	if p.of.leak != nil {
		m *= p.of.leak(p, p.counted)
	}
	return m
}

// histogram makes the buckets of a route, cumulative, with sum and, where requests
// have a counter of their own, count.
func (s *sim) histogram(p *pod, r int, base []string) []*Series {
	d := p.of.dialect
	ls := append(d.labels(p, r), base...)
	routes := []int{r}
	if d.name == "istio" {
		routes = routes[:0]
		for i := range p.of.routes {
			routes = append(routes, i)
		}
	}
	upTo := func(i int) float64 {
		n := 0.0
		for _, r := range routes {
			if p.buckets == nil {
				return 0
			}
			for j := 0; j <= i; j++ {
				n += p.buckets[r][j]
			}
		}
		return n
	}
	var out []*Series
	for i, b := range bounds {
		le := "+Inf"
		if i < len(bounds)-1 {
			le = strconv.FormatFloat(b*d.unit, 'f', -1, 64)
		}
		out = append(out, s.add(func() float64 { return upTo(i) }, d.metric+"_bucket", append([]string{"le", le}, ls...)...))
	}
	return out
}

// kubeState stores what kube-state-metrics tells of a workload.
func (s *sim) kubeState(w *workload, at time.Time) {
	for a, set := range w.sets {
		if arm(a) == fresh && at.Before(w.start) {
			continue
		}
		created := w.start
		if arm(a) == stable {
			if created = w.since; created.IsZero() {
				created = s.origin().Add(-23 * time.Hour)
			}
		}
		there, ready := 0.0, 0.0
		for _, p := range w.pods {
			if p.arm != arm(a) || !p.there(at) {
				continue
			}
			there++
			if s.kubePod(w, p, at) {
				ready++
			}
		}
		put := func(v float64, metric string, pairs ...string) {
			s.told(at, v, metric, append(pairs, "replicaset", set, "namespace", s.namespace)...)
		}
		put(float64(created.Unix()), "kube_replicaset_created")
		put(1, "kube_replicaset_owner", "owner_kind", "Deployment", "owner_name", w.name)
		put(there, "kube_replicaset_spec_replicas")
		put(ready, "kube_replicaset_status_ready_replicas")
	}
}

// kubePod stores what is told of a pod, and reports whether it is ready.
func (s *sim) kubePod(w *workload, p *pod, at time.Time) bool {
	put := func(v float64, metric string, pairs ...string) {
		s.told(at, v, metric, append(pairs, "pod", p.name, "namespace", s.namespace)...)
	}
	put(1, "kube_pod_owner", "owner_kind", "ReplicaSet", "owner_name", w.sets[p.arm])
	put(float64(p.born.Unix()), "kube_pod_created")
	put(1, "kube_pod_container_info", "container", "app", "image", w.images[p.arm], "image_id", "shop/"+w.name+"@sha256:"+w.sets[p.arm])
	reason, restarts := "", 0
	if w.waiting != nil {
		reason = w.waiting(p, at)
	}
	if w.killed != nil {
		restarts = w.killed(p, at)
	}
	ready := p.takes(at) && reason == ""
	yes := map[bool]float64{true: 1}
	put(yes[ready], "kube_pod_status_ready", "condition", "true")
	put(yes[!ready], "kube_pod_status_ready", "condition", "false")
	if reason == "CrashLoopBackOff" {
		restarts = 1 + int(at.Sub(p.born)/(40*time.Second))
		put(1, "kube_pod_container_status_last_terminated_reason", "container", "app", "reason", "Error")
	}
	put(float64(restarts), "kube_pod_container_status_restarts_total", "container", "app")
	if reason != "" {
		put(1, "kube_pod_container_status_waiting_reason", "container", "app", "reason", reason)
	}
	if restarts > 0 && w.killed != nil {
		put(1, "kube_pod_container_status_last_terminated_reason", "container", "app", "reason", "OOMKilled")
	}
	return ready
}

// told stores a sample of kube-state-metrics.
func (s *sim) told(at time.Time, v float64, metric string, pairs ...string) {
	key := metric
	for _, p := range pairs {
		key += "\xff" + p
	}
	if s.kube == nil {
		s.kube = map[string]*Series{}
	}
	series := s.kube[key]
	if series == nil {
		series = s.add(nil, metric, append(pairs, "instance", "kube-state-metrics:8080", "job", "kube-state-metrics")...)
		s.kube[key] = series
	}
	series.Samples = append(series.Samples, samples.Float{Millis: at.UnixMilli(), Value: v})
}

// namespaceKey is the label for the namespace beside that for the pod.
func (d dialect) namespaceKey() string {
	if d.podKey == "k8s_pod_name" {
		return "k8s_namespace_name"
	}
	return "namespace"
}
