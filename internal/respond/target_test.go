package respond

import (
	"fmt"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"github.com/watchtower-verify/watchtower/internal/release"
)

func version(n int) release.ReplicaSet {
	return release.ReplicaSet{
		Name: fmt.Sprintf("webapp-%d", n), UID: fmt.Sprintf("u%d", n), Hash: fmt.Sprintf("h%d", n), Revision: int64(n),
		Images: []release.Image{{Container: "app", Reference: fmt.Sprintf("webapp:v%d", n)}},
	}
}

func live(ns ...int) (out []release.RolloutReplicaSet) {
	for _, n := range ns {
		out = append(out, release.RolloutReplicaSet{ReplicaSet: version(n)})
	}
	return out
}

func TestTheTargetOfARollback(t *testing.T) {
	const h, r, d, b, p = release.Healthy, release.Regressed, release.InsufficientData, release.SourceBroken, release.Pending
	type verdicts = map[int]release.VerdictKind
	for _, test := range []struct {
		name     string
		previous int // 0: none
		live     []int
		judged   verdicts
		target   int
		says     string // the reason, or the refusal
	}{
		{"the one before, when it was judged healthy", 2, []int{3, 2, 1}, verdicts{3: r, 2: h, 1: h}, 2, "the last one judged healthy"},
		{"an older healthy one, when the one before regressed", 2, []int{3, 2, 1}, verdicts{3: r, 2: r, 1: h}, 1, "the last one judged healthy"},
		{"the newest of the healthy ones by revision", 1, []int{4, 3, 2, 1}, verdicts{4: r, 3: r, 2: h, 1: h}, 2, "the last one judged healthy"},
		{"a healthy one rather than the one before, which was never judged", 3, []int{4, 3, 2}, verdicts{4: r, 2: h}, 2, "the last one judged healthy"},
		{"the one before, when none was ever judged", 2, []int{3, 2, 1}, verdicts{3: r}, 2, "the one before; none was judged healthy yet"},
		{"the one before, when there was too little to judge it", 2, []int{3, 2}, verdicts{3: r, 2: d}, 2, "the one before"},
		{"the one before, when its measurements were not to be had", 2, []int{3, 2}, verdicts{2: b}, 2, "the one before"},
		{"the one before, while it is not judged yet", 2, []int{3, 2}, verdicts{2: p}, 2, "the one before"},
		{"not the regressed one, though it was called healthy earlier", 2, []int{3, 2}, verdicts{3: h, 2: d}, 2, "the one before"},
		{"not one that was never the one before nor judged", 2, []int{3, 1}, verdicts{3: r}, 0, "webapp-2 (v2, revision 2), no longer exists"},
		{"not the one before when it regressed too", 2, []int{3, 2, 1}, verdicts{2: r, 1: d}, 0, "was itself judged regressed"},
		{"not a healthy one that is gone", 2, []int{3, 2}, verdicts{2: r, 1: h}, 0, "was itself judged regressed"},
		{"nothing at a first deployment", 0, []int{3}, verdicts{3: r}, 0, "the workload's first version"},
		{"nothing where all but the current one are gone", 2, []int{3}, nil, 0, "no longer exists"},
		{"nothing where the list is empty", 2, nil, nil, 0, "no longer exists"},
		{"not itself, though it is called the one before", 3, []int{3}, nil, 0, "is the regressed one itself"},
	} {
		t.Run(test.name, func(t *testing.T) {
			rel := release.Release{ReplicaSet: version(3)}
			if len(test.live) > 0 && test.live[0] == 4 {
				rel.ReplicaSet = version(4)
			}
			if test.previous > 0 {
				prev := version(test.previous)
				rel.Previous = &prev
			}
			judged := make(map[string]release.VerdictKind)
			for n, kind := range test.judged {
				judged[version(n).UID] = kind
			}
			target, why, refused := chooseTarget(rel, live(test.live...), judged)
			if test.target == 0 {
				if !strings.Contains(refused, test.says) || target.UID != "" {
					t.Errorf("chose %q, refused %q, want the refusal %q", target.Name, refused, test.says)
				}
				return
			}
			if refused != "" || target.UID != version(test.target).UID || !strings.Contains(why, test.says) {
				t.Errorf("chose %q because %q, refused %q; want %s because %q", target.Name, why, refused, version(test.target).Name, test.says)
			}
		})
	}
}

func TestATargetAlwaysExistsDiffersAndNeverRegressed(t *testing.T) {
	kinds := []release.VerdictKind{"", release.Pending, release.Healthy, release.Regressed, release.InsufficientData, release.SourceBroken}
	rapid.Check(t, func(t *rapid.T) {
		rel := release.Release{ReplicaSet: version(rapid.IntRange(1, 5).Draw(t, "from"))}
		if n := rapid.IntRange(0, 5).Draw(t, "previous"); n > 0 {
			prev := version(n)
			rel.Previous = &prev
		}
		judged := make(map[string]release.VerdictKind)
		exists := make(map[string]bool)
		healthy := false
		for _, n := range rapid.SliceOfDistinct(rapid.IntRange(1, 5), rapid.ID[int]).Draw(t, "live") {
			exists[version(n).UID] = true
		}
		var list []release.RolloutReplicaSet
		for n := 5; n > 0; n-- {
			uid := version(n).UID
			if k := rapid.SampledFrom(kinds).Draw(t, "kind"); k != "" {
				judged[uid] = k
			}
			if exists[uid] {
				list = append(list, live(n)...)
				healthy = healthy || (judged[uid] == release.Healthy && uid != rel.ReplicaSet.UID)
			}
		}
		target, _, refused := chooseTarget(rel, list, judged)
		switch {
		case refused != "" && healthy:
			t.Fatalf("refused though a healthy one exists: %s", refused)
		case refused != "":
		case !exists[target.UID], target.UID == rel.ReplicaSet.UID, judged[target.UID] == release.Regressed:
			t.Fatalf("chose %s, judged %q", target.Name, judged[target.UID])
		case healthy && judged[target.UID] != release.Healthy:
			t.Fatalf("chose %s, though a healthy one exists", target.Name)
		}
	})
}
