package catalogue

import (
	"slices"
	"testing"

	"github.com/prometheus/common/model"
	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/promql/parser"
)

// exported is one series as a dialect's library or proxy really exports it, with
// the labels that a usual scrape adds, and what is to be read in it.
type exported struct {
	series string
	failed bool
	route  string
	by     string // the pod that exports it, as namespace/pod; "" where none is named
	other  bool   // one of the metric's series that the dialect does not mean
}

const (
	ofShop  = `,namespace="mall",pod="shop-5d9f7c8b64-x2x4z",instance="10.244.1.7:8080",job="pods"}`
	ofFront = `,namespace="mall",pod="front-7c5bffbd9f-k8k2p",instance="10.244.2.3:8080",job="pods"}`
	shop    = "mall/shop-5d9f7c8b64-x2x4z"
	front   = "mall/front-7c5bffbd9f-k8k2p"
)

// theShop is the callee of all series of callers below.
var theShop = Workload{Namespace: "mall", Name: "shop", Services: []string{"shop-web"}, PodIPs: []string{"10.244.1.7", "fd00::7"}}

const istioLabels = `source_workload="front",source_workload_namespace="mall",destination_workload="shop",destination_workload_namespace="mall",destination_service="shop-web.mall.svc.cluster.local",destination_service_name="shop-web",destination_service_namespace="mall"`

const dstLabels = `authority="shop-web.mall.svc.cluster.local:80",direction="outbound",dst_control_plane_ns="linkerd",dst_deployment="shop",dst_namespace="mall",dst_pod="shop-5d9f7c8b64-x2x4z",dst_pod_template_hash="5d9f7c8b64",dst_service="shop-web"`

