package app

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"

	"github.com/watchtower-verify/watchtower/internal/doctor"
)

// hospital is everything around Watchtower, each part of which can be broken.
type hospital struct {
	url    string
	config string
	// What is wrong; "" and nil: nothing.
	prometheus, kubernetes, alertmanager, hook int // statuses that are answered
	refused                                    string
	pods, targets                              int
	clock                                      time.Duration
	sent                                       []string // bodies of the webhook
}

const hospitalConfig = `
external_url: https://watchtower.example.com
prometheus: {url: "%[1]s/prometheus"}
kubernetes: {kubeconfig: kubeconfig}
alertmanager: {urls: ["%[1]s/alertmanager"]}
policy: {autonomy: auto, issue: false}
receivers:
  - name: hook
    webhook: {url: "%[1]s/hook", secret_file: secret}
`

func newHospital(t *testing.T) *hospital {
	h := &hospital{targets: 12, pods: 10}
	s := httptest.NewServer(h)
	t.Cleanup(s.Close)
	h.url = s.URL
	dir := t.TempDir()
	for name, text := range map[string]string{
		"watchtower.yaml": fmt.Sprintf(hospitalConfig, s.URL), "secret": "a-secret-of-some-length",
		"kubeconfig": strings.ReplaceAll(`{"apiVersion":"v1","kind":"Config","current-context":"c","contexts":[{"name":"c","context":{"cluster":"c","user":"u"}}],
			"clusters":[{"name":"c","cluster":{"server":"URL"}}],"users":[{"name":"u","user":{"token":"kube-token-1234"}}]}`, "URL", s.URL),
	} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	h.config = filepath.Join(dir, "watchtower.yaml")
	return h
}

func (h *hospital) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	body, _ := io.ReadAll(r.Body)
	w.Header().Set("Date", time.Now().Add(h.clock).UTC().Format(http.TimeFormat))
	status := func(s int) bool {
		if s != 0 {
			http.Error(w, "it is broken", s)
		}
		return s != 0
	}
	answer := func(text string) { w.Header().Set("Content-Type", "application/json"); _, _ = io.WriteString(w, text) }
	switch path := r.URL.Path; {
	case path == "/version":
		if !status(h.kubernetes) {
			answer(`{"gitVersion":"v1.37.2"}`)
		}
	case strings.HasSuffix(path, "/selfsubjectaccessreviews"):
		if !status(h.kubernetes) {
			answer(fmt.Sprintf(`{"kind":"SelfSubjectAccessReview","apiVersion":"authorization.k8s.io/v1","status":{"allowed":%t}}`,
				h.refused == "" || !strings.Contains(string(body), h.refused)))
		}
	case path == "/prometheus/api/v1/status/buildinfo":
		if !status(h.prometheus) {
			answer(`{"status":"success","data":{"version":"3.5.0"}}`)
		}
	case strings.HasPrefix(path, "/prometheus/api/v1/query"):
		if !status(h.prometheus) {
			r.Body = io.NopCloser(strings.NewReader(string(body)))
			answer(h.number(r))
		}
	case strings.HasPrefix(path, "/alertmanager/"):
		if !status(h.alertmanager) {
			answer(`{}`)
		}
	case path == "/hook":
		h.sent = append(h.sent, string(body))
		status(h.hook)
	default:
		http.NotFound(w, r)
	}
}

func (h *hospital) number(r *http.Request) string {
	value := float64(h.targets)
	switch q := r.FormValue("query"); {
	case strings.Contains(q, "timestamp"):
		value = float64(time.Now().Unix())
	case strings.Contains(q, "pod"):
		value = float64(h.pods)
	}
	if value == 0 {
		return `{"status":"success","data":{"resultType":"matrix","result":[]}}`
	}
	return fmt.Sprintf(`{"status":"success","data":{"resultType":"matrix","result":[{"metric":{},"values":[[%s,"%.0f"]]}]}}`, r.FormValue("end"), value)
}

