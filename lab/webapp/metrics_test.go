package main

import (
	"maps"
	"net/http"
	"os"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	dto "github.com/prometheus/client_model/go"
	"pgregory.net/rapid"
)

// spoken has, for each dialect, lines that are there after two requests of the
// cart, one of checkout that failed and one of a page there is not.
var spoken = map[string][]string{
	"prometheus": {
		`http_requests_total{code="200",handler="/api/cart",method="get"} 2`,
		`http_requests_total{code="500",handler="/api/checkout",method="get"} 1`,
		`http_request_duration_seconds_bucket{handler="/api/cart",method="get",le="+Inf"} 2`,
		`http_requests_total{code="404",handler="unknown",method="get"} 1`, "go_goroutines", "process_resident_memory_bytes",
	},
	"prometheus-native": {`http_request_duration_seconds_count{code="500",handler="/api/checkout",method="get"} 1`, "go_goroutines"},
	"summary": {
		`http_requests_total{code="200",handler="/api/cart",method="get"} 2`,
		`http_request_duration_seconds{handler="/api/cart",method="get",quantile="0.99"} 0.`,
		`http_request_duration_seconds_count{handler="/api/cart",method="get"} 2`,
	},
	"node": {
		`http_request_duration_seconds_count{method="GET",route="/api/cart",status_code="200"} 2`,
		`http_request_duration_seconds_count{method="GET",route="/api/checkout",status_code="500"} 1`,
		`http_request_duration_seconds_bucket{method="GET",route="/api/cart",status_code="200",le="0.03"}`,
		`nodejs_version_info{major="22",minor="11",patch="0",version="v22.11.0"} 1`, "process_resident_memory_bytes",
	},
	"otel": {
		`http_server_request_duration_seconds_count{error_type="",http_request_method="GET",http_response_status_code="200",http_route="/api/cart",url_scheme="http"} 2`,
		`http_server_request_duration_seconds_count{error_type="500",http_request_method="GET",http_response_status_code="500",http_route="/api/checkout",url_scheme="http"} 1`,
		`target_info{service_name="shop",service_version="v9"} 1`,
	},
	"otel-native": {
		`http_server_request_duration_seconds_count{error_type="",http_request_method="GET",http_response_status_code="200",http_route="/api/cart",url_scheme="http"} 2`,
	},
	"otel-old": {
		`http_server_duration_milliseconds_count{http_method="GET",http_route="/api/cart",http_scheme="http",http_status_code="200"} 2`,
		`http_server_duration_milliseconds_count{http_method="GET",http_route="/api/checkout",http_scheme="http",http_status_code="500"} 1`,
		`http_server_duration_milliseconds_bucket{http_method="GET",http_route="/api/cart",http_scheme="http",http_status_code="200",le="10000"} 2`,
	},
	"otel-old-bare": {`http_server_duration_count{http_method="GET",http_route="/api/checkout",http_scheme="http",http_status_code="500"} 1`},
	"otel-rpc": {
		`rpc_server_call_duration_seconds_count{error_type="",rpc_method="shop.Shop/GetCart",rpc_response_status_code="OK",rpc_system_name="grpc"} 2`,
		`rpc_server_call_duration_seconds_count{error_type="INTERNAL",rpc_method="shop.Shop/Checkout",rpc_response_status_code="INTERNAL",rpc_system_name="grpc"} 1`,
	},
	"grpc-otel": {
		`grpc_server_call_duration_seconds_count{grpc_method="shop.Shop/GetCart",grpc_status="OK"} 2`,
		`grpc_server_call_duration_seconds_count{grpc_method="shop.Shop/Checkout",grpc_status="INTERNAL"} 1`,
	},
	"otel-rpc-old": {
		`rpc_server_duration_milliseconds_count{rpc_grpc_status_code="0",rpc_method="GetCart",rpc_service="shop.Shop",rpc_system="grpc"} 2`,
		`rpc_server_duration_milliseconds_count{rpc_grpc_status_code="13",rpc_method="Checkout",rpc_service="shop.Shop",rpc_system="grpc"} 1`,
	},
	"grpc": {
		`grpc_server_handled_total{grpc_code="OK",grpc_method="GetCart",grpc_service="shop.Shop",grpc_type="unary"} 2`,
		`grpc_server_handled_total{grpc_code="Internal",grpc_method="Checkout",grpc_service="shop.Shop",grpc_type="unary"} 1`,
		`grpc_server_started_total{grpc_method="GetCart",grpc_service="shop.Shop",grpc_type="unary"} 2`,
		`grpc_server_handling_seconds_bucket{grpc_method="GetCart",grpc_service="shop.Shop",grpc_type="unary",le="+Inf"} 2`,
	},
	"istio": {
		`destination_workload="shop",destination_workload_namespace="mall"`, `reporter="destination"`, `response_code="500"`,
		`destination_service="shop.mall.svc.cluster.local"`, `istio_request_duration_milliseconds_bucket`,
	},
	"linkerd": {
		`classification="failure",direction="inbound",error="",grpc_status=""`, `status_code="500"`,
		`response_latency_ms_bucket`, `le="50000"`, `request_total{direction="inbound"`,
	},
	"envoy": {
		`envoy_http_downstream_rq_xx{envoy_http_conn_manager_prefix="ingress_http",envoy_response_code_class="2"} 2`,
		`envoy_http_downstream_rq_xx{envoy_http_conn_manager_prefix="ingress_http",envoy_response_code_class="5"} 1`,
		`envoy_http_downstream_rq_xx{envoy_http_conn_manager_prefix="admin",envoy_response_code_class="2"} 1`,
		`envoy_http_downstream_rq_time_bucket{envoy_http_conn_manager_prefix="ingress_http",le="3.6e+06"} 4`,
		`envoy_cluster_upstream_rq_xx{envoy_cluster_name="local_app",envoy_response_code_class="5"} 1`,
	},
	"spring": {
		`http_server_requests_seconds_count{error="none",exception="none",method="GET",outcome="SUCCESS",status="200",uri="/api/cart"} 2`,
		`http_server_requests_seconds_max{error="none",exception="none",method="GET",outcome="SUCCESS",status="200",uri="/api/cart"} 0.`,
		`outcome="SERVER_ERROR",status="500",uri="/api/checkout"`,
	},
	"spring-buckets": {`http_server_requests_seconds_bucket{error="none",exception="none",method="GET",outcome="SUCCESS",status="200",uri="/api/cart",le="0.001048576"}`},
	"aspnet": {
		`http_requests_received_total{action="GetCart",code="200",controller="Shop",endpoint="/api/cart",method="GET"} 2`,
		`http_request_duration_seconds_count{action="Checkout",code="500",controller="Shop",endpoint="/api/checkout",method="GET"} 1`,
	},
	"django": {
		`django_http_responses_total_by_status_view_method_total{method="GET",status="200",view="cart"} 2`,
		`django_http_responses_total_by_status_view_method_total{method="GET",status="500",view="checkout"} 1`,
		`django_http_requests_latency_seconds_by_view_method_bucket{method="GET",view="cart",le="75"} 2`,
	},
	"flask": {
		`flask_http_request_total{method="GET",status="200"} 2`,
		`flask_http_request_duration_seconds_count{method="GET",path="/api/checkout",status="500"} 1`,
	},
	"rails": {
		`ruby_http_requests_total{action="cart",controller="shop",status="200"} 2`,
		`ruby_http_requests_total{action="checkout",controller="shop",status="500"} 1`,
		`ruby_http_request_duration_seconds_count{action="cart",controller="shop"} 2`,
	},
	"rack": {
		`http_server_requests_total{code="200",method="get",path="/api/cart"} 2`,
		`http_server_request_duration_seconds_count{method="get",path="/api/checkout"} 1`,
	},
	"yabeda": {
		`rails_requests_total{action="cart",controller="shop",format="json",method="GET",status="200"} 2`,
		`rails_request_duration_seconds_count{action="checkout",controller="shop",format="json",method="GET",status="500"} 1`,
	},
}

