package verify

import (
	"time"

	"github.com/watchtower-verify/watchtower/internal/release"
)

// change is what a rollout turns out to be.
type change int

const (
	changeNone     change = iota // already known, or long past
	changeRelease                // a rollout to a new image identity
	changeReturned               // back to a ReplicaSet that existed before
	changeRestart                // a new ReplicaSet with the same image references
)

// known is what was decided about a workload before.
type known struct {
	judged map[string]release.VerdictKind // ReplicaSet UID → last verdict
	live   *release.Release               // the release under observation, nil if none
}

// suspect reports whether a ReplicaSet is no fit baseline: it regressed, or it
// is itself still being judged and not found healthy so far. A first deployment
// is all there is to compare with, and stands.
func (k known) suspect(uid string) bool {
	if k.live != nil && k.live.ReplicaSet.UID == uid {
		return k.live.Previous != nil && k.judged[uid] != release.Healthy
	}
	return k.judged[uid] == release.Regressed
}

// detect decides what a rollout is, and which ReplicaSet it takes over from.
// Rollouts whose ReplicaSet is older than horizon are past: a baseline, not a
// release.
func detect(ro release.Rollout, k known, horizon time.Time) (change, *release.ReplicaSet) {
	cur := ro.Current
	if k.live != nil && k.live.ReplicaSet.UID == cur.UID {
		return changeNone, nil
	}
	if _, judged := k.judged[cur.UID]; judged || olderThanAnother(ro) {
		return changeReturned, nil
	}
	previous := baseline(ro, k)
	if k.live == nil && sameImagesAsNewest(ro) {
		return changeRestart, previous
	}
	if previous != nil && len(release.ChangedImages(previous.Images, cur.Images)) == 0 {
		return changeRestart, previous
	}
	if cur.CreatedAt.Before(horizon) {
		return changeNone, nil
	}
	return changeRelease, previous
}

// olderThanAnother reports that the current ReplicaSet was made before another
// one of the workload: the Deployment went back to it.
func olderThanAnother(ro release.Rollout) bool {
	for _, o := range ro.Others {
		if o.CreatedAt.After(ro.Current.CreatedAt) {
			return true
		}
	}
	return false
}

// sameImagesAsNewest reports that the rollout runs what the newest of the other
// ReplicaSets ran: a restart, or a change of anything but images.
func sameImagesAsNewest(ro release.Rollout) bool {
	if len(ro.Others) == 0 {
		return false
	}
	last := ro.Others[0]
	for _, o := range ro.Others[1:] {
		if newer(o.ReplicaSet, last.ReplicaSet) {
			last = o
		}
	}
	return len(release.ChangedImages(last.Images, ro.Current.Images)) == 0
}

// baseline is the ReplicaSet a rollout takes over from: of those that are not
// suspect the one with the most ready pods, the newest among equals. While a
// live release is overtaken, its own baseline is inherited.
func baseline(ro release.Rollout, k known) *release.ReplicaSet {
	var best *release.RolloutReplicaSet
	for i := range ro.Others {
		o := &ro.Others[i]
		if k.suspect(o.UID) {
			continue
		}
		if best == nil || o.Ready > best.Ready || (o.Ready == best.Ready && newer(o.ReplicaSet, best.ReplicaSet)) {
			best = o
		}
	}
	if k.live != nil && k.live.Previous != nil && (best == nil || best.Ready == 0) {
		return k.live.Previous
	}
	if best == nil {
		return nil
	}
	rs := best.ReplicaSet
	return &rs
}

func newer(a, b release.ReplicaSet) bool {
	if a.Revision != b.Revision {
		return a.Revision > b.Revision
	}
	return a.CreatedAt.After(b.CreatedAt)
}

// toRelease makes the release of a rollout that detect called one.
func toRelease(ro release.Rollout, k known, previous *release.ReplicaSet, now time.Time) release.Release {
	return release.Release{
		ID:         release.NewID(ro.Workload.Cluster, ro.Workload.UID, ro.Current.UID),
		Workload:   ro.Workload,
		ReplicaSet: ro.Current,
		Previous:   previous,
		Generation: ro.Generation,
		Recreate:   ro.Recreate,
		StartedAt:  ro.Current.CreatedAt.UTC(),
		SeenAt:     now.UTC(),

		HistoryUntil: historyUntil(ro, k).UTC(),
		Annotations:  ro.Annotations,
		Labels:       ro.Labels,
	}
}

// historyUntil is where the past that a rollout may be compared with ends: at
// its start, or where a suspect version that still serves began.
func historyUntil(ro release.Rollout, k known) time.Time {
	until := ro.Current.CreatedAt
	for _, o := range ro.Others {
		if k.suspect(o.UID) && o.Ready > 0 && o.CreatedAt.Before(until) {
			until = o.CreatedAt
		}
	}
	return until
}

// movedTag reports that a restart runs other digests than the ReplicaSet it
// took over from, and false in known while the digests are not all known.
func movedTag(obs release.Observation, r release.Release) (moved, known bool) {
	next := withDigests(r.ReplicaSet.Images, obs.Release.Pods)
	prev := withDigests(r.Previous.Images, obs.Stable.Pods)
	for i := range next {
		if next[i].Digest == "" {
			return false, false
		}
	}
	for _, im := range prev {
		if im.Digest == "" {
			// The old pods are gone and nobody wrote down what they ran.
			return false, len(obs.Stable.Pods) == 0
		}
	}
	return len(release.ChangedImages(prev, next)) > 0, true
}

// withDigests fills in the digests that the pods run. A digest once known is kept.
func withDigests(images []release.Image, pods []release.Pod) []release.Image {
	out := append([]release.Image(nil), images...)
	for i := range out {
		for _, p := range pods {
			if d := p.Digests[out[i].Container]; d != "" && out[i].Digest == "" {
				out[i].Digest = d
			}
		}
	}
	return out
}
