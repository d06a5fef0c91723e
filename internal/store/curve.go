package store

import "github.com/watchtower-verify/watchtower/internal/release"

// MaxCurvePoints bounds what is kept of a curve.
const MaxCurvePoints = 240

// BoundCurve merges neighbouring ticks evenly until at most limit points are
// left. Counts are added, so totals stay exact; ratios are taken anew from
// them, other values are weighted by requests; the e-value and the time are
// those of the last tick merged.
func BoundCurve(curve []release.Point, unit release.Unit, limit int) []release.Point {
	n := len(curve)
	if n <= limit {
		return curve
	}
	out := make([]release.Point, 0, limit)
	for i := range limit {
		out = append(out, mergePoints(curve[i*n/limit:(i+1)*n/limit], unit))
	}
	return out
}

func mergePoints(points []release.Point, unit release.Unit) release.Point {
	last := points[len(points)-1]
	m := release.Point{At: last.At, EValue: last.EValue}
	var rel, base weighted
	for _, p := range points {
		m.Release = m.Release.Add(p.Release)
		m.Stable = m.Stable.Add(p.Stable)
		rel.add(p.ReleaseValue, p.Release.Total)
		base.add(p.BaselineValue, p.Stable.Total)
	}
	m.ReleaseValue = rel.value(m.Release, unit)
	m.BaselineValue = base.value(m.Stable, unit)
	return m
}

// weighted is a mean weighted by requests.
type weighted struct {
	sum, weight float64
}

func (w *weighted) add(v *float64, requests int64) {
	if v == nil {
		return
	}
	k := float64(max(requests, 1)) // a value without a count still is one
	w.sum += *v * k
	w.weight += k
}

func (w *weighted) value(c release.Count, unit release.Unit) *float64 {
	if w.weight == 0 {
		return nil
	}
	v := w.sum / w.weight
	if unit == release.UnitRatio && c.Total > 0 {
		v = c.Ratio()
	}
	return &v
}
