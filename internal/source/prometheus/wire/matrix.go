package wire

import (
	"cmp"
	"errors"
	"slices"

	"github.com/watchtower-verify/watchtower/internal/signal/samples"
)

// ErrTooMany is an answer with more samples than are wanted.
var ErrTooMany = errors.New("the answer holds too many samples")

// Matrix takes the data of a query: series with their samples, where the result
// is of type matrix.
type Matrix struct {
	From, To   int64 // Unix milliseconds; samples outside (From, To] are dropped
	MaxSamples int   // that may come, outside too; 0: any number

	// ResultType as the answer states it; where it is not matrix there are no
	// Series. "" where the answer holds no data.
	ResultType string
	// Series in the order of the answer, those without samples left out. Their
	// samples are in order of time, of two at one time the last; they share
	// arrays with one another.
	Series []samples.Series
	// Samples is how many there are in Series.
	Samples int

	labels     labelReader
	floats     slab[samples.Float]
	histograms slab[samples.Histogram]
	buckets    slab[samples.Bucket]
	came       int
	odd        bool // something in the result is none of a matrix
}

func (m *Matrix) read(r *reader) error {
	var seen seen
	err := r.object(func(key []byte) error {
		switch string(key) {
		case "resultType":
			return seen.once(r, 0, r.words(&m.ResultType))
		case "result":
			return seen.once(r, 1, func() error { return m.result(r) })
		}
		return r.skip(0)
	})
	if m.ResultType != "matrix" {
		m.Series, m.Samples = nil, 0
	} else if m.odd && err == nil {
		err = r.fault("the result is no matrix")
	}
	return err
}

// result reads the series. Where the type comes later and is another one, the
// result may look like anything.
func (m *Matrix) result(r *reader) error {
	c, err := r.peek()
	if err != nil {
		return err
	}
	if m.ResultType != "" && m.ResultType != "matrix" || c != '[' {
		m.odd = c != 'n'
		return r.skip(0)
	}
	return r.array(func() error {
		c, err := r.peek()
		switch {
		case err != nil:
			return err
		case c == '{':
			return m.series(r)
		}
		m.odd = true // such as the time and value of a scalar
		return r.skip(0)
	})
}

func (m *Matrix) series(r *reader) error {
	var s samples.Series
	var seen seen
	floats, histograms := order{}, order{}
	err := r.object(func(key []byte) error {
		switch string(key) {
		case "metric":
			return seen.once(r, 0, func() (err error) { s.Labels, err = m.labels.read(r); return err })
		case "values":
			return seen.once(r, 1, func() error { return r.array(func() error { return m.float(r, &floats) }) })
		case "histograms":
			return seen.once(r, 2, func() error { return r.array(func() error { return m.histogram(r, &histograms) }) })
		}
		return r.skip(0)
	})
	if err != nil {
		return err
	}
	s.Floats, s.Histograms = m.floats.cut(), m.histograms.cut()
	if floats.broken {
		s.Floats = inOrder(s.Floats, func(f samples.Float) int64 { return f.Millis })
	}
	if histograms.broken {
		s.Histograms = inOrder(s.Histograms, func(h samples.Histogram) int64 { return h.Millis })
	}
	if n := len(s.Floats) + len(s.Histograms); n > 0 {
		m.Samples += n
		m.Series = append(m.Series, s)
	}
	return nil
}

// order sees whether times rise.
type order struct {
	last   int64
	any    bool
	broken bool
}

func (o *order) next(ms int64) {
	o.broken = o.broken || o.any && ms <= o.last
	o.last, o.any = ms, true
}

// inOrder sorts by time; of several at one time the last stays.
func inOrder[T any](all []T, at func(T) int64) []T {
	slices.SortStableFunc(all, func(a, b T) int { return cmp.Compare(at(a), at(b)) })
	kept := all[:0]
	for i, one := range all {
		if i+1 == len(all) || at(all[i+1]) != at(one) {
			kept = append(kept, one)
		}
	}
	return kept[:len(kept):len(kept)]
}

// count counts a sample that came.
func (m *Matrix) count() error {
	if m.came++; m.MaxSamples > 0 && m.came > m.MaxSamples {
		return ErrTooMany
	}
	return nil
}

// float takes one [time, "value"].
func (m *Matrix) float(r *reader, o *order) error {
	if err := m.count(); err != nil {
		return err
	}
	ms, v, n := shortPair(r.buf[r.pos:r.end])
	if n > 0 {
		r.pos += n
	} else {
		var err error
		if ms, err = r.pairTime(); err != nil {
			return err
		}
		if v, err = r.value(); err != nil {
			return err
		}
		if err := r.take(']'); err != nil {
			return err
		}
	}
	if ms > m.From && ms <= m.To {
		o.next(ms)
		m.floats.add(samples.Float{Millis: ms, Value: v})
	}
	return nil
}

// shortPair reads a pair as Prometheus writes it, where it is in the buffer as a
// whole; n is 0 where it is written otherwise.
func shortPair(b []byte) (ms int64, v float64, n int) {
	if len(b) < 40 || b[0] != '[' {
		return 0, 0, 0
	}
	i := 1
	for ; i < 24 && b[i] != ','; i++ {
	}
	if b[i] != ',' || b[i+1] != '"' || !isNumber(b[1:i]) {
		return 0, 0, 0
	}
	ms, ok := millis(b[1:i])
	if !ok {
		return 0, 0, 0
	}
	begin := i + 2
	for i = begin; i < len(b)-1 && i < begin+32 && b[i] != '"'; i++ {
	}
	if b[i] != '"' || i+1 == len(b) || b[i+1] != ']' {
		return 0, 0, 0
	}
	if v, ok = float(b[begin:i]); !ok {
		return 0, 0, 0
	}
	return ms, v, i + 2
}

// pairTime takes "[time,".
func (r *reader) pairTime() (int64, error) {
	if err := r.take('['); err != nil {
		return 0, err
	}
	text, err := r.number()
	if err != nil {
		return 0, err
	}
	ms, ok := millis(text)
	if !ok {
		return 0, r.fault("a time cannot be read")
	}
	return ms, r.take(',')
}

// value takes a number that stands between quotes.
func (r *reader) value() (float64, error) {
	raw, _, err := r.quoted()
	if err != nil {
		return 0, err
	}
	v, ok := float(raw)
	if !ok {
		return 0, r.fault("a value is no number")
	}
	return v, nil
}
