package verify

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/watchtower-verify/watchtower/internal/release"
)

var t0 = time.Date(2026, 11, 1, 12, 0, 0, 0, time.UTC)

// rs makes a ReplicaSet made at a minute after t0, running one image per tag.
func rs(name string, minute int, tags ...string) release.ReplicaSet {
	r := release.ReplicaSet{
		Name: "webapp-" + name, UID: "uid-" + name, Hash: name, Revision: int64(minute + 1),
		CreatedAt: t0.Add(time.Duration(minute) * time.Minute),
	}
	for i, tag := range tags {
		r.Images = append(r.Images, release.Image{Container: string(rune('a' + i)), Reference: "mycompany/webapp:" + tag})
	}
	return r
}

func rollout(current release.ReplicaSet, others ...release.RolloutReplicaSet) release.Rollout {
	return release.Rollout{
		Workload:   release.Workload{Cluster: "lab", Namespace: "shop", Name: "webapp", UID: "w"},
		Generation: 3, Replicas: 4, Current: current, Others: others,
	}
}

func ready(r release.ReplicaSet, n int) release.RolloutReplicaSet {
	return release.RolloutReplicaSet{ReplicaSet: r, Replicas: n, Ready: n}
}

func TestDetect(t *testing.T) {
	live := func(r release.ReplicaSet, previous *release.ReplicaSet) *release.Release {
		return &release.Release{ReplicaSet: r, Previous: previous}
	}
	good, bad := rs("good", 0, "v1"), rs("bad", 10, "v2")
	cases := []struct {
		name     string
		rollout  release.Rollout
		known    known
		want     change
		previous string
	}{
		{
			name:    "a new image over a serving one is a release that takes over from it",
			rollout: rollout(rs("new", 20, "v3"), ready(good, 4)),
			want:    changeRelease, previous: "webapp-good",
		},
		{
			name:    "a first deployment is a release without a previous ReplicaSet",
			rollout: rollout(rs("new", 20, "v1")),
			want:    changeRelease,
		},
		{
			name:    "a restart with the same references is no release",
			rollout: rollout(rs("new", 20, "v1"), ready(good, 4)),
			want:    changeRestart, previous: "webapp-good",
		},
		{
			name:    "one of two containers with another image is a release",
			rollout: rollout(rs("new", 20, "v1", "side2"), ready(rs("good", 0, "v1", "side1"), 4)),
			want:    changeRelease, previous: "webapp-good",
		},
		{
			name:    "a ReplicaSet from before the horizon is a baseline, not a release",
			rollout: rollout(rs("new", -120, "v3"), ready(rs("older", -300, "v2"), 0)),
			want:    changeNone,
		},
		{
			name:    "going back to a ReplicaSet that existed before is no release",
			rollout: rollout(good, ready(bad, 4)),
			want:    changeReturned,
		},
		{
			name:    "going back to a ReplicaSet that was judged is no release",
			rollout: rollout(bad, ready(good, 4)),
			known:   known{judged: map[string]release.VerdictKind{"uid-bad": release.Healthy}},
			want:    changeReturned,
		},
		{
			name:    "the live release itself is nothing new",
			rollout: rollout(bad, ready(good, 4)),
			known:   known{live: live(bad, &good)},
			want:    changeNone,
		},
		{
			name:    "a release that overtakes a live one inherits its baseline, not the suspect",
			rollout: rollout(rs("new", 20, "v3"), ready(bad, 3), ready(good, 1)),
			known:   known{live: live(bad, &good)},
			want:    changeRelease, previous: "webapp-good",
		},
		{
			name:    "a live release that was found healthy so far is the baseline of the next",
			rollout: rollout(rs("new", 20, "v3"), ready(bad, 4), ready(good, 0)),
			known:   known{live: live(bad, &good), judged: map[string]release.VerdictKind{"uid-bad": release.Healthy}},
			want:    changeRelease, previous: "webapp-bad",
		},
		{
			name:    "a first deployment still being watched is the baseline of the next",
			rollout: rollout(rs("new", 20, "v3"), ready(good, 4)),
			known:   known{live: live(good, nil), judged: map[string]release.VerdictKind{"uid-good": release.Pending}},
			want:    changeRelease, previous: "webapp-good",
		},
		{
			name:    "a baseline that has no pods any more is inherited all the same",
			rollout: rollout(rs("new", 20, "v3"), ready(bad, 4), ready(good, 0)),
			known:   known{live: live(bad, &good)},
			want:    changeRelease, previous: "webapp-good",
		},
		{
			name:    "a restart in the middle of a live release is a release that takes its place",
			rollout: rollout(rs("new", 20, "v2"), ready(bad, 2), ready(good, 2)),
			known:   known{live: live(bad, &good)},
			want:    changeRelease, previous: "webapp-good",
		},
		{
			name:    "the hotfix of a regressed release is compared with the last good version",
			rollout: rollout(rs("fix", 20, "v3"), ready(bad, 4), ready(good, 0)),
			known:   known{judged: map[string]release.VerdictKind{"uid-bad": release.Regressed}},
			want:    changeRelease, previous: "webapp-good",
		},
		{
			name:    "a restart of a regressed version that still serves is no new release",
			rollout: rollout(rs("again", 20, "v2"), ready(bad, 4), ready(good, 0)),
			known:   known{judged: map[string]release.VerdictKind{"uid-bad": release.Regressed}},
			want:    changeRestart, previous: "webapp-good",
		},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			got, previous := detect(c.rollout, c.known, t0.Add(-30*time.Minute))
			name := ""
			if previous != nil {
				name = previous.Name
			}
			if got != c.want || name != c.previous {
				t.Errorf("got change %d over %q, want %d over %q", got, name, c.want, c.previous)
			}
		})
	}
}

