package apitest

import (
	"context"
	"time"

	"github.com/watchtower-verify/watchtower/internal/release"
)

// Reports answers what is measured of workloads, by "namespace/name". Err, when
// set, is the answer to everything.
type Reports struct {
	Of  map[string]release.SignalReport
	Err error
}

// Signals answers with a workload's report or CodeNotFound.
func (r *Reports) Signals(_ context.Context, namespace, workload string) (release.SignalReport, error) {
	if r.Err != nil {
		return release.SignalReport{}, r.Err
	}
	report, ok := r.Of[namespace+"/"+workload]
	if !ok {
		return release.SignalReport{}, release.E(release.CodeNotFound, "there is no Deployment "+workload+" in namespace "+namespace, nil)
	}
	return report, nil
}

// SampleReports are a workload in the middle of a rollout and one of which
// nothing can be measured.
func SampleReports() *Reports {
	return &Reports{Of: map[string]release.SignalReport{
		"shop/webapp":  measured(),
		"batch/report": unmeasured(),
	}}
}

func measured() release.SignalReport {
	from, to := Start, Start.Add(5*time.Minute)
	p90 := 0.0893
	errors, stable := 0.03125, 0.0007
	counts := []release.Count{{Total: 512, Bad: 16}, {Total: 1405, Bad: 1}}
	query := func(signal, metric string) []release.Query {
		return []release.Query{{
			Source: "prometheus", Signal: signal, From: from, To: to,
			Expr: metric + `{namespace="shop",pod=~"webapp-(7c9f8d6b54|5f6d7c8b9d)-.{5}"}[5m]`,
		}}
	}
	return release.SignalReport{
		Workload: release.Workload{Cluster: "production", Namespace: "shop", Name: "webapp", UID: "uid-webapp"},
		From:     from, To: to, Release: "webapp-7c9f8d6b54", Stable: "webapp-5f6d7c8b9d",
		Signals: []release.SignalStatus{
			{
				Signal: release.SignalErrorRatio, SeenBy: release.SeenByServer, Measured: true, Dialect: "prometheus", Unit: release.UnitRatio,
				Why: "http_requests_total names the pod by pod and the status by code",
				Arms: []release.ArmSignal{
					{Arm: release.ArmRelease, Pods: 2, Value: &errors, Count: &counts[0], Routes: []release.RouteSignal{
						{Route: "/checkout", Count: release.Count{Total: 112, Bad: 16}}, {Route: "/", Count: release.Count{Total: 400}},
					}},
					{Arm: release.ArmStable, Pods: 4, Value: &stable, Count: &counts[1]},
				},
				Queries: query(release.SignalErrorRatio, "http_requests_total"),
			},
			{
				Signal: release.SignalLatencyP90, SeenBy: release.SeenByServer, Measured: true, Dialect: "prometheus", Unit: release.UnitSeconds,
				Why: "http_request_duration_seconds is a classic histogram",
				Arms: []release.ArmSignal{
					{Arm: release.ArmRelease, Pods: 2, Value: &p90, Count: &release.Count{Total: 512}},
					{Arm: release.ArmStable, Pods: 4, Count: &release.Count{}},
				},
				Queries: query(release.SignalLatency, "http_request_duration_seconds_bucket"),
			},
			{Signal: release.SignalCPU, Unit: release.UnitCores, Why: "no container_cpu_usage_seconds_total: have the kubelet's cAdvisor scraped"},
		},
		Notes: []string{"The pods also export prom-client; prometheus comes before it."},
	}
}

func unmeasured() release.SignalReport {
	const why = "the pods export no series with a pod label"
	return release.SignalReport{
		Workload: release.Workload{Cluster: "production", Namespace: "batch", Name: "report", UID: "uid-report"},
		From:     Start, To: Start.Add(5 * time.Minute), Stable: "report-7c9f8d6b54",
		Signals: []release.SignalStatus{
			{Signal: release.SignalErrorRatio, SeenBy: release.SeenByServer, Unit: release.UnitRatio, Why: why},
			{Signal: release.SignalThroughput, Unit: release.UnitPerSecond, Why: why},
		},
		Notes: []string{"In the scrape configuration keep the pod's name: relabel __meta_kubernetes_pod_name to pod."},
	}
}
