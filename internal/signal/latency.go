package signal

import (
	"math"
	"slices"
)

// layout is the bucket bounds by which both arms are compared in a round:
// indexes of the subject's bounds, ascending.
type layout struct {
	bounds []int32
	native bool
	ok     bool
}

// layout returns the bounds that all pods export; not ok when they make no
// histogram.
func (t *tracked) layout(v view) layout {
	var l layout
	var classic, native bool
	for _, p := range t.pods {
		if p.bounds[v] == nil || !t.alive(p) {
			continue
		}
		classic, native = classic || !p.native[v], native || p.native[v]
	}
	switch {
	case classic && native:
		t.findings.noteBounds(v, "Some pods export native histograms and others classic ones, so latency is not measured.")
		return l
	case native:
		l = t.nativeLayout(v)
	case classic:
		l = t.classicLayout(v)
	default:
		t.findings.noteBounds(v, "")
		return l
	}
	if slices.ContainsFunc(t.feeds, func(f *feed) bool {
		return f.view == v && (f.what == feedBuckets || (f.what == feedNative && f.latency)) && f.err != nil
	}) {
		l.ok = false
	}
	return l
}

// classicLayout is the bounds that all pods have in common.
func (t *tracked) classicLayout(v view) layout {
	var common []int32
	some, most := false, 0
	for _, p := range t.pods {
		if p.bounds[v] == nil || !t.alive(p) {
			continue
		}
		n := 0
		for i, has := range p.bounds[v] {
			if has {
				n++
				if !some {
					common = append(common, int32(i))
				}
			}
		}
		most = max(most, n)
		some = true
		common = slices.DeleteFunc(common, func(i int32) bool { return int(i) >= len(p.bounds[v]) || !p.bounds[v][i] })
	}
	t.sortBounds(common)
	ok := len(common) >= 2 && math.IsInf(t.bounds[common[len(common)-1]], 1)
	t.findings.noteCommon(v, ok, len(common), most)
	return layout{bounds: common, ok: ok}
}

// nativeLayout is the bounds of all pods together: a bucket that a pod does not
// show is empty.
func (t *tracked) nativeLayout(v view) layout {
	l := layout{native: true, ok: true}
	inf := t.bound(math.Inf(1)) // there since the first of them was staged
	for _, p := range t.pods {
		for i, has := range p.bounds[v] {
			if has && int32(i) != inf && !slices.Contains(l.bounds, int32(i)) {
				l.bounds = append(l.bounds, int32(i))
			}
		}
	}
	t.sortBounds(l.bounds)
	l.bounds = append(l.bounds, inf)
	t.findings.noteBounds(v, "")
	return l
}

// alive reports whether a pod was scraped not long ago.
func (t *tracked) alive(p *pod) bool {
	if p.name == "" {
		return true
	}
	return p.own.newest == math.MinInt64 || p.own.newest > t.round.to-keepLookbacks*t.look
}

// latency is the histogram of both arms in a tick.
func (t *tracked) latency(pods []*pod, v view, l layout, k int) *LatencyPair {
	out := &LatencyPair{}
	bounds := make([]float64, len(l.bounds))
	for i, b := range l.bounds {
		bounds[i] = t.bounds[b]
	}
	for _, h := range []*Histogram{&out.Release, &out.Stable} {
		*h = Histogram{Bounds: bounds, Counts: make([]float64, len(bounds)), Pods: map[string][]float64{}}
	}
	strata := 1
	if v == viewServer && t.routes != nil {
		strata = len(t.strata) + 1
		out.Strata = make([]LatencyStratum, strata)
		for s := range out.Strata {
			if s < len(t.strata) {
				out.Strata[s].Route = t.strata[s]
			}
			out.Strata[s].Release, out.Strata[s].Stable = make([]float64, len(bounds)), make([]float64, len(bounds))
		}
	}
	for _, p := range pods {
		if p.hist[v] == nil {
			continue
		}
		h := &out.Stable
		if p.arm == armRelease {
			h = &out.Release
		}
		all := make([]float64, len(bounds))
		for s := range strata {
			counts := l.perBucket(p.buckets(t, v, s, k))
			addTo(all, counts)
			if out.Strata != nil {
				to := out.Strata[s].Stable
				if p.arm == armRelease {
					to = out.Strata[s].Release
				}
				addTo(to, counts)
			}
		}
		if !slices.ContainsFunc(all, func(n float64) bool { return n > 0 }) {
			continue
		}
		addTo(h.Counts, all)
		if p.name != "" {
			h.Pods[p.name] = all
		}
	}
	return out
}

func addTo(to, from []float64) {
	for i, n := range from {
		to[i] += n
	}
}

// perBucket turns counts by bound into requests per bucket. Classic buckets are
// cumulative; where they do not ascend, which no histogram's do, the larger
// counts.
func (l layout) perBucket(byBound []float64) []float64 {
	out := make([]float64, len(l.bounds))
	below := 0.0
	for i, b := range l.bounds {
		switch {
		case int(b) >= len(byBound):
		case l.native:
			out[i] = byBound[b]
		case byBound[b] > below:
			out[i] = byBound[b] - below
			below = byBound[b]
		}
	}
	return out
}
