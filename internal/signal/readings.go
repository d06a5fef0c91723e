package signal

import (
	"maps"
	"math"
	"slices"

	"github.com/watchtower-verify/watchtower/internal/release"
)

// readings makes the readings of a round from the tallies and adds them to
// those that were not handed out yet.
func (t *tracked) readings(ticks int, fresh func(k int) bool) {
	pods := slices.Sorted(maps.Keys(t.counters.pods))
	common, ok := t.commonBounds()
	for k := range ticks {
		rd := Reading{
			From:  fromMillis(t.pos + int64(k)*t.tick),
			To:    fromMillis(t.pos + int64(k+1)*t.tick),
			Fresh: fresh(k),
		}
		if t.dialectKnown() {
			pair := t.pair(pods, 0, k)
			rd.Errors = &pair
		}
		for i, c := range t.custom {
			if c.seen && c.err == nil {
				if rd.Custom == nil {
					rd.Custom = make(map[string]Pair, len(t.custom))
				}
				rd.Custom[c.name] = t.pair(pods, 1+i, k)
			}
		}
		if ok {
			rd.Latency = t.latency(pods, common, k)
		}
		t.pending = append(t.pending, rd)
	}
}

// pair is one signal of both arms in a tick.
func (t *tracked) pair(pods []string, sig, k int) Pair {
	arms := [armCount]Arm{{Pods: map[string]release.Count{}}, {Pods: map[string]release.Count{}}}
	for _, name := range pods {
		p := t.counters.pods[name]
		if p.tally == nil || p.tally.signals[sig].total == nil {
			continue
		}
		for len(p.carry) <= sig {
			p.carry = append(p.carry, carry{})
		}
		c := p.tally.signals[sig]
		if n := p.carry[sig].whole(c.total[k], c.bad[k]); n != (release.Count{}) {
			arms[p.arm].Pods[name] = n
			arms[p.arm].Count = arms[p.arm].Add(n)
		}
	}
	return Pair{Release: arms[armRelease], Stable: arms[armStable]}
}

// commonBounds returns the indexes of the bucket bounds that all pods export,
// by ascending bound; false when they make no histogram.
func (t *tracked) commonBounds() ([]int32, bool) {
	var common []int32
	some := false
	for _, p := range t.counters.pods {
		if p.bounds == nil || !p.alive() {
			continue
		}
		if !some {
			some = true
			for i, has := range p.bounds {
				if has {
					common = append(common, int32(i))
				}
			}
			continue
		}
		common = slices.DeleteFunc(common, func(i int32) bool { return int(i) >= len(p.bounds) || !p.bounds[i] })
	}
	slices.SortFunc(common, func(a, b int32) int {
		if t.bounds[a] < t.bounds[b] {
			return -1
		}
		return 1
	})
	usable := len(common) >= 2 && math.IsInf(t.bounds[common[len(common)-1]], 1)
	t.noteBounds(some, usable, len(common))
	return common, usable
}

// alive reports whether some stream of the pod is remembered.
func (p *pod) alive() bool {
	for _, proc := range p.processes {
		for _, s := range proc.streams {
			if !s.lost {
				return true
			}
		}
	}
	return false
}

func (t *tracked) latency(pods []string, common []int32, k int) *LatencyPair {
	var arms [armCount]Histogram
	bounds := make([]float64, len(common))
	for i, b := range common {
		bounds[i] = t.bounds[b]
	}
	for a := range arms {
		arms[a] = Histogram{Bounds: bounds, Counts: make([]float64, len(common)), Pods: map[string][]float64{}}
	}
	for _, name := range pods {
		p := t.counters.pods[name]
		if p.tally == nil || p.tally.latency == nil || p.tally.latency[k] == nil {
			continue
		}
		counts := perBucket(p.tally.latency[k], common)
		arms[p.arm].Pods[name] = counts
		for i, n := range counts {
			arms[p.arm].Counts[i] += n
		}
	}
	return &LatencyPair{Release: arms[armRelease], Stable: arms[armStable]}
}

// perBucket turns cumulative buckets into requests per bucket. Where they do
// not ascend, which no histogram's do, the larger counts.
func perBucket(cumulative []float64, common []int32) []float64 {
	out := make([]float64, len(common))
	below := 0.0
	for i, b := range common {
		if int(b) < len(cumulative) && cumulative[b] > below {
			out[i] = cumulative[b] - below
			below = cumulative[b]
		}
	}
	return out
}
