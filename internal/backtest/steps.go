package backtest

import (
	"slices"
	"sort"

	"github.com/watchtower-verify/watchtower/internal/signal/samples"
)

// steps are the changes of a value, in the order of time.
type steps []step

type step struct {
	at int64 // Unix milliseconds
	v  float64
}

// stepsOf joins what several series tell of the same.
func stepsOf(list ...[]samples.Float) steps {
	var all []samples.Float
	for _, l := range list {
		all = append(all, l...)
	}
	slices.SortStableFunc(all, func(a, b samples.Float) int { return int(a.Millis - b.Millis) })
	var out steps
	for _, f := range all {
		if n := len(out); n == 0 || out[n-1].v != f.Value {
			out = append(out, step{f.Millis, f.Value})
		}
	}
	return out
}

// at is the value at a time and since when it is so; false before the first.
func (s steps) at(ms int64) (step, bool) {
	n := sort.Search(len(s), func(i int) bool { return s[i].at > ms })
	if n == 0 {
		return step{}, false
	}
	return s[n-1], true
}

// value is the value at a time, 0 before the first.
func (s steps) value(ms int64) float64 {
	v, _ := s.at(ms)
	return v.v
}

// times are when samples were taken, ascending, each once.
type times []int64

func (t times) with(list []samples.Float) times {
	for _, f := range list {
		t = append(t, f.Millis)
	}
	return t
}

func (t times) sorted() times {
	slices.Sort(t)
	return slices.Compact(t)
}

// before is the newest at or before a time, false for none.
func (t times) before(ms int64) (int64, bool) {
	n := sort.Search(len(t), func(i int) bool { return t[i] > ms })
	if n == 0 {
		return 0, false
	}
	return t[n-1], true
}

// gap is the middle distance between two.
func (t times) gap() int64 {
	if len(t) < 2 {
		return 0
	}
	gaps := make([]int64, 0, len(t)-1)
	for i := 1; i < len(t); i++ {
		gaps = append(gaps, t[i]-t[i-1])
	}
	slices.Sort(gaps)
	return gaps[len(gaps)/2]
}
