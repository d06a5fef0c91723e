package verify

import (
	"context"
	"slices"
	"strings"
	"time"

	"github.com/watchtower-verify/watchtower/internal/release"
	"github.com/watchtower-verify/watchtower/internal/signal"
)

// saveEvery is how often the numbers of an undecided release are written down
// for those who look; a change of verdict is written at once.
const saveEvery = 10 * time.Second

// historyPatience is how long an empty past is asked for again once there are
// requests to judge.
const historyPatience = time.Minute

// observePatience is how long the pods are waited for before the past is read.
const observePatience = 10 * time.Second

// Tick counts and judges every live release once. The source is read with no
// lock held, so a slow one delays nothing but the numbers.
func (v *Verifier) Tick(ctx context.Context, now time.Time) {
	start := time.Now()
	defer func() { v.metrics.tickSeconds.Observe(time.Since(start).Seconds()) }()

	v.observeAll(now)
	v.readHistories(ctx, now)
	subjects := v.subjects(func(*verification) bool { return true })
	results := v.source.Read(ctx, now, subjects)
	if ctx.Err() != nil {
		return // what a stopping process reads is not evidence of anything
	}
	v.mu.Lock()
	var taken, wanting []*verification
	for _, s := range subjects {
		t, live := v.live[s.ID]
		res, ok := results[s.ID]
		if !live || !ok || t.ending != nil {
			continue
		}
		if res.Err != nil {
			v.metrics.sourceErrors.WithLabelValues(string(release.ErrorCode(res.Err))).Inc()
		}
		v.observe(t, now)
		t.take(res, now)
		t.suspect(conclude(t, now), now)
		taken = append(taken, t)
	}
	suspects := v.suspects(now)
	for _, t := range taken {
		if t.affectedBy = t.blame(suspects, now); t.wantsPeers(now) || t.wantsEarlier(now) || t.wantsDays(now) {
			wanting = append(wanting, t)
		}
	}
	v.mu.Unlock()
	v.askOthers(ctx, now, wanting)
	if ctx.Err() != nil {
		return
	}
	v.mu.Lock()
	defer v.mu.Unlock()
	for _, t := range taken {
		if v.live[t.release.ID] == t && t.ending == nil {
			v.say(ctx, t, conclude(t, now))
		}
	}
}

// suspectsKept is how long a suspected release is remembered after its end.
const suspectsKept = time.Hour

// suspects are what others need to know of the releases that are watched, and of
// those that lately were and were suspected; v.mu is held.
func (v *Verifier) suspects(now time.Time) []Suspect {
	for _, t := range v.live {
		if s := t.asSuspect(); !s.Troubled.IsZero() {
			v.suspected[s.Name()] = s
		}
	}
	var out []Suspect
	for name, s := range v.suspected {
		if now.Sub(s.Troubled) > suspectsKept {
			delete(v.suspected, name)
			continue
		}
		out = append(out, s)
	}
	for _, t := range v.live {
		if s := t.asSuspect(); s.Troubled.IsZero() {
			out = append(out, s)
		}
	}
	SortSuspects(out)
	return out
}

// readHistories fetches what went before for releases that lack it. A failure
// is the source's, and leaves the release for the next tick.
func (v *Verifier) readHistories(ctx context.Context, now time.Time) {
	// The past by what callers tell is asked for by the pods' addresses.
	lacking := v.subjects(func(t *verification) bool {
		return !t.historyKnown && (t.observed || now.Sub(t.release.SeenAt) > observePatience)
	})
	byLength := map[time.Duration][]signal.Subject{}
	v.mu.Lock()
	for _, s := range lacking {
		if t, ok := v.live[s.ID]; ok {
			s.StartedAt = t.release.HistoryUntil
			byLength[t.policy.History] = append(byLength[t.policy.History], s)
		}
	}
	v.mu.Unlock()
	for length, subjects := range byLength {
		results := v.source.History(ctx, subjects, length)
		if ctx.Err() != nil {
			return
		}
		v.mu.Lock()
		for _, s := range subjects {
			if t, ok := v.live[s.ID]; ok {
				t.takeHistory(results[s.ID], now)
			}
		}
		v.mu.Unlock()
	}
}

// takeHistory keeps what went before. A past without a single request may be
// the source's fault rather than the workload's, so it is asked for again until
// requests have been counted for a while.
func (t *verification) takeHistory(res signal.Result, now time.Time) {
	if res.Err != nil {
		t.sourceErr = res.Err
		return
	}
	t.history = res.Readings
	t.freshBefore = slices.ContainsFunc(t.history, func(rd signal.Reading) bool { return rd.Fresh })
	waited := !t.firstCounted.IsZero() && now.Sub(t.firstCounted) > historyPatience
	t.historyKnown = waited || t.release.Previous == nil || whole(t.history)
}

