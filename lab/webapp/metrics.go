package main

import (
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/prometheus/client_golang/prometheus/promhttp"
)

// metrics counts requests as one of the common client libraries would.
type metrics struct {
	registry *prometheus.Registry
	observe  func(method, route string, code int, took time.Duration)
}

// Buckets as the libraries have them by default.
var (
	expressBuckets = []float64{0.003, 0.03, 0.1, 0.3, 1.5, 10}
	otelBuckets    = []float64{0.005, 0.01, 0.025, 0.05, 0.075, 0.1, 0.25, 0.5, 0.75, 1, 2.5, 5, 7.5, 10}
	otelOldBuckets = []float64{0, 5, 10, 25, 50, 75, 100, 250, 500, 750, 1000, 2500, 5000, 7500, 10000}
)

func newMetrics(set settings) *metrics {
	m := &metrics{registry: prometheus.NewRegistry()}
	m.registry.MustRegister(collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
	switch set.dialect {
	case "node":
		m.node()
	case "otel":
		m.otel(set)
	case "otel-old":
		m.otelOld()
	default:
		m.prometheus()
	}
	return m
}

func (m *metrics) handler() http.Handler {
	return promhttp.HandlerFor(m.registry, promhttp.HandlerOpts{})
}

// prometheus is a Go service with promhttp's instrumentation.
func (m *metrics) prometheus() {
	m.registry.MustRegister(collectors.NewGoCollector())
	total := prometheus.NewCounterVec(prometheus.CounterOpts{
		Name: "http_requests_total", Help: "HTTP requests by status code, method and handler.",
	}, []string{"code", "method", "handler"})
	duration := prometheus.NewHistogramVec(prometheus.HistogramOpts{
		Name: "http_request_duration_seconds", Help: "Duration of HTTP requests.", Buckets: prometheus.DefBuckets,
	}, []string{"method", "handler"})
	m.registry.MustRegister(total, duration)
	m.observe = func(method, route string, code int, took time.Duration) {
		method = strings.ToLower(method)
		total.WithLabelValues(strconv.Itoa(code), method, route).Inc()
		duration.WithLabelValues(method, route).Observe(took.Seconds())
	}
}

// node is a Node.js service with express-prom-bundle on prom-client.
func (m *metrics) node() {
	version := prometheus.NewGaugeVec(prometheus.GaugeOpts{
		Name: "nodejs_version_info", Help: "Node.js version info.",
	}, []string{"version", "major", "minor", "patch"})
	version.WithLabelValues("v22.11.0", "22", "11", "0").Set(1)
	duration := prometheus.NewHistogramVec(prometheus.HistogramOpts{
		Name: "http_request_duration_seconds", Help: "duration histogram of http responses", Buckets: expressBuckets,
	}, []string{"method", "route", "status_code"})
	m.registry.MustRegister(version, duration)
	m.observe = func(method, route string, code int, took time.Duration) {
		duration.WithLabelValues(method, route, strconv.Itoa(code)).Observe(took.Seconds())
	}
}

// otel is OpenTelemetry's stable HTTP conventions as they reach Prometheus.
func (m *metrics) otel(set settings) {
	target := prometheus.NewGaugeVec(prometheus.GaugeOpts{
		Name: "target_info", Help: "Target metadata",
	}, []string{"service_name", "service_version"})
	target.WithLabelValues("webapp", set.version).Set(1)
	duration := prometheus.NewHistogramVec(prometheus.HistogramOpts{
		Name: "http_server_request_duration_seconds", Help: "Duration of HTTP server requests.", Buckets: otelBuckets,
	}, []string{"http_request_method", "http_route", "http_response_status_code", "error_type", "url_scheme"})
	m.registry.MustRegister(target, duration)
	m.observe = func(method, route string, code int, took time.Duration) {
		errorType := ""
		if code >= http.StatusInternalServerError {
			errorType = strconv.Itoa(code)
		}
		duration.WithLabelValues(method, route, strconv.Itoa(code), errorType, "http").Observe(took.Seconds())
	}
}

// otelOld is OpenTelemetry's HTTP conventions before version 1.23.
func (m *metrics) otelOld() {
	duration := prometheus.NewHistogramVec(prometheus.HistogramOpts{
		Name: "http_server_duration_milliseconds", Help: "Measures the duration of inbound HTTP requests.", Buckets: otelOldBuckets,
	}, []string{"http_method", "http_route", "http_status_code", "http_scheme"})
	m.registry.MustRegister(duration)
	m.observe = func(method, route string, code int, took time.Duration) {
		duration.WithLabelValues(method, route, strconv.Itoa(code), "http").Observe(float64(took) / float64(time.Millisecond))
	}
}
