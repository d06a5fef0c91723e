package main

import (
	"net/http"
	"strconv"
	"sync"

	"github.com/prometheus/client_golang/prometheus"
)

// spring is a Spring Boot service with Micrometer as it comes: a sum, a count
// and a maximum, no buckets.
func (m *metrics) spring(settings) func(request) {
	duration := m.Summary("http_server_requests_seconds", "", nil, springLabels...)
	longest := m.springMax()
	return func(r request) {
		values := springValues(r)
		duration.WithLabelValues(values...).Observe(r.took.Seconds())
		longest(values, r.took.Seconds())
	}
}

// springBuckets is the same with percentiles-histogram switched on.
func (m *metrics) springBuckets(settings) func(request) {
	duration := m.Histogram("http_server_requests_seconds", "", micrometerBuckets(), springLabels...)
	longest := m.springMax()
	return func(r request) {
		values := springValues(r)
		duration.WithLabelValues(values...).Observe(r.took.Seconds())
		longest(values, r.took.Seconds())
	}
}

var springLabels = []string{"error", "exception", "method", "outcome", "status", "uri"}

func springValues(r request) []string {
	uri := r.route
	switch r.route {
	case alivePath:
		uri = "/actuator/health/liveness"
	case readyPath:
		uri = "/actuator/health/readiness"
	case unknownRoute:
		uri = "/**"
	}
	outcome, exception := "SUCCESS", "none"
	switch {
	case r.failed():
		outcome, exception = "SERVER_ERROR", "IllegalStateException"
	case r.code >= http.StatusBadRequest:
		outcome = "CLIENT_ERROR"
	}
	return []string{exception, exception, r.method, outcome, strconv.Itoa(r.code), uri}
}

// springMax is the gauge that Micrometer has beside each timer.
func (m *metrics) springMax() func(values []string, seconds float64) {
	gauge := m.Gauge("http_server_requests_seconds_max", "", springLabels...)
	var mu sync.Mutex
	longest := map[[6]string]float64{}
	return func(values []string, seconds float64) {
		mu.Lock()
		defer mu.Unlock()
		key := [6]string(values)
		longest[key] = max(longest[key], seconds)
		gauge.WithLabelValues(values...).Set(longest[key])
	}
}

// micrometerBuckets are the bounds of percentiles-histogram between a
// millisecond and 30 seconds: thirds of the powers of four, in nanoseconds.
func micrometerBuckets() []float64 {
	const least, most = 1_000_000, 30_000_000_000
	bounds := []float64{least / 1e9}
	for power := int64(4); power < most; power *= 4 {
		third := power / 3
		for at := power; at < 4*power-third; at += third {
			if least < at && at < most {
				bounds = append(bounds, float64(at)/1e9)
			}
		}
	}
	return append(bounds, most/1e9)
}

// aspnet is an ASP.NET Core service with prometheus-net.
func (m *metrics) aspnet(settings) func(request) {
	labels := []string{"code", "method", "controller", "action", "endpoint"}
	total := m.Counter("http_requests_received_total", "Provides the count of HTTP requests that have been processed by the ASP.NET Core pipeline.", labels...)
	duration := m.Histogram("http_request_duration_seconds", "The duration of HTTP requests processed by an ASP.NET Core application.",
		prometheus.ExponentialBuckets(0.001, 2, 16), labels...)
	return func(r request) {
		values := []string{strconv.Itoa(r.code), r.method, "", "", r.route}
		for _, shop := range routes {
			if shop.path == r.route {
				values[2], values[3] = "Shop", shop.rpc
			}
		}
		if r.route == unknownRoute {
			values[4] = ""
		}
		total.WithLabelValues(values...).Inc()
		duration.WithLabelValues(values...).Observe(r.took.Seconds())
	}
}
