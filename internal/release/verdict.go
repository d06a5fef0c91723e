package release

import (
	"slices"
	"time"
)

// Arm says whose pods are measured.
type Arm string

// The arms, and the two baselines that are none.
const (
	ArmRelease Arm = "release" // pods of the new ReplicaSet
	ArmStable  Arm = "stable"  // pods of the ReplicaSet it replaces, while both run
	ArmHistory Arm = "history" // the workload before the rollout
	ArmPeers   Arm = "peers"   // other workloads at the same time

	BaselineAbsolute Arm = "absolute" // a fixed limit
	BaselineNone     Arm = "none"     // a state that needs no comparison
)

// Names of the built-in signals. A user's own signal carries the name given.
const (
	SignalErrorRatio = "error_ratio"
	SignalLatencyP50 = "latency_p50"
	SignalLatencyP90 = "latency_p90"
	SignalLatencyP99 = "latency_p99"
	// SignalLatencyMean is measured where only sum and count of latencies exist.
	SignalLatencyMean = "latency_mean"
	// SignalThroughput is finished requests per second and ready pod.
	SignalThroughput = "throughput"
	SignalRestarts   = "restarts" // of containers, per pod and second
	SignalCPU        = "cpu"      // core-seconds per request, cores per pod where requests are not counted
	SignalMemory     = "memory"   // working set per pod
	SignalPodState   = "pod_state"
	SignalBudgetBurn = "budget_burn" // failures against an objective, whatever the baseline

	// SignalLatency is all quantiles of latency together, where a query serves
	// each of them.
	SignalLatency = "latency"
)

// Unit of the values of an evidence.
type Unit string

// The units.
const (
	UnitRatio     Unit = "ratio"
	UnitSeconds   Unit = "seconds"
	UnitCount     Unit = "count"
	UnitPerSecond Unit = "per_second"
	UnitBytes     Unit = "bytes"
	UnitCores     Unit = "cores"
)

// VerdictKind is the answer for a release.
type VerdictKind string

// The verdicts. Only Regressed may lead to a rollback.
const (
	Pending          VerdictKind = "pending"
	Healthy          VerdictKind = "healthy"
	Regressed        VerdictKind = "regressed"
	InsufficientData VerdictKind = "insufficient_data"
	SourceBroken     VerdictKind = "source_broken"
)

// Verdict is the answer for a release with all that led to it.
type Verdict struct {
	Release ID          `json:"release"`
	Kind    VerdictKind `json:"verdict"`
	// Final is set once the observation ended (time over, regressed, superseded,
	// gone). A healthy verdict is not final before: it may still become regressed.
	Final     bool       `json:"final"`
	DecidedAt *time.Time `json:"decided_at"`
	UpdatedAt time.Time  `json:"updated_at"`
	// Summary is the verdict in one sentence for a person.
	Summary string `json:"summary"`
	// Reason adds what the numbers do not show: the state that convicts, why the
	// observation ended early, what is missing.
	Reason string `json:"reason,omitempty"`
	// AffectedBy is the release that may be the cause of what is seen here, as
	// namespace/replicaset, or Unreleased, or EveryRollout.
	AffectedBy string    `json:"affected_by,omitempty"`
	Needs      *Needs    `json:"needs,omitempty"`
	Findings   []Finding `json:"findings,omitempty"`
	// State says that a state convicts, such as a crash loop, and not numbers: it is a
	// matter of no chance, whatever EValue is.
	State bool `json:"state,omitempty"`
	// Evidence is nil, and left out of JSON, in lists of releases.
	Evidence []Evidence `json:"evidence,omitzero"`
	// EValue is the combined Ē over all signals; the threshold is 1/α.
	EValue    float64 `json:"e_value"`
	Threshold float64 `json:"threshold"`
	// Wrong is set where a person said that the verdict is wrong: a false alarm. It
	// is kept beside the verdict, which stays as it fell.
	Wrong *Mark `json:"wrong,omitempty"`
}

// Unreleased is the cause of trouble that old and new pods have alike and that no
// other release is known to make; EveryRollout that of trouble which the workload has
// whenever it is rolled out, whatever the image.
const (
	Unreleased   = "unreleased"
	EveryRollout = "every rollout"
)

// Needs tells how much more data a decision would take.
type Needs struct {
	Requests int64         `json:"requests"`          // further requests in the release arm
	Within   time.Duration `json:"within_ns"`         // at today's traffic; 0 when there is none
	Signals  []string      `json:"signals,omitempty"` // what is undecided
}