func TestHistoryEndsWhereASuspectVersionBegan(t *testing.T) {
	good, bad, fix := rs("good", 0, "v1"), rs("bad", 10, "v2"), rs("fix", 20, "v3")
	k := known{judged: map[string]release.VerdictKind{"uid-bad": release.Regressed}}
	if got := historyUntil(rollout(fix, ready(bad, 4), ready(good, 0)), k); !got.Equal(bad.CreatedAt) {
		t.Errorf("history reaches into the regressed version: ends %s, want %s", got, bad.CreatedAt)
	}
	if got := historyUntil(rollout(fix, ready(bad, 0), ready(good, 4)), k); !got.Equal(fix.CreatedAt) {
		t.Errorf("after the rollback the history should reach to the rollout, ends %s", got)
	}
}

func TestMovedTag(t *testing.T) {
	pods := func(digests ...string) (out []release.Pod) {
		for _, d := range digests {
			out = append(out, release.Pod{Name: "p", Digests: map[string]string{"a": d}})
		}
		return out
	}
	previous := rs("good", 0, "latest")
	r := release.Release{ReplicaSet: rs("new", 20, "latest"), Previous: &previous}
	cases := []struct {
		name         string
		obs          release.Observation
		moved, known bool
	}{
		{"the same tag with another digest is a release", release.Observation{Release: release.ArmState{Pods: pods("sha256:2")}, Stable: release.ArmState{Pods: pods("sha256:1")}}, true, true},
		{"the same tag with the same digest is a restart", release.Observation{Release: release.ArmState{Pods: pods("sha256:1")}, Stable: release.ArmState{Pods: pods("sha256:1")}}, false, true},
		{"before a pod runs nothing is known", release.Observation{Release: release.ArmState{Pods: pods("")}, Stable: release.ArmState{Pods: pods("sha256:1")}}, false, false},
		{"with the old pods gone nothing can be told", release.Observation{Release: release.ArmState{Pods: pods("sha256:1")}}, false, true},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			moved, isKnown := movedTag(c.obs, r)
			if diff := cmp.Diff([2]bool{c.moved, c.known}, [2]bool{moved, isKnown}); diff != "" {
				t.Error(diff)
			}
		})
	}
}
