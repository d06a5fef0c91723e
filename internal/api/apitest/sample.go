package apitest

import (
	"crypto/sha1" // as commits are named
	"crypto/sha256"
	"fmt"
	"math"
	"math/rand/v2"
	"time"

	"github.com/watchtower-verify/watchtower/internal/release"
	"github.com/watchtower-verify/watchtower/internal/store"
)

// Start is when the newest of the sample releases began.
var Start = time.Date(2026, 3, 2, 10, 15, 0, 0, time.UTC)

// Sample is a cluster's last releases, one of each verdict and kind, newest
// first.
func Sample() *Memory {
	m := &Memory{Entries: []Entry{
		Regressed(), pending(), crashing(), sourceBroken(), healthy(), insufficient(),
	}}
	for i := range m.Entries {
		e := &m.Entries[i]
		e.Verdict.Summary = release.Headline(e.Release, e.Verdict)
	}
	return m
}

// digest looks like that of an image, and differs with the name.
func digest(name string) string { return fmt.Sprintf("sha256:%x", sha256.Sum256([]byte(name))) }

func replicaSet(app, hash, tag string, revision int64, at time.Time) release.ReplicaSet {
	return release.ReplicaSet{
		Name: app + "-" + hash, UID: "uid-" + hash, Hash: hash, Revision: revision, CreatedAt: at,
		Images: []release.Image{
			{
				Container: app, Reference: "registry.example.com/mycompany/" + app + ":" + tag, Digest: digest(app + tag),
				Revision: fmt.Sprintf("%x", sha1.Sum([]byte(app+tag))), Source: "https://git.example.com/mycompany/" + app,
			},
			{Container: "proxy", Reference: "registry.example.com/mesh/proxy:1.4", Digest: digest("proxy1.4")},
		},
	}
}

func newRelease(id, namespace, app, from, to string, startedAt time.Time) release.Release {
	previous := replicaSet(app, "5f6d7c8b9d", from, 7, startedAt.Add(-26*time.Hour))
	return release.Release{
		ID:         release.ID(id),
		Workload:   release.Workload{Cluster: "production", Namespace: namespace, Name: app, UID: "uid-" + app},
		ReplicaSet: replicaSet(app, "7c9f8d6b54", to, 8, startedAt),
		Previous:   &previous,
		Generation: 8, StartedAt: startedAt, SeenAt: startedAt.Add(400 * time.Millisecond), HistoryUntil: startedAt,
	}
}

func policy(a release.Autonomy) release.Policy {
	p := release.DefaultPolicy()
	p.Autonomy = a
	return p
}

func ptr[T any](v T) *T { return &v }

