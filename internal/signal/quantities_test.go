package signal

import (
	"math"
	"strings"
	"testing"
	"time"

	"github.com/watchtower-verify/watchtower/internal/release"
)

// exported puts a series by which an exporter tells of a pod, every 10 s from
// before the release on.
func (s *store) exported(pod string, value func(since time.Duration) float64, pairs ...string) {
	for at := epoch.Add(-3 * time.Minute).Add(3 * time.Second); !at.After(epoch.Add(2 * time.Minute)); at = at.Add(10 * time.Second) {
		if pod == newPod && at.Before(epoch.Add(20*time.Second)) {
			continue
		}
		s.put(at, value(at.Sub(epoch)), append(pairs, "pod="+pod, "namespace=shop")...)
	}
}

func quantityOf(t *testing.T, res Result, name string) (rel, stable release.Measure) {
	t.Helper()
	for _, rd := range res.Readings {
		q := rd.Quantities[name]
		var pods release.Measure
		for _, m := range q.Release.Pods {
			pods = pods.Add(m)
		}
		if pods != q.Release.Measure {
			t.Fatalf("the pods of %s do not add up: %+v, %+v", name, pods, q.Release.Measure)
		}
		rel, stable = rel.Add(q.Release.Measure), stable.Add(q.Stable.Measure)
	}
	return rel, stable
}

func near(a, b float64) bool { return math.Abs(a-b) <= 1e-6*math.Abs(b) }

func withRequests(s *store) {
	for _, pod := range []string{oldPod, newPod} {
		s.scrapes(pod, 10, "__name__=http_requests_total", "code=200", "pod="+pod, "namespace=shop") // 2 per second
	}
}

func TestProcessorTimeIsPerRequest(t *testing.T) {
	s := newStore()
	withRequests(s)
	cpu := func(cores float64) func(time.Duration) float64 {
		return func(since time.Duration) float64 { return 1000 + cores*since.Seconds() }
	}
	for _, exporter := range []string{"a", "b"} { // two scrapers count once
		s.exported(oldPod, cpu(0.2), "__name__=container_cpu_usage_seconds_total", "container=web", "instance=node-"+exporter, "job=kubelet")
		s.exported(newPod, cpu(0.5), "__name__=container_cpu_usage_seconds_total", "container=web", "instance=node-"+exporter, "job=kubelet")
		s.exported(newPod, cpu(7), "__name__=container_cpu_usage_seconds_total", "container=", "instance=node-"+exporter, "job=kubelet")
	}
	res := readAll(t, s, worldSubject())
	rel, stable := quantityOf(t, res, release.SignalCPU)
	if !res.PerRequest || math.Abs(stable.Value()-0.1) > 0.01 {
		t.Errorf("stable pods take %v core-seconds per request, want 0.1", stable.Value())
	}
	// The release's first scrape holds all it used since its birth.
	if rel.Value() < 0.25 {
		t.Errorf("release pods take %v core-seconds per request, want 0.25 and what they began with", rel.Value())
	}
}

func TestProcessorTimeIsPerPodWhereNoRequestsAreCounted(t *testing.T) {
	s := newStore()
	s.exported(oldPod, func(since time.Duration) float64 { return 1000 + since.Seconds()/4 }, "__name__=container_cpu_usage_seconds_total", "container=web")
	_, stable := quantityOf(t, readAll(t, s, worldSubject()), release.SignalCPU)
	if math.Abs(stable.Value()-0.25) > 0.05 {
		t.Errorf("%v cores per pod, want 0.25", stable.Value())
	}
}

func TestMemoryIsTheSumOfAPodsContainers(t *testing.T) {
	s := newStore()
	withRequests(s)
	s.exported(oldPod, func(time.Duration) float64 { return 100 }, "__name__=container_memory_working_set_bytes", "container=web")
	s.exported(oldPod, func(time.Duration) float64 { return 20 }, "__name__=container_memory_working_set_bytes", "container=proxy")
	s.exported(oldPod, func(time.Duration) float64 { return 500 }, "__name__=container_memory_working_set_bytes", "container=POD")
	s.exported(newPod, func(time.Duration) float64 { return 300 }, "__name__=container_memory_working_set_bytes", "container=web")
	rel, stable := quantityOf(t, readAll(t, s, worldSubject()), release.SignalMemory)
	if rel.Value() != 300 || stable.Value() != 120 {
		t.Errorf("%v and %v bytes per pod, want 300 and 120", rel.Value(), stable.Value())
	}
}

