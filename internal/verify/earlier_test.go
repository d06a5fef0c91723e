package verify

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/watchtower-verify/watchtower/internal/judge"
	"github.com/watchtower-verify/watchtower/internal/release"
	"github.com/watchtower-verify/watchtower/internal/signal"
)

// failingRollout is a rollout of which new pods fail some of their requests.
func failingRollout(seed uint64, failing float64) *world {
	w := healthyWorld(seed)
	w.releaseErr, w.rollout = failing, 20*time.Minute
	return w
}

func TestWhatHappensInEveryRolloutIsNoReleasesFault(t *testing.T) {
	rollouts := func(failing ...float64) (out []*world) {
		for i, f := range failing {
			out = append(out, failingRollout(uint64(40+i), f))
		}
		return out
	}
	for _, c := range []struct {
		says    string
		release float64
		earlier []*world
		lasted  time.Duration // each of them
		want    release.VerdictKind
		why     string
	}{
		{"there was none before", .05, nil, time.Hour, release.Regressed, ""},
		{"one before was the same", .05, rollouts(.05), time.Hour, release.Regressed, ""},
		{"two before were the same", .05, rollouts(.05, .05), time.Hour, release.InsufficientData, "so it was in 2 of the 2 earlier rollouts that are known"},
		{"the four that are asked were well", .05, rollouts(.001, .001, .001, .001, .05, .05), time.Hour, release.Regressed, ""},
		{"half of them were the same", .05, rollouts(.05, .001, .05, .001), time.Hour, release.InsufficientData, "so it was in 2 of the 4 earlier rollouts that are known"},
		{"one of four was the same", .05, rollouts(.001, .001, .05, .001), time.Hour, release.Regressed, ""},
		{"it is far worse than they were", .3, rollouts(.05, .05, .05), time.Hour, release.Regressed, ""},
		{"they were overtaken before they were as old", .05, rollouts(.05, .05, .05), time.Minute, release.Regressed, ""},
	} {
		t.Run(c.says, func(t *testing.T) {
			var earlier []Earlier
			for i := range c.earlier {
				at := replayStart.Add(-time.Duration(i+1) * 29 * time.Hour)
				earlier = append(earlier, Earlier{fmt.Sprintf("earlier-%d", i), "older", at, at.Add(c.lasted)})
			}
			v := replayAfter(t.Context(), failingRollout(3, c.release), testPolicy(), nil, earlier, func(src *simSource) {
				for i, w := range c.earlier {
					src.put(release.ID(fmt.Sprintf("earlier:shop/earlier-%d", i)), w)
				}
			})
			if v.Kind != c.want || !strings.Contains(v.Reason, c.why) {
				t.Fatalf("%s: %s; %s, want %s, %q", v.Kind, v.Summary, v.Reason, c.want, c.why)
			}
			if excused := v.AffectedBy == release.EveryRollout; excused != (c.want == release.InsufficientData) {
				t.Errorf("affected by %q", v.AffectedBy)
			}
		})
	}
}

func TestOneThatGoesOnFailingWhereEarlierOnesStoppedIsFound(t *testing.T) {
	v := rolledOut()
	speaks := func(share float64) judge.Assessment {
		return judge.Assessment{E: 1e5, Threshold: 1000, Regressed: true, Signals: []judge.SignalResult{{
			Name: release.SignalErrorRatio, E: 1e5, Release: release.Count{Bad: int64(1e5 * share), Total: 1e5}, Effect: &release.Effect{Ratio: 10, Low: 9, High: 11},
		}}}
	}
	v.rollouts = rollouts{asked: replayStart, known: 3, signals: map[string]usualRollout{release.SignalErrorRatio: {worse: 3, most: 10, share: 0.05}}}
	v.assessment = speaks(0.05)
	if v.compareEarlier(); !v.rollouts.usual || v.excuse() == "" {
		t.Fatal("as bad as in earlier rollouts, and yet not excused")
	}
	if now := replayStart.Add(peersEvery); !v.wantsEarlier(now) || v.wantsEarlier(now.Add(-time.Second)) {
		t.Error("what was usual at one age is asked for again a minute later, and not before")
	}
	v.rollouts.signals[release.SignalErrorRatio] = usualRollout{worse: 3, most: 10, share: 0.01} // of more minutes
	if v.compareEarlier(); v.rollouts.usual || v.excuse() != "" {
		t.Error("excused, although earlier ones had recovered at its age")
	}
	v.assessment = speaks(0.05)
	v.assessment.Signals[0].E = 900 // as when sums convict at the last look
	if v.rollouts.signals[release.SignalErrorRatio] = (usualRollout{worse: 3, share: 0.05}); v.excuse() != "" {
		t.Error("excused before")
	}
	if v.compareEarlier(); v.rollouts.usual {
		t.Error("excused although no signal that convicts is known to be usual")
	}
	v.rollouts.usual, v.assessment = true, judge.Assessment{E: 1, Threshold: 1000, Regressed: true}
	if v.compareEarlier(); !v.rollouts.usual || v.wantsEarlier(replayStart.Add(time.Hour)) {
		t.Error("what was excused and is over is excused no more, or asked for again")
	}
}

