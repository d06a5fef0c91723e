package main

import (
	"strconv"

	"github.com/watchtower-verify/watchtower/lab/series"
)

var otelLabels = []string{"http_request_method", "http_route", "http_response_status_code", "error_type", "url_scheme"}

// otelValues are those of otelLabels.
func otelValues(r request) []string {
	errorType := ""
	if r.failed() {
		errorType = strconv.Itoa(r.code)
	}
	return []string{r.method, r.route, strconv.Itoa(r.code), errorType, "http"}
}

// otel is OpenTelemetry's stable HTTP conventions as they reach Prometheus.
func (m *metrics) otel(set settings) func(request) {
	m.target(set)
	duration := m.Histogram("http_server_request_duration_seconds", "Duration of HTTP server requests.", series.OTelBuckets, otelLabels...)
	return func(r request) { duration.WithLabelValues(otelValues(r)...).Observe(r.took.Seconds()) }
}

// otelNative is the same by exponential histograms, which reach Prometheus as
// native ones.
func (m *metrics) otelNative(set settings) func(request) {
	m.target(set)
	duration := m.NativeHistogram("http_server_request_duration_seconds", "Duration of HTTP server requests.", otelLabels...)
	return func(r request) { duration.WithLabelValues(otelValues(r)...).Observe(r.took.Seconds()) }
}

func (m *metrics) target(set settings) {
	m.Gauge("target_info", "Target metadata", "service_name", "service_version").WithLabelValues(set.workload, set.version).Set(1)
}

// otelOld is OpenTelemetry's HTTP conventions before version 1.23.
func (m *metrics) otelOld(settings) func(request) {
	return m.otelOldNamed("http_server_duration_milliseconds")
}

// otelOldBare is the same where the exporter adds no unit to the name.
func (m *metrics) otelOldBare(settings) func(request) {
	return m.otelOldNamed("http_server_duration")
}

func (m *metrics) otelOldNamed(name string) func(request) {
	duration := m.Histogram(name, "Measures the duration of inbound HTTP requests.", series.OTelMillisBuckets,
		"http_method", "http_route", "http_status_code", "http_scheme")
	return func(r request) {
		duration.WithLabelValues(r.method, r.route, strconv.Itoa(r.code), "http").Observe(r.millis())
	}
}
