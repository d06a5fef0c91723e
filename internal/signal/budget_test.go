package signal

import (
	"context"
	"fmt"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/watchtower-verify/watchtower/internal/release"
	"github.com/watchtower-verify/watchtower/internal/signal/samples"
)

// busy is a shop with everything: requests, latencies, what exporters and callers
// tell.
func busy(s *store) {
	withRequests(s)
	for _, pod := range []string{oldPod, newPod} {
		s.scrapes(pod, 10, "__name__=http_request_duration_seconds_bucket", "le=+Inf", "pod="+pod, "namespace=shop")
		s.scrapes(pod, 5, "__name__=http_request_duration_seconds_bucket", "le=0.1", "pod="+pod, "namespace=shop")
		s.exported(pod, func(time.Duration) float64 { return 100 }, "__name__=container_memory_working_set_bytes", "container=web")
	}
	s.calls(1, "__name__=istio_requests_total", "reporter=source", "destination_workload=web", "destination_workload_namespace=shop", "response_code=200")
}

func TestASourceThatCannotKeepUpIsAskedForLessBesideTheRequests(t *testing.T) {
	for name, fault := range map[string]error{
		"429":      release.E(release.CodeRateLimited, "the source is asked too often", nil),
		"time-out": release.E(release.CodeUnavailable, "no answer in time", context.DeadlineExceeded),
	} {
		t.Run(name, func(t *testing.T) {
			s := newStore()
			busy(s)
			r := newTestReader(t, s)
			asked := map[string]bool{}
			read := func(tick int) Result {
				s.asked()
				res := r.Read(t.Context(), epoch.Add(time.Duration(tick)*testTick), []Subject{worldSubject()})["r1"]
				clear(asked)
				for _, q := range s.asked() {
					name, _, _ := strings.Cut(q, "{")
					asked[name] = true
				}
				return res
			}
			read(1)
			s.fail = func(q string, _ time.Duration) error {
				if strings.HasPrefix(q, "container_") || strings.HasPrefix(q, "istio_") {
					return fault
				}
				return nil
			}
			res := read(2)
			if res.Err != nil || res.Readings[0].Errors == nil || res.Readings[0].Latency == nil || res.Readings[0].Quantities[release.SignalMemory].Stable.Weight != 0 {
				t.Fatalf("%v, %+v", res.Err, res.Readings)
			}
			if !strings.Contains(strings.Join(res.Notes, "\n"), "Not read in the last look: ") {
				t.Errorf("notes %q", res.Notes)
			}
			read(3)
			if asked["container_memory_working_set_bytes"] || !asked["http_requests_total"] || !asked["http_request_duration_seconds_bucket"] {
				t.Errorf("asked for %v after a complaint about exporters", asked)
			}
			s.fail = nil
			for tick := 4; tick <= 4+2*widenAfter; tick++ {
				res = read(tick)
			}
			if !asked["container_memory_working_set_bytes"] || strings.Contains(strings.Join(res.Notes, "\n"), "Not read") {
				t.Errorf("asked for %v when all was well again; %q", asked, res.Notes)
			}
		})
	}
}

func TestAQueryIsNoLongerThanTheSourceTakes(t *testing.T) {
	s := newStore()
	subjects := shops(s, 60)
	for i := range subjects {
		for j := range 20 {
			subjects[i].Pods = append(subjects[i].Pods, Pod{Name: fmt.Sprintf("%s-abc%02d", subjects[i].Stable, j), Arm: release.ArmStable})
		}
		subjects[i].Pods = append(subjects[i].Pods, Pod{Name: newPod, Arm: release.ArmRelease}, Pod{Name: oldPod, Arm: release.ArmStable})
	}
	r := NewReader(builtin(t), s, Options{Tick: testTick, Limits: samples.Limits{QueryBytes: 4 << 10}})
	for tick := 1; tick <= 3; tick++ {
		s.asked()
		for id, res := range r.Read(t.Context(), epoch.Add(time.Duration(tick)*testTick), subjects) {
			if res.Err != nil {
				t.Fatalf("%s: %v", id, res.Err)
			}
		}
	}
	for _, q := range s.asked() {
		if len(q) > 6<<10 {
			t.Errorf("a query of %d bytes", len(q))
		}
	}
}

