package main

import (
	"strconv"
	"strings"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
)

// prometheus is a Go service with promhttp's instrumentation.
func (m *metrics) prometheus(settings) func(request) {
	count := m.goRequests()
	duration := m.Histogram("http_request_duration_seconds", "Duration of HTTP requests.", prometheus.DefBuckets, "method", "handler")
	return func(r request) {
		count(r)
		duration.WithLabelValues(strings.ToLower(r.method), r.route).Observe(r.took.Seconds())
	}
}

// summary is the same with a summary in place of the histogram.
func (m *metrics) summary(settings) func(request) {
	count := m.goRequests()
	duration := m.Summary("http_request_duration_seconds", "Duration of HTTP requests.",
		map[float64]float64{0.5: 0.05, 0.9: 0.01, 0.99: 0.001}, "method", "handler")
	return func(r request) {
		count(r)
		duration.WithLabelValues(strings.ToLower(r.method), r.route).Observe(r.took.Seconds())
	}
}

// prometheusNative has one native histogram by status and no counter.
func (m *metrics) prometheusNative(settings) func(request) {
	m.Register(collectors.NewGoCollector())
	duration := m.NativeHistogram("http_request_duration_seconds", "Duration of HTTP requests.", "code", "method", "handler")
	return func(r request) {
		duration.WithLabelValues(strconv.Itoa(r.code), strings.ToLower(r.method), r.route).Observe(r.took.Seconds())
	}
}

func (m *metrics) goRequests() func(request) {
	m.Register(collectors.NewGoCollector())
	total := m.Counter("http_requests_total", "HTTP requests by status code, method and handler.", "code", "method", "handler")
	return func(r request) {
		total.WithLabelValues(strconv.Itoa(r.code), strings.ToLower(r.method), r.route).Inc()
	}
}

// expressBuckets are those of express-prom-bundle.
var expressBuckets = []float64{0.003, 0.03, 0.1, 0.3, 1.5, 10}

// node is a Node.js service with express-prom-bundle on prom-client.
func (m *metrics) node(settings) func(request) {
	version := m.Gauge("nodejs_version_info", "Node.js version info.", "version", "major", "minor", "patch")
	version.WithLabelValues("v22.11.0", "22", "11", "0").Set(1)
	duration := m.Histogram("http_request_duration_seconds", "duration histogram of http responses", expressBuckets, "method", "route", "status_code")
	return func(r request) {
		duration.WithLabelValues(r.method, r.route, strconv.Itoa(r.code)).Observe(r.took.Seconds())
	}
}
