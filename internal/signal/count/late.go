package count

import (
	"slices"

	"github.com/watchtower-verify/watchtower/internal/signal/samples"
)

// correct counts what only samples show that came late, between others that
// were counted already: a restart that had gone unseen, or how far a counter had
// come before one that was seen. The tails are replaced by the whole story up to
// where they ended. What it adds is emitted at the time of the late sample. It
// is not done for processes that several scrapers see: their gaps fill each
// other's.
func (s *stream) correct(r round, out Emit) {
	first := int64(0)
	late := false
	for _, i := range s.batch {
		e := &r.entries[i]
		if e.at < 0 {
			continue
		}
		if at, ok := s.series[e.at].firstLate(e.Samples); ok && (!late || at < first) {
			first, late = at, true
		}
	}
	if !late {
		return
	}
	var falls []fall
	merged := map[int32][]samples.Float{}
	for _, i := range s.batch {
		e := &r.entries[i]
		if e.at < 0 || merged[e.at] != nil {
			continue
		}
		whole := s.series[e.at].merge(e.Samples)
		merged[e.at] = whole
		falls = fallsOf(falls, whole[0], true, whole[1:])
	}
	// Restarts after the earliest sample in doubt are found anew.
	var resets []int64
	for _, at := range s.resets {
		if at < first {
			resets = append(resets, at)
		}
	}
	resets = withFalls(resets, falls)
	for _, i := range s.batch {
		e := &r.entries[i]
		whole := merged[e.at]
		if e.at < 0 || whole == nil {
			continue
		}
		delete(merged, e.at)
		at := &s.series[e.at]
		more := increase(whole, resets, e.EmitFrom) - increase(at.tail, s.resets, e.EmitFrom)
		at.tail = append(at.tail[:0], whole...)
		if more > 0 {
			out(int(i), first, more)
		}
	}
	s.resets = resets
}

// firstLate is the earliest sample of the list that lies within the tail and is
// not in it.
func (s *series) firstLate(list []samples.Float) (int64, bool) {
	newest := s.tail[len(s.tail)-1].Millis
	j := 0
	for _, sample := range list {
		if sample.Millis >= newest {
			return 0, false
		}
		if sample.Millis <= s.tail[0].Millis || !countable(sample.Value) {
			continue
		}
		for s.tail[j].Millis < sample.Millis {
			j++
		}
		if s.tail[j].Millis != sample.Millis {
			return sample.Millis, true
		}
	}
	return 0, false
}

// merge is the tail with the samples of the list that lie within it.
func (s *series) merge(list []samples.Float) []samples.Float {
	first, newest := s.tail[0].Millis, s.tail[len(s.tail)-1].Millis
	out := slices.Clone(s.tail)
	for _, sample := range list {
		if sample.Millis <= first || sample.Millis >= newest || !countable(sample.Value) {
			continue
		}
		i, found := slices.BinarySearchFunc(out, sample.Millis, func(f samples.Float, at int64) int { return compare(f.Millis, at) })
		if !found {
			out = slices.Insert(out, i, sample)
		}
	}
	return out
}

// increase is how far a counter came from the first of its samples on.
func increase(list []samples.Float, resets []int64, emitFrom int64) float64 {
	total := 0.0
	for i := 1; i < len(list); i++ {
		prev, sample := list[i-1], list[i]
		if sample.Millis <= emitFrom {
			continue
		}
		if sample.Value < prev.Value || between(resets, prev.Millis, sample.Millis) {
			total += sample.Value
		} else {
			total += sample.Value - prev.Value
		}
	}
	return total
}
