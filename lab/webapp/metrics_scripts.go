package main

import (
	"strconv"
	"strings"

	"github.com/prometheus/client_golang/prometheus"
)

// djangoBuckets are those of django-prometheus.
var djangoBuckets = []float64{.01, .025, .05, .075, .1, .25, .5, .75, 1, 2.5, 5, 7.5, 10, 25, 50, 75}

// django is a Django service with django-prometheus' middlewares.
func (m *metrics) django(settings) func(request) {
	requests := m.Counter("django_http_requests_total_by_view_transport_method_total", "Count of requests by view, transport, method.", "view", "transport", "method")
	responses := m.Counter("django_http_responses_total_by_status_view_method_total", "Count of responses by status, view, method.", "status", "view", "method")
	byStatus := m.Counter("django_http_responses_total_by_status_total", "Count of responses by status.", "status")
	duration := m.Histogram("django_http_requests_latency_seconds_by_view_method", "Histogram of request processing time labelled by view.", djangoBuckets, "view", "method")
	return func(r request) {
		view, code := routeName(r.route), strconv.Itoa(r.code)
		requests.WithLabelValues(view, "http", r.method).Inc()
		responses.WithLabelValues(code, view, r.method).Inc()
		byStatus.WithLabelValues(code).Inc()
		duration.WithLabelValues(view, r.method).Observe(r.took.Seconds())
	}
}

// pythonBuckets are those of Python's prometheus_client.
var pythonBuckets = []float64{.005, .01, .025, .05, .075, .1, .25, .5, .75, 1, 2.5, 5, 7.5, 10}

// flask is a Flask service with prometheus_flask_exporter.
func (m *metrics) flask(settings) func(request) {
	total := m.Counter("flask_http_request_total", "Total number of HTTP requests", "method", "status")
	duration := m.Histogram("flask_http_request_duration_seconds", "Flask HTTP request duration in seconds", pythonBuckets, "method", "path", "status")
	return func(r request) {
		code := strconv.Itoa(r.code)
		total.WithLabelValues(r.method, code).Inc()
		duration.WithLabelValues(r.method, r.route, code).Observe(r.took.Seconds())
	}
}

// rails is a Rails service with Discourse's prometheus_exporter, whose
// durations are a summary without a status.
func (m *metrics) rails(settings) func(request) {
	total := m.Counter("ruby_http_requests_total", "Total HTTP requests from web app.", "controller", "action", "status")
	duration := m.Summary("ruby_http_request_duration_seconds", "Time spent in HTTP reqs in seconds.",
		map[float64]float64{0.99: 0.001, 0.9: 0.01, 0.5: 0.05, 0.1: 0.05, 0.01: 0.001}, "controller", "action")
	return func(r request) {
		controller, action := railsNames(r.route)
		total.WithLabelValues(controller, action, strconv.Itoa(r.code)).Inc()
		duration.WithLabelValues(controller, action).Observe(r.took.Seconds())
	}
}

// yabeda is a Rails service with yabeda-rails.
func (m *metrics) yabeda(settings) func(request) {
	labels := []string{"controller", "action", "status", "format", "method"}
	total := m.Counter("rails_requests_total", "A counter of the total number of HTTP requests rails processed.", labels...)
	duration := m.Histogram("rails_request_duration_seconds", "A histogram of the response latency.", prometheus.DefBuckets, labels...)
	return func(r request) {
		controller, action := railsNames(r.route)
		values := []string{controller, action, strconv.Itoa(r.code), "json", r.method}
		total.WithLabelValues(values...).Inc()
		duration.WithLabelValues(values...).Observe(r.took.Seconds())
	}
}

// rack is a Ruby service with the Rack collector of prometheus-client.
func (m *metrics) rack(settings) func(request) {
	total := m.Counter("http_server_requests_total", "The total number of HTTP requests handled by the Rack application.", "code", "method", "path")
	duration := m.Histogram("http_server_request_duration_seconds", "The HTTP response duration of the Rack application.", prometheus.DefBuckets, "method", "path")
	return func(r request) {
		method := strings.ToLower(r.method)
		total.WithLabelValues(strconv.Itoa(r.code), method, r.route).Inc()
		duration.WithLabelValues(method, r.route).Observe(r.took.Seconds())
	}
}

// railsNames are a route's controller and action; the probes are the routes
// that Rails makes itself.
func railsNames(route string) (controller, action string) {
	switch route {
	case alivePath, readyPath:
		return "rails/health", "show"
	case unknownRoute:
		return "other", "other"
	}
	return "shop", routeName(route)
}

// routeName is the name of a route as the log has it, or of a probe.
func routeName(path string) string {
	for _, r := range routes {
		if r.path == path {
			return r.name
		}
	}
	switch path {
	case alivePath:
		return "healthz"
	case readyPath:
		return "readyz"
	}
	return "<unnamed view>"
}
