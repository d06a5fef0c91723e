// Package heldout writes simulated rollouts, of which the truth is known, as blocks
// of a Prometheus TSDB: a real Prometheus can be started over the directory. It was
// written apart from package corpus, shares no code with it, and the judge is not
// tuned on it: what both say is no artefact of one simulation. Requests are drawn
// one by one or in counts, in waves, with failures in bursts and lognormal latencies
// that all pods of a workload share; never at smooth rates.
package heldout

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"time"
)

// Options of a corpus.
type Options struct {
	// Seed decides everything: the same options give the same bytes.
	Seed uint64
	// Start is when the first release may start; zero: 2026-11-01.
	Start time.Time
	// Healthy and Regressed are how many releases of each there are, spread over
	// the families by their weights. An overlapping pair counts as one regressed
	// release and brings a healthy one besides.
	Healthy, Regressed int
	// Families are those to draw from; nil: all.
	Families []string
	// Observe is how long a release is to be watched, 30 minutes unless given; its
	// series go on for 15 minutes more.
	Observe time.Duration
	// Scrape is the scrape interval, 15 seconds unless given.
	Scrape time.Duration
	// Spread is the span in which the releases start, 6 hours unless given.
	Spread time.Duration
	// Progress is told after each scene how many of how many are done.
	Progress func(done, total int)
}

// Truth is what is true of a corpus. It stands in truth.json in its directory.
type Truth struct {
	Seed     uint64    `json:"seed"`
	From     time.Time `json:"from"`
	To       time.Time `json:"to"`
	Releases []Release `json:"releases"`
}

// Release is what is true of one release.
type Release struct {
	Namespace  string `json:"namespace"`
	Workload   string `json:"workload"`
	ReplicaSet string `json:"replicaset"`
	Previous   string `json:"previous_replicaset"`
	Family     string `json:"family"`
	Regressed  bool   `json:"regressed"`
	// Ambiguous releases have one sick pod among sound ones of the same image.
	Ambiguous bool `json:"ambiguous"`
	// Kind is errors, latency, state, throughput or resources; empty of a healthy
	// release.
	Kind string `json:"kind"`
	// Effect is how large the regression is: x3, +50%.
	Effect string `json:"effect"`
	// Traffic is Requests for a table: 0.5/s.
	Traffic string `json:"traffic"`
	// Requests per second that the whole workload is sent, on average.
	Requests  float64   `json:"requests_per_second"`
	Dialect   string    `json:"dialect"`
	StartedAt time.Time `json:"started_at"`
	// OnsetAt is when the regression first does harm; zero of a healthy release.
	OnsetAt time.Time `json:"onset_at,omitzero"`
	// AffectedBy is whose fault is what shows here without being this release's:
	// namespace/replicaset, or "unreleased".
	AffectedBy string `json:"affected_by"`
	// BoundSeconds after StartedAt the data are expected to hold ln(1/α) nats
	// against "no worse than tolerated", α = 0.001; 0 where they never do within
	// Observe, or where that means nothing.
	BoundSeconds float64 `json:"bound_seconds"`
}

const (
	// past is how long before its rollout a workload is stored, after how long
	// after Observe.
	past  = 36 * time.Minute
	after = 15 * time.Minute
)

func (o Options) complete() (Options, error) {
	if o.Start.IsZero() {
		o.Start = time.Date(2026, 11, 1, 0, 0, 0, 0, time.UTC)
	}
	o.Start = o.Start.UTC().Truncate(time.Second)
	o.Observe = cmp.Or(o.Observe, 30*time.Minute)
	o.Scrape = cmp.Or(o.Scrape, 15*time.Second)
	o.Spread = cmp.Or(o.Spread, 6*time.Hour)
	switch {
	case o.Healthy < 0 || o.Regressed < 0:
		return o, errors.New("a number of releases is negative")
	case o.Observe < time.Minute || o.Scrape < time.Second || o.Spread < 0:
		return o, fmt.Errorf("observe %s, scrape %s and spread %s: at least a minute, a second and nothing", o.Observe, o.Scrape, o.Spread)
	case o.Scrape%time.Millisecond != 0:
		return o, fmt.Errorf("scrape %s: whole milliseconds", o.Scrape)
	}
	return o, nil
}

