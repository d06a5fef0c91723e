package signal

import (
	"cmp"
	"math"
	"slices"

	"github.com/prometheus/prometheus/model/labels"

	"github.com/watchtower-verify/watchtower/internal/signal/samples"
)

// maxSchema is the finest resolution at which native histograms are compared:
// eight buckets to each doubling, 9 % apart. Finer ones are merged down to it,
// coarser ones take all others of the subject down with them.
const maxSchema = 3

// customLayout stands for buckets that are no powers of one base.
const customLayout = math.MinInt8

// nativeShape is how a series of native histograms was last seen.
type nativeShape struct{ schema int8 }

// stageNative takes the requests and the latencies out of native histograms:
// each bucket becomes a counter of its own, at a resolution that all samples of
// the subject share, and so does their count.
func (t *tracked) stageNative(target *target, m meta, s *samples.Series) {
	f := target.feed
	if len(s.Histograms) == 0 {
		return
	}
	id := identityOf(f, s.Labels)
	if f.requests {
		floats := make([]samples.Float, len(s.Histograms))
		for i, h := range s.Histograms {
			floats[i] = samples.Float{Millis: h.Millis, Value: h.Count}
		}
		t.add(target, m, id, floats, false)
	}
	if !f.latency {
		return
	}
	schema := int8(maxSchema)
	for i := range s.Histograms {
		schema = min(schema, schemaOf(s.Histograms[i].Buckets))
	}
	if schema != customLayout {
		schema = min(schema, t.schema[f.view])
		t.schema[f.view] = schema
	}
	shape, known := t.shapes[id.Key]
	rebased := known && shape.schema != schema
	t.shapes[id.Key] = &nativeShape{schema}
	m.to.native[f.view] = true
	m.to.exports(f.view, t.bound(math.Inf(1)))
	for bound, floats := range bucketCounters(s.Histograms, schema) {
		b := m
		b.bound = t.bound(bound / f.dialect.Latency.Unit.PerSecond())
		m.to.exports(f.view, b.bound)
		t.add(target, b, id.Sub(uint64(uint8(schema))<<56^math.Float64bits(bound)), floats, rebased)
	}
}

// mergeDown settles the resolution at which all series of each subject can be
// compared, before the first of them is counted.
func (a answer) mergeDown(find func(labels.Labels, func(*target, *pod))) {
	for i := range a.series {
		s := &a.series[i]
		schema := int8(maxSchema)
		for j := range s.Histograms {
			schema = min(schema, schemaOf(s.Histograms[j].Buckets))
		}
		if schema == maxSchema || schema == customLayout {
			continue
		}
		find(s.Labels, func(target *target, _ *pod) {
			at := &target.t.schema[target.feed.view]
			*at = min(*at, schema)
		})
	}
}

// bucketCounters turns histograms into a counter for each upper bound.
func bucketCounters(list []samples.Histogram, schema int8) map[float64][]samples.Float {
	out := map[float64][]samples.Float{}
	for i, h := range list {
		for _, b := range h.Buckets {
			upper := b.Upper
			if schema != customLayout {
				upper = mergedUpper(b, schema)
			}
			floats := out[upper]
			if floats == nil {
				floats = make([]samples.Float, len(list))
				for j := range list {
					floats[j].Millis = list[j].Millis
				}
				out[upper] = floats
			}
			floats[i].Value += b.Count
		}
	}
	return out
}

// mergedUpper is the upper bound of the bucket at a schema that holds a finer one.
// Bucket i of schema s covers (2^((i-1)·2^-s), 2^(i·2^-s)], so that merging down
// by one is i → ⌈i/2⌉. The zero bucket keeps its bound.
func mergedUpper(b samples.Bucket, schema int8) float64 {
	if b.Lower <= 0 || math.IsInf(b.Upper, 0) {
		return b.Upper
	}
	scale := math.Ldexp(1, int(schema))
	const slack = 1e-6
	i := math.Ceil(math.Log2(b.Upper)*scale - slack)
	return math.Exp2(i / scale)
}

// schemaOf tells the schema of exponential buckets from their bounds; maxSchema
// where there is none to tell it by, customLayout for others.
func schemaOf(buckets []samples.Bucket) int8 {
	out := int8(math.MaxInt8)
	for _, b := range buckets {
		if b.Lower < 0 && b.Upper <= 0 {
			continue // no latency is negative; they count below all others
		}
		if b.Lower <= 0 {
			if b.Upper > 0 && b.Lower == 0 {
				return customLayout // from zero to a bound that is no threshold around it
			}
			continue
		}
		if math.IsInf(b.Upper, 1) {
			continue
		}
		s, ok := exponent(b)
		if !ok || (out != math.MaxInt8 && s != out) {
			return customLayout
		}
		out = s
	}
	if out == math.MaxInt8 {
		return maxSchema
	}
	return min(out, maxSchema)
}

// exponent is the schema of one bucket: its bounds are powers of 2^(2^-s).
func exponent(b samples.Bucket) (int8, bool) {
	width := math.Log2(b.Upper / b.Lower)
	s := math.Round(-math.Log2(width))
	if s < -4 || s > 8 || math.Abs(width-math.Exp2(-s)) > 1e-6*width {
		return 0, false
	}
	i := math.Log2(b.Upper) * math.Exp2(s)
	return int8(s), math.Abs(i-math.Round(i)) < 1e-4
}

// sortBounds orders indexes of bounds.
func (t *tracked) sortBounds(list []int32) {
	slices.SortFunc(list, func(a, b int32) int { return cmp.Compare(t.bounds[a], t.bounds[b]) })
}
