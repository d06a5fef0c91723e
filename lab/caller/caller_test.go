package caller

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"go.uber.org/goleak"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes/fake"
	"pgregory.net/rapid"

	"github.com/watchtower-verify/watchtower/lab/series"
	"github.com/watchtower-verify/watchtower/lab/traffic"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// counts says where the requests of a dialect are counted and how a failure
// looks.
type counts struct {
	metric, label string
	failed        func(string) bool
}

func fiveHundreds(v string) bool { return strings.HasPrefix(v, "5") }

var counted = map[string]counts{
	"otel-client":         {"http_client_request_duration_seconds", "error_type", func(v string) bool { return v != "" && !strings.HasPrefix(v, "4") }},
	"http-client":         {"http_client_requests_total", "code", func(v string) bool { return v == "error" || fiveHundreds(v) }},
	"grpc-client":         {"grpc_client_handled_total", "grpc_code", func(v string) bool { return v == "Internal" || v == "Unavailable" }},
	"grpc-otel-client":    {"grpc_client_call_duration_seconds", "grpc_status", func(v string) bool { return v == "INTERNAL" || v == "UNAVAILABLE" }},
	"otel-rpc-client":     {"rpc_client_call_duration_seconds", "rpc_response_status_code", func(v string) bool { return v == "INTERNAL" || v == "UNAVAILABLE" }},
	"otel-rpc-client-old": {"rpc_client_duration_milliseconds", "rpc_grpc_status_code", func(v string) bool { return v == "13" || v == "14" }},
	"istio-waypoint":      {"istio_requests_total", "response_code", fiveHundreds},
	"contour":             {"envoy_cluster_upstream_rq_xx", "envoy_response_code_class", func(v string) bool { return v == "5" }},
	"spring-client":       {"http_client_requests_seconds", "outcome", func(v string) bool { return v == "SERVER_ERROR" || v == "UNKNOWN" }},
	"istio":               {"istio_requests_total", "response_code", fiveHundreds},
	"linkerd":             {"response_total", "classification", func(v string) bool { return v == "failure" }},
	"ingress-nginx":       {"nginx_ingress_controller_requests", "status", fiveHundreds},
	"traefik":             {"traefik_service_requests_total", "code", fiveHundreds},
}

// sum adds up what a page says of requests.
func sum(t rapid.TB, page *series.Page, how counts) (total, failed float64) {
	t.Helper()
	families, err := page.Registry.Gather()
	if err != nil {
		t.Fatal(err)
	}
	for _, family := range families {
		if family.GetName() != how.metric {
			continue
		}
		for _, s := range family.GetMetric() {
			n := s.GetCounter().GetValue() + float64(s.GetHistogram().GetSampleCount()) + float64(s.GetSummary().GetSampleCount())
			total += n
			for _, label := range s.GetLabel() {
				if label.GetName() == how.label && how.failed(label.GetValue()) {
					failed += n
				}
			}
		}
	}
	return total, failed
}

func env(more map[string]string) map[string]string {
	out := map[string]string{"CALLEE": "mall/shop", "KUBECONFIG": "/kubeconfig", "HOSTNAME": "front-5d9f7c-x2x4z", "POD_NAMESPACE": "town"}
	for k, v := range more {
		out[k] = v
	}
	return out
}

// Whatever is answered, or not: each dialect counts every request once, and
// those that failed.
func TestEveryDialectCountsEveryRequestOnce(t *testing.T) {
	for _, dialect := range dialectNames() {
		t.Run(dialect, func(t *testing.T) {
			rapid.Check(t, func(t *rapid.T) {
				set, err := readSettings(env(map[string]string{
					"CALLER_DIALECT": dialect, "CALLEE_NAMED": rapid.SampledFrom([]string{nameFull, nameShort, namePod}).Draw(t, "named"),
				}))
				if err != nil {
					t.Fatal(err)
				}
				page := series.NewPage()
				observe, err := openDialects(page, set)
				if err != nil {
					t.Fatal(err)
				}
				total, failed := 0.0, 0.0
				for range rapid.IntRange(0, 30).Draw(t, "requests") {
					a := traffic.Answer{
						Route: rapid.SampledFrom(traffic.DefaultRoutes()).Draw(t, "route"),
						Pod:   rapid.SampledFrom([]traffic.Pod{{Name: "shop-1-a", Address: "127.0.0.2", TemplateHash: "1"}, {Name: "shop-2-b", Address: "127.0.0.3", TemplateHash: "2"}}).Draw(t, "pod"),
						Code:  rapid.SampledFrom([]int{0, 200, 404, 500, 502}).Draw(t, "code"),
						Took:  time.Duration(rapid.Int64Range(0, int64(time.Minute)).Draw(t, "took")),
					}
					if a.Code == 0 {
						a.Err = io.EOF
					}
					observe(a)
					total++
					if a.Failed() {
						failed++
					}
				}
				if gotTotal, gotFailed := sum(t, page, counted[dialect]); gotTotal != total || gotFailed != failed {
					t.Fatalf("%g requests and %g failures are counted as %g and %g", total, failed, gotTotal, gotFailed)
				}
			})
		})
	}
}