func TestThroughputIsRequestsOverReadySeconds(t *testing.T) {
	s := newStore()
	withRequests(s)
	ready := func(from time.Duration) func(time.Duration) float64 {
		return func(since time.Duration) float64 { return map[bool]float64{true: 1}[since >= from] }
	}
	for pod, from := range map[string]time.Duration{oldPod: -time.Hour, newPod: time.Minute} {
		s.exported(pod, ready(from), "__name__=kube_pod_status_ready", "condition=true")
		s.exported(pod, func(time.Duration) float64 { return 1 }, "__name__=kube_pod_status_ready", "condition=false")
	}
	rel, stable := quantityOf(t, readAll(t, s, worldSubject()), release.SignalThroughput)
	if stable.Sum != 240 || stable.Weight != 120 {
		t.Errorf("stable %+v, want 240 requests in 120 s", stable)
	}
	if rel.Weight < 50 || rel.Weight > 70 {
		t.Errorf("release %+v, want about 60 s", rel)
	}
}

// A pod that goes is still within the look-back for a while, and so are its
// requests; its readiness is not.
func TestAPodIsNotReadyOnceItIsGone(t *testing.T) {
	const gone = 40 * time.Second
	for name, offset := range map[string]time.Duration{"one exporter": 0, "two that share the pods": 6 * time.Second} {
		t.Run(name, func(t *testing.T) {
			s := newStore()
			withRequests(s)
			tell := func(pod string, from, to, offset time.Duration) {
				for at := from + 3*time.Second + offset; at < to; at += 10 * time.Second {
					s.put(epoch.Add(at), 1, "__name__=kube_pod_status_ready", "condition=true", "pod="+pod, "namespace=shop")
				}
			}
			tell(newPod, 20*time.Second, 2*time.Minute, 0)
			tell(oldPod, -3*time.Minute, gone, offset)
			rel, stable := quantityOf(t, readAll(t, s, worldSubject()), release.SignalThroughput)
			if stable.Weight < gone.Seconds() || stable.Weight > gone.Seconds()+20 {
				t.Errorf("a pod that went after %s was ready for %g s", gone, stable.Weight)
			}
			if rel.Weight < 90 {
				t.Errorf("the one that stayed was ready for %g s", rel.Weight)
			}
		})
	}
}

func TestAPodIsReadyWhileItsExporterIsSilent(t *testing.T) {
	s := newStore()
	withRequests(s)
	for _, pod := range []string{oldPod, newPod} { // every 30 s, in ticks of 15 s, and once missed
		for _, at := range []time.Duration{-60, -30, 0, 30, 90} {
			s.put(epoch.Add(at*time.Second+4*time.Second), 1, "__name__=kube_pod_status_ready", "condition=true", "pod="+pod, "namespace=shop")
		}
	}
	_, stable := quantityOf(t, readAll(t, s, worldSubject()), release.SignalThroughput)
	if stable.Weight != 120 {
		t.Errorf("ready for %g s of 120", stable.Weight)
	}
}

func TestWithoutAnExporterKubernetesTellsWhichPodsAreReady(t *testing.T) {
	s := newStore()
	withRequests(s)
	sub := worldSubject()
	sub.Pods = []Pod{{Name: oldPod, Arm: release.ArmStable, ReadyAt: epoch.Add(-time.Hour)}, {Name: newPod, Arm: release.ArmRelease, ReadyAt: epoch.Add(time.Minute)}}
	rel, stable := quantityOf(t, readAll(t, s, sub), release.SignalThroughput)
	if stable.Sum != 240 || stable.Weight != 120 || rel.Weight != 60 {
		t.Errorf("release %+v, stable %+v", rel, stable)
	}
}