var asExported = map[string][]exported{
	"opentelemetry": {
		{series: `http_server_request_duration_seconds_count{http_request_method="GET",http_response_status_code="503",error_type="503",http_route="/cart/{id}",url_scheme="http"` + ofShop, failed: true, route: "/cart/{id}", by: shop},
		{series: `http_server_request_duration_seconds{http_request_method="GET",http_response_status_code="404",error_type="404",url_scheme="http"` + ofShop, by: shop},
		{series: `http_server_request_duration_seconds_count{http_request_method="GET",error_type="java.net.SocketException"` + ofShop, failed: true, by: shop},
		{series: `http_server_request_duration_seconds_count{http_request_method="GET",http_response_status_code="200",http_route="/",exported_job="mall/shop",k8s_pod_name="shop-5d9f7c8b64-x2x4z",k8s_namespace_name="mall",job="collector"}`, route: "/", by: shop},
	},
	"opentelemetry-old": {
		{series: `http_server_duration_milliseconds_count{http_method="GET",http_route="/cart",http_scheme="http",http_status_code="500",net_host_name="shop"` + ofShop, failed: true, route: "/cart", by: shop},
		{series: `http_server_duration_milliseconds_count{http_method="GET",http_target="/cart",http_status_code="499"` + ofShop, route: "/cart", by: shop},
	},
	"opentelemetry-old-bare": {
		{series: `http_server_duration_count{http_method="GET",http_route="/cart",http_status_code="502"` + ofShop, failed: true, route: "/cart", by: shop},
	},
	"spring": {
		{series: `http_server_requests_seconds_count{error="IllegalStateException",exception="IllegalStateException",method="GET",outcome="SERVER_ERROR",status="500",uri="/cart/{id}"` + ofShop, failed: true, route: "/cart/{id}", by: shop},
		{series: `http_server_requests_seconds_count{error="none",exception="none",method="GET",outcome="UNKNOWN",status="UNKNOWN",uri="UNKNOWN"` + ofShop, route: "UNKNOWN", by: shop},
		{series: `http_server_requests_seconds_count{exception="none",method="GET",outcome="SERVER_ERROR",uri="/cart"` + ofShop, failed: true, route: "/cart", by: shop},
	},
	"aspnet": {
		{series: `http_requests_received_total{action="Get",code="500",controller="Cart",endpoint="cart/{id}",method="GET"` + ofShop, failed: true, route: "cart/{id}", by: shop},
	},
	"django": {
		{series: `django_http_responses_total_by_status_view_method_total{method="GET",status="500",view="shop:cart"` + ofShop, failed: true, route: "shop:cart", by: shop},
	},
	"flask": {
		{series: `flask_http_request_duration_seconds_count{method="GET",path="/cart",status="500"` + ofShop, failed: true, route: "/cart", by: shop},
		{series: `flask_http_request_duration_seconds_count{method="GET",url_rule="/cart/<id>",status="200"` + ofShop, route: "/cart/<id>", by: shop},
	},
	"rails": {
		{series: `ruby_http_requests_total{action="show",controller="carts",status="500"` + ofShop, failed: true, route: "carts", by: shop},
	},
	"yabeda": {
		{series: `rails_requests_total{action="show",controller="carts",format="html",method="get",status="500"` + ofShop, failed: true, route: "carts", by: shop},
	},
	"rack": {
		{series: `http_server_requests_total{code="500",method="get",path="/cart/:id"` + ofShop, failed: true, route: "/cart/:id", by: shop},
	},
	"prometheus": {
		{series: `http_requests_total{code="503",handler="/cart",method="get"` + ofShop, failed: true, route: "/cart", by: shop},
		{series: `http_requests_total{handler="/cart/{id}",method="GET",status="5xx"` + ofShop, failed: true, route: "/cart/{id}", by: shop}, // FastAPI
		{series: `http_requests_total{status_code="429",path="/cart"` + ofShop, route: "/cart", by: shop},
	},
	"prom-client": {
		{series: `http_request_duration_seconds_count{method="GET",route="/cart",status_code="500"` + ofShop, failed: true, route: "/cart", by: shop},
		{series: `http_request_duration_seconds{code="200",handler="/cart",method="get"` + ofShop, route: "/cart", by: shop},
	},
	"grpc": {
		{series: `grpc_server_handled_total{grpc_code="DataLoss",grpc_method="GetCart",grpc_service="shop.Shop",grpc_type="unary"` + ofShop, failed: true, route: "GetCart", by: shop},
		{series: `grpc_server_handled_total{grpc_code="NotFound",grpc_method="GetCart",grpc_service="shop.Shop",grpc_type="unary"` + ofShop, route: "GetCart", by: shop},
		{series: `grpc_server_handled_total{code="DEADLINE_EXCEEDED",grpc_method="GetCart",grpc_service="shop.Shop",grpc_type="UNARY"` + ofShop, failed: true, route: "GetCart", by: shop},
		{series: `grpc_server_handled_total{grpc_code="Canceled",grpc_method="GetCart",grpc_service="shop.Shop",grpc_type="unary"` + ofShop, route: "GetCart", by: shop},
		{series: `grpc_server_handled_total{grpc_code="OK",grpc_method="Check",grpc_service="grpc.health.v1.Health",grpc_type="unary"` + ofShop, other: true},
	},
	"grpc-opentelemetry": {
		{series: `grpc_server_call_duration_seconds_count{grpc_method="shop.Shop/GetCart",grpc_status="UNAVAILABLE",otel_scope_name="grpc-go"` + ofShop, failed: true, route: "shop.Shop/GetCart", by: shop},
		{series: `grpc_server_call_duration_seconds_count{grpc_method="grpc.health.v1.Health/Check",grpc_status="OK",otel_scope_name="grpc-go"` + ofShop, other: true},
	},
	"opentelemetry-rpc": {
		{series: `rpc_server_call_duration_seconds_count{rpc_method="shop.Shop/GetCart",rpc_response_status_code="INTERNAL",error_type="INTERNAL",rpc_system_name="grpc"` + ofShop, failed: true, route: "shop.Shop/GetCart", by: shop},
		{series: `rpc_server_call_duration_seconds_count{rpc_method="shop.Shop/GetCart",rpc_response_status_code="NOT_FOUND",rpc_system_name="grpc"` + ofShop, route: "shop.Shop/GetCart", by: shop},
		{series: `rpc_server_call_duration_seconds_count{rpc_method="shop.Shop/GetCart",error_type="java.lang.IllegalStateException",rpc_system_name="dubbo"` + ofShop, failed: true, route: "shop.Shop/GetCart", by: shop},
	},
	"opentelemetry-rpc-old": {
		{series: `rpc_server_duration_milliseconds_count{rpc_grpc_status_code="13",rpc_method="GetCart",rpc_service="shop.Shop",rpc_system="grpc"` + ofShop, failed: true, route: "GetCart", by: shop},
		{series: `rpc_server_duration_milliseconds_count{rpc_grpc_status_code="1",rpc_method="GetCart",rpc_service="shop.Shop",rpc_system="grpc"` + ofShop, route: "GetCart", by: shop},
	},
	"istio": {
		{series: `istio_requests_total{reporter="destination",` + istioLabels + `,request_protocol="http",response_code="503",grpc_response_status="",response_flags="-"` + ofShop, failed: true, by: shop},
		{series: `istio_requests_total{reporter="destination",` + istioLabels + `,request_protocol="http",response_code="0",grpc_response_status="",response_flags="DC"` + ofShop, by: shop},
		{series: `istio_requests_total{reporter="destination",` + istioLabels + `,request_protocol="grpc",response_code="200",grpc_response_status="14",response_flags="-"` + ofShop, failed: true, by: shop},
		{series: `istio_requests_total{reporter="destination",` + istioLabels + `,request_protocol="grpc",response_code="200",grpc_response_status="5",response_flags="-"` + ofShop, by: shop},
		{series: `istio_requests_total{reporter="source",` + istioLabels + `,request_protocol="http",response_code="503",response_flags="UC"` + ofShop, other: true},
	},
	"linkerd": {
		{series: `response_total{direction="inbound",target_addr="10.244.1.7:8080",tls="true",client_id="front.mall.serviceaccount.identity.linkerd.cluster.local",srv_name="all-unauthenticated",route_name="default",status_code="500",classification="failure",grpc_status="",error=""` + ofShop, failed: true, by: shop},
		{series: `response_total{direction="inbound",target_addr="10.244.1.7:8080",route_name="default",status_code="200",classification="success"` + ofShop, by: shop},
		{series: `response_total{direction="inbound",target_addr="10.244.1.7:8080",route_name="probe",status_code="200",classification="success"` + ofShop, other: true},
	},
	"envoy": {
		{series: `envoy_http_downstream_rq_xx{envoy_http_conn_manager_prefix="ingress_http",envoy_response_code_class="5"` + ofShop, failed: true, by: shop},
		{series: `envoy_http_downstream_rq_xx{envoy_http_conn_manager_prefix="public_listener",envoy_response_code_class="2",local_cluster="shop"` + ofShop, by: shop},
		{series: `envoy_http_downstream_rq_xx{envoy_http_conn_manager_prefix="admin",envoy_response_code_class="2"` + ofShop, other: true},
		{series: `envoy_http_downstream_rq_xx{envoy_http_conn_manager_prefix="egress_http",envoy_response_code_class="5"` + ofShop, other: true},
	},

	"linkerd-callers": {
		{series: `response_total{` + dstLabels + `,status_code="502",classification="failure",error="unexpected"` + ofFront, failed: true, by: front},
		{series: `response_total{direction="inbound",status_code="200",classification="success"` + ofFront, other: true},
	},
	"opentelemetry-callers": {
		{series: `http_client_request_duration_seconds_count{http_request_method="GET",http_response_status_code="500",error_type="500",server_address="shop-web.mall.svc.cluster.local",server_port="80"` + ofFront, failed: true, by: front},
		{series: `http_client_request_duration_seconds_count{http_request_method="GET",error_type="timeout",server_address="shop-web",server_port="80"` + ofFront, failed: true, by: front},
		{series: `http_client_request_duration_seconds{http_request_method="GET",http_response_status_code="404",error_type="404",server_address="10.244.1.7",server_port="8080"` + ofFront, by: front},
		{series: `http_client_request_duration_seconds_count{http_request_method="GET",http_response_status_code="200",server_address="[fd00::7]",server_port="8080"` + ofFront, by: front},
	},
	"opentelemetry-callers-old": {
		{series: `http_client_duration_milliseconds_count{http_method="GET",http_status_code="503",net_peer_name="shop-web.mall",net_peer_port="80"` + ofFront, failed: true, by: front},
	},
	"spring-callers": {
		{series: `http_client_requests_seconds_count{client_name="shop-web.mall.svc",error="ResourceAccessException",exception="ResourceAccessException",method="GET",outcome="UNKNOWN",status="CLIENT_ERROR",uri="/cart/{id}"` + ofFront, failed: true, by: front},
		{series: `http_client_requests_seconds_count{client_name="shop-web.mall.svc",error="none",exception="none",method="GET",outcome="CLIENT_ERROR",status="404",uri="/cart/{id}"` + ofFront, by: front},
	},
	"aspnet-callers": {
		{series: `httpclient_requests_received_total{client="shop",code="502",host="shop-web.mall.svc.cluster.local.",method="GET"` + ofFront, failed: true, by: front},
	},
	"http-callers": {
		{series: `http_client_requests_total{code="error",host="shop-web.mall:8080",method="GET"` + ofFront, failed: true, by: front},
		{series: `http_client_requests_total{code="200",host="10.244.1.7:8080",method="GET"` + ofFront, by: front},
	},
	"http-callers-target": {
		{series: `http_client_requests_total{status="500",target="shop-web",method="GET"` + ofFront, failed: true, by: front},
	},
	"grpc-opentelemetry-callers": {
		{series: `grpc_client_call_duration_seconds_count{grpc_method="shop.Shop/GetCart",grpc_status="DEADLINE_EXCEEDED",grpc_target="dns:///shop-web.mall.svc.cluster.local:9000",otel_scope_name="grpc-java"` + ofFront, failed: true, route: "shop.Shop/GetCart", by: front},
		{series: `grpc_client_call_duration_seconds_count{grpc_method="shop.Shop/GetCart",grpc_status="OK",grpc_target="passthrough:///shop-web:9000",otel_scope_name="grpc-go"` + ofFront, route: "shop.Shop/GetCart", by: front},
	},
	"opentelemetry-rpc-callers": {
		{series: `rpc_client_call_duration_seconds_count{rpc_method="shop.Shop/GetCart",rpc_response_status_code="UNAVAILABLE",error_type="UNAVAILABLE",server_address="10.244.1.7",server_port="9000",rpc_system_name="grpc"` + ofFront, failed: true, route: "shop.Shop/GetCart", by: front},
	},
	"opentelemetry-rpc-callers-old": {
		{series: `rpc_client_duration_milliseconds_count{rpc_grpc_status_code="14",rpc_method="GetCart",rpc_service="shop.Shop",rpc_system="grpc",server_address="shop-web.mall"` + ofFront, failed: true, route: "GetCart", by: front},
	},
	"istio-callers": {
		{series: `istio_requests_total{reporter="source",` + istioLabels + `,request_protocol="http",response_code="0",response_flags="DC"` + ofFront, failed: true, by: front},
		{series: `istio_requests_total{reporter="source",` + istioLabels + `,request_protocol="grpc",response_code="200",grpc_response_status="0",response_flags="-"` + ofFront, by: front},
		{series: `istio_requests_total{reporter="destination",` + istioLabels + `,request_protocol="http",response_code="200"` + ofFront, other: true},
	},
	"istio-waypoint": {
		{series: `istio_requests_total{reporter="waypoint",` + istioLabels + `,request_protocol="http",response_code="503",response_flags="UF",namespace="mall",pod="waypoint-6c8f7d9b5-q9q2w",job="pods"}`, failed: true, by: "mall/waypoint-6c8f7d9b5-q9q2w"},
	},
	"contour": {
		{series: `envoy_cluster_upstream_rq_xx{envoy_cluster_name="mall_shop-web_80",envoy_response_code_class="5",namespace="projectcontour",pod="envoy-x8x2z",job="envoy"}`, failed: true, by: "projectcontour/envoy-x8x2z"},
	},
	"ingress-nginx": {
		{series: `nginx_ingress_controller_requests{controller_class="k8s.io/ingress-nginx",exported_namespace="mall",ingress="shop",exported_service="shop-web",host="shop.example.com",method="GET",path="/cart",status="502",namespace="ingress-nginx",pod="ingress-nginx-controller-6d4b8f7c9-z4z2x",service="ingress-nginx-controller-metrics"}`, failed: true, route: "/cart", by: "ingress-nginx/ingress-nginx-controller-6d4b8f7c9-z4z2x"},
	},
	"ingress-nginx-pods": {
		{series: `nginx_ingress_controller_requests{exported_namespace="mall",ingress="shop",service="shop-web",path="/",status="200",namespace="ingress-nginx",pod="ingress-nginx-controller-6d4b8f7c9-z4z2x"}`, route: "/", by: "ingress-nginx/ingress-nginx-controller-6d4b8f7c9-z4z2x"},
		{series: `nginx_ingress_controller_requests{exported_namespace="mall",exported_service="other",service="shop-web",path="/",status="200"}`, other: true},
	},
	"ingress-nginx-honored": {
		{series: `nginx_ingress_controller_requests{namespace="mall",ingress="shop",service="shop-web",path="/",status="504",controller_namespace="ingress-nginx",controller_pod="ingress-nginx-controller-6d4b8f7c9-z4z2x"}`, failed: true, route: "/"},
		{series: `nginx_ingress_controller_requests{exported_namespace="other",namespace="mall",service="shop-web",status="504"}`, other: true},
	},
	"traefik": {
		{series: `traefik_service_requests_total{code="502",method="GET",protocol="http",service="mall-shop-web-80@kubernetes",namespace="traefik",pod="traefik-7d5b8c9f4-w2w4x"}`, failed: true, by: "traefik/traefik-7d5b8c9f4-w2w4x"},
		{series: `traefik_service_requests_total{code="404",method="GET",protocol="http",service="mall-shop-web-http@kubernetescrd"}`},
	},
	"traefik-exported": {
		{series: `traefik_service_requests_total{code="500",method="GET",protocol="http",exported_service="mall-shop-web-8080@kubernetes",service="traefik-metrics",namespace="traefik",pod="traefik-7d5b8c9f4-w2w4x"}`, failed: true, by: "traefik/traefik-7d5b8c9f4-w2w4x"},
	},
}

