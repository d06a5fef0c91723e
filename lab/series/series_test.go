package series

import (
	"net/http/httptest"
	"strings"
	"testing"
)

func TestAPodTellsItsWorkload(t *testing.T) {
	for pod, want := range map[string]string{"web-app-5d9f7c-x2x4z": "web-app", "webapp-5d9f7c-x2x4z": "webapp", "laptop": "laptop"} {
		if got := WorkloadOf(pod); got != want {
			t.Errorf("%s is of %s, want %s", pod, got, want)
		}
	}
}

func TestValuesAreInTheOrderOfTheLabels(t *testing.T) {
	got := map[string]string{}
	values := Istio{
		Reporter: "destination", Destination: "shop", DestinationNamespace: "mall", Code: "503", Flags: "UC",
	}.Values()
	if len(values) != len(IstioLabels) {
		t.Fatalf("%d values of %d labels", len(values), len(IstioLabels))
	}
	for i, label := range IstioLabels {
		got[label] = values[i]
	}
	for label, want := range map[string]string{
		"reporter": "destination", "source_workload": "unknown", "source_workload_namespace": "unknown",
		"destination_workload": "shop", "destination_workload_namespace": "mall",
		"destination_service": "shop.mall.svc.cluster.local", "destination_service_name": "shop", "destination_service_namespace": "mall",
		"response_code": "503", "response_flags": "UC", "connection_security_policy": "none", "request_protocol": "http",
	} {
		if got[label] != want {
			t.Errorf("%s is %q, want %q", label, got[label], want)
		}
	}
}

func TestAPageCountsBeforeItIsReadAndSaysWhatDoesNotFit(t *testing.T) {
	page := NewPage()
	n := page.Counter("scrapes_total", "")
	page.OnScrape(func() { n.WithLabelValues().Inc() })
	for range 2 {
		page.Handler().ServeHTTP(httptest.NewRecorder(), httptest.NewRequest("GET", "/metrics", nil))
	}
	w := httptest.NewRecorder()
	page.Handler().ServeHTTP(w, httptest.NewRequest("GET", "/metrics", nil))
	if !strings.Contains(w.Body.String(), "\nscrapes_total 3\n") || page.Err() != nil {
		t.Errorf("%v, %s", page.Err(), w.Body)
	}
	page.Gauge("scrapes_total", "", "pod")
	if err := page.Err(); err == nil || !strings.Contains(err.Error(), "scrapes_total") {
		t.Errorf("a metric of the same name is taken: %v", err)
	}
}