// Regressed is a release that fails one request in twenty, with its curves,
// what was done and the audit trail.
func Regressed() Entry {
	r := newRelease("4be1a0c93f27", "shop", "webapp", "v2", "v3", Start)
	decided := Start.Add(47 * time.Second)
	after := func(s float64) time.Time { return decided.Add(time.Duration(s * float64(time.Second))) }
	evidence := regressedEvidence(r, decided)
	verdict := release.Verdict{
		Release: r.ID, Kind: release.Regressed, Final: true, DecidedAt: &decided, UpdatedAt: decided,
		Evidence:  evidence,
		EValue:    (0.4**evidence[0].EValue + 0.3**evidence[1].EValue) / 0.7,
		Threshold: 1000,
		Findings: []release.Finding{
			{Kind: "bad_pod", Pod: "webapp-7c9f8d6b54-x2k8p", Message: "fails twice as often as the other pods of the release"},
		},
	}
	verdict.Summary = release.Headline(r, verdict)
	action := func(kind release.ActionKind, seconds float64, detail, url string) release.Action {
		return release.Action{
			Key: release.ActionKey(r.ID, kind), Release: r.ID, Kind: kind, State: release.ActionDone,
			Detail: detail, URL: url, CreatedAt: decided, UpdatedAt: after(seconds), Attempts: 1,
		}
	}
	row := func(id int64, seconds float64, what, outcome, why string) release.AuditRow {
		return release.AuditRow{ID: id, At: after(seconds), Actor: "watchtower", Release: r.ID, What: what, Outcome: outcome, Why: why}
	}
	return Entry{
		Record: store.Record{Release: r, Verdict: verdict, Policy: policy(release.AutonomyAuto)},
		Actions: []release.Action{ // as the store orders them: when decided, then by key
			action(release.ActionAlert, 0.1, "firing in 2 of 2 Alertmanager instances", "http://alertmanager.example.com/#/alerts"),
			action(release.ActionEvent, 0.4, "", ""),
			action(release.ActionIssue, 1.4, "opened with the evidence and 3 suspect commits", "https://git.example.com/mycompany/webapp/issues/12"),
			action(release.ActionRollback, 0.3, "put back webapp-5f6d7c8b9d (v2); all 3 replicas ready after 6.2 s", ""),
		},
		Audit: []release.AuditRow{
			row(1, -46.6, "release_seen", "judging", "shop/webapp rolls out v3 in place of v2"),
			row(2, 0, "verdict", "regressed", "the combined e-value reached 1,000"),
			row(3, 0.3, "rollback", "done", "the policy allows it (auto) and webapp-5f6d7c8b9d was judged healthy"),
			row(4, 1.4, "issue", "done", "the policy asks for a hotfix issue"),
		},
	}
}

func regressedEvidence(r release.Release, decided time.Time) []release.Evidence {
	rng := rand.New(rand.NewPCG(1, 2))
	errors := release.Evidence{
		Signal: release.SignalErrorRatio, Baseline: release.ArmStable, Unit: release.UnitRatio, Dialect: "prometheus client",
		Effect: &release.Effect{Ratio: 43.9, Low: 12.6, High: 161},
		Queries: []release.Query{{
			Source: "prometheus", From: r.StartedAt, To: decided,
			Expr: `http_requests_total{namespace="shop",pod=~"webapp-(7c9f8d6b54|5f6d7c8b9d)-.{5}"}[35s]`,
		}},
	}
	latency := release.Evidence{
		Signal: release.SignalLatencyP90, Baseline: release.ArmStable, Unit: release.UnitSeconds, Dialect: "prometheus client",
		Effect: &release.Effect{Ratio: 1.02, Low: 0.91, High: 1.14},
		Queries: []release.Query{{
			Source: "prometheus", From: r.StartedAt, To: decided,
			Expr: `http_request_duration_seconds_bucket{namespace="shop",pod=~"webapp-(7c9f8d6b54|5f6d7c8b9d)-.{5}"}[35s]`,
		}},
	}
	e, l := 1.0, 1.0
	for i := range 10 {
		at := r.StartedAt.Add(time.Duration(i*5) * time.Second)
		p := release.Point{At: at, Stable: release.Count{Total: 190 - int64(i)*11}}
		if i == 4 {
			p.Stable.Bad = 1
		}
		if i >= 2 { // the first pods are ready
			p.Release = release.Count{Total: int64(20 + i*8), Bad: int64(i-1) / 2}
		}
		q := release.Point{At: at, Release: p.Release, Stable: p.Stable}
		p.BaselineValue = ptr(p.Stable.Ratio())
		q.BaselineValue = ptr(0.082 + 0.012*rng.Float64())
		if p.Release.Total > 0 {
			p.ReleaseValue = ptr(p.Release.Ratio())
			q.ReleaseValue = ptr(0.080 + 0.018*rng.Float64())
			e *= math.Pow(1.8, float64(p.Release.Bad))
			l *= 0.97
		}
		p.EValue, q.EValue = e, l
		errors.Curve, latency.Curve = append(errors.Curve, p), append(latency.Curve, q)
		errors.Release, errors.Stable = errors.Release.Add(p.Release), errors.Stable.Add(p.Stable)
	}
	latency.Release, latency.Stable = release.Count{Total: errors.Release.Total, Bad: 45}, release.Count{Total: errors.Stable.Total, Bad: 139}
	errors.ReleaseValue, errors.BaselineValue = errors.Release.Ratio(), errors.Stable.Ratio()
	errors.EValue, latency.EValue = ptr(e), ptr(l)
	latency.ReleaseValue, latency.BaselineValue = 0.0893, 0.0875
	return []release.Evidence{errors, latency}
}

