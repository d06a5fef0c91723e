package verify

import (
	"context"
	"fmt"
	"maps"
	"math"
	"strings"
	"time"

	"github.com/watchtower-verify/watchtower/internal/judge"
	"github.com/watchtower-verify/watchtower/internal/release"
	"github.com/watchtower-verify/watchtower/internal/signal"
)

const (
	// Of so many of a workload's earlier rollouts it is asked how it did, and so many must
	// be known.
	earlierAsked, leastEarlier = 4, 2
	// Rollouts are not equally quick: they are compared with what they were within so long
	// of the release's age.
	earlierAround = 2 * time.Minute
)

// Earlier is a release that the workload had before, and that proved sound.
type Earlier struct {
	ReplicaSet, Previous string
	StartedAt            time.Time
	Until                time.Time // when it was overtaken or taken back; zero: not before the release that asks
}

// Sound reports whether a final verdict, with what a person said of it, tells that nothing
// was wrong with a release: what it did in its rollout is what the workload does in them.
func Sound(v release.Verdict) bool {
	switch v.Kind {
	case release.Healthy:
		return v.Wrong == nil
	case release.Regressed:
		return v.Wrong != nil
	case release.InsufficientData:
		return v.AffectedBy == release.EveryRollout
	}
	return false
}

// rollouts is what the workload did in earlier rollouts of sound releases, for as long as
// the release is out: a placebo. Where it got as much worse in half of them, starting
// does it (cold caches, connections that are made anew), and not this release.
type rollouts struct {
	asked   time.Time
	known   int
	signals map[string]usualRollout // those that got worse in any of them
	usual   bool                    // the release was no worse when last anything spoke against it
	worse   int                     // in how many it was so
}

// usualRollout is how often a signal got worse, how many times as bad as its baseline it was
// at most, and the largest share of bad requests of the release's.
type usualRollout struct {
	worse       int
	most, share float64
}

// asBad reports whether a signal is at most usualHarm times as bad as it was, by the lower
// end of what it may be: by the share of its requests, two standard errors below; and
// where that depends on which bucket is the boundary, or there are no requests, by how
// many times as bad as its baseline it is.
func (u usualRollout) asBad(s judge.SignalResult) bool {
	byEffect := s.Effect != nil && s.Effect.Low <= usualHarm*u.most
	if s.Release.Total == 0 || byEffect && kin(s.Name) == release.SignalLatency {
		return byEffect
	}
	bad := float64(max(s.Release.Bad, 1))
	return s.Release.Ratio()*(1-2*math.Sqrt(max(s.Dispersion, 1)/bad)) <= usualHarm*u.share
}

// narrow reports whether an effect is known to within a factor of ten: where the baseline
// had next to none any number is as good as another.
func narrow(e *release.Effect) bool { return e != nil && e.High <= 10*e.Low }

// bad reports whether enough rollouts are known and in half of them a signal got worse.
func (r rollouts) bad(signal string) bool {
	return r.known >= leastEarlier && 2*r.signals[signal].worse >= r.known
}

// kin is what a signal tells of: the quantiles of latency get worse together.
func kin(signal string) string {
	if strings.HasPrefix(signal, release.SignalLatency+"_") {
		return release.SignalLatency
	}
	return signal
}

// wantsEarlier reports whether it is to be asked how earlier rollouts went: before a
// release is called regressed, and again while they may be why it is not, since what was
// usual in the first minute is not in the tenth.
func (t *verification) wantsEarlier(now time.Time) bool {
	if !t.assessment.Regressed || t.release.Previous == nil || t.excuse() != "" && !t.rollouts.usual {
		return false
	}
	again := len(t.rollouts.signals) > 0 && t.assessment.E >= t.assessment.Threshold && now.Sub(t.rollouts.asked) >= peersEvery
	return t.rollouts.asked.IsZero() || again
}

// placebo is an earlier rollout as it stood when it was as old as the release is now.
type placebo struct {
	earlier     Earlier
	before, out signal.Result
}

// readEarlier reads the last few of the earlier rollouts, those of them that lasted as long
// as the release is out. It changes nothing. What cannot be read is left out.
func (t *verification) readEarlier(ctx context.Context, list []Earlier, now time.Time, before, out asks) []placebo {
	var found []placebo
	w, length := t.release.Workload, now.Sub(t.release.StartedAt)+earlierAround
	for _, e := range list {
		if len(found) == earlierAsked || ctx.Err() != nil {
			break
		}
		if !e.Until.IsZero() && e.Until.Before(e.StartedAt.Add(length)) {
			continue
		}
		s := signal.Subject{
			ID: release.ID("earlier:" + w.Namespace + "/" + e.ReplicaSet), Namespace: w.Namespace, Workload: w.Name,
			Release: e.ReplicaSet, Stable: e.Previous, StartedAt: e.StartedAt, Custom: t.policy.Custom, Services: t.obs.Services,
		}
		subjects := []signal.Subject{s}
		p := placebo{e, before(subjects, t.policy.History)[s.ID], out(subjects, length)[s.ID]}
		if p.before.Err == nil && p.out.Err == nil && anything(p.out.Readings) {
			found = append(found, p)
		}
	}
	return found
}

