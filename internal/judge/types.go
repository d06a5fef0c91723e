package judge

import (
	"time"

	"github.com/watchtower-verify/watchtower/internal/release"
)

// Config is what a policy asks of the judge. Values that make no sense (an
// error probability outside (0,1), a negative effect) are replaced by those of
// release.DefaultPolicy, so that a Judge always works.
type Config struct {
	// Alpha bounds the probability that a release that is no worse is called
	// regressed, over all looks; Beta the same for a harmful one called healthy.
	Alpha, Beta float64
	// MinEffect δ: relative harm up to 1+δ is tolerated.
	MinEffect float64
	// HealthyRatio and HealthyIncrease say what is tolerated when health is to be
	// shown: the larger of ratio × baseline and baseline + increase.
	HealthyRatio, HealthyIncrease float64
	// Tick is how long a tick is; 0 stands for 15 s.
	Tick time.Duration
}

// Signal declares one test before its first tick: the proportion of bad
// requests among all.
type Signal struct {
	Name string
	// Weight is the signal's share of the error probability; weights are scaled
	// to sum to 1 over the declared signals.
	Weight float64
	// History is tick-long windows before the rollout, oldest first, of the
	// workload as a whole. It may be empty.
	History []release.Count
	// HistoryPods are the pods of each of those windows; empty where they are not told
	// apart there or not in the ticks.
	HistoryPods []Hits
	// MinEffect and HealthyRatio are this signal's own; 0 takes those of Config.
	MinEffect, HealthyRatio float64
	// Limit makes this a guard: the proportion of bad requests that no baseline
	// excuses, between 0 and 1. Its ticks are those of a proportion.
	Limit float64
	// Required signals must be shown healthy before the release is. Signals of
	// quantities cannot be.
	Required bool

	// Value makes this a signal of quantities (seconds per request, bytes per pod)
	// instead of proportions: its ticks carry Tick.Value, its past HistoryValues.
	Value bool
	// Worse is the direction in which a quantity gets worse.
	Worse release.Direction
	// HistoryValues is as History, for a signal of quantities.
	HistoryValues []release.Measure
	// A comparison of quantities is made once both arms have an exposure (Weight) of
	// at least MinWeight and the release is to be expected to have a Sum of MinSum:
	// of fewer the value is too uncertain to be compared. 0 compares every tick.
	MinWeight, MinSum float64
	// MinTicks is how many ticks a comparison has at least: as many as it takes for
	// each pod to be scraped once, where ticks that see other pods differ.
	MinTicks int
}

// Tick is what one signal counted in one tick. For latency, bad is slower than
// the boundary that Tail gives.
type Tick struct {
	Release, Stable release.Count
	// Pods of the release arm; their sum is Release. May be nil when unknown.
	Pods map[string]release.Count
	// Strata split Release and Stable by route, so that a shift in the mix of
	// routes is not taken for harm; nil where they are not told apart.
	Strata []Stratum
	// Mix is how the release's requests are divided by route where Strata is nil
	// because some of its pods do not count yet.
	Mix []Stratum
	// Value is set instead of all the above in a signal of quantities.
	Value *ValueTick
}

// Stratum is one route's share of a tick. Past is what it did before the rollout,
// all of it; zero where that is not known.
type Stratum struct{ Release, Stable, Past release.Count }

// ValueTick is what a signal of quantities measured in one tick. An arm without
// exposure has Weight 0.
type ValueTick struct {
	Release, Stable release.Measure
	// Pods of the release arm. May be nil when unknown.
	Pods map[string]release.Measure
}

// Assessment is the judge's answer now.
type Assessment struct {
	// E is the weighted mean of the signals' current e-values, less the share that is kept
	// for the last look, and that; Threshold is 1/α.
	E, Threshold float64
	// Suspected is E with the evidence that is kept back while an outage of both arms
	// may be the cause. It convicts nobody; others may suffer of what it tells.
	Suspected float64
	// Regressed latches at the tick at which E crosses Threshold with the excess
	// in more than one pod; RegressedAt is that tick.
	Regressed   bool
	RegressedAt time.Time
	// AtLast is set when only the last look found it.
	AtLast bool
	// Healthy holds now: every required signal has HealthyE ≥ 1/β and nothing
	// regressed, or would but for evidence that is kept back. It is not latched. Without
	// required signals it is never true.
	Healthy bool
	// Needs estimates what a decision would still take; nil once there is one.
	Needs    *release.Needs
	Signals  []SignalResult    // in the order declared
	Findings []release.Finding // single bad pods among sound ones
}

// SignalResult is what one signal says.
type SignalResult struct {
	Name string
	// E combines EStable and EHistory against "no worse than the baseline times
	// 1+δ"; HealthyE is against "worse than tolerated". All at most 1e300.
	E, EStable, EHistory, HealthyE float64
	// Sound is set when the release once was as the past, on so many requests that
	// harm would have shown.
	Sound bool
	// Outside is set when the stable arm did much worse than before the rollout too.
	Outside bool
	// Baseline is the arm that carries more of the evidence.
	Baseline release.Arm
	// In a signal of quantities: the arms over all ticks so far, and the past.
	ReleaseValue, StableValue, HistoryValue release.Measure
	// Counts over all ticks so far, and of the windows before the rollout.
	Release, Stable, History release.Count
	// Limit is that of a guard; Effect is then how many times the limit it is.
	Limit float64
	// Effect is the relative risk against Baseline; nil without data in either.
	Effect *release.Effect
	// Dispersion is φ: how many times more the counts scatter than independent
	// requests would (upper 90 % bound; 1 at least).
	Dispersion float64
}
