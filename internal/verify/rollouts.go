package verify

import (
	"context"
	"strings"
	"time"

	"github.com/watchtower-verify/watchtower/internal/release"
)

// rolledBackTo is the annotation's key as a Rollout has it.
var rolledBackTo = strings.TrimPrefix(release.AnnotationRolledBackTo, release.AnnotationPrefix)

// Rollout takes the newest state of a Deployment. It does not block.
func (v *Verifier) Rollout(ro release.Rollout) {
	v.queue.put(event{workload: ro.Workload, rollout: &ro, at: time.Now()})
}

// Gone takes the news that a Deployment was deleted. It does not block.
func (v *Verifier) Gone(w release.Workload) {
	v.queue.put(event{workload: w, at: time.Now()})
}

// detectLoop turns rollouts into releases, apart from the ticks so that a slow
// source never delays the sight of a rollout. An event the store could not take
// is tried again.
func (v *Verifier) detectLoop(ctx context.Context) error {
	for ctx.Err() == nil {
		e, ok := v.queue.take()
		if !ok {
			select {
			case <-ctx.Done():
				return nil
			case <-v.queue.wake:
			}
			continue
		}
		if err := v.handle(ctx, e); err != nil && ctx.Err() == nil {
			v.log.Error("rollout not recorded; trying again",
				"namespace", e.workload.Namespace, "workload", e.workload.Name, "err", err)
			v.queue.put(e)
			sleep(ctx, time.Second)
		}
	}
	return nil
}

func sleep(ctx context.Context, d time.Duration) {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-ctx.Done():
	case <-t.C:
	}
}

func (v *Verifier) handle(ctx context.Context, e event) error {
	if e.rollout == nil {
		v.mu.Lock()
		delete(v.settled, e.workload.UID)
		v.mu.Unlock()
		return v.recorder.Superseded(ctx, e.workload, "", "the Deployment was deleted")
	}
	ro := *e.rollout
	if v.isSettled(ro) {
		v.refreshPolicy(ro)
		return nil
	}
	judged, err := v.recorder.Judged(ctx, ro.Workload)
	if err != nil {
		return err
	}
	policy, problems := v.policies.PolicyFor(ro.Workload.Namespace, ro.Workload.Name, ro.Annotations)
	k := known{judged: judged, live: v.liveOf(ro.Workload)}
	what, previous := detect(ro, k, e.at.Add(-policy.Observe))
	switch {
	case what == changeRelease && !policy.Ignore:
		r := toRelease(ro, k, previous, time.Now())
		if err := v.begin(ctx, r, policy, problems); err != nil {
			return err
		}
		v.metrics.seenLag.Observe(time.Since(e.at).Seconds())
	case what == changeReturned:
		if err := v.returned(ctx, ro, k); err != nil {
			return err
		}
	case what == changeRestart && k.live != nil:
		if err := v.overtake(ctx, ro.Workload, "", "the pod template changed again, without another image than the one it is compared with"); err != nil {
			return err
		}
	case what == changeRestart && !ro.Current.CreatedAt.Before(e.at.Add(-policy.Observe)):
		v.watchRestart(toRelease(ro, k, previous, time.Now()))
	}
	v.settle(ro)
	return nil
}

// begin records a new release and starts following it; what it overtakes ends.
func (v *Verifier) begin(ctx context.Context, r release.Release, p release.Policy, problems []error) error {
	if err := v.recorder.Seen(ctx, r, p); err != nil {
		return err
	}
	for _, problem := range problems {
		if err := v.recorder.Refused(ctx, r.ID, "annotation_refused", problem.Error()); err != nil {
			return err
		}
	}
	if err := v.overtake(ctx, r.Workload, r.ID, "a newer release, "+release.Version(r.ReplicaSet.Images)+", began"); err != nil {
		return err
	}
	v.mu.Lock()
	v.track(r, p, release.Verdict{})
	v.mu.Unlock()
	v.log.Info("release seen", append(logRelease(r), "version", release.Version(r.ReplicaSet.Images))...)
	return nil
}

