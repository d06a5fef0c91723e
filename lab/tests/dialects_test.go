package tests

import (
	"context"
	"strings"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/watchtower-verify/watchtower/lab/deployment"
	"github.com/watchtower-verify/watchtower/lab/ledger"
	"github.com/watchtower-verify/watchtower/lab/service"
)

// dialects are those of the sample service.
var dialects = []string{
	"prometheus", "prometheus-native", "summary", "node", "otel", "otel-native", "otel-old", "otel-old-bare",
	"otel-rpc", "otel-rpc-old", "grpc", "grpc-otel", "istio", "linkerd", "envoy", "spring", "spring-buckets",
	"aspnet", "django", "flask", "rails", "yabeda", "rack",
}

// perWorkload is the traffic of one of many workloads, in requests per second:
// all dialects together are to leave the machine time for the other tests.
const perWorkload = 15

// beyondDoubt is how long a verdict may take where many workloads of a namespace roll out
// at once: a failure of the last old pods may be that of trouble of both, which lasts ten
// minutes at most, and the others are waited for.
const beyondDoubt = 13 * time.Minute

// unhurried watches for longer than that.
func unhurried(c *service.Config) {
	c.Policy = strings.Replace(fastPolicy, "observe: 10m", "observe: 20m", 1)
}

// Every dialect's failures must be found by looking at what the pods export. All
// are workloads of one cluster that one Watchtower watches.
func TestABadReleaseIsRolledBackInEveryDialect(t *testing.T) {
	t.Parallel()
	s := newScene(t, unhurried)
	s.start()
	crowd(func() {
		for _, d := range dialects {
			s.of(t, d).deploy(good, speaks(d, 2))
		}
		for _, d := range dialects {
			s.of(t, d).rolled()
		}
	})
	for _, d := range dialects {
		s.of(t, d).traffic(perWorkload)
	}
	time.Sleep(25 * time.Second) // a past
	for _, d := range dialects { // all at once: the tests below only wait
		s.of(t, d).deploy(bad, nil)
	}
	for _, d := range dialects {
		t.Run(d, func(t *testing.T) {
			s := s.of(t, d)
			rec := s.verdict(bad, beyondDoubt, "regressed")
			if e := found(rec, "error_ratio", "server"); e == nil || e.Dialect == "" || e.Release.Bad == 0 {
				t.Errorf("the failures were not seen: %+v", rec.Verdict.Evidence)
			}
			s.settled(bad, "rollback", "done", time.Minute)
			s.rolled()
			s.runs(good)
		})
	}
}

// What is counted is what the pods served, to the last request and failure: both
// arms run side by side, and once there is no more traffic and the last scrape
// was read, the evidence and the pods' own logs say the same.
func TestCountsAreThoseOfThePodsLogs(t *testing.T) {
	t.Parallel()
	s := newScene(t, func(c *service.Config) { c.Policy = observing })
	s.start()
	crowd(func() {
		for _, d := range dialects {
			s.of(t, d).deploy(good, func(spec *deployment.Spec) {
				speaks(d, 1)(spec)
				spec.Env["BASE_ERROR_RATE"] = "0.05" // of both arms: with a regression the counting would end
			})
		}
		for _, d := range dialects {
			s.of(t, d).rolled()
		}
	})
	for _, d := range dialects {
		// The new pod is ready and long not available: the old one stays.
		s.of(t, d).deploy(better, func(spec *deployment.Spec) { spec.MinReadySeconds = ptr(int32(500)) })
	}
	for _, d := range dialects {
		one := s.of(t, d)
		one.wait(better, 30*time.Second, "sight", always)
		one.readyPods(2, 4*time.Minute)
	}
	time.Sleep(12 * time.Second) // every pod is scraped before its first request
	var stops []func()
	for _, d := range dialects {
		stops = append(stops, s.of(t, d).traffic(perWorkload))
	}
	time.Sleep(20 * time.Second)
	for _, stop := range stops {
		stop()
	}
	for _, d := range dialects {
		t.Run(d, func(t *testing.T) { s.of(t, d).agrees(better, 90*time.Second) })
	}
	time.Sleep(7 * time.Second) // a tick and a scrape: nothing comes after
	for _, d := range dialects {
		t.Run("still "+d, func(t *testing.T) { s.of(t, d).agrees(better, 15*time.Second) })
	}
}

