package main

import (
	"net"
	"strconv"

	"github.com/watchtower-verify/watchtower/lab/series"
)

// istio is the sidecar of an Istio mesh, called from outside the mesh. Probes
// do not pass it: the injector turns them to its agent.
func (m *metrics) istio(set settings) func(request) {
	total := m.Counter("istio_requests_total", "requests", series.IstioLabels...)
	duration := m.Histogram("istio_request_duration_milliseconds", "request durations", series.EnvoyBuckets, series.IstioLabels...)
	return func(r request) {
		if r.probe() {
			return
		}
		code, flags := strconv.Itoa(r.code), "-"
		if r.code == statusClientGone {
			code, flags = "0", "DC"
		}
		values := series.Istio{
			Reporter: "destination", Destination: set.workload, DestinationNamespace: set.namespace, Code: code, Flags: flags,
		}.Values()
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
	total := m.Counter("response_total", "Total count of HTTP responses.", append(target, "status_code", "classification", "grpc_status", "error")...)
	requests := m.Counter("request_total", "Total count of HTTP requests.", target...)
	latency := m.Histogram("response_latency_ms", "Elapsed times between a request's headers being received and its response stream completing",
		series.LinkerdBuckets, append(target, "status_code")...)
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
	received := m.Counter("envoy_http_downstream_rq_total", "", byListener)
	completed := m.Counter("envoy_http_downstream_rq_completed", "", byListener)
	downstream := m.Counter("envoy_http_downstream_rq_xx", "", byClass, byListener)
	downstreamTime := m.Histogram("envoy_http_downstream_rq_time", "", series.EnvoyBuckets, byListener)
	sent := m.Counter("envoy_cluster_upstream_rq_total", "", byCluster)
	upstream := m.Counter("envoy_cluster_upstream_rq_xx", "", byClass, byCluster)
	upstreamTime := m.Histogram("envoy_cluster_upstream_rq_time", "", series.EnvoyBuckets, byCluster)
	m.OnScrape(func() {
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
