// Package signal knows which series mean requests, failures and latency in
// each naming convention (the catalogue), finds out which of them a workload's
// pods really export, and turns raw samples into exact counts per arm and tick.
//
// It asks a metric store for raw samples only and takes the increases itself:
// rate() and increase() extrapolate, and they lose what a new pod served before
// its second scrape.
package signal

import (
	"context"
	"time"

	"github.com/watchtower-verify/watchtower/internal/release"
)

// Subject is what is counted for one release.
type Subject struct {
	ID        release.ID
	Namespace string
	Workload  string    // name of the Deployment
	Release   string    // name of the release's ReplicaSet
	Stable    string    // name of the ReplicaSet it replaces; "" for none
	StartedAt time.Time // when the release began; counting starts with its tick
	Custom    []release.CustomSignal
}

// Arm is what one arm's pods did in a tick, together and each.
type Arm struct {
	release.Count
	Pods map[string]release.Count // pods that did something
}

// Pair is one signal of both arms in a tick.
type Pair struct {
	Release Arm
	Stable  Arm
}

// Histogram is how long the requests of a tick took. Bounds are the ascending
// upper bounds of the buckets in seconds, the last +Inf; Counts are requests
// per bucket, not cumulative, for all pods; Pods the same for each pod.
type Histogram struct {
	Bounds []float64
	Counts []float64
	Pods   map[string][]float64
}

// LatencyPair is the histogram of both arms in a tick. Both have the same
// bounds: where the arms' own differ, those they have in common.
type LatencyPair struct {
	Release Histogram
	Stable  Histogram
}

// Reading is what was counted in the tick (From, To].
type Reading struct {
	From, To time.Time
	// Errors is nil while no request counter of the workload is known.
	Errors *Pair
	// Latency is nil while the workload exports no histogram.
	Latency *LatencyPair
	// Custom holds the user's own signals, by name, that have series.
	Custom map[string]Pair
	// Fresh is set when some pod of the subject was scraped within the look-back
	// that ends with the tick.
	Fresh bool
}

// Result is what one read gave for one subject.
type Result struct {
	// Readings has one element for each tick that elapsed since the last
	// successful read. It is empty where Err is set: what was read before the
	// fault is handed out by the next read that succeeds.
	Readings []Reading
	// Dialect is the naming convention that is read, "" while none is known.
	Dialect string
	// Notes say in words what a person should know of the measurement.
	Notes []string
	// Queries are the questions behind the readings, for this subject alone, as
	// a person can paste them: the raw counters over the range.
	Queries []release.Query
	// LastSample is the time of the newest sample of the subject's pods, zero
	// while there was none.
	LastSample time.Time
	// Err concerns this subject only. It is a *release.Error.
	Err error
}

// Querier is what this package needs of a metric store. Errors are
// *release.Error with CodeUnavailable, CodeRateLimited, CodeTooExpensive,
// CodePartial or CodeBadQuery; an answer that may not be whole is CodePartial,
// never a short answer. Both methods may be called concurrently.
type Querier interface {
	// Raw returns the raw samples of selector with timestamps in (at-window, at].
	Raw(ctx context.Context, selector string, window time.Duration, at time.Time) ([]Series, error)
	// Series lists the label sets that match any of the selectors and have
	// samples between from and to. It may list a few too many.
	Series(ctx context.Context, selectors []string, from, to time.Time) ([]map[string]string, error)
}

// Series is one series with its samples in order of time.
type Series struct {
	Labels  map[string]string
	Samples []Sample
}

// Sample is one value at a time in Unix milliseconds.
type Sample struct {
	Millis int64
	Value  float64
}