func TestACalleeIsNamed(t *testing.T) {
	for dialect, want := range map[string][]string{
		"otel-client full":        {`server_address="shop.mall.svc.cluster.local"`, `server_port="80"`, `error_type="*errors.errorString"`, `http_response_status_code=""`},
		"otel-client short":       {`server_address="shop"`},
		"otel-client pod":         {`server_address="127.0.0.2"`, `server_port="8080"`},
		"http-client full":        {`http_client_requests_total{code="error",host="shop.mall.svc.cluster.local",method="GET"} 1`},
		"grpc-client full":        {`grpc_client_handled_total{grpc_code="Unavailable",grpc_method="Home",grpc_service="shop.Shop",grpc_type="unary"} 1`},
		"grpc-otel-client full":   {`grpc_method="shop.Shop/Home",grpc_status="UNAVAILABLE",grpc_target="dns:///shop.mall.svc.cluster.local:80"`},
		"otel-rpc-client short":   {`rpc_method="shop.Shop/Home",rpc_response_status_code="UNAVAILABLE",rpc_system_name="grpc",server_address="shop"`},
		"otel-rpc-client-old pod": {`rpc_grpc_status_code="14",rpc_method="Home",rpc_service="shop.Shop",rpc_system="grpc",server_address="127.0.0.2"`},
		"istio-waypoint full":     {`reporter="waypoint"`, `destination_workload="shop",destination_workload_namespace="mall"`},
		"contour full":            {`envoy_cluster_upstream_rq_xx{envoy_cluster_name="mall_shop_80",envoy_response_code_class="5"} 1`},
		"istio full": {
			`reporter="source"`, `source_workload="front",source_workload_namespace="town"`,
			`destination_workload="shop",destination_workload_namespace="mall"`, `response_code="503",response_flags="UC"`,
		},
		"linkerd full": {
			`dst_deployment="shop",dst_namespace="mall",dst_pod="shop-5f-b",dst_pod_template_hash="5f"`, `direction="outbound"`,
			`classification="failure"`, `status_code="502"`, `target_addr="127.0.0.2:8080"`,
		},
		"ingress-nginx full": {`namespace="mall"`, `service="shop"`, `ingress="shop"`, `status="502"`, `controller_pod="front-5d9f7c-x2x4z"`},
		"traefik full":       {`traefik_service_requests_total{code="502",method="GET",protocol="http",service="mall-shop-80@kubernetes"} 1`},
		"spring-client full": {`client_name="shop.mall.svc.cluster.local"`, `outcome="UNKNOWN"`},
	} {
		t.Run(dialect, func(t *testing.T) {
			name, named, _ := strings.Cut(dialect, " ")
			set, err := readSettings(env(map[string]string{"CALLER_DIALECT": name, "CALLEE_NAMED": named}))
			if err != nil {
				t.Fatal(err)
			}
			page := series.NewPage()
			observe, err := openDialects(page, set)
			if err != nil {
				t.Fatal(err)
			}
			observe(traffic.Answer{
				Route: traffic.Route{Method: "GET", Path: "/"}, Err: io.EOF,
				Pod: traffic.Pod{Name: "shop-5f-b", Address: "127.0.0.2", TemplateHash: "5f"},
			})
			w := httptest.NewRecorder()
			page.Handler().ServeHTTP(w, httptest.NewRequest(http.MethodGet, "/metrics", nil))
			for _, text := range want {
				if !strings.Contains(w.Body.String(), text) {
					t.Errorf("no %s in\n%s", text, w.Body)
				}
			}
		})
	}
}

