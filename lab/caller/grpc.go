package caller

import (
	"net/http"
	"strconv"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/watchtower-verify/watchtower/lab/series"
	"github.com/watchtower-verify/watchtower/lab/traffic"
)

// rpcService and rpcMethods are the sample service as gRPC has it.
const rpcService = "shop.Shop"

var rpcMethods = map[string]string{"/": "Home", "/api/products": "ListProducts", "/api/cart": "GetCart", "/api/checkout": "Checkout"}

// status is one of gRPC's: by number, as Go names it and as most others do.
type status struct {
	number      int
	name, upper string
}

// grpcStatus is the status in place of an HTTP one.
func grpcStatus(a traffic.Answer) status {
	switch {
	case a.Err != nil, a.Code == http.StatusBadGateway, a.Code == http.StatusServiceUnavailable:
		return status{14, "Unavailable", "UNAVAILABLE"}
	case a.Code == http.StatusOK:
		return status{0, "OK", "OK"}
	case a.Code == http.StatusNotFound:
		return status{5, "NotFound", "NOT_FOUND"}
	case a.Code == http.StatusInternalServerError:
		return status{13, "Internal", "INTERNAL"}
	}
	return status{2, "Unknown", "UNKNOWN"}
}

// grpcClient is a Go client with the interceptors of go-grpc-middleware. Its
// series name the service's interface and not who serves it.
func grpcClient(page *series.Page, _ settings) func(traffic.Answer) {
	labels := []string{"grpc_type", "grpc_service", "grpc_method"}
	started := page.Counter("grpc_client_started_total", "Total number of RPCs started on the client.", labels...)
	handled := page.Counter("grpc_client_handled_total", "Total number of RPCs completed by the client, regardless of success or failure.", append(labels, "grpc_code")...)
	duration := page.Histogram("grpc_client_handling_seconds", "Histogram of response latency (seconds) of the gRPC until it is finished by the application.", prometheus.DefBuckets, labels...)
	return func(a traffic.Answer) {
		values := []string{"unary", rpcService, rpcMethods[a.Route.Path]}
		started.WithLabelValues(values...).Inc()
		handled.WithLabelValues(append(values, grpcStatus(a).name)...).Inc()
		duration.WithLabelValues(values...).Observe(a.Took.Seconds())
	}
}

// grpcOTelClient is the OpenTelemetry plugin of gRPC itself, which tells what it
// was told to dial.
func grpcOTelClient(page *series.Page, set settings) func(traffic.Answer) {
	duration := page.Histogram("grpc_client_call_duration_seconds", "Time taken by gRPC to complete an RPC from application's perspective.",
		prometheus.DefBuckets, "grpc_method", "grpc_target", "grpc_status")
	return func(a traffic.Answer) {
		target := "dns:///" + set.host(a) + ":80"
		duration.WithLabelValues(rpcService+"/"+rpcMethods[a.Route.Path], target, grpcStatus(a).upper).Observe(a.Took.Seconds())
	}
}

// otelRPCClient is OpenTelemetry's stable conventions for clients of RPCs.
func otelRPCClient(page *series.Page, set settings) func(traffic.Answer) {
	duration := page.Histogram("rpc_client_call_duration_seconds", "Measures the duration of an outgoing Remote Procedure Call (RPC).", series.OTelBuckets,
		"rpc_system_name", "rpc_method", "rpc_response_status_code", "error_type", "server_address")
	return func(a traffic.Answer) {
		code, errorType := grpcStatus(a).upper, ""
		if code != "OK" {
			errorType = code
		}
		duration.WithLabelValues("grpc", rpcService+"/"+rpcMethods[a.Route.Path], code, errorType, set.host(a)).Observe(a.Took.Seconds())
	}
}

// otelRPCClientOld is the same before version 1.38.
func otelRPCClientOld(page *series.Page, set settings) func(traffic.Answer) {
	duration := page.Histogram("rpc_client_duration_milliseconds", "Measures the duration of outbound RPC.", series.OTelMillisBuckets,
		"rpc_system", "rpc_service", "rpc_method", "rpc_grpc_status_code", "server_address")
	return func(a traffic.Answer) {
		code := strconv.Itoa(grpcStatus(a).number)
		duration.WithLabelValues("grpc", rpcService, rpcMethods[a.Route.Path], code, set.host(a)).Observe(millis(a.Took))
	}
}
