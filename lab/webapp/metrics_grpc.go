package main

import (
	"net/http"

	"github.com/prometheus/client_golang/prometheus"
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
