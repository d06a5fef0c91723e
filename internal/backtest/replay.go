package backtest

import (
	"context"
	"slices"
	"time"

	"github.com/watchtower-verify/watchtower/internal/release"
	"github.com/watchtower-verify/watchtower/internal/signal"
	"github.com/watchtower-verify/watchtower/internal/verify"
)

// one replays a candidate; nil when it is no release.
func (r *runner) one(ctx context.Context, c candidate) (*Release, error) {
	policy := r.opt.Policy(c.namespace, c.deployment)
	if r.opt.Observe > 0 {
		policy.Observe = r.opt.Observe
	}
	out := &Release{candidate: c, policy: policy}
	scene, err := r.load(ctx, out)
	if err != nil {
		return nil, err
	}
	switch {
	case len(scene.rel.ReplicaSet.Images) == 0:
		r.skip(c, "it had no pod by the end of its observation, so its images are not known")
		return nil, nil
	case scene.sameImages():
		return nil, nil
	}
	t := &tape{scene: scene}
	if err := r.live(ctx, t, nil, nil, out); err != nil {
		return nil, err
	}
	out.convicted = out.convicted && c.before > 0
	if out.mayBeAgain() {
		out.tape = t
	}
	return out, nil
}

// oneAgain replays a release of which others may be the cause, with what was known of
// these at each tick, and of the workload's earlier releases.
func (r *runner) oneAgain(ctx context.Context, before *Release, others []verify.Suspect, earlier []verify.Earlier) (*Release, error) {
	out := &Release{candidate: before.candidate, policy: before.policy}
	if err := r.live(ctx, before.tape, others, earlier, out); err != nil {
		return nil, err
	}
	out.others, out.convicted = false, false
	return out, nil
}

// load reads what the cluster's state was while a release was observed.
func (r *runner) load(ctx context.Context, rel *Release) (*scene, error) {
	c, p := rel.candidate, rel.policy
	end := c.created.Add(p.Observe)
	if end.After(r.opt.To) {
		end = r.opt.To
	}
	return r.state.load(ctx, c, p.Observe, c.created.Add(-max(p.History, leastPast)), end)
}

// sameImages reports a restart, or a change of anything but images.
func (s *scene) sameImages() bool {
	old := s.rel.Previous
	return old != nil && len(old.Images) > 0 && len(release.ChangedImages(old.Images, s.rel.ReplicaSet.Images)) == 0
}

// skip notes a ReplicaSet of which it cannot be told whether it is a release.
func (r *runner) skip(c candidate, why string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.skipped = append(r.skipped, Skipped{Namespace: c.namespace, Workload: c.deployment, ReplicaSet: c.replicaSet, Reason: why})
}

// live lives a release from its start to its end.
func (r *runner) live(ctx context.Context, t *tape, others []verify.Suspect, earlier []verify.Earlier, out *Release) error {
	s := t.scene
	reader := &player{tape: t, lag: r.opt.Lag, Reader: signal.NewReader(r.cat, r.store, signal.Options{
		Tick: r.opt.Tick, Lag: r.opt.Lag, Origin: s.rel.StartedAt, SliceTicks: sliceTicks, ScrapeLookback: time.Minute, Limits: r.opt.Limits,
	})}
	replay := verify.NewReplay(s.rel, out.policy, r.opt.Tick)
	replay.Others, replay.Earlier, replay.Heard = others, earlier, &t.heard
	replay.Peers = func() []string { return r.peers(ctx, s.candidate) }
	replay.AskPeers = func(subjects []signal.Subject, length time.Duration) map[release.ID]signal.Result {
		return reader.History(ctx, subjects, length)
	}
	replay.AskRollouts = func(subjects []signal.Subject, length time.Duration) map[release.ID]signal.Result {
		return reader.Rollouts(ctx, subjects, length)
	}
	if err := r.history(ctx, s, reader, replay); err != nil {
		return err
	}
	over, why := s.overtaken(s.to)
	subject := replay.Subject()
	verdict := release.Verdict{Release: s.rel.ID, Kind: release.Pending}
	at, size := s.rel.StartedAt, firstSlice
	for !verdict.Final && !at.Add(r.opt.Tick).After(over) {
		to := at
		for n := 0; n < size && !to.Add(r.opt.Tick).After(over); n++ {
			to = to.Add(r.opt.Tick)
		}
		size = sliceTicks
		subject.Pods = s.known(to)
		res := reader.read(ctx, to, subject)
		if res.Err != nil {
			return res.Err
		}
		for at.Before(to) && !verdict.Final {
			at = at.Add(r.opt.Tick)
			replay.Observe(s.observe(at), s.asOf(at))
			verdict = replay.Take(upTo(&res, at.Add(-r.opt.Lag)), at)
			if r.look != nil {
				r.look(at, verdict)
			}
		}
	}
	if !verdict.Final && why != "" {
		verdict = replay.Close(why, "", over)
	}
	out.take(s, replay, verdict)
	return nil
}

// peers names the other Deployments of the namespace that rolled nothing out within
// an observation of the release. What cannot be read names none.
func (r *runner) peers(ctx context.Context, c candidate) []string {
	names, err := r.state.deployments(ctx, c)
	if err != nil {
		return nil
	}
	return slices.DeleteFunc(names, func(name string) bool {
		return slices.ContainsFunc(r.candidates, func(o candidate) bool {
			return o.namespace == c.namespace && o.deployment == name && o.created.Sub(c.created).Abs() < r.opt.Policy(c.namespace, name).Observe
		})
	})
}

// history gives the replay what was counted before the rollout.
func (r *runner) history(ctx context.Context, s *scene, reader *player, replay *verify.Replay) error {
	begin := s.rel.StartedAt.Add(r.opt.Tick)
	replay.Observe(s.observe(begin), begin)
	subject, length := replay.HistorySubject()
	subject.Pods = s.known(begin)
	res := reader.past(ctx, subject, length)
	if res.Err != nil {
		return res.Err
	}
	replay.History(res)
	return nil
}

// overtaken is when the observation ends early, and why; why is "" where it does
// not.
func (s *scene) overtaken(end time.Time) (time.Time, string) {
	why := ""
	earlier := func(at time.Time, reason string) {
		if !at.IsZero() && at.After(s.rel.StartedAt) && at.Before(end) {
			end, why = at, reason
		}
	}
	if next := s.candidate.next; next != nil {
		earlier(next.created, "ReplicaSet "+next.replicaSet+" took over")
	}
	earlier(s.back, "the Deployment went back to ReplicaSet "+s.backTo)
	return end, why
}

// upTo takes the readings that ended by a time out of a result.
func upTo(res *signal.Result, at time.Time) signal.Result {
	n := 0
	for n < len(res.Readings) && !res.Readings[n].To.After(at) {
		n++
	}
	out := *res
	out.Readings, res.Readings = res.Readings[:n], res.Readings[n:]
	return out
}