// hearEarlier judges each of the earlier rollouts by the same evidence.
func (t *verification) hearEarlier(list []placebo, now time.Time) {
	t.rollouts = rollouts{asked: now, signals: map[string]usualRollout{}, usual: t.rollouts.usual, worse: t.rollouts.worse}
	for _, p := range list {
		w := t.release.Workload
		v := newVerification(release.Release{
			ID: t.release.ID, Workload: w, StartedAt: p.earlier.StartedAt, SeenAt: p.earlier.StartedAt, HistoryUntil: p.earlier.StartedAt,
			ReplicaSet: release.ReplicaSet{Name: p.earlier.ReplicaSet}, Previous: &release.ReplicaSet{Name: p.earlier.Previous},
		}, t.policy, t.tick)
		v.takeHistory(p.before, p.earlier.StartedAt)
		v.historyKnown = true // there is none to wait for
		harm := v.harmOf(p.out.Readings, now.Sub(t.release.StartedAt)-earlierAround)
		if v.judge == nil {
			continue
		}
		t.rollouts.known++
		for name, r := range harm {
			was := t.rollouts.signals[name]
			t.rollouts.signals[name] = usualRollout{was.worse + 1, max(was.most, r.most), max(was.share, r.share)}
		}
	}
	t.compareEarlier()
}

// harmOf judges a rollout, and tells of the signals that got worse at any time how bad they
// were from some age on.
func (t *verification) harmOf(readings []signal.Reading, from time.Duration) map[string]usualRollout {
	worse, most := map[string]bool{}, map[string]usualRollout{}
	for _, rd := range readings {
		t.feed(rd)
		for _, s := range t.assessment.Signals {
			worse[kin(s.Name)] = worse[kin(s.Name)] || s.E >= usualE
			if rd.To.Sub(t.release.StartedAt) < from {
				continue
			}
			was := most[s.Name]
			was.share = max(was.share, s.Release.Ratio())
			if narrow(s.Effect) {
				was.most = max(was.most, s.Effect.Ratio)
			}
			most[s.Name] = was
		}
	}
	maps.DeleteFunc(most, func(name string, _ usualRollout) bool { return !worse[kin(name)] })
	return most
}

// compareEarlier notes whether all that speaks against the release is as the workload does
// in every rollout, as long as anything does: afterwards what was found stays. An absolute
// limit is excused by nothing.
func (t *verification) compareEarlier() {
	if t.rollouts.known == 0 || t.assessment.E < t.assessment.Threshold {
		return
	}
	convict := 0
	usual, worse := true, t.rollouts.known
	for _, s := range t.assessment.Signals {
		if s.E < t.assessment.Threshold {
			continue // it does not convict by itself
		}
		convict++
		was := t.rollouts.signals[s.Name]
		worse = min(worse, was.worse)
		usual = usual && t.rollouts.bad(s.Name) && s.Baseline != release.BaselineAbsolute && was.asBad(s)
	}
	t.rollouts.usual, t.rollouts.worse = usual && convict > 0, worse
}

// say is the excuse in words.
func (r rollouts) say() string {
	return fmt.Sprintf("it does worse than before, as the workload does whenever it is rolled out: so it was in %d of the %d earlier rollouts that are known", r.worse, r.known)
}

// askEarlier asks how earlier rollouts went, where that is wanted. The sources are read
// with no lock held.
func (v *Verifier) askEarlier(ctx context.Context, t *verification, now time.Time) {
	v.mu.Lock()
	wanted, still := t.wantsEarlier(now), t.still()
	v.mu.Unlock()
	if !wanted || ctx.Err() != nil {
		return
	}
	list, err := v.recorder.Earlier(ctx, still.release)
	if err != nil {
		v.log.Error("earlier releases not found; judged without them", append(logRelease(still.release), "err", err)...)
	}
	found := still.readEarlier(ctx, list, now, func(subjects []signal.Subject, length time.Duration) map[release.ID]signal.Result {
		return v.source.History(ctx, subjects, length)
	}, func(subjects []signal.Subject, length time.Duration) map[release.ID]signal.Result {
		return v.source.Rollouts(ctx, subjects, length)
	})
	v.mu.Lock()
	t.hearEarlier(found, now)
	v.mu.Unlock()
}