func TestAReadyPodThatFinishesNothingHasExposureAndNoRequests(t *testing.T) {
	s := newStore()
	s.scrapes(oldPod, 10, "__name__=http_requests_total", "code=200", "pod="+oldPod, "namespace=shop")
	for _, pod := range []string{oldPod, newPod} {
		s.exported(pod, func(time.Duration) float64 { return 1 }, "__name__=kube_pod_status_ready", "condition=true")
	}
	rel, stable := quantityOf(t, readAll(t, s, worldSubject()), release.SignalThroughput)
	if rel.Sum != 0 || rel.Weight < 90 || stable.Value() != 2 {
		t.Errorf("release %+v, stable %+v", rel, stable)
	}
}

func TestRestartsAndEndsForWantOfMemory(t *testing.T) {
	s := newStore()
	withRequests(s)
	s.exported(oldPod, func(time.Duration) float64 { return 3 }, "__name__=kube_pod_container_status_restarts_total", "container=web")
	s.exported(newPod, func(since time.Duration) float64 { return math.Floor(since.Seconds() / 40) }, "__name__=kube_pod_container_status_restarts_total", "container=web")
	s.exported(newPod, func(since time.Duration) float64 { return map[bool]float64{true: 1}[since > time.Minute] }, "__name__=kube_pod_container_status_last_terminated_reason", "reason=OOMKilled", "container=web")
	res := readAll(t, s, worldSubject())
	rel, stable := release.Count{}, release.Count{}
	killed := 0
	for _, rd := range res.Readings {
		rel, stable = rel.Add(rd.Restarts.Release.Count), stable.Add(rd.Restarts.Stable.Count)
		killed = max(killed, rd.OOMKilled[armRelease])
	}
	if rel.Bad != 2 || stable.Bad != 0 || stable.Total != 120 || killed != 1 {
		t.Errorf("restarts %+v and %+v, %d killed", rel, stable, killed)
	}
}

func TestTheMeanIsMeasuredWhereLatenciesHaveNoBuckets(t *testing.T) {
	s := newStore()
	for pod, mean := range map[string]float64{oldPod: 0.1, newPod: 0.3} {
		labels := []string{"http_response_status_code=200", "pod=" + pod, "namespace=shop"}
		s.scrapes(pod, 5, append(labels, "__name__=http_server_request_duration_seconds_count")...)
		s.scrapes(pod, 5*mean, append(labels, "__name__=http_server_request_duration_seconds_sum")...)
	}
	res := readAll(t, s, worldSubject())
	rel, stable := quantityOf(t, res, release.SignalLatencyMean)
	if !near(rel.Value(), 0.3) || !near(stable.Value(), 0.1) || rel.Weight != 105 {
		t.Errorf("means %+v and %+v", rel, stable)
	}
	if res.Readings[4].Latency != nil {
		t.Error("and a histogram")
	}
}

func TestUsersOwnCountersAndGauges(t *testing.T) {
	s := newStore()
	for pod, step := range map[string]float64{oldPod: 5, newPod: 15} {
		s.scrapes(pod, step, "__name__=jobs_total", "pod="+pod, "namespace=shop")
		s.exported(pod, func(time.Duration) float64 { return step }, "__name__=queue_length")
	}
	sub := worldSubject()
	sub.Custom = []release.CustomSignal{{Name: "jobs", Counter: "jobs_total"}, {Name: "queue", Gauge: "queue_length"}}
	res := readAll(t, s, sub)
	rel, stable := quantityOf(t, res, "jobs")
	if !near(stable.Value(), 1) || rel.Value() < 2.5 {
		t.Errorf("jobs per second and pod: %v and %v, want 3 and 1", rel.Value(), stable.Value())
	}
	rel, stable = quantityOf(t, res, "queue")
	if rel.Value() != 15 || stable.Value() != 5 {
		t.Errorf("queue: %v and %v, want 15 and 5", rel.Value(), stable.Value())
	}
	for _, q := range res.Queries {
		if !strings.Contains(q.Expr, `namespace="shop"`) {
			t.Errorf("%s is not narrowed", q.Expr)
		}
	}
}