func TestMetricsSpeakTheDialect(t *testing.T) {
	for _, dialect := range dialectNames() {
		t.Run(dialect, func(t *testing.T) {
			want := spoken[dialect]
			if want == nil {
				t.Fatal("nothing is expected of it")
			}
			r := start(t, map[string]string{
				"METRICS_DIALECT": dialect, "VERSION": "v9", "ERROR_RATE": "1", "ERROR_ROUTE": checkoutPath,
				"POD_NAMESPACE": "mall", "HOSTNAME": "shop-5d9f7c-x2x4z",
			})
			for _, path := range []string{"/api/cart", "/api/cart", "/api/checkout", "/" + dialect} {
				r.get(t, path)
			}
			_, body := r.get(t, "/metrics")
			for _, line := range want {
				if !strings.Contains(body, line) {
					t.Errorf("no %s in\n%s", line, body)
				}
			}
			if dialect == "node" && strings.Contains(body, "http_requests_total") {
				t.Error("a counter express has not")
			}
			if dialect == "spring" && strings.Contains(body, "http_server_requests_seconds_bucket") {
				t.Error("buckets Micrometer has not unless it is told to")
			}
		})
	}
}

func TestEveryDialectIsInTheReadme(t *testing.T) {
	readme, err := os.ReadFile("README.md")
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range dialectNames() {
		if !strings.Contains(string(readme), "\n| `"+name+"` |") {
			t.Errorf("README.md has no dialect %s", name)
		}
	}
}

