package release

import "time"

// SignalReport tells what is measured of a workload, and why, or why nothing
// is and what to change.
type SignalReport struct {
	Workload Workload  `json:"workload"`
	From     time.Time `json:"from"` // the values are of this range
	To       time.Time `json:"to"`
	// Release and Stable name the ReplicaSets of the arms. Without a rollout under
	// way the workload's pods are all of the arm stable, and Release is "".
	Release string `json:"release,omitempty"`
	Stable  string `json:"stable,omitempty"`
	// Signals are the built-in ones in the order of the documentation, then the
	// user's own; also those that are not measured.
	Signals []SignalStatus `json:"signals"`
	// Notes are about the measurement as a whole: dialects left aside, routes
	// left out, what to change where nothing can be measured.
	Notes []string `json:"notes"`
}

// SignalStatus is one signal of a SignalReport.
type SignalStatus struct {
	Signal   string `json:"signal"`
	SeenBy   string `json:"seen_by,omitempty"`
	Measured bool   `json:"measured"`
	// Why says in words what is read and why that; or why nothing is, and what to
	// change.
	Why     string      `json:"why"`
	Dialect string      `json:"dialect,omitempty"`
	Unit    Unit        `json:"unit"`
	Arms    []ArmSignal `json:"arms,omitempty"`
	Queries []Query     `json:"queries,omitempty"`
}

// ArmSignal is the current value of a signal in one arm.
type ArmSignal struct {
	Arm  Arm `json:"arm"`
	Pods int `json:"pods"` // that have series of the signal
	// Value in the signal's unit; nil where nothing happened in the range.
	Value *float64 `json:"value"`
	// Count is the requests behind a ratio or a latency, nil for other signals.
	Count *Count `json:"count,omitempty"`
	// Routes are the strata that are told apart, where there are several.
	Routes []RouteSignal `json:"routes,omitempty"`
}

// RouteSignal is an ArmSignal of one route.
type RouteSignal struct {
	Route string `json:"route"`
	Count Count  `json:"count"`
}
