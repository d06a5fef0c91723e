package app

import (
	"log/slog"
	"path/filepath"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/watchtower-verify/watchtower/internal/release"
	"github.com/watchtower-verify/watchtower/internal/respond"
	"github.com/watchtower-verify/watchtower/internal/store"
)

func newRecorder(t *testing.T) *recorder {
	t.Helper()
	st, err := store.Open(t.Context(), filepath.Join(t.TempDir(), "watchtower.db"), slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = st.Close() })
	r, err := respond.New(st, respond.Deps{}, slog.New(slog.DiscardHandler), prometheus.NewRegistry())
	if err != nil {
		t.Fatal(err)
	}
	return &recorder{cluster: "lab", store: st, responder: r}
}

func aRelease(id release.ID, workload, uid string) release.Release {
	return release.Release{
		ID: id, Workload: release.Workload{Cluster: "lab", Namespace: "shop", Name: workload, UID: uid},
		ReplicaSet: release.ReplicaSet{Name: workload + "-new", UID: string(id)}, SeenAt: time.Now(), StartedAt: time.Now(),
	}
}

func TestAReleaseIsWrittenDownAsSeenOnce(t *testing.T) {
	r := newRecorder(t)
	rel := aRelease("one", "webapp", "w")
	for range 3 { // the digest becomes known, then the commit
		if err := r.Seen(t.Context(), rel, release.DefaultPolicy()); err != nil {
			t.Fatal(err)
		}
	}
	rows, err := r.store.Audit(t.Context(), "one", 10)
	if err != nil {
		t.Fatal(err)
	}
	if len(rows) != 1 || rows[0].What != "release_seen" {
		t.Errorf("audit %v, want one row that the release was seen", rows)
	}
}

// Without an Alertmanager there is no alert by which to find what is open.
func TestANewerReleaseVoidsARollbackThatWaitsForApproval(t *testing.T) {
	r := newRecorder(t)
	policy := release.DefaultPolicy()
	policy.Autonomy = release.AutonomyApprove
	now := time.Now()
	for _, rel := range []release.Release{aRelease("old", "webapp", "w"), aRelease("other", "backend", "b")} {
		if err := r.Seen(t.Context(), rel, policy); err != nil {
			t.Fatal(err)
		}
		v := release.Verdict{Release: rel.ID, Kind: release.Regressed, Final: true, DecidedAt: &now, Evidence: []release.Evidence{{Signal: release.SignalPodState}}}
		if err := r.Decide(t.Context(), rel, v, policy); err != nil {
			t.Fatal(err)
		}
	}
	if err := r.Superseded(t.Context(), aRelease("old", "webapp", "w").Workload, "new", "a newer release began"); err != nil {
		t.Fatal(err)
	}
	for id, want := range map[release.ID]release.ActionState{"old": release.ActionVoid, "other": release.ActionWaiting} {
		a, err := r.store.Action(t.Context(), release.ActionKey(id, release.ActionRollback))
		if err != nil {
			t.Fatal(err)
		}
		if a.State != want {
			t.Errorf("the rollback of %s is %s, want %s", id, a.State, want)
		}
	}
}