// observing is fastPolicy that only looks on.
const observing = `autonomy: observe
observe: 10m
warmup: 0s
history: 10m
source_grace: 10s
ready_within: 5m`

// speaks is a Deployment of the sample service in a dialect.
func speaks(dialect string, replicas int32) func(*deployment.Spec) {
	return func(d *deployment.Spec) {
		d.Replicas, d.Service = ptr(replicas), true
		d.Env = map[string]string{"METRICS_DIALECT": dialect}
	}
}

// found is the evidence of a signal by who counted, nil if there is none; of
// several baselines the one that weighs most.
func found(rec *service.Record, signal, seenBy string) *service.Evidence {
	var out *service.Evidence
	for i, e := range rec.Verdict.Evidence {
		if e.Signal != signal || e.SeenBy != seenBy {
			continue
		}
		if out == nil || weight(&e) > weight(out) {
			out = &rec.Verdict.Evidence[i]
		}
	}
	return out
}

func weight(e *service.Evidence) float64 {
	if e.EValue == nil {
		return 0
	}
	return *e.EValue
}

// readyPods waits until so many pods of the workload are ready.
func (s *scene) readyPods(want int, limit time.Duration) {
	s.t.Helper()
	ctx, cancel := context.WithTimeout(s.t.Context(), limit)
	defer cancel()
	ready := 0
	for ; ready != want; time.Sleep(200 * time.Millisecond) {
		pods, err := theLab.Client().CoreV1().Pods(s.ns).List(ctx, metav1.ListOptions{LabelSelector: "app=" + s.name})
		if err != nil {
			s.t.Fatalf("%d of %d pods of %s are ready: %v", ready, want, s.name, err)
		}
		ready = 0
		for _, p := range pods.Items {
			for _, c := range p.Status.Conditions {
				if c.Type == corev1.PodReady && c.Status == corev1.ConditionTrue {
					ready++
				}
			}
		}
	}
}

// agrees waits until the evidence of a release counts what the logs of both
// arms' pods have.
func (s *scene) agrees(image string, limit time.Duration) {
	s.t.Helper()
	rec := s.wait(image, 15*time.Second, "sight", always)
	if rec.Release.Previous == nil {
		s.t.Fatal("the release has no previous ReplicaSet")
	}
	truth, err := ledger.Read(theLab.Info().StateDir, s.ns, s.name)
	if err != nil {
		s.t.Fatal(err)
	}
	release, stable := truth.Of(rec.Release.ReplicaSet.Name), truth.Of(rec.Release.Previous.Name)
	if release.Total < 50 || stable.Total < 50 || release.Failed+stable.Failed == 0 {
		s.t.Fatalf("there was too little traffic: %+v and %+v", release, stable)
	}
	counts := func(rec *service.Record) (r, b ledger.Sum) {
		for _, e := range rec.Verdict.Evidence {
			if e.Signal == "error_ratio" && e.SeenBy == "server" && e.Baseline == "stable" {
				return ledger.Sum{Total: e.Release.Total, Failed: e.Release.Bad}, ledger.Sum{Total: e.Stable.Total, Failed: e.Stable.Bad}
			}
		}
		return r, b
	}
	ctx, cancel := context.WithTimeout(s.t.Context(), limit)
	defer cancel()
	rec, err = s.Wait(ctx, s.ns, s.name, image, func(rec *service.Record) bool {
		r, b := counts(rec)
		return r == release && b == stable
	})
	if err != nil {
		var r, b ledger.Sum
		if rec != nil {
			r, b = counts(rec)
			s.t.Logf("%s: %s; evidence %+v, findings %+v", rec.Verdict.Kind, rec.Verdict.Reason, rec.Verdict.Evidence, rec.Verdict.Findings)
		}
		s.t.Fatalf("the release's pods served %+v and are counted %+v, the stable ones served %+v and are counted %+v", release, r, stable, b)
	}
}
