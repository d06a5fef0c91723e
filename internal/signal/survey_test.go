package signal

import (
	"math"
	"strings"
	"testing"
	"time"

	"github.com/watchtower-verify/watchtower/internal/release"
)

func surveyed(t *testing.T, s *store, sub Subject) release.SignalReport {
	t.Helper()
	r := newTestReader(t, s)
	rep, err := r.Survey(t.Context(), sub, epoch.Add(2*time.Minute), time.Minute)
	if err != nil {
		t.Fatal(err)
	}
	if len(r.live) > 0 {
		t.Error("something is kept of the survey")
	}
	return rep
}

func statusOf(rep release.SignalReport, signal, seenBy string) release.SignalStatus {
	for _, s := range rep.Signals {
		if s.Signal == signal && (s.SeenBy == seenBy || seenBy == "") {
			return s
		}
	}
	return release.SignalStatus{}
}

func TestASurveyTellsWhatIsMeasuredAndWhy(t *testing.T) {
	s := newStore()
	busy(s)
	rep := surveyed(t, s, worldSubject())
	errors := statusOf(rep, release.SignalErrorRatio, release.SeenByServer)
	if !errors.Measured || errors.Dialect != "prometheus" || len(errors.Arms) != 2 || len(errors.Queries) != 1 {
		t.Fatalf("%+v", errors)
	}
	if a := errors.Arms[1]; a.Arm != release.ArmStable || a.Pods != 1 || a.Count.Total != 120 || *a.Value != 0 {
		t.Errorf("stable arm: %+v", a)
	}
	p90 := statusOf(rep, release.SignalLatencyP90, "")
	if !p90.Measured || *p90.Arms[0].Value != 0.1 || !strings.Contains(p90.Why, "classic histogram http_request_duration_seconds with 2 buckets") {
		t.Errorf("p90: %+v", p90)
	}
	if m := statusOf(rep, release.SignalMemory, ""); !m.Measured || *m.Arms[0].Value != 100 {
		t.Errorf("memory: %+v", m)
	}
	if c := statusOf(rep, release.SignalErrorRatio, release.SeenByCallers); !c.Measured || c.Dialect != "istio-callers" || len(c.Queries) != 1 {
		t.Errorf("callers: %+v", c)
	}
	if th := statusOf(rep, release.SignalThroughput, ""); th.Measured || !strings.Contains(th.Why, "kube_pod_status_ready") {
		t.Errorf("throughput: %+v", th)
	}
}

func TestASurveyOfAWorkloadWithoutARolloutIsOfAllItsPods(t *testing.T) {
	s := newStore()
	s.past("web-5c7bffbd-n2w4z", -time.Hour, 2, "__name__=http_requests_total", "code=200")
	sub := Subject{ID: "survey", Namespace: "shop", Workload: "web"}
	rep, err := newTestReader(t, s).Survey(t.Context(), sub, epoch.Add(time.Minute), time.Minute)
	if err != nil {
		t.Fatal(err)
	}
	if e := statusOf(rep, release.SignalErrorRatio, release.SeenByServer); !e.Measured || len(e.Arms) != 1 || e.Arms[0].Count.Total != 24 {
		t.Errorf("%+v", e)
	}
}

func TestASurveyOfWhatCannotBeMeasuredTellsWhatToChange(t *testing.T) {
	for name, c := range map[string]struct {
		fill func(*store)
		want string
	}{
		"pods that are not scraped": {func(*store) {}, "its pods are not scraped"},
		"series that do not name the pod": {func(s *store) {
			s.put(epoch.Add(time.Minute), 1, "__name__=http_requests_total", "code=200", "namespace=shop", "instance=10.0.0.1:80", "job=web")
		}, "none of the labels that would name the pod (exported_pod, pod, kubernetes_pod_name, k8s_pod_name, instance)"},
		"pods that export nothing known": {func(s *store) {
			s.put(epoch.Add(time.Minute), 1, "__name__=up", "pod="+oldPod, "namespace=shop", "job=pods")
		}, "The pods are scraped (job pods), but export none of the"},
		"requests without a status": {func(s *store) {
			s.scrapes(oldPod, 1, "__name__=http_requests_total", "handler=/")
			s.put(epoch.Add(time.Minute), 1, "__name__=up", "pod="+oldPod, "namespace=shop", "job=pods")
		}, "without any of the labels code, status, status_code"},
	} {
		t.Run(name, func(t *testing.T) {
			s := newStore()
			c.fill(s)
			rep := surveyed(t, s, worldSubject())
			if e := statusOf(rep, release.SignalErrorRatio, release.SeenByServer); e.Measured || e.Why == "" {
				t.Errorf("%+v", e)
			}
			if !strings.Contains(strings.Join(rep.Notes, "\n"), c.want) {
				t.Errorf("notes %q, want something of %q", rep.Notes, c.want)
			}
		})
	}
}

func TestASurveyThatCannotAskIsAnError(t *testing.T) {
	s := newStore()
	s.fail = func(string, time.Duration) error { return release.E(release.CodeUnavailable, "away", nil) }
	_, err := newTestReader(t, s).Survey(t.Context(), worldSubject(), epoch.Add(time.Minute), time.Minute)
	if release.ErrorCode(err) != release.CodeUnavailable {
		t.Errorf("%v", err)
	}
}

func TestQuantilesOfASurvey(t *testing.T) {
	h := Histogram{Bounds: []float64{.1, .2, math.Inf(1)}, Counts: []float64{5, 4, 1}}
	for p, want := range map[float64]float64{.5: .1, .9: .2, .99: .2, .25: .05} {
		if got := quantile(h, p, 10); !near(got, want) {
			t.Errorf("p%v is %v, want %v", p, got, want)
		}
	}
	if x := quantile(Histogram{Bounds: h.Bounds, Counts: make([]float64, 3)}, .5, 0); !math.IsNaN(x) {
		t.Errorf("of nothing %v", x)
	}
}