// counts says where the requests of a dialect are counted, how a failure looks,
// and what of the requests it leaves out.
type counts struct {
	metric, label string
	failed        func(string) bool
	leavesOut     func(request) bool
}

func fiveHundreds(v string) bool { return strings.HasPrefix(v, "5") }

func is(values ...string) func(string) bool {
	return func(v string) bool { return slices.Contains(values, v) }
}

var counted = map[string]counts{
	"prometheus":        {"http_requests_total", "code", fiveHundreds, nil},
	"prometheus-native": {"http_request_duration_seconds", "code", fiveHundreds, nil},
	"summary":           {"http_requests_total", "code", fiveHundreds, nil},
	"node":              {"http_request_duration_seconds", "status_code", fiveHundreds, nil},
	"otel":              {"http_server_request_duration_seconds", "http_response_status_code", fiveHundreds, nil},
	"otel-native":       {"http_server_request_duration_seconds", "http_response_status_code", fiveHundreds, nil},
	"otel-old":          {"http_server_duration_milliseconds", "http_status_code", fiveHundreds, nil},
	"otel-old-bare":     {"http_server_duration", "http_status_code", fiveHundreds, nil},
	"otel-rpc":          {"rpc_server_call_duration_seconds", "rpc_response_status_code", is("INTERNAL", "UNAVAILABLE"), nil},
	"otel-rpc-old":      {"rpc_server_duration_milliseconds", "rpc_grpc_status_code", is("13", "14"), nil},
	"grpc-otel":         {"grpc_server_call_duration_seconds", "grpc_status", is("INTERNAL", "UNAVAILABLE"), nil},
	"rack":              {"http_server_requests_total", "code", fiveHundreds, nil},
	"grpc":              {"grpc_server_handled_total", "grpc_code", is("Internal", "Unavailable"), nil},
	"istio":             {"istio_requests_total", "response_code", fiveHundreds, request.probe},
	"linkerd":           {"response_total", "classification", is("failure"), clientGone},
	"envoy":             {"envoy_http_downstream_rq_xx", "envoy_response_code_class", is("5"), func(r request) bool { return r.probe() || clientGone(r) }},
	"spring":            {"http_server_requests_seconds", "status", fiveHundreds, nil},
	"spring-buckets":    {"http_server_requests_seconds", "status", fiveHundreds, nil},
	"aspnet":            {"http_requests_received_total", "code", fiveHundreds, nil},
	"django":            {"django_http_responses_total_by_status_view_method_total", "status", fiveHundreds, nil},
	"flask":             {"flask_http_request_duration_seconds", "status", fiveHundreds, nil},
	"rails":             {"ruby_http_requests_total", "status", fiveHundreds, nil},
	"yabeda":            {"rails_requests_total", "status", fiveHundreds, nil},
}

func clientGone(r request) bool { return r.code == statusClientGone }

