package release

import (
	"fmt"
	"time"
)

// Autonomy is how much a policy may do alone.
type Autonomy string

// The steps of autonomy, each allowing what the one before does.
const (
	AutonomyObserve Autonomy = "observe" // record the verdict, touch nothing
	AutonomyAlert   Autonomy = "alert"   // alert, Kubernetes Event, hotfix issue
	AutonomyApprove Autonomy = "approve" // and roll back once a person approved
	AutonomyAuto    Autonomy = "auto"    // and roll back
)

var autonomyRank = map[Autonomy]int{AutonomyObserve: 1, AutonomyAlert: 2, AutonomyApprove: 3, AutonomyAuto: 4}

// ParseAutonomy reads an autonomy by name.
func ParseAutonomy(s string) (Autonomy, error) {
	if _, ok := autonomyRank[Autonomy(s)]; !ok {
		return "", fmt.Errorf("autonomy %q is unknown: use observe, alert, approve or auto", s)
	}
	return Autonomy(s), nil
}

// Allows reports whether a may do what o may.
func (a Autonomy) Allows(o Autonomy) bool { return autonomyRank[a] >= autonomyRank[o] }

// Policy says what to measure of a workload, how long, how sure to be, and
// what may be done about it.
type Policy struct {
	Name     string   `json:"name"`
	Autonomy Autonomy `json:"autonomy"`
	// Ignore leaves the workload alone: no release of it is judged.
	Ignore  bool          `json:"ignore,omitempty"`
	Observe time.Duration `json:"observe"` // how long a release is watched after its start
	Warmup  time.Duration `json:"warmup"`  // a pod's first moments that do not count for latency
	History time.Duration `json:"history"` // how far before the rollout the history arm reaches
	// SourceGrace is how long a source may fail before the verdict is source_broken.
	SourceGrace time.Duration `json:"source_grace"`
	// ReadyWithin is how long the release's pods may take to the first one ready.
	ReadyWithin time.Duration `json:"ready_within"`
	// Alpha bounds the probability that a release that is no worse is called
	// regressed, however often one looks; Beta that one worse than tolerated is
	// called healthy.
	Alpha float64 `json:"alpha"`
	Beta  float64 `json:"beta"`
	// MinEffect δ is the relative harm that is tolerated: regressed needs a
	// relative risk above 1+δ.
	MinEffect float64 `json:"min_effect"`
	// A release is healthy once it is shown to be better than the larger of
	// HealthyRatio × baseline and baseline + HealthyIncrease.
	HealthyRatio    float64 `json:"healthy_ratio"`
	HealthyIncrease float64 `json:"healthy_increase"`
	// SLO is the objective for the share of requests that must not fail, as 0.999; 0
	// for none. A release that spends the rest, the error budget, faster than BurnRate
	// times evenly is regressed whatever it is compared with.
	SLO      float64 `json:"slo,omitempty"`
	BurnRate float64 `json:"burn_rate,omitempty"`
	// Weights of the signals; they are scaled to sum to 1 over what is measured.
	Weights map[string]float64 `json:"weights"`
	Issue   bool               `json:"issue"` // open a hotfix issue for a regressed release
	// Severity of the messages about a regressed release.
	Severity Severity       `json:"severity,omitempty"`
	Custom   []CustomSignal `json:"signals,omitempty"`
}

// CustomSignal is a signal of the user's own, in one of three forms: Bad with
// Total is a ratio of two counters (how many of Total were Bad), Counter is one
// counter (its increase per second and pod), Gauge is any PromQL that answers
// with one value for each pod. Bad, Total and Counter are plain selectors;
// Watchtower adds the matchers for the release's pods, in a Gauge to every
// selector in it, and takes increases itself.
type CustomSignal struct {
	Name    string `json:"name"`
	Bad     string `json:"bad,omitempty"`
	Total   string `json:"total,omitempty"`
	Counter string `json:"counter,omitempty"`
	Gauge   string `json:"gauge,omitempty"`
	// Worse is the direction that is bad, of a Counter or Gauge; a ratio is worse
	// when it rises.
	Worse Direction `json:"worse,omitempty"`
	// MinEffect is the relative change that is tolerated, of a Counter or Gauge:
	// 0.2 allows a fifth more (or less). 0 stands for 0.2.
	MinEffect float64 `json:"min_effect,omitempty"`
}

// Direction is which way a value gets worse.
type Direction string

// The directions. The zero value means up.
const (
	Up   Direction = "up"
	Down Direction = "down"
)

// DefaultPolicy is in force where the configuration says nothing. It only
// observes.
func DefaultPolicy() Policy {
	return Policy{
		Name:            "default",
		Autonomy:        AutonomyObserve,
		Observe:         30 * time.Minute,
		Warmup:          time.Minute,
		History:         30 * time.Minute,
		SourceGrace:     2 * time.Minute,
		ReadyWithin:     5 * time.Minute,
		Alpha:           0.001,
		Beta:            0.05,
		MinEffect:       0.1,
		HealthyRatio:    1.5,
		HealthyIncrease: 0.01,
		// The fast one of the usual pair: in an hour it spends a fiftieth of what is for
		// thirty days (Site Reliability Workbook, chapter 5).
		BurnRate: 14.4,
		Weights:  map[string]float64{"errors": 0.4, "callers": 0.2, "latency": 0.3, "throughput": 0.1, "resources": 0.1, "custom": 0.3, "slo": 0.2},
		Issue:    true,
		Severity: SeverityCritical,
	}
}
