package main

import (
	"net"
	"strconv"
)

// proxyBuckets are Envoy's, in milliseconds; Istio has them as well.
var proxyBuckets = []float64{
	0.5, 1, 5, 10, 25, 50, 100, 250, 500, 1000, 2500, 5000, 10000, 30000, 60000, 300000, 600000, 1800000, 3600000,
}

// linkerdBuckets are in milliseconds: one to five, by each power of ten.
var linkerdBuckets = func() []float64 {
	var out []float64
	for _, power := range []float64{1, 10, 100, 1000, 10000} {
		for digit := 1.0; digit <= 5; digit++ {
			out = append(out, digit*power)
		}
	}
	return out
}()

var istioLabels = []string{
	"reporter", "source_workload", "source_workload_namespace", "source_principal", "source_app", "source_version",
	"source_canonical_service", "source_canonical_revision", "destination_workload", "destination_workload_namespace",
	"destination_principal", "destination_app", "destination_version", "destination_canonical_service",
	"destination_canonical_revision", "destination_service", "destination_service_name", "destination_service_namespace",
	"request_protocol", "response_code", "grpc_response_status", "response_flags", "connection_security_policy",
}

// istio is the sidecar of an Istio mesh, called from outside the mesh. Probes
// do not pass it: the injector turns them to its agent.
func (m *metrics) istio(set settings) func(request) {
	total := m.counter("istio_requests_total", "requests", istioLabels...)
	duration := m.histogram("istio_request_duration_milliseconds", "request durations", proxyBuckets, istioLabels...)
	const outside = "unknown"
	return func(r request) {
		if r.probe() {
			return
		}
		code, flags := strconv.Itoa(r.code), "-"
		if r.code == statusClientGone {
			code, flags = "0", "DC"
		}
		values := []string{
			"destination", outside, outside, outside, outside, outside, outside, "latest",
			set.workload, set.namespace, outside, set.workload, outside, set.workload, "latest",
			set.workload + "." + set.namespace + ".svc.cluster.local", set.workload, set.namespace,
			"http", code, "", flags, "none",
		}
		total.WithLabelValues(values...).Inc()
		duration.WithLabelValues(values...).Observe(r.millis())
	}
}

// linkerd is the inbound side of a Linkerd proxy. It counts probes too, on a
// route of their own, and nothing of a request whose client left before the
// answer.
func (m *metrics) linkerd(set settings) func(request) {
	host, port, _ := net.SplitHostPort(set.addr)
	target := []string{
		"direction", "target_addr", "target_ip", "target_port", "tls", "no_tls_reason",
		"srv_group", "srv_kind", "srv_name", "route_group", "route_kind", "route_name",
	}
	total := m.counter("response_total", "Total count of HTTP responses.", append(target, "status_code", "classification", "grpc_status", "error")...)
	requests := m.counter("request_total", "Total count of HTTP requests.", target...)
	latency := m.histogram("response_latency_ms", "Elapsed times between a request's headers being received and its response stream completing",
		linkerdBuckets, append(target, "status_code")...)
	return func(r request) {
		routeName := "default"
		if r.probe() {
			routeName = "probe"
		}
		values := []string{
			"inbound", set.addr, host, port, "no_identity", "not_provided_by_remote",
			"", "default", "all-unauthenticated", "", "default", routeName,
		}
		requests.WithLabelValues(values...).Inc()
		if r.code == statusClientGone {
			return
		}
		classification := "success"
		if r.failed() {
			classification = "failure"
		}
		code := strconv.Itoa(r.code)
		total.WithLabelValues(append(values, code, classification, "", "")...).Inc()
		latency.WithLabelValues(append(values, code)...).Observe(r.millis())
	}
}

// envoy is a sidecar without a mesh: a listener before the service. It also
// counts what its own admin port is asked, the scrape itself.
func (m *metrics) envoy(settings) func(request) {
	const listener, cluster = "ingress_http", "local_app"
	const byListener, byCluster, byClass = "envoy_http_conn_manager_prefix", "envoy_cluster_name", "envoy_response_code_class"
	received := m.counter("envoy_http_downstream_rq_total", "", byListener)
	completed := m.counter("envoy_http_downstream_rq_completed", "", byListener)
	downstream := m.counter("envoy_http_downstream_rq_xx", "", byClass, byListener)
	downstreamTime := m.histogram("envoy_http_downstream_rq_time", "", proxyBuckets, byListener)
	sent := m.counter("envoy_cluster_upstream_rq_total", "", byCluster)
	upstream := m.counter("envoy_cluster_upstream_rq_xx", "", byClass, byCluster)
	upstreamTime := m.histogram("envoy_cluster_upstream_rq_time", "", proxyBuckets, byCluster)
	m.onScrape = append(m.onScrape, func() {
		received.WithLabelValues("admin").Inc()
		completed.WithLabelValues("admin").Inc()
		downstream.WithLabelValues("2", "admin").Inc()
	})
	return func(r request) {
		if r.probe() { // they go to the service's own port
			return
		}
		received.WithLabelValues(listener).Inc()
		sent.WithLabelValues(cluster).Inc()
		if r.code == statusClientGone { // a reset: it has no class
			return
		}
		class := strconv.Itoa(r.code / 100)
		completed.WithLabelValues(listener).Inc()
		downstream.WithLabelValues(class, listener).Inc()
		upstream.WithLabelValues(class, cluster).Inc()
		downstreamTime.WithLabelValues(listener).Observe(r.millis())
		upstreamTime.WithLabelValues(cluster).Observe(r.millis())
	}
}
