package main

import (
	"net/http"
	"strconv"
	"strings"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/watchtower-verify/watchtower/lab/series"
)

// grpcCode is a status of gRPC, by its number.
type grpcCode int

const (
	grpcOK          grpcCode = 0
	grpcCanceled    grpcCode = 1
	grpcUnknown     grpcCode = 2
	grpcNotFound    grpcCode = 5
	grpcInternal    grpcCode = 13
	grpcUnavailable grpcCode = 14
)

func (c grpcCode) String() string {
	switch c {
	case grpcOK:
		return "OK"
	case grpcCanceled:
		return "Canceled"
	case grpcNotFound:
		return "NotFound"
	case grpcInternal:
		return "Internal"
	case grpcUnavailable:
		return "Unavailable"
	}
	return "Unknown"
}

// upper is the name as most languages but Go write it.
func (c grpcCode) upper() string {
	if c == grpcNotFound {
		return "NOT_FOUND"
	}
	if c == grpcCanceled {
		return "CANCELLED"
	}
	return strings.ToUpper(c.String())
}

// grpcStatus is what a gRPC service would answer in place of an HTTP status.
func grpcStatus(status int) grpcCode {
	switch status {
	case http.StatusOK:
		return grpcOK
	case statusClientGone:
		return grpcCanceled
	case http.StatusNotFound:
		return grpcNotFound
	case http.StatusInternalServerError:
		return grpcInternal
	case http.StatusBadGateway, http.StatusServiceUnavailable:
		return grpcUnavailable
	}
	return grpcUnknown
}

// rpc is a route as the method of a gRPC service.
func rpc(path string) (service, method string) {
	for _, r := range routes {
		if r.path == path {
			return "shop.Shop", r.rpc
		}
	}
	if path == alivePath || path == readyPath {
		return "grpc.health.v1.Health", "Check"
	}
	return "unknown", "unknown"
}

// grpc is a Go service with the Prometheus interceptors of go-grpc-middleware
// (once go-grpc-prometheus), their histogram switched on.
func (m *metrics) grpc(settings) func(request) {
	labels := []string{"grpc_type", "grpc_service", "grpc_method"}
	started := m.Counter("grpc_server_started_total", "Total number of RPCs started on the server.", labels...)
	handled := m.Counter("grpc_server_handled_total", "Total number of RPCs completed on the server, regardless of success or failure.", append(labels, "grpc_code")...)
	duration := m.Histogram("grpc_server_handling_seconds", "Histogram of response latency (seconds) of gRPC that had been application-level handled by the server.", prometheus.DefBuckets, labels...)
	return func(r request) {
		service, method := rpc(r.route)
		started.WithLabelValues("unary", service, method).Inc()
		handled.WithLabelValues("unary", service, method, grpcStatus(r.code).String()).Inc()
		duration.WithLabelValues("unary", service, method).Observe(r.took.Seconds())
	}
}

// grpcOTel is a service with the OpenTelemetry plugin of gRPC itself.
func (m *metrics) grpcOTel(settings) func(request) {
	duration := m.Histogram("grpc_server_call_duration_seconds", "End-to-end time taken to complete a call from server transport's perspective.",
		[]float64{0, 0.00001, 0.00005, 0.0001, 0.0003, 0.0006, 0.0008, 0.001, 0.002, 0.003, 0.004, 0.005, 0.006, 0.008, 0.01, 0.013, 0.016, 0.02, 0.025, 0.03, 0.04, 0.05, 0.065, 0.08, 0.1, 0.13, 0.16, 0.2, 0.25, 0.3, 0.4, 0.5, 0.65, 0.8, 1, 2, 5, 10, 20, 50, 100},
		"grpc_method", "grpc_status")
	return func(r request) {
		service, method := rpc(r.route)
		duration.WithLabelValues(service+"/"+method, grpcStatus(r.code).upper()).Observe(r.took.Seconds())
	}
}

// otelRPC is OpenTelemetry's stable conventions for RPCs.
func (m *metrics) otelRPC(settings) func(request) {
	duration := m.Histogram("rpc_server_call_duration_seconds", "Measures the duration of an incoming Remote Procedure Call (RPC).", series.OTelBuckets,
		"rpc_system_name", "rpc_method", "rpc_response_status_code", "error_type")
	return func(r request) {
		service, method := rpc(r.route)
		status, errorType := grpcStatus(r.code).upper(), ""
		if r.failed() {
			errorType = status
		}
		duration.WithLabelValues("grpc", service+"/"+method, status, errorType).Observe(r.took.Seconds())
	}
}

// otelRPCOld is the same before version 1.38.
func (m *metrics) otelRPCOld(settings) func(request) {
	duration := m.Histogram("rpc_server_duration_milliseconds", "Measures the duration of inbound RPC.", series.OTelMillisBuckets,
		"rpc_system", "rpc_service", "rpc_method", "rpc_grpc_status_code")
	return func(r request) {
		service, method := rpc(r.route)
		duration.WithLabelValues("grpc", service, method, strconv.Itoa(int(grpcStatus(r.code)))).Observe(r.millis())
	}
}