// job is a scene to be played: which family, when, and the how-many-eth of it.
type job struct {
	family  Family
	ordinal int
	start   time.Time
}

// plan deals the releases out to the families and over the time, in order of it.
func (o Options) plan() ([]job, error) {
	known := Families()
	for _, name := range o.Families {
		if !slices.ContainsFunc(known, func(f Family) bool { return f.Name == name }) {
			return nil, fmt.Errorf("no family is called %q", name)
		}
	}
	var jobs []job
	for _, regressed := range []bool{false, true} {
		var of []Family
		for _, f := range known {
			if f.Regressed == regressed && (o.Families == nil || slices.Contains(o.Families, f.Name)) {
				of = append(of, f)
			}
		}
		n := o.Healthy
		if regressed {
			n = o.Regressed
		}
		if n > 0 && len(of) == 0 {
			return nil, fmt.Errorf("%d releases are wanted with regressed=%t, of which there is no family", n, regressed)
		}
		jobs = append(jobs, deal(of, n)...)
	}
	r := rand.New(rand.NewPCG(o.Seed, 0x706c616e))
	for i := range jobs {
		jobs[i].start = o.Start.Add(time.Duration(r.Float64() * float64(o.Spread))).Truncate(time.Second)
	}
	slices.SortStableFunc(jobs, func(a, b job) int { return a.start.Compare(b.start) })
	return jobs, nil
}

// deal gives each family its part of n, the largest remainders first.
func deal(of []Family, n int) []job {
	total := 0
	for _, f := range of {
		total += f.Weight
	}
	order := make([]int, len(of))
	parts := make([]int, len(of))
	left := n
	for i, f := range of {
		order[i] = i
		parts[i] = n * f.Weight / total
		left -= parts[i]
	}
	slices.SortStableFunc(order, func(a, b int) int { return cmp.Compare(n*of[b].Weight%total, n*of[a].Weight%total) })
	for i := range left {
		parts[order[i]]++
	}
	var jobs []job
	for i, f := range of {
		for k := range parts[i] {
			jobs = append(jobs, job{family: f, ordinal: k})
		}
	}
	return jobs
}

// Write makes a corpus in dir, which has no blocks yet, and truth.json there. One
// scene after the other is simulated and no more than two blocks are open at a time.
// Where it fails, or ctx ends, what dir holds is of no use.
func Write(ctx context.Context, dir string, opt Options) (*Truth, error) {
	opt, err := opt.complete()
	if err != nil {
		return nil, fmt.Errorf("corpus: %w", err)
	}
	jobs, err := opt.plan()
	if err != nil {
		return nil, fmt.Errorf("corpus: %w", err)
	}
	truth := &Truth{
		Seed: opt.Seed, From: opt.Start.Add(-past),
		To: opt.Start.Add(opt.Spread + opt.Observe + after), Releases: []Release{},
	}
	st, err := newStore(dir, opt, truth)
	if err != nil {
		return nil, fmt.Errorf("corpus in %s: %w", dir, err)
	}
	defer st.abandon()
	for i, j := range jobs {
		if err := st.finishBefore(ctx, j.start.Add(-past)); err != nil {
			return nil, fmt.Errorf("corpus in %s: %w", dir, err)
		}
		s := newScene(opt, st, j, i)
		s.play()
		truth.Releases = append(truth.Releases, s.truth()...)
		if opt.Progress != nil {
			opt.Progress(i+1, len(jobs))
		}
	}
	if err := st.finish(ctx); err != nil {
		return nil, fmt.Errorf("corpus in %s: %w", dir, err)
	}
	text, err := json.MarshalIndent(truth, "", "  ")
	if err != nil {
		return nil, fmt.Errorf("truth: %w", err)
	}
	return truth, os.WriteFile(filepath.Join(dir, "truth.json"), append(text, '\n'), 0o644)
}