// returned handles a Deployment that went back to an earlier ReplicaSet, by
// Watchtower's hand or another's.
func (v *Verifier) returned(ctx context.Context, ro release.Rollout, k known) error {
	if k.judged[ro.Current.UID] == release.Regressed && k.live == nil {
		id := release.NewID(ro.Workload.Cluster, ro.Workload.UID, ro.Current.UID)
		if !v.isSettledElsewhere(ro) {
			return nil // first sight after a restart: the row was written then
		}
		v.log.Warn("a regressed version was put back", "namespace", ro.Workload.Namespace, "workload", ro.Workload.Name, "replicaset", ro.Current.Name)
		return v.recorder.Refused(ctx, id, "regressed_returned",
			"ReplicaSet "+ro.Current.Name+", judged regressed, was put back by someone; a release is rolled back once only")
	}
	if k.live == nil && ro.Annotations[rolledBackTo] == ro.Current.Name {
		return nil // Watchtower's own rollback, which is followed to its end elsewhere
	}
	return v.overtake(ctx, ro.Workload, "", "the Deployment went back to ReplicaSet "+ro.Current.Name)
}

// overtake closes the live release of a workload, other than by, on what it
// had by then, and what is still open of those before.
func (v *Verifier) overtake(ctx context.Context, w release.Workload, by release.ID, why string) error {
	v.mu.Lock()
	var closing []*verification
	for _, t := range v.live {
		if t.release.Workload.UID == w.UID && t.release.ID != by {
			closing = append(closing, t)
		}
	}
	for _, t := range closing {
		t.release.SupersededBy = by
		v.finish(ctx, t, closed(t, why, time.Now()))
	}
	v.mu.Unlock()
	return v.recorder.Superseded(ctx, w, by, why)
}

func (v *Verifier) liveOf(w release.Workload) *release.Release {
	v.mu.Lock()
	defer v.mu.Unlock()
	for _, t := range v.live {
		if t.release.Workload.UID == w.UID {
			r := t.release
			return &r
		}
	}
	return nil
}

func (v *Verifier) isSettled(ro release.Rollout) bool {
	v.mu.Lock()
	defer v.mu.Unlock()
	return v.settled[ro.Workload.UID] == ro.Current.UID
}

// isSettledElsewhere reports that the workload was last seen at another ReplicaSet.
func (v *Verifier) isSettledElsewhere(ro release.Rollout) bool {
	v.mu.Lock()
	defer v.mu.Unlock()
	was, ok := v.settled[ro.Workload.UID]
	return ok && was != ro.Current.UID
}

func (v *Verifier) settle(ro release.Rollout) {
	v.mu.Lock()
	defer v.mu.Unlock()
	v.settled[ro.Workload.UID] = ro.Current.UID
}

// refreshPolicy follows a change of the annotations during the observation:
// what may be done, never how sure to be, since that was promised at the start.
func (v *Verifier) refreshPolicy(ro release.Rollout) {
	p, _ := v.policies.PolicyFor(ro.Workload.Namespace, ro.Workload.Name, ro.Annotations)
	v.mu.Lock()
	defer v.mu.Unlock()
	for _, t := range v.live {
		if t.release.Workload.UID == ro.Workload.UID {
			t.policy.Autonomy, t.policy.Issue = p.Autonomy, p.Issue
		}
	}
}

// watchRestart follows a rollout to the same references until the digests are
// known: a tag that moved makes it a release after all.
func (v *Verifier) watchRestart(r release.Release) {
	v.mu.Lock()
	defer v.mu.Unlock()
	for id, old := range v.restarts {
		if old.Workload.UID == r.Workload.UID {
			delete(v.restarts, id)
			v.cluster.Unfollow(id)
		}
	}
	v.restarts[r.ID] = r
	v.cluster.Follow(r)
}