func (h *hospital) examine(t *testing.T, send bool) doctor.Report {
	t.Helper()
	r, err := Doctor(t.Context(), h.config, "v1", send, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	text, err := json.Marshal(r)
	if err != nil || strings.Contains(string(text), "kube-token-1234") || strings.Contains(string(text), "a-secret-of") {
		t.Errorf("%v, a secret is told: %s", err, text)
	}
	return r
}

func TestTheDoctorFindsNothingWhereAllIsWell(t *testing.T) {
	h := newHospital(t)
	r := h.examine(t, true)
	if r.Status != doctor.OK {
		t.Error(doctor.Text(r))
	}
	if len(h.sent) != 1 || !strings.Contains(h.sent[0], `"test":true`) {
		t.Errorf("the receiver got %q", h.sent)
	}
	if h.examine(t, false); len(h.sent) != 1 {
		t.Errorf("a receiver was sent a test unasked: %q", h.sent)
	}
}

func TestTheDoctorFindsEachPartThatIsBroken(t *testing.T) {
	for name, test := range map[string]struct {
		breaks        func(h *hospital)
		check         string
		status        doctor.Status
		says, mending string
	}{
		"the metric store refuses the credentials": {func(h *hospital) { h.prometheus = 401 }, "prometheus", doctor.Failed, "refuses the credentials", "prometheus.url"},
		"the metric store scrapes nothing":         {func(h *hospital) { h.targets = 0 }, "measurements", doctor.Failed, "no sample of any target", "/targets"},
		"no series names its pod":                  {func(h *hospital) { h.pods = 0 }, "measurements", doctor.Warning, "no target has a label pod", "__meta_kubernetes_pod_name"},
		"a clock is wrong":                         {func(h *hospital) { h.clock = 10 * time.Minute }, "prometheus", doctor.Failed, "ahead of", "NTP"},
		"the cluster is away":                      {func(h *hospital) { h.kubernetes = 503 }, "kubernetes", doctor.Failed, "503", "kubernetes.kubeconfig"},
		"rollbacks are not allowed":                {func(h *hospital) { h.refused = "patch" }, "permissions", doctor.Failed, "deployments.apps: patch is not allowed", "verbs: [patch]"},
		"services are not allowed":                 {func(h *hospital) { h.refused = "services" }, "permissions", doctor.Warning, "all else works", "resources: [services]"},
		"Alertmanager refuses alerts":              {func(h *hospital) { h.alertmanager = 500 }, "alertmanager URL/alertmanager", doctor.Failed, "500", "alertmanager.urls"},
		"a receiver refuses messages":              {func(h *hospital) { h.hook = 403 }, "receiver hook", doctor.Failed, "403", "make new ones"},
	} {
		t.Run(name, func(t *testing.T) {
			h := newHospital(t)
			test.breaks(h)
			r := h.examine(t, true)
			check := strings.Replace(test.check, "URL", h.url, 1)
			for _, f := range r.Findings {
				if f.Check == check && f.Status == test.status && strings.Contains(f.Message, test.says) && strings.Contains(f.Mend, test.mending) {
					return
				}
			}
			t.Errorf("not found in\n%s", doctor.Text(r))
		})
	}
}

func TestTheServerKeepsAndShowsWhatItFound(t *testing.T) {
	reg := prometheus.NewRegistry()
	found := []doctor.Finding{{Status: doctor.Failed, Message: "no answer"}}
	e := newExaminer("v1", []doctor.Check{{Name: "prometheus", Run: func(context.Context) []doctor.Finding { return found }}}, reg)
	if _, ok := e.Report(); ok {
		t.Error("there is a report before a look")
	}
	e.examine(t.Context())
	shown := func(value int) {
		t.Helper()
		want := fmt.Sprintf("# HELP watchtower_doctor_status What the last look at a part found: 0 it works, 1 it was not tried, 2 it works in part, 3 it does not work.\n# TYPE watchtower_doctor_status gauge\nwatchtower_doctor_status{check=\"prometheus\"} %d\n", value)
		if err := testutil.GatherAndCompare(reg, strings.NewReader(want), "watchtower_doctor_status"); err != nil {
			t.Error(err)
		}
	}
	shown(3)
	if r, ok := e.Report(); !ok || r.Status != doctor.Failed {
		t.Errorf("%+v, %t", r, ok)
	}
	found = nil
	e.examine(t.Context())
	shown(0)
	over, cancel := context.WithCancel(t.Context())
	cancel()
	found = []doctor.Finding{{Status: doctor.Failed, Message: "context canceled"}}
	e.examine(over)
	shown(0)
}
