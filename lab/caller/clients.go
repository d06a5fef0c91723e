package caller

import (
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strconv"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/watchtower-verify/watchtower/lab/series"
	"github.com/watchtower-verify/watchtower/lab/traffic"
)

// otelClient is OpenTelemetry's stable conventions for HTTP clients. A request
// without an answer has the type of its error and no status.
func otelClient(page *series.Page, set settings) func(traffic.Answer) {
	duration := page.Histogram("http_client_request_duration_seconds", "Duration of HTTP client requests.", series.OTelBuckets,
		"http_request_method", "server_address", "server_port", "http_response_status_code", "error_type", "url_scheme", "network_protocol_version")
	return func(a traffic.Answer) {
		port := "80"
		if set.names == namePod {
			port = strconv.Itoa(set.port)
		}
		status, errorType := "", ""
		switch {
		case a.Err != nil:
			errorType = typeOf(a.Err)
		case a.Code >= http.StatusBadRequest: // for a client 4xx is an error
			status, errorType = strconv.Itoa(a.Code), strconv.Itoa(a.Code)
		default:
			status = strconv.Itoa(a.Code)
		}
		duration.WithLabelValues(a.Route.Method, set.host(a), port, status, errorType, "http", "1.1").Observe(a.Took.Seconds())
	}
}

// typeOf names the Go type of what went wrong.
func typeOf(err error) string {
	var wrapped *url.Error
	if errors.As(err, &wrapped) {
		err = wrapped.Err
	}
	return fmt.Sprintf("%T", err)
}

// httpClient is a counter by hand, as many services have one.
func httpClient(page *series.Page, set settings) func(traffic.Answer) {
	total := page.Counter("http_client_requests_total", "HTTP requests sent.", "host", "method", "code")
	duration := page.Histogram("http_client_request_duration_seconds", "Duration of HTTP requests sent.", prometheus.DefBuckets, "host", "method")
	return func(a traffic.Answer) {
		code := "error"
		if a.Err == nil {
			code = strconv.Itoa(a.Code)
		}
		total.WithLabelValues(set.host(a), a.Route.Method, code).Inc()
		duration.WithLabelValues(set.host(a), a.Route.Method).Observe(a.Took.Seconds())
	}
}

// springClient is Micrometer's timer of a RestTemplate or RestClient.
func springClient(page *series.Page, set settings) func(traffic.Answer) {
	duration := page.Summary("http_client_requests_seconds", "", nil, "client_name", "error", "exception", "method", "outcome", "status", "uri")
	return func(a traffic.Answer) {
		status, exception := "CLIENT_ERROR", "ResourceAccessException" // of a request without an answer
		if a.Err == nil {
			status, exception = strconv.Itoa(a.Code), "none"
		}
		duration.WithLabelValues(set.host(a), exception, exception, a.Route.Method, outcome(a), status, a.Route.Path).Observe(a.Took.Seconds())
	}
}