func healthy() Entry {
	r := newRelease("90c3d2e1b6a5", "shop", "webapp", "v1", "v2", Start.Add(-26*time.Hour))
	return Entry{Record: store.Record{Release: r, Policy: policy(release.AutonomyAuto), Verdict: release.Verdict{
		Release: r.ID, Kind: release.Healthy, Final: true, DecidedAt: ptr(r.StartedAt.Add(4 * time.Minute)), UpdatedAt: r.StartedAt.Add(30 * time.Minute),
		EValue: 0.41, Threshold: 1000,
	}}}
}

func pending() Entry {
	r := newRelease("c07de5518a44", "shop", "checkout", "2026.2.1", "2026.3.0", Start.Add(-90*time.Second))
	r.ReplicaSet.Images[1].Reference, r.ReplicaSet.Images[1].Digest = "registry.example.com/mesh/proxy:1.5", digest("proxy1.5")
	return Entry{Record: store.Record{Release: r, Live: true, Policy: policy(release.AutonomyAlert), Verdict: release.Verdict{
		Release: r.ID, Kind: release.Pending, UpdatedAt: Start,
		Needs:  &release.Needs{Requests: 1450, Within: 4 * time.Minute, Signals: []string{release.SignalErrorRatio}},
		EValue: 1.7, Threshold: 1000,
	}}}
}

func crashing() Entry {
	r := newRelease("1f2ab8c7740d", "shop", "cart", "v11", "v12", Start.Add(-41*time.Minute))
	decided := r.StartedAt.Add(12 * time.Second)
	return Entry{Record: store.Record{Release: r, Policy: policy(release.AutonomyObserve), Verdict: release.Verdict{
		Release: r.ID, Kind: release.Regressed, Final: true, DecidedAt: &decided, UpdatedAt: decided,
		Reason: "container cart of cart-7c9f8d6b54-p9qrs: back-off 10s restarting failed container",
		State:  true, EValue: 1, Threshold: 1000,
		Evidence: []release.Evidence{{
			Signal: release.SignalPodState, Baseline: release.BaselineNone, Unit: release.UnitCount, ReleaseValue: 2,
			Reason: "CrashLoopBackOff in 2 pods of the release, in none of the previous version",
		}},
	}}}
}

func sourceBroken() Entry {
	r := newRelease("77aa10be6cd3", "payments", "ledger", "5.0.1", "5.0.2", Start.Add(-3*time.Hour))
	return Entry{Record: store.Record{Release: r, Live: true, Policy: policy(release.AutonomyAlert), Verdict: release.Verdict{
		Release: r.ID, Kind: release.SourceBroken, DecidedAt: ptr(r.StartedAt.Add(3 * time.Minute)), UpdatedAt: r.StartedAt.Add(3 * time.Minute),
		EValue: 1, Threshold: 1000,
	}}}
}

func insufficient() Entry {
	r := newRelease("e5d4c3b2a190", "batch", "report", "", "v1", Start.Add(-50*time.Hour))
	r.Previous = nil
	return Entry{Record: store.Record{Release: r, Policy: policy(release.AutonomyObserve), Verdict: release.Verdict{
		Release: r.ID, Kind: release.InsufficientData, Final: true, DecidedAt: ptr(r.StartedAt.Add(30 * time.Minute)), UpdatedAt: r.StartedAt.Add(30 * time.Minute),
		Needs:  &release.Needs{Requests: 600, Within: 0, Signals: []string{release.SignalErrorRatio, release.SignalLatencyP90}},
		EValue: 1, Threshold: 1000,
	}}}
}
