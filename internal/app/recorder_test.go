package app

import (
	"errors"
	"log/slog"
	"path/filepath"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/prometheus/client_golang/prometheus"

	"github.com/watchtower-verify/watchtower/internal/release"
	"github.com/watchtower-verify/watchtower/internal/respond"
	"github.com/watchtower-verify/watchtower/internal/store"
	"github.com/watchtower-verify/watchtower/internal/verify"
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

func TestTheLastReleasesThatProvedSoundAreFound(t *testing.T) {
	r := newRecorder(t)
	begin := time.Date(2026, 11, 1, 12, 0, 0, 0, time.UTC)
	mark := &release.Mark{At: begin, By: "ann", Why: "cold caches"}
	for i, c := range []struct {
		id       release.ID
		verdict  release.Verdict
		wrong    *release.Mark
		restored release.ActionState
		first    bool
	}{
		{id: "first", verdict: release.Verdict{Kind: release.Healthy, Final: true}, first: true},
		{id: "healthy", verdict: release.Verdict{Kind: release.Healthy, Final: true}},
		{id: "regressed", verdict: release.Verdict{Kind: release.Regressed, Final: true}},
		{id: "marked", verdict: release.Verdict{Kind: release.Regressed, Final: true}, wrong: mark},
		{id: "undone", verdict: release.Verdict{Kind: release.Regressed, Final: true}, wrong: mark, restored: release.ActionDone},
		{id: "usual", verdict: release.Verdict{Kind: release.InsufficientData, Final: true, AffectedBy: release.EveryRollout}},
		{id: "live", verdict: release.Verdict{Kind: release.Healthy}},
		{id: "asking", verdict: release.Verdict{Kind: release.Pending}},
		{id: "newer", verdict: release.Verdict{Kind: release.Healthy, Final: true}},
	} {
		rel := aRelease(c.id, "webapp", "w")
		rel.ReplicaSet.Name = string(c.id)
		rel.StartedAt, rel.SeenAt = begin.Add(time.Duration(i)*time.Hour), begin.Add(time.Duration(i)*time.Hour)
		if !c.first {
			rel.Previous = &release.ReplicaSet{Name: "before-" + string(c.id)}
		}
		c.verdict.Release, c.verdict.UpdatedAt = c.id, rel.StartedAt.Add(5*time.Minute)
		if err := r.store.Write(t.Context(), func(tx *store.Tx) error {
			return errors.Join(tx.SaveRelease(rel, release.DefaultPolicy()), tx.SaveVerdict(c.verdict),
				tx.SaveAftermath(store.Aftermath{Release: c.id, Wrong: c.wrong, Restored: c.restored}))
		}); err != nil {
			t.Fatal(err)
		}
	}
	other := aRelease("other", "webapp", "an earlier Deployment of that name")
	other.SeenAt, other.Previous = begin.Add(90*time.Minute), &release.ReplicaSet{}
	if err := r.store.Write(t.Context(), func(tx *store.Tx) error {
		return errors.Join(tx.SaveRelease(other, release.DefaultPolicy()), tx.SaveVerdict(release.Verdict{Release: "other", Kind: release.Healthy, Final: true}))
	}); err != nil {
		t.Fatal(err)
	}
	asking, err := r.store.Release(t.Context(), "asking")
	if err != nil {
		t.Fatal(err)
	}
	got, err := r.Earlier(t.Context(), asking.Release)
	if err != nil {
		t.Fatal(err)
	}
	at := func(hours int) time.Time { return begin.Add(time.Duration(hours) * time.Hour) }
	want := []verify.Earlier{ // each until the next began, or until it was taken back
		{ReplicaSet: "usual", Previous: "before-usual", StartedAt: at(5), Until: at(6)},
		{ReplicaSet: "undone", Previous: "before-undone", StartedAt: at(4), Until: at(4).Add(5 * time.Minute)},
		{ReplicaSet: "marked", Previous: "before-marked", StartedAt: at(3), Until: at(4)},
		{ReplicaSet: "healthy", Previous: "before-healthy", StartedAt: at(1), Until: at(2)},
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("want (-), got (+):\n%s", diff)
	}
}