func TestAQueryIsForNoMoreSamplesThanAllowed(t *testing.T) {
	s := newStore()
	subjects := shops(s, 20)
	r := NewReader(builtin(t), s, Options{Tick: testTick, Limits: samples.Limits{Samples: 30}})
	for tick := 1; tick <= 3; tick++ {
		s.asked()
		r.Read(t.Context(), epoch.Add(time.Duration(tick)*testTick), subjects)
	}
	// A release has two series, of which up to four samples are to be expected.
	if n := len(s.asked()); n < 5 || n > 20 {
		t.Errorf("%d queries for 20 releases", n)
	}
}

func TestNothingIsAskedForThatWouldSelectTheWholeCluster(t *testing.T) {
	for name, sub := range map[string]Subject{
		"no ReplicaSets":               {ID: "r1", Namespace: "shop", Workload: "web", StartedAt: epoch},
		"nothing at all":               {ID: "r1", StartedAt: epoch},
		"a release without its pods":   {ID: "r1", Namespace: "shop", Workload: "web", StartedAt: epoch, Stable: ""},
		"the same ReplicaSet in both":  {ID: "r1", Namespace: "shop", Workload: "web", Release: "web-a", Stable: "web-a", StartedAt: epoch},
		"an empty name of a workload":  {ID: "r1", Namespace: "shop", Release: "web-new", Stable: "web-stable", StartedAt: epoch},
		"and one with a user's signal": {ID: "r1", Namespace: "shop", StartedAt: epoch, Custom: []release.CustomSignal{{Name: "x", Bad: "a", Total: "b"}, {Name: "y", Gauge: "sum by (pod, namespace) (c)"}}},
	} {
		t.Run(name, func(t *testing.T) {
			s := newStore()
			withRequests(s)
			s.put(epoch.Add(time.Second), 5, "__name__=http_requests_total", "code=500", "job=nodes")
			r := newTestReader(t, s)
			// By a pod, by a label that names the workload, or within its namespace.
			narrow := regexp.MustCompile(`(pod|pod_name|instance)=~?"[^"]|=~?"[^"]*web|namespace(_name)?="shop"`)
			s.fail = func(q string, _ time.Duration) error {
				if !narrow.MatchString(q) {
					t.Errorf("asked for %s", q)
				}
				return nil
			}
			r.Read(t.Context(), epoch.Add(testTick), []Subject{sub})
			r.Read(t.Context(), epoch.Add(2*testTick), []Subject{sub})
			r.History(t.Context(), []Subject{sub}, time.Minute)
			if _, err := r.Survey(t.Context(), sub, epoch.Add(2*testTick), time.Minute); err != nil {
				t.Error(err)
			}
		})
	}
}

func TestPodsThatAreKnownAreAskedForByName(t *testing.T) {
	s := newStore()
	withRequests(s)
	sub := worldSubject()
	sub.Pods = []Pod{{Name: newPod, Arm: release.ArmRelease}, {Name: oldPod, Arm: release.ArmStable}}
	r := newTestReader(t, s)
	var res []Reading
	for tick := 1; tick <= 8; tick++ {
		s.asked()
		res = append(res, r.Read(t.Context(), epoch.Add(time.Duration(tick)*testTick), []Subject{sub})["r1"].Readings...)
		if tick == 4 { // a pod that Kubernetes was slow to tell of
			sub.Pods = append(sub.Pods, Pod{Name: "web-new-pod99", Arm: release.ArmRelease})
		}
	}
	for _, q := range s.asked() {
		if !strings.Contains(q, `pod=~"web-new-pod01|web-new-pod99|web-stable-pod01"`) {
			t.Errorf("asked for %s", q)
		}
	}
	rel, stable := totals(Result{Readings: res})
	if rel.Total != 210 || stable.Total != 240 {
		t.Errorf("counted %+v and %+v", rel, stable)
	}
}

func TestAPodThatIsScrapedBeforeKubernetesToldOfItIsCountedWhole(t *testing.T) {
	s := newStore()
	withRequests(s)
	sub := worldSubject()
	sub.Pods = []Pod{{Name: oldPod, Arm: release.ArmStable}}
	r := newTestReader(t, s)
	var res []Reading
	for tick := 1; tick <= 8; tick++ {
		res = append(res, r.Read(t.Context(), epoch.Add(time.Duration(tick)*testTick), []Subject{sub})["r1"].Readings...)
		if tick == 5 {
			sub.Pods = append(sub.Pods, Pod{Name: newPod, Arm: release.ArmRelease})
		}
	}
	if rel, _ := totals(Result{Readings: res}); rel.Total != 210 {
		t.Errorf("counted %+v, want 210", rel)
	}
}