func TestTheLogAndThePageTellOfTheSameRequests(t *testing.T) {
	listener, err := net.Listen("tcp", "127.88.1.1:0")
	if err != nil {
		t.Fatal(err)
	}
	var n atomic.Int64
	enough := make(chan struct{})
	var once sync.Once
	server := &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		switch i := n.Add(1); {
		case i == 40:
			once.Do(func() { close(enough) })
		case i%5 == 0:
			panic(http.ErrAbortHandler)
		case i%7 == 0:
			w.WriteHeader(http.StatusInternalServerError)
		}
	})}
	go func() { _ = server.Serve(listener) }()
	t.Cleanup(func() { _ = server.Close() })
	client := fake.NewClientset(&corev1.Pod{
		ObjectMeta: metav1.ObjectMeta{Name: "shop-5f-b", Namespace: "mall", Labels: map[string]string{"app": "shop"}},
		Status: corev1.PodStatus{
			PodIP: "127.88.1.1", Conditions: []corev1.PodCondition{{Type: corev1.PodReady, Status: corev1.ConditionTrue}},
		},
	})
	set, err := readSettings(env(map[string]string{"CALLER_DIALECT": "linkerd,traefik", "CALL_RATE": "500", "PORT": "0"}))
	if err != nil {
		t.Fatal(err)
	}
	set.port = listener.Addr().(*net.TCPAddr).Port
	ctx, cancel := context.WithCancel(t.Context())
	go func() { <-enough; cancel() }()
	page := series.NewPage()
	var logs bytes.Buffer // the handler of slog locks it
	if err := call(ctx, client, page, set, slog.New(slog.NewJSONHandler(&logs, nil))); err != nil {
		t.Fatal(err)
	}
	total, failed := 0.0, 0.0
	for text := range strings.Lines(logs.String()) {
		var line struct {
			Msg, Pod string
			Failed   bool
		}
		if err := json.Unmarshal([]byte(text), &line); err != nil {
			t.Fatal(err)
		}
		if line.Msg != RequestLine {
			continue
		}
		total++
		if line.Failed {
			failed++
		}
		if line.Pod != "shop-5f-b" {
			t.Errorf("a request went to %q", line.Pod)
		}
	}
	if total < 40 || failed == 0 {
		t.Fatalf("%g requests, %g failures: %s", total, failed, logs.String())
	}
	for _, dialect := range set.dialects {
		if gotTotal, gotFailed := sum(t, page, counted[dialect]); gotTotal != total || gotFailed != failed {
			t.Errorf("%s counts %g and %g, the log has %g and %g", dialect, gotTotal, gotFailed, total, failed)
		}
	}
}

func TestABadSettingIsNamed(t *testing.T) {
	for name, value := range map[string]string{
		"CALLEE": "shop", "KUBECONFIG": "", "CALL_RATE": "0", "CALLEE_PORT": "x", "CALLEE_NAMED": "long",
		"CALLER_DIALECT": "istio,haproxy", "POD_IP": "localhost", "PORT": "70000",
	} {
		_, err := readSettings(env(map[string]string{name: value}))
		if !errors.Is(err, ErrSettings) || !strings.Contains(err.Error(), name+"=") {
			t.Errorf("%s=%s: %v", name, value, err)
		}
	}
	if _, err := readSettings(env(nil)); err != nil {
		t.Error(err)
	}
	page := series.NewPage()
	if _, err := openDialects(page, settings{dialects: []string{"otel-client", "http-client"}}); err == nil {
		t.Error("two dialects that share a metric are taken")
	}
}

func TestEverySettingAndDialectIsInTheReadme(t *testing.T) {
	readme, err := os.ReadFile("../webapp/README.md")
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"CALLEE", "KUBECONFIG", "CALL_RATE", "CALLEE_PORT", "CALLEE_NAMED", "CALLER_DIALECT"} {
		if !strings.Contains(string(readme), "`"+name+"`") {
			t.Errorf("README.md has no %s", name)
		}
	}
	for _, name := range dialectNames() {
		if !strings.Contains(string(readme), "| `"+name+"` |") {
			t.Errorf("README.md has no dialect %s", name)
		}
	}
}
