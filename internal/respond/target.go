package respond

import (
	"fmt"

	"github.com/watchtower-verify/watchtower/internal/release"
)

// chooseTarget picks the ReplicaSet to put back: the newest one judged healthy
// that still exists, else the one that ran before, unless that one was judged
// regressed. Without one it says why.
//
// live is the workload's ReplicaSets, newest revision first; judged their last
// verdicts by UID.
func chooseTarget(rel release.Release, live []release.RolloutReplicaSet, judged map[string]release.VerdictKind) (target release.ReplicaSet, why, refused string) {
	for _, rs := range live {
		if differs(rs.ReplicaSet, rel.ReplicaSet) && judged[rs.UID] == release.Healthy {
			return rs.ReplicaSet, "the last one judged healthy", ""
		}
	}
	prev := rel.Previous
	if prev == nil {
		return release.ReplicaSet{}, "", "this is the workload's first version: there is nothing to go back to"
	}
	name := release.ReplicaSetName(*prev)
	switch {
	case !differs(*prev, rel.ReplicaSet):
		return release.ReplicaSet{}, "", fmt.Sprintf("the one before, %s, is the regressed one itself", name)
	case judged[prev.UID] == release.Regressed:
		return release.ReplicaSet{}, "", fmt.Sprintf("the one before, %s, was itself judged regressed, and none was judged healthy", name)
	}
	for _, rs := range live {
		if rs.UID == prev.UID {
			return rs.ReplicaSet, "the one before; none was judged healthy yet", ""
		}
	}
	return release.ReplicaSet{}, "", fmt.Sprintf("the one before, %s, no longer exists, and no other was judged healthy", name)
}

func differs(a, b release.ReplicaSet) bool {
	return a.UID != b.UID && (a.Hash == "" || a.Hash != b.Hash)
}