func TestLongNamesAreToldApartByWhatKubernetesSays(t *testing.T) {
	long := strings.Repeat("a", 50)
	old, young := long[:50]+"-5c7bffbx2x4z", long[:50]+"-5c7bffbn2w4z"
	s := newStore()
	for pod, step := range map[string]float64{old: 3, young: 7} {
		s.scrapes(pod, step, "__name__=http_requests_total", "code=200", "pod="+pod, "namespace=shop")
	}
	sub := Subject{ID: "r1", Namespace: "shop", Workload: long, Release: long + "-5c7bffbd9d", Stable: long + "-5c7bffb6d5", StartedAt: epoch.Add(time.Second)}
	if res := readAll(t, s, sub); !strings.Contains(strings.Join(res.Notes, ""), "begin alike") {
		t.Errorf("without the pods: %q", res.Notes)
	}
	sub.Pods = []Pod{{Name: young, Arm: release.ArmRelease}, {Name: old, Arm: release.ArmStable}}
	res := readAll(t, s, sub)
	if rel, stable := totals(res); rel.Total < 7*24 || stable.Total != 3*24 {
		t.Errorf("counted %+v and %+v; %q", rel, stable, res.Notes)
	}
}

func TestPodsMayBeNamedByTheAddressTheyAreScrapedAt(t *testing.T) {
	s := newStore()
	for pod, ip := range map[string]string{oldPod: "10.0.0.1:8080", newPod: "10.0.0.2"} {
		for at, v := epoch.Add(-time.Minute), 100.0; at.Before(epoch.Add(2 * time.Minute)); at = at.Add(5 * time.Second) {
			v++
			s.put(at, v, "__name__=http_requests_total", "code=200", "instance="+ip, "job=static")
			s.put(at, v, "__name__=http_requests_total", "code=500", "instance=10.0.0.3:8080", "job=static")
			_ = pod
		}
	}
	sub := worldSubject()
	sub.Pods = []Pod{{Name: newPod, IP: "10.0.0.2", Arm: release.ArmRelease}, {Name: oldPod, IP: "10.0.0.1", Arm: release.ArmStable}}
	res := readAll(t, s, sub)
	rel, stable := totals(res)
	if stable.Total != 23 || stable.Bad+rel.Bad != 0 || rel.Total == 0 {
		t.Errorf("counted %+v and %+v; %q", rel, stable, res.Notes)
	}
}

func TestAnAddressThatWasAnotherPodsBeforeIsNotCountedForThisOne(t *testing.T) {
	s := newStore()
	for at, v := epoch.Add(-time.Minute), 0.0; at.Before(epoch.Add(2 * time.Minute)); at = at.Add(5 * time.Second) {
		if v += 10; at.Equal(epoch.Add(65 * time.Second)) {
			v = 10 // another process has the address now
		}
		s.put(at, v, "__name__=http_requests_total", "code=200", "instance=10.0.0.2:8080", "job=static")
	}
	sub := worldSubject()
	sub.Pods = []Pod{{Name: newPod, IP: "10.0.0.2", Arm: release.ArmRelease, CreatedAt: epoch.Add(62 * time.Second)}}
	if rel, _ := totals(readAll(t, s, sub)); rel.Total != 110 {
		t.Errorf("counted %+v, want 110", rel)
	}
}

func TestAMetricThatIsDeclaredAGaugeIsNotCounted(t *testing.T) {
	s := newStore()
	withRequests(s)
	s.types["http_requests_total"] = []string{"gauge"}
	res := readAll(t, s, worldSubject())
	if rel, stable := totals(res); rel.Total+stable.Total != 0 || !strings.Contains(strings.Join(res.Notes, ""), "http_requests_total is declared to be a gauge") {
		t.Errorf("counted %+v and %+v; %q", rel, stable, res.Notes)
	}
}

func TestACounterThatFallsAgainAndAgainIsSaidToBeSuspicious(t *testing.T) {
	s := newStore()
	for i := range 60 {
		s.put(epoch.Add(time.Duration(i-30)*5*time.Second), float64(10+(i%2)*5), "__name__=http_requests_total", "code=200", "pod="+oldPod, "namespace=shop")
	}
	r := newTestReader(t, s)
	r.Read(t.Context(), epoch.Add(2*time.Minute), []Subject{worldSubject()})
	res := r.Read(t.Context(), epoch.Add(2*time.Minute+testTick), []Subject{worldSubject()})["r1"]
	if !strings.Contains(strings.Join(res.Notes, ""), "If nothing restarts so often it is no counter") {
		t.Errorf("notes %q", res.Notes)
	}
}
