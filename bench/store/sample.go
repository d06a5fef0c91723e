package main

import (
	"fmt"
	"math"
	"math/rand/v2"
	"time"

	"github.com/watchtower-verify/watchtower/internal/release"
)

// The releases end now and reach back over the retention of releases, so that
// those of the last 90 days still have their curves.
const (
	span       = 400 * 24 * time.Hour
	curvesKept = 90 * 24 * time.Hour
	workloads  = 1000
	curveTicks = 90 // a quarter of an hour at ten seconds
)

// signals are what a release of a web service is judged by.
var signals = []struct {
	name string
	unit release.Unit
	base release.Arm
}{
	{release.SignalErrorRatio, release.UnitRatio, release.ArmStable},
	{"caller_error_ratio", release.UnitRatio, release.ArmStable},
	{"latency", release.UnitRatio, release.ArmStable},
	{"throughput", release.UnitCount, release.ArmStable},
	{"cpu", release.UnitCount, release.ArmStable},
	{"memory", release.UnitCount, release.ArmStable},
	{"restarts", release.UnitCount, release.ArmStable},
	{release.SignalPodState, release.UnitCount, release.BaselineNone},
}

type sample struct {
	rel     release.Release
	verdict release.Verdict
	audit   []release.AuditRow
	actions []release.Action
}

// sampleOf is the n-th of count releases, oldest first.
func sampleOf(n, count int, end time.Time) sample {
	rng := rand.New(rand.NewPCG(1, uint64(n)))
	at := end.Add(-span + time.Duration(n)*(span/time.Duration(count))).Truncate(time.Millisecond)
	w := release.Workload{Cluster: "production", Namespace: fmt.Sprintf("team-%02d", n%40), Name: fmt.Sprintf("service-%04d", n%workloads), UID: fmt.Sprintf("5f0c7a52-93b1-4d0e-8a6d-%012d", n%workloads)}
	set := func(version int, at time.Time) release.ReplicaSet {
		hash := fmt.Sprintf("%010x", rng.Uint64()&0xffffffffff)
		return release.ReplicaSet{
			Name: w.Name + "-" + hash, UID: fmt.Sprintf("8a1d%08x-93b1-4d0e-8a6d-%012x", n, version), Hash: hash, Revision: int64(version), CreatedAt: at,
			Images: []release.Image{{
				Container: "app", Reference: fmt.Sprintf("registry.example.com/%s/%s:2026.%d", w.Namespace, w.Name, version),
				Digest:   fmt.Sprintf("sha256:%016x%016x%016x%016x", rng.Uint64(), rng.Uint64(), rng.Uint64(), rng.Uint64()),
				Revision: fmt.Sprintf("%016x%016x%08x", rng.Uint64(), rng.Uint64(), rng.Uint32()), Source: "https://git.example.com/" + w.Namespace + "/" + w.Name,
			}},
		}
	}
	version := n/workloads + 2
	current, previous := set(version, at), set(version-1, at.Add(-48*time.Hour))
	r := release.Release{
		ID: release.NewID(w.Cluster, w.UID, current.UID), Workload: w, ReplicaSet: current, Previous: &previous,
		Generation: int64(version), StartedAt: at, SeenAt: at.Add(40 * time.Millisecond), HistoryUntil: at,
	}
	kind := release.Healthy
	if n%50 == 0 {
		kind = release.Regressed
	}
	decided := at.Add(15 * time.Minute)
	v := release.Verdict{
		Release: r.ID, Kind: kind, Final: true, DecidedAt: &decided, UpdatedAt: decided, EValue: rng.Float64() * 100, Threshold: 1000,
		Summary: w.String() + " 2026." + fmt.Sprint(version) + " is no worse than the version before it",
	}
	for _, s := range signals {
		v.Evidence = append(v.Evidence, evidence(rng, s.name, s.unit, s.base, r, decided, end.Sub(at) < curvesKept))
	}
	return sample{r, v, auditOf(r, kind, at, decided), actionsOf(r, kind, decided)}
}

func evidence(rng *rand.Rand, name string, unit release.Unit, base release.Arm, r release.Release, decided time.Time, curve bool) release.Evidence {
	e, healthy := rng.ExpFloat64(), rng.ExpFloat64()*20
	out := release.Evidence{
		Signal: name, Baseline: base, EValue: &e, HealthyEValue: &healthy, BaselineValue: rng.Float64() / 100, ReleaseValue: rng.Float64() / 100, Unit: unit,
		Release: release.Count{Total: int64(rng.IntN(90_000)), Bad: int64(rng.IntN(90))}, Stable: release.Count{Total: int64(rng.IntN(270_000)), Bad: int64(rng.IntN(270))},
		Effect: &release.Effect{Ratio: 0.5 + rng.Float64(), Low: rng.Float64() / 2, High: 1 + rng.Float64()},
		Reason: "measured with the metrics of prometheus/client_golang in both arms",
	}
	for _, arm := range []string{r.ReplicaSet.Name, r.Previous.Name} {
		out.Queries = append(out.Queries, release.Query{
			Source: "prometheus", From: r.StartedAt, To: decided,
			Expr: fmt.Sprintf(`http_requests_total{namespace="%s",pod=~"%s-(2x7ab|k8s3d|p0qw1)"}[30s]`, r.Workload.Namespace, arm),
		})
	}
	if !curve {
		return out
	}
	var sum release.Count
	for i := range curveTicks {
		c := release.Count{Total: int64(900 + rng.IntN(200)), Bad: int64(rng.IntN(3))}
		sum = sum.Add(c)
		value, was := c.Ratio(), rng.Float64()/500
		out.Curve = append(out.Curve, release.Point{
			At: r.StartedAt.Add(time.Duration(i) * 10 * time.Second), Release: c, Stable: release.Count{Total: c.Total * 3, Bad: int64(rng.IntN(6))},
			ReleaseValue: &value, BaselineValue: &was, EValue: math.Exp(rng.NormFloat64()),
		})
	}
	return out
}

func auditOf(r release.Release, kind release.VerdictKind, at, decided time.Time) []release.AuditRow {
	row := func(at time.Time, what, outcome, why string) release.AuditRow {
		return release.AuditRow{At: at, Actor: "watchtower", Release: r.ID, What: what, Outcome: outcome, Why: why}
	}
	out := []release.AuditRow{
		row(at, "release_seen", "observing", "ReplicaSet "+r.ReplicaSet.Name+" runs other images than the one it takes over from; autonomy is auto"),
		row(at.Add(time.Minute), "verdict", "pending", r.Workload.String()+" is being watched"),
		row(decided, "verdict", string(kind)+", final", r.Workload.String()+" is no worse than the version before it (every signal is below what is tolerated)"),
	}
	if kind == release.Regressed {
		for _, what := range []string{"decision", "rollback", "alert", "event", "issue", "restored"} {
			out = append(out, row(decided, what, "done", "the release regressed, and policy \"default\" has autonomy auto"))
		}
	}
	return out
}

func actionsOf(r release.Release, kind release.VerdictKind, at time.Time) []release.Action {
	if kind != release.Regressed {
		return nil
	}
	var out []release.Action
	for _, k := range []release.ActionKind{release.ActionRollback, release.ActionAlert, release.ActionEvent, release.ActionIssue} {
		out = append(out, release.Action{
			Key: release.ActionKey(r.ID, k), Release: r.ID, Kind: k, State: release.ActionDone, Detail: "put back " + r.Previous.Name,
			URL: "https://git.example.com/team/service/issues/12", CreatedAt: at, UpdatedAt: at, Attempts: 1,
		})
	}
	return out
}