// Whatever is served: each dialect counts every request once, and the failures.
func TestEveryDialectCountsEveryRequestOnce(t *testing.T) {
	paths := append(routePaths(), alivePath, readyPath, unknownRoute)
	for _, dialect := range dialectNames() {
		t.Run(dialect, func(t *testing.T) {
			how, ok := counted[dialect]
			if !ok {
				t.Fatal("nothing is known of it")
			}
			rapid.Check(t, func(t *rapid.T) {
				m, err := newMetrics(settings{dialects: []string{dialect}, workload: "shop", namespace: "mall", addr: "127.0.0.1:8080"})
				if err != nil {
					t.Fatal(err)
				}
				total, failed := 0.0, 0.0
				for range rapid.IntRange(0, 30).Draw(t, "requests") {
					r := request{
						method: rapid.SampledFrom([]string{"GET", "POST", "_OTHER"}).Draw(t, "method"),
						route:  rapid.SampledFrom(paths).Draw(t, "route"),
						code:   rapid.SampledFrom([]int{200, 404, statusClientGone, 500, 502, 503}).Draw(t, "code"),
						took:   time.Duration(rapid.Int64Range(0, int64(time.Minute)).Draw(t, "took")),
					}
					m.observe(r)
					if how.leavesOut != nil && how.leavesOut(r) {
						continue
					}
					total++
					if r.failed() {
						failed++
					}
				}
				if gotTotal, gotFailed := sum(t, m, how); gotTotal != total || gotFailed != failed {
					t.Fatalf("%g requests and %g failures are counted as %g and %g", total, failed, gotTotal, gotFailed)
				}
			})
		})
	}
}

// sum adds up what a registry says of requests.
func sum(t *rapid.T, m *metrics, how counts) (total, failed float64) {
	t.Helper()
	families, err := m.Registry.Gather()
	if err != nil {
		t.Fatal(err)
	}
	for _, family := range families {
		if family.GetName() != how.metric {
			continue
		}
		for _, series := range family.GetMetric() {
			n := series.GetCounter().GetValue() + float64(series.GetHistogram().GetSampleCount()) + float64(series.GetSummary().GetSampleCount())
			total += n
			for _, label := range series.GetLabel() {
				if label.GetName() == how.label && how.failed(label.GetValue()) {
					failed += n
				}
			}
		}
	}
	return total, failed
}

func TestNativeHistogramsHaveNoClassicBuckets(t *testing.T) {
	for dialect, metric := range map[string]string{
		"prometheus-native": "http_request_duration_seconds", "otel-native": "http_server_request_duration_seconds",
	} {
		m, err := newMetrics(settings{dialects: []string{dialect}})
		if err != nil {
			t.Fatal(err)
		}
		m.observe(request{method: http.MethodGet, route: "/", code: 200, took: 20 * time.Millisecond})
		families, err := m.Registry.Gather()
		if err != nil {
			t.Fatal(err)
		}
		i := slices.IndexFunc(families, func(f *dto.MetricFamily) bool { return f.GetName() == metric })
		if i < 0 {
			t.Fatalf("%s has no %s", dialect, metric)
		}
		h := families[i].GetMetric()[0].GetHistogram()
		if len(h.GetBucket()) != 0 || h.GetSchema() != 3 || len(h.GetPositiveSpan()) != 1 {
			t.Errorf("%s: %v", dialect, h)
		}
	}
}

// The bounds are those Micrometer writes, of which some are known by heart.
func TestMicrometerBuckets(t *testing.T) {
	got := micrometerBuckets()
	if len(got) != 68 || !slices.IsSorted(got) {
		t.Fatalf("%d bounds: %v", len(got), got)
	}
	for _, bound := range []string{"0.001", "0.001048576", "0.003844776", "0.004194304", "0.089478485", "1.073741824", "28.633115306", "30"} {
		want, err := strconv.ParseFloat(bound, 64)
		if err != nil {
			t.Fatal(err)
		}
		if !slices.Contains(got, want) {
			t.Errorf("no bound %s in %v", bound, got)
		}
	}
}

func TestTheTablesKnowEveryDialect(t *testing.T) {
	names := slices.Sorted(slices.Values(dialectNames()))
	if known := slices.Sorted(maps.Keys(counted)); !slices.Equal(known, names) {
		t.Errorf("counted knows %v, the dialects are %v", known, names)
	}
}