func TestEveryDialectReadsWhatIsReallyExported(t *testing.T) {
	c := builtin(t)
	for name := range asExported {
		if !slices.Contains(c.Names(), name) {
			t.Errorf("there is no dialect %s", name)
		}
	}
	for _, d := range c.Dialects {
		t.Run(d.Name, func(t *testing.T) {
			if len(asExported[d.Name]) == 0 {
				t.Fatal("no series is known of it")
			}
			for _, e := range asExported[d.Name] {
				set := series(t, e.series)
				if !slices.Contains(d.Requests.Names(), set.Get(model.MetricNameLabel)) {
					t.Errorf("%s is none of its metrics", set)
				}
				if e.other {
					if holds(d.Requests.Where, set) {
						t.Errorf("%s is counted", set)
					}
					continue
				}
				e.check(t, c, d, set)
			}
		})
	}
}

func (e exported) check(t *testing.T, c *Catalogue, d *Dialect, set labels.Labels) {
	t.Helper()
	if !holds(d.Requests.Where, set) {
		t.Errorf("%s is not counted", set)
	}
	rule, value := d.FailureValue(set)
	if !d.Fits(set) || rule == nil || rule.Failed(value) != e.failed {
		t.Errorf("%s: %q decides, want failed %v", set, value, e.failed)
	}
	if _, route := d.Route(set); route != e.route {
		t.Errorf("%s: route %q, want %q", set, route, e.route)
	}
	by := ""
	if form, namespace, pod := c.Identify(set); form >= 0 {
		by = namespace + "/" + pod
	}
	if by != e.by {
		t.Errorf("%s: exported by %q, want %q", set, by, e.by)
	}
	if d.Side == SideServer {
		return
	}
	if !d.Describes(theShop)(set) {
		t.Errorf("%s is not about %+v", set, theShop)
	}
	for _, m := range d.AboutMatchers([]Workload{{Namespace: "other", Name: "other"}, theShop}) {
		if !readable(t, m).Matches(set.Get(m.Name)) {
			t.Errorf("%s is not selected by %s", set, m)
		}
	}
	for _, other := range []Workload{{Namespace: "mall", Name: "shop-web", Services: []string{"shop"}}, {Namespace: "other", Name: "shop", Services: []string{"shop-web"}}} {
		if d.Describes(other)(set) {
			t.Errorf("%s is about %+v too", set, other)
		}
	}
}

func holds(where []Where, set labels.Labels) bool {
	return !slices.ContainsFunc(Matchers(where), func(m *labels.Matcher) bool { return !m.Matches(set.Get(m.Name)) })
}

// readable compiles a matcher that is only written down.
func readable(t interface{ Fatal(...any) }, m *labels.Matcher) *labels.Matcher {
	out, err := labels.NewMatcher(m.Type, m.Name, m.Value)
	if err != nil {
		t.Fatal(err)
	}
	return out
}

func series(t *testing.T, text string) labels.Labels {
	t.Helper()
	set, err := parser.NewParser(parser.Options{}).ParseMetric(text)
	if err != nil {
		t.Fatalf("%s: %v", text, err)
	}
	return set
}