// whole reports whether a past holds requests, and not only of some signals: a
// source that fails while it is read may answer half of it with nothing.
func whole(history []signal.Reading) bool {
	requests := slices.ContainsFunc(history, func(rd signal.Reading) bool {
		return rd.Errors != nil && rd.Errors.Stable.Total > 0
	})
	timed := slices.ContainsFunc(history, func(rd signal.Reading) bool { return rd.Latency != nil && sum(rd.Latency.Stable.Counts) > 0 })
	return requests || !timed && slices.ContainsFunc(history, counted)
}

// subjects lists the live releases that pass keep, in a stable order.
func (v *Verifier) subjects(keep func(*verification) bool) []signal.Subject {
	v.mu.Lock()
	defer v.mu.Unlock()
	out := make([]signal.Subject, 0, len(v.live))
	for _, t := range v.live {
		if t.ending == nil && keep(t) {
			out = append(out, t.subject())
		}
	}
	slices.SortFunc(out, func(a, b signal.Subject) int { return strings.Compare(string(a.ID), string(b.ID)) })
	return out
}

// observe refreshes what the cluster shows of a release; v.mu is held.
func (v *Verifier) observe(t *verification, now time.Time) {
	if obs, ok := v.cluster.Observe(t.release.ID); ok {
		t.remember(obs, now)
	}
}

// observeAll refreshes what the cluster shows of all releases.
func (v *Verifier) observeAll(now time.Time) {
	v.mu.Lock()
	defer v.mu.Unlock()
	for _, t := range v.live {
		v.observe(t, now)
	}
}

// say records a verdict where it changed or is due; v.mu is held.
func (v *Verifier) say(ctx context.Context, t *verification, verdict release.Verdict) {
	if verdict.Final {
		v.finish(ctx, t, verdict)
		return
	}
	changed := verdict.Kind != t.last.Kind
	if !changed && verdict.UpdatedAt.Sub(t.lastSaved) < saveEvery {
		return
	}
	if err := v.recorder.Decide(ctx, t.release, t.withCurves(verdict), t.policy); err != nil {
		v.log.Error("verdict not recorded; trying again", append(logRelease(t.release), "err", err)...)
		return
	}
	if changed {
		v.log.Info("verdict", append(logRelease(t.release), "verdict", string(verdict.Kind), "summary", verdict.Summary)...)
	}
	t.last, t.lastSaved = verdict, verdict.UpdatedAt
}

// finish records the last word on a release and stops following it. Until the
// store has taken it the release stays live and is tried again; v.mu is held.
func (v *Verifier) finish(ctx context.Context, t *verification, verdict release.Verdict) {
	t.ending = &verdict
	if err := v.recorder.Decide(ctx, t.release, t.withCurves(verdict), t.policy); err != nil {
		v.log.Error("final verdict not recorded; trying again", append(logRelease(t.release), "err", err)...)
		return
	}
	v.log.Info("verdict is final", append(logRelease(t.release), "verdict", string(verdict.Kind), "summary", verdict.Summary)...)
	v.untrack(t.release.ID)
}

// watchStates looks every second at what needs no counting: pod states, digests
// that became known, Deployments that went, verdicts still to be stored.
func (v *Verifier) watchStates(ctx context.Context, now time.Time) {
	v.mu.Lock()
	for _, t := range v.live {
		if t.ending != nil {
			v.finish(ctx, t, *t.ending)
			continue
		}
		v.observe(t, now)
		if !t.observed {
			continue
		}
		v.identify(ctx, t)
		// Time that is over ends the observation only after the tick that ends then.
		if verdict := conclude(t, now); verdict.Final && !t.over(now) {
			v.finish(ctx, t, verdict)
		}
	}
	restarts := v.movedTags(now)
	v.mu.Unlock()
	for _, r := range restarts {
		v.beginMovedTag(ctx, r)
	}
}

// identify writes down the digests as soon as the pods run them; v.mu is held.
func (v *Verifier) identify(ctx context.Context, t *verification) {
	r := t.release
	r.ReplicaSet.Images = withDigests(r.ReplicaSet.Images, t.obs.Release.Pods)
	if r.Previous != nil {
		prev := *r.Previous
		prev.Images = withDigests(prev.Images, t.obs.Stable.Pods)
		r.Previous = &prev
	}
	if sameIdentity(r, t.release) {
		return
	}
	if err := v.recorder.Seen(ctx, r, t.policy); err != nil {
		v.log.Error("digests not recorded; trying again", append(logRelease(r), "err", err)...)
		return
	}
	t.release = r
	v.resolveLater(r)
}

func sameIdentity(a, b release.Release) bool {
	same := slices.Equal(a.ReplicaSet.Images, b.ReplicaSet.Images)
	if a.Previous != nil && b.Previous != nil {
		same = same && slices.Equal(a.Previous.Images, b.Previous.Images)
	}
	return same
}
