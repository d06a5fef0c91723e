package storetest

import (
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/watchtower-verify/watchtower/internal/release"
	"github.com/watchtower-verify/watchtower/internal/store"
)

// At is the base of the times of the suite, in whole milliseconds.
var At = time.Date(2026, 3, 4, 5, 6, 7, 8_000_000, time.UTC)

// Release is the n-th release of a workload.
func Release(workload string, n int) release.Release {
	w := release.Workload{Cluster: "lab", Namespace: "shop", Name: workload, UID: "uid-" + workload}
	rs := func(n int) release.ReplicaSet {
		return release.ReplicaSet{
			Name: fmt.Sprintf("%s-%d", workload, n), UID: fmt.Sprintf("rs-%s-%d", workload, n), Hash: fmt.Sprint(n), Revision: int64(n),
			Images:    []release.Image{{Container: "app", Reference: fmt.Sprintf("mycompany/%s:v%d", workload, n), Digest: fmt.Sprintf("sha256:%064d", n)}},
			CreatedAt: At.Add(time.Duration(n) * time.Minute),
		}
	}
	r := release.Release{
		ID: release.NewID(w.Cluster, w.UID, rs(n).UID), Workload: w, ReplicaSet: rs(n), Generation: int64(n),
		StartedAt: rs(n).CreatedAt, SeenAt: rs(n).CreatedAt.Add(time.Second), Annotations: map[string]string{"autonomy": "auto"},
	}
	if n > 1 {
		previous := rs(n - 1)
		r.Previous = &previous
	}
	return r
}

// Verdict is a verdict with all its parts filled.
func Verdict(r release.Release, kind release.VerdictKind, final bool) release.Verdict {
	decided := r.SeenAt.Add(40 * time.Second)
	e, v := 5200.0, 0.05
	return release.Verdict{
		Release: r.ID, Kind: kind, Final: final, DecidedAt: &decided, UpdatedAt: decided, Summary: "the error ratio rose",
		Needs:    &release.Needs{Requests: 120, Within: time.Minute, Signals: []string{release.SignalErrorRatio}},
		Findings: []release.Finding{{Kind: "bad_pod", Pod: "webapp-1-abcde", Message: "one of three"}},
		Evidence: []release.Evidence{{
			Signal: release.SignalErrorRatio, Baseline: release.ArmStable, EValue: &e, BaselineValue: 0.001, ReleaseValue: v, Unit: release.UnitRatio,
			Release: release.Count{Total: 634, Bad: 31}, Stable: release.Count{Total: 1890, Bad: 2},
			Effect:  &release.Effect{Ratio: 38, Low: 12, High: 160},
			Queries: []release.Query{{Source: "prometheus", Expr: `http_requests_total{namespace="shop"}`, From: r.SeenAt, To: decided}},
			Curve:   []release.Point{{At: decided, Release: release.Count{Total: 100, Bad: 5}, ReleaseValue: &v, EValue: e}},
		}, {Signal: release.SignalPodState, Baseline: release.BaselineNone, Unit: release.UnitCount, Reason: "all pods are well"}},
		EValue: 5200, Threshold: 1000,
	}
}

// Save writes a release with its verdict.
func Save(t *testing.T, s *store.Store, r release.Release, v release.Verdict) {
	t.Helper()
	must(t, s.Write(t.Context(), func(tx *store.Tx) error {
		return errors.Join(tx.SaveRelease(r, release.DefaultPolicy()), tx.SaveVerdict(v))
	}))
}
