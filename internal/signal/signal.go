// Package signal finds out which series of a metric store tell of a workload's
// requests, failures and latencies and of its pods (discovery, by the catalogue),
// and turns raw samples into exact counts per arm, tick and route.
//
// It asks for raw samples only and takes the increases itself: rate() and
// increase() extrapolate, and they lose what a new pod served before its second
// scrape.
package signal

import (
	"context"
	"time"

	"github.com/prometheus/prometheus/model/labels"

	"github.com/watchtower-verify/watchtower/internal/release"
	"github.com/watchtower-verify/watchtower/internal/signal/samples"
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
	// Pods of both arms that are known to exist. They make queries cheap for the
	// metric store, and let series name a pod by its address. Without them pods
	// are recognised by their names alone.
	Pods []Pod
	// Services that select the workload's pods, by name. What callers count names
	// the workload by one of them.
	Services []string
}

// Pod is a pod of a subject as Kubernetes knows it.
type Pod struct {
	Name      string
	IP        string      // "" while it has none
	Arm       release.Arm // ArmRelease or ArmStable; "" to go by the name
	CreatedAt time.Time
	ReadyAt   time.Time // since when it is ready; zero while it is not
	// GoneAt is when it was found to be gone; zero while it exists. Its address may
	// be another's soon.
	GoneAt time.Time
}

// PodsOf are the pods of an arm as Kubernetes shows them.
func PodsOf(state release.ArmState, arm release.Arm) []Pod {
	out := make([]Pod, 0, len(state.Pods))
	for _, p := range state.Pods {
		known := Pod{Name: p.Name, IP: p.IP, Arm: arm, CreatedAt: p.CreatedAt}
		if p.ReadyAt != nil {
			known.ReadyAt = *p.ReadyAt
		}
		out = append(out, known)
	}
	return out
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
	// Strata split both arms by route, the last being all other routes; nil where
	// routes are not told apart.
	Strata []Stratum
}

// Stratum is one route's part of a Pair. Route is "" for all others together.
type Stratum struct {
	Route           string
	Release, Stable release.Count
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
	Strata  []LatencyStratum // as in Pair
}

// LatencyStratum is one route's part of a LatencyPair: requests per bucket.
type LatencyStratum struct {
	Route           string
	Release, Stable []float64
}

// Quantity is a quantity over an exposure, of both arms in a tick.
type Quantity struct{ Release, Stable ArmQuantity }

// ArmQuantity is one arm's, together and of each pod.
type ArmQuantity struct {
	release.Measure
	Pods map[string]release.Measure
}

// Reading is what was counted in the tick (From, To].
type Reading struct {
	From, To time.Time
	// Errors is nil while no request counter of the workload is known.
	Errors *Pair
	// Latency is nil while the workload exports no histogram.
	Latency *LatencyPair
	// Callers and CallerLatency are the same as callers count it. Where they do
	// not say which pod answered, all is the release's, to be held against history.
	Callers       *Pair
	CallerLatency *LatencyPair
	// Restarts has pod-seconds as Total and restarts of containers as Bad; nil
	// while nothing tells of them.
	Restarts *Pair
	// OOMKilled is how many pods had a container whose last end was for want of
	// memory, in the release and the stable arm.
	OOMKilled [2]int
	// Quantities, by name of the signal: latency_mean (seconds over requests),
	// throughput (requests over ready pod-seconds), cpu (core-seconds over requests,
	// or over pod-seconds where no requests are counted), memory (bytes over pods)
	// and the user's own counters (increase over pod-seconds) and gauges (value
	// over pods).
	Quantities map[string]Quantity
	// Custom holds the user's own ratios, by name, that have series.
	Custom map[string]Pair
	// Fresh is set when some pod of the subject was scraped within the look-back
	// that ends with the tick.
	Fresh bool
	// Scraped is set for an arm of which some pod was scraped within that time,
	// whatever it had to tell: the release and the stable one.
	Scraped [2]bool
}

// Result is what one read gave for one subject.
type Result struct {
	// Readings has one element for each tick that elapsed since the last
	// successful read. It is empty where Err is set: what was read before the
	// fault is handed out by the next read that succeeds.
	Readings []Reading
	// Dialect is the naming convention that is read of the pods, Callers that of
	// what their callers count; "" while none is known.
	Dialect, Callers string
	// CalledBy are the ReplicaSets whose pods were seen to call the workload, as
	// namespace/name, sorted.
	CalledBy []string
	// PerRequest says that cpu is per request, not per second.
	PerRequest bool
	// Notes say in words what a person should know of the measurement.
	Notes []string
	// Queries are the questions behind the readings, for this subject alone, as
	// a person can paste them: the raw series over the range.
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
// never a short answer. All methods may be called concurrently.
type Querier interface {
	// Raw returns the raw samples of selector with timestamps in (at-window, at].
	Raw(ctx context.Context, selector string, window time.Duration, at time.Time) ([]samples.Series, error)
	// Range evaluates an expression at from, from+step, … up to to. An answer of
	// another type than a vector at each step is CodeBadQuery.
	Range(ctx context.Context, expr string, from, to time.Time, step time.Duration) ([]samples.Series, error)
	// Series lists the label sets that match any of the selectors and have
	// samples between from and to. It may list a few too many.
	Series(ctx context.Context, selectors []string, from, to time.Time) ([]labels.Labels, error)
	// Types returns how the targets declare a metric: counter, gauge, histogram,
	// summary, … each once; nothing where that is not known.
	Types(ctx context.Context, metric string) ([]string, error)
}