// Finding is something worth telling that is no regression of the image.
type Finding struct {
	Kind    string `json:"kind"` // bad_pod, measurement, …
	Pod     string `json:"pod,omitempty"`
	Message string `json:"message"`
}

// Queries are the questions behind all the evidence, each once.
func (v Verdict) Queries() []Query {
	var out []Query
	for _, e := range v.Evidence {
		for _, q := range e.Queries {
			if q.Signal == "" {
				q.Signal = e.Signal
			}
			same := func(o Query) bool {
				return o.Source == q.Source && o.Expr == q.Expr && o.From.Equal(q.From) && o.To.Equal(q.To)
			}
			if !slices.ContainsFunc(out, same) {
				out = append(out, q)
			}
		}
	}
	return out
}

// Evidence is what one signal says of a release against one baseline.
type Evidence struct {
	Signal   string `json:"signal"`
	Baseline Arm    `json:"baseline"`
	// SeenBy says who counted: SeenByServer or, in what callers tell of their
	// requests to this workload, SeenByCallers. "" where nobody counts requests.
	SeenBy string `json:"seen_by,omitempty"`
	// EValue against "no regression"; nil where the evidence is a state.
	EValue *float64 `json:"e_value"`
	// HealthyEValue against "worse than the policy tolerates"; nil for a state.
	HealthyEValue *float64 `json:"healthy_e_value,omitempty"`
	BaselineValue float64  `json:"baseline_value"`
	ReleaseValue  float64  `json:"release_value"`
	Unit          Unit     `json:"unit"`
	Release       Count    `json:"release_count"`
	Stable        Count    `json:"baseline_count"`
	// Effect is the release's value over the baseline's, with its interval at
	// 1-α; nil where it cannot be had.
	Effect *Effect `json:"effect,omitempty"`
	// Reason says in words what the state is, or what the numbers mean.
	Reason  string  `json:"reason,omitempty"`
	Dialect string  `json:"dialect,omitempty"` // which naming convention was read
	Queries []Query `json:"queries,omitempty"`
	Curve   []Point `json:"curve,omitempty"`
}

// Who counts requests.
const (
	SeenByServer  = "server"
	SeenByCallers = "callers"
)

// Effect is a ratio and its interval.
type Effect struct {
	Ratio float64 `json:"ratio"`
	Low   float64 `json:"low"`
	High  float64 `json:"high"`
}

// Count is how many requests there were and how many of them were bad
// (failed, or slower than a threshold).
type Count struct {
	Total int64 `json:"total"`
	Bad   int64 `json:"bad"`
}

// Ratio is Bad/Total, 0 without requests.
func (c Count) Ratio() float64 {
	if c.Total == 0 {
		return 0
	}
	return float64(c.Bad) / float64(c.Total)
}

// Add returns the sum of two counts.
func (c Count) Add(o Count) Count { return Count{c.Total + o.Total, c.Bad + o.Bad} }

// Measure is a quantity over an exposure: seconds over requests, bytes over
// pods, requests over ready pod-seconds. Its value is their quotient.
type Measure struct {
	Sum    float64 `json:"sum"`
	Weight float64 `json:"weight"`
}

// Value is Sum/Weight, 0 without exposure.
func (m Measure) Value() float64 {
	if m.Weight == 0 {
		return 0
	}
	return m.Sum / m.Weight
}

// Add returns the measure of both exposures together.
func (m Measure) Add(o Measure) Measure { return Measure{m.Sum + o.Sum, m.Weight + o.Weight} }

// Query is one question that was put to a source, exactly as sent.
type Query struct {
	Source string    `json:"source"` // "prometheus"
	Signal string    `json:"signal"` // SignalErrorRatio, SignalLatency, …, or a user's own
	SeenBy string    `json:"seen_by,omitempty"`
	Expr   string    `json:"expr"`
	From   time.Time `json:"from"`
	To     time.Time `json:"to"`
}

// Point is one tick of a curve.
type Point struct {
	At      time.Time `json:"at"`
	Release Count     `json:"release"`
	Stable  Count     `json:"baseline"`
	// Values of both arms in the evidence's unit (a latency's quantile, an error
	// ratio); nil in a tick without requests.
	ReleaseValue  *float64 `json:"release_value"`
	BaselineValue *float64 `json:"baseline_value"`
	EValue        float64  `json:"e_value"`
}
