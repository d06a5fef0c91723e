package wire

import (
	"cmp"
	"slices"

	"github.com/watchtower-verify/watchtower/internal/signal/samples"
)

// histogram takes one [time, {count, sum, buckets}].
func (m *Matrix) histogram(r *reader, o *order) error {
	if err := m.count(); err != nil {
		return err
	}
	ms, err := r.pairTime()
	if err != nil {
		return err
	}
	if c, err := r.peek(); err != nil || c != '{' {
		if err == nil {
			err = r.fault("a histogram is no object")
		}
		return err
	}
	h := samples.Histogram{Millis: ms}
	var seen seen
	err = r.object(func(key []byte) error {
		switch string(key) {
		case "count":
			return seen.once(r, 0, func() (err error) { h.Count, err = r.value(); return err })
		case "sum":
			return seen.once(r, 1, func() (err error) { h.Sum, err = r.value(); return err })
		case "buckets":
			return seen.once(r, 2, func() error { return r.array(func() error { return m.bucket(r) }) })
		}
		return r.skip(0)
	})
	if err != nil {
		return err
	}
	if err := r.take(']'); err != nil {
		return err
	}
	if ms <= m.From || ms > m.To {
		m.buckets.drop()
		return nil
	}
	o.next(ms)
	h.Buckets = m.buckets.cut()
	if !slices.IsSortedFunc(h.Buckets, byBounds) {
		slices.SortStableFunc(h.Buckets, byBounds)
	}
	m.histograms.add(h)
	return nil
}

func byBounds(a, b samples.Bucket) int {
	return cmp.Or(cmp.Compare(a.Lower, b.Lower), cmp.Compare(a.Upper, b.Upper))
}

// bucket takes one [boundaries, "lower", "upper", "count"]. Which of its bounds
// belong to a bucket, the first number, makes no difference to a count.
func (m *Matrix) bucket(r *reader) error {
	if err := r.take('['); err != nil {
		return err
	}
	rule, err := r.number()
	if err != nil {
		return err
	}
	if len(rule) != 1 || rule[0] > '3' {
		return r.fault("a bucket has bounds of an unknown kind")
	}
	var v [3]float64
	for i := range v {
		if err := r.take(','); err != nil {
			return err
		}
		if v[i], err = r.value(); err != nil {
			return err
		}
	}
	if err := r.take(']'); err != nil {
		return err
	}
	if v[2] != 0 {
		m.buckets.add(samples.Bucket{Lower: v[0], Upper: v[1], Count: v[2]})
	}
	return nil
}
