package release

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

func TestExplainSignals(t *testing.T) {
	from := time.Date(2026, 11, 1, 2, 0, 0, 0, time.UTC)
	half, rate, memory := 0.05, 2.5, 200e6
	base := SignalReport{Workload: Workload{Namespace: "shop", Name: "webapp"}, From: from, To: from.Add(5 * time.Minute)}
	for name, c := range map[string]struct {
		change func(*SignalReport)
		want   string
	}{
		"a release beside the stable pods": {func(r *SignalReport) {
			r.Release, r.Stable = "webapp-new", "webapp-old"
			r.Signals = []SignalStatus{
				{
					Signal: SignalErrorRatio, SeenBy: SeenByServer, Measured: true, Unit: UnitRatio, Dialect: "prometheus", Why: "Prometheus client libraries",
					Arms: []ArmSignal{
						{Arm: ArmRelease, Pods: 2, Value: &half, Count: &Count{Total: 1200, Bad: 60}, Routes: []RouteSignal{{Route: "/cart", Count: Count{Total: 1000, Bad: 60}}, {Count: Count{Total: 200}}}},
						{Arm: ArmStable, Pods: 1},
					},
					Queries: []Query{{Expr: `http_requests_total{namespace="shop"}`}},
				},
				{Signal: SignalErrorRatio, SeenBy: SeenByCallers, Unit: UnitRatio, Why: "no caller exports series that name this workload"},
				{Signal: SignalThroughput, Measured: true, Unit: UnitPerSecond, Why: "requests per second and ready pod", Arms: []ArmSignal{{Arm: ArmRelease, Pods: 2, Value: &rate}}},
				{Signal: SignalMemory, Measured: true, Unit: UnitBytes, Why: "working set per pod", Arms: []ArmSignal{{Arm: ArmRelease, Pods: 1, Value: &memory}}},
			}
			r.Notes = []string{"Health-check and metrics routes are left out, by the label handler."}
		}, `shop/webapp: its requests are counted by its pods.
From 2026-11-01 02:00:00 UTC to 02:05:00 UTC, the pods of webapp-new (release) and of webapp-old (stable).

Measured
  error ratio               release 5 % (60 of 1,200, 2 pods), stable nothing yet (1 pod)  prometheus: Prometheus client libraries
                              release /cart: 60 of 1,000                                   
                              release (other routes): 0 of 200                             
  throughput per ready pod  release 2.5/s (2 pods)                                         requests per second and ready pod
  memory per pod            release 191 MiB (1 pod)                                        working set per pod

Not measured
  error ratio as callers see it  no caller exports series that name this workload

Notes
  Health-check and metrics routes are left out, by the label handler.

Series
  http_requests_total{namespace="shop"}
`},
		"nothing at all": {func(r *SignalReport) {
			r.Signals = []SignalStatus{{Signal: SignalErrorRatio, SeenBy: SeenByServer, Why: "the pods export no request metrics that are known"}}
			r.Notes = []string{"Its pods are not scraped."}
		}, `shop/webapp: nothing can be measured but the states of its pods.
From 2026-11-01 02:00:00 UTC to 02:05:00 UTC, all pods of the workload.

Not measured
  error ratio  the pods export no request metrics that are known

Notes
  Its pods are not scraped.
`},
	} {
		t.Run(name, func(t *testing.T) {
			r := base
			c.change(&r)
			if diff := cmp.Diff(c.want, ExplainSignals(r)); diff != "" {
				t.Error(diff)
			}
		})
	}
}

func TestASignalsHeadlineSaysWhoCountsTheRequests(t *testing.T) {
	measured := func(signal, seenBy string) SignalStatus {
		return SignalStatus{Signal: signal, SeenBy: seenBy, Measured: true}
	}
	for want, signals := range map[string][]SignalStatus{
		"shop/a: its requests are counted, by its pods and by its callers.":                                                       {measured(SignalErrorRatio, SeenByServer), measured(SignalErrorRatio, SeenByCallers)},
		"shop/a: its requests are counted by its callers only.":                                                                   {measured(SignalErrorRatio, SeenByCallers)},
		"shop/a: its requests are not counted, so no release of it can be found healthy; what else is measured can only convict.": {measured(SignalMemory, "")},
	} {
		r := SignalReport{Workload: Workload{Namespace: "shop", Name: "a"}, Signals: signals}
		if got := signalsHeadline(r); got != want {
			t.Errorf("%s, want %s", got, want)
		}
	}
}

func TestBytes(t *testing.T) {
	for x, want := range map[float64]string{0: "0 B", 512: "512 B", 1536: "1.5 KiB", 200e6: "191 MiB", 3 << 30: "3 GiB"} {
		if got := Bytes(x); got != want {
			t.Errorf("%v is %q, want %q", x, got, want)
		}
	}
}