func TestWhatNoEarlierRolloutExcuses(t *testing.T) {
	usual := map[string]usualRollout{release.SignalErrorRatio: {3, 10, 0.05}, release.SignalBudgetBurn: {3, 10, 0.05}, release.SignalMemory: {3, 2, 0}, "latency_p99": {3, 20, 0.02}}
	count := release.Count{Bad: 500, Total: 1e4}
	for _, c := range []struct {
		says  string
		also  judge.SignalResult
		usual bool
	}{
		{"nothing else", judge.SignalResult{}, true},
		{"another signal that never got worse", judge.SignalResult{Name: "restarts", E: 2000, Release: count}, false},
		{"one that does not convict by itself", judge.SignalResult{Name: "restarts", E: 900, Release: count}, true},
		{"an absolute limit", judge.SignalResult{Name: release.SignalBudgetBurn, E: 2000, Baseline: release.BaselineAbsolute, Release: count}, false},
		{"a quantity that grew as much", judge.SignalResult{Name: release.SignalMemory, E: 2000, Effect: &release.Effect{Low: 2.5}}, true},
		{"a quantity that grew more", judge.SignalResult{Name: release.SignalMemory, E: 2000, Effect: &release.Effect{Low: 3.5}}, false},
		{"a tail as heavy by its ratio, at another boundary", judge.SignalResult{Name: "latency_p99", E: 2000, Release: count, Effect: &release.Effect{Low: 25}}, true},
		{"a tail that is far heavier", judge.SignalResult{Name: "latency_p99", E: 2000, Release: count, Effect: &release.Effect{Low: 50}}, false},
	} {
		v := rolledOut()
		v.rollouts = rollouts{asked: replayStart, known: 3, signals: usual}
		v.assessment = judge.Assessment{E: 5000, Threshold: 1000, Regressed: true, Signals: []judge.SignalResult{
			{Name: release.SignalErrorRatio, E: 5000, Release: count, Effect: &release.Effect{Low: 9}}, c.also,
		}}
		if v.compareEarlier(); v.rollouts.usual != c.usual {
			t.Errorf("%s beside failures as usual: usual is %v", c.says, v.rollouts.usual)
		}
	}
}

func rolledOut() *verification {
	return newVerification(release.Release{ID: "r", StartedAt: replayStart, Previous: &release.ReplicaSet{Name: "old"}}, testPolicy(), simTick)
}

func TestEarlierRolloutsAreNotAskedForOnceTheTimeIsUp(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	never := func([]signal.Subject, time.Duration) map[release.ID]signal.Result {
		t.Error("asked")
		return nil
	}
	if got := rolledOut().readEarlier(ctx, []Earlier{{ReplicaSet: "a"}, {ReplicaSet: "b"}}, replayStart, never, never); len(got) > 0 {
		t.Errorf("%d rollouts", len(got))
	}
}

func TestWhichReleasesWereSound(t *testing.T) {
	mark := &release.Mark{By: "ann", Why: "caches"}
	for _, c := range []struct {
		says string
		v    release.Verdict
		want bool
	}{
		{"healthy", release.Verdict{Kind: release.Healthy}, true},
		{"healthy, and a person says it was not", release.Verdict{Kind: release.Healthy, Wrong: mark}, false},
		{"regressed", release.Verdict{Kind: release.Regressed}, false},
		{"regressed, and a person says it was not", release.Verdict{Kind: release.Regressed, Wrong: mark}, true},
		{"too little data", release.Verdict{Kind: release.InsufficientData}, false},
		{"as bad as every rollout", release.Verdict{Kind: release.InsufficientData, AffectedBy: release.EveryRollout}, true},
		{"others had trouble", release.Verdict{Kind: release.InsufficientData, AffectedBy: release.Unreleased}, false},
		{"no metrics", release.Verdict{Kind: release.SourceBroken}, false},
	} {
		if got := Sound(c.v); got != c.want {
			t.Errorf("%s: sound is %v", c.says, got)
		}
	}
}
