package verify

import (
	"context"
	"time"

	"github.com/watchtower-verify/watchtower/internal/release"
)

// resolveLater hands a release's images to the goroutine that asks the
// registry; when that is behind, the next call for the release serves as well.
func (v *Verifier) resolveLater(r release.Release) {
	if v.images == nil {
		return
	}
	select {
	case v.toResolve <- r:
	default:
		v.log.Warn("image labels not looked up: too many are waiting", logRelease(r)...)
	}
}

// resolveLoop asks the registry for revision and source of images that run. The
// answer is an ornament of the release: a failure is logged and changes nothing.
func (v *Verifier) resolveLoop(ctx context.Context) error {
	for {
		select {
		case <-ctx.Done():
			return nil
		case r := <-v.toResolve:
			v.resolve(ctx, r)
		}
	}
}

func (v *Verifier) resolve(ctx context.Context, r release.Release) {
	found := map[string]release.Image{} // by digest
	ask := append([]release.Image(nil), r.ReplicaSet.Images...)
	if r.Previous != nil {
		ask = append(ask, r.Previous.Images...)
	}
	for _, im := range ask {
		if im.Digest == "" || im.Revision != "" {
			continue
		}
		got, err := v.images.Resolve(ctx, im)
		if err != nil {
			v.log.Warn("image labels not read", append(logRelease(r), "image", im.Reference, "err", err)...)
			continue
		}
		found[im.Digest] = got
	}
	if len(found) == 0 {
		return
	}
	v.mu.Lock()
	defer v.mu.Unlock()
	t, live := v.live[r.ID]
	if !live {
		return
	}
	next := t.release
	next.ReplicaSet.Images = withLabels(next.ReplicaSet.Images, found)
	if next.Previous != nil {
		prev := *next.Previous
		prev.Images = withLabels(prev.Images, found)
		next.Previous = &prev
	}
	if err := v.recorder.Seen(ctx, next, t.policy); err != nil {
		v.log.Error("image labels not recorded", append(logRelease(r), "err", err)...)
		return
	}
	t.release = next
}

func withLabels(images []release.Image, found map[string]release.Image) []release.Image {
	out := append([]release.Image(nil), images...)
	for i, im := range out {
		if got, ok := found[im.Digest]; ok {
			out[i].Revision, out[i].Source = got.Revision, got.Source
		}
	}
	return out
}

// movedTags returns the restarts whose pods turned out to run other digests,
// and forgets those that turned out to be restarts; v.mu is held.
func (v *Verifier) movedTags(now time.Time) []release.Release {
	var out []release.Release
	for id, r := range v.restarts {
		if r.Previous == nil || now.Sub(r.SeenAt) > restartPatience {
			delete(v.restarts, id)
			v.cluster.Unfollow(id)
			continue
		}
		obs, ok := v.cluster.Observe(id)
		if !ok {
			continue
		}
		moved, known := movedTag(obs, r)
		if !known {
			continue
		}
		delete(v.restarts, id)
		if !moved {
			v.cluster.Unfollow(id)
			continue
		}
		r.ReplicaSet.Images = withDigests(r.ReplicaSet.Images, obs.Release.Pods)
		prev := *r.Previous
		prev.Images = withDigests(prev.Images, obs.Stable.Pods)
		r.Previous = &prev
		out = append(out, r)
	}
	return out
}

// restartPatience is how long the digests of a restart's pods are waited for.
const restartPatience = 10 * time.Minute

func (v *Verifier) beginMovedTag(ctx context.Context, r release.Release) {
	policy, problems := v.policies.PolicyFor(r.Workload.Namespace, r.Workload.Name, r.Annotations)
	if policy.Ignore {
		v.cluster.Unfollow(r.ID)
		return
	}
	if err := v.begin(ctx, r, policy, problems); err != nil {
		v.log.Error("release under a moved tag not recorded; trying again", append(logRelease(r), "err", err)...)
		v.mu.Lock()
		v.restarts[r.ID] = r
		v.mu.Unlock()
	}
}
