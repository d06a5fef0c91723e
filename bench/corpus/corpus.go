// Package corpus simulates rollouts of which the truth is known: what a metric
// store would hold of them, and whether the new version is worse. Requests come as
// they do, in bursts and waves, failures in bursts, latencies lognormal and all
// pods slow at the same times; never at smooth rates.
package corpus

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"time"

	"github.com/watchtower-verify/watchtower/internal/signal/samples"
)

// Scrape is how often everything is scraped by default.
const Scrape = 15 * time.Second

// Past is how long before its rollout a workload is stored.
const Past = 36 * time.Minute

// Before is how long before the rollout the first of the family's earlier ones began.
func (f Family) Before() time.Duration { return time.Duration(f.Earlier) * between }

// Options of a world.
type Options struct {
	Seed    uint64
	Start   time.Time     // of the rollout, to within a minute
	Observe time.Duration // how long after it is stored
	Scrape  time.Duration // how often everything is scraped
}

// World is what is stored of one simulated place, and what is true of the
// releases in it. Most have one.
type World struct {
	Family   Family
	Releases []Truth
	// Sound are releases that the workload had before, as namespace/replicaset.
	Sound  []string
	Series []*Series
	// Minutes are what both arms of each release did, minute by minute from Past
	// before its start on: what a system that asks for rates would be told.
	Minutes [][]Minute
}

// Minute is what both arms finished in a minute.
type Minute struct{ Release, Stable Arm }

// Arm is how many requests finished, how many of them failed, and how long they
// took, by the Bounds.
type Arm struct {
	Requests, Failed float64
	Slower           []float64 // per bucket, not cumulative
}

// Bounds are the upper bounds of the buckets, in seconds, the last +Inf.
func Bounds() []float64 { return slices.Clone(bounds) }

// Series is one series with its samples in the order of time.
type Series struct {
	Labels  [][2]string
	Samples []samples.Float
	value   func() float64
}

// Truth is what is true of a release.
type Truth struct {
	Namespace  string    `json:"namespace"`
	Workload   string    `json:"workload"`
	ReplicaSet string    `json:"replicaset"`
	Previous   string    `json:"previous_replicaset"`
	Family     string    `json:"family"`
	Regressed  bool      `json:"regressed"`
	Ambiguous  bool      `json:"ambiguous,omitempty"`
	Kind       string    `json:"kind,omitempty"` // errors, latency, state, silence, resources
	Effect     string    `json:"effect,omitempty"`
	Requests   float64   `json:"requests_per_second"`
	Dialect    string    `json:"dialect"`
	StartedAt  time.Time `json:"started_at"`
	OnsetAt    time.Time `json:"onset_at,omitzero"`
	// AffectedBy is the release that caused what shows here, namespace/replicaset,
	// or "unreleased".
	AffectedBy string `json:"affected_by,omitempty"`
	// Bound is when the data hold ln(1/α) nats about the regression, α = 0.001, in
	// seconds after StartedAt; 0 where they never do, or where that means nothing.
	Bound float64 `json:"bound_seconds,omitempty"`
	// Power is the probability with which the best of all tests finds the regression;
	// 1 where nobody worked it out.
	Power float64 `json:"power,omitempty"`
}

// New simulates a world of a family.
func New(f Family, opt Options) *World {
	if opt.Observe <= 0 {
		opt.Observe = 30 * time.Minute
	}
	if opt.Scrape <= 0 {
		opt.Scrape = Scrape
	}
	r := rand.New(rand.NewPCG(opt.Seed, 0x9e3779b97f4a7c15))
	s := &sim{
		rand: r, opt: opt, family: f,
		begin: opt.Start.Add(-Past).Truncate(time.Second), end: opt.Start.Add(opt.Observe + 2*time.Minute).Truncate(time.Second),
		namespace: fmt.Sprintf("team-%02d", r.IntN(30)),
		kubeAt:    time.Duration(r.IntN(int(opt.Scrape.Milliseconds()))) * time.Millisecond,
	}
	if f.Name == "overlap-pair" {
		s.pair()
	} else {
		w := s.draw()
		f.change(s, w)
		s.workloads = append([]*workload{w}, s.workloads...)
	}
	s.run()
	out := &World{Family: f, Sound: s.sound, Series: s.series}
	for _, w := range s.workloads {
		if !w.bystander {
			out.Releases = append(out.Releases, w.truth(s))
			w.minute(s.end.Sub(s.begin) - time.Minute)
			out.Minutes = append(out.Minutes, w.minutes)
		}
	}
	return out
}
