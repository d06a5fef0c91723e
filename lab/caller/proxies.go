package caller

import (
	"net"
	"net/http"
	"strconv"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/watchtower-verify/watchtower/lab/series"
	"github.com/watchtower-verify/watchtower/lab/traffic"
)

// istio is the caller's sidecar: it answers 503 for a pod that closes the
// connection, and cannot tell which pod that was.
func istio(page *series.Page, set settings) func(traffic.Answer) {
	return istioAs("source", page, set)
}

// istioWaypoint is a proxy between caller and callee that is neither's.
func istioWaypoint(page *series.Page, set settings) func(traffic.Answer) {
	return istioAs("waypoint", page, set)
}

func istioAs(reporter string, page *series.Page, set settings) func(traffic.Answer) {
	total := page.Counter("istio_requests_total", "requests", series.IstioLabels...)
	duration := page.Histogram("istio_request_duration_milliseconds", "request durations", series.EnvoyBuckets, series.IstioLabels...)
	return func(a traffic.Answer) {
		flags := "-"
		if a.Err != nil {
			flags = "UC" // upstream connection termination
		}
		values := series.Istio{
			Reporter: reporter, Source: set.self, SourceNamespace: set.selfNamespace,
			Destination: set.callee, DestinationNamespace: set.namespace,
			Code: strconv.Itoa(proxied(a, http.StatusServiceUnavailable)), Flags: flags,
		}.Values()
		total.WithLabelValues(values...).Inc()
		duration.WithLabelValues(values...).Observe(millis(a.Took))
	}
}

// linkerd is the outbound side of the caller's proxy: it answers 502 for a pod
// that closes the connection, and names the pod.
func linkerd(page *series.Page, set settings) func(traffic.Answer) {
	target := []string{
		"direction", "authority", "target_addr", "target_ip", "target_port", "tls", "no_tls_reason", "dst_control_plane_ns",
		"dst_deployment", "dst_namespace", "dst_pod", "dst_pod_template_hash", "dst_service", "dst_serviceaccount",
	}
	requests := page.Counter("request_total", "Total count of HTTP requests.", target...)
	total := page.Counter("response_total", "Total count of HTTP responses.", append(target, "status_code", "classification", "grpc_status", "error")...)
	latency := page.Histogram("response_latency_ms", "Elapsed times between a request's headers being received and its response stream completing",
		series.LinkerdBuckets, append(target, "status_code")...)
	return func(a traffic.Answer) {
		port := strconv.Itoa(set.port)
		values := []string{
			"outbound", set.callee + "." + set.namespace + ".svc.cluster.local:80", net.JoinHostPort(a.Pod.Address, port), a.Pod.Address, port,
			"no_identity", "not_provided_by_service_discovery", "linkerd",
			set.callee, set.namespace, a.Pod.Name, a.Pod.TemplateHash, set.callee, "default",
		}
		code, classification := strconv.Itoa(proxied(a, http.StatusBadGateway)), "success"
		if a.Failed() {
			classification = "failure"
		}
		requests.WithLabelValues(values...).Inc()
		total.WithLabelValues(append(values, code, classification, "", "")...).Inc()
		latency.WithLabelValues(append(values, code)...).Observe(millis(a.Took))
	}
}

// contour is Envoy behind Contour, whose clusters are named by namespace, Service
// and port.
func contour(page *series.Page, set settings) func(traffic.Answer) {
	const byCluster, byClass = "envoy_cluster_name", "envoy_response_code_class"
	total := page.Counter("envoy_cluster_upstream_rq_xx", "", byClass, byCluster)
	duration := page.Histogram("envoy_cluster_upstream_rq_time", "", series.EnvoyBuckets, byCluster)
	cluster := set.namespace + "_" + set.callee + "_80"
	return func(a traffic.Answer) {
		class := strconv.Itoa(proxied(a, http.StatusServiceUnavailable) / 100)
		total.WithLabelValues(class, cluster).Inc()
		duration.WithLabelValues(cluster).Observe(millis(a.Took))
	}
}

// ingressNginx is the ingress controller of that name, with an Ingress that is
// called as the callee's Service.
func ingressNginx(page *series.Page, set settings) func(traffic.Answer) {
	labels := []string{
		"controller_class", "controller_namespace", "controller_pod", "namespace", "ingress", "service", "canary", "host", "method", "path", "status",
	}
	total := page.Counter("nginx_ingress_controller_requests", "The total number of client requests", labels...)
	duration := page.Histogram("nginx_ingress_controller_request_duration_seconds", "The request processing time in seconds", prometheus.DefBuckets, labels...)
	return func(a traffic.Answer) {
		values := []string{
			"k8s.io/ingress-nginx", set.selfNamespace, set.selfPod, set.namespace, set.callee, set.callee, "", set.callee + ".example.com",
			a.Route.Method, "/", strconv.Itoa(proxied(a, http.StatusBadGateway)),
		}
		total.WithLabelValues(values...).Inc()
		duration.WithLabelValues(values...).Observe(a.Took.Seconds())
	}
}

// traefik is Traefik with a Kubernetes Ingress: a service is named by
// namespace, Service and port.
func traefik(page *series.Page, set settings) func(traffic.Answer) {
	labels := []string{"code", "method", "protocol", "service"}
	total := page.Counter("traefik_service_requests_total", "How many HTTP requests processed on a service, partitioned by status code, protocol, and method.", labels...)
	duration := page.Histogram("traefik_service_request_duration_seconds", "How long it took to process the request on a service, partitioned by status code, protocol, and method.",
		[]float64{0.1, 0.3, 1.2, 5}, labels...)
	return func(a traffic.Answer) {
		values := []string{
			strconv.Itoa(proxied(a, http.StatusBadGateway)), a.Route.Method, "http", set.namespace + "-" + set.callee + "-80@kubernetes",
		}
		total.WithLabelValues(values...).Inc()
		duration.WithLabelValues(values...).Observe(a.Took.Seconds())
	}
}
